"""What small programs print for JSON with ``printf``, read as far as it can mean one thing only.

Taken beside JSON, wherever it stands: ``nan``, ``-nan``, ``inf``, ``ovf``, ``1.#QNAN``, ``None``, ``(null)`` and an empty
place as null; ``True``, ``FALSE``; numbers such as ``+1.5``, ``.5``, ``5.``, ``007``, ``0x1F`` and, in an object, ``1,5``;
any other bare word as text (``on``, ``-41 dBm``, ``7C:9E:BD:11:22:33``); keys without quotes; single quotes; control
characters, quotes and backslashes in text that were not escaped; commas too many or too few; a bracket that is missing
or too many where another tells what it belongs to; the last bracket missing; NUL, white space and plain words behind.

Refused, since it could mean two things or something is lost: a second document behind the first, a document that ends
in the middle, two quoted texts without a key, keys without a colon, comments.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    _Pattern = Callable[[str, int], re.Match[str] | None]

MAX_DEPTH = 64
"""Levels of nesting that are taken; a hub's own documents have six."""
MAX_DIGITS = 20
"""Digits of the longest integer that is taken: 2**64 has twenty."""
MAX_TEXT = 1100
"""Characters of the longest text that is read as a number: the longest double has as many digits."""
MAX_MEMBERS = 1_000_000
"""Values and brackets that are read of one text; 1 MiB of samples has some 80,000."""

