"""Relays, valves and pumps of a simulated hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .clock import Clock, Timer
    from .profiles import Profile

_REALTIME_LATENCY = 0.3


@dataclass(frozen=True, slots=True)
class Command:
    """A command as the hub executed it."""

    state: int
    """0 off, 1 on."""
    duration: float
    """Seconds that it holds."""
    at: float
    """Seconds of the simulation."""


@dataclass(frozen=True, slots=True)
class Change:
    """A moment at which an actuator went on or off, by command, by its timer, or with the power."""

    is_on: bool
    at: float
    """Seconds of the simulation."""


class Actuator:
    """One actuator; it goes off by itself when the time of a command is over."""

    def __init__(self, slot: int, clock: Clock, profile: Profile) -> None:
        self.slot = slot
        """0-based."""
        self.is_on = False
        self.commands: list[Command] = []
        """Every command executed, oldest first."""
        self.changes: list[Change] = []
        """Every change of state, oldest first."""
        self.last_run = 0
        """Unix seconds by the hub's clock; 0 for never."""
        self.next_window_start = 0
        self.next_window_end = 0
        self.typical_ma = 0
        self.error = 0
        self.on_change: Callable[[Actuator], None] | None = None
        self._clock = clock
        self._profile = profile
        self._timer: Timer | None = None
        self._was_on = False

    def restore(self, *, is_on: bool) -> None:
        """Be as a hub of the past left it; nothing tells when that will end."""
        self.is_on = self._was_on = is_on

    @property
    def closes_at(self) -> float | None:
        """The moment of the simulation at which it goes off by itself; None if it does not."""
        return self._timer.when if self._timer is not None and self._timer.pending else None

    def execute(self, state: int, duration: float, hub_time: int) -> None:
        """Switch for ``duration`` seconds; an older command is over."""
        limit = self._profile.max_duration
        if limit is not None:
            duration = min(duration, limit)
        self.commands.append(Command(state, duration, self._clock.now))
        if state and not duration and self._profile.zero_duration == "ignored":
            return
        self.stop_timer()
        if state:
            self.last_run = hub_time
        self._switch(bool(state))
        if state and duration:
            self._timer = self._clock.call_later(duration, self.close)
        elif state and self._profile.zero_duration == "pulse":
            self._switch(False)

    def close(self) -> None:
        """Go off, and forget the timer."""
        self.stop_timer()
        self._switch(False)

    def stop_timer(self) -> None:
        """Forget when to go off: a latching valve whose hub has restarted."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _switch(self, is_on: bool) -> None:
        if is_on is self.is_on:
            return
        self.is_on = is_on
        self.changes.append(Change(is_on, self._clock.now))
        if self.on_change is not None:
            self.on_change(self)

    def status(self) -> dict[str, int]:
        """Return the entry in ``actuators/status``; the state may lag behind."""
        latency = self._profile.status_latency
        if latency is None:
            latency = _REALTIME_LATENCY if self._clock.realtime else 0.0
        shown = self._state_at(self._clock.now - latency) if latency else self.is_on
        return {
            "slot": self.slot,
            "state": int(shown),
            "last_run": self.last_run,
            "next_window_start": self.next_window_start,
            "next_window_end": self.next_window_end,
            "cur_ma": self.typical_ma if self.is_on else 0,
            "typ_ma": self.typical_ma,
            "error": self.error,
        }

    def _state_at(self, moment: float) -> bool:
        return next((change.is_on for change in reversed(self.changes) if change.at <= moment), self._was_on)
