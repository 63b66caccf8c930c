"""What hubs really send, for the tests: the inputs of data/odd, and valid documents spoilt in the same ways."""

from __future__ import annotations

import copy
import json
import runpy
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

INPUTS: dict[str, Any] = runpy.run_path(str(Path(__file__).parent / "data" / "odd" / "inputs.py"))

TOKENS = [
    *(
        "nan",
        "-nan",
        "NaN",
        "inf",
        "-inf",
        "Infinity",
        "ovf",
        "1.#QNAN",
        "null",
        "None",
        "(null)",
        "",
        "--",
        "***",
        "?",
    ),
    *("true", "False", "on", "OFF", "1e999", "9" * 30, "9" * 5000, "+1", "007", ".5", "5.", "0x1F", "1,5", "-41 dBm"),
    *(
        '"nan"',
        '"--"',
        '""',
        '"on"',
        '"1.5"',
        '"1.5 V"',
        '"x"',
        '"My "Home" Net"',
        '"C:\\shed"',
        '"tab\there"',
        '"nul\0"',
    ),
    *(
        '"\\ud800"',
        "[]",
        "{}",
        "[nan]",
        '{"v":nan}',
        "[[[[]]]]",
        "'single'",
        "5.1.2",
        "7C:9E:BD:11:22:33",
        "2025-1-5T6:7:8",
    ),
    *("1736959883", "1736959883000", '"1736959883"', '"2036-02-07T06:28:16Z"', '"1970-01-01T00:00:00Z"', "-1", "1e300"),
]
"""JSON and near-JSON that may stand in place of any value."""

_MARK = "here stands the token"
Path_ = tuple[Any, ...]


def places(document: Any, path: Path_ = ()) -> list[Path_]:
    """The paths of all values that hold no others."""
    if isinstance(document, (dict, list)) and document:
        items = document.items() if isinstance(document, dict) else enumerate(document)
        return [place for key, item in items for place in places(item, (*path, key))]
    return [path]


def printed(document: Any, path: Path_, token: str) -> bytes:
    """The document as JSON, with ``token`` as it stands in place of one value."""
    root = copy.deepcopy(document)
    place = root
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = _MARK
    return json.dumps(root, separators=(",", ":")).replace(json.dumps(_MARK), token).encode()


tokens = st.sampled_from(TOKENS) | st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abvt", max_size=3), inner, max_size=3),
    max_leaves=5,
).map(json.dumps)
"""Any such token."""
