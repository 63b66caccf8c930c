"""What a hub measures: samples of inputs, battery and actuators, with the number format of the board."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .device import Device, Input

_FLOAT32 = struct.Struct("<f")
_EDGE_MODE = 0
_TIME_FORMATS = {"iso": "%Y-%m-%dT%H:%M:%SZ", "space": "%Y-%m-%d %H:%M:%S"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one slot."""

    number: int
    """Counts the samples of the hub."""
    slot: int
    """1-based, as in updates."""
    time_text: str
    """By the hub's clock, in the format of its updates."""
    value: float
    """Exactly the number that stands in the update."""
    triggered: bool = False
    """Taken because something happened: it is sent without waiting for the next update."""

    @property
    def key(self) -> tuple[int, str, float]:
        """What a receiver can see of it."""
        return self.slot, self.time_text, self.value


def printed(volts: float, step: float, *, noise: bool) -> float:
    """Return ``volts`` in steps of the converter, as the firmware prints it; 32-bit noise shows nine decimals."""
    if step:
        volts = round(volts / step) * step
    return float(f"{_FLOAT32.unpack(_FLOAT32.pack(volts))[0]:.9f}") if noise else round(volts, 4)


class Sampler:
    """Takes samples, and keeps the record of all it took."""

    def __init__(self, device: Device) -> None:
        self.taken: list[Sample] = []
        self._device = device
        self._reported: dict[int, bool] = {}
        self._latest: dict[int, Sample] = {}

    def settings(self, slot: int) -> dict[str, Any]:
        """Return the configuration of input ``slot`` (0-based); empty if it has none."""
        sensors = self._device.config.get("sensors")
        entries = sensors if isinstance(sensors, list) else []
        return next((entry for entry in entries if isinstance(entry, dict) and entry.get("slot") == slot), {})

    def on_edge(self, slot: int) -> bool:
        """Whether input ``slot`` (0-based) waits for edges and is not sampled."""
        return bool(self.settings(slot).get("mode", 1) == _EDGE_MODE)

    def take_all(self) -> list[Sample]:
        """Sample everything that is sampled on schedule."""
        inputs = [sensor for sensor in self._device.inputs if not self.on_edge(sensor.slot)]
        return self._take([*self._inputs(inputs), *self._battery(), *self._actuators()])

    def take_edge(self, sensor: Input, *, triggered: bool) -> list[Sample]:
        """Sample one input, with the battery, because of an edge."""
        return self._take([*self._inputs([sensor]), *self._battery()], triggered=triggered)

    def take_actuators(self) -> list[Sample]:
        """Sample the actuators that have changed."""
        return self._take(self._actuators(), triggered=True)

    def latest(self) -> list[tuple[int, float]]:
        """Return slot and value of the last sample of each input, and of the battery if the profile lists it."""
        profile = self._device.profile
        if profile.last_is_live:
            values = dict([*self._inputs(self._device.inputs), *self._battery()])
        else:
            values = {slot: sample.value for slot, sample in self._latest.items()}
        last = profile.num_inputs + (profile.last_has_battery and profile.has_battery_slot)
        return [(slot, values[slot]) for slot in sorted(values) if slot <= last]

    def _inputs(self, inputs: Iterable[Input]) -> list[tuple[int, float]]:
        profile = self._device.profile
        return [
            (sensor.slot + 1, printed(sensor.volts, profile.analog_step, noise=profile.float_noise))
            for sensor in inputs
        ]

    def _battery(self) -> list[tuple[int, float]]:
        device = self._device
        hub = device.config.get("hub")
        wanted = not isinstance(hub, dict) or hub.get("report_voltage", 1)
        if not (device.profile.has_battery_slot and wanted):
            return []
        value = printed(device.battery_volts, device.profile.battery_step, noise=device.profile.float_noise)
        return [(device.profile.num_inputs + 1, value)]

    def _actuators(self) -> list[tuple[int, float]]:
        profile = self._device.profile
        if profile.actuator_slots == "never":
            return []
        first = profile.num_inputs + 1 + profile.has_battery_slot
        values: list[tuple[int, float]] = []
        for actuator in self._device.actuators:
            is_new = self._reported.get(actuator.slot, False) is not actuator.is_on
            if is_new or profile.actuator_slots == "always":
                self._reported[actuator.slot] = actuator.is_on
                values.append((first + actuator.slot, int(actuator.is_on)))
        return values

    def _take(self, values: Iterable[tuple[int, float]], *, triggered: bool = False) -> list[Sample]:
        device = self._device
        moment = datetime.fromtimestamp(int(device.epoch), UTC)
        text = moment.strftime(_TIME_FORMATS[device.profile.time_format])
        samples = []
        for slot, value in values:
            sample = Sample(len(self.taken), slot, text, value, triggered)
            previous = self._latest.get(slot)
            if previous is not None and previous.key == sample.key and not triggered:
                continue  # an update asked for within the second of a sample has nothing to add
            self._latest[slot] = sample
            self.taken.append(sample)
            samples.append(sample)
        return samples
