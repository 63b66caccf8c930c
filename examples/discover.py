"""Print hubs as they announce themselves on this network.

usage: python examples/discover.py SECONDS [INTERFACE ...]

An INTERFACE is an address of this machine; without one, all of them are used. Hubs that sleep stay silent: wake one
with its button.
"""

from __future__ import annotations

import asyncio
import sys

from vegehub import NOTHING_FOUND, HubBrowser, VegeHubError


async def listen(seconds: float, interfaces: list[str] | None) -> bool:
    """Print what hubs announce for so long; say whether there was any."""
    found = False
    async with HubBrowser(interfaces=interfaces) as browser:
        try:
            async with asyncio.timeout(seconds):
                async for event in browser:
                    found = True
                    hub = event.hub  # anybody on the network can announce anything: the texts in it have been cleaned
                    print(
                        f"{event.kind}: {hub.name} at {hub.address}, firmware {hub.firmware or 'not told'}, "
                        f"inputs {hub.num_sensors}, actuators {hub.num_actuators}",
                        flush=True,
                    )
        except TimeoutError:
            pass
    return found


if __name__ == "__main__":
    if not sys.argv[1:]:
        raise SystemExit(__doc__)
    try:
        if not asyncio.run(listen(float(sys.argv[1]), sys.argv[2:] or None)):
            raise SystemExit(f"No hub announced itself. {NOTHING_FOUND}")
    except VegeHubError as err:
        raise SystemExit(str(err)) from None
    except KeyboardInterrupt:
        pass
