"""The request rule, against servers that answer what no hub would."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import random
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aioresponses import aioresponses
from raw_hub import OK, RawHub, raw_hub, reply, until

from vegehub import (
    Outcome,
    PendingQueue,
    VegeHub,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubNoActuatorsError,
    VegeHubPayloadError,
    VegeHubResponseError,
    VegeHubSessionError,
    VegeHubTimeoutError,
    VegeHubValueError,
)
from vegehub.hub import connection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vegehub.simulator import SimulatedHub

LAST = "/api/sensors/data/last"
SET = "/api/actuators/set"


class TestTurn:
    async def test_one_call_at_a_time_for_all_objects_of_a_hub(self) -> None:
        async def answer(_hub: RawHub, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.01)
            writer.write(reply())

        async with raw_hub(answer) as raw, VegeHub(raw.address) as one, VegeHub(raw.address) as other:
            await asyncio.gather(*(hub.request_update() for hub in (one, other) for _ in range(3)))
            assert raw.most_at_once == 1
            assert len(raw.requests) == 6

    @pytest.mark.parametrize("way", ["turn_off", "set_actuator", "watering", "queue"])
    async def test_off_goes_before_twelve_readers_that_never_pause(self, simulated_hub: SimulatedHub, way: str) -> None:
        async def read_on(reader: VegeHub) -> None:
            while True:
                await reader.get_readings()

        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            hub = VegeHub(simulated_hub.address, simulated_hub.mac, session=session)
            queue = await stack.enter_async_context(PendingQueue(hub, send_delay=0, sleeps=lambda: False))
            block = hub.watering(0, 60)
            await block.__aenter__()
            # As after a failed call: the OFF needs a proof of its own.
            hub.connection.identity.void()
            readers = [asyncio.create_task(read_on(VegeHub(simulated_hub.address, session=session))) for _ in range(12)]
            stack.callback(lambda: [reader.cancel() for reader in readers])
            simulated_hub.faults.latency(0.02)
            await until(lambda: sum(request.path == LAST for request in simulated_hub.requests) > 12)
            before = len(simulated_hub.requests)
            match way:
                case "turn_off":
                    await hub.turn_off(0)
                case "set_actuator":
                    await hub.set_actuator(0, 0, 0)
                case "watering":
                    await block.__aexit__(None, None, None)
                case "queue":
                    await queue.turn_off(0)
            since = [request.path for request in simulated_hub.requests[before:]]
            # What was under way, perhaps one that had its turn already, the proof, the OFF.
            assert since.index(SET) <= 3
            if way != "watering":
                await block.__aexit__(None, None, None)

    async def test_calls_to_different_hubs_run_side_by_side(self) -> None:
        both = asyncio.Barrier(2)

        async def answer(_hub: RawHub, writer: asyncio.StreamWriter) -> None:
            await both.wait()
            writer.write(reply())

        async with raw_hub(answer) as first, raw_hub(answer) as second, aiohttp.ClientSession() as session:
            hubs = [VegeHub(raw.address, session=session) for raw in (first, second)]
            await asyncio.gather(*(hub.request_update() for hub in hubs))

    async def test_turn_not_reached_in_time_is_not_sent(self, simulated_hub: SimulatedHub) -> None:
        simulated_hub.faults.never_answer()
        async with VegeHub(simulated_hub.address) as busy, VegeHub(simulated_hub.address, timeout=0.2) as waiting:
            call = asyncio.create_task(busy.request_update())
            await until(lambda: simulated_hub.requests)
            with pytest.raises(VegeHubTimeoutError, match="busy") as caught:
                await waiting.request_update()
            assert caught.value.outcome is Outcome.NOT_SENT
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        assert len(simulated_hub.requests) == 1

    async def test_waiting_for_the_turn_can_be_cancelled(self, simulated_hub: SimulatedHub) -> None:
        simulated_hub.faults.never_answer(times=1)
        async with VegeHub(simulated_hub.address) as hub:
            first = asyncio.create_task(hub.request_update())
            await until(lambda: simulated_hub.requests)
            second = asyncio.create_task(hub.request_update())
            await asyncio.sleep(0)
            for call in (second, first):
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
            assert await hub.request_update()

    async def test_deadline_starts_with_the_turn(self) -> None:
        release = asyncio.Event()

        async def answer(hub: RawHub, writer: asyncio.StreamWriter) -> None:
            # Both waits together outlast one deadline, each alone does not.
            if len(hub.requests) <= 2:
                await asyncio.sleep(0.7)
            writer.write(reply())

        async with raw_hub(answer) as raw, VegeHub(raw.address, timeout=1.2) as hub:
            release.set()
            assert await asyncio.gather(hub.request_update(), hub.request_update()) == [True, True]


class TestReply:
    @pytest.mark.parametrize(
        ("body", "text"),
        [
            (b"OK", "not JSON"),
            (b"\xff\xfd{}", "not UTF-8"),
            (b"[" * 5000 + b"]" * 5000, "nested too deeply"),
            (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nested too deeply"),
        ],
    )
    async def test_that_is_no_json_is_a_response_error(self, body: bytes, text: str) -> None:
        async with raw_hub(reply(body)) as raw, VegeHub(raw.address) as hub:
            with pytest.raises(VegeHubResponseError, match=text) as caught:
                await hub.get_info()
            assert caught.value.outcome is Outcome.NOT_SENT  # it only reads
            assert caught.value.status == 200
            assert str(caught.value).startswith(f"{raw.address}: POST /api/info/get: expected a JSON object")
            assert not isinstance(caught.value, VegeHubPayloadError)

    @pytest.mark.parametrize(
        ("body", "got"), [(b"", "null"), (b"null", "null"), (b"[]", "a list"), (b"3", "a number"), (b'"x"', "text")]
    )
    async def test_that_is_no_object_is_a_payload_error(self, body: bytes, got: str) -> None:
        async with raw_hub(reply(body)) as raw, VegeHub(raw.address) as hub:
            with pytest.raises(VegeHubPayloadError, match=f"expected an object, got {got}"):
                await hub.get_info()

    @pytest.mark.parametrize("body", [b"", b"OK", b"null", b"[]", b'"OK"', OK])
    async def test_to_a_set_may_be_anything(self, body: bytes) -> None:
        async with raw_hub(reply(body)) as raw, VegeHub(raw.address) as hub:
            assert await hub.set_actuator(1, 0, 60)
            assert await hub.request_update()

    @pytest.mark.parametrize("error", [b'"success"', b"0", b"null", b'""'])
    async def test_whose_error_says_success_is_taken(self, error: bytes) -> None:
        async with raw_hub(reply(b'{"actuators":[],"error":' + error + b"}")) as raw, VegeHub(raw.address) as hub:
            assert await hub.actuator_states() == []

    @pytest.mark.parametrize(
        ("error", "text"),
        [
            (b'"busy"', "busy"),
            (b"7", "error 7"),
            (b"[1]", "error 1"),
            (b'"\\u001b[31mbusy"', "busy"),
            (b"true", "true"),
        ],
    )
    @pytest.mark.parametrize("retries", [0, 2])
    async def test_with_an_error_in_a_200_is_rejected_and_not_repeated(
        self, error: bytes, text: str, retries: int
    ) -> None:
        async with raw_hub(reply(b'{"error":' + error + b"}")) as raw, VegeHub(raw.address) as hub:
            with pytest.raises(VegeHubResponseError, match=f"refused it: .*{text}") as caught:
                await hub.set_actuator(1, 0, 60, retries)
            assert caught.value.outcome is Outcome.REJECTED
            assert len(raw.requests) == 1

    async def test_longer_than_the_cap_is_dropped_with_its_connection(self) -> None:
        long = b'{"x":"' + b"x" * (8 * 1024 * 1024) + b'"}'

        async def answer(hub: RawHub, writer: asyncio.StreamWriter) -> None:
            writer.write(reply(long if len(hub.requests) == 1 else OK))

        async with raw_hub(answer) as raw, VegeHub(raw.address) as hub:
            with pytest.raises(VegeHubResponseError, match="longer than 1048576 bytes"):
                await hub.request_update()
            assert await hub.request_update()
            assert raw.connections == 2

    async def test_as_long_as_the_cap_is_read(self) -> None:
        body = b'{"error":"success","x":"' + b"x" * (1024 * 1024 - 26) + b'"}'
        assert len(body) == 1024 * 1024
        async with raw_hub(reply(body)) as raw, VegeHub(raw.address) as hub:
            assert await hub.request_update()

    async def test_that_redirects_is_not_followed(self) -> None:
        async with raw_hub(reply()) as target:
            headers = f"Location: http://{target.address}/\r\n"
            async with raw_hub(reply(status="302 Found", headers=headers)) as raw, VegeHub(raw.address) as hub:
                with pytest.raises(VegeHubResponseError, match="expected status 200, got 302") as caught:
                    await hub.request_update()
            assert caught.value.status == 302
            assert target.requests == []

    @pytest.mark.parametrize("content_type", ["text/html", "application/octet-stream", "nonsense", ""])
    async def test_is_decoded_whatever_its_content_type(self, content_type: str) -> None:
        data = reply(b'{"actuators":[]}', headers=f"Content-Type: {content_type}\r\n")
        async with raw_hub(data) as raw, VegeHub(raw.address) as hub:
            assert await hub.actuator_states() == []

    async def test_that_is_no_http_is_a_response_error_without_a_status(self) -> None:
        async with raw_hub(b"220 printer ready\r\n\r\n") as raw, VegeHub(raw.address) as hub:
            with pytest.raises(VegeHubResponseError, match="not HTTP") as caught:
                await hub.request_update()
            assert caught.value.status is None
            assert caught.value.outcome is Outcome.UNKNOWN

    @pytest.mark.parametrize(
        "headers",
        ["Transfer-Encoding: chunked\r\n\r\nzz\r\n", "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"],
    )
    async def test_with_a_broken_body_is_an_error_of_the_tree(self, headers: str) -> None:
        async with raw_hub(f"HTTP/1.1 200 OK\r\n{headers}".encode()) as raw, VegeHub(raw.address) as hub:
            with pytest.raises(VegeHubConnectionError) as caught:
                await hub.request_update()
            assert caught.value.outcome is Outcome.UNKNOWN


class TestRetries:
    async def test_are_made_after_a_status_other_than_200(self, simulated_hub: SimulatedHub, hub: VegeHub) -> None:
        simulated_hub.faults.status(503, times=2)
        assert await hub.set_actuator(1, 0, 60, retries=2)
        assert len(simulated_hub.requests) == 3

    async def test_end_with_the_last_error(self, simulated_hub: SimulatedHub, hub: VegeHub) -> None:
        simulated_hub.faults.status(500)
        with pytest.raises(VegeHubResponseError, match="got 500") as caught:
            await hub.set_actuator(1, 0, 60, retries=1)
        assert caught.value.outcome is Outcome.UNKNOWN
        assert len(simulated_hub.requests) == 2

    async def test_are_made_after_a_timeout(self, simulated_hub: SimulatedHub) -> None:
        simulated_hub.faults.never_answer(times=1)
        async with VegeHub(simulated_hub.address, timeout=1) as hub:
            assert await hub.retrieve_mac_address(retries=1)

    async def test_are_not_made_after_a_wrong_shape(self) -> None:
        async with raw_hub(reply(b"[]")) as raw, VegeHub(raw.address) as hub:
            with pytest.raises(VegeHubPayloadError):
                await hub.retrieve_mac_address(retries=3)
            assert len(raw.requests) == 1

    async def test_are_not_made_of_a_proof(self) -> None:
        async with (
            raw_hub(reply(status="500 Internal Server Error")) as raw,
            VegeHub(raw.address, "7C9EBD112233") as hub,
        ):
            with pytest.raises(VegeHubResponseError):
                await hub.turn_off(0)
            assert len(raw.requests) == 1

    @pytest.mark.parametrize("retries", [-1, 1.5, "2", True, None])
    async def test_must_be_a_count(self, retries: Any) -> None:
        hub = VegeHub("127.0.0.1:9")
        with pytest.raises(VegeHubValueError, match="retries must be"):
            await hub.request_update() if retries == 0 else await hub.actuator_states(retries)


def dying_at(*numbers: int) -> Callable[[RawHub, asyncio.StreamWriter], Awaitable[None]]:
    """Answer the requests, but drop the connection at those with these numbers, counted from 1."""

    async def answer(hub: RawHub, writer: asyncio.StreamWriter) -> None:
        if len(hub.requests) in numbers:
            writer.transport.abort()
        else:
            writer.write(reply())

    return answer


class TestResend:
    async def test_happens_once_when_a_kept_connection_dies(self) -> None:
        async with raw_hub(dying_at(2, 4)) as raw, VegeHub(raw.address) as hub:
            await hub.set_actuator(1, 0, 60)
            await hub.set_actuator(0, 0, 60)
            assert (len(raw.requests), raw.connections) == (3, 2)
            assert hub.counters["resends"] == 1
            await hub.set_actuator(1, 0, 60)
            assert (len(raw.requests), raw.connections) == (5, 3)
            assert hub.counters["resends"] == 2

    async def test_stands_in_the_debug_log_between_the_calls(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG, "vegehub.hub.transport"):
            async with raw_hub(dying_at(2)) as raw, VegeHub(raw.address) as hub:
                await hub.set_actuator(1, 0, 60)
                await hub.set_actuator(0, 0, 60)
        where = f"{raw.address}: POST /api/actuators/set"
        assert [record.getMessage() for record in caplog.records if record.name == "vegehub.hub.transport"] == [
            f"{where} -> 200, 19 bytes",
            f"{where}: sent again, the connection was closed",
            f"{where} -> 200, 19 bytes",
        ]

    async def test_of_a_get_that_reads_is_the_one_that_aiohttp_does(self) -> None:
        async with raw_hub(dying_at(2, 3, 4)) as raw, VegeHub(raw.address) as hub:
            with pytest.raises(VegeHubNoActuatorsError):
                await hub.actuator_states()
            with pytest.raises(VegeHubConnectionError):
                await hub.actuator_states()
            assert (len(raw.requests), hub.counters["resends"]) == (3, 0)

    async def test_of_a_get_with_an_effect_is_ours_alone(self) -> None:
        """aiohttp would send it again unseen, and what it then raises says nothing of the first."""
        async with raw_hub(dying_at(1, 3, 4)) as raw, VegeHub(raw.address) as hub:
            with pytest.raises(VegeHubConnectionError) as caught:
                await hub.request_update()
            assert caught.value.outcome is Outcome.UNKNOWN
            assert len(raw.requests) == 1
            await hub.request_update()
            with pytest.raises(VegeHubConnectionError):
                await hub.request_update()
            assert (len(raw.requests), hub.counters["resends"]) == (4, 1)

    async def test_happens_no_second_time(self) -> None:
        async with raw_hub(dying_at(2, 3, 4)) as raw, VegeHub(raw.address) as hub:
            await hub.set_actuator(1, 0, 60)
            with pytest.raises(VegeHubConnectionError):
                await hub.set_actuator(0, 0, 60)
            assert len(raw.requests) == 3

    @pytest.mark.parametrize(
        "first",
        [reply(headers="Connection: close\r\n"), b"HTTP/1.0 200 OK\r\n\r\n" + OK],
        ids=["Connection: close", "HTTP/1.0"],
    )
    async def test_does_not_happen_where_the_connection_was_not_kept(self, first: bytes) -> None:
        async def answer(hub: RawHub, writer: asyncio.StreamWriter) -> None:
            if len(hub.requests) == 1:
                writer.write(first)
                writer.close()
            else:
                writer.transport.abort()

        async with raw_hub(answer) as raw, VegeHub(raw.address) as hub:
            await hub.set_actuator(1, 0, 60)
            with pytest.raises(VegeHubConnectionError):
                await hub.set_actuator(0, 0, 60)
            assert len(raw.requests) == 2

    async def test_does_not_happen_after_a_call_that_failed(self) -> None:
        async def answer(_hub: RawHub, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        async with raw_hub(answer) as raw, VegeHub(raw.address) as hub:
            for _ in range(2):
                with pytest.raises(VegeHubConnectionError):
                    await hub.set_actuator(1, 0, 60)
            assert len(raw.requests) == 2

    async def test_does_not_happen_after_a_call_that_failed_on_a_kept_connection(self) -> None:
        async def answer(hub: RawHub, writer: asyncio.StreamWriter) -> None:
            if len(hub.requests) == 1:
                writer.write(reply())
            elif len(hub.requests) == 2:
                writer.write(reply()[:-1])
                writer.close()
            else:
                writer.transport.abort()

        async with raw_hub(answer) as raw, VegeHub(raw.address) as hub:
            await hub.set_actuator(1, 0, 60)
            for _ in range(2):
                with pytest.raises(VegeHubConnectionError):
                    await hub.set_actuator(0, 0, 60)
            assert len(raw.requests) == 3

    async def test_does_not_happen_once_a_part_of_the_reply_has_come(self) -> None:
        async def answer(hub: RawHub, writer: asyncio.StreamWriter) -> None:
            if len(hub.requests) == 1:
                writer.write(reply())
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-")
                writer.close()

        async with raw_hub(answer) as raw, VegeHub(raw.address) as hub:
            await hub.set_actuator(1, 0, 60)
            with pytest.raises(VegeHubConnectionError):
                await hub.set_actuator(0, 0, 60)
            assert len(raw.requests) == 2


class TestAddress:
    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    async def test_of_either_family_is_reached(self, host: str) -> None:
        async with raw_hub(reply(), host=host) as raw, VegeHub(raw.address) as hub:
            assert await hub.request_update()
            assert hub.url == f"http://{raw.address}"

    async def test_may_be_a_name(self) -> None:
        async with raw_hub(reply()) as raw:
            port = raw.address.rpartition(":")[2]
            async with VegeHub(f"localhost:{port}") as hub:
                assert await hub.request_update()

    @pytest.mark.parametrize(
        ("given", "url"),
        [
            ("192.168.0.57", "http://192.168.0.57"),
            ("192.168.0.57:80", "http://192.168.0.57"),
            ("192.168.0.57:8080", "http://192.168.0.57:8080"),
            ("Vege_A6_20.local", "http://Vege_A6_20.local"),
            ("Vege_A6_20.local.:81", "http://Vege_A6_20.local.:81"),
            ("fe80::7e9e:bdff:fe4b:a620%wlan0", "http://[fe80::7e9e:bdff:fe4b:a620%wlan0]"),
            ("[fe80::1%2]:8080", "http://[fe80::1%2]:8080"),
            ("::1", "http://[::1]"),
        ],
    )
    def test_is_taken_as_people_write_it(self, given: str, url: str) -> None:
        hub = VegeHub(given)
        assert (hub.ip_address, hub.url) == (given, url)

    @pytest.mark.parametrize(
        "given",
        [
            "",
            " ",
            "http://192.168.0.57/api",
            "192.168.0.57/api",
            "host name",
            "host:0",
            "host:65536",
            "host:http",
            "host:",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[host]",
            "a:b:c",
            "fe80::1%",
            "user@host",
            "x" * 300,
            "ho st",
            "1::2::3",
            None,
            5,
        ],
    )
    def test_that_is_none_is_refused(self, given: Any) -> None:
        with pytest.raises(VegeHubValueError, match="address"):
            VegeHub(given)

    async def test_that_is_changed_is_used_from_then_on(self) -> None:
        async with raw_hub(reply()) as first, raw_hub(reply()) as second, VegeHub(first.address) as hub:
            await hub.request_update()
            hub.ip_address = second.address
            await hub.request_update()
            assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_name_that_does_not_resolve_is_not_sent() -> None:
    class Resolver(aiohttp.abc.AbstractResolver):
        async def resolve(self, host: str, port: int = 0, family: int = 0) -> Any:
            raise OSError("no such host")

        async def close(self) -> None:
            pass

    connector = aiohttp.TCPConnector(resolver=Resolver())
    async with aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises(VegeHubConnectionError, match="name was not resolved") as caught:
            await VegeHub("Vege_A6_20.local", session=session).request_update()
    assert caught.value.outcome is Outcome.NOT_SENT


async def test_cancellation_passes_through_and_leaves_no_connection(simulated_hub: SimulatedHub) -> None:
    simulated_hub.faults.never_answer(times=1)
    async with aiohttp.ClientSession() as session:
        hub = VegeHub(simulated_hub.address, session=session)
        call = asyncio.create_task(hub.request_update())
        await until(lambda: simulated_hub.requests)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await hub.request_update()
        assert len(simulated_hub.requests) == 2


async def test_cancellation_in_the_step_in_which_the_deadline_ends_is_not_lost(simulated_hub: SimulatedHub) -> None:
    simulated_hub.faults.never_answer()
    loop = asyncio.get_running_loop()
    async with VegeHub(simulated_hub.address, timeout=0.3) as hub:
        for early in (True, False):
            call = asyncio.create_task(hub.get_info())
            requests = len(simulated_hub.requests)
            await until(lambda: len(simulated_hub.requests) > requests)  # noqa: B023 - awaited here
            loop.call_later(0.0 if early else 0.5, call.cancel)
            ends_at = loop.time() + 0.6
            while loop.time() < ends_at:  # the loop is busy until both are due
                pass
            with pytest.raises(asyncio.CancelledError):
                await call


async def test_every_error_names_the_hub_and_is_chained(simulated_hub: SimulatedHub, hub: VegeHub) -> None:
    simulated_hub.faults.reset_before_headers()
    with pytest.raises(VegeHubError) as caught:
        await hub.set_actuator(1, 0, 60)
    assert caught.value.host == simulated_hub.address
    assert f"{simulated_hub.address}: POST /api/actuators/set: " in str(caught.value)
    assert caught.value.__cause__ is not None


async def test_errors_are_raised_and_not_logged(
    simulated_hub: SimulatedHub, hub: VegeHub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "vegehub")
    simulated_hub.faults.status(500)
    with pytest.raises(VegeHubResponseError):
        await hub.request_update()
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (errno.ETIMEDOUT, VegeHubTimeoutError, "no connection"),
        (errno.EHOSTUNREACH, VegeHubConnectionError, "unreachable; the hub may be asleep"),
        (errno.ENETUNREACH, VegeHubConnectionError, "unreachable"),
        (errno.EACCES, VegeHubConnectionError, "EACCES"),
    ],
)
async def test_what_the_system_says_of_connecting_is_not_sent(number: int, kind: type[VegeHubError], text: str) -> None:
    key = aiohttp.client_reqrep.ConnectionKey("127.0.0.1", 9, False, True, None, None, None)
    with aioresponses() as mocked:
        mocked.get(
            "http://127.0.0.1:9/api/update/send",
            exception=aiohttp.ClientConnectorError(key, OSError(number, os.strerror(number))),
        )
        async with VegeHub("127.0.0.1:9") as hub:
            with pytest.raises(kind, match=text) as caught:
                await hub.request_update()
    assert caught.value.outcome is Outcome.NOT_SENT


# In words, and down to each number


URL = "http://127.0.0.1:9"
KEY = aiohttp.client_reqrep.ConnectionKey("127.0.0.1", 9, False, True, None, None, None)
MAY_HAVE = "the hub may have executed it"
ASLEEP = "the hub may be asleep (press its button, or set its power source to the adapter), or the address is wrong"
THIS_ONE = "is this the address of a VegeHub?"
NOT_SENT, REJECTED, UNKNOWN = Outcome.NOT_SENT, Outcome.REJECTED, Outcome.UNKNOWN


def unconnected(number: int | None) -> Exception:
    return aiohttp.ClientConnectorError(KEY, OSError(number, "x") if number else OSError("x"))


@pytest.mark.parametrize(
    ("error", "kind", "outcome", "text"),
    [
        (
            unconnected(errno.ECONNREFUSED),
            VegeHubConnectionError,
            NOT_SENT,
            f"not sent, the connection was refused; {THIS_ONE}",
        ),
        (unconnected(errno.EHOSTDOWN), VegeHubConnectionError, NOT_SENT, f"not sent, unreachable; {ASLEEP}"),
        (unconnected(errno.ENETDOWN), VegeHubConnectionError, NOT_SENT, f"not sent, unreachable; {ASLEEP}"),
        (unconnected(errno.EACCES), VegeHubConnectionError, NOT_SENT, f"not sent, no connection (EACCES); {THIS_ONE}"),
        (unconnected(None), VegeHubConnectionError, NOT_SENT, f"not sent, no connection (error); {THIS_ONE}"),
        (
            unconnected(errno.ETIMEDOUT),
            VegeHubTimeoutError,
            NOT_SENT,
            f"not sent, no connection; {ASLEEP}",
        ),
        (
            aiohttp.ClientConnectorDNSError(KEY, OSError("x")),
            VegeHubConnectionError,
            NOT_SENT,
            "not sent, the name was not resolved; is it spelled right, and is the hub awake? An IP address always works",
        ),
        (aiohttp.InvalidURL("x"), VegeHubValueError, NOT_SENT, "not sent, the address makes no valid URL"),
        (
            TimeoutError(),
            VegeHubTimeoutError,
            UNKNOWN,
            f"no answer in time (it may have fallen asleep); {MAY_HAVE}",
        ),
        (
            aiohttp.ClientPayloadError(),
            VegeHubConnectionError,
            UNKNOWN,
            f"the connection ended in the middle of the reply; {MAY_HAVE}",
        ),
        (
            aiohttp.ClientOSError(errno.ECONNRESET, "x"),
            VegeHubConnectionError,
            UNKNOWN,
            f"the connection was closed before the reply; {MAY_HAVE}",
        ),
        (
            aiohttp.http.HttpProcessingError(message="x"),
            VegeHubResponseError,
            UNKNOWN,
            f"the reply is not HTTP; is this a VegeHub?; {MAY_HAVE}",
        ),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, Exception) else None,
)
async def test_what_failed_is_said_in_words(
    error: Exception, kind: type[VegeHubError], outcome: Outcome, text: str
) -> None:
    with aioresponses() as mocked:
        mocked.post(f"{URL}/api/actuators/set", exception=error)
        async with VegeHub("127.0.0.1:9", timeout=7.5) as hub:
            with pytest.raises(kind) as caught:
                await hub.set_actuator(1, 0, 60)
    assert type(caught.value) is kind
    assert str(caught.value) == f"127.0.0.1:9: POST /api/actuators/set: {text}"
    assert (caught.value.host, caught.value.outcome) == ("127.0.0.1:9", outcome)
    assert caught.value.__cause__ is error


ODD_REPLIES = [
    (404, b"", REJECTED, "expected status 200, got 404; the hub refused it"),
    (400, b'{"error":"busy"}', REJECTED, "expected status 200, got 400: busy; the hub refused it"),
    (503, b"[]", REJECTED, "expected status 200, got 503; the hub refused it"),
    (499, b"x", REJECTED, "expected status 200, got 499; the hub refused it"),
    (302, b"{}", UNKNOWN, "expected status 200, got 302"),
    (408, b"{}", UNKNOWN, "expected status 200, got 408"),
    (500, b'{"error":7}', UNKNOWN, "expected status 200, got 500: error 7"),
    (201, OK, UNKNOWN, "expected status 200, got 201"),
    (200, b'{"error":"busy"}', REJECTED, "the hub refused it: busy"),
    (200, b'{"error":"' + b"x" * 81 + b'"}', REJECTED, f"the hub refused it: {'x' * 80}"),
    (200, b'{"error":"valve fault","cur_ma":nan}', REJECTED, "the hub refused it: valve fault"),
    (200, b'[{"error":"valve fault"}]', REJECTED, "the hub refused it: valve fault"),
    (200, b" " * 1_048_577, UNKNOWN, "the reply is longer than 1048576 bytes; is this a VegeHub?"),
]


@pytest.mark.parametrize(("status", "body", "outcome", "text"), ODD_REPLIES)
async def test_what_a_reply_means_for_a_command_is_said_in_words(
    status: int, body: bytes, outcome: Outcome, text: str
) -> None:
    async with raw_hub(reply(body, status=f"{status} x")) as raw, VegeHub(raw.address) as hub:
        with pytest.raises(VegeHubResponseError) as caught:
            await hub.set_actuator(1, 0, 60)
    may_have = f"; {MAY_HAVE}" if outcome is UNKNOWN else ""
    assert str(caught.value) == f"{raw.address}: POST /api/actuators/set: {text}{may_have}"
    assert (caught.value.host, caught.value.outcome, caught.value.status) == (raw.address, outcome, status)


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        *((status, body, text) for status, body, _, text in ODD_REPLIES if not body.startswith(b"[{")),
        (200, b"OK", "expected a JSON object, but the reply is "),
        (200, b'{"a":' * 100 + b"1" + b"}" * 100, "expected a JSON object, but the reply is "),
        (200, b"[]", "expected an object, got a list"),
    ],
)
async def test_what_a_reply_means_for_a_read_says_nothing_of_execution(status: int, body: bytes, text: str) -> None:
    async with raw_hub(reply(body, status=f"{status} x")) as raw, VegeHub(raw.address) as hub:
        with pytest.raises(VegeHubResponseError) as caught:
            await hub.get_info()
    assert str(caught.value).startswith(f"{raw.address}: POST /api/info/get: {text}")
    assert "executed" not in str(caught.value)
    assert (caught.value.host, caught.value.outcome, caught.value.status) == (raw.address, NOT_SENT, status)


@pytest.mark.parametrize("body", [b'{"error":', b"[1, 2", b'{"a":1', b"{", b"{oops", b'\xff\xfe{\x00"'])
async def test_a_reply_to_a_command_that_looks_like_json_and_cannot_be_read_is_unknown(body: bytes) -> None:
    async with raw_hub(reply(body)) as raw, VegeHub(raw.address) as hub:
        with pytest.raises(VegeHubResponseError, match=r"cannot be read|in the middle") as caught:
            await hub.set_actuator(0, 0, 60)
    assert caught.value.outcome is UNKNOWN


@pytest.mark.parametrize(
    "body", [b"", b" \r\n", b"OK", b"Success", b"<html>done</html>", b'{"error":"Success"}', b"null"]
)
async def test_nothing_and_plain_words_are_consent(body: bytes) -> None:
    async with raw_hub(reply(body)) as raw, VegeHub(raw.address) as hub:
        assert await hub.set_actuator(0, 0, 60) is True


async def test_a_deadline_that_runs_out_is_said_in_words(simulated_hub: SimulatedHub) -> None:
    async with aiohttp.ClientSession() as session:
        # The connection is there already: however slow the machine is, connecting is not what takes too long.
        await VegeHub(simulated_hub.address, session=session).request_update()
        simulated_hub.faults.never_answer()
        with pytest.raises(VegeHubTimeoutError) as caught:
            await VegeHub(simulated_hub.address, session=session, timeout=0.2).set_actuator(1, 0, 60)
    where = f"{simulated_hub.address}: POST /api/actuators/set: "
    assert str(caught.value) == f"{where}no answer within 0.2 s (it may have fallen asleep); {MAY_HAVE}"
    assert (caught.value.host, caught.value.outcome) == (simulated_hub.address, UNKNOWN)


class Double(SimpleNamespace):
    """Stands in for a session; weak references to it can be made, as to a session."""


class TestSessionDouble:
    """A session that is given may be any object that makes requests."""

    @staticmethod
    def that_raises(error: Exception, **attributes: Any) -> Any:
        def request(*_arguments: Any, **_options: Any) -> Any:
            raise error

        return Double(request=request, **attributes)

    async def test_that_was_closed_under_a_call_is_said_in_words(self) -> None:
        double = self.that_raises(RuntimeError("Session is closed"))

        def close_and_raise(*_arguments: Any, **_options: Any) -> Any:
            double.closed = True
            raise RuntimeError("Session is closed")

        double.request = close_and_raise
        with pytest.raises(VegeHubSessionError) as caught:
            await VegeHub("127.0.0.1:9", session=double).set_actuator(1, 0, 60)
        text = f"the session was closed before the call had ended; close it after the last call; {MAY_HAVE}"
        assert str(caught.value) == f"127.0.0.1:9: POST /api/actuators/set: {text}"
        assert (caught.value.host, caught.value.outcome) == ("127.0.0.1:9", UNKNOWN)

    @pytest.mark.parametrize("attributes", [{}, {"closed": False}, {"closed": None}])
    async def test_that_is_open_shows_its_own_defects(self, attributes: dict[str, Any]) -> None:
        defect = AttributeError("a defect")
        with pytest.raises(AttributeError) as caught:
            await VegeHub("127.0.0.1:9", session=self.that_raises(defect, **attributes)).set_actuator(1, 0, 60)
        assert caught.value is defect

    @staticmethod
    def that_answers(*replies: list[bytes | Exception]) -> Any:
        """Answer each request with a 200 on a kept connection, in the parts given; an exception is raised in its place."""
        left = [list(parts) for parts in replies]
        double = Double(sent=0)

        @asynccontextmanager
        async def request(*_arguments: Any, **_options: Any) -> Any:
            double.sent += 1
            parts = left.pop(0)

            async def readany() -> bytes:
                part = parts.pop(0) if parts else b""
                if isinstance(part, Exception):
                    raise part
                return part

            content = SimpleNamespace(readany=readany)
            yield SimpleNamespace(status=200, version=aiohttp.HttpVersion11, headers={}, content=content)

        double.request = request
        return double

    async def test_may_give_the_reply_in_parts(self) -> None:
        double = self.that_answers([b'{"actua', b"tors", b'":[]}'])
        assert await VegeHub("127.0.0.1:9", session=double).actuator_states() == []

    @pytest.mark.parametrize(
        "error", [ConnectionResetError(), aiohttp.ClientOSError(), aiohttp.ServerDisconnectedError()]
    )
    async def test_does_not_send_again_once_an_answer_has_begun(self, error: Exception) -> None:
        double = self.that_answers([OK], [error], [OK])
        hub = VegeHub("127.0.0.1:9", session=double)
        await hub.set_actuator(1, 0, 60)
        with pytest.raises(VegeHubConnectionError):
            await hub.set_actuator(0, 0, 60)
        assert double.sent == 2

    @pytest.mark.parametrize(
        ("own", "expected"),
        [
            ({"total": None}, {"connect": 8.0}),
            ({"total": 5.0}, {"total": 5.0, "connect": 4.0}),
            ({"total": 10.0}, {"connect": 8.0}),
            ({"total": 300.0}, {"connect": 8.0}),
            ({"total": None, "connect": 3.0}, {"connect": 3.0}),
            ({"total": None, "connect": 9.0}, {"connect": 8.0}),
            ({"total": None, "sock_connect": 2.0}, {"connect": 8.0, "sock_connect": 2.0}),
            (
                {"total": None, "sock_read": 20.0, "ceil_threshold": 7},
                {"connect": 8.0, "sock_read": 20.0, "ceil_threshold": 7},
            ),
        ],
    )
    async def test_is_told_limits_that_end_connecting_before_the_deadline(
        self, own: dict[str, Any], expected: dict[str, Any]
    ) -> None:
        told: list[aiohttp.ClientTimeout] = []
        async with raw_hub(reply()) as raw, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(**own)) as session:

            def request(*arguments: Any, **options: Any) -> Any:
                told.append(options["timeout"])
                return session.request(*arguments, **options)

            double = Double(request=request, timeout=session.timeout)
            hub = VegeHub(raw.address, session=double, timeout=10)
            await hub.request_update()
            await hub.request_update()
        assert told == [aiohttp.ClientTimeout(**{"total": None, **expected})] * 2

    async def test_is_told_other_limits_once_its_own_are_others(self) -> None:
        told: list[float | None] = []
        async with raw_hub(reply()) as raw, aiohttp.ClientSession() as session:

            def request(*arguments: Any, **options: Any) -> Any:
                told.append(options["timeout"].connect)
                return session.request(*arguments, **options)

            double = Double(request=request, timeout=aiohttp.ClientTimeout(total=None))
            hub = VegeHub(raw.address, session=double, timeout=10)
            await hub.request_update()
            double.timeout = aiohttp.ClientTimeout(total=5)
            await hub.request_update()
        assert told == [8.0, 4.0]


class TestResendIsForDeadConnectionsOnly:
    @pytest.mark.parametrize(
        "error",
        [aiohttp.ClientOSError(errno.ECONNRESET, "x"), ConnectionResetError(), aiohttp.ServerDisconnectedError()],
    )
    async def test_that_died_without_an_answer(self, error: Exception) -> None:
        with aioresponses() as mocked:
            mocked.post(f"{URL}/api/actuators/set", body=OK)
            mocked.post(f"{URL}/api/actuators/set", exception=error)
            mocked.post(f"{URL}/api/actuators/set", body=OK)
            async with VegeHub("127.0.0.1:9") as hub:
                await hub.set_actuator(1, 0, 60)
                assert await hub.set_actuator(0, 0, 60)
                assert (hub.counters["calls"], hub.counters["resends"]) == (2, 1)

    @pytest.mark.parametrize(
        "error",
        [aiohttp.ClientPayloadError(), unconnected(errno.ECONNREFUSED), aiohttp.ServerTimeoutError(), OSError("x")],
        ids=lambda error: type(error).__name__,
    )
    async def test_and_not_for_other_errors(self, error: Exception) -> None:
        with aioresponses() as mocked:
            mocked.post(f"{URL}/api/actuators/set", body=OK)
            mocked.post(f"{URL}/api/actuators/set", exception=error)
            mocked.post(f"{URL}/api/actuators/set", body=OK)
            async with VegeHub("127.0.0.1:9") as hub:
                await hub.set_actuator(1, 0, 60)
                with pytest.raises(VegeHubError):
                    await hub.set_actuator(0, 0, 60)
                assert hub.counters["resends"] == 0


class TestWaitingIsBounded:
    """No call waits without a limit for its turn, whatever happened to calls before it."""

    async def test_after_a_call_and_after_waits_that_ran_out(self, simulated_hub: SimulatedHub, hub: VegeHub) -> None:
        await hub.request_update()
        simulated_hub.faults.never_answer()
        busy = asyncio.create_task(hub.request_update())
        await until(lambda: len(simulated_hub.requests) == 2)
        async with VegeHub(simulated_hub.address, timeout=0.1) as waiting:
            for _ in range(3):
                with pytest.raises(VegeHubTimeoutError) as caught:
                    await waiting.request_update()
                where = f"{simulated_hub.address}: GET /api/update/send: "
                assert str(caught.value) == f"{where}not sent, other calls to this hub kept it busy for 0.1 s"
                assert caught.value.host == simulated_hub.address
        busy.cancel()
        await asyncio.wait([busy])

    async def test_after_a_wait_that_was_cancelled_among_others(self) -> None:
        go_on = asyncio.Event()

        async def answer(hub: RawHub, writer: asyncio.StreamWriter) -> None:
            await (go_on.wait() if len(hub.requests) == 1 else asyncio.Event().wait())
            writer.write(reply())

        async with raw_hub(answer) as raw, VegeHub(raw.address) as hub, VegeHub(raw.address, timeout=0.1) as short:
            first = asyncio.create_task(hub.request_update())
            await until(lambda: raw.requests)
            cancelled, second = (asyncio.create_task(hub.request_update()) for _ in range(2))
            await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.wait([cancelled])
            go_on.set()
            await first
            await until(lambda: len(raw.requests) == 2)
            with pytest.raises(VegeHubTimeoutError, match="kept it busy"):
                await short.request_update()
            second.cancel()
            await asyncio.wait([second])


class TestAttempts:
    async def test_are_one_more_than_retries_and_no_more(self, simulated_hub: SimulatedHub, hub: VegeHub) -> None:
        simulated_hub.faults.status(500)
        with pytest.raises(VegeHubResponseError):
            await hub.set_actuator(1, 0, 60, retries=2)
        assert len(simulated_hub.requests) == 3
        assert hub.counters["calls"] == 3

    async def test_are_one_where_nothing_is_said(self, simulated_hub: SimulatedHub, hub: VegeHub) -> None:
        simulated_hub.faults.status(500)
        with pytest.raises(VegeHubResponseError):
            await hub.get_info()
        with pytest.raises(VegeHubResponseError):
            await hub.get_readings()
        assert len(simulated_hub.requests) == 2

    @pytest.mark.parametrize(
        ("end", "pauses"),
        [(0, [0.1875, 0.375, 0.75, 1.5, 3.0, 5.0, 5.0]), (1, [0.3125, 0.625, 1.25, 2.5, 5.0, 5.0, 5.0])],
    )
    def test_are_made_after_pauses_that_double_up_to_five_seconds(
        self, end: int, pauses: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(random, "uniform", lambda low, high: (low, high)[end])
        assert [connection._pause(attempt) for attempt in (*range(6), 100_000)] == pauses
