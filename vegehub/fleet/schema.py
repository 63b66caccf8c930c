"""Schemas for what people edit: server settings, saved backups and registries.

Updates and replies of hubs are not checked here: that is done by hand, field by field, many times faster.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import VegeHubValueError
from vegehub.hub.arguments import MAX_DURATION, MIN_ON, check_seconds
from vegehub.hub.backup import FORMAT as BACKUP_FORMAT
from vegehub.hub.backup import VERSION as BACKUP_VERSION
from vegehub.wire.address import HubAddress
from vegehub.wire.models import normalize_mac
from vegehub.wire.payload import kind
from vegehub.wire.redact import contains_redacted
from vegehub.wire.server_url import check_server_url
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

_SHOWN_ERRORS = 3
# The bounds of the arguments of VegeHub, checked here so that the error names the place in the file.
_TIMEOUT = (0.05, 3600.0)
_IDLE_TIMEOUT = (1.0, 3600.0)
_MAX_ON = (MIN_ON, MAX_DURATION)
_PLAIN_KEY = re.compile(r"[\w\-]{1,64}")
# What voluptuous says, in the words of the rest of this library.
_WORDS = {
    "expected str": "expected text",
    "expected int": "expected an integer",
    "expected float": "expected a number",
    "expected bool": "expected true or false",
    "expected dict": "expected an object",
    "expected a dictionary": "expected an object",
    "expected list": "expected a list",
    "expected a list": "expected a list",
}
_TYPES = frozenset(_WORDS.values())
_WORDS |= {"extra keys not allowed": "unknown key", "required key not provided": "missing"}


def check(schema: str | Callable[[Any], Any], document: object, source: str) -> Any:
    """Return ``document``, checked and with its defaults; VegeHubValueError names ``source`` and the place.

    ``schema`` is ``"server"``, ``"backup"``, ``"registry"``, or a voluptuous schema of your own. The text is such as
    ``hubs.json: hubs[2].name: expected text, got a number``; it quotes no secret.
    """
    # Not every program that uses this library edits files; voluptuous is loaded for those that do.
    import voluptuous as vol  # noqa: PLC0415

    if isinstance(schema, str):
        schema = named_schema(schema)
    try:
        return schema(document)
    except vol.Invalid as err:
        errors = err.errors if isinstance(err, vol.MultipleInvalid) else [err]
        texts = [_text_of(error, document) for error in errors[:_SHOWN_ERRORS]]
        if len(errors) > _SHOWN_ERRORS:
            texts.append(f"and {len(errors) - _SHOWN_ERRORS} more")
    raise VegeHubValueError(f"{source}: {'; '.join(texts)}")


@cache
def named_schema(name: str) -> Callable[[Any], Any]:
    """Return the voluptuous schema ``server``, ``backup`` or ``registry``; VegeHubValueError for another name."""
    builders = {"server": _server, "backup": _backup, "registry": _registry}
    if name not in builders:
        raise VegeHubValueError(f"unknown schema; known are {', '.join(builders)}")
    return builders[name]()


def _server() -> Callable[[Any], Any]:
    """Build the schema for the settings of the server that a hub reports to."""
    import voluptuous as vol  # noqa: PLC0415 - see check

    return vol.Schema(
        {
            vol.Required("url"): vol.All(str, _checked(check_server_url)),
            vol.Optional("api_key", default=""): _text(MAX_API_KEY),
            vol.Optional("name", default="HomeAssistant"): _text(MAX_NAME, least=1),
        }
    )


def _backup() -> Callable[[Any], Any]:
    """Build the schema for a hub's configuration as it was read, with who it was read from and when."""
    import voluptuous as vol  # noqa: PLC0415 - see check

    return vol.All(
        _header(BACKUP_FORMAT, BACKUP_VERSION),
        vol.Schema(
            {
                vol.Required("format"): BACKUP_FORMAT,
                vol.Required("version"): BACKUP_VERSION,
                vol.Optional("mac", default=""): _mac_or_empty,
                vol.Optional("firmware", default=""): _text(MAX_NAME),
                vol.Optional("saved_at", default=None): _or_none(_time),
                vol.Required("config"): vol.All(dict, _not_redacted),
            }
        ),
    )


