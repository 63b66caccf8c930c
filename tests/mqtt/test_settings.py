"""Settings of a bridge: what is wrong is named by its key, and no secret is ever quoted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vegehub import VegeHubValueError
from vegehub.mqtt import CommandRules, load_settings
from vegehub.mqtt.settings_file import VARIABLES
from vegehub.wire.layout import SlotLayout

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "0123456789abcdef"
FULL = """
name: north
group: [north, south]
state: state
prefix: farm/vegehub
discovery: ha
broker:
  host: broker.example
  username: bridge
  password: s3cret
  client_id: one
  bind_address: 127.0.0.1
  keepalive: 30
  reconnect_max: 10
  tls: {ca_file: ca.pem, cert_file: bridge.pem, key_file: /etc/bridge.key}
receiver: {host: 0.0.0.0, port: 8100, token: 0123456789abcdef, only_listed: true}
commands: {duration: 60, max_on: 600, expires_in: 30}
hubs:
  - mac: "7c:9e:bd:11:22:33"
    address: 192.168.0.57
    name: Shed
    inputs: 4
    actuators: 2
    battery: true
    update_period: 900
    sleeps: yes
    duration: 90
    sensors:
      1: vh400
      2: {type: THERM200, name: Bed}
      3: {points: [[0, 0], [3, 120]], unit: cm, device_class: distance}
    actuator_names: {0: Roses}
  - {mac: 7C9EBD112234, address: "hub.local:8080"}
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "bridge.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def with_key(key: str, value: Any) -> str:
    """A small file of settings with one key set to something else."""
    document: dict[str, Any] = {
        "state": "state",
        "broker": {"host": "b"},
        "receiver": {"host": "127.0.0.1", "token": TOKEN},
        "hubs": [{"mac": "7C9EBD112233", "address": "127.0.0.1"}],
    }
    target: Any = document
    *way, last = key.split(".")
    for step in way:
        target = target[int(step)] if step.isdigit() else target.setdefault(step, {})
    target[last] = value
    return yaml.safe_dump(document)


def test_a_full_file_is_read(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, FULL))
    assert (settings.name, settings.group, settings.client_id) == ("north", ("north", "south"), "one")
    assert settings.state == tmp_path / "state"
    assert (settings.prefix, settings.discovery, settings.commands) == ("farm/vegehub", "ha", True)
    broker = settings.broker
    assert (broker.host, broker.port, broker.username, broker.password) == ("broker.example", 8883, "bridge", "s3cret")
    assert (broker.keepalive, broker.reconnect_max, broker.bind_address) == (30, 10, "127.0.0.1")
    assert broker.tls is not None
    assert str(broker.tls.ca_file) == str(tmp_path / "ca.pem")
    assert str(broker.tls.key_file) == "/etc/bridge.key"
    assert (settings.receiver.host, settings.receiver.port, settings.receiver.only_listed) == ("0.0.0.0", 8100, True)
    shed, other = settings.hubs
    assert (shed.mac, shed.name, shed.update_period, shed.sleeps) == ("7C9EBD112233", "Shed", 900, True)
    assert shed.layout == SlotLayout(4, 2, has_battery=True)
    assert shed.rules == CommandRules(duration=90, max_on=600, expires_in=30)
    assert [shed.sensors[number].curve.unit for number in (1, 2, 3)] == ["%", "°C", "cm"]
    assert (shed.sensors[2].name, shed.sensors[3].device_class) == ("Bed", "distance")
    assert shed.sensors[3].curve.convert(1.5) == 60
    assert shed.actuator_names == {0: "Roses"}
    assert (other.layout, other.url) == (None, "http://hub.local:8080")
    assert other.rules == CommandRules(duration=60, max_on=600, expires_in=30)


def test_little_is_needed(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, with_key("hubs", [])))
    assert (settings.name, settings.prefix, settings.discovery) == ("main", "vegehub", "homeassistant")
    assert (settings.broker.port, settings.broker.tls, settings.client_id) == (1883, None, "vegehub-main")
    assert settings.commands


@pytest.mark.parametrize(("value", "expected"), [(None, None), (False, None), ("ha", "ha")])
def test_home_assistant_can_be_left_out(tmp_path: Path, value: object, expected: str | None) -> None:
    assert load_settings(write(tmp_path, with_key("discovery", value))).discovery == expected


@pytest.mark.parametrize("value", [False, {"enabled": False}])
def test_commands_can_be_left_out(tmp_path: Path, value: object) -> None:
    assert not load_settings(write(tmp_path, with_key("commands", value))).commands


