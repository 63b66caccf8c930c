"""What waits for a sleeping hub: which command gives way to which, and when one is too old to be sent."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import Outcome, VegeHubError, VegeHubTimeoutError, VegeHubValueError
from vegehub.hub.arguments import MAX_DURATION, check_seconds

from .command import Entry, Kind, PendingState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Hashable

_LOGGER = logging.getLogger(__name__)

# How late, at most, an expiry is noticed whose clock went on while this machine slept and its timers stood still.
_LONGEST_TIMER = 60.0


class PendingList:
    """The newest entry of each key; an ON keeps the OFF whose place it took, which stands again if the ON fails.

    ``host`` names the hub in error texts; ``on_return`` is called when an OFF stands again.
    """

    def __init__(
        self,
        host: Callable[[], str],
        monotonic: Callable[[], float],
        wall: Callable[[], datetime],
        on_return: Callable[[], None],
    ) -> None:
        self.closed = False
        self._host = host
        self._monotonic = monotonic
        self._wall = wall
        self._on_return = on_return
        self._waiting: dict[Hashable, Entry] = {}
        self._sequence = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What would be sent now, in the order of sending."""
        return tuple(sorted(self._waiting.values(), key=lambda entry: (entry.kind.value, entry.sequence)))

    def next(self, tried: Collection[Entry], *, off_only: bool) -> Entry | None:
        """Return what is to be sent next of what was not tried yet; None if there is nothing."""
        return next(
            (entry for entry in self.entries if entry not in tried and (entry.kind is Kind.OFF or not off_only)), None
        )

    def check_expiry(self, expires_in: object, expires_at: object) -> tuple[datetime, float]:
        """Return until when an ON may be sent, on the wall clock and on the monotonic one."""
        if (expires_in is None) is (expires_at is None):
            raise VegeHubValueError("ON needs either expires_in or expires_at: an old ON must not open a valve")
        now = self._wall()
        if expires_at is None:
            seconds = check_seconds("expires_in", expires_in, 0, MAX_DURATION)
            if not seconds:
                raise VegeHubValueError("expires_in must be more than 0 seconds")
            until = now + timedelta(seconds=seconds)
        elif isinstance(expires_at, datetime) and expires_at.tzinfo is not None:
            until, seconds = expires_at, (expires_at - now).total_seconds()
            if not 0 < seconds <= MAX_DURATION:
                raise VegeHubValueError("expires_at must lie in the future, by a week at most")
        else:
            raise VegeHubValueError(
                "expires_at must be an aware datetime: a naive one does not say which zone it is in"
            )
        return until.astimezone(UTC), self._monotonic() + seconds

    def add(
        self,
        kind: Kind,
        key: Hashable,
        *,
        text: str,
        send: Callable[[], Awaitable[Any]],
        expiry: tuple[datetime, float] | None = None,
    ) -> Entry:
        """Let a new entry wait in place of an older one of the same key; VegeHubError once the list is closed."""
        if self.closed:
            raise VegeHubError(
                f"{self._host()}: {text}: not queued, the queue is closed", host=self._host(), outcome=Outcome.NOT_SENT
            )
        self._sequence += 1
        done = asyncio.get_running_loop().create_future()
        entry = Entry(kind, key, text, send, self._sequence, done, self._wall().astimezone(UTC), expiry)
        self.expire()
        older = self._waiting.get(key)
        self._waiting[key] = entry
        if older is not None and kind is Kind.ON and older.kind is Kind.OFF:
            entry.below = older
        elif older is not None:
            self._replace(older)
        self._set_timer()
        return entry

    def take(self, entry: Entry) -> bool:
        """Take an entry out to send it; False if it does not wait any more."""
        if self._waiting.get(entry.key) is not entry:
            return False
        del self._waiting[entry.key]
        entry.state = PendingState.SENDING
        return True

    def take_back(self, entry: Entry) -> bool:
        """End an entry as its caller wishes; False if it does not wait any more."""
        top = self._waiting.get(entry.key)
        if top is entry:
            del self._waiting[entry.key]
        elif top is not None and top.below is entry:
            top.below = None
        else:
            return False
        self.end(entry, PendingState.CANCELLED, "taken back before the hub took it")
        return True

    def put_back(self, entry: Entry) -> None:
        """Let an entry wait again, unless a newer one has taken its place meanwhile."""
        newer = self._waiting.get(entry.key)
        if self.closed:
            self.end(entry, PendingState.CLOSED, "the queue was closed before the hub took it")
        elif newer is None:
            entry.state = PendingState.WAITING
            self._waiting[entry.key] = entry
            self._set_timer()
        elif newer.kind is Kind.ON and entry.kind is Kind.OFF and newer.below is None:
            entry.state = PendingState.WAITING
            newer.below = entry
        else:
            self._replace(entry)

    def end(self, entry: Entry, state: PendingState, why: str) -> None:
        """End an entry that was not sent."""
        host = self._host()
        tried = f"; the last attempt: {entry.last_error}" if entry.last_error is not None else ""
        error_type = VegeHubTimeoutError if state is PendingState.EXPIRED else VegeHubError
        error = error_type(f"{host}: {entry.text}: not sent, {why}{tried}", host=host, outcome=Outcome.NOT_SENT)
        error.__cause__ = entry.last_error
        self.finish(entry, state, error)

    def finish(self, entry: Entry, state: PendingState, error: VegeHubError | None = None) -> None:
        """End an entry: delivered, or with an error; the OFF below it stands again if the hub did not get it."""
        entry.state = state
        entry.error = error
        _LOGGER.debug("%s: %s: %s", self._host(), entry.text, state.value)
        entry.done.set_result(None)
        below, entry.below = entry.below, None
        if below is None:
            return
        if error is None or error.outcome is Outcome.UNKNOWN:
            self._replace(below)
        else:
            self.put_back(below)
            self._on_return()

    def remaining(self, entry: Entry) -> float | None:
        """Return the seconds until an entry expires, by the clock that ends first; None for never."""
        if entry.expiry is None:
            return None
        until, until_monotonic = entry.expiry
        return min((until - self._wall()).total_seconds(), until_monotonic - self._monotonic())

    def expire(self) -> None:
        """End what is too old to be sent."""
        for entry in tuple(self._waiting.values()):
            remaining = self.remaining(entry)
            if remaining is not None and remaining <= 0:
                del self._waiting[entry.key]
                self.end(entry, PendingState.EXPIRED, "it expired before the hub took it")

    def close(self) -> None:
        """End all that waits, and take nothing more."""
        self.closed = True
        waiting = self.entries
        self._waiting.clear()
        self._set_timer()
        for entry in waiting:
            self.end(entry, PendingState.CLOSED, "the queue was closed before the hub took it")

    def _replace(self, entry: Entry) -> None:
        """End an entry whose place a newer one has; the OFF below it goes to the newer one, or ends with it."""
        below, entry.below = entry.below, None
        self.end(entry, PendingState.REPLACED, "replaced by a newer one before the hub took it")
        if below is not None:
            self.put_back(below)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        times = [left for entry in self._waiting.values() if (left := self.remaining(entry)) is not None]
        if times:
            delay = min(max(0.0, min(times)), _LONGEST_TIMER)
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.expire()
        self._set_timer()
