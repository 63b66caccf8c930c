"""Commands and settings for a hub that sleeps, sent in the moments when it is awake."""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from vegehub.exceptions import (
    Outcome,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubMismatchError,
    VegeHubResponseError,
    VegeHubSessionError,
    VegeHubTimeoutError,
    VegeHubValueError,
)
from vegehub.hub import MAX_DURATION, MIN_ON, check_document, check_seconds, check_slot
from vegehub.wire import DEFAULT_NAME, check_api_key, check_server_name, check_server_url, normalize_mac

from .pending import Entry, Expiry, Kind, PendingCommand, PendingState, Waiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
    from types import TracebackType

    from vegehub.hub import Command
    from vegehub.vegehub import VegeHub
    from vegehub.wire import ServerChange, Update

_LOGGER = logging.getLogger(__name__)

SEND_DELAY = 0.2
"""Seconds from a sign of life to the first attempt: after the reply to its update a hub still tidies up."""
WAKE_WINDOW = 30.0
"""Seconds after a sign of life in which attempts are begun; how long hubs really stay awake is not documented."""
HOOK_PATIENCE = 1.0
"""Seconds that an OFF waits for the hook before it is sent all the same."""
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 4.0
_LONGEST_PAUSE_UNASKED = 60.0
"""The same for a hub that never sleeps, and gives no sign of life."""


