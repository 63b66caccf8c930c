"""The request rule: one request in a hub's turn, within its deadline, read to its end.

``Transport.exchange`` makes one request and sends it again where a kept-alive connection turned out to be dead, ``_send``
talks to aiohttp and reads the whole body, ``_judge`` judges the reply. Whatever fails leaves as an error of this
library; see ``failures.py``.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.http import HttpProcessingError

from vegehub.exceptions import (
    Outcome,
    VegeHubError,
    VegeHubPayloadError,
    VegeHubResponseError,
    VegeHubTimeoutError,
)
from vegehub.wire import decode_json, kind, looks_like_json, refusal

from .command import Stage
from .failures import HTTP_OK, Failure, closed_session, failure_of, status_failure, unanswered

if TYPE_CHECKING:
    from vegehub.wire import Call

    from .command import Command
    from .identity import Identity
    from .session import SessionOwner
    from .turn import Turn

_LOGGER = logging.getLogger(__name__)

MAX_REPLY = 1024 * 1024
"""Bytes of the longest reply that is read."""
_CONNECT_SHARE = 0.8
"""Part of the deadline that connecting may take, so that it ends first and is told from an unanswered request."""
_NO_LIMITS = aiohttp.ClientTimeout(total=None)


class Request:
    """One request of a call, and what it is a part of: ``command`` is None for a call that only reads.

    ``writes``: it is what the command is about, and none of its proofs or read-backs.
    """

    # Not a frozen dataclass: one is made for each request, and that would take a hundredth of it.
    __slots__ = ("call", "command", "identity", "payload", "writes")

    def __init__(
        self,
        identity: Identity,
        call: Call,
        payload: Any = None,
        command: Command | None = None,
        *,
        writes: bool = False,
    ) -> None:
        self.identity = identity
        self.call = call
        self.payload = payload
        self.command = command
        self.writes = writes

    def failed(self, failure: Failure) -> VegeHubError:
        """Return the error of the call that this request was a part of."""
        if not self.writes:  # whatever became of a proof or a read-back, the command was not sent by it
            failure = replace(failure, outcome=Outcome.NOT_SENT)
        return failure.error(f"{self.identity.host}: {self.call}", self.identity.host, self.command)


class Transport:
    """Requests over the session of ``owner``, each within ``timeout`` seconds from when its turn has come."""

    __slots__ = ("_limits", "calls", "owner", "resends", "timeout")

    def __init__(self, owner: SessionOwner, timeout: float) -> None:
        self.owner = owner
        self.timeout = timeout
        self.calls = 0
        self.resends = 0
        self._limits: tuple[object, aiohttp.ClientTimeout] | None = None

    async def exchange(self, turn: Turn, request: Request) -> Any:
        """Make one request in the turn of the caller, and return the decoded reply.

        For reads that is an object, or None for an empty body; for others None where it was not JSON. A write moves the
        stage of its command. Raises only errors of this library.
        """
        owner = self.owner
        command = request.command if request.writes else None
        session = self._session_ready(request) or await owner.get(request.identity.host)
        limits, seconds = self._limits_of(session), self.timeout
        if command is not None and command.remaining is not None:
            limits, seconds = _while_wanted(limits, seconds, request, command.remaining())
        # aiohttp sends a GET that reads again by itself when its connection turns out to be dead.
        may_resend = (request.writes or request.call.method != "GET") and turn.may_reuse(session)
        may_have_left = False
        before = Stage.NOTHING_LEFT if command is None else command.leaves()
        turn.session = None
        self.calls += 1
        owner.begin_call()
        try:
            # Not aiohttp's own total: a cancellation that comes in the same step as the end of that is lost.
            async with asyncio.timeout(seconds):
                try:
                    reply, is_kept = await _send(session, request, limits)
                except _DeadConnectionError:
                    if not may_resend:
                        raise
                    may_have_left = True
                    self.resends += 1
                    _LOGGER.debug("%s: %s: sent again, the connection was closed", request.identity.host, request.call)
                    reply, is_kept = await _send(session, request, limits)
        except (_FailedError, TimeoutError) as err:
            failure = err.failure if isinstance(err, _FailedError) else unanswered(seconds)
            if command is not None:
                if failure.outcome is not Outcome.UNKNOWN and not may_have_left:
                    command.stays(before)
                command.add(failure.outcome)
            raise request.failed(failure) from (err.__cause__ if isinstance(err, _FailedError) else err)
        finally:
            owner.end_call()
        if is_kept:
            turn.ended_well(session)
        if command is not None:
            command.take()
        return reply

    def _session_ready(self, request: Request) -> aiohttp.ClientSession | None:
        """Return the session, None if one has to be opened; the error for one that cannot be used is the command's."""
        try:
            return self.owner.ready(request.identity.host)
        except VegeHubError as err:
            if request.command is None or request.command.outcome is err.outcome:
                raise
            raise request.command.retell(err) from err

    def _limits_of(self, session: aiohttp.ClientSession) -> aiohttp.ClientTimeout:
        own = getattr(session, "timeout", None)
        if self._limits is None or self._limits[0] is not own:
            usual = own if isinstance(own, aiohttp.ClientTimeout) else _NO_LIMITS
            self._limits = (own, _limits_within(usual, self.timeout))
        return self._limits[1]


