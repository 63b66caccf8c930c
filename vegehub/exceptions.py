"""Errors of this library, each with the hub it is about and what is known of the command.

VegeHubError                                   .host .outcome
+-- VegeHubConnectionError  (ConnectionError)   refused, reset, unreachable, name not resolved
|   +-- VegeHubResponseError    .status         the hub answered, but not 200 / not JSON / too large
|       +-- VegeHubPayloadError .path           JSON of the wrong shape
+-- VegeHubTimeoutError     (TimeoutError)      no answer in time; the hub may be asleep
+-- VegeHubNoActuatorsError (AttributeError)    the status reply has no list of actuators
+-- VegeHubSessionError     (RuntimeError)      the session given is closed or belongs to another loop
+-- VegeHubValueError       (ValueError)        bad argument; nothing was sent
+-- VegeHubMismatchError                        another hub (MAC) answers at this address; nothing was written
+-- VegeHubJournalError     (OSError)           the journal of updates cannot be read or written
"""

from __future__ import annotations

from enum import Enum


class Outcome(Enum):
    """What is known of a command that failed."""

    NOT_SENT = "not sent"
    """The hub did not get it: repeating it is always safe."""
    REJECTED = "rejected"
    """The hub got it and refused it: it was not executed."""
    UNKNOWN = "unknown"
    """The hub may have executed it: read the state back, or send a command that is safe to repeat."""


class VegeHubError(Exception):
    """Root of all errors of this library; ``host`` is the address of the hub, None where no hub is involved."""

    # Class attributes, so that an error built in an unusual way (unpickled, copied) still has every field.
    host: str | None = None
    outcome: Outcome = Outcome.UNKNOWN

    def __init__(self, message: str = "", *, host: str | None = None, outcome: Outcome | None = None) -> None:
        # One positional argument only: OSError takes two for an errno and its text.
        super().__init__(message)
        if host is not None:
            self.host = host
        if outcome is not None:
            self.outcome = outcome


class VegeHubConnectionError(VegeHubError, ConnectionError):
    """The connection failed: refused, reset, unreachable, or the name was not resolved."""


class VegeHubResponseError(VegeHubConnectionError):
    """The hub answered, but not with 200, not with JSON, or with too much; ``status`` is None if it was not HTTP."""

    status: int | None = None

    def __init__(
        self, message: str = "", *, host: str | None = None, outcome: Outcome | None = None, status: int | None = None
    ) -> None:
        super().__init__(message, host=host, outcome=outcome)
        self.status = status


class VegeHubPayloadError(VegeHubResponseError):
    """JSON of the wrong shape; ``path`` names the field, such as ``sensors[2].slot``, and "" the whole document."""

    path: str = ""

    def __init__(
        self,
        message: str = "",
        *,
        host: str | None = None,
        outcome: Outcome | None = None,
        status: int | None = None,
        path: str = "",
    ) -> None:
        super().__init__(message, host=host, outcome=outcome, status=status)
        self.path = path


class VegeHubTimeoutError(VegeHubError, TimeoutError):
    """The hub did not answer in time; it may be asleep."""


class VegeHubNoActuatorsError(VegeHubError, AttributeError):
    """The status reply has no list of actuators."""


class VegeHubSessionError(VegeHubError, RuntimeError):
    """The session given is closed or belongs to another event loop; nothing was sent."""

    outcome = Outcome.NOT_SENT


class VegeHubValueError(VegeHubError, ValueError):
    """A bad argument; nothing was sent."""

    outcome = Outcome.NOT_SENT


class VegeHubMismatchError(VegeHubError):
    """Another hub answers at this address; nothing was written."""

    outcome = Outcome.NOT_SENT


class VegeHubJournalError(VegeHubError, OSError):
    """The journal cannot be read or written; what it had acknowledged is still in the file."""

    outcome = Outcome.REJECTED
    damaged: bool = False
    """The file is no journal, or is damaged: trying again does not help."""
