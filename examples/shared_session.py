"""Read several hubs at once over one session; a hub that does not answer does not hold up the others.

usage: python examples/shared_session.py ADDRESS [ADDRESS ...]
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp

from vegehub import HubInfo, VegeHub, VegeHubError


async def read_all(addresses: list[str]) -> dict[str, HubInfo | VegeHubError]:
    """Return what each hub says of itself, or why it could not be asked."""

    async def read(session: aiohttp.ClientSession, address: str) -> HubInfo | VegeHubError:
        try:
            return await VegeHub(address, session=session).get_info()
        except VegeHubError as err:
            return err

    # Who opens the session closes it: the hubs only borrow it, and need no close() of their own.
    async with aiohttp.ClientSession() as session:
        results = await asyncio.gather(*(read(session, address) for address in addresses))
    return dict(zip(addresses, results, strict=True))


if __name__ == "__main__":
    if not sys.argv[1:]:
        raise SystemExit(__doc__)
    for hub_address, result in asyncio.run(read_all(sys.argv[1:])).items():
        if isinstance(result, HubInfo):
            print(f"{hub_address}: {result.mac}, firmware {result.firmware}")
        else:
            print(f"{hub_address}: {type(result).__name__}, {result.outcome.value}")
