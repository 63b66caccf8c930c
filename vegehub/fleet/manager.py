"""Many hubs over one session: the joint between registry, members, history, discovery and receiver."""
# ruff: noqa: A002 - "id" is the word of the registry for what names a hub

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_args

from vegehub.exceptions import Outcome, VegeHubTimeoutError, VegeHubValueError
from vegehub.finding import HubBrowser, discover
from vegehub.hub import SessionOwner, check_seconds
from vegehub.receiving import History, Subscribers
from vegehub.sleeping import PresenceState

from .encounters import Encounters
from .member import Member, outside
from .registry import Registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from aiohttp import ClientSession
    from zeroconf.asyncio import AsyncZeroconf

    from vegehub.receiving import HistorySample, HourlyMean, UpdateReceiver
    from vegehub.sleeping import PendingQueue, Presence, PresenceChange
    from vegehub.vegehub import VegeHub
    from vegehub.wire import Update

    from .actuators import ActuatorState
    from .garden import Garden
    from .registry import HubRecord

_ResultT = TypeVar("_ResultT")

EventKind = Literal["added", "moved", "presence", "update", "actuator", "suspended", "resumed", "removed"]

CONCURRENCY = 32
PATIENCE = 0.5
"""Seconds after which a hub that has not answered in ``run`` gives its place to the next one."""
_LONGEST_WAIT = 86_400.0
_GRACE = 3.0  # seconds that callbacks get to end when the manager closes


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerEvent:
    """Something that happened to a hub."""

    kind: EventKind
    record: HubRecord
    """As it is after the event; for "removed", as it was."""
    detail: PresenceChange | Update | ActuatorState | str | None = None
    """"presence": the change; "update": the update; "actuator": what it does now; "moved": the address before."""


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
        self._members: dict[str, Member] = {}
        self._freed = asyncio.Event()
        self._encounters = Encounters(self._registry, self._member_of, self._owner, self._tell, follow=follow)

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
            self._member_of(record)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End what is queued with NOT_SENT, and close the session if it was opened here; may be repeated."""
        await asyncio.gather(*(self._drop(known) for known in tuple(self._members)))
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
        record = self._registry.remove(self._record(key).id)
        self._history.clear(record.id)
        await self._drop(record.id)
        return self._tell("removed", record)

    def suspend(self, key: str) -> HubRecord:
        """Leave a hub alone: no ``run``, no ``acquire``; its updates are not taken and start nothing; the record stays."""
        return self._tell("suspended", self._registry.suspend(self._record(key).id))

    def resume(self, key: str) -> HubRecord:
        """Take a suspended hub up again."""
        return self._tell("resumed", self._registry.resume(self._record(key).id))

    async def save(self, path: str | Path) -> None:
        """Write the records to a file, off the loop; ``HubManager(registry=await Registry.async_load(path))`` reads it."""
        await self._registry.async_save(path)

    def member(self, key: str) -> Member:
        """Return what is known of a hub while the manager runs, and what looks after it; the same object every time."""
        return self._member_of(self._record(key))

    def hub(self, key: str) -> VegeHub:
        """Return the one object for a hub; it uses the manager's session."""
        return self.member(key).hub

    def queue(self, key: str) -> PendingQueue:
        """Return what waits for a hub; it is sent after the hub's updates and announcements."""
        return self.member(key).queue

    def presence(self, key: str) -> Presence:
        """Return whether a hub is awake."""
        return self.member(key).presence

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

        ``concurrency`` hubs at once, those first that are known to be awake; one that does not answer counts for a second
        at most. ``progress(done, total)`` is called after each; it may be async, and if it raises that is logged.
        VegeHubValueError, and nothing is done, inside ``acquire`` or ``run`` of one of these hubs.
        """
        if not isinstance(concurrency, int) or isinstance(concurrency, bool) or concurrency < 1:
            raise VegeHubValueError(f"concurrency must be an int from 1, not {concurrency!r:.40}")
        members = self._active()
        for member in members:
            member.check_not_mine()
        results: dict[str, _ResultT | Exception] = {}
        done: Subscribers[tuple[int, int]] = Subscribers("run")
        if progress is not None:
            done.subscribe(lambda counts: progress(*counts))
        places = asyncio.Semaphore(concurrency)
        busy: set[Member] = set()

        async def one(member: Member) -> None:
            await places.acquire()
            busy.add(member)
            try:
                results[member.id] = await member.run(func)
            finally:
                _give_back(places, busy, member)
            done.offer((len(results), len(members)))

        relieving = asyncio.create_task(_relieve(places, busy)) if len(members) > concurrency else None
        try:
            async with asyncio.TaskGroup() as group:
                for member in sorted(members, key=lambda member: member.presence.state is not PresenceState.AWAKE):
                    group.create_task(one(member), name=f"vegehub: run on {member.id}")
        finally:
            if relieving is not None:
                relieving.cancel()
            await done.close(_GRACE)
        return {member.id: results[member.id] for member in members}

    @asynccontextmanager
    async def acquire(self, id: str | None = None, timeout: float = 30.0) -> AsyncIterator[VegeHub]:
        """Have one hub, or any that is free, alone for a sequence of calls: ``async with manager.acquire("shed") as hub``.

        Other ``acquire`` and ``run`` and queued commands wait; an OFF never does. VegeHubTimeoutError with NOT_SENT if
        it is not free within ``timeout`` seconds. VegeHubValueError inside ``acquire`` or ``run`` of the same hub, and in
        a task that was started there: it would wait for itself.
        """
        seconds = check_seconds("timeout", timeout, 0, _LONGEST_WAIT)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(seconds):
                    member = await self._any_free() if id is None else self._in_service(id)
                    await stack.enter_async_context(member.alone())
            except TimeoutError as err:
                what = "no hub was" if id is None else f"the hub {id!r} was not"
                raise VegeHubTimeoutError(f"{what} free within {seconds:g} s", outcome=Outcome.NOT_SENT) from err
            yield member.hub

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
        if (record := self._sender(update)) is not None:
            self._history.add(record.id, update, arrived=update.received_at)
            member = self._member_of(record)
            member.heard(update)
            record = self._registry[record.id]
            self._tell("update", record, record.wiring.apply_to_update(update, member.layout))

    def notify_awake(self, update: Update) -> None:
        """Say that the reply to an update has been written: what is queued for its hub is sent."""
        if (record := self._sender(update)) is not None:
            self._member_of(record).replied()

    def history(self, id: str, slot: int | None = None, since: datetime | None = None) -> tuple[HistorySample, ...]:
        """Return what a hub measured; see ``History.query``."""
        return self._history.query(self._record(id).id, slot, since)

    def hourly(self, id: str, slot: int, since: datetime | None = None) -> tuple[HourlyMean, ...]:
        """Return the hourly means of a slot; see ``History.hourly``."""
        return self._history.hourly(self._record(id).id, slot, since)

    def clear_history(self, id: str | None = None) -> None:
        """Forget what a hub, or all of them, measured."""
        self._history.clear(None if id is None else self._record(id).id)

    def on(self, event: EventKind, callback: Callable[[ManagerEvent], object]) -> Callable[[], None]:
        """Call ``callback`` (plain or async) at each event of a kind; return what ends that, callable twice.

        One that raises is logged once and hurts no other.
        """
        if event not in get_args(EventKind):
            raise VegeHubValueError(f"no event {event!r:.40}; known are {', '.join(get_args(EventKind))}")
        return self._events.subscribe(callback, lambda happened: happened.kind == event)

    # Below the public methods

    def _tell(
        self, kind: str, record: HubRecord, detail: PresenceChange | Update | ActuatorState | str | None = None
    ) -> HubRecord:
        if kind in ("added", "resumed"):
            self._member_of(record)
            self._freed.set()
        outside(self._events.offer, ManagerEvent(kind=cast("EventKind", kind), record=record, detail=detail))
        return record

    def _record(self, key: str) -> HubRecord:
        record = self._registry.get(key)
        if record is None:
            raise VegeHubValueError(f"no hub {key!r:.80} in the registry")
        return record

    def _member_of(self, record: HubRecord) -> Member:
        """Return the member that belongs to a record, made when it is first asked for."""
        member = self._members.get(record.id)
        if member is None:
            member = Member(record, self._registry, self._owner, tell=self._tell, freed=self._freed.set)
            self._members[record.id] = member
        member.hub.wiring = record.wiring
        if record.mac and not member.hub.mac_address:
            # Learned from elsewhere; without it nothing is proved.
            member.hub.connection.identity.mac = record.mac
        return member

    def _active(self) -> tuple[Member, ...]:
        return tuple(self._member_of(record) for record in self._registry if not record.suspended)

    def _in_service(self, key: str) -> Member:
        record = self._record(key)
        if record.suspended:
            raise VegeHubValueError(f"the hub {record.id!r} is suspended")
        return self._member_of(record)

    async def _any_free(self) -> Member:
        while True:
            members = self._active()
            if not members:
                raise VegeHubValueError("there is no hub, or all are suspended")
            for member in members:
                if not member.in_use:
                    return member
            self._freed.clear()
            await self._freed.wait()

    async def _drop(self, id: str) -> None:
        member = self._members.pop(id, None)
        if member is not None:
            await member.end()

    def _sender(self, update: Update) -> HubRecord | None:
        """Return the record of the hub that sent an update; None if it is not there, or suspended.

        Without a MAC it is the record that has the update's ``hub_key`` for its id, and no other: all else that might
        tell the hub, its address or a key that was seen beside a MAC, may be another hub's.
        """
        if update.mac:
            record = self._registry.by_mac(update.mac)
        else:
            # What looks like a channel could also be read as an address.
            record = self._registry.get(update.hub_key)
            record = record if record is not None and record.id == update.hub_key else None
        return None if record is None or record.suspended else record


async def _relieve(places: asyncio.Semaphore, busy: set[Member]) -> None:
    """Take the place of each hub that has been silent for a while: a sleeper would keep it until its call times out."""
    while True:
        before = {member: member.hub.counters["calls"] for member in busy}
        await asyncio.sleep(PATIENCE)
        for member, calls in before.items():
            if member.hub.counters["calls"] == calls:
                _give_back(places, busy, member)


def _give_back(places: asyncio.Semaphore, busy: set[Member], member: Member) -> None:
    if member in busy:
        busy.remove(member)
        places.release()
