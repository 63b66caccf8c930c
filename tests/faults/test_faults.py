"""Each fault of a hub x each call: the right error, what is known of the command, no leak, and the next call works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from vegehub import (
    Outcome,
    VegeHub,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubPayloadError,
    VegeHubResponseError,
    VegeHubTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vegehub.simulator import SimulatedHub

CALLS: dict[str, Callable[[VegeHub], Awaitable[Any]]] = {
    "retrieve_mac_address": lambda hub: hub.retrieve_mac_address(),
    "setup": lambda hub: hub.setup("", "http://127.0.0.1:9/hook"),
    "set_actuator": lambda hub: hub.set_actuator(0, 0, 60),
    "actuator_states": lambda hub: hub.actuator_states(),
    "request_update": lambda hub: hub.request_update(),
    "get_info": lambda hub: hub.get_info(),
    "get_actuators": lambda hub: hub.get_actuators(),
    "get_readings": lambda hub: hub.get_readings(),
    "get_config": lambda hub: hub.get_config(),
    "set_config": lambda hub: hub.set_config({"api_key": "k"}),
    "configure_server": lambda hub: hub.configure_server("http://127.0.0.1:9/hook"),
    "set_time": lambda hub: hub.set_time(),
    "turn_off": lambda hub: hub.turn_off(0),
}
SETS = {"set_actuator", "request_update", "set_config", "set_time", "turn_off"}
"""Calls whose reply may be anything."""


@dataclass(frozen=True)
class Fault:
    apply: Callable[[Any], None]
    error: type[VegeHubError]
    outcome: Outcome
    timeout: float | None = None
    """Deadline of the failing call in seconds where it has to run out."""
    reads_only: bool = False


NOT_SENT, REJECTED, UNKNOWN = Outcome.NOT_SENT, Outcome.REJECTED, Outcome.UNKNOWN
FAULTS = {
    "refused": Fault(lambda f: f.refuse(), VegeHubConnectionError, NOT_SENT),
    "full backlog": Fault(lambda f: f.full_backlog(), VegeHubTimeoutError, NOT_SENT, timeout=0.5),
    "reset before headers": Fault(lambda f: f.reset_before_headers(), VegeHubConnectionError, UNKNOWN),
    "reset in headers": Fault(lambda f: f.reset_in_headers(), VegeHubConnectionError, UNKNOWN),
    "reset in body": Fault(lambda f: f.reset_in_body(), VegeHubConnectionError, UNKNOWN),
    "truncated": Fault(lambda f: f.truncate_body(), VegeHubConnectionError, UNKNOWN),
    "stalled headers": Fault(lambda f: f.stall_headers(), VegeHubTimeoutError, UNKNOWN, timeout=0.5),
    "stalled body": Fault(lambda f: f.stall_body(), VegeHubTimeoutError, UNKNOWN, timeout=0.5),
    "never answers": Fault(lambda f: f.never_answer(), VegeHubTimeoutError, UNKNOWN, timeout=0.5),
    "executed but reply lost": Fault(lambda f: f.drop_reply(after_execution=True), VegeHubConnectionError, UNKNOWN),
    "reply lost": Fault(lambda f: f.drop_reply(after_execution=False), VegeHubConnectionError, UNKNOWN),
    "400": Fault(lambda f: f.status(400), VegeHubResponseError, REJECTED),
    "404": Fault(lambda f: f.status(404), VegeHubResponseError, REJECTED),
    "500": Fault(lambda f: f.status(500), VegeHubResponseError, UNKNOWN),
    "503": Fault(lambda f: f.status(503), VegeHubResponseError, REJECTED),
    "error in a 200": Fault(lambda f: f.error_in_200("busy"), VegeHubResponseError, REJECTED),
    "not JSON": Fault(lambda f: f.not_json(), VegeHubResponseError, UNKNOWN, reads_only=True),
    "null": Fault(lambda f: f.wrong_json(None), VegeHubPayloadError, UNKNOWN, reads_only=True),
    "list": Fault(lambda f: f.wrong_json([]), VegeHubPayloadError, UNKNOWN, reads_only=True),
    "number": Fault(lambda f: f.wrong_json(5), VegeHubPayloadError, UNKNOWN, reads_only=True),
    "text": Fault(lambda f: f.wrong_json("text"), VegeHubPayloadError, UNKNOWN, reads_only=True),
    "oversized": Fault(lambda f: f.oversized_body(2_000_000), VegeHubResponseError, UNKNOWN),
}
HARMLESS: dict[str, Callable[[Any], None]] = {
    "latency": lambda f: f.latency(0.02),
    "headers and body apart": lambda f: f.split_body(0.02),
    "last chunk late": lambda f: f.late_last_chunk(0.02),
    "no Content-Length": lambda f: f.no_content_length(),
    "chunked": lambda f: f.chunked(),
    "HTTP/1.0": lambda f: f.http_1_0(),
    "Connection: close": lambda f: f.connection_close(),
    "closed silently": lambda f: f.close_silently(),
    "closed silently with a reset": lambda f: f.close_silently(reset=True),
    "wrong Content-Type": lambda f: f.content_type("text/plain"),
}


@pytest.mark.parametrize(
    ("name", "call"),
    [(name, call) for name, fault in FAULTS.items() for call in CALLS if not (fault.reads_only and call in SETS)],
)
async def test_fault_is_reported_and_the_next_call_works(simulated_hub: SimulatedHub, name: str, call: str) -> None:
    fault = FAULTS[name]
    async with aiohttp.ClientSession() as session:
        failing = VegeHub(simulated_hub.address, session=session, timeout=fault.timeout or 10)
        healthy = VegeHub(simulated_hub.address, session=session)
        fault.apply(simulated_hub.faults)
        with pytest.raises(fault.error) as caught:
            await CALLS[call](failing)
        # What fails before anything with an effect was sent was not sent: reads, and the reads that a change begins with.
        assert caught.value.outcome is (fault.outcome if call in SETS else NOT_SENT)
        assert caught.value.host == simulated_hub.address
        assert str(caught.value).startswith(f"{simulated_hub.address}: ")
        assert "/api/" in str(caught.value)
        simulated_hub.faults.clear()
        await CALLS[call](healthy)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", HARMLESS)
async def test_harmless_fault_is_not_noticed(simulated_hub: SimulatedHub, name: str, call: str) -> None:
    HARMLESS[name](simulated_hub.faults)
    async with VegeHub(simulated_hub.address) as hub:
        for _ in range(2):
            await CALLS[call](hub)


@pytest.mark.parametrize("call", sorted(SETS))
@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.reads_only])
async def test_set_takes_any_reply(simulated_hub: SimulatedHub, name: str, call: str) -> None:
    FAULTS[name].apply(simulated_hub.faults)
    async with VegeHub(simulated_hub.address) as hub:
        await CALLS[call](hub)


@pytest.mark.parametrize("name", ["stalled headers", "stalled body", "never answers", "full backlog"])
async def test_wifi_reconnect_tells_a_lost_link_from_one_that_was_not_there(
    simulated_hub: SimulatedHub, name: str
) -> None:
    FAULTS[name].apply(simulated_hub.faults)
    async with VegeHub(simulated_hub.address, timeout=0.5) as hub:
        if name == "full backlog":
            with pytest.raises(VegeHubTimeoutError):
                await hub.reconnect_wifi()
        else:
            assert await hub.reconnect_wifi() is Outcome.UNKNOWN
    simulated_hub.faults.clear()
    async with VegeHub(simulated_hub.address) as hub:
        assert await hub.reconnect_wifi() is None


class TestPromisesOfTheSession:
    @pytest.mark.parametrize("fault", ["headers and body apart", "last chunk late"])
    async def test_hundred_commands_need_one_connection(self, simulated_hub: SimulatedHub, fault: str) -> None:
        HARMLESS[fault](simulated_hub.faults)
        async with VegeHub(simulated_hub.address) as hub:
            for _ in range(100):
                await hub.set_actuator(0, 0, 60)
        assert simulated_hub.connections_accepted == 1

    async def test_hub_that_dies_after_the_headers_leaves_no_connection(self, simulated_hub: SimulatedHub) -> None:
        from vegehub.simulator import SimulatedHub as Hub

        simulated_hub.faults.reset_in_body()
        connector = aiohttp.TCPConnector(limit=4)
        async with Hub(host="127.0.0.2") as other, aiohttp.ClientSession(connector=connector) as session:
            dying = VegeHub(simulated_hub.address, session=session)
            healthy = VegeHub(other.address, session=session)
            failed = 0
            for _ in range(100):
                try:
                    await dying.set_actuator(0, 0, 60)
                except VegeHubConnectionError:
                    failed += 1
                await healthy.set_actuator(0, 0, 60)
            assert failed == 100
            assert simulated_hub.open_connections == 0
            assert other.connections_accepted == 1

    @pytest.mark.parametrize("reset", [False, True])
    async def test_hub_that_closes_each_kept_connection_answers_every_call(
        self, simulated_hub: SimulatedHub, reset: bool
    ) -> None:
        simulated_hub.faults.close_silently(reset=reset)
        async with VegeHub(simulated_hub.address) as hub:
            for _ in range(20):
                assert await hub.set_actuator(0, 0, 60)
                assert await hub.request_update()

    async def test_full_backlog_and_silence_are_told_apart(self, simulated_hub: SimulatedHub) -> None:
        outcomes = []
        for fault in (simulated_hub.faults.full_backlog, simulated_hub.faults.never_answer):
            fault()
            async with VegeHub(simulated_hub.address, timeout=0.5) as hub:
                with pytest.raises(TimeoutError) as caught:
                    await hub.set_actuator(1, 0, 60)
            assert isinstance(caught.value, VegeHubTimeoutError)
            outcomes.append(caught.value.outcome)
            simulated_hub.faults.clear()
        assert outcomes == [NOT_SENT, UNKNOWN]

    async def test_lost_reply_on_a_fresh_connection_is_reported_and_not_repeated(
        self, simulated_hub: SimulatedHub, hub: VegeHub
    ) -> None:
        simulated_hub.faults.drop_reply(after_execution=True)
        with pytest.raises(VegeHubConnectionError) as caught:
            await hub.set_actuator(1, 0, 60)
        assert caught.value.outcome is UNKNOWN
        assert len(simulated_hub.actuators[0].commands) == 1

    async def test_lost_reply_on_a_reused_connection_is_executed_twice_at_most(
        self, simulated_hub: SimulatedHub, hub: VegeHub
    ) -> None:
        await hub.request_update()
        simulated_hub.faults.drop_reply(after_execution=True)
        with pytest.raises(VegeHubConnectionError):
            await hub.set_actuator(1, 0, 60)
        assert len(simulated_hub.actuators[0].commands) == 2
