"""The hubs of a manager while it runs, and whose turn it is."""
# ruff: noqa: A002 - "id" is the word of the registry for what names a hub

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from vegehub.exceptions import Outcome, VegeHubError, VegeHubTimeoutError, VegeHubValueError
from vegehub.hub.arguments import check_seconds
from vegehub.receiving.subscriptions import Subscribers
from vegehub.sleeping.presence import PresenceState

from .member import Member

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from vegehub.hub.session import SessionOwner
    from vegehub.sleeping.presence import PresenceChange
    from vegehub.vegehub import VegeHub
    from vegehub.wire import Update

    from .registry import HubRecord, Registry

_ResultT = TypeVar("_ResultT")

PATIENCE = 0.25
"""Seconds after which a hub that is not known to be awake gives its place in ``run`` to the next one."""
PATIENCE_AWAKE = 1.0
"""The same for one that was awake when last heard of: it may have fallen asleep since then."""
_LONGEST_WAIT = 86_400.0
_GRACE = 3.0  # seconds that a call of the progress callback gets to end


class Members:
    """A member for each record that is in use, made when it is first asked for; one hub is used by one task at a time."""

    def __init__(
        self, registry: Registry, owner: SessionOwner, changed: Callable[[HubRecord, PresenceChange], object]
    ) -> None:
        self._registry = registry
        self._owner = owner
        self._changed = changed
        self._members: dict[str, Member] = {}
        self._freed = asyncio.Event()

    def record(self, key: str) -> HubRecord:
        """Return the record with this id, MAC or address; VegeHubValueError if there is none."""
        record = self._registry.get(key)
        if record is None:
            raise VegeHubValueError(f"no hub {key!r:.80} in the registry")
        return record

    def of(self, record: HubRecord) -> Member:
        """Return the member that belongs to a record."""
        member = self._members.get(record.id)
        if member is None:
            member = self._members[record.id] = Member(record, self._owner)
            member.presence.subscribe(lambda change: self._on_presence(record.id, change))
            member.watch()
        member.hub.wiring = record.wiring
        if record.mac and not member.hub.mac_address:
            # Learned from elsewhere; without it nothing is proved.
            member.hub.connection.identity.mac = record.mac
        return member

    def sender(self, update: Update) -> HubRecord | None:
        """Return the record of the hub that sent an update; None if it is not there, or suspended.

        Without a MAC it is the record that has the update's ``hub_key`` for its id, and no other: all else that might
        tell the hub, its address or a key that was seen beside a MAC, may be another hub's.
        """
        record = self._by_mac(update.mac) if update.mac else self._by_id(update.hub_key)
        return None if record is None or record.suspended else record

    def active(self) -> list[Member]:
        """Return the members whose hub is not suspended."""
        return [self.of(record) for record in self._registry if not record.suspended]

    async def drop(self, id: str) -> None:
        """Forget a member; what is queued for it ends with NOT_SENT."""
        member = self._members.pop(id, None)
        if member is not None:
            await member.end()
            self._freed.set()

    async def close(self) -> None:
        """Forget all members; may be repeated."""
        await asyncio.gather(*(self.drop(known) for known in tuple(self._members)))

    @asynccontextmanager
    async def acquire(self, key: str | None, timeout: float) -> AsyncIterator[VegeHub]:
        """Have one hub, or any that is free, alone; see ``HubManager.acquire``."""
        seconds = check_seconds("timeout", timeout, 0, _LONGEST_WAIT)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(seconds):
                    member = await self._any_free() if key is None else self._not_suspended(key)
                    await stack.enter_async_context(self._exclusive(member))
            except TimeoutError as err:
                what = "no hub was" if key is None else f"the hub {key!r} was not"
                raise VegeHubTimeoutError(f"{what} free within {seconds:g} s", outcome=Outcome.NOT_SENT) from err
            yield member.hub

    async def run(
        self,
        func: Callable[[VegeHub], Awaitable[_ResultT]],
        progress: Callable[[int, int], object] | None,
        concurrency: int,
    ) -> dict[str, _ResultT | Exception]:
        """Await ``func(hub)`` for each hub that is not suspended; see ``HubManager.run``."""
        if not isinstance(concurrency, int) or isinstance(concurrency, bool) or concurrency < 1:
            raise VegeHubValueError(f"concurrency must be an int from 1, not {concurrency!r:.40}")
        places = asyncio.Semaphore(concurrency)
        members = self.active()
        results: dict[str, _ResultT | Exception] = {}
        done: Subscribers[tuple[int, int]] = Subscribers("run")
        if progress is not None:
            done.subscribe(lambda counts: progress(*counts))

        async def one(member: Member) -> None:
            results[member.id] = await self._run_one(func, member, places)
            done.offer((len(results), len(members)))

        try:
            async with asyncio.TaskGroup() as group:
                for member in members:
                    group.create_task(one(member), name=f"vegehub: run on {member.id}")
        finally:
            await done.close(_GRACE)
        return {member.id: results[member.id] for member in members}

    async def _run_one(
        self, func: Callable[[VegeHub], Awaitable[_ResultT]], member: Member, places: asyncio.Semaphore
    ) -> _ResultT | Exception:
        await places.acquire()
        place = _Place(places, member)
        calls = member.hub.counters["calls"]
        result: _ResultT | Exception
        try:
            async with self._exclusive(member):
                result = await func(member.hub)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            result = VegeHubError(f"{member.id}: what it awaited was cancelled", host=member.hub.ip_address)
        except Exception as err:  # noqa: BLE001 - one failing hub must not hurt the rest, whatever it raises
            result = err
        finally:
            place.give_back()
        if member.is_gone:
            return result
        if isinstance(result, VegeHubError):
            member.failed(result)
        elif not isinstance(result, Exception) and member.hub.counters["calls"] > calls:
            member.heard()
            self._learn(member)
        return result

    @asynccontextmanager
    async def _exclusive(self, member: Member) -> AsyncIterator[None]:
        try:
            async with member.turn, member.queue.held():
                if member.is_gone:
                    raise VegeHubValueError(f"the hub {member.id!r} was removed")
                yield
        finally:
            self._freed.set()

    async def _any_free(self) -> Member:
        while True:
            members = self.active()
            if not members:
                raise VegeHubValueError("there is no hub, or all are suspended")
            for member in members:
                if not member.turn.locked():
                    return member
            self._freed.clear()
            await self._freed.wait()

    def _by_mac(self, mac: str) -> HubRecord | None:
        record = self._registry.by_mac(mac)
        if record is None:
            nameless = [member for member in self.active() if member.hub.mac_address == mac]
            record = self._registry.update(nameless[0].id, mac=mac) if nameless else None
        return record

    def _by_id(self, hub_key: str) -> HubRecord | None:
        # What looks like a channel could also be read as an address.
        record = self._registry.get(hub_key)
        return record if record is not None and record.id == hub_key else None

    def _not_suspended(self, key: str) -> Member:
        record = self.record(key)
        if record.suspended:
            raise VegeHubValueError(f"the hub {record.id!r} is suspended")
        return self.of(record)

    def _learn(self, member: Member) -> None:
        """Keep what the hub's object has learned meanwhile."""
        mac, firmware = member.hub.mac_address, member.hub.sw_version
        # Another record may have this MAC: which of the two is right is for the user to say.
        with suppress(VegeHubValueError):
            self._registry.update(member.id, mac=mac or None, firmware=firmware, last_seen=member.presence.last_seen)

    def _on_presence(self, id: str, change: PresenceChange) -> None:
        record = self._registry[id]
        if not record.suspended:
            self._changed(record, change)


class _Place:
    """One of the places of ``run``; given back once, when the work is done or the hub does not answer."""

    def __init__(self, places: asyncio.Semaphore, member: Member) -> None:
        self._places: asyncio.Semaphore | None = places
        # Sleepers take as long as their timeout: they must not keep the others waiting.
        patience = PATIENCE_AWAKE if member.presence.state is PresenceState.AWAKE else PATIENCE
        self._timer = asyncio.get_running_loop().call_later(patience, self.give_back)

    def give_back(self) -> None:
        """Let the next one begin."""
        self._timer.cancel()
        if self._places is not None:
            self._places.release()
            self._places = None
