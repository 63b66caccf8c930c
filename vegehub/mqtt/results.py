"""What became of a command: the outcome in one word, and the document that tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vegehub.exceptions import Outcome, VegeHubValueError
from vegehub.sleeping import PendingState

from .messages import iso

if TYPE_CHECKING:
    from datetime import datetime

    from vegehub.exceptions import VegeHubError
    from vegehub.sleeping import PendingCommand

    from .commands import Command

DELIVERED = "delivered"
"""The hub took it."""
EXPIRED = "expired"
"""Its time was over before it could be sent."""
REPLACED = "replaced"
"""A newer command to the same actuator took its place."""
NOT_SENT = "not_sent"
"""The hub did not get it; it may be sent again, with the same id."""
REJECTED = "rejected"
"""The hub said no."""
REFUSED = "refused"
"""The bridge said no: the command is wrong, or against its rules."""
UNKNOWN = "unknown"
"""It was sent, and nobody knows whether the hub executed it."""
QUEUED = "queued"
"""It waits for a hub that sleeps; another result follows."""

_OF_STATES = {
    PendingState.DELIVERED: DELIVERED,
    PendingState.EXPIRED: EXPIRED,
    PendingState.REPLACED: REPLACED,
    PendingState.CANCELLED: NOT_SENT,
    PendingState.CLOSED: NOT_SENT,
}
_OF_OUTCOMES = {Outcome.NOT_SENT: NOT_SENT, Outcome.REJECTED: REJECTED, Outcome.UNKNOWN: UNKNOWN}


def outcome_of(pending: PendingCommand[None], command: Command, now: datetime) -> str:
    """Return the outcome of a command that is done."""
    error = pending.error
    found = _OF_STATES.get(pending.state) or _of_error(error)
    # What has expired must not be sent again.
    return EXPIRED if found == NOT_SENT and command.has_expired(now) else found


def outcome_of_error(err: VegeHubError, command: Command, now: datetime) -> str:
    """Return the outcome of a command that could not even be queued."""
    if command.has_expired(now):
        return EXPIRED
    return REFUSED if isinstance(err, VegeHubValueError) else NOT_SENT


def result_document(
    bridge: str,
    outcome: str,
    now: datetime,
    *,
    id: str | None = None,  # noqa: A002 - the name that it has in the message
    command: dict[str, Any] | None = None,
    error: str | None = None,
) -> dict[str, Any]:
    """Return what is published; ``command`` is None if it could not be read, ``error`` says what there is to say."""
    return {"id": id, "outcome": outcome, "error": error, "command": command, "at": iso(now), "bridge": bridge}


def _of_error(error: VegeHubError | None) -> str:
    if isinstance(error, VegeHubValueError):
        return REFUSED
    return _OF_OUTCOMES[Outcome.UNKNOWN if error is None else error.outcome]
