"""Pushes that are broken in one way each, as bytes; all invented.

``REFUSED`` are no updates at all. ``BROKEN_PLACES`` is a good push in which one place after the other holds something
wrong: it is refused, or taken without that place. ``HUGE`` is larger than a receiver takes.
"""

from __future__ import annotations

import copy
import json
from typing import Any

TIME = "2025-01-15T16:51:23Z"

GOOD: dict[str, Any] = {
    "api_key": "",
    "mac": "7C9EBD112233",
    "error_code": 0,
    "sensors": [
        {"slot": 1, "samples": [{"v": 1.5, "t": TIME}, {"v": 1.25, "t": "2025-01-15T16:52:23Z"}]},
        {"slot": 2, "samples": [{"v": 0.5, "t": TIME}]},
    ],
    "send_time": 1736959883,
    "wifi_str": -27,
    "voltage": 9.25,
}

OLD: dict[str, Any] = {
    "key": "shed",
    "updates": [
        {"created_at": "2025-06-17 13:26:55", "field1": 0.08, "field5": 12.38},
        {"created_at": "2025-06-17 13:27:55", "field1": 0.09},
    ],
}

REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "white space": b" \n ",
    "not JSON": b"temperature=5",
    "half of it": json.dumps(GOOD).encode()[:-20],
    "two of it": json.dumps(GOOD).encode() * 2,
    "a list": b"[]",
    "a number": b"5",
    "null": b"null",
    "text": b'"sensors"',
    "an empty object": b"{}",
    "no sensors": b'{"mac":"7C9EBD112233"}',
    "sensors null": b'{"mac":"7C9EBD112233","sensors":null}',
    "sensors an object": b'{"mac":"7C9EBD112233","sensors":{}}',
    "sensors text": b'{"mac":"7C9EBD112233","sensors":"1.5"}',
    "updates an object": b'{"key":"shed","updates":{}}',
    "nested without end": b"[" * 100_000,
    "nested deeply": b'{"sensors":' + b"[" * 300_000 + b"]" * 300_000 + b"}",
    "cut within a character": '{"sensors":[],"name":"\u00fc'.encode()[:-1],
    "a form": b"mac=7C9EBD112233&v=1.5",
    "XML": b"<update><v>1.5</v></update>",
    "zero bytes": b"\0" * 1000,
    "compressed": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
    "a configuration": b'{"mac":"7C9EBD112233","who_updated":1,"sensors":[{"slot":0,"mode":1}]}',
}

HUGE = b'{"sensors":[],"padding":"' + b"x" * (9 * 2**20) + b'"}'

# Written into the JSON as they stand: json.dumps would refuse some of them.
_WRONG = {
    "null": "null",
    "true": "true",
    "a number": "-1",
    "a fraction": "1.5",
    "a huge number": "1e400",
    "a huge integer": "9" * 400,
    "NaN": "NaN",
    "Infinity": "Infinity",
    "text": '"x"',
    "empty text": '""',
    "half a character": '"\\ud800"',
    "numeric text": '"1e400"',
    "a list": "[]",
    "a full list": '[1,null,"x",[],{}]',
    "an object": "{}",
    "a full object": '{"v":{},"t":[],"slot":{}}',
    "deep nesting": "[" * 500 + "]" * 500,
}
_MARK = "here stands the wrong value"


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, item in inner for found in _paths(item, (*path, key)))]


def _replaced(document: Any, path: tuple[Any, ...], text: str) -> bytes:
    root = [copy.deepcopy(document)]
    place: Any = root
    for key in (0, *path)[:-1]:
        place = place[key]
    place[(0, *path)[-1]] = _MARK
    return json.dumps(root[0]).replace(json.dumps(_MARK), text).encode()


def _without(document: Any, path: tuple[Any, ...]) -> bytes:
    root = copy.deepcopy(document)
    place: Any = root
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return json.dumps(root).encode()


BROKEN_PLACES: dict[str, bytes] = {
    f"{name} with {what} at {'.'.join(map(str, path)) or 'the top'}": _replaced(document, path, text)
    for name, document in (("a push", GOOD), ("an old push", OLD))
    for path in [*_paths(document), ("unknown",)]
    for what, text in _WRONG.items()
} | {
    f"{name} without {'.'.join(map(str, path))}": _without(document, path)
    for name, document in (("a push", GOOD), ("an old push", OLD))
    for path in _paths(document)
    if path
}
