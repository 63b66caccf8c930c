"""What a peer sends: bytes to JSON values, as well as it can be; checks of their shape; text made harmless."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE, register_error
from contextlib import suppress
from typing import Any, NoReturn

from vegehub.exceptions import VegeHubPayloadError

from .near_json import MAX_DEPTH, MAX_DIGITS, NotJsonError, read_near_json

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


def _as_latin_1(err: UnicodeError) -> tuple[str, int]:
    """Read bytes that are no UTF-8 as Latin-1, which loses none of them: what a hub said can be written back to it."""
    if not isinstance(err, UnicodeDecodeError):
        raise err
    return err.object[err.start : err.end].decode("latin-1"), err.end


_LATIN_1 = "vegehub.latin-1"
register_error(_LATIN_1, _as_latin_1)


def decode_json(
    data: bytes | bytearray | str, charset: str | None = None, *, bounded: bool = True, lossless: bool = False
) -> Any:
    """Decode what a hub sent; ValueError, saying why in words without any of the data, for what cannot be read.

    Strict JSON first. Where that fails: by the mark of its encoding, by ``charset`` (what the sender declared), or as
    UTF-8 with replacement characters (``lossless``: with Latin-1 for what is none), and then as near to JSON as small
    programs come, see ``near_json``. NaN, Infinity, numbers that overflow and integers of more than 20 digits are None; nesting of more than 64 levels is
    refused. An object in a text is the object. Without ``bounded`` strict JSON keeps numbers out of range, and nests as
    it likes: for who looks at both, and has no time to lose.
    """
    try:
        document = _decode_strictly(data, bounded=bounded)
    except NotJsonError:
        raise
    except (ValueError, RecursionError) as err:
        reason = _reason(err)
    else:
        reason = ""
    if reason:
        document = _decode_leniently(
            data if isinstance(data, str) else _text_of(data, charset, lossless=lossless), reason
        )
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


def _decode_strictly(data: bytes | bytearray | str, *, bounded: bool = True) -> Any:
    text = data if isinstance(data, str) else data.decode()
    if "\0" in text:
        raise ValueError("not JSON: NUL")  # stands for nothing, which the strict decoder does not know
    decoder = _peer
    raw: bytes | bytearray = b""
    if bounded:
        raw = data.encode(errors="surrogatepass") if isinstance(data, str) else data
        zeros = raw.translate(_DIGITS_TO_ZEROS)
        for sign in _LARGE:  # hooks for each number are dear: they are set only where one may be too large
            if sign in zeros:
                decoder = _peer_of_large_numbers
    # What ``decode`` of the decoder does, without its two regular expressions for the white space.
    text = text.removeprefix("\ufeff").strip(_WHITE_SPACE)
    value, end = decoder.raw_decode(text)
    if end != len(text):
        raise ValueError(f"not JSON: extra data at character {end}")
    if bounded and raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _is_too_deep(value, raw):
        raise NotJsonError("nested too deeply")
    return value


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


def _text_of(data: bytes | bytearray, charset: str | None, *, lossless: bool) -> str:
    for mark, name in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(name, "replace")
    if wide := _WIDE(data):
        return data.decode((wide.lastgroup or "").replace("_", "-"), "replace")
    if charset and _CHARSETS(charset := charset.strip(" \"'")):
        with suppress(LookupError, UnicodeError):
            return data.decode(charset)
    return data.decode(errors=_LATIN_1 if lossless else "replace")


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


DEFAULT_LIMIT = 255
"""Characters kept where the caller names no limit: what one DNS-SD string can hold."""

# A whole escape sequence goes, so that "\x1b[31mred" leaves "red" and not "[31mred"; whatever of a
# malformed one is left is harmless without its control character, which goes as such.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, erase
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-~]"
)
_SPACES = frozenset("\t\n\v\f\r\x85\u2028\u2029")


def clean_text(text: str | bytes, limit: int = DEFAULT_LIMIT) -> str:
    """Return ``text`` on one line, without what a terminal or a reader could be fooled by, ``limit`` characters at most.

    Terminal escapes, control and format characters (bidirectional controls and invisible ones among them),
    surrogates, private and unassigned code points go; line breaks and tabs become spaces; bytes are read as UTF-8
    with replacement characters for what is none.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    kept = (
        " " if character in _SPACES else character
        for character in _ESCAPES.sub("", text)
        if character in _SPACES or unicodedata.category(character)[0] != "C"
    )
    return "".join(kept).strip()[:limit].rstrip()
