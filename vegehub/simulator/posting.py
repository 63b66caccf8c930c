"""The hub as an HTTP client: one POST over a connection of its own, to the loopback only."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from urllib.parse import SplitResult, urlsplit

# A hub has little memory: more of a reply is not read.
_MAX_REPLY = 65536


def loopback(url: str) -> SplitResult | None:
    """Return the parts of ``url`` if it is plain HTTP to this machine; nothing else is ever contacted."""
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port != 0
        local = parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return None
    return parts if local and port_is_valid and parts.scheme == "http" else None


async def post(url: str, body: bytes, timeout: float, *, chunked: bool = False) -> int | None:
    """Post JSON and return the HTTP status; None if there was no reply within ``timeout`` real seconds."""
    parts = loopback(url)
    if parts is None or parts.hostname is None:
        return None
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80, limit=_MAX_REPLY)
            try:
                writer.write(_request(parts, body, chunked=chunked))
                return await _status(reader)
            finally:
                writer.transport.abort()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError, ValueError, EOFError, asyncio.LimitOverrunError):
        return None


def _request(parts: SplitResult, body: bytes, *, chunked: bool) -> bytes:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    lines = [
        f"POST {target} HTTP/1.1",
        f"Host: {parts.netloc.rpartition('@')[2]}",
        "Content-Type: application/json",
        length,
        "Connection: close",
        "",
        "",
    ]
    if chunked:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return "\r\n".join(lines).encode() + body


async def _status(reader: asyncio.StreamReader) -> int:
    """Read a reply to its end and return its status; ValueError if it is none."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    version, status, *_ = head.split(None, 2)
    if not version.startswith("http/1."):
        raise ValueError("not HTTP")
    length = next((line[15:] for line in head.split("\r\n") if line.startswith("content-length:")), None)
    if length is not None:
        await reader.readexactly(min(int(length), _MAX_REPLY))
    else:
        await reader.read(_MAX_REPLY)
    return int(status)
