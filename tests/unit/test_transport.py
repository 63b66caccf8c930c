"""The request rule, against servers that answer what no hub would."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aioresponses import aioresponses
from raw_hub import OK, RawHub, raw_hub, reply, until

from vegehub import (
    Outcome,
    VegeHub,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubPayloadError,
    VegeHubResponseError,
    VegeHubTimeoutError,
    VegeHubValueError,
)

if TYPE_CHECKING:
    from vegehub.simulator import SimulatedHub


class TestTurn:
    async def test_one_call_at_a_time_for_all_objects_of_a_hub(self) -> None:
        async def answer(_hub: RawHub, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.01)
            writer.write(reply())

        async with raw_hub(answer) as raw, VegeHub(raw.address) as one, VegeHub(raw.address) as other:
            await asyncio.gather(*(hub.request_update() for hub in (one, other) for _ in range(3)))
            assert raw.most_at_once == 1
            assert len(raw.requests) == 6

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
            (b"", "not JSON"),
            (b"OK", "not JSON"),
            (b"\xff\xfe{}", "not UTF-8"),
            (b'{"wifi": NaN}', "NaN"),
            (b'{"wifi": -Infinity}', "Infinity"),
            (b'{"wifi": 1e999}', "out of range"),
            (b'{"wifi": ' + b"1" * 5000 + b"}", "5000 digits"),
            (b"[" * 5000 + b"]" * 5000, "nested too deeply"),
            (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nested too deeply"),
        ],
    )
    async def test_that_is_no_json_is_a_response_error(self, body: bytes, text: str) -> None:
        async with raw_hub(reply(body)) as raw, VegeHub(raw.address) as hub:
            with pytest.raises(VegeHubResponseError, match=text) as caught:
                await hub.get_info()
            assert caught.value.outcome is Outcome.UNKNOWN
            assert caught.value.status == 200
            assert str(caught.value).startswith(f"{raw.address}: POST /api/info/get: expected a JSON object")
            assert not isinstance(caught.value, VegeHubPayloadError)

    @pytest.mark.parametrize(
        ("body", "got"), [(b"null", "null"), (b"[]", "a list"), (b"3", "a number"), (b'"x"', "text")]
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
            (b"[1]", "a list"),
            (b'"\\u001b[31m"', "\\?\\[31m"),
            (b"true", "True"),
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

    @pytest.mark.parametrize("retries", [-1, 1.5, "2", True, None])
    async def test_must_be_a_count(self, retries: Any) -> None:
        hub = VegeHub("127.0.0.1:9")
        with pytest.raises(VegeHubValueError, match="retries must be"):
            await hub.request_update() if retries == 0 else await hub.actuator_states(retries)


class TestResend:
    async def test_happens_once_when_a_kept_connection_dies(self) -> None:
        async def answer(hub: RawHub, writer: asyncio.StreamWriter) -> None:
            if len(hub.requests) == 2:
                writer.transport.abort()
            else:
                writer.write(reply())

        async with raw_hub(answer) as raw, VegeHub(raw.address) as hub:
            await hub.set_actuator(1, 0, 60)
            await hub.set_actuator(0, 0, 60)
            assert (len(raw.requests), raw.connections) == (3, 2)
            assert hub.counters["resends"] == 1

    async def test_happens_no_second_time(self) -> None:
        async def answer(hub: RawHub, writer: asyncio.StreamWriter) -> None:
            if len(hub.requests) > 1:
                writer.transport.abort()
            else:
                writer.write(reply())

        async with raw_hub(answer) as raw, VegeHub(raw.address) as hub:
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
            "http://192.168.0.57",
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
            "host\n",
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
