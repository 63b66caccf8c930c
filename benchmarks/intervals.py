"""Medians and ratios with their 95 % intervals, by bootstrap over rounds.

A round measures every contestant once, one shortly after the other, so that what disturbs the machine disturbs them all:
the ratio of two contestants is taken within each round, and rounds are what is drawn anew.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

DRAWS = 4000
_TAIL = 0.025


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, and the ends between which it lies in 95 of 100 runs like this one."""

    estimate: float
    low: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Interval:
        """Return the interval of what was counted, not measured."""
        return cls(value, value, value)


def of_median(values: Sequence[float], seed: int = 0) -> Interval:
    """Return the median of rounds with its interval; ValueError if there is no round, or a value is not finite."""
    if not values or not all(map(math.isfinite, values)):
        raise ValueError("rounds must be there, and finite")
    draw = random.Random(seed)  # noqa: S311 - the same rounds give the same interval
    medians = sorted(median(draw.choices(values, k=len(values))) for _ in range(DRAWS))
    return Interval(median(values), percentile(medians, _TAIL), percentile(medians, 1 - _TAIL))


def of_ratio(numerators: Sequence[float], denominators: Sequence[float], seed: int = 0) -> Interval:
    """Return the median of the ratios within rounds, with its interval; ValueError if the rounds are no pairs."""
    if len(numerators) != len(denominators):
        raise ValueError("each round needs both contestants")
    return of_median([above / below for above, below in zip(numerators, denominators, strict=True)], seed)


def percentile(ordered: Sequence[float], part: float) -> float:
    """Return the value below which ``part`` (0 to 1) of sorted values lie, between two of them if need be."""
    place = part * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
