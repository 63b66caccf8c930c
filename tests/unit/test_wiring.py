"""What is plugged in: named by number from 1, looked up without guessing, and read from documents with plain errors."""

from __future__ import annotations

import copy
import json
import pickle
import re
from contextlib import suppress
from dataclasses import FrozenInstanceError, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vegehub import (
    SENSOR_CURVES,
    PiecewiseCurve,
    Reading,
    Sample,
    SlotLayout,
    VegeHub,
    VegeHubValueError,
    WiredActuator,
    WiredInput,
    Wiring,
    parse_update,
)
from vegehub.sensors import BATTERY, RAW, LinearCurve

if TYPE_CHECKING:
    from vegehub.simulator import SimulatedHub

TANK = PiecewiseCurve.from_points([(0.2, 0), (2.9, 200)], unit="l")
BEDS = Wiring(
    "Beds",
    inputs=[WiredInput(3, "Water tank", TANK), WiredInput(1, "Tomatoes", "vh400"), WiredInput(4, hidden=True)],
    actuators=[WiredActuator(2, "Tank pump", "pump"), WiredActuator(1, "Roses")],
)
DOCUMENT = {
    "name": "Beds",
    "inputs": {
        "1": {"name": "Tomatoes", "sensor": "VH400"},
        "3": {"name": "Water tank", "points": [[0.2, 0.0], [2.9, 200.0]], "unit": "l"},
        "4": {"hidden": True},
    },
    "actuators": {"1": {"name": "Roses"}, "2": {"name": "Tank pump", "kind": "pump"}},
}
BATTERY_HUB = SlotLayout(4, 2, has_battery=True)


def refused(document: Any) -> str:
    with pytest.raises(VegeHubValueError) as caught:
        Wiring.from_dict(document, "beds.json")
    return str(caught.value)


# Looking up


@pytest.mark.parametrize("key", [1, "1", "Tomatoes", " tomATOES ", "Input 1"])
def test_an_input_is_found_by_number_and_by_name(key: int | str) -> None:
    found = BEDS.input(key)
    assert (found.number, found.name, found.sensor, found.label) == (1, "Tomatoes", SENSOR_CURVES["VH400"], "Tomatoes")


@pytest.mark.parametrize("key", [2, "2", "tank pump", "actuator 2"])
def test_an_actuator_is_found_by_number_and_by_name_and_knows_its_slot_in_commands(key: int | str) -> None:
    found = BEDS.actuator(key)
    assert (found.number, found.slot, found.kind, found.label) == (2, 1, "pump", "Tank pump")


def test_what_has_no_name_is_called_by_its_number_and_shows_volts() -> None:
    assert BEDS.input(2) == WiredInput(2)
    assert (BEDS.input(2).label, BEDS.input(2).name, BEDS.input(2).sensor) == ("Input 2", "", RAW)
    assert BEDS.input("input 7").number == 7
    assert (Wiring().actuator(3).label, Wiring().actuator(3).kind) == ("Actuator 3", None)


def test_a_name_that_nothing_has_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(VegeHubValueError, match=re.escape('no input "Tomatos"; did you mean "Tomatoes"?')):
        BEDS.input("Tomatos")
    with pytest.raises(VegeHubValueError, match=re.escape('no actuator "Lawn"; known are "Roses", "Tank pump"')):
        BEDS.actuator("Lawn")
    with pytest.raises(VegeHubValueError, match=r'no input "Lawn"; none has a name: give its number, from 1 on'):
        Wiring().input("Lawn")


@pytest.mark.parametrize("key", [0, -1, 1001, True, 1.0, None, "0", "01", "1001", "", "+1", "Input 0"])
def test_what_is_no_number_of_an_input_is_refused(key: Any) -> None:
    with pytest.raises(VegeHubValueError):
        BEDS.input(key)


def test_a_name_reaches_a_terminal_without_its_escapes() -> None:
    with pytest.raises(VegeHubValueError) as caught:
        BEDS.input("\x1b[31mred")
    assert str(caught.value).isprintable()


