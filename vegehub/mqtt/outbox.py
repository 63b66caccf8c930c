"""Results of commands on their way to the broker, in order, through outages."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from .connection import VegeHubBrokerError, VegeHubPublishError
from .ledger import VegeHubLedgerError

if TYPE_CHECKING:
    from .broker import Broker
    from .ledger import Ledger
    from .messages import Message

_LOGGER = logging.getLogger(__name__)

_MAX_WAITING = 10_000


class Outbox:
    """Publishes results one after the other; those that are in the ledger survive a restart."""

    def __init__(self, broker: Broker, ledger: Ledger) -> None:
        self._broker = broker
        self._ledger = ledger
        self._waiting: deque[tuple[Message, int | None]] = deque(maxlen=_MAX_WAITING)
        self._changed = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def put(self, message: Message, key: int | None = None) -> None:
        """Have a result published; ``key`` is that of the command in the ledger, if this is its last word."""
        self._waiting.append((message, key))
        self._empty.clear()
        self._changed.set()

    async def flush(self, seconds: float) -> None:
        """Wait until all is published, but not longer than ``seconds``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._empty.wait()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._waiting:
                await self._publish(*self._waiting[0])
            self._empty.set()

    async def _publish(self, message: Message, key: int | None) -> None:
        connection = await self._broker.connection()
        try:
            await connection.publish(message)
        except VegeHubBrokerError:
            return
        except VegeHubPublishError as err:
            _LOGGER.warning("a result is lost: %s", err)
        # The queue is bounded: the oldest may have been dropped meanwhile, and this one with it.
        if self._waiting and self._waiting[0][0] is message:
            self._waiting.popleft()
        if key is not None:
            with suppress(VegeHubLedgerError):
                await self._ledger.reported(key)
