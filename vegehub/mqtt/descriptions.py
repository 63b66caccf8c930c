"""What Home Assistant was told of the hubs of a bridge, and what it has to be told now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .messages import Message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .board import Board
    from .discovery import Discovery
    from .facts import Facts, FactsFile
    from .hub import BridgedHub


class Descriptions:
    """Keeps the descriptions on the ``board`` in line with what is known of the hubs; None: there are to be none."""

    def __init__(
        self, discovery: Discovery | None, board: Board, facts: FactsFile, hubs: Mapping[str, BridgedHub]
    ) -> None:
        self._discovery = discovery
        self._board = board
        self._facts = facts
        self._hubs = hubs

    async def learned(self, hub: BridgedHub, facts: Facts) -> None:
        """Keep what a hub has said of itself, and describe it anew."""
        self._facts.hubs[hub.mac] = facts
        await self.tell()
        await self._facts.save()

    async def tell(self) -> None:
        """Describe all hubs, and take back the descriptions of those, or of parts of hubs, that are gone."""
        told = self._facts.discovery
        described: dict[str, Message] = {}
        kept: set[str] = set()
        if self._discovery is not None:
            for hub in self._hubs.values():
                messages = self._discovery.messages(hub.settings, hub.layout, hub.firmware)
                described |= {message.topic: message for message in messages}
                if hub.layout is None:
                    kept |= {topic for topic in told if f"/vegehub_{hub.mac}/" in topic}
        gone = told - described.keys() - kept
        self._board.put(Message(topic, "") for topic in gone)
        self._board.put(described.values())
        if described.keys() | kept != told:
            self._facts.discovery = {*described, *kept}
            await self._facts.save()
