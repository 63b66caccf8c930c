"""The fastest hub that Python makes: an asyncio protocol that answers from fixed bytes; many ports in one process.

It is used where the time of the client is measured. Where the behaviour of a hub matters ``simulated`` is used.
"""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

from . import pipe

_STATUS = {
    "actuators": [
        {
            "slot": slot,
            "state": 0,
            "last_run": 1730911079,
            "next_window_start": 1730916000,
            "next_window_end": 1730916600,
            "cur_ma": 0,
            "typ_ma": 0,
            "error": 0,
        }
        for slot in range(2)
    ],
    "error": "success",
}


def _reply(body: Any) -> bytes:
    data = json.dumps(body, separators=(",", ":")).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


_GET = _reply(_STATUS)
_POST = _reply({"error": "success"})
_LENGTH = b"content-length:"


class _Connection(asyncio.Protocol):
    latency = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a TCP server gives nothing else
        self._transport = transport
        self._waiting = b""

    def data_received(self, data: bytes) -> None:
        data = self._waiting + data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            head, size = data[:end], end + 4
            if is_get := head.startswith(b"GET"):
                pass
            elif (at := head.lower().find(_LENGTH)) >= 0:
                size += int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
            if len(data) < size:
                break
            data = data[size:]
            reply = _GET if is_get else _POST
            if _Connection.latency:
                asyncio.get_running_loop().call_later(_Connection.latency, self._transport.write, reply)
            else:
                self._transport.write(reply)
        self._waiting = data


class _Hubs:
    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []
        self._sockets: list[socket.socket] = []

    async def open(self, count: int = 1, latency: float = 0.0) -> list[str]:
        """Open hubs and return their addresses; from now on all take ``latency`` seconds for an answer."""
        _Connection.latency = latency
        loop = asyncio.get_running_loop()
        addresses = []
        for _ in range(count):
            server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=1024)
            self._servers.append(server)
            addresses.append(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        return addresses

    async def asleep(self, count: int = 1) -> list[str]:
        """Open hubs that do not answer the connection, as one that sleeps does not; Linux only."""
        addresses = []
        for _ in range(count):
            door = socket.create_server(("127.0.0.1", 0), backlog=0)
            self._sockets.append(door)
            for _ in range(2):
                waiting = socket.socket()
                waiting.setblocking(False)
                waiting.connect_ex(door.getsockname())
                self._sockets.append(waiting)
            addresses.append(f"127.0.0.1:{door.getsockname()[1]}")
        return addresses

    async def close(self) -> None:
        """Close all hubs."""
        for server in self._servers:
            server.close()
        for sock in self._sockets:
            sock.close()
        self._servers, self._sockets = [], []


def main() -> None:
    """Serve until the pipe is closed."""
    hubs = _Hubs()
    asyncio.run(pipe.serve({"open": hubs.open, "asleep": hubs.asleep, "close": hubs.close}))
