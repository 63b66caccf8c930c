"""No timer of ours is in the loop while no call is under way, and no reply takes memory beyond the cap."""

from __future__ import annotations

import asyncio
import errno
import os
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aioresponses import aioresponses
from faults.scripted import INFO, READINGS, SET
from model.tracking import begin
from raw_hub import raw_hub, turn_the_loop, until

from vegehub import (
    HubManager,
    Outcome,
    PendingQueue,
    UpdateReceiver,
    VegeHub,
    VegeHubError,
    VegeHubResponseError,
    VegeHubTimeoutError,
    connect_receiver,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vegehub.simulator import SimulatedHub

URL = "http://127.0.0.1:9/hook"


async def watered(hub: VegeHub) -> None:
    async with hub.watering(0, 60):
        pass


async def queued(hub: VegeHub) -> None:
    async with PendingQueue(hub, send_delay=0) as queue:
        queue.notify_awake()
        await queue.turn_on(0, 60, expires_in=2)


async def connected(hub: VegeHub) -> None:
    receiver = UpdateReceiver()
    async with receiver.serve("127.0.0.1", 0):
        await connect_receiver(hub, receiver, host="127.0.0.1", timeout=0.5)


CALLS: dict[str, Callable[[VegeHub], Awaitable[Any]]] = {
    "retrieve_mac_address": lambda hub: hub.retrieve_mac_address(),
    "setup": lambda hub: hub.setup("", URL),
    "set_actuator": lambda hub: hub.set_actuator(0, 0, 60, retries=1),
    "actuator_states": lambda hub: hub.actuator_states(),
    "request_update": lambda hub: hub.request_update(),
    "get_info": lambda hub: hub.get_info(),
    "get_readings": lambda hub: hub.get_readings(),
    "get_config": lambda hub: hub.get_config(),
    "configure_server": lambda hub: hub.configure_server(URL),
    "set_time": lambda hub: hub.set_time(),
    "turn_on": lambda hub: hub.turn_on(0, 60, confirm=True),
    "turn_off": lambda hub: hub.turn_off(0, confirm=True),
    "diagnostics": lambda hub: hub.diagnostics(),
    "watering": watered,
    "queue": queued,
    "connect_receiver": connected,
}
ENDS: dict[str, Callable[[Any], None] | None] = {
    "well": None,
    "by a status": lambda f: f.status(503),
    "by a reset": lambda f: f.reset_before_headers(),
    "unreached": lambda f: f.refuse(),
    "by its deadline": lambda f: f.never_answer(),
}


class TestTimers:
    @pytest.mark.parametrize("ends", [*ENDS, "cancelled", "behind others"])
    @pytest.mark.parametrize("call", CALLS)
    async def test_none_is_left_when_a_call_has_ended(
        self, simulated_hub: SimulatedHub, monkeypatch: pytest.MonkeyPatch, call: str, ends: str
    ) -> None:
        monkeypatch.setattr("vegehub.hub.watering.INSIST_FOR", 0.3)
        if fault := ENDS.get(ends):
            fault(simulated_hub.faults)
        if ends in ("cancelled", "behind others"):
            simulated_hub.faults.latency(0.05, times=2)
        track = begin()  # what the simulated hub does from here on is not counted
        async with aiohttp.ClientSession() as session:
            hub = VegeHub(simulated_hub.address, session=session, timeout=0.4 if ends == "by its deadline" else 10)
            others = []
            if ends == "behind others":
                others = [asyncio.create_task(hub.get_readings()) for _ in range(2)]
                await asyncio.sleep(0)
            task = asyncio.create_task(CALLS[call](hub))
            if ends == "cancelled":
                await until(lambda: simulated_hub.requests)
                task.cancel()
            await asyncio.wait((task, *others))
            assert task.cancelled() or isinstance(task.exception(), (VegeHubError, type(None)))
            await turn_the_loop()
            assert track.timers_left() == []

    @pytest.mark.parametrize("call", CALLS)
    async def test_none_at_all_is_left_after_close(self, simulated_hub: SimulatedHub, call: str) -> None:
        loop: Any = asyncio.get_running_loop()
        before = {id(handle) for handle in loop._scheduled}
        hub = VegeHub(simulated_hub.address.replace("127.0.0.1", "localhost"), timeout=10)
        await asyncio.wait((asyncio.create_task(CALLS[call](hub)),))
        await hub.close()
        await turn_the_loop()
        assert [handle for handle in loop._scheduled if id(handle) not in before and not handle.cancelled()] == []

    async def test_none_of_a_manager_is_left_after_close(self, simulated_hub: SimulatedHub) -> None:
        track = begin()
        async with HubManager() as manager:
            manager.add(simulated_hub.address, id="shed")
            await manager.run(lambda hub: hub.get_info())
        await turn_the_loop()
        assert track.timers_left() == []


class TestLimitThatEndedTheCall:
    @pytest.mark.parametrize(
        ("own", "timeout", "within"),
        [
            (aiohttp.ClientTimeout(total=0.3), 10, "0.3 s"),
            (aiohttp.ClientTimeout(total=10), 0.25, "0.25 s"),
            (aiohttp.ClientTimeout(total=None, sock_read=0.2), 10, "0.2 s"),
            (aiohttp.ClientTimeout(total=0.35, sock_read=5), 10, "0.35 s"),
        ],
    )
    @pytest.mark.parametrize("path", [READINGS, SET])
    async def test_is_named_where_no_answer_comes(
        self, simulated_hub: SimulatedHub, own: aiohttp.ClientTimeout, timeout: float, within: str, path: str
    ) -> None:
        simulated_hub.faults.never_answer()
        async with aiohttp.ClientSession(timeout=own) as session:
            hub = VegeHub(simulated_hub.address, session=session, timeout=timeout)
            with pytest.raises(VegeHubTimeoutError, match=f"no answer within {within}"):
                await (hub.get_readings() if path == READINGS else hub.set_actuator(1, 0, 60))

    @pytest.mark.parametrize(
        ("own", "timeout", "within"),
        [
            (aiohttp.ClientTimeout(total=10, connect=0.2), 10, "0.2 s"),
            (aiohttp.ClientTimeout(total=10, sock_connect=0.3), 10, "0.3 s"),
            (aiohttp.ClientTimeout(total=0.5), 10, "0.4 s"),
            (aiohttp.ClientTimeout(total=None), 0.25, "0.2 s"),
        ],
    )
    async def test_is_named_where_no_connection_comes(
        self, simulated_hub: SimulatedHub, own: aiohttp.ClientTimeout, timeout: float, within: str
    ) -> None:
        simulated_hub.faults.full_backlog()
        async with aiohttp.ClientSession(timeout=own) as session:
            hub = VegeHub(simulated_hub.address, session=session, timeout=timeout)
            with pytest.raises(VegeHubTimeoutError, match=f"no connection within {within}") as caught:
                await hub.set_actuator(1, 0, 60)
        assert caught.value.outcome is Outcome.NOT_SENT

    async def test_is_the_turn_where_it_did_not_come(self, simulated_hub: SimulatedHub) -> None:
        simulated_hub.faults.never_answer()
        async with VegeHub(simulated_hub.address) as busy, VegeHub(simulated_hub.address, timeout=0.3) as hub:
            reading = asyncio.create_task(busy.get_readings())
            await until(lambda: simulated_hub.requests)
            with pytest.raises(VegeHubTimeoutError, match=r"other calls to this hub kept it busy for 0\.3 s"):
                await hub.get_readings()
            reading.cancel()
            await asyncio.wait((reading,))


KEY = aiohttp.client_reqrep.ConnectionKey("127.0.0.1", 9, False, True, None, None, None)


def unconnected(number: int) -> Exception:
    return aiohttp.ClientConnectorError(KEY, OSError(number, os.strerror(number)))


FLAGS = [
    # what happens, may_be_asleep, unreachable
    (unconnected(errno.EHOSTUNREACH), True, True),
    (unconnected(errno.ENETUNREACH), True, True),
    (unconnected(errno.EHOSTDOWN), True, True),
    (unconnected(errno.ETIMEDOUT), True, True),
    (aiohttp.ConnectionTimeoutError(), True, True),
    (TimeoutError(), True, False),
    (aiohttp.SocketTimeoutError(), True, False),
    (unconnected(errno.ECONNREFUSED), False, True),
    (unconnected(errno.EACCES), False, True),
    (aiohttp.ClientConnectorDNSError(KEY, OSError("x")), False, True),
    (aiohttp.ClientOSError(errno.ECONNRESET, "x"), False, False),
    (aiohttp.ServerDisconnectedError(), False, False),
]


@pytest.mark.parametrize("call", ["get_info", "set_actuator", "turn_on, proof", "connect_receiver"])
@pytest.mark.parametrize(("error", "asleep", "unreachable"), FLAGS, ids=lambda part: type(part).__name__)
async def test_an_error_says_whether_the_hub_may_be_asleep_whatever_tells_it(
    error: Exception, asleep: bool, unreachable: bool, call: str
) -> None:
    receiver = UpdateReceiver()
    calls: dict[str, Callable[[VegeHub], Awaitable[Any]]] = {
        "get_info": lambda hub: hub.get_info(),
        "set_actuator": lambda hub: hub.set_actuator(1, 0, 60),
        "turn_on, proof": lambda hub: hub.turn_on(0, 60),
        "connect_receiver": lambda hub: connect_receiver(hub, receiver, host="127.0.0.1", port=9),
    }
    mac = "7C9EBD112233" if call == "turn_on, proof" else ""
    with aioresponses() as mocked:
        for path in (INFO, SET):
            mocked.post(f"http://127.0.0.1:9{path}", exception=error, repeat=True)
        async with VegeHub("127.0.0.1:9", mac) as hub:
            with pytest.raises(VegeHubError) as caught:
                await calls[call](hub)
    assert (caught.value.may_be_asleep, caught.value.unreachable) == (asleep, unreachable)


class TestWhateverTheSessionIs:
    async def test_a_reply_that_unpacks_to_more_than_the_cap_takes_no_more_memory(self) -> None:
        """200 MiB in 200 kB; the cap is 1 MiB."""
        packer = zlib.compressobj(9, wbits=31)
        packed = b"".join(packer.compress(bytes(2**20)) for _ in range(200)) + packer.flush()
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
        async with raw_hub(head + packed) as raw, VegeHub(raw.address) as hub:
            tracemalloc.start()
            try:
                with pytest.raises(VegeHubResponseError, match="longer than 1048576 bytes"):
                    await hub.get_info()
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert peak < 32 * 2**20

    @pytest.mark.parametrize("base_url", ["http://127.0.0.1:9/", "http://127.0.0.1:9/api/"])
    async def test_one_with_a_base_url_reaches_the_hub(self, simulated_hub: SimulatedHub, base_url: str) -> None:
        async with aiohttp.ClientSession(base_url=base_url) as session:
            hub = VegeHub(simulated_hub.address, session=session)
            assert await hub.request_update()
            assert await hub.get_info()