@pytest.mark.parametrize(("value", "port"), [(True, 8883), (False, 1883)])
def test_tls_with_the_certificates_of_the_system(tmp_path: Path, value: bool, port: int) -> None:
    broker = load_settings(write(tmp_path, with_key("broker.tls", value))).broker
    assert (broker.port, broker.tls is not None) == (port, value)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("stat", "x", "stat: unknown key"),
        ("state", 5, "state: expected text"),
        ("name", "a b", "name: expected up to 32 letters"),
        ("group", ["a"], "group: expected the names of different bridges, 'main' among them"),
        ("group", ["main", "main"], "group: expected the names"),
        ("prefix", "a/#", "prefix: expected letters, digits"),
        ("prefix", "", "prefix: expected letters, digits"),
        ("discovery", "+", "discovery: "),
        ("broker", {}, "broker.host: missing"),
        ("broker.port", "1883", "broker.port: expected an integer from 1 to 65535"),
        ("broker.port", 0, "broker.port: expected an integer"),
        ("broker.keepalive", 1, "broker.keepalive: expected an integer from 5 to 3600"),
        ("broker.reconnect_max", 0, "broker.reconnect_max: it must be 1 to 3600 seconds"),
        ("broker.tls", {"ca": "x"}, "broker.tls.ca: unknown key"),
        ("broker.tls", {"cert_file": "x"}, "broker.tls: cert_file and key_file belong together"),
        ("broker.password", 12345, "broker.password: expected text; a number or a date has to stand in quotes"),
        ("broker.password", "no user", "broker.username: missing, and there is a password"),
        ("broker.password_file", "nowhere", "broker.password_file: cannot be read: No such file"),
        ("receiver.token", "short", "receiver.token: expected 16 to 200 letters"),
        ("receiver", {"host": "127.0.0.1"}, "receiver.token: missing"),
        ("receiver.token_file", "nowhere", "receiver.token_file: only one of token and token_file can hold"),
        ("receiver.port", 70000, "receiver.port: expected an integer"),
        ("receiver.only_listed", "yes", "receiver.only_listed: expected true or false"),
        ("commands.duration", 0, "commands.duration: it must be"),
        ("commands.max_on", 1e9, "commands.max_on: it must be"),
        ("commands.duration", 20_000, "hubs[0]: duration: 20000 s are longer than max_on, 14400 s"),
        ("hubs", {}, "hubs: expected a list"),
        ("hubs.0.mac", 123456789012, "hubs[0].mac: expected a MAC of 12 hex digits, in quotes"),
        ("hubs.0.mac", "xx", "hubs[0].mac: expected a MAC"),
        ("hubs.0.address", "http://x/y", "hubs[0].address: "),
        ("hubs.0.address", None, "hubs[0].address: "),
        ("hubs.0.adress", "x", "hubs[0].adress: unknown key"),
        ("hubs.0.inputs", -1, "hubs[0].inputs: expected an integer from 0"),
        ("hubs.0.inputs", True, "hubs[0].inputs: expected an integer from 0"),
        ("hubs.0.update_period", 0, "hubs[0].update_period: it must be"),
        ("hubs.0.sensors", {0: "VH400"}, "hubs[0].sensors"),
        ("hubs.0.sensors", {1: "VH4000"}, "hubs[0].sensors[1]: unknown sensor; known are VH400"),
        ("hubs.0.sensors", {1: {"name": "x"}}, "hubs[0].sensors[1]: expected either type or points"),
        ("hubs.0.sensors", {1: {"type": "VH400", "unit": "%"}}, "hubs[0].sensors[1].unit: belongs to points"),
        ("hubs.0.sensors", {1: {"points": [[0, 0]]}}, "hubs[0].sensors[1].points: expected at least two"),
        ("hubs.0.actuator_names", {"x": "y"}, "hubs[0].actuator_names"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(tmp_path: Path, key: str, value: object, said: str) -> None:
    path = write(tmp_path, with_key(key, value))
    with pytest.raises(VegeHubValueError) as caught:
        load_settings(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


def test_two_hubs_with_one_mac_are_refused(tmp_path: Path) -> None:
    hub = {"mac": "7C9EBD112233", "address": "127.0.0.1"}
    with pytest.raises(VegeHubValueError, match=r"hubs\[1\].mac: the same as hubs\[0\].mac"):
        load_settings(write(tmp_path, with_key("hubs", [hub, {**hub, "mac": "7c:9e:bd:11:22:33"}])))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("broker: {password: 'hunter2'", "not YAML"),
        ("broker:\n  password: *hunter2\n", "line 2, column 13: not YAML"),
        ("broker:\n  password: a\n  password: hunter2\n", "line 3, column 3: a key stands there twice"),
        ("[hunter2]", "expected keys and values"),
        ("hunter2", "expected keys and values"),
        ("", "expected keys and values"),
        ("\x00hunter2", "not YAML"),
        ("!!python/object/apply:os.system [hunter2]", "not YAML"),
        ("? [1, 2]\n: hunter2", "not YAML"),
        ("x: !!bool hunter2", "not YAML"),
        ("x: !!timestamp hunter2", "not YAML"),
        ("x: 2025-99-99", "not YAML"),
    ],
)
def test_a_broken_file_is_refused_without_quoting_it(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(VegeHubValueError) as caught:
        load_settings(write(tmp_path, text))
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


@given(st.binary(max_size=60))
def test_any_bytes_are_settings_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "bridge.yaml"
    path.write_bytes(data)
    with pytest.raises(VegeHubValueError, match=r"bridge\.yaml"):
        load_settings(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"bridge\.yaml"):
        load_settings(tmp_path / "bridge.yaml")


def test_secrets_can_stand_in_files_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    document = yaml.safe_load(with_key("broker.password_file", "password"))
    document["broker"]["username"] = "bridge"
    document["receiver"] = {"host": "127.0.0.1", "token_file": "token"}
    settings = load_settings(write(tmp_path, yaml.safe_dump(document)))
    assert (settings.broker.password, settings.receiver.token) == ("s3cret", TOKEN)
    (tmp_path / "token").write_text("short")
    with pytest.raises(VegeHubValueError, match=r"receiver\.token_file: expected 16 to 200 letters.* in that file"):
        load_settings(tmp_path / "bridge.yaml")
    (tmp_path / "token").write_bytes(b"\xff" * 20)
    with pytest.raises(VegeHubValueError, match=r"receiver\.token_file: cannot be read: no text"):
        load_settings(tmp_path / "bridge.yaml")


def test_the_environment_takes_precedence(tmp_path: Path) -> None:
    environment = {
        "VEGEHUB_MQTT_HOST": "elsewhere",
        "VEGEHUB_MQTT_PORT": "1999",
        "VEGEHUB_MQTT_USERNAME": "me",
        "VEGEHUB_MQTT_PASSWORD": "12345",
        "VEGEHUB_BRIDGE_NAME": "south",
        "VEGEHUB_BRIDGE_TOKEN": "f" * 16,
        "VEGEHUB_BRIDGE_PORT": "",
        "OTHER": "x",
    }
    (tmp_path / "password").write_text("of the file")
    settings = load_settings(write(tmp_path, with_key("broker.password_file", "password")), environment)
    assert (settings.broker.host, settings.broker.port, settings.broker.password) == ("elsewhere", 1999, "12345")
    assert (settings.name, settings.receiver.token, settings.receiver.port) == ("south", "f" * 16, 8099)


def test_the_environment_is_enough(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret")
    environment = {
        "VEGEHUB_MQTT_HOST": "broker",
        "VEGEHUB_MQTT_USERNAME": "me",
        "VEGEHUB_MQTT_PASSWORD_FILE": str(tmp_path / "password"),
        "VEGEHUB_BRIDGE_HOST": "127.0.0.1",
        "VEGEHUB_BRIDGE_TOKEN": TOKEN,
        "VEGEHUB_BRIDGE_STATE": str(tmp_path),
    }
    assert load_settings(None, environment).broker.password == "s3cret"
    with pytest.raises(VegeHubValueError, match=r"^the environment: VEGEHUB_MQTT_HOST: missing|broker\.host: missing"):
        load_settings(None, {name: value for name, value in environment.items() if name != "VEGEHUB_MQTT_HOST"})


@pytest.mark.parametrize(
    ("name", "value"),
    [("VEGEHUB_MQTT_PORT", "hunter2"), ("VEGEHUB_BRIDGE_TOKEN", "hunter2"), ("VEGEHUB_BRIDGE_NAME", "a b")],
)
def test_a_variable_that_is_wrong_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(VegeHubValueError, match=f"{name}: expected") as caught:
        load_settings(write(tmp_path, with_key("hubs", [])), {name: value})
    assert "hunter2" not in str(caught.value)


def test_every_variable_stands_for_a_key(tmp_path: Path) -> None:
    for name, key in VARIABLES.items():
        with pytest.raises((VegeHubValueError, OSError)):
            load_settings(write(tmp_path, with_key("hubs", [])), {name: "\x01"})
        assert 1 <= len(key) <= 2


def test_no_repr_shows_a_secret(tmp_path: Path) -> None:
    shown = repr(load_settings(write(tmp_path, FULL)))
    assert "s3cret" not in shown
    assert TOKEN not in shown
