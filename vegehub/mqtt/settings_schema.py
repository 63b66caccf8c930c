"""What may stand in the settings of a bridge."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import VegeHubValueError
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
    import voluptuous as vol  # noqa: PLC0415 - not every program that uses this library edits files

    def one_of(*keys: str) -> Callable[[Any], Any]:
        def check_keys(section: dict[str, Any]) -> dict[str, Any]:
            if all(key in section for key in keys):
                raise vol.Invalid(f"only one of {' and '.join(keys)} can hold", path=[keys[1]])
            return section

        return check_keys

    rules: dict[Any, Any] = {
        vol.Optional("duration"): _seconds(MIN_ON, MAX_DURATION),
        vol.Optional("max_on"): _seconds(MIN_ON, MAX_DURATION),
        vol.Optional("expires_in"): _seconds(1, MAX_DURATION),
    }
    sensor = {
        vol.Optional("type"): _call(sensor_curve),
        vol.Optional("points"): list,
        vol.Optional("unit"): _text(16),
        vol.Optional("name"): _text(64),
        vol.Optional("device_class"): _matching(_CLASS, "expected a device class of Home Assistant"),
    }
    hub: dict[Any, Any] = {
        vol.Required("mac"): _mac,
        vol.Required("address"): _call(_address),
        vol.Optional("name", default=""): _text(64),
        vol.Optional("inputs"): _count(0, _MOST),
        vol.Optional("actuators"): _count(0, _MOST),
        vol.Optional("battery"): bool,
        vol.Optional("update_period"): _seconds(1, _LONGEST_PERIOD),
        vol.Optional("sleeps"): bool,
        vol.Optional("sensors", default=dict): {_count(1, _MOST): vol.Any(_call(_sensor_by_name), sensor)},
        vol.Optional("actuator_names", default=dict): {_count(0, _MOST): _text(64)},
        **rules,
    }
    broker: dict[Any, Any] = {
        vol.Required("host"): _text(253, least=1),
        vol.Optional("port"): _count(1, 65535),
        vol.Optional("username"): _text(MAX_SECRET),
        vol.Optional("password"): _text(MAX_SECRET),
        vol.Optional("password_file"): _text(MAX_SECRET, least=1),
        vol.Optional("client_id", default=""): _text(64),
        vol.Optional("bind_address", default=""): _text(253),
        vol.Optional("keepalive", default=KEEPALIVE): _count(5, 3600),
        vol.Optional("reconnect_max", default=60): _seconds(1, 3600),
        vol.Optional("tls"): vol.Any(
            bool, dict.fromkeys(map(vol.Optional, ("ca_file", "cert_file", "key_file")), _text(MAX_SECRET, least=1))
        ),
    }
    receiver = {
        vol.Required("host"): _text(253, least=1),
        vol.Optional("port", default=8099): _count(0, 65535),
        vol.Optional("token"): _matching(is_token, "expected 16 to 200 letters, digits, - and _"),
        vol.Optional("token_file"): _text(MAX_SECRET, least=1),
        vol.Optional("only_listed", default=False): bool,
    }
    name = _matching(_NAME, "expected up to 32 letters, digits, - and _")
    return vol.Schema(
        {
            vol.Required("broker"): vol.All(broker, one_of("password", "password_file")),
            vol.Required("receiver"): vol.All(receiver, one_of("token", "token_file")),
            vol.Required("state"): _text(MAX_SECRET, least=1),
            vol.Optional("name", default=DEFAULT_NAME): name,
            vol.Optional("group", default=list): [name],
            vol.Optional("prefix", default=DEFAULT_PREFIX): _call(check_levels),
            vol.Optional("discovery", default=DEFAULT_DISCOVERY): vol.Any(None, False, _call(check_levels)),
            vol.Optional("commands", default=dict): vol.Any(bool, {vol.Optional("enabled"): bool, **rules}),
            vol.Optional("hubs", default=list): vol.All([hub], vol.Length(max=_MAX_HUBS), _each_once),
        }
    )


def _invalid(message: str, path: list[Any] | None = None) -> Exception:
    import voluptuous as vol  # noqa: PLC0415 - as above

    return vol.Invalid(message, path=path)


def _call(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Have a check of this library refuse a value in its own words."""

    def call(value: Any) -> Any:
        try:
            return function(value)
        except VegeHubValueError as err:
            raise _invalid(str(err)) from None

    return call


def _text(most: int, least: int = 0) -> Callable[[Any], str]:
    def check_text(value: Any) -> str:
        if not isinstance(value, str):
            raise _invalid("expected text; a number or a date has to stand in quotes")
        if not least <= len(value) <= most or not value.isprintable():
            raise _invalid(f"expected {least} to {most} characters that can be printed")
        return value

    return check_text


def _matching(fits: Callable[[str], object], expected: str) -> Callable[[Any], str]:
    def check_pattern(value: Any) -> str:
        if not isinstance(value, str) or not fits(value):
            raise _invalid(expected)
        return value

    return check_pattern


def _count(low: int, high: int) -> Callable[[Any], int]:
    def check_count(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _invalid(f"expected an integer from {low} to {high}")
        return value

    return check_count


def _seconds(low: float, high: float) -> Callable[[Any], float]:
    return _call(lambda value: check_seconds("it", value, low, high))


def _mac(value: Any) -> str:
    try:
        return normalize_mac(value) if isinstance(value, str) else normalize_mac("")
    except ValueError:
        raise _invalid('expected a MAC of 12 hex digits, in quotes: "7C:9E:BD:11:22:33"') from None


def _address(value: Any) -> str:
    HubAddress.parse(value)
    return str(value)


def _sensor_by_name(value: Any) -> dict[str, Any]:
    if not isinstance(value, str):
        raise VegeHubValueError("expected the name of a sensor, or an object with type or points")
    return {"type": sensor_curve(value)}


def _each_once(hubs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    first: dict[str, int] = {}
    for index, hub in enumerate(hubs):
        if first.setdefault(hub["mac"], index) != index:
            raise _invalid(f"the same as hubs[{first[hub['mac']]}].mac", [index, "mac"])
    return hubs
