"""Takes in what hubs push, over aiohttp.web: alone, or mounted in an application."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vegehub.exceptions import Outcome, VegeHubConnectionError, VegeHubValueError

from .intake import (
    BODY_TIMEOUT,
    MAX_BODY,
    MAX_BURST,
    MAX_RATE,
    Intake,
    Limits,
    Refusal,
    RefusedError,
    as_hub_key,
)
from .serving import Connection, handling, is_no_garbage, log_of_refusals
from .subscriptions import MAX_WAITING, Stream, Subscribers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from types import TracebackType
    from typing import Self

    from aiohttp import web

    from vegehub.wire import Update

    from .journal import Journal

_LOGGER = logging.getLogger(__name__)
_HTTP_LOGGER = logging.getLogger(f"{__name__}.http")

_GRACE = 3.0  # for requests and callbacks in flight when the server stops
_DRAIN = 2.0
_IDLE = 75.0  # between two requests; longer than what proxies keep, so that none of them uses a connection as it ends
_HEADERS = {405: {"Allow": "POST"}, 429: {"Retry-After": "1"}}
_MAX_LOGGED = 1000
_is_token = re.compile(r"[A-Za-z0-9_-]{16,200}").fullmatch


@dataclass(slots=True, kw_only=True)
class ReceiverCounters:
    """What a receiver has done so far."""

    accepted: int = 0
    """Pushes answered with 200, repeats included."""
    repeated: int = 0
    """Those of which the journal had everything already."""
    problems: int = 0
    """Bad samples and fields that were dropped from accepted pushes."""
    refused: dict[int, int] = field(default_factory=dict)
    """Status -> pushes and other requests that got it; 0: none was sent."""


class UpdateReceiver:
    """Takes updates in under a secret path, and hands them to subscribers and to a journal.

    Without a journal an update is acknowledged once it was parsed and handed to the subscribers; with one, when it is
    safe on disk. ``token`` is the secret in the path, random unless given: keep it, if hubs are to find the receiver
    again after a restart. ``allowed`` (MACs, or ``hub_key`` of hubs that send none) refuses all other hubs. Limits:
    ``max_body`` bytes within ``body_timeout`` seconds, and from one hub ``max_burst`` updates at once and ``max_rate`` a
    second in the long run (None: no limit).
    """

    def __init__(
        self,
        *,
        journal: Journal | None = None,
        token: str | None = None,
        allowed: Iterable[str] | None = None,
        max_body: int = MAX_BODY,
        body_timeout: float = BODY_TIMEOUT,
        max_rate: int | None = MAX_RATE,
        max_burst: int = MAX_BURST,
        wall_clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        from aiohttp import web  # noqa: PLC0415 - heavy, and needed only by those who receive

        if token is not None and not _is_token(token):
            raise VegeHubValueError(
                "token: expected 16 to 200 letters, digits, - and _: it is all that keeps others out"
            )
        limits = Limits(max_body=max_body, body_timeout=body_timeout, max_rate=max_rate, max_burst=max_burst)
        self._intake = Intake(limits, journal, wall_clock=wall_clock, monotonic=monotonic)
        self._web = web
        self._seconds = body_timeout
        self._journal = journal
        self._token = token or secrets.token_urlsafe(24)
        self._base = ""
        self._is_serving = False
        self._updates: Subscribers[Update] = Subscribers("update")
        self._replied: Subscribers[Update] = Subscribers("reply")
        self._refused: Subscribers[Refusal] = Subscribers("refusal")
        self._host: str | None = None
        self._port: int | None = None
        self._logged: set[tuple[str, int, str]] = set()
        self.counters = ReceiverCounters()
        self.allowed = allowed

    def __repr__(self) -> str:
        where = "not serving" if self._port is None else f"serving on {self._host}:{self._port}"
        return f"<UpdateReceiver {where}>"

    @property
    def allowed(self) -> frozenset[str] | None:
        """The hubs that are taken, as ``hub_key``; None: all. To be set with MACs or such keys."""
        return self._intake.allowed

    @allowed.setter
    def allowed(self, hubs: Iterable[str] | None) -> None:
        self._intake.allowed = None if hubs is None else frozenset(as_hub_key(hub) for hub in hubs)

    @property
    def path(self) -> str:
        """The path that hubs post to; a secret."""
        return f"{self._base}/{self._token}"

    @property
    def port(self) -> int | None:
        """The port while ``serve`` runs."""
        return self._port

    def routes(self, base: str = "") -> list[web.RouteDef]:
        """Return the routes that mount this receiver in an aiohttp.web application, below ``base``.

        The application's access log shows the secret path. Call ``close`` when the application stops.
        """
        self._base = base.rstrip("/")
        return [self._web.route("*", self.path, self._handle)]

    @asynccontextmanager
    async def serve(self, host: str, port: int) -> AsyncIterator[Self]:
        """Listen on ``host`` and ``port`` (0: any free one, see ``port``) as long as the context lasts.

        VegeHubConnectionError: the address cannot be had. On leaving, requests in flight get a few seconds to end.
        """
        if not host:
            raise VegeHubValueError("host: name the address to listen on, or 0.0.0.0 for all of this machine's")
        if self._is_serving:
            raise VegeHubValueError(f"{self!r} listens already")
        self._is_serving = True
        app = self._web.Application()
        app.add_routes([*self.routes(), self._web.route("*", "/{tail:.*}", self._handle_elsewhere)])
        _HTTP_LOGGER.addFilter(is_no_garbage)
        runner = self._web.AppRunner(
            app,
            access_log_class=log_of_refusals(self._note_foreign),
            access_log=_HTTP_LOGGER,
            logger=_HTTP_LOGGER,
            keepalive_timeout=_IDLE,
            shutdown_timeout=_GRACE,
        )
        server: asyncio.Server | None = None
        try:
            await runner.setup()
            try:
                server = await asyncio.get_running_loop().create_server(lambda: self._connected(runner), host, port)
            except OSError as err:
                text = f"cannot listen on {host}:{port}: {err.strerror or err}"
                raise VegeHubConnectionError(text, host=host, outcome=Outcome.NOT_SENT) from err
            self._host, self._port = host, server.sockets[0].getsockname()[1]
            _LOGGER.debug("%r: listening", self)
            yield self
        finally:
            self._port = None
            try:
                if server is not None:
                    server.close()
                await runner.cleanup()
                await self.close()
            finally:
                self._is_serving = False

    def subscribe(self, callback: Callable[[Update], object], mac: str | None = None) -> Callable[[], None]:
        """Call ``callback`` with each update, of one hub if ``mac`` is given; return what ends that, callable twice.

        Best effort, and as received: repeats included. One call at a time; a plain function is called at once, and an
        async one makes hubs wait when it is a thousand updates behind. One that raises is logged once.
        """
        return self._updates.subscribe(callback, _wanted(mac))

    def stream(self, mac: str | None = None, *, limit: int = MAX_WAITING) -> Stream[Update]:
        """Return an asynchronous iterator of the updates from now on, of one hub if ``mac`` is given.

        Best effort. With ``limit`` updates waiting it makes hubs wait, and says so in the log; after 5 s the oldest goes.
        """
        return self._updates.stream(_wanted(mac), limit)

    def on_replied(self, callback: Callable[[Update], object]) -> Callable[[], None]:
        """Call ``callback`` once the reply to an update has been written: its hub is awake, and done with posting it."""
        return self._replied.subscribe(callback)

    def on_refused(self, callback: Callable[[Refusal], object]) -> Callable[[], None]:
        """Call ``callback`` for each push that was not taken."""
        return self._refused.subscribe(callback)

    async def close(self) -> None:
        """End the streams and wait a few seconds for callbacks that run; the receiver can be used again."""
        self._intake.close()
        await asyncio.gather(*(group.close(_GRACE) for group in (self._updates, self._replied, self._refused)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # --- One request --------------------------------------------------------------------------------------------------

    def _connected(self, runner: web.AppRunner) -> Connection:
        assert runner.server is not None  # noqa: S101 - it has been set up
        return Connection(runner.server(), self._seconds, self._note_late)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        with handling(request):
            return await self._take(request)

    async def _handle_elsewhere(self, request: web.Request) -> web.StreamResponse:
        with handling(request):
            return await self._refuse(request, Refusal(status=404, reason="nothing here"))

    async def _take(self, request: web.Request) -> web.StreamResponse:
        try:
            update, is_repeat = await self._intake.take(request)
        except RefusedError as err:
            return await self._refuse(request, err.refusal)
        self.counters.accepted += 1
        self.counters.repeated += is_repeat
        self.counters.problems += update.problem_count
        if update.problems:
            self._log_once(update.hub_key, 200, f"{update.problem_count} fields dropped: {'; '.join(update.problems)}")
        if self._journal is None:
            await self._updates.publish(update)
        response = self._web.json_response({"status": "ok"})
        # Written here and not by aiohttp later, so that what follows comes after it.
        with suppress(ConnectionError):
            await response.prepare(request)
            await response.write_eof()
            self._replied.offer(update)
        if self._journal is not None:
            await self._updates.publish(update)
        return response

    async def _refuse(self, request: web.Request, refusal: Refusal) -> web.StreamResponse:
        refusal = replace(refusal, remote=request.remote or "")
        status = refusal.status
        self._note_refusal(refusal)
        if status == 0 and request.transport is not None:
            request.transport.abort()
        answer = {"error": refusal.reason} | ({"path": refusal.path} if refusal.path else {})
        response = self._web.json_response(answer, status=status or 503, headers=_HEADERS.get(status))
        if not request.content.is_eof():
            response.force_close()
            with suppress(ConnectionError):
                await response.prepare(request)
                await response.write_eof()
                await _drain(request)
            # Whatever else comes is not read: without this, aiohttp goes on for ten seconds, and logs what it meets.
            request.content.feed_eof()
        return response

    def _note_refusal(self, refusal: Refusal, what: str = "") -> None:
        status = refusal.status
        self.counters.refused[status] = self.counters.refused.get(status, 0) + 1
        text = f"refused with {status}: {refusal.reason}" if status else f"not answered: {refusal.reason}"
        self._log_once(refusal.hub_key or refusal.remote, status, text, what)
        self._refused.offer(refusal)

    def _note_foreign(self, request: web.BaseRequest, status: int, reason: str) -> None:
        """Note what aiohttp has refused: no handler of ours has seen it."""
        reason = reason.replace(self._token, "...")
        text = f"no request as HTTP has it{f': {reason}' if reason else ''}"
        self._note_refusal(Refusal(status=status, reason=text, remote=request.remote or ""), "HTTP")

    def _note_late(self, remote: str) -> None:
        reason = f"no whole head of a request came within {self._seconds:g} seconds"
        self._note_refusal(Refusal(status=0, reason=reason, remote=remote), "head")

    def _log_once(self, who: str, status: int, text: str, what: str = "") -> None:
        key = (who, status, what)
        is_first = key not in self._logged and len(self._logged) < _MAX_LOGGED
        if is_first:
            self._logged.add(key)
        _LOGGER.log(logging.WARNING if is_first else logging.DEBUG, "update from %s: %s", who or "an unknown hub", text)


def _wanted(mac: str | None) -> Callable[[Update], bool] | None:
    if mac is None:
        return None
    key = as_hub_key(mac)
    return lambda update: update.hub_key == key


async def _drain(request: web.Request) -> None:
    """Read on for a moment: a sender that is cut off while it sends may never see the answer."""
    with suppress(Exception):
        async with asyncio.timeout(_DRAIN):
            while await request.content.readany():
                pass