async def _send(session: aiohttp.ClientSession, request: Request, limits: aiohttp.ClientTimeout) -> tuple[Any, bool]:
    """Return the decoded reply, and whether its connection was left open for the next request."""
    call = request.call
    is_answered = False
    options: dict[str, Any] = {}
    if request.writes and call.method == "GET":
        # aiohttp would send it again by itself, and nobody could tell what became of it.
        options["middlewares"] = (*getattr(session, "_middlewares", ()), _only_once)
    try:
        async with session.request(
            call.method,
            request.identity.url(call.path),
            json=request.payload,
            timeout=limits,
            allow_redirects=False,
            raise_for_status=False,
            **options,
        ) as response:
            is_answered = True
            # Read to the end, which gives the connection back; one that is not read to its end is dropped.
            chunks: list[bytes] = []
            size = 0
            while chunk := await response.content.readany():
                size += len(chunk)
                if size > MAX_REPLY:
                    raise _FailedError(_too_long(response.status))
                chunks.append(chunk)
    except _SentOnceError as once:
        err = once.error
        failed = _DeadConnectionError if _died_unanswered(err) else _FailedError
        raise failed(failure_of(err, limits)) from err
    except (aiohttp.ClientError, HttpProcessingError, OSError) as err:
        failed = _DeadConnectionError if not is_answered and _died_unanswered(err) else _FailedError
        raise failed(failure_of(err, limits)) from err
    except (RuntimeError, AttributeError) as err:
        # What aiohttp raises, by its version, when the session is closed under a call; else a defect shows itself.
        if getattr(session, "closed", False) is not True:
            raise
        raise _FailedError(closed_session()) from err
    if _LOGGER.isEnabledFor(logging.DEBUG):
        _LOGGER.debug("%s: %s -> %d, %d bytes", request.identity.host, call, response.status, size)
    return _judge(call, response, b"".join(chunks)), _is_kept(response)


