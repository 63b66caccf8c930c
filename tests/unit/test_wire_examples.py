"""The examples of PROTOCOL.md, kept byte for byte in tests/data, are read to what they mean, field by field."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from vegehub.wire import calls
from vegehub.wire.announcements import DiscoveredHub, parse_announcement
from vegehub.wire.config import list_servers, plan_server, shape_of
from vegehub.wire.models import Actuator, HubInfo, Reading, Sample, WifiInfo, parse_actuators, parse_last_readings
from vegehub.wire.payload import decode_json
from vegehub.wire.servers import Server
from vegehub.wire.updates import parse_update

DATA = Path(__file__).parents[1] / "data"
FILES = sorted(DATA.glob("*.json"))
# Beside the checkout of whoever maintains the examples; they are complete without it.
PROTOCOL = DATA.parents[2] / "shared" / "PROTOCOL.md"


def example(name: str) -> bytes:
    return (DATA / f"{name}.json").read_bytes()


def read(name: str) -> Any:
    return decode_json(example(name))


# The examples themselves


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_is_one_body_as_a_hub_writes_it(path: Path) -> None:
    body = path.read_bytes()
    assert isinstance(decode_json(body), dict)
    assert body == body.strip()
    assert body.isascii()


def test_every_example_says_where_it_comes_from() -> None:
    rows = re.findall(r"^\| `(\S+)` \|(.+)\|(.+)\|(.+)\|(.+)\|$", (DATA / "README.md").read_text("utf-8"), re.MULTILINE)
    assert [name for name, *_ in rows] == [path.name for path in FILES]
    assert all(cell.strip() for _, *cells in rows for cell in cells)


def json_of(protocol: str) -> list[str]:
    """All JSON examples of a text: the fenced ones, and the whole objects that stand in a line."""
    fenced = re.findall(r"```json\n(.*?)\n```", protocol, re.DOTALL)
    in_line = re.findall(r"`(\{\".*?\})`", re.sub(r"```.*?```", "", protocol, flags=re.DOTALL))
    return fenced + [text for text in in_line if is_json(text)]


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    # A place holder for text that nobody knows is no example.
    return "<text>" not in text


def test_every_example_of_the_protocol_stands_here_byte_for_byte() -> None:
    if not PROTOCOL.exists():
        return
    wanted = json_of(PROTOCOL.read_text("utf-8"))
    assert len(wanted) > 20
    kept = {path.read_bytes().decode() for path in FILES}
    assert [text for text in wanted if text not in kept] == []


# What hubs answer


def test_info() -> None:
    reply = read("info_get_reply")
    assert list(reply) == ["hub", "wifi", "error"]
    assert HubInfo.parse(reply) == HubInfo(
        firmware="5.1.2",
        num_sensors=4,
        num_actuators=2,
        num_virtual_sensors=0,
        is_ac=False,
        battery_volts=9.2,
        error_code=0,
        first_boot=False,
        has_sd=False,
        on_access_point=False,
        wifi=WifiInfo(
            mac="7C9EBD112233", ssid="GardenNet", rssi=-41, channel=6, ip="192.168.0.57", status="3", extra={}
        ),
        extra={"page_updated": False, "agenda": 1},
    )
    assert HubInfo.parse(reply).mac == "7C9EBD112233"


def test_actuators() -> None:
    assert parse_actuators(read("actuators_status_reply")["actuators"]) == (
        Actuator(
            slot=0,
            is_on=False,
            last_run=datetime(2024, 11, 6, 16, 37, 59, tzinfo=UTC),
            next_window_start=datetime(2024, 11, 6, 18, 0, tzinfo=UTC),
            next_window_end=datetime(2024, 11, 6, 18, 10, tzinfo=UTC),
            current_ma=0.0,
            typical_ma=0.0,
            error_code=0,
            extra={},
        ),
    )


def test_last_readings() -> None:
    assert parse_last_readings(read("sensors_last_reply")) == (
        Reading(1, (Sample(1.5),)),
        Reading(2, (Sample(1.25),)),
        Reading(3, (Sample(0.0),)),
        Reading(4, (Sample(0.076),)),
    )


def test_configuration_of_old_firmware() -> None:
    config = read("config_get_reply_old")
    assert list(config) == ["hub", "api_key", "endpoints", "error"]
    assert shape_of(config) == "hub"
    url = "http://192.168.0.10:8123/api/webhook/abc"
    assert list_servers(config) == (Server(kind="custom", url=url),)

    change = plan_server(config, "http://192.168.0.11/x", "key")
    assert change is not None
    assert change.before == ({"server_url": url, "server_type": 3, "api_key": "7C9EBD112233"},)
    assert list(change.document) == ["hub", "api_key"]
    assert list(change.document["hub"]) == list(config["hub"])
    others = {key: value for key, value in config["hub"].items() if key != "server_url"}
    assert change.document["hub"] == {**others, "server_url": "http://192.168.0.11/x"}


def test_configuration_of_new_firmware() -> None:
    config = read("config_get_reply_new")
    assert list(config) == ["endpoints", "error"]
    assert shape_of(config) == "endpoints"
    url = "http://192.168.0.10:8123/api/webhook/abc"
    assert list_servers(config) == (
        Server(id=1, name="VegeCloud", kind="vegecloud", url="https://api.vegecloud.com/v2", enabled=True),
        Server(id=2, name="HomeAssistant", kind="custom", url=url, enabled=True),
    )
    same = plan_server(config, url)
    assert same is not None
    assert not same.changed


def test_a_first_endpoint_of_ours_looks_like_the_one_of_the_example() -> None:
    config = read("config_get_reply_new")
    ours = config["endpoints"].pop()
    change = plan_server(config, ours["config"]["url"])
    assert change is not None
    assert json.dumps(change.document["endpoints"]) == json.dumps([*config["endpoints"], ours])


def test_wifi_of_a_configuration_is_never_sent_back_unasked() -> None:
    config = {**read("config_get_reply_old"), **read("config_wifi_section")}
    change = plan_server(config, "http://192.168.0.11/x")
    assert change is not None
    assert "secret" not in json.dumps(change.to_dict())
    assert "vegetronix" not in json.dumps(change.to_dict())


def test_announcement() -> None:
    txt = read("mdns_txt")
    hub = parse_announcement(
        "Vege_A6_20",
        host="Vege_A6_20.local.",
        port=80,
        addresses=["fe80::7e9e:bdff:fe11:a620%2", "192.168.0.57"],
        txt={key.encode(): value.encode() for key, value in txt.items()},
    )
    assert hub == DiscoveredHub(
        name="Vege_A6_20",
        host="Vege_A6_20.local",
        addresses=("192.168.0.57", "fe80::7e9e:bdff:fe11:a620%2"),
        port=80,
        firmware="5.1.1",
        num_sensors=1,
        num_actuators=0,
        power_mode=0,
        txt=txt,
    )


# What clients send


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("info_get_request", calls.INFO_SELECTOR),
        ("info_get_request_mac", calls.MAC_SELECTOR),
        ("info_get_request_all", calls.selector("hub", "wifi", "time", "sensors", "actuators")),
        ("config_get_request", calls.SERVER_SELECTOR),
        ("config_get_request_vendor", calls.selector("hub", "sensors", "special")),
        ("actuators_set_request", calls.actuator_command(1, 0, 600)),
        ("time_set_request", calls.clock(233431200)),
        ("wifi_reconnect_request", calls.WIFI_RESTART),
    ],
)
def test_a_request_has_the_keys_and_the_order_of_the_example(name: str, body: dict[str, Any]) -> None:
    assert json.dumps(body, separators=(",", ":")).encode() == example(name)


# What hubs push

ISO = "2025-01-15T16:51:23Z"
VALUES = {1: 1.5, 2: 1.25, 3: 0.0, 4: 0.075999998, 5: 9.314800262, 6: 1.0, 7: 0.0}


def test_update_of_gen_2() -> None:
    update = parse_update(example("update_v2"))
    assert update.mac == update.hub_key == "7C9EBD112233"
    assert update.api_key == ""
    assert update.error_code == 0
    assert update.rssi == -27
    assert update.sent_at == datetime(2025, 1, 15, 16, 51, 23, tzinfo=UTC)
    assert update.battery_volts is None
    assert dict(update.readings) == {slot: Reading(slot, (Sample(value, ISO),)) for slot, value in VALUES.items()}
    assert update.readings[1].samples[0].taken_at == update.sent_at
    assert (dict(update.extra), update.problem_count) == ({}, 0)


@pytest.mark.parametrize(
    ("name", "time", "values"),
    [
        ("update_v0c_trigger", "2025-06-17 13:26:55", {1: 0.08, 5: 12.38}),
        ("update_v0c_periodic", "2025-06-17 13:27:55", {2: 2.56, 3: 0.38, 4: 2.83, 5: 12.42}),
    ],
)
def test_update_of_gen_1(name: str, time: str, values: dict[int, float]) -> None:
    update = parse_update(example(name))
    assert (update.mac, update.api_key, update.problem_count) == ("", "shed", 0)
    assert dict(update.readings) == {slot: Reading(slot, (Sample(value, time),)) for slot, value in values.items()}
    assert update.readings[5].samples[0].taken_at == datetime.fromisoformat(time).replace(tzinfo=UTC)


def test_a_dump_of_gen_1_has_the_servers_of_old_firmware() -> None:
    dump = read("config_dump")
    assert shape_of(dump) == "hub"
    assert list_servers(dump) == (Server(kind="legacy", url="http://192.168.1.5:8060/"),)
    assert [sensor["slot"] for sensor in dump["sensors"]] == [0]
