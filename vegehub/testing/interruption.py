"""How a program that holds a valve open ends when it is interrupted: in its own time, with everything put back."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

_Result = TypeVar("_Result")

# Ctrl-C, a stopped service, a closed terminal, and Ctrl-Break on Windows.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


@contextlib.contextmanager
def interruptions(stop: Callable[[int], object]) -> Iterator[None]:
    """Call ``stop`` in the running loop, with the number, for each signal that would end the program.

    A SIGHUP that is ignored stays ignored, as ``nohup`` wants it. What handled the signals before does so again afterwards.
    """
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _signals()}
    for number in before:
        try:
            loop.add_signal_handler(number, stop, number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda got, _: loop.call_soon_threadsafe(stop, got))
    try:
        yield
    finally:
        for number, handler in before.items():
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            if handler is not None:  # None: it was not set from Python
                signal.signal(number, handler)


async def to_the_end(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run ``work``, which puts something back, as a task of its own, however often the caller is cancelled meanwhile."""
    task = asyncio.create_task(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            # A second Ctrl-C must not leave a valve open.
            cancelled = True
    result = task.result()
    if cancelled:
        raise asyncio.CancelledError
    return result


def _signals() -> list[signal.Signals]:
    known = [signal.Signals[name] for name in _NAMES if name in signal.Signals.__members__]
    return [number for number in known if number.name != "SIGHUP" or signal.getsignal(number) is not signal.SIG_IGN]
