"""Keeps the connection to the broker up: connects again whenever it is lost, in growing pauses."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from typing import TYPE_CHECKING

from .connection import VegeHubBrokerError, VegeHubPublishError, first_of, opened, tls_context

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .client import Incoming
    from .connection import Connection
    from .messages import Message
    from .settings import BrokerSettings

_LOGGER = logging.getLogger(__name__)

FIRST_PAUSE = 0.5
"""Seconds, at most, from a loss of the connection to the first attempt to have it back."""
_HEARTBEATS = 3  # within a keepalive


class Broker:
    """Connects, and connects again whenever the connection is lost, in growing pauses.

    ``will`` is the topic on which the broker says that we are gone. ``begin(connection)`` is awaited on each new
    connection, before anybody else gets it from ``connection()``; ``incoming`` with every message, one at a time;
    ``status()`` gives a message that is published several times within a keepalive: if it is not acknowledged in time,
    the connection counts as lost, earlier than the broker gives us up. ``ended`` is called when a connection is lost.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        client_id: str,
        will: str,
        begin: Callable[[Connection], Awaitable[None]],
        incoming: Callable[[Incoming], Awaitable[None]],
        status: Callable[[], Awaitable[Message]],
        ended: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._will = will
        self._begin = begin
        self._incoming = incoming
        self._status = status
        self._ended = ended
        self._current: Connection | None = None
        self._changed = asyncio.Event()
        self._failing = False
        self.connects = 0
        """How often the broker was reached so far."""

    @property
    def connected(self) -> bool:
        """Whether there is a connection that can be used."""
        return self._current is not None and not self._current.lost

    async def connection(self) -> Connection:
        """Wait until there is a connection that can be used, and return it."""
        while (current := self._current) is None or current.lost:
            self._changed.clear()
            await self._changed.wait()
        return current

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        pause = FIRST_PAUSE
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                await self._serve()
            except VegeHubBrokerError as err:
                self._note_failure(err)
            if loop.time() - begun > self._settings.keepalive:
                pause = FIRST_PAUSE
            # Many bridges that lost the same broker must not all come back at one moment.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            pause = min(pause * 2, self._settings.reconnect_max)

    async def _serve(self) -> None:
        """Connect, and serve the connection until it is lost: VegeHubBrokerError."""
        tls = None if self._settings.tls is None else await tls_context(self._settings.tls)
        async with opened(self._settings, self._client_id, self._will, tls) as connection:
            self.connects += 1
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(connection.read(self._incoming))
                    group.create_task(connection.watch())
                    group.create_task(self._use(connection))
            except BaseExceptionGroup as group_error:
                lost, others = group_error.split(VegeHubBrokerError)
                if lost is None or others is not None:
                    raise
                raise first_of(lost) from None
            finally:
                self._current = None
                self._ended()

    async def _use(self, connection: Connection) -> None:
        await self._begin(connection)
        self._current = connection
        self._changed.set()
        if self._failing or self.connects == 1:
            self._failing = False
            _LOGGER.info("connected to the broker %s:%d", self._settings.host, self._settings.port)
        beat = self._settings.keepalive / _HEARTBEATS
        while True:
            with suppress(VegeHubPublishError):
                await connection.publish(await self._status(), timeout=beat * 2)
            await asyncio.sleep(beat)

    def _note_failure(self, err: VegeHubBrokerError) -> None:
        level = logging.DEBUG if self._failing else logging.WARNING
        self._failing = True
        _LOGGER.log(level, "%s; trying again, updates are kept meanwhile", err)


async def check_broker(settings: BrokerSettings, client_id: str) -> None:
    """Connect once, under a name of its own, and leave again; VegeHubBrokerError says why that failed."""
    tls = None if settings.tls is None else await tls_context(settings.tls)
    async with opened(settings, f"{client_id}-check", None, tls):
        pass
