"""The bodies of updates, in each format that hubs are known to send."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .sampling import printed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .device import Device
    from .sampling import Sample


def body(device: Device, api_key: str, samples: Sequence[Sample]) -> bytes:
    """Write ``samples``, oldest first, as the hub's firmware does."""
    document = _FORMATS[device.profile.push_format](device, api_key, samples)
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _by_slot(samples: Sequence[Sample]) -> list[tuple[int, list[Sample]]]:
    slots: dict[int, list[Sample]] = {}
    for sample in samples:
        slots.setdefault(sample.slot, []).append(sample)
    return sorted(slots.items())


def _v2(device: Device, api_key: str, samples: Sequence[Sample]) -> dict[str, Any]:
    profile = device.profile
    sent = int(device.epoch)
    document: dict[str, Any] = {
        "api_key": api_key,
        "mac": device.mac,
        "error_code": device.error_code,
        "sensors": [
            {"slot": slot, "samples": [{"v": sample.value, "t": sample.time_text} for sample in taken]}
            for slot, taken in _by_slot(samples)
        ],
        "send_time": sent if profile.send_time == "int" else str(sent),
        "wifi_str": device.rssi,
    }
    if profile.voltage and not profile.is_ac:
        document["voltage"] = printed(device.battery_volts, profile.battery_step, noise=profile.float_noise)
    return document


def _v1(_: Device, api_key: str, samples: Sequence[Sample]) -> dict[str, Any]:
    return {
        "api_key": api_key,
        "sensors": [
            {"slot": slot, "samples": [{"t": sample.time_text, "v": sample.value} for sample in taken]}
            for slot, taken in _by_slot(samples)
        ],
    }


def _updates(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    updates: list[dict[str, Any]] = []
    for sample in samples:
        name = f"field{sample.slot}"
        # Two values of one slot within a second need two entries.
        if not updates or updates[-1]["created_at"] != sample.time_text or name in updates[-1]:
            updates.append({"created_at": sample.time_text})
        updates[-1][name] = sample.value
    return updates


def _v0_c(_: Device, api_key: str, samples: Sequence[Sample]) -> dict[str, Any]:
    return {"key": api_key, "updates": _updates(samples)}


def _v0_a(device: Device, api_key: str, samples: Sequence[Sample]) -> dict[str, Any]:
    return {"write_api_key": api_key, "channel_id": device.config.get("id", ""), "updates": _updates(samples)}


_FORMATS: dict[str, Callable[[Device, str, Sequence[Sample]], dict[str, Any]]] = {
    "v2": _v2,
    "v1": _v1,
    "v0-c": _v0_c,
    "v0-a": _v0_a,
}
