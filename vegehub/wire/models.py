"""What a hub says, as frozen dataclasses: what is not known yet, or odd, is kept in ``extra``, and named in ``problems``.

A field that nobody acts on is None where a hub said null or something odd, and its default where it is missing. Essential are
only the slot and the state of an actuator, and the MAC by which a hub proves which one it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from vegehub.exceptions import VegeHubValueError

from .fields import CODE, COUNT, DBM, FLAG, INTEGER, MILLIAMPERES, TEXT, VOLTS, Fields, Kind, essential
from .payload import as_list, as_object, problem
from .times import is_plausible, parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


_is_mac = re.compile("[0-9a-fA-F]{12}").fullmatch
_UNSAID = ("0" * 12, "F" * 12)


def normalize_mac(text: str) -> str:
    """Return a MAC as 12 upper-case hex digits without separators; ValueError if it is none, or all zeros or all F."""
    mac = as_mac(text)
    if not mac:
        raise ValueError("not a MAC address")
    return mac


def as_mac(value: object) -> str | None:
    """Read a MAC as a hub writes it; "" for one of zeros or of F, which says none, and None for what is none."""
    if not isinstance(value, str):
        return None
    if not _is_mac(value):
        value = value.replace(":", "").replace("-", "").replace(".", "").strip()
        if not _is_mac(value):
            return None
    mac = value.upper()
    return "" if mac in _UNSAID else mac


MAC: Kind[str] = Kind("a MAC address", as_mac)
MOMENT: Kind[datetime] = Kind("a time", parse_time, (None, "", 0, "0"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WifiInfo:
    """The hub's radio link."""

    mac: str = ""
    """12 upper-case hex digits; "" when the hub did not say."""
    ssid: str | None = field(default="", repr=False)
    """Name of the network; kept out of the repr, since it can be looked up on maps."""
    rssi: int | None = None
    """Signal strength in dBm."""
    channel: int | None = None
    ip: str | None = ""
    status: str | None = ""
    """The hub's own code; "3" was seen when joined."""
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    """Fields that are not known, or odd, as they came."""
    problems: tuple[str, ...] = ()
    """The odd ones in words, without their values."""

    @classmethod
    def parse(cls, payload: object, path: str = "wifi") -> WifiInfo:
        """Read the ``wifi`` object of ``info/get``; VegeHubPayloadError if it is no object."""
        fields = Fields(payload, path)
        return cls(
            mac=fields.get("mac_addr", MAC) or "",
            ssid=fields.get("ssid", TEXT, ""),
            rssi=fields.get("strength", DBM),
            channel=fields.get("chan", INTEGER),
            ip=fields.get("ip", TEXT, ""),
            status=fields.get("status", CODE, ""),
            extra=fields.extra,
            problems=tuple(fields.problems),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HubInfo:
    """What a hub says of itself."""

    firmware: str | None = ""
    num_sensors: int | None = 0
    """Wired analog inputs."""
    num_actuators: int | None = 0
    num_virtual_sensors: int | None = 0
    is_ac: bool | None = False
    """An AC powered board: it has no battery slot."""
    battery_volts: float | None = None
    error_code: int | None = 0
    """0: none; other codes are unknown."""
    first_boot: bool | None = False
    has_sd: bool | None = False
    on_access_point: bool | None = False
    wifi: WifiInfo = field(default_factory=WifiInfo)
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    """Fields of the ``hub`` object that are not known, or odd, as they came."""
    problems: tuple[str, ...] = ()
    """The odd fields in words, without their values, those of ``wifi`` too."""

    @property
    def mac(self) -> str:
        """The hub's MAC, 12 upper-case hex digits; "" when the hub did not say."""
        return self.wifi.mac

    @classmethod
    def parse(cls, payload: object) -> HubInfo:
        """Read a reply to ``info/get``; VegeHubPayloadError if it, or its ``hub``, is no object."""
        reply = as_object(payload)
        fields = Fields(reply.get("hub"), "hub")
        read = {name: fields.get(key, kind, default) for name, (key, kind, default) in _HUB_FIELDS.items()}
        said = reply.get("wifi")
        if isinstance(said, dict):
            wifi = WifiInfo.parse(said)
        else:
            wifi = WifiInfo(problems=() if said is None else (problem("wifi", "an object", said),))
        return cls(wifi=wifi, extra=fields.extra, problems=(*fields.problems, *wifi.problems), **read)


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
    error_code: int | None = 0
    """0: none; other codes are unknown."""
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    """Fields that are not known, or odd, as they came."""
    problems: tuple[str, ...] = ()
    """The odd ones in words, without their values."""

    @classmethod
    def parse(cls, payload: object, path: str = "") -> Actuator:
        """Read one entry of ``actuators/status``; VegeHubPayloadError names a slot or a state that cannot be read."""
        fields = Fields(payload, path)
        return cls(
            slot=fields.need("slot", COUNT),
            is_on=fields.need("state", FLAG),
            last_run=fields.get("last_run", MOMENT),
            next_window_start=fields.get("next_window_start", MOMENT),
            next_window_end=fields.get("next_window_end", MOMENT),
            current_ma=fields.get("cur_ma", MILLIAMPERES),
            typical_ma=fields.get("typ_ma", MILLIAMPERES),
            error_code=fields.get("error", INTEGER, 0),
            extra=fields.extra,
            problems=tuple(fields.problems),
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a slot: volts, or 0 / 1 for an actuator."""

    value: float
    time_text: str | None = None
    """The time as the hub wrote it, a number as its digits; None when it gave none."""

    @property
    def taken_at(self) -> datetime | None:
        """The time of the sample by the hub's clock, aware, UTC; None when there is none that can be read.

        Decoded when asked. It may be one that cannot be: a hub without a clock says 1970.
        """
        return parse_time(self.time_text)


class Sensor(Protocol):
    """What a reading needs of the sensor that is plugged in: a `vegehub.SensorCurve` is one."""

    @property
    def name(self) -> str:
        """What people call this kind."""

    @property
    def unit(self) -> str:
        """Unit of the quantity; "" where there is none."""

    def convert(self, volts: float) -> float:
        """Return the quantity, in ``unit``, at ``volts``; VegeHubValueError if that is not a finite number."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one slot (1-based, as in updates) measured."""

    slot: int
    samples: tuple[Sample, ...] = ()
    """Those with a plausible time, from 2020 to a day from now, oldest first; each other one behind the one before it."""
    as_of: datetime | None = field(default=None, repr=False, compare=False)
    """The now (aware) by which times are plausible; None: the present."""
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False, compare=False)
    """Fields that are not known, or odd, as they came."""
    problems: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """The odd ones in words, without their values."""
    name: str = field(default="", kw_only=True, repr=False, compare=False)
    """What people call the input or actuator, by the wiring; "" while nothing says what the slot is."""
    sensor: Sensor | None = field(default=None, kw_only=True, repr=False, compare=False)
    """What is plugged in, by the wiring; None for an actuator, and while nothing says what the slot is."""

    @property
    def latest(self) -> Sample | None:
        """The newest sample; the last one where no time is plausible, and None where there is no sample."""
        return self._newest or (self.samples[-1] if self.samples else None)

    @property
    def value(self) -> float | None:
        """The newest value, in volts or 0 / 1; None if there is none, or if all have times that cannot be.

        Samples without any time, such as those of ``VegeHub.get_readings``, are as new as they came.
        """
        newest = self._newest
        if newest is None and self.samples and all(sample.time_text is None for sample in self.samples):
            newest = self.samples[-1]
        return None if newest is None else newest.value

    @property
    def _newest(self) -> Sample | None:
        for sample in reversed(self.samples):
            if is_plausible(sample.taken_at, self.as_of):
                return sample
        return None

    @property
    def quantity(self) -> float | None:
        """``value`` in ``unit``, by the sensor; None without a sensor or a value."""
        volts = self.value
        if volts is None or self.sensor is None:
            return None
        try:
            return self.sensor.convert(volts)
        except VegeHubValueError:
            return None  # so many volts that no number is left

    @property
    def unit(self) -> str:
        """The unit of ``quantity``, such as "%"; "" where there is none."""
        return "" if self.sensor is None else self.sensor.unit


def parse_last_readings(payload: object) -> tuple[Reading, ...]:
    """Read a reply to ``sensors/data/last``, ordered by slot; VegeHubPayloadError if it has no list of samples.

    A slot whose value cannot be read has no sample, and its ``problems`` say why; an entry that does not say its slot
    is left out.
    """
    entries = as_list(as_object(payload).get("samples"), "samples")
    readings = [_last_reading(entry, f"samples[{index}]") for index, entry in enumerate(entries)]
    return tuple(sorted((reading for reading in readings if reading is not None), key=lambda reading: reading.slot))


def _last_reading(entry: object, path: str) -> Reading | None:
    if not isinstance(entry, dict):
        return None
    fields = Fields(entry, path)
    slot = fields.get("chan", COUNT)
    value = fields.get("value", VOLTS)
    if slot is None:
        return None
    samples = () if value is None else (Sample(value),)
    return Reading(slot, samples, extra=fields.extra, problems=tuple(fields.problems))


def hub_object(payload: object) -> dict[str, Any] | None:
    """Return the ``hub`` object of a reply as it came; None where there is none."""
    hub = payload.get("hub") if isinstance(payload, dict) else None
    return hub if isinstance(hub, dict) else None


def known_of(info: Mapping[str, Any] | None, name: str) -> Any:
    """Return the field ``name`` of HubInfo out of a ``hub`` object; None where it is missing or odd.

    ``info`` may also be a whole reply that holds the ``hub`` object.
    """
    if not isinstance(info, dict):
        return None
    key, kind, _ = _HUB_FIELDS[name]
    value = (hub_object(info) or info).get(key)
    return None if value in kind.nothing else kind.read(value)


def reported_mac(payload: object) -> str:
    """Return the MAC in a reply to ``info/get``, 12 upper-case hex digits; "" where there is none, or zeros.

    VegeHubPayloadError where something else stands in its place.
    """
    wifi = as_object(payload).get("wifi")
    mac = None if wifi is None else as_object(wifi, "wifi").get("mac_addr")
    return "" if mac in MAC.nothing else essential(mac, MAC, "wifi.mac_addr")


def actuator_list(payload: object) -> list[dict[str, Any]] | None:
    """Return the list of ``actuators/status`` as it came; None where the reply has none."""
    actuators = as_object(payload).get("actuators")
    return actuators if isinstance(actuators, list) else None


def parse_actuators(payload: object) -> tuple[Actuator, ...]:
    """Read the list of ``actuators/status``; VegeHubPayloadError names a slot or a state that cannot be read."""
    entries = as_list(payload, "actuators")
    return tuple(Actuator.parse(entry, f"actuators[{index}]") for index, entry in enumerate(entries))


def actuator_states(payload: object) -> dict[int, bool]:
    """Return which actuators a reply to ``actuators/status`` tells of, by slot (0-based), and whether each is on.

    An entry without a slot and a state is left out, and nothing else in it matters.
    """
    return {
        entry["slot"]: bool(entry["state"])
        for entry in actuator_list(payload) or ()
        if isinstance(entry, dict) and type(entry.get("slot")) is int and entry.get("state") in (0, 1)
    }


def actuator_state(entries: Sequence[object], slot: int) -> bool | None:
    """Return whether actuator ``slot`` (0-based) is on, whatever the entries of others hold; None if it is not there.

    VegeHubPayloadError if its own state cannot be read.
    """
    for index, entry in enumerate(entries):
        if isinstance(entry, dict) and COUNT.read(entry.get("slot")) == slot:
            return essential(entry.get("state"), FLAG, f"actuators[{index}].state")
    return None


_HUB_FIELDS: dict[str, tuple[str, Kind[Any], Any]] = {
    "firmware": ("version", TEXT, ""),
    "num_sensors": ("num_channels", COUNT, 0),
    "num_actuators": ("num_actuators", COUNT, 0),
    "num_virtual_sensors": ("num_vsens", COUNT, 0),
    "is_ac": ("is_ac", FLAG, False),
    "battery_volts": ("batt_v", VOLTS, None),
    "error_code": ("error_message", INTEGER, 0),
    "first_boot": ("first_boot", FLAG, False),
    "has_sd": ("has_sd", FLAG, False),
    "on_access_point": ("on_ap", FLAG, False),
}
"""Name in the model -> key on the wire, kind, and what it is when the hub does not say."""
