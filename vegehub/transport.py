"""The request rule: the one path that every call to a hub takes.

``Transport.call`` repeats (``retries``), ``_attempt`` waits for the turn and sets the deadline, ``_exchange`` sends and
sends again where a kept-alive connection turned out to be dead, ``_send`` talks to aiohttp and reads the whole body,
``_answer`` judges the reply. Whatever fails leaves as an error of this library; see ``failures.py``.
"""

from __future__ import annotations

import asyncio
import logging
import random
import weakref
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.http import HttpProcessingError
from yarl import URL

from .deadline import Deadline
from .exceptions import (
    Outcome,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubPayloadError,
    VegeHubResponseError,
    VegeHubTimeoutError,
)
from .failures import HTTP_OK, closed_session, failure, refused, status_error
from .payload import decode_json, kind

if TYPE_CHECKING:
    from .address import HubAddress
    from .calls import Call
    from .session import SessionOwner

_LOGGER = logging.getLogger(__name__)

MAX_REPLY = 1024 * 1024
"""Bytes of the longest reply that is read."""
REUSE_WINDOW = 15.0
"""Seconds for which aiohttp keeps an idle connection: a call that follows within them was probably sent on it."""
_CONNECT_SHARE = 0.8
"""Part of the deadline that connecting may take, so that it ends first and is told from an unanswered request."""
_NO_LIMITS = aiohttp.ClientTimeout(total=None)
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0


class _Turn:
    """One hub's place in the queue, shared by all objects of an event loop, and what its last call left behind."""

    __slots__ = ("__weakref__", "_calls", "_lock", "deadline", "ended_at", "loop", "session")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._lock = asyncio.Lock()
        self._calls = 0
        self.deadline = Deadline(loop)
        self.session: weakref.ref[aiohttp.ClientSession] | None = None
        self.ended_at = 0.0

    async def take(self, seconds: float) -> None:
        """Wait for the turn, TimeoutError if it does not come within ``seconds``; ``give_back`` ends it."""
        self._calls += 1
        try:
            if self._calls == 1:
                await self._lock.acquire()
            else:
                async with asyncio.timeout(seconds):
                    await self._lock.acquire()
        except BaseException:
            self._calls -= 1
            raise

    def give_back(self) -> None:
        """Let the next call have the turn."""
        self._calls -= 1
        self._lock.release()

    def may_reuse(self, session: aiohttp.ClientSession) -> bool:
        """Say whether a call now is probably sent on the connection of the call before."""
        if self.session is None or self.session() is not session:
            return False
        return self.loop.time() - self.ended_at <= REUSE_WINDOW


# By the id of the loop: a turn holds its loop, so that while it is here no other loop can have that id.
_turns: weakref.WeakValueDictionary[tuple[int, str, int], _Turn] = weakref.WeakValueDictionary()


def _turn_of(loop: asyncio.AbstractEventLoop, address: HubAddress) -> _Turn:
    key = (id(loop), address.host.lower(), address.port)
    turn = _turns.get(key)
    if turn is None:
        turn = _turns[key] = _Turn(loop)
    return turn