def test_volts_become_what_the_sensor_measures() -> None:
    assert BEDS.value_of("Tomatoes", 1.5) == (pytest.approx(24.615, abs=1e-3), "%")
    assert BEDS.value_of(3, 2.9) == (200.0, "l")
    assert BEDS.value_of(2, 1.25) == (1.25, "V")
    with pytest.raises(VegeHubValueError):
        BEDS.value_of(1, float("nan"))


# What is refused where it is made


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Wiring(inputs=[WiredInput(1, "A"), WiredInput(1, "B")]), "input 1 is listed twice"),
        (lambda: Wiring(inputs=[WiredInput(1, "A"), WiredInput(2, "a")]), 'inputs 1 and 2 are both called "a"'),
        (lambda: Wiring(actuators=[WiredActuator(1, "Actuator 2")]), 'actuator 1 is called "Actuator 2", as another'),
        (lambda: Wiring(inputs=[WiredActuator(1)]), "inputs: expected WiredInput objects, got WiredActuator"),
        (lambda: WiredInput(0), "number: expected an integer from 1 to 1000"),
        (lambda: WiredInput(True), "number: expected an integer from 1 to 1000"),
        (lambda: WiredInput(1, "12"), '"12" would be taken for a number; add a word'),
        (lambda: WiredInput(1, "a\nb"), "a control character is not allowed"),
        (lambda: WiredInput(1, "x" * 65), "65 characters; 64 at most"),
        (lambda: WiredInput(1, None), "expected a name in quotes, got NoneType"),
        (lambda: WiredInput(1, sensor="VH40"), 'unknown sensor "VH40"; did you mean "VH400"?'),
        (lambda: WiredInput(1, sensor=5), "expected the name of a known sensor, or a curve of PiecewiseCurve"),
        (lambda: WiredInput(1, sensor=LinearCurve(name="mine", unit="x")), "expected the name of a known sensor"),
        (lambda: WiredInput(1, hidden=1), "hidden: expected True or False"),
        (lambda: WiredActuator(1, kind="valv"), 'unknown kind; did you mean "valve"?'),
        (lambda: VegeHub("192.0.2.57", wiring={"inputs": {}}), "wiring must be a Wiring, not dict"),
    ],
)
def test_what_would_be_ambiguous_or_lost_is_refused(make: Any, text: str) -> None:
    with pytest.raises(VegeHubValueError, match=re.escape(text)):
        make()


def test_names_of_inputs_and_actuators_do_not_get_in_each_others_way() -> None:
    wiring = Wiring(inputs=[WiredInput(1, "Roses")], actuators=[WiredActuator(2, "Roses")])
    assert (wiring.input("Roses").number, wiring.actuator("Roses").number) == (1, 2)


def test_it_is_frozen_hashable_and_can_be_copied() -> None:
    with pytest.raises(FrozenInstanceError):
        BEDS.name = "Lawn"
    assert copy.deepcopy(BEDS) == pickle.loads(pickle.dumps(BEDS)) == BEDS
    assert hash(BEDS) == hash(Wiring.from_dict(DOCUMENT))
    assert replace(BEDS, name="Lawn").inputs == BEDS.inputs
    assert [each.number for each in BEDS.inputs] == [1, 3, 4]


# Readings


def readings(*slots: int) -> list[Reading]:
    return [Reading(slot, (Sample(1.0),)) for slot in slots]


def test_each_slot_gets_the_name_of_what_the_layout_says_it_is() -> None:
    named = BEDS.apply(readings(*range(1, 9)), BATTERY_HUB)
    assert [each.name for each in named] == [
        *("Tomatoes", "Input 2", "Water tank", "Input 4", "Battery", "Roses", "Tank pump", "")
    ]
    assert [each.unit for each in named] == ["%", "V", "l", "V", "V", "", "", ""]
    assert named[4].sensor is BATTERY
    assert [each.quantity for each in named[5:]] == [None, None, None]
    assert list(named) == readings(*range(1, 9))


