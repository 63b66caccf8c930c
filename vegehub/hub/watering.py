"""Watering, fail-safe: ON with a finite duration, and OFF whenever ON may have arrived."""

from __future__ import annotations

import asyncio
import logging
import weakref
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from vegehub.exceptions import Outcome, VegeHubError, VegeHubSessionError, VegeHubValueError
from vegehub.wire import calls

if TYPE_CHECKING:
    from types import TracebackType

    from .command import Command
    from .connection import HubConnection

_LOGGER = logging.getLogger(__name__)

INSIST_FOR = 30.0
"""Seconds for which a failing OFF is repeated."""
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 2.0

# (address, slot) of the blocks that are open, per event loop: two blocks would close each other's valve.
_open_blocks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, set[tuple[str, int, int]]] = (
    weakref.WeakKeyDictionary()
)


class Watering:
    """The block of ``VegeHub.watering``; see there for what it promises."""

    def __init__(self, connection: HubConnection, slot: int, duration: float) -> None:
        self._connection = connection
        self._slot = slot
        self._duration = duration
        self._key = (*connection.identity.address.key, slot)
        self._mac = ""
        self._ends_at = ""
        """When the hub's own timer ends it, at the latest."""

    async def __aenter__(self) -> Self:
        blocks = _open_blocks.setdefault(asyncio.get_running_loop(), set())
        if self._key in blocks:
            raise VegeHubValueError(
                f"{self._host}: actuator {self._slot} is being watered already; leave that block first", host=self._host
            )
        blocks.add(self._key)
        command = self._connection.begin()
        self._mac = command.mac
        try:
            await self._connection.switch(command, 1, self._slot, self._duration)
        except BaseException as err:
            self._take_time()
            if command.outcome is Outcome.UNKNOWN:
                await self._end(err)
            raise
        finally:
            if command.outcome is not Outcome.UNKNOWN:
                blocks.discard(self._key)
        self._take_time()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._end(error)

    @property
    def _host(self) -> str:
        return self._connection.identity.host

    def _take_time(self) -> None:
        ends_at = datetime.now().astimezone() + timedelta(seconds=self._duration)
        self._ends_at = f"{ends_at:%H:%M:%S}"

    async def _end(self, error: BaseException | None) -> None:
        """Turn the actuator off, however often the caller is cancelled.

        A failure is raised, or noted on the ``error`` that is already on its way. A cancellation that comes meanwhile
        goes before both.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + INSIST_FOR
        was_cancelled = False
        try:
            while True:
                off = loop.create_task(self._insist(give_up_at), name=f"vegehub: OFF to {self._host}")
                self._connection.finish_first(off)
                while not off.done():
                    try:
                        await asyncio.wait((off,))
                    except asyncio.CancelledError:
                        was_cancelled = True
                # The end of asyncio.run() cancels every task, this one too: the valve still has to be closed.
                if not off.cancelled():
                    break
        finally:
            _open_blocks.setdefault(loop, set()).discard(self._key)
        failed = off.result()
        if was_cancelled and not isinstance(error, asyncio.CancelledError):
            interrupted = asyncio.CancelledError()
            interrupted.__context__ = error
            if failed is not None:
                interrupted.add_note(str(failed))
            raise interrupted
        if failed is not None and error is None:
            raise failed
        if failed is not None and error is not None:
            error.add_note(str(failed))

    async def _insist(self, give_up_at: float) -> VegeHubError | None:
        """Send OFF until the hub takes it or the time is up; return what is to be told if it did not, else None."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        command = self._connection.begin(
            first=True, follows=True, patience=lambda: max(give_up_at - loop.time(), _FIRST_PAUSE)
        )
        # The hub that was meant when the valve was opened; one that cannot say who it is just now must still close it.
        command.mac = self._mac
        command.needs_proof = False
        pause = _FIRST_PAUSE
        attempts = 0
        while True:
            attempts += 1
            try:
                await self._turn_off(command)
                if command.mac and not self._is_proved():
                    # Taken by whoever has the address just now. Once ours is seen there, it gets its own.
                    await self._connection.prove(command)
                    if self._is_proved():
                        await self._turn_off(command)
            except Exception as err:  # noqa: BLE001 - whatever it is, the valve is still open
                if attempts == 1:
                    self._log(err)
                if isinstance(err, VegeHubValueError) or loop.time() + pause >= give_up_at:
                    return self._failure(err, command, attempts, loop.time() - began_at)
            else:
                if attempts > 1:
                    _LOGGER.warning("%s: actuator %d is off, at attempt %d", self._host, self._slot, attempts)
                return None
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _is_proved(self) -> bool:
        return self._connection.identity.is_proved(self._mac)

    async def _turn_off(self, command: Command) -> None:
        payload = calls.actuator_command(0, self._slot, 0)
        try:
            await self._connection.write(command, calls.ACTUATORS_SET, payload)
        except VegeHubSessionError:
            # The caller closed the session first; the valve has to be closed all the same.
            own = self._connection.with_own_session()
            try:
                await own.write(command, calls.ACTUATORS_SET, payload)
            finally:
                await own.owner.close()

    def _log(self, err: Exception) -> None:
        _LOGGER.error(
            "%s: actuator %d may still be on; the hub's own timer ends it at %s. OFF failed and is repeated for up to %g s: %s",
            self._host,
            self._slot,
            self._ends_at,
            INSIST_FOR,
            _words(err),
        )

    def _failure(self, err: Exception, command: Command, attempts: int, seconds: float) -> VegeHubError:
        text = (
            f"{self._host}: the actuator may still be on, number {self._slot}; the hub's own timer ends it at "
            f"{self._ends_at}. OFF failed {attempts} times in {seconds:.0f} s, at last: {_words(err)}"
        )
        if isinstance(err, VegeHubError):
            return err.retold(text, command.outcome)
        failure = VegeHubError(text, host=self._host, outcome=command.outcome)
        failure.__cause__ = err
        return failure


def _words(err: Exception) -> str:
    return str(err) if isinstance(err, VegeHubError) else f"{type(err).__name__}: {err}"
