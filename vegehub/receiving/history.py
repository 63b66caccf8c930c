"""What hubs measured, kept in memory: the newest samples of each slot, and hourly means that outlive them."""
# ruff: noqa: A002 - "id" is the word of the registry for what names a hub

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from vegehub.exceptions import VegeHubValueError
from vegehub.wire import Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    class Readings(Protocol):
        """An update: anything that holds readings by slot."""

        @property
        def readings(self) -> Mapping[int, Reading]:
            """Slot -> reading."""


MAX_SAMPLES = 1000
"""Samples kept of each slot by default."""
MAX_HOURS = 90 * 24
"""Hours back from the newest sample of a slot for which means are kept by default."""
MAX_SLOTS = 64
"""Slots kept of one hub; a hub has at most some twenty, a forged update may name any number of them."""

_HOUR = 3600
_EARLIEST = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
_DAY = 86_400.0


def plausible(taken_at: datetime | None, arrived: float) -> float | None:
    """Return the time of a sample that came at ``arrived``, both in Unix seconds; None where it cannot be true."""
    time = math.nan if taken_at is None else taken_at.timestamp()
    return time if _EARLIEST <= time <= arrived + _DAY else None


class HistorySample(NamedTuple):
    """One value of a slot (1-based, as in updates) and its time, aware, UTC."""

    slot: int
    value: float
    taken_at: datetime


@dataclass(frozen=True, slots=True)
class HourlyMean:
    """The mean of the ``count`` samples that a slot has from ``start`` (aware, UTC) on for an hour."""

    start: datetime
    mean: float
    count: int


