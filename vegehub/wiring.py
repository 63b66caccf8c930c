"""What is plugged into a hub: what people call it, and which sensor it is; by number from 1.

`SlotLayout` says, by the hub, which slot is what. A `Wiring` names what is there, and never changes the layout.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from .exceptions import VegeHubValueError
from .sensors import BATTERY, RAW, SENSOR_CURVES, PiecewiseCurve, SensorCurve, sensor_curve
from .wire import MAX_COUNT, schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .wire import Reading, SlotLayout, Update

ActuatorKind = Literal["valve", "pump", "outlet"]

MAX_NAME = 64
_MAX_UNIT = 16
_number_text = re.compile(r"[1-9][0-9]{0,3}").fullmatch


@dataclass(frozen=True, slots=True, init=False)
class WiredInput:
    """What is plugged into an analog input. VegeHubValueError says which argument is wrong."""

    number: int
    """From 1 on, as on the board; also its slot in updates."""
    name: str
    """Up to 64 characters; "" where nobody gave it one."""
    sensor: SensorCurve
    """`RAW`, volts, where nobody said which it is."""
    hidden: bool
    """True: displays leave it out. It is read and recorded all the same."""

    def __init__(
        self, number: int, name: str = "", sensor: str | SensorCurve = RAW.name, *, hidden: bool = False
    ) -> None:
        if not isinstance(hidden, bool):
            raise VegeHubValueError("hidden: expected True or False")
        _fill(self, number=_number(number), name=_name(name), sensor=_sensor(sensor), hidden=hidden)

    @property
    def label(self) -> str:
        """The name, else "Input 1"."""
        return self.name or f"Input {self.number}"


@dataclass(frozen=True, slots=True, init=False)
class WiredActuator:
    """What an actuator switches. VegeHubValueError says which argument is wrong."""

    number: int
    """From 1 on, as on the board."""
    name: str
    """Up to 64 characters; "" where nobody gave it one."""
    kind: ActuatorKind | None
    """None where nobody said."""

    def __init__(self, number: int, name: str = "", kind: ActuatorKind | None = None) -> None:
        _fill(self, number=_number(number), name=_name(name), kind=_kind(kind))

    @property
    def label(self) -> str:
        """The name, else "Actuator 1"."""
        return self.name or f"Actuator {self.number}"

    @property
    def slot(self) -> int:
        """Its number in commands, from 0 on: what ``turn_on`` and ``watering`` take."""
        return self.number - 1


_WiredT = TypeVar("_WiredT", WiredInput, WiredActuator)


@dataclass(frozen=True, slots=True, init=False)
class Wiring:
    """What people call a hub, its inputs and its actuators, and which sensors are plugged in.

    What is not listed has no name yet: an input shows volts. VegeHubValueError if a number or a name stands for two
    inputs, or for two actuators: a command must not reach the wrong valve.
    """

    name: str
    """Of the hub; "" where nobody gave it one."""
    inputs: tuple[WiredInput, ...]
    """By number."""
    actuators: tuple[WiredActuator, ...]
    """By number."""

    def __init__(
        self, name: str = "", inputs: Iterable[WiredInput] = (), actuators: Iterable[WiredActuator] = ()
    ) -> None:
        _fill(
            self,
            name=_name(name, may_be_number=True),
            inputs=_told_apart(inputs, WiredInput, "input"),
            actuators=_told_apart(actuators, WiredActuator, "actuator"),
        )

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], source: str = "wiring") -> Wiring:
        """Read what ``as_dict`` wrote, or a table of a file; VegeHubValueError names ``source`` and the place in it.

        The first call loads voluptuous.
        """
        made: Wiring = schema.validated(wiring_schema(), document, source)
        return made

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON and TOML can carry it; of a curve of your own, the points and the unit."""
        return {
            **({"name": self.name} if self.name else {}),
            **_listed("inputs", {str(each.number): _input_document(each) for each in self.inputs}),
            **_listed("actuators", {str(each.number): _actuator_document(each) for each in self.actuators}),
        }

    def input(self, key: int | str) -> WiredInput:
        """Return an input by number or name, case ignored; VegeHubValueError, with the nearest name, for no name of one.

        A number that is not listed gives an input without a name: what the hub has is for `SlotLayout` to say.
        """
        return _find(self.inputs, key, WiredInput, "input")

    def actuator(self, key: int | str) -> WiredActuator:
        """Return an actuator by number or name; see ``input``."""
        return _find(self.actuators, key, WiredActuator, "actuator")

    def value_of(self, key: int | str, volts: float) -> tuple[float, str]:
        """Return what ``volts`` at an input mean, and the unit; volts and "V" where its sensor is not known."""
        sensor = self.input(key).sensor
        return sensor.convert(volts), sensor.unit

    def apply(self, readings: Iterable[Reading], layout: SlotLayout | None = None) -> tuple[Reading, ...]:
        """Return readings with the names and sensors of their slots.

        Without a layout only the inputs that are listed get theirs: any other slot may be the battery or a valve.
        """
        return tuple(self._applied(reading, layout) for reading in readings)

    def apply_to_update(self, update: Update, layout: SlotLayout | None = None) -> Update:
        """Return an update whose readings have names and sensors, as ``apply`` gives them."""
        if layout is None and not self.inputs:
            return update
        return replace(update, readings={each.slot: each for each in self.apply(update.readings.values(), layout)})

    def problems(self, layout: SlotLayout) -> tuple[str, ...]:
        """Say what is listed here and cannot be on a hub of this layout; nothing is moved to make it fit."""
        counted: tuple[tuple[str, tuple[WiredInput, ...] | tuple[WiredActuator, ...], int], ...] = (
            ("input", self.inputs, layout.num_sensors),
            ("actuator", self.actuators, layout.num_actuators),
        )
        return tuple(
            f"{what} {each.number}{f' ({each.name})' if each.name else ''}: the hub has {count} {what}{'' if count == 1 else 's'}"
            for what, listed, count in counted
            for each in listed
            if each.number > count
        )

    def _applied(self, reading: Reading, layout: SlotLayout | None) -> Reading:
        slot = reading.slot
        if layout is None:
            found = next((each for each in self.inputs if each.number == slot), None)
            return reading if found is None else replace(reading, name=found.label, sensor=found.sensor)
        if slot in layout.inputs:
            plugged = self.input(slot)
            return replace(reading, name=plugged.label, sensor=plugged.sensor)
        if slot == layout.battery:
            return replace(reading, name="Battery", sensor=BATTERY)
        if slot in layout.actuators:
            return replace(reading, name=self.actuator(layout.actuators.index(slot) + 1).label, sensor=None)
        return reading


