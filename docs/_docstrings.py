"""Extension of griffe: a drawing or a table in a docstring is shown as it stands in the source."""
# ruff: noqa: INP001 - an extension, not a package

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_TABLE = re.compile(r"^=+(?: +=+)+$")


def with_tables_as_code(text: str) -> str:
    """Indent a table of ``====`` lines, so that Markdown takes it for code."""
    shown: list[str] = []
    inside = False
    lines = text.splitlines()
    for number, line in enumerate(lines):
        rules = bool(_TABLE.match(line.strip()))
        if rules and not inside:
            inside = True
        shown.append(f"    {line}" if inside and line else line)
        if inside and rules and (number + 1 == len(lines) or not lines[number + 1].strip()):
            inside = False
    return "\n".join(shown)


class Tables(Extension):
    """Applies it to every docstring."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Change the docstring in place."""
        if obj.docstring is not None:
            obj.docstring.value = with_tables_as_code(obj.docstring.value)
