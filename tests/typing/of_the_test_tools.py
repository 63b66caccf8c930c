"""What type checkers say of the simulated hub and of the leak guard; checked, never run."""

from __future__ import annotations

import asyncio
from typing import Any, assert_type

from vegehub.cli import main as command_line
from vegehub.simulator import (
    PROFILES,
    Actuator,
    Command,
    Faults,
    Input,
    PowerState,
    Profile,
    Recording,
    RequestRecord,
    SimulatedHub,
    Simulation,
)
from vegehub.testing import Leak, LeakError, LeakGuard


async def simulated() -> None:
    async with SimulatedHub("sprinkler-ac", "127.0.0.1", 0, 7, serves_http=True) as hub:
        assert_type(hub, SimulatedHub)
        assert_type(hub.address, str)
        assert_type(hub.port, int)
        assert_type(hub.profile, Profile)
        assert_type(hub.faults, Faults)
        assert_type(hub.requests, list[RequestRecord])
        assert_type(hub.inputs, list[Input])
        assert_type(hub.actuators, list[Actuator])
        assert_type(hub.actuators[0].commands, list[Command])
        assert_type(hub.state, PowerState)
        assert_type(hub.config, dict[str, Any])
        hub.inputs[0].volts = 1.2
        hub.faults.drop_reply(after_execution=True, times=1)
        hub.sleep()
        hub.wake()
        await hub.advance(60)
        await hub.reboot("open")

        hub.inputs[0].volts = "1.2"  # type: ignore[assignment]
        hub.advance(60)  # type: ignore[unused-coroutine]
        hub.faults.no_such_fault()  # type: ignore[attr-defined]
        hub.port = 80  # type: ignore[misc]
        await hub.reboot("ajar")  # type: ignore[arg-type]
    SimulatedHub(3)  # type: ignore[arg-type]
    assert_type(PROFILES["sprinkler-ac"], Profile)


async def simulations() -> None:
    async with Simulation(seed=1) as simulation:
        assert_type(simulation, Simulation)
        assert_type(await simulation.add_hub(), SimulatedHub)
        assert_type(simulation.hubs, list[SimulatedHub])
        assert_type(await SimulatedHub.from_recording(Recording.load("hub.json")), SimulatedHub)
    with simulation:  # type: ignore[attr-defined]
        pass


async def guarded() -> None:
    async with LeakGuard() as guard:
        assert_type(guard, LeakGuard)
    assert_type(guard.leaks, tuple[Leak, ...])
    assert_type(guard.report(), str)
    with LeakGuard() as whole:
        assert_type(whole, LeakGuard)
    error: AssertionError = LeakError(guard.leaks)
    assert_type(LeakError(guard.leaks).leaks, tuple[Leak, ...])
    del error
    LeakGuard(0)  # type: ignore[call-arg]


def from_the_command_line() -> None:
    assert_type(command_line(["info", "192.0.2.57"]), int)
    command_line("info")  # a str is a sequence of str
    command_line(["info", 57])  # type: ignore[list-item]
    asyncio.run(guarded())
