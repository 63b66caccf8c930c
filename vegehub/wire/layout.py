"""Which slot of an update is an input, the battery, or an actuator."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from vegehub.exceptions import VegeHubValueError

from .fields import MAX_COUNT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .models import HubInfo


_FIRST_INPUT = 1


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

    Slots and inputs count from 1, so that input 1 has slot 1; actuators count from 0, as in commands. Where the slots
    of remote (virtual) sensors lie is not known; slots beyond the last actuator have no place here.
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
        VegeHubValueError if the hub said something odd where its counts or ``is_ac`` stand: a guess would take a
        valve for the battery.
        """
        if info.num_sensors is None or info.num_actuators is None or (has_battery is None and info.is_ac is None):
            raise VegeHubValueError(
                f"the hub does not say what its slots are ({'; '.join(info.problems) or 'no counts'})"
            )
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
        """Yield each slot, what it carries, and the number of the input or actuator, in the order of the slots.

        Inputs count from 1, actuators from 0; the battery has 0.
        """
        for number, slot in enumerate(self.inputs, _FIRST_INPUT):
            yield slot, SlotKind.INPUT, number
        if self.battery is not None:
            yield self.battery, SlotKind.BATTERY, 0
        for number, slot in enumerate(self.actuators):
            yield slot, SlotKind.ACTUATOR, number

    def locate(self, slot: int) -> tuple[SlotKind, int] | None:
        """Return what ``slot`` carries and the number of that input or actuator; None for a slot of no known use."""
        if slot in self.inputs:
            return SlotKind.INPUT, slot
        if slot == self.battery:
            return SlotKind.BATTERY, 0
        return (SlotKind.ACTUATOR, self.actuators.index(slot)) if slot in self.actuators else None

    def input_index(self, slot: int) -> int | None:
        """Return the input, counted from 1, that ``slot`` carries; None if it carries something else."""
        return self._index(slot, SlotKind.INPUT)

    def actuator_index(self, slot: int) -> int | None:
        """Return the 0-based actuator that ``slot`` carries; None if it carries something else."""
        return self._index(slot, SlotKind.ACTUATOR)

    def input_slot(self, index: int) -> int:
        """Return the slot of the input ``index``, counted from 1; VegeHubValueError if there is no such input."""
        return _at(self.inputs, index, "input", _FIRST_INPUT)

    def actuator_slot(self, index: int) -> int:
        """Return the slot of the 0-based actuator ``index``; VegeHubValueError if there is no such actuator."""
        return _at(self.actuators, index, "actuator", 0)

    def _index(self, slot: int, kind: SlotKind) -> int | None:
        place = self.locate(slot)
        return place[1] if place is not None and place[0] is kind else None


def _at(slots: range, number: int, what: str, first: int) -> int:
    if not first <= number < first + len(slots):
        raise VegeHubValueError(f"{what} {number}: this hub has {len(slots)} of them, numbered from {first}")
    return slots[number - first]
