"""Hubs that push, as fast as they are answered or at a pace: raw HTTP from prepared bytes."""

from __future__ import annotations

import asyncio
import json
import time

from . import pipe
from .payloads import update

_SLOTS = 9
_pushed = 0


def _body(hub: int, number: int) -> bytes:
    document = update(_SLOTS, 1)
    document["mac"] = f"7C9EBD{hub:06X}"
    # A time of its own: what a receiver has seen already costs it less.
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1748736000 + number))
    for sensor in document["sensors"]:
        sensor["samples"][0]["t"] = moment
    return json.dumps(document, separators=(",", ":")).encode()


async def push(url: str, hubs: int, count: int, pace: float = 0.0) -> dict[str, float]:
    """Push ``count`` updates from each of the hubs, ``pace`` seconds apart; return the seconds it took."""
    global _pushed  # the next job must not push the same samples
    address, _, path = url.partition("/")
    host, _, port = address.partition(":")
    first, _pushed = _pushed, _pushed + count

    async def one(hub: int) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for number in range(first, first + count):
            body = _body(hub, number)
            head = f"POST /{path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            reply = await reader.readuntil(b"\r\n\r\n")
            if not reply.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(reply.split(b"\r\n", 1)[0].decode())
            size = reply.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
            await reader.readexactly(int(size))
            if pace:
                await asyncio.sleep(pace)
        writer.close()
        await writer.wait_closed()

    begun = time.perf_counter()
    await asyncio.gather(*(one(hub) for hub in range(hubs)))
    return {"wall": time.perf_counter() - begun}


def main() -> None:
    """Push until the pipe is closed."""
    pipe.answer({"push": push})
