"""What the actuators of a hub do, by order of arrival: a hub's clock may be set to anything, so its times decide nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vegehub.wire import SlotLayout, Update

Source = Literal["update", "command", "status", "time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActuatorState:
    """What an actuator does, as far as is known."""

    slot: int
    """0-based, as in commands."""
    is_on: bool
    source: Source
    """What told it first: an update, a command that the hub took, its status as it was read, or the end of an ON's time."""
    since: datetime
    """When it was told first, aware, UTC."""


class ActuatorStates:
    """The last known state of each actuator; ``changed`` is called with each that is new, or other than before."""

    def __init__(self, changed: Callable[[ActuatorState], object]) -> None:
        self.known: dict[int, ActuatorState] = {}
        self._changed = changed
        self._arrived: dict[int, float] = {}
        self._ends: dict[int, asyncio.TimerHandle] = {}
        self._unread: dict[int, tuple[float, float]] = {}
        """The newest value of each slot, and when it came, for as long as nobody knows what the slot is."""

    def commanded(self, slot: int, is_on: bool, seconds: float) -> None:
        """Take note that the hub took a command: so it is now, and off again when the time of an ON is over."""
        loop = asyncio.get_running_loop()
        self._know(slot, is_on, "command", loop.time())
        if (timer := self._ends.pop(slot, None)) is not None:
            timer.cancel()
        if is_on and seconds:
            self._ends[slot] = loop.call_later(seconds, self._is_over, slot)

    def reported(self, states: Mapping[int, bool]) -> None:
        """Take note of a status as it was read."""
        arrived = asyncio.get_running_loop().time()
        for slot, is_on in states.items():
            self._know(slot, is_on, "status", arrived)

    def updated(self, update: Update, layout: SlotLayout | None) -> None:
        """Take note of an update; one that a journal delivers late counts from when it was received."""
        age = 0.0 if update.received_at is None else (datetime.now(UTC) - update.received_at).total_seconds()
        arrived = asyncio.get_running_loop().time() - max(0.0, age)
        if layout is not None:
            for slot, reading in update.actuators(layout).items():
                if reading.latest is not None:
                    self._read(slot, reading.latest.value, arrived)
            return
        for number, reading in update.readings.items():
            if reading.latest is not None and arrived >= self._unread.get(number, (0.0, arrived))[1]:
                self._unread[number] = (reading.latest.value, arrived)

    def laid_out(self, layout: SlotLayout) -> None:
        """Read what came before the layout was known."""
        for slot, number in enumerate(layout.actuators):
            if number in self._unread:
                self._read(slot, *self._unread[number])
        self._unread.clear()

    def close(self) -> None:
        """Wait for the end of no ON any more."""
        for timer in self._ends.values():
            timer.cancel()
        self._ends.clear()

    def _is_over(self, slot: int) -> None:
        del self._ends[slot]
        self._know(slot, False, "time", asyncio.get_running_loop().time())

    def _read(self, slot: int, value: float, arrived: float) -> None:
        if value in (0, 1):  # anything else is no state
            self._know(slot, bool(value), "update", arrived)

    def _know(self, slot: int, is_on: bool, source: Source, arrived: float) -> None:
        """Take note of a state, unless something newer is known; ``arrived`` by the loop's clock."""
        if arrived < self._arrived.get(slot, arrived):
            return
        self._arrived[slot] = arrived
        known = self.known.get(slot)
        if known is None or known.is_on is not is_on:
            state = self.known[slot] = ActuatorState(slot=slot, is_on=is_on, source=source, since=datetime.now(UTC))
            self._changed(state)
