"""Hands the updates of a journal to its consumer: in order per hub, at least once, one bad update blocking no other."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from vegehub.exceptions import VegeHubJournalError, VegeHubValueError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vegehub.wire import Update

    from .store import JournalStore, StoredUpdate

_LOGGER = logging.getLogger(__name__)

PARK_FAILURES = 10
"""An update is parked after this many failures ..."""
PARK_SECONDS = 600.0
"""... if at least this much time lies between the first and the last of them."""

_FIRST_PAUSE = 1.2  # doubled after each failure: the tenth comes 613 s after the first
_MAX_PAUSE = 310.0
_FIRST_FILE_PAUSE = 1.0
_MAX_FILE_PAUSE = 30.0
_AT_ONCE = 64  # updates that are read for delivery,
_OF_A_HUB = 16  # and those of one hub among them
_NOTED_WITHIN = 0.05
"""Seconds of deliveries that may come again after a crash; noting each by itself would cost more than delivering it."""
_LAST_WAIT = 1.0

Arguments = TypeVarTuple("Arguments")
ResultT = TypeVar("ResultT")


async def outcome(job: asyncio.Future[ResultT]) -> ResultT:
    """Wait for a job that goes on if nobody waits for it any more; not by a shield, which reports it then if it fails."""
    await asyncio.wait((job,))
    return job.result()


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """Time, as a test may want to give it: Unix seconds, seconds that only grow, and waiting."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[object]]


