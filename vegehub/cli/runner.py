"""Runs the asynchronous part of a command: a signal cancels it, and it ends in its own time, without a traceback."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import InterruptedByUserError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

_Result = TypeVar("_Result")

# A closed terminal and a stopped service have to close valves too.
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run ``work`` to its end; InterruptedByUserError once it has ended after a signal.

    A second signal does not break off what the first one has begun: closing a valve is done within 30 s.
    """
    return asyncio.run(_to_its_end(work))


async def to_the_end(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run ``work``, which puts something back, however often the caller is cancelled meanwhile."""
    task = asyncio.create_task(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            cancelled = True
    result = task.result()
    if cancelled:
        raise asyncio.CancelledError
    return result


async def _to_its_end(work: Coroutine[Any, Any, _Result]) -> _Result:
    received: list[int] = []
    notes: list[str] = []

    async def noting() -> _Result:
        try:
            return await work
        except asyncio.CancelledError as err:
            notes.extend(getattr(err, "__notes__", ()))
            raise

    task = asyncio.create_task(noting())

    def stop(number: int) -> None:
        received.append(number)
        task.cancel()

    with _signals(stop):
        await asyncio.wait((task,))
    if not received:
        return task.result()
    interrupted = InterruptedByUserError(received[0])
    failed = None if task.cancelled() else task.exception()
    for note in [*notes, *([] if failed is None else [str(failed), *getattr(failed, "__notes__", ())])]:
        interrupted.add_note(note)
    raise interrupted


@contextlib.contextmanager
def _signals(stop: Callable[[int], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    before = {}
    for number in _SIGNALS:
        try:
            loop.add_signal_handler(number, stop, number)
        except NotImplementedError:  # Windows
            before[number] = signal.signal(number, lambda got, _: loop.call_soon_threadsafe(stop, got))
    try:
        yield
    finally:
        for number in _SIGNALS:
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
        for number, handler in before.items():
            signal.signal(number, handler)
