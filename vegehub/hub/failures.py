"""From what went wrong below to the error a caller gets: what happened, to which hub, and what is known of the command."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.http import HttpProcessingError

from vegehub.exceptions import (
    Outcome,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubResponseError,
    VegeHubSessionError,
    VegeHubTimeoutError,
    VegeHubValueError,
)
from vegehub.wire.payload import decode_json, kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vegehub.wire.calls import Call

HTTP_OK = 200
_HTTP_UNAVAILABLE = 503
_CLIENT_ERRORS = range(400, 500)
_LONGEST_QUOTE = 80
_ASLEEP = "the hub may be asleep (press its button, or set its power source to the adapter), or the address is wrong"
_MAY_HAVE = "the hub may have executed it"


def failure(err: BaseException, host: str, call: Call, timeout: float) -> VegeHubError:
    """Return the error of this library for an exception out of aiohttp or asyncio."""
    where = f"{host}: {call}: "
    if isinstance(err, aiohttp.ConnectionTimeoutError) or _is_connect_timeout(err):
        return VegeHubTimeoutError(
            f"{where}not sent, no connection within the deadline of {timeout:g} s; {_ASLEEP}",
            host=host,
            outcome=Outcome.NOT_SENT,
        )
    if isinstance(err, TimeoutError):
        return VegeHubTimeoutError(
            f"{where}no answer within {timeout:g} s; {_MAY_HAVE}, or fell asleep", host=host, outcome=Outcome.UNKNOWN
        )
    if isinstance(err, aiohttp.ClientConnectorError):
        return VegeHubConnectionError(f"{where}not sent, {_why_unconnected(err)}", host=host, outcome=Outcome.NOT_SENT)
    if isinstance(err, aiohttp.InvalidURL):
        return VegeHubValueError(f"{where}not sent, the address makes no valid URL", host=host)
    if isinstance(err, (aiohttp.ClientResponseError, HttpProcessingError)):
        return VegeHubResponseError(f"{where}the reply is not HTTP; is this a VegeHub?", host=host)
    if isinstance(err, aiohttp.ClientPayloadError):
        reason = "the connection ended in the middle of the reply"
    else:
        reason = "the connection was closed before the reply"
    return VegeHubConnectionError(f"{where}{reason}; {_MAY_HAVE}", host=host, outcome=Outcome.UNKNOWN)


def closed_session(host: str, call: Call) -> VegeHubSessionError:
    """Return the error for a session that was closed under a call."""
    return VegeHubSessionError(
        f"{host}: {call}: the session was closed before the call had ended; {_MAY_HAVE}. Close it after the last call.",
        host=host,
        outcome=Outcome.UNKNOWN,
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
    if number in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN):
        return f"unreachable; {_ASLEEP}"
    return f"no connection ({errno.errorcode.get(number or 0, 'error')}); is this the address of a VegeHub?"


def status_error(host: str, call: Call, status: int, body: bytes) -> VegeHubResponseError:
    """Return the error for an answer other than 200, with the hub's own word where it gave one."""
    rejected = status in _CLIENT_ERRORS or status == _HTTP_UNAVAILABLE
    try:
        reply = decode_json(body)
    except ValueError:
        reply = None
    said = refused(reply) if isinstance(reply, dict) else ""
    return VegeHubResponseError(
        f"{host}: {call}: expected status 200, got {status}{said and ': ' + said}"
        f"; {'the hub refused it' if rejected else _MAY_HAVE}",
        host=host,
        outcome=Outcome.REJECTED if rejected else Outcome.UNKNOWN,
        status=status,
    )


def refused(reply: Mapping[str, Any]) -> str:
    """Return what the ``error`` of a reply says, "" for success: "success", 0, null, or empty."""
    error = reply.get("error")
    if not error or error == "success":
        return ""
    if isinstance(error, str):
        return "".join(char if char.isprintable() else "?" for char in error[:_LONGEST_QUOTE])
    if isinstance(error, (int, float)):
        return f"error {error}"
    return f"error: {kind(error)}"
