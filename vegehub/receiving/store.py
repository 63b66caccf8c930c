"""The file behind a ``Journal``: SQLite, used by one thread only, every acknowledged update synced to the disk."""

from __future__ import annotations

import json
import os
import secrets
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import VegeHubError, VegeHubJournalError
from vegehub.wire import Update, parse_update, redact

from .large import LARGE_BODY, encode_json, parse_large
from .repeats import SCHEMA as MARKS_SCHEMA
from .repeats import Repeats

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from .repeats import Arrival

_APPLICATION_ID = 0x56486A6C  # tells a journal from any other SQLite file
_VERSION = 2
_SCHEMA = (
    "CREATE TABLE identity(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    # AUTOINCREMENT: the number of an update that was deleted is never given to another.
    """CREATE TABLE updates(
        id INTEGER PRIMARY KEY AUTOINCREMENT, hub TEXT NOT NULL, received REAL NOT NULL, body BLOB NOT NULL,
        failures INTEGER NOT NULL DEFAULT 0, failing REAL NOT NULL DEFAULT 0, parked REAL, error TEXT)""",
    "CREATE INDEX pending ON updates(hub) WHERE parked IS NULL",
    *MARKS_SCHEMA,
)
_OLDEST = """SELECT updates.id, hub, length(body) FROM json_each(?) AS wanted JOIN updates ON updates.id IN (
    SELECT id FROM updates WHERE hub = wanted.value AND parked IS NULL ORDER BY id LIMIT ?) ORDER BY updates.id"""
_READ_AT_ONCE = 2**20  # bytes of updates, or one update more
_PROBLEMS = "vegehub.problems"
_LOCK_TIMEOUT = 5.0  # a process that is just stopping still has the file for a moment
_SMALLEST_PAGE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredUpdate:
    """An update as the journal keeps it."""

    row: int
    update: Update
    failures: int = 0
    failing_for: float = 0.0
    """Seconds between its failures so far."""
    parked_at: datetime | None = None
    error: str = ""
    """The class of the consumer's last error."""


