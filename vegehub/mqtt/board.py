"""What is retained at the broker: the last word on each topic, said again whenever the broker may have forgotten it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from .connection import VegeHubBrokerError, VegeHubPublishError
from .messages import Message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .broker import Broker
    from .connection import Connection
    from .topics import Topics

_LOGGER = logging.getLogger(__name__)


class Board:
    """Publishes retained messages in its own time; of several on one topic only the newest.

    A topic that the broker does not let us publish to is left alone from then on, and where Home Assistant looks for
    devices all of them: some brokers answer each such message by cutting the connection. It is said once for each hub.
    """

    def __init__(self, broker: Broker, topics: Topics) -> None:
        self._broker = broker
        self._topics = topics
        self._payloads: dict[str, str] = {}
        self._waiting: dict[str, None] = {}
        self._closed: set[str] = set()
        self._told: set[str] = set()
        self._changed = asyncio.Event()

    def put(self, messages: Iterable[Message]) -> None:
        """Have messages published, unless they are what was said last."""
        for message in messages:
            if self._payloads.get(message.topic) != message.payload:
                self.insist(message)

    def note(self, messages: Iterable[Message]) -> None:
        """Take note of what somebody else publishes now; what is not retained is left out."""
        for message in messages:
            if message.retain:
                self._payloads[message.topic] = message.payload
                self._waiting.pop(message.topic, None)

    def insist(self, message: Message) -> None:
        """Have a message published even if it is what was said last: somebody else has said something else."""
        self._payloads[message.topic] = message.payload
        self._waiting[message.topic] = None
        self._changed.set()

    def repeat(self) -> None:
        """Have everything published again, on a new connection: the broker may have lost it."""
        self._waiting = dict.fromkeys(self._payloads)
        self._changed.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._waiting:
                connection = await self._broker.connection()
                waiting, self._waiting = self._waiting, {}
                await asyncio.gather(*(self._publish(connection, topic) for topic in waiting))

    async def _publish(self, connection: Connection, topic: str) -> None:
        tree = self._topics.tree(topic)
        if topic in self._closed or tree in self._closed:
            return
        try:
            await connection.publish(Message(topic, self._payloads[topic]))
        except VegeHubBrokerError:
            self._waiting[topic] = None
        except VegeHubPublishError as err:
            level = logging.DEBUG if tree in self._told else logging.WARNING
            self._told.add(tree)
            more = ""
            if err.not_authorized:
                self._closed.add(topic if self._topics.is_own(topic) else tree)
                more = f"; what it refuses below {tree}/ is left alone until the bridge is started again"
            _LOGGER.log(level, "%s%s", err, more)
