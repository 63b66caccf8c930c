"""From what went wrong below to the error a caller gets: what happened, to which hub, and what is known of the command."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.http import HttpProcessingError

from vegehub.exceptions import (
    Outcome,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubPayloadError,
    VegeHubResponseError,
    VegeHubSessionError,
    VegeHubTimeoutError,
    VegeHubValueError,
)
from vegehub.wire import decode_json, refusal

if TYPE_CHECKING:
    from .command import Command

HTTP_OK = 200
_REQUEST_TIMEOUT = 408
_UNAVAILABLE = 503
_CLIENT_ERRORS = range(400, 500)
_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN)
_ASLEEP = "the hub may be asleep (press its button, or set its power source to the adapter), or the address is wrong"


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with one request, before it is known what that means for the call."""

    kind: type[VegeHubError]
    what: str
    outcome: Outcome = Outcome.UNKNOWN
    """What it means for a write."""
    may_be_asleep: bool = False
    unreachable: bool = False
    status: int | None = None
    path: str = ""

    def error(self, where: str, host: str, command: Command | None) -> VegeHubError:
        """Return the error for a call that failed by this: of a read, or with the outcome of its command so far."""
        outcome = Outcome.NOT_SENT if command is None else command.outcome
        what = self.what if command is None else command.tell(self.what, self.outcome)
        err = self.kind(f"{where}: {what}", host=host, outcome=outcome)
        err.may_be_asleep = self.may_be_asleep
        err.unreachable = self.unreachable
        if isinstance(err, VegeHubResponseError):
            err.status = self.status
        if isinstance(err, VegeHubPayloadError):
            err.path = self.path
        return err


def failure_of(err: BaseException, limits: aiohttp.ClientTimeout) -> Failure:
    """Say what an exception out of aiohttp means; ``limits`` are the ones that the request had."""
    if isinstance(err, (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError)):
        return _unconnected(err, limits)
    if isinstance(err, TimeoutError):
        # What aiohttp calls the server's is its limit on one read of the socket.
        return unanswered(limits.sock_read if isinstance(err, aiohttp.ServerTimeoutError) else limits.total)
    if isinstance(err, aiohttp.InvalidURL):
        return Failure(VegeHubValueError, "the address makes no valid URL", Outcome.NOT_SENT)
    if isinstance(err, (aiohttp.ClientResponseError, HttpProcessingError)):
        return Failure(VegeHubResponseError, "the reply is not HTTP; is this a VegeHub?")
    when = "in the middle of" if isinstance(err, aiohttp.ClientPayloadError) else "before"
    what = "ended" if isinstance(err, aiohttp.ClientPayloadError) else "was closed"
    return Failure(VegeHubConnectionError, f"the connection {what} {when} the reply")


def unanswered(seconds: float | None) -> Failure:
    """Say that no answer came within ``seconds``, whosever limit that was."""
    within = f" within {seconds:.3g} s" if seconds else " in time"
    return Failure(VegeHubTimeoutError, f"no answer{within} (it may have fallen asleep)", may_be_asleep=True)


def _unconnected(
    err: aiohttp.ConnectionTimeoutError | aiohttp.ClientConnectorError, limits: aiohttp.ClientTimeout
) -> Failure:
    """Say why no connection could be made."""
    number = None if isinstance(err, aiohttp.ConnectionTimeoutError) else err.os_error.errno
    if isinstance(err, aiohttp.ConnectionTimeoutError):
        bounds = [bound for bound in (limits.connect, limits.sock_connect) if bound]
        what = f"no connection within {min(bounds):.3g} s; {_ASLEEP}" if bounds else f"no connection; {_ASLEEP}"
    elif isinstance(err, aiohttp.ClientConnectorDNSError):
        what = "the name was not resolved; is it spelled right, and is the hub awake? An IP address always works"
    elif number == errno.ECONNREFUSED:
        what = "the connection was refused; is this the address of a VegeHub?"
    elif number == errno.ETIMEDOUT:  # the system gave up before any limit of ours
        what = f"no connection; {_ASLEEP}"
    elif number in _UNREACHABLE:
        what = f"unreachable; {_ASLEEP}"
    else:
        what = f"no connection ({errno.errorcode.get(number or 0, 'error')}); is this the address of a VegeHub?"
    has_timed_out = isinstance(err, aiohttp.ConnectionTimeoutError) or number == errno.ETIMEDOUT
    return Failure(
        VegeHubTimeoutError if has_timed_out else VegeHubConnectionError,
        what,
        Outcome.NOT_SENT,
        may_be_asleep=has_timed_out or number in _UNREACHABLE,
        unreachable=True,
    )


def closed_session() -> Failure:
    """Say that the session was closed under a call, perhaps after the request had left."""
    return Failure(
        VegeHubSessionError, "the session was closed before the call had ended; close it after the last call"
    )


def status_failure(status: int, body: bytes, charset: str | None) -> Failure:
    """Say what an answer other than 200 means, with the hub's own word where it gave one."""
    refused = (status in _CLIENT_ERRORS and status != _REQUEST_TIMEOUT) or status == _UNAVAILABLE
    try:
        said = refusal(decode_json(body, charset))
    except ValueError:
        said = ""
    what = f"expected status 200, got {status}{said and ': ' + said}"
    return Failure(
        VegeHubResponseError,
        f"{what}; the hub refused it" if refused else what,
        Outcome.REJECTED if refused else Outcome.UNKNOWN,
        status=status,
    )