class PendingQueue:
    """What waits for one hub: at most one OFF and one ON per actuator, the newest setting per section.

    Each of ``turn_on``, ``turn_off``, ``set_config`` and ``configure_server`` checks its arguments, queues, and returns
    a `PendingCommand` to await or to cancel. Nothing is sent, and the hub is not touched, until ``notify_awake`` says
    that the hub is awake: 0.2 s later what waits is sent to the hub's configured address, wherever the sign of life
    came from, after the proof of its MAC; first OFF, then ON, then settings. What does not get through stays queued and
    is tried again for as long as the hub may be awake, and with the next sign of life. A hub that never sleeps
    (``sleeps`` returns False) is tried at once, and again after growing pauses, up to a minute.

    ==================  ==========================================================================================
    a new OFF           ends what waits for that actuator (REPLACED)
    a new ON            ends the ON before it, and hides a waiting OFF, which comes back if the ON expires, is taken
                        back or refused, and ends once the ON was delivered or may have been
    an ON               needs an expiry, checked on the wall clock and the monotonic clock, whichever ends first: a
                        machine that sleeps stops one of them. An expired ON is never sent
    an ON, reply lost   may have been executed: reported as UNKNOWN and not repeated, since its duration would start
                        anew. OFF and settings do no harm twice and are repeated
    refused by the hub  reported (REJECTED) and not repeated
    an OFF              never expires
    ==================  ==========================================================================================

    It lives in memory only. ``close``, or leaving ``async with``, ends what waits, each with the outcome of its attempts;
    close it before the hub. ``before_send`` is awaited before each send (an OFF waits for it a second at most; what it
    raises ends anything else), ``attempted`` is called after each attempt with its error, None for success.
    ``monotonic`` and ``wall`` are the clocks of the expiry: seconds, and an aware datetime.
    """

    def __init__(
        self,
        hub: VegeHub,
        *,
        send_delay: float = SEND_DELAY,
        wake_window: float = WAKE_WINDOW,
        sleeps: Callable[[], bool] = lambda: True,
        before_send: Callable[[PendingCommand[Any]], Awaitable[object]] | None = None,
        attempted: Callable[[VegeHubError | None], object] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._hub = hub
        self._connection = hub.connection
        self._send_delay = check_seconds("send_delay", send_delay, 0, 60)
        self._wake_window = check_seconds("wake_window", wake_window, 0, 3600)
        self._sleeps = sleeps
        self._before_send = before_send
        self._attempted = attempted
        self._monotonic = monotonic
        self._wall = wall
        self._list = Waiting(lambda: self._host, self._resume)
        self._sequence = 0
        self._is_closed = False
        self._holds = 0
        self._signal_at = 0.0
        self._awake_until = 0.0
        self._drain_task: asyncio.Task[None] | None = None
        self._kick = asyncio.Event()
        self._nothing_but_off = asyncio.Event()
        self._nothing_but_off.set()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._hub.url}: {len(self._list.entries)} waiting>"

    @property
    def waiting(self) -> tuple[PendingCommand[Any], ...]:
        """What waits, in the order of sending, an OFF that an ON hides included; what is being sent is not in it."""
        return tuple(self._handle(entry) for entry in self._list.in_order())

    @property
    def is_sending(self) -> bool:
        """Whether something other than an OFF is being sent; ``held`` waits for that."""
        return not self._nothing_but_off.is_set()

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
        seconds = check_seconds("duration", duration, MIN_ON, self._hub.max_on)
        expiry = Expiry.of(expires_in, expires_at, self._monotonic, self._wall)
        text = f"ON to actuator {slot} for {seconds:g} s"
        command = self._connection.begin(
            follows=True,
            patience=lambda: max(0.0, min(self._connection.timeout, expiry.remaining())),
            remaining=expiry.remaining,
        )
        send = partial(self._connection.switch, command, 1, slot, seconds)
        return self._queue(Kind.ON, ("actuator", slot), text, command, send, slot=slot, expiry=expiry)

    def turn_off(self, slot: int, hold: float | timedelta = 0) -> PendingCommand[None]:
        """Queue OFF for actuator ``slot`` (0-based), kept from the hub's schedule for ``hold`` seconds; never expires."""
        check_slot(slot)
        seconds = check_seconds("hold", hold, 0, MAX_DURATION)
        command = self._connection.begin(first=True, follows=True)
        send = partial(self._connection.switch, command, 0, slot, seconds)
        return self._queue(Kind.OFF, ("actuator", slot), f"OFF to actuator {slot}", command, send, slot=slot)

    def set_config(self, section: str, value: Any) -> PendingCommand[None]:
        """Queue one whole object of the configuration, such as ``hub``; fields left out of it are lost."""
        if not isinstance(section, str):
            raise VegeHubValueError(f"section must be the name of an object, not {section!r:.40}")
        send = partial(self._hub.set_config, copy.deepcopy(check_document({section: value})))
        return self._queue_setting(("section", section), f"setting {section!r}", send)

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
        return self._queue_setting(("server",), f"server {name!r}", send)

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
        """Keep all but OFF back while the block runs, which begins when nothing else is being sent."""
        self._holds += 1
        try:
            await self._nothing_but_off.wait()
            yield
        finally:
            self._holds -= 1
            self._resume()

    async def close(self) -> None:
        """End what waits, and wait for the request that is under way; may be repeated."""
        self._is_closed = True
        for entry in self._list.in_order():
            self._list.end(entry, PendingState.CLOSED, "the queue was closed before the hub took it")
        if (task := self._drain_task) is None:
            return
        under_way = self._list.in_flight
        if under_way is None or (under_way.kind is not Kind.SETTING and under_way.command.outcome is Outcome.NOT_SENT):
            task.cancel()  # nothing has left
        await asyncio.wait((task,))

    # Which gives way to which

    def _queue_setting(self, key: Hashable, text: str, send: Callable[[], Awaitable[Any]]) -> PendingCommand[Any]:
        return self._queue(Kind.SETTING, key, text, self._connection.begin(follows=True), send)

    def _queue(
        self,
        kind: Kind,
        key: Hashable,
        text: str,
        command: Command,
        send: Callable[[], Awaitable[Any]],
        *,
        slot: int | None = None,
        expiry: Expiry | None = None,
    ) -> PendingCommand[Any]:
        if self._is_closed:
            raise VegeHubError(
                f"{self._host}: {text}: not queued, the queue is closed", host=self._host, outcome=Outcome.NOT_SENT
            )
        self._sequence += 1
        done = asyncio.get_running_loop().create_future()
        queued_at = self._wall().astimezone(UTC)
        entry = Entry(kind, key, text, command, send, self._sequence, done, queued_at, slot, expiry)
        self._list.add(entry)
        self._resume()
        return self._handle(entry)

    def _handle(self, entry: Entry) -> PendingCommand[Any]:
        return PendingCommand(entry, self._list.take_back)

    # Sending

    @property
    def _host(self) -> str:
        return self._connection.identity.host

    def _may_send(self, now: float) -> bool:
        return now < self._awake_until or not self._sleeps()

    def _resume(self) -> None:
        """Go on sending, or begin to, if there is something to send and the hub may be awake; one drain at a time."""
        loop = asyncio.get_running_loop()
        self._kick.set()
        if (
            self._drain_task is None
            and self._may_send(loop.time())
            and self._list.next(off_only=self._holds > 0) is not None
        ):
            self._drain_task = loop.create_task(self._drain(), name=f"vegehub: queued commands to {self._hub.url}")

    async def _drain(self) -> None:
        """Send what waits, again and again for as long as the hub may be awake."""
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE
        served = 0.0
        try:
            while self._list.next(off_only=self._holds > 0) is not None:
                if self._signal_at > served:
                    served, pause = self._signal_at, _FIRST_PAUSE
                    await asyncio.sleep(served + self._send_delay - loop.time())
                self._kick.clear()
                await self._round()
                if self._signal_at > served or self._list.next(off_only=self._holds > 0) is None:
                    continue
                if not self._may_send(loop.time() + pause):
                    break
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._kick.wait()
                longest = _LONGEST_PAUSE if loop.time() < self._awake_until else _LONGEST_PAUSE_UNASKED
                pause = min(pause * 2, longest)
        finally:
            self._drain_task = None

    async def _round(self) -> None:
        """Try everything that waits once, or until the hub turns out not to be reached."""
        tried: set[Entry] = set()
        is_reached = True
        while is_reached:
            self._list.expire()
            entry = self._list.next(tried, off_only=self._holds > 0)
            if entry is None:
                return
            tried.add(entry)
            is_reached = await self._attempt(entry)

    async def _attempt(self, entry: Entry) -> bool:
        """Send one entry to the hub that is meant; False if that was not reached."""
        is_off = entry.kind is Kind.OFF
        if not is_off:
            # Before it is taken out, so that it can be taken back for as long as nothing has left.
            try:
                await self._connection.prove(entry.command)
            except VegeHubError as err:
                self._take_note(entry, err)
                return False
        if not await self._is_noted(entry):
            return True
        self._list.expire()
        if entry not in self._list.entries or (self._holds and not is_off):
            return True
        self._list.take(entry)
        entry.attempts += 1
        if not is_off:
            self._nothing_but_off.clear()
        try:
            return await self._send(entry)
        finally:
            self._list.in_flight = None
            self._nothing_but_off.set()

    async def _is_noted(self, entry: Entry) -> bool:
        """Await the hook; False if it failed, which ends all but an OFF."""
        if self._before_send is None:
            return True
        try:
            async with asyncio.timeout(HOOK_PATIENCE if entry.kind is Kind.OFF else None):
                await self._before_send(self._handle(entry))
        except Exception as err:  # noqa: BLE001 - a hook may raise anything, and must not hold OFF back
            if entry.kind is not Kind.OFF:
                why = f"what was to be done before sending it failed: {type(err).__name__}: {err}"
                self._list.end(entry, PendingState.FAILED, why)
                return False
        return True

    async def _send(self, entry: Entry) -> bool:
        try:
            entry.result = await entry.send()
        except VegeHubError as err:
            if entry.kind is Kind.SETTING:
                entry.command.add(err.outcome)
            return self._failed(entry, err)
        except BaseException:
            # The drain was cancelled, as by close() or at the end of the loop.
            if entry.kind is Kind.SETTING:
                entry.command.add(Outcome.UNKNOWN)
            text = f"{self._host}: {entry.text}: {entry.command.tell('the call was cut off', entry.command.outcome)}"
            self._failed(entry, VegeHubTimeoutError(text, host=self._host, outcome=entry.command.outcome))
            raise
        self._list.finish(entry, PendingState.DELIVERED)
        self._awake_until = max(self._awake_until, asyncio.get_running_loop().time() + self._wake_window)
        if self._attempted is not None:
            self._attempted(None)
        return True

    def _failed(self, entry: Entry, err: VegeHubError) -> bool:
        """Report a failure, or let the entry wait for another attempt; False if the hub was not reached."""
        is_answered = isinstance(err, VegeHubResponseError)
        is_silent = not is_answered and isinstance(err, (VegeHubConnectionError, VegeHubTimeoutError))
        self._take_note(entry, err)
        if entry.kind is Kind.ON and entry.command.outcome is Outcome.NOT_SENT and entry.has_expired:
            self._list.end(entry, PendingState.EXPIRED, "it expired before the hub took it")
        elif not self._is_closed and _is_worth_repeating(entry, err, is_silent=is_silent):
            self._list.put_back(entry)
        else:
            self._list.finish(entry, PendingState.FAILED, err)
        return not is_silent and not isinstance(err, VegeHubMismatchError)

    def _take_note(self, entry: Entry, err: VegeHubError) -> None:
        entry.last_error = err
        if isinstance(err, VegeHubMismatchError):
            # Another hub has the address: asking it again before the next sign of life of ours is of no use.
            self._awake_until = self._signal_at
        if self._attempted is not None:
            self._attempted(err)


def _is_worth_repeating(entry: Entry, err: VegeHubError, *, is_silent: bool) -> bool:
    if isinstance(err, VegeHubMismatchError):
        return True
    if entry.kind is Kind.ON:
        return is_silent and entry.command.outcome is Outcome.NOT_SENT
    if entry.kind is Kind.OFF:
        return entry.command.last is not Outcome.REJECTED and not isinstance(
            err, (VegeHubValueError, VegeHubSessionError)
        )
    return is_silent
