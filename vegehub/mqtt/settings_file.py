"""Reads the settings of a bridge: a YAML file, with the environment on top, every error naming its key."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import VegeHubValueError
from vegehub.files import read_limited
from vegehub.fleet.schema import check
from vegehub.sensors import PiecewiseCurve

from .commands import CommandRules
from .settings import (
    MQTT_PORT,
    MQTTS_PORT,
    BridgeSettings,
    BrokerSettings,
    HubSettings,
    ReceiverSettings,
    SensorSettings,
    TlsSettings,
)
from .settings_schema import MAX_SECRET, is_token, settings_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLES = {
    "VEGEHUB_MQTT_HOST": ("broker", "host"),
    "VEGEHUB_MQTT_PORT": ("broker", "port"),
    "VEGEHUB_MQTT_USERNAME": ("broker", "username"),
    "VEGEHUB_MQTT_PASSWORD": ("broker", "password"),
    "VEGEHUB_MQTT_PASSWORD_FILE": ("broker", "password_file"),
    "VEGEHUB_BRIDGE_HOST": ("receiver", "host"),
    "VEGEHUB_BRIDGE_PORT": ("receiver", "port"),
    "VEGEHUB_BRIDGE_TOKEN": ("receiver", "token"),
    "VEGEHUB_BRIDGE_TOKEN_FILE": ("receiver", "token_file"),
    "VEGEHUB_BRIDGE_NAME": ("name",),
    "VEGEHUB_BRIDGE_STATE": ("state",),
}
"""Variables of the environment, each with the key that it takes the place of."""

_MAX_FILE = 4 * 2**20


def load_settings(path: str | Path | None, environment: Mapping[str, str] | None = None) -> BridgeSettings:
    """Read settings from a YAML file, None for none, and from the environment, which takes precedence.

    VegeHubValueError names the file or the variable, and the key; it quotes no value of a secret. OSError: a file cannot
    be read. Blocks.
    """
    source = "the environment" if path is None else str(path)
    document = {} if path is None else _read_yaml(Path(path))
    if not isinstance(document, dict):
        raise VegeHubValueError(f"{source}: expected keys and values, such as broker: and hubs:")
    variables = {name: value for name, value in (environment or {}).items() if name in VARIABLES and value}
    document = _overlaid(document, variables)
    try:
        checked = check(settings_schema(), document, source)
    except VegeHubValueError as err:
        raise VegeHubValueError(_blaming_variables(str(err), variables)) from None
    return _settings(checked, Path() if path is None else Path(path).parent, source)


def _read_yaml(path: Path) -> Any:
    try:
        import yaml  # noqa: PLC0415 - of the extra mqtt
    except ModuleNotFoundError as err:
        raise VegeHubValueError('PyYAML is missing; install it with: pip install "vegehub[mqtt]"') from err

    class Loader(yaml.SafeLoader):
        """Refuses a key that stands twice: nobody knows which of the two is meant."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen: set[str] = set()
            for key, _ in node.value:
                if isinstance(key.value, str):
                    if key.value in seen:
                        raise yaml.MarkedYAMLError(problem_mark=key.start_mark)
                    seen.add(key.value)
            return super().construct_mapping(node, deep)

    content = read_limited(path, _MAX_FILE)
    try:
        return yaml.load(content, Loader)  # noqa: S506 - a safe loader
    except Exception as err:  # noqa: BLE001 - PyYAML raises whatever its constructors stumble over
        # What PyYAML says quotes the line, and there may be a password in it.
        mark = getattr(err, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        what = "a key stands there twice" if isinstance(err, yaml.MarkedYAMLError) and not err.problem else "not YAML"
    raise VegeHubValueError(f"{path}{where}: {what}")


def _overlaid(document: dict[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the document with what the environment says in place of what the file says."""
    result = {key: dict(value) if isinstance(value, dict) else value for key, value in document.items()}
    for name, text in variables.items():
        *sections, key = VARIABLES[name]
        target = result
        for section in sections:
            if not isinstance(target.get(section), dict):
                target[section] = {}
            target = target[section]
        target.pop(f"{key}_file", None)
        target.pop(key.removesuffix("_file"), None)
        target[key] = int(text) if key == "port" and text.isascii() and text.isdigit() else text
    return result


def _blaming_variables(text: str, variables: Mapping[str, str]) -> str:
    for name in variables:
        text = re.sub(rf"(?<=[ ;]){re.escape('.'.join(VARIABLES[name]))}(?=:)", name, text)
    return text


# --- What was checked becomes settings --------------------------------------------------------------------------------


def _settings(checked: dict[str, Any], folder: Path, source: str) -> BridgeSettings:
    name = checked["name"]
    group = tuple(checked["group"])
    if group and (name not in group or len(set(group)) != len(group)):
        raise VegeHubValueError(f"{source}: group: expected the names of different bridges, {name!r} among them")
    commands = checked["commands"] if isinstance(checked["commands"], dict) else {"enabled": checked["commands"]}
    return BridgeSettings(
        broker=_broker(checked["broker"], folder, source),
        receiver=_receiver(checked["receiver"], folder, source),
        state=_beside(folder, checked["state"]),
        name=name,
        group=group,
        prefix=checked["prefix"],
        discovery=checked["discovery"] or None,
        commands=commands.pop("enabled", True),
        hubs=tuple(_hub(hub, commands, f"{source}: hubs[{index}]") for index, hub in enumerate(checked["hubs"])),
    )


def _broker(section: dict[str, Any], folder: Path, source: str) -> BrokerSettings:
    found = dict(section)
    tls = found.pop("tls", None)
    if isinstance(tls, dict):
        if ("cert_file" in tls) is not ("key_file" in tls):
            raise VegeHubValueError(f"{source}: broker.tls: cert_file and key_file belong together")
        found["tls"] = TlsSettings(**{str(key): _beside(folder, value) for key, value in tls.items()})
    else:
        found["tls"] = TlsSettings() if tls else None
    found.setdefault("port", MQTTS_PORT if found["tls"] is not None else MQTT_PORT)
    if "password_file" in found:
        found["password"] = _read_secret(folder, found.pop("password_file"), f"{source}: broker.password_file")
    if "password" in found and "username" not in found:
        raise VegeHubValueError(f"{source}: broker.username: missing, and there is a password")
    return BrokerSettings(**found)


def _receiver(section: dict[str, Any], folder: Path, source: str) -> ReceiverSettings:
    found = dict(section)
    if "token_file" in found:
        key = f"{source}: receiver.token_file"
        found["token"] = _read_secret(folder, found.pop("token_file"), key)
        if not is_token(found["token"]):
            raise VegeHubValueError(f"{key}: expected 16 to 200 letters, digits, - and _ in that file")
    if "token" not in found:
        raise VegeHubValueError(f"{source}: receiver.token: missing; it is the secret part of the URL for hubs")
    return ReceiverSettings(**found)


def _hub(section: dict[str, Any], defaults: dict[str, Any], place: str) -> HubSettings:
    found = dict(section)
    own = {key: found.pop(key) for key in ("duration", "max_on", "expires_in") if key in found}
    rules = CommandRules(**(defaults | own))
    if rules.duration > rules.max_on:
        raise VegeHubValueError(f"{place}: duration: {rules.duration:g} s are longer than max_on, {rules.max_on:g} s")
    found["sensors"] = {
        number: _sensor(sensor, f"{place}.sensors[{number}]") for number, sensor in found["sensors"].items()
    }
    return HubSettings(**found, rules=rules)


def _sensor(section: dict[str, Any], place: str) -> SensorSettings:
    found = dict(section)
    if ("type" in found) is ("points" in found):
        raise VegeHubValueError(f"{place}: expected either type or points")
    if "points" not in found:
        if "unit" in found:
            raise VegeHubValueError(f"{place}.unit: belongs to points; a type has its own")
        return SensorSettings(curve=found.pop("type"), **found)
    try:
        curve = PiecewiseCurve.from_points(found.pop("points"), unit=found.pop("unit", ""))
    except VegeHubValueError as err:
        raise VegeHubValueError(f"{place}.{err}") from None
    return SensorSettings(curve=curve, **found)


def _beside(folder: Path, name: str) -> Path:
    """Return a path; a relative one is looked for beside the file of settings."""
    return folder / Path(name).expanduser()


def _read_secret(folder: Path, name: str, key: str) -> str:
    try:
        return read_limited(_beside(folder, name), MAX_SECRET).decode().strip("\r\n")
    except (OSError, ValueError) as err:
        reason = os.strerror(err.errno) if isinstance(err, OSError) and err.errno else "no text of a password"
        raise VegeHubValueError(f"{key}: cannot be read: {reason}") from None
