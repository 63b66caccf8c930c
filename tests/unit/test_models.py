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


def test_what_is_missing_null_or_empty_has_a_default() -> None:
    blank = HubInfo.parse({"hub": {}})
    assert blank == HubInfo() == HubInfo.parse({"hub": {"version": None, "is_ac": None, "batt_v": ""}, "wifi": None})
    assert (blank.mac, blank.num_sensors, blank.is_ac, blank.battery_volts) == ("", 0, False, None)
    assert not any((blank.error_code, blank.first_boot, blank.has_sd, blank.on_access_point))
    assert Actuator(slot=1) == Actuator.parse({"slot": 1, "error": 0, "state": 0})
    assert WifiInfo.parse({"mac_addr": "", "strength": "", "chan": None}) == WifiInfo()


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
        (info({"version": 5}), "hub.version: expected text, got a number"),
        (info({"num_channels": "x"}), "hub.num_channels: expected an integer, got text"),
        (info({"num_channels": -1}), "hub.num_channels: expected an integer from 0 to 1000"),
        (info({"num_actuators": 10**18}), "hub.num_actuators: expected an integer from 0 to 1000"),
        (info({"is_ac": "yes"}), "hub.is_ac: expected an integer, got text"),
        (info({"batt_v": True}), "hub.batt_v: expected a number, got true or false"),
        ({"hub": {}, "wifi": "x"}, "wifi: expected an object, got text"),
        (info(mac_addr="s3cr3t"), "wifi.mac_addr: expected a MAC address, got text"),
        (info(mac_addr=5), "wifi.mac_addr: expected text, got a number"),
        (info(strength=[]), "wifi.strength: expected an integer, got a list"),
        (info(status={}), "wifi.status: expected an integer, got an object"),
        (info(status=deep()), "wifi.status: expected an integer, got an object"),
        (info(status=10**5000), "wifi.status: expected an integer, got a number"),
    ],
)
def test_a_wrong_field_of_the_info_is_named(payload: Any, text: str) -> None:
    with pytest.raises(VegeHubPayloadError) as caught:
        HubInfo.parse(payload)
    assert str(caught.value) == text
    assert caught.value.path == ("" if text.startswith("payload") else text.partition(":")[0])


def test_neither_the_network_nor_unknown_fields_are_in_the_repr() -> None:
    parsed = HubInfo.parse(info({"future_key": "s3cr3t"}, ssid="s3cr3t", wifi_pw="s3cr3t", extra=deep()))
    assert parsed.wifi.ssid == "s3cr3t"
    assert "s3cr3t" not in repr(parsed)
    assert "s3cr3t" not in repr(Actuator.parse({"slot": 0, "key": "s3cr3t"}))


@given(payload=ANYTHING | st.fixed_dictionaries({"hub": FIELDS, "wifi": FIELDS}))
def test_any_info_is_read_or_refused(payload: Any) -> None:
    parsed, error = attempt(HubInfo.parse, payload)
    assert isinstance(error, VegeHubPayloadError) if parsed is None else 0 <= parsed.num_sensors <= 1000
    assert repr(parsed)


# Parts of a reply, for those who keep it as it came


@pytest.mark.parametrize(("payload", "hub"), [({"hub": {"a": 1}}, {"a": 1}), ({"hub": None}, None), ({}, None)])
def test_the_hub_object_comes_as_it_is(payload: Any, hub: Any) -> None:
    assert hub_object(payload) == hub


@pytest.mark.parametrize(
    ("read", "payload", "text"),
    [
        (hub_object, [], "payload: expected an object, got a list"),
        (hub_object, {"hub": "x"}, "hub: expected an object, got text"),
        (reported_mac, None, "payload: expected an object, got null"),
        (reported_mac, {"wifi": []}, "wifi: expected an object, got a list"),
        (reported_mac, {"wifi": {"mac_addr": 5}}, "wifi.mac_addr: expected text, got a number"),
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
    actuator = Actuator.parse({"slot": 1, "last_run": 1730911079, "next_window_start": 0, "next_window_end": None})
    assert actuator.last_run == datetime(2024, 11, 6, 16, 37, 59, tzinfo=UTC)
    assert actuator.next_window_start is actuator.next_window_end is None


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({}, "actuators: expected a list, got an object"),
        (None, "actuators: expected a list, got null"),
        ([None], "actuators[0]: expected an object, got null"),
        ([{"slot": 0}, {}], "actuators[1].slot: expected an integer, got null"),
        ([{"slot": None}], "actuators[0].slot: expected an integer, got null"),
        ([{"slot": -1}], "actuators[0].slot: expected an integer from 0 to 1000"),
        ([{"slot": 0, "state": "on"}], "actuators[0].state: expected an integer, got text"),
        ([{"slot": 0, "last_run": 10**18}], "actuators[0].last_run: expected Unix seconds, got a number"),
        ([{"slot": 0, "last_run": -(10**18)}], "actuators[0].last_run: expected Unix seconds, got a number"),
        ([{"slot": 0, "cur_ma": "x"}], "actuators[0].cur_ma: expected a number, got text"),
    ],
)
def test_a_wrong_field_of_the_status_is_named(payload: Any, text: str) -> None:
    with pytest.raises(VegeHubPayloadError) as caught:
        parse_actuators(payload)
    assert str(caught.value) == text


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
        ({"samples": [5]}, "samples[0]: expected an object, got a number"),
        ({"samples": [{"value": 1}]}, "samples[0].chan: expected an integer, got null"),
        ({"samples": [{"chan": 1, "value": 1}, {"chan": 2}]}, "samples[1].value: expected a number, got null"),
        ({"samples": [{"chan": 1, "value": True}]}, "samples[0].value: expected a number, got true or false"),
        ({"samples": [{"chan": -1, "value": 1}]}, "samples[0].chan: expected an integer from 0 to 1000"),
    ],
)
def test_a_wrong_field_of_the_readings_is_named(payload: Any, text: str) -> None:
    with pytest.raises(VegeHubPayloadError) as caught:
        parse_last_readings(payload)
    assert str(caught.value) == text


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


def test_the_latest_sample_is_the_last() -> None:
    assert Reading(1, (Sample(1.0), Sample(2.0))).latest == Sample(2.0)
    assert Reading(1).latest is None


@pytest.mark.parametrize("model", [HubInfo(), WifiInfo(), Actuator(slot=0), Sample(1.5), Reading(1)])
def test_models_are_frozen_and_can_be_keys(model: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(model, dataclasses.fields(model)[0].name, None)
    assert {model: 1}[dataclasses.replace(model)] == 1
