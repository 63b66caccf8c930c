"""What hubs push: bytes or a decoded document in, an ``Update`` out; tolerant per sample, strict per payload."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import VegeHubPayloadError

from .models import Reading, Sample, normalize_mac
from .near_json import MAX_DEPTH, MAX_DIGITS
from .payload import as_list, as_object, decode_json, wrong
from .samples import Pair, Problems, by_time, finite, moment, read_old_updates, read_sensors
from .text import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .layout import SlotLayout

_KEYS = ("api_key", "key", "write_api_key")
_KNOWN = frozenset(
    (*_KEYS, "channel_id", "id", "mac", "error_code", "sensors", "updates", "send_time", "wifi_str", "voltage")
)
_HUGE = 10**MAX_DIGITS
_plain_mac = re.compile("[0-9A-F]{12}").fullmatch


# No hook for each number, they double the cost of decoding, and none for NaN: whatever is used is checked where it is
# used, and one broken sensor must not make a push unreadable.
_decoder = json.JSONDecoder()
_decode = _decoder.raw_decode


class Readings(Mapping[int, Reading]):
    """Slot (1-based) -> ``Reading``; made and sorted when asked for, since most callers want few of many samples."""

    __slots__ = ("_made", "_pairs")

    def __init__(self, pairs: Mapping[int, list[Pair]]) -> None:
        self._pairs = pairs
        self._made: dict[int, Reading] = {}

    def __getitem__(self, slot: int) -> Reading:
        reading = self._made.get(slot)
        if reading is None:
            pairs = self._pairs[slot]
            if len(pairs) > 1:
                pairs = by_time(pairs)
            reading = self._made[slot] = Reading(slot, tuple([Sample(value, text) for value, text in pairs]))
        return reading

    def __iter__(self) -> Iterator[int]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __contains__(self, slot: object) -> bool:
        return slot in self._pairs

    def __repr__(self) -> str:
        return repr(dict(self))


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
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    """What is not known yet; not in the repr, since it may hold anything."""
    problems: int = 0
    """Samples and fields that were dropped because they were bad."""
    problem_notes: tuple[str, ...] = ()
    """The first few of them in words, without their values."""
    received_at: datetime | None = None
    """When the receiver took it, aware, UTC; None straight from ``parse_update``."""
    delivery_id: str = ""
    """The same for every delivery of this update from a journal, and never used again; "" without a journal."""

    @property
    def sent_at(self) -> datetime | None:
        """The time of sending by the hub's clock, aware, UTC; None when the hub gave none. Decoded when asked."""
        if self.send_time is None:
            return None
        try:
            return datetime.fromtimestamp(int(self.send_time), UTC)
        except (ValueError, OverflowError, OSError):
            return moment(str(self.send_time))

    def inputs(self, layout: SlotLayout) -> dict[int, Reading]:
        """Return the readings of the wired inputs by input (0-based), as far as they are in this update."""
        return {index: self.readings[slot] for index, slot in enumerate(layout.inputs) if slot in self.readings}

    def actuators(self, layout: SlotLayout) -> dict[int, Reading]:
        """Return the readings of the actuators by their number in commands (0-based), as far as they are in it."""
        return {index: self.readings[slot] for index, slot in enumerate(layout.actuators) if slot in self.readings}

    def battery(self, layout: SlotLayout) -> float | None:
        """Return the newest battery volts: ``battery_volts``, else the battery's slot; None if neither is in it."""
        if self.battery_volts is not None or layout.battery is None:
            return self.battery_volts
        reading = self.readings.get(layout.battery)
        return reading.samples[-1].value if reading else None


