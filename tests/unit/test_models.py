"""What a hub says becomes a model once, or an error that names the field."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vegehub import Actuator, HubInfo, Reading, Sample, VegeHubPayloadError, WifiInfo
from vegehub.wire.models import (
    actuator_list,
    actuator_state,
    hub_object,
    known_of,
    normalize_mac,
    parse_actuators,
    parse_last_readings,
    reported_mac,
)

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = [
    *("hub", "wifi", "actuators", "samples", "chan", "value", "slot", "state", "last_run", "next_window_start"),
    *("cur_ma", "error", "mac_addr", "strength", "status", "ssid", "num_channels", "num_actuators", "version"),
    *("is_ac", "batt_v", "first_boot", "error_message", "unknown"),
]
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.just(10**4000)
    | st.sampled_from(["7C:9E:BD:11:22:33", "-41", "3", "9" * 5000])
)  # fmt: skip
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=8),
    max_leaves=40,
)
FIELDS = st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=12)


def deep(levels: int = 5000) -> Any:
    document: Any = []
    for _ in range(levels):
        document = {"a": [document]}
    return document


def attempt(read: Callable[..., Any], *arguments: Any) -> tuple[Any, Exception | None]:
    """What comes back, and the one error that may come instead."""
    try:
        return read(*arguments), None
    except (ValueError, VegeHubPayloadError) as err:
        return None, err


def info(hub: Any = None, **wifi: Any) -> dict[str, Any]:
    return {"hub": {"version": "5.1.2"} if hub is None else hub, "wifi": wifi, "error": "success"}


# MAC


@pytest.mark.parametrize(
    "text",
    [
        "7C:9E:BD:11:22:33",
        "7c:9e:bd:11:22:33",
        "7C-9E-BD-11-22-33",
        "7C9E.BD11.2233",
        "7c9ebd112233",
        " 7C9EBD112233\n",
    ],
)
def test_a_mac_is_twelve_upper_case_digits(text: str) -> None:
    assert normalize_mac(text) == "7C9EBD112233"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "7C9EBD11223",
        "7C9EBD1122334",
        "7C9EBD11223G",
        "7C 9E BD 11 22 33",
        "\N{LATIN SMALL LIGATURE FF}" * 6,
        "\u0667" * 12,
    ],
)
def test_what_is_no_mac_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not a MAC address$"):
        normalize_mac(text)


@given(text=st.text())
def test_any_text_is_a_mac_or_refused(text: str) -> None:
    mac, error = attempt(normalize_mac, text)
    assert (str(error) == "not a MAC address") if mac is None else (normalize_mac(mac) == mac)


# info/get


def test_what_is_missing_has_a_default() -> None:
    blank = HubInfo.parse({"hub": {}})
    assert blank == HubInfo() == HubInfo.parse({"hub": {}, "wifi": None})
    assert (blank.mac, blank.num_sensors, blank.is_ac, blank.battery_volts) == ("", 0, False, None)
    assert not any((blank.error_code, blank.first_boot, blank.has_sd, blank.on_access_point))
    assert Actuator(slot=1) == Actuator.parse({"slot": 1, "state": 0})


def test_what_is_null_or_empty_is_none_and_no_zero() -> None:
    """A bare nan is decoded as null: a hub whose count of inputs is nan has not said that it has none."""
    parsed = HubInfo.parse(
        {"hub": {"version": None, "num_channels": None, "is_ac": None, "batt_v": "", "error_message": ""}}
    )
    assert (parsed.firmware, parsed.num_sensors, parsed.is_ac, parsed.battery_volts, parsed.error_code) == (None,) * 5
    assert parsed.problems == ()
    assert WifiInfo.parse({"mac_addr": "", "strength": "", "chan": None}) == WifiInfo()
    assert Actuator.parse({"slot": 1, "state": 0, "error": None}).error_code is None


def test_text_and_numbers_mean_the_same() -> None:
    assert WifiInfo.parse({"strength": "-41", "chan": "6", "status": "3"}) == WifiInfo.parse(
        {"strength": -41, "chan": 6, "status": 3}
    )
    assert HubInfo.parse({"hub": {"num_channels": "4", "is_ac": True, "batt_v": "9.2"}}) == HubInfo.parse(
        {"hub": {"num_channels": 4, "is_ac": 1, "batt_v": 9.2}}
    )


def test_unknown_fields_are_kept() -> None:
    parsed = HubInfo.parse(info({"agenda": 1, "page_updated": False}, future=[1]))
    assert parsed.extra == {"agenda": 1, "page_updated": False}
    assert parsed.wifi.extra == {"future": [1]}


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (None, "payload: expected an object, got null"),
        ([], "payload: expected an object, got a list"),
        ({}, "hub: expected an object, got null"),
        ({"hub": []}, "hub: expected an object, got a list"),
    ],
)
def test_a_reply_without_a_hub_is_no_info(payload: Any, text: str) -> None:
    with pytest.raises(VegeHubPayloadError) as caught:
        HubInfo.parse(payload)
    assert str(caught.value) == text
    assert caught.value.path == ("" if text.startswith("payload") else text.partition(":")[0])


@pytest.mark.parametrize(
    ("hub", "name", "problem"),
    [
        ({"version": 5.1}, "firmware", "hub.version: expected text, got a number"),
        ({"num_channels": "x"}, "num_sensors", "hub.num_channels: expected an integer from 0 to 1000, got text"),
        ({"num_channels": -1}, "num_sensors", "hub.num_channels: expected an integer from 0 to 1000, got a number"),
        (
            {"num_actuators": 10**18},
            "num_actuators",
            "hub.num_actuators: expected an integer from 0 to 1000, got a number",
        ),
        ({"is_ac": "maybe"}, "is_ac", "hub.is_ac: expected true or false, got text"),
        ({"is_ac": 2}, "is_ac", "hub.is_ac: expected true or false, got a number"),
        ({"batt_v": True}, "battery_volts", "hub.batt_v: expected a number, got true or false"),
        ({"batt_v": float("nan")}, "battery_volts", "hub.batt_v: expected a finite number, got NaN"),
        ({"batt_v": "--"}, "battery_volts", "hub.batt_v: expected a number, got text"),
        ({"error_message": "low"}, "error_code", "hub.error_message: expected an integer, got text"),
        ({"first_boot": []}, "first_boot", "hub.first_boot: expected true or false, got a list"),
    ],
)
def test_an_odd_field_of_the_hub_is_none_and_named_and_the_others_are_read(
    hub: dict[str, Any], name: str, problem: str
) -> None:
    whole = {"version": "5.1.2", "num_channels": 4, "num_actuators": 2, "batt_v": 9.2, "agenda": 1}
    parsed = HubInfo.parse({"hub": {**whole, **hub}, "wifi": {"mac_addr": "7C9EBD112233"}})
    assert getattr(parsed, name) is None
    assert parsed.problems == (problem,)
    assert parsed.extra == {"agenda": 1, **hub}
    assert parsed.mac == "7C9EBD112233"
    odd = dataclasses.replace(parsed, extra={}, problems=(), **{name: None})
    assert odd == dataclasses.replace(
        HubInfo.parse({"hub": whole, "wifi": {"mac_addr": "7C9EBD112233"}}), extra={}, **{name: None}
    )


@pytest.mark.parametrize(
    ("wifi", "name", "value", "problem"),
    [
        ({"mac_addr": "s3cr3t"}, "mac", "", "wifi.mac_addr: expected a MAC address, got text"),
        ({"mac_addr": 5}, "mac", "", "wifi.mac_addr: expected a MAC address, got a number"),
        ({"strength": []}, "rssi", None, "wifi.strength: expected an integer, got a list"),
        ({"strength": "60 %"}, "rssi", None, "wifi.strength: expected an integer, got text"),
        ({"status": {}}, "status", None, "wifi.status: expected text or an integer, got an object"),
        ({"status": deep()}, "status", None, "wifi.status: expected text or an integer, got an object"),
        (
            {"status": 10**5000},
            "status",
            None,
            "wifi.status: expected text or an integer, got an integer of more than 20 digits",
        ),
        ({"ssid": 5}, "ssid", None, "wifi.ssid: expected text, got a number"),
        ({"chan": "auto"}, "channel", None, "wifi.chan: expected an integer, got text"),
    ],
)
def test_an_odd_field_of_the_wifi_is_named_by_both(wifi: dict[str, Any], name: str, value: Any, problem: str) -> None:
    parsed = HubInfo.parse(info(**wifi))
    assert getattr(parsed.wifi, name) == value
    assert parsed.problems == parsed.wifi.problems == (problem,)
    assert list(parsed.wifi.extra) == list(wifi)


def test_a_wifi_that_is_no_object_costs_the_wifi() -> None:
    parsed = HubInfo.parse({"hub": {"version": "5.1.2"}, "wifi": "x"})
    assert (parsed.firmware, parsed.mac, parsed.problems) == ("5.1.2", "", ("wifi: expected an object, got text",))


@pytest.mark.parametrize(
    ("text", "rssi"), [("-41 dBm", -41), ("-41dbm", -41), (" -41 ", -41), (-41.0, -41), ("-41.0", -41), ("-41 dB", -41)]
)
def test_a_unit_behind_a_number_does_no_harm(text: Any, rssi: int) -> None:
    assert WifiInfo.parse({"strength": text}) == WifiInfo(rssi=rssi)
    assert HubInfo.parse({"hub": {"batt_v": "9.2 V"}}).battery_volts == 9.2
    assert HubInfo.parse({"hub": {"batt_v": "9200mV"}}).battery_volts == pytest.approx(9.2)


@pytest.mark.parametrize("mac", ["00:00:00:00:00:00", "000000000000", "ff:ff:ff:ff:ff:ff"])
def test_a_mac_of_zeros_says_none(mac: str) -> None:
    parsed = HubInfo.parse(info(mac_addr=mac))
    assert (parsed.mac, parsed.problems) == ("", ())
    assert reported_mac(info(mac_addr=mac)) == ""
    with pytest.raises(ValueError, match="not a MAC address"):
        normalize_mac(mac)


def test_neither_the_network_nor_unknown_fields_are_in_the_repr() -> None:
    parsed = HubInfo.parse(info({"future_key": "s3cr3t"}, ssid="s3cr3t", wifi_pw="s3cr3t", extra=deep()))
    assert parsed.wifi.ssid == "s3cr3t"
    assert "s3cr3t" not in repr(parsed)
    assert "s3cr3t" not in repr(Actuator.parse({"slot": 0, "state": 0, "key": "s3cr3t"}))


@given(payload=ANYTHING | st.fixed_dictionaries({"hub": FIELDS, "wifi": FIELDS}))
def test_any_info_is_read_or_refused(payload: Any) -> None:
    parsed, error = attempt(HubInfo.parse, payload)
    assert isinstance(error, VegeHubPayloadError) if parsed is None else 0 <= (parsed.num_sensors or 0) <= 1000
    assert repr(parsed)


# Parts of a reply, for those who keep it as it came


@pytest.mark.parametrize(
    ("payload", "hub"),
    [({"hub": {"a": 1}}, {"a": 1}), ({"hub": None}, None), ({}, None), ([], None), ({"hub": "x"}, None), (None, None)],
)
def test_the_hub_object_comes_as_it_is(payload: Any, hub: Any) -> None:
    assert hub_object(payload) == hub


@pytest.mark.parametrize(
    ("read", "payload", "text"),
    [
        (reported_mac, None, "payload: expected an object, got null"),
        (reported_mac, {"wifi": []}, "wifi: expected an object, got a list"),
        (reported_mac, {"wifi": {"mac_addr": 5}}, "wifi.mac_addr: expected a MAC address, got a number"),
        (reported_mac, {"wifi": {"mac_addr": "x"}}, "wifi.mac_addr: expected a MAC address, got text"),
        (actuator_list, [], "payload: expected an object, got a list"),
    ],
)
def test_a_wrong_part_is_named(read: Any, payload: Any, text: str) -> None:
    with pytest.raises(VegeHubPayloadError) as caught:
        read(payload)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("payload", "mac"),
    [
        ({"wifi": {"mac_addr": "7C:9E:BD:11:22:33"}}, "7C9EBD112233"),
        ({"wifi": {"mac_addr": ""}}, ""),
        ({"wifi": {"mac_addr": None}}, ""),
        ({"wifi": {}}, ""),
        ({"wifi": None}, ""),
        ({}, ""),
    ],
)
def test_a_reply_without_mac_gives_empty_text(payload: Any, mac: str) -> None:
    assert reported_mac(payload) == mac


@pytest.mark.parametrize(
    ("payload", "entries"),
    [
        ({"actuators": [5]}, [5]),
        ({"actuators": []}, []),
        ({"actuators": {}}, None),
        ({"actuators": None}, None),
        ({}, None),
    ],
)
def test_the_list_of_actuators_comes_as_it_is(payload: Any, entries: Any) -> None:
    assert actuator_list(payload) == entries


@pytest.mark.parametrize(
    ("document", "name", "value"),
    [
        ({"num_channels": 4}, "num_sensors", 4),
        ({"num_channels": "4"}, "num_sensors", 4),
        ({"hub": {"num_channels": 4}, "num_channels": 9}, "num_sensors", 4),
        ({"version": "5.1.2"}, "firmware", "5.1.2"),
        ({"is_ac": 1}, "is_ac", True),
        ({"is_ac": None}, "is_ac", None),
        ({"num_actuators": "many"}, "num_actuators", None),
        ({"num_actuators": 10**18}, "num_actuators", None),
        ({}, "num_sensors", None),
        ({"hub": []}, "num_sensors", None),
        (None, "num_sensors", None),
        ([], "num_sensors", None),
    ],
)
def test_one_field_of_a_hub_object_is_read_or_none(document: Any, name: str, value: Any) -> None:
    result = known_of(document, name)
    assert (type(result), result) == (type(value), value)


# actuators/status


def test_times_are_aware_and_zero_is_never() -> None:
    actuator = Actuator.parse(
        {"slot": 1, "state": 0, "last_run": 1730911079, "next_window_start": 0, "next_window_end": None}
    )
    assert actuator.last_run == datetime(2024, 11, 6, 16, 37, 59, tzinfo=UTC)
    assert actuator.next_window_start is actuator.next_window_end is None


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({}, "actuators: expected a list, got an object"),
        (None, "actuators: expected a list, got null"),
        ([None], "actuators[0]: expected an object, got null"),
        ([{"slot": 0, "state": 0}, {}], "actuators[1].slot: expected an integer from 0 to 1000, got null"),
        ([{"slot": None}], "actuators[0].slot: expected an integer from 0 to 1000, got null"),
        ([{"slot": -1}], "actuators[0].slot: expected an integer from 0 to 1000, got a number"),
        ([{"slot": 0}], "actuators[0].state: expected true or false, got null"),
        ([{"slot": 0, "state": 2}], "actuators[0].state: expected true or false, got a number"),
        ([{"slot": 0, "state": "jammed"}], "actuators[0].state: expected true or false, got text"),
        ([{"slot": 0, "state": "open"}], "actuators[0].state: expected true or false, got text"),
    ],
)
def test_a_slot_or_a_state_that_cannot_be_read_is_an_error(payload: Any, text: str) -> None:
    with pytest.raises(VegeHubPayloadError) as caught:
        parse_actuators(payload)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("state", "is_on"),
    [(0, False), (1, True), (True, True), (1.0, True), ("1", True), ("on", True), ("OFF", False), (" true ", True)],
)
def test_a_state_comes_as_number_flag_or_word(state: Any, is_on: bool) -> None:
    assert Actuator.parse({"slot": "1", "state": state}) == Actuator(slot=1, is_on=is_on)


@pytest.mark.parametrize(
    ("field", "name", "problem"),
    [
        ({"last_run": 10**18}, "last_run", "last_run: expected a time, got a number"),
        ({"last_run": "yesterday"}, "last_run", "last_run: expected a time, got text"),
        ({"cur_ma": "nan"}, "current_ma", "cur_ma: expected a number, got text"),
        ({"typ_ma": True}, "typical_ma", "typ_ma: expected a number, got true or false"),
        ({"error": {}}, "error_code", "error: expected an integer, got an object"),
    ],
)
def test_an_odd_field_of_an_actuator_is_none_and_named(field: dict[str, Any], name: str, problem: str) -> None:
    parsed = Actuator.parse({"slot": 1, "state": "on", **field})
    assert (parsed.slot, parsed.is_on, getattr(parsed, name)) == (1, True, None)
    assert (parsed.extra, parsed.problems) == (field, (problem,))


@pytest.mark.parametrize("last_run", [1730911079, "1730911079", 1730911079000, "2024-11-06T16:37:59Z", 1730911079.0])
def test_a_time_of_an_actuator_comes_in_any_form(last_run: Any) -> None:
    actuator = Actuator.parse({"slot": 1, "state": 0, "last_run": last_run, "cur_ma": "40 mA", "typ_ma": "0.04A"})
    assert actuator.last_run == datetime(2024, 11, 6, 16, 37, 59, tzinfo=UTC)
    assert (actuator.current_ma, actuator.typical_ma) == (40.0, 40.0)


def test_the_state_of_one_actuator_is_read_whatever_the_others_say() -> None:
    entries = [
        None,
        {"slot": "x"},
        {"slot": 0, "state": "jammed"},
        {"slot": "1", "state": "on"},
        {"slot": 2, "state": 0},
    ]
    assert (actuator_state(entries, 1), actuator_state(entries, 2), actuator_state(entries, 3)) == (True, False, None)
    with pytest.raises(VegeHubPayloadError, match=r"^actuators\[2\]\.state: expected true or false, got text$"):
        actuator_state(entries, 0)


def test_an_actuator_by_itself_is_named_by_its_fields() -> None:
    with pytest.raises(VegeHubPayloadError, match=r"^slot: expected an integer"):
        Actuator.parse({})
    with pytest.raises(VegeHubPayloadError, match=r"^payload: expected an object"):
        Actuator.parse(5)


@given(payload=ANYTHING | st.lists(st.fixed_dictionaries({"slot": st.integers(0, 8) | ANYTHING}).flatmap(
    lambda entry: FIELDS.map(lambda fields: {**fields, **entry})
), max_size=3))  # fmt: skip
def test_any_status_is_read_or_refused(payload: Any) -> None:
    for read in (parse_actuators, Actuator.parse):
        parsed, error = attempt(read, payload)
        assert isinstance(error, VegeHubPayloadError) is (parsed is None)
        assert repr(parsed)


# sensors/data/last


def test_readings_are_ordered_by_slot() -> None:
    payload = {"samples": [{"chan": 2, "value": 1.25, "unit": "V"}, {"chan": "1", "value": "0.5"}], "error": "success"}
    assert parse_last_readings(payload) == (Reading(1, (Sample(0.5),)), Reading(2, (Sample(1.25),)))
    assert parse_last_readings({"samples": []}) == ()


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ([], "payload: expected an object, got a list"),
        ({}, "samples: expected a list, got null"),
        ({"samples": {}}, "samples: expected a list, got an object"),
    ],
)
def test_a_reply_without_samples_is_an_error(payload: Any, text: str) -> None:
    with pytest.raises(VegeHubPayloadError) as caught:
        parse_last_readings(payload)
    assert str(caught.value) == text


@pytest.mark.parametrize("value", [None, "", "nan", "--", True, [], float("nan"), 10**400])
def test_an_input_without_a_value_hides_no_other(value: Any) -> None:
    first, second = parse_last_readings({"samples": [{"chan": 1, "value": value}, {"chan": 2, "value": "1.5 V"}]})
    assert (first.slot, first.samples, first.latest, first.value) == (1, (), None, None)
    assert (second.slot, second.samples, second.value) == (2, (Sample(1.5),), 1.5)
    assert bool(first.problems) is (value not in (None, ""))
    assert all(problem.startswith("samples[0].value: expected a ") for problem in first.problems)


@pytest.mark.parametrize("entry", [5, None, [], {"value": 1}, {"chan": "one", "value": 1}, {"chan": -1, "value": 1}])
def test_an_entry_without_a_channel_hides_no_other(entry: Any) -> None:
    assert parse_last_readings({"samples": [entry, {"chan": 2, "value": 1.5}]}) == (Reading(2, (Sample(1.5),)),)


@given(payload=ANYTHING | st.fixed_dictionaries({"samples": st.lists(FIELDS, max_size=3)}))
def test_any_readings_are_read_or_refused(payload: Any) -> None:
    parsed, error = attempt(parse_last_readings, payload)
    assert isinstance(error, VegeHubPayloadError) is (parsed is None)
    assert repr(parsed)


@pytest.mark.parametrize("read", [HubInfo.parse, WifiInfo.parse, Actuator.parse, parse_actuators, parse_last_readings])
@pytest.mark.parametrize("place", [lambda value: value, lambda value: {"hub": value, "samples": value, "slot": value}])
def test_thousands_of_levels_are_read_or_refused(read: Any, place: Any) -> None:
    parsed, error = attempt(read, place(deep()))
    assert isinstance(error, VegeHubPayloadError) is (parsed is None)
    assert repr(parsed)


# Samples


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-01-15T16:51:23Z", datetime(2025, 1, 15, 16, 51, 23, tzinfo=UTC)),
        ("2025-01-15 16:51:23", datetime(2025, 1, 15, 16, 51, 23, tzinfo=UTC)),
        ("2025-01-15T10:51:23-06:00", datetime(2025, 1, 15, 16, 51, 23, tzinfo=UTC)),
        (None, None),
        ("", None),
        ("yesterday", None),
        ("2025-13-45T99:99:99Z", None),
        ("0001-01-01T00:00:00+23:00", None),
        ("9999-12-31T23:59:59-23:00", None),
    ],
)
def test_the_time_of_a_sample_is_aware_and_utc(text: str | None, moment: datetime | None) -> None:
    assert Sample(1.5, text).taken_at == moment


@given(text=st.text() | st.from_regex(r"\A\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)?\Z"))
def test_any_text_is_a_time_or_none(text: str) -> None:
    moment = Sample(1.5, text).taken_at
    assert moment is None or moment.tzinfo is UTC


def test_the_latest_sample_is_the_newest_with_a_time_that_can_be() -> None:
    assert Reading(1, (Sample(1.0), Sample(2.0))).latest == Sample(2.0)
    assert Reading(1).latest is None
    dated = Sample(1.0, "2025-01-15T16:51:23Z")
    assert Reading(1, (dated, Sample(2.0), Sample(3.0, "2036-02-07T06:28:16Z"))).latest == dated


def test_the_value_is_that_of_the_newest_sample_or_none() -> None:
    never, overflown = "1970-01-01T00:00:05Z", "2036-02-07T06:28:16Z"
    assert Reading(1, (Sample(1.0, "2025-01-15T16:51:23Z"), Sample(2.0, never))).value == 1.0
    assert Reading(1, (Sample(1.0), Sample(2.0))).value == 2.0
    assert Reading(1, (Sample(1.0, never), Sample(2.0, overflown))).value is None
    assert Reading(1).value is None
    early = datetime(2036, 2, 7, tzinfo=UTC)
    assert Reading(1, (Sample(2.0, overflown),), as_of=early).value == 2.0


@pytest.mark.parametrize("model", [HubInfo(), WifiInfo(), Actuator(slot=0), Sample(1.5), Reading(1)])
def test_models_are_frozen_and_can_be_keys(model: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(model, dataclasses.fields(model)[0].name, None)
    assert {model: 1}[dataclasses.replace(model)] == 1
