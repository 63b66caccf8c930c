"""Times of hubs are read in every form, and told from those that cannot be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vegehub.wire.times import AHEAD, EARLIEST, is_plausible, parse_time

MOMENT = datetime(2025, 1, 5, 6, 7, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        1736057228,
        1736057228.0,
        "1736057228",
        " 1736057228 ",
        "1736057228.0",
        1736057228000,
        "1736057228000",
        "2025-01-05T06:07:08Z",
        "2025-01-05T06:07:08z",
        "2025-01-05t06:07:08",
        "2025-01-05 06:07:08",
        "2025-01-05  06:07:08 ",
        "2025-01-05_06:07:08",
        "2025-1-5T6:7:8Z",
        "2025-1-5 6:07:08",
        "2025/01/05 06:07:08",
        "2025.01.05 06:07:08",
        "20250105T060708Z",
        "20250105060708",
        "2025-01-05T06:07:08.000000000Z",
        "2025-01-05T06:07:08,0Z",
        "2025-01-05T06:07:08+00:00",
        "2025-01-05T08:07:08+0200",
        "2025-01-05T08:07:08+02",
        "2025-01-05 04:07:08 -02:00",
        "2025-01-05 06:07:08 UTC",
        "2025-01-05 06:07:08 GMT",
        "Sun Jan  5 06:07:08 2025\n",
        "Jan 5 06:07:08 2025",
        "Sun, 05 Jan 2025 06:07:08 GMT",
        "05-Jan-2025 06:07:08",
    ],
)
def test_one_moment_in_all_its_forms(value: Any) -> None:
    found = parse_time(value)
    assert found == MOMENT
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2025-01-05T06:07:08.25Z", MOMENT + timedelta(seconds=0.25)),
        ("2025-1-5 6:7:8.25", MOMENT + timedelta(seconds=0.25)),
        (1736057228.25, MOMENT + timedelta(seconds=0.25)),
        (1736057228250, MOMENT + timedelta(seconds=0.25)),
        ("2025-01-05", MOMENT.replace(hour=0, minute=0, second=0)),
        ("2025-01-05 06:07", MOMENT.replace(second=0)),
        ("2024-12-31T23:59:60Z", datetime(2025, 1, 1, tzinfo=UTC)),
        ("2025-1-4T24:00:00Z", datetime(2025, 1, 5, tzinfo=UTC)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        ("20250115", datetime(1970, 8, 23, 9, 1, 55, tzinfo=UTC)),
        ("2036-02-07T06:28:16Z", datetime(2036, 2, 7, 6, 28, 16, tzinfo=UTC)),
    ],
)
def test_a_time_means_what_it_says(value: Any, moment: datetime) -> None:
    assert parse_time(value) == moment


@pytest.mark.parametrize(
    "value",
    [
        *(
            None,
            True,
            False,
            "",
            " ",
            "yesterday",
            "nan",
            "--",
            [],
            {},
            b"5",
            float("nan"),
            float("inf"),
            -float("inf"),
        ),
        *(
            10**5000,
            10**14,
            "9" * 5000,
            "0000-00-00 00:00:00",
            "2025-13-45T99:99:99Z",
            "2025-02-30 00:00:00",
        ),
        *("2025-1-5 25:00:00", "2025-1-5 6:60:00", "2025-1-5 6:7:61", "0001-01-01T00:00:00+23:00", "20251345060708"),
        *("9999-12-31T23:59:59-23:00", "05/01/2025 06:07:08", "5.1.2025", "06:07:08", "Sun Foo  5 06:07:08 2025"),
    ],
    ids=lambda value: repr(value)[:30] if not isinstance(value, int) else "int",
)
def test_what_is_no_time_is_none(value: Any) -> None:
    assert parse_time(value) is None


def test_a_time_is_plausible_from_2020_to_a_day_ahead() -> None:
    now = datetime(2025, 6, 1, tzinfo=UTC)
    second = timedelta(seconds=1)
    assert [
        is_plausible(moment, now) for moment in (EARLIEST - second, EARLIEST, now, now + AHEAD, now + AHEAD + second)
    ] == [*(False, True, True, True, False)]
    assert not is_plausible(None, now)
    present = datetime.now(UTC)
    assert is_plausible(present)
    assert not is_plausible(present + timedelta(days=2))


@given(st.datetimes(datetime(1971, 1, 1), datetime(5000, 1, 1)))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_what_python_writes_is_read(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    for text in (moment.isoformat(), moment.isoformat(" "), aware.isoformat(), f"{moment.isoformat()}Z"):
        assert parse_time(text) == aware
    whole = aware.replace(microsecond=0)
    assert parse_time(int(whole.timestamp())) == parse_time(str(int(whole.timestamp()))) == whole
    assert parse_time(whole.strftime("%a, %d %b %Y %H:%M:%S GMT")) == parse_time(whole.ctime()) == whole


@given(st.text() | st.text("0123456789-:./TZ +,ajnmbOctov") | st.integers() | st.floats())
def test_any_value_is_a_time_or_none(value: Any) -> None:
    found = parse_time(value)
    assert found is None or found.tzinfo is UTC
