"""A server that answers bytes as they are given: for what no hub, real or simulated, would send."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from vegehub.simulator import SimulatedHub, Simulation

OK = b'{"error":"success"}'


def reply(body: bytes = OK, *, status: str = "200 OK", headers: str = "Content-Type: application/json\r\n") -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def until(condition: Callable[[], object]) -> None:
    """Wait for what must come; the test's own timeout ends it if it never does."""
    while not condition():  # noqa: ASYNC110 - what is waited for belongs to the code under test and sets no event
        await asyncio.sleep(0.01)


async def turn_the_loop(times: int = 10) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def drain(simulation: Simulation, hubs: Iterable[SimulatedHub]) -> None:
    """Have the hubs send until none has a sample left: while one of them sends, others take new ones."""
    while waiting := [hub for hub in hubs if hub.backlog]:
        for hub in waiting:
            hub.send_update()
        await simulation.advance(60)


def without_slowness(errors: str) -> str:
    """Leave out what asyncio's debug mode says of slow steps: it speaks of the machine, not of the program."""
    lines = errors.splitlines(keepends=True)
    return "".join(line for line in lines if not (line.startswith("Executing <") and line.endswith(" seconds\n")))


class RawHub:
    """Counts connections, requests and how many of them are being answered at once."""

    def __init__(self, answer: Callable[[RawHub, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self._answer = answer
        self.address = ""
        self.connections = 0
        self.requests: list[bytes] = []
        self.running = 0
        self.most_at_once = 0
        self.arrived = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head.lower())
                body = await reader.readexactly(int(length[1])) if length else b""
                self.requests.append(head + body)
                self.arrived.set()
                self.running += 1
                self.most_at_once = max(self.most_at_once, self.running)
                try:
                    await self._answer(self, writer)
                    await writer.drain()
                finally:
                    self.running -= 1
        except (OSError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            pass  # the server of Python 3.11 takes a cancelled handler for a failed one
        finally:
            writer.close()


@asynccontextmanager
async def raw_hub(
    answer: bytes | Callable[[RawHub, asyncio.StreamWriter], Awaitable[None]], host: str = "127.0.0.1"
) -> AsyncIterator[RawHub]:
    """Serve ``answer``, the bytes of a reply or a function that writes one, until the block ends."""
    if isinstance(answer, bytes):
        data = answer

        async def write(_hub: RawHub, writer: asyncio.StreamWriter) -> None:
            writer.write(data)

        hub = RawHub(write)
    else:
        hub = RawHub(answer)
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await hub.serve(reader, writer)
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(handle, host, 0)
    port = server.sockets[0].getsockname()[1]
    hub.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        yield hub
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tuple(tasks))
        await asyncio.sleep(0)
