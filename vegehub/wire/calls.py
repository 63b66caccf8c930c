"""The HTTP calls of a hub: method, path, and what the reply must be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the hub's API; ``reads`` says that the reply must be a JSON object, else any body will do.

    ``returns``: what it answers is sent back to the hub, and must come back as it was.
    """

    method: str
    path: str
    reads: bool = False
    returns: bool = False

    def __str__(self) -> str:
        """Name the call as it stands in error texts and logs."""
        return f"{self.method} {self.path}"


INFO_GET = Call("POST", "/api/info/get", reads=True)
CONFIG_GET = Call("POST", "/api/config/get", reads=True, returns=True)
CONFIG_SET = Call("POST", "/api/config/set")
ACTUATORS_STATUS = Call("GET", "/api/actuators/status", reads=True)
ACTUATORS_SET = Call("POST", "/api/actuators/set")
SENSORS_LAST = Call("GET", "/api/sensors/data/last", reads=True)
UPDATE_SEND = Call("GET", "/api/update/send")
TIME_SET = Call("POST", "/api/time/set")
WIFI_RECONNECT = Call("POST", "/api/wifi/reconnect")


# The selector of a read names the wanted objects by key; the value is an empty list.
INFO_SELECTOR: dict[str, Any] = {"hub": [], "wifi": []}
MAC_SELECTOR: dict[str, Any] = {"wifi": []}
SERVER_SELECTOR: dict[str, Any] = {"hub": [], "api_key": [], "endpoints": []}
CONFIG_SECTIONS = (
    "hub",
    "api_key",
    "endpoints",
    "sensors",
    "actuators",
    "schedules",
    "schedule_overrides",
    "web_conditions",
    "special",
)
"""Objects of the configuration that are known, without ``wifi``, which holds passwords."""
WIFI_RESTART: dict[str, Any] = {"ap": [], "wifi": []}


def selector(*names: str) -> dict[str, Any]:
    """Return the body that asks for the objects ``names``."""
    return {name: [] for name in names}


def actuator_command(state: int, slot: int, duration: float) -> dict[str, Any]:
    """Return the body of a command: ``slot`` 0-based, ``duration`` in seconds."""
    return {"target": slot, "duration": duration, "state": state}


def commanded(body: dict[str, Any]) -> tuple[int, bool, float]:
    """Return slot (0-based), ON and duration in seconds of such a body."""
    return body["target"], bool(body["state"]), body["duration"]


def clock(epoch: int) -> dict[str, Any]:
    """Return the body that sets the hub's clock to Unix seconds."""
    return {"epoch": epoch}
