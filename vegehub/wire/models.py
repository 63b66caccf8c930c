"""What a hub says, as frozen dataclasses; what is not known yet is kept in ``extra``."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import VegeHubPayloadError, VegeHubValueError

from .payload import as_count, as_int, as_list, as_number, as_object, as_text, wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vegehub.sensors import SensorCurve

_MAC_DIGITS = 12


def normalize_mac(text: str) -> str:
    """Return a MAC as 12 upper-case hex digits without separators; ValueError if it is none."""
    digits = text.replace(":", "").replace("-", "").replace(".", "").strip()
    # Before upper(), which turns a ligature into two letters.
    if len(digits) != _MAC_DIGITS or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise ValueError("not a MAC address")
    return digits.upper()


def _moment(value: object, path: str) -> datetime | None:
    """Read Unix seconds; 0 and null mean never."""
    seconds = 0 if value is None else as_int(value, path)
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (OverflowError, ValueError, OSError):
        raise wrong(path, "Unix seconds", value) from None


def _flag(value: object, path: str) -> bool:
    return bool(as_int(value, path))


def _parsed(payload: object, path: str, fields: Mapping[str, tuple[str, Callable[[Any, str], Any]]]) -> dict[str, Any]:
    """Map the keys of the wire to the arguments of a model; unknown keys go to ``extra``.

    Null counts as absent, and so does empty text: it stands for a number that the hub does not have.
    """
    prefix = f"{path}." if path else ""
    arguments: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for key, value in as_object(payload, path).items():
        if key not in fields:
            extra[key] = value
        elif value is not None and value != "":
            name, read = fields[key]
            arguments[name] = read(value, prefix + key)
    return {**arguments, "extra": extra}


@dataclass(frozen=True, slots=True, kw_only=True)
class WifiInfo:
    """The hub's radio link."""

    mac: str = ""
    """12 upper-case hex digits; "" when the hub did not say."""
    ssid: str = field(default="", repr=False)
    """Name of the network; kept out of the repr, since it can be looked up on maps."""
    rssi: int | None = None
    """Signal strength in dBm."""
    channel: int | None = None
    ip: str = ""
    status: str = ""
    """The hub's own code; "3" was seen when joined."""
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)

    @classmethod
    def parse(cls, payload: object, path: str = "wifi") -> WifiInfo:
        """Read the ``wifi`` object of ``info/get``; VegeHubPayloadError names a field of the wrong type."""
        return cls(**_parsed(payload, path, _WIFI_FIELDS))


@dataclass(frozen=True, slots=True, kw_only=True)
class HubInfo:
    """What a hub says of itself."""

    firmware: str = ""
    num_sensors: int = 0
    """Wired analog inputs."""
    num_actuators: int = 0
    num_virtual_sensors: int = 0
    is_ac: bool = False
    """An AC powered board: it has no battery slot."""
    battery_volts: float | None = None
    error_code: int = 0
    """0: none; other codes are unknown."""
    first_boot: bool = False
    has_sd: bool = False
    on_access_point: bool = False
    wifi: WifiInfo = field(default_factory=WifiInfo)
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)

    @property
    def mac(self) -> str:
        """The hub's MAC, 12 upper-case hex digits; "" when the hub did not say."""
        return self.wifi.mac

    @classmethod
    def parse(cls, payload: object) -> HubInfo:
        """Read a reply to ``info/get``; VegeHubPayloadError names a field of the wrong type."""
        reply = as_object(payload)
        arguments = _parsed(reply.get("hub"), "hub", _HUB_FIELDS)
        if reply.get("wifi") is not None:
            arguments["wifi"] = WifiInfo.parse(reply["wifi"])
        return cls(**arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actuator:
    """A relay, valve or pump as the hub reports it."""

    slot: int
    """0-based, as in commands."""
    is_on: bool = False
    last_run: datetime | None = None
    next_window_start: datetime | None = None
    next_window_end: datetime | None = None
    current_ma: float | None = None
    """Present current in milliamperes."""
    typical_ma: float | None = None
    """Typical current in milliamperes."""
    error_code: int = 0
    """0: none; other codes are unknown."""
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)

    @classmethod
    def parse(cls, payload: object, path: str = "") -> Actuator:
        """Read one entry of ``actuators/status``; VegeHubPayloadError names a field that is missing or wrong."""
        arguments = _parsed(payload, path, _ACTUATOR_FIELDS)
        if "slot" not in arguments:
            raise wrong(f"{path}.slot" if path else "slot", "an integer", None)
        return cls(**arguments)


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a slot: volts, or 0 / 1 for an actuator."""

    value: float
    time_text: str | None = None
    """The time as the hub wrote it, UTC; None when it gave none."""

    @property
    def taken_at(self) -> datetime | None:
        """The time of the sample by the hub's clock, aware, UTC; None when the hub gave none. Decoded when asked."""
        if self.time_text is None:
            return None
        try:
            moment = datetime.fromisoformat(self.time_text)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class Reading:
    """What one slot (1-based, as in updates) measured."""

    slot: int
    samples: tuple[Sample, ...] = ()
    """Oldest first."""
    name: str = field(default="", kw_only=True, repr=False, compare=False)
    """What people call the input or actuator, by the wiring; "" while nothing says what the slot is."""
    sensor: SensorCurve | None = field(default=None, kw_only=True, repr=False, compare=False)
    """What is plugged in, by the wiring; None for an actuator, and while nothing says what the slot is."""

    @property
    def latest(self) -> Sample | None:
        """The newest sample; None if there is none."""
        return self.samples[-1] if self.samples else None

    @property
    def quantity(self) -> float | None:
        """What the sensor measured last, in ``unit``; None without a sensor or a sample."""
        sample = self.latest
        if sample is None or self.sensor is None:
            return None
        try:
            return self.sensor.convert(sample.value)
        except VegeHubValueError:
            return None  # so many volts that no number is left

    @property
    def unit(self) -> str:
        """The unit of ``quantity``, such as "%"; "" where there is none."""
        return "" if self.sensor is None else self.sensor.unit


