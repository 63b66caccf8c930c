"""OFF goes first: after the request that is under way comes its proof, then OFF, however many callers wait."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from faults.scripted import INFO, READINGS, SET, STATUS
from raw_hub import until

from vegehub import Outcome, PendingQueue, VegeHub, VegeHubTimeoutError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from vegehub.simulator import SimulatedHub

READERS = 12
LATENCY = 0.05


@asynccontextmanager
async def readers(simulated: SimulatedHub, count: int = READERS, timeout: float = 30) -> AsyncIterator[None]:
    """Have others poll the hub without a pause, one object each; a queue of them waits at any time."""

    async def poll() -> None:
        async with VegeHub(simulated.address, timeout=timeout) as hub:
            while True:
                await hub.get_readings()

    tasks = [asyncio.create_task(poll()) for _ in range(count)]
    try:
        await until(lambda: len(simulated.requests) > 3)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def leave_watering(hub: VegeHub, begin: Callable[[], None]) -> None:
    async with hub.watering(0, 60):
        hub.ip_address = hub.ip_address  # voids the proof
        begin()


async def send_queued(hub: VegeHub, begin: Callable[[], None]) -> None:
    async with PendingQueue(hub, send_delay=0) as queue:
        queue.notify_awake()
        begin()
        await queue.turn_off(0)


def called(call: Callable[[VegeHub], Awaitable[Any]]) -> Callable[[VegeHub, Callable[[], None]], Awaitable[None]]:
    async def begin_and_call(hub: VegeHub, begin: Callable[[], None]) -> None:
        begin()
        await call(hub)

    return begin_and_call


OFFS: dict[str, tuple[list[str], Callable[[VegeHub, Callable[[], None]], Awaitable[None]]]] = {
    "turn_off": ([INFO, SET], called(lambda hub: hub.turn_off(0))),
    "turn_off held": ([INFO, SET], called(lambda hub: hub.turn_off(0, 60))),
    "set_actuator": ([SET], called(lambda hub: hub.set_actuator(0, 0, 0))),
    "set_actuator with retries": ([SET], called(lambda hub: hub.set_actuator(0, 0, 0, retries=3))),
    "watering": ([INFO, SET], leave_watering),
    "queue": ([INFO, SET], send_queued),
}


@pytest.mark.parametrize("off", OFFS)
async def test_off_stands_before_all_readers_that_wait(simulated_hub: SimulatedHub, off: str) -> None:
    expected, call = OFFS[off]
    simulated_hub.faults.latency(LATENCY)
    async with VegeHub(simulated_hub.address, simulated_hub.mac, timeout=30) as hub, readers(simulated_hub):
        for _ in range(3):
            hub.ip_address = hub.ip_address  # voids the proof
            begun: list[int] = []
            await call(hub, lambda begun=begun: begun.append(len(simulated_hub.requests)))
            after = [record.path for record in simulated_hub.requests[begun[0] :]]
            # One of them may have been on its way to the hub already.
            assert after[: len(expected)] == expected or after[: len(expected) + 1] == [READINGS, *expected]


async def test_a_slot_that_has_to_be_looked_up_costs_off_no_place(simulated_hub: SimulatedHub) -> None:
    simulated_hub.faults.latency(LATENCY)
    known = {"num_actuators": 1}
    async with (
        VegeHub(simulated_hub.address, simulated_hub.mac, info=known, timeout=30) as hub,
        readers(simulated_hub),
    ):
        begun = len(simulated_hub.requests)
        await hub.turn_off(1)
        paths = [record.path for record in simulated_hub.requests[begun:]]
    # Between two requests of one call at most one of those that wait gets in.
    assert paths.index(SET) <= 5
    assert [path for path in paths[: paths.index(SET) + 1] if path != READINGS] == [INFO, INFO, SET]


async def test_offs_keep_their_order_among_each_other(simulated_hub: SimulatedHub) -> None:
    simulated_hub.faults.latency(LATENCY)
    async with VegeHub(simulated_hub.address, timeout=30) as hub, readers(simulated_hub):
        ons = [asyncio.create_task(hub.set_actuator(1, 0, seconds)) for seconds in (91, 92)]
        offs = [asyncio.create_task(hub.set_actuator(0, slot, seconds)) for seconds in (1, 2, 3) for slot in (0, 1)]
        await asyncio.gather(*offs, *ons)
    sent = [record.body for record in simulated_hub.requests if record.path == SET]
    assert [(body["duration"], body["target"]) for body in sent] == [
        *((seconds, slot) for seconds in (1, 2, 3) for slot in (0, 1)),
        (91, 0),
        (92, 0),
    ]


async def test_an_off_that_is_cancelled_or_gives_up_holds_up_nobody(simulated_hub: SimulatedHub) -> None:
    simulated_hub.faults.latency(0.4, times=1, path=STATUS)
    async with VegeHub(simulated_hub.address) as hub, VegeHub(simulated_hub.address, timeout=0.1) as impatient:
        busy = asyncio.create_task(hub.get_actuators())
        await until(lambda: simulated_hub.requests)
        cancelled = asyncio.create_task(hub.set_actuator(0, 0, 0))
        reading = asyncio.create_task(hub.get_readings())
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(VegeHubTimeoutError, match="busy") as caught:
            await impatient.turn_off(0)
        assert caught.value.outcome is Outcome.NOT_SENT
        await busy
        await reading
    assert [record.path for record in simulated_hub.requests] == [STATUS, READINGS]


@pytest.mark.parametrize("is_proved", [True, False])
async def test_the_off_of_watering_waits_for_as_long_as_it_is_insisted_on(
    simulated_hub: SimulatedHub, caplog: pytest.LogCaptureFixture, is_proved: bool
) -> None:
    """Its turn comes only after several of its own deadlines: it keeps its place, and nothing has failed."""
    expected = [SET] if is_proved else [INFO, SET]
    async with (
        VegeHub(simulated_hub.address, simulated_hub.mac, timeout=0.2) as hub,
        VegeHub(simulated_hub.address) as other,
    ):
        async with hub.watering(0, 60):
            if not is_proved:
                hub.ip_address = hub.ip_address
            simulated_hub.faults.latency(1, times=1, path=STATUS)
            others = [asyncio.create_task(other.get_actuators())]
            await until(lambda: simulated_hub.requests[-1].path == STATUS)
            others += [asyncio.create_task(other.get_readings()) for _ in range(READERS)]
            await asyncio.sleep(0)
        await asyncio.gather(*others)
    paths = [record.path for record in simulated_hub.requests]
    assert paths[paths.index(STATUS) + 1 :] == [*expected, *[READINGS] * READERS]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