class History:
    """The past of many hubs, bounded: ``samples`` per slot, and the means of ``hours`` back from the newest one.

    Samples may come in any order, and those of one moment keep theirs. One with the slot, time and value of another is
    a repeat and counts once, but equal samples of one push are all kept; one not newer than a sample that has fallen out
    may be a repeat and is left out. A sample without a time, or with one that cannot be true (before 2020, or more than
    a day after it came), has the moment at which it came.
    """

    def __init__(self, *, samples: int = MAX_SAMPLES, hours: int = MAX_HOURS) -> None:
        for name, value in (("samples", samples), ("hours", hours)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise VegeHubValueError(f"{name} must be an int from 1, not {value!r:.40}")
        self._max_samples = samples
        self._max_hours = hours
        self._hubs: dict[str, dict[int, _Slot]] = {}

    def add(self, id: str, item: Reading | Readings | Iterable[Reading], *, arrived: datetime | None = None) -> int:
        """Take in a reading, several, or an update of the hub ``id``; return how many samples were new.

        ``arrived`` (aware) is the moment at which it came, now by default. Values that are no finite number are left
        out, as are slots beyond 64 of one hub.
        """
        if arrived is not None and arrived.tzinfo is None:
            raise VegeHubValueError("arrived must be an aware datetime")
        came = (datetime.now(UTC) if arrived is None else arrived).timestamp()
        slots = self._hubs.setdefault(id, {})
        return sum(self._add_reading(slots, reading, came) for reading in _readings(item))

    def query(self, id: str, slot: int | None = None, since: datetime | None = None) -> tuple[HistorySample, ...]:
        """Return the samples of a hub, or of one of its slots, taken at ``since`` (aware) or later, oldest first."""
        earliest = _seconds(since)
        found = [
            HistorySample(number, value, datetime.fromtimestamp(time, UTC))
            for number, kept in self._slots(id, slot)
            for time, value in kept.since(earliest)
        ]
        found.sort(key=lambda sample: sample.taken_at)
        return tuple(found)

    def hourly(self, id: str, slot: int, since: datetime | None = None) -> tuple[HourlyMean, ...]:
        """Return the hourly means of a slot, oldest first, of the hours that end after ``since`` (aware)."""
        earliest = _seconds(since)
        return tuple(
            HourlyMean(datetime.fromtimestamp(hour * _HOUR, UTC), total / count, count)
            for _, kept in self._slots(id, slot)
            for hour, total, count in zip(kept.hours, kept.sums, kept.counts, strict=True)
            if (hour + 1) * _HOUR > earliest
        )

    def clear(self, id: str | None = None) -> None:
        """Forget a hub, or all of them; one that is not known is no error."""
        if id is None:
            self._hubs.clear()
        else:
            self._hubs.pop(id, None)

    def _slots(self, id: str, slot: int | None) -> list[tuple[int, _Slot]]:
        slots = self._hubs.get(id, {})
        return sorted(slots.items()) if slot is None else [(slot, slots[slot])] if slot in slots else []

    def _add_reading(self, slots: dict[int, _Slot], reading: Reading, came: float) -> int:
        kept = slots.get(reading.slot)
        if kept is None:
            if len(slots) >= MAX_SLOTS or not reading.samples:
                return 0
            kept = slots[reading.slot] = _Slot()
        # As it stands now: what falls out because of this push makes no repeat of what follows in it.
        oldest = kept.fallen_out
        nths: dict[tuple[float, float], int] = {}
        new = 0
        for sample in reading.samples:
            if not math.isfinite(sample.value):
                continue
            time = plausible(sample.taken_at, came)
            if time is None:
                time = came
            if time > oldest:
                nths[time, sample.value] = nth = nths.get((time, sample.value), 0) + 1
                new += kept.add(time, sample.value, nth, self._max_samples, self._max_hours)
        return new


class _Slot:
    """Times and values in two arrays, 16 bytes per sample; hours in three, 16 bytes per hour."""

    __slots__ = ("counts", "fallen_out", "hours", "sums", "times", "values")

    def __init__(self) -> None:
        self.times = array("d")
        self.values = array("d")
        self.fallen_out = -math.inf
        self.hours = array("i")
        self.sums = array("d")
        self.counts = array("i")

    def add(self, time: float, value: float, nth: int, max_samples: int, max_hours: int) -> bool:
        """Put a sample, the ``nth`` of its kind in a push, in its place; False for a repeat."""
        times = self.times
        place = len(times)
        if times and time <= times[-1]:  # most samples are newer than all before
            place = bisect_right(times, time)
            if nth <= self.values[bisect_left(times, time, hi=place) : place].count(value):
                return False
        times.insert(place, time)
        self.values.insert(place, value)
        if len(times) > max_samples:
            self.fallen_out = max(self.fallen_out, times.pop(0))
            self.values.pop(0)
        self._add_to_hour(int(time // _HOUR), value, max_hours)
        return True

    def since(self, earliest: float) -> Iterable[tuple[float, float]]:
        """Return time and value of the samples from ``earliest`` on."""
        start = bisect_left(self.times, earliest)
        return zip(self.times[start:], self.values[start:], strict=True)

    def _add_to_hour(self, hour: int, value: float, max_hours: int) -> None:
        hours = self.hours
        place = len(hours) - 1 if hours and hours[-1] == hour else bisect_left(hours, hour)
        if place == len(hours) or hours[place] != hour:
            hours.insert(place, hour)
            self.sums.insert(place, 0.0)
            self.counts.insert(place, 0)
        self.sums[place] += value
        self.counts[place] += 1
        if old := bisect_left(hours, hours[-1] - max_hours + 1):
            del hours[:old], self.sums[:old], self.counts[:old]


def _readings(item: Reading | Readings | Iterable[Reading]) -> Iterable[Reading]:
    if isinstance(item, Reading):
        return (item,)
    by_slot: Mapping[int, Reading] | None = getattr(item, "readings", None)
    return cast("Iterable[Reading]", item) if by_slot is None else by_slot.values()


def _seconds(since: datetime | None) -> float:
    if since is None:
        return -math.inf
    if since.tzinfo is None:
        raise VegeHubValueError("since must be an aware datetime")
    return since.timestamp()
