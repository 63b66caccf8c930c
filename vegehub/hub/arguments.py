"""Arguments are checked here before anything is sent; every refusal is a VegeHubValueError."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from vegehub.exceptions import VegeHubValueError

MAX_DURATION = 604_800
"""Longest duration of a drop-in command in seconds: a week."""
MIN_ON = 1.0
"""Shortest typed ON in seconds: what a hub does with 0 is not known."""


def check_state(state: object) -> int:
    """Return an actuator state as 0 or 1; a bool counts."""
    if not isinstance(state, int) or state not in (0, 1):
        raise VegeHubValueError(f"state must be 0 (off) or 1 (on), not {state!r:.40}")
    return int(state)


def check_slot(slot: object) -> int:
    """Return the 0-based slot of an actuator."""
    if not isinstance(slot, int) or isinstance(slot, bool) or slot < 0:
        raise VegeHubValueError(f"slot must be an int from 0, not {slot!r:.40}")
    return slot


def check_seconds(name: str, value: object, low: float, high: float) -> float:
    """Return a duration given in seconds or as a timedelta, whole seconds as an int."""
    if type(value) is int and low <= value <= high:
        return value  # the usual case; what follows would come to the same
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, (int, float))
        or not math.isfinite(seconds)
        or not low <= seconds <= high
    ):
        raise VegeHubValueError(f"{name} must be {low:g} to {high:g} seconds, not {value!r:.40}")
    # The hub is known to take whole seconds; a fraction is sent only where the caller gave one.
    return int(seconds) if float(seconds).is_integer() else seconds


def check_retries(retries: object) -> int:
    """Return a number of further attempts."""
    if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
        raise VegeHubValueError(f"retries must be an int from 0, not {retries!r:.40}")
    return retries


def check_document(document: object) -> dict[str, Any]:
    """Return a configuration as a dict that JSON can carry, without ``error`` and nulls, and not empty."""
    if not isinstance(document, Mapping):
        raise VegeHubValueError(f"a configuration must be a mapping of its objects, not {type(document).__name__}")
    kept = {name: value for name, value in document.items() if value is not None and name != "error"}
    if not kept:
        raise VegeHubValueError("this configuration holds no object to set")
    try:
        json.dumps(kept, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as err:
        raise VegeHubValueError(f"this configuration cannot be written as JSON: {err}") from err
    return kept
