"""Payloads of hubs, and what is done with them, timed in nanoseconds of CPU."""

from __future__ import annotations

import json
import time
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

VOLTS = tuple(number / 64 for number in range(192))
"""0 to 3 V, every segment of the curves met in proportion to its width."""


def update(slots: int, samples: int) -> dict[str, Any]:
    """Return a push of a hub as a document: slots from 1, one sample a minute, as gen-2 firmware writes them."""
    times = [f"2025-06-{1 + n // 1440 % 28:02}T{n // 60 % 24:02}:{n % 60:02}:00Z" for n in range(samples)]
    return {
        "api_key": "",
        "mac": "7C9EBD112233",
        "error_code": 0,
        "sensors": [
            {
                "slot": slot,
                "samples": [
                    {"v": round((slot * 37 + n * 11) % 300 / 100 + 0.05, 3), "t": text} for n, text in enumerate(times)
                ],
            }
            for slot in range(1, slots + 1)
        ],
        "send_time": 1748736000,
        "wifi_str": -51,
    }


def _latest_of_all(body: bytes) -> None:
    from vegehub import parse_update  # noqa: PLC0415 - only what is measured is loaded

    for reading in parse_update(body).readings.values():
        _ = reading.latest


@cache
def operation(what: str, slots: int, samples: int) -> tuple[Callable[[], object], int]:
    """Return what is to be timed, and how many values one call of it handles."""
    document = update(slots, samples)
    body = json.dumps(document, separators=(",", ":")).encode()
    if what == "json.loads":
        return lambda: json.loads(body), 1
    if what == "parse_update":
        from vegehub import parse_update  # noqa: PLC0415 - only what is measured is loaded

        return lambda: parse_update(body), 1
    if what == "parse_update and latest":
        return lambda: _latest_of_all(body), 1
    from vegehub import helpers  # noqa: PLC0415 - only what is measured is loaded

    if what == "update_data_to_ha_dict":
        return lambda: helpers.update_data_to_ha_dict(document, slots - 3, 2, is_ac=False), 1
    if what == "update_data_to_latest_dict":
        return lambda: helpers.update_data_to_latest_dict(document), 1
    curve: Callable[[float], object] = getattr(helpers, what)

    def all_volts() -> None:
        for volts in VOLTS:
            curve(volts)

    return all_volts, len(VOLTS)


async def ns_per_value(what: str, slots: int, samples: int, seconds: float) -> float:
    """Repeat an operation for about ``seconds`` and return nanoseconds of CPU per value: the median of five parts."""
    call, values = operation(what, slots, samples)
    call()
    begun = time.process_time_ns()
    call()
    once = max(time.process_time_ns() - begun, 500)
    loops = max(1, int(seconds * 1e9 / 5 / once))
    times = []
    for _ in range(5):
        begun = time.process_time_ns()
        for _ in range(loops):
            call()
        times.append((time.process_time_ns() - begun) / loops / values)
    return sorted(times)[2]
