"""The four established functions keep the results that existing programs have seen; observed, not derived."""

from __future__ import annotations

import math
from typing import Any

import pytest

import vegehub
import vegehub.helpers
from vegehub import therm200_transform, update_data_to_ha_dict, update_data_to_latest_dict, vh400_transform

MAC = "7C9EBD112233"
NAMES = ("vh400_transform", "therm200_transform", "update_data_to_latest_dict", "update_data_to_ha_dict")

VH400: list[tuple[Any, float | None]] = [
    (None, None),
    ("1.5", 24.615384615384613),
    (0, 0),
    (0.01, 0),
    (0.0101, 0.0918181818181818),
    (-1, 0),
    (3, 100.0),
    (3.0, 100.0),
    (3.0000001, 100.0),
    (5, 100.0),
    (1.1, 10.0),
    (1.3, 15.0),
    (1.5, 24.615384615384613),
    (1.82, 40.0),
    (2, 44.73684210526316),
    (2.2, 50.0),
    (2.6, 75.0),
    (0.5, 4.545454545454545),
    ("x", None),
    ("", None),
    (True, 9.09090909090909),
    (False, 0),
    ([], None),
    ({}, None),
    (" 1.5 ", 24.615384615384613),
    ("0.5\n", 4.545454545454545),
    ("-2", 0),
    ("3.5", 100.0),
    # Reachable by one rounding only: each tells the established arithmetic from another that looks the same.
    (0.7520471394904824, 6.836792177186203),
    (0.34527819219209027, 3.138892656291729),
    (2.2624503172452246, 53.90314482782653),
    (2.4253403749753746, 64.08377343596091),
]
THERM200: list[tuple[Any, float | None]] = [
    (None, None),
    (1.5, 22.505000000000003),
    ("1.5", 22.505000000000003),
    (0, -40.0),
    (0.01, -39.5833),
    (3, 85.01),
    (5, 168.35000000000002),
    (-1, -81.67),
    (True, 1.6700000000000017),
    ("x", None),
    ([], None),
]


def identical(result: object, expected: object) -> bool:
    return type(result) is type(expected) and result == expected


def update(*entries: tuple[Any, Any], mac: Any = MAC) -> dict[str, Any]:
    """An update with one sample for each (slot, value)."""
    sensors = [{"slot": slot, "samples": [{"v": value, "t": "2025-01-15T16:51:23Z"}]} for slot, value in entries]
    return {"api_key": "", "mac": mac, "error_code": 0, "sensors": sensors, "send_time": 1736959883, "wifi_str": -27}


@pytest.mark.parametrize("name", NAMES)
def test_both_import_places_give_the_same_function(name: str) -> None:
    assert getattr(vegehub, name) is getattr(vegehub.helpers, name)


@pytest.mark.parametrize(("volts", "percent"), VH400)
def test_vh400_results_are_bit_equal(volts: Any, percent: float | None) -> None:
    assert identical(vh400_transform(volts), percent)


@pytest.mark.parametrize(("volts", "celsius"), THERM200)
def test_therm200_results_are_bit_equal(volts: Any, celsius: float | None) -> None:
    assert identical(therm200_transform(volts), celsius)


def test_ha_dict_of_a_battery_hub() -> None:
    data = update(*((slot, slot / 2) for slot in range(1, 9)))
    assert update_data_to_ha_dict(data, 4, 2, False) == {
        "analog_0": 0.5,
        "analog_1": 1.0,
        "analog_2": 1.5,
        "analog_3": 2.0,
        "battery": 2.5,
        "actuator_0": 3.0,
        "actuator_1": 3.5,
    }


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((4, 4, True), {"analog_0": 1, "analog_3": 4, "actuator_0": 5, "actuator_2": 7}),
        ((4, 2, 1), {"analog_0": 1, "analog_3": 4, "actuator_0": 5}),
        ((4, 2, 0), {"analog_0": 1, "analog_3": 4, "battery": 5, "actuator_1": 7}),
        ((4, 2, None), {"analog_0": 1, "analog_3": 4, "battery": 5, "actuator_1": 7}),
        ((0, 4, True), {"actuator_0": 1, "actuator_3": 4}),
        ((0, 2, False), {"battery": 1}),
        ((1, 0, 0), {"analog_0": 1}),
        ((0, 0, True), {}),
    ],
)
def test_ha_dict_follows_counts_and_power(counts: Any, expected: dict[str, int]) -> None:
    assert update_data_to_ha_dict(update((1, 1), (4, 4), (5, 5), (7, 7)), *counts) == expected


def test_unknown_slots_are_left_out_of_the_ha_dict_only() -> None:
    data = update((0, 1), (-1, 2), (8, 3), (99, 4))
    assert update_data_to_ha_dict(data, 4, 2, False) == {}
    lower = MAC.lower()
    assert update_data_to_latest_dict(data) == {f"{lower}_0": 1, f"{lower}_-1": 2, f"{lower}_8": 3, f"{lower}_99": 4}


@pytest.mark.parametrize(
    ("mac", "prefix"),
    [(MAC, "7c9ebd112233"), ("7C:9E:BD:11:22:33", "7c:9e:bd:11:22:33"), ("Shed", "shed"), ("", "")],
)
def test_the_key_has_the_mac_as_it_came_in_lower_case(mac: str, prefix: str) -> None:
    assert update_data_to_latest_dict(update((1, 1.5), (2, 0), mac=mac)) == {f"{prefix}_1": 1.5, f"{prefix}_2": 0}


def test_the_last_sample_of_the_list_counts_whatever_its_time() -> None:
    samples = [{"v": 1.0, "t": "2025-01-15T17:00:00Z"}, {"v": 2.0, "t": "2025-01-15T16:00:00Z"}]
    data = {"mac": MAC, "sensors": [{"slot": 1, "samples": samples}]}
    assert update_data_to_ha_dict(data, 4, 2, False) == {"analog_0": 2.0}
    assert update_data_to_latest_dict(data) == {f"{MAC.lower()}_1": 2.0}


