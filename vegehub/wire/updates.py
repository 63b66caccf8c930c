"""What hubs push: bytes or a decoded document in, an ``Update`` out; tolerant per sample, strict per payload."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import VegeHubPayloadError, VegeHubValueError

from .fields import COUNT, DBM, FLAG, INTEGER, TEXT, VOLTS, Kind, Problems, as_int, is_plain
from .layout import SlotLayout
from .models import MAC, Reading, Sample
from .payload import as_list, as_object, clean_text, decode_json, wrong
from .times import is_plausible, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SLOT = 65535
"""The highest slot number that is taken; hubs are known to use up to 13."""

Pair = tuple[float, str | None]
"""A value, and its time as the hub wrote it."""

_COUNTS = ("num_channels", "num_actuators", "is_ac")
_TOP = float("inf")
_field_slot = re.compile("field([1-9][0-9]{0,4})").fullmatch


def _as_slot(value: object) -> int | None:
    number = None if isinstance(value, bool) else as_int(value)
    return number if number is not None and 0 < number <= MAX_SLOT else None


class Readings(Mapping[int, Reading]):
    """Slot (1-based) -> ``Reading``; made and sorted when asked for, since most callers want few of many samples."""

    __slots__ = ("_as_of", "_made", "_pairs")

    def __init__(self, pairs: Mapping[int, list[Pair]], as_of: datetime | None = None) -> None:
        self._pairs = pairs
        self._as_of = as_of
        self._made: dict[int, Reading] = {}

    def __getitem__(self, slot: int) -> Reading:
        reading = self._made.get(slot)
        if reading is None:
            samples = _by_time([Sample(*pair) for pair in self._pairs[slot]], self._as_of)
            reading = self._made[slot] = Reading(slot, samples, self._as_of)
        return reading

    def __iter__(self) -> Iterator[int]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __contains__(self, slot: object) -> bool:
        return slot in self._pairs

    def __repr__(self) -> str:
        return repr(dict(self))


def _by_time(samples: list[Sample], as_of: datetime | None) -> tuple[Sample, ...]:
    """Sort by time, stable; a sample without a plausible one keeps its place behind the one before it."""
    if len(samples) > 1:
        as_of = as_of or datetime.now(UTC)
        last = datetime.min.replace(tzinfo=UTC)
        timed = []
        for sample in samples:
            moment = sample.taken_at
            if moment is not None and is_plausible(moment, as_of):
                last = moment
            timed.append((last, sample))
        timed.sort(key=itemgetter(0))
        samples = [sample for _, sample in timed]
    return tuple(samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One push of a hub."""

    mac: str = ""
    """12 upper-case hex digits; "" when the payload has none (old firmware)."""
    hub_key: str = ""
    """What tells this hub from others: its MAC, else ``key:`` and a digest of its api key, else ``channel:`` and its
    channel; "" when the payload has none of these. Never the key itself."""
    api_key: str = field(default="", repr=False)
    """A secret: not in the repr, not in the journal."""
    channel_id: str = ""
    send_time: int | str | None = None
    """When the hub sent it, as the hub wrote it; ``sent_at`` decodes it."""
    rssi: int | None = None
    """Signal strength in dBm."""
    error_code: int | None = None
    """As sent: 0 is none, the others are unknown; None when the payload has none."""
    battery_volts: float | None = None
    """Only where the payload says it outright; ``battery(layout)`` also looks at the battery's slot."""
    readings: Mapping[int, Reading] = field(default_factory=dict, hash=False)
    """Slot (1-based) -> its samples, newest last; slots without a sample are left out."""
    layout: SlotLayout | None = None
    """What the slots are, where the hub says so itself, or whoever made this knows; None: `SlotLayout` has to be given."""
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    """Fields that are not known, or odd, as they came; not in the repr, since they may hold anything."""
    problems: tuple[str, ...] = ()
    """The first few values and fields that could not be read, in words, without their values."""
    problem_count: int = 0
    """How many there are."""
    received_at: datetime | None = None
    """When the receiver took it, aware, UTC; None straight from ``parse_update``."""
    delivery_id: str = ""
    """The same for every delivery of this update from a journal, and never used again; "" without a journal."""

    @property
    def sent_at(self) -> datetime | None:
        """The time of sending by the hub's clock, aware, UTC; None when the hub gave none. Decoded when asked."""
        return parse_time(self.send_time)

    def inputs(self, layout: SlotLayout | None = None) -> dict[int, Reading]:
        """Return the readings of the wired inputs by input, counted from 1, as far as they are in this update.

        Without a ``layout`` that of the update is taken; VegeHubValueError if it has none.
        """
        slots = self._layout(layout).inputs
        return {number: self.readings[slot] for number, slot in enumerate(slots, 1) if slot in self.readings}

    def actuators(self, layout: SlotLayout | None = None) -> dict[int, Reading]:
        """Return the readings of the actuators by their number in commands (0-based), as far as they are in it.

        Without a ``layout`` that of the update is taken; VegeHubValueError if it has none.
        """
        slots = self._layout(layout).actuators
        return {number: self.readings[slot] for number, slot in enumerate(slots) if slot in self.readings}

    def battery(self, layout: SlotLayout | None = None) -> float | None:
        """Return the newest battery volts: ``battery_volts``, else the battery's slot; None if neither is in it.

        Without a ``layout`` that of the update is taken, if it has one.
        """
        layout = layout or self.layout
        if self.battery_volts is not None or layout is None or layout.battery is None:
            return self.battery_volts
        reading = self.readings.get(layout.battery)
        newest = None if reading is None else reading.latest
        return None if newest is None else newest.value

    def _layout(self, layout: SlotLayout | None) -> SlotLayout:
        layout = layout or self.layout
        if layout is None:
            raise VegeHubValueError(
                "the update does not say what its slots are: pass a SlotLayout, such as SlotLayout.from_info(await hub.get_info())"
            )
        return layout


