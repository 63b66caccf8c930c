"""Schemas for what people edit: server settings, saved backups and registries.

Updates and replies of hubs are not checked here: that is done by hand, field by field, many times faster.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import VegeHubValueError
from vegehub.hub import BACKUP_FORMAT, BACKUP_VERSION, MAX_DURATION, MIN_ON, check_seconds
from vegehub.wire import HubAddress, check_server_url, contains_redacted, kind, normalize_mac
from vegehub.wire import schema as parts
from vegehub.wiring import wiring_schema

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_API_KEY = 64
MAX_NAME = 32
"""Longest name of an endpoint, and of a hub, as hubs keep it."""
MAX_ID = 64
MAX_PEER_NAME = 255
"""Longest name of a hub that a registry keeps: what mDNS can carry."""
REGISTRY_FORMAT = "vegehub-registry"
REGISTRY_VERSION = 1

# The bounds of the arguments of VegeHub, checked here so that the error names the place in the file.
_TIMEOUT = (0.05, 3600.0)
_IDLE_TIMEOUT = (1.0, 3600.0)
_MAX_ON = (MIN_ON, MAX_DURATION)


library, invalid, is_text, is_bool, is_list = parts.library, parts.invalid, parts.is_text, parts.is_bool, parts.is_list


def check(schema: str | Callable[[Any], Any], document: object, source: str) -> Any:
    """Return ``document``, checked and with its defaults; VegeHubValueError names ``source`` and the place.

    ``schema`` is ``"server"``, ``"backup"``, ``"registry"``, or a voluptuous schema of your own, whose errors are told
    in voluptuous' words. The text is such as ``hubs.json: hubs[2].name: expected text, got a number``; it quotes no
    secret.
    """
    return parts.validated(named_schema(schema) if isinstance(schema, str) else schema, document, source)


@cache
def named_schema(name: str) -> Callable[[Any], Any]:
    """Return the voluptuous schema ``server``, ``backup`` or ``registry``; VegeHubValueError for another name."""
    builders = {"server": _server, "backup": _backup, "registry": _registry}
    if name not in builders:
        raise VegeHubValueError(f"unknown schema; known are {', '.join(builders)}")
    return builders[name]()


def _server() -> Callable[[Any], Any]:
    """Build the schema for the settings of the server that a hub reports to."""
    optional = library().Optional
    return object_of(
        {
            required("url"): library().All(is_text, _checked(check_server_url)),
            optional("api_key", default=""): _text(MAX_API_KEY),
            optional("name", default="HomeAssistant"): _text(MAX_NAME, least=1),
        }
    )


def _backup() -> Callable[[Any], Any]:
    """Build the schema for a hub's configuration as it was read, with who it was read from and when."""
    optional, every = library().Optional, library().All
    content = {
        optional("mac", default=""): _mac_or_empty,
        optional("firmware", default=""): _text(MAX_NAME),
        optional("saved_at", default=None): _or_none(_time),
        required("config"): every(is_object, _not_redacted),
    }
    return _file(BACKUP_FORMAT, BACKUP_VERSION, content)


def _registry() -> Callable[[Any], Any]:
    """Build the schema for many hubs, each under an id of the user's choice."""
    optional, every = library().Optional, library().All
    options = {
        optional("timeout"): _seconds("timeout", *_TIMEOUT),
        optional("idle_timeout"): _or_none(_seconds("idle_timeout", *_IDLE_TIMEOUT)),
        optional("verify_mac"): is_bool,
        optional("max_on"): _seconds("max_on", *_MAX_ON),
    }
    hub = {
        required("id"): _text(MAX_ID, least=1),
        required("address"): every(is_text, _checked(_address)),
        optional("mac", default=""): _mac_or_empty,
        optional("name", default=""): _text(MAX_PEER_NAME),
        optional("firmware", default=""): _text(MAX_NAME),
        optional("created", default=None): _or_none(_time),
        optional("last_seen", default=None): _or_none(_time),
        optional("suspended"): is_bool,
        optional("metadata", default=dict): is_object,
        optional("options", default=dict): object_of(options),
        optional("wiring"): wiring_schema(),
    }
    hubs = every(is_list, [object_of(hub)], _each_once("id"), _each_once("mac"))
    return _file(REGISTRY_FORMAT, REGISTRY_VERSION, {required("hubs"): hubs})


# --- What schemas are made of, here and elsewhere: each says in our words what it refuses -----------------------------


def required(key: str) -> Any:
    """Return a key that must be there."""
    return library().Required(key, msg="missing")


def object_of(fields: dict[Any, Any]) -> Callable[[Any], Any]:
    """Return a schema for an object with these fields and no others."""
    vol = library()
    return vol.All(is_object, {**fields, vol.Extra: _unknown})  # type: ignore[no-any-return]


def is_object(value: Any) -> Any:
    """Return an object; refuse anything else."""
    if not isinstance(value, dict):
        raise invalid(f"expected an object, got {kind(value)}")
    return value


def _unknown(_: Any) -> None:
    raise invalid("unknown key")


def _file(name: str, version: int, content: dict[Any, Any]) -> Callable[[Any], Any]:
    """Build the schema for a file of ours: its header, and then what it holds."""
    header = {required("format"): name, required("version"): version}
    return library().All(_header(name, version), object_of(header | content))  # type: ignore[no-any-return]


def _header(name: str, version: int) -> Callable[[Any], Any]:
    """Refuse a file of another kind or version by that alone: its other fields may mean anything."""

    def check_header(document: Any) -> Any:
        is_object(document)
        if document.get("format") != name:
            raise invalid(f"expected {name!r}", ["format"])
        found = document.get("version")
        if isinstance(found, bool) or found != version:
            raise invalid(f"another version of this format; this library reads version {version}", ["version"])
        return document

    return check_header


def _text(most: int, least: int = 0) -> Callable[[Any], str]:
    def check_text(value: Any) -> str:
        is_text(value)
        if not least <= len(value) <= most:
            raise invalid(f"{len(value)} characters; {least} to {most} are allowed")
        if not value.isprintable():
            raise invalid("a control character is not allowed")
        return str(value)

    return check_text


def _checked(argument: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Have a check of an argument refuse a field of a file in the same words."""

    def check_argument(value: Any) -> Any:
        try:
            return argument(value)
        except VegeHubValueError as err:
            raise invalid(str(err).removeprefix("server URL: ")) from None

    return check_argument


def _or_none(checker: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else checker(value)


def _address(value: Any) -> Any:
    HubAddress.parse(value)
    return value


def _seconds(name: str, low: float, high: float) -> Callable[[Any], Any]:
    return _checked(lambda value: check_seconds(name, value, low, high))


def _mac_or_empty(value: Any) -> str:
    text = _text(MAX_ID)(value)
    try:
        return normalize_mac(text) if text else ""
    except ValueError:
        raise invalid("must be a MAC of 12 hex digits, or empty") from None


def _time(value: Any) -> str:
    text = _text(MAX_ID)(value)
    try:
        aware = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        raise invalid("must be a time with its zone, such as 2025-01-31T12:00:00+00:00")
    return text


def _not_redacted(config: Any) -> Any:
    path = contains_redacted(config)
    if path is not None:
        raise invalid(f"{path} was redacted, so its value is lost")
    return config


def _each_once(field: str) -> Callable[[Any], Any]:
    def check_each(hubs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        first: dict[str, int] = {}
        for index, hub in enumerate(hubs):
            if hub[field] and first.setdefault(hub[field], index) != index:
                raise invalid(f"the same as hubs[{first[hub[field]]}].{field}", [index, field])
        return hubs

    return check_each
