"""Updates kept on disk until they are delivered: at least once, in order per hub, across restarts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, TypeVarTuple

from vegehub.exceptions import VegeHubJournalError, VegeHubValueError
from vegehub.wire import Update, parse_update

from .delivery import Clocks, Delivery, outcome
from .repeats import Arrival
from .store import JournalStore, StoredUpdate, encode_update
from .subscriptions import Subscribers

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime
    from types import TracebackType
    from typing import Self

_LOGGER = logging.getLogger(__name__)

MAX_BYTES = 256 * 2**20
"""Bytes that a journal holds at most, unless told otherwise."""

_GRACE = 3.0  # for the consumer's current call when the journal is closed,
_LAST_WAIT = 5.0  # and for a disk that does not answer
_TOGETHER = 256  # updates in one transaction, at most,
_BYTES_TOGETHER = 2**20  # and bytes in it, or one update more: nobody has to wait for what takes long

Arguments = TypeVarTuple("Arguments")
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
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vegehub-journal")
        self._arrived: deque[tuple[Arrival, asyncio.Future[bool]]] = deque()
        self._writing: asyncio.Future[list[bool | Exception]] | None = None
        self._store = JournalStore(path, max_bytes)
        self._events: Subscribers[JournalEvent] = Subscribers("journal event")
        self._delivery = Delivery(
            self._store,
            self._submit,
            Clocks(wall=wall_clock, monotonic=monotonic, sleep=sleep),
            on_parked=self._note_parked,
            on_file_error=self._note_cannot_write,
        )
        self._is_closed = False
        self._is_released = False
        self._closing: asyncio.Task[None] | None = None
        self._cannot_write = False

    def __repr__(self) -> str:
        return f"<Journal {self._path}{' closed' if self.closed else ''}>"

    @property
    def closed(self) -> bool:
        """Whether ``close`` has been called; a closed journal is not opened again."""
        return self._is_closed

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
        self._check_open()
        now = self._wall_clock() if at is None else at.timestamp()
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._arrived.append((Arrival(update, body, now), done))
        self._write()
        return await done

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
        """Wait for work in flight and close the file; may be called twice.

        The consumer's current call gets 3 seconds, and is cancelled then: its update comes again.
        """
        if self._delivery.is_own_task:
            raise VegeHubValueError("a journal cannot be closed by its consumer: it would wait for itself")
        self._is_closed = True
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="vegehub: close a journal")
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

    # --- The thread ---------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._is_closed:
            raise VegeHubJournalError(f"journal {self._path}: closed")

    async def _run(self, function: Callable[[*Arguments], ResultT], *args: *Arguments) -> ResultT:
        self._check_open()
        return await outcome(self._submit(function, *args))

    def _submit(self, function: Callable[[*Arguments], ResultT], *args: *Arguments) -> asyncio.Future[ResultT]:
        """Have the thread call ``function`` after all that it was given before, whether somebody waits for it or not."""
        if self._is_released:
            raise VegeHubJournalError(f"journal {self._path}: closed")
        job = asyncio.get_running_loop().run_in_executor(self._thread, function, *args)
        job.add_done_callback(_retrieve)
        return job

    def _write(self) -> None:
        """Have what has arrived written together, unless the thread writes: then it is written next, together as well."""
        if self._is_released:
            for _, done in self._arrived:
                if not done.done():
                    done.set_exception(VegeHubJournalError(f"journal {self._path}: closed"))
            self._arrived.clear()
        if self._writing is not None or not self._arrived:
            return
        together = [self._arrived.popleft()]
        size = len(together[0][0].body)
        while self._arrived and len(together) < _TOGETHER and size + len(self._arrived[0][0].body) <= _BYTES_TOGETHER:
            together.append(self._arrived.popleft())
            size += len(together[-1][0].body)
        self._writing = self._submit(self._store.append, [arrival for arrival, _ in together])
        self._writing.add_done_callback(lambda job: self._written(together, job))

    def _written(
        self, together: Sequence[tuple[Arrival, asyncio.Future[bool]]], job: asyncio.Future[list[bool | Exception]]
    ) -> None:
        self._writing = None
        self._write()
        for (arrival, done), result in zip(together, job.result(), strict=True):
            if isinstance(result, bool):
                self._note_can_write()
                if result:
                    self._delivery.note(arrival.update.hub_key)
            elif isinstance(result, VegeHubJournalError):
                self._note_cannot_write(result)
            if done.done():
                continue  # whoever waited for it was cancelled
            if isinstance(result, bool):
                done.set_result(result)
            else:
                done.set_exception(result)

    async def _close(self) -> None:
        try:
            await self._delivery.stop(_GRACE)
            while self._writing is not None:
                done, _ = await asyncio.wait((self._writing,), timeout=_LAST_WAIT)
                if not done:
                    _LOGGER.error("journal %s: closed although the disk does not answer", self._path)
                    break
        finally:
            # Whatever has come in between, even the end of the loop: a file that stays open cannot be opened again.
            closing = self._submit(self._store.close)
            self._is_released = True
            self._thread.shutdown(wait=False)
            self._write()
            await _finish(closing, _LAST_WAIT)
        await self._events.close(1.0)

    # --- What is told -------------------------------------------------------------------------------------------------

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


def _retrieve(job: asyncio.Future[Any]) -> None:
    """Look at the error of a job, so that nobody reports it as never looked at."""
    if not job.cancelled():
        job.exception()


async def _finish(job: asyncio.Future[Any], seconds: float) -> None:
    """Wait for ``job``, for so long at most, however often the caller is cancelled."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    cancelled = False
    while not job.done() and (left := until - loop.time()) > 0:
        try:
            await asyncio.wait((job,), timeout=left)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
