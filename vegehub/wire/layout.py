"""Which slot of an update is an input, the battery, or an actuator."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from vegehub.exceptions import VegeHubValueError

from .payload import MAX_COUNT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .models import HubInfo


class SlotKind(Enum):
    """What a slot carries."""

    INPUT = "input"
    """Volts at an analog input."""
    BATTERY = "battery"
    """Volts of the battery."""
    ACTUATOR = "actuator"
    """0 or 1."""


@dataclass(frozen=True, slots=True)
class SlotLayout:
    """The slots of an update: inputs from 1 on, then the battery if the board reports it, then the actuators.

    Slots count from 1, as in updates; inputs and actuators count from 0, as in commands and configuration. Where the
    slots of remote (virtual) sensors lie is not known; slots beyond the last actuator have no place here.
    Counts that are no int from 0 to 1000 raise VegeHubValueError.
    """

    num_sensors: int
    num_actuators: int
    has_battery: bool

    def __post_init__(self) -> None:
        for name in ("num_sensors", "num_actuators"):
            count = getattr(self, name)
            if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MAX_COUNT:
                raise VegeHubValueError(f"{name}: expected an integer from 0 to {MAX_COUNT}")

    @classmethod
    def of(cls, num_sensors: int, num_actuators: int, is_ac: bool | int) -> SlotLayout:
        """Return the layout of a board with these counts; a board that is not AC powered has a battery slot."""
        return cls(num_sensors, num_actuators, not is_ac)

    @classmethod
    def from_info(cls, info: HubInfo, *, has_battery: bool | None = None) -> SlotLayout:
        """Return the layout that follows from what the hub says of itself.

        ``has_battery`` overrides what follows from ``is_ac``: battery sprinkler boards may have no battery slot.
        """
        return cls(info.num_sensors, info.num_actuators, not info.is_ac if has_battery is None else has_battery)

    @property
    def inputs(self) -> range:
        """The slots of the inputs, in the order of the inputs."""
        return range(1, self.num_sensors + 1)

    @property
    def battery(self) -> int | None:
        """The slot of the battery; None where there is none."""
        return self.num_sensors + 1 if self.has_battery else None

    @property
    def actuators(self) -> range:
        """The slots of the actuators, in the order of the actuators."""
        first = self.num_sensors + self.has_battery + 1
        return range(first, first + self.num_actuators)

    def slots(self) -> Iterator[tuple[int, SlotKind, int]]:
        """Yield each slot, what it carries, and its 0-based index among its kind, in the order of the slots."""
        for index, slot in enumerate(self.inputs):
            yield slot, SlotKind.INPUT, index
        if self.battery is not None:
            yield self.battery, SlotKind.BATTERY, 0
        for index, slot in enumerate(self.actuators):
            yield slot, SlotKind.ACTUATOR, index

    def locate(self, slot: int) -> tuple[SlotKind, int] | None:
        """Return what ``slot`` carries and its 0-based index among its kind; None for a slot of no known use."""
        for kind, slots in (
            (SlotKind.INPUT, self.inputs),
            (SlotKind.BATTERY, (self.battery,)),
            (SlotKind.ACTUATOR, self.actuators),
        ):
            if slot in slots:
                return kind, slots.index(slot)
        return None

    def input_index(self, slot: int) -> int | None:
        """Return the 0-based input that ``slot`` carries; None if it carries something else."""
        return self._index(slot, SlotKind.INPUT)

    def actuator_index(self, slot: int) -> int | None:
        """Return the 0-based actuator that ``slot`` carries; None if it carries something else."""
        return self._index(slot, SlotKind.ACTUATOR)

    def input_slot(self, index: int) -> int:
        """Return the slot of the 0-based input ``index``; VegeHubValueError if there is no such input."""
        return _at(self.inputs, index, "input")

    def actuator_slot(self, index: int) -> int:
        """Return the slot of the 0-based actuator ``index``; VegeHubValueError if there is no such actuator."""
        return _at(self.actuators, index, "actuator")

    def _index(self, slot: int, kind: SlotKind) -> int | None:
        place = self.locate(slot)
        return place[1] if place is not None and place[0] is kind else None


def _at(slots: range, index: int, what: str) -> int:
    if not 0 <= index < len(slots):
        raise VegeHubValueError(f"{what} {index}: this hub has {len(slots)} of them, numbered from 0")
    return slots[index]
