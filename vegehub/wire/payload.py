"""What a peer sends, from bytes to values: JSON decoded as well as it can be, and fields checked."""

from __future__ import annotations

import json
import math
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NoReturn, TypeVar

from vegehub.exceptions import VegeHubPayloadError

from .near_json import MAX_DEPTH, MAX_DIGITS, NotJsonError, read_near_json, read_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_COUNT = 1000
"""The greatest count, or number of a slot, that is taken of a hub."""

_TOO_LARGE = 10**MAX_DIGITS


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"expected a finite number, got {name}")


def _short_int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"an integer of {len(text)} digits")
    return int(text)


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"a number out of range, of {len(text)} characters")
    return value


_strict = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_short_int, parse_float=_finite_float)

# What is out of range is no value, as NaN is none. Control characters in text do no harm, and cost a hub nothing.
_peer = json.JSONDecoder(strict=False, parse_constant=lambda _: None)
_peer_of_large_numbers = json.JSONDecoder(
    strict=False,
    parse_constant=lambda _: None,
    parse_int=lambda text: int(text) if len(text) <= MAX_DIGITS else None,
    parse_float=lambda text: number if math.isfinite(number := float(text)) else None,
)
# A hook for each number doubles the cost: it is set only where a number may be too large, which two searches tell.
_DIGITS_TO_ZEROS = bytes.maketrans(b"123456789E+", b"0" * 9 + b"e0")
_LARGE = (b"0" * MAX_DIGITS, b"e000")
_WHITE_SPACE = " \t\n\r"
_ROUNDS = 8

_MARKS = (
    (BOM_UTF8, "utf-8"),
    (BOM_UTF32_LE, "utf-32-le"),  # before the one that it begins with
    (BOM_UTF32_BE, "utf-32-be"),
    (BOM_UTF16_LE, "utf-16-le"),
    (BOM_UTF16_BE, "utf-16-be"),
)
_WIDE = re.compile(
    rb"(?:(?P<utf_32_le>[{[]\0\0\0)|(?P<utf_32_be>\0\0\0[{[])|(?P<utf_16_le>[{[]\0)|(?P<utf_16_be>\0[{[]))"
).match
_CHARSETS = re.compile(
    r"(?:latin[-_]?[0-9]+|iso[-_]?8859[-_]?[0-9]+|(?:windows|cp)[-_]?[0-9]+|utf[-_]?(?:8|16|32)(?:[-_]?[lb]e)?"
    r"|us[-_]?ascii|ascii|koi8[-_]?[ru]|gb(?:k|2312|18030)|big5|shift[-_]?jis|sjis|euc[-_]?(?:jp|kr)|mac[-_]?roman)",
    re.IGNORECASE,
).fullmatch
_ESCAPED = re.compile(r'[\s\0]*+[{[][\s\0{[]*+\\"').match


def decode_json(data: bytes | bytearray | str, charset: str | None = None, *, bounded: bool = True) -> Any:
    """Decode what a hub sent; ValueError, saying why in words without any of the data, for what cannot be read.

    Strict JSON first. Where that fails: by the mark of its encoding, by ``charset`` (what the sender declared), or as
    UTF-8 with replacement characters, and then as near to JSON as small programs come, see ``near_json``. NaN,
    Infinity, numbers that overflow and integers of more than 20 digits are None; nesting of more than 64 levels is
    refused. An object in a text is the object. Without ``bounded`` strict JSON keeps numbers out of range, and nests as
    it likes: for who looks at both, and has no time to lose.
    """
    try:
        document = _decode_strictly(data) if bounded else _value_of(_peer, data)
    except NotJsonError:
        raise
    except (ValueError, RecursionError) as err:
        reason = _reason(err)
    else:
        reason = ""
    if reason:
        document = _decode_leniently(data if isinstance(data, str) else _text_of(data, charset), reason)
    if isinstance(document, str) and document.lstrip().startswith(("{", "[")):
        with suppress(ValueError, RecursionError):
            return _decode_strictly(document)
    return document