class Transport:
    """Calls to the hub at one address, one at a time, each within ``timeout`` seconds from its turn."""

    __slots__ = ("_base", "_limits", "_turn", "_urls", "address", "calls", "host", "owner", "resends", "timeout")

    def __init__(self, owner: SessionOwner, address: HubAddress, timeout: float) -> None:
        self.owner = owner
        self.timeout = timeout
        self.calls = 0
        self.resends = 0
        self._turn: _Turn | None = None
        self._limits: tuple[object, aiohttp.ClientTimeout] | None = None
        self.move_to(address)

    def move_to(self, address: HubAddress) -> None:
        """Send the calls from now on to ``address``."""
        self.address = address
        self.host = str(address)
        self._base = URL(address.url)
        self._urls: dict[str, URL] = {}
        self._turn = None

    async def call(self, call: Call, payload: Any = None, retries: int = 0) -> Any:
        """Make ``call`` and return the decoded reply: an object for reads; for sets None where it was not JSON.

        Raises only errors of this library, each with its outcome. ``retries`` further attempts are made after any
        HTTP status but 200, a connection error or a timeout, after growing pauses; nothing lasts longer than
        attempts x 2 x timeout + pauses.
        """
        attempt = 0
        while True:
            try:
                return await self._attempt(call, payload)
            except VegeHubError as err:
                if attempt >= retries or not _worth_repeating(err):
                    raise
            await asyncio.sleep(_pause(attempt))
            attempt += 1

    async def _attempt(self, call: Call, payload: Any) -> Any:
        loop = asyncio.get_running_loop()
        turn = self._turn
        if turn is None or turn.loop is not loop:
            turn = self._turn = _turn_of(loop, self.address)
        try:
            await turn.take(self.timeout)
        except TimeoutError as err:
            raise VegeHubTimeoutError(
                f"{self.host}: {call}: not sent, other calls to this hub kept it busy for {self.timeout:g} s",
                host=self.host,
                outcome=Outcome.NOT_SENT,
            ) from err
        try:
            self.calls += 1
            with turn.deadline.within(self.timeout):
                return await self._exchange(turn, call, payload)
        except VegeHubError:
            raise
        except TimeoutError as err:
            raise failure(err, self.host, call, self.timeout) from err
        finally:
            # Home Assistant's tests fail at a timer that is left: none of ours outlives the call.
            turn.deadline.stop()
            turn.give_back()

    async def _exchange(self, turn: _Turn, call: Call, payload: Any) -> Any:
        session = await self.owner.get(self.host)
        self.owner.begin_call()
        try:
            # aiohttp sends a GET again by itself when a kept-alive connection turns out to be dead, a POST never.
            resend = call.method != "GET" and turn.may_reuse(session)
            turn.session = None
            while True:
                try:
                    status, body, kept = await self._send(session, call, payload)
                except _DeadConnectionError as err:
                    if not resend:
                        raise failure(err.cause, self.host, call, self.timeout) from err.cause
                    resend = False
                    self.resends += 1
                    _LOGGER.debug("%s: %s: sent again, the connection was closed", self.host, call)
                else:
                    break
            if kept:
                with suppress(TypeError):  # of a stand-in without weak references nothing need be known
                    turn.session = weakref.ref(session)
                turn.ended_at = turn.loop.time()
        finally:
            self.owner.end_call()
        if _LOGGER.isEnabledFor(logging.DEBUG):
            _LOGGER.debug("%s: %s -> %d, %d bytes", self.host, call, status, len(body))
        return self._answer(call, status, body)

    async def _send(self, session: aiohttp.ClientSession, call: Call, payload: Any) -> tuple[int, bytes, bool]:
        """Return status and body, and whether the connection was left open for the next call."""
        answered = False
        try:
            async with session.request(
                call.method,
                self._urls.get(call.path) or self._url(call.path),
                json=payload,
                timeout=self._limits_of(session),
                allow_redirects=False,
            ) as response:
                answered = True
                body = await self._read(call, response)
                return response.status, body, _is_kept(response)
        except VegeHubError:
            raise
        except (aiohttp.ClientError, HttpProcessingError, OSError) as err:
            if not answered and _died_unanswered(err):
                raise _DeadConnectionError(err) from err
            raise failure(err, self.host, call, self.timeout) from err
        except (RuntimeError, AttributeError) as err:
            # What aiohttp raises, by its version, when the session is closed under a call; else a defect shows itself.
            if getattr(session, "closed", False) is not True:
                raise
            raise closed_session(self.host, call) from err

    async def _read(self, call: Call, response: aiohttp.ClientResponse) -> bytes:
        """Read the body to its end, which gives the connection back; one that is not read to its end is dropped."""
        chunks: list[bytes] = []
        size = 0
        while chunk := await response.content.readany():
            size += len(chunk)
            if size > MAX_REPLY:
                raise VegeHubResponseError(
                    f"{self.host}: {call}: the reply is longer than {MAX_REPLY} bytes; is this a VegeHub?",
                    host=self.host,
                    status=response.status,
                )
            chunks.append(chunk)
        return b"".join(chunks)

    def _answer(self, call: Call, status: int, body: bytes) -> Any:
        if status != HTTP_OK:
            raise status_error(self.host, call, status, body)
        try:
            reply = decode_json(body)
        except ValueError as err:
            if call.reads:
                raise VegeHubResponseError(
                    f"{self.host}: {call}: expected a JSON object, but the reply is {err}; is this a VegeHub?",
                    host=self.host,
                    status=status,
                ) from err
            return None
        if isinstance(reply, dict):
            if error := refused(reply):
                raise VegeHubResponseError(
                    f"{self.host}: {call}: the hub refused it: {error}",
                    host=self.host,
                    outcome=Outcome.REJECTED,
                    status=status,
                )
        elif call.reads:
            raise VegeHubPayloadError(
                f"{self.host}: {call}: expected an object, got {kind(reply)}", host=self.host, status=status
            )
        return reply

    def _url(self, path: str) -> URL:
        url = self._urls[path] = self._base.with_path(path)
        return url

    def _limits_of(self, session: aiohttp.ClientSession) -> aiohttp.ClientTimeout:
        own = getattr(session, "timeout", None)
        if self._limits is None or self._limits[0] is not own:
            usual = own if isinstance(own, aiohttp.ClientTimeout) else _NO_LIMITS
            self._limits = (own, _limits_within(usual, self.timeout))
        return self._limits[1]


@lru_cache(maxsize=16)  # the hubs of a program mostly share one, which keeps making it out of each first call
def _limits_within(own: aiohttp.ClientTimeout, timeout: float) -> aiohttp.ClientTimeout:
    """Return a session's own timeout with connecting bounded so that it ends before the deadline."""
    bound = _CONNECT_SHARE * min(timeout, own.total or timeout)
    return aiohttp.ClientTimeout(
        # A total that cannot come before our deadline is left out: a second timer costs 3 % of a call.
        total=own.total if own.total and own.total < timeout else None,
        connect=min(own.connect or bound, bound),
        # The bound above is over the connecting of the socket too; as above, a timer less.
        sock_connect=own.sock_connect if own.sock_connect and own.sock_connect < bound else None,
        sock_read=own.sock_read,
        ceil_threshold=own.ceil_threshold,
    )


class _DeadConnectionError(Exception):
    """The connection died before a byte of the reply came."""

    def __init__(self, cause: Exception) -> None:
        super().__init__()
        self.cause = cause


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


def _worth_repeating(err: VegeHubError) -> bool:
    if isinstance(err, VegeHubResponseError):
        return err.status is not None and err.status != HTTP_OK
    return isinstance(err, (VegeHubConnectionError, VegeHubTimeoutError))


def _pause(attempt: int) -> float:
    """Return the seconds before the next attempt: 0.25, doubling, at most 5, with a quarter of jitter either way."""
    base = _FIRST_PAUSE * 2.0 ** min(attempt, 10)
    return min(_LONGEST_PAUSE, base * random.uniform(0.75, 1.25))  # noqa: S311 - spreads load, hides nothing
