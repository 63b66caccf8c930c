"""docs/mqtt.md and examples/bridge say what is so: keys, variables, topics, outcomes, payloads."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import voluptuous as vol
import yaml
from programs import ROOT
from test_documents import blocks_of

from vegehub import parse_update
from vegehub.mqtt import load_settings, results
from vegehub.mqtt.commands import CommandRules, read_command
from vegehub.mqtt.messages import LastValues, presence_messages, update_messages
from vegehub.mqtt.program import topic_lines
from vegehub.mqtt.settings_file import VARIABLES
from vegehub.mqtt.settings_schema import settings_schema
from vegehub.mqtt.topics import Topics
from vegehub.sleeping.presence import Presence

PAGE = "docs/mqtt.md"
EXAMPLES = ROOT / "examples" / "bridge"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
BLOCKS = [block.text for block in blocks_of(PAGE)]


def section(title: str) -> str:
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_column(text: str, heading: str) -> list[str]:
    """What stands in backticks in the first column of the table below a heading line."""
    table = text.partition(f"\n| {heading} |")[2].partition("\n\n")[0]
    return [name for row in table.splitlines()[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


@pytest.fixture
def settings(tmp_path):
    shutil.copy(EXAMPLES / "bridge.yaml", tmp_path)
    (tmp_path / "mqtt-password").write_text("secret\n")
    (tmp_path / "receiver-token").write_text("0123456789abcdef\n")
    return load_settings(tmp_path / "bridge.yaml")


@pytest.mark.parametrize("name", ["bridge.yaml", "vegehub-bridge.service", "Containerfile"])
def test_the_page_shows_the_examples_as_they_are(name: str) -> None:
    assert (EXAMPLES / name).read_text(encoding="utf-8") in BLOCKS
    assert f"(../examples/bridge/{name})" in TEXT


def test_the_example_can_be_read(settings) -> None:
    (hub,) = settings.hubs
    assert (settings.name, settings.broker.password, settings.broker.port) == ("garden", "secret", 8883)
    assert (hub.rules.duration, hub.rules.max_on) == (600, 1800)
    assert hub.sensors[3].curve.convert(1.5) == 60


def test_every_key_is_explained() -> None:
    keys: set[str] = set()

    def walk(schema, path: str) -> None:
        if hasattr(schema, "validators"):
            for part in schema.validators:
                walk(part, path)
        elif isinstance(schema, list):
            walk(schema[0], f"{path}[]")
        elif isinstance(schema, dict):
            for key, value in schema.items():
                if key is vol.Extra:
                    continue
                # A key that is a number of an input or an actuator is part of the path.
                name = f"{path}.{key}".strip(".") if isinstance(key, (str, vol.Marker)) else f"{path}[]"
                if isinstance(key, (str, vol.Marker)):
                    keys.add(name)
                walk(value, name)

    walk(settings_schema(), "")
    explained = set(first_column(section("Settings"), "key"))
    # What is an object has its own keys in the table.
    assert {key for key in keys if key not in ("broker", "receiver", "hubs")} == explained


def test_every_variable_is_explained() -> None:
    rows = re.findall(r"^\| `(VEGEHUB_\w+)` \| `(\S+)` \|$", section("Settings"), re.MULTILINE)
    assert dict(rows) == {name: ".".join(key) for name, key in VARIABLES.items()}


def test_defaults_are_those_of_the_code(tmp_path) -> None:
    hub = {"mac": "7C9EBDC53EDF", "address": "192.0.2.57"}
    document = {
        "state": "state",
        "broker": {"host": "b"},
        "receiver": {"host": "127.0.0.1", "token": "f" * 16},
        "hubs": [hub],
    }
    (tmp_path / "bridge.yaml").write_text(yaml.safe_dump(document))
    found = load_settings(tmp_path / "bridge.yaml")
    rows = re.findall(r"^\| `([\w.]+)` \| `?([\w.]+)`? \|", section("Settings"), re.MULTILINE)
    said = dict(rows)
    rules = found.hubs[0].rules
    assert said["name"] == found.name
    assert said["prefix"] == found.prefix
    assert said["discovery"] == found.discovery
    assert float(said["broker.keepalive"]) == found.broker.keepalive
    assert float(said["broker.reconnect_max"]) == found.broker.reconnect_max
    assert int(said["receiver.port"]) == found.receiver.port
    assert float(said["commands.duration"]) == rules.duration
    assert float(said["commands.max_on"]) == rules.max_on
    assert float(said["commands.expires_in"]) == rules.expires_in


def test_every_topic_is_in_the_table(settings) -> None:
    told = {topic for topic in first_column(section("Topics"), "topic") if "/" in topic}
    real = {line.split("  ")[0] for line in topic_lines(settings)}

    def general(topic: str) -> str:
        topic = topic.replace("7C9EBDC53EDF", "MAC").replace("/garden/", "/NAME/")
        topic = re.sub(r"^homeassistant/\w+/vegehub_MAC/\w+/", "homeassistant/COMPONENT/vegehub_MAC/PART/", topic)
        return re.sub(r"/(input|actuator)/\d+", r"/\1/N", topic)

    assert {general(topic) for topic in real} == told


def test_what_is_retained_is_said_so(settings) -> None:
    (hub,) = settings.hubs
    update = parse_update(
        {
            "mac": hub.mac,
            "wifi_str": -51,
            "sensors": [{"slot": slot, "samples": [{"v": 1, "t": None}]} for slot in range(1, 8)],
        }
    )
    curves = {number: sensor.curve for number, sensor in hub.sensors.items()}
    presence = Presence()
    presence.seen()
    messages = update_messages(update, Topics(), hub.layout, curves, LastValues())
    messages += presence_messages(hub.mac, presence, Topics())
    rows = re.findall(r"^\| `vegehub/MAC/(\S+)` \| (yes|no) \|", section("Topics"), re.MULTILINE)
    said = {name: word == "yes" for name, word in rows if name != "actuator/N/result"}
    found = {re.sub(r"\d+", "N", message.topic.split("/", 2)[2]): message.retain for message in messages}
    assert found == said


def test_the_update_is_one(settings) -> None:
    (shown,) = [json.loads(block) for block in BLOCKS if block.startswith('{"hub"')]
    (hub,) = settings.hubs
    sensors = [
        {
            "slot": reading["slot"],
            "samples": [{"v": sample["value"], "t": sample["time"]} for sample in reading["samples"]],
        }
        for reading in shown["readings"]
    ]
    sent = {"mac": hub.mac, "wifi_str": -51, "send_time": "2025-06-01T00:10:00Z", "sensors": sensors}
    update = replace(
        parse_update(sent), received_at=datetime(2025, 6, 1, 0, 10, 1, tzinfo=UTC), delivery_id=shown["delivery_id"]
    )
    curves = {number: sensor.curve for number, sensor in hub.sensors.items()}
    whole = update_messages(update, Topics(), hub.layout, curves, LastValues())[0]
    assert json.loads(whole.payload) == shown


def test_the_commands_are_taken(settings) -> None:
    (shown,) = [block for block in BLOCKS if block.startswith('{"state"')]
    now = datetime(2025, 6, 1, 11, 45, tzinfo=UTC)
    on, off = (read_command(line.encode(), settings.hubs[0].rules, now) for line in shown.splitlines())
    assert (on.is_on, on.seconds, on.id, off.is_on) == (True, 300, "morning-17", False)
    fields = first_column(section("Commands"), "field")
    assert fields == ["state", "duration", "expires_at", "expires_in", "hold", "id"]
    for name in fields:
        # Each of them is known, whatever is wrong with its value.
        with pytest.raises(Exception, match=r"^(?!unknown field)"):
            read_command(json.dumps({"state": "ON", "hold": 0, name: None}).encode(), CommandRules(), now)


def test_the_result_is_one() -> None:
    (shown,) = [json.loads(block) for block in BLOCKS if block.startswith('{"id"')]
    document = results.result_document("garden", results.DELIVERED, datetime.now(UTC))
    assert set(shown) == set(document)


def test_every_outcome_is_explained() -> None:
    outcomes = {value for name, value in vars(results).items() if name.isupper() and isinstance(value, str)}
    assert set(first_column(section("Commands"), "outcome")) == outcomes


def test_the_files_run_what_there_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    service = (EXAMPLES / "vegehub-bridge.service").read_text(encoding="utf-8")
    container = (EXAMPLES / "Containerfile").read_text(encoding="utf-8")
    assert "mqtt" in project["optional-dependencies"]
    assert '"/source[mqtt]"' in container
    for text in (service, container):
        named = set(re.findall(r"VEGEHUB_\w+", text))
        assert named
        assert named <= set(VARIABLES)