def _registry() -> Callable[[Any], Any]:
    """Build the schema for many hubs, each under an id of the user's choice."""
    import voluptuous as vol  # noqa: PLC0415 - see check

    options = {
        vol.Optional("timeout"): _seconds("timeout", *_TIMEOUT),
        vol.Optional("idle_timeout"): _or_none(_seconds("idle_timeout", *_IDLE_TIMEOUT)),
        vol.Optional("verify_mac"): bool,
        vol.Optional("max_on"): _seconds("max_on", *_MAX_ON),
    }
    hub = {
        vol.Required("id"): _text(MAX_ID, least=1),
        vol.Required("address"): vol.All(str, _checked(_address)),
        vol.Optional("mac", default=""): _mac_or_empty,
        vol.Optional("name", default=""): _text(MAX_PEER_NAME),
        vol.Optional("firmware", default=""): _text(MAX_NAME),
        vol.Optional("created", default=None): _or_none(_time),
        vol.Optional("last_seen", default=None): _or_none(_time),
        vol.Optional("suspended"): bool,
        vol.Optional("metadata", default=dict): dict,
        vol.Optional("options", default=dict): options,
        vol.Optional("wiring"): wiring_schema(),
    }
    return vol.All(
        _header(REGISTRY_FORMAT, REGISTRY_VERSION),
        vol.Schema(
            {
                vol.Required("format"): REGISTRY_FORMAT,
                vol.Required("version"): REGISTRY_VERSION,
                vol.Required("hubs"): vol.All([hub], _each_once("id"), _each_once("mac")),
            }
        ),
    )


def _text_of(error: Any, document: object) -> str:
    """Say where, what was expected, and which type stands there instead."""
    message = _WORDS.get(error.error_message, error.error_message)
    if message in _TYPES:
        message += f", got {_kind_at(document, error.path)}"
    place = _place(error.path)
    return f"{place}: {message}" if place else message


def _place(path: list[Any]) -> str:
    parts = ""
    for key in path:
        if isinstance(key, int):
            parts += f"[{key}]"
        elif _PLAIN_KEY.fullmatch(str(key)):
            parts += f".{key}" if parts else f"{key}"
        else:
            # Whatever a file has as a key must not reach a terminal as it is.
            parts += f"[{str(key)[:MAX_ID]!a}]"
    return parts


def _kind_at(document: Any, path: list[Any]) -> str:
    for key in path:
        try:
            document = document[key]
        except (KeyError, IndexError, TypeError):
            return "something else"  # a schema of the caller's own may change what it passes on
    return kind(document)


def _invalid(message: str, path: list[Any] | None = None) -> Exception:
    import voluptuous as vol  # noqa: PLC0415 - see check

    return vol.Invalid(message, path=path)


def _header(name: str, version: int) -> Callable[[Any], Any]:
    """Refuse a file of another kind or version by that alone: its other fields may mean anything."""

    def check_header(document: Any) -> Any:
        if not isinstance(document, dict):
            raise _invalid("expected an object")
        if document.get("format") != name:
            raise _invalid(f"expected {name!r}", ["format"])
        found = document.get("version")
        if isinstance(found, bool) or found != version:
            raise _invalid(f"another version of this format; this library reads version {version}", ["version"])
        return document

    return check_header


def _text(most: int, least: int = 0) -> Callable[[Any], str]:
    def check_text(value: Any) -> str:
        if not isinstance(value, str):
            raise _invalid("expected text")
        if not least <= len(value) <= most:
            raise _invalid(f"{len(value)} characters; {least} to {most} are allowed")
        if not value.isprintable():
            raise _invalid("a control character is not allowed")
        return value

    return check_text


def _checked(argument: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Have a check of an argument refuse a field of a file in the same words."""

    def check_argument(value: Any) -> Any:
        try:
            return argument(value)
        except VegeHubValueError as err:
            raise _invalid(str(err).removeprefix("server URL: ")) from None

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
        raise _invalid("must be a MAC of 12 hex digits, or empty") from None


def _time(value: Any) -> str:
    text = _text(MAX_ID)(value)
    try:
        aware = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        raise _invalid("must be a time with its zone, such as 2025-01-31T12:00:00+00:00")
    return text


def _not_redacted(config: Any) -> Any:
    path = contains_redacted(config)
    if path is not None:
        raise _invalid(f"{path} was redacted, so its value is lost")
    return config


def _each_once(field: str) -> Callable[[Any], Any]:
    def check_each(hubs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        first: dict[str, int] = {}
        for index, hub in enumerate(hubs):
            if hub[field] and first.setdefault(hub[field], index) != index:
                raise _invalid(f"the same as hubs[{first[hub[field]]}].{field}", [index, field])
        return hubs

    return check_each
