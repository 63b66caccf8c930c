"""Who listens, and how items get to them: in order, bounded, and none of them able to hurt another."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Self


_LOGGER = logging.getLogger(__name__)

ItemT = TypeVar("ItemT")

MAX_WAITING = 1000
"""Items kept for a listener that does not keep up."""
PATIENCE = 5.0
"""Seconds for which a full listener makes the publisher wait, before its oldest items are dropped."""


class Subscribers(Generic[ItemT]):
    """The listeners to one kind of item; callbacks may be plain functions or return an awaitable."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._members: list[_Subscriber[ItemT]] = []

    def subscribe(
        self, callback: Callable[[ItemT], object], wants: Callable[[ItemT], bool] | None = None
    ) -> Callable[[], None]:
        """Call ``callback`` with each item that it wants, one at a time; return what ends that, and may be called twice.

        A plain function is called at once. One that fails is logged once until it succeeds again.
        """
        name = getattr(callback, "__qualname__", type(callback).__name__)
        member = _Subscriber(f"{self._what} callback {name}", wants, MAX_WAITING, callback)
        return self._add(member)

    def stream(self, wants: Callable[[ItemT], bool] | None = None, limit: int = MAX_WAITING) -> Stream[ItemT]:
        """Return an asynchronous iterator of the items from now on."""
        member = _Subscriber(f"{self._what} stream", wants, limit, None)
        return Stream(member, self._add(member))

    def offer(self, item: ItemT) -> None:
        """Hand an item to all; a listener that is full loses its oldest one."""
        for member in tuple(self._members):
            if member.wants(item) and member.offer(item):
                member.cut()

    async def publish(self, item: ItemT) -> None:
        """Hand an item to all; wait for those that are full, but not for long, and after all others have it."""
        full = [member for member in tuple(self._members) if member.wants(item) and member.offer(item)]
        if full:
            await asyncio.gather(*(member.room() for member in full))

    async def close(self, grace: float) -> None:
        """End the streams, and wait for callbacks that run, ``grace`` seconds at most before they are cancelled."""
        members = tuple(self._members)
        for member in members:
            if member.is_stream:
                member.end()
        await asyncio.gather(*(member.settle(grace) for member in members))

    def _add(self, member: _Subscriber[ItemT]) -> Callable[[], None]:
        self._members.append(member)

        def unsubscribe() -> None:
            with suppress(ValueError):
                self._members.remove(member)
            member.drop()

        return unsubscribe


class Stream(Generic[ItemT]):
    """An asynchronous iterator of items; ends when the source is closed, and costs nothing once it is dropped."""

    def __init__(self, member: _Subscriber[ItemT], unsubscribe: Callable[[], None]) -> None:
        self._member = member
        self._unsubscribe = unsubscribe

    @property
    def dropped(self) -> int:
        """Items lost because they were not taken in time."""
        return self._member.dropped

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ItemT:
        return await self._member.take()

    async def aclose(self) -> None:
        """Listen no more."""
        self._unsubscribe()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._unsubscribe()

    def __del__(self) -> None:
        # `async for ... break` leaves nothing else behind that could say so.
        self._unsubscribe()


class _Subscriber(Generic[ItemT]):
    """One listener and the items that wait for it: for its callback to be done, or to be taken."""

    def __init__(
        self,
        name: str,
        wanted: Callable[[ItemT], bool] | None,
        limit: int,
        callback: Callable[[ItemT], object] | None,
    ) -> None:
        self.dropped = 0
        self._name = name
        self._wanted = wanted
        self._limit = limit
        self._callback = callback
        self._waiting: deque[ItemT] = deque()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ended = False
        self._is_slow = False
        self._is_stuck = False
        self._is_failing = False

    @property
    def is_stream(self) -> bool:
        return self._callback is None

    def wants(self, item: ItemT) -> bool:
        return not self._ended and (self._wanted is None or self._wanted(item))

    def offer(self, item: ItemT) -> bool:
        """Take an item in its turn; True if that is one too many, and whoever brings it is to wait for ``room``."""
        if self._callback is not None and (self._task is None or self._task.done()):
            result = self._start(self._callback, item)
            if result is not None:
                self._task = asyncio.ensure_future(self._work(self._callback, result))
            return False
        self._waiting.append(item)
        self._changed.set()
        if self._is_stuck:
            self.cut()
        if len(self._waiting) <= self._limit:
            return False
        if not self._is_slow:
            self._is_slow = True
            _LOGGER.warning("%s is slow: %d items wait for it, and hubs have to", self._name, self._limit)
        return True

    async def room(self) -> None:
        """Wait until no more items wait than may, but not for long: then the oldest ones go."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._until(lambda: self._ended or len(self._waiting) <= self._limit)
        except TimeoutError:
            self.cut()

    def cut(self) -> None:
        """Drop the oldest items beyond the limit; until the next one is taken, nobody waits for this listener."""
        if not self._is_stuck:
            self._is_stuck = True
            _LOGGER.warning("%s takes nothing: its oldest items are dropped", self._name)
        while len(self._waiting) > self._limit:
            self._waiting.popleft()
            self.dropped += 1

    async def take(self) -> ItemT:
        await self._until(lambda: self._ended or bool(self._waiting))
        if not self._waiting:
            raise StopAsyncIteration
        return self._next()

    def end(self) -> None:
        """Take no more items; those that wait can still be taken."""
        self._ended = True
        self._changed.set()

    def drop(self) -> None:
        """Take no more items and forget those that wait; a callback that runs goes on."""
        self._waiting.clear()
        self.end()

    async def settle(self, grace: float) -> None:
        task = self._task
        if task is None or task is asyncio.current_task():
            return
        await asyncio.wait([task], timeout=grace)
        if task.cancel():
            self._waiting.clear()
            await asyncio.wait([task])

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def _next(self) -> ItemT:
        item = self._waiting.popleft()
        self._is_stuck = False
        if self._is_slow and not self._waiting:
            self._is_slow = False
            _LOGGER.info("%s has caught up", self._name)
        self._changed.set()
        return item

    def _start(self, callback: Callable[[ItemT], object], item: ItemT) -> Awaitable[object] | None:
        """Call the listener; return what it has still to await."""
        try:
            result = callback(item)
        except Exception as err:  # noqa: BLE001 - a listener may raise anything
            self._note_failure(err)
            return None
        if inspect.isawaitable(result):
            return result
        self._is_failing = False
        return None

    async def _work(self, callback: Callable[[ItemT], object], result: Awaitable[object] | None) -> None:
        while True:
            if result is not None:
                await self._finish(result)
            if not self._waiting:
                return
            result = self._start(callback, self._next())

    async def _finish(self, result: Awaitable[object]) -> None:
        try:
            await result
        except asyncio.CancelledError as err:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self._note_failure(err)  # the listener awaited something that was cancelled, not we were
        except Exception as err:  # noqa: BLE001 - a listener may raise anything
            self._note_failure(err)
        else:
            self._is_failing = False

    def _note_failure(self, err: BaseException) -> None:
        level = logging.DEBUG if self._is_failing else logging.ERROR
        self._is_failing = True
        _LOGGER.log(level, "%s failed", self._name, exc_info=err)
