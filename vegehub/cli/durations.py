"""Durations as people write them: 90s, 10m, 1h30m."""

from __future__ import annotations

import re

_SECONDS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_PARTS = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,7}(?:\.\d{1,3})?)s)?", re.ASCII)
_PLAIN = re.compile(r"\d{1,7}(?:\.\d{1,3})?", re.ASCII)


def parse_duration(text: str) -> float:
    """Return seconds for ``90s``, ``10m``, ``1h30m``, ``2d``, or a plain number of seconds; ValueError for else."""
    folded = text.strip().lower()
    if _PLAIN.fullmatch(folded):
        return float(folded)
    match = _PARTS.fullmatch(folded)
    if match is None or not folded:
        raise ValueError(f"{text[:40]!r} is no duration: write it like 90s, 10m or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in zip(match.groups(), "dhms", strict=True) if number)


def format_duration(seconds: float) -> str:
    """Return ``1h 30m``, ``4m 05s`` or ``12s`` for seconds; at most two units, rounded to whole seconds."""
    left = round(seconds)
    for unit, smaller in (("d", "h"), ("h", "m"), ("m", "s")):
        count, rest = divmod(left, _SECONDS[unit])
        if count:
            part = rest // _SECONDS[smaller]
            return f"{count}{unit} {part:02}{smaller}" if part else f"{count}{unit}"
    return f"{left}s"
