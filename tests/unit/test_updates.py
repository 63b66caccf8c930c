"""`parse_update` understands every known shape, keeps what is good, and raises nothing but errors of the tree."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import runpy
import string
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vegehub.exceptions import VegeHubPayloadError, VegeHubValueError
from vegehub.wire.fields import MAX_NOTES
from vegehub.wire.layout import SlotLayout
from vegehub.wire.models import Reading, Sample
from vegehub.wire.updates import Update, parse_update

CORPUS = runpy.run_path(str(Path(__file__).parents[1] / "data" / "broken_updates.py"))
MAC = "7C9EBD112233"
EARLY, LATE = "2025-01-15T16:51:23Z", "2025-01-15T16:52:23Z"


def push(*samples: Any, slot: Any = 1, **fields: Any) -> dict[str, Any]:
    return {"mac": MAC, "sensors": [{"slot": slot, "samples": list(samples)}], **fields}


def values(update: Update, slot: int = 1) -> list[float]:
    return [sample.value for sample in update.readings[slot].samples]


# Shapes


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param(
            {
                "write_api_key": "K1",
                "channel_id": "77",
                "updates": [{"created_at": "2020-06-01 10:00:00", "field1": 1.5, "field5": 9.25}],
            },
            {1: (1.5, "2020-06-01 10:00:00"), 5: (9.25, "2020-06-01 10:00:00")},
            id="V0-a",
        ),
        pytest.param(
            {"channel_id": 77, "updates": [{"created_at": "2020-06-01 10:00:00", "field2": 1}]},
            {2: (1.0, "2020-06-01 10:00:00")},
            id="V0-b",
        ),
        pytest.param(
            {"key": "shed", "updates": [{"created_at": "2025-06-17 13:26:55", "field1": 0.08, "field3": None}]},
            {1: (0.08, "2025-06-17 13:26:55")},
            id="V0-c",
        ),
        pytest.param(
            {"api_key": "K1", "id": "77", "sensors": [{"slot": 3, "samples": [{"t": EARLY, "v": 0.5}]}]},
            {3: (0.5, EARLY)},
            id="V1-ish",
        ),
        pytest.param(
            {"api_key": "", "mac": MAC, "error_code": 0, "sensors": [{"slot": 5, "samples": [{"v": 9, "t": EARLY}]}]},
            {5: (9.0, EARLY)},
            id="V2",
        ),
    ],
)
@pytest.mark.parametrize("form", [dict, json.dumps, lambda payload: json.dumps(payload).encode()])
def test_every_known_shape_is_read(payload: dict[str, Any], expected: dict[int, Any], form: Any) -> None:
    update = parse_update(form(payload))
    assert dict(update.readings) == {slot: Reading(slot, (Sample(*pair),)) for slot, pair in expected.items()}
    assert (update.problem_count, update.extra) == (0, {})


def test_documented_fields_are_read() -> None:
    update = parse_update(push(send_time="1736959883", wifi_str="-28", error_code=1, voltage="9.25", api_key="K"))
    assert update.sent_at == datetime(2025, 1, 15, 16, 51, 23, tzinfo=UTC)
    assert (update.rssi, update.error_code, update.battery_volts, update.api_key) == (-28, 1, 9.25, "K")


@pytest.mark.parametrize("text", ["7c:9e:bd:11:22:33", "7C-9E-BD-11-22-33", "7c9e.bd11.2233", MAC])
def test_a_mac_is_normalised(text: str) -> None:
    assert parse_update({"mac": text, "sensors": []}).mac == MAC


@pytest.mark.parametrize(
    "body", [b'\xef\xbb\xbf{"sensors":[]}', b' \r\n{"sensors":[]}\n', bytearray(b'{"sensors":[]}')]
)
def test_a_byte_order_mark_and_white_space_do_no_harm(body: bytes) -> None:
    assert parse_update(body).readings == {}


@pytest.mark.parametrize("value", [1736959883, "1736959883", 1736959883.0, EARLY, "2025-01-15 16:51:23"])
def test_send_time_is_read_as_number_and_as_text(value: Any) -> None:
    assert parse_update(push(send_time=value)).sent_at == datetime(2025, 1, 15, 16, 51, 23, tzinfo=UTC)


@pytest.mark.parametrize("value", [None, "soon", "", 10**19, "9" * 400, "\ud800"])
def test_a_send_time_that_is_none_is_none(value: Any) -> None:
    assert parse_update(push(send_time=value)).sent_at is None


# Who sent it


def test_a_hub_is_recognised_by_its_mac_before_its_key_before_its_channel() -> None:
    by_mac = parse_update({"mac": MAC, "api_key": "secret-1", "id": "7", "sensors": []})
    by_key = parse_update({"api_key": "secret-1", "id": "7", "sensors": []})
    by_channel = parse_update({"channel_id": 7, "sensors": []})
    by_nothing = parse_update({"api_key": "", "mac": "", "sensors": []})
    assert (by_mac.hub_key, by_channel.hub_key, by_nothing.hub_key) == (MAC, "channel:7", "")
    assert by_key.hub_key.startswith("key:")


def test_the_same_key_is_the_same_hub_whatever_the_shape() -> None:
    old = parse_update({"key": "shed", "updates": []})
    new = parse_update({"api_key": "shed", "sensors": []})
    other = parse_update({"key": "barn", "updates": []})
    assert old.hub_key == new.hub_key != other.hub_key


def test_no_repr_shows_the_key() -> None:
    for update in (
        parse_update({"mac": MAC, "api_key": "SECRET", "sensors": []}),
        parse_update({"key": "SECRET", "updates": []}),
        parse_update({"write_api_key": "SECRET", "key": "SECRET", "api_key": "", "channel_id": 1, "updates": []}),
    ):
        assert update.api_key == "SECRET"
        assert "SECRET" not in repr(update)
        assert "SECRET" not in update.hub_key


def test_a_channel_name_cannot_write_into_a_log() -> None:
    assert parse_update({"id": "7\n\x1b[31mERROR \ud800", "sensors": []}).hub_key == "channel:7 ERROR"


# Times


def test_samples_are_sorted_newest_last() -> None:
    update = parse_update(push({"v": 2.0, "t": LATE}, {"v": 1.0, "t": EARLY}))
    assert values(update) == [1.0, 2.0]
    assert update.readings[1].latest == Sample(2.0, LATE)


def test_samples_of_one_moment_keep_their_order() -> None:
    update = parse_update(push(*({"v": float(n), "t": EARLY} for n in range(5))))
    assert values(update) == [0, 1, 2, 3, 4]


def test_both_formats_of_time_are_compared_as_times() -> None:
    update = parse_update(push({"v": 2.0, "t": "2025-01-15 16:52:00"}, {"v": 1.0, "t": EARLY}, {"v": 3.0, "t": LATE}))
    assert values(update) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2025-01-15T16:51:23+02:00", "2025-01-15T15:51:23+00:00"),
        ("2025-01-15T16:51:23Z", "2025-01-15T16:51:23.5Z"),
        ("2025-W03-3T16:51:23Z", "2025-01-16T16:51:23Z"),
        ("2025-01-15 23:00:00", "2025-01-15T23:30:00"),
        ("2025-01-15x10:00:00Z", "2025-01-15 11:00:00Z"),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_times_of_other_formats_are_decoded_to_be_sorted(first: str, second: str, swapped: bool) -> None:
    samples = [{"v": 1.0, "t": first}, {"v": 2.0, "t": second}]
    assert values(parse_update(push(*(samples[::-1] if swapped else samples)))) == [1.0, 2.0]


@pytest.mark.parametrize("text", [None, "", "yesterday", "0001-01-01T00:00:00+14:00", "2025-13-45T99:99:99Z"])
def test_a_sample_without_a_time_keeps_its_place_behind_the_one_before_it(text: str | None) -> None:
    update = parse_update(push({"v": 3.0, "t": LATE}, {"v": 4.0, "t": text}, {"v": 1.0, "t": EARLY}))
    assert values(update) == [1.0, 3.0, 4.0]


def test_a_missing_time_is_no_problem() -> None:
    update = parse_update(push({"v": 1.5}))
    assert update.readings[1].samples == (Sample(1.5, None),)
    assert update.problem_count == 0


def test_one_slot_in_two_entries_is_one_reading() -> None:
    update = parse_update(
        {
            "mac": MAC,
            "sensors": [
                {"slot": 1, "samples": [{"v": 2.0, "t": LATE}]},
                {"slot": 1, "samples": [{"v": 1.0, "t": EARLY}]},
            ],
        }
    )
    assert values(update) == [1.0, 2.0]


def test_several_old_updates_are_one_reading_per_field() -> None:
    update = parse_update(
        {
            "key": "shed",
            "updates": [
                {"created_at": "2025-06-17 13:27:55", "field1": 2.0},
                {"created_at": "2025-06-17 13:26:55", "field1": 1.0, "field2": 5.0},
            ],
        }
    )
    assert (values(update, 1), values(update, 2)) == ([1.0, 2.0], [5.0])


def test_no_time_is_decoded_before_its_reading_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str | None] = []
    taken_at = Sample.taken_at.fget
    monkeypatch.setattr(
        Sample, "taken_at", property(lambda sample: decoded.append(sample.time_text) or taken_at(sample))
    )
    update = parse_update(push({"v": 1.0, "t": LATE}, {"v": 2.0, "t": EARLY}))
    assert decoded == []
    assert update.readings[1].samples[0].time_text == EARLY
    assert decoded == [LATE, EARLY]


# Times

NOW = datetime(2025, 6, 1, tzinfo=UTC)
OVERFLOWN = "2036-02-07T06:28:16Z"


@pytest.mark.parametrize(
    "time",
    [None, "", "nan", "1970-01-01T00:00:05Z", OVERFLOWN, 5, "5", 0, -1, 1e300, True, {}, [], "x" * 5000, "2025-6-3"],
)
def test_no_sample_is_lost_for_its_time(time: Any) -> None:
    update = parse_update(push({"v": 1.0, "t": time}, {"v": 2.0, "t": time}, {"v": 3.0, "t": time}), NOW)
    assert values(update) == [1.0, 2.0, 3.0]
    assert update.readings[1].latest == update.readings[1].samples[2]
    old = parse_update(
        {"key": "shed", "updates": [{"created_at": time, "field1": 1}, {"created_at": time, "field1": 2}]}
    )
    assert values(old) == [1.0, 2.0]


@pytest.mark.parametrize(
    "time",
    [
        1748736000,
        1748736000.0,
        "1748736000",
        1748736000000,
        "1748736000000",
        "2025-06-01T00:00:00Z",
        "2025-06-01t00:00:00z",
        "2025-06-01 00:00:00",
        "2025-6-1 0:00:00",
        "2025-06-01T00:00:00.000+00:00",
        "2025-06-01T02:00:00+0200",
        "Sun Jun  1 00:00:00 2025\n",
    ],
)
def test_a_time_in_any_form_is_one(time: Any) -> None:
    (sample,) = parse_update(push({"v": 1.0, "t": time})).readings[1].samples
    assert sample.taken_at == NOW
    assert sample.time_text == str(time)


@pytest.mark.parametrize("time", [None, "yesterday", "1970-01-01T00:00:00Z", OVERFLOWN, "2025-06-02T00:00:01Z"])
def test_a_time_that_cannot_be_does_not_sort_and_is_not_the_latest(time: str | None) -> None:
    reading = parse_update(push({"v": 2.0, "t": LATE}, {"v": 9.0, "t": time}, {"v": 1.0, "t": EARLY}), NOW).readings[1]
    assert [sample.value for sample in reading.samples] == [1.0, 2.0, 9.0]
    assert (reading.latest, reading.value) == (Sample(2.0, LATE), 2.0)


def test_a_time_a_day_ahead_of_now_is_plausible() -> None:
    samples = ({"v": 2.0, "t": "2025-06-02T00:00:00Z"}, {"v": 1.0, "t": EARLY})
    assert values(parse_update(push(*samples), NOW)) == [1.0, 2.0]
    assert values(parse_update(push(*samples), NOW.replace(month=5))) == [2.0, 1.0]


def test_the_latest_battery_is_one_with_a_time_that_can_be() -> None:
    update = parse_update(push({"v": 9.0, "t": EARLY}, {"v": 1.0, "t": OVERFLOWN}, slot=2))
    assert update.battery(SlotLayout.of(1, 0, is_ac=False)) == 9.0


# What is dropped


@pytest.mark.parametrize(
    "sample",
    [
        {},
        {"v": None, "t": EARLY},
        {"v": True, "t": EARLY},
        {"v": "wet", "t": EARLY},
        {"v": "nan", "t": EARLY},
        {"v": float("nan"), "t": EARLY},
        {"v": float("-inf"), "t": EARLY},
        {"v": 10**400, "t": EARLY},
        {"v": [1.0], "t": EARLY},
        {"v": object(), "t": EARLY},
        "1.5",
        None,
        1.5,
        [],
    ],
)
def test_a_bad_sample_is_dropped_and_counted_and_the_others_are_kept(sample: Any) -> None:
    update = parse_update(push({"v": 1.0, "t": EARLY}, sample, {"v": 2.0, "t": LATE}))
    assert values(update) == [1.0, 2.0]
    assert update.problem_count == 1
    assert update.problems[0].startswith("sensors[0].samples[1]")


@pytest.mark.parametrize("slot", [0, -1, 70_000, 10**30, None, True, "one", 1.5, [], {}, float("nan")])
def test_a_bad_slot_is_dropped_and_counted(slot: Any) -> None:
    update = parse_update(push({"v": 1.0, "t": EARLY}, slot=slot))
    assert (dict(update.readings), update.problem_count) == ({}, 1)


@pytest.mark.parametrize("slot", ["1", 1.0, "1.0"])
def test_a_slot_is_taken_as_text_too(slot: Any) -> None:
    assert values(parse_update(push({"v": "1.5", "t": EARLY}, slot=slot))) == [1.5]


@pytest.mark.parametrize(
    "entry", [None, 5, "x", [], {"slot": 1}, {"slot": 1, "samples": {}}, {"slot": 1, "samples": None}]
)
def test_a_bad_entry_is_dropped_and_counted(entry: Any) -> None:
    update = parse_update({"mac": MAC, "sensors": [entry, {"slot": 2, "samples": [{"v": 1.0, "t": EARLY}]}]})
    assert (list(update.readings), update.problem_count) == ([2], 1)


@pytest.mark.parametrize(
    ("entry", "problems"),
    [
        (None, 1),
        ({"field1": "wet", "field2": True, "field99999": 1.0}, 3),
        ({"field0": 1.0, "field": 1.0, "fieldone": 1.0, 5: 1.0, "status": "ok"}, 0),
    ],
)
def test_a_bad_old_entry_is_dropped_and_counted(entry: Any, problems: int) -> None:
    update = parse_update({"key": "shed", "updates": [entry, {"created_at": "2025-06-17 13:26:55", "field1": 2.0}]})
    assert (values(update), update.problem_count) == ([2.0], problems)


@pytest.mark.parametrize(
    "fields",
    [
        {"send_time": []},
        {"wifi_str": "loud"},
        {"wifi_str": -27.5},
        {"error_code": {}},
        {"voltage": "low"},
        {"api_key": 5},
        {"channel_id": []},
        {"mac": "7C9EBD"},
        {"mac": 7},
    ],
)
def test_an_odd_field_is_none_and_named_and_stays_in_extra(fields: dict[Any, Any]) -> None:
    update = parse_update({**push({"v": 1.0, "t": EARLY}), **fields})
    assert (values(update), update.problem_count, dict(update.extra)) == ([1.0], 1, fields)
    assert update.problems[0].startswith(next(iter(fields)))


@pytest.mark.parametrize(
    "fields",
    [
        {"later": float("inf")},
        {"later": 10**50},
        {"later": {"deep": {5: 1}}},
        {"later": object()},
        {5: "a key that is no text"},
        {"wifi_str": object()},
    ],
)
def test_what_json_cannot_hold_is_not_kept(fields: dict[Any, Any]) -> None:
    update = parse_update({**push({"v": 1.0, "t": EARLY}), **fields})
    assert (values(update), update.problem_count, dict(update.extra)) == ([1.0], 1, {})


def test_only_the_first_problems_are_described() -> None:
    update = parse_update(push(*[None] * 1000))
    assert (update.problem_count, len(update.problems)) == (1000, MAX_NOTES)


def test_no_problem_note_shows_a_value() -> None:
    update = parse_update({"mac": MAC, "sensors": ["SECRET"], "api_key": ["SECRET"], "SECRET": object()})
    assert update.problem_count == 3
    assert "SECRET" not in repr(update)


def test_a_slot_without_samples_is_left_out() -> None:
    assert 1 not in parse_update(push()).readings


def test_what_is_not_known_yet_is_kept() -> None:
    later = {"list": [1, 2.5, None, True, {"text": "x"}]}
    assert parse_update(push(later=later)).extra == {"later": later}


def test_unknown_fields_that_nest_too_deeply_are_dropped() -> None:
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep]
    update = parse_update(push(later=deep))
    assert (update.extra, update.problem_count) == ({}, 1)


# What is refused


@pytest.mark.parametrize("name", CORPUS["REFUSED"])
def test_what_is_no_update_is_refused_by_the_tree(name: str) -> None:
    with pytest.raises(VegeHubPayloadError):
        parse_update(CORPUS["REFUSED"][name])


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ({}, "sensors"),
        ({"sensors": 5}, "sensors"),
        ({"updates": "x"}, "updates"),
        ({"sensors": [], "who_updated": 1}, "who_updated"),
        (5, ""),
        (None, ""),
    ],
)
def test_the_error_names_the_path(payload: Any, path: str) -> None:
    with pytest.raises(VegeHubPayloadError) as caught:
        parse_update(payload)
    assert caught.value.path == path


def test_the_error_shows_no_value() -> None:
    for payload in ({"SECRET": "SECRET", "sensors": 5}, b'{"api_key":"SECRET",'):
        with pytest.raises(VegeHubPayloadError) as caught:
            parse_update(payload)
        assert "SECRET" not in str(caught.value)


def look_at_everything(update: Update) -> None:
    repr(update)
    json.dumps(dict(update.extra), allow_nan=False)
    assert isinstance(update.sent_at, datetime | None)
    for slot, reading in update.readings.items():
        assert reading.slot == slot > 0
        assert reading.samples
        assert all(isinstance(sample.value, float) and abs(sample.value) < float("inf") for sample in reading.samples)


def test_a_push_with_one_broken_place_is_refused_by_the_tree_or_taken_without_it() -> None:
    taken = 0
    for name, body in CORPUS["BROKEN_PLACES"].items():
        try:
            update = parse_update(body)
        except VegeHubPayloadError:
            continue
        taken += 1
        look_at_everything(update)
        assert sum(len(reading.samples) for reading in update.readings.values()) <= 4, name
        assert update.readings or "sensors" in name or "updates" in name, name
    assert taken > len(CORPUS["BROKEN_PLACES"]) / 2


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
KEYS = st.sampled_from(
    [
        "mac",
        "api_key",
        "key",
        "sensors",
        "updates",
        "slot",
        "samples",
        "v",
        "t",
        "created_at",
        "field1",
        "voltage",
        "id",
    ]
) | st.text(string.ascii_letters, max_size=3)
ANYTHING = st.recursive(
    PLAIN | st.sampled_from([MAC, EARLY, LATE]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=30,
)


@given(ANYTHING | st.fixed_dictionaries({"sensors": ANYTHING}, optional={"mac": ANYTHING, "voltage": ANYTHING}))
def test_any_document_is_read_or_refused_by_the_tree(document: Any) -> None:
    for form in (document, json.dumps(document), json.dumps(document).encode(errors="surrogatepass")):
        with suppress(VegeHubPayloadError):
            look_at_everything(parse_update(form))


@given(st.binary(max_size=200))
@example(b"\xff")
def test_any_bytes_are_refused_by_the_tree(body: bytes) -> None:
    with pytest.raises(VegeHubPayloadError):
        parse_update(body)


TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)).flatmap(  # noqa: DTZ001 - hypothesis wants naive bounds
    lambda moment: st.sampled_from([moment.strftime(form) for form in ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S")])
)


@given(st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False), TIMES), min_size=1, max_size=20))
def test_every_good_sample_is_kept_in_order(pairs: list[tuple[float, str]]) -> None:
    update = parse_update(
        json.dumps(push(*({"v": value, "t": text} for value, text in pairs))), datetime(2031, 1, 1, tzinfo=UTC)
    )
    samples = update.readings[1].samples
    assert update.problem_count == 0
    assert sorted((sample.value, sample.time_text) for sample in samples) == sorted(pairs)
    moments = [sample.taken_at for sample in samples]
    assert moments == sorted(moments)


# The update as a value


def test_an_update_is_a_value() -> None:
    update = parse_update(push({"v": 1.0, "t": EARLY}))
    assert update == parse_update(push({"v": 1.0, "t": EARLY})) != parse_update(push({"v": 2.0, "t": EARLY}))
    assert update == copy.deepcopy(update) == pickle.loads(pickle.dumps(update))
    assert len({update, copy.copy(update)}) == 1
    with pytest.raises(AttributeError):
        update.mac = ""


def test_later_changes_of_the_callers_dict_do_not_change_the_update() -> None:
    payload = push({"v": 1.0, "t": EARLY})
    update = parse_update(payload)
    payload["sensors"][0]["samples"][0]["v"] = 9.0
    payload["sensors"].clear()
    assert values(update) == [1.0]


# With a layout


def on_slots(*numbers: int, **fields: Any) -> Update:
    sensors = [{"slot": slot, "samples": [{"v": float(slot), "t": EARLY}]} for slot in numbers]
    return parse_update({"mac": MAC, "sensors": sensors, **fields})


def test_a_layout_tells_inputs_battery_and_actuators_apart() -> None:
    layout = SlotLayout.of(4, 2, is_ac=False)
    update = on_slots(1, 2, 4, 5, 7, 9)
    assert {index: reading.slot for index, reading in update.inputs(layout).items()} == {1: 1, 2: 2, 4: 4}
    assert {index: reading.slot for index, reading in update.actuators(layout).items()} == {1: 7}
    assert update.battery(layout) == 5.0


def test_a_board_without_a_battery_slot_has_its_actuators_there() -> None:
    layout = SlotLayout.of(2, 2, is_ac=True)
    update = on_slots(1, 2, 3, 4)
    assert {index: reading.slot for index, reading in update.actuators(layout).items()} == {0: 3, 1: 4}
    assert update.battery(layout) is None


def test_battery_volts_are_taken_from_the_payload_first() -> None:
    layout = SlotLayout.of(1, 0, is_ac=False)
    assert on_slots(1, 2, voltage=9.5).battery(layout) == 9.5
    assert on_slots(1, voltage=0).battery(layout) == 0.0
    assert on_slots(1).battery(layout) is None


def test_without_a_layout_the_hubs_own_words_are_taken() -> None:
    update = on_slots(1, 2, 3, 4, num_channels=2, num_actuators=1, is_ac=0)
    assert update.layout == SlotLayout.of(2, 1, is_ac=False)
    assert {number: reading.value for number, reading in update.inputs().items()} == {1: 1.0, 2: 2.0}
    assert {number: reading.value for number, reading in update.actuators().items()} == {0: 4.0}
    assert update.battery() == 3.0
    assert on_slots(1, hub={"num_channels": 0, "num_actuators": 1, "is_ac": 1}).actuators()[0].value == 1.0
    assert on_slots(1, voltage="9.5 V").battery() == 9.5


def test_without_any_layout_nothing_is_guessed() -> None:
    update = on_slots(1, 2, num_channels=2, num_actuators="some", is_ac=0)
    for read in (update.inputs, update.actuators):
        with pytest.raises(VegeHubValueError, match="does not say what its slots are: pass a SlotLayout"):
            read()
    assert update.battery() is None
    assert dataclasses.replace(update, layout=SlotLayout.of(1, 0, is_ac=False)).battery() == 2.0


# Like what hubs send


@pytest.mark.parametrize("mac", ["000000000000", "00:00:00:00:00:00", "FFFFFFFFFFFF", "ff:ff:ff:ff:ff:ff"])
def test_a_mac_of_zeros_says_none(mac: str) -> None:
    update = parse_update({"mac": mac, "api_key": "K", "sensors": []})
    assert (update.mac, update.hub_key[:4], update.problems) == ("", "key:", ())


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("1", 1.0),
        (" 1.5 ", 1.5),
        ("1.5 V", 1.5),
        ("1500mV", 1.5),
        ("1,5", 1.5),
        ("+.5", 0.5),
        (1, 1.0),
        (1e-320, 1e-320),
    ],
)
def test_a_number_in_text_is_a_number(value: Any, number: float) -> None:
    update = parse_update(push({"v": value, "t": EARLY}))
    assert (values(update), update.problems) == ([number], ())


@pytest.mark.parametrize("form", ["[{0}]", "{0}"])
def test_a_lone_sample_or_entry_is_a_list_of_one(form: str) -> None:
    sample = json.dumps({"v": 1.5, "t": EARLY})
    entry = '{"slot":1,"samples":' + form.format(sample) + "}"
    assert values(parse_update('{"sensors":' + form.format(entry) + "}")) == [1.5]
    assert values(parse_update('{"updates":' + form.format('{"created_at":"","field1":1.5}') + "}")) == [1.5]


def test_a_declared_charset_is_honoured() -> None:
    body = '{"sensors":[],"name":"H\u00fctte"}'.encode("latin-1")
    assert parse_update(body, charset="iso-8859-1").extra == {"name": "H\u00fctte"}
    assert parse_update(body).extra == {"name": "H\ufffdtte"}


# In words


@pytest.mark.parametrize(
    ("payload", "note"),
    [
        (push(slot="one"), "sensors[0].slot: expected a slot from 1, got text"),
        ({"sensors": [7]}, "sensors[0]: expected an object, got a number"),
        ({"sensors": [{"slot": 1}]}, "sensors[0].samples: expected a list, got null"),
        ({"sensors": [{"slot": 1, "samples": {}}]}, "sensors[0].samples: expected a list, got an object"),
        (push({"v": 1.0}, "wet"), "sensors[0].samples[1]: expected an object, got text"),
        (push({"v": 1.0}, {"v": "wet"}), "sensors[0].samples[1].v: expected a number, got text"),
        (push({"v": 1.0, "t": True}), "sensors[0].samples[0].t: expected a time, got true or false"),
        (push({"v": float("nan")}), "sensors[0].samples[0].v: expected a finite number, got NaN"),
        (push({"v": float("-inf")}), "sensors[0].samples[0].v: expected a finite number, got infinity"),
        (push({"v": 10**30}), "sensors[0].samples[0].v: expected a number, got an integer of more than 20 digits"),
        ({"updates": [{}, []]}, "updates[1]: expected an object, got a list"),
        ({"updates": [{}, {"created_at": []}]}, "updates[1].created_at: expected a time, got a list"),
        ({"updates": [{}, {"field3": "wet"}]}, "updates[1].field3: expected a number, got text"),
        (push(wifi_str="loud"), "wifi_str: expected an integer, got text"),
        (push(error_code={}), "error_code: expected an integer, got an object"),
        (push(send_time=[]), "send_time: expected a time, got a list"),
        (push(voltage="low"), "voltage: expected a number, got text"),
        (push(write_api_key=5), "write_api_key: expected text, got a number"),
        (push(id=[]), "id: expected text or an integer, got a list"),
        (push(later=float("inf")), "an unknown field: expected plain JSON, got infinity"),
    ],
)
def test_what_was_dropped_is_described_by_its_path_and_kind(payload: dict[str, Any], note: str) -> None:
    assert parse_update(payload).problems == (note,)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (5, "payload: expected JSON or an object, got a number"),
        ([], "payload: expected JSON or an object, got a list"),
        (b"[]", "payload: expected an object, got a list"),
        (b"\xff", "payload: not UTF-8 at byte 0"),
        ({}, "sensors: expected a list, got null"),
        ({"sensors": [], "who_updated": 1}, "who_updated: a configuration of a hub, not an update"),
    ],
)
def test_a_refusal_says_what_is_wrong_without_values(payload: Any, text: str) -> None:
    with pytest.raises(VegeHubPayloadError) as caught:
        parse_update(payload)
    assert str(caught.value) == text


# At the edges


@pytest.mark.parametrize("text", ['\ufeff{"sensors":[]}', '\ufeff {"sensors":[]}\n'])
def test_a_byte_order_mark_does_no_harm_in_text_either(text: str) -> None:
    assert parse_update(text).readings == {}


def test_samples_of_one_moment_keep_their_order_where_times_are_decoded_too() -> None:
    samples = [{"v": 3.0, "t": "2025-01-15 16:51:23"}, {"v": 2.0, "t": EARLY}, {"v": 1.0}, {"v": 0.5, "t": EARLY}]
    assert values(parse_update(push(*samples))) == [3.0, 2.0, 1.0, 0.5]


def test_the_highest_slot_is_read_from_every_shape() -> None:
    for payload in (push({"v": 1.5}, slot=65535), push({"v": 1.5}, slot="65535"), {"updates": [{"field65535": 1.5}]}):
        update = parse_update(payload)
        assert (values(update, 65535), update.problem_count) == ([1.5], 0)


@pytest.mark.parametrize(
    ("value", "taken"),
    [(10**20 - 1, True), (-(10**20) + 1, True), (10**20, False), (-(10**20), False), (-1, True)],
)
def test_an_integer_of_up_to_twenty_digits_is_taken(value: int, taken: bool) -> None:
    update = parse_update(push(error_code=value))
    assert (update.error_code, update.problem_count) == ((value, 0) if taken else (None, 1))


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"api_key": "A", "key": "B", "write_api_key": "C"}, "A"),
        ({"api_key": "", "key": "B", "write_api_key": "C"}, "B"),
        ({"api_key": "", "key": "B"}, "B"),
        ({"api_key": "", "write_api_key": "C"}, "C"),
        ({"api_key": ""}, ""),
        ({}, ""),
    ],
)
def test_the_first_api_key_that_is_not_empty_counts(fields: dict[str, Any], key: str) -> None:
    assert parse_update({"sensors": [], **fields}).api_key == key


@pytest.mark.parametrize(
    ("fields", "channel"),
    [
        ({"channel_id": "", "id": "7"}, "7"),
        ({"channel_id": None, "id": 7}, "7"),
        ({"channel_id": "6", "id": "7"}, "6"),
        ({"channel_id": "", "id": None}, ""),
    ],
)
def test_the_first_channel_that_is_not_empty_counts(fields: dict[str, Any], channel: str) -> None:
    assert parse_update({"sensors": [], **fields}).channel_id == channel


def test_the_key_of_a_hub_stays_short_and_the_same_in_every_version() -> None:
    # It names a hub in journals and programs: another digest would make a known hub a new one.
    assert parse_update({"key": "shed", "updates": []}).hub_key == "key:d18b4d98c6f2921f"
    assert parse_update({"id": "7" * 100, "sensors": []}).hub_key == "channel:" + "7" * 64


def test_a_reading_is_made_once() -> None:
    readings = parse_update(push({"v": 2.0, "t": LATE}, {"v": 1.0, "t": EARLY})).readings
    assert readings[1] is readings[1]


@pytest.mark.parametrize("slot", [0, None, "one"])
def test_what_follows_a_bad_slot_is_kept(slot: Any) -> None:
    good = {"slot": 2, "samples": [{"v": 1.0, "t": EARLY}]}
    update = parse_update({"mac": MAC, "sensors": [{"slot": slot, "samples": []}, good]})
    assert (values(update, 2), update.problem_count) == ([1.0], 1)


def test_the_repr_of_readings_shows_them() -> None:
    readings = parse_update(push({"v": 1.5, "t": EARLY})).readings
    assert repr(readings) == repr({1: Reading(1, (Sample(1.5, EARLY),))})
