"""What is said on the wire: payloads to models and back. Pure: no loop, no I/O, and nothing of the other rooms.

Read the modules in this order. ``calls`` are the requests of a hub's API, ``address`` is where a hub is. ``near_json`` and
``payload`` turn bytes into JSON values, as well as it can be, ``times`` and ``fields`` read single values, essential or
not. ``models`` are what a hub replies, ``replies`` what a reply says of a command, ``updates`` what a hub pushes, with
``layout`` for its slots, and ``announcements`` what it says by mDNS. ``servers`` and ``config`` are its configuration and
our edits of it. ``redact`` makes all of that fit to be shown. ``schema`` is what schemas of documents are made of.
"""

from __future__ import annotations

from . import calls, config, models, schema
from .address import HubAddress
from .announcements import DiscoveredHub, HubEvent, parse_announcement
from .calls import CONFIG_SECTIONS, Call
from .config import DEFAULT_NAME, sendable
from .fields import MAX_COUNT
from .layout import SlotKind, SlotLayout
from .models import Actuator, HubInfo, Reading, Sample, WifiInfo, normalize_mac
from .payload import as_object, clean_text, decode_json, decode_strict_json, kind, wrong
from .redact import REDACTED, contains_redacted, redact, redact_url
from .replies import looks_like_json, refusal
from .servers import (
    CUSTOM,
    Server,
    ServerChange,
    check_api_key,
    check_server_name,
    check_server_url,
    list_servers,
    same_url,
    shape_of,
)
from .times import EARLIEST, is_plausible, parse_time
from .updates import Pair, Readings, Update, parse_update

__all__ = [
    "CONFIG_SECTIONS",
    "CUSTOM",
    "DEFAULT_NAME",
    "EARLIEST",
    "MAX_COUNT",
    "REDACTED",
    "Actuator",
    "Call",
    "DiscoveredHub",
    "HubAddress",
    "HubEvent",
    "HubInfo",
    "Pair",
    "Reading",
    "Readings",
    "Sample",
    "Server",
    "ServerChange",
    "SlotKind",
    "SlotLayout",
    "Update",
    "WifiInfo",
    "as_object",
    "calls",
    "check_api_key",
    "check_server_name",
    "check_server_url",
    "clean_text",
    "config",
    "contains_redacted",
    "decode_json",
    "decode_strict_json",
    "is_plausible",
    "kind",
    "list_servers",
    "looks_like_json",
    "models",
    "normalize_mac",
    "parse_announcement",
    "parse_time",
    "parse_update",
    "redact",
    "redact_url",
    "refusal",
    "same_url",
    "schema",
    "sendable",
    "shape_of",
    "wrong",
]
