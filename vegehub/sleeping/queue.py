"""Commands and settings for a hub that sleeps, sent in the moments when it is awake."""

from __future__ import annotations

import asyncio
import copy
import time
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from vegehub.exceptions import (
    Outcome,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubMismatchError,
    VegeHubResponseError,
    VegeHubTimeoutError,
    VegeHubValueError,
)
from vegehub.hub.arguments import MAX_DURATION, MIN_ON, check_document, check_seconds, check_slot
from vegehub.wire.config import DEFAULT_NAME
from vegehub.wire.models import normalize_mac
from vegehub.wire.server_url import check_api_key, check_server_name, check_server_url

from .command import Entry, Kind, PendingCommand, PendingState
from .waiting import PendingList

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable
    from datetime import timedelta
    from types import TracebackType

    from vegehub.vegehub import VegeHub
    from vegehub.wire.servers import ServerChange
    from vegehub.wire.updates import Update

__all__ = ["PendingCommand", "PendingQueue", "PendingState"]

SEND_DELAY = 0.2
"""Seconds from a sign of life to the first attempt: after the reply to its update a hub still tidies up."""
WAKE_WINDOW = 30.0
"""Seconds after a sign of life in which attempts are begun; how long hubs really stay awake is not documented."""
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 4.0


class PendingQueue:
    """What waits for one hub: the newest command per actuator, the newest setting per section.

    Each of ``turn_on``, ``turn_off``, ``set_config`` and ``configure_server`` checks its arguments, queues, and returns
    a `PendingCommand` to await or to cancel. Nothing is sent, and the hub is not touched, until ``notify_awake`` says
    that the hub is awake: 0.2 s later what waits is sent to the hub's configured address, wherever the sign of life
    came from, after the proof of its MAC; first OFF, then ON, then settings. What does not get through stays queued and
    is tried again for as long as the hub may be awake, and with the next sign of life:

    * an ON whose reply was lost may have been executed. It is reported as UNKNOWN and not sent again, since its
      duration would start anew. OFF and settings do no harm twice and are repeated.
    * what the hub refuses (REJECTED) is reported and not repeated.
    * an ON needs an expiry, checked on the wall clock and the monotonic clock, whichever ends first: a machine that
      sleeps stops one of them. An expired ON is never sent. OFF never expires.
    * an OFF replaces a waiting ON. An ON gives a waiting OFF's place back if it expires, is taken back or is refused.

    The queue lives in memory only. ``close``, or leaving ``async with``, ends what waits with NOT_SENT; close it before
    the hub. ``monotonic`` and ``wall`` are the clocks of the expiry: seconds, and an aware datetime.
    """

    def __init__(
        self,
        hub: VegeHub,
        *,
        send_delay: float = SEND_DELAY,
        wake_window: float = WAKE_WINDOW,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._hub = hub
        self._send_delay = check_seconds("send_delay", send_delay, 0, 60)
        self._wake_window = check_seconds("wake_window", wake_window, 0, 3600)
        self._list = PendingList(lambda: self._host, monotonic, wall, self._resume)
        self._holds = 0
        self._signal_at = 0.0
        self._awake_until = 0.0
        self._drain_task: asyncio.Task[None] | None = None
        self._sending = False
        self._kick = asyncio.Event()
        self._nothing_but_off = asyncio.Event()
        self._nothing_but_off.set()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._hub.url}: {len(self.waiting)} waiting>"

    @property
    def waiting(self) -> tuple[PendingCommand[Any], ...]:
        """What waits, in the order of sending; what is being sent is not in it."""
        return tuple(PendingCommand(entry, self._list.take_back) for entry in self._list.entries)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # What is queued

    def turn_on(
        self,
        slot: int,
        duration: float | timedelta,
        *,
        expires_in: float | timedelta | None = None,
        expires_at: datetime | None = None,
    ) -> PendingCommand[None]:
        """Queue ON for actuator ``slot`` (0-based), ``duration`` in seconds from when the hub gets it.

        One of ``expires_in`` (seconds, up to a week) and ``expires_at`` (aware) says until when it may be sent.
        """
        check_slot(slot)
        seconds = check_seconds("duration", duration, MIN_ON, self._hub._max_on)  # noqa: SLF001 - the hub's own limit
        expiry = self._list.check_expiry(expires_in, expires_at)
        text = f"ON to actuator {slot} for {seconds:g} s"
        return self._queue(Kind.ON, ("actuator", slot), text, partial(self._hub.turn_on, slot, seconds), expiry)

    def turn_off(self, slot: int, hold: float | timedelta = 0) -> PendingCommand[None]:
        """Queue OFF for actuator ``slot`` (0-based), kept from the hub's schedule for ``hold`` seconds; never expires."""
        check_slot(slot)
        seconds = check_seconds("hold", hold, 0, MAX_DURATION)
        text = f"OFF to actuator {slot}"
        return self._queue(Kind.OFF, ("actuator", slot), text, partial(self._hub.turn_off, slot, seconds))

    def set_config(self, section: str, value: Any) -> PendingCommand[None]:
        """Queue one whole object of the configuration, such as ``hub``; fields left out of it are lost."""
        if not isinstance(section, str):
            raise VegeHubValueError(f"section must be the name of an object, not {section!r:.40}")
        document = copy.deepcopy(check_document({section: value}))
        send = partial(self._hub.set_config, document)
        return self._queue(Kind.SETTING, ("section", section), f"setting {section!r}", send)

    def configure_server(
        self, url: str, *, api_key: str = "", name: str = DEFAULT_NAME
    ) -> PendingCommand[ServerChange]:
        """Queue pointing the hub at a server; the newest replaces an older one whatever its ``name``."""
        send = partial(
            self._hub.configure_server,
            check_server_url(url),
            api_key=check_api_key(api_key),
            name=check_server_name(name),
        )
        return self._queue(Kind.SETTING, ("server",), f"server {name!r}", send)

    # When it is sent

    def notify_awake(self, update: Update | None = None) -> None:
        """Say that the hub is awake: it has our reply to an update, announced itself, or answered a call.

        To be called in the event loop; ``receiver.on_replied(queue.notify_awake)`` is all it takes, since an ``update``
        of another hub is ignored. Costs the hub nothing while nothing waits. What is queued within the wake window is
        sent at once.
        """
        known = self._hub.mac_address
        if update is not None and known and update.mac != normalize_mac(known):
            return
        self._signal_at = asyncio.get_running_loop().time()
        self._awake_until = self._signal_at + self._wake_window
        self._resume()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Keep everything but OFF back while the block runs, which begins when nothing else is being sent."""
        self._holds += 1
        try:
            await self._nothing_but_off.wait()
            yield
        finally:
            self._holds -= 1
            self._resume()

    async def close(self) -> None:
        """End what waits with NOT_SENT, and wait for the call that is under way; may be repeated."""
        self._list.close()
        task = self._drain_task
        if task is None:
            return
        if not self._sending:
            task.cancel()
        await asyncio.wait((task,))

    # Below the public methods

    @property
    def _host(self) -> str:
        return self._hub.url.removeprefix("http://")

    def _queue(
        self,
        kind: Kind,
        key: Hashable,
        text: str,
        send: Callable[[], Awaitable[Any]],
        expiry: tuple[datetime, float] | None = None,
    ) -> PendingCommand[Any]:
        entry = self._list.add(kind, key, text=text, send=send, expiry=expiry)
        self._resume()
        return PendingCommand(entry, self._list.take_back)

    def _next(self, tried: Collection[Entry] = ()) -> Entry | None:
        return self._list.next(tried, off_only=self._holds > 0)

    def _resume(self) -> None:
        """Go on sending, or begin to, if there is something to send and the hub may be awake; one drain at a time."""
        loop = asyncio.get_running_loop()
        self._kick.set()
        if self._drain_task is None and loop.time() < self._awake_until and self._next() is not None:
            self._drain_task = loop.create_task(self._drain(), name=f"vegehub: queued commands to {self._hub.url}")

    async def _drain(self) -> None:
        """Send what waits, again and again for as long as the hub may be awake."""
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE
        served = 0.0
        try:
            while self._next() is not None:
                if self._signal_at > served:
                    served, pause = self._signal_at, _FIRST_PAUSE
                    await asyncio.sleep(served + self._send_delay - loop.time())
                self._kick.clear()
                await self._round()
                if self._signal_at > served or self._next() is None:
                    continue
                if loop.time() + pause >= self._awake_until:
                    break
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._kick.wait()
                pause = min(pause * 2, _LONGEST_PAUSE)
        finally:
            self._drain_task = None

    async def _round(self) -> None:
        """Try everything that waits once, or until the hub turns out not to be reached."""
        tried: set[Entry] = set()
        reached = True
        while reached:
            self._list.expire()
            entry = self._next(tried)
            if entry is None:
                return
            tried.add(entry)
            reached = await self._attempt(entry)

    async def _attempt(self, entry: Entry) -> bool:
        """Prove that the hub is there and send one entry to it; False if it was not reached."""
        try:
            # Here, and not only in the call below, so that the clocks are read after all that may take its time.
            await self._hub._prove()  # noqa: SLF001 - the same proof that the hub's own methods ask for
        except VegeHubError as err:
            entry.last_error = err
            self._note_stranger(err)
            return False
        self._list.expire()
        if (self._holds and entry.kind is not Kind.OFF) or not self._list.take(entry):
            return True
        entry.attempts += 1
        self._sending = True
        if entry.kind is not Kind.OFF:
            self._nothing_but_off.clear()
        try:
            return await self._send(entry)
        finally:
            self._sending = False
            self._nothing_but_off.set()

    async def _send(self, entry: Entry) -> bool:
        calls = self._hub.counters["calls"]
        try:
            # Waiting for the turn takes time too: what expires meanwhile is called off.
            async with asyncio.timeout(self._list.remaining(entry)):
                entry.result = await entry.send()
        except VegeHubError as err:
            return self._failed(entry, err)
        except TimeoutError:
            if self._hub.counters["calls"] == calls:
                self._list.end(entry, PendingState.EXPIRED, "it expired while other calls kept the hub busy")
            else:
                why = "it expired while it was being sent"
                self._list.finish(entry, PendingState.FAILED, self._unknown(entry, why))
        except BaseException:
            # The drain was cancelled, as at the end of the loop.
            self._failed(entry, self._unknown(entry, "the call was cut off"))
            raise
        else:
            self._list.finish(entry, PendingState.DELIVERED)
            self._awake_until = max(self._awake_until, asyncio.get_running_loop().time() + self._wake_window)
        return True

    def _failed(self, entry: Entry, err: VegeHubError) -> bool:
        """Report a failure, or let the entry wait for another attempt; False if the hub was not reached."""
        answered = isinstance(err, VegeHubResponseError)
        silent = not answered and isinstance(err, (VegeHubConnectionError, VegeHubTimeoutError))
        if isinstance(err, VegeHubMismatchError):
            again = True
        elif entry.kind is Kind.ON:
            again = silent and err.outcome is Outcome.NOT_SENT
        else:
            again = silent or (entry.kind is Kind.OFF and answered and err.outcome is Outcome.UNKNOWN)
        if again and not self._list.closed:
            entry.last_error = err
            self._list.put_back(entry)
            self._note_stranger(err)
            return answered
        self._list.finish(entry, PendingState.FAILED, err)
        return not silent

    def _unknown(self, entry: Entry, why: str) -> VegeHubTimeoutError:
        host = self._host
        return VegeHubTimeoutError(
            f"{host}: {entry.text}: {why}; the hub may have executed it", host=host, outcome=Outcome.UNKNOWN
        )

    def _note_stranger(self, err: VegeHubError) -> None:
        if isinstance(err, VegeHubMismatchError):
            # Another hub has the address: asking it again before the next sign of life of ours is of no use.
            self._awake_until = self._signal_at
