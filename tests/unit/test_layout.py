"""Slots of an update to inputs, battery and actuators, and back."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vegehub import HubInfo, SlotLayout, VegeHubValueError, parse_update
from vegehub.wire.layout import SlotKind

LAYOUTS = st.builds(SlotLayout.of, st.integers(0, 12), st.integers(0, 12), st.booleans())


def test_a_battery_hub_has_inputs_then_battery_then_actuators() -> None:
    layout = SlotLayout.of(4, 2, 0)
    assert (list(layout.inputs), layout.battery, list(layout.actuators)) == ([1, 2, 3, 4], 5, [6, 7])
    assert [layout.locate(slot) for slot in range(9)] == [
        None,
        (SlotKind.INPUT, 1),
        (SlotKind.INPUT, 2),
        (SlotKind.INPUT, 3),
        (SlotKind.INPUT, 4),
        (SlotKind.BATTERY, 0),
        (SlotKind.ACTUATOR, 0),
        (SlotKind.ACTUATOR, 1),
        None,
    ]


def test_an_ac_hub_has_no_battery_slot() -> None:
    layout = SlotLayout.of(4, 2, True)
    assert (list(layout.inputs), layout.battery, list(layout.actuators)) == ([1, 2, 3, 4], None, [5, 6])
    assert not any(kind is SlotKind.BATTERY for _, kind, _ in layout.slots())


def test_a_board_without_inputs_begins_with_its_actuators() -> None:
    assert list(SlotLayout.of(0, 4, True).slots()) == [(slot, SlotKind.ACTUATOR, slot - 1) for slot in range(1, 5)]
    assert list(SlotLayout.of(0, 0, True).slots()) == []


def test_the_layout_follows_from_what_the_hub_says() -> None:
    info = HubInfo(num_sensors=4, num_actuators=2)
    assert SlotLayout.from_info(info) == SlotLayout.of(4, 2, False)
    assert SlotLayout.from_info(dataclasses.replace(info, is_ac=True)) == SlotLayout.of(4, 2, True)


def test_a_battery_board_without_battery_slot_can_be_told() -> None:
    sprinkler = HubInfo(num_sensors=0, num_actuators=4)
    assert SlotLayout.from_info(sprinkler, has_battery=False) == SlotLayout.of(0, 4, True)
    assert SlotLayout.from_info(dataclasses.replace(sprinkler, is_ac=True), has_battery=True).battery == 1


@given(layout=LAYOUTS)
def test_every_slot_has_one_place_and_leads_back(layout: SlotLayout) -> None:
    places = list(layout.slots())
    assert [slot for slot, _, _ in places] == list(range(1, len(places) + 1))
    for slot, kind, index in places:
        assert layout.locate(slot) == (kind, index)
        assert layout.input_index(slot) == (index if kind is SlotKind.INPUT else None)
        assert layout.actuator_index(slot) == (index if kind is SlotKind.ACTUATOR else None)
        if kind is SlotKind.INPUT:
            assert layout.input_slot(index) == slot
        elif kind is SlotKind.ACTUATOR:
            assert layout.actuator_slot(index) == slot
        else:
            assert layout.battery == slot


@given(layout=LAYOUTS, slot=st.integers())
def test_any_other_slot_has_no_place(layout: SlotLayout, slot: int) -> None:
    assert (layout.locate(slot) is None) is (slot not in {known for known, _, _ in layout.slots()})


def test_inputs_count_from_one_as_on_the_board_and_actuators_from_zero_as_in_commands() -> None:
    """Version 0.2.0 counted inputs from 0: a program that still does must fail, and not read the neighbour."""
    layout = SlotLayout.of(4, 2, False)
    assert [layout.input_slot(number) for number in (1, 2, 3, 4)] == [1, 2, 3, 4]
    with pytest.raises(VegeHubValueError, match="input 0: this hub has 4 of them, numbered from 1"):
        layout.input_slot(0)
    assert [layout.actuator_slot(number) for number in (0, 1)] == [6, 7]
    with pytest.raises(VegeHubValueError, match="actuator 2: this hub has 2 of them, numbered from 0"):
        layout.actuator_slot(2)
    volts = {slot: slot / 10 for slot in range(1, 8)}
    update = parse_update(
        {"sensors": [{"slot": slot, "samples": [{"v": value}]} for slot, value in volts.items()], "mac": "7C9EBD112233"}
    )
    assert {number: reading.value for number, reading in update.inputs(layout).items()} == {
        1: 0.1,
        2: 0.2,
        3: 0.3,
        4: 0.4,
    }
    assert {number: reading.value for number, reading in update.actuators(layout).items()} == {0: 0.6, 1: 0.7}
    assert [(kind.value, number) for _, kind, number in layout.slots()] == [
        *(("input", number) for number in (1, 2, 3, 4)),
        ("battery", 0),
        *(("actuator", number) for number in (0, 1)),
    ]


@pytest.mark.parametrize("info", [{"num_channels": "many"}, {"num_actuators": []}, {"is_ac": "nan"}, {"is_ac": 2}])
def test_a_hub_that_says_something_odd_has_no_layout(info: dict[str, Any]) -> None:
    told = HubInfo.parse({"hub": {"num_channels": 4, "num_actuators": 2, "is_ac": 0, **info}})
    with pytest.raises(
        VegeHubValueError, match=rf"^the hub does not say what its slots are \(hub\.{next(iter(info))}: expected "
    ):
        SlotLayout.from_info(told)
    if "is_ac" in info:
        assert SlotLayout.from_info(told, has_battery=True) == SlotLayout.of(4, 2, False)


@pytest.mark.parametrize("index", [-1, 0, 5, 1000])
def test_an_input_that_is_not_there_has_no_slot(index: int) -> None:
    with pytest.raises(VegeHubValueError, match=f"input {index}: this hub has 4"):
        SlotLayout.of(4, 2, 0).input_slot(index)


@pytest.mark.parametrize("index", [-1, 2, 1000])
def test_an_actuator_that_is_not_there_has_no_slot(index: int) -> None:
    with pytest.raises(VegeHubValueError, match=f"actuator {index}: this hub has 2"):
        SlotLayout.of(4, 2, 0).actuator_slot(index)


@pytest.mark.parametrize("count", [-1, 1001, 10**18, None, "4", 4.0, True, []])
def test_a_count_that_is_none_is_refused(count: Any) -> None:
    with pytest.raises(VegeHubValueError, match="num_sensors: expected an integer from 0 to 1000"):
        SlotLayout.of(count, 0, True)
    with pytest.raises(VegeHubValueError, match="num_actuators: expected an integer from 0 to 1000"):
        SlotLayout.of(0, count, True)


def test_a_count_is_taken_up_to_its_limit() -> None:
    assert SlotLayout.of(1000, 1000, True).actuators == range(1001, 2001)


def test_a_layout_is_a_value() -> None:
    layout = SlotLayout.of(4, 2, 0)
    assert len({layout, SlotLayout(4, 2, has_battery=True)}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        layout.num_sensors = 5  # type: ignore[misc]  # that it is refused is the test
