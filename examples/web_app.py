"""A web application whose handlers share one session: GET /hubs lists the hubs, GET /hubs/0 reads the first.

usage: python examples/web_app.py PORT ADDRESS [ADDRESS ...]

It listens on this machine only. The addresses come from the command line and never from a request: whoever may name an
address makes this program fetch it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from vegehub import VegeHub, VegeHubConnectionError, VegeHubTimeoutError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ADDRESSES = web.AppKey("ADDRESSES", list[str])
HUBS = web.AppKey("HUBS", list[VegeHub])


async def open_hubs(app: web.Application) -> AsyncIterator[None]:
    """Keep one session for as long as the application runs, and lend it to every hub."""
    async with aiohttp.ClientSession() as session:
        app[HUBS] = [VegeHub(address, session=session) for address in app[ADDRESSES]]
        yield


async def list_hubs(request: web.Request) -> web.Response:
    """Answer with the addresses, in order."""
    return web.json_response(request.app[ADDRESSES])


async def read_hub(request: web.Request) -> web.Response:
    """Answer with the readings of one hub in volts by slot; 504 for a hub that sleeps, 502 for one that fails."""
    hubs = request.app[HUBS]
    number = int(request.match_info["number"])
    if number >= len(hubs):
        raise web.HTTPNotFound
    try:
        readings = await hubs[number].get_readings()
    except VegeHubTimeoutError as err:
        return web.json_response({"error": str(err)}, status=504)
    except VegeHubConnectionError as err:
        return web.json_response({"error": str(err)}, status=502)
    return web.json_response({reading.slot: reading.latest.value for reading in readings if reading.latest})


def application(addresses: list[str]) -> web.Application:
    """Build the application; the session is opened when it starts and closed when it ends."""
    app = web.Application()
    app[ADDRESSES] = addresses
    app.cleanup_ctx.append(open_hubs)
    app.add_routes([web.get("/hubs", list_hubs), web.get(r"/hubs/{number:\d{1,4}}", read_hub)])
    return app


if __name__ == "__main__":
    if len(sys.argv) < 3:  # noqa: PLR2004 - the program, a port and one address
        raise SystemExit(__doc__)
    web.run_app(application(sys.argv[2:]), host="127.0.0.1", port=int(sys.argv[1]))
