"""One command or setting that waits for a sleeping hub, and the handle that its caller holds."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from vegehub.exceptions import Outcome, VegeHubError, VegeHubTimeoutError, VegeHubValueError
from vegehub.hub.arguments import MAX_DURATION, check_seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Generator, Hashable

    from vegehub.hub.command import Command

_LOGGER = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

_REPLACED = "replaced by a newer one before the hub took it"
# How late, at most, an expiry is noticed whose clock went on while this machine slept and its timers stood still.
_LONGEST_TIMER = 60.0


class PendingState(Enum):
    """How far a queued command has got."""

    WAITING = "waiting"
    """For the hub to wake."""
    SENDING = "sending"
    """It may have reached the hub, and can no longer be taken back."""
    DELIVERED = "delivered"
    """The hub took it."""
    EXPIRED = "expired"
    """Its time was over before it could be sent."""
    REPLACED = "replaced"
    """A newer command for the same actuator or section took its place."""
    CANCELLED = "cancelled"
    """Taken back."""
    CLOSED = "closed"
    """The queue was closed while it waited."""
    FAILED = "failed"
    """The hub refused it, or what became of it is not known: see ``error``."""


class Kind(Enum):
    """What is waiting; sent in this order."""

    OFF = 0
    ON = 1
    SETTING = 2


class Expiry:
    """Until when an ON may be sent, on the wall clock and on the monotonic one: a machine that sleeps stops one of them."""

    __slots__ = ("_monotonic", "_until_monotonic", "_wall", "until")

    def __init__(
        self, until: datetime, seconds: float, monotonic: Callable[[], float], wall: Callable[[], datetime]
    ) -> None:
        self.until = until
        self._until_monotonic = monotonic() + seconds
        self._monotonic = monotonic
        self._wall = wall

    @classmethod
    def of(
        cls, expires_in: object, expires_at: object, monotonic: Callable[[], float], wall: Callable[[], datetime]
    ) -> Self:
        """Check the arguments of ``PendingQueue.turn_on``; VegeHubValueError unless one of the two is given, and right."""
        if (expires_in is None) is (expires_at is None):
            raise VegeHubValueError("ON needs either expires_in or expires_at: an old ON must not open a valve")
        now = wall()
        if expires_at is None:
            seconds = check_seconds("expires_in", expires_in, 0, MAX_DURATION)
            if not seconds:
                raise VegeHubValueError("expires_in must be more than 0 seconds")
            return cls((now + timedelta(seconds=seconds)).astimezone(UTC), seconds, monotonic, wall)
        if not isinstance(expires_at, datetime) or expires_at.tzinfo is None:
            raise VegeHubValueError(
                "expires_at must be an aware datetime: a naive one does not say which zone it is in"
            )
        seconds = (expires_at - now).total_seconds()
        if not 0 < seconds <= MAX_DURATION:
            raise VegeHubValueError("expires_at must lie in the future, by a week at most")
        return cls(expires_at.astimezone(UTC), seconds, monotonic, wall)

    def remaining(self) -> float:
        """Return the seconds that are left by the clock that ends first."""
        return min((self.until - self._wall()).total_seconds(), self._until_monotonic - self._monotonic())


@dataclass(slots=True, eq=False)
class Entry:
    """What the queue knows of one command."""

    kind: Kind
    key: Hashable
    """Of two entries with the same key the newer is sent."""
    text: str
    command: Command
    """What became of it over all its attempts."""
    send: Callable[[], Awaitable[Any]]
    sequence: int
    done: asyncio.Future[None]
    """Carries no error: one that nobody asks for must not be reported as never retrieved."""
    queued_at: datetime
    slot: int | None = None
    expiry: Expiry | None = None
    """Until when it may be sent; None for ever."""
    state: PendingState = PendingState.WAITING
    result: Any = None
    error: VegeHubError | None = None
    last_error: VegeHubError | None = None
    attempts: int = 0

    @property
    def has_expired(self) -> bool:
        """Whether it is too old to be sent."""
        return self.expiry is not None and self.expiry.remaining() <= 0

    def gives_way_to(self, newer: Entry) -> bool:
        """Say whether it ends because of ``newer``, of the same key: all do but an OFF, which an ON only hides."""
        return not (self.kind is Kind.OFF and newer.kind is Kind.ON)

    def is_hidden_by(self, other: Entry) -> bool:
        """Say whether it is an OFF, and ``other`` a newer ON for the same actuator."""
        is_newer = other.key == self.key and other.sequence > self.sequence
        return is_newer and self.kind is Kind.OFF and other.kind is Kind.ON


class Waiting:
    """What waits for one hub: which command gives way to which, and when one is too old.

    ``host`` names the hub in error texts; ``freed`` is called when an OFF that was hidden may stand again.
    """

    def __init__(self, host: Callable[[], str], freed: Callable[[], object]) -> None:
        self.entries: list[Entry] = []
        """The oldest first."""
        self.in_flight: Entry | None = None
        """What is being sent."""
        self._host = host
        self._freed = freed
        self._timer: asyncio.TimerHandle | None = None

    def add(self, entry: Entry) -> None:
        """Let a new entry wait; older ones that have to give way to it end."""
        self.expire()
        for older in self._of_key(entry):
            if older.gives_way_to(entry):
                self.end(older, PendingState.REPLACED, _REPLACED)
        self.entries.append(entry)
        self._set_timer()

    def in_order(self) -> list[Entry]:
        """Return what waits in the order of sending, an OFF that an ON hides included."""
        return sorted(self.entries, key=lambda entry: (entry.kind.value, entry.sequence))

    def _of_key(self, entry: Entry) -> tuple[Entry, ...]:
        return tuple(other for other in self.entries if other.key == entry.key and other is not entry)

    def _is_hidden(self, entry: Entry) -> bool:
        """Say whether a newer ON for the same actuator waits or is being sent."""
        return any(entry.is_hidden_by(other) for other in (*self.entries, self.in_flight) if other is not None)

    def next(self, tried: Collection[Entry] = (), *, off_only: bool = False) -> Entry | None:
        """Return what is to be sent next of what was not tried yet; None if there is nothing."""
        for entry in self.in_order():
            if entry not in tried and (entry.kind is Kind.OFF or not off_only) and not self._is_hidden(entry):
                return entry
        return None

    def take(self, entry: Entry) -> None:
        """Take an entry out to send it; it is ``in_flight`` until ``in_flight`` is None again."""
        self.entries.remove(entry)
        entry.state = PendingState.SENDING
        self.in_flight = entry

    def take_back(self, entry: Entry) -> bool:
        """End an entry as its caller wishes; False if it does not wait any more."""
        if entry not in self.entries:
            return False
        self.end(entry, PendingState.CANCELLED, "taken back before the hub took it")
        self._freed()  # it may have hidden an OFF
        return True

    def put_back(self, entry: Entry) -> None:
        """Let an entry wait again, unless it has to give way to a newer one meanwhile."""
        if any(newer.sequence > entry.sequence and entry.gives_way_to(newer) for newer in self._of_key(entry)):
            self.end(entry, PendingState.REPLACED, _REPLACED)
        else:
            entry.state = PendingState.WAITING
            self.entries.append(entry)
            self._set_timer()

    def end(self, entry: Entry, state: PendingState, why: str) -> None:
        """End an entry that the hub did not take, as far as is known."""
        host = self._host()
        tried = f"; the last attempt: {entry.last_error}" if entry.last_error is not None else ""
        error_type = VegeHubTimeoutError if state is PendingState.EXPIRED else VegeHubError
        text = f"{host}: {entry.text}: {entry.command.tell(why, Outcome.NOT_SENT)}{tried}"
        error = error_type(text, host=host, outcome=entry.command.outcome)
        error.__cause__ = entry.last_error
        self.finish(entry, state, error)

    def finish(self, entry: Entry, state: PendingState, error: VegeHubError | None = None) -> None:
        """End an entry: delivered, or with an error."""
        if entry in self.entries:
            self.entries.remove(entry)
        entry.state = state
        entry.error = error
        _LOGGER.debug("%s: %s: %s", self._host(), entry.text, state.value)
        entry.done.set_result(None)
        if entry.kind is Kind.ON and (error is None or error.outcome is Outcome.UNKNOWN):
            for hidden in tuple(self.entries):
                if hidden.is_hidden_by(entry):
                    self.end(hidden, PendingState.REPLACED, _REPLACED)
        self._set_timer()

    def expire(self) -> None:
        """End what is too old to be sent."""
        for entry in tuple(self.entries):
            if entry.has_expired:
                self.end(entry, PendingState.EXPIRED, "it expired before the hub took it")
                self._freed()  # as above

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        times = [entry.expiry.remaining() for entry in self.entries if entry.expiry is not None]
        if times:
            delay = min(max(0.0, min(times)), _LONGEST_TIMER)
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.expire()
        self._set_timer()


class PendingCommand(Generic[ResultT]):
    """The caller's handle: ``await`` it for the outcome, as often as wanted, or ``cancel`` it.

    Awaiting gives what the hub's method returns (None, or the ServerChange of ``configure_server``) once the hub took
    the command, and otherwise raises an error of the tree, with the outcome of all its attempts: NOT_SENT if it expired
    (VegeHubTimeoutError), was replaced, taken back, or the queue was closed before anything of it was sent; REJECTED if
    the hub refused it; UNKNOWN if any attempt may have been executed. A task that is cancelled while it waits does not
    take the command back.
    """

    __slots__ = ("_entry", "_take_back")

    def __init__(self, entry: Entry, take_back: Callable[[Entry], bool]) -> None:
        self._entry = entry
        self._take_back = take_back

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PendingCommand) and other._entry is self._entry

    def __hash__(self) -> int:
        return id(self._entry)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._entry.text}: {self._entry.state.value}>"

    def __await__(self) -> Generator[Any, None, ResultT]:
        return self._outcome().__await__()

    @property
    def text(self) -> str:
        """What is to be sent, in words, without secrets."""
        return self._entry.text

    @property
    def slot(self) -> int | None:
        """The actuator that it is for, 0-based; None for a setting."""
        return self._entry.slot

    @property
    def is_on(self) -> bool | None:
        """True for ON, False for OFF, None for a setting."""
        return None if self._entry.kind is Kind.SETTING else self._entry.kind is Kind.ON

    @property
    def state(self) -> PendingState:
        """How far it has got."""
        return self._entry.state

    @property
    def done(self) -> bool:
        """Whether awaiting it returns or raises at once."""
        return self._entry.done.done()

    @property
    def error(self) -> VegeHubError | None:
        """What awaiting it raises; None while it is under way and once it is delivered."""
        return self._entry.error

    @property
    def last_error(self) -> VegeHubError | None:
        """Why the last attempt left it waiting; None if there was none."""
        return self._entry.last_error

    @property
    def attempts(self) -> int:
        """How often it was sent to the hub; attempts that ended before that, at the proof of the MAC, do not count."""
        return self._entry.attempts

    @property
    def queued_at(self) -> datetime:
        """When it was queued, aware, UTC."""
        return self._entry.queued_at

    @property
    def expires_at(self) -> datetime | None:
        """When it expires by the wall clock; None for never. The monotonic clock may end it earlier."""
        return None if self._entry.expiry is None else self._entry.expiry.until

    def cancel(self) -> bool:
        """Take it back; False, and no effect, once it is being sent or done."""
        return self._take_back(self._entry)

    async def _outcome(self) -> ResultT:
        entry = self._entry
        await asyncio.shield(entry.done)
        if entry.error is not None:
            raise entry.error
        result: ResultT = entry.result
        return result
