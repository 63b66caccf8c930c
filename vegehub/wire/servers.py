"""The servers that a hub reports to: read from its configuration, the record of a change of them, and their URLs."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from vegehub.exceptions import VegeHubPayloadError, VegeHubValueError

from .fields import FLAG, INTEGER, TEXT, Fields, Kind, essential
from .payload import as_list, as_object, kind, wrong
from .redact import contains_redacted, redact_url

if TYPE_CHECKING:
    from collections.abc import Mapping

Shape = Literal["endpoints", "hub"]
"""Where a firmware keeps its servers: in the list ``endpoints`` (new), or in ``hub`` and ``api_key`` (old)."""

CUSTOM = "custom"
"""Type of the endpoints that report to a server of the user's choice."""
CUSTOM_SERVER_TYPE = 3
"""The same on old firmware, in ``hub.server_type``."""


def shape_of(config: object) -> Shape | None:
    """Tell new firmware (``endpoints``) from old (``hub``) by what is there; None for neither."""
    if not isinstance(config, dict):
        return None
    if isinstance(config.get("endpoints"), list):
        return "endpoints"
    return "hub" if isinstance(config.get("hub"), dict) and "api_key" in config else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that a hub reports to."""

    id: int | str | None = None
    """The hub's own number of the endpoint; None on old firmware, which has one server."""
    name: str = ""
    kind: str = ""
    """``custom``, ``vegecloud`` or what else the hub says; on old firmware ``custom`` or ``legacy`` (any other type)."""
    url: str = field(default="", repr=False)
    enabled: bool = True
    """True on old firmware, which cannot switch its server off, and where a hub says something odd."""
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False, compare=False)
    """Fields of the endpoint that are not known, or odd, as they came."""
    problems: tuple[str, ...] = field(default=(), compare=False)
    """The odd ones in words, without their values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerChange:
    """One change of the server that a hub reports to: what is sent, and what it takes to undo it.

    It holds api keys and the path of the webhook, which ``repr`` and ``summary`` leave out and ``to_dict`` does not.
    """

    shape: Shape
    url: str = field(repr=False)
    name: str
    before: tuple[Mapping[str, Any], ...] = field(default=(), repr=False, hash=False)
    """The endpoints of ours that were there, the first one updated and the others removed; or the one object
    ``server_url``, ``server_type``, ``api_key`` of old firmware, without keys that it did not have."""
    positions: tuple[int, ...] = ()
    """Where each endpoint of ``before`` stood in the list."""
    after: Mapping[str, Any] = field(repr=False, hash=False)
    """The one endpoint of ours, or the object of old firmware, as it is sent."""
    document: Mapping[str, Any] = field(repr=False, hash=False)
    """What is sent to the hub, in this firmware's own shape."""

    @property
    def changed(self) -> bool:
        """False when the hub has it all already, so that nothing needs writing."""
        return self.before != (self.after,)

    @property
    def summary(self) -> str:
        """One line for people, without secrets."""
        server = redact_url(self.url)
        if not self.changed:
            return f"{self._subject} stays at {server}"
        if self.shape == "endpoints" and not self.before:
            return f"{self._subject} is added, at {server}"
        removed = len(self.before) - 1
        doubles = f"; {removed} double{'s' if removed > 1 else ''} of it removed" if removed else ""
        return f"{self._subject} is set to {server}{doubles}"

    @property
    def _subject(self) -> str:
        return f"endpoint {self.name!r}" if self.shape == "endpoints" else "the hub's only server"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able copy for ``from_dict``, api keys and URLs in clear: keep it private."""
        return {
            "shape": self.shape,
            "url": self.url,
            "name": self.name,
            "before": [copy.deepcopy(dict(entry)) for entry in self.before],
            "positions": list(self.positions),
            "after": copy.deepcopy(dict(self.after)),
            "document": copy.deepcopy(dict(self.document)),
        }

    @classmethod
    def from_dict(cls, data: object) -> ServerChange:
        """Read what ``to_dict`` returned; VegeHubValueError names what is wrong, redacted values included."""
        try:
            return cls._read(data)
        except VegeHubPayloadError as err:
            raise VegeHubValueError(f"saved server change: {err}") from None

    @classmethod
    def _read(cls, data: object) -> ServerChange:
        saved = copy.deepcopy(as_object(data))
        if path := contains_redacted(saved):
            raise VegeHubValueError(f"saved server change: {path} was redacted, so what was there is lost")
        shape = saved.get("shape")
        if shape not in ("endpoints", "hub"):
            raise wrong("shape", "'endpoints' or 'hub'", shape)
        entries = as_list(saved.get("before"), "before")
        before = tuple(as_object(entry, f"before[{index}]") for index, entry in enumerate(entries))
        places = as_list(saved.get("positions"), "positions")
        positions = tuple(essential(place, INTEGER, f"positions[{index}]") for index, place in enumerate(places))
        if len(positions) != len(before) or any(place < 0 for place in positions):
            raise wrong("positions", "an index for each object of 'before'", places)
        after = as_object(saved.get("after"), "after")
        if shape == "hub" and len(before) != 1:
            raise wrong("before", "one object", entries)
        if shape == "endpoints":
            for path, entry in (*((f"before[{index}]", entry) for index, entry in enumerate(before)), ("after", after)):
                as_object(entry.get("config"), f"{path}.config")
        return cls(
            shape=shape,
            url=essential(saved.get("url"), TEXT, "url"),
            name=essential(saved.get("name"), TEXT, "name"),
            before=before,
            positions=positions,
            after=after,
            document=as_object(saved.get("document"), "document"),
        )


def list_servers(config: object) -> tuple[Server, ...]:
    """Read the servers of a configuration, entries of unknown shape left out.

    VegeHubPayloadError when it has neither an ``endpoints`` list nor both ``hub`` and ``api_key``.
    """
    shape = shape_of(config)
    if shape is None or not isinstance(config, dict):
        raise wrong("", "a configuration with a list 'endpoints', or 'hub' and 'api_key'", config)
    if shape == "endpoints":
        entries = config["endpoints"]
        return tuple(_server(entry, index) for index, entry in enumerate(entries) if isinstance(entry, dict))
    fields = Fields(config["hub"], "hub")
    kind = CUSTOM if is_custom(config["hub"]) else "legacy"
    return (Server(kind=kind, url=fields.get("server_url", TEXT) or "", problems=tuple(fields.problems)),)


def is_custom(hub: Mapping[str, Any]) -> bool:
    """Tell whether old firmware reports to a server of the user's choice: ``server_type`` is 3, as a number or text."""
    return INTEGER.read(hub.get("server_type")) == CUSTOM_SERVER_TYPE


def _server(entry: Mapping[str, Any], index: int) -> Server:
    path = f"endpoints[{index}]"
    fields = Fields(entry, path)
    settings: dict[str, Any] | None = fields.get("config", _OBJECT)
    inner = Fields(settings or {}, f"{path}.config")
    found = Server(
        id=fields.get("id", _ID),
        name=fields.get("name", TEXT) or "",
        kind=fields.get("type", TEXT) or "",
        url=inner.get("url", TEXT) or inner.get("server_url", TEXT) or "",
        enabled=fields.get("enabled", FLAG) is not False,
    )
    return replace(found, extra=fields.extra, problems=(*fields.problems, *inner.problems))


_ID: Kind[int | str] = Kind(
    "an integer or text", lambda value: value if isinstance(value, (int, str)) and not isinstance(value, bool) else None
)
_OBJECT: Kind[dict[str, Any]] = Kind("an object", lambda value: value if isinstance(value, dict) else None)


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
