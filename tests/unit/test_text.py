"""Text of a peer never reaches a terminal raw."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vegehub.wire.payload import clean_text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("Shed", "Shed"),
        ("Gewächshaus 温室", "Gewächshaus 温室"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b2Jgone", "gone"),
        ("\x1b]0;title\x07shown", "shown"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPdevice\x1b\\shown", "shown"),
        ("\x1bcreset", "reset"),
        ("half \x1b[", "half"),
        ("half \x1b[31", "half 31"),
        ("two\r\nlines\tand tab", "two  lines and tab"),
        ("a\u2028b", "a b"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("\u2066iso\u2069late", "isolate"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("bell\x07 nul\x00 del\x7f", "bell nul del"),
        ("\ud800lone", "lone"),
        ("\ue000private", "private"),
        (b"caf\xc3\xa9", "café"),
        (b"\xff\xfebroken", "\ufffd\ufffdbroken"),
        ("  edges  ", "edges"),
    ],
)
def test_what_fools_a_terminal_or_a_reader_goes_and_the_rest_stays(raw: str | bytes, shown: str) -> None:
    assert clean_text(raw) == shown


def test_text_is_cut_at_the_limit() -> None:
    assert clean_text("x" * 8192) == "x" * 255
    assert clean_text("abcdef", 3) == "abc"


def test_cutting_leaves_no_space_at_the_end() -> None:
    assert clean_text("ab cd", 3) == "ab"


@given(st.one_of(st.text(), st.binary(), st.text(alphabet="\x1b[];0mPX^_\\\x07\x9b\x9d a")), st.integers(0, 40))
def test_no_text_keeps_a_control_character_or_more_than_the_limit(raw: str | bytes, limit: int) -> None:
    cleaned = clean_text(raw, limit)
    assert len(cleaned) <= limit
    assert not [character for character in cleaned if unicodedata.category(character)[0] == "C"]
    assert cleaned.splitlines() in ([], [cleaned])
    assert clean_text(cleaned, limit) == cleaned
