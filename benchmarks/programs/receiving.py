"""A receiver in a process of its own; in a soak it polls hubs besides."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vegehub import Journal, UpdateReceiver

from . import pipe
from .worker import open_sockets

if TYPE_CHECKING:
    from vegehub import Update, VegeHub


class _Receiving:
    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._taken = self._delivered = self._polls = 0

    async def open(self, journal: str | None) -> str:
        """Open a receiver, with a journal in this file if one is named, and return the URL to post to."""
        kept = None
        if journal is not None:
            kept = await self._stack.enter_async_context(Journal(journal))
            self._tasks.append(asyncio.create_task(kept.deliver(self._deliver)))
        receiver = UpdateReceiver(journal=kept, max_rate=None)
        await self._stack.enter_async_context(receiver.serve("127.0.0.1", 0))
        receiver.subscribe(self._take)
        return f"127.0.0.1:{receiver.port}{receiver.path}"

    async def poll(self, addresses: list[str]) -> None:
        """Ask these hubs once a second from now on, over one session."""
        from vegehub.fleet import HubManager  # noqa: PLC0415 - heavy, and needed by the soak alone

        manager = await self._stack.enter_async_context(HubManager())
        for address in addresses:
            manager.add(address)

        async def ask(hub: VegeHub) -> None:
            await hub.get_actuators()
            self._polls += 1

        async def again() -> None:
            while True:
                await manager.run(ask)
                await asyncio.sleep(1)

        self._tasks.append(asyncio.create_task(again()))

    async def state(self) -> dict[str, Any]:
        """Say what has been done, and what is held now."""
        gc.collect()
        return {
            "taken": self._taken,
            "delivered": self._delivered,
            "polls": self._polls,
            "cpu": time.process_time(),
            "rss": resident(),
            "sockets": open_sockets(),
        }

    async def close(self) -> None:
        """End everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    def _take(self, _update: Update) -> None:
        self._taken += 1

    async def _deliver(self, _update: Update) -> None:
        self._delivered += 1


def resident() -> int:
    """Return the bytes of memory in use; where there is no /proc, the most that ever were."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()


def main() -> None:
    """Serve until the pipe is closed."""
    it = _Receiving()
    asyncio.run(pipe.serve({"open": it.open, "poll": it.poll, "state": it.state, "close": it.close}))
