"""Receive updates in a web application of your own: hubs post below /hubs, GET /latest answers with the newest readings.

usage: python examples/receive_readings.py PORT [TOKEN]

It listens on this machine only; behind a proxy, forward the path below /hubs and no more.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from aiohttp import web

from vegehub import Update, UpdateReceiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LATEST = web.AppKey("LATEST", dict[str, dict[int, float]])


def application(receiver: UpdateReceiver) -> web.Application:
    """Build the application with the receiver mounted in it."""
    app = web.Application()
    app[LATEST] = {}
    app.add_routes([*receiver.routes("/hubs"), web.get("/latest", latest)])

    def remember(update: Update) -> None:
        slots = app[LATEST].setdefault(update.hub_key, {})
        slots.update({slot: reading.latest.value for slot, reading in update.readings.items() if reading.latest})

    async def receive(_app: web.Application) -> AsyncIterator[None]:
        unsubscribe = receiver.subscribe(remember)
        yield
        unsubscribe()
        await receiver.close()

    app.cleanup_ctx.append(receive)
    return app


async def latest(request: web.Request) -> web.Response:
    """Answer with the newest value of each slot of each hub, in volts."""
    return web.json_response(request.app[LATEST])


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    updates = UpdateReceiver(token=sys.argv[2] if len(sys.argv) > 2 else None)  # noqa: PLR2004 - the token is optional
    application_with_hubs = application(updates)
    print(f"point hubs at port {sys.argv[1]}, path {updates.path}", flush=True)
    # No access log: the path is the secret.
    web.run_app(application_with_hubs, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
