"""The samples of a push: read from every known shape, the bad ones dropped and counted, and sorted by time."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, TypeGuard

from .models import Sample
from .near_json import MAX_DIGITS
from .payload import kind

MAX_SLOT = 65535
"""The highest slot number that is taken; hubs are known to use up to 13."""
MAX_NOTES = 5
"""Dropped fields that are described in words; the others are only counted."""

Pair = tuple[float, str | None]
"""A value, and its time as the hub wrote it."""

_HUGE = 10**MAX_DIGITS
_TOP = float("inf")
_field_slot = re.compile("field([1-9][0-9]{0,4})").fullmatch
_text_of = itemgetter(1)


class Problems:
    """Counts what is dropped, and describes the first few."""

    __slots__ = ("count", "notes")

    def __init__(self) -> None:
        self.count = 0
        self.notes: list[str] = []

    def add(self, expected: str, value: object, path: str, *indexes: int) -> None:
        """Note a bad field; ``path`` has a %d for each index, filled in only for the few that are described."""
        self.count += 1
        if len(self.notes) < MAX_NOTES:
            self.notes.append(f"{path % indexes}: expected {expected}, got {kind(value)}")


def finite(value: object) -> float | None:
    """Return a number, or text that holds one, as a finite float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, int) and not -_HUGE < value < _HUGE:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if -_TOP < number < _TOP else None


def read_sensors(  # noqa: C901 - one loop: a call for each entry would cost as much as reading it
    sensors: list[Any], problems: Problems
) -> dict[int, list[Pair]]:
    """Read ``[{"slot", "samples": [{"v", "t"}]}]``; slots without a sample are left out."""
    found: dict[int, list[Pair]] = {}
    top = _TOP
    for index, entry in enumerate(sensors):
        try:
            slot, samples = entry["slot"], entry["samples"]
        except Exception:  # noqa: BLE001 - a caller may give objects of any kind
            slot = samples = None
        if slot.__class__ is not int or not 0 < slot <= MAX_SLOT or samples.__class__ is not list:
            lenient_entry = _lenient_entry(entry, problems, index)
            if lenient_entry is None:
                continue
            slot, samples = lenient_entry
        pairs: list[Pair] = []
        for sample in samples:
            # Nearly all samples are just like this; a list that holds another goes the long way, from its start.
            try:
                value = sample["v"]
                text = sample["t"]
            except Exception:  # noqa: BLE001 - a dict from a caller may hold objects of any kind
                break
            if value.__class__ is not float or text.__class__ is not str or not -top < value < top:
                break
            pairs.append((value, text))
        if len(pairs) < len(samples):
            pairs = _lenient_samples(samples, problems, index)
        if slot in found:
            found[slot] += pairs
        elif pairs:
            found[slot] = pairs
    return found


def read_old_updates(updates: list[Any], problems: Problems) -> dict[int, list[Pair]]:
    """Read ``[{"created_at", "field1", "field2" ...}]``; a field that is absent or null was not sampled."""
    found: dict[int, list[Pair]] = {}
    for index, entry in enumerate(updates):
        if not isinstance(entry, dict):
            problems.add("an object", entry, "updates[%d]", index)
            continue
        text = entry.get("created_at")
        if text is not None and not isinstance(text, str):
            problems.add("text", text, "updates[%d].created_at", index)
            continue
        for name, number in entry.items():
            match = _field_slot(name) if isinstance(name, str) else None
            if match is None or number is None:
                continue
            value = finite(number)
            slot = int(match[1])
            if value is None or slot > MAX_SLOT:
                problems.add("a number", number, f"updates[%d].{name}", index)
            else:
                found.setdefault(slot, []).append((value, text))
    return found


def _lenient_entry(entry: object, problems: Problems, index: int) -> tuple[int, list[Any]] | None:
    if not isinstance(entry, dict):
        problems.add("an object", entry, "sensors[%d]", index)
        return None
    slot = _lenient_slot(entry.get("slot"))
    if slot is None:
        problems.add("a slot from 1", entry.get("slot"), "sensors[%d].slot", index)
        return None
    samples = entry.get("samples")
    if not isinstance(samples, list):
        problems.add("a list", samples, "sensors[%d].samples", index)
        return None
    return slot, samples


def _lenient_slot(value: object) -> int | None:
    number = finite(value)
    return int(number) if number is not None and number.is_integer() and 0 < number <= MAX_SLOT else None


def _lenient_samples(samples: list[Any], problems: Problems, index: int) -> list[Pair]:
    pairs = [_lenient_sample(sample, problems, index, at) for at, sample in enumerate(samples)]
    return [pair for pair in pairs if pair is not None]


def _lenient_sample(sample: object, problems: Problems, index: int, position: int) -> Pair | None:
    if not isinstance(sample, dict):
        problems.add("an object", sample, "sensors[%d].samples[%d]", index, position)
        return None
    value = finite(sample.get("v"))
    if value is None:
        problems.add("a number", sample.get("v"), "sensors[%d].samples[%d].v", index, position)
        return None
    text = sample.get("t")
    if text is not None and not isinstance(text, str):
        problems.add("text", text, "sensors[%d].samples[%d].t", index, position)
        return None
    return value, text


def moment(text: str | None) -> datetime | None:
    """Decode a time as hubs write it, UTC; None for what is none."""
    return Sample(0.0, text).taken_at


def by_time(pairs: list[Pair]) -> list[Pair]:
    """Sort by time, stable; a sample without a time keeps its place behind the one before it."""
    texts = [text for _, text in pairs]
    if _one_format(texts):
        # Texts of one format sort as their times do: nothing needs decoding.
        return pairs if texts == sorted(texts) else sorted(pairs, key=_text_of)
    last = datetime.min.replace(tzinfo=UTC)
    timed = []
    for pair in pairs:
        last = moment(pair[1]) or last
        timed.append((last, pair))
    return [pair for _, pair in sorted(timed, key=itemgetter(0))]


def _one_format(texts: list[str | None]) -> TypeGuard[list[str]]:
    """Tell whether the texts sort as their times do: one length, one separator, no offset, no week dates."""
    try:
        joined = "".join(texts)  # type: ignore[arg-type]  # a None is what this is to find
    except TypeError:
        return False
    count = len(texts)
    return (
        len(set(map(len, texts))) == 1  # type: ignore[arg-type]  # no None past the join
        and count in (joined.count("T"), joined.count(" "))
        and joined.count("-") == 2 * count
        and "+" not in joined
        and "W" not in joined
    )
