"""One command or setting that waits for a sleeping hub, and the handle that its caller holds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Hashable
    from datetime import datetime

    from vegehub.exceptions import VegeHubError
    from vegehub.hub.command import Command

ResultT = TypeVar("ResultT")


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
    expiry: tuple[datetime, float] | None = None
    """Until when it may be sent, on the wall clock and on the monotonic one; None for ever."""
    state: PendingState = PendingState.WAITING
    result: Any = None
    error: VegeHubError | None = None
    last_error: VegeHubError | None = None
    attempts: int = 0


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
        return None if self._entry.expiry is None else self._entry.expiry[0]

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