def test_names_never_shift_the_layout() -> None:
    """A wiring for four inputs, on a hub that has two: its battery and its valve stay what they are."""
    named = BEDS.apply(readings(1, 2, 3, 4), SlotLayout(2, 1, has_battery=True))
    assert [each.name for each in named] == ["Tomatoes", "Input 2", "Battery", "Roses"]
    assert BEDS.problems(SlotLayout(2, 1, has_battery=True)) == (
        "input 3 (Water tank): the hub has 2 inputs",
        "input 4: the hub has 2 inputs",
        "actuator 2 (Tank pump): the hub has 1 actuator",
    )
    assert BEDS.problems(BATTERY_HUB) == ()


def test_without_a_layout_only_the_inputs_that_are_listed_get_a_name() -> None:
    named = BEDS.apply(readings(1, 2, 3, 5, 6))
    assert [each.name for each in named] == ["Tomatoes", "", "Water tank", "", ""]
    assert [each.sensor for each in named] == [SENSOR_CURVES["VH400"], None, TANK, None, None]


def test_an_update_gets_names_and_stays_the_same_update() -> None:
    update = parse_update(
        {"mac": "7C9EBD112233", "sensors": [{"slot": slot, "samples": [{"v": 1.0}]} for slot in (1, 5, 6)]}
    )
    named = BEDS.apply_to_update(update, BATTERY_HUB)
    assert {slot: reading.name for slot, reading in named.readings.items()} == {1: "Tomatoes", 5: "Battery", 6: "Roses"}
    assert named.readings[1].quantity == pytest.approx(9.09, abs=1e-2)
    assert named.readings == update.readings
    assert replace(named, readings=update.readings) == update
    assert Wiring().apply_to_update(update) is update


async def test_readings_of_a_hub_are_named_by_its_wiring(vegehub_simulated_hub: SimulatedHub) -> None:
    vegehub_simulated_hub.inputs[0].volts = 1.5
    async with VegeHub(vegehub_simulated_hub.address, wiring=BEDS) as hub:
        assert hub.wiring is BEDS
        assert hub.layout is None
        assert [each.name for each in await hub.get_readings()] == ["Tomatoes", "", "Water tank", "Input 4"]
        assert await hub.setup("", "http://127.0.0.1:9/") is True
        assert hub.layout == BATTERY_HUB
        first, second, *_ = await hub.get_readings()
        assert (first.name, first.unit) == ("Tomatoes", "%")
        assert first.quantity == pytest.approx(24.6, abs=0.1)
        assert (second.name, second.unit) == ("Input 2", "V")
        assert (await hub.diagnostics())["wiring"] == DOCUMENT
        hub.wiring = None
        assert hub.wiring == Wiring()
        assert (await hub.get_readings())[0].name == "Input 1"


# The document


def test_a_document_is_read_and_written_as_json_can_carry_it() -> None:
    assert BEDS.as_dict() == json.loads(json.dumps(BEDS.as_dict())) == DOCUMENT
    assert Wiring.from_dict(DOCUMENT) == BEDS
    assert Wiring.from_dict({}) == Wiring()
    assert Wiring().as_dict() == {}


