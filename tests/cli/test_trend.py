from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vegehub.cli.trend import arrow, sparkline


@pytest.mark.parametrize(
    ("values", "sign", "plain"),
    [
        ([1.0], "", ""),
        ([1.0, 1.0], "→", "="),
        ([1.0, 1.1], "↑", "+"),
        ([2.0, 1.5, 1.0], "↓", "-"),
        ([1.0, 1.004], "→", "="),
    ],
)
def test_arrow_says_which_way(values: list[float], sign: str, plain: str) -> None:
    assert arrow(values) == sign
    assert arrow(values, plain=True) == plain


def test_sparkline_goes_from_the_lowest_to_the_highest() -> None:
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert sparkline([0.0, 0.5, 1.0], plain=True) == "_-^"
    assert sparkline([]) == ""


def test_wobble_of_millivolts_is_a_flat_line() -> None:
    assert sparkline([1.0, 1.0, 1.0]) == "▁▁▁"


@given(st.lists(st.floats(0, 15)))
def test_there_is_one_character_for_each_value(values: list[float]) -> None:
    assert len(sparkline(values)) == len(values)
