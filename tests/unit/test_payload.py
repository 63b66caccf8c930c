"""JSON of files and users is decoded strictly, and a wrong field is named."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vegehub.exceptions import VegeHubPayloadError
from vegehub.wire.fields import COUNT, MAX_COUNT, Fields, as_code, as_count, as_flag, as_int, as_number, as_text
from vegehub.wire.near_json import MAX_DEPTH
from vegehub.wire.payload import as_list, as_object, decode_strict_json, kind, wrong

if TYPE_CHECKING:
    from collections.abc import Callable

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def attempt(read: Callable[..., Any], *arguments: Any) -> tuple[Any, Exception | None]:
    """What comes back, and the one error that may come instead."""
    try:
        return read(*arguments), None
    except (ValueError, VegeHubPayloadError) as err:
        return None, err


def nested(levels: int, leaf: str = "") -> str:
    return "[" * levels + leaf + "]" * levels


@given(value=JSON)
def test_json_is_decoded_from_text_and_bytes(value: Any) -> None:
    text = json.dumps(value)
    assert decode_strict_json(text) == value
    assert decode_strict_json(text.encode()) == value
    assert decode_strict_json(bytearray(text, "utf-8")) == value


def test_a_byte_order_mark_is_taken() -> None:
    assert decode_strict_json(b"\xef\xbb\xbf[1]") == [1]


@pytest.mark.parametrize("white", [" ", "\t", "\r\n", " \n \t\r"])
def test_white_space_may_stand_around_it(white: str) -> None:
    assert decode_strict_json(f'{white}{{"a": 1}}{white}') == {"a": 1}
    assert decode_strict_json(f"{white}[1]{white}".encode()) == [1]


@pytest.mark.parametrize("other", ["\x0b", "\x0c", "\x85", "\xa0", "\u2003", "\0", "\ufeff", "}", "[1]"])
def test_nothing_else_may_stand_around_it(other: str) -> None:
    for text in (f"[1]{other}", f"[1] {other}"):
        with pytest.raises(ValueError, match=r"not JSON: extra data at character [34]$"):
            decode_strict_json(text)
    if other != "[1]":
        with pytest.raises(ValueError, match="not JSON"):
            decode_strict_json(f"{other}[1]")


@given(data=st.binary() | st.text() | st.text().map(str.encode))
def test_anything_else_is_a_value_error(data: bytes | str) -> None:
    value, error = attempt(decode_strict_json, data)
    assert value is None or error is None
    assert error is None or str(error)


@pytest.mark.parametrize(
    "data", ["", "null x", "{'a':1}", '{"a":1,}', "[1,]", "nul", b"\xff\xfe", b"[\x80]", '"\n"', "01"]
)
def test_what_is_no_json_is_refused(data: bytes | str) -> None:
    with pytest.raises(ValueError, match=r"not (JSON|UTF-8)"):
        decode_strict_json(data)


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 5000, "-" + "9" * 30, "1" * 400 + ".5"]
)
@pytest.mark.parametrize("place", ["{}", "[1,{}]", '{{"a":{}}}'])
def test_numbers_out_of_range_are_refused(number: str, place: str) -> None:
    with pytest.raises(ValueError, match=r"finite number|digits|out of range"):
        decode_strict_json(place.format(number))


@pytest.mark.parametrize(
    "number", ["18446744073709551615", "-9223372036854775808", "1e308", "5e-324", "0." + "1" * 5000]
)
def test_numbers_within_range_are_taken(number: str) -> None:
    assert decode_strict_json(number) == float(number) if "." in number or "e" in number else int(number)


@pytest.mark.parametrize(
    ("number", "taken"), [("9" * 20, True), ("9" * 21, False), ("-" + "9" * 19, True), ("-" + "9" * 20, False)]
)
@pytest.mark.parametrize("encode", [str, str.encode, lambda text: bytearray(text.encode())])
def test_the_longest_integer_is_the_same_in_text_and_in_bytes(
    number: str, taken: bool, encode: Callable[[str], bytes | str]
) -> None:
    if taken:
        assert decode_strict_json(encode(f'{{"a":[{number}]}}')) == {"a": [int(number)]}
    else:
        with pytest.raises(ValueError, match="21 digits"):
            decode_strict_json(encode(f'{{"a":[{number}]}}'))


@pytest.mark.parametrize("leaf", ["", "1", '"["'])
def test_nesting_is_taken_up_to_its_limit(leaf: str) -> None:
    decode_strict_json(nested(MAX_DEPTH, leaf))
    with pytest.raises(ValueError, match="nested too deeply"):
        decode_strict_json(nested(MAX_DEPTH + 1, leaf))


def test_brackets_in_text_or_side_by_side_are_no_depth() -> None:
    assert decode_strict_json(json.dumps("[{" * 5000)) == "[{" * 5000
    assert decode_strict_json("[" + ",".join(["[]"] * 5000) + "]") == [[]] * 5000


@pytest.mark.parametrize("levels", [5000, 200_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_thousands_of_levels_are_refused(levels: int, opening: str, closing: str) -> None:
    for text in (opening * levels, opening * levels + "1" + closing * levels):
        with pytest.raises(ValueError, match=r"nested too deeply|not JSON"):
            decode_strict_json(text)


@pytest.mark.parametrize(
    "text", ['{"key":"s3cr3t"', '["s3cr3t",]', '{"a":s3cr3t}', '"s3cr3t\n"', "s3cr3t", b'"s3cr3t\xff"']
)
def test_an_error_shows_nothing_of_the_data(text: bytes | str) -> None:
    with pytest.raises(ValueError, match="not") as caught:
        decode_strict_json(text)
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


# Fields


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"),
        (True, "true or false"),
        (1, "a number"),
        (1.5, "a number"),
        (math.nan, "NaN"),
        (-math.inf, "infinity"),
        (10**20, "an integer of more than 20 digits"),
        ("s3cr3t", "text"),
        ({}, "an object"),
        ([], "a list"),
        ((), "a list"),
        (b"", "bytes"),
    ],
)
def test_a_type_is_named_in_words(value: object, name: str) -> None:
    assert kind(value) == name


@pytest.mark.parametrize(("path", "start"), [("sensors[2].slot", "sensors[2].slot"), ("", "payload")])
def test_the_error_has_path_and_type_and_no_value(path: str, start: str) -> None:
    error = wrong(path, "an int", "s3cr3t")
    assert str(error) == f"{start}: expected an int, got text"
    assert error.path == path


@pytest.mark.parametrize(
    ("read", "value", "found"),
    [
        *((as_int, value, 5) for value in (5, 5.0, "5", " 5 ", "5.0", "+5", "05", "0x5")),
        *((as_int, value, found) for value, found in ((True, 1), (False, 0), ("-41", -41), (10**20 - 1, 10**20 - 1))),
        *((as_number, value, 1.5) for value in (1.5, "1.5", " 1.5 ", "1,5", "+1.5", "15e-1")),
        *((as_number, value, found) for value, found in ((5, 5.0), ("0", 0.0), (" -1e3 ", -1000.0), (".5", 0.5))),
        *(
            (as_count, value, found)
            for value, found in ((0, 0), (8, 8), (MAX_COUNT, 1000), ("8", 8), (8.0, 8), (True, 1))
        ),
        *((as_flag, value, True) for value in (True, 1, 1.0, "1", "on", "ON", " Yes", "true", "1.0")),
        *((as_flag, value, False) for value in (False, 0, "0", "off", "no", "False")),
        (as_text, "", ""),
        (as_code, "3", "3"),
        (as_code, 3, "3"),
    ],
)
def test_a_value_comes_in_many_forms(read: Any, value: Any, found: Any) -> None:
    assert (type(read(value)), read(value)) == (type(found), found)


NO_NUMBERS: list[Any] = [None, math.nan, math.inf, "x", "", "nan", "inf", "--", "1e999", "1 2", [], {}, b"5"]
NO_NUMBERS += [10**20, -(10**20), 10**5000, "9" * 21, "9" * 5000, "1.2.3", "1,2,3"]


@pytest.mark.parametrize(
    ("read", "value"),
    [
        *((as_int, value) for value in (*NO_NUMBERS, 1.5, "1.5", 1e300)),
        *((as_number, value) for value in (*NO_NUMBERS, True)),
        *((as_count, value) for value in (*NO_NUMBERS, -1, 1001, "1001", "-1", 0.5)),
        *((as_flag, value) for value in (*NO_NUMBERS, 2, -1, "2", "open", "closed", 0.5)),
        *((as_text, value) for value in (None, 5, True, [], {})),
        *((as_code, value) for value in (None, 1.5, [], {}, 10**5000)),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),  # some are too long to print
)
def test_what_is_none_of_the_kind_is_none(read: Any, value: Any) -> None:
    assert read(value) is None


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("-41 dBm", -41),
        ("-41dBm", -41),
        ("-41", -41),
        ("-41 dB", -41),
        ("-41 %", None),
        ("-41 mW", None),
        ("dBm", None),
    ],
)
def test_a_unit_is_cut_where_it_plainly_is_one(value: str, found: int | None) -> None:
    assert as_int(value, {"dbm": 1, "db": 1}) == found
    assert as_int("-41 dBm") is None


def test_a_unit_counts() -> None:
    units = {"v": 1.0, "mv": 1000.0}
    assert [as_number(text, units) for text in ("1.5V", "1500 mV", "1,5 v", "1.5")] == [1.5, 1.5, 1.5, 1.5]


def test_objects_and_lists_are_passed_on() -> None:
    document: dict[str, Any] = {"a": []}
    assert as_object(document) is document
    assert as_list(document["a"]) is document["a"]


def test_an_essential_field_is_read_or_named() -> None:
    fields = Fields({"n": "8", "x": "many"}, "a")
    assert fields.need("n", COUNT) == 8
    assert fields.extra == {"x": "many"}
    for key, got in (("x", "text"), ("y", "null")):
        with pytest.raises(VegeHubPayloadError) as caught:
            fields.need(key, COUNT)
        assert str(caught.value) == f"a.{key}: expected an integer from 0 to 1000, got {got}"
        assert caught.value.path == f"a.{key}"


def test_any_other_field_is_read_or_noted() -> None:
    fields = Fields({"n": "8", "x": "many", "y": None, "z": "", "later": 1})
    assert (fields.get("n", COUNT), fields.get("x", COUNT, 5), fields.problems) == (
        8,
        None,
        ["x: expected an integer from 0 to 1000, got text"],
    )
    assert [fields.get(key, COUNT, 5) for key in ("y", "z", "missing")] == [None, None, 5]
    assert fields.extra == {"x": "many", "later": 1}
    assert len(fields.problems) == 1


@given(value=ANYTHING)
def test_a_field_of_any_value_is_read_or_refused(value: Any) -> None:
    for read in (as_int, as_count, as_number, as_flag, as_text, as_code):
        assert repr(read(value))
    for check in (as_object, as_list):
        result, error = attempt(check, value, "x")
        assert repr(result)
        assert error is None or str(error).startswith("x: expected ")


@pytest.mark.parametrize(
    ("check", "value", "text"),
    [(as_object, [], "an object, got a list"), (as_list, {}, "a list, got an object")],
)
def test_what_has_no_path_is_the_payload(check: Callable[[object], object], value: object, text: str) -> None:
    with pytest.raises(VegeHubPayloadError) as caught:
        check(value)
    assert (str(caught.value), caught.value.path) == (f"payload: expected {text}", "")


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 100_000])
def test_what_is_nested_too_deeply_is_refused_in_these_words(levels: int) -> None:
    with pytest.raises(ValueError, match=r"^nested too deeply$"):
        decode_strict_json(nested(levels))
