"""No timer of ours is left in the loop after a call on a given session, nor after `close()`.

Home Assistant's tests fail at one: it fires into whatever runs next.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from raw_hub import until

from vegehub import HubManager, PendingQueue, UpdateReceiver, VegeHub, VegeHubError, connect_receiver

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vegehub.simulator import SimulatedHub


def timers() -> set[asyncio.TimerHandle]:
    """The timers of the loop that would still fire."""
    return {timer for timer in asyncio.get_running_loop()._scheduled if not timer.cancelled()}


async def water(hub: VegeHub) -> None:
    async with hub.watering(slot=0, duration=60):
        pass


async def two_at_once(hub: VegeHub) -> None:
    # To the end of both: none is under way any more.
    await asyncio.gather(hub.turn_off(0), hub.turn_off(0), return_exceptions=True)


CALLS: dict[str, Callable[[VegeHub], Awaitable[Any]]] = {
    "retrieve_mac_address": lambda hub: hub.retrieve_mac_address(),
    "setup": lambda hub: hub.setup("", "http://127.0.0.1:9/hook"),
    "set_actuator": lambda hub: hub.set_actuator(0, 0, 60, retries=1),
    "actuator_states": lambda hub: hub.actuator_states(),
    "turn_on": lambda hub: hub.turn_on(0, 60, confirm=True),
    "two at once": two_at_once,
    "diagnostics": lambda hub: hub.diagnostics(),
    "watering": water,
}
FAULTS: dict[str, Callable[[Any], None]] = {
    "well": lambda _: None,
    "answered 500": lambda faults: faults.status(500, times=1),
    "reply lost": lambda faults: faults.drop_reply(times=1),
    "never answered": lambda faults: faults.never_answer(times=1),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS)
async def test_none_is_left_by_a_call_on_a_given_session(simulated_hub: SimulatedHub, call: str, fault: str) -> None:
    before = timers()
    async with aiohttp.ClientSession() as session:
        hub = VegeHub(simulated_hub.address, session=session, timeout=0.5)
        FAULTS[fault](simulated_hub.faults)
        with suppress(VegeHubError):
            await CALLS[call](hub)
        # Those of the connections end with the session; ours would not.
        await session.close()
        assert timers() <= before


async def test_none_is_left_by_a_call_that_was_cancelled(simulated_hub: SimulatedHub) -> None:
    before = timers()
    simulated_hub.faults.never_answer()
    async with aiohttp.ClientSession() as session:
        hub = VegeHub(simulated_hub.address, session=session)
        call = asyncio.create_task(hub.get_info())
        await until(lambda: simulated_hub.requests)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await session.close()
        assert timers() <= before


@pytest.mark.parametrize("call", CALLS)
async def test_none_is_left_by_a_hub_that_was_closed(simulated_hub: SimulatedHub, call: str) -> None:
    before = timers()
    hub = VegeHub(simulated_hub.address)
    await CALLS[call](hub)
    await hub.close()
    assert timers() <= before


async def test_none_is_left_by_a_manager_a_queue_and_a_receiver_that_were_closed(simulated_hub: SimulatedHub) -> None:
    before = timers()
    async with HubManager() as manager:
        manager.add(simulated_hub.address, id="shed")
        await manager.run(lambda hub: hub.get_info())
    async with aiohttp.ClientSession() as session:
        hub = VegeHub(simulated_hub.address, session=session)
        async with PendingQueue(hub) as queue:
            off = queue.turn_off(0)
            queue.notify_awake()
            await off
        async with UpdateReceiver().serve("127.0.0.1", 0) as receiver:
            connection = await connect_receiver(hub, receiver)
            await connection.undo()
    assert timers() <= before
