"""Runs the asynchronous part of a command: a signal cancels it, and it ends in its own time, without a traceback."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from vegehub.testing.interruption import interruptions

from .errors import InterruptedByUserError

if TYPE_CHECKING:
    from collections.abc import Coroutine

_Result = TypeVar("_Result")


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run ``work`` to its end; InterruptedByUserError once it has ended after a signal.

    A second signal does not break off what the first one has begun: closing a valve is done within 30 s.
    """
    return asyncio.run(_to_its_end(work))


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

    with interruptions(stop):
        await asyncio.wait((task,))
    if not received:
        return task.result()
    interrupted = InterruptedByUserError(received[0])
    failed = None if task.cancelled() else task.exception()
    for note in [*notes, *([] if failed is None else [str(failed), *getattr(failed, "__notes__", ())])]:
        interrupted.add_note(note)
    raise interrupted
