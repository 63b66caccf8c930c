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
from vegehub.journal import Journal
from vegehub.receiver import UpdateReceiver
from vegehub.session import SessionOwner

from .board import Board
from .broker import Broker, Connection, VegeHubBrokerError, VegeHubPublishError, load_client
from .commander import Commander
from .discovery import Discovery
from .facts import Facts, FactsFile
from .hub import BridgedHub
from .ledger import Ledger
from .messages import LastValues, Message, iso, presence_messages, update_messages
from .outbox import Outbox
from .topics import Topics
from .turn import OFFLINE, ONLINE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

    from vegehub.sensors import SensorCurve
    from vegehub.updates import Update

    from .settings import BridgeSettings, HubSettings

_LOGGER = logging.getLogger(__name__)

JOURNAL_FILE, LEDGER_FILE, FACTS_FILE = "journal.db", "commands.db", "hubs.json"
_GRACE = 5.0  # seconds that the last results get to reach the broker
_MAX_LOSSES = 3


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
        self._curves: dict[str, Mapping[int, SensorCurve]] = {
            hub.mac: {number: sensor.curve for number, sensor in hub.sensors.items()} for hub in settings.hubs
        }
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
        self._commander = Commander(
            settings.name,
            self._group,
            topics=self._topics,
            hubs=self._hubs,
            ledger=self._ledger,
            answer=self._answer,
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
        self._board = Board(self._broker)
        self._outbox = Outbox(self._broker, self._ledger)
        self._discovery = Discovery(
            self._topics,
            settings.name if len(self._group) == 1 else None,
            prefix=settings.discovery or "",
            commands=settings.commands,
        )
        self._online = Message(self._topics.bridge_availability(settings.name), ONLINE)
        self._leaving = False
        self._strangers: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = AsyncExitStack()
        self._started = datetime.now(UTC)
        self.published = 0
        """Updates that the broker has acknowledged."""

    def __repr__(self) -> str:
        return f"<MqttBridge {self._settings.name}: {'connected' if self.connected else 'not connected'}>"

    @property
    def connected(self) -> bool:
        """Whether the broker is connected."""
        return self._broker.connected

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
        await self._commander.recover(datetime.now(UTC), unanswered)
        await self._describe()
        await self._journal.retry_parked()
        stack.push_async_callback(self._end_tasks)
        works = (self._broker.run(), self._board.run(), self._outbox.run(), self._journal.deliver(self._publish))
        self._tasks = [loop.create_task(work, name=f"vegehub: bridge {settings.name}") for work in works]
        stack.push_async_callback(self._say_goodbye)
        stack.callback(self.receiver.on_replied(self._replied))
        stack.callback(self.receiver.subscribe(self._heard))
        await stack.enter_async_context(self.receiver.serve(settings.receiver.host, settings.receiver.port))

    def _bridged(self, hub: HubSettings) -> BridgedHub:
        made = BridgedHub(
            hub,
            self._owner,
            self._facts.hubs.get(hub.mac),
            learned=self._learned,
            changed=self._tell_presence,
            switched=self._switched,
        )
        made.hub.noting = self._commander.noting(made)
        return made

    async def _say_goodbye(self) -> None:
        """Answer what is under way, and say that we are gone, as the broker would say it."""
        self._leaving = True
        await self._commander.close()
        if self.connected:
            await self._outbox.flush(_GRACE)
            with suppress(VegeHubBrokerError, VegeHubPublishError, TimeoutError):
                async with asyncio.timeout(_GRACE):
                    connection = await self._broker.connection()
                    await connection.publish(Message(self._online.topic, OFFLINE))

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # --- From hubs to the broker --------------------------------------------------------------------------------------

    async def _publish(self, update: Update) -> None:
        """Publish an update, however long the broker is away; VegeHubPublishError if it does not take this one."""
        hub = self._hubs.get(update.hub_key)
        if hub is None and update.hub_key not in self._strangers:
            self._strangers.add(update.hub_key)
            _LOGGER.warning("hub %s is not in the settings: only its whole updates are published", update.hub_key)
        layout = None if hub is None else hub.layout
        messages = update_messages(update, self._topics, layout, self._curves.get(update.hub_key, {}), self._last)
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

    async def _learned(self, hub: BridgedHub, facts: Facts) -> None:
        self._facts.hubs[hub.mac] = facts
        await self._describe()
        await self._facts.save()

    async def _describe(self) -> None:
        """Tell Home Assistant of all hubs, and no more of those, or those parts of hubs, that are not there any more."""
        told = self._facts.discovery
        described: dict[str, Message] = {}
        kept: set[str] = set()
        if self._settings.discovery is not None:
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

    # --- On each connection -------------------------------------------------------------------------------------------

    async def _begin(self, connection: Connection) -> None:
        """Listen, and then say that we are there: what comes after our own word is ours to carry out."""
        self._commander.connected()
        topics = [(self._topics.bridge_availability(name), False) for name in self._group]
        if self._settings.commands:
            # Marked as retained even if they come live: such a command would come again at the next connection.
            topics += [(self._topics.command(mac, "+"), True) for mac in self._hubs]
        for topic in await connection.subscribe(topics):
            _LOGGER.error("the broker does not let us subscribe to %s", topic)
        try:
            await connection.publish(self._online)
        except VegeHubPublishError as err:
            _LOGGER.error("%s; no command will be carried out", err)  # noqa: TRY400 - the text says it all
        self._board.repeat()

    async def _status(self) -> Message:
        document: dict[str, Any] = {
            "version": __version__,
            "started": iso(self._started),
            "in_charge": self._commander.in_charge,
            "hubs": len(self._hubs),
            "updates_published": self.published,
            "commands": self._commander.handled,
            "connects": self._broker.connects,
        }
        with suppress(VegeHubError):
            counts = await self._journal.counts()
            document |= {"journal_waiting": counts.pending, "journal_parked": counts.parked}
        return Message(self._topics.bridge_status(self._settings.name), json.dumps(document))


def _make_folder(settings: BridgeSettings) -> None:
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
