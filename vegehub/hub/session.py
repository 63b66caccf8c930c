"""The session rule: what this library opens it closes, what it was given it leaves alone.

An owned session is held by an async generator. The event loop closes it when the owner is collected and when
``asyncio.run()`` ends, so that a hub object that is dropped or forgotten leaks nothing.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from vegehub.exceptions import VegeHubSessionError

from .arguments import check_seconds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_LOGGER = logging.getLogger(__name__)

IDLE_TIMEOUT = 15.0
"""Seconds without a call after which an owned session is closed; as long as aiohttp keeps an idle connection."""
_MIN_IDLE = 1.0
_MAX_IDLE = 3600.0
_WATCH_INTERVAL = 86_400.0
"""Seconds between two looks of the timer at a session that is never released."""


_LOOKUPS = 256
"""Names that are looked up at once: the name of a hub that sleeps keeps a thread for seconds."""


class _Resolver(AbstractResolver):
    """The system's resolver, in threads of its own: it knows names ending in .local, and sleepers hold up nobody.

    aiohttp's takes the few threads of the loop's executor, which a handful of sleeping hubs can keep busy.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="vegehub: look up a name")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG
        )
        return [
            ResolveResult(
                hostname=host,
                host=_numeric(sockaddr),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, sockaddr in found
        ]

    async def close(self) -> None:
        # A thread that still waits for an answer ends with it; nobody waits for the thread.
        self._threads.shutdown(wait=False, cancel_futures=True)


def _numeric(sockaddr: Any) -> str:
    """Return an address as text, with the scope of a link-local one."""
    return socket.getnameinfo(sockaddr, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]


class _Lease:
    """An owned session and the timer that watches it.

    The timer, and so the event loop, holds the session: a session that only garbage refers to would be collected,
    with a warning, in the same pass as the generator that is about to close it.
    """

    __slots__ = ("loop", "resolver", "session", "timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, connection_limit: int) -> None:
        self.loop = loop
        self.resolver = _Resolver()
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connection_limit, resolver=self.resolver),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Each request brings its deadline; see transport.py.
            timeout=aiohttp.ClientTimeout(total=None),
        )
        self.timer: asyncio.TimerHandle | None = None

    async def hold(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            if self.timer is not None:
                self.timer.cancel()
            await self.session.close()
            await self.resolver.close()


class SessionOwner:
    """The one place that knows whether a session was given or is ours; an owner may serve many hubs.

    ``idle_timeout``: seconds (1 to 3600) without a call after which an owned session is closed, None for never.
    ``connection_limit``: connections of an owned session over all hubs, 0 for no limit.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession | None = None,
        *,
        idle_timeout: float | None = IDLE_TIMEOUT,
        connection_limit: int = 100,
    ) -> None:
        self._idle_timeout = (
            None if idle_timeout is None else check_seconds("idle_timeout", idle_timeout, _MIN_IDLE, _MAX_IDLE)
        )
        self._connection_limit = connection_limit
        self._given = session
        self._taken_over = False
        self._lease: _Lease | None = None
        self._holder: AsyncGenerator[None, None] | None = None
        self._calls_running = 0
        self._last_ended = 0.0
        self._last_hub = ""
        self._releasing: set[asyncio.Task[None]] = set()
        self._to_finish: set[asyncio.Task[Any]] = set()
        self.sessions_opened = 0

    @property
    def session(self) -> aiohttp.ClientSession | None:
        """The session given, or the one that is open; None if there is none."""
        if self._given is not None:
            return self._given
        return None if self._lease is None else self._lease.session

    @property
    def owns_session(self) -> bool:
        """True while a session opened here is open."""
        return self._lease is not None

    @property
    def session_open(self) -> bool:
        """True while there is a session, given or owned, that is not closed."""
        session = self.session
        return session is not None and getattr(session, "closed", False) is not True

    def ready(self, hub: str = "") -> aiohttp.ClientSession | None:
        """Return what ``get`` would, None if a session has to be opened first."""
        loop = asyncio.get_running_loop()
        self._last_hub = hub
        if self._given is not None:
            self._check_given(self._given, loop, hub)
            return self._given
        lease = self._lease
        if lease is None or not self._is_usable(lease, loop, hub):
            return None
        if _LOGGER.isEnabledFor(logging.DEBUG):
            _LOGGER.debug("%s: session %#x reused", hub, id(lease.session))
        return lease.session

    async def get(self, hub: str = "") -> aiohttp.ClientSession:
        """Return the session given, or the owned one, opened now if there is none; VegeHubSessionError if unusable.

        ``hub`` is the address that the debug log and an error name.
        """
        if (session := self.ready(hub)) is not None:
            return session
        loop = asyncio.get_running_loop()
        # Nothing below awaits anything that is not ready: callers that come at the same time get the same session.
        lease = _Lease(loop, self._connection_limit)
        holder = lease.hold()
        await anext(holder)
        self._lease, self._holder = lease, holder
        self._last_ended = loop.time()
        self._watch(lease)
        self.sessions_opened += 1
        _LOGGER.debug("%s: session %#x opened", hub, id(lease.session))
        return lease.session

    def begin_call(self) -> None:
        """Keep the session that ``get`` has just returned open until ``end_call``."""
        self._calls_running += 1

    def end_call(self) -> None:
        """Say that a call has ended: the idle time begins."""
        self._calls_running -= 1
        if self._lease is not None:
            self._last_ended = self._lease.loop.time()

    def finish_first(self, task: asyncio.Task[Any]) -> None:
        """Let ``close`` wait for ``task``, which still needs the session."""
        self._to_finish.add(task)
        task.add_done_callback(self._to_finish.discard)

    async def close(self) -> None:
        """Close the owned session, if one is open; may be repeated, and the next call opens another."""
        loop = asyncio.get_running_loop()
        await _wait_for(self._to_finish, loop)
        lease, holder = self._lease, self._holder
        self._lease = self._holder = None
        # A session of another loop is left to that loop, which closes it when the holder is collected.
        if lease is not None and holder is not None and lease.loop is loop:
            await holder.aclose()
            _LOGGER.debug("%s: session %#x closed", self._last_hub, id(lease.session))
        await _wait_for(self._releasing, loop)

    def _check_given(self, session: aiohttp.ClientSession, loop: asyncio.AbstractEventLoop, hub: str) -> None:
        if getattr(session, "closed", False) is True:
            raise VegeHubSessionError(
                f"{hub}: the session given is closed; nothing was sent. "
                "Keep it open while the hub is in use, or give none and let the hub open its own.",
                host=hub or None,
            )
        session_loop = getattr(session, "_loop", None)
        if session_loop is not loop and isinstance(session_loop, asyncio.AbstractEventLoop):
            raise VegeHubSessionError(
                f"{hub}: the session given belongs to another event loop; nothing was sent. "
                "Open it inside the loop that uses the hub, or give none.",
                host=hub or None,
            )
        if _LOGGER.isEnabledFor(logging.DEBUG):
            state = "reused" if self._taken_over else "taken over"
            _LOGGER.debug("%s: session %#x %s", hub, id(session), state)
        self._taken_over = True

    def _is_usable(self, lease: _Lease, loop: asyncio.AbstractEventLoop, hub: str) -> bool:
        """Say whether the owned session can be used here; a session that ended with its loop is forgotten."""
        if lease.loop is not loop and not lease.loop.is_closed() and not lease.session.closed:
            raise VegeHubSessionError(
                f"{hub}: this hub is in use in another event loop; nothing was sent. Use one object per loop.",
                host=hub or None,
            )
        if lease.loop is loop and not lease.session.closed:
            return True
        self._lease = self._holder = None
        return False

    def _watch(self, lease: _Lease) -> None:
        """Have the loop look at the session when it could have been idle for long enough."""
        delay = _WATCH_INTERVAL if self._idle_timeout is None else self._idle_timeout - self._idle_for(lease)
        lease.timer = lease.loop.call_later(delay, _look, weakref.ref(self), lease.session)

    def _idle_for(self, lease: _Lease) -> float:
        return 0.0 if self._calls_running else lease.loop.time() - self._last_ended

    def _release_if_idle(self) -> None:
        lease, holder = self._lease, self._holder
        if lease is None or holder is None:
            return
        if self._idle_timeout is None or self._idle_for(lease) < self._idle_timeout:
            self._watch(lease)
            return
        self._lease = self._holder = None
        _LOGGER.debug("%s: session %#x released", self._last_hub, id(lease.session))
        task = lease.loop.create_task(_close(holder), name="vegehub: release an idle session")
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)


async def _wait_for(tasks: set[asyncio.Task[Any]], loop: asyncio.AbstractEventLoop) -> None:
    if of_this_loop := [task for task in tasks if task.get_loop() is loop]:
        await asyncio.wait(of_this_loop)


async def _close(holder: AsyncGenerator[None, None]) -> None:
    await holder.aclose()


def _look(owner: weakref.ref[SessionOwner], _session: aiohttp.ClientSession) -> None:
    """Release the session if it is idle; the timer refers to the owner weakly and to the session strongly."""
    if (present := owner()) is not None:
        present._release_if_idle()  # noqa: SLF001 - a method would make the timer hold the owner
