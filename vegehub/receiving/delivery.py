"""Hands the updates of a journal to its consumer: in order per hub, at least once, one bad update blocking no other."""

from __future__ import annotations

import asyncio
import inspect
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

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

P = ParamSpec("P")
ResultT = TypeVar("ResultT")


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
        submit: Callable[..., Awaitable[Any]],
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
        self._consumer: asyncio.Task[Any] | None = None
        self._is_stopping = False
        self._stop = asyncio.Event()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._must_scan = True
        self._ready: dict[str, None] = {}  # hubs that may have something to deliver, in the order of their turns
        self._waiting: dict[str, float] = {}  # hubs whose first update failed, and when it is tried again
        self._failed_at: dict[int, float] = {}

    @property
    def is_own_task(self) -> bool:
        """Whether the running task is the consumer's."""
        return self._consumer is not None and self._consumer is asyncio.current_task()

    def note(self, hub: str) -> None:
        """Say that there is something new of ``hub``."""
        self._ready[hub] = None
        self._wake.set()

    def rescan(self) -> None:
        """Say that there may be something new of any hub."""
        self._must_scan = True
        self._wake.set()

    async def stop(self) -> None:
        """End the delivery once the consumer's current call is done."""
        self._is_stopping = True
        self._stop.set()
        self._wake.set()
        await self._idle.wait()

    async def run(self, callback: Callable[[Update], object]) -> None:
        """Deliver until stopped; VegeHubValueError if there is a consumer already."""
        if self._consumer is not None:
            raise VegeHubValueError("the journal has its consumer already: only one can take its updates")
        self._consumer = asyncio.current_task()
        self._idle.clear()
        self._must_scan = True
        self._waiting.clear()
        try:
            while not self._is_stopping:
                await self._step(callback)
        finally:
            self._consumer = None
            self._idle.set()

    async def _step(self, callback: Callable[[Update], object]) -> None:
        """Deliver one update, or wait for one."""
        if self._must_scan:
            self._must_scan = False
            self._ready.update(dict.fromkeys(await self._insist(self._store.hubs) or ()))
        now = self._clocks.monotonic()
        for hub in [hub for hub, due in self._waiting.items() if due <= now]:
            del self._waiting[hub]
            self._ready[hub] = None
        turn = next((hub for hub in self._ready if hub not in self._waiting), None)
        if turn is None:
            self._ready.clear()  # each of these is looked at when its pause is over
            self._wake.clear()
            if not self._must_scan and not self._is_stopping:
                await self._pause(self._wake, min(self._waiting.values()) - now if self._waiting else None)
            return
        del self._ready[turn]
        entry = await self._insist(self._store.head, turn)
        if entry is not None:
            error = await self._call(callback, entry.update)
            if error is None:
                self._failed_at.pop(entry.row, None)
                await self._insist(self._store.delivered, entry.row)
                self._ready[turn] = None
            else:
                await self._failed(entry, error)

    async def _failed(self, entry: StoredUpdate, error: BaseException) -> None:
        hub = entry.update.hub_key
        now = self._clocks.monotonic()
        # By the monotonic clock, and each run by itself: the wall clock of a small machine may jump by years at a start.
        failing_for = entry.failing_for + now - self._failed_at.get(entry.row, now)
        entry = replace(entry, failures=entry.failures + 1, failing_for=failing_for, error=type(error).__name__)
        if entry.failures >= PARK_FAILURES and failing_for >= PARK_SECONDS:
            await self._insist(self._store.failed, entry, self._clocks.wall())
            self._failed_at.pop(entry.row, None)
            self._ready[hub] = None
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
            if self._consumer is None or self._consumer.cancelling():
                raise
            return err  # the consumer awaited something that was cancelled
        except Exception as err:  # noqa: BLE001 - a consumer may raise anything
            return err
        return None

    async def _insist(self, function: Callable[P, ResultT], *args: P.args, **kwargs: P.kwargs) -> ResultT | None:
        """Use the file, again and again while it cannot be used; None if the delivery is stopped meanwhile."""
        pause = _FIRST_FILE_PAUSE
        while True:
            try:
                result: ResultT = await self._submit(function, *args, **kwargs)
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
