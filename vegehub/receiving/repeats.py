"""What a hub sends again is told from what is new by marks, which a journal keeps in its file for 30 days."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING

from vegehub.wire import Readings

if TYPE_CHECKING:
    import sqlite3

    from vegehub.wire import Pair, Update

MARK_DAYS = 30
"""Days for which a sample is known again when a hub sends it once more."""

# The digest is the row's own key, which keeps a mark at some 20 bytes: a farm leaves millions of them in 30 days.
SCHEMA = "CREATE TABLE marks(digest INTEGER PRIMARY KEY, seen INTEGER NOT NULL)"

_FIRST_PLAUSIBLE = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
_HOUR = 3600.0
_DAY = 24 * _HOUR
_MARK_HOURS = MARK_DAYS * 24
_SLICES = 24


class Repeats:
    """The table of marks; each method is part of the caller's transaction. ``now`` is in Unix seconds."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._pruned_hour: int | None = None

    def filter(self, connection: sqlite3.Connection, update: Update, body: bytes, now: float) -> Update | None:
        """Mark what is new in an update and return the update reduced to it; None if all of it is a repeat.

        A sample is a repeat by its hub, slot, time and value; one without a plausible time, an update without
        samples, and anything of an unknown hub only as part of a byte-identical body.
        """
        hour = int(now // _HOUR)
        whole = self._digest(update.hub_key, body)
        if _is_marked(connection, whole, hour):
            return None
        kept: dict[int, list[Pair]] = {}
        by_body = not update.readings
        counts: dict[tuple[int, float, float], int] = {}
        for slot, reading in update.readings.items():
            for sample in reading.samples:
                at = sample.taken_at
                taken = 0.0 if at is None else at.timestamp()
                if not update.hub_key or not _FIRST_PLAUSIBLE <= taken <= now + _DAY:
                    by_body = True
                else:
                    # Two equal samples in one push are two edges within a second, not a repeat.
                    place = (slot, taken, sample.value)
                    counts[place] = nth = counts.get(place, 0) + 1
                    if not _mark(connection, self._digest(update.hub_key, repr((place, nth)).encode()), hour):
                        continue
                kept.setdefault(slot, []).append((sample.value, sample.time_text))
        if by_body:
            _mark(connection, whole, hour)
        if update.readings and not kept:
            return None
        return replace(update, readings=Readings(kept))

    def prune(self, connection: sqlite3.Connection, now: float) -> None:
        """Delete expired marks, each hour those of one slice in 24: no index on their age, and no long scan."""
        hour = int(now // _HOUR)
        last = hour - 1 if self._pruned_hour is None else self._pruned_hour
        self._pruned_hour = hour
        width = 2**64 // _SLICES + 1
        for due in range(max(last, hour - _SLICES) + 1, hour + 1):
            low = due % _SLICES * width - 2**63
            high = min(low + width, 2**63) - 1
            # Beyond the other end: marked while this machine's clock was wrong.
            connection.execute(
                "DELETE FROM marks WHERE digest BETWEEN ? AND ? AND (seen < ? OR seen > ?)",
                (low, high, hour - _MARK_HOURS, hour + _MARK_HOURS),
            )

    @staticmethod
    def forget(connection: sqlite3.Connection, now: float, share: float) -> bool:
        """Keep only the marks of the newest ``share`` (0..1) of the 30 days; False if there are none at all."""
        oldest = int(now // _HOUR) - int(_MARK_HOURS * share)
        has_any = connection.execute("SELECT EXISTS(SELECT 1 FROM marks)").fetchone()[0]
        connection.execute("DELETE FROM marks WHERE seen < ? OR ? = 0", (oldest, share))
        return bool(has_any)

    def _digest(self, hub: str, text: bytes) -> int:
        # Keyed, so that nobody can make up a sample that passes for a repeat of another.
        digest = blake2b(hub.encode(), key=self._secret, digest_size=8)
        digest.update(b"\0" + text)
        return int.from_bytes(digest.digest(), "big", signed=True)


def _is_marked(connection: sqlite3.Connection, digest: int, hour: int) -> bool:
    query = "SELECT EXISTS(SELECT 1 FROM marks WHERE digest = ? AND seen >= ?)"
    return bool(connection.execute(query, (digest, hour - _MARK_HOURS)).fetchone()[0])


def _mark(connection: sqlite3.Connection, digest: int, hour: int) -> bool:
    """Mark a digest as seen; False if it has a mark that still counts."""
    cursor = connection.execute(
        "INSERT INTO marks(digest, seen) VALUES(?, ?)"
        " ON CONFLICT(digest) DO UPDATE SET seen = excluded.seen WHERE marks.seen < ?",
        (digest, hour, hour - _MARK_HOURS),
    )
    return cursor.rowcount == 1
