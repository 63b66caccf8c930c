"""What Home Assistant is told of a hub, field by field against what it documents for MQTT discovery."""

from __future__ import annotations

import json
import re

import pytest
import voluptuous as vol

from vegehub import __version__
from vegehub.mqtt import HubSettings, SensorSettings
from vegehub.mqtt.discovery import Discovery
from vegehub.mqtt.topics import Topics
from vegehub.sensors import SENSOR_CURVES, PiecewiseCurve, sensor_curve
from vegehub.wire.layout import SlotLayout

MAC = "7C9EBD112233"
LAYOUT = SlotLayout(8, 4, has_battery=True)

# Which units go with a device class, of those that a sensor of Home Assistant knows.
UNITS = {
    "moisture": {"%"},
    "humidity": {"%"},
    "temperature": {"°C", "°F", "K"},
    "voltage": {"V", "mV", "µV", "kV", "MV"},
    "signal_strength": {"dB", "dBm"},
    "distance": {"km", "m", "cm", "mm", "mi", "nmi", "yd", "in"},
    "timestamp": set(),
    "enum": set(),
}


def topic(value: str) -> str:
    if not re.fullmatch(r"[^#+\x00]+", value):
        raise vol.Invalid("a topic to publish to")
    return value


DEVICE = vol.All(
    vol.Schema(
        {
            vol.Optional("identifiers"): [str],
            vol.Optional("connections"): [
                vol.ExactSequence([vol.In(["mac"]), vol.Match(r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$")])
            ],
            vol.Optional("name"): str,
            vol.Optional("manufacturer"): str,
            vol.Optional("model"): str,
            vol.Optional("model_id"): str,
            vol.Optional("serial_number"): str,
            vol.Optional("hw_version"): str,
            vol.Optional("sw_version"): str,
            vol.Optional("suggested_area"): str,
            vol.Optional("configuration_url"): vol.Match(r"^(https?|homeassistant)://"),
            vol.Optional("via_device"): str,
        }
    ),
    # At least one of them identifies the device.
    vol.Any(
        vol.Schema({"identifiers": [str]}, extra=vol.ALLOW_EXTRA),
        vol.Schema({"connections": list}, extra=vol.ALLOW_EXTRA),
    ),
)
COMMON = {
    vol.Required("unique_id"): str,
    vol.Required("device"): DEVICE,
    vol.Required("origin"): {
        vol.Required("name"): str,
        vol.Optional("sw_version"): str,
        vol.Optional("support_url"): str,
    },
    vol.Required("name"): str,
    vol.Optional("availability"): [
        {
            vol.Required("topic"): topic,
            vol.Optional("payload_available"): str,
            vol.Optional("payload_not_available"): str,
            vol.Optional("value_template"): str,
        }
    ],
    vol.Optional("availability_mode"): vol.In(["all", "any", "latest"]),
    vol.Optional("qos"): vol.In([0, 1, 2]),
    vol.Optional("entity_category"): vol.In(["config", "diagnostic"]),
    vol.Optional("enabled_by_default"): bool,
    vol.Optional("icon"): vol.Match(r"^mdi:[a-z-]+$"),
    vol.Optional("json_attributes_topic"): topic,
    vol.Optional("json_attributes_template"): str,
}
SENSOR = vol.Schema(
    {
        **COMMON,
        vol.Required("state_topic"): topic,
        vol.Optional("device_class"): vol.In(UNITS),
        vol.Optional("state_class"): vol.In(["measurement", "total", "total_increasing", "measurement_angle"]),
        vol.Optional("unit_of_measurement"): str,
        vol.Optional("suggested_display_precision"): int,
        vol.Optional("value_template"): str,
        vol.Optional("expire_after"): int,
        vol.Optional("force_update"): bool,
        vol.Optional("options"): [str],
    }
)
SWITCH = vol.Schema(
    {
        **COMMON,
        vol.Required("command_topic"): topic,
        vol.Optional("state_topic"): topic,
        vol.Optional("payload_on"): str,
        vol.Optional("payload_off"): str,
        vol.Optional("state_on"): str,
        vol.Optional("state_off"): str,
        vol.Optional("optimistic"): bool,
        vol.Optional("retain"): bool,
        vol.Optional("value_template"): str,
        vol.Optional("device_class"): vol.In(["outlet", "switch"]),
    }
)
SCHEMAS = {"sensor": SENSOR, "switch": SWITCH}


def described(hub: HubSettings, layout=LAYOUT, bridge: str | None = "main", **options) -> dict[str, dict]:
    messages = Discovery(Topics(), bridge, **options).messages(hub, layout, "5.2.0")
    assert len({message.topic for message in messages}) == len(messages)
    assert all(message.retain for message in messages)
    return {message.topic: json.loads(message.payload) for message in messages}


def hub_with(**sensors_by_type: int) -> HubSettings:
    sensors = {number: SensorSettings(curve=sensor_curve(name)) for name, number in sensors_by_type.items()}
    return HubSettings(mac=MAC, address="192.168.0.57", name="Shed", sensors=sensors)


def every_kind() -> HubSettings:
    sensors = {number: SensorSettings(curve=curve) for number, curve in enumerate(list(SENSOR_CURVES.values())[:7], 1)}
    points = PiecewiseCurve.from_points([(0, 0), (3, 120)], unit="cm")
    sensors[8] = SensorSettings(curve=points, name="Tank", device_class="distance")
    return HubSettings(mac=MAC, address="192.168.0.57:8080", sensors=sensors, actuator_names={0: "Roses"})


@pytest.mark.parametrize("bridge", ["main", None])
@pytest.mark.parametrize("layout", [LAYOUT, SlotLayout(2, 4, has_battery=False), None])
def test_every_payload_has_the_fields_that_are_documented_and_no_others(bridge, layout) -> None:
    found = described(every_kind(), layout, bridge)
    assert found
    for where, payload in found.items():
        prefix, component, node, name, config = where.split("/")
        assert (prefix, config) == ("homeassistant", "config")
        assert re.fullmatch(r"[a-zA-Z0-9_-]+", node)
        assert re.fullmatch(r"[a-zA-Z0-9_-]+", name)
        SCHEMAS[component](payload)


def test_units_go_with_their_device_class() -> None:
    for payload in described(every_kind()).values():
        device_class, unit = payload.get("device_class"), payload.get("unit_of_measurement")
        if device_class is not None and "state_topic" in payload:
            assert unit in UNITS[device_class] if UNITS[device_class] else unit is None
        # Home Assistant refuses a state class where there is no number, and options where there is no enum.
        assert (payload.get("state_class") == "measurement") == (unit is not None)
        assert ("options" in payload) == (device_class == "enum")


@pytest.mark.parametrize(
    ("sensor", "device_class", "unit", "name"),
    [
        ("VH400", "moisture", "%", "Soil moisture 1"),
        ("VH400_VENDOR", "moisture", "%", "Soil moisture 1"),
        ("THERM200", "temperature", "°C", "Temperature 1"),
        ("THERM200_F", "temperature", "°F", "Temperature 1"),
        ("VG-HUMID", "humidity", "%", "Humidity 1"),
        ("AQUAPLUMB", None, "%", "AQUAPLUMB 1"),
        ("RAW", "voltage", "V", "Voltage 1"),
    ],
)
def test_a_sensor_has_the_device_class_and_the_unit_of_its_type(sensor, device_class, unit, name) -> None:
    found = described(hub_with(**{sensor: 1}))
    quantity = found[f"homeassistant/sensor/vegehub_{MAC}/input_1_value/config"]
    assert quantity.get("device_class") == device_class
    assert quantity["unit_of_measurement"] == unit
    assert quantity["name"] == name
    assert quantity["state_topic"] == f"vegehub/{MAC}/input/1/value"
    assert "entity_category" not in quantity
    volts = found[f"homeassistant/sensor/vegehub_{MAC}/input_1/config"]
    assert (volts["state_topic"], volts["entity_category"]) == (f"vegehub/{MAC}/input/1", "diagnostic")


def test_an_input_without_a_sensor_shows_its_volts() -> None:
    volts = described(hub_with())[f"homeassistant/sensor/vegehub_{MAC}/input_3/config"]
    assert volts["name"] == "Input 3"
    assert (volts["device_class"], volts["unit_of_measurement"]) == ("voltage", "V")
    assert "entity_category" not in volts


def test_a_switch_commands_its_actuator_and_is_never_retained() -> None:
    switch = described(every_kind())[f"homeassistant/switch/vegehub_{MAC}/actuator_0/config"]
    common = {name: switch.pop(name) for name in ("device", "origin", "availability", "availability_mode", "qos")}
    assert switch == {
        "unique_id": "vegehub_7c9ebd112233_actuator_0",
        "name": "Roses",
        "state_topic": f"vegehub/{MAC}/actuator/0",
        "state_on": "ON",
        "state_off": "OFF",
        "command_topic": f"vegehub/{MAC}/actuator/0/set",
        "payload_on": "ON",
        "payload_off": "OFF",
        "json_attributes_topic": f"vegehub/{MAC}/actuator/0/result",
        "retain": False,
        "optimistic": False,
    }
    assert common == {
        "device": {
            "identifiers": ["vegehub_7c9ebd112233"],
            "connections": [["mac", "7c:9e:bd:11:22:33"]],
            "name": "VegeHub 2233",
            "manufacturer": "Vegetronix",
            "model": "VegeHub",
            "configuration_url": "http://192.168.0.57:8080",
            "sw_version": "5.2.0",
        },
        "origin": {"name": "vegehub", "sw_version": __version__},
        "availability": [
            {"topic": "vegehub/bridge/main/availability"},
            {"topic": f"vegehub/{MAC}/availability"},
        ],
        "availability_mode": "all",
        "qos": 1,
    }


def test_what_tells_of_an_absent_hub_does_not_depend_on_its_presence() -> None:
    found = described(hub_with())
    presence = found[f"homeassistant/sensor/vegehub_{MAC}/presence/config"]
    seen = found[f"homeassistant/sensor/vegehub_{MAC}/last_seen/config"]
    assert presence["availability"] == seen["availability"] == [{"topic": "vegehub/bridge/main/availability"}]
    assert presence["options"] == ["unknown", "awake", "asleep", "stale"]
    assert seen["value_template"] == "{{ value_json.last_seen }}"


def test_with_a_standby_no_bridge_alone_makes_a_hub_unavailable() -> None:
    for payload in described(hub_with(), bridge=None).values():
        assert "bridge" not in json.dumps(payload["availability"])


def test_battery_and_switches_are_there_only_where_they_are() -> None:
    found = described(hub_with(), SlotLayout(1, 0, has_battery=False), commands=True)
    assert {where.split("/")[3] for where in found} == {"input_1", "rssi", "presence", "last_seen"}
    found = described(hub_with(), SlotLayout(0, 2, has_battery=True), commands=False)
    assert {where.split("/")[3] for where in found} == {"battery", "rssi", "presence", "last_seen"}


def test_another_prefix_is_used_throughout() -> None:
    assert all(where.startswith("ha/x/") for where in described(hub_with(), prefix="ha/x"))
