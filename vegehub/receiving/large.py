"""Large pushes: read and written in a thread, in steps so short that the event loop never waits long for its turn.

The C parts of `json` do not give way to another thread before they are done with a document. With a function of Python's
to call for each object and number, they do.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import VegeHubPayloadError
from vegehub.wire import parse_update

if TYPE_CHECKING:
    from datetime import datetime

    from vegehub.wire import Update

LARGE_BODY = 256 * 2**10
"""Bytes from which a push is large: a small computer decodes them in some ten milliseconds."""
MAX_VALUES = 500_000
"""Values that a large push holds at most: more than 8 MiB of samples with a time have."""


def _object(value: dict[str, Any]) -> dict[str, Any]:
    return value


def _int(text: str) -> int:
    return int(text)


def _float(text: str) -> float:
    return float(text)


_decoder = json.JSONDecoder(object_hook=_object, parse_int=_int, parse_float=_float)
_encoder = json.JSONEncoder(separators=(",", ":"))


def parse_large(body: bytes, now: datetime | None = None, charset: str | None = None) -> Update:
    """Do what `parse_update` does, to be called in a thread; VegeHubPayloadError also for more than half a million values."""
    if body.count(b",") > MAX_VALUES:
        raise VegeHubPayloadError(f"payload: more than {MAX_VALUES} values")
    try:
        document = _decoder.decode(body.decode())
    except (ValueError, RecursionError):
        return parse_update(body, now, charset)  # which knows what can be made of it, or says why nothing can
    return parse_update(document if isinstance(document, dict) else body, now, charset)


def encode_json(value: object, *, is_large: bool = False) -> str:
    """Return JSON without white space, of ASCII characters; of something large in steps."""
    return "".join(_encoder.iterencode(value)) if is_large else _encoder.encode(value)
