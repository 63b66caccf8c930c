"""The deadline of one call after the other, kept by one timer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class Deadline:
    """``with deadline.within(seconds):`` cancels what the task awaits inside it once that is too late: TimeoutError.

    As ``asyncio.timeout``, a cancellation from elsewhere included, but for one block at a time: the timer is made once
    and put off, where ``asyncio.timeout`` makes and cancels one for each block. That is a tenth of what a call costs.
    """

    __slots__ = ("_cancels", "_ends_at", "_has_expired", "_loop", "_task", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancels = 0
        self._ends_at = 0.0
        self._has_expired = False

    def within(self, seconds: float) -> Self:
        """Set how long the block that follows may take."""
        self._ends_at = self._loop.time() + seconds
        return self

    def stop(self) -> None:
        """Leave no timer behind; the next block sets another."""
        # A loop that is closed has no timers; at the end of a program there may be nothing left to cancel one with.
        if self._timer is not None and not self._loop.is_closed():
            self._timer.cancel()
            self._timer = None

    def __enter__(self) -> None:
        task = self._task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("a deadline needs a task")
        self._cancels = task.cancelling()
        self._has_expired = False
        timer = self._timer
        if timer is None or timer.when() > self._ends_at:
            self._set(timer)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        # Where the task is cancelled from elsewhere too, that is what its caller is to see.
        if (
            self._has_expired
            and task is not None
            and task.uncancel() <= self._cancels
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError from error

    def _set(self, timer: asyncio.TimerHandle | None = None) -> None:
        if timer is not None:
            timer.cancel()
        self._timer = self._loop.call_at(self._ends_at, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._task is None:
            return
        if self._loop.time() < self._ends_at:
            self._set()
        else:
            # Where the loop was too busy, a timer inside the block may be due too, and have come first: what it says,
            # such as that no connection was made, is more than that it took too long.
            self._loop.call_soon(self._expire, self._task, self._ends_at)

    def _expire(self, task: asyncio.Task[object], ends_at: float) -> None:
        if self._task is task and self._ends_at == ends_at:
            self._has_expired = True
            task.cancel()
