"""One command, one outcome: what became of a public call that changes something, whatever requests it took.

A call that changes something begins a ``Command`` and hands it to each of its requests: attempts, resends, proofs and
read-backs. Only a write moves its stage. What the call raises carries the outcome of the whole command, and its text
says the same in words.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from vegehub.exceptions import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from vegehub.exceptions import VegeHubError

    from .identity import Identity


class Stage(IntEnum):
    """How far a command has got; it never goes back."""

    NOTHING_LEFT = 0
    """Nothing that could have an effect has reached the hub: reads, proofs, waiting and connecting do not count."""
    MAY_HAVE_ARRIVED = 1
    """A write was under way when it was cut off: the hub may have executed it."""
    TAKEN = 2
    """The hub took a write."""


class Command:
    """What is known of one public call that changes something, and the hub it is meant for.

    ``identity`` and ``mac`` are bound when the call begins; no request of it goes anywhere else. The options are those of
    `HubConnection.begin`.
    """

    __slots__ = (
        "_refused",
        "first",
        "follows",
        "identity",
        "last",
        "mac",
        "needs_proof",
        "patience",
        "proves",
        "remaining",
        "stage",
    )

    def __init__(
        self,
        identity: Identity,
        mac: str,
        *,
        proves: bool = True,
        first: bool = False,
        follows: bool = False,
        patience: Callable[[], float] | None = None,
        remaining: Callable[[], float | None] | None = None,
    ) -> None:
        self.identity = identity
        self.mac = mac
        """The MAC that must answer before each write; "" where none is known, or none is asked for."""
        self.proves = proves
        self.needs_proof = True
        """False: a proof that cannot be read does not hold the write back; another MAC does."""
        self.first = first
        self.follows = follows
        self.patience = patience
        self.remaining = remaining
        self.stage = Stage.NOTHING_LEFT
        self.last = Outcome.NOT_SENT
        """What became of the last attempt alone."""
        self._refused = False

    @property
    def outcome(self) -> Outcome:
        """What is to be said of the command if the call fails now."""
        if self.stage is not Stage.NOTHING_LEFT:
            return Outcome.UNKNOWN
        return Outcome.REJECTED if self._refused else Outcome.NOT_SENT

    def leaves(self) -> Stage:
        """Take note that a write is on its way from now on; returns the stage for ``stays``."""
        before = self.stage
        self.stage = max(before, Stage.MAY_HAVE_ARRIVED)
        return before

    def stays(self, before: Stage) -> None:
        """Take note that the write was seen not to have left: the command is where it was ``before``."""
        self.stage = before

    def add(self, outcome: Outcome) -> None:
        """Add what became of an attempt that failed: UNKNOWN stays, whatever comes after it."""
        self.last = outcome
        if outcome is Outcome.UNKNOWN:
            self.stage = max(self.stage, Stage.MAY_HAVE_ARRIVED)
        elif outcome is Outcome.REJECTED:
            self._refused = True

    def take(self) -> None:
        """Take note that the hub took a write."""
        self.stage = Stage.TAKEN

    def tell(self, what: str, attempt: Outcome) -> str:
        """Return ``what`` went wrong in an attempt with what that means for the command."""
        if self.stage is Stage.TAKEN:
            return f"the hub took the command, but then: {what}"
        if self.stage is Stage.MAY_HAVE_ARRIVED:
            which = "it" if attempt is Outcome.UNKNOWN else "an earlier attempt"
            return f"{what}; the hub may have executed {which}"
        return f"not sent, {what}" if attempt is Outcome.NOT_SENT else what

    def retell(self, err: VegeHubError) -> VegeHubError:
        """Return an error that says nothing of the command, told as an error of the command."""
        return err.retold(self.tell(str(err), Outcome.NOT_SENT), self.outcome)
