"""Receiving processes, each forked from one that has loaded everything, to be killed at any moment.

Run as a program: commands come as lines of JSON on stdin, answers leave the same way. ``start`` forks a receiver with a
journal and a consumer; its own commands it takes over a Unix socket. Time passes only when the test says so.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import json
import os
import signal
import sqlite3  # noqa: F401 - as aiohttp
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp.web  # noqa: F401 - loaded here, once for all

from vegehub import Journal, UpdateReceiver

if TYPE_CHECKING:
    from vegehub import Update

START = 1_748_779_200.0  # 2025-06-01 12:00 UTC
TOKEN = "a-token-of-the-model"


class Clock:
    """Wall clock and monotonic clock in one, which passes when it is told to."""

    def __init__(self, passed: float) -> None:
        self.passed = passed
        self._sleeping: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = 0

    def wall(self) -> float:
        return START + self.passed

    def monotonic(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        self._number += 1
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleeping, (self.passed + seconds, self._number, woken))
        await woken

    def advance(self, seconds: float) -> None:
        self.passed += seconds
        while self._sleeping and self._sleeping[0][0] <= self.passed:
            woken = heapq.heappop(self._sleeping)[2]
            if not woken.done():
                woken.set_result(None)


class Receiving:
    """One life of a receiver."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.clock = Clock(options["passed"])
        self.consumer: dict[str, Any] = options["consumer"]
        self.events: list[str] = []
        self._calls = os.open(options["calls"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._options = options
        self._ended = asyncio.Event()
        self.journal = Journal(
            options["journal"],
            max_bytes=options["max_bytes"],
            wall_clock=self.clock.wall,
            monotonic=self.clock.monotonic,
            sleep=self.clock.sleep,
        )

    async def live(self, ready: int) -> None:
        receiver = UpdateReceiver(journal=self.journal, token=TOKEN, max_rate=None, wall_clock=self.clock.wall)
        self.journal.on_event(lambda event: self.events.append(event.kind))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._ended.set)
        async with receiver.serve("127.0.0.1", 0):
            control = await asyncio.start_unix_server(self._control, self._options["control"])
            delivering = asyncio.create_task(self.journal.deliver(self._consume))
            os.write(ready, b"%d\n" % (receiver.port or 0))
            os.close(ready)
            await self._ended.wait()
            control.close()
        await self.journal.close()
        await delivering

    async def _consume(self, update: Update) -> None:
        how = self.consumer
        if how.get("slow"):
            await asyncio.sleep(0.001)
        samples = [
            (slot, sample.value, sample.time_text)
            for slot, reading in update.readings.items()
            for sample in reading.samples
        ]
        if how.get("fail", 0) > 0:
            how["fail"] -= 1
            raise RuntimeError("not now")
        if how.get("poison") and any(int(value) % 3 == 0 for _, value, _ in samples):
            raise RuntimeError("never")
        if how.get("die") == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        line = json.dumps({"id": update.delivery_id, "hub": update.hub_key, "samples": samples}) + "\n"
        os.write(self._calls, line.encode())
        if how.get("die") == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while line := await reader.readline():
                command = json.loads(line)
                answer: Any = None
                if command["do"] == "advance":
                    self.clock.advance(command["seconds"])
                elif command["do"] == "consumer":
                    self.consumer = command["consumer"]
                elif command["do"] == "counts":
                    try:
                        counts = await self.journal.counts()
                        answer = [counts.pending, counts.parked]
                    except OSError:
                        pass
                elif command["do"] == "retry":
                    with suppress(OSError):
                        answer = await self.journal.retry_parked()
                elif command["do"] == "events":
                    answer = self.events
                writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()


def start(options: dict[str, Any]) -> dict[str, Any]:
    """Fork a receiving process, and return its process id and port."""
    ready, child_ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ready)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(os.open(options["errors"], os.O_WRONLY | os.O_APPEND | os.O_CREAT), 2)
        code = 1
        try:
            asyncio.run(_live(options, child_ready))
            code = 0
        finally:
            os._exit(code)
    os.close(child_ready)
    with os.fdopen(ready) as port:
        return {"pid": pid, "port": int(port.readline() or 0)}


async def _live(options: dict[str, Any], ready: int) -> None:
    await Receiving(options).live(ready)


def wait(pid: int) -> int:
    """Wait for a forked process to end; return how it ended."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def fill(folder: str) -> None:
    """Fill the disk to its last byte."""
    with suppress(OSError), Path(folder, "filler").open("ab", buffering=0) as filler:
        for size in (65536, 4096, 512, 1):
            with suppress(OSError):
                while True:
                    filler.write(b"\0" * size)


def free(folder: str) -> None:
    """Give the disk its room back."""
    Path(folder, "filler").unlink(missing_ok=True)


def clean(folder: str) -> None:
    """Remove all that stands on the disk."""
    for file in Path(folder).iterdir():
        file.unlink()


def main() -> None:
    """Obey until stdin ends."""
    gc.freeze()  # what stands still is not copied for each process
    commands = {"start": start, "wait": wait, "fill": fill, "free": free, "clean": clean}
    for line in sys.stdin:
        command, argument = json.loads(line)
        sys.stdout.write(json.dumps(commands[command](argument)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
