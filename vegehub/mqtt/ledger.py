"""Commands as they are taken on, kept on disk: none is carried out twice, and each is answered, also across a crash."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from vegehub.exceptions import Outcome, VegeHubError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

KEEP_DAYS = 8
"""Days for which an id is remembered: a day longer than any command may wait."""

_DAY = 86_400.0
_APPLICATION_ID = 0x5648436D  # tells it from any other SQLite file
_SCHEMA = (
    """CREATE TABLE commands(
        key INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, id TEXT, received REAL NOT NULL,
        command TEXT NOT NULL, sending INTEGER NOT NULL DEFAULT 0, result TEXT, reported INTEGER NOT NULL DEFAULT 0)""",
    "CREATE INDEX ids ON commands(topic, id)",
    "CREATE INDEX unreported ON commands(key) WHERE reported = 0",
    f"PRAGMA application_id = {_APPLICATION_ID}",
)

P = ParamSpec("P")
ResultT = TypeVar("ResultT")


class VegeHubLedgerError(VegeHubError, OSError):
    """The file of commands cannot be read or written: no command is taken on."""

    outcome = Outcome.NOT_SENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A command in the ledger."""

    key: int
    topic: str
    """Where its results are published."""
    id: str | None
    command: dict[str, Any]
    sending: bool
    """Whether the hub may have got it."""
    result: dict[str, Any] | None
    """What became of it; None while it is open."""


class Ledger:
    """An SQLite file of commands, written before anything is done; one thread of its own does the work.

    VegeHubLedgerError: it cannot be used. Another process cannot open it meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._executor: ThreadPoolExecutor | None = None
        self._cleaned = 0.0
        self._connection: sqlite3.Connection | None = None

    async def open(self, now: float) -> list[Entry]:
        """Open or create the file; return what a run that ended without ``close`` has left unanswered, oldest first."""
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - only a bridge needs it

        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vegehub-ledger")
        return await self._run(self._open, now)

    async def close(self) -> None:
        """Close the file; may be called twice."""
        executor, self._executor = self._executor, None
        if executor is not None:
            await asyncio.get_running_loop().run_in_executor(executor, self._close)
            executor.shutdown(wait=False)

    async def find(self, topic: str, id: str) -> Entry | None:  # noqa: A002 - the name that it has in the message
        """Return the last command with this id, unless it is known that the hub never got it; None if there is none."""
        where = "WHERE topic = ? AND id = ? ORDER BY key DESC LIMIT 1"
        found = next(iter(await self._run(self._select, where, topic, id)), None)
        if found is not None and found.result is not None and found.result.get("outcome") == "not_sent":
            return None
        return found

    async def add(self, topic: str, id: str | None, command: dict[str, Any], now: float) -> int:  # noqa: A002 - as above
        """Keep a command, safe on disk when this returns; return its key."""
        return await self._run(self._add, topic, id, json.dumps(command), now)

    async def begin(self, key: int) -> None:
        """Note that a command is about to be sent, safe on disk when this returns."""
        await self._run(self._change, "UPDATE commands SET sending = 1 WHERE key = ?", key, synced=True)

    async def finish(self, key: int, result: dict[str, Any]) -> None:
        """Note what became of a command; lost with the power, it is answered as unknown."""
        await self._run(self._change, "UPDATE commands SET result = ? WHERE key = ?", json.dumps(result), key)

    async def reported(self, key: int) -> None:
        """Note that the broker has the result; lost with the power, it is published once more."""
        await self._run(self._change, "UPDATE commands SET reported = 1 WHERE key = ?", key)

    async def _run(self, function: Callable[P, ResultT], *args: P.args, **kwargs: P.kwargs) -> ResultT:
        if self._executor is None:
            raise VegeHubLedgerError(f"commands {self._path}: closed")
        loop = asyncio.get_running_loop()
        try:
            # Shielded: what was begun in the thread is done, whoever waits for it.
            return await asyncio.shield(loop.run_in_executor(self._executor, lambda: function(*args, **kwargs)))
        except (sqlite3.Error, OSError) as err:
            raise VegeHubLedgerError(f"commands {self._path}: cannot be used ({err})") from err

    # --- In the thread ------------------------------------------------------------------------------------------------

    def _open(self, now: float) -> list[Entry]:
        # Created here, so that it does not depend on the umask who can read it.
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = sqlite3.connect(self._path, timeout=5.0, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            if not connection.execute("SELECT EXISTS(SELECT 1 FROM sqlite_master)").fetchone()[0]:
                connection.execute("BEGIN IMMEDIATE")
                for statement in _SCHEMA:
                    connection.execute(statement)
                connection.execute("COMMIT")
            elif connection.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
                raise sqlite3.DatabaseError("another database; left as it is")  # noqa: TRY301 - closed on the way out
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA fullfsync = ON")
            self._clean(connection, now)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return self._select("WHERE reported = 0 ORDER BY key")

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise OSError("closed")
        return self._connection

    def _select(self, where: str, *values: object) -> list[Entry]:
        columns = "SELECT key, topic, id, command, sending, result FROM commands "
        with closing(self._opened().execute(columns + where, values)) as rows:
            return [
                Entry(
                    key=key,
                    topic=topic,
                    id=id_,
                    command=json.loads(command),
                    sending=bool(sending),
                    result=None if result is None else json.loads(result),
                )
                for key, topic, id_, command, sending, result in rows
            ]

    def _clean(self, connection: sqlite3.Connection, now: float) -> None:
        """Forget what is too old to be asked for."""
        connection.execute("DELETE FROM commands WHERE received < ? AND reported = 1", (now - KEEP_DAYS * _DAY,))
        self._cleaned = now

    def _add(self, topic: str, id: str | None, command: str, now: float) -> int:  # noqa: A002 - as above
        connection = self._opened()
        if now - self._cleaned > _DAY:
            self._clean(connection, now)
        connection.execute("PRAGMA synchronous = FULL")
        statement = "INSERT INTO commands(topic, id, command, received) VALUES(?, ?, ?, ?)"
        return connection.execute(statement, (topic, id, command, now)).lastrowid or 0

    def _change(self, statement: str, *values: object, synced: bool = False) -> None:
        connection = self._opened()
        connection.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
        connection.execute(statement, values)
