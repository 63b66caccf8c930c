"""Curves from the volts at an input to what the sensor measures, and back.

Look one up by name with `sensor_curve`, or make one of your own with `PiecewiseCurve.from_points`. The curves are the
vendor's typical ones: two sensors of a kind differ, and soils do, so keep the volts as well.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING

from .exceptions import VegeHubValueError
from .helpers import THERM200_OFFSET, THERM200_SLOPE, VH400_POINTS, vh400_transform

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PERCENT = (0.0, 100.0)
"""The limits of a quantity in percent."""


def _finite(what: str, value: object) -> float:
    """Return a finite number as a float; VegeHubValueError, naming ``what``, for anything else, true and false too."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise VegeHubValueError(f"{what}: expected a finite number")


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorCurve(ABC):
    """Turns the volts of an input into a quantity, and back; each kind of curve says what it does at its ends."""

    name: str
    unit: str
    """Unit of the quantity; "" where there is none."""
    low: float = 0.0
    """Volts at the lower end of the sensor's range."""
    high: float = 3.0
    """Volts at the upper end of the sensor's range."""
    source: str = ""
    """Where the curve comes from."""

    def convert(self, volts: float) -> float:
        """Return the quantity, in ``unit``, at ``volts``; VegeHubValueError if that is not a finite number."""
        return _finite("volts", self._quantity(_finite("volts", volts)))

    def invert(self, value: float) -> float:
        """Return volts at which the sensor shows ``value``; where a clamped curve has many, those where its line ends.

        VegeHubValueError if ``value`` is no finite number, if no voltage gives it, or if the curve has no inverse.
        """
        what = f"{self.name} value"
        return _finite(what, self._volts(_finite(what, value)))

    @abstractmethod
    def _quantity(self, volts: float) -> float: ...

    @abstractmethod
    def _volts(self, value: float) -> float: ...

    def _out_of_reach(self, low: float, high: float) -> VegeHubValueError:
        return VegeHubValueError(f"{self.name} value: expected {low:g} to {high:g} {self.unit}".rstrip())


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearCurve(SensorCurve):
    """A straight line, ``slope * volts + offset``; beyond the sensor's range it goes on, up to ``limits``."""

    slope: float = 1.0
    offset: float = 0.0
    limits: tuple[float, float] | None = None
    """Least and greatest quantity; what lies beyond is shown as the limit. None: not clamped."""

    def __post_init__(self) -> None:
        if not _finite("slope", self.slope):
            raise VegeHubValueError("slope: expected any number but 0")

    def _quantity(self, volts: float) -> float:
        value = volts * self.slope + self.offset
        return value if self.limits is None else _clamped(value, self.limits)

    def _volts(self, value: float) -> float:
        if self.limits is not None and not self.limits[0] <= value <= self.limits[1]:
            raise self._out_of_reach(*self.limits)
        return (value - self.offset) / self.slope


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentCurve(SensorCurve):
    """Rising lines that need not meet: ``(first volts, slope, offset)`` of each, clamped to ``limits``.

    At the volts where two lines meet, the upper one applies. ``invert`` takes the first line that reaches a value;
    a value in the gap between two lines gives the volts of the gap.
    """

    segments: tuple[tuple[float, float, float], ...]
    limits: tuple[float, float]
    """Least and greatest quantity; what lies beyond, and every voltage out of range, is shown as the limit."""

    def _quantity(self, volts: float) -> float:
        inside = _clamped(volts, (self.low, self.high))
        _, slope, offset = next(segment for segment in reversed(self.segments) if segment[0] <= inside)
        return _clamped(slope * inside + offset, self.limits)

    def _volts(self, value: float) -> float:
        lowest, highest = self._quantity(self.low), self._quantity(self.high)
        # A limit may be a rounding away from where the line that makes it ends.
        if not (lowest <= value <= highest or math.isclose(value, lowest) or math.isclose(value, highest)):
            raise self._out_of_reach(lowest, highest)
        ends = [*(start for start, _, _ in self.segments[1:]), self.high]
        reached = (
            max(start, (value - offset) / slope)
            for (start, slope, offset), end in zip(self.segments, ends, strict=True)
            if value <= slope * end + offset
        )
        return next(reached, self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class PiecewiseCurve(SensorCurve):
    """Straight lines between ``(volts, quantity)`` points; beyond the first and the last point their values hold.

    At least two points, all numbers finite, the volts strictly increasing, else VegeHubValueError. ``invert`` needs
    quantities that only rise or only fall.
    """

    points: tuple[tuple[float, float], ...]
    _starts: tuple[float, ...] = field(init=False, repr=False, compare=False)
    _slopes: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        points = _checked_points(self.points)
        slopes = tuple(_slope(*ends) for ends in pairwise(points))
        if not all(map(math.isfinite, (*slopes, points[-1][0] - points[0][0]))):
            raise VegeHubValueError("points: numbers this far apart cannot be joined")
        derived = {
            "points": points,
            "low": points[0][0],
            "high": points[-1][0],
            # Without the ends: what lies before the first start belongs to the first line, and so on.
            "_starts": tuple(volts for volts, _ in points[1:-1]),
            "_slopes": slopes,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_points(
        cls,
        points: Iterable[tuple[float, float]],
        *,
        name: str = "custom",
        unit: str = "",
        source: str = "user-defined",
    ) -> PiecewiseCurve:
        """Make a curve of your own from ``(volts, quantity)`` points; VegeHubValueError names a point that is wrong."""
        return cls(name=name, unit=unit, source=source, points=points)  # type: ignore[arg-type]  # read when checked

    def _quantity(self, volts: float) -> float:
        if volts <= self.low:
            return self.points[0][1]
        if volts >= self.high:
            return self.points[-1][1]
        index = bisect_right(self._starts, volts)
        start, value = self.points[index]
        return value + self._slopes[index] * (volts - start)

    def _volts(self, value: float) -> float:
        if not (all(slope > 0 for slope in self._slopes) or all(slope < 0 for slope in self._slopes)):
            raise VegeHubValueError(f"{self.name}: rises and falls, or stays level, so it has no inverse")
        for (start, first), slope, (end, last) in zip(self.points, self._slopes, self.points[1:], strict=False):
            if min(first, last) <= value <= max(first, last):
                return _clamped(start + (value - first) / slope, (start, end))
        values = sorted((self.points[0][1], self.points[-1][1]))
        raise self._out_of_reach(*values)


@dataclass(frozen=True, slots=True, kw_only=True)
class _EstablishedCurve(PiecewiseCurve):
    """The VH400 curve of `vh400_transform`, with its dead band."""

    def _quantity(self, volts: float) -> float:
        return float(vh400_transform(volts) or 0.0)


def _clamped(value: float, limits: tuple[float, float]) -> float:
    return min(max(value, limits[0]), limits[1])


def _slope(start: tuple[float, float], end: tuple[float, float]) -> float:
    return (end[1] - start[1]) / (end[0] - start[0])


def _checked_points(points: Iterable[object]) -> tuple[tuple[float, float], ...]:
    checked: list[tuple[float, float]] = []
    try:
        entries = tuple(points)
    except TypeError:
        raise VegeHubValueError("points: expected a list of (volts, quantity) pairs") from None
    for index, entry in enumerate(entries):
        place = f"points[{index}]"
        if not isinstance(entry, (tuple, list)) or len(entry) != 2:  # noqa: PLR2004 - a pair
            raise VegeHubValueError(f"{place}: expected a pair (volts, quantity)")
        pair = (_finite(f"{place} volts", entry[0]), _finite(f"{place} quantity", entry[1]))
        if checked and pair[0] <= checked[-1][0]:
            raise VegeHubValueError(f"{place} volts: expected more than at the point before")
        checked.append(pair)
    if len(checked) < 2:  # noqa: PLR2004 - a line needs two points
        raise VegeHubValueError(f"points: expected at least two, got {len(checked)}")
    return tuple(checked)


VH400 = _EstablishedCurve(
    name="VH400", unit="%", points=VH400_POINTS, source="curve of the established client and of Home Assistant"
)
"""Soil moisture, volumetric water content, 0-3 V -> 0-100 %; the curve of the established client, as `vh400_transform`.

Up to 0.010 V it is 0, from 3 V on 100. ``invert`` gives volts inside that dead band for values below 0.091 %.
"""

VH400_VENDOR = SegmentCurve(
    name="VH400_VENDOR",
    unit="%",
    segments=((0.0, 10.0, -1.0), (1.1, 25.0, -17.5), (1.3, 48.08, -47.5), (1.82, 26.32, -7.89), (2.2, 62.5, -87.5)),
    limits=PERCENT,
    source="the vendor's published segments, second hand",
)
"""Soil moisture, volumetric water content, 0-3 V -> 0-100 %; the segments that the vendor publishes.

The vendor's rounding leaves small steps: 15.000 to 15.004 at 1.3 V, 40.006 to 40.012 at 1.82 V, and 50.014 back to
50.000 at 2.2 V. They stay as published; the upper segment applies at the step. The vendor's line gives -1 at 0 V: it
is clamped to 0..100, so that below 0.1 V it reads 0.
"""

THERM200 = LinearCurve(
    name="THERM200",
    unit="°C",
    slope=THERM200_SLOPE,
    offset=THERM200_OFFSET,
    source="the vendor's formula, second hand, and the established client",
)
"""Soil temperature, 0-3 V -> -40..85 °C; not clamped: beyond 3 V the line goes on. As `therm200_transform`."""

THERM200_F = LinearCurve(
    name="THERM200_F", unit="°F", slope=75.006, offset=-40.0, source="the vendor's formula, second hand"
)
"""Soil temperature, 0-3 V -> -40..185 °F; not clamped: beyond 3 V the line goes on."""

VG_HUMID = LinearCurve(
    name="VG-HUMID", unit="%", slope=33.33, limits=PERCENT, source="other users' code, 33.33 % per volt"
)
"""Relative humidity of air, 0-3 V -> 0-100 %, clamped to 0..100."""

AQUAPLUMB = LinearCurve(
    name="AQUAPLUMB", unit="%", slope=100 / 3, limits=PERCENT, source="other users' code, linear over 3 V"
)
"""Water level as a percentage of the probe, 0-3 V -> 0-100 %, clamped to 0..100.

The level in centimetres depends on the length of the probe and how it is mounted: measure two levels and use
`PiecewiseCurve.from_points`.
"""

BATTERY = LinearCurve(
    name="BATTERY", unit="V", low=5.5, high=12.0, source="the hub itself; 5.5 to 12 V and a little more were seen"
)
"""Battery volts as the hub reports them, usually 5.5-12 V, not clamped."""

RAW = LinearCurve(name="RAW", unit="V", high=3.3, source="the hub itself")
"""Volts at the input as the hub reports them, 0-3.3 V, not clamped."""

SENSOR_CURVES: Mapping[str, SensorCurve] = MappingProxyType(
    {curve.name: curve for curve in (VH400, VH400_VENDOR, THERM200, THERM200_F, VG_HUMID, AQUAPLUMB, BATTERY, RAW)}
)
"""The known curves by name."""


def sensor_curve(name: str) -> SensorCurve:
    """Return the curve of that name, case and the kind of dash ignored; VegeHubValueError lists the known ones."""
    if isinstance(name, str):
        wanted = _folded(name)
        for known, curve in SENSOR_CURVES.items():
            if _folded(known) == wanted:
                return curve
    raise VegeHubValueError(f"unknown sensor; known are {', '.join(SENSOR_CURVES)}")


def _folded(name: str) -> str:
    return name.strip().casefold().replace("_", "-")
