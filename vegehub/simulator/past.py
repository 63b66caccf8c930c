"""What a hub was when it was recorded, as a profile and the state of a simulated one."""

from __future__ import annotations

import copy
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from . import configuration
from .playback import Exchange, Recording, RecordingError, mac_digits
from .profiles import PROFILES, Profile
from .replies import Reply
from .template import Template

if TYPE_CHECKING:
    from .api import Api
    from .device import Device

_INFO, _CONFIG = "/api/info/get", "/api/config/get"
_STATUS, _READINGS = "/api/actuators/status", "/api/sensors/data/last"
_ACTUATORS_SET = "/api/actuators/set"
# Their replies are made from the state of the simulated hub.
_READS = (("POST", _INFO), ("POST", _CONFIG), ("GET", _STATUS), ("GET", _READINGS))
_MAX_COUNT = 64
_MAX_NUMBER = 1e12
_NOWHERE = "0.0.0.0"  # noqa: S104 - stands for an address in a document; nothing listens there


class Past:
    """A recording, understood; RecordingError if the hub does not say in it what it is."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._replies = _good_replies(recording)
        self._info = self._together(_INFO)
        self._config = self._together(_CONFIG)
        hub = self._info.get("hub")
        if not isinstance(hub, dict):
            raise RecordingError(f"{recording.source}: no good reply to {_INFO} that holds the object hub")
        self._hub = hub
        wifi = self._info.get("wifi")
        self._wifi: dict[str, Any] = wifi if isinstance(wifi, dict) else {}
        self._samples = _entries(self._last_body(_READINGS).get("samples"))
        self.mac = self._found_mac()
        """12 upper-case hex digits; "" where the recording does not tell."""
        self.profile = self._found_profile()
        """The kind of hub that it was; what no recording tells is as in the profile of its generation."""

    def restore(self, device: Device, api: Api) -> None:
        """Give a simulated hub, made with ``profile``, the state and the words of the recorded one."""
        if self.mac:
            device.mac = self.mac
            device.factory_name = f"Vege_{self.mac[8:10]}_{self.mac[10:]}"
        device.config = self._configuration(device)
        self._restore_values(device)
        info = device.info()
        # The hub is where it is played, whatever its address was.
        info["wifi"]["ip"] = _NOWHERE
        if self.mac and "mac_addr" in self._wifi and not mac_digits(self._wifi["mac_addr"]):
            self._wifi["mac_addr"] = info["wifi"]["mac_addr"]
        api.templates[_INFO] = Template(_without_error(self._info), info)
        for path, then in ((_STATUS, api.status()), (_READINGS, api.readings())):
            if path in self._replies:
                api.templates[path] = Template(_without_error(self._last_body(path)), then)
        api.fixed.update(self._fixed(api))

    # --- what was recorded

    def _last_body(self, path: str) -> dict[str, Any]:
        replies = self._replies.get(path)
        return replies[-1].body if replies else {}

    def _together(self, path: str) -> dict[str, Any]:
        """Put the objects of several replies together; those that the hub did not know are null."""
        objects: dict[str, Any] = {}
        for exchange in self._replies.get(path, ()):
            objects |= dict.fromkeys(_left_out(exchange))
            objects |= _without_error(exchange.body)
        return objects

    def _found_mac(self) -> str:
        noted, said = self._recording.mac, mac_digits(self._wifi.get("mac_addr"))
        if noted and said and noted != said:
            raise RecordingError(f"{self._recording.source}: mac is {noted}, but the hub said that it is {said}")
        return said or noted

    def _count(self, key: str) -> int:
        value = self._hub.get(key, 0)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_COUNT:
            raise RecordingError(f"{self._recording.source}: hub.{key}: expected a number from 0 to {_MAX_COUNT}")
        return value

    def _found_profile(self) -> Profile:
        config, status = self._config, self._last_body(_STATUS)
        stored = config["hub"] if isinstance(config.get("hub"), dict) else {}
        endpoints = isinstance(config["endpoints"], list) if "endpoints" in config else "server_url" not in stored
        hub_is_hidden = endpoints and config.get("hub", "") is None and config.get("api_key", "") is None
        generation = PROFILES["gen2-endpoints" if endpoints else "gen2-5.1-battery"]
        inputs, listed = self._count("num_channels"), status.get("actuators")
        is_ac = bool(self._hub.get("is_ac", 0))
        info = self._replies[_INFO][-1]
        return replace(
            generation,
            name="recorded",
            firmware=str(self._hub.get("version", self._recording.firmware)),
            num_inputs=inputs,
            num_actuators=len(listed) if isinstance(listed, list) else self._count("num_actuators"),
            is_ac=is_ac,
            power_mode=0 if stored.get("power_mode") == 0 else 1,
            endpoints=endpoints,
            success=info.body.get("error", generation.success),
            content_type=generation.content_type if info.content_type is None else info.content_type,
            config_unknown_key="absent" if any(map(_left_out, self._replies.get(_CONFIG, ()))) else "null",
            config_endpoints_only=hub_is_hidden,
            actuators_set_body=self._said_to_commands(generation),
            last_has_battery=not is_ac and any(entry.get("chan") == inputs + 1 for entry in self._samples),
        )

    def _said_to_commands(self, generation: Profile) -> str:
        said = [one for one in self._recording.exchanges if one.path == _ACTUATORS_SET and one.status == HTTPStatus.OK]
        return _body(said[-1]).decode() if said else generation.actuators_set_body

    # --- the state it is given back

    def _configuration(self, device: Device) -> dict[str, Any]:
        """Return the recorded configuration; objects that nobody asked for are as from the factory."""
        config = configuration.factory_config(self.profile, device.mac, device.factory_name, device.address)
        for key, value in self._config.items():
            if value is not None:
                config[key] = copy.deepcopy(value)
            elif not (self.profile.config_endpoints_only and key in ("hub", "api_key")):
                config.pop(key, None)
        return config

    def _restore_values(self, device: Device) -> None:
        device.move(device.address)
        device.battery_volts = _number(self._hub.get("batt_v"), device.battery_volts)
        device.rssi = int(_number(self._wifi.get("strength"), device.rssi))
        if _READINGS in self._replies:
            volts = {repr(entry.get("chan")): entry.get("value") for entry in self._samples}
            for sensor in device.inputs:
                sensor.volts = _number(volts.get(repr(sensor.slot + 1)), 0.0)
        for entry in _entries(self._last_body(_STATUS).get("actuators")):
            actuator = next((one for one in device.actuators if one.slot == entry.get("slot")), None)
            if actuator is not None:
                state = entry.get("state")
                actuator.restore(is_on=state is True or _number(state, 0) != 0)
                actuator.last_run = int(_number(entry.get("last_run"), 0))
                actuator.typical_ma = int(_number(entry.get("typ_ma"), 0))

    def _fixed(self, api: Api) -> dict[tuple[str, str], Reply]:
        """Return the replies that no state goes into: refusals, and calls that the simulator does not know."""
        fixed: dict[tuple[str, str], Reply] = {}
        done = (one for one in self._recording.exchanges if one.status == HTTPStatus.OK)
        executed = {(one.method, one.path) for one in done}.difference(_READS)
        for exchange in self._recording.exchanges:
            call = exchange.method, exchange.path
            if api.knows(*call) and (exchange.path in self._replies or call in executed):
                continue
            fixed[call] = Reply(_body(exchange), exchange.status)
        return fixed


def _good_replies(recording: Recording) -> dict[str, list[Exchange]]:
    """Return the replies to reads that a model can be made of, by path, in their order."""
    replies: dict[str, list[Exchange]] = {}
    for exchange in recording.exchanges:
        body = exchange.body
        if (
            (exchange.method, exchange.path) in _READS
            and exchange.status == HTTPStatus.OK
            and isinstance(body, dict)
            and body.get("error") in (None, "", 0, "success")
        ):
            replies.setdefault(exchange.path, []).append(exchange)
    return replies


def _left_out(exchange: Exchange) -> list[str]:
    """Return the objects that were asked for and not even answered with null."""
    return [key for key in exchange.request if key not in exchange.body] if isinstance(exchange.request, dict) else []


def _without_error(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != "error"}


def _entries(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _number(value: Any, default: float) -> float:
    """Return a number, also one written as text; ``default`` for anything else, and for what no hub measures."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return default
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return default
    return number if abs(number) <= _MAX_NUMBER else default


def _body(exchange: Exchange) -> bytes:
    """Return the bytes of a reply that is given again as it was."""
    if exchange.body is None:
        return b""
    return exchange.body.encode() if isinstance(exchange.body, str) else Reply.json(exchange.body).body
