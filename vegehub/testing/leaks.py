"""LeakGuard: fails a block of code that leaves a connection, a task or an error behind, and names each of them."""

from __future__ import annotations

import asyncio
import gc
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from .census import Census, describe_task
from .channels import LoopEars, every_loop_heard, unraisables_heard, warnings_heard
from .findings import Leak

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Leak", "LeakError", "LeakGuard"]

_ROUNDS = 8
"""Collections of garbage before what is still open counts as a leak; a clean block needs two."""
_TURNS = 8
"""Turns of the loop after each: a server sees its client go, closes, and its handler ends, one turn after the other."""


class LeakError(AssertionError):
    """A guarded block left something behind; ``leaks`` has all of it, the text a line for each."""

    def __init__(self, leaks: tuple[Leak, ...]) -> None:
        super().__init__(_report(leaks))
        self.leaks = leaks


def _report(leaks: tuple[Leak, ...]) -> str:
    if not leaks:
        return "no leak"
    return "\n".join([f"{len(leaks)} leak{'s' if len(leaks) > 1 else ''}", *(f"  {leak}" for leak in leaks)])


class LeakGuard:
    """Raise LeakError on leaving a block that leaked; an error of the block itself gets the leaks as a note instead.

    ``async with LeakGuard():`` guards a block inside the running loop, ``with LeakGuard():`` a whole ``asyncio.run()``.
    What was open before is not blamed. The loop is in debug mode meanwhile. A guard is used once.
    """

    def __init__(self) -> None:
        self._heard: dict[Leak, None] = {}  # a set that keeps the order
        self._open: tuple[Leak, ...] = ()
        self._ears = LoopEars(self._record, self._knew)
        self._channels = ExitStack()
        self._before: Census | None = None

    @property
    def leaks(self) -> tuple[Leak, ...]:
        """What has been found: while the block runs what was heard so far, afterwards also what was left open."""
        return (*self._heard, *self._open)

    def report(self) -> str:
        """Say what has been found, a line for each leak."""
        return _report(self.leaks)

    def __enter__(self) -> Self:
        """Guard everything up to the end of the block, loops that start and end within it included."""
        self._start()
        self._channels.enter_context(every_loop_heard(self._ears, self._left_pending))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._channels:
            for _round in range(_ROUNDS):
                gc.collect()
                if not self._count() and _round:
                    break
        self._verdict(error)

    async def __aenter__(self) -> Self:
        """Guard everything up to the end of the block, in the running loop."""
        self._start()
        self._ears.listen(asyncio.get_running_loop())
        # A running loop begins to note where coroutines are made one turn after debug mode was switched on.
        await asyncio.sleep(0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._channels:
            for _round in range(_ROUNDS):
                for _turn in range(_TURNS):
                    await asyncio.sleep(0)
                gc.collect()
                for _turn in range(_TURNS):
                    await asyncio.sleep(0)
                if not self._count() and _round:
                    break
        self._verdict(error)

    def _start(self) -> None:
        if self._before is not None:
            raise RuntimeError("a LeakGuard is used once: make another")
        # What the program dropped before the block must not be heard inside it.
        gc.collect()
        self._before = Census()
        self._channels.callback(self._before.close)
        self._channels.enter_context(warnings_heard(self._record, self._knew))
        self._channels.enter_context(unraisables_heard(self._record))
        self._channels.callback(self._ears.stop)

    def _record(self, leak: Leak) -> None:
        self._heard[leak] = None

    def _knew(self, identity: int) -> bool:
        return self._before is not None and self._before.knew_id(identity)

    def _left_pending(self, task: asyncio.Task[Any]) -> None:
        self._record(Leak("census", "task", describe_task(task)))

    def _count(self) -> tuple[Leak, ...]:
        assert self._before is not None  # noqa: S101 - for the type checker: set by _start()
        self._open = self._before.newcomers()
        return self._open

    def _verdict(self, error: BaseException | None) -> None:
        if not self.leaks:
            return
        if error is None:
            raise LeakError(self.leaks)
        error.add_note(self.report())
