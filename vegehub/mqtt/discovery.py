"""Home Assistant MQTT discovery: what makes a hub appear there as a device, without any integration of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vegehub import __version__
from vegehub.sleeping.presence import PresenceState

from .messages import OFF, ON, Message
from .topics import DEFAULT_DISCOVERY, Topics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vegehub.wire import SlotLayout

    from .settings import HubSettings, SensorSettings

# What the curves of this library measure, as device classes of Home Assistant; a water level has none there.
DEVICE_CLASSES = {
    "VH400": "moisture",
    "VH400_VENDOR": "moisture",
    "THERM200": "temperature",
    "THERM200_F": "temperature",
    "VG-HUMID": "humidity",
    "BATTERY": "voltage",
    "RAW": "voltage",
}
_WORDS = {"moisture": "Soil moisture", "temperature": "Temperature", "humidity": "Humidity", "voltage": "Voltage"}
_ICONS = {"AQUAPLUMB": "mdi:waves"}


class Discovery:
    """The messages that describe hubs to Home Assistant.

    ``bridge`` is the only bridge that these hubs have; None where there are several, since Home Assistant cannot be told
    that one of them is enough.
    """

    def __init__(
        self, topics: Topics, bridge: str | None, *, prefix: str = DEFAULT_DISCOVERY, commands: bool = True
    ) -> None:
        self._topics = topics
        self._bridges = [] if bridge is None else [{"topic": topics.bridge_availability(bridge)}]
        self._prefix = prefix
        self._commands = commands

    def messages(self, hub: HubSettings, layout: SlotLayout | None, firmware: str = "") -> list[Message]:
        """Return the configuration of every entity of a hub; without a layout those that every hub has."""
        found = []
        for component, name, config in self._entities(hub, layout):
            document = {**self._common(hub, firmware), "unique_id": f"vegehub_{hub.mac}_{name}".lower(), **config}
            topic = f"{self._prefix}/{component}/vegehub_{hub.mac}/{name}/config"
            found.append(Message(topic, json.dumps(document, ensure_ascii=False, separators=(",", ":"))))
        return found

    def _common(self, hub: HubSettings, firmware: str) -> dict[str, Any]:
        mac = hub.mac.lower()
        device: dict[str, Any] = {
            "identifiers": [f"vegehub_{mac}"],
            "connections": [["mac", ":".join(mac[at : at + 2] for at in range(0, 12, 2))]],
            "name": hub.name or f"VegeHub {hub.mac[-4:]}",
            "manufacturer": "Vegetronix",
            "model": "VegeHub",
            "configuration_url": hub.url,
        }
        if firmware:
            device["sw_version"] = firmware
        return {
            "device": device,
            "origin": {"name": "vegehub", "sw_version": __version__},
            "availability": [*self._bridges, {"topic": self._topics.availability(hub.mac)}],
            "availability_mode": "all",
            "qos": 1,
        }

    def _entities(self, hub: HubSettings, layout: SlotLayout | None) -> Iterator[tuple[str, str, dict[str, Any]]]:
        mac = hub.mac
        if layout is not None:
            for index in range(layout.num_sensors):
                yield from self._input(mac, index + 1, hub.sensors)
            if layout.has_battery:
                yield "sensor", "battery", _measured(self._topics.battery(mac), "Battery voltage", "voltage", "V", 2)
            for index in range(layout.num_actuators if self._commands else 0):
                yield "switch", f"actuator_{index}", self._actuator(mac, index, hub.actuator_names)
        yield "sensor", "rssi", _measured(self._topics.rssi(mac), "Signal strength", "signal_strength", "dBm")
        # They tell what is known of an absent hub, so that its own absence must not hide them.
        diagnostic = {
            "state_topic": self._topics.presence(mac),
            "availability": self._bridges,
            "entity_category": "diagnostic",
        }
        states = [state.value for state in PresenceState]
        yield (
            "sensor",
            "presence",
            {
                **diagnostic,
                "name": "Presence",
                "device_class": "enum",
                "options": states,
                "value_template": "{{ value_json.state }}",
            },
        )
        yield (
            "sensor",
            "last_seen",
            {
                **diagnostic,
                "name": "Last seen",
                "device_class": "timestamp",
                "value_template": "{{ value_json.last_seen }}",
            },
        )

    def _input(
        self, mac: str, number: int, sensors: Mapping[int, SensorSettings]
    ) -> Iterator[tuple[str, str, dict[str, Any]]]:
        sensor = sensors.get(number)
        volts = self._topics.input(mac, number)
        if sensor is None:
            yield "sensor", f"input_{number}", _measured(volts, f"Input {number}", "voltage", "V", 3, diagnostic=False)
            return
        curve = sensor.curve
        device_class = sensor.device_class or DEVICE_CLASSES.get(curve.name)
        name = sensor.name or f"{_WORDS.get(device_class or '', curve.name)} {number}"
        topic = self._topics.quantity(mac, number)
        config = _measured(topic, name, device_class, curve.unit, 1, diagnostic=False)
        if curve.name in _ICONS:
            config["icon"] = _ICONS[curve.name]
        yield "sensor", f"input_{number}_value", config
        # The volts as well: two sensors of a kind differ, and so do soils.
        yield "sensor", f"input_{number}", _measured(volts, f"Input {number}", "voltage", "V", 3)

    def _actuator(self, mac: str, number: int, names: Mapping[int, str]) -> dict[str, Any]:
        return {
            "name": names.get(number, f"Actuator {number}"),
            "state_topic": self._topics.actuator(mac, number),
            "state_on": ON,
            "state_off": OFF,
            "command_topic": self._topics.command(mac, number),
            "payload_on": ON,
            "payload_off": OFF,
            "json_attributes_topic": self._topics.result(mac, number),
            # A retained command would open the valve again whenever the bridge comes back, and is refused.
            "retain": False,
            "optimistic": False,
        }


def _measured(
    topic: str, name: str, device_class: str | None, unit: str, precision: int | None = None, *, diagnostic: bool = True
) -> dict[str, Any]:
    config: dict[str, Any] = {"name": name, "state_topic": topic, "state_class": "measurement"}
    if unit:
        config["unit_of_measurement"] = unit
    if device_class is not None:
        config["device_class"] = device_class
    if precision is not None:
        config["suggested_display_precision"] = precision
    if diagnostic:
        config["entity_category"] = "diagnostic"
    return config
