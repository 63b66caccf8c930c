"""What a recorded hub answered, kept up to date: only what has changed since then is written anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_NAMES_OF_ENTRIES = ("slot", "chan")


@dataclass(frozen=True, slots=True)
class Template:
    """A recorded document, and what the simulated hub would have said at that moment."""

    recorded: Any
    then: Any

    def filled(self, now: Any) -> Any:
        """Return the recorded document with what is ``now`` different; its keys, order and types stay."""
        return _filled(self.recorded, self.then, now)


def _filled(recorded: Any, then: Any, now: Any) -> Any:
    if isinstance(recorded, dict) and isinstance(then, dict) and isinstance(now, dict):
        return {
            key: _filled(value, then[key], now[key]) if key in then and key in now else value
            for key, value in recorded.items()
        }
    if isinstance(recorded, list) and isinstance(then, list) and isinstance(now, list):
        before, after = _by_name(then), _by_name(now)
        return [
            _filled(entry, before[name], after[name]) if (name := _name(entry)) in before and name in after else entry
            for entry in recorded
        ]
    return recorded if now == then else _like(recorded, now)


def _like(recorded: Any, value: Any) -> Any:
    """Write ``value`` as the hub writes it; what has another shape there stays as it was recorded."""
    if isinstance(recorded, bool):
        return bool(value)
    if isinstance(recorded, str):
        return str(value)
    is_plain = isinstance(value, (int, float, str)) and not isinstance(recorded, (dict, list))
    return value if is_plain else recorded


def _by_name(entries: list[Any]) -> dict[Any, Any]:
    return {_name(entry): entry for entry in entries}


def _name(entry: Any) -> Any:
    """Return what tells the entries of a list apart: their slot or channel; None for an entry of another kind."""
    if not isinstance(entry, dict):
        return None
    return next((repr(entry[key]) for key in _NAMES_OF_ENTRIES if key in entry), None)