class Delivery:
    """The consumer's side of a journal; ``submit`` runs a method of the store in the journal's thread."""

    def __init__(
        self,
        store: JournalStore,
        submit: Callable[..., asyncio.Future[Any]],
        clocks: Clocks,
        *,
        on_parked: Callable[[StoredUpdate], None],
        on_file_error: Callable[[VegeHubJournalError], None],
    ) -> None:
        self._store = store
        self._submit = submit
        self._clocks = clocks
        self._on_parked = on_parked
        self._on_file_error = on_file_error
        self._worker: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._stop = asyncio.Event()
        self._wake = asyncio.Event()
        self._must_scan = True
        self._ready: dict[str, None] = {}  # hubs that may have something to deliver, in the order of their turns
        self._waiting: dict[str, float] = {}  # hubs whose first update failed, and when it is tried again
        self._failed_at: dict[int, float] = {}
        self._delivered: list[int] = []  # rows of which the file does not know yet

    @property
    def is_own_task(self) -> bool:
        """Whether the running task is the consumer's."""
        return self._worker is not None and self._worker is asyncio.current_task()

    def note(self, hub: str) -> None:
        """Say that there is something new of ``hub``."""
        if hub not in self._waiting:
            self._ready[hub] = None
            self._wake.set()

    def rescan(self) -> None:
        """Say that there may be something new of any hub."""
        self._must_scan = True
        self._wake.set()

    async def stop(self, grace: float) -> None:
        """End the delivery: once the consumer's current call is done, or by cancelling it after ``grace`` seconds."""
        self._is_stopping = True
        self._stop.set()
        self._wake.set()
        if self._worker is None:
            return
        worker = self._worker
        await asyncio.wait((worker,), timeout=grace)
        if worker.cancel():
            _LOGGER.warning(
                "the journal is closed: its consumer is cancelled after %g s, the update comes again", grace
            )
            await asyncio.wait((worker,), timeout=_LAST_WAIT)

    async def run(self, callback: Callable[[Update], object]) -> None:
        """Deliver until stopped; VegeHubValueError if there is a consumer already."""
        if self._worker is not None:
            raise VegeHubValueError("the journal has its consumer already: only one can take its updates")
        # A task of its own: whoever closes the journal may have to cancel it, and not the task that called this.
        worker = self._worker = asyncio.create_task(self._work(callback), name="vegehub: deliver a journal")
        cancelled = False
        try:
            while not worker.done():
                try:
                    await asyncio.wait((worker,))
                except asyncio.CancelledError:
                    cancelled = True
                    worker.cancel()
        finally:
            self._worker = None
        if cancelled:
            raise asyncio.CancelledError
        if not worker.cancelled():
            worker.result()

    async def _work(self, callback: Callable[[Update], object]) -> None:
        self._must_scan = True
        self._waiting.clear()
        try:
            while not self._is_stopping:
                await self._step(callback)
        finally:
            if self._delivered:
                with suppress(VegeHubJournalError):  # closed without waiting any longer
                    self._submit(self._store.delivered, tuple(self._delivered))
                self._delivered.clear()

    async def _step(self, callback: Callable[[Update], object]) -> None:
        """Deliver what is there of some hubs, or wait for something."""
        if self._must_scan:
            self._must_scan = False
            self._ready.update(dict.fromkeys(await self._insist(self._store.hubs) or ()))
        now = self._clocks.monotonic()
        for hub in [hub for hub, due in self._waiting.items() if due <= now]:
            del self._waiting[hub]
            self._ready[hub] = None
        hubs = [hub for hub in self._ready if hub not in self._waiting][:_AT_ONCE]
        if not hubs:
            self._wake.clear()
            if not self._must_scan and not self._is_stopping:
                await self._pause(self._wake, min(self._waiting.values()) - now if self._waiting else None)
            return
        for hub in hubs:
            del self._ready[hub]
        limit = min(_OF_A_HUB, _AT_ONCE // len(hubs))
        entries, more = await self._insist(self._store.take, hubs, limit) or ([], [])
        more += await self._hand_over(entries, callback)
        self._ready.update(dict.fromkeys(hub for hub in more if hub not in self._waiting))

    async def _hand_over(self, entries: list[StoredUpdate], callback: Callable[[Update], object]) -> list[str]:
        """Call the consumer with each, but for no longer than may come again; return the hubs of those that are left."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        left: list[str] = []
        for entry in entries:
            hub = entry.update.hub_key
            if hub in self._waiting:
                continue  # behind one that failed
            if self._is_stopping or loop.time() - begun > _NOTED_WITHIN:
                left.append(hub)
                continue
            error = await self._call(callback, entry.update)
            if error is None:
                self._failed_at.pop(entry.row, None)
                self._delivered.append(entry.row)
            else:
                await self._failed(entry, error)
        await self._note_delivered()
        return left

    async def _note_delivered(self) -> None:
        if self._delivered:
            await self._insist(self._store.delivered, tuple(self._delivered))
            self._delivered.clear()

    async def _failed(self, entry: StoredUpdate, error: BaseException) -> None:
        hub = entry.update.hub_key
        now = self._clocks.monotonic()
        # By the monotonic clock, and each run by itself: the wall clock of a small machine may jump by years at a start.
        failing_for = entry.failing_for + now - self._failed_at.get(entry.row, now)
        entry = replace(entry, failures=entry.failures + 1, failing_for=failing_for, error=type(error).__name__)
        if entry.failures >= PARK_FAILURES and failing_for >= PARK_SECONDS:
            await self._insist(self._store.failed, entry, self._clocks.wall())
            self._failed_at.pop(entry.row, None)
            self._on_parked(entry)
            return
        self._failed_at[entry.row] = now
        self._waiting[hub] = now + min(_FIRST_PAUSE * 2 ** (entry.failures - 1), _MAX_PAUSE)
        level = logging.WARNING if entry.failures == 1 else logging.DEBUG
        _LOGGER.log(level, "the journal's consumer failed with an update of %s", hub, exc_info=error)
        await self._insist(self._store.failed, entry, None)

    async def _call(self, callback: Callable[[Update], object], update: Update) -> BaseException | None:
        try:
            result = callback(update)
            if inspect.isawaitable(result):
                await result
        except asyncio.CancelledError as err:
            if self._worker is None or self._worker.cancelling():
                raise
            return err  # the consumer awaited something that was cancelled
        except Exception as err:  # noqa: BLE001 - a consumer may raise anything
            return err
        return None

    async def _insist(self, function: Callable[[*Arguments], ResultT], *args: *Arguments) -> ResultT | None:
        """Use the file, again and again while it cannot be used; None if the delivery is stopped meanwhile."""
        pause = _FIRST_FILE_PAUSE
        while True:
            try:
                result: ResultT = await outcome(self._submit(function, *args))
            except VegeHubJournalError as err:
                if err.damaged:
                    raise
                self._on_file_error(err)
            else:
                return result
            if self._is_stopping:
                return None
            await self._pause(self._stop, pause)
            pause = min(pause * 2, _MAX_FILE_PAUSE)

    async def _pause(self, event: asyncio.Event, seconds: float | None) -> None:
        """Wait for ``event``, at most ``seconds``."""
        tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(event.wait())]
        if seconds is not None:
            tasks.append(asyncio.ensure_future(self._clocks.sleep(max(seconds, 0.0))))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
