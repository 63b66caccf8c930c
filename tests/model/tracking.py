"""What a history leaves in the event loop: its tasks, timers, errors, told from those of other histories in the same loop."""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Coroutine


@dataclass(eq=False)
class Track:
    """What one history has made; everything that runs in its context counts."""

    tasks: WeakSet[asyncio.Task[Any]] = field(default_factory=WeakSet)
    own: WeakSet[asyncio.Task[Any]] = field(default_factory=WeakSet)
    """Tasks of the test itself."""
    errors: list[logging.LogRecord] = field(default_factory=list)
    """What the library logged at ERROR."""

    def tasks_left(self) -> list[str]:
        """Name the tasks of the library that are not done."""
        return [repr(task) for task in self.tasks if not task.done() and task not in self.own]

    def timers_left(self) -> list[str]:
        """Name the timers of the library that are neither cancelled nor run."""
        loop: Any = asyncio.get_running_loop()
        handles = [*loop._scheduled, *(handle for handle in loop._ready if isinstance(handle, asyncio.TimerHandle))]
        return [repr(handle._callback) for handle in handles if not handle.cancelled() and self._ours(handle)]

    def _ours(self, handle: Any) -> bool:
        if handle._context.get(_current, None) is not self:
            return False
        # The connector of a session that was given closes idle connections by itself: that is the session's own.
        name = getattr(handle._callback, "__name__", "")
        return not (name == "_weakref_handle" and handle._callback.__module__ == "aiohttp.helpers")


_current: ContextVar[Track | None] = ContextVar("history", default=None)


def begin() -> Track:
    """Count what is made in this context from now on as that of a new history."""
    track = Track()
    _current.set(track)
    return track


def outside() -> Context:
    """Return a context in which nothing is counted: that of the simulated hubs."""
    context = copy_context()
    context.run(_current.set, None)
    return context


async def aside(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Await ``coroutine`` where nothing is counted."""
    return await asyncio.get_running_loop().create_task(coroutine, context=outside())


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    task = asyncio.Task(coroutine, loop=loop, **options)
    context = options.get("context")
    track = _current.get() if context is None else context.get(_current, None)
    if track is not None:
        track.tasks.add(task)
    return task


class _Ears(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        track = _current.get()
        if track is not None:
            track.errors.append(record)


class Watch:
    """Tells histories apart in the running loop while the block runs; ``complaints`` is what the loop itself reported."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self._ears = _Ears(logging.ERROR)
        self._logger = logging.getLogger("vegehub")

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(_make_task)
        loop.set_exception_handler(
            lambda _, context: self.complaints.append(f"{context.get('message')}: {context!r:.300}")
        )
        self._propagated = self._logger.propagate
        self._logger.addHandler(self._ears)
        self._logger.propagate = False
        return self

    def __exit__(self, *error: object) -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(None)
        loop.set_exception_handler(None)
        self._logger.removeHandler(self._ears)
        self._logger.propagate = self._propagated
