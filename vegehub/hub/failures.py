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
    if isinstance(err, aiohttp.ConnectionTimeoutError) or _is_connect_timeout(err):
        bounds = [bound for bound in (limits.connect, limits.sock_connect) if bound and not _is_connect_timeout(err)]
        within = f" within {min(bounds):.3g} s" if bounds else ""
        return Failure(
            VegeHubTimeoutError,
            f"no connection{within}; {_ASLEEP}",
            Outcome.NOT_SENT,
            may_be_asleep=True,
            unreachable=True,
        )
    if isinstance(err, TimeoutError):
        # What aiohttp names a server's silence is its limit on one read of the socket.
        bound = limits.sock_read if isinstance(err, aiohttp.ServerTimeoutError) else limits.total
        within = f" within {bound:.3g} s" if bound else " in time"
        return Failure(VegeHubTimeoutError, f"no answer{within} (it may have fallen asleep)", may_be_asleep=True)
    if isinstance(err, aiohttp.ClientConnectorError):
        return Failure(
            VegeHubConnectionError,
            _why_unconnected(err),
            Outcome.NOT_SENT,
            may_be_asleep=err.os_error.errno in _UNREACHABLE,
            unreachable=True,
        )
    if isinstance(err, aiohttp.InvalidURL):
        return Failure(VegeHubValueError, "the address makes no valid URL", Outcome.NOT_SENT)
    if isinstance(err, (aiohttp.ClientResponseError, HttpProcessingError)):
        return Failure(VegeHubResponseError, "the reply is not HTTP; is this a VegeHub?")
    if isinstance(err, aiohttp.ClientPayloadError):
        return Failure(VegeHubConnectionError, "the connection ended in the middle of the reply")
    return Failure(VegeHubConnectionError, "the connection was closed before the reply")


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


def _is_connect_timeout(err: BaseException) -> bool:
    """Say whether the system gave up connecting, which it reports as an error of the connector."""
    return isinstance(err, aiohttp.ClientConnectorError) and err.os_error.errno == errno.ETIMEDOUT


def _why_unconnected(err: aiohttp.ClientConnectorError) -> str:
    if isinstance(err, aiohttp.ClientConnectorDNSError):
        return "the name was not resolved; is it spelled right, and is the hub awake? An IP address always works"
    number = err.os_error.errno
    if number == errno.ECONNREFUSED:
        return "the connection was refused; is this the address of a VegeHub?"
    if number in _UNREACHABLE:
        return f"unreachable; {_ASLEEP}"
    return f"no connection ({errno.errorcode.get(number or 0, 'error')}); is this the address of a VegeHub?"
