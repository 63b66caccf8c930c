"""HTTP replies, cut into the pieces in which they are sent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from .odd_json import ODD

if TYPE_CHECKING:
    from .faults import Plan

_MIDDLE_BODY = b'{"error":"success"}'


@dataclass(frozen=True, slots=True)
class Reply:
    """What the hub has to say to one request."""

    body: bytes = b""
    status: int = 200
    closes: bool = False
    """The connections of the hub are lost after it."""
    withheld: bool = False
    """The connections are lost before it."""

    @classmethod
    def json(cls, document: Any, status: int = 200) -> Reply:
        """Write ``document`` as the hub does: compact, keys in their order."""
        return cls(json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode(), status)


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that are sent at once."""

    data: bytes
    pause: float = 0.0
    """Real seconds before."""


def render(reply: Reply, plan: Plan, content_type: str, *, keep_alive: bool) -> list[Piece]:
    """Return the pieces of ``reply`` as ``plan`` wants them; nothing of them is empty."""
    if plan.raw is not None:
        return [Piece(plan.raw)]
    body = reply.body if plan.body is None else plan.body
    if plan.odd:
        body = ODD[plan.odd](body)
    body = body.ljust(plan.pad_to)
    if plan.cut is not None and plan.cut.part == "body" and not body:
        body = _MIDDLE_BODY  # an empty body cannot break off
    status = reply.status if plan.status == HTTPStatus.OK else plan.status
    head = _head(status, len(body), plan, content_type, keep_alive=keep_alive)
    tail = b""
    if plan.framing == "chunked":
        body, tail = (b"%x\r\n%b\r\n" % (len(body), body) if body else b""), b"0\r\n\r\n"
    pieces = _cut(plan, head, [Piece(body, plan.body_delay), Piece(tail, plan.last_chunk_delay)])
    if plan.trickle is not None:
        pieces = [Piece(piece.data[i : i + 1], plan.trickle) for piece in pieces for i in range(len(piece.data))]
    return _joined(pieces)


def _head(status: int, length: int, plan: Plan, content_type: str, *, keep_alive: bool) -> bytes:
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Unknown"
    lines = [f"{plan.version} {status} {reason}"]
    kind = content_type if plan.content_type == "" else plan.content_type
    if kind is not None:
        lines.append(f"Content-Type: {kind}")
    if plan.location:
        lines.append(f"Location: {plan.location}")
    if plan.framing == "length":
        lines.append(f"Content-Length: {length}")
    elif plan.framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
    lines.append(f"Connection: {'keep-alive' if keep_alive else 'close'}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _cut(plan: Plan, head: bytes, rest: list[Piece]) -> list[Piece]:
    cut = plan.cut
    if cut is None:
        return [Piece(head), *rest]
    if cut.part == "head":
        return [Piece(head[: len(head) // 2 if cut.keep is None else cut.keep])]
    body = rest[0]
    keep = len(body.data) // 2 if cut.keep is None else cut.keep
    return [Piece(head), Piece(body.data[:keep], body.pause)]


def _joined(pieces: list[Piece]) -> list[Piece]:
    joined: list[Piece] = []
    for piece in pieces:
        if joined and not piece.pause:
            joined[-1] = Piece(joined[-1].data + piece.data, joined[-1].pause)
        elif piece.data:
            joined.append(piece)
    return [piece for piece in joined if piece.data]
