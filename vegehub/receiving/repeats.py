"""What a hub sends again is told from what is new by marks, which a journal keeps in its file for 30 days."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

from vegehub.wire import Reading

from .history import plausible

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from vegehub.wire import Update

MARK_SECONDS = 30 * 86_400.0
"""How long a sample with a plausible time is known again."""
BODY_SECONDS = 60.0
"""How long a body is known again that has to stand for samples without one: a hub sends again at once, or later what is new."""

# One row for each moment of a hub, with all that was measured then: a push has one moment and many slots.
SCHEMA = (
    "CREATE TABLE marks(digest INTEGER PRIMARY KEY, until REAL NOT NULL, samples BLOB NOT NULL)",
    "CREATE INDEX marks_until ON marks(until)",
)

_PRUNED_AT_ONCE = 1000
_record = struct.Struct(">Id")  # slot and volts, as they stand in a mark


@dataclass(frozen=True, slots=True)
class Arrival:
    """An update, the body that it was in, and when it came in Unix seconds."""

    update: Update
    body: bytes
    at: float


Counts = dict[bytes, int]
"""Slot and volts, as they stand in a mark -> how often they were there at one moment."""


@dataclass(slots=True)
class _Mark:
    """What is known of one moment of a hub."""

    until: float
    counts: Counts


@dataclass(slots=True)
class _Plan:
    """What an update is looked up by: the digests of its moments, and of its body if that has to stand for some samples."""

    moments: dict[int, Counts]
    digests: dict[float, int]
    body: int | None


class Repeats:
    """The table of marks; each method is part of the caller's transaction."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def filter(self, connection: sqlite3.Connection, arrivals: Sequence[Arrival]) -> list[Update | None]:
        """Mark what is new, in order of arrival; return each update reduced to it, None where all of it is a repeat.

        A sample is a repeat by its hub, slot, time and value. One without a plausible time, an update without samples,
        and anything of an unknown hub is one only as part of a byte-identical body that came within a minute.
        """
        plans = [self._planned(arrival) for arrival in arrivals]
        digests = {digest for plan in plans for digest in plan.moments}
        digests.update(plan.body for plan in plans if plan.body is not None)
        marks = _load(connection, digests)
        changed: set[int] = set()
        fresh = [_reduced(arrival, plan, marks, changed) for arrival, plan in zip(arrivals, plans, strict=True)]
        connection.executemany(
            "INSERT OR REPLACE INTO marks(digest, until, samples) VALUES(?, ?, ?)",
            [(digest, marks[digest].until, _packed(marks[digest].counts)) for digest in changed],
        )
        return fresh

    @staticmethod
    def prune(connection: sqlite3.Connection, now: float) -> None:
        """Delete some of the marks that have expired, or were made while this machine's clock was wrong."""
        connection.execute(
            "DELETE FROM marks WHERE digest IN (SELECT digest FROM marks WHERE until < ? OR until > ? LIMIT ?)",
            (now, now + 2 * MARK_SECONDS, _PRUNED_AT_ONCE),
        )

    @staticmethod
    def forget(connection: sqlite3.Connection, now: float, share: float) -> bool:
        """Keep only the marks of the newest ``share`` (0..1) of the 30 days; False if there are none at all."""
        has_any = connection.execute("SELECT EXISTS(SELECT 1 FROM marks)").fetchone()[0]
        oldest = now + MARK_SECONDS * (1 - share)
        connection.execute("DELETE FROM marks WHERE until < ? OR ? = 0", (oldest, share))
        return bool(has_any)

    def _planned(self, arrival: Arrival) -> _Plan:
        update = arrival.update
        plan = _Plan({}, {}, None)
        needs_body = not update.readings
        for slot, reading in update.readings.items():
            for sample in reading.samples:
                moment = plausible(sample.taken_at, arrival.at)
                if moment is None or not update.hub_key:
                    needs_body = True
                    continue
                digest = plan.digests.get(moment)
                if digest is None:
                    digest = plan.digests[moment] = self._digest(update.hub_key, b"at %r" % moment)
                    plan.moments[digest] = {}
                counts = plan.moments[digest]
                record = _record.pack(slot, sample.value)
                counts[record] = counts.get(record, 0) + 1
        if needs_body:
            plan.body = self._digest(update.hub_key, b"body " + arrival.body)
        return plan

    def _digest(self, hub: str, text: bytes) -> int:
        # Keyed, so that nobody can make up a moment that passes for another.
        digest = blake2b(hub.encode(errors="surrogatepass"), key=self._secret, digest_size=8)
        digest.update(b"\0" + text)
        return int.from_bytes(digest.digest(), "big", signed=True)


def _reduced(arrival: Arrival, plan: _Plan, marks: dict[int, _Mark], changed: set[int]) -> Update | None:
    if plan.body is not None:
        known = marks.get(plan.body)
        # From the one that was kept, and not from the last: a value that never changes would never come again.
        if known is not None and arrival.at <= known.until <= arrival.at + BODY_SECONDS:
            return None
        marks[plan.body] = _Mark(arrival.at + BODY_SECONDS, {})
        changed.add(plan.body)
    known_counts: dict[int, Counts] = {}
    for digest, counts in plan.moments.items():
        mark = marks.get(digest)
        if mark is None or mark.until < arrival.at:
            merged = counts
        else:
            known_counts[digest] = mark.counts
            merged = {**mark.counts, **{key: max(n, mark.counts.get(key, 0)) for key, n in counts.items()}}
            if merged == mark.counts:
                continue
        marks[digest] = _Mark(arrival.at + MARK_SECONDS, merged)
        changed.add(digest)
    return _without(arrival, plan, known_counts) if known_counts else arrival.update


def _without(arrival: Arrival, plan: _Plan, known: dict[int, Counts]) -> Update | None:
    """Leave out what is known; equal samples in one push are edges within a second, not repeats: each is counted."""
    kept: dict[int, Reading] = {}
    nths: dict[tuple[int, bytes], int] = {}
    for slot, reading in arrival.update.readings.items():
        samples = []
        for sample in reading.samples:
            digest = plan.digests.get(plausible(sample.taken_at, arrival.at) or 0.0)
            if digest is not None:
                record = _record.pack(slot, sample.value)
                nths[digest, record] = nth = nths.get((digest, record), 0) + 1
                if nth <= known.get(digest, {}).get(record, 0):
                    continue
            samples.append(sample)
        if samples:
            kept[slot] = Reading(slot, tuple(samples))
    return replace(arrival.update, readings=kept) if kept else None


def _load(connection: sqlite3.Connection, digests: Iterable[int]) -> dict[int, _Mark]:
    query = "SELECT digest, until, samples FROM marks WHERE digest IN (SELECT value FROM json_each(?))"
    return {
        digest: _Mark(until, _unpacked(samples))
        for digest, until, samples in connection.execute(query, (json.dumps([*digests]),))
    }


def _packed(counts: Counts) -> bytes:
    return b"".join(record * count for record, count in counts.items())


def _unpacked(samples: bytes) -> Counts:
    counts: Counts = {}
    for start in range(0, len(samples), _record.size):
        record = samples[start : start + _record.size]
        counts[record] = counts.get(record, 0) + 1
    return counts
