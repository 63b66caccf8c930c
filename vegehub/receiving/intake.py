"""One push that comes in: read within its limits, parsed, let in or not, and brought to safety."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vegehub.exceptions import VegeHubJournalError, VegeHubPayloadError, VegeHubValueError
from vegehub.wire import Update, normalize_mac, parse_update

from .large import LARGE_BODY, parse_large
from .serving import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from .journal import Journal

MAX_BODY = 8 * 2**20
"""Bytes of the largest push that is taken."""
BODY_TIMEOUT = 10.0
"""Seconds within which a push has to arrive, its head included."""
MAX_RATE = 10
"""Pushes of one hub that are taken in one second in the long run,"""
MAX_BURST = 120
"""and at once: what a hub has stored while its server was away."""
MAX_HUBS = 10_000
"""Hubs whose rate is remembered: whoever makes up MACs must not fill the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A push that was not taken."""

    status: int
    """The HTTP status of the answer; 0 if there was none."""
    reason: str
    path: str = ""
    """The field of the payload that is wrong, if that is the reason."""
    mac: str = ""
    """"" where the payload was not read, or has none."""
    hub_key: str = ""
    remote: str = ""
    """The address that sent it."""


class RefusedError(Exception):
    """A push is not taken; ``refusal`` says why."""

    def __init__(self, status: int, reason: str, update: Update | None = None, path: str = "") -> None:
        super().__init__(reason)
        mac, hub_key = (update.mac, update.hub_key) if update else ("", "")
        self.refusal = Refusal(status=status, reason=reason, path=path, mac=mac, hub_key=hub_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is taken: pushes of at most ``max_body`` bytes within ``body_timeout`` seconds, and so many of one hub."""

    max_body: int = MAX_BODY
    body_timeout: float = BODY_TIMEOUT
    max_rate: int | None = MAX_RATE
    """A second, in the long run; None: any number."""
    max_burst: int = MAX_BURST
    """At once."""


class _Rate:
    """A token bucket for each key: ``burst`` admissions at once, and ``per_second`` in the long run."""

    def __init__(self, per_second: int, burst: int, monotonic: Callable[[], float]) -> None:
        self._per_second = per_second
        self._burst = burst
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when there were so many

    def admit(self, key: str) -> bool:
        """Take a token for ``key`` and return True, or False if none is left."""
        now = self._monotonic()
        tokens, since = self._buckets.pop(key, (self._burst, now))
        tokens = min(tokens + (now - since) * self._per_second, self._burst)
        is_admitted = tokens > 1 - 1e-6  # ten times a tenth of a second is less than one
        self._buckets[key] = (tokens - is_admitted, now)
        # The one that came longest ago stands first; its bucket is full again, unless there are too many.
        while self._buckets:
            oldest, (_, since) = next(iter(self._buckets.items()))
            if (now - since) * self._per_second < self._burst and len(self._buckets) <= MAX_HUBS:
                break
            del self._buckets[oldest]
        return is_admitted


class Intake:
    """Takes pushes, of the ``allowed`` hubs if any are named, into ``journal`` if there is one."""

    def __init__(
        self,
        limits: Limits,
        journal: Journal | None,
        *,
        wall_clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if limits.max_rate is not None and limits.max_rate < 1:
            raise VegeHubValueError("max_rate: expected at least 1, or None")
        if limits.max_burst < 1:
            raise VegeHubValueError("max_burst: expected at least 1")
        self.allowed: frozenset[str] | None = None
        self._limits = limits
        self._rate = None if limits.max_rate is None else _Rate(limits.max_rate, limits.max_burst, monotonic)
        self._decoder: ThreadPoolExecutor | None = None
        self._journal = journal
        self._wall_clock = wall_clock

    async def take(self, request: web.Request) -> tuple[Update, bool]:
        """Read an update and bring it to safety; return it, and whether the journal had it already.

        RefusedError: it is not taken.
        """
        if request.method != "POST":
            raise RefusedError(405, "only POST is taken here")
        body = await self._read(request)
        try:
            update = await self._parsed(body, request.charset)
        except VegeHubPayloadError as err:
            raise RefusedError(400, str(err), path=err.path) from None
        if self.allowed is not None and update.hub_key not in self.allowed:
            raise RefusedError(403, "this hub is not allowed here", update)
        if self._rate is not None and not self._rate.admit(update.hub_key or request.remote or ""):
            raise RefusedError(429, "too many updates, try again in a second", update)
        return await self._keep(update, body)

    def close(self) -> None:
        """Let the thread for large bodies go; the next one gets another."""
        if self._decoder is not None:
            self._decoder.shutdown(wait=False)
            self._decoder = None

    async def _parsed(self, body: bytes, charset: str | None) -> Update:
        now = datetime.fromtimestamp(self._wall_clock(), UTC)
        if len(body) <= LARGE_BODY:
            return parse_update(body, now, charset)
        if self._decoder is None:
            # One: a large body takes twenty times its size while it is decoded.
            self._decoder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="vegehub-decoder")
        return await asyncio.get_running_loop().run_in_executor(self._decoder, parse_large, body, now, charset)

    async def _keep(self, update: Update, body: bytes) -> tuple[Update, bool]:
        now = datetime.fromtimestamp(self._wall_clock(), UTC)
        update = replace(update, received_at=now)
        is_new = True
        if self._journal is not None:
            try:
                is_new = await self._journal.append(update, body, at=now)
            except VegeHubJournalError:
                # Some hubs may take any answer for delivered: if only we are stopping, they get none.
                status = 0 if self._journal.closed else 503
                raise RefusedError(status, "the update cannot be kept now", update) from None
        return update, not is_new

    async def _read(self, request: web.Request) -> bytes:
        connection = Connection.of(request)
        begun = asyncio.get_running_loop().time() if connection is None else connection.begun
        too_large = RefusedError(413, f"larger than {self._limits.max_body} bytes")
        if (request.content_length or 0) > self._limits.max_body:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout_at(begun + self._limits.body_timeout):
                while chunk := await request.content.readany():
                    body += chunk
                    if len(body) > self._limits.max_body:
                        break
        except TimeoutError:
            raise RefusedError(408, f"not complete within {self._limits.body_timeout:g} seconds") from None
        except Exception as err:  # noqa: BLE001 - what aiohttp raises for a bad body differs by version and encoding
            raise RefusedError(400, f"the body is broken or incomplete ({type(err).__name__})") from None
        if len(body) > self._limits.max_body:
            raise too_large
        if connection is not None:
            connection.body_read()
        return bytes(body)


def as_hub_key(text: str) -> str:
    """Return a MAC, or what ``Update.hub_key`` is for a hub that sends none, as that key; VegeHubValueError otherwise."""
    if text.startswith(("key:", "channel:")):
        return text
    try:
        return normalize_mac(text)
    except ValueError:
        raise VegeHubValueError("expected a MAC address, or the hub_key of a hub that sends none") from None
