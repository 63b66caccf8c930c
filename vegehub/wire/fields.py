"""One way to read a field of a hub: its kind says what it may be, and whether it is essential says what becomes of an odd one."""

from __future__ import annotations

import math
import re
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from .near_json import MAX_DEPTH, MAX_DIGITS, read_number
from .payload import as_object, problem, wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_COUNT = 1000
"""The greatest count, or number of a slot, that is taken of a hub."""
MAX_NOTES = 5
"""Odd fields that are described in words; the others are only counted."""

_TOO_LARGE = 10**MAX_DIGITS
_Value = TypeVar("_Value")


class Kind(NamedTuple, Generic[_Value]):
    """A kind of field: what is expected, in words, and how it is read; ``read`` returns None for what is none."""

    expected: str
    read: Callable[[Any], _Value | None]
    nothing: tuple[object, ...] = (None, "")
    """What says that there is no value, and is not odd."""


class Fields:
    """Reads the fields of one object of a hub, each essential or not.

    An essential one that is missing or odd raises VegeHubPayloadError with its path. Any other is None where it is null,
    empty or odd, and its default where it is missing; an odd one stays in ``extra`` beside what is unknown, and is named
    in ``problems``.
    """

    __slots__ = ("_path", "extra", "problems")

    def __init__(self, payload: object, path: str = "") -> None:
        self.extra: dict[str, Any] = dict(as_object(payload, path))
        self.problems: list[str] = []
        self._path = f"{path}." if path else ""

    def need(self, key: str, kind: Kind[_Value]) -> _Value:
        """Return an essential field."""
        return essential(self.extra.pop(key, None), kind, self._path + key)

    def get(self, key: str, kind: Kind[_Value], default: _Value | None = None) -> _Value | None:
        """Return a field that nobody acts on: ``default`` if there is none, None if it says nothing, or is odd."""
        if key not in self.extra:
            return default
        value = self.extra[key]
        if value in kind.nothing:
            del self.extra[key]
            return None
        found = kind.read(value)
        if found is None:
            self.problems.append(problem(self._path + key, kind.expected, value))
        else:
            del self.extra[key]
        return found


def essential(value: object, kind: Kind[_Value], path: str = "") -> _Value:
    """Return a value of this kind; VegeHubPayloadError, naming ``path``, for anything else."""
    found = kind.read(value)
    if found is None:
        raise wrong(path, kind.expected, value)
    return found


def as_number(value: object, units: Mapping[str, float] | None = None) -> float | None:
    """Return a number, or text that holds one, as a finite float; None for anything else, true and false too.

    Behind the number in a text one of ``units`` may stand, in any case; its value says how many of it make one.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str):
        number, share = read_number(value.strip()), 1.0
        if number is None and units and (match := _with_unit(value)):
            number, share = read_number(match[1]), units.get(match[2].lower(), math.nan)
        if number is None:
            return None
        value = number / share
    if isinstance(value, int) and abs(value) >= _TOO_LARGE:
        return None
    return float(value) if math.isfinite(value) else None


def as_int(value: object, units: Mapping[str, float] | None = None) -> int | None:
    """Return an int of at most 20 digits: a number, true or false, or text that holds it; None for anything else.

    Hubs send the same field as a number, as true or false, and as text, depending on the firmware.
    """
    if type(value) is int and -_TOO_LARGE < value < _TOO_LARGE:
        return value  # the usual case; what follows would come to the same
    if isinstance(value, str):
        value = number if isinstance(number := read_number(value.strip()), int) else as_number(value, units)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return int(value) if isinstance(value, int) and abs(value) < _TOO_LARGE else None


def as_count(value: object) -> int | None:
    """Return an int from 0 to 1000; None for anything else: a wrong count must not fill the memory of a reader."""
    number = as_int(value)
    return number if number is not None and 0 <= number <= MAX_COUNT else None


def as_flag(value: object) -> bool | None:
    """Return true or false, also from 1 or 0, and from "on", "off", "yes", "no" and the like in any case; else None."""
    if isinstance(value, str):
        word = value.strip().lower()
        value = _FLAGS.get(word, read_number(word))
    return bool(value) if isinstance(value, (int, float)) and value in (0, 1) else None


def as_text(value: object) -> str | None:
    """Return text; None for anything else."""
    return value if isinstance(value, str) else None


def as_code(value: object) -> str | None:
    """Return a code that is text in captures, and might as well be a number; None for anything else."""
    if isinstance(value, str):
        return value
    number = as_int(value)
    return None if number is None else str(number)


_with_unit = re.compile(r"\s*([+-]?[0-9.,]++)\s*+([a-zA-Z\u00b5\u03bc]{1,6})\s*").fullmatch
_FLAGS = {"true": 1, "false": 0, "on": 1, "off": 0, "yes": 1, "no": 0}

NUMBER: Kind[float] = Kind("a number", as_number)
VOLTS: Kind[float] = Kind("a number", partial(as_number, units={"v": 1, "mv": 1000, "volt": 1, "volts": 1}))
MILLIAMPERES: Kind[float] = Kind("a number", partial(as_number, units={"ma": 1, "a": 1e-3, "ua": 1000}))
INTEGER: Kind[int] = Kind("an integer", as_int)
DBM: Kind[int] = Kind("an integer", partial(as_int, units={"dbm": 1, "db": 1}))
COUNT: Kind[int] = Kind(f"an integer from 0 to {MAX_COUNT}", as_count)
FLAG: Kind[bool] = Kind("true or false", as_flag)
TEXT: Kind[str] = Kind("text", as_text, (None,))
CODE: Kind[str] = Kind("text or an integer", as_code, (None,))


class Problems:
    """Counts what is odd, and describes the first few."""

    __slots__ = ("count", "notes")

    def __init__(self) -> None:
        self.count = 0
        self.notes: list[str] = []

    def add(self, expected: str, value: object, path: str, *indexes: int) -> None:
        """Note an odd field; ``path`` has a %d for each index, filled in only for the few that are described."""
        self.count += 1
        if len(self.notes) < MAX_NOTES:
            self.notes.append(problem(path % indexes, expected, value))


def is_plain(value: object) -> bool:
    """Tell whether a value is JSON of at most `MAX_DEPTH` levels, which anyone can write again."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                if not all(isinstance(name, str) for name in item):
                    return False
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
            elif not (item is None or isinstance(item, (str, bool)) or as_number(item) is not None):
                return False
        if not inner:
            return True
        level = inner
    return False
