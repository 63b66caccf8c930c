"""Publishes updates as the journal hands them over: one is done when the broker has acknowledged all of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .connection import VegeHubBrokerError, VegeHubPublishError
from .messages import update_messages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vegehub.sensors import SensorCurve
    from vegehub.wire import Update

    from .board import Board
    from .broker import Broker
    from .hub import BridgedHub
    from .messages import LastValues
    from .topics import Topics

_LOGGER = logging.getLogger(__name__)

_MAX_LOSSES = 3
_MAX_STRANGERS = 1000  # whoever knows the token can make up any number of them


class Publisher:
    """Publishes updates with their last values, of which the ``board`` takes note."""

    def __init__(
        self, broker: Broker, board: Board, *, topics: Topics, hubs: Mapping[str, BridgedHub], last: LastValues
    ) -> None:
        self._broker = broker
        self._board = board
        self._topics = topics
        self._hubs = hubs
        self._last = last
        self._strangers: set[str] = set()
        self.published = 0
        """Updates that the broker has acknowledged."""

    async def publish(self, update: Update) -> None:
        """Publish an update, however long the broker is away; VegeHubPublishError if it does not take this one."""
        hub = self._hubs.get(update.hub_key)
        if hub is None:
            self._note_stranger(update.hub_key)
        layout = None if hub is None else hub.layout
        curves: Mapping[int, SensorCurve] = {} if hub is None else hub.curves
        messages = update_messages(update, self._topics, layout, curves, self._last)
        losses = 0
        while True:
            connection = await self._broker.connection()
            self._board.note(messages)
            try:
                await connection.publish_all(messages)
            except VegeHubBrokerError as err:
                # A broker that cuts the connection because of this very update must not be offered it for ever.
                losses += 1
                if losses >= _MAX_LOSSES:
                    raise VegeHubPublishError(f"{losses} times in a row: {err}") from err
            else:
                self.published += 1
                return

    def _note_stranger(self, hub_key: str) -> None:
        if hub_key not in self._strangers and len(self._strangers) < _MAX_STRANGERS:
            self._strangers.add(hub_key)
            _LOGGER.warning("hub %s is not in the settings: only its whole updates are published", hub_key)
