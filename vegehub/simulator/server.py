"""The HTTP server of a hub, with control over every byte: connections, and what faults do to them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .faults import Plan
from .listener import Door, Listener, reset_on_close
from .replies import Reply, render
from .requests import BadRequestError, Request, RequestParser

if TYPE_CHECKING:
    import socket

    from .clock import Work
    from .faults import Faults
    from .profiles import Profile

# A client must be able to read what came before a reset.
_BEFORE_RESET = 0.01


class Handler(Protocol):
    """What a server needs to know of the hub behind it."""

    def received(self, request: Request) -> None:
        """Take note of a request, before anything is done about it."""

    async def ready(self) -> None:
        """Wait until the hub has time for a request."""

    def handle(self, request: Request) -> Reply:
        """Execute a request."""

    def error(self, status: int, text: str) -> Reply:
        """Put an error into words."""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A request that reached the hub, whether or not it was executed or answered."""

    method: str
    path: str
    body: Any
    """Decoded JSON; the bytes where it is none; None where there is no body."""
    at: float
    """Seconds of the simulation."""

    @classmethod
    def of(cls, request: Request, at: float) -> RequestRecord:
        """Take note of a request."""
        body: Any = request.body or None
        with contextlib.suppress(ValueError, RecursionError):
            body = json.loads(request.body) if request.body else None
        return cls(request.method, request.path, body, at)


class Server:
    """Accepts connections, and treats each request as the active faults say."""

    def __init__(
        self, address: tuple[str, int], profile: Profile, faults: Faults, work: Work, handler: Handler
    ) -> None:
        self.listener = Listener(*address, self._on_socket)
        self.profile = profile
        self.faults = faults
        self.work = work
        self.handler = handler
        self.in_order = asyncio.Lock()
        self.connections: set[Connection] = set()
        self.accepted = 0
        self.silent = False
        """Connections that were accepted and not yet set up fall silent with the others."""
        self._arriving: set[socket.socket] = set()
        self._back: asyncio.TimerHandle | None = None

    def _on_socket(self, sock: socket.socket) -> None:
        self.accepted += 1
        limit = self.profile.max_connections
        if limit is not None and len(self.connections) >= limit:
            reset_on_close(sock)
            sock.close()
            return
        self._arriving.add(sock)
        self.work.start(self._connect(sock))

    async def _connect(self, sock: socket.socket) -> None:
        if sock in self._arriving:
            # From here on the transport closes it, also if this task is cancelled.
            self._arriving.discard(sock)
            await asyncio.get_running_loop().connect_accepted_socket(lambda: Connection(self), sock)

    def move(self, host: str, port: int) -> None:
        """Listen at another address in the manner of the one before; OSError, and no change, if it cannot be had."""
        old = self.listener
        if (host, port) == (old.host, old.port):
            return
        new = Listener(host, port, self._on_socket)
        try:
            new.take()
            new.set_door(old.door)
        except OSError:
            new.close()
            raise
        old.set_door(Door.SHUT)
        self.listener = new
        self.reset()

    def silence(self) -> None:
        """Let every open connection fall silent: what arrives on it is never answered."""
        self.silent = True
        for connection in self.connections:
            connection.silent = True

    def reset(self, *, only_silent: bool = False, spare: Connection | None = None) -> None:
        """Reset open connections, all but ``spare``."""
        while self._arriving and not only_silent:
            sock = self._arriving.pop()
            reset_on_close(sock)
            sock.close()
        for connection in tuple(self.connections):
            if connection is not spare and (connection.silent or not only_silent):
                connection.reset()

    def revive(self) -> None:
        """Serve again; the connections that fell silent are forgotten, which their clients see as a reset."""
        self.silent = False
        self.reset(only_silent=True)

    def leave(self, seconds: float) -> None:
        """Lose every connection, and have new ones refused for so many real seconds."""
        self._stay()
        self.faults.begin("unreachable")
        self.reset()
        self._back = asyncio.get_running_loop().call_later(seconds, self._stay)

    def _stay(self) -> None:
        if self._back is not None:
            self._back.cancel()
            self._back = None
            self.faults.clear("unreachable")

    async def close(self) -> None:
        """Release every connection; the listener is the hub's to close."""
        self._stay()
        self.reset()
        while self.connections:
            await asyncio.sleep(0)
            self.reset()


