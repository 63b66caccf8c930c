"""Text from a peer, made harmless before it is shown, logged or saved."""

from __future__ import annotations

import re
import unicodedata

DEFAULT_LIMIT = 255
"""Characters kept where the caller names no limit: what one DNS-SD string can hold."""

# A whole escape sequence goes, so that "\x1b[31mred" leaves "red" and not "[31mred"; whatever of a
# malformed one is left is harmless without its control character, which goes as such.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, erase
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-~]"
)
_SPACES = frozenset("\t\n\v\f\r\x85\u2028\u2029")


def clean_text(text: str | bytes, limit: int = DEFAULT_LIMIT) -> str:
    """Return ``text`` on one line, without what a terminal or a reader could be fooled by, ``limit`` characters at most.

    Terminal escapes, control and format characters (bidirectional controls and invisible ones among them),
    surrogates, private and unassigned code points go; line breaks and tabs become spaces; bytes are read as UTF-8
    with replacement characters for what is none.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    kept = (
        " " if character in _SPACES else character
        for character in _ESCAPES.sub("", text)
        if character in _SPACES or unicodedata.category(character)[0] != "C"
    )
    return "".join(kept).strip()[:limit].rstrip()
