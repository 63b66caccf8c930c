"""The four established functions: two voltage curves, and the payload of an update as a flat dict.

They keep the results that existing programs rely on and import nothing, so that a converter costs no start-up time.
The numbers of both curves stand here; ``vegehub.sensors`` builds its curves from them.
"""

from __future__ import annotations

# Not imported, as in __init__.py: it would cost more than all that is here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

VH400_POINTS = ((0.0, 0.0), (1.1, 10.0), (1.3, 15.0), (1.82, 40.0), (2.2, 50.0), (3.0, 100.0))
"""(volts, volumetric water content in %) of the VH400, joined by straight lines."""
VH400_DEAD_BAND = 0.010
"""Volts up to which a VH400 counts as completely dry."""
THERM200_SLOPE = 41.67
"""Degrees Celsius per volt of the THERM200."""
THERM200_OFFSET = -40.0
"""Degrees Celsius of the THERM200 at 0 V."""

# Five comparisons take half the time of a search in a table, and this runs once per sample.
(_V0, _Q0), (_V1, _Q1), (_V2, _Q2), (_V3, _Q3), (_V4, _Q4), (_V5, _Q5) = VH400_POINTS
_S0 = (_Q1 - _Q0) / (_V1 - _V0)
_S1 = (_Q2 - _Q1) / (_V2 - _V1)
_S2 = (_Q3 - _Q2) / (_V3 - _V2)
_S3 = (_Q4 - _Q3) / (_V4 - _V3)
_S4 = (_Q5 - _Q4) / (_V5 - _V4)

_INFINITY = float("inf")
_KNOWN_LAYOUTS = 64
_SUFFIXES = {slot: f"_{slot}" for slot in range(64)}
_key_tables: dict[tuple[int, int, bool | int], dict[int, str]] = {}


def _number(value: object) -> float | None:
    """Return a number, or text that holds one, as a float; None for anything else."""
    if isinstance(value, (int, float, str)):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    return None


def vh400_transform(value: object) -> float | None:  # noqa: PLR0911 - a line per segment is the fastest form
    """Turn the volts of a VH400 into volumetric water content, 0 to 100 %.

    Up to 0.010 V it is 0, from 3 V on 100. Text that holds a number is taken; anything else, NaN and infinity included,
    gives None.
    """
    if type(value) is not float:
        value = _number(value)
        if value is None:
            return None
    if value <= _V1:
        if value > VH400_DEAD_BAND:
            return _Q0 + _S0 * (value - _V0)
        return 0 if value > -_INFINITY else None
    if value <= _V2:
        return _Q1 + _S1 * (value - _V1)
    if value <= _V3:
        return _Q2 + _S2 * (value - _V2)
    if value <= _V4:
        return _Q3 + _S3 * (value - _V3)
    if value <= _V5:
        return _Q4 + _S4 * (value - _V4)
    return _Q5 if value < _INFINITY else None


def therm200_transform(value: object) -> float | None:
    """Turn the volts of a THERM200 into degrees Celsius: 41.67 V - 40, not clamped (0 to 3 V give -40 to 85).

    Text that holds a number is taken; anything else, NaN and infinity included, gives None.
    """
    if type(value) is not float:
        value = _number(value)
        if value is None:
            return None
    celsius = value * THERM200_SLOPE + THERM200_OFFSET
    return celsius if -_INFINITY < celsius < _INFINITY else None


def update_data_to_latest_dict(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the last sample of each slot of an update, as ``{"<mac in lower case>_<slot>": value}``.

    ``slot`` is 1-based and an int, or text of digits. The last sample is the last of the list, whatever its time, and
    of two entries for one slot the later wins. Numbers, true and false stay as they came; a number in text becomes one.
    A slot or sample of another kind is left out; a payload without ``mac`` or ``sensors`` gives ``{}``.
    """
    latest: dict[str, Any] = {}
    try:
        mac = data["mac"]
        sensors = iter(data["sensors"])
    except (TypeError, KeyError):
        return latest
    if not isinstance(mac, str):
        return latest
    prefix = mac.lower()
    for entry in sensors:
        try:
            slot = entry["slot"]
            value = entry["samples"][-1]["v"]
        except (TypeError, KeyError, IndexError):
            continue
        # The first test is the usual case, made without a call.
        if not (type(value) is float and -_INFINITY < value < _INFINITY):
            value = _value(value)
        if value is not None:
            if type(slot) is int:
                latest[prefix + (_SUFFIXES.get(slot) or f"_{slot}")] = value
            elif isinstance(slot, str) and slot.isdecimal():
                latest[f"{prefix}_{slot}"] = value
    return latest


def update_data_to_ha_dict(
    data: Mapping[str, Any], num_sensors: int, num_actuators: int, is_ac: bool | int
) -> dict[str, Any]:
    """Return the last sample of each known slot of an update, by use: ``analog_0``, ``battery``, ``actuator_0``.

    The numbers in the keys are 0-based. Which slot is what follows from the counts and ``is_ac`` (an AC board has no
    battery slot), see `SlotLayout`; slots beyond are left out, and so is a slot that is no int. Samples are chosen
    and kept as in `update_data_to_latest_dict`. A payload without ``mac`` or ``sensors`` gives ``{}``; a count that is
    no int from 0 to 1000 raises VegeHubValueError.
    """
    by_use: dict[str, Any] = {}
    try:
        if "mac" not in data:
            return by_use
        sensors = iter(data["sensors"])
    except (TypeError, KeyError):
        return by_use
    try:
        keys = _key_tables[num_sensors, num_actuators, is_ac]
    except (KeyError, TypeError):
        keys = _key_table(num_sensors, num_actuators, is_ac)
    for entry in sensors:
        try:
            slot = entry["slot"]
            key = keys[slot]
            value = entry["samples"][-1]["v"]
        except (TypeError, KeyError, IndexError):
            continue
        # The test of the value is the usual case, without a call. True and 1.0 find the key of slot 1, but are no slots.
        if not (type(value) is float and -_INFINITY < value < _INFINITY):
            value = _value(value)
        if value is not None and type(slot) is int:
            by_use[key] = value
    return by_use


def _value(value: object) -> object:
    """Return a finite number, true or false as it is, and a number in text as a number; None for anything else."""
    number = _number(value)
    if number is None:
        # An int that is too large for a float is still a number.
        return value if isinstance(value, int) else None
    if not -_INFINITY < number < _INFINITY:
        return None
    if not isinstance(value, str):
        return value
    try:
        return int(value)
    except ValueError:
        return number


def _key_table(num_sensors: int, num_actuators: int, is_ac: bool | int) -> dict[int, str]:
    """Return the key of each slot, and remember it for the next update of a hub of this shape."""
    from .wire import SlotKind, SlotLayout  # noqa: PLC0415 - dataclasses take longer to load than this module

    names = {SlotKind.INPUT: "analog", SlotKind.ACTUATOR: "actuator"}
    table = {
        # The established names count inputs from 0.
        slot: f"{names[kind]}_{number - (kind is SlotKind.INPUT)}" if kind in names else "battery"
        for slot, kind, number in SlotLayout.of(num_sensors, num_actuators, is_ac).slots()
    }
    if len(_key_tables) < _KNOWN_LAYOUTS:
        _key_tables[num_sensors, num_actuators, bool(is_ac)] = table
    return table
