"""Watering, fail-safe: ON with a finite duration, and OFF whenever ON may have arrived."""

from __future__ import annotations

import asyncio
import logging
import weakref
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from vegehub.exceptions import Outcome, VegeHubError, VegeHubMismatchError, VegeHubSessionError, VegeHubValueError

if TYPE_CHECKING:
    from types import TracebackType

    from vegehub.vegehub import VegeHub

_LOGGER = logging.getLogger(__name__)

INSIST_FOR = 30.0
"""Seconds for which a failing OFF is repeated."""
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 2.0

# (address, slot) of the blocks that are open, per event loop: two blocks would close each other's valve.
_open_blocks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, set[tuple[str, int]]] = weakref.WeakKeyDictionary()


class Watering:
    """The block of ``VegeHub.watering``; see there for what it promises."""

    def __init__(self, hub: VegeHub, slot: int, duration: float) -> None:
        self._hub = hub
        self._slot = slot
        self._duration = duration
        self._key = (hub.url, slot)
        self._ends_at: datetime | None = None

    async def __aenter__(self) -> Self:
        blocks = _open_blocks.setdefault(asyncio.get_running_loop(), set())
        if self._key in blocks:
            raise VegeHubValueError(
                f"{self._hub.url}: actuator {self._slot} is being watered already; leave that block first"
            )
        blocks.add(self._key)
        try:
            await self._hub.turn_on(self._slot, self._duration)
        except BaseException as err:
            if not isinstance(err, VegeHubError) or err.outcome is Outcome.UNKNOWN:
                await self._end(err)
            else:
                blocks.discard(self._key)
            raise
        finally:
            self._ends_at = datetime.now().astimezone() + timedelta(seconds=self._duration)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._end(error)

    async def _end(self, error: BaseException | None) -> None:
        """Turn the actuator off; a failure is raised, or noted on the ``error`` that is already on its way."""
        try:
            failed, cancelled = await self._off()
        finally:
            _open_blocks.setdefault(asyncio.get_running_loop(), set()).discard(self._key)
        if failed is not None:
            self._report(failed)
            if error is not None:
                error.add_note(f"the actuator may still be on: {failed}")
            elif not cancelled:
                raise failed
        if cancelled and error is None:
            interrupted = asyncio.CancelledError()
            if failed is not None:
                interrupted.add_note(f"the actuator may still be on: {failed}")
            raise interrupted

    async def _off(self) -> tuple[VegeHubError | None, bool]:
        """Wait until OFF has been insisted on, however often the caller is cancelled; say how it ended."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + INSIST_FOR
        cancelled = False
        while True:
            task = loop.create_task(self._insist(give_up_at), name=f"vegehub: OFF to {self._hub.url}")
            self._hub._owner.finish_first(task)  # noqa: SLF001 - no session of ours closes before OFF is done
            while not task.done():
                try:
                    await asyncio.wait((task,))
                except asyncio.CancelledError:
                    cancelled = True
            # The end of asyncio.run() cancels every task, this one too: the valve still has to be closed.
            if not task.cancelled():
                return task.result(), cancelled

    async def _insist(self, give_up_at: float) -> VegeHubError | None:
        """Send OFF until the hub takes it or the time is up; return the last error, None for success."""
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._hub.turn_off(self._slot)
            except VegeHubSessionError:
                # The caller closed the session first; the valve has to be closed all the same.
                failed = await self._off_in_own_session()
            except VegeHubMismatchError as err:
                return err
            except VegeHubError as err:
                failed = err
            else:
                return None
            if failed is None or loop.time() + pause >= give_up_at:
                return failed
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _off_in_own_session(self) -> VegeHubError | None:
        async with self._hub._without_session() as hub:  # noqa: SLF001 - the same hub, in a session of its own
            try:
                await hub.turn_off(self._slot)
            except VegeHubError as err:
                return err
        return None

    def _report(self, failed: VegeHubError) -> None:
        ends_at = "" if self._ends_at is None else f"; the hub's own timer ends it at {self._ends_at:%H:%M:%S}"
        _LOGGER.error(
            "%s: actuator %d may still be on, OFF failed for %g s%s: %s",
            self._hub.url,
            self._slot,
            INSIST_FOR,
            ends_at,
            failed,
        )