# Each pattern is possessive, or ends at a character that its parts exclude: nothing is looked at more than a few times.
_S = r"[\s\x00-\x1f\x7f\ufeff]*+"
_space = re.compile(_S).match
_gap = re.compile(r"[\s\x00-\x1f\x7f\ufeff,]*+").match
# What stands between quotes. Not with a possessive group, which Python up to 3.11.4 matches wrongly.
_DOUBLE, _SINGLE = r"""[^"\\]*(?:\\.[^"\\]*)*""", r"""[^'\\]*(?:\\.[^'\\]*)*"""
_quoted_key = re.compile(rf"""(?:"({_DOUBLE})"|'({_SINGLE})'){_S}:""", re.DOTALL).match
_bare_key = re.compile(rf"([\w$.-]++){_S}:").match
_bare_value = re.compile(r"""[^,\]}\[{"\r\n\0]*+""").match
_decimal_comma = re.compile(rf"([+-]?[0-9]++),([0-9]++)(?={_S}[,}}])").match
_number = re.compile(r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?").fullmatch
_hex = re.compile(r"[+-]?0[xX][0-9a-fA-F]{1,16}").fullmatch
_nothing = re.compile(
    r"[+-]?(?:[sq]?nan(?:\(\w*\)|[0-9]\w*)?|inf|infinity|ovf|[0-9]\.#\w+)|null|none|nil|undefined|n/?a|\(null\)|[-*?]*",
    re.IGNORECASE,
).fullmatch
_SPACES = " \t\r\n\v\f\x7f\ufeff"
_WORDS = {"true": True, "false": False}
_QUOTED_KEY = rf"""(?:"{_DOUBLE}(?:"{_S}:|\Z)|'{_SINGLE}(?:'{_S}:|\Z))"""
# What stands behind the quote that ends a text: in an object; in a list; in an object, where a backslash stands before.
_behind_value = re.compile(
    rf"{_S}(?:\Z|[}}\]]|{_QUOTED_KEY}|,{_S}(?:\Z|[,}}\]]|{_QUOTED_KEY}|[\w$.-]++{_S}:))", re.DOTALL
).match
_behind_item = re.compile(rf"{_S}(?:\Z|[,}}\]])").match
_behind_escaped = re.compile(rf"""{_S},{_S}(["'])[^"'\\]*+\1{_S}:""").match
_escape = re.compile(r"""\\(u[0-9a-fA-F]{4}|["'\\/bfnrt])""")
_PLAIN = {'"': '"', "'": "'", "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
# Plain words, surplus brackets, and whatever lies behind the end of a C string.
_behind_all = re.compile(r'[^"\'{\[:\0]*+(?:\0.*)?', re.DOTALL).fullmatch


class NotJsonError(ValueError):
    """A text that cannot be read; says why, and shows nothing of it."""


def read_near_json(text: str) -> Any:
    """Read an object or a list; NotJsonError for what could mean two things, or ends in the middle.

    The time that it takes grows with the length of the text, whatever that holds.
    """
    start = _end(_space, text, 0)
    if text[start : start + 1] not in ("{", "["):
        raise _error("expected an object or a list", start)
    return _Reader(text, start).read()


def read_number(text: str) -> int | float | None:
    """Read a number as programs write it, hexadecimal and with a decimal comma too; None for anything else.

    None also for one beyond the range of a float, and for an integer of more than 20 digits.
    """
    if len(text) > MAX_TEXT:
        return None
    if _hex(text):
        return int(text, 16)
    if not _number(text):
        whole, comma, part = text.partition(",")
        if not comma or not part.isdigit() or not _number(f"{whole}.{part}"):
            return None
        text = f"{whole}.{part}"
    if text.lstrip("+-").isdigit():
        return int(text) if len(text.lstrip("+-0")) <= MAX_DIGITS else None
    number = float(text)
    return number if abs(number) < float("inf") else None


def is_nothing(text: str) -> bool:
    """Tell whether a text stands for a value that is not there: ``nan``, ``null``, ``--``, ``n/a``, or nothing at all."""
    return len(text) <= MAX_TEXT and _nothing(text) is not None


def _error(reason: str, position: int) -> NotJsonError:
    return NotJsonError(f"not JSON: {reason} at character {position}")


def _end(pattern: _Pattern, text: str, start: int) -> int:
    match = pattern(text, start)
    return start if match is None else match.end()


class _Reader:
    """One pass over a text, with a stack of the lists and objects that are open."""

    __slots__ = ("_at", "_stack", "_text")

    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self._at = start
        self._stack: list[dict[str, Any] | list[Any]] = []

    def read(self) -> Any:
        text = self._text
        root = self._open()
        for _ in range(MAX_MEMBERS):
            before = self._at
            self._at = _end(_gap, text, before)
            if self._at == len(text):
                if len(self._stack) > 1 or "," in text[before:]:
                    raise _error("it ends in the middle", self._at)
                return root
            if text[self._at] in "}]":
                self._close()
                if not self._stack:
                    break
            else:
                self._member()
        else:
            raise NotJsonError(f"not JSON, and more than {MAX_MEMBERS} values")
        if not _behind_all(text, self._at):
            raise _error("a second document, or the middle of one", self._at)
        return root

    def _open(self) -> Any:
        if len(self._stack) == MAX_DEPTH:
            raise NotJsonError("nested too deeply")
        new: dict[str, Any] | list[Any] = {} if self._text[self._at] == "{" else []
        self._stack.append(new)
        self._at += 1
        return new

    def _close(self) -> None:
        """Close the innermost that this bracket fits, with what is open within it; one that fits none is surplus."""
        wanted = dict if self._text[self._at] == "}" else list
        self._at += 1
        for depth in range(len(self._stack) - 1, -1, -1):
            if isinstance(self._stack[depth], wanted):
                del self._stack[depth:]
                return

    def _member(self) -> None:
        container = self._stack[-1]
        if isinstance(container, list):
            container.append(self._value(_behind_item))
            return
        key = self._key()
        self._at = _end(_space, self._text, self._at)
        if match := _decimal_comma(self._text, self._at):
            container[key] = read_number(f"{match[1]}.{match[2]}")
            self._at = match.end()
        else:
            container[key] = self._value(_behind_value)

    def _key(self) -> str:
        text = self._text
        if match := _quoted_key(text, self._at):
            self._at = match.end()
            return _unescaped(match[1] if match[1] is not None else match[2])
        if match := _bare_key(text, self._at):
            self._at = match.end()
            return match[1]
        raise _error("expected a key and a colon", self._at)

    def _value(self, behind: _Pattern) -> Any:
        text = self._text
        first = text[self._at : self._at + 1]
        if first in ("{", "["):
            return self._open()
        if first in ('"', "'"):
            return self._quoted(first, behind)
        start, self._at = self._at, _end(_bare_value, text, self._at)
        word = text[start : self._at].strip(_SPACES)
        value = _bare(word)
        if self._at == len(text) and (isinstance(value, str) or (value is None and word != "null")):
            raise _error("it ends in the middle", self._at)
        return value

    def _quoted(self, mark: str, behind: _Pattern) -> str:
        """Read a text: it ends at the first quote behind which something stands that cannot be of the text."""
        text = self._text
        start = place = self._at + 1
        while (end := text.find(mark, place)) >= 0:
            before = text[place:end]
            is_escaped = (len(before) - len(before.rstrip("\\"))) % 2
            place = end + 1
            if behind(text, place) if not is_escaped else behind is _behind_value and _behind_escaped(text, place):
                self._at = place
                return _unescaped(text[start:end])
        raise _error("a text without an end", start)


def _bare(word: str) -> Any:
    """Say what a word without quotes stands for: null, true, false, a number, or the text that it is."""
    if is_nothing(word):
        return None
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    if _number(word) or _hex(word):
        return read_number(word)
    return word.replace("\0", "")


def _unescaped(raw: str) -> str:
    """Return what a text means; a backslash that escapes nothing stands for itself, and NUL for nothing."""
    text = raw.replace("\0", "")
    if "\\" not in text:
        return text
    text = _escape.sub(lambda match: _PLAIN.get(match[1]) or chr(int(match[1][1:], 16)), text)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