async def _only_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Pass a request on; what aiohttp would take for a reason to send it again leaves in disguise."""
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as err:
        raise _SentOnceError(err) from err


class _SentOnceError(Exception):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


def _too_long(status: int) -> Failure:
    return Failure(
        VegeHubResponseError, f"the reply is longer than {MAX_REPLY} bytes; is this a VegeHub?", status=status
    )


def _judge(call: Call, response: aiohttp.ClientResponse, body: bytes) -> Any:
    """Return the decoded reply, or say what is wrong with it."""
    status = response.status
    if status != HTTP_OK:
        raise _FailedError(status_failure(status, body, _charset(response)))
    if not body or body.isspace():
        return None
    try:
        reply = decode_json(body, _charset(response), lossless=call.returns)
    except ValueError as err:
        what = f"expected a JSON object, but the reply is {err}; is this a VegeHub?"
        if not call.reads:
            if not looks_like_json(body):
                return None  # plain words are consent
            what = f"the reply cannot be read: {err}"
        raise _FailedError(Failure(VegeHubResponseError, what, status=status)) from err
    if said := refusal(reply):
        what = f"the hub refused it: {said}"
        raise _FailedError(Failure(VegeHubResponseError, what, Outcome.REJECTED, status=status))
    if isinstance(reply, dict) and "error" in reply:
        return reply
    if call.reads and not isinstance(reply, dict):
        raise _FailedError(Failure(VegeHubPayloadError, f"expected an object, got {kind(reply)}", status=status))
    if not call.reads and _is_cut_off(body):
        what = "the reply ends in the middle, before it says whether that was an error"
        raise _FailedError(Failure(VegeHubResponseError, what, status=status))
    return reply


def _is_cut_off(body: bytes) -> bool:
    """Say whether a document lacks its end, where hubs put the word that says how it went."""
    return looks_like_json(body) and body.rstrip(b" \t\r\n\0")[-1:] not in (b"}", b"]")


def _charset(response: aiohttp.ClientResponse) -> str | None:
    content_type = response.headers.get("Content-Type", "")
    if "charset" not in content_type:
        return None
    return content_type.lower().partition("charset=")[2].partition(";")[0].strip(" \"'") or None


@lru_cache(maxsize=16)  # the hubs of a program mostly share one, which keeps making it out of each first call
def _limits_within(own: aiohttp.ClientTimeout, timeout: float) -> aiohttp.ClientTimeout:
    """Return a session's own timeout with connecting bounded so that it ends before the deadline."""
    bound = _CONNECT_SHARE * min(timeout, own.total or timeout)
    return aiohttp.ClientTimeout(
        # A total that cannot come before our deadline is left out, and so is its timer.
        total=own.total if own.total and own.total < timeout else None,
        connect=min(own.connect or bound, bound),
        # The bound above is over the connecting of the socket too: a timer less.
        sock_connect=own.sock_connect if own.sock_connect and own.sock_connect < bound else None,
        sock_read=own.sock_read,
        ceil_threshold=own.ceil_threshold,
    )


def _while_wanted(
    limits: aiohttp.ClientTimeout, seconds: float, request: Request, left: float | None
) -> tuple[aiohttp.ClientTimeout, float]:
    """Return the limits of a write that is wanted for ``left`` more seconds; VegeHubTimeoutError once that is over."""
    if left is None or left >= seconds:
        return limits, seconds
    if left <= 0:
        raise request.failed(Failure(VegeHubTimeoutError, "it expired while it waited for its turn", Outcome.NOT_SENT))
    return _limits_within(limits, left), left


class _FailedError(Exception):
    """A request failed; its cause is what aiohttp raised."""

    def __init__(self, failure: Failure) -> None:
        super().__init__()
        self.failure = failure


class _DeadConnectionError(_FailedError):
    """The connection died before a byte of the reply came."""


def _died_unanswered(err: Exception) -> bool:
    if isinstance(err, aiohttp.ServerDisconnectedError):
        # aiohttp gives the part of the headers that had come in place of its text.
        return isinstance(err.message, str)
    return isinstance(err, (aiohttp.ClientOSError, ConnectionError)) and not isinstance(
        err, (aiohttp.ClientConnectorError, TimeoutError)
    )


def _is_kept(response: aiohttp.ClientResponse) -> bool:
    version = response.version
    if version is not None and version < aiohttp.HttpVersion11:
        return False
    return response.headers.get("Connection", "").lower() != "close"
