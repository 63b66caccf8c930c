"""The contestants: this library, the published client, minimal aiohttp and minimal asyncio streams.

Each opens one session for as long as the context lasts, and gives back what a program does with a hub: read the
actuators, and set one. The published client is used through the names that it is known by, which are ours too.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

INFO = {"num_channels": 4, "num_actuators": 2, "version": "5.1.2", "is_ac": 0}
_STATUS = "/api/actuators/status"
_SET = "/api/actuators/set"
_COMMAND = {"target": 1, "duration": 600, "state": 1}


@dataclass(frozen=True, slots=True)
class Calls:
    """What is measured of a client, for one hub."""

    status: Callable[[], Awaitable[Any]]
    set: Callable[[], Awaitable[Any]]


@asynccontextmanager
async def vegehub_client(*addresses: str) -> AsyncIterator[list[Calls]]:
    """``VegeHub`` of the environment, ours or the published one, with a session that it is given."""
    from aiohttp import ClientSession, TCPConnector  # noqa: PLC0415 - only the client that is measured is loaded

    from vegehub import VegeHub  # noqa: PLC0415 - the same

    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        hubs = [VegeHub(address, "", "", INFO, session) for address in addresses]
        yield [Calls(hub.actuator_states, lambda hub=hub: hub.set_actuator(1, 1, 600)) for hub in hubs]  # type: ignore[misc]  # mypy does not infer a lambda with a default


@asynccontextmanager
async def vegehub_own(*addresses: str) -> AsyncIterator[list[Calls]]:
    """``VegeHub`` of the environment, each with a session of its own."""
    from vegehub import VegeHub  # noqa: PLC0415 - only the client that is measured is loaded

    hubs = [VegeHub(address, "", "", INFO) for address in addresses]
    try:
        yield [Calls(hub.actuator_states, lambda hub=hub: hub.set_actuator(1, 1, 600)) for hub in hubs]  # type: ignore[misc]  # mypy does not infer a lambda with a default
    finally:
        for hub in hubs:
            await hub.close()


@asynccontextmanager
async def aiohttp_client(*addresses: str, limit: int = 0) -> AsyncIterator[list[Calls]]:
    """Minimal aiohttp, the limit for a client that uses it: ``async with``, read, ``json.loads``."""
    from aiohttp import ClientSession, TCPConnector  # noqa: PLC0415 - only the client that is measured is loaded
    from yarl import URL  # noqa: PLC0415 - the same

    async with ClientSession(connector=TCPConnector(limit=limit)) as session:

        def calls(address: str) -> Calls:
            status_url, set_url = URL(f"http://{address}{_STATUS}"), URL(f"http://{address}{_SET}")

            async def status() -> Any:
                async with session.get(status_url) as response:
                    return json.loads(await response.read())

            async def set_() -> Any:
                async with session.post(set_url, json=_COMMAND) as response:
                    return json.loads(await response.read())

            return Calls(status, set_)

        yield [calls(address) for address in addresses]


@asynccontextmanager
async def aiohttp_own(*addresses: str) -> AsyncIterator[list[Calls]]:
    """Minimal aiohttp, with a session for each hub."""
    contexts = [aiohttp_client(address) for address in addresses]
    try:
        yield [(await context.__aenter__())[0] for context in contexts]
    finally:
        for context in contexts:
            await context.__aexit__(None, None, None)


@asynccontextmanager
async def asyncio_client(*addresses: str) -> AsyncIterator[list[Calls]]:
    """Minimal asyncio streams, the limit in Python: one connection to each hub, no reply but the expected understood."""
    connections: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
    body = json.dumps(_COMMAND).encode()

    async def exchange(address: str, request: bytes) -> Any:
        if address not in connections:
            host, _, port = address.partition(":")
            connections[address] = await asyncio.open_connection(host, int(port))
        reader, writer = connections[address]
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = head[head.index(b"content-length:") + 15 :].split(b"\r\n", 1)[0]
        return json.loads(await reader.readexactly(int(size)))

    def calls(address: str) -> Calls:
        tail = f" HTTP/1.1\r\nHost: {address}\r\n"
        get = f"GET {_STATUS}{tail}\r\n".encode()
        post = f"POST {_SET}{tail}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        return Calls(lambda: exchange(address, get), lambda: exchange(address, post))

    try:
        yield [calls(address) for address in addresses]
    finally:
        for _, writer in connections.values():
            writer.close()
            await writer.wait_closed()


CLIENTS: dict[str, Callable[..., AbstractAsyncContextManager[list[Calls]]]] = {
    "vegehub": vegehub_client,
    "vegehub_own": vegehub_own,
    "aiohttp": aiohttp_client,
    "aiohttp_100": partial(aiohttp_client, limit=100),
    "aiohttp_own": aiohttp_own,
    "asyncio": asyncio_client,
}
