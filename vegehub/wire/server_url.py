"""URLs of servers that a hub reports to: when two are the same, and what may be sent to a hub."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from vegehub.exceptions import VegeHubValueError

from .payload import kind

MAX_TEXT = 256
"""Longest URL that a hub is known to keep; the bound for keys and names too."""
_MAX_PORT = 65535
_DEFAULT_PORTS = {"http": 80, "https": 443}


class _Place(NamedTuple):
    """A URL in the form in which two spellings of one server are equal."""

    scheme: str
    user: str
    host: str
    port: int | None
    path: str
    query: str
    fragment: str


def _place(url: str) -> _Place | None:
    """Take a URL apart; None if it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if port is None:
        port = _DEFAULT_PORTS.get(parts.scheme)
    user = parts.netloc.rpartition("@")[0]
    host = (parts.hostname or "").lower()
    return _Place(parts.scheme, user, host, port, parts.path or "/", parts.query, parts.fragment)


def same_url(one: str, other: str) -> bool:
    """Tell whether two URLs name one server; case of scheme and host, default port and an empty path do not count."""
    place = _place(one)
    return one == other or (place is not None and place == _place(other))


def related_urls(one: str, other: str) -> bool:
    """Tell whether two URLs share the host or the path: a server that has moved, or has a new path."""
    first, second = _place(one), _place(other)
    if first is None or second is None or not first.host or not second.host:
        return False
    return first.host == second.host or first.path == second.path


def check_server_url(url: object) -> str:
    """Return a server URL unchanged: http or https with a host, 256 characters at most; VegeHubValueError else.

    The error never quotes the URL: the path of a webhook is a secret.
    """
    text = _check_text("server URL", url)
    if any(character.isspace() for character in text):
        raise VegeHubValueError("server URL: a space is not allowed")
    place = _place(text)
    if place is None or place.scheme not in _DEFAULT_PORTS or not place.host or not place.port:
        raise VegeHubValueError(
            f"server URL: expected http:// or https://, a host and, if any, a port of 1 to {_MAX_PORT}"
        )
    return text


def check_api_key(api_key: object) -> str:
    """Return an api key unchanged: text of 256 characters at most, "" for none; VegeHubValueError else."""
    return _check_text("api_key", api_key)


def check_server_name(name: object) -> str:
    """Return the name of an endpoint unchanged: text of 1 to 256 characters; VegeHubValueError else."""
    if not (text := _check_text("server name", name)):
        raise VegeHubValueError("server name: must not be empty")
    return text


def _check_text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise VegeHubValueError(f"{what}: expected text, got {kind(value)}")
    if len(value) > MAX_TEXT:
        raise VegeHubValueError(f"{what}: {len(value)} characters, at most {MAX_TEXT} are allowed")
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in value):
        raise VegeHubValueError(f"{what}: a control character is not allowed")
    return value
