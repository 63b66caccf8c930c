from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vegehub.cli.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("1d2h3m4s", 93_784),
        ("0.5s", 0.5),
        ("45", 45),
        (" 1M ", 60),
        ("0", 0),
    ],
)
def test_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "m", "-5m", "5 m", "30m1h", "1e3", "nan", "inf", "10x", "\u0661m", "99999999"]
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 90s, 10m or 1h30m"):
        parse_duration(text)


@given(st.text())
def test_any_text_gives_seconds_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert parse_duration(text) >= 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (12.4, "12s"),
        (59.9, "1m"),
        (65, "1m 05s"),
        (600, "10m"),
        (5400, "1h 30m"),
        (3600, "1h"),
        (90_000, "1d 01h"),
    ],
)
def test_is_written_with_two_units_at_most(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, 23), st.integers(0, 59))
def test_whole_minutes_survive_being_written_and_read(hours: int, minutes: int) -> None:
    seconds = hours * 3600 + minutes * 60
    assert parse_duration(format_duration(seconds).replace(" ", "")) == seconds