class Connection(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, server: Server) -> None:
        self.silent = False
        """Nothing that arrives is looked at, nothing is sent."""
        self._server = server
        self._parser = RequestParser(server.profile.max_request_body)
        self._transport: asyncio.Transport | None = None
        self._serving = False
        self._half_closed = False
        self._when_reused = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection; the hub may have fallen asleep since it was accepted."""
        self.silent = self._server.silent
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the signature of the protocol
        """Forget the connection."""
        self._transport = None
        self._server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        if self.silent:
            return
        if self._when_reused:
            self.reset() if self._when_reused == "reset_on_reuse" else self._close()
            return
        self._parser.feed(data)
        self._next()

    def eof_received(self) -> bool:
        """Finish a reply in progress before the connection is closed."""
        self._half_closed = True
        return self._serving and not self.silent

    def reset(self) -> None:
        """Drop the connection so that the client sees a reset."""
        if self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            if sock is not None:
                reset_on_close(sock)
            self._transport.abort()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self.silent and not self._transport.is_closing():
            self._transport.write(data)

    def _next(self) -> None:
        if self._serving or self._transport is None or self._transport.is_closing():
            return
        try:
            request = self._parser.next()
        except BadRequestError as err:
            for piece in render(
                self._server.handler.error(err.status, str(err)),
                Plan(),
                self._server.profile.content_type,
                keep_alive=False,
            ):
                self._write(piece.data)
            self._close()
            return
        if request is not None:
            self._serving = True
            self._server.work.start(self._serve(request))
        elif self._parser.expects_continue:
            self._parser.expects_continue = False
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def _serve(self, request: Request) -> None:
        server = self._server
        plan = server.faults.plan(request.path)
        handler: Handler = plan.other or server.handler
        handler.received(request)
        await handler.ready()
        # One thing at a time, in the order in which requests came: the device has one small processor. A command that has
        # arrived is executed even if nobody waits for the reply any more.
        async with server.in_order:
            if plan.delays_execution:
                await asyncio.sleep(plan.delay)
            reply = handler.handle(request) if plan.executes else Reply()
        if plan.delay and not plan.delays_execution:
            await asyncio.sleep(plan.delay)
        if server.profile.reply_latency:
            await asyncio.sleep(server.profile.reply_latency)
        await self._deliver(request, reply, plan)
        self._serving = False
        if self._half_closed:
            self._close()  # nothing more can come, and nothing else would close it
        self._next()

    async def _deliver(self, request: Request, reply: Reply, plan: Plan) -> None:
        server = self._server
        if plan.unreachable_for is not None:
            server.leave(plan.unreachable_for)
            return
        if reply.withheld:
            server.reset()
            return
        keep_alive = request.keep_alive and server.profile.keep_alive and not (plan.closes or plan.raw is not None)
        for piece in render(reply, plan, server.profile.content_type, keep_alive=keep_alive):
            if piece.pause:
                await asyncio.sleep(piece.pause)
            self._write(piece.data)
        if plan.cut is not None:
            await self._break_off(plan)
        elif not keep_alive or reply.closes or plan.afterwards == "close":
            self._end()
        else:
            self._when_reused = plan.afterwards
        if reply.closes:
            self._server.reset(spare=self)

    async def _break_off(self, plan: Plan) -> None:
        cut = plan.cut
        if cut is None or cut.ending == "stall":
            self.silent = True
        elif cut.ending == "close":
            self._end()
        else:
            if cut.part == "body" or cut.keep != 0:
                await asyncio.sleep(_BEFORE_RESET)
            if not self.silent:
                self.reset()

    def _end(self) -> None:
        # A hub that is asleep or off sends no end of a connection either.
        if not self.silent:
            self._close()