def parse_update(payload: bytes | bytearray | str | dict[str, Any]) -> Update:
    """Read one push of a hub, of any known shape; VegeHubPayloadError, and no other, for what is no update.

    A bad sample or field is dropped and counted in ``problems``. An update has a list of ``sensors`` (or, from old
    firmware, of ``updates``), and its ``mac`` is a MAC if it has one.
    """
    document = as_object(_decoded(payload))
    if "who_updated" in document:
        raise VegeHubPayloadError("who_updated: a configuration of a hub, not an update", path="who_updated")
    problems = Problems()
    sensors = document.get("sensors")
    if sensors is None and "updates" in document:
        pairs = read_old_updates(as_list(document["updates"], "updates"), problems)
    else:
        pairs = read_sensors(as_list(sensors, "sensors"), problems)
    mac = _mac(document.get("mac"))
    api_key = _api_key(document, problems)
    channel_id = _channel_id(document, problems) if "channel_id" in document or "id" in document else ""
    voltage = document.get("voltage")
    send_time = document.get("send_time")
    return Update(
        mac=mac,
        hub_key=mac or _key_of(api_key, channel_id),
        api_key=api_key,
        channel_id=channel_id,
        send_time=send_time if isinstance(send_time, str) else _whole(send_time, problems, "send_time"),
        rssi=_whole(document.get("wifi_str"), problems, "wifi_str"),
        error_code=_whole(document.get("error_code"), problems, "error_code"),
        battery_volts=None if voltage is None else _volts(voltage, problems),
        readings=Readings(pairs),
        extra={} if _KNOWN.issuperset(document) else _extra(document, problems),
        problems=problems.count,
        problem_notes=tuple(problems.notes),
    )


def _decoded(payload: object) -> object:
    if isinstance(payload, dict):
        return payload
    if not isinstance(payload, (bytes, bytearray, str)):
        raise wrong("", "JSON or an object", payload)
    try:
        text = payload if isinstance(payload, str) else payload.decode()
        try:
            document, end = _decode(text)
            if end == len(text):
                return document
        except ValueError:
            pass
        return _decoder.decode(text.removeprefix("\ufeff"))  # takes white space around it, which hubs do not send
    except (ValueError, RecursionError):
        pass
    try:  # refused for sure: the strict decoder puts the reason in words, without any of the payload
        return decode_json(payload)
    except ValueError as err:
        raise VegeHubPayloadError(f"payload: {err}") from None


def _whole(value: Any, problems: Problems, path: str) -> int | None:
    if value is None or (value.__class__ is int and -_HUGE < value < _HUGE):
        return value
    number = finite(value)
    if number is None or not number.is_integer():
        problems.add("an integer", value, path)
        return None
    return int(number)


def _volts(value: object, problems: Problems) -> float | None:
    number = finite(value)
    if number is None:
        problems.add("a number", value, "voltage")
    return number


def _mac(value: object) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, str):
        if _plain_mac(value):
            return value
        try:
            return normalize_mac(value)
        except ValueError:
            pass
    raise wrong("mac", "a MAC address", value)


def _api_key(document: dict[str, Any], problems: Problems) -> str:
    found = document.get("api_key")
    if found.__class__ is str and "key" not in document and "write_api_key" not in document:
        return found
    found = ""
    for name in _KEYS:
        value = document.get(name)
        if isinstance(value, str):
            found = found or value
        elif value is not None:
            problems.add("text", value, name)
    return found


def _channel_id(document: dict[str, Any], problems: Problems) -> str:
    for name in ("channel_id", "id"):
        value = document.get(name)
        if value is None or value == "":
            continue
        if isinstance(value, str):
            return value
        number = _whole(value, problems, name)
        if number is not None:
            return str(number)
    return ""


def _key_of(api_key: str, channel_id: str) -> str:
    if api_key:
        from hashlib import blake2b  # noqa: PLC0415 - only old firmware sends no MAC, and it loads OpenSSL

        return "key:" + blake2b(api_key.encode(errors="surrogatepass"), digest_size=8).hexdigest()
    channel = clean_text(channel_id, 64)
    return f"channel:{channel}" if channel else ""


def _extra(document: dict[str, Any], problems: Problems) -> dict[str, Any]:
    """Keep unknown fields, as far as they are JSON that anyone can write again."""
    extra: dict[str, Any] = {}
    for name, value in document.items():
        if name in _KNOWN:
            continue
        if isinstance(name, str) and _is_plain(value):
            extra[name] = value
        else:
            problems.add("plain JSON", value, "an unknown field")
    return extra


def _is_plain(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                if not all(isinstance(name, str) for name in item):
                    return False
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
            elif not (item is None or isinstance(item, (str, bool)) or finite(item) is not None):
                return False
        if not inner:
            return True
        level = inner
    return False
