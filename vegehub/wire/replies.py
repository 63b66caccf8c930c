"""What a hub's reply says of a command: whether it is meant to be JSON, and whether it refuses."""

from __future__ import annotations

import re

from .near_json import read_number
from .payload import clean_text, kind

_LONGEST_WORD = 80
_begins_as_json = re.compile(
    rb"[\s\0]*+(?:\xef\xbb\xbf[\s\0]*+)?[{\[]|(?:\xff\xfe|\xfe\xff|\0\0\xfe\xff)\0*+(?!\Z)"  # the marks
).match
_SUCCESS = frozenset(
    ("", "success", "successful", "succeeded", "ok", "okay", "done", "none", "no error", "no errors", "noerror")
) | {"null", "nil", "false", "n/a", "-", "--"}


def looks_like_json(body: bytes) -> bool:
    """Tell whether a body is meant to be JSON: behind white space, NUL and a mark, it begins with a brace or a bracket.

    A mark of UTF-16 or UTF-32 will do, if there is anything behind it. Plain text and an empty body are not meant to be JSON.
    """
    return _begins_as_json(body) is not None


def refusal(reply: object) -> str:
    """Return why a decoded reply refuses the command, in the hub's own word, cleaned and cut; "" for success.

    Success is no ``error`` at all, or one that says so in any case: "success", "ok", "none", "no error", "0", 0,
    null, false, or nothing; and no ``success`` or ``ok`` that is false. Objects in a list are looked at, too.
    """
    if isinstance(reply, dict) and reply.get("error") == "success":
        return ""  # what hubs nearly always say
    entries = reply if isinstance(reply, list) else [reply]
    said = (_said_by(entry) for entry in entries if isinstance(entry, dict))
    return next((word for word in said if word), "")


def _said_by(reply: dict[object, object]) -> str:
    by_name = {name.lower(): value for name, value in reply.items() if isinstance(name, str)}
    if word := _word(by_name.get("error")):
        return word
    return next((f"{name}: false" for name in ("success", "ok") if by_name.get(name) is False), "")


def _word(error: object) -> str:
    """Return what ``error`` says, "" for success."""
    if isinstance(error, str):
        plain = " ".join(re.sub(r"[_.!]", " ", error.lower()).split())
        if plain in _SUCCESS or read_number(error.strip()) == 0:
            return ""
        return clean_text(error, _LONGEST_WORD) or "error: unreadable text"
    if not error:
        return ""
    if isinstance(error, list):
        return next((word for word in map(_word, error[:_LONGEST_WORD]) if word), "")
    if isinstance(error, dict):
        return _word_of_object(error)
    return (
        "error: true"
        if error is True
        else f"error {error}"
        if isinstance(error, (int, float))
        else f"error: {kind(error)}"
    )


def _word_of_object(error: dict[object, object]) -> str:
    for name in ("message", "text", "msg", "error", "code"):
        value = error.get(name)
        if isinstance(value, (str, int, float)):
            return _word(value)
    return "error: an object"
