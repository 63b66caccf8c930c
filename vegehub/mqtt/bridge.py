"""``MqttBridge``: hubs on one side, an MQTT broker on the other, and nothing lost in between."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vegehub import __version__
from vegehub.exceptions import VegeHubError
from vegehub.hub.session import SessionOwner
from vegehub.receiving.journal import Journal
from vegehub.receiving.receiver import UpdateReceiver

from .board import Board
from .broker import Broker
from .commander import Commander
from .connection import VegeHubPublishError, load_client
from .descriptions import Descriptions
from .discovery import Discovery
from .executor import Executor
from .facts import FactsFile
from .hub import BridgedHub
from .ledger import Ledger
from .messages import LastValues, Message, iso, presence_messages
from .outbox import Outbox
from .publisher import Publisher
from .topics import Topics
from .turn import ONLINE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from vegehub.wire import Update

    from .connection import Connection
    from .settings import BridgeSettings, HubSettings

_LOGGER = logging.getLogger(__name__)

JOURNAL_FILE, LEDGER_FILE, FACTS_FILE = "journal.db", "commands.db", "hubs.json"
_GRACE = 5.0  # seconds that the last results get to reach the broker


class MqttBridge:
    """``async with MqttBridge(settings) as bridge: await bridge.finished()``; docs/mqtt.md describes its topics.

    An update is acknowledged to its hub when the journal has it on disk, and leaves the journal when the broker has
    acknowledged it: it may be published twice, and never not at all. Whoever looks at (hub, slot, time) has each sample
    once. The broker may be away for as long as the journal has room. Commands are carried out at most once; what waits
    for a sleeping hub when the bridge ends is answered with ``not_sent``. Needs aiomqtt (the extra ``mqtt``).

    On entering: VegeHubError, such as of a journal that is in use, or a port that cannot be had. The broker need not be
    there yet.
    """

    def __init__(self, settings: BridgeSettings) -> None:
        load_client()  # now, and not in the running loop
        self._settings = settings
        self._group = settings.group or (settings.name,)
        self._topics = Topics(settings.prefix)
        self._last = LastValues()
        self._owner = SessionOwner(connection_limit=0)
        self._journal = Journal(settings.state / JOURNAL_FILE)
        self._ledger = Ledger(settings.state / LEDGER_FILE)
        self._facts = FactsFile(settings.state / FACTS_FILE)
        self.receiver = UpdateReceiver(
            journal=self._journal,
            token=settings.receiver.token,
            allowed=[hub.mac for hub in settings.hubs] if settings.receiver.only_listed else None,
        )
        """Takes the updates in; ``receiver.port`` and ``receiver.path`` are what hubs need."""
        self._hubs: dict[str, BridgedHub] = {}
        self._executor = Executor(
            settings.name, topics=self._topics, hubs=self._hubs, ledger=self._ledger, answer=self._answer
        )
        self._commander = Commander(
            settings.name,
            self._group,
            topics=self._topics,
            executor=self._executor,
            turned=self._turned,
            missed=self._missed,
        )
        self._broker = Broker(
            settings.broker,
            client_id=settings.client_id,
            will=self._topics.bridge_availability(settings.name),
            begin=self._begin,
            incoming=self._commander.incoming,
            status=self._status,
            ended=self._commander.disconnected,
        )
        self._board = Board(self._broker, self._topics)
        self._outbox = Outbox(self._broker, self._ledger)
        self._publisher = Publisher(self._broker, self._board, topics=self._topics, hubs=self._hubs, last=self._last)
        self._descriptions = Descriptions(self._discovery(), self._board, self._facts, self._hubs)
        self._online = Message(self._topics.bridge_availability(settings.name), ONLINE)
        self._leaving = False
        self._ungranted: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = AsyncExitStack()
        self._started = datetime.now(UTC)

    def __repr__(self) -> str:
        return f"<MqttBridge {self._settings.name}: {'connected' if self.connected else 'not connected'}>"

    @property
    def connected(self) -> bool:
        """Whether the broker is connected."""
        return self._broker.connected

    @property
    def published(self) -> int:
        """Updates that the broker has acknowledged."""
        return self._publisher.published

    async def wait_connected(self) -> None:
        """Wait until the broker is connected."""
        await self._broker.connection()

    async def finished(self) -> None:
        """Wait for ever; raise what a part of the bridge failed with, which should not happen."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    # --- Beginning and end --------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        settings, stack = self._settings, self._stack
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, _make_folder, settings)
        stack.push_async_callback(self._owner.close)
        await stack.enter_async_context(self._journal)
        unanswered = await self._ledger.open(time.time())
        stack.push_async_callback(self._ledger.close)
        await self._facts.load()
        for hub in settings.hubs:
            self._hubs[hub.mac] = self._bridged(hub)
        await self._executor.recover(datetime.now(UTC), unanswered)
        await self._descriptions.tell()
        await self._journal.retry_parked()
        stack.push_async_callback(self._end_tasks)
        works = (
            self._broker.run(),
            self._board.run(),
            self._outbox.run(),
            self._journal.deliver(self._publisher.publish),
        )
        self._tasks = [loop.create_task(work, name=f"vegehub: bridge {settings.name}") for work in works]
        stack.push_async_callback(self._say_goodbye)
        stack.callback(self.receiver.on_replied(self._replied))
        stack.callback(self.receiver.subscribe(self._heard))
        await stack.enter_async_context(self.receiver.serve(settings.receiver.host, settings.receiver.port))

    def _discovery(self) -> Discovery | None:
        settings = self._settings
        if settings.discovery is None:
            return None
        bridge = settings.name if len(self._group) == 1 else None
        return Discovery(self._topics, bridge, prefix=settings.discovery, commands=settings.commands)

    def _bridged(self, hub: HubSettings) -> BridgedHub:
        made = BridgedHub(
            hub,
            self._owner,
            self._facts.hubs.get(hub.mac),
            learned=self._descriptions.learned,
            changed=self._tell_presence,
            switched=self._switched,
        )
        made.noting = self._executor.noting(made)
        return made

    async def _say_goodbye(self) -> None:
        """Answer what is under way; that we are gone is said by the broker, as if we had not come to it."""
        self._leaving = True
        await self._executor.close()
        if self.connected:
            await self._outbox.flush(_GRACE)

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._executor.settled()

    # --- From hubs to the broker --------------------------------------------------------------------------------------

    def _heard(self, update: Update) -> None:
        if (hub := self._hubs.get(update.hub_key)) is not None:
            hub.heard(update)

    def _replied(self, update: Update) -> None:
        if (hub := self._hubs.get(update.hub_key)) is not None:
            hub.replied(update)

    # --- What is said of hubs -----------------------------------------------------------------------------------------

    def _tell_presence(self, hub: BridgedHub) -> None:
        # A standby may not hear the hub at all: it does not say of it that it is gone.
        if len(self._group) == 1 or self._commander.in_charge:
            self._board.put(presence_messages(hub.mac, hub.presence, self._topics))

    def _turned(self) -> None:
        if self._leaving:
            return
        _LOGGER.info("bridge %s: %s", self._settings.name, "in charge" if self._commander.in_charge else "standing by")
        for hub in self._hubs.values():
            self._tell_presence(hub)

    def _missed(self) -> None:
        if not self._leaving:
            self._board.insist(self._online)

    def _answer(self, message: Message, key: int | None) -> None:
        self._outbox.put(message, key)

    def _switched(self, hub: BridgedHub, actuator: int, state: str) -> None:
        topic = self._topics.actuator(hub.mac, actuator)
        if self._last.take(topic, datetime.now(UTC)):
            self._board.put([Message(topic, state)])

    # --- On each connection -------------------------------------------------------------------------------------------

    async def _begin(self, connection: Connection) -> None:
        """Listen, and then say that we are there: what comes after our own word is ours to carry out."""
        topics = [(self._topics.bridge_availability(name), False) for name in self._group]
        if self._settings.commands:
            # Marked as retained even if they come live: such a command would come again at the next connection.
            topics += [(self._topics.command(mac, "+"), True) for mac in self._hubs]
        ungranted = set(await connection.subscribe(topics))
        try:
            await connection.publish(self._online)
        except VegeHubPublishError:
            ungranted.add(self._online.topic)
        if new := sorted(ungranted - self._ungranted):
            # Once, and not at each of many connections.
            _LOGGER.error(
                "the broker does not let us use %s; commands that hang on it are not carried out", _named(new)
            )
        self._ungranted = ungranted
        self._board.repeat()

    async def _status(self) -> Message:
        document: dict[str, Any] = {
            "version": __version__,
            "started": iso(self._started),
            "in_charge": self._commander.in_charge,
            "hubs": len(self._hubs),
            "updates_published": self._publisher.published,
            "commands": self._executor.handled,
            "connects": self._broker.connects,
        }
        with suppress(VegeHubError):
            counts = await self._journal.counts()
            document |= {"journal_waiting": counts.pending, "journal_parked": counts.parked}
        return Message(self._topics.bridge_status(self._settings.name), json.dumps(document))


def _named(topics: Sequence[str]) -> str:
    return topics[0] if len(topics) == 1 else f"{topics[0]} and {len(topics) - 1} more"


def _make_folder(settings: BridgeSettings) -> None:
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
