"""How small programs print JSON: what a hub of the simulator says, spoilt in one way by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MEASURED = re.compile(rb'("(?:v|value|batt_v|cur_ma|field\d+)":)-?[0-9][0-9.eE+-]*')
_TEXT_OF_A_USER = re.compile(rb'("(?:ssid|name)":")')
_NUMBER = re.compile(rb"(:)(-?[0-9][0-9.eE+-]*)(?=[,}\]])")
_STATE = re.compile(rb'("state":)([01])')
_TIME = re.compile(rb'("(?:t|created_at)":)"[^"]*"')
_WORDS = {b"0": b"off", b"1": b"on"}
_BUFFER = b'\0ror":"success"}'
_COSMETIC = re.compile(
    rb'("(?:version|strength|first_boot|page_updated|error_code|wifi_str|typ_ma)":)("[^"]*"|[^,}\]]+)'
)

ODD: dict[str, Callable[[bytes], bytes]] = {
    "nan": lambda body: _MEASURED.sub(rb"\1nan", body, count=1),
    "minus_nan": lambda body: _MEASURED.sub(rb"\1-nan", body, count=1),
    "inf": lambda body: _MEASURED.sub(rb"\1inf", body, count=1),
    "empty": lambda body: _MEASURED.sub(rb"\1", body, count=1),
    "dashes": lambda body: _MEASURED.sub(rb'\1"--"', body, count=1),
    "latin1": lambda body: _TEXT_OF_A_USER.sub(rb"\1caf" + b"\xe9 ", body),
    "control": lambda body: _TEXT_OF_A_USER.sub(rb"\1two" + b"\t", body),
    "quotes": lambda body: _TEXT_OF_A_USER.sub(rb'\1My "Home" ', body),
    "nul": lambda body: body + _BUFFER,
    "commas": lambda body: body.replace(b"}", b",}").replace(b"]", b",]"),
    "single_quotes": lambda body: body.replace(b'"', b"'"),
    "escaped": lambda body: body.replace(b'"', b'\\"'),
    "no_last_brace": lambda body: body.removesuffix(b"}"),
    "utf16": lambda body: body and body.decode().encode("utf-16"),
    "text_numbers": lambda body: _NUMBER.sub(rb'\1"\2"', body),
    "words": lambda body: _STATE.sub(lambda match: match[1] + _WORDS[match[2]], body),
    "cosmetic": lambda body: _COSMETIC.sub(rb"\1[]", body),
    "no_time": lambda body: _TIME.sub(rb"\1null", body),
    "numeric_time": lambda body: _TIME.sub(rb"\g<1>1748736000", body),
    "ntp_overflow": lambda body: _TIME.sub(rb'\1"2036-02-07T06:28:16Z"', body, count=1),
}
"""Name -> what becomes of a body. The values that it does not spoil stay readable."""