# --- Arguments --------------------------------------------------------------------------------------------------------


def _fill(made: object, **values: object) -> None:
    for name, value in values.items():
        object.__setattr__(made, name, value)


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_COUNT:
        raise VegeHubValueError(f"number: expected an integer from 1 to {MAX_COUNT}")
    return value


def _name(value: object, *, may_be_number: bool = False, most: int = MAX_NAME) -> str:
    if not isinstance(value, str):
        raise VegeHubValueError(f"expected a name in quotes, got {type(value).__name__}")
    name = value.strip()
    if len(name) > most:
        raise VegeHubValueError(f"{len(name)} characters; {most} at most")
    if not name.isprintable():
        raise VegeHubValueError("a control character is not allowed")
    if name.isdecimal() and not may_be_number:
        raise VegeHubValueError(f"{schema.quoted(name)} would be taken for a number; add a word")
    return name


def _sensor(value: object) -> SensorCurve:
    if isinstance(value, str):
        try:
            return sensor_curve(value)
        except VegeHubValueError:
            raise VegeHubValueError(
                f"unknown sensor {schema.quoted(value)}{schema.near(value, SENSOR_CURVES)}"
            ) from None
    # What is neither known nor made of points could not be written to a file.
    if isinstance(value, SensorCurve) and (value in SENSOR_CURVES.values() or type(value) is PiecewiseCurve):
        return value
    raise VegeHubValueError("sensor: expected the name of a known sensor, or a curve of PiecewiseCurve.from_points")


def _kind(value: object) -> ActuatorKind | None:
    for known in get_args(ActuatorKind):
        if value == known:
            return known  # type: ignore[no-any-return]  # one of the literal's own values
    if value is None:
        return None
    raise VegeHubValueError(f"unknown kind{schema.near(value, get_args(ActuatorKind))}")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().strip()


def _told_apart(listed: Iterable[_WiredT], made: type[_WiredT], what: str) -> tuple[_WiredT, ...]:
    """Sort by number; refuse what could be taken for another one, by its number, its name, or its label."""
    found: dict[int, _WiredT] = {}
    names: dict[str, int] = {}
    for each in listed:
        if not isinstance(each, made):
            raise VegeHubValueError(f"{what}s: expected {made.__name__} objects, got {type(each).__name__}")
        if each.number in found:
            raise VegeHubValueError(f"{what} {each.number} is listed twice")
        found[each.number] = each
        name = _folded(each.label)
        if (other := names.setdefault(name, each.number)) != each.number:
            raise VegeHubValueError(f"{what}s {other} and {each.number} are both called {schema.quoted(each.label)}")
        numbered = re.fullmatch(rf"{what} ([0-9]+)", name)
        if numbered is not None and int(numbered[1]) != each.number:
            raise VegeHubValueError(
                f"{what} {each.number} is called {schema.quoted(each.label)}, as another one would be"
            )
    return tuple(found[number] for number in sorted(found))


