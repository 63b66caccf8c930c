"""Updates kept on disk until they are delivered: at least once, in order per hub, across restarts."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from vegehub.exceptions import VegeHubJournalError, VegeHubValueError
from vegehub.wire import Update, parse_update

from .delivery import Clocks, Delivery
from .store import JournalStore, StoredUpdate, encode_update
from .subscriptions import Subscribers

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future, ThreadPoolExecutor
    from datetime import datetime
    from types import TracebackType
    from typing import Self

_LOGGER = logging.getLogger(__name__)

MAX_BYTES = 256 * 2**20
"""Bytes that a journal holds at most, unless told otherwise."""

P = ParamSpec("P")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEvent:
    """A change of state of a journal."""

    kind: Literal["cannot_write", "can_write", "parked"]
    """``cannot_write`` and ``can_write`` come once per change; ``parked`` once per update."""
    text: str
    hub_key: str = ""
    delivery_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalCounts:
    """What a journal holds."""

    pending: int
    parked: int
    bytes_used: int


class Journal:
    """Keeps updates in an SQLite file until one consumer has taken them.

    What is acknowledged is synced to the disk and survives SIGKILL and power loss. Api keys are not kept. One thread
    of its own does all work with the file, which no other process can open meanwhile. To be used as an asynchronous
    context manager, or closed with ``close``. ``max_bytes`` bounds what is kept: at the bound ``append`` refuses, and
    nothing is deleted. ``wall_clock`` (Unix seconds), ``monotonic`` and ``sleep`` (seconds) are for tests.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = MAX_BYTES,
        wall_clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._path = path
        self._wall_clock = wall_clock
        self._executor: ThreadPoolExecutor | None = None
        self._store = JournalStore(path, max_bytes)
        self._events: Subscribers[JournalEvent] = Subscribers("journal event")
        self._delivery = Delivery(
            self._store,
            self._submit,
            Clocks(wall=wall_clock, monotonic=monotonic, sleep=sleep),
            on_parked=self._note_parked,
            on_file_error=self._note_cannot_write,
        )
        self._closing: asyncio.Task[None] | None = None
        self._cannot_write = False

    def __repr__(self) -> str:
        return f"<Journal {self._path}{' closed' if self.closed else ''}>"

    @property
    def closed(self) -> bool:
        """Whether ``close`` has been called; a closed journal is not opened again."""
        return self._closing is not None

    async def open(self) -> None:
        """Open or create the file now, and not on first use; VegeHubJournalError names it if that fails."""
        await self._run(self._store.open)

    async def append(
        self, update: Update | bytes | str | dict[str, Any], body: bytes | None = None, *, at: datetime | None = None
    ) -> bool:
        """Keep an update, safe on disk when this returns; False if all of it is a repeat.

        ``body`` is what was received, if ``update`` is parsed already; ``at`` is when, now unless given. Of an update that
        is known in part, only the samples that are new are kept. VegeHubPayloadError: no update. VegeHubJournalError: not
        kept, since the journal is full or cannot be written.
        """
        if not isinstance(update, Update):
            if body is None and isinstance(update, bytes):
                body = update
            update = parse_update(update)
        if body is None:
            body = encode_update(update)
        now = self._wall_clock() if at is None else at.timestamp()
        try:
            is_new = await self._run(self._store.append, update, body, now)
        except asyncio.CancelledError:
            self._delivery.rescan()  # it may have been written all the same
            raise
        except VegeHubJournalError as err:
            if not self.closed:
                self._note_cannot_write(err)
            raise
        self._note_can_write()
        if is_new:
            self._delivery.note(update.hub_key)
        return is_new

    async def deliver(self, callback: Callable[[Update], object]) -> None:
        """Hand every update to ``callback``, one at a time and in order per hub, until the journal is closed.

        An update is deleted once the callback, or what it returns if that can be awaited, is done. If it raises, the
        hub's later updates wait, those of other hubs go on, and it is called again after a growing pause; after 10
        failures over 10 minutes the update is parked. At least once: after a crash an update may come again, with
        the same ``delivery_id``. A second consumer raises VegeHubValueError. Cancelling this ends it; nothing is lost.
        """
        await self._delivery.run(callback)

    async def parked(self) -> list[StoredUpdate]:
        """Return the updates that were parked, oldest first."""
        return await self._run(self._store.parked)

    async def retry_parked(self, *delivery_ids: str) -> int:
        """Queue parked updates again, before what is newer; all of them if none is named. Return how many."""
        count = await self._run(self._store.unpark, delivery_ids)
        self._delivery.rescan()
        return count

    async def counts(self) -> JournalCounts:
        """Return how much the journal holds."""
        pending, parked, used = await self._run(self._store.counts)
        return JournalCounts(pending=pending, parked=parked, bytes_used=used)

    def on_event(self, callback: Callable[[JournalEvent], object]) -> Callable[[], None]:
        """Call ``callback`` with each event; return what ends that, and may be called twice."""
        return self._events.subscribe(callback)

    async def close(self) -> None:
        """Wait for work in flight, the consumer's current call included, and close the file; may be called twice."""
        if self._delivery.is_own_task:
            raise VegeHubValueError("a journal cannot be closed by its consumer: it would wait for itself")
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def __aenter__(self) -> Self:
        try:
            await self.open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, function: Callable[P, ResultT], *args: P.args, **kwargs: P.kwargs) -> ResultT:
        if self.closed:
            raise VegeHubJournalError(f"journal {self._path}: closed")
        return await self._submit(function, *args, **kwargs)

    async def _submit(self, function: Callable[P, ResultT], *args: P.args, **kwargs: P.kwargs) -> ResultT:
        if self._executor is None:
            from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - only a journal needs it

            self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vegehub-journal")
        # Not wrap_future, which takes work back when its caller is cancelled: what was begun is to be noted.
        loop = asyncio.get_running_loop()
        done: asyncio.Future[ResultT] = loop.create_future()
        job = self._executor.submit(function, *args, **kwargs)
        job.add_done_callback(lambda job: _report(loop, job, done))
        return await done

    async def _close(self) -> None:
        await self._delivery.stop()
        if self._executor is not None:
            try:
                await self._submit(self._store.close)
            finally:
                self._executor.shutdown(wait=False)
        await self._events.close(1.0)

    def _note_parked(self, entry: StoredUpdate) -> None:
        update = entry.update
        text = (
            f"update {update.delivery_id} of {update.hub_key} is parked after {entry.failures} failures ({entry.error})"
        )
        _LOGGER.error("journal %s: %s", self._path, text)
        self._events.offer(
            JournalEvent(kind="parked", text=text, hub_key=update.hub_key, delivery_id=update.delivery_id)
        )

    def _note_cannot_write(self, err: VegeHubJournalError) -> None:
        if not self._cannot_write:
            self._cannot_write = True
            _LOGGER.error("%s; updates are refused until this ends", err)
            self._events.offer(JournalEvent(kind="cannot_write", text=str(err)))

    def _note_can_write(self) -> None:
        if self._cannot_write:
            self._cannot_write = False
            text = f"journal {self._path}: takes updates again"
            _LOGGER.warning("%s", text)
            self._events.offer(JournalEvent(kind="can_write", text=text))


def _report(loop: asyncio.AbstractEventLoop, job: Future[ResultT], done: asyncio.Future[ResultT]) -> None:
    def copy() -> None:
        error = job.exception()
        if done.done():
            return
        if error is None:
            done.set_result(job.result())
        else:
            done.set_exception(error)

    with suppress(RuntimeError):  # the loop was closed without closing the journal: nobody waits
        loop.call_soon_threadsafe(copy)