def parse_last_readings(payload: object) -> tuple[Reading, ...]:
    """Read a reply to ``sensors/data/last``, ordered by slot; VegeHubPayloadError names a wrong field."""
    readings = []
    for index, entry in enumerate(as_list(as_object(payload).get("samples"), "samples")):
        path = f"samples[{index}]"
        sample = as_object(entry, path)
        slot = as_count(sample.get("chan"), f"{path}.chan")
        readings.append(Reading(slot, (Sample(as_number(sample.get("value"), f"{path}.value")),)))
    return tuple(sorted(readings, key=lambda reading: reading.slot))


def hub_object(payload: object) -> dict[str, Any] | None:
    """Return the ``hub`` object of a reply as it came; None where there is none, VegeHubPayloadError if it is none."""
    hub = as_object(payload).get("hub")
    return None if hub is None else as_object(hub, "hub")


def known_of(info: Mapping[str, Any] | None, name: str) -> Any:
    """Return the field ``name`` of HubInfo out of a ``hub`` object; None where it is missing or of the wrong type.

    ``info`` may also be a whole reply that holds the ``hub`` object.
    """
    if not isinstance(info, dict):
        return None
    hub = info.get("hub")
    key, read = _HUB_KEYS[name]
    value = (hub if isinstance(hub, dict) else info).get(key)
    try:
        return None if value is None else read(value, key)
    except VegeHubPayloadError:
        return None


def reported_mac(payload: object) -> str:
    """Return the MAC in a reply to ``info/get``, 12 upper-case hex digits; "" where there is none."""
    wifi = as_object(payload).get("wifi")
    mac = None if wifi is None else as_object(wifi, "wifi").get("mac_addr")
    return "" if mac is None or mac == "" else _mac(mac, "wifi.mac_addr")


def actuator_list(payload: object) -> list[dict[str, Any]] | None:
    """Return the list of ``actuators/status`` as it came; None where the reply has none."""
    actuators = as_object(payload).get("actuators")
    return actuators if isinstance(actuators, list) else None


def parse_actuators(payload: object) -> tuple[Actuator, ...]:
    """Read the list of ``actuators/status``; VegeHubPayloadError names a wrong field."""
    entries = as_list(payload, "actuators")
    return tuple(Actuator.parse(entry, f"actuators[{index}]") for index, entry in enumerate(entries))


def _mac(value: object, path: str) -> str:
    try:
        return normalize_mac(as_text(value, path))
    except ValueError:
        raise wrong(path, "a MAC address", value) from None


def _code(value: object, path: str) -> str:
    """Read a code that is text in captures, and might as well be a number."""
    return value if isinstance(value, str) else str(as_int(value, path))


_WIFI_FIELDS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "mac_addr": ("mac", _mac),
    "ssid": ("ssid", as_text),
    "strength": ("rssi", as_int),
    "chan": ("channel", as_int),
    "ip": ("ip", as_text),
    "status": ("status", _code),
}
_HUB_FIELDS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "version": ("firmware", as_text),
    "num_channels": ("num_sensors", as_count),
    "num_actuators": ("num_actuators", as_count),
    "num_vsens": ("num_virtual_sensors", as_count),
    "is_ac": ("is_ac", _flag),
    "batt_v": ("battery_volts", as_number),
    "error_message": ("error_code", as_int),
    "first_boot": ("first_boot", _flag),
    "has_sd": ("has_sd", _flag),
    "on_ap": ("on_access_point", _flag),
}
_HUB_KEYS = {name: (key, read) for key, (name, read) in _HUB_FIELDS.items()}
_ACTUATOR_FIELDS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "slot": ("slot", as_count),
    "state": ("is_on", _flag),
    "last_run": ("last_run", _moment),
    "next_window_start": ("next_window_start", _moment),
    "next_window_end": ("next_window_end", _moment),
    "cur_ma": ("current_ma", as_number),
    "typ_ma": ("typical_ma", as_number),
    "error": ("error_code", as_int),
}