def test_of_two_entries_for_one_slot_the_later_counts() -> None:
    data = update((1, 1.0), (2, 5.0), (1, 2.0))
    assert update_data_to_ha_dict(data, 4, 2, False) == {"analog_0": 2.0, "analog_1": 5.0}
    assert update_data_to_latest_dict(data) == {f"{MAC.lower()}_1": 2.0, f"{MAC.lower()}_2": 5.0}


@pytest.mark.parametrize("value", [1, 0, 1.5, 0.0, -1.25, True, False, 10**30])
def test_values_stay_as_they_came(value: Any) -> None:
    assert update_data_to_ha_dict(update((1, value)), 4, 2, False)["analog_0"] is value
    assert update_data_to_latest_dict(update((1, value)))[f"{MAC.lower()}_1"] is value


@pytest.mark.parametrize(
    ("text", "number"), [("1.5", 1.5), (" 2 ", 2), ("1", 1), ("0", 0), ("-1e-3", -0.001), ("+2.0", 2.0)]
)
def test_a_number_in_text_is_a_number(text: str, number: float) -> None:
    """The established client passes the text on, which fails in the sensors and switches of Home Assistant."""
    data = {"mac": MAC, "sensors": [{"slot": 1, "samples": [{"v": text}]}]}
    for found in (*update_data_to_latest_dict(data).values(), *update_data_to_ha_dict(data, 4, 2, False).values()):
        assert (type(found), found) == (type(number), number)


def test_a_slot_as_text_counts_in_the_latest_dict_only() -> None:
    data = update(("1", 1.5), ("12", 2.5))
    assert update_data_to_latest_dict(data) == {f"{MAC.lower()}_1": 1.5, f"{MAC.lower()}_12": 2.5}
    assert update_data_to_ha_dict(data, 20, 2, False) == {}


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        "mac",
        {"sensors": [{"slot": 1, "samples": [{"v": 1.5}]}]},
        {"mac": MAC},
        {"mac": MAC, "sensors": []},
        {"mac": MAC, "sensors": {}},
        {"mac": MAC, "sensors": [{"slot": 1, "samples": []}]},
    ],
)
def test_a_payload_without_readings_gives_an_empty_dict(data: Any) -> None:
    assert update_data_to_ha_dict(data, 4, 2, False) == {}
    assert update_data_to_latest_dict(data) == {}


def test_the_payload_is_not_changed_and_the_result_is_fresh() -> None:
    data, untouched = update((1, 1.5)), update((1, 1.5))
    first = update_data_to_ha_dict(data, 4, 2, False)
    latest = update_data_to_latest_dict(data)
    first["analog_0"] = latest["x"] = "changed"
    assert update_data_to_ha_dict(data, 4, 2, False) == {"analog_0": 1.5}
    assert update_data_to_latest_dict(data) == {f"{MAC.lower()}_1": 1.5}
    assert data == untouched


@pytest.mark.parametrize("value", [None, [1], {}, "x", "", math.nan, math.inf, -math.inf, "nan", "inf", "1e400"])
def test_values_that_are_no_numbers_are_left_out(value: Any) -> None:
    data = update((1, value), (2, 1.5))
    assert update_data_to_ha_dict(data, 4, 2, False) == {"analog_1": 1.5}
    assert update_data_to_latest_dict(data) == {f"{MAC.lower()}_2": 1.5}


@pytest.mark.parametrize(
    "entry",
    [
        None,
        1,
        "text",
        [],
        {},
        {"samples": [{"v": 1}]},
        {"slot": None, "samples": [{"v": 1}]},
        {"slot": [1], "samples": [{"v": 1}]},
        {"slot": {}, "samples": [{"v": 1}]},
        {"slot": True, "samples": [{"v": 1}]},
        {"slot": 1.0, "samples": [{"v": 1}]},
        {"slot": 1.5, "samples": [{"v": 1}]},
        {"slot": "x", "samples": [{"v": 1}]},
        {"slot": 1},
        {"slot": 1, "samples": None},
        {"slot": 1, "samples": 5},
        {"slot": 1, "samples": "text"},
        {"slot": 1, "samples": {"v": 1}},
        {"slot": 1, "samples": [None]},
        {"slot": 1, "samples": ["text"]},
        {"slot": 1, "samples": [{}]},
        {"slot": 1, "samples": [{"v": 1}, {}]},
    ],
)
def test_a_bad_entry_is_skipped_and_the_others_stay(entry: Any) -> None:
    data = {"mac": MAC, "sensors": [entry, {"slot": 2, "samples": [{"v": 1.5}]}]}
    assert update_data_to_ha_dict(data, 4, 2, False) == {"analog_1": 1.5}
    assert update_data_to_latest_dict(data) == {f"{MAC.lower()}_2": 1.5}


@pytest.mark.parametrize("data", [None, 5, True, {"mac": MAC, "sensors": None}, {"mac": MAC, "sensors": 5}])
def test_what_is_no_update_at_all_gives_an_empty_dict(data: Any) -> None:
    assert update_data_to_ha_dict(data, 4, 2, False) == {}
    assert update_data_to_latest_dict(data) == {}


@pytest.mark.parametrize("mac", [None, 5, ["a"], b"a"])
def test_only_the_latest_dict_needs_the_mac_to_be_text(mac: Any) -> None:
    assert update_data_to_latest_dict(update((1, 1.5), mac=mac)) == {}
    assert update_data_to_ha_dict(update((1, 1.5), mac=mac), 4, 2, False) == {"analog_0": 1.5}
