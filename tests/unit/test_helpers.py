"""The helpers beyond their established results: any payload, wrong counts, no weight."""

from __future__ import annotations

import math
import subprocess
import sys
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vegehub import SlotLayout, VegeHubValueError
from vegehub.helpers import (
    VH400_POINTS,
    therm200_transform,
    update_data_to_ha_dict,
    update_data_to_latest_dict,
    vh400_transform,
)

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["mac", "sensors", "slot", "samples", "v", "t", "x"]), inner, max_size=6)
    ),
    max_leaves=30,
)
ENTRIES = st.fixed_dictionaries(
    {"slot": st.integers(-1, 12) | ANYTHING, "samples": st.lists(st.fixed_dictionaries({"v": ANYTHING})) | ANYTHING}
)
UPDATES = st.fixed_dictionaries({"mac": st.text(max_size=4), "sensors": st.lists(ENTRIES | ANYTHING)})


def is_number(value: Any) -> bool:
    try:
        return isinstance(value, (int, float, str)) and math.isfinite(float(value))
    except ValueError:
        return False
    except OverflowError:
        return True


def entry(slot: Any, value: Any = 1.5) -> dict[str, Any]:
    return {"slot": slot, "samples": [{"v": value}]}


@pytest.mark.parametrize("transform", [vh400_transform, therm200_transform])
@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, "nan", "inf", "-inf", "1e400", 10**400, -(10**400), b"1.5", 1j, (1,)]
)
def test_what_is_no_finite_number_has_no_quantity(transform: Any, value: Any) -> None:
    assert transform(value) is None


def test_a_temperature_out_of_the_range_of_floats_is_none() -> None:
    assert therm200_transform(1e308) is None


@given(value=ANYTHING)
def test_transforms_take_any_value(value: Any) -> None:
    moisture, celsius = vh400_transform(value), therm200_transform(value)
    assert moisture is None or 0 <= moisture <= 100
    assert celsius is None or math.isfinite(celsius)


@given(one=st.floats(-1, 4), other=st.floats(-1, 4))
def test_more_volts_never_read_drier(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert vh400_transform(low) <= vh400_transform(high)  # type: ignore[operator]  # floats are never None here


@pytest.mark.parametrize(("volts", "percent"), VH400_POINTS)
def test_the_curve_passes_through_its_points(volts: float, percent: float) -> None:
    assert vh400_transform(volts) == percent


@given(data=UPDATES | ANYTHING)
def test_any_payload_gives_numbers_under_known_keys(data: Any) -> None:
    by_use = update_data_to_ha_dict(data, 4, 2, False)
    latest = update_data_to_latest_dict(data)
    assert set(by_use) <= {"analog_0", "analog_1", "analog_2", "analog_3", "battery", "actuator_0", "actuator_1"}
    assert all(map(is_number, [*by_use.values(), *latest.values()]))
    assert all(key.rpartition("_")[2].removeprefix("-").isdecimal() for key in latest)


@given(sensors=st.integers(0, 20), actuators=st.integers(0, 20), is_ac=st.booleans())
def test_the_keys_are_those_of_the_slot_layout(sensors: int, actuators: int, is_ac: bool) -> None:
    layout = SlotLayout.of(sensors, actuators, is_ac)
    data = {"mac": "", "sensors": [entry(slot, slot) for slot in range(50)]}
    expected = {f"analog_{index}": slot for index, slot in enumerate(layout.inputs)}
    expected |= {f"actuator_{index}": slot for index, slot in enumerate(layout.actuators)}
    if layout.battery is not None:
        expected["battery"] = layout.battery
    assert update_data_to_ha_dict(data, sensors, actuators, is_ac) == expected


def test_hubs_of_many_shapes_do_not_get_mixed_up() -> None:
    data = {"mac": "", "sensors": [entry(slot, slot) for slot in range(1, 202)]}
    for _ in range(2):
        for count in range(100):
            by_use = update_data_to_ha_dict(data, count, count, True)
            assert len(by_use) == 2 * count
            assert by_use.get("actuator_0") == (count + 1 if count else None)


@pytest.mark.parametrize("is_ac", [[], {}, "", "yes", 2, 0.0])
def test_any_value_of_is_ac_is_true_or_false(is_ac: Any) -> None:
    data = {"mac": "", "sensors": [entry(5)]}
    expected = {"actuator_0": 1.5} if is_ac else {"battery": 1.5}
    assert update_data_to_ha_dict(data, 4, 2, is_ac) == expected


@pytest.mark.parametrize("counts", [(None, 2), (4, None), ("4", 2), (4, [2]), (-1, 2), (4, -1), (1001, 0), (4, 10**18)])
def test_wrong_counts_are_refused(counts: Any) -> None:
    with pytest.raises(VegeHubValueError, match=r"num_(sensors|actuators): expected an integer from 0 to 1000"):
        update_data_to_ha_dict({"mac": "", "sensors": []}, *counts, False)


def test_other_mappings_and_sequences_count_as_well() -> None:
    samples = (MappingProxyType({"v": 1.5}),)
    data = MappingProxyType({"mac": "A", "sensors": (MappingProxyType({"slot": 1, "samples": samples}),)})
    assert update_data_to_ha_dict(data, 4, 2, False) == {"analog_0": 1.5}
    assert update_data_to_latest_dict(data) == {"a_1": 1.5}


def test_slots_beyond_the_usual_keep_their_number() -> None:
    assert update_data_to_latest_dict({"mac": "A", "sensors": [entry(63), entry(64), entry(-1)]}) == {
        "a_63": 1.5,
        "a_64": 1.5,
        "a_-1": 1.5,
    }


def test_importing_the_helpers_loads_no_other_module() -> None:
    code = (
        "import sys, vegehub; before = set(sys.modules); import vegehub.helpers; "
        "print(*sorted(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["vegehub.helpers"]