def decode_strict_json(data: bytes | bytearray | str) -> Any:
    """Decode strict UTF-8 JSON of a file or a user; ValueError, saying why without any of the data, for all else.

    Refused beyond the syntax: NaN and Infinity, numbers that overflow, integers of more than 20 digits, and nesting
    of more than 64 levels.
    """
    try:
        text = (data if isinstance(data, str) else data.removeprefix(BOM_UTF8).decode()).strip(_WHITE_SPACE)
        value, end = _strict.raw_decode(text)
    except UnicodeDecodeError as err:
        raise NotJsonError(f"not UTF-8 at byte {err.start}") from None
    except json.JSONDecodeError as err:
        raise NotJsonError(_reason(err)) from None
    except RecursionError:
        raise NotJsonError("nested too deeply") from None
    if end != len(text):
        raise NotJsonError(f"not JSON: extra data at character {end}")
    if _is_too_deep(value, text.encode(errors="replace")):
        raise NotJsonError("nested too deeply")
    return value


def _decode_strictly(data: bytes | bytearray | str) -> Any:
    raw = data.encode(errors="surrogatepass") if isinstance(data, str) else data
    value = _value_of(_peer_of_large_numbers if _may_be_large(raw) else _peer, data)
    if _is_too_deep(value, raw):
        raise NotJsonError("nested too deeply")
    return value


def _value_of(decoder: json.JSONDecoder, data: bytes | bytearray | str) -> Any:
    # What ``decode`` of the decoder does, without its two regular expressions for the white space.
    text = (data if isinstance(data, str) else data.decode()).removeprefix("\ufeff").strip(_WHITE_SPACE)
    if "\0" in text:
        raise ValueError("not JSON: NUL")  # stands for nothing, which the strict decoder does not know
    value, end = decoder.raw_decode(text)
    if end != len(text):
        raise ValueError(f"not JSON: extra data at character {end}")
    return value


def _may_be_large(raw: bytes | bytearray) -> bool:
    zeros = raw.translate(_DIGITS_TO_ZEROS)
    return any(sign in zeros for sign in _LARGE)


def _decode_leniently(text: str, reason: str) -> Any:
    """Read near-JSON; for a text that is nothing like it, raise the strict decoder's ``reason``."""
    if not text.lstrip(" \t\n\r\0\ufeff").startswith(("{", "[")):
        raise NotJsonError(reason)
    if _ESCAPED(text):
        text = text.replace('\\"', '"')
    return read_near_json(text)


def _reason(err: ValueError | RecursionError) -> str:
    if isinstance(err, json.JSONDecodeError):
        return f"not JSON: {err.msg[:1].lower()}{err.msg[1:]} at character {err.pos}"
    return f"not UTF-8 at byte {err.start}" if isinstance(err, UnicodeDecodeError) else "not JSON"


def _text_of(data: bytes | bytearray, charset: str | None) -> str:
    for mark, name in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(name, "replace")
    if wide := _WIDE(data):
        return data.decode((wide.lastgroup or "").replace("_", "-"), "replace")
    if charset and _CHARSETS(charset := charset.strip(" \"'")):
        with suppress(LookupError, UnicodeError):
            return data.decode(charset)
    return data.decode(errors="replace")


def _is_too_deep(value: Any, raw: bytes | bytearray) -> bool:
    """Tell whether lists and objects stand in one another more than `MAX_DEPTH` times."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return False
    brackets = raw.translate(_BRACKETS, _NO_BRACKETS)
    # Pairs go, level by level: a document of a hub is gone after six rounds. One with brackets in its texts is walked.
    for _ in range(_ROUNDS):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return False
    return _is_deeper(value, MAX_DEPTH)


_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))


def _is_deeper(value: Any, limit: int) -> bool:
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
    if isinstance(value, int) and abs(value) >= _TOO_LARGE:
        return f"an integer of more than {MAX_DIGITS} digits"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinity"
    return next((name for types, name in _KINDS if isinstance(value, types)), type(value).__name__)


def problem(path: str, expected: str, value: object) -> str:
    """Say what is wrong with a field, without its value: ``path: expected an integer, got text``."""
    if isinstance(value, float) and not math.isfinite(value) and expected in ("a number", "an integer"):
        expected = "a finite number"
    return f"{path or 'payload'}: expected {expected}, got {kind(value)}"


def wrong(path: str, expected: str, value: object) -> VegeHubPayloadError:
    """Build the error for a field of the wrong type."""
    return VegeHubPayloadError(problem(path, expected, value), path=path)


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
