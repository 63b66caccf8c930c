"""One hub of a manager while it runs: its object, its queue, its presence."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vegehub.sleeping.presence import Presence
from vegehub.sleeping.queue import PendingQueue
from vegehub.vegehub import VegeHub

if TYPE_CHECKING:
    from vegehub.exceptions import VegeHubError
    from vegehub.hub.session import SessionOwner
    from vegehub.wire import Update

    from .registry import HubRecord


class Member:
    """What a manager has of one hub beside its record; it stays the same when the hub moves."""

    def __init__(self, record: HubRecord, owner: SessionOwner) -> None:
        self.id = record.id
        self.hub = VegeHub(record.address, record.mac, record.id, **record.options)
        # The manager lends its owner, so that it closes what it opened; a record's MAC is for the user to change.
        self.hub.connection.borrow(owner)
        self.hub.connection.identity.is_pinned = True
        self.presence = Presence(record.id)
        self.queue = PendingQueue(self.hub, sleeps=lambda: self.presence.sleeps, attempted=self._attempted)
        self.turn = asyncio.Lock()
        self.is_gone = False
        self._timer: asyncio.TimerHandle | None = None

    def heard(self, update: Update | None = None) -> None:
        """Take note of an update, or that the hub answered or announced itself."""
        if update is None:
            self.presence.seen()
        else:
            self.presence.updated(update)
        self.watch()

    def failed(self, error: VegeHubError) -> None:
        """Take note that a call failed."""
        self.presence.unreachable(error)
        self.watch()

    def announced(self) -> None:
        """Take note of an announcement: what is queued can be sent, after a new proof of the MAC."""
        # An announcement shows that the address is in use, not by which hub.
        self.hub.connection.identity.void()
        self.heard()
        self.queue.notify_awake()

    def watch(self) -> None:
        """Look again when the presence may change by itself."""
        if self._timer is not None:
            self._timer.cancel()
        delay = None if self.is_gone else self.presence.next_check()
        self._timer = None if delay is None else asyncio.get_running_loop().call_later(delay, self._check)

    async def end(self) -> None:
        """Stop watching and end what is queued."""
        self.is_gone = True
        self.watch()
        await self.queue.close()

    def _attempted(self, error: VegeHubError | None) -> None:
        if error is None:
            self.heard()
        else:
            self.failed(error)

    def _check(self) -> None:
        self.presence.check()
        self.watch()