class JournalStore:
    """Blocks, and raises ``VegeHubJournalError``; to be called by one thread, which opens the file on first use."""

    def __init__(self, path: str | os.PathLike[str], max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._connection: sqlite3.Connection | None = None
        self._token = ""
        self._repeats = Repeats(b"")

    def open(self) -> None:
        """Open the file, or create it (mode 0600); a file that is no journal is left as it is."""
        with self._connected():
            pass

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def append(self, arrivals: Sequence[Arrival]) -> list[bool | Exception]:
        """Keep what is new in each update, safe on disk when this returns: one transaction and one sync for all.

        Return for each whether anything in it was new, or why it is not kept.
        """
        try:
            with self._connected() as connection, _transaction(connection):
                now = arrivals[0].at
                fresh = self._repeats.filter(connection, arrivals)
                rows = [
                    (arrival.update.hub_key, arrival.at, encode_update(update, is_large=len(arrival.body) > LARGE_BODY))
                    for arrival, update in zip(arrivals, fresh, strict=True)
                    if update is not None
                ]
                connection.executemany("INSERT INTO updates(hub, received, body) VALUES(?, ?, ?)", rows)
                self._repeats.prune(connection, now)
                if rows:
                    self._make_room(connection, now)
        except Exception as err:  # noqa: BLE001 - the others in it must not pay for what one of them brings
            if len(arrivals) > 1 and not _is_of_all(err):
                return [result for arrival in arrivals for result in self.append([arrival])]
            return [err] * len(arrivals)
        return [update is not None for update in fresh]

    def hubs(self) -> list[str]:
        """Return the hubs that have updates to deliver, the one with the oldest first."""
        with self._connected() as connection:
            query = "SELECT hub FROM updates WHERE parked IS NULL GROUP BY hub ORDER BY MIN(id)"
            return [hub for (hub,) in connection.execute(query)]

    def take(self, hubs: Sequence[str], limit: int) -> tuple[list[StoredUpdate], list[str]]:
        """Return the ``limit`` oldest updates of each of ``hubs``, in order, and those hubs that may have more of them."""
        rows: list[int] = []
        counts = dict.fromkeys(hubs, 0)
        size = 0
        with self._connected() as connection:
            for row, hub, length in connection.execute(_OLDEST, (json.dumps(hubs), limit)):
                size += length
                if rows and size > _READ_AT_ONCE:
                    counts[hub] = limit  # it has this one at least
                    continue
                rows.append(row)
                counts[hub] += 1
            return self._select("WHERE id IN (SELECT value FROM json_each(?))", json.dumps(rows)), [
                hub for hub, count in counts.items() if count >= limit
            ]

    def delivered(self, rows: Sequence[int]) -> None:
        """Forget delivered updates; lost with the power, this leads to a second delivery, so it is not synced."""
        with self._unsynced() as connection:
            connection.executemany("DELETE FROM updates WHERE id = ?", [(row,) for row in rows])

    def failed(self, entry: StoredUpdate, parked: float | None) -> None:
        """Keep the count of failures of an update, and park it if ``parked`` (Unix seconds) is given."""
        with self._unsynced() as connection:
            connection.execute(
                "UPDATE updates SET failures = ?, failing = ?, error = ?, parked = ? WHERE id = ?",
                (entry.failures, entry.failing_for, entry.error, parked, entry.row),
            )

    def parked(self) -> list[StoredUpdate]:
        """Return the parked updates, oldest first."""
        return self._select("WHERE parked IS NOT NULL")

    def unpark(self, delivery_ids: tuple[str, ...]) -> int:
        """Queue parked updates again, all of them if none is named; return how many."""
        with self._unsynced() as connection:
            rows = [row for (row,) in connection.execute("SELECT id FROM updates WHERE parked IS NOT NULL")]
            wanted = [(row,) for row in rows if not delivery_ids or f"{self._token}-{row}" in delivery_ids]
            connection.executemany("UPDATE updates SET parked = NULL, failures = 0, failing = 0 WHERE id = ?", wanted)
            return len(wanted)

    def counts(self) -> tuple[int, int, int]:
        """Return the number of updates to deliver, the number of parked ones, and the bytes in use."""
        with self._connected() as connection:
            total, parked = connection.execute("SELECT COUNT(*), COUNT(parked) FROM updates").fetchone()
            return total - parked, parked, _used_bytes(connection)

    def _select(self, where: str, *values: str) -> list[StoredUpdate]:
        columns = "SELECT id, hub, received, body, failures, failing, parked, error FROM updates"
        with self._connected() as connection:
            return [
                StoredUpdate(
                    row=row,
                    update=_decode(body, hub, received, f"{self._token}-{row}"),
                    failures=failures,
                    failing_for=failing,
                    parked_at=None if parked is None else datetime.fromtimestamp(parked, UTC),
                    error=error or "",
                )
                for row, hub, received, body, failures, failing, parked, error in connection.execute(
                    f"{columns} {where} ORDER BY id", values
                )
            ]

    def _make_room(self, connection: sqlite3.Connection, now: float) -> None:
        """Let marks go, the oldest first, before an update is refused: losing a mark only risks a repeat."""
        share = 1.0
        while _used_bytes(connection) > self._max_bytes:
            share = share / 2 if share > 0.01 else 0.0  # noqa: PLR2004 - down to the marks of some hours, then none
            if not self._repeats.forget(connection, now, share):
                raise self._error(f"full: {self._max_bytes} bytes wait to be delivered or are parked")

    # --- The file -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        import sqlite3  # noqa: PLC0415 - only a journal needs it, and this runs in the journal's thread

        try:
            if self._connection is None:
                self._connection = self._connect()
            yield self._connection
        except VegeHubJournalError:
            raise
        except (sqlite3.Error, OSError) as err:
            # Whatever state this connection is in, the next call opens another.
            with suppress(sqlite3.Error):
                self.close()
            code = getattr(err, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise self._error("another process or another Journal has it open") from err
            damaged = code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
            what = "damaged, or not a journal; left as it is" if damaged else "cannot be used"
            raise self._error(f"{what} ({err})", damaged=damaged) from err

    @contextmanager
    def _unsynced(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as connection:
            connection.execute("PRAGMA synchronous = NORMAL")
            with _transaction(connection):
                yield connection
            connection.execute("PRAGMA synchronous = FULL")

    def _connect(self) -> sqlite3.Connection:
        import sqlite3  # noqa: PLC0415 - as in _connected

        self._path = os.path.abspath(self._path)  # noqa: PTH100 - beside os.open
        try:
            # Created here, since SQLite would leave it to the umask who can read it; its other files take its mode.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            # Not opened and closed again: that would drop the locks of another journal of this process on it.
            status = os.stat(self._path)  # noqa: PTH116 - beside os.open
            if 0 < status.st_size < _SMALLEST_PAGE:  # SQLite would take it for empty and write over it
                raise self._error("not a journal; left as it is", damaged=True) from None
            if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
                os.chmod(self._path, 0o600)  # noqa: PTH101 - beside os.open
        connection = sqlite3.connect(self._path, timeout=_LOCK_TIMEOUT, isolation_level=None)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # Exclusive: a second process with the same file would deliver everything a second time.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        is_new = not connection.execute("SELECT EXISTS(SELECT 1 FROM sqlite_master)").fetchone()[0]
        if not is_new:
            if connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
                raise self._error("not a journal but another database; left as it is", damaged=True)
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version != _VERSION:
                known = "as vegehub 0.2 wrote it" if version == 1 else f"this vegehub reads version {_VERSION}"
                raise self._error(f"a journal of version {version} ({known}); left as it is", damaged=True)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # macOS: a plain fsync leaves the data in the disk's own cache
        connection.execute(f"PRAGMA journal_size_limit = {16 * 2**20}")
        with _transaction(connection):  # also finds out now whether it can be written
            if is_new:
                for statement in _SCHEMA:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")
                names = [("token", secrets.token_hex(6)), ("secret", secrets.token_bytes(16))]
                connection.executemany("INSERT INTO identity VALUES(?, ?)", names)
        identity = dict(connection.execute("SELECT name, value FROM identity"))
        if not {"token", "secret"} <= identity.keys():
            raise self._error("damaged; left as it is", damaged=True)
        self._token = identity["token"]
        self._repeats = Repeats(identity["secret"])

    def _error(self, text: str, *, damaged: bool = False) -> VegeHubJournalError:
        error = VegeHubJournalError(f"journal {os.fspath(self._path)}: {text}")
        error.damaged = damaged
        return error


def _used_bytes(connection: sqlite3.Connection) -> int:
    names = ("page_count", "freelist_count", "page_size")
    pages, free, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    return int((pages - free) * size)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _is_of_all(err: Exception) -> bool:
    """Tell whether a transaction failed for all that was in it, and not because there was too much of it, or one was bad."""
    import sqlite3  # noqa: PLC0415 - as in _connected

    if not isinstance(err, VegeHubJournalError):
        return False
    code = getattr(err.__cause__, "sqlite_errorcode", 0) & 0xFF
    return err.damaged or not (err.__cause__ is None or code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR))


def encode_update(update: Update, *, is_large: bool = False) -> bytes:
    """Return an update as the journal keeps it: a push with one more field, without its api key and other secrets."""
    document: dict[str, Any] = {
        "mac": update.mac,
        "channel_id": update.channel_id,
        "send_time": update.send_time,
        "wifi_str": update.rssi,
        "error_code": update.error_code,
        "voltage": update.battery_volts,
        **(redact(dict(update.extra)) if update.extra else {}),
    }
    if update.problem_count:
        document[_PROBLEMS] = [update.problem_count, *update.problems]
    # Samples are many and their times few: put together by hand it takes a third of the time.
    times: dict[str | None, str] = {}
    sensors = []
    for slot, reading in update.readings.items():
        samples = []
        for sample in reading.samples:
            text = times.get(sample.time_text)
            if text is None:
                text = times[sample.time_text] = encode_json(sample.time_text)
            samples.append(f'{{"v":{float(sample.value)!r},"t":{text}}}')
        sensors.append(f'{{"slot":{slot},"samples":[{",".join(samples)}]}}')
    return f'{encode_json(document, is_large=is_large)[:-1]},"sensors":[{",".join(sensors)}]}}'.encode()


def _decode(body: bytes, hub: str, received: float, delivery_id: str) -> Update:
    known: dict[str, Any] = {"hub_key": hub, "delivery_id": delivery_id}
    try:
        moment = known["received_at"] = datetime.fromtimestamp(received, UTC)
        update = parse_large(body, moment) if len(body) > LARGE_BODY else parse_update(body, moment)
        if _PROBLEMS in update.extra:
            extra = dict(update.extra)
            count, *notes = extra.pop(_PROBLEMS)
            known |= {"extra": extra, "problem_count": int(count), "problems": tuple(map(str, notes))}
        return replace(update, **known)
    except (VegeHubError, ValueError, TypeError, KeyError, OverflowError, OSError):
        # Delivered all the same: one bad block of a disk must not hold up what comes behind it.
        return Update(hub_key=hub, delivery_id=delivery_id, problem_count=1, problems=("damaged in the journal",))
