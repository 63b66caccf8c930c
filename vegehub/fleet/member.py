"""One hub while it runs: what it is, whether it is there and in use, and what its actuators do."""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from vegehub.exceptions import VegeHubError, VegeHubPayloadError, VegeHubResponseError, VegeHubValueError
from vegehub.sleeping import PendingQueue, Presence, PresenceState
from vegehub.vegehub import VegeHub
from vegehub.wire import SlotLayout, calls, models

from .actuators import ActuatorStates

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from vegehub.hub import SessionOwner
    from vegehub.sleeping import PresenceChange
    from vegehub.wire import Call, DiscoveredHub, Update

    from .actuators import ActuatorState
    from .registry import HubRecord, Registry

_LOGGER = logging.getLogger(__name__)

_ResultT = TypeVar("_ResultT")

ASK_DELAY = 1.0
"""Seconds from a sign of life to our own questions: what waits for the hub goes first, and its status lags."""
FRESH = 1.0
"""Seconds for which an answer is sign of life enough: what a hub answers right after it tells nothing new of that."""
MAX_REFUSALS = 10
"""Answers of no use after which a hub is left alone: old firmware has nothing to ask, and each request keeps it awake."""

# Who has a hub alone, in this task or in one that it was started from: whoever waits here for such a hub waits for ever.
_uses: ContextVar[tuple[object, ...]] = ContextVar("vegehub: uses", default=())


def outside(func: Callable[..., object], *args: Any) -> None:
    """Call ``func`` as if this task had no hub alone: what an event starts is not a part of the block it came from."""
    if not _uses.get():
        func(*args)
        return
    context = copy_context()
    context.run(_uses.set, ())
    context.run(func, *args)


