"""Ways to leak on purpose, each against a real server on this machine: the proof that LeakGuard sees them.

A guard that never fails proves nothing. ``prove_guard()`` leaks one way after the other and expects to be caught.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from .leaks import LeakError, LeakGuard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

_BODY = 1 << 20
"""More bytes than any buffer between the server and a client that does not read."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a leak is made: a server, a session that was there before, and what is cleaned up after the verdict."""

    url: str
    port: int
    shared: aiohttp.ClientSession
    later: AsyncExitStack


@dataclass(frozen=True, slots=True)
class Way:
    """One way to leak: what it does in words, as what it may be seen, and how it is done."""

    title: str
    kinds: tuple[str, ...]
    leak: Callable[[Ground], Awaitable[None]]
    peer: bool = False
    """Whether the report must name the server's port."""


async def _session(_: Ground) -> None:
    aiohttp.ClientSession()


async def _session_with_connection(ground: Ground) -> None:
    session = aiohttp.ClientSession()
    async with session.get(f"{ground.url}/whole") as response:
        await response.read()


async def _session_in_use(ground: Ground) -> None:
    session = aiohttp.ClientSession()
    ground.later.push_async_callback(session.close)
    async with session.get(f"{ground.url}/whole") as response:
        await response.read()


async def _unread_and_session_closed(ground: Ground) -> None:
    async with aiohttp.ClientSession() as session:
        await session.get(f"{ground.url}/long")


async def _unread_and_session_shared(ground: Ground) -> None:
    await ground.shared.get(f"{ground.url}/long")


async def _unread_and_still_held(ground: Ground) -> None:
    response = await ground.shared.get(f"{ground.url}/long")
    ground.later.callback(response.close)


async def _unread_and_server_gone(ground: Ground) -> None:
    await ground.shared.get(f"{ground.url}/dies")


async def _exception(_: Ground) -> None:
    async def fail() -> None:
        raise ValueError("nobody looks at this")

    task = asyncio.create_task(fail())
    await asyncio.wait([task])


async def _task(ground: Ground) -> None:
    task = asyncio.create_task(asyncio.Event().wait(), name="forgotten")

    async def end() -> None:
        task.cancel()
        await asyncio.wait([task])

    ground.later.push_async_callback(end)


async def _coroutine(ground: Ground) -> None:
    _session(ground)  # type: ignore[unused-coroutine]  # noqa: RUF100, RUF006 - never awaited by intent


async def _socket(ground: Ground) -> None:
    sock = socket.socket()
    ground.later.callback(sock.close)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", ground.port))


# Whether the response or its connection is the one that stays behind depends on the version of aiohttp.
_UNREAD = ("response", "connection")

WAYS = (
    Way("a session that is never closed", ("session",), _session),
    Way("a session with a pooled connection, not closed", ("session",), _session_with_connection, peer=True),
    Way("such a session, still referenced", ("session",), _session_in_use, peer=True),
    Way("a body not read, its session closed", _UNREAD, _unread_and_session_closed, peer=True),
    Way("a body not read, its session shared", _UNREAD, _unread_and_session_shared, peer=True),
    Way("a body not read, its response still referenced", _UNREAD, _unread_and_still_held, peer=True),
    Way("a body not read, the server gone", _UNREAD, _unread_and_server_gone, peer=True),
    Way("an exception that nobody retrieved", ("exception",), _exception),
    Way("a task that is still pending", ("task",), _task),
    Way("a coroutine that was never awaited", ("coroutine",), _coroutine),
    Way("a raw socket", ("socket",), _socket, peer=True),
)


async def _whole(_: web.Request) -> web.Response:
    return web.json_response({"error": "success"})


async def _long(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(_BODY)})
    await response.prepare(request)
    # The rest never comes: the reply is as unread as it can be until the client hangs up.
    await asyncio.Event().wait()
    return response


async def _dies(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(_BODY)})
    await response.prepare(request)
    if request.transport is not None:
        request.transport.close()
    return response


@asynccontextmanager
async def leaking_ground() -> AsyncIterator[Ground]:
    """Open a server on 127.0.0.1 and a session; on leaving clean up what was leaked, then close both."""
    app = web.Application()
    app.router.add_get("/whole", _whole)
    app.router.add_get("/long", _long)
    app.router.add_get("/dies", _dies)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession() as shared, AsyncExitStack() as later:
            yield Ground(f"http://127.0.0.1:{port}", port, shared, later)
    finally:
        await runner.cleanup()


async def caught(way: Way) -> tuple[str, ...]:
    """Leak in this way inside a guard and clean up; return the lines it reported, () if it did not see this leak."""
    lines: tuple[str, ...] = ()
    with suppress(LeakError):
        # What was leaked reports itself once more while it is cleaned up: the outer guard listens, so that nobody else
        # has to.
        async with LeakGuard(), leaking_ground() as ground:
            lines = await _caught(way, ground)
    return lines


async def _caught(way: Way, ground: Ground) -> tuple[str, ...]:
    try:
        async with LeakGuard():
            await way.leak(ground)
    except LeakError as error:
        lines = tuple(str(leak) for leak in error.leaks)
        seen = any(leak.kind in way.kinds for leak in error.leaks)
        named = not way.peer or any(f"127.0.0.1:{ground.port}" in line for line in lines)
        return lines if seen and named else ()
    return ()


async def prove_guard(write: Callable[[str], object]) -> int:
    """Leak in every way and name each leak; return 1 (the guard failed each time, as it must) or 3 (it missed one)."""
    seen = 0
    for number, way in enumerate(WAYS, 1):
        lines = await caught(way)
        seen += bool(lines)
        write(f"[{number:2}/{len(WAYS)}] {way.title + ' ':.<48} {'seen' if lines else 'MISSED'}")
        for line in lines:
            write(f"        {line}")
    write(f"the guard saw {seen} of {len(WAYS)} leaks")
    return 1 if seen == len(WAYS) else 3
