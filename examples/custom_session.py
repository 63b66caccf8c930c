"""Use a session of your own, with your own limits, timeout and headers; the library leaves all of them as they are.

usage: python examples/custom_session.py ADDRESS [ADDRESS ...]
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp

from vegehub import VegeHub, VegeHubError


async def read_all(addresses: list[str]) -> None:
    """Print how many hubs answered, and that the session is still open when the hubs are closed."""
    session = aiohttp.ClientSession(
        # A hub gets one call at a time whatever stands here. A limit for all hosts together counts the connections
        # to sleeping hubs as well, so leave room for those.
        connector=aiohttp.TCPConnector(limit=20, limit_per_host=2),
        # Of this timeout and the one of the hub object the earlier ends the call.
        timeout=aiohttp.ClientTimeout(total=8),
        headers={"User-Agent": "irrigation-report/1.0"},
    )
    async with session:
        hubs = [VegeHub(address, session=session, timeout=5) for address in addresses]
        results = await asyncio.gather(*(hub.get_actuators() for hub in hubs), return_exceptions=True)
        for hub, result in zip(hubs, results, strict=True):
            if isinstance(result, VegeHubError):
                print(f"{hub.ip_address}: {result}")
            elif isinstance(result, BaseException):
                raise result
            else:
                print(f"{hub.ip_address}: {len(result)} actuators")
            await hub.close()  # closes nothing: the session was given, so it stays open
        print(f"session open: {not session.closed}")
    print(f"session closed by its owner: {session.closed}")


if __name__ == "__main__":
    if not sys.argv[1:]:
        raise SystemExit(__doc__)
    asyncio.run(read_all(sys.argv[1:]))
