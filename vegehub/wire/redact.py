"""What must never be printed, logged or saved in clear: passwords, keys, names of networks, and the paths of webhooks.

What is secret is told by the key that it stands under; what is a URL, by its form, wherever it stands.
"""

from __future__ import annotations

import math
import re
from typing import Any

REDACTED = "**REDACTED**"
"""The mark that stands where a secret was."""
MAX_DEPTH = 64
"""Levels of nesting that are copied; what lies deeper becomes the mark."""

_MAX_BITS = 128  # a longer integer is no number of a hub, and from 4,300 digits on Python refuses to print it
_MAX_URL = 4096

# An SSID is a secret too: it can be looked up on maps and leads to the house.
_SECRET_KEY = re.compile(
    r"(?:^|_)(?:key|pw|pwd|psk|pin|pass|auth|authorization|cookie|login)s?$"
    r"|(?:api|route|read|write|access|private)_?key"
    r"|passw|passphrase|secret|token|credential|ssid"
    r"|^server_(?:user|channel)$"
)
_URL_KEY = re.compile(r"(?:^|_)(?:url|uri|webhook)s?$")
_PUBLIC_URL_KEY = "firmware_url"
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SEPARATORS = re.compile(r"[-. ]")

# The scheme is bounded, so that a long text without any URL costs no more than its length.
_URL_IN_TEXT = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]{0,20}://[^\s\"'<>]*")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]*")
_HOST_AND_PORT = re.compile(r"(?:\[[0-9a-zA-Z:.%_\-]+\]|[\w.\-]+)(?::\d{0,5})?")
_AUTHORITY_END = re.compile(r"[/?#\\]")


def redact(document: object) -> Any:
    """Return a JSON-able copy of ``document`` without secrets; never raises.

    Under the key of a secret the whole value becomes `REDACTED`, unless it is null or empty. URLs keep scheme, host
    and port, also within longer text. Keys, numbers and other text stay. What JSON cannot hold is named by its type.
    """
    return _redacted(document, "", MAX_DEPTH)


def redact_url(url: str) -> str:
    """Return ``scheme://host:port`` of a URL with the mark for user, path and query, or only the mark for no URL.

    "" stays "". Never raises.
    """
    if not isinstance(url, str) or not url:
        return "" if url == "" else REDACTED
    scheme, separator, rest = url.partition("://")
    if not separator or len(url) > _MAX_URL or not _SCHEME.fullmatch(scheme):
        return REDACTED
    end = _AUTHORITY_END.search(rest)
    authority, path = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    user, at, host = authority.rpartition("@")
    # An @ behind the slash may mean a password with a slash in it: then the host cannot be told from the user.
    if not _HOST_AND_PORT.fullmatch(host) or "@" in path:
        return f"{scheme}://{REDACTED}"
    return f"{scheme}://{REDACTED + at if user or at else ''}{host}{path if path in ('', '/') else '/' + REDACTED}"


def is_redacted(value: object) -> bool:
    """Tell whether ``value`` is text in which the mark stands for a secret."""
    return isinstance(value, str) and REDACTED in value


def contains_redacted(document: object) -> str | None:
    """Return the path of the first redacted value, such as ``endpoints[0].config.api_key``; None if there is none.

    "." stands for the document itself, so that a path is always true.
    """
    waiting: list[tuple[str, object]] = [("", document)]
    seen: set[int] = set()
    while waiting:
        path, value = waiting.pop()
        if is_redacted(value):
            return path or "."
        if not isinstance(value, (dict, list, tuple)) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            inner = [(f"{path}.{key}" if path else f"{key}", item) for key, item in value.items()]
        else:
            inner = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
        waiting.extend(reversed(inner))
    return None


def _redacted(value: object, key: str, levels: int) -> Any:
    """Copy ``value``, which stands under ``key``, with at most ``levels`` levels of nesting."""
    empty = value is None or (isinstance(value, (str, dict, list, tuple)) and not value)
    if _SECRET_KEY.search(key) and not empty:
        return REDACTED
    if isinstance(value, str):
        return _redacted_text(value, key)
    if not isinstance(value, (dict, list, tuple)):
        return _plain(value)
    if levels == 0 and not empty:
        return REDACTED
    if isinstance(value, dict):
        return {_name(name): _redacted(item, _words(_name(name)), levels - 1) for name, item in value.items()}
    # What its key says of a list holds for its entries: update_urls is a list of URLs.
    return [_redacted(item, key, levels - 1) for item in value]


def _redacted_text(text: str, key: str) -> str:
    if key == _PUBLIC_URL_KEY and "@" not in text and "?" not in text:
        return text
    if _URL_KEY.search(key):
        return redact_url(text)
    return _URL_IN_TEXT.sub(lambda match: redact_url(match[0]), text) if "://" in text else text


def _plain(value: object) -> Any:
    """Return a value that holds no others in a form that JSON has."""
    if isinstance(value, float):
        return value if math.isfinite(value) else f"{value}"
    if value is None or (isinstance(value, int) and value.bit_length() <= _MAX_BITS):
        return value
    return f"<{type(value).__name__}>"


def _name(key: object) -> str:
    """Return the name of a field; JSON has only text there."""
    return key if isinstance(key, str) else f"{_plain(key)}"


def _words(name: str) -> str:
    """Return the name of a field in lower case, its words joined by underscores."""
    return _SEPARATORS.sub("_", _WORD_START.sub("_", name)).casefold()
