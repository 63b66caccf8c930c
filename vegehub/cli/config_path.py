"""Paths into a configuration, such as ``hub.name`` and ``sensors[0].mode``, and changes of what they lead to."""

from __future__ import annotations

import copy
import re
from typing import Any

from vegehub.wire import decode_strict_json

from .errors import CommandError, usage

Path = tuple[str | int, ...]
Change = tuple[Path, Any]

_STEP = re.compile(r"\.?([A-Za-z_][A-Za-z0-9_-]*)|\[([0-9]{1,4})\]")


def split_changes(texts: list[str]) -> list[Change]:
    """Read ``PATH=VALUE`` for each text; the value is JSON, or text where it is none."""
    changes = []
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals:
            raise usage(f"{text[:60]!r} is not like hub.name=Shed")
        changes.append((parse_path(path), _value(value)))
    return changes


def parse_path(text: str) -> Path:
    """Read a path; its first step is the name of a section."""
    steps: list[str | int] = []
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        # A name begins the path without a dot, and stands behind one everywhere else.
        if match is None or (match[0][0] in ".[") is not bool(steps):
            break
        steps.append(match[1] if match[1] is not None else int(match[2]))
        position = match.end()
    if not steps or position < len(text):
        raise usage(f"{text[:60]!r} is no path like hub.name or sensors[0].mode")
    return tuple(steps)


def apply_changes(document: dict[str, Any], changes: list[Change]) -> dict[str, Any]:
    """Return a changed copy; CommandError for a path that leads to nothing: hubs are not sent what they do not know."""
    changed = copy.deepcopy(document)
    for path, value in changes:
        place: Any = changed
        for step in path[:-1]:
            place = _inner(place, step, path)
        _inner(place, path[-1], path)
        place[path[-1]] = value
    return changed


def _inner(place: Any, step: str | int, path: Path) -> Any:
    if isinstance(place, dict) and step in place:
        return place[step]
    if isinstance(place, list) and isinstance(step, int) and step < len(place):
        return place[step]
    raise CommandError(f"this hub's configuration has no {written(path)}; nothing was written")


def written(path: Path) -> str:
    """Write a path as people do."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def _value(text: str) -> Any:
    try:
        return decode_strict_json(text)
    except ValueError:
        return text
