"""Each example does what it says, as a process of its own, without a warning or a leak."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import aiohttp
import pytest
from programs import ROOT, STRICT, until, without_access_log

from vegehub.simulator import SimulatedHub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from programs import Finished, Programs

EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
AWAY = "127.0.0.1:9"
"""Nobody listens there: the discard service is long gone."""


@pytest.fixture
async def hubs() -> AsyncIterator[list[SimulatedHub]]:
    """Three hubs that follow real time, as programs do."""
    profiles = ("gen2-endpoints", "gen2-5.1-battery", "sprinkler-ac")
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(SimulatedHub(profile=profile, seed=seed, realtime=True))
            for seed, profile in enumerate(profiles)
        ]


def example(name: str) -> str:
    return str(ROOT / "examples" / name)


def went_well(finished: Finished) -> list[str]:
    assert finished.err == ""
    assert finished.code == 0
    return finished.lines()


def no_connection_left(hubs: list[SimulatedHub]) -> Callable[[], object]:
    async def gone() -> bool:
        return not any(hub.open_connections for hub in hubs)

    return gone


async def test_read_hub_prints_identity_readings_and_actuators(hubs: list[SimulatedHub], programs: Programs) -> None:
    hub = hubs[0]
    hub.inputs[0].volts = 1.5
    lines = went_well(await programs.python(example("read_hub.py"), hub.address))
    assert lines[0] == f"{hub.mac}: firmware {hub.profile.firmware}, 4 inputs, 2 actuators"
    assert "slot 1: 1.500 V" in lines
    assert lines[-2:] == ["actuator 0: off", "actuator 1: off"]
    assert hub.connections_accepted == 1


async def test_read_hub_says_in_one_line_why_it_failed(programs: Programs) -> None:
    finished = await programs.python(example("read_hub.py"), AWAY)
    assert finished.code == 1
    assert finished.out == ""
    (line,) = finished.err.splitlines()
    assert line.startswith(f"{AWAY}: ")


async def test_shared_session_reads_all_and_names_the_one_that_fails(
    hubs: list[SimulatedHub], programs: Programs
) -> None:
    addresses = [hub.address for hub in hubs]
    lines = went_well(await programs.python(example("shared_session.py"), *addresses, AWAY))
    assert lines[:-1] == [f"{hub.address}: {hub.mac}, firmware {hub.profile.firmware}" for hub in hubs]
    assert lines[-1] == f"{AWAY}: VegeHubConnectionError, not sent"
    await until(no_connection_left(hubs))


async def test_custom_session_stays_open_until_its_owner_closes_it(
    hubs: list[SimulatedHub], programs: Programs
) -> None:
    lines = went_well(await programs.python(example("custom_session.py"), *(hub.address for hub in hubs)))
    assert lines == [
        f"{hubs[0].address}: 2 actuators",
        f"{hubs[1].address}: {len(hubs[1].actuators)} actuators",
        f"{hubs[2].address}: 4 actuators",
        "session open: True",
        "session closed by its owner: True",
    ]


async def test_water_safely_opens_and_closes(hubs: list[SimulatedHub], programs: Programs) -> None:
    lines = went_well(await programs.python(example("water_safely.py"), hubs[0].address, "1", "0.1"))
    assert lines == ["open", "closed"]
    commands = hubs[0].actuators[1].commands
    assert (commands[0].state, commands[0].duration) == (1, 10.1)
    assert [command.state for command in commands[1:]] == [0, 0]
    assert hubs[0].actuators[0].commands == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_water_safely_closes_the_valve_when_it_is_stopped(
    hubs: list[SimulatedHub], programs: Programs, number: signal.Signals
) -> None:
    valve = hubs[0].actuators[0]
    command = (sys.executable, *STRICT, "-u", example("water_safely.py"), hubs[0].address, "0", "600")
    process = await programs.start(*command)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"open\n"
    process.send_signal(number)
    finished = await programs.finish(process)
    assert finished.err == "stopped; the valve is closed, unless an error above says otherwise\n"
    assert finished.code == 1
    assert [command.state for command in valve.commands] == [1, 0]


async def test_web_app_serves_all_hubs_over_one_session(hubs: list[SimulatedHub], programs: Programs) -> None:
    hub = hubs[0]
    hub.inputs[1].volts = 2.5
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await programs.start(sys.executable, *STRICT, example("web_app.py"), str(port), hub.address, AWAY)
    base = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session:

        async def answers() -> bool:
            assert process.returncode is None
            try:
                async with session.get(f"{base}/hubs") as response:
                    return await response.json() == [hub.address, AWAY]
            except aiohttp.ClientConnectionError:
                return False

        await until(answers)

        async def read(number: int) -> tuple[int, dict[str, float]]:
            async with session.get(f"{base}/hubs/{number}") as response:
                return response.status, await response.json() if response.status != 404 else {}

        replies = await asyncio.gather(*(read(0) for _ in range(20)))
        assert all(status == 200 and readings["2"] == 2.5 for status, readings in replies)
        assert hub.connections_accepted == 1
        assert (await read(1))[0] == 502
        assert (await read(2))[0] == 404
    process.send_signal(signal.SIGINT)
    finished = await programs.finish(process)
    assert without_access_log(finished.err) == ""
    assert finished.code in (0, -signal.SIGINT)
    await until(no_connection_left(hubs))


async def test_home_assistant_style_leaves_the_session_of_its_host_open(
    hubs: list[SimulatedHub], programs: Programs
) -> None:
    lines = went_well(await programs.python(example("home_assistant_style.py"), hubs[0].address))
    assert lines == [f"set up {hubs[0].mac}", "actuator 0: 0", "actuator 1: 0", "session open: True"]


async def test_home_assistant_style_tells_its_host_to_try_again(programs: Programs) -> None:
    finished = await programs.python(example("home_assistant_style.py"), AWAY)
    assert finished.code == 1
    assert finished.err.startswith(f"not ready: {AWAY}: ")


@pytest.mark.parametrize("name", EXAMPLES)
async def test_each_example_explains_itself_when_called_without_arguments(name: str, programs: Programs) -> None:
    finished = await programs.python(example(name))
    assert finished.code == 1
    assert f"usage: python examples/{name}" in finished.err


async def test_the_demonstration_does_the_main_job_and_leaks_nothing(programs: Programs) -> None:
    lines = went_well(await programs.python(str(ROOT / "scripts/demo.py")))
    assert [line[:2] for line in lines if line[:1].isdigit()] == [f"{number}." for number in range(1, 8)]
    assert lines[-1].startswith("Nothing leaked")


def test_every_example_has_a_test() -> None:
    folder = ROOT / "tests/promises"
    texts = "".join(path.read_text(encoding="utf-8") for path in folder.glob("test_examples*.py"))
    assert [name for name in EXAMPLES if f'"{name}"' not in texts] == []
