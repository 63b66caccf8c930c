"""Many hubs over one session: the joint between registry, history, discovery, receiver, queues and presence."""
# ruff: noqa: A002 - "id" is the word of the registry for what names a hub

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_args

from vegehub.exceptions import VegeHubValueError
from vegehub.finding.discovery import HubBrowser, discover
from vegehub.hub.session import SessionOwner
from vegehub.receiving.history import History
from vegehub.receiving.subscriptions import Subscribers

from .encounters import Encounters
from .members import Members
from .registry import Registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from aiohttp import ClientSession
    from zeroconf.asyncio import AsyncZeroconf

    from vegehub.receiving.history import HistorySample, HourlyMean
    from vegehub.receiving.receiver import UpdateReceiver
    from vegehub.sleeping.presence import Presence, PresenceChange
    from vegehub.sleeping.queue import PendingQueue
    from vegehub.vegehub import VegeHub
    from vegehub.wire import Update

    from .garden import Garden
    from .registry import HubRecord

_ResultT = TypeVar("_ResultT")

EventKind = Literal["added", "moved", "presence", "update", "suspended", "resumed", "removed"]

CONCURRENCY = 32
_GRACE = 3.0  # seconds that callbacks get to end when the manager closes


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerEvent:
    """Something that happened to a hub."""

    kind: EventKind
    record: HubRecord
    """As it is after the event; for "removed", as it was."""
    detail: PresenceChange | Update | str | None = None
    """"presence": the change; "update": the update; "moved": the address before."""


