"""The listening socket of a hub: it accepts, refuses, or lets connections hang."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
import sys
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_BACKLOG = 128
_MAX_FILLERS = 300
# The backlog of a listening socket, as Linux tells it: tcpi_unacked and tcpi_sacked, the 7th and 8th of its 32-bit fields.
_TCP_INFO_BACKLOG = struct.Struct("8x4I2I")


class Door(Enum):
    """How the hub meets a new connection."""

    OPEN = "accepted"
    REFUSING = "refused"
    HANGING = "not answered"
    SHUT = "not there"


class Listener:
    """Listens on ``host``; ``port`` 0 takes a free one, which is kept until ``close``.

    A connection that is accepted goes to ``on_socket``. All methods act at once, without the loop turning.
    """

    def __init__(self, host: str, port: int, on_socket: Callable[[socket.socket], None]) -> None:
        self.host = host
        self.port = port
        self._on_socket = on_socket
        self._door = Door.SHUT
        self._listening: socket.socket | None = None
        self._reserved: socket.socket | None = None
        self._fillers: list[socket.socket] = []

    @property
    def door(self) -> Door:
        """How a new connection is met."""
        return self._door

    def take(self) -> None:
        """Take the address without listening yet; OSError if it cannot be had."""
        self._reserved = self._bound()

    def close(self) -> None:
        """Let go of an address that was taken, but could not be listened at."""
        self._stop_listening()
        self._release()

    def set_door(self, door: Door) -> None:
        """Open, refuse, let hang, or release the address."""
        if door is self._door:
            return
        self._stop_accepting()
        if door in (Door.REFUSING, Door.SHUT):
            self._stop_listening()
        if door is Door.SHUT:
            self._release()
        elif door is Door.REFUSING:
            self._reserve()
        elif door is Door.HANGING:
            self._listen(0)
            self._fill_backlog()
        else:
            self._listen(_BACKLOG)
            self._drain_fillers()
            self._start_accepting()
        self._door = door

    def _bound(self) -> socket.socket:
        family, _, _, _, address = socket.getaddrinfo(
            self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICHOST
        )[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            if sys.platform != "win32":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setblocking(False)
            sock.bind(address)
        except OSError:
            sock.close()
            raise
        self.port = sock.getsockname()[1]
        return sock

    def _listen(self, backlog: int) -> None:
        if self._listening is None:
            # Linux lets a second socket take the address while none listens: the port is held throughout.
            if sys.platform != "linux":
                self._release()
            self._listening = self._bound()
        self._listening.listen(backlog)
        self._release()

    def _reserve(self) -> None:
        # A free port would be handed to somebody else's outgoing connection sooner or later.
        if self._reserved is None:
            with contextlib.suppress(OSError):
                self._reserved = self._bound()

    def _release(self) -> None:
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    def _stop_listening(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        self._close_fillers()

    def _start_accepting(self) -> None:
        assert self._listening is not None  # noqa: S101 - for the type checker
        asyncio.get_running_loop().add_reader(self._listening, self._accept)

    def _stop_accepting(self) -> None:
        if self._listening is not None and self._door is Door.OPEN:
            asyncio.get_running_loop().remove_reader(self._listening)

    def _accept(self) -> None:
        while self._listening is not None:
            try:
                sock, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            sock.setblocking(False)
            self._on_socket(sock)

    def _fill_backlog(self) -> None:
        """Queue connections of our own until the kernel lets further ones hang."""
        assert self._listening is not None  # noqa: S101 - for the type checker
        address = self._listening.getsockname()
        while len(self._fillers) < _MAX_FILLERS and not _is_full(self._listening):
            sock = socket.socket(self._listening.family, socket.SOCK_STREAM)
            sock.setblocking(False)
            self._fillers.append(sock)
            with contextlib.suppress(BlockingIOError):
                sock.connect(address)
            if not _connected(sock):
                break

    def _drain_fillers(self) -> None:
        """Take our own connections out of the queue; one of a client among them is accepted."""
        if not self._fillers or self._listening is None:
            return
        ours = {sock.getsockname() for sock in self._fillers}
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, peer = self._listening.accept()
                if peer in ours:
                    sock.close()
                else:
                    sock.setblocking(False)
                    self._on_socket(sock)
        self._close_fillers()

    def _close_fillers(self) -> None:
        for sock in self._fillers:
            reset_on_close(sock)
            sock.close()
        self._fillers.clear()


def reset_on_close(sock: socket.socket) -> None:
    """Make closing this socket a reset, which leaves nothing waiting in the kernel."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _is_full(listening: socket.socket) -> bool:
    if sys.platform != "linux":
        return False  # only a connection that hangs shows it
    waiting, limit = _TCP_INFO_BACKLOG.unpack(
        listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BACKLOG.size)
    )[4:]
    return bool(waiting > limit)


def _connected(sock: socket.socket) -> bool:
    """Whether the kernel has completed the connection, which on the loopback takes microseconds."""
    return bool(select.select([], [sock], [], 0.05)[1])
