"""One command, one outcome: what is said of a call agrees with what the hub executed, whatever its requests met."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from faults.scripted import CONFIG_GET, CONFIG_SET, INFO, SET, STATUS, executed, meet
from raw_hub import OK, RawHub, raw_hub, reply, until

from vegehub import (
    Outcome,
    PendingQueue,
    VegeHub,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubResponseError,
    VegeHubSessionError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from faults.scripted import Step

    from vegehub.simulator import SimulatedHub

URL = "http://127.0.0.1:9/hook"
NOT_SENT, REJECTED, UNKNOWN = Outcome.NOT_SENT, Outcome.REJECTED, Outcome.UNKNOWN

# Each call that has an effect, and the path of the request that has it.
CHANGES: dict[str, tuple[str, Callable[[VegeHub], Awaitable[Any]]]] = {
    "set_actuator": (SET, lambda hub: hub.set_actuator(1, 0, 60)),
    "turn_on": (SET, lambda hub: hub.turn_on(0, 60)),
    "turn_off": (SET, lambda hub: hub.turn_off(0)),
    "turn_on confirmed": (SET, lambda hub: hub.turn_on(0, 60, confirm=True)),
    "request_update": ("/api/update/send", lambda hub: hub.request_update()),
    "setup": (CONFIG_SET, lambda hub: hub.setup("", URL)),
    "set_config": (CONFIG_SET, lambda hub: hub.set_config({"api_key": "k"})),
    "configure_server": (CONFIG_SET, lambda hub: hub.configure_server(URL)),
    "set_time": ("/api/time/set", lambda hub: hub.set_time()),
}


def fail_and_close(faults: Any) -> None:
    faults.status(500, after_execution=True, times=1)
    faults.connection_close(times=1)


# An attempt that the hub executed without saying so.
ARRIVED: dict[str, Step] = {
    "closed": lambda f: f.drop_reply(times=1),
    "reset": lambda f: f.reset_before_headers(after_execution=True, times=1),
    "silent": lambda f: f.never_answer(after_execution=True, times=1),
    "500": fail_and_close,
}
# What a later attempt meets that says of itself that it was not executed.
DENIED: dict[str, Step] = {
    "400": lambda f: f.status(400, times=1),
    "503": lambda f: f.status(503, times=1),
    "refused in a 200": lambda f: f.error_in_200("busy", times=1),
}


async def fails(call: Awaitable[Any]) -> VegeHubError:
    with pytest.raises(VegeHubError) as caught:
        await call
    return caught.value


class TestWhatMayHaveArrivedStaysUnknown:
    @pytest.mark.parametrize("second", [*DENIED, "unreachable"])
    @pytest.mark.parametrize("call", CHANGES)
    async def test_when_it_is_sent_again_on_a_new_connection(
        self, simulated_hub: SimulatedHub, hub: VegeHub, call: str, second: str
    ) -> None:
        path, change = CHANGES[call]
        if second == "unreachable":
            meet(simulated_hub, path, lambda f: f.unreachable_afterwards(60, times=1))
        else:
            meet(simulated_hub, path, ARRIVED["closed"], DENIED[second])
        await hub.get_info()  # leaves a connection that is used again
        error = await fails(change(hub))
        assert len(executed(simulated_hub)) == 1
        assert hub.counters["resends"] == 1
        assert error.outcome is UNKNOWN
        assert "may have executed" in str(error)

    @pytest.mark.parametrize("second", [*DENIED, "refused", "moved", "session closed", "busy"])
    @pytest.mark.parametrize("first", ARRIVED)
    async def test_when_a_further_attempt_was_not_executed(
        self, simulated_hub: SimulatedHub, first: str, second: str
    ) -> None:
        meet(simulated_hub, SET, ARRIVED[first], DENIED.get(second))
        async with aiohttp.ClientSession() as session, VegeHub(simulated_hub.address) as other:
            hub = VegeHub(simulated_hub.address, session=session, timeout=0.4)
            call = asyncio.create_task(fails(hub.set_actuator(1, 0, 60, retries=1)))
            await until(lambda: executed(simulated_hub))
            busy = asyncio.create_task(asyncio.sleep(0))
            if second == "refused":
                simulated_hub.faults.refuse()
            elif second == "moved":
                hub.ip_address = "127.0.0.1:9"
            elif second == "session closed":
                await until(lambda: not simulated_hub.open_connections)  # the first attempt has ended
                await session.close()
            elif second == "busy":
                simulated_hub.faults.never_answer(path=STATUS)
                busy = asyncio.create_task(other.get_actuators())
            error = await call
            busy.cancel()
            await asyncio.wait((busy,))
        assert len(executed(simulated_hub)) == 1
        assert error.outcome is UNKNOWN
        assert "may have executed" in str(error)

    async def test_rejected_and_then_not_sent_is_rejected(self, simulated_hub: SimulatedHub, hub: VegeHub) -> None:
        def refuse_and_go(faults: Any) -> None:
            faults.status(503, times=1)
            faults.connection_close(times=1)
            faults.refuse()

        meet(simulated_hub, SET, refuse_and_go)
        error = await fails(hub.set_actuator(1, 0, 60, retries=1))
        assert type(error) is VegeHubConnectionError
        assert error.outcome is REJECTED
        assert executed(simulated_hub) == []


READ_BACKS: dict[str, Step] = {
    "400": lambda f: f.status(400),
    "404": lambda f: f.status(404),
    "500": lambda f: f.status(500),
    "503": lambda f: f.status(503),
    "refused in a 200": lambda f: f.error_in_200("busy"),
    "closed": lambda f: f.drop_reply(),
    "reset": lambda f: f.reset_before_headers(),
    "silent": lambda f: f.never_answer(),
    "not JSON": lambda f: f.not_json(),
    "a list": lambda f: f.wrong_json([]),
    "empty": lambda f: f.wrong_json(b""),
    "without what is asked": lambda f: f.wrong_json({}),
    "of the wrong shape": lambda f: f.wrong_json({"actuators": [{"slot": "?"}], "hub": 5}),
}


SAYS_NOTHING = ("empty", "without what is asked", "of the wrong shape")
"""Replies to ``info/get`` that established calls take for a hub that says nothing of itself."""


class TestOnceTheHubTookIt:
    @pytest.mark.parametrize("fault", [*READ_BACKS, "refused"])
    @pytest.mark.parametrize("state", [1, 0])
    async def test_a_confirmation_that_fails_is_unknown(
        self, simulated_hub: SimulatedHub, state: int, fault: str
    ) -> None:
        def refuse(faults: Any) -> None:
            faults.connection_close(times=1)
            faults.refuse()

        if fault == "refused":
            meet(simulated_hub, SET, refuse)
        else:
            meet(simulated_hub, STATUS, READ_BACKS[fault])
        async with VegeHub(simulated_hub.address, simulated_hub.mac, timeout=0.4) as hub:
            error = await fails(hub.turn_on(0, 60, confirm=True) if state else hub.turn_off(0, confirm=True))
        assert len(executed(simulated_hub, SET)) == 1
        assert error.outcome is UNKNOWN
        assert "the hub took the command" in str(error)

    @pytest.mark.parametrize("fault", [name for name in READ_BACKS if name not in SAYS_NOTHING])
    async def test_a_setup_that_cannot_read_info_is_unknown(self, simulated_hub: SimulatedHub, fault: str) -> None:
        meet(simulated_hub, INFO, READ_BACKS[fault])
        async with VegeHub(simulated_hub.address, timeout=0.4) as hub:
            error = await fails(hub.setup("", URL))
        assert len(executed(simulated_hub, CONFIG_SET)) == 1
        assert error.outcome is UNKNOWN
        assert "the hub took the new configuration" in str(error)


# Calls that read before they write, and the path of that read.
READ_FIRST: dict[str, tuple[str, Callable[[VegeHub], Awaitable[Any]]]] = {
    "turn_on, proof": (INFO, lambda hub: hub.turn_on(0, 60)),
    "turn_off, proof": (INFO, lambda hub: hub.turn_off(0)),
    "set_config, proof": (INFO, lambda hub: hub.set_config({"api_key": "k"})),
    "set_time, proof": (INFO, lambda hub: hub.set_time()),
    "set_actuator, unknown slot": (INFO, lambda hub: hub.set_actuator(1, 1, 60)),
    "configure_server, proof": (INFO, lambda hub: hub.configure_server(URL)),
    "configure_server, config": (CONFIG_GET, lambda hub: hub.configure_server(URL)),
    "setup, config": (CONFIG_GET, lambda hub: hub.setup("", URL)),
    "restore_config, config": (
        CONFIG_GET,
        lambda hub: hub.restore_config({"format": "vegehub-backup", "version": 1, "config": {"hub": {"name": "x"}}}),
    ),
}


@pytest.mark.parametrize("fault", [name for name in READ_BACKS if name not in SAYS_NOTHING])
@pytest.mark.parametrize("call", READ_FIRST)
async def test_a_read_that_fails_before_the_write_is_not_sent_and_says_nothing_of_execution(
    simulated_hub: SimulatedHub, call: str, fault: str
) -> None:
    path, change = READ_FIRST[call]
    meet(simulated_hub, path, READ_BACKS[fault] if fault != "of the wrong shape" else lambda f: f.wrong_json([5]))
    known = {"num_actuators": 1}
    async with VegeHub(simulated_hub.address, simulated_hub.mac, info=known, timeout=0.4) as hub:
        error = await fails(change(hub))
    assert executed(simulated_hub) == []
    assert error.outcome is NOT_SENT
    assert "executed" not in str(error)
    assert "took" not in str(error)


class TestSessionThatRaisesForStatus:
    @pytest.mark.parametrize("status", [302, 400, 404, 408, 500, 503])
    @pytest.mark.parametrize("call", [*CHANGES, "get_info", "actuator_states"])
    async def test_is_told_the_same_as_any_other(self, simulated_hub: SimulatedHub, call: str, status: int) -> None:
        async def raise_it(response: aiohttp.ClientResponse) -> None:
            response.raise_for_status()

        simulated_hub.faults.status(status)
        told = []
        for option in (False, True, raise_it):
            async with aiohttp.ClientSession(raise_for_status=option) as session:
                hub = VegeHub(simulated_hub.address, session=session)
                error = await fails(CHANGES[call][1](hub) if call in CHANGES else getattr(hub, call)())
                assert isinstance(error, VegeHubResponseError)
                told.append((type(error), error.outcome, error.status, str(error)))
        assert told[0][2] == status
        assert told[1] == told[0]
        assert told[2] == told[0]


class TestReplyThatBreaksOffInItsHead:
    @pytest.mark.parametrize("head", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r"])
    async def test_with_the_end_of_the_connection_is_not_sent_again(self, head: bytes) -> None:
        async def answer(raw: RawHub, writer: asyncio.StreamWriter) -> None:
            if len(raw.requests) == 1:
                writer.write(reply())
            else:
                writer.write(head)
                await writer.drain()
                writer.close()

        async with raw_hub(answer) as raw, VegeHub(raw.address) as hub:
            await hub.request_update()
            error = await fails(hub.set_actuator(1, 0, 60))
            assert len(raw.requests) == 2
            assert hub.counters["resends"] == 0
        assert error.outcome is UNKNOWN

    @pytest.mark.parametrize("second", [*DENIED, "unreachable"])
    async def test_with_a_reset_is_unknown_and_executed_twice_at_most(
        self, simulated_hub: SimulatedHub, hub: VegeHub, second: str
    ) -> None:
        def reset(faults: Any) -> None:
            faults.reset_in_headers(times=1)
            if second == "unreachable":
                faults.refuse()

        meet(simulated_hub, SET, reset, DENIED.get(second))
        await hub.request_update()
        error = await fails(hub.set_actuator(1, 0, 60))
        assert error.outcome is UNKNOWN
        assert len(executed(simulated_hub, SET)) in (1, 2)


REFUSALS = {
    "a bare nan": b'{"error":"valve fault","cur_ma":nan}',
    "Latin-1": '{"error":"défaut"}'.encode("latin-1"),
    "a NUL behind": b'{"error":"valve fault"}\0',
    "in a list": b'[{"error":"valve fault","cur_ma":nan}]',
    "a comma too many": b'{"error":"valve fault",}',
    "cut off": b'{"slot":0,"error":"valve fa',
    "cut off before it": b'{"slot":0,"state":0,',
    "UTF-16": '{"error":"valve fault"}'.encode("utf-16"),
    "a mark before": b'\xef\xbb\xbf{"error":"valve fault"}',
    "a number": b'{"error":5,"cur_ma":-nan}',
}


class TestRefusalThatIsNoStrictJson:
    @pytest.mark.parametrize("words", REFUSALS)
    @pytest.mark.parametrize("call", [name for name in CHANGES if name not in ("setup", "configure_server")])
    async def test_is_never_taken_for_success(
        self, simulated_hub: SimulatedHub, hub: VegeHub, call: str, words: str
    ) -> None:
        path, change = CHANGES[call]
        simulated_hub.faults.refused_in_words(REFUSALS[words], path=path)
        error = await fails(change(hub))
        assert isinstance(error, VegeHubResponseError)
        assert error.outcome in (REJECTED, UNKNOWN)

    @pytest.mark.parametrize("words", REFUSALS)
    async def test_has_watering_send_off_again(self, simulated_hub: SimulatedHub, hub: VegeHub, words: str) -> None:
        async with hub.watering(0, 60):
            simulated_hub.faults.refused_in_words(REFUSALS[words], times=1, path=SET)
        assert not simulated_hub.actuators[0].is_on

    @pytest.mark.parametrize("words", REFUSALS)
    async def test_of_a_queued_command_is_told(self, simulated_hub: SimulatedHub, hub: VegeHub, words: str) -> None:
        simulated_hub.faults.refused_in_words(REFUSALS[words], path=SET)
        async with PendingQueue(hub, send_delay=0) as queue:
            queue.notify_awake()
            command = queue.turn_on(0, 60, expires_in=60)
            error = await fails(command)
        assert error.outcome in (REJECTED, UNKNOWN)
        assert len([record for record in simulated_hub.requests if record.path == SET]) == 1

    @pytest.mark.parametrize(
        "words",
        [
            OK,
            b'{"error":"Success"}',
            b'{"error":" OK "}',
            b'{"error":"0"}',
            b'{"error":0}',
            b'{"error":"none"}',
            b"",
            b"done",
        ],
    )
    async def test_words_of_consent_are_consent(self, simulated_hub: SimulatedHub, hub: VegeHub, words: bytes) -> None:
        simulated_hub.faults.refused_in_words(words, after_execution=True, path=SET)
        await hub.turn_off(0)
        assert executed(simulated_hub, SET) != []


async def test_a_session_that_is_closed_between_two_requests_of_a_call_keeps_what_was_done(
    simulated_hub: SimulatedHub,
) -> None:
    async with aiohttp.ClientSession() as session:
        hub = VegeHub(simulated_hub.address, session=session)
        meet(simulated_hub, STATUS, lambda f: f.latency(0.1))
        call = asyncio.create_task(fails(hub.turn_on(0, 60, confirm=True)))
        await until(lambda: simulated_hub.requests and simulated_hub.requests[-1].path == STATUS)
        await session.close()
        error = await call
    assert isinstance(error, (VegeHubSessionError, VegeHubConnectionError))
    assert error.outcome is UNKNOWN
