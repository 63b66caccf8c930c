"""Many simulated hubs on one clock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from .clock import make_clock
from .hub import SimulatedHub
from .profiles import DEFAULT_PROFILE, Profile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from types import TracebackType

    from .playback import Recording


class Simulation:
    """Hubs that share a clock and a ``seed``; each gets an index, and with it a MAC and a name of its own.

    On Linux every hub can have an address of its own in 127.0.0.0/8, elsewhere they differ in their ports. ``mdns`` and
    ``interfaces`` are those of ``SimulatedHub``; they hold for every hub that is not told otherwise.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        realtime: bool = False,
        start: float | None = None,
        mdns: bool | None = None,
        interfaces: Sequence[str] | None = None,
    ) -> None:
        self.clock = make_clock(realtime=realtime, start=start)
        self.hubs: list[SimulatedHub] = []
        self._seed = seed
        self._next_index = 0
        self._common: dict[str, Any] = {"clock": self.clock, "mdns": mdns, "interfaces": interfaces}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def add_hub(
        self, profile: str | Profile = DEFAULT_PROFILE, host: str = "127.0.0.1", port: int = 0, **switches: Any
    ) -> SimulatedHub:
        """Start one more hub; OSError if its address cannot be had."""
        options = {**self._common, **switches}
        hub = await self._start(SimulatedHub(profile, host, port, self._seed, index=self._next_index, **options))
        self._next_index += 1
        return hub

    async def add_recorded_hub(
        self, recording: str | PathLike[str] | Recording, host: str = "127.0.0.1", port: int = 0, **switches: Any
    ) -> SimulatedHub:
        """Start a hub that goes on where a recorded one was; RecordingError or OSError if the recording cannot be read."""
        options = {**self._common, **switches}
        return await self._start(await SimulatedHub.from_recording(recording, host, port, **options))

    async def _start(self, hub: SimulatedHub) -> SimulatedHub:
        await hub.start()
        self.hubs.append(hub)
        return hub

    async def announced(self) -> None:
        """Wait until every announcement on its way has been sent."""
        await asyncio.gather(*(hub.announced() for hub in self.hubs))

    async def remove_hub(self, hub: SimulatedHub) -> None:
        """Stop one of the hubs; the others go on."""
        self.hubs.remove(hub)
        await hub.stop()

    async def advance(self, seconds: float) -> None:
        """Move the clock of all hubs on."""
        await self.clock.advance(seconds)

    async def stop(self) -> None:
        """Stop all hubs."""
        hubs, self.hubs = self.hubs, []
        await asyncio.gather(*(hub.stop() for hub in hubs))
