"""Awake, asleep or off: when a hub can be reached."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .clock import Timer
    from .device import Device

# Of what is due at one moment, falling asleep comes last.
_SLEEP_PRIORITY = 9


class PowerState(Enum):
    """What a hub is doing."""

    AWAKE = "awake"
    ASLEEP = "asleep"
    OFF = "off"


class Power:
    """Puts a battery hub to sleep when nothing has happened for a while; ``on_change`` hears of every change."""

    def __init__(self, device: Device, on_change: Callable[[PowerState], None]) -> None:
        self.state = PowerState.OFF
        self.refuses = device.profile.asleep_refuses
        """How connections end while the hub is asleep or off: refused, or never answered."""
        self._device = device
        self._on_change = on_change
        self._until = 0.0
        self._timer: Timer | None = None
        self._sent_to_sleep = False

    @property
    def awake(self) -> bool:
        """Whether the hub serves requests."""
        return self.state is PowerState.AWAKE

    @property
    def sleeps_at(self) -> float | None:
        """The moment of the simulation at which the hub will fall asleep, None if it will not."""
        return self._until if self._timer is not None and self.awake else None

    def boot(self) -> None:
        """Start, or wake by the button; a hub that was sent to sleep goes on as its power mode says."""
        self._sent_to_sleep = False
        self._rouse(self._device.profile.inactivity)

    def wake_briefly(self) -> None:
        """Wake for an update, for the length of the wake window."""
        if self.state is PowerState.ASLEEP:
            self._rouse(self._device.profile.wake_window)
        else:
            self._stay_awake(self._device.profile.wake_window)

    def touch(self) -> None:
        """Take note of a request: the time of inactivity starts anew."""
        if self._device.profile.requests_keep_awake:
            self._stay_awake(self._device.profile.inactivity)

    def sleep(self, *, refuse: bool | None = None) -> None:
        """Sleep until ``wake``, but for scheduled updates and edges, whatever the power mode says."""
        if self.awake:
            self._sent_to_sleep = True
            self._leave(PowerState.ASLEEP, refuse)

    def off(self, *, refuse: bool | None = None) -> None:
        """Lose the power."""
        self._leave(PowerState.OFF, refuse)

    def reconsider(self) -> None:
        """Follow a change of the power mode."""
        if self.awake:
            self._stay_awake(self._device.profile.inactivity)

    def stop(self) -> None:
        """Leave no timer behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rouse(self, seconds: float) -> None:
        self._until = 0.0
        self.stop()
        self._stay_awake(seconds)
        self._set(PowerState.AWAKE)

    def _leave(self, state: PowerState, refuse: bool | None) -> None:
        self.stop()
        self.refuses = self._device.profile.asleep_refuses if refuse is None else refuse
        self._set(state)

    def _stay_awake(self, seconds: float) -> None:
        if not (self._device.sleeps or self._sent_to_sleep):
            self.stop()
            return
        self._until = max(self._until, self._device.clock.now + seconds)
        if self._timer is None:
            self._timer = self._device.clock.call_at(self._until, self._expire, _SLEEP_PRIORITY)

    def _expire(self) -> None:
        self._timer = None
        if self._device.clock.now < self._until:
            # Moved on by requests since the timer was set.
            self._timer = self._device.clock.call_at(self._until, self._expire, _SLEEP_PRIORITY)
        else:
            self._leave(PowerState.ASLEEP, None)

    def _set(self, state: PowerState) -> None:
        self.state = state
        self._on_change(state)
