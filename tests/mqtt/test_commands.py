"""A message opens a valve only if it says so without any doubt, and never without an end."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vegehub.mqtt.commands import (
    MAX_COMMAND,
    Command,
    CommandRefusedError,
    CommandRules,
    read_actuator,
    read_command,
)

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
RULES = CommandRules(duration=300, max_on=3600, expires_in=120)


def read(payload: object) -> Command:
    return read_command(payload if isinstance(payload, bytes) else json.dumps(payload).encode(), RULES, NOW)


@pytest.mark.parametrize("payload", [b"ON", b"on", b" On\n", b'{"state":"ON"}'])
def test_a_plain_on_lasts_and_waits_as_the_settings_say(payload: bytes) -> None:
    assert read(payload) == Command(is_on=True, seconds=300, expires_at=NOW + timedelta(seconds=120))


@pytest.mark.parametrize("payload", [b"OFF", b"off", b'{"state":"OFF"}', b'{"state":"OFF","hold":0}'])
def test_a_plain_off_holds_nothing_and_never_expires(payload: bytes) -> None:
    assert read(payload) == Command(is_on=False, seconds=0)


def test_an_object_says_it_all() -> None:
    command = read({"state": "ON", "duration": 90.5, "expires_at": "2025-06-01T14:30:00+02:00", "id": "a-1"})
    assert command == Command(is_on=True, seconds=90.5, expires_at=NOW + timedelta(minutes=30), id="a-1")
    assert command.document() == {"state": "ON", "duration": 90.5, "expires_at": "2025-06-01T12:30:00Z"}
    assert read({"state": "ON", "expires_at": NOW.timestamp() + 60}).expires_at == NOW + timedelta(seconds=60)
    assert read({"state": "ON", "expires_in": 60}).expires_at == NOW + timedelta(seconds=60)
    assert read({"state": "OFF", "hold": 60}).document() == {"state": "OFF", "hold": 60}


def test_an_off_is_taken_whatever_it_says_of_its_expiry() -> None:
    assert read({"state": "OFF", "expires_at": "yesterday", "expires_in": -1}) == Command(is_on=False, seconds=0)


def test_an_expiry_in_the_past_is_read_as_such() -> None:
    assert read({"state": "ON", "expires_at": "2025-06-01T11:59:59Z"}).expires_at == NOW - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "neither ON nor OFF"),
        (b"OPEN", "neither ON nor OFF, and not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"1", "expected ON, OFF or an object, got a number"),
        (b'"ON"', "got text"),
        (b"[]", "got a list"),
        (b"null", "got null"),
        (b'{"state":"ON","duration":NaN}', "expected a finite number, got NaN"),
        (b'{"state":"ON","duration":Infinity}', "expected a finite number, got Infinity"),
        (b'{"state":"ON","duration":1e999}', "out of range"),
        (b"ON" * MAX_COMMAND, "longer than 4096 bytes"),
        ({}, 'state: expected "ON" or "OFF"'),
        ({"state": "on"}, 'state: expected "ON" or "OFF"'),
        ({"state": 1}, "state: expected"),
        ({"state": True}, "state: expected"),
        ({"state": "ON", "duration": None}, "duration must be 1 to 3600 seconds"),
        ({"state": "ON", "duration": 0}, "duration must be"),
        ({"state": "ON", "duration": -5}, "duration must be"),
        ({"state": "ON", "duration": 3601}, "duration must be 1 to 3600 seconds"),
        ({"state": "ON", "duration": True}, "duration must be"),
        ({"state": "ON", "duration": "600"}, "duration must be"),
        ({"state": "ON", "duration": "forever"}, "duration must be"),
        ({"state": "ON", "durration": 60}, "unknown field 'durration'"),
        ({"state": "ON", "hold": 60}, "hold: belongs to OFF"),
        ({"state": "OFF", "duration": 60}, "duration: OFF has none"),
        ({"state": "OFF", "hold": -1}, "hold must be"),
        ({"state": "ON", "expires_in": -1}, "expires_in must be"),
        ({"state": "ON", "expires_in": 700_000}, "expires_in must be"),
        ({"state": "ON", "expires_in": 5, "expires_at": "2025-06-01T12:30:00Z"}, "only one of them"),
        ({"state": "ON", "expires_at": "2025-06-01T12:30:00"}, "a time with its zone"),
        ({"state": "ON", "expires_at": "soon"}, "a time with its zone"),
        ({"state": "ON", "expires_at": None}, "a time with its zone"),
        ({"state": "ON", "expires_at": True}, "a time with its zone"),
        ({"state": "ON", "expires_at": 1e300}, "a time with its zone"),
        ({"state": "ON", "expires_at": "0001-01-01T00:00:00+23:59"}, "a time with its zone"),
        ({"state": "ON", "expires_at": "2025-06-09T12:30:00Z"}, "within a week"),
        ({"state": "ON", "id": 5}, "id: expected text"),
        ({"state": "ON", "id": ""}, "id: expected text"),
        ({"state": "ON", "id": "x" * 65}, "id: expected text"),
        ({"state": "ON", "id": "a\nb"}, "id: expected text"),
    ],
)
def test_a_bad_command_is_refused_in_words(payload: object, why: str) -> None:
    with pytest.raises(CommandRefusedError) as caught:
        read(payload)
    assert why in str(caught.value)


def test_a_refused_command_still_has_its_id() -> None:
    with pytest.raises(CommandRefusedError) as caught:
        read({"id": "mine", "state": "ON", "duration": -1})
    assert caught.value.id == "mine"


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(["ON", "OFF"]),
        lambda inner: st.dictionaries(
            st.sampled_from(["state", "duration", "hold", "expires_in", "expires_at", "id", "x"]), inner, max_size=5
        ),
        max_leaves=8,
    ).map(lambda document: json.dumps(document).encode())
)
@example(b'{"state":"ON","expires_at":-1e11}')
def test_whatever_comes_is_a_finite_command_or_is_refused(payload: bytes) -> None:
    try:
        command = read(payload)
    except CommandRefusedError as err:
        assert str(err)  # noqa: PT017 - either of the two is right
        return
    assert math.isfinite(command.seconds)
    if command.is_on:
        assert 1 <= command.seconds <= RULES.max_on
        assert command.expires_at is not None
    json.dumps(command.document())


def test_an_actuator_is_named_by_its_number() -> None:
    assert read_actuator("0", 2) == 0
    assert read_actuator("1", 2) == 1
    assert read_actuator("9", None) == 9


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "one", "²", "99999", "0x1", " 1"])
def test_anything_else_names_no_actuator(text: str) -> None:
    with pytest.raises(CommandRefusedError, match="names no actuator"):
        read_actuator(text, 2)


def test_an_actuator_that_the_hub_does_not_have_is_refused() -> None:
    with pytest.raises(CommandRefusedError, match="unknown actuator 2: this hub has 2"):
        read_actuator("2", 2)