def test_an_actuator_may_be_given_by_its_name_alone() -> None:
    assert Wiring.from_dict({"actuators": {"1": "Roses"}}).actuators == (WiredActuator(1, "Roses"),)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (5, "expected keys and values, got a number"),
        ({"input": {}}, 'input: unknown key; did you mean "inputs"?'),
        ({"inputs": []}, "inputs: expected keys and values, got a list"),
        ({"inputs": {"0": {}}}, "inputs.0: expected the number of an input, from 1 on"),
        ({"inputs": {"01": {}}}, "inputs.01: expected the number of an input, from 1 on"),
        ({"inputs": {"9999": {}}}, "inputs.9999: expected the number of an input, from 1 on"),
        ({"actuators": {"x y": {}}}, 'actuators."x y": expected the number of an actuator, from 1 on'),
        ({"inputs": {"1": "Tomatoes"}}, 'inputs.1: expected { name = "Tomatoes", sensor = "VH400" }'),
        ({"actuators": {"1": 5}}, 'actuators.1: expected a name, or { name = "Roses", kind = "valve" }'),
        ({"inputs": {"1": {"sensr": ""}}}, 'inputs.1.sensr: unknown key; did you mean "sensor"?'),
        ({"inputs": {"1": {"sensor": 5}}}, "inputs.1.sensor: expected text, got a number"),
        ({"inputs": {"1": {"sensor": "VH40"}}}, 'inputs.1.sensor: unknown sensor "VH40"; did you mean "VH400"?'),
        ({"inputs": {"1": {"points": [[0, 0]]}}}, "inputs.1: points: expected at least two, got 1"),
        ({"inputs": {"1": {"points": "x"}}}, "inputs.1.points: expected a list, got text"),
        (
            {"inputs": {"1": {"points": [[0, 0], [0, 1]]}}},
            "inputs.1: points[1] volts: expected more than at the point before",
        ),
        ({"inputs": {"1": {"points": [[0, 0], [1, 1]], "sensor": "RAW"}}}, "inputs.1: expected sensor or points, not"),
        ({"inputs": {"1": {"unit": "l"}}}, "inputs.1: unit: goes with points; a known sensor has its own"),
        ({"inputs": {"1": {"hidden": "yes"}}}, "inputs.1.hidden: expected true or false, got text"),
        ({"actuators": {"1": {"kind": "tap"}}}, 'actuators.1.kind: unknown kind; known are "valve", "pump", "outlet"'),
        ({"inputs": {"1": {"name": "A"}, "2": {"name": "a"}}}, 'inputs 1 and 2 are both called "a"'),
        ({"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}, "and 2 more"),
    ],
)
def test_an_error_names_the_source_and_the_place_and_says_what_is_expected(document: Any, text: str) -> None:
    message = refused(document)
    assert message.startswith("beds.json: ")
    assert text in message


def test_keys_of_a_document_reach_a_terminal_without_their_escapes() -> None:
    assert refused({"\x1b[31m": 1}).isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["VH400", "valve"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "inputs", "actuators", "1", "2", "sensor", "points", "unit", "hidden", "kind", "x"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)


@given(JSON)
def test_a_document_is_a_wiring_or_refused_and_nothing_else_happens(document: Any) -> None:
    with suppress(VegeHubValueError):
        wiring = Wiring.from_dict(document)
        assert Wiring.from_dict(wiring.as_dict()) == wiring


NAMES = st.text(max_size=12).filter(lambda name: name.isprintable() and not name.strip().isdecimal())
CURVES = st.sampled_from(sorted(SENSOR_CURVES)) | st.lists(
    st.tuples(st.integers(-100, 100).map(lambda tenths: tenths / 10), st.floats(-1e6, 1e6)),
    min_size=2,
    max_size=4,
    unique_by=lambda point: point[0],
).map(lambda points: PiecewiseCurve.from_points(sorted(points), unit="l"))


@st.composite
def wirings(draw: st.DrawFn) -> Wiring:
    inputs = {number: WiredInput(number, draw(NAMES), draw(CURVES)) for number in draw(st.sets(st.integers(1, 9)))}
    actuators = {
        number: WiredActuator(number, draw(NAMES), draw(st.sampled_from([None, "valve", "pump", "outlet"])))
        for number in draw(st.sets(st.integers(1, 4)))
    }
    try:
        return Wiring(draw(NAMES), inputs.values(), actuators.values())
    except VegeHubValueError:
        return Wiring("two of them have one name")


@given(wirings())
def test_what_is_written_is_read_back_the_same(wiring: Wiring) -> None:
    assert Wiring.from_dict(json.loads(json.dumps(wiring.as_dict()))) == wiring


@given(wirings(), st.integers(0, 5), st.integers(0, 5), st.booleans())
def test_no_wiring_changes_what_a_slot_is(wiring: Wiring, inputs: int, actuators: int, has_battery: bool) -> None:
    layout = SlotLayout(inputs, actuators, has_battery)
    for reading in wiring.apply(readings(*range(1, 15)), layout):
        if reading.slot in layout.actuators:
            assert reading.name == wiring.actuator(layout.actuators.index(reading.slot) + 1).label
            assert reading.sensor is None
        elif reading.slot in layout.inputs:
            assert reading.sensor == wiring.input(reading.slot).sensor
        else:
            assert reading.sensor is (BATTERY if reading.slot == layout.battery else None)
