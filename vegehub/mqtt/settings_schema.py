"""What may stand in the settings of a bridge."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import VegeHubValueError
from vegehub.fleet.schema import invalid, is_bool, is_list, is_object, library, object_of, required
from vegehub.hub.arguments import MAX_DURATION, MIN_ON, check_seconds
from vegehub.sensors import sensor_curve
from vegehub.wire import HubAddress, normalize_mac

from .settings import DEFAULT_NAME, KEEPALIVE
from .topics import DEFAULT_DISCOVERY, DEFAULT_PREFIX, check_levels

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SECRET = 4096
"""Characters of the longest password, name of a user, or path of a file."""
is_token = re.compile(r"[A-Za-z0-9_-]{16,200}").fullmatch
"""Whether a text can be the secret part of a URL for hubs."""

_MAX_HUBS = 10_000
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}").fullmatch
_CLASS = re.compile(r"[a-z0-9_]{1,40}").fullmatch
_MOST = 1000
_LONGEST_PERIOD = 30 * 86_400


@cache
def settings_schema() -> Callable[[Any], Any]:
    """Return the voluptuous schema of the whole document."""
    optional, every = library().Optional, library().All

    def one_of(*keys: str) -> Callable[[Any], Any]:
        def check_keys(section: dict[str, Any]) -> dict[str, Any]:
            if all(key in section for key in keys):
                raise invalid(f"only one of {' and '.join(keys)} can hold", path=[keys[1]])
            return section

        return check_keys

    rules: dict[Any, Any] = {
        optional("duration"): _seconds(MIN_ON, MAX_DURATION),
        optional("max_on"): _seconds(MIN_ON, MAX_DURATION),
        optional("expires_in"): _seconds(1, MAX_DURATION),
    }
    sensor = {
        optional("type"): _call(sensor_curve),
        optional("points"): is_list,
        optional("unit"): _text(16),
        optional("name"): _text(64),
        optional("device_class"): _matching(_CLASS, "expected a device class of Home Assistant"),
    }
    hub: dict[Any, Any] = {
        required("mac"): _mac,
        required("address"): _call(_address),
        optional("name", default=""): _text(64),
        optional("inputs"): _count(0, _MOST),
        optional("actuators"): _count(0, _MOST),
        optional("battery"): is_bool,
        optional("update_period"): _seconds(1, _LONGEST_PERIOD),
        optional("sleeps"): is_bool,
        optional("sensors", default=dict): every(is_object, {_count(1, _MOST): _sensor(sensor)}),
        optional("actuator_names", default=dict): every(is_object, {_count(0, _MOST): _text(64)}),
        **rules,
    }
    broker: dict[Any, Any] = {
        required("host"): _text(253, least=1),
        optional("port"): _count(1, 65535),
        optional("username"): _text(MAX_SECRET),
        optional("password"): _text(MAX_SECRET),
        optional("password_file"): _text(MAX_SECRET, least=1),
        optional("client_id", default=""): _text(64),
        optional("bind_address", default=""): _text(253),
        optional("keepalive", default=KEEPALIVE): _count(5, 3600),
        optional("reconnect_max", default=60): _seconds(1, 3600),
        optional("tls"): _bool_or(
            dict.fromkeys(map(optional, ("ca_file", "cert_file", "key_file")), _text(MAX_SECRET, least=1))
        ),
    }
    receiver = {
        required("host"): _text(253, least=1),
        optional("port", default=8099): _count(0, 65535),
        optional("token"): _matching(is_token, "expected 16 to 200 letters, digits, - and _"),
        optional("token_file"): _text(MAX_SECRET, least=1),
        optional("only_listed", default=False): is_bool,
    }
    name = _matching(_NAME, "expected up to 32 letters, digits, - and _")
    return object_of(
        {
            required("broker"): every(object_of(broker), one_of("password", "password_file")),
            required("receiver"): every(object_of(receiver), one_of("token", "token_file")),
            required("state"): _text(MAX_SECRET, least=1),
            optional("name", default=DEFAULT_NAME): name,
            optional("group", default=list): every(is_list, [name]),
            optional("prefix", default=DEFAULT_PREFIX): _call(check_levels),
            optional("discovery", default=DEFAULT_DISCOVERY): _discovery,
            optional("commands", default=dict): _bool_or({optional("enabled"): is_bool, **rules}),
            optional("hubs", default=list): every(is_list, _not_too_many, [object_of(hub)], _each_once),
        }
    )


def _call(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Have a check of this library refuse a value in its own words."""

    def call(value: Any) -> Any:
        try:
            return function(value)
        except VegeHubValueError as err:
            raise invalid(str(err)) from None

    return call


def _text(most: int, least: int = 0) -> Callable[[Any], str]:
    def check_text(value: Any) -> str:
        if not isinstance(value, str):
            raise invalid("expected text; a number or a date has to stand in quotes")
        if not least <= len(value) <= most or not value.isprintable():
            raise invalid(f"expected {least} to {most} characters that can be printed")
        return value

    return check_text


def _matching(fits: Callable[[str], object], expected: str) -> Callable[[Any], str]:
    def check_pattern(value: Any) -> str:
        if not isinstance(value, str) or not fits(value):
            raise invalid(expected)
        return value

    return check_pattern


def _count(low: int, high: int) -> Callable[[Any], int]:
    def check_count(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise invalid(f"expected an integer from {low} to {high}")
        return value

    return check_count


def _seconds(low: float, high: float) -> Callable[[Any], float]:
    return _call(lambda value: check_seconds("it", value, low, high))


def _mac(value: Any) -> str:
    try:
        return normalize_mac(value) if isinstance(value, str) else normalize_mac("")
    except ValueError:
        raise invalid('expected a MAC of 12 hex digits, in quotes: "7C:9E:BD:11:22:33"') from None


def _address(value: Any) -> str:
    HubAddress.parse(value)
    return str(value)


class _Or:
    """Take what ``short`` takes where it is of the type ``kind``, and else an object with ``fields``."""

    def __init__(self, kind: type, short: Callable[[Any], Any], expected: str, fields: dict[Any, Any]) -> None:
        self._kind = kind
        self._short = short
        self._expected = expected
        self.validators = (object_of(fields),)
        self._section = library().Schema(*self.validators)

    def __call__(self, value: Any) -> Any:
        if isinstance(value, self._kind):
            return self._short(value)
        if not isinstance(value, dict):
            raise invalid(self._expected)
        return self._section(value)


def _bool_or(fields: dict[Any, Any]) -> _Or:
    return _Or(bool, bool, "expected true or false, or an object", fields)


def _sensor(fields: dict[Any, Any]) -> _Or:
    def by_name(name: str) -> dict[str, Any]:
        return {"type": _call(sensor_curve)(name)}

    return _Or(str, by_name, "expected the name of a sensor, or an object with type or points", fields)


def _discovery(value: Any) -> Any:
    return value if value is None or value is False else _call(check_levels)(value)


def _not_too_many(hubs: list[Any]) -> list[Any]:
    if len(hubs) > _MAX_HUBS:
        raise invalid(f"expected at most {_MAX_HUBS} hubs")
    return hubs


def _each_once(hubs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    first: dict[str, int] = {}
    for index, hub in enumerate(hubs):
        if first.setdefault(hub["mac"], index) != index:
            raise invalid(f"the same as hubs[{first[hub['mac']]}].mac", [index, "mac"])
    return hubs
