"""Watering is fail-safe: whenever ON may have arrived, the last command that the hub got is OFF."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from raw_hub import until, without_slowness

from vegehub import (
    Outcome,
    VegeHub,
    VegeHubConnectionError,
    VegeHubMismatchError,
    VegeHubResponseError,
    VegeHubTimeoutError,
    VegeHubValueError,
)

if TYPE_CHECKING:
    from vegehub.simulator import SimulatedHub

SET = "/api/actuators/set"


def states(simulated: SimulatedHub, slot: int = 0) -> list[int]:
    return [command.state for command in simulated.actuators[slot].commands]


@pytest.fixture
def insist_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up a failing OFF after one second instead of thirty."""
    monkeypatch.setattr("vegehub.hub.watering.INSIST_FOR", 1.0)


async def test_block_opens_and_closes_with_a_finite_duration(simulated_hub: SimulatedHub, hub: VegeHub) -> None:
    async with hub.watering(slot=0, duration=timedelta(minutes=5)):
        assert simulated_hub.actuators[0].is_on
        assert simulated_hub.actuators[0].commands[0].duration == 300
    assert not simulated_hub.actuators[0].is_on
    assert states(simulated_hub) == [1, 0]


async def test_error_in_the_block_closes_and_passes(simulated_hub: SimulatedHub, hub: VegeHub) -> None:
    with pytest.raises(LookupError, match="mine"):
        async with hub.watering(0, 60):
            raise LookupError("mine")
    assert states(simulated_hub) == [1, 0]


async def water(hub: VegeHub) -> None:
    async with hub.watering(0, 60):
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.mark.parametrize("again_after", [None, 0, 1, 3, 10])
async def test_cancelled_after_any_loop_step(simulated_hub: SimulatedHub, again_after: int | None) -> None:
    """Cancel after k = 1..N steps, once, or a second time some steps later, until the block ends by itself."""
    on_arrived = set()
    for steps in range(1, 10_000):
        async with VegeHub(simulated_hub.address) as hub:
            simulated_hub.actuators[0].commands.clear()
            task = asyncio.create_task(water(hub))
            for _ in range(steps):
                await asyncio.sleep(0)
            if task.done():
                break
            task.cancel()
            if again_after is not None:
                for _ in range(again_after):
                    await asyncio.sleep(0)
                task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            commands = states(simulated_hub)
            assert not commands or commands[-1] == 0, f"after {steps} steps"
            on_arrived.add(1 in commands)
        assert not simulated_hub.actuators[0].is_on
    assert on_arrived == {False, True}


async def test_cancelled_while_on_is_in_flight_closes(simulated_hub: SimulatedHub, hub: VegeHub) -> None:
    simulated_hub.faults.never_answer(times=1, path=SET)
    task = asyncio.create_task(water(hub))
    await until(lambda: [request for request in simulated_hub.requests if request.path == SET])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert states(simulated_hub)[-1] == 0


async def test_on_of_unknown_outcome_closes(simulated_hub: SimulatedHub, hub: VegeHub) -> None:
    simulated_hub.faults.drop_reply(after_execution=True, times=1, path=SET)
    with pytest.raises(VegeHubConnectionError) as caught:
        await water(hub)
    assert caught.value.outcome is Outcome.UNKNOWN
    assert states(simulated_hub) == [1, 0]


async def test_on_that_was_rejected_sends_no_off(simulated_hub: SimulatedHub, hub: VegeHub) -> None:
    simulated_hub.faults.status(503, times=1, path=SET)
    with pytest.raises(VegeHubResponseError):
        await water(hub)
    assert len(simulated_hub.requests) == 1


async def test_on_that_was_not_sent_sends_no_off(simulated_hub: SimulatedHub, hub: VegeHub) -> None:
    simulated_hub.faults.refuse()
    with pytest.raises(VegeHubConnectionError) as caught:
        await water(hub)
    assert caught.value.outcome is Outcome.NOT_SENT
    simulated_hub.faults.clear()
    assert simulated_hub.requests == []
    await water(hub)


async def test_proof_that_fails_sends_no_off(simulated_hub: SimulatedHub) -> None:
    simulated_hub.faults.never_answer()
    async with VegeHub(simulated_hub.address, simulated_hub.mac, timeout=0.5) as hub:
        with pytest.raises(VegeHubTimeoutError, match="could not be proved") as caught:
            await water(hub)
    assert caught.value.outcome is Outcome.NOT_SENT
    assert [request.path for request in simulated_hub.requests] == ["/api/info/get"]


async def test_another_hub_at_the_address_gets_no_command(simulated_hub: SimulatedHub) -> None:
    async with VegeHub(simulated_hub.address, "000000000001") as hub:
        with pytest.raises(VegeHubMismatchError):
            await water(hub)
    assert states(simulated_hub) == []


