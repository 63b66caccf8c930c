"""Errors of this library, each with the hub it is about and what is known of the command.

VegeHubError                                   .host .outcome .may_be_asleep .unreachable
+-- VegeHubConnectionError  (ConnectionError)   refused, reset, unreachable, name not resolved
|   +-- VegeHubResponseError    .status         the hub answered, but not 200 / not JSON / too large
|       +-- VegeHubPayloadError .path           JSON of the wrong shape
+-- VegeHubTimeoutError     (TimeoutError)      no answer in time; the hub may be asleep
+-- VegeHubNoActuatorsError (AttributeError)    the status reply has no list of actuators
+-- VegeHubSessionError     (RuntimeError)      the session given is closed or belongs to another loop
+-- VegeHubValueError       (ValueError)        bad argument; nothing was sent
+-- VegeHubMismatchError                        another hub (MAC) answers at this address; .expected .found
+-- VegeHubJournalError     (OSError)           the journal of updates cannot be read or written
"""

from __future__ import annotations

from copy import copy
from enum import Enum
from typing import Self


class Outcome(Enum):
    """What is known of a public call that failed, over all the requests that it took."""

    NOT_SENT = "not sent"
    """Nothing that could have an effect reached the hub: repeating the call is safe. Calls that only read have it always."""
    REJECTED = "rejected"
    """The hub read the command and refused it: it was not executed."""
    UNKNOWN = "unknown"
    """The hub may have executed it: read the state back, or send a command that is safe to repeat."""


class VegeHubError(Exception):
    """Root of all errors of this library; ``host`` is the address of the hub, None where no hub is involved."""

    # Class attributes, so that an error built in an unusual way (unpickled, copied) still has every field.
    host: str | None = None
    outcome: Outcome = Outcome.UNKNOWN
    may_be_asleep: bool = False
    """True where a sleeping hub looks like this: no answer in time, or no route to it on its own network."""
    unreachable: bool = False
    """True where no connection to the hub could be made: asleep, off, or at another address."""

    def __init__(self, message: str = "", *, host: str | None = None, outcome: Outcome | None = None) -> None:
        # One positional argument only: OSError takes two for an errno and its text.
        super().__init__(message)
        if host is not None:
            self.host = host
        if outcome is not None:
            self.outcome = outcome

    def retold(self, message: str, outcome: Outcome | None = None) -> Self:
        """Return an error of the same class with the same fields but another text, and another outcome if given."""
        other = copy(self)
        other.args = (message,)
        other.__cause__ = other.__context__ = other.__traceback__ = None
        if outcome is not None:
            other.outcome = outcome
        return other


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

    may_be_asleep = True


class VegeHubNoActuatorsError(VegeHubError, AttributeError):
    """The status reply has no list of actuators."""


class VegeHubSessionError(VegeHubError, RuntimeError):
    """The session given is closed or belongs to another event loop; nothing was sent."""

    outcome = Outcome.NOT_SENT


class VegeHubValueError(VegeHubError, ValueError):
    """A bad argument; nothing was sent."""

    outcome = Outcome.NOT_SENT


class VegeHubMismatchError(VegeHubError):
    """Another hub answers at this address; nothing was written to it."""

    outcome = Outcome.NOT_SENT
    expected: str = ""
    """The MAC that was to answer: 12 upper-case hex digits."""
    found: str = ""
    """The MAC that answered, "" if it gave none."""

    def __init__(
        self,
        message: str = "",
        *,
        host: str | None = None,
        outcome: Outcome | None = None,
        expected: str = "",
        found: str = "",
    ) -> None:
        super().__init__(message, host=host, outcome=outcome)
        self.expected = expected
        self.found = found


class VegeHubJournalError(VegeHubError, OSError):
    """The journal cannot be read or written; what it had acknowledged is still in the file."""

    outcome = Outcome.REJECTED
    damaged: bool = False
    """The file is no journal, or is damaged: trying again does not help."""