class Member:
    """One hub of a manager, as long as that runs; it stays the same when the hub moves.

    A second after a sign of life it asks the hub once for what it does not know yet: layout, period and power mode. It
    asks again when the firmware changes, or an update has slots that the layout does not know. What fails is asked again
    at the next sign of life. What the actuators do is told by updates, status reads, commands that the hub took, and the
    end of the time of an ON; what came last counts.
    """

    def __init__(
        self,
        record: HubRecord,
        registry: Registry,
        owner: SessionOwner,
        *,
        tell: Callable[[str, HubRecord, PresenceChange | ActuatorState], object],
        freed: Callable[[], object],
    ) -> None:
        self.id = record.id
        """The id of its record."""
        self.hub = VegeHub(record.address, record.mac, record.id, **record.options)
        """The one object for this hub; it uses the manager's session."""
        self.presence = Presence(record.id)
        """Whether it is awake."""
        self.queue = PendingQueue(self.hub, sleeps=lambda: self.presence.sleeps, attempted=self._attempted)
        """What waits for it."""
        self.layout: SlotLayout | None = None
        """Which slot of its updates is what; None until it has said so."""
        self.power_mode: int | None = None
        """The hub's own number: 1 is wall power, 0 battery; None until it has said so."""
        self._registry = registry
        self._tell = tell
        self._freed = freed
        self._is_gone = False
        self._heard_at = -math.inf
        self._timer: asyncio.TimerHandle | None = None
        # Who uses it
        self._lock = asyncio.Lock()
        self._users = 0
        self._use: object = None
        self._states = ActuatorStates(lambda state: self._say("actuator", state))
        # What is to be asked
        self._is_outgrown = False
        self._is_configured = False
        self._strange_slots: set[int] = set()
        self._firmware = {"told": "", "announced": ""}
        self._refusals = 0
        self._ask_timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None
        connection = self.hub.connection
        # The manager lends its owner, so that it closes what it opened; a record's MAC is for the user to change.
        connection.borrow(owner)
        connection.identity.is_pinned = True
        connection.on_answer = self._answered
        self.presence.subscribe(lambda change: self._say("presence", change))
        self._watch()

    @property
    def period(self) -> float | None:
        """Seconds between two updates, as the hub is configured, else as its updates come; None while unknown."""
        return self.presence.expected_period

    @property
    def actuators(self) -> Mapping[int, ActuatorState]:
        """The last known state of each actuator (0-based); one of which nothing is known is not in it."""
        return MappingProxyType(self._states.known)

    @property
    def in_use(self) -> bool:
        """Whether somebody has it alone or waits for that, or a queued command other than OFF is being sent to it."""
        return self._users > 0 or self.queue.is_sending

    # Who uses it

    def check_not_mine(self) -> None:
        """Refuse, with VegeHubValueError, to wait for a hub that this task, or one that it was started from, has alone."""
        if self._use is not None and self._use in _uses.get():
            raise VegeHubValueError(
                f"the hub {self.id!r} is in use by this very task: `acquire` or `run` inside `acquire` or `run` of the "
                "same hub would wait for itself; use the hub that you have"
            )

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[VegeHub]:
        """Have the hub alone, after those who asked before; queued commands wait, but for OFF."""
        self.check_not_mine()
        use = object()
        self._users += 1
        try:
            async with self._lock, self.queue.held():
                if self._is_gone:
                    raise VegeHubValueError(f"the hub {self.id!r} was removed")
                self._use = use
                _uses.set((*_uses.get(), use))
                try:
                    yield self.hub
                finally:
                    self._use = None
                    # Not by a token: the block may be left in another context than it was entered in.
                    _uses.set(tuple(other for other in _uses.get() if other is not use))
        finally:
            self._users -= 1
            self._freed()
            if self.presence.state is PresenceState.AWAKE:
                self._ask_soon()

    async def run(self, func: Callable[[VegeHub], Awaitable[_ResultT]]) -> _ResultT | Exception:
        """Return what ``func`` makes of the hub, or the error that it raises."""
        try:
            async with self.alone() as hub:
                return await func(hub)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return VegeHubError(f"{self.id}: what it awaited was cancelled", host=self.hub.ip_address)
        except Exception as err:  # noqa: BLE001 - one failing hub must not hurt the rest, whatever it raises
            if isinstance(err, VegeHubError):
                self.failed(err)
            return err

    # Signs of life

    def heard(self, update: Update | None = None) -> None:
        """Take note of an update, or that the hub answered or announced itself; the newest sign of life counts."""
        if self._is_gone:
            return
        if update is None:
            now = asyncio.get_running_loop().time()
            if now - self._heard_at < FRESH and self.presence.state is PresenceState.AWAKE:
                return
            self._heard_at = now
            self.presence.seen()
            moment = self.presence.last_seen
        else:
            self.presence.updated(update)
            moment = update.received_at or datetime.now(UTC)
            self._check_slots(update)
            self._states.updated(update, None if self._is_outgrown else self.layout)
        record = self._record
        if record is not None and moment is not None and (record.last_seen is None or record.last_seen < moment):
            self._registry.update(self.id, last_seen=moment)
        self._watch()
        if not self.presence.sleeps:
            self._ask_soon()

    def replied(self) -> None:
        """Take note that the reply to an update was written: the hub is awake, and what waits for it is sent."""
        # Without the update: the queue knows its hub by the MAC alone.
        self.queue.notify_awake()
        self._ask_soon()

    def announced(self, found: DiscoveredHub) -> None:
        """Take note of an announcement: what is queued can be sent, after a new proof of the MAC."""
        # An announcement shows that the address is in use, not by which hub.
        self.hub.connection.identity.void()
        self._refusals = 0
        if found.power_mode is not None:
            self._configure({"power_mode": found.power_mode})
        if self._has_new_firmware("announced", found.firmware):
            self._is_outgrown = True
        self.heard()
        self.queue.notify_awake()
        self._ask_soon()

    def failed(self, error: VegeHubError) -> None:
        """Take note that a call failed."""
        self.presence.unreachable(error)
        self._watch()

    async def end(self) -> None:
        """Stop watching and end what is queued; may be repeated."""
        self._is_gone = True
        self._states.close()
        for timer in (self._timer, self._ask_timer):
            if timer is not None:
                timer.cancel()
        await self.queue.close()
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait((self._asking,))
        self._freed()

    @property
    def _record(self) -> HubRecord | None:
        record = self._registry.get(self.id)
        return record if record is not None and record.id == self.id else None

    @property
    def _is_left_alone(self) -> bool:
        record = self._record
        return self._is_gone or record is None or record.suspended

    def _say(self, kind: str, detail: PresenceChange | ActuatorState) -> None:
        record = self._record
        if not self._is_gone and record is not None and not record.suspended:
            self._tell(kind, record, detail)

    def _attempted(self, error: VegeHubError | None) -> None:
        """Take note of an attempt of the queue; that it was answered is known already."""
        if error is not None:
            self.failed(error)
        # The queue is free once it has taken note of this attempt itself.
        asyncio.get_running_loop().call_soon(self._freed)

    def _answered(self, call: Call, payload: Any, reply: Any) -> None:
        """Take note of what the hub answered to any call, or took."""
        if self._is_gone:
            return
        self.heard()
        with suppress(VegeHubPayloadError):  # whoever made the call is told
            if call is calls.ACTUATORS_SET:
                self._states.commanded(*calls.commanded(payload))
            elif isinstance(reply, dict):
                if call is calls.ACTUATORS_STATUS:
                    self._states.reported(models.actuator_states(reply))
                elif call is calls.INFO_GET:
                    self._read_info(reply)
                elif call is calls.CONFIG_GET:
                    self._configure(reply.get("hub"))
        self._ask_soon()

    def _watch(self) -> None:
        """Look again when the presence may change by itself."""
        delay = None if self._is_gone else self.presence.next_check()
        if delay is None:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + delay
        # Mostly a sign of life puts it off: then the timer that is there looks again.
        if self._timer is None or self._timer.cancelled() or self._timer.when() > due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(due, self._check)

    def _check(self) -> None:
        self._timer = None
        self.presence.check()
        self._watch()

    # What it is

    def _read_info(self, reply: dict[str, Any]) -> None:
        mac, known = models.reported_mac(reply), self.hub.connection.identity.expected
        record = self._record
        if record is None or (mac and known and mac != known):
            return  # what a stranger at our address says of itself is not about our hub
        firmware: str = models.known_of(reply, "firmware") or ""
        if (mac and not record.mac) or (firmware and firmware != record.firmware):
            # Another record may have this MAC: which of the two is right is for the user to say.
            with suppress(VegeHubValueError):
                self._registry.update(self.id, mac=record.mac or mac, firmware=firmware or None)
        self._has_new_firmware("told", firmware)
        if models.known_of(reply, "num_sensors") is None or models.known_of(reply, "num_actuators") is None:
            return
        with suppress(VegeHubValueError):  # it says something odd: a guess would take a valve for the battery
            self.layout = self.presence.layout = SlotLayout.from_info(models.HubInfo.parse(reply))
            self._is_outgrown = False
            self._states.laid_out(self.layout)

    def _check_slots(self, update: Update) -> None:
        """Take note of slots that the layout does not know and that were not there when it was told."""
        strange = (
            [] if self.layout is None else [slot for slot in update.readings if slot >= self.layout.actuators.stop]
        )
        if not self._strange_slots.issuperset(strange):
            self._strange_slots.update(strange)
            self._is_outgrown = True
            self._refusals = 0

    def _has_new_firmware(self, how: str, firmware: str) -> bool:
        """Say whether the hub runs another firmware than before; then its configuration is asked for again."""
        before = self._firmware[how]
        if not firmware or firmware == before:
            return False
        self._firmware[how] = firmware
        if before:
            self._is_configured = False
        return bool(before)

    def _configure(self, hub: object) -> None:
        """Take over the ``hub`` object of the configuration, or a part of it."""
        if not isinstance(hub, dict):
            return
        mode = hub.get("power_mode")
        if isinstance(mode, int):
            self.power_mode = mode
        self._is_configured = self._is_configured or "update_period" in hub
        self.presence.configured({"hub": hub})
        self._watch()

    def _ask_soon(self) -> None:
        """Ask the hub, which is awake, for what is not known of it, one question at a time."""
        is_known = self.layout is not None and self._is_configured and not self._is_outgrown
        if is_known or self._ask_timer is not None or self._asking is not None or self._refusals >= MAX_REFUSALS:
            return
        if not self._is_left_alone:
            self._ask_timer = asyncio.get_running_loop().call_later(ASK_DELAY, self._begin_to_ask)

    def _begin_to_ask(self) -> None:
        self._ask_timer = None
        # Who has the hub alone comes first; leaving it leads here again.
        if not self._is_left_alone and not self.in_use:
            self._asking = asyncio.get_running_loop().create_task(self._ask(), name=f"vegehub: ask {self.id}")
            self._asking.add_done_callback(self._asked)

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._asking = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOGGER.error("%s: asking it failed", self.id, exc_info=error)

    async def _ask(self) -> None:
        """Ask; `_answered` takes the answers, as it does those to anybody's questions."""
        try:
            if self.layout is None or self._is_outgrown:
                await self.hub.get_info()
                if self.layout is None or self._is_outgrown:
                    self._refusals += 1  # a stranger, or a hub that does not say
                    return
            if not self._is_configured:
                await self.hub.get_config("hub")
                # What it does not say now it will not say a second later.
                self._is_configured = True
        except VegeHubError as err:
            _LOGGER.debug("%s: not asked: %s", self.id, err)
            self._refusals += isinstance(err, VegeHubResponseError)
