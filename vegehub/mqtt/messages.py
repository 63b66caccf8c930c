"""What an update becomes on MQTT: one message with all of it, and one with the last value of each slot."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import VegeHubValueError
from vegehub.sleeping.presence import PresenceState
from vegehub.wire import SlotKind, redact

from .turn import OFFLINE, ONLINE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vegehub.sensors import SensorCurve
    from vegehub.sleeping.presence import Presence
    from vegehub.wire import Reading, SlotLayout, Update

    from .topics import Topics

ON, OFF = "ON", "OFF"
_FIRST_PLAUSIBLE = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Message:
    """What is published, with QoS 1."""

    topic: str
    payload: str
    retain: bool = True


class LastValues:
    """When each last value was taken, so that what a hub sends late does not go for its newest."""

    def __init__(self) -> None:
        self._times: dict[str, datetime] = {}

    def take(self, topic: str, time: datetime) -> bool:
        """Tell whether a value taken at ``time`` is the newest for its topic, and note it if so."""
        if time < self._times.get(topic, time):
            return False
        self._times[topic] = time
        return True


def update_messages(
    update: Update, topics: Topics, layout: SlotLayout | None, sensors: Mapping[int, SensorCurve], last: LastValues
) -> list[Message]:
    """Return what is published of an update; the whole update comes first, and only that is not retained.

    Without a ``layout`` nobody knows which slot is what: then only the update as a whole has its samples. ``sensors``
    are the curves by input, counted from 1.
    """
    hub = update.hub_key
    came = update.received_at or datetime.now(UTC)
    document = update_document(update, layout, sensors)
    messages = [Message(topics.update(hub), json.dumps(document, separators=(",", ":")), retain=False)]
    for slot, kind, place in layout.slots() if layout is not None else ():
        reading = update.readings.get(slot)
        if kind is SlotKind.BATTERY or reading is None:
            continue
        value, time = _latest(reading, came)
        if kind is SlotKind.ACTUATOR:
            topic = topics.actuator(hub, place)
            payload = ON if value else OFF
        else:
            topic = topics.input(hub, place)
            payload = number(value)
        if not last.take(topic, time):
            continue
        messages.append(Message(topic, payload))
        quantity = None if kind is SlotKind.ACTUATOR else _quantity(sensors.get(place), value)
        if quantity is not None:
            messages.append(Message(topics.quantity(hub, place), number(quantity)))
    volts, time = _battery(update, layout, came)
    if volts is not None and last.take(topics.battery(hub), time):
        messages.append(Message(topics.battery(hub), number(volts)))
    if update.rssi is not None and last.take(topics.rssi(hub), came):
        messages.append(Message(topics.rssi(hub), str(update.rssi)))
    return messages


def update_document(update: Update, layout: SlotLayout | None, sensors: Mapping[int, SensorCurve]) -> dict[str, Any]:
    """Return an update as JSON: every sample with its time, what its slot is, and what its sensor measures."""
    document: dict[str, Any] = {
        "hub": update.hub_key,
        "mac": update.mac or None,
        "delivery_id": update.delivery_id or None,
        "received_at": iso(update.received_at),
        "sent_at": iso(update.sent_at),
        "rssi": update.rssi,
        "battery": update.battery_volts if layout is None else update.battery(layout),
        "error_code": update.error_code,
        "problems": update.problem_count,
        "readings": [_reading(reading, layout, sensors) for _, reading in sorted(update.readings.items())],
    }
    if update.extra:
        document["extra"] = redact(dict(update.extra))
    return document


def presence_messages(hub_key: str, presence: Presence, topics: Topics) -> list[Message]:
    """Return what is published of a hub's presence; nothing of one that was not heard yet, and is not overdue.

    What an earlier run said of a hub that is gone since must not stand for ever.
    """
    if presence.last_seen is None and presence.state is not PresenceState.STALE:
        return []
    document = {
        "state": presence.state.value,
        "last_seen": iso(presence.last_seen),
        "missed_updates": presence.missed_updates,
        "expected_period": presence.expected_period,
    }
    said = OFFLINE if presence.state is PresenceState.STALE else ONLINE
    return [Message(topics.presence(hub_key), json.dumps(document)), Message(topics.availability(hub_key), said)]


def iso(moment: datetime | None) -> str | None:
    """Return a moment as ISO 8601 in UTC, with Z."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def number(value: float) -> str:
    """Return a number without the noise of its last digits."""
    return f"{value:.6g}"


def _reading(reading: Reading, layout: SlotLayout | None, sensors: Mapping[int, SensorCurve]) -> dict[str, Any]:
    place = None if layout is None else layout.locate(reading.slot)
    entry: dict[str, Any] = {"slot": reading.slot}
    curve = None
    if place is not None:
        kind, count = place
        entry["kind"] = kind.value
        if kind is not SlotKind.BATTERY:
            entry["number"] = count
        if kind is SlotKind.INPUT:
            curve = sensors.get(count)
    if curve is not None:
        entry |= {"sensor": curve.name, "unit": curve.unit}
    entry["samples"] = samples = []
    for sample in reading.samples:
        item: dict[str, Any] = {"time": iso(sample.taken_at)}
        if item["time"] is None and sample.time_text is not None:
            item["time_text"] = sample.time_text
        item["value"] = sample.value
        quantity = _quantity(curve, sample.value)
        if quantity is not None:
            item["quantity"] = float(number(quantity))
        samples.append(item)
    return entry


def _latest(reading: Reading, came: datetime) -> tuple[float, datetime]:
    sample = reading.latest or reading.samples[-1]
    return sample.value, _time(sample.taken_at, came)


def _time(taken: datetime | None, came: datetime) -> datetime:
    """Return when a value was taken; a hub whose clock is wrong must not keep its later values back."""
    return came if taken is None or taken < _FIRST_PLAUSIBLE else min(taken, came)


def _battery(update: Update, layout: SlotLayout | None, came: datetime) -> tuple[float | None, datetime]:
    reading = None if layout is None or layout.battery is None else update.readings.get(layout.battery)
    if update.battery_volts is not None or reading is None:
        return update.battery_volts, came
    return _latest(reading, came)


def _quantity(curve: SensorCurve | None, volts: float) -> float | None:
    if curve is None:
        return None
    try:
        return curve.convert(volts)
    except VegeHubValueError:
        return None
