"""What hubs print for JSON is read as far as it can mean one thing only."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vegehub.wire.near_json import MAX_DEPTH, MAX_MEMBERS, read_near_json
from vegehub.wire.payload import decode_json
from vegehub.wire.replies import looks_like_json, refusal

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)

READ: dict[str, tuple[bytes | str, Any]] = {
    # numbers that are none
    "nan, as newlib prints it": (b'{"v":nan,"w":1}', {"v": None, "w": 1}),
    "-nan, as glibc prints it": (b'{"v":-nan}', {"v": None}),
    "nan with a payload": (b'{"v":nan(0x8000000000000)}', {"v": None}),
    "inf": (b'{"v":inf,"w":-inf,"x":+Inf}', {"v": None, "w": None, "x": None}),
    "ovf, as Arduino prints too much": (b'{"v":ovf}', {"v": None}),
    "what Windows prints": (b'{"v":1.#QNAN,"w":-1.#IND00,"x":1.#INF}', {"v": None, "w": None, "x": None}),
    "NaN and Infinity, which json.loads takes": (b"[NaN,Infinity,-Infinity]", [None, None, None]),
    "out of range": (b'{"v":1e999,"w":%s}' % (b"9" * 30), {"v": None, "w": None}),
    "out of range, near JSON": (b'{"v":+1e999,"w":0%s}' % (b"9" * 30), {"v": None, "w": None}),
    "5,000 digits": (b'{"v":%s,"w":1}' % (b"9" * 5000), {"v": None, "w": 1}),
    "an empty place": (b'{"v":,"w": ,"x":}', {"v": None, "w": None, "x": None}),
    "no value, in signs": (b'{"v":--,"w":---,"x":**,"y":N/A}', {"v": None, "w": None, "x": None, "y": None}),
    "a null pointer": (b'{"v":(null),"w":None,"x":NULL,"y":nil}', {"v": None, "w": None, "x": None, "y": None}),
    # numbers in other spellings
    "a plus, bare points, leading zeros": (b"[+1.5,.5,5.,007,-01]", [1.5, 0.5, 5.0, 7, -1]),
    "hexadecimal": (b'{"v":0x1F,"w":-0x0a}', {"v": 31, "w": -10}),
    "decimal commas in an object": (b'{"v":1,5,"w":-0,25}', {"v": 1.5, "w": -0.25}),
    "commas in a list": (b"[1,5,]", [1, 5]),
    "the largest numbers": (b'{"v":%s,"w":1e308,}' % (b"9" * 20), {"v": 10**20 - 1, "w": 1e308}),
    # words
    "words of Python": (b"{'v':True,'w':False,'x':None}", {"v": True, "w": False, "x": None}),
    "bare words": (b'{"v":on,"w":-41 dBm,"x":valve fault}', {"v": "on", "w": "-41 dBm", "x": "valve fault"}),
    "bare addresses and times": (
        b'{"ip":192.168.0.5,"mac":7C:9E:BD:11:22:33,"t":2025-01-15T16:51:23Z}',
        {"ip": "192.168.0.5", "mac": "7C:9E:BD:11:22:33", "t": "2025-01-15T16:51:23Z"},
    ),
    "keys without quotes": (b'{slot:1,mac_addr:"x"}', {"slot": 1, "mac_addr": "x"}),
    # text
    "a tab and a line break in text": (b'{"v":"a\tb\nc"}', {"v": "a\tb\nc"}),
    "a name padded with NUL": (b'{"v":"Shed\0\0\0","w":1,}', {"v": "Shed", "w": 1}),
    "Latin-1": (b'{"v":"caf\xe9","w":1}', {"v": "caf\ufffd", "w": 1}),
    "quotes in a name": (b'{"v":"My "Home" Net","w":1}', {"v": 'My "Home" Net', "w": 1}),
    "quotes and commas in a name": (b'{"v":"My "Home", Net","w":1}', {"v": 'My "Home", Net', "w": 1}),
    "a name that is quoted": (b'{"v":""Home"","w":1}', {"v": '"Home"', "w": 1}),
    "an apostrophe in single quotes": (b"{'v':'Bob's','w':1}", {"v": "Bob's", "w": 1}),
    "a backslash in a name": (b'{"v":"C:\\shed","w":"\\u00e9\\n"}', {"v": "C:\\shed", "w": "\u00e9\n"}),
    "a backslash at the end of a name": (b'{"v":"shed\\","w":1}', {"v": "shed\\", "w": 1}),
    "escapes beside something odd": (
        b'{"v":"\\"\\\\\\/\\b\\ud83c\\udf31\\ud800","w":nan}',
        {"v": '"\\/\b\N{SEEDLING}\ufffd', "w": None},
    ),
    # commas and brackets
    "commas too many": (b'{,"v":[,1,,2,],}', {"v": [1, 2]}),
    "commas too few": (
        b'{"v":[{"a":1}{"a":2}]"w":"x""y":1 "z":2}',
        {"v": [{"a": 1}, {"a": 2}], "w": "x", "y": 1, "z": 2},
    ),
    "a bracket too few": (b'{"v":[{"s":[{"a":1},{"a":2}},{"s":[]}]}', {"v": [{"s": [{"a": 1}, {"a": 2}]}, {"s": []}]}),
    "a bracket too many": (b'{"v":[1]],"w":2}', {"v": [1], "w": 2}),
    "the last bracket missing": (b'{"error":"success"', {"error": "success"}),
    "the last bracket missing, behind a number": (b'{"v":[1],"w":-27\n', {"v": [1], "w": -27}),
    # around it
    "NUL behind": (b'{"v":1}\0', {"v": 1}),
    "what was in the buffer before, behind a NUL": (b'{"v":1}\0rror":"x"}', {"v": 1}),
    "plain words and brackets behind": (b'{"v":1}]}\r\nOK', {"v": 1}),
    "NUL before": (b'\0\0{"v":1}', {"v": 1}),
    "Ctrl-Z behind": (b'{"v":1}\x1a', {"v": 1}),
    # encodings
    "a mark of UTF-8, and more": (b'\xef\xbb\xbf{"v":nan}', {"v": None}),
    "UTF-16 with its mark": ('{"v":"\u00e9"}'.encode("utf-16"), {"v": "\u00e9"}),
    "UTF-16 without": ('{"v":"\u00e9"}'.encode("utf-16-le"), {"v": "\u00e9"}),
    "UTF-16, the other end first": ('{"v":"\u00e9"}'.encode("utf-16-be"), {"v": "\u00e9"}),
    "UTF-32 with its mark": ('{"v":"\u00e9"}'.encode("utf-32"), {"v": "\u00e9"}),
    "UTF-32 without": ('{"v":"\u00e9"}'.encode("utf-32-le"), {"v": "\u00e9"}),
    # escaped once too often
    "an object in a text": (json.dumps('{"v":1}').encode(), {"v": 1}),
    "quotes with backslashes": (b'{\\"v\\":[{\\"w\\":\\"x\\"}]}', {"v": [{"w": "x"}]}),
    # strict JSON stays what it is
    "text that looks like JSON within": (
        rb'{"v":"{\"a\":\"b\",\"c\":1}","w":nan}',
        {"v": '{"a":"b","c":1}', "w": None},
    ),
    "the last of two equal keys": (b'{"v":1,"v":2}', {"v": 2}),
    "text of a str": ('\ufeff{"v":"\u00e9"}', {"v": "\u00e9"}),
}


@pytest.mark.parametrize(("data", "value"), READ.values(), ids=READ)
def test_it_is_read(data: bytes | str, value: Any) -> None:
    assert decode_json(data) == value


def test_whole_numbers_stay_whole_and_words_are_no_numbers() -> None:
    found = decode_json(b"[01,1.,true,True,0x1]")
    assert [type(value) for value in found] == [int, float, bool, bool, int]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "not JSON: expecting value at character 0"),
        (b"OK", "not JSON: expecting value at character 0"),
        (b"nan", "not JSON: expecting value at character 0"),
        (b"\xff", "not UTF-8 at byte 0"),
        (b"<html>{}</html>", "not JSON: expecting value at character 0"),
        (b'{"v":1}{"v":2}', "not JSON: a second document, or the middle of one at character 7"),
        (b'{"v":1}\n{"v":2}', "not JSON: a second document, or the middle of one at character 7"),
        (b'{"sensors":[{"v":1}},{"v":2}]}', "not JSON: a second document, or the middle of one at character 20"),
        (b'{"v":1} error: valve', "not JSON: a second document, or the middle of one at character 7"),
        (b'{"error":', "not JSON: it ends in the middle at character 9"),
        (b'{"error":"valve fau', "not JSON: a text without an end at character 10"),
        (b'{"v":-', "not JSON: it ends in the middle at character 6"),
        (b'{"v":fals', "not JSON: it ends in the middle at character 9"),
        (b'{"v":[1,2', "not JSON: it ends in the middle at character 9"),
        (b'{"v":1,', "not JSON: it ends in the middle at character 7"),
        (b'{"v" 1}', "not JSON: expected a key and a colon at character 1"),
        (b'{"v","w":1}', "not JSON: expected a key and a colon at character 1"),
        (b'{"slot",1,"samples":[]}', "not JSON: expected a key and a colon at character 1"),
        (b'{"v":1/*volts*/,"w":"x" /*text*/}', "not JSON: a text without an end at character 21"),
        (b'{"v":nan{}}', "not JSON: expected a key and a colon at character 8"),
    ],
)
def test_it_is_refused(data: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=r"not (JSON|UTF-8)") as caught:
        decode_json(data)
    assert str(caught.value) == text
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("charset", ["ISO-8859-1", "latin1", ' "windows-1252" ', "cp1252", "ISO_8859-15"])
def test_a_declared_charset_is_honoured(charset: str) -> None:
    assert decode_json('{"v":"caf\u00e9"}'.encode("latin-1"), charset) == {"v": "caf\u00e9"}


@pytest.mark.parametrize(
    "charset", ["zip", "rot13", "unicode_escape", "idna", "x" * 5000, "utf-8", "cp9999", "\0", "ascii"]
)
def test_a_charset_that_is_none_or_not_true_is_not(charset: str) -> None:
    assert decode_json(b'{"v":"caf\xe9"}', charset) == {"v": "caf\ufffd"}


def test_utf_8_is_read_as_such_whatever_is_declared() -> None:
    assert decode_json('{"v":"caf\u00e9"}'.encode(), "latin-1") == {"v": "caf\u00e9"}


@pytest.mark.parametrize("odd", ["", ',"odd":nan'])
def test_nesting_is_bounded_in_strict_and_in_near_json(odd: str) -> None:
    def nested(levels: int) -> bytes:
        return ('{"a":' * levels + "1" + odd + "}" * levels).encode()

    assert decode_json(nested(MAX_DEPTH))
    for levels in (MAX_DEPTH + 1, 5000, 200_000):
        with pytest.raises(ValueError, match=r"^nested too deeply$"):
            decode_json(nested(levels))


def test_brackets_in_text_are_no_depth() -> None:
    assert decode_json(json.dumps({"v": "[{" * 5000}).encode()) == {"v": "[{" * 5000}
    assert decode_json(json.dumps([[]] * 5000).encode()) == [[]] * 5000


def test_the_number_of_values_is_bounded() -> None:
    with pytest.raises(ValueError, match=f"more than {MAX_MEMBERS} values"):
        decode_json(b"[nan" + b",1" * MAX_MEMBERS + b"]")


@given(value=st.lists(JSON) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON))
def test_strict_json_is_read_the_same_by_both(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False), json.dumps(value, separators=(",", ":"))):
        assert read_near_json(text) == json.loads(text) == decode_json(text.encode())


@given(
    value=st.lists(JSON) | st.dictionaries(st.text(), JSON),
    place=st.integers(0),
    junk=st.text("{}[]\",:'\\ \0naif1.-\n", max_size=5),
    cut=st.integers(0, 3),
)
def test_whatever_is_broken_gives_plain_values_or_a_value_error(value: Any, place: int, junk: str, cut: int) -> None:
    text = json.dumps(value)
    place %= len(text)
    try:
        found = decode_json((text[:place] + junk + text[place + cut :]).encode())
    except ValueError:
        return
    json.dumps(found, allow_nan=False)


@given(data=st.binary() | st.text("{}[]\",:'\\ \0a1.-").map(str.encode))
def test_any_bytes_give_plain_values_or_a_value_error(data: bytes) -> None:
    try:
        found = decode_json(data)
    except ValueError:
        return
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    "part",
    [b"[,", b"{", b'"', b'",', b"\\", b'\\"', b'"   ', b"'\"a ", b",'", b'",a', b"1" * 50, b"nan ", b'{"a":', b"}"],
)
@pytest.mark.parametrize("start", [b"", b'{"a":"', b"{'a':'", b'{"a":nan,', b"[nan,", b'{"a":'])
def test_no_text_is_looked_at_again_and_again(start: bytes, part: bytes) -> None:
    """With a step for each pair of characters the 200,000 would take minutes: the test would run into its timeout."""
    with suppress(ValueError):
        decode_json(start + part * (200_000 // len(part)))


# Replies


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b" \r\n[1]",
        b'\0{"a"',
        b"\xef\xbb\xbf {",
        b"\xff\xfeO\0K\0",
        b"\xfe\xff\0{",
        b"\0\0\xfe\xff\0\0\0{",
        b"{\0",
        b"\0[\0",
    ],
)
def test_a_body_that_is_meant_to_be_json(body: bytes) -> None:
    assert looks_like_json(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"OK",
        b"0",
        b'"OK"',
        b"\xef\xbb\xbfOK",
        b"\0\0",
        b"<html>{",
        b"null",
        b"\xffx",
        b"\xff\xfe",
        b"\xff\xfe\0\0",
    ],
)
def test_a_body_that_is_not(body: bytes) -> None:
    assert not looks_like_json(body)


@pytest.mark.parametrize(
    "error",
    [
        *(
            "success",
            "Success",
            "SUCCESS",
            " ok ",
            "OK.",
            "Ok!",
            "okay",
            "none",
            "None",
            "no error",
            "No_Error",
            "no errors",
        ),
        *("0", "00", "0x00", "0.0", "", " ", "null", "false", 0, 0.0, False, None, [], {}, ["success"], {"code": 0}),
        *("done", "n/a", {"message": "ok", "code": 0}),
    ],
)
def test_words_of_success_are_success(error: Any) -> None:
    assert refusal({"error": error}) == ""
    assert refusal([{"error": error}]) == ""


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        ({"error": "valve fault"}, "valve fault"),
        ({"Error": "valve fault"}, "valve fault"),
        ({"error": "\x1b[31mvalve\x1b[0m\nfault" + "x" * 500}, ("valve fault" + "x" * 500)[:80]),
        ({"error": 5}, "error 5"),
        ({"error": 1.5}, "error 1.5"),
        ({"error": "5"}, "5"),
        ({"error": True}, "error: true"),
        ({"error": {"code": 3}}, "error 3"),
        ({"error": {"code": 3, "message": "valve fault"}}, "valve fault"),
        ({"error": {"x": 1}}, "error: an object"),
        ({"error": ["success", "valve fault"]}, "valve fault"),
        ({"error": "\u202e"}, "error: unreadable text"),
        ({"error": "no"}, "no"),
        ({"success": False}, "success: false"),
        ({"ok": False, "error": "busy"}, "busy"),
        ([{"error": "success"}, {"error": "valve fault"}], "valve fault"),
        ([{"error": "valve fault"}], "valve fault"),
    ],
)
def test_a_refusal_is_told_in_the_hubs_own_word(reply: Any, word: str) -> None:
    assert refusal(reply) == word


@pytest.mark.parametrize(
    "reply", [None, "valve fault", 5, True, [], {}, ["valve fault"], {"target": 0}, {"success": True}]
)
def test_no_word_of_an_error_is_success(reply: Any) -> None:
    assert refusal(reply) == ""


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":"valve fault","cur_ma":nan}',
        b'{"error":"valve fault caf\xe9"}',
        b'{"error":"valve fault"}\0',
        b'[{"error":"valve fault"}]',
        b"{error:valve fault}",
        '{"error":"valve fault"}'.encode("utf-16"),
        rb"{\"error\":\"valve fault\"}",
        b'{"error":"valve fault"',
    ],
)
def test_a_refusal_is_seen_however_it_is_printed(body: bytes) -> None:
    assert looks_like_json(body)
    assert refusal(decode_json(body)).startswith("valve fault")


@given(reply=JSON | st.dictionaries(st.sampled_from(["error", "ok", "success"]), JSON))
def test_any_reply_has_a_word_of_one_short_line(reply: Any) -> None:
    word = refusal(reply)
    assert len(word) <= 330  # a float of 80 digits, at most
    assert word.isprintable()


def test_infinity_from_a_caller_is_named() -> None:
    assert refusal({"error": math.inf}) == "error inf"
