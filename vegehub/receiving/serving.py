"""What aiohttp's server does by itself: how long it waits for a request, and what it refuses without asking us."""

from __future__ import annotations

import asyncio
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator

    from aiohttp import web
    from aiohttp.abc import AbstractAccessLogger

_UNREAD = "UNKNOWN"  # what aiohttp calls the method of a request that it could not read

# A word of the peer's may be the secret path: only header names stand in quotation marks.
_own_words = re.compile(r"(?:[A-Za-z0-9 ,.:-]|'[A-Za-z-]{1,20}')*")


class Connection(asyncio.Protocol):
    """Stands between a connection and aiohttp, and closes it if a request has not begun within ``limit`` seconds.

    aiohttp waits for the rest of a head for an hour, or for ever. The first head has to come as soon as the connection
    is there; before a later one the connection may be idle for as long as aiohttp keeps it.
    """

    def __init__(self, inner: asyncio.Protocol, limit: float, on_late: Callable[[str], None]) -> None:
        self.begun = 0.0
        """Since when the request that is being handled has been coming, in the loop's time."""
        self.was_handled = False
        """Whether the answer that comes next is of a handler of ours."""
        self._inner = inner
        self._limit = limit
        self._on_late = on_late
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._is_handling = False
        self._has_more = False

    @classmethod
    def of(cls, request: web.BaseRequest) -> Connection | None:
        """Return the connection of a request; None in an application with a server of its own."""
        protocol = request.transport and request.transport.get_protocol()
        return protocol if isinstance(protocol, cls) else None

    def begin(self) -> None:
        """Say that a request is being handled: its head is there."""
        self.was_handled = True
        self._is_handling = True
        self._has_more = False
        self.begun = self._loop.time()
        if self._deadline is not None:
            self._deadline.cancel()
            self.begun = self._deadline.when() - self._limit
            self._deadline = None

    def body_read(self) -> None:
        """Say that whatever comes from now on belongs to the next request."""
        self._has_more = False

    def end(self) -> None:
        """Say that the request has been handled."""
        self._is_handling = False
        if self._has_more:
            self._expect()

    def answered(self) -> None:
        """Say that a request has been answered, by whomever."""
        self.was_handled = False
        if self._deadline is not None and not self._has_more:
            self._deadline.cancel()
            self._deadline = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a stream server
        self._transport = transport
        self._expect()
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Hand data on."""
        if self._is_handling:
            self._has_more = True
        elif self._deadline is None:
            self._expect()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Hand the end on."""
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Hand on that the peer does not keep up."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Hand on that the peer has caught up."""
        self._inner.resume_writing()

    def _expect(self) -> None:
        self._deadline = self._loop.call_later(self._limit, self._late)

    def _late(self) -> None:
        self._deadline = None
        transport = self._transport
        if transport is not None and not transport.is_closing():
            peer = transport.get_extra_info("peername")
            self._on_late(peer[0] if isinstance(peer, tuple) else "")
            transport.close()


@contextmanager
def handling(request: web.BaseRequest) -> Iterator[None]:
    """Be the handler of a request as long as the context lasts."""
    connection = Connection.of(request)
    if connection is not None:
        connection.begin()
    try:
        yield
    finally:
        if connection is not None:
            connection.end()


def log_of_refusals(note: Callable[[web.BaseRequest, int, str], None]) -> type[AbstractAccessLogger]:
    """Return an access log that writes nothing, and tells ``note`` of each answer that is not ours: status and reason."""
    from aiohttp.abc import AbstractAccessLogger  # noqa: PLC0415 - loaded with aiohttp.web by whoever calls this

    class LogOfRefusals(AbstractAccessLogger):
        def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:  # noqa: ARG002 - aiohttp's names
            connection = Connection.of(request)
            if connection is None:  # gone by now
                is_ours = request.method != _UNREAD
            else:
                is_ours = connection.was_handled
                connection.answered()
            if not is_ours:
                note(request, response.status, _spoken(getattr(response, "text", "") or ""))

    return LogOfRefusals


def is_no_garbage(record: logging.LogRecord) -> bool:
    """Keep the tracebacks out of the log that aiohttp writes for whatever is no HTTP."""
    from aiohttp.http import HttpProcessingError  # noqa: PLC0415 - loaded already when this runs

    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def _spoken(text: str) -> str:
    """Return what aiohttp says of a request, without what it quotes of it."""
    words = " ".join(text.partition("\n\n")[0].split())
    match = _own_words.match(words)
    return match[0].strip(" ,.:-")[:100] if match and match[0] else ""