async def test_off_is_repeated_until_the_hub_takes_it(simulated_hub: SimulatedHub, hub: VegeHub) -> None:
    async with hub.watering(0, 60):
        simulated_hub.faults.status(500, times=2, path=SET)
    assert states(simulated_hub) == [1, 0]


@pytest.mark.usefixtures("insist_briefly")
async def test_off_that_fails_is_raised_and_logged_once_with_the_end_of_the_hubs_timer(
    simulated_hub: SimulatedHub, hub: VegeHub, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(VegeHubResponseError):
        async with hub.watering(0, 60):
            simulated_hub.faults.status(500, path=SET)
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "actuator 0 may still be on" in errors[0]
    assert "the hub's own timer ends it at " in errors[0]


@pytest.mark.usefixtures("insist_briefly")
async def test_off_that_fails_is_noted_on_the_error_of_the_block(simulated_hub: SimulatedHub, hub: VegeHub) -> None:
    async def fail() -> None:
        async with hub.watering(0, 60):
            simulated_hub.faults.status(500, path=SET)
            raise LookupError

    with pytest.raises(LookupError) as caught:
        await fail()
    assert "the actuator may still be on" in caught.value.__notes__[0]


async def test_off_is_sent_though_the_caller_closed_the_session_first(simulated_hub: SimulatedHub) -> None:
    session = aiohttp.ClientSession()
    async with VegeHub(simulated_hub.address, session=session).watering(0, 60):
        await session.close()
    assert states(simulated_hub) == [1, 0]


async def test_close_waits_for_off(simulated_hub: SimulatedHub) -> None:
    hub = VegeHub(simulated_hub.address)
    block = hub.watering(0, 60)
    await block.__aenter__()
    simulated_hub.faults.latency(0.1, times=1)
    leaving = asyncio.create_task(block.__aexit__(None, None, None))
    await asyncio.sleep(0)
    await hub.close()
    assert states(simulated_hub) == [1, 0]
    await leaving


async def test_end_of_the_loop_that_cancels_every_task_closes(simulated_hub: SimulatedHub, hub: VegeHub) -> None:
    """As `asyncio.run` does when its main coroutine has ended: OFF, already on its way, is cancelled as well."""
    block = hub.watering(0, 60)
    await block.__aenter__()
    simulated_hub.faults.never_answer(times=1, path=SET)
    leaving = asyncio.create_task(block.__aexit__(None, None, None))
    await until(off_tasks)
    for off in off_tasks():
        off.cancel()
    await leaving
    assert states(simulated_hub)[-1] == 0


def off_tasks() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task.get_name().startswith("vegehub: OFF")]


async def test_one_block_per_slot(simulated_hub: SimulatedHub, hub: VegeHub) -> None:
    async with hub.watering(0, 60), hub.watering(1, 60):
        for other in (hub, VegeHub(simulated_hub.address)):
            with pytest.raises(VegeHubValueError, match="being watered already"):
                await other.watering(0, 60).__aenter__()
    await water(hub)
    assert states(simulated_hub) == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("slot", "duration"),
    [(-1, 60), (True, 60), ("0", 60), (0, 0), (0, 0.5), (0, 14401), (0, float("inf")), (0, None), (0, timedelta(0))],
)
def test_bad_arguments_are_refused_at_once(slot: Any, duration: Any) -> None:
    with pytest.raises(VegeHubValueError):
        VegeHub("127.0.0.1").watering(slot, duration)


SCRIPT = """
import asyncio, signal, sys
from vegehub import VegeHub

async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    async with VegeHub(sys.argv[1]) as hub, hub.watering(0, 60):
        print("open", flush=True)
        await asyncio.sleep(60)

try:
    asyncio.run(main())
except (KeyboardInterrupt, asyncio.CancelledError):
    print("interrupted")
"""


@pytest.mark.parametrize(
    ("number", "presses"), [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 1), (signal.SIGTERM, 2)]
)
async def test_stopped_by_a_signal_closes_the_valve(
    simulated_hub: SimulatedHub, number: signal.Signals, presses: int
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-X", "dev", "-W", "error", "-c", SCRIPT, simulated_hub.address),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"open\n"
    simulated_hub.faults.latency(0.3, path=SET)
    for _ in range(presses):
        before = len(simulated_hub.requests)
        process.send_signal(number)
        if presses > 1:
            await until(lambda: len(simulated_hub.requests) > before or process.returncode is not None)  # noqa: B023 - awaited here
            before += 1
    output, errors = await process.communicate()
    assert states(simulated_hub)[-1] == 0
    assert not simulated_hub.actuators[0].is_on
    assert output == b"interrupted\n"
    # The second Ctrl-C is raised in whatever runs at that moment, which may be a task of aiohttp's own.
    if number is signal.SIGINT and presses > 1:
        assert b"Unclosed" not in errors
    else:
        assert without_slowness(errors.decode()) == ""