class HubManager:
    """Looks after many hubs: ``async with HubManager() as manager``; docs/manager.md draws the life of a hub in it.

    ``session`` is used and never closed; without one the manager opens its own, without a limit of connections, so that
    a hundred sleeping hubs do not block the others. ``zeroconf`` and ``interfaces`` are those of ``discover``.
    ``follow=False``: a hub that announces itself at another address stays where it was. A hub is named by its id, MAC
    or address; VegeHubValueError if it is not there.
    """

    def __init__(
        self,
        session: ClientSession | None = None,
        *,
        registry: Registry | None = None,
        history: History | None = None,
        zeroconf: AsyncZeroconf | None = None,
        interfaces: Sequence[str] | None = None,
        follow: bool = True,
    ) -> None:
        self._registry = Registry() if registry is None else registry
        self._history = History() if history is None else history
        self._owner = SessionOwner(session, connection_limit=0)
        self._network: dict[str, Any] = {"zeroconf": zeroconf, "interfaces": interfaces}
        self._events: Subscribers[ManagerEvent] = Subscribers("manager")
        self._members = Members(
            self._registry, self._owner, lambda record, change: self._tell("presence", record, change)
        )
        self._encounters = Encounters(self._registry, self._members, self._owner, self._tell, follow=follow)

    @classmethod
    def from_garden(
        cls, garden: Garden, session: ClientSession | None = None, *, registry: Registry | None = None, **options: Any
    ) -> Self:
        """Return a manager of the hubs in a file, each with its name for an id; ``options`` are those of the constructor.

        ``registry``, as ``Registry.load`` gives it, adds what was learned of them before; see ``Garden.enter``.
        """
        return cls(session, registry=garden.enter(Registry() if registry is None else registry), **options)

    async def __aenter__(self) -> Self:
        for record in self._registry:
            self._members.of(record)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End what is queued with NOT_SENT, and close the session if it was opened here; may be repeated."""
        await self._members.close()
        await self._events.close(_GRACE)
        await self._owner.close()

    # Which hubs there are

    def add(
        self, address: str, *, id: str | None = None, metadata: Mapping[str, Any] | None = None, **options: Any
    ) -> HubRecord:
        """Add a hub as ``Registry.add`` does, in the event loop; nothing is sent to it."""
        return self._tell("added", self._registry.add(address, id=id, metadata=metadata, **options))

    def get(self, key: str) -> HubRecord | None:
        """Return the record with this id, MAC or address; None if there is none."""
        return self._registry.get(key)

    def get_or_add(self, address: str, *, mac: str = "", **arguments: Any) -> HubRecord:
        """Return the record with this MAC or at this address, else add one; see ``Registry.get_or_add``."""
        count = len(self._registry)
        record = self._registry.get_or_add(address, mac=mac, **arguments)
        return self._tell("added", record) if len(self._registry) > count else record

    def list(self) -> tuple[HubRecord, ...]:
        """Return all records in the order in which they were added."""
        return self._registry.list()

    async def remove(self, key: str) -> HubRecord:
        """Forget a hub and its history; what is queued for it ends with NOT_SENT."""
        record = self._registry.remove(self._members.record(key).id)
        self._history.clear(record.id)
        await self._members.drop(record.id)
        return self._tell("removed", record)

    def suspend(self, key: str) -> HubRecord:
        """Leave a hub alone: no ``run``, no ``acquire``; its updates are not taken and start nothing; the record stays."""
        return self._tell("suspended", self._registry.suspend(self._members.record(key).id))

    def resume(self, key: str) -> HubRecord:
        """Take a suspended hub up again."""
        return self._tell("resumed", self._registry.resume(self._members.record(key).id))

    async def save(self, path: str | Path) -> None:
        """Write the records to a file, off the loop; ``HubManager(registry=await Registry.async_load(path))`` reads it."""
        await self._registry.async_save(path)

    def hub(self, key: str) -> VegeHub:
        """Return the one object for a hub; it uses the manager's session."""
        return self._members.of(self._members.record(key)).hub

    def queue(self, key: str) -> PendingQueue:
        """Return what waits for a hub; it is sent after the hub's updates and announcements."""
        return self._members.of(self._members.record(key)).queue

    def presence(self, key: str) -> Presence:
        """Return whether a hub is awake."""
        return self._members.of(self._members.record(key)).presence

    # Finding them

    async def discover(self, timeout: float = 5.0, *, expect: int | None = None) -> tuple[HubRecord, ...]:
        """Look for hubs as ``vegehub.discover`` does, add new ones, follow those that moved; return those that answered."""
        found = await discover(timeout, expect=expect, **self._network)
        async with asyncio.TaskGroup() as group:
            meetings = [group.create_task(self._encounters.meet(hub)) for hub in found]
        return tuple(record for meeting in meetings if (record := meeting.result()) is not None)

    async def watch(self) -> None:
        """Do so until it is cancelled, and take every announcement as a sign of life: what is queued is sent."""
        async with HubBrowser(announcements=True, **self._network) as browser, asyncio.TaskGroup() as group:
            async for event in browser:
                if event.kind != "removed":
                    group.create_task(self._encounters.meet(event.hub))

    # Working with them

    async def run(
        self,
        func: Callable[[VegeHub], Awaitable[_ResultT]],
        progress: Callable[[int, int], object] | None = None,
        concurrency: int = CONCURRENCY,
    ) -> dict[str, _ResultT | Exception]:
        """Await ``func(hub)`` for each hub that is not suspended; return the result, or the error, by id.

        ``concurrency`` hubs at once, of which one that does not answer counts for a second only, a quarter if it may sleep.
        ``progress(done, total)`` is called after each; it may be async, and if it raises that is logged.
        """
        return await self._members.run(func, progress, concurrency)

    @asynccontextmanager
    async def acquire(self, id: str | None = None, timeout: float = 30.0) -> AsyncIterator[VegeHub]:
        """Have one hub, or any that is free, alone for a sequence of calls: ``async with manager.acquire("shed") as hub``.

        Other ``acquire`` and ``run`` and queued commands wait; an OFF never does. VegeHubTimeoutError with NOT_SENT if
        it is not free within ``timeout`` seconds.
        """
        async with self._members.acquire(id, timeout) as hub:
            yield hub

    # What they say

    def attach(self, receiver: UpdateReceiver) -> Callable[[], None]:
        """Take the updates of a receiver, and send what is queued after each; return what ends that, callable twice."""
        ends = (receiver.subscribe(self.take), receiver.on_replied(self.notify_awake))

        def detach() -> None:
            for end in ends:
                end()

        return detach

    def take(self, update: Update) -> None:
        """Take in one update, wherever it comes from; one of a hub that is not there, or suspended, is left out.

        Old firmware sends no MAC: such a hub is known by its key, if it was added with ``id=update.hub_key``.
        """
        if (record := self._members.sender(update)) is not None:
            came = update.received_at or datetime.now(UTC)
            self._history.add(record.id, update, arrived=came)
            if record.last_seen is None or record.last_seen < came:
                record = self._registry.update(record.id, last_seen=came)
            member = self._members.of(record)
            member.heard(update)
            self._tell("update", record, record.wiring.apply_to_update(update, member.hub.layout))

    def notify_awake(self, update: Update) -> None:
        """Say that the reply to an update has been written: what is queued for its hub is sent."""
        if (record := self._members.sender(update)) is not None:
            # Without the update: the queue knows its hub by the MAC alone.
            self._members.of(record).queue.notify_awake()

    def history(self, id: str, slot: int | None = None, since: datetime | None = None) -> tuple[HistorySample, ...]:
        """Return what a hub measured; see ``History.query``."""
        return self._history.query(self._members.record(id).id, slot, since)

    def hourly(self, id: str, slot: int, since: datetime | None = None) -> tuple[HourlyMean, ...]:
        """Return the hourly means of a slot; see ``History.hourly``."""
        return self._history.hourly(self._members.record(id).id, slot, since)

    def clear_history(self, id: str | None = None) -> None:
        """Forget what a hub, or all of them, measured."""
        self._history.clear(None if id is None else self._members.record(id).id)

    def on(self, event: EventKind, callback: Callable[[ManagerEvent], object]) -> Callable[[], None]:
        """Call ``callback`` (plain or async) at each event of a kind; return what ends that, callable twice.

        One that raises is logged once and hurts no other.
        """
        if event not in get_args(EventKind):
            raise VegeHubValueError(f"no event {event!r:.40}; known are {', '.join(get_args(EventKind))}")
        return self._events.subscribe(callback, lambda happened: happened.kind == event)

    def _tell(self, kind: str, record: HubRecord, detail: PresenceChange | Update | str | None = None) -> HubRecord:
        if kind == "added":
            self._members.of(record)
        self._events.offer(ManagerEvent(kind=cast("EventKind", kind), record=record, detail=detail))
        return record
