"""Every sample that a hub took stands exactly once in the consumer's file, whatever happens to the receiver meanwhile."""

from __future__ import annotations

import asyncio
import random
import signal
import socket
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest
from programs import ROOT, STRICT
from raw_hub import drain

from vegehub.simulator import Simulation

if TYPE_CHECKING:
    from pathlib import Path

    from programs import Programs

TOKEN = "a-token-for-this-test"
HUBS = 20
DAY = 86_400
STEP = 3600
RESTARTS = {5: signal.SIGTERM, 9: signal.SIGTERM, 12: signal.SIGKILL, 16: signal.SIGINT, 20: signal.SIGTERM}
"""After which hour the receiver ends, and how; it is back an hour later."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


class Recorder:
    """`record_to_sqlite.py` as a process that comes and goes."""

    def __init__(self, programs: Programs, folder: Path) -> None:
        self.database = folder / "samples.db"
        self.port = free_port()
        self._arguments = ("127.0.0.1", str(self.port), TOKEN, str(self.database), str(folder / "journal.db"))
        self._programs = programs
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        script = str(ROOT / "examples" / "record_to_sqlite.py")
        self._process = await self._programs.start(sys.executable, *STRICT, script, *self._arguments)
        assert self._process.stdout is not None
        assert await self._process.stdout.readline() == b"recording on port %d\n" % self.port

    async def stop(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        finished = await self._programs.finish(self._process)
        assert finished.code == (-how if how is signal.SIGKILL else 0), finished.err

    def count(self) -> int:
        with closing(sqlite3.connect(self.database, timeout=30)) as connection:
            count: int = connection.execute("SELECT COUNT(*) FROM samples").fetchone()[0]
            return count

    def rows(self) -> Counter[tuple[str, int, str, float]]:
        with closing(sqlite3.connect(self.database, timeout=30)) as connection:
            return Counter(connection.execute("SELECT hub, slot, time, volts FROM samples").fetchall())


def lock(database: Path, seconds: float) -> None:
    with closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as connection:
        with suppress(sqlite3.OperationalError):
            connection.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)


async def fail_at_random(database: Path, seed: int) -> None:
    """Lock the consumer's database now and then, for longer than it waits: its writes raise."""
    dice = random.Random(seed)
    while True:
        await asyncio.sleep(dice.uniform(2, 5))
        if database.exists():  # noqa: ASYNC240 - a test may look at a file
            # In a thread: a busy loop would hold the lock for far longer, and failures in a row make long pauses.
            await asyncio.to_thread(lock, database, 1.3)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("take_503_as_delivered", [False, True])
async def test_a_day_of_twenty_battery_hubs_with_five_restarts_and_a_consumer_that_fails(
    programs: Programs, tmp_path: Path, take_503_as_delivered: bool
) -> None:
    recorder = Recorder(programs, tmp_path)
    await recorder.start()
    failures = asyncio.create_task(fail_at_random(recorder.database, seed=7))
    async with Simulation(seed=3) as simulation:
        hubs = [
            await simulation.add_hub("gen2-5.1-battery", take_503_as_delivered=take_503_as_delivered)
            for _ in range(HUBS)
        ]
        for hub in hubs:
            hub.point_at(f"http://127.0.0.1:{recorder.port}/{TOKEN}")
        for hour in range(DAY // STEP):
            if how := RESTARTS.get(hour):
                # Ends while hubs are posting, not between two hours.
                ending = asyncio.create_task(recorder.stop(how))
                await simulation.advance(STEP)
                await ending
                await simulation.advance(STEP / 4)
                await recorder.start()
            else:
                await simulation.advance(STEP)
        await drain(simulation, hubs)
        taken = Counter((hub.mac, *sample) for hub in hubs for sample in hub.samples_taken)
        assert sum(hub.samples_dropped for hub in hubs) == 0
    failures.cancel()
    with suppress(asyncio.CancelledError):
        await failures
    assert sum(taken.values()) > HUBS * 5 * (DAY // 600)

    # Pauses after failures in a row may be long. A reader that looks without a rest would keep the writer out.
    for _ in range(400):
        if recorder.count() >= taken.total():
            break
        await asyncio.sleep(0.5)
    await recorder.stop(signal.SIGTERM)
    assert (taken - recorder.rows(), recorder.rows() - taken) == (Counter(), Counter())
    assert set(taken.values()) == {1}
