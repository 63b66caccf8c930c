"""The examples that receive what hubs push, each as a process of its own."""

from __future__ import annotations

import signal
import socket
import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import aiohttp
import pytest
from programs import ROOT, STRICT, until

from vegehub.simulator import SimulatedHub

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator
    from pathlib import Path

    from programs import Programs

TOKEN = "a-token-for-this-test"


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
        return number


@pytest.fixture
async def hub() -> AsyncIterator[SimulatedHub]:
    async with SimulatedHub("gen2-5.1-battery", float_noise=False) as simulated:
        simulated.inputs[0].volts = 1.5
        yield simulated


async def start(programs: Programs, name: str, *arguments: str) -> tuple[asyncio.subprocess.Process, str]:
    """Start an example and return it with the first line that it printed."""
    process = await programs.start(sys.executable, *STRICT, str(ROOT / "examples" / name), *arguments)
    assert process.stdout is not None
    return process, (await process.stdout.readline()).decode()


async def test_listen_prints_each_sample(programs: Programs, hub: SimulatedHub, port: int) -> None:
    process, first = await start(programs, "listen.py", "127.0.0.1", str(port), TOKEN)
    url = first.removeprefix("point hubs at ").strip()
    assert url == f"http://127.0.0.1:{port}/{TOKEN}"
    hub.point_at(url)
    hub.send_update()
    await hub.advance(1)
    assert hub.pushes_delivered == 1
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    assert line == f"{hub.mac} slot 1: 1.500 V at 2025-06-01T00:00:00Z\n"
    process.send_signal(signal.SIGINT)
    assert (await programs.finish(process)).err == ""


async def test_receive_readings_answers_with_the_newest(programs: Programs, hub: SimulatedHub, port: int) -> None:
    process, first = await start(programs, "receive_readings.py", str(port), TOKEN)
    assert first == f"point hubs at port {port}, path /hubs/{TOKEN}\n"
    base = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session:

        async def answers() -> bool:
            assert process.returncode is None
            try:
                async with session.get(f"{base}/latest") as response:
                    return await response.json() == {}
            except aiohttp.ClientConnectionError:
                return False

        await until(answers)
        hub.point_at(f"{base}/hubs/{TOKEN}")
        hub.send_update()
        await hub.advance(1)
        async with session.get(f"{base}/latest") as response:
            latest = await response.json()
    assert latest[hub.mac]["1"] == 1.5
    process.send_signal(signal.SIGINT)
    assert (await programs.finish(process)).err == ""


async def test_record_to_sqlite_keeps_every_sample(
    programs: Programs, hub: SimulatedHub, port: int, tmp_path: Path
) -> None:
    database = tmp_path / "samples.db"
    arguments = ("127.0.0.1", str(port), TOKEN, str(database), str(tmp_path / "journal.db"))
    process, first = await start(programs, "record_to_sqlite.py", *arguments)
    assert first == f"recording on port {port}\n"
    hub.point_at(f"http://127.0.0.1:{port}/{TOKEN}")
    await hub.advance(1800)
    process.send_signal(signal.SIGTERM)
    finished = await programs.finish(process)
    assert (finished.code, finished.err) == (0, "")
    process, _ = await start(programs, "record_to_sqlite.py", *arguments)

    async def all_written() -> bool:
        with closing(sqlite3.connect(database)) as connection:
            return sorted(connection.execute("SELECT slot, time, volts FROM samples")) == sorted(hub.samples_taken)

    await until(all_written)
    process.send_signal(signal.SIGTERM)
    assert (await programs.finish(process)).code == 0


async def test_sleeping_hub_gets_its_command_in_the_next_wake_window(
    programs: Programs, hub: SimulatedHub, port: int
) -> None:
    hub.point_at(f"http://127.0.0.1:{port}/{TOKEN}")
    hub.sleep()
    arguments = (hub.address, "127.0.0.1", str(port), TOKEN, "0", "60")
    process, first = await start(programs, "sleeping_hub.py", *arguments)
    assert first == "waiting for the hub to wake\n"
    assert hub.next_update_at is not None
    await hub.advance(hub.next_update_at)

    async def is_on() -> bool:
        return hub.actuators[0].is_on

    await until(is_on)
    finished = await programs.finish(process)
    assert finished.lines() == ["actuator 0 is on for 60 s"]
    assert (finished.code, finished.err) == (0, "")
    assert [(command.state, command.duration) for command in hub.actuators[0].commands] == [(1, 60)]
