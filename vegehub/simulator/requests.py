"""HTTP requests, from bytes as they arrive."""

from __future__ import annotations

from dataclasses import dataclass, field

_MAX_HEAD = 8192
_HTTP_1_0 = "HTTP/1.0"
_CHUNK_LINE = 1024


class BadRequestError(Exception):
    """Bytes that are no request, or one that is too large; ``status`` is the reply it gets."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One complete request; header names are in lower case."""

    method: str
    path: str
    """Without the query."""
    body: bytes = b""
    version: str = "HTTP/1.1"
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to use the connection again."""
        wish = self.headers.get("connection", "").lower()
        return "keep-alive" in wish if self.version == _HTTP_1_0 else "close" not in wish


class RequestParser:
    """Collects bytes and gives out requests; bodies by Content-Length or chunked, up to ``max_body`` bytes."""

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._buffer = bytearray()
        self._head: Request | None = None
        self._chunks: bytearray | None = None
        self._length = 0
        self._in_trailer = False
        self.expects_continue = False
        """A client waits for ``100 Continue`` before it sends the body; the reader of this resets it."""

    @property
    def started(self) -> bool:
        """Whether part of a request has come."""
        return self._head is not None or bool(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take bytes from the connection."""
        self._buffer += data

    def next(self) -> Request | None:
        """Return the next complete request, or None until more bytes come; BadRequestError if there will be none."""
        if self._head is None and not self._read_head():
            return None
        head = self._head
        if head is None:  # pragma: no cover - set by _read_head
            return None
        body = self._read_chunks() if self._chunks is not None else self._read_length()
        if body is None:
            return None
        self._head = self._chunks = None
        self.expects_continue = False
        return Request(head.method, head.path, body, head.version, head.headers)

    def _read_head(self) -> bool:
        # Blank lines before a request are left over by some clients; HTTP says to skip them.
        while self._buffer.startswith(b"\r\n"):
            del self._buffer[:2]
        end = self._buffer.find(b"\r\n\r\n")
        if end > _MAX_HEAD or (end < 0 and len(self._buffer) > _MAX_HEAD):
            raise BadRequestError(431, "headers too large")
        if end < 0:
            return False
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        self._head = _parse_head(lines)
        self._prepare_body(self._head.headers)
        return True

    def _prepare_body(self, headers: dict[str, str]) -> None:
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if coding is not None:
            if coding.lower() != "chunked" or length is not None:
                raise BadRequestError(400, "unknown transfer encoding")
            self._chunks, self._in_trailer = bytearray(), False
        else:
            self._length = _decimal(length or "0")
            self._check_size(self._length)
        self.expects_continue = headers.get("expect", "").lower() == "100-continue"

    def _check_size(self, size: int) -> None:
        if size > self._max_body:
            raise BadRequestError(413, "body too large")

    def _read_length(self) -> bytes | None:
        if len(self._buffer) < self._length:
            return None
        body = bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        return body

    def _read_chunks(self) -> bytes | None:
        chunks = self._chunks
        while chunks is not None and (end := self._buffer.find(b"\r\n")) >= 0:
            line = bytes(self._buffer[:end])
            if self._in_trailer:
                del self._buffer[: end + 2]
                if not line:
                    return bytes(chunks)
                continue
            size = _hexadecimal(line.split(b";")[0].strip())
            self._check_size(len(chunks) + size)
            if size == 0:
                del self._buffer[: end + 2]
                self._in_trailer = True
                continue
            if len(self._buffer) < end + 2 + size + 2:
                return None
            chunks += self._buffer[end + 2 : end + 2 + size]
            if self._buffer[end + 2 + size : end + 4 + size] != b"\r\n":
                raise BadRequestError(400, "bad chunk")
            del self._buffer[: end + 4 + size]
        if len(self._buffer) > _CHUNK_LINE:
            raise BadRequestError(400, "bad chunk")
        return None


def _parse_head(lines: list[str]) -> Request:
    parts = lines[0].split(" ")
    match parts:
        case [method, target, ("HTTP/1.0" | "HTTP/1.1") as version] if method.isalpha() and target.startswith("/"):
            pass
        case _:
            raise BadRequestError(400, "bad request line")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name or name != name.strip():
            raise BadRequestError(400, "bad header")
        if name in headers and name in {"content-length", "transfer-encoding"}:
            raise BadRequestError(400, "repeated header")
        headers[name] = value.strip()
    return Request(method, target.split("?")[0], version=version, headers=headers)


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):  # noqa: PLR2004 - digits of a 63-bit number
        raise BadRequestError(400, "bad content length")
    return int(text)


def _hexadecimal(text: bytes) -> int:
    if not text or len(text) > 16 or not all(byte in b"0123456789abcdefABCDEF" for byte in text):  # noqa: PLR2004 - digits of a 64-bit number
        raise BadRequestError(400, "bad chunk")
    return int(text, 16)
