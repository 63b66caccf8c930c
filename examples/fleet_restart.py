"""Keep a list of hubs in a file; after a restart they are found again, also at new addresses.

usage: python examples/fleet_restart.py FILE HUBS [INTERFACE ...]

Run it twice. HUBS is how many there are: the search ends when so many were found. An INTERFACE is an address of this
machine.
"""

from __future__ import annotations

import asyncio
import sys

from vegehub import HubManager, ManagerEvent, Registry, VegeHubError

SEARCH = 60.0
"""Seconds for which hubs are looked for, at most."""


async def load(path: str) -> Registry:
    """Return what was saved; nothing the first time. A broken file is an error: it is neither used nor replaced."""
    try:
        return await Registry.async_load(path)
    except FileNotFoundError:
        return Registry()


def added(event: ManagerEvent) -> None:
    """Say which hub is new."""
    print(f"{event.record.id} is new, at {event.record.address}")


def moved(event: ManagerEvent) -> None:
    """Say which hub moved; the id of its record stays, and with it whatever you know it by."""
    print(f"{event.record.id} moved from {event.detail} to {event.record.address}")


async def main(path: str, count: int, interfaces: list[str] | None) -> None:
    """Load, find, ask and save."""
    registry = await load(path)
    print(f"{len(registry)} hubs known")
    async with HubManager(registry=registry, interfaces=interfaces) as manager:
        manager.on("added", added)
        manager.on("moved", moved)
        await manager.discover(SEARCH, expect=count)
        for key, info in (await manager.run(lambda hub: hub.get_info())).items():
            print(f"{key}: {info if isinstance(info, Exception) else f'firmware {info.firmware}'}")
        await manager.save(path)


if __name__ == "__main__":
    if len(sys.argv) < 3:  # noqa: PLR2004 - the program, a file and a number
        raise SystemExit(__doc__)
    try:
        asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:] or None))
    except (VegeHubError, OSError) as err:
        raise SystemExit(str(err)) from None
    except KeyboardInterrupt:
        raise SystemExit("stopped") from None
