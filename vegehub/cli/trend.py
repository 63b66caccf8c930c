"""A few numbers as a line of characters, and which way they go."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_BARS = "_.-=^"
_ARROWS = ("↓", "→", "↑")
_PLAIN_ARROWS = ("-", "=", "+")
_FLAT = 0.01
"""Volts within which a value is said to stay: sensors and converters wobble by some millivolts."""


def sparkline(values: Sequence[float], *, plain: bool = False) -> str:
    """Return one character for each value, between the lowest and the highest; ``plain`` keeps to ASCII."""
    bars = _PLAIN_BARS if plain else _BARS
    low = min(values, default=0.0)
    spread = max(max(values, default=0.0) - low, _FLAT)
    return "".join(bars[min(int((value - low) / spread * len(bars)), len(bars) - 1)] for value in values)


def arrow(values: Sequence[float], *, plain: bool = False) -> str:
    """Return whether the later half is above, below or about at the earlier one; "" for fewer than two values."""
    numbers = list(values)
    if len(numbers) < 2:  # noqa: PLR2004 - one value goes nowhere
        return ""
    half = len(numbers) // 2
    change = sum(numbers[half:]) / (len(numbers) - half) - sum(numbers[:half]) / half
    arrows = _PLAIN_ARROWS if plain else _ARROWS
    return arrows[1 if abs(change) < _FLAT else 2 if change > 0 else 0]
