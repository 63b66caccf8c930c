"""Simulated hubs in a process of their own, for rows in which the behaviour of a hub matters."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from vegehub.simulator import SimulatedHub, Simulation, mdns

from . import pipe


class _Hubs:
    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._hubs: list[SimulatedHub] = []

    async def open(self, faults: dict[str, list[Any]] | None = None, count: int = 1) -> list[str]:
        """Start hubs in real time, with faults for good, and return their addresses; those before are stopped."""
        await self._stack.aclose()
        simulation = await self._stack.enter_async_context(Simulation(realtime=True))
        self._hubs = [await simulation.add_hub() for _ in range(count)]
        for hub in self._hubs:
            for name, values in (faults or {}).items():
                getattr(hub.faults, name)(*values)
        return [hub.address for hub in self._hubs]

    async def accepted(self) -> int:
        """Return the number of connections that the hubs have accepted."""
        return sum(hub.connections_accepted for hub in self._hubs)

    async def announce(self, count: int, service_type: str) -> None:
        """Announce hubs by mDNS on the loopback interface, under a service type that nothing else uses."""
        await self._stack.aclose()
        mdns.SERVICE_TYPE = service_type
        announcer = await self._stack.enter_async_context(mdns.HubAnnouncer())
        txt = mdns.hub_txt(version="5.1.1", sensors=4, actuators=2)
        for number in range(1, count + 1):
            await announcer.announce(f"Vege_{number}", f"127.0.8.{number}", 80, txt, probe=False)

    async def close(self) -> None:
        """Stop them all."""
        await self._stack.aclose()


def main() -> None:
    """Serve until the pipe is closed."""
    hubs = _Hubs()
    asyncio.run(
        pipe.serve({"open": hubs.open, "accepted": hubs.accepted, "announce": hubs.announce, "close": hubs.close})
    )