def parse_update(
    payload: bytes | bytearray | str | dict[str, Any], now: datetime | None = None, charset: str | None = None
) -> Update:
    """Read one push of a hub, of any known shape; VegeHubPayloadError, and no other, for what is no update.

    An update has a list of ``sensors`` (or, from old firmware, of ``updates``). What cannot be read in it is left out,
    and named in ``problems``; no sample is left out for its time. ``now`` (aware, by default the present) is the moment
    from which the times of samples are judged: from 2020 to a day after it they are plausible. ``charset`` is what the
    hub declared; it is used only for bytes that are no UTF-8.
    """
    document = as_object(_decoded(payload, charset))
    if "who_updated" in document:
        raise VegeHubPayloadError("who_updated: a configuration of a hub, not an update", path="who_updated")
    problems = Problems()
    pairs = _read_samples_of(document, problems)
    said: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in document.items():
        if name in _FIELDS:
            if value is not None and value != "":
                field_name, read, expected = _FIELDS[name]
                if (found := read(value)) is None:
                    problems.add(expected, value, name)
                    extra[name] = value
                else:
                    said.setdefault(field_name, found)
        elif name not in _LISTS:
            extra[name] = value
    if extra:
        said |= {"layout": _layout_of(extra), "extra": _plain(extra, problems)}
    if problems.count:
        said |= {"problems": tuple(problems.notes), "problem_count": problems.count}
    hub_key = said.get("mac") or _key_of(said.get("api_key"), said.get("channel_id"))
    return Update(hub_key=hub_key, readings=Readings(pairs, now), **said)


def _decoded(payload: object, charset: str | None) -> object:
    if isinstance(payload, dict):
        return payload
    if not isinstance(payload, (bytes, bytearray, str)):
        raise wrong("", "JSON or an object", payload)
    try:
        return decode_json(payload, charset, bounded=False)
    except ValueError as err:
        raise VegeHubPayloadError(f"payload: {err}") from None


def _read_samples_of(document: dict[str, Any], problems: Problems) -> dict[int, list[Pair]]:
    sensors = document.get("sensors")
    if sensors is None and "updates" in document:
        return _read_old_updates(_as_entries(document["updates"], "updates", "created_at"), problems)
    return _read_sensors(sensors if isinstance(sensors, list) else _as_entries(sensors, "sensors", "slot"), problems)


def _as_entries(value: object, path: str, mark: str) -> list[Any]:
    """Return a list; a lone object that belongs into one is a list of one."""
    return [value] if isinstance(value, dict) and mark in value else as_list(value, path)


def _read_sensors(sensors: list[Any], problems: Problems) -> dict[int, list[Pair]]:
    """Read ``[{"slot", "samples": [{"v", "t"}]}]``; slots without a sample are left out."""
    found: dict[int, list[Pair]] = {}
    low, top = -_TOP, _TOP
    for index, entry in enumerate(sensors):
        try:
            slot, samples = entry["slot"], entry["samples"]
        except (TypeError, KeyError):
            slot = samples = None
        if slot.__class__ is not int or not 0 < slot <= MAX_SLOT or samples.__class__ is not list:
            lenient = _read_entry(entry, problems, index)
            if lenient is None:
                continue
            slot, samples = lenient
        pairs: list[Pair] = []
        for sample in samples:
            try:
                value, time = sample["v"], sample["t"]
            except (TypeError, KeyError):
                value = time = None
            # Nearly all samples are just like this; a list that holds another goes the long way, from its start.
            if value.__class__ is not float or time.__class__ is not str or not low < value < top:
                pairs = _read_samples(samples, problems, index)
                break
            pairs.append((value, time))
        if slot in found:
            found[slot] += pairs
        elif pairs:
            found[slot] = pairs
    return found


