"""Find many hubs and read all of them over one session; those that sleep do not hold up the others.

usage: python examples/fleet.py HUBS [INTERFACE ...]

HUBS is how many there are: the search ends when so many were found. An INTERFACE is an address of this machine.
"""

from __future__ import annotations

import asyncio
import sys

from vegehub import HubManager, VegeHub, VegeHubError

SEARCH = 60.0
"""Seconds for which hubs are looked for, at most."""
WIDTH = 30


def show(done: int, total: int) -> None:
    """Draw a bar that grows in place on a terminal; elsewhere, in a log for instance, print a line for each hub."""
    if sys.stderr.isatty():
        filled = WIDTH * done // total
        end = "\n" if done == total else ""
        print(f"\r[{'#' * filled}{'.' * (WIDTH - filled)}] {done}/{total}", end=end, file=sys.stderr, flush=True)
    else:
        print(f"{done} of {total} done", file=sys.stderr, flush=True)


async def read(hub: VegeHub) -> str:
    """Return the newest reading of each slot as text."""
    readings = await hub.get_readings()
    return ", ".join(f"slot {each.slot}: {each.latest.value:.2f} V" for each in readings if each.latest is not None)


async def main(count: int, interfaces: list[str] | None) -> int:
    """Print the readings of all hubs; return how many could not be read."""
    failed = 0
    async with HubManager(interfaces=interfaces) as manager:
        await manager.discover(SEARCH, expect=count)
        results = await manager.run(read, show)
        for key, result in results.items():
            record = manager.get(key)
            name = key if record is None else record.name or key
            if isinstance(result, Exception):
                failed += 1
                print(f"{name}: {result}")
            else:
                print(f"{name}: {result}")
    return failed


if __name__ == "__main__":
    if not sys.argv[1:]:
        raise SystemExit(__doc__)
    try:
        sys.exit(1 if asyncio.run(main(int(sys.argv[1]), sys.argv[2:] or None)) else 0)
    except VegeHubError as err:
        raise SystemExit(str(err)) from None
    except KeyboardInterrupt:
        raise SystemExit("stopped") from None
