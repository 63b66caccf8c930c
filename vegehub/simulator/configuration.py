"""The configuration of a simulated hub: what it is made with, and what reading and writing it do."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .profiles import Profile

CUSTOM_SERVER = 3
"""``hub.server_type`` of a server of the user's own."""
_VEGECLOUD_SERVER = 1  # invented: only the 3 is known
_READ_ONLY_HUB_KEYS = ("model", "firmware_version", "current_ip_addr")


def factory_config(profile: Profile, mac: str, name: str, address: str) -> dict[str, Any]:
    """Return the configuration of a hub that has joined a network and reports to VegeCloud.

    ``special``, ``sensors``, ``actuators`` and ``web_conditions`` of newer hubs are unknown: they follow firmware 3.9.
    """
    hub: dict[str, Any] = {
        "name": name,
        "model": profile.model,
        "firmware_version": profile.firmware,
        "firmware_url": "https://vegecloud.com/firmware/VG-HUB/latest.json",
        "utc_offset": -21600,
        "sample_period": profile.sample_period,
        "update_period": profile.update_period,
        "blink_update": 1,
        "report_voltage": 1,
        "server_url": "https://api.vegecloud.com/v2",
        "update_urls": [],
        "server_type": _VEGECLOUD_SERVER,
        "server_channel": "",
        "server_user": "",
        "static_ip_addr": "",
        "dns": "",
        "subnet": "",
        "gateway": "",
        "current_ip_addr": address,
        "power_mode": profile.power_mode,
        "agenda": 1,
        "onboard_sensor_poll_rate": 1800,
        "remote_sensor_poll_rate": 1800,
    }
    config: dict[str, Any] = {
        "api_key": mac,
        "route_key": "12345678",
        "id": "",
        "mac": mac,
        "updated": "2025-01-01 00:00:00",
        "who_updated": 1,
        "hub": hub,
        "sensors": [_sensor(slot) for slot in range(profile.num_inputs)],
        "actuators": [_actuator(slot) for slot in range(profile.num_actuators)],
        "web_conditions": [],
        "schedules": [],
        "schedule_overrides": [],
        "wifi": {"type": 0, "wifi_ssid": "GardenNet", "wifi_pw": "secret", "ap_pw": "vegetronix"},
        "special": {},
    }
    if profile.endpoints:
        cloud = {"api_key": "0000000000000000", "route_key": "12345678", "server_url": "https://api.vegecloud.com/v2"}
        config["endpoints"] = [_endpoint(1, "VegeCloud", "vegecloud", cloud)]
    return config


def _sensor(slot: int) -> dict[str, Any]:
    return {
        "slot": slot,
        "mode": 1,
        "warm_up": 0.9,
        "pull_up": 0,
        "always_power": 0,
        "update_on_trigger": 0,
        "edge": 2,
    }


def _actuator(slot: int) -> dict[str, Any]:
    return {"name": f"Actuator{slot + 1}", "slot": slot, "type": 2, "enabled": 1, "mode": 2, "conditions": []}


def _endpoint(number: int, name: str, kind: str, config: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": number,
        "name": name,
        "type": kind,
        "enabled": True,
        "connection_method": "wifi",
        "config": config,
    }


def read(config: dict[str, Any], wanted: dict[str, Any], profile: Profile) -> dict[str, Any]:
    """Answer ``config/get``: the objects that ``wanted`` names, in its order."""
    hidden = {"hub", "api_key"} if profile.endpoints and profile.config_endpoints_only else set()
    answer: dict[str, Any] = {}
    for key in wanted:
        if key in config and key not in hidden:
            answer[key] = copy.deepcopy(config[key])
        elif profile.config_unknown_key == "null":
            answer[key] = None
    return answer


def write(config: dict[str, Any], sent: dict[str, Any], profile: Profile, now: float) -> None:
    """Do what ``config/set`` does, in place; what only the hub may write stays as it was."""
    hub = config.get("hub")
    kept_hub = {key: hub[key] for key in _READ_ONLY_HUB_KEYS if key in hub} if isinstance(hub, dict) else {}
    mac = config.get("mac")
    known = {*factory_config(profile, "", "", ""), *config}
    if profile.config_set_removes_others:
        for key in tuple(config):
            if key not in sent:
                del config[key]
    for key, value in sent.items():
        if key == "error" or (value is None and not profile.config_takes_null):
            continue
        if key in known or profile.config_keeps_unknown:
            config[key] = copy.deepcopy(value)
    if isinstance(config.get("hub"), dict):
        config["hub"].update(kept_hub)
    if mac is not None:
        config["mac"] = mac
    config["updated"] = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S")
    config["who_updated"] = 1


def problem(sent: dict[str, Any], config: dict[str, Any]) -> str:
    """Say what is wrong with a document sent to ``config/set``; "" if it can be stored."""
    for key, usual in (("hub", dict), ("wifi", dict), ("endpoints", list), ("sensors", list), ("api_key", str)):
        # A recorded hub may have another shape than those that are known.
        kind = usual if config.get(key) is None else type(config[key])
        if sent.get(key) is not None and not isinstance(sent[key], kind):
            return f"bad {key}"
    if not all(isinstance(entry, dict) for entry in sent.get("endpoints") or ()):
        return "bad endpoints"
    return ""


def point_at(config: dict[str, Any], url: str, api_key: str, name: str) -> None:
    """Configure a server of the user's own, as on the hub's settings page."""
    endpoints = config.get("endpoints")
    if isinstance(endpoints, list):
        ids = [entry.get("id") for entry in endpoints if isinstance(entry, dict)]
        number = max((number for number in ids if isinstance(number, int)), default=0) + 1
        own = {"api_key": api_key, "data_format": "json", "url": url}
        endpoints.append(_endpoint(number, name, "custom", own))
    else:
        config["api_key"] = api_key
        hub = config.get("hub")
        config["hub"] = {**(hub if isinstance(hub, dict) else {}), "server_url": url, "server_type": CUSTOM_SERVER}
