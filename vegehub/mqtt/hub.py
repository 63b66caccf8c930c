"""What a bridge has of each hub: its client, what waits for it, whether it is there, and what its actuators do."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import VegeHubError
from vegehub.sleeping.presence import Presence, PresenceState
from vegehub.sleeping.queue import PendingQueue
from vegehub.vegehub import VegeHub

from .facts import Facts
from .messages import OFF, ON

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from vegehub.hub.session import SessionOwner
    from vegehub.sensors import SensorCurve
    from vegehub.sleeping.pending import PendingCommand
    from vegehub.wire import HubInfo, SlotLayout, Update

    from .settings import HubSettings

_LOGGER = logging.getLogger(__name__)

LOOK_DELAY = 1.0
"""Seconds from a sign of life to our own questions: what waits for the hub goes first, and its status lags."""
_MAX_FAILURES = 10  # old firmware has nothing to ask


class BridgedHub:
    """One hub of a bridge.

    ``learned(hub, facts)`` is awaited when it has said what it is; ``changed(hub)`` is called when its presence may have
    changed, and ``switched(hub, actuator, state)`` with ON or OFF when an actuator is known to be so.
    """

    def __init__(
        self,
        settings: HubSettings,
        owner: SessionOwner,
        facts: Facts | None,
        *,
        learned: Callable[[BridgedHub, Facts], Awaitable[object]],
        changed: Callable[[BridgedHub], object],
        switched: Callable[[BridgedHub, int, str], object],
    ) -> None:
        self.settings = settings
        self.facts = facts
        self.hub = VegeHub(settings.address, settings.mac, max_on=settings.rules.max_on)
        self.hub.connection.borrow(owner)  # one session for all hubs, as a manager has it
        self.noting: Callable[[int, bool], Awaitable[None]] | None = None
        self.queue = PendingQueue(self.hub, before_send=self._note)
        self.presence = Presence(settings.name or settings.mac, layout=self.layout)
        self._learned = learned
        self._changed = changed
        self._switched = switched
        self._timer: asyncio.TimerHandle | None = None
        self._ends: dict[int, asyncio.TimerHandle] = {}
        self._looking: asyncio.Task[None] | None = None
        self._failures = 0
        # What the actuators do is not known after a start: their state may be one that an earlier run has left.
        self._must_read_states = True
        self._closed = False
        self._expect(facts)
        self.presence.subscribe(lambda _: self._changed(self))
        self._watch()

    async def _note(self, command: PendingCommand[Any]) -> None:
        """Have a command noted before it goes out."""
        if self.noting is not None and command.slot is not None:
            await self.noting(command.slot, bool(command.is_on))

    @property
    def mac(self) -> str:
        """12 upper-case hex digits."""
        return self.settings.mac

    @property
    def layout(self) -> SlotLayout | None:
        """Which slot is what; None until it is known."""
        if (set_ := self.settings.layout) is not None:
            return set_
        if self.facts is None:
            return None
        known = self.facts.layout
        wanted = (self.settings.inputs, self.settings.actuators, self.settings.battery)
        found = (known.num_sensors, known.num_actuators, known.has_battery)
        inputs, actuators, battery = (own if own is not None else its for own, its in zip(wanted, found, strict=True))
        return type(known)(int(inputs), int(actuators), bool(battery))

    @property
    def curves(self) -> Mapping[int, SensorCurve]:
        """What is connected to its inputs, counted from 1, as far as the settings say it."""
        return {number: sensor.curve for number, sensor in self.settings.sensors.items()}

    @property
    def firmware(self) -> str:
        """What the hub said last; "" until it is known."""
        return "" if self.facts is None else self.facts.firmware

    def heard(self, update: Update) -> None:
        """Take note of an update."""
        self.presence.updated(update)
        self._watch()
        self._changed(self)

    def replied(self, update: Update) -> None:
        """Take note that the reply to an update was written: the hub is awake, and can be talked to."""
        self.queue.notify_awake(update)
        self.look()

    @property
    def sleeps_now(self) -> bool:
        """Whether a call would not reach it, as far as is known."""
        return self.presence.state is PresenceState.ASLEEP

    def try_now(self) -> None:
        """Send what waits now, unless the hub is known to sleep."""
        if not self.sleeps_now:
            self.queue.notify_awake()

    def commanded(self, actuator: int, seconds: float, *, is_on: bool) -> None:
        """Take note that the hub took a command: its actuator is so now, and off again when the time is over."""
        self.presence.seen()
        self._watch()
        self._switched(self, actuator, ON if is_on else OFF)
        self._must_read_states = True
        self._failures = 0
        if (timer := self._ends.pop(actuator, None)) is not None:
            timer.cancel()
        if is_on and not self._closed:
            loop = asyncio.get_running_loop()
            self._ends[actuator] = loop.call_later(seconds + LOOK_DELAY, self._over, actuator)

    def doubted(self) -> None:
        """Take note that nobody knows whether it took a command: what its actuators do has to be asked."""
        self._must_read_states = True
        self._failures = 0
        self.look()

    def look(self) -> None:
        """Ask the hub, which is awake, what we need to know of it and do not; nothing once we know it all."""
        wants = self.facts is None or self._must_read_states
        if wants and self._looking is None and self._failures < _MAX_FAILURES and not self._closed:
            self._looking = asyncio.get_running_loop().create_task(self._look(), name=f"vegehub: ask {self.mac}")
            self._looking.add_done_callback(self._looked)

    async def close(self) -> None:
        """End what waits with NOT_SENT, and stop watching; may be repeated."""
        self._closed = True
        for timer in (self._timer, *self._ends.values()):
            if timer is not None:
                timer.cancel()
        await self.queue.close()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait((self._looking,))

    # Below the public methods

    def _expect(self, facts: Facts | None) -> None:
        """Tell the presence how often the hub reports, and whether it sleeps."""
        period, sleeps = self.settings.update_period, self.settings.sleeps
        if facts is not None:
            period = facts.update_period if period is None else period
            sleeps = facts.sleeps if sleeps is None else sleeps
        hub: dict[str, Any] = {} if period is None else {"update_period": period}
        if sleeps is not None:
            hub["power_mode"] = 0 if sleeps else 1
        self.presence.layout = self.layout
        self.presence.configured({"hub": hub})

    def _watch(self) -> None:
        """Look again when the presence may change by itself."""
        if self._timer is not None:
            self._timer.cancel()
        delay = None if self._closed else self.presence.next_check()
        self._timer = None if delay is None else asyncio.get_running_loop().call_later(delay, self._check)

    def _check(self) -> None:
        self.presence.check()
        self._watch()

    def _over(self, actuator: int) -> None:
        """Take note that the time of an ON is over; the hub knows better, if it can be asked."""
        del self._ends[actuator]
        self._switched(self, actuator, OFF)
        if self.presence.state is PresenceState.AWAKE:
            self.look()

    async def _look(self) -> None:
        await asyncio.sleep(LOOK_DELAY)
        try:
            if self.facts is None:
                await self._learn(await self.hub.get_info())
            if self._must_read_states:
                await self._read_states()
        except VegeHubError as err:
            self._failures += 1
            _LOGGER.debug("%s: not asked: %s", self.mac, err)
        else:
            self._failures = 0

    async def _learn(self, info: HubInfo) -> None:
        if info.mac != self.mac:
            self._failures = _MAX_FAILURES
            _LOGGER.warning(
                "hub %s, not %s, answers at %s: correct the settings", info.mac or "?", self.mac, self.hub.url
            )
            return
        document = await self.hub.get_config("hub")
        asked = Presence()
        asked.configured(document)
        self.facts = Facts.of(info, asked.expected_period, sleeps=asked.sleeps)
        self._expect(self.facts)
        await self._learned(self, self.facts)

    async def _read_states(self) -> None:
        if (layout := self.layout) is None or not layout.num_actuators:
            self._must_read_states = False
            return
        actuators = await self.hub.get_actuators()
        on = {actuator.slot for actuator in actuators if actuator.is_on}
        for actuator in actuators:
            self._switched(self, actuator.slot, ON if actuator.is_on else OFF)
        # While one is on, its end is still to be seen.
        self._must_read_states = bool(on)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOGGER.error("%s: asking it failed", self.mac, exc_info=error)
