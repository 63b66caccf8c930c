"""Volts to quantities and back."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vegehub.exceptions import VegeHubValueError
from vegehub.helpers import therm200_transform, vh400_transform
from vegehub.sensors import (
    AQUAPLUMB,
    BATTERY,
    RAW,
    SENSOR_CURVES,
    THERM200,
    THERM200_F,
    VG_HUMID,
    VH400,
    VH400_VENDOR,
    LinearCurve,
    PiecewiseCurve,
    SegmentCurve,
    SensorCurve,
    sensor_curve,
)

VOLTS = st.floats(0, 3.3)
CURVES = list(SENSOR_CURVES.values())
KNOWN_VALUES = [
    (VH400, 0.01, 0.0),
    (VH400, 0.0101, 0.0918181818181818),
    (VH400, 1.5, 24.615384615384613),
    (VH400, 3.2, 100.0),
    (VH400, -1, 0.0),
    (VH400_VENDOR, 0, 0.0),
    (VH400_VENDOR, 0.1, 0.0),
    (VH400_VENDOR, 0.5, 4.0),
    (VH400_VENDOR, 1.0, 9.0),
    (VH400_VENDOR, 1.2, 12.5),
    (VH400_VENDOR, 1.5, 24.62),
    (VH400_VENDOR, 2.0, 44.75),
    (VH400_VENDOR, 2.6, 75.0),
    (VH400_VENDOR, 3.0, 100.0),
    (VH400_VENDOR, 3.3, 100.0),
    (VH400_VENDOR, -1, 0.0),
    (THERM200, 0, -40.0),
    (THERM200, 1.5, 22.505000000000003),
    (THERM200, 3, 85.01),
    (THERM200, 3.3, 97.511),
    (THERM200_F, 0, -40.0),
    (THERM200_F, 3, 185.018),
    (VG_HUMID, 0, 0.0),
    (VG_HUMID, 1.5, 49.995),
    (VG_HUMID, 3.3, 100.0),
    (VG_HUMID, -1, 0.0),
    (AQUAPLUMB, 0, 0.0),
    (AQUAPLUMB, 1.5, 50.0),
    (AQUAPLUMB, 3, 100.0),
    (AQUAPLUMB, 3.3, 100.0),
    (AQUAPLUMB, -1, 0.0),
    (BATTERY, 9.3148, 9.3148),
    (RAW, 1.25, 1.25),
]


@pytest.mark.parametrize(("curve", "volts", "value"), KNOWN_VALUES, ids=lambda part: getattr(part, "name", part))
def test_a_curve_gives_the_published_value(curve: SensorCurve, volts: float, value: float) -> None:
    result = curve.convert(volts)
    assert isinstance(result, float)
    assert result == pytest.approx(value, abs=1e-9)


@given(volts=st.floats(-10, 10))
def test_helpers_and_curves_give_the_same_bits(volts: float) -> None:
    assert VH400.convert(volts) == vh400_transform(volts)
    assert THERM200.convert(volts) == therm200_transform(volts)


@given(volts=st.floats(0.0101, 4))
def test_the_general_interpolation_gives_the_bits_of_the_established_curve(volts: float) -> None:
    assert PiecewiseCurve.from_points(VH400.points).convert(volts) == VH400.convert(volts)


@pytest.mark.parametrize(
    ("volts", "below", "at"), [(1.1, 10.0, 10.0), (1.3, 15.0, 15.004), (1.82, 40.0056, 40.0124), (2.2, 50.014, 50.0)]
)
def test_the_steps_of_the_vendors_curve_stay_and_the_upper_segment_applies(
    volts: float, below: float, at: float
) -> None:
    assert VH400_VENDOR.convert(math.nextafter(volts, 0)) == pytest.approx(below, abs=1e-9)
    assert VH400_VENDOR.convert(volts) == pytest.approx(at, abs=1e-9)


def test_both_curves_of_the_vh400_agree_above_1_1_volts() -> None:
    for millivolts in range(1100, 3001):
        volts = millivolts / 1000
        assert abs(VH400.convert(volts) - VH400_VENDOR.convert(volts)) <= 0.0151


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
@given(volts=VOLTS)
def test_volts_for_a_quantity_give_that_quantity(curve: SensorCurve, volts: float) -> None:
    value = curve.convert(volts)
    # The vendor's steps are the only places where a value can be missed, by less than the step.
    assert curve.convert(curve.invert(value)) == pytest.approx(value, abs=0.015 if curve is VH400_VENDOR else 1e-6)


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
@given(volts=st.floats(0.2, 2.15))
def test_a_quantity_leads_back_to_its_volts(curve: SensorCurve, volts: float) -> None:
    assert curve.invert(curve.convert(volts)) == pytest.approx(volts, abs=1e-9)


def test_the_gap_of_a_step_leads_to_the_volts_of_the_step() -> None:
    assert VH400_VENDOR.invert(15.002) == 1.3
    assert VH400_VENDOR.invert(50.007) < 2.2
    assert VH400_VENDOR.invert(100) == 3.0
    assert VH400_VENDOR.invert(0) == 0.1


def test_values_inside_the_dead_band_lead_into_it() -> None:
    assert VH400.invert(0) == 0.0
    assert VH400.convert(VH400.invert(0.05)) == 0.0


@pytest.mark.parametrize("curve", [VH400, VH400_VENDOR, VG_HUMID, AQUAPLUMB], ids=lambda curve: curve.name)
@pytest.mark.parametrize("value", [-0.001, 100.001, 1e9])
def test_a_quantity_that_no_voltage_gives_is_refused(curve: SensorCurve, value: float) -> None:
    with pytest.raises(VegeHubValueError, match=f"{curve.name} value: expected 0 to 100 %"):
        curve.invert(value)


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
@pytest.mark.parametrize("value", [None, "1.5", True, math.nan, math.inf, -math.inf, 10**400, [1]])
def test_only_finite_numbers_are_taken(curve: SensorCurve, value: Any) -> None:
    with pytest.raises(VegeHubValueError, match="volts: expected a finite number"):
        curve.convert(value)
    with pytest.raises(VegeHubValueError, match=f"{curve.name} value: expected a finite number"):
        curve.invert(value)


def test_a_result_beyond_the_range_of_floats_is_refused() -> None:
    with pytest.raises(VegeHubValueError):
        THERM200.convert(1e308)
    with pytest.raises(VegeHubValueError):
        LinearCurve(name="flat", unit="", slope=1e-300).invert(1e300)


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_a_curve_says_unit_range_and_source(curve: SensorCurve) -> None:
    assert curve.unit
    assert curve.source
    assert 0 <= curve.low < curve.high
    assert sensor_curve(curve.name) is curve
    assert copy.deepcopy(curve) == curve == pickle.loads(pickle.dumps(curve))


@pytest.mark.parametrize(
    ("curve", "low", "high"),
    [(VH400, 0.0, 3.0), (VH400_VENDOR, 0.0, 3.0), (THERM200, 0.0, 3.0), (BATTERY, 5.5, 12.0), (RAW, 0.0, 3.3)],
    ids=lambda part: getattr(part, "name", part),
)
def test_a_curve_says_the_volts_it_is_made_for(curve: SensorCurve, low: float, high: float) -> None:
    assert (curve.low, curve.high) == (low, high)


@pytest.mark.parametrize("name", ["vh400", "VH400", " Vh400 "])
def test_a_name_is_found_in_any_case(name: str) -> None:
    assert sensor_curve(name) is VH400


@pytest.mark.parametrize("name", ["vg-humid", "VG_HUMID", "Vg-Humid"])
def test_dash_and_underscore_are_one(name: str) -> None:
    assert sensor_curve(name) is VG_HUMID


@pytest.mark.parametrize("name", ["VH500", "", None, 5, ["VH400"]])
def test_an_unknown_name_is_refused_with_the_known_ones(name: Any) -> None:
    with pytest.raises(VegeHubValueError, match="known are VH400, VH400_VENDOR, THERM200, THERM200_F, VG-HUMID"):
        sensor_curve(name)


def test_the_registry_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        SENSOR_CURVES["VH400"] = RAW  # type: ignore[index]  # that it is refused is the test


# Curves of one's own


def test_a_curve_of_ones_own() -> None:
    curve = PiecewiseCurve.from_points([(0.5, 0), (1.5, 40), (2.5, 50)], name="Tank", unit="cm")
    assert [curve.convert(volts) for volts in (0, 0.5, 1, 1.5, 2, 2.5, 3)] == [0, 0, 20, 40, 45, 50, 50]
    assert [curve.invert(value) for value in (0, 20, 40, 45, 50)] == [0.5, 1, 1.5, 2, 2.5]
    assert (curve.name, curve.unit, curve.low, curve.high, curve.source) == ("Tank", "cm", 0.5, 2.5, "user-defined")
    with pytest.raises(VegeHubValueError, match="Tank value: expected 0 to 50 cm"):
        curve.invert(50.1)


def test_a_falling_curve_has_an_inverse_too() -> None:
    curve = PiecewiseCurve.from_points([(0, 100), (1, 20), (3, 0)])
    assert (curve.convert(0.5), curve.convert(2)) == (60, 10)
    assert (curve.invert(60), curve.invert(10)) == (0.5, 2)
    with pytest.raises(VegeHubValueError, match="custom value: expected 0 to 100"):
        curve.invert(101)


@pytest.mark.parametrize("values", [(0, 10, 5), (10, 5, 7), (0, 5, 5), (1, 1)])
def test_a_curve_that_turns_or_stays_level_has_no_inverse(values: tuple[float, ...]) -> None:
    curve = PiecewiseCurve.from_points(enumerate(values))
    assert curve.convert(0.5) == (values[0] + values[1]) / 2
    with pytest.raises(VegeHubValueError, match="no inverse"):
        curve.invert(5)


@pytest.mark.parametrize(
    ("points", "place"),
    [
        ([], "points: expected at least two, got 0"),
        ([(0, 0)], "points: expected at least two, got 1"),
        (None, "points: expected a list"),
        (5, "points: expected a list"),
        ([(0, 0), 5], r"points\[1\]: expected a pair"),
        ([(0, 0), (1, 2, 3)], r"points\[1\]: expected a pair"),
        (["01", "12"], r"points\[0\]: expected a pair"),
        ([(0, 0), (0, 1)], r"points\[1\] volts: expected more than at the point before"),
        ([(0, 0), (1, 1), (0.5, 2)], r"points\[2\] volts: expected more than at the point before"),
        ([(0, 0), (math.nan, 1)], r"points\[1\] volts: expected a finite number"),
        ([(0, 0), (1, math.inf)], r"points\[1\] quantity: expected a finite number"),
        ([(0, 0), (1, "1")], r"points\[1\] quantity: expected a finite number"),
        ([(0, 0), (True, 1)], r"points\[1\] volts: expected a finite number"),
        ([(0, 0), (5e-324, 1)], "cannot be joined"),
        ([(0, -1.7e308), (1, 1.7e308)], "cannot be joined"),
        ([(-1.7e308, 0), (1.7e308, 1)], "cannot be joined"),
    ],
)
def test_points_that_make_no_curve_are_refused_by_place(points: Any, place: str) -> None:
    with pytest.raises(VegeHubValueError, match=place):
        PiecewiseCurve.from_points(points)


@given(
    points=st.lists(
        # Millivolts: voltages closer than a float can divide are refused, and tested above.
        st.tuples(st.integers(-5000, 5000).map(lambda millivolts: millivolts / 1000), st.floats(-1000, 1000)),
        min_size=2,
        unique_by=lambda point: point[0],
    ),
    volts=st.floats(-6, 6),
)
def test_a_curve_stays_within_its_points(points: list[tuple[float, float]], volts: float) -> None:
    points.sort()
    curve = PiecewiseCurve.from_points(points)
    values = [value for _, value in points]
    assert min(values) - 1e-9 <= curve.convert(volts) <= max(values) + 1e-9
    assert all(curve.convert(at) == value for at, value in points)


@given(
    steps=st.lists(st.tuples(st.floats(0.01, 1), st.floats(0.01, 100)), min_size=2, max_size=8), share=st.floats(0, 1)
)
def test_a_rising_curve_leads_back_to_the_volts(steps: list[tuple[float, float]], share: float) -> None:
    volts = list(itertools.accumulate(step for step, _ in steps))
    values = list(itertools.accumulate(step for _, step in steps))
    curve = PiecewiseCurve.from_points(zip(volts, values, strict=True))
    at = volts[0] + share * (volts[-1] - volts[0])
    assert curve.invert(curve.convert(at)) == pytest.approx(at, abs=1e-6)


def test_a_line_without_slope_is_refused() -> None:
    with pytest.raises(VegeHubValueError, match="slope"):
        LinearCurve(name="flat", unit="", slope=0)


def test_a_line_of_ones_own() -> None:
    curve = LinearCurve(name="Tank", unit="cm", slope=20, offset=5, limits=(10, 50))
    assert [curve.convert(volts) for volts in (0, 0.25, 1, 2.25, 3)] == [10, 10, 25, 50, 50]
    assert [curve.invert(value) for value in (10, 25, 50)] == [0.25, 1, 2.25]


@pytest.mark.parametrize("slope", [math.nan, math.inf, None, "1", True])
def test_a_slope_that_is_no_finite_number_is_refused(slope: Any) -> None:
    with pytest.raises(VegeHubValueError, match=r"^slope: expected a finite number$"):
        LinearCurve(name="odd", unit="", slope=slope)


def test_a_slope_of_nothing_is_refused_in_words() -> None:
    with pytest.raises(VegeHubValueError, match=r"^slope: expected any number but 0$"):
        LinearCurve(name="flat", unit="", slope=0)


def test_a_range_of_no_unit_ends_with_its_number() -> None:
    with pytest.raises(VegeHubValueError, match=r"^Share value: expected 0 to 1$"):
        PiecewiseCurve.from_points([(0, 0), (3, 1)], name="Share").invert(2)


def test_a_curve_without_a_unit_has_the_empty_one() -> None:
    assert PiecewiseCurve.from_points([(0, 0), (3, 1)]).unit == ""


def test_a_value_on_a_falling_step_leads_to_the_first_line_that_reaches_it() -> None:
    curve = SegmentCurve(name="Step", unit="", high=2.0, segments=((0.0, 10.0, 0.0), (1.0, 10.0, -5.0)), limits=(0, 15))
    assert [curve.invert(value) for value in (5, 10, 12.5, 15)] == [0.5, 1.0, 1.75, 2.0]


def test_a_limit_that_rounding_misses_leads_to_the_upper_end() -> None:
    # 0.3 x 3 is a hair below 0.9.
    curve = SegmentCurve(name="Hair", unit="", segments=((0.0, 0.3, 0.0),), limits=(0.0, 0.9))
    assert curve.convert(3.0) < 0.9
    assert curve.invert(0.9) == 3.0


@pytest.mark.parametrize("value", [0.0, 0.99, 2.01, 4.0])
def test_a_value_that_no_line_reaches_is_refused_though_the_limits_hold_it(value: float) -> None:
    curve = SegmentCurve(name="Short", unit="%", low=1.0, high=2.0, segments=((0.0, 1.0, 0.0),), limits=(0, 4))
    assert (curve.invert(1.0), curve.invert(2.0)) == (1.0, 2.0)
    with pytest.raises(VegeHubValueError, match=r"^Short value: expected 1 to 2 %$"):
        curve.invert(value)


@pytest.mark.parametrize(
    ("points", "text"),
    [
        (None, "points: expected a list of (volts, quantity) pairs"),
        ([(0, 0), 5], "points[1]: expected a pair (volts, quantity)"),
        ([(0, 0), (5e-324, 1)], "points: numbers this far apart cannot be joined"),
        # The quantities alone could be joined; the first and the last volts are too far apart.
        ([(-1e308, 0), (0, 1), (1e308, 2)], "points: numbers this far apart cannot be joined"),
    ],
)
def test_what_makes_no_curve_is_said_in_words(points: Any, text: str) -> None:
    with pytest.raises(VegeHubValueError) as caught:
        PiecewiseCurve.from_points(points)
    assert str(caught.value) == text


def test_a_result_that_is_no_finite_number_is_named() -> None:
    with pytest.raises(VegeHubValueError, match=r"^flat value: expected a finite number$"):
        LinearCurve(name="flat", unit="", slope=1e-300).invert(1e300)
    with pytest.raises(VegeHubValueError, match=r"^volts: expected a finite number$"):
        THERM200.convert(1e308)
