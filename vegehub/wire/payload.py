"""JSON from a peer: decoded strictly, and each field that has the wrong type named by its path."""

from __future__ import annotations

import json
import math
from codecs import BOM_UTF8
from contextlib import suppress
from typing import Any, NoReturn

from vegehub.exceptions import VegeHubPayloadError

MAX_DEPTH = 64
"""Levels of nesting that are taken; a hub's own documents have six."""
MAX_DIGITS = 20
"""Digits of the longest integer that is taken: 2**64 has twenty."""
MAX_COUNT = 1000
"""The greatest count, or number of a slot, that is taken of a hub."""

_TOO_LARGE = 10**MAX_DIGITS


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _bounded_int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"an integer of {len(text)} digits")
    return int(text)


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"a number out of range, of {len(text)} characters")
    return value


_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite_float)
_long_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_bounded_int, parse_float=_finite_float)
_WHITE_SPACE = " \t\n\r"
_DIGITS_TO_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_MANY_ZEROS = b"0" * MAX_DIGITS


def decode_json(data: bytes | bytearray | str) -> Any:
    """Decode UTF-8 JSON; ValueError, saying why in words without any of the data, for everything that is not.

    Refused beyond the syntax: NaN and Infinity, numbers that overflow, integers of more than 20 digits, and nesting
    of more than 64 levels.
    """
    try:
        # The codec utf-8-sig does the same, but is written in Python.
        text = data if isinstance(data, str) else data.removeprefix(BOM_UTF8).decode()
        # A hook for each integer is dear: it is set only where one may be too long.
        is_long = isinstance(data, str) or _MANY_ZEROS in data.translate(_DIGITS_TO_ZEROS)
        # What ``decode`` of the decoder does, without its two regular expressions for the white space.
        document = text.strip(_WHITE_SPACE)
        value, end = (_long_decoder if is_long else _decoder).raw_decode(document)
    except UnicodeDecodeError as err:
        raise ValueError(f"not UTF-8 at byte {err.start}") from None
    except json.JSONDecodeError as err:
        raise ValueError(f"not JSON: {err.msg} at character {err.pos}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if end != len(document):
        raise ValueError(f"not JSON: Extra data at character {end}")
    # Counting is far cheaper than walking, and only a document with many brackets can be deep.
    if text.count("[") + text.count("{") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise ValueError("nested too deeply")
    return value


def _deeper_than(value: Any, limit: int) -> bool:
    """Tell whether lists and objects stand in one another more than ``limit`` times; one walk, level by level."""
    level = [value]
    for _ in range(limit + 1):
        level = [item for item in level if isinstance(item, (dict, list))]
        if not level:
            return False
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return True


_KINDS = (
    (type(None), "null"),
    (bool, "true or false"),  # before the numbers: a bool is an int
    ((int, float), "a number"),
    (str, "text"),
    (dict, "an object"),
    ((list, tuple), "a list"),
)


def kind(value: object) -> str:
    """Name the JSON type of ``value`` in words, without showing the value: it may be a secret."""
    return next((name for types, name in _KINDS if isinstance(value, types)), type(value).__name__)


def wrong(path: str, expected: str, value: object) -> VegeHubPayloadError:
    """Build the error for a field of the wrong type: ``path: expected an int, got text``."""
    return VegeHubPayloadError(f"{path or 'payload'}: expected {expected}, got {kind(value)}", path=path)


def as_object(value: object, path: str = "") -> dict[str, Any]:
    """Return ``value`` if it is a JSON object; VegeHubPayloadError otherwise."""
    if not isinstance(value, dict):
        raise wrong(path, "an object", value)
    return value


def as_list(value: object, path: str = "") -> list[Any]:
    """Return ``value`` if it is a JSON list; VegeHubPayloadError otherwise."""
    if not isinstance(value, list):
        raise wrong(path, "a list", value)
    return value


def as_int(value: object, path: str = "") -> int:
    """Return ``value`` as an int of at most 20 digits: a number, a bool, or text; VegeHubPayloadError otherwise.

    Hubs send the same field as a number, as true or false, and as text, depending on the firmware.
    """
    number: int | None = None
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        number = int(value)
    elif isinstance(value, str) and len(value) <= MAX_DIGITS:
        with suppress(ValueError):
            number = int(value)
    # Python refuses to print an int of 4,300 digits, so that none may get into a model.
    if number is None or abs(number) >= _TOO_LARGE:
        raise wrong(path, "an integer", value)
    return number


def as_count(value: object, path: str = "") -> int:
    """Return ``value`` as an int from 0 to 1000, read as by `as_int`; VegeHubPayloadError otherwise.

    What is counted or numbered in a hub has at most two digits; a wrong count must not fill the memory of a reader.
    """
    if type(value) is int and 0 <= value <= MAX_COUNT:
        return value  # the usual case; what follows would come to the same
    number = as_int(value, path)
    if not 0 <= number <= MAX_COUNT:
        raise VegeHubPayloadError(f"{path or 'payload'}: expected an integer from 0 to {MAX_COUNT}", path=path)
    return number


def as_number(value: object, path: str = "") -> float:
    """Return ``value`` as a finite float: a number or text that holds one, no bool; VegeHubPayloadError otherwise."""
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            pass
        else:
            if math.isfinite(number):
                return number
    raise wrong(path, "a number", value)


def as_text(value: object, path: str = "") -> str:
    """Return ``value`` if it is text; VegeHubPayloadError otherwise."""
    if not isinstance(value, str):
        raise wrong(path, "text", value)
    return value