def _read_entry(entry: object, problems: Problems, index: int) -> tuple[int, list[Any]] | None:
    if not isinstance(entry, dict):
        problems.add("an object", entry, "sensors[%d]", index)
        return None
    slot, samples = _as_slot(entry.get("slot")), entry.get("samples")
    if slot is None:
        problems.add("a slot from 1", entry.get("slot"), "sensors[%d].slot", index)
        return None
    if isinstance(samples, dict) and "v" in samples:
        return slot, [samples]
    if not isinstance(samples, list):
        problems.add("a list", samples, "sensors[%d].samples", index)
        return None
    return slot, samples


def _read_samples(samples: list[Any], problems: Problems, index: int) -> list[Pair]:
    pairs: list[Pair] = []
    for position, sample in enumerate(samples):
        if not isinstance(sample, dict):
            problems.add("an object", sample, "sensors[%d].samples[%d]", index, position)
            continue
        value = VOLTS.read(sample.get("v"))
        if value is None:
            problems.add(VOLTS.expected, sample.get("v"), "sensors[%d].samples[%d].v", index, position)
            continue
        time = sample.get("t")
        if time is not None and not isinstance(time, str):
            time = _time_text(time, problems, "sensors[%d].samples[%d].t", index, position)
        pairs.append((value, time))
    return pairs


def _time_text(value: object, problems: Problems, path: str, *indexes: int) -> str | None:
    """Return a time that is no text as the hub wrote it; None for what is no time, which costs no sample."""
    if isinstance(value, (int, float)) and parse_time(value) is not None:
        return str(value)
    problems.add("a time", value, path, *indexes)
    return None


def _read_old_updates(updates: list[Any], problems: Problems) -> dict[int, list[Pair]]:
    """Read ``[{"created_at", "field1", "field2" ...}]``; a field that is absent or null was not sampled."""
    found: dict[int, list[Pair]] = {}
    for index, entry in enumerate(updates):
        if not isinstance(entry, dict):
            problems.add("an object", entry, "updates[%d]", index)
            continue
        time = entry.get("created_at")
        if time is not None and not isinstance(time, str):
            time = _time_text(time, problems, "updates[%d].created_at", index)
        for name, number in entry.items():
            match = _field_slot(name) if isinstance(name, str) else None
            if match is None or number is None:
                continue
            value = VOLTS.read(number)
            slot = int(match[1])
            if value is None or slot > MAX_SLOT:
                problems.add(VOLTS.expected, number, f"updates[%d].{name}", index)
            else:
                found.setdefault(slot, []).append((value, time))
    return found


def _as_send_time(value: object) -> int | str | None:
    return value if isinstance(value, str) else None if value.__class__ is bool else as_int(value)


def _as_channel(value: object) -> str | None:
    return value if isinstance(value, str) else None if (number := as_int(value)) is None else str(number)


_CHANNEL: Kind[str] = Kind("text or an integer", _as_channel)
_KINDS: dict[str, tuple[str, Kind[Any]]] = {
    "mac": ("mac", MAC),
    "api_key": ("api_key", TEXT),
    "key": ("api_key", TEXT),
    "write_api_key": ("api_key", TEXT),
    "channel_id": ("channel_id", _CHANNEL),
    "id": ("channel_id", _CHANNEL),
    "send_time": ("send_time", Kind("a time", _as_send_time)),
    "wifi_str": ("rssi", DBM),
    "error_code": ("error_code", INTEGER),
    "voltage": ("battery_volts", VOLTS),
}
_FIELDS = {name: (field_name, kind.read, kind.expected) for name, (field_name, kind) in _KINDS.items()}
"""Key on the wire -> field of ``Update``, how it is read, and what is expected, in words; of two keys the first counts."""
_LISTS = ("sensors", "updates")


def _layout_of(document: dict[str, Any]) -> SlotLayout | None:
    """Return the layout that a hub gives in its own words, as in ``info/get``; None where it does not."""
    said = document.get("hub")
    sensors, actuators, is_ac = ((said if isinstance(said, dict) else document).get(name) for name in _COUNTS)
    inputs, outputs, mains = COUNT.read(sensors), COUNT.read(actuators), FLAG.read(is_ac)
    if inputs is None or outputs is None or mains is None:
        return None
    return SlotLayout.of(inputs, outputs, mains)


def _key_of(api_key: str | None, channel_id: str | None) -> str:
    if api_key:
        from hashlib import blake2b  # noqa: PLC0415 - only old firmware sends no MAC, and it loads OpenSSL

        return "key:" + blake2b(api_key.encode(errors="surrogatepass"), digest_size=8).hexdigest()
    channel = clean_text(channel_id or "", 64)
    return f"channel:{channel}" if channel else ""


def _plain(extra: dict[str, Any], problems: Problems) -> dict[str, Any]:
    """Keep fields that are unknown or odd, as far as they are JSON that anyone can write again."""
    kept = {name: value for name, value in extra.items() if isinstance(name, str) and is_plain(value)}
    for name, value in extra.items():
        if name not in kept and name not in _FIELDS:
            problems.add("plain JSON", value, "an unknown field")
    return kept