def _find(listed: tuple[_WiredT, ...], key: int | str, made: type[_WiredT], what: str) -> _WiredT:
    if isinstance(key, str):
        name = _folded(key)
        for each in listed:
            if name == _folded(each.label):
                return each
        number = name.removeprefix(f"{what} ")
        if not _number_text(number):
            known = [each.label for each in listed]
            hint = schema.near(key, known) or "; none has a name: give its number, from 1 on"
            raise VegeHubValueError(f"no {what} {schema.quoted(key)}{hint}")
        key = int(number)
    number_of = _number(key)
    return next((each for each in listed if each.number == number_of), None) or made(number_of)


NO_WIRING = Wiring()
"""Of a hub of which nobody said what is plugged in."""


def check_wiring(value: object) -> Wiring:
    """Return an argument that must be a wiring, None for none."""
    if value is None:
        return NO_WIRING
    if not isinstance(value, Wiring):
        raise VegeHubValueError(f"wiring must be a Wiring, not {type(value).__name__}; Wiring.from_dict reads one")
    return value


# --- The document -----------------------------------------------------------------------------------------------------


@cache
def wiring_schema() -> schema.Check:
    """Return the schema that makes a `Wiring` of a document."""
    name = schema.checked(lambda value: _name(value, may_be_number=True))
    return schema.all_of(
        schema.object_of({"name": name, **wiring_fields()}), schema.checked(lambda section: Wiring(**section))
    )


@cache
def wiring_fields() -> dict[str, schema.Check]:
    """Return the checks that make models of ``inputs`` and ``actuators``, for the schema of whatever holds them."""
    named: dict[str, schema.Check] = {"name": schema.checked(_name)}
    one_input = schema.object_of(
        {
            **named,
            "sensor": schema.all_of(schema.is_text, schema.checked(_sensor)),
            "points": schema.is_list,
            "unit": schema.checked(lambda value: _name(value, may_be_number=True, most=_MAX_UNIT)),
            "hidden": schema.is_bool,
        }
    )
    one_actuator = schema.object_of({**named, "kind": schema.all_of(schema.is_text, schema.checked(_kind))})
    return {
        "inputs": _numbered("input", schema.all_of(_is_input, one_input, schema.checked(_with_curve)), WiredInput),
        "actuators": _numbered("actuator", schema.all_of(_is_actuator, one_actuator), WiredActuator),
    }


def _numbered(what: str, entry: schema.Check, make: Callable[..., WiredInput | WiredActuator]) -> schema.Check:
    def check_number(key: Any) -> Any:
        if not isinstance(key, str) or not _number_text(key) or int(key) > MAX_COUNT:
            raise schema.invalid(f"expected the number of an {what}, from 1 on")
        return key  # as it is: what a check makes of a key may be the place that an error names

    def made(section: dict[str, dict[str, Any]]) -> list[WiredInput | WiredActuator]:
        return [make(int(number), **fields) for number, fields in section.items()]

    return schema.all_of(schema.is_object, {check_number: entry}, made)


def _is_input(value: Any) -> Any:
    if not isinstance(value, dict):
        raise schema.invalid('expected { name = "Tomatoes", sensor = "VH400" }')
    return value


def _is_actuator(value: Any) -> Any:
    if isinstance(value, str):
        return {"name": value}
    if not isinstance(value, dict):
        raise schema.invalid('expected a name, or { name = "Roses", kind = "valve" }')
    return value


def _with_curve(section: dict[str, Any]) -> dict[str, Any]:
    entry = dict(section)
    points, unit = entry.pop("points", None), entry.pop("unit", None)
    if points is None:
        if unit is not None:
            raise VegeHubValueError("unit: goes with points; a known sensor has its own")
        return entry
    if "sensor" in entry:
        raise VegeHubValueError("expected sensor or points, not both")
    return entry | {"sensor": PiecewiseCurve.from_points(points, unit=unit or "")}


def _listed(key: str, entries: dict[str, Any]) -> dict[str, Any]:
    return {key: entries} if entries else {}


def _input_document(wired_input: WiredInput) -> dict[str, Any]:
    sensor = wired_input.sensor
    curve: dict[str, Any] = {}
    if sensor in SENSOR_CURVES.values():
        curve = {} if sensor == RAW else {"sensor": sensor.name}
    elif isinstance(sensor, PiecewiseCurve):
        curve = {"points": [list(point) for point in sensor.points], **({"unit": sensor.unit} if sensor.unit else {})}
    name = {"name": wired_input.name} if wired_input.name else {}
    return {**name, **curve, **({"hidden": True} if wired_input.hidden else {})}


def _actuator_document(actuator: WiredActuator) -> dict[str, Any]:
    return {key: value for key, value in (("name", actuator.name), ("kind", actuator.kind)) if value}
