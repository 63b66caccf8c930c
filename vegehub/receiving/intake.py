"""One push that comes in: read within its limits, parsed, let in or not, and brought to safety."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vegehub.exceptions import VegeHubJournalError, VegeHubPayloadError, VegeHubValueError
from vegehub.wire import Update, normalize_mac, parse_update

from .limits import RateLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from .journal import Journal

MAX_BODY = 8 * 2**20
"""Bytes of the largest push that is taken."""
BODY_TIMEOUT = 10.0
"""Seconds within which a push has to arrive."""
MAX_RATE = 10
"""Pushes of one hub that are taken in one second."""


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
    """What is taken: a push of at most ``max_body`` bytes within ``body_timeout`` seconds, ``max_rate`` a second."""

    max_body: int = MAX_BODY
    body_timeout: float = BODY_TIMEOUT
    max_rate: int | None = MAX_RATE
    """Of one hub; None: any number."""


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
        self.allowed: frozenset[str] | None = None
        self._limits = limits
        self._rate = RateLimit(limits.max_rate, monotonic)
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
            update = parse_update(body)
        except VegeHubPayloadError as err:
            raise RefusedError(400, str(err), path=err.path) from None
        if self.allowed is not None and update.hub_key not in self.allowed:
            raise RefusedError(403, "this hub is not allowed here", update)
        if not self._rate.admit(update.hub_key or request.remote or ""):
            raise RefusedError(429, "too many updates, try again in a second", update)
        return await self._keep(update, body)

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
        too_large = RefusedError(413, f"larger than {self._limits.max_body} bytes")
        if (request.content_length or 0) > self._limits.max_body:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_timeout):
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
        return bytes(body)


def as_hub_key(text: str) -> str:
    """Return a MAC, or what ``Update.hub_key`` is for a hub that sends none, as that key; VegeHubValueError otherwise."""
    if text.startswith(("key:", "channel:")):
        return text
    try:
        return normalize_mac(text)
    except ValueError:
        raise VegeHubValueError("expected a MAC address, or the hub_key of a hub that sends none") from None
