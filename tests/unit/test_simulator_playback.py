"""A recorded hub, played: it answers as it did, takes commands and settings, and passes the contract it passed before."""

from __future__ import annotations

import asyncio
import copy
import importlib.util
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vegehub import VegeHub
from vegehub.simulator import PROFILES, Recording, RecordingError, SimulatedHub, Simulation
from vegehub.simulator.__main__ import arguments, main
from vegehub.simulator.template import Template
from vegehub.wire.redact import redact

if TYPE_CHECKING:
    from collections.abc import Callable

CONTRACT = Path(__file__).parents[1] / "contract" / "test_contract.py"
SERVING = [name for name, profile in PROFILES.items() if profile.serves_http]
MAC = "7C9EBD112233"
SECTIONS = ("hub", "api_key", "endpoints", "sensors", "actuators", "schedules", "web_conditions", "special")
READS: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/api/info/get", {"hub": [], "wifi": []}),
    ("POST", "/api/config/get", {key: [] for key in SECTIONS}),
    ("GET", "/api/actuators/status", None),
    ("GET", "/api/sensors/data/last", None),
)


async def ask(hub: SimulatedHub, method: str, path: str, body: Any = None) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://{hub.address}{path}", json=body) as response,
    ):
        return response.status, await response.text()


async def read(hub: SimulatedHub, method: str, path: str, body: Any = None) -> Any:
    status, text = await ask(hub, method, path, body)
    assert status == 200
    return json.loads(text)


async def record(hub: SimulatedHub) -> dict[str, Any]:
    exchanges = []
    for method, path, request in READS:
        status, text = await ask(hub, method, path, request)
        exchanges.append(
            {"method": method, "path": path, "request": request, "status": status, "body": json.loads(text)}
        )
    document = {"format": "vegehub-recording", "version": 1, "mac": hub.mac, "firmware": hub.profile.firmware}
    return {**document, "exchanges": redact(exchanges)}


def exchange(path: str, body: Any, *, request: Any = None, status: int = 200) -> dict[str, Any]:
    method = "POST" if path.endswith(("get", "set")) else "GET"
    return {"method": method, "path": path, "request": request, "status": status, "body": body}


def recording(*exchanges: dict[str, Any], **changes: Any) -> Recording:
    """Return a recording of a hub that says what it is, and these exchanges."""
    document = {"format": "vegehub-recording", "version": 1, "mac": MAC, "firmware": "6.0.0"}
    return Recording.parse({**document, "exchanges": list(exchanges), **changes})


def info(*, wifi: Any = None, **hub: Any) -> dict[str, Any]:
    said = {"version": "6.0.0", "num_channels": 2, "num_actuators": 1, "is_ac": 0, **hub}
    return exchange("/api/info/get", {"hub": said, "wifi": wifi or {}, "error": "success"})


# --- the contract


def contract() -> list[Callable[..., Any]]:
    spec = importlib.util.spec_from_file_location("contract_of_hubs", CONTRACT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [function for name, function in inspect.getmembers(module, inspect.isfunction) if name.startswith("test_")]


@pytest.fixture(scope="module", params=SERVING)
def recorded(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A recording of a hub of each kind, with values and settings that no hub begins with."""

    async def make() -> dict[str, Any]:
        async with SimulatedHub(request.param, seed=5) as hub:
            hub.point_at("http://127.0.0.1:9/hook/secret", api_key="very secret", name="Shed")
            hub.inputs[0].volts = 2.345678
            hub.battery_volts = 8.7654
            for actuator in hub.actuators[1:]:
                actuator.typical_ma = 210
                actuator.execute(1, 600, 1748736000)
            return await record(hub)

    return asyncio.run(make())


CONTRACT_TESTS = contract()


@pytest.mark.parametrize("promise", CONTRACT_TESTS, ids=lambda promise: promise.__name__)
async def test_a_hub_that_is_played_keeps_what_the_contract_promises(
    recorded: dict[str, Any], promise: Callable[..., Any]
) -> None:
    wanted = inspect.signature(promise).parameters.values()
    async with await SimulatedHub.from_recording(Recording.parse(recorded)) as played, VegeHub(played.address) as hub:
        # A hub, and whether it may be written to.
        await promise(**{one.name: hub if one.annotation == "VegeHub" else True for one in wanted})


async def test_a_hub_that_is_played_answers_as_it_did(recorded: dict[str, Any]) -> None:
    async with await SimulatedHub.from_recording(Recording.parse(recorded)) as played:
        again = await record(played)
    assert json.dumps(again) == json.dumps(recorded)


async def test_nothing_of_a_secret_is_left_to_be_refused_when_it_is_sent_back(recorded: dict[str, Any]) -> None:
    assert "**REDACTED**" in json.dumps(recorded)
    async with await SimulatedHub.from_recording(Recording.parse(recorded)) as played:
        config = await read(played, "POST", "/api/config/get", {"api_key": [], "hub": [], "endpoints": []})
    assert "REDACTED" not in json.dumps(config)
    assert "http://127.0.0.1:9/redacted" in json.dumps(config)


# --- state


async def test_what_was_recorded_is_the_state_it_goes_on_from(recorded: dict[str, Any]) -> None:
    async with await SimulatedHub.from_recording(Recording.parse(recorded)) as hub:
        said = recorded["exchanges"][0]["body"]
        assert hub.mac == recorded["mac"]
        assert hub.name == recorded["exchanges"][1]["body"]["hub"]["name"]
        assert hub.battery_volts == said["hub"]["batt_v"]
        assert hub.profile.firmware == recorded["firmware"]
        assert [actuator.is_on for actuator in hub.actuators] == [False, True, True, True][: len(hub.actuators)]
        samples = recorded["exchanges"][3]["body"]["samples"]
        assert [sensor.volts for sensor in hub.inputs] == [sample["value"] for sample in samples]


async def test_readings_follow_the_inputs_and_the_battery_follows_its_volts(recorded: dict[str, Any]) -> None:
    async with await SimulatedHub.from_recording(Recording.parse(recorded)) as hub:
        before = await read(hub, *READS[3])
        hub.inputs[0].volts, hub.battery_volts = 1.0, 6.5
        after = await read(hub, *READS[3])
        assert after["samples"][0] == {"chan": 1, "value": 1.0}
        assert after["samples"][1:] == before["samples"][1:]
        assert (await read(hub, *READS[0]))["hub"]["batt_v"] == 6.5


async def test_an_actuator_that_was_on_goes_off_and_on_by_command() -> None:
    status = {"slot": 0, "state": 1, "last_run": 5, "cur_ma": 90, "typ_ma": 90, "error": 3}
    played = recording(info(), exchange("/api/actuators/status", {"actuators": [status], "error": "success"}))
    async with await SimulatedHub.from_recording(played, status_latency=0.3) as hub:
        assert (await read(hub, *READS[2]))["actuators"] == [status]
        assert (hub.actuators[0].is_on, hub.actuators[0].last_run) == (True, 5)
        await ask(hub, "POST", "/api/actuators/set", {"target": 0, "duration": 0, "state": 0})
        await hub.advance(1)
        assert (await read(hub, *READS[2]))["actuators"] == [{**status, "state": 0, "cur_ma": 0}]
        await ask(hub, "POST", "/api/actuators/set", {"target": 0, "duration": 60, "state": 1})
        await hub.advance(1)
        assert (await read(hub, *READS[2]))["actuators"] == [{**status, "last_run": int(hub.clock.start) + 1}]
        await hub.advance(60)
        assert (await read(hub, *READS[2]))["actuators"][0]["state"] == 0


async def test_what_is_not_known_of_a_firmware_stays_as_it_was_said() -> None:
    said = {
        "hub": {"new_thing": [1, 2], "num_channels": 1, "num_actuators": 1, "batt_v": "9.1", "on_ap": False},
        "wifi": {"strength": "-50", "mac_addr": "7c-9e-bd-11-22-33", "ip": "192.168.0.57", "bssid": "x"},
        "weather": {"rain": True},
        "time": {"epoch": 5, "zone": "UTC"},
        "error": 0,
    }
    status = {"unit": "mA", "actuators": [{"state": False, "slot": 0, "valve": "north"}, 7], "error": 0}
    readings = {"samples": [{"chan": 1, "value": None, "t": 9}, {"chan": 9, "value": 1.5}, "?"], "age": 3, "error": 0}
    played = recording(
        exchange("/api/info/get", said),
        exchange("/api/actuators/status", status),
        exchange("/api/sensors/data/last", readings),
        exchange("/api/config/get", {"blob": {"a": 1}, "sensors": {"1": {}}, "error": 0}, request={"blob": []}),
    )
    async with await SimulatedHub.from_recording(played, host="127.0.24.1") as hub:
        wanted: dict[str, Any] = {"hub": [], "wifi": [], "weather": [], "time": [], "no": []}
        again = await read(hub, "POST", "/api/info/get", wanted)
        said["wifi"]["ip"] = "127.0.24.1"
        assert hub.device.rssi == -50
        assert json.dumps(again) == json.dumps({**{key: said[key] for key in list(said)[:4]}, "no": None, "error": 0})
        assert json.dumps(await read(hub, *READS[2])) == json.dumps(status)
        assert json.dumps(await read(hub, *READS[3])) == json.dumps(readings)

        hub.battery_volts, hub.device.rssi, hub.inputs[0].volts = 8.5, -70, 2.5
        hub.actuators[0].execute(1, 60, 0)
        hub.mac = "7C9EBD445566"
        again = await read(hub, "POST", "/api/info/get", {"hub": [], "wifi": []})
        assert (again["hub"]["batt_v"], again["wifi"]["strength"]) == ("8.5", "-70")
        assert again["wifi"]["mac_addr"] == "7C:9E:BD:44:55:66"
        actuator = (await read(hub, *READS[2]))["actuators"][0]
        assert json.dumps(actuator) == '{"state": true, "slot": 0, "valve": "north"}'
        assert (await read(hub, *READS[3]))["samples"][0] == {"chan": 1, "value": 2.5, "t": 9}

        changed = {"blob": {"a": 2}, "sensors": {"1": {"x": 1}}}
        assert (await ask(hub, "POST", "/api/config/set", changed))[0] == 200
        assert (await ask(hub, "POST", "/api/config/set", {"sensors": []}))[0] == 400
        stored = await read(hub, "POST", "/api/config/get", {"blob": [], "sensors": []})
        assert stored == {**changed, "error": 0}


async def test_words_where_numbers_are_usual_stay_words() -> None:
    status = {"actuators": [{"slot": 5, "state": "open"}], "error": "success"}
    played = recording(info(wifi={"strength": "weak"}), exchange("/api/actuators/status", status))
    async with await SimulatedHub.from_recording(played) as hub:
        assert hub.device.rssi == SimulatedHub().device.rssi
        assert (await read(hub, *READS[0]))["wifi"] == {"strength": "weak"}
        assert await read(hub, *READS[2]) == status


async def test_the_time_of_a_recording_goes_on() -> None:
    played = recording(info(), exchange("/api/info/get", {"time": {"epoch": 5, "zone": "UTC"}, "error": "success"}))
    async with await SimulatedHub.from_recording(played) as hub:
        await hub.advance(60)
        time = (await read(hub, "POST", "/api/info/get", {"time": []}))["time"]
        assert time == {"epoch": int(hub.clock.start) + 60, "zone": "UTC"}


async def test_inputs_without_a_reading_have_no_volts() -> None:
    played = recording(info(), exchange("/api/sensors/data/last", {"samples": [{"chan": 2, "value": 1.5}]}))
    async with await SimulatedHub.from_recording(played) as hub:
        assert [sensor.volts for sensor in hub.inputs] == [0.0, 1.5]
        assert (await read(hub, *READS[3]))["samples"] == [{"chan": 2, "value": 1.5}]


async def test_the_battery_among_the_readings_follows_its_volts() -> None:
    samples = [{"chan": 1, "value": 1.0}, {"chan": 3, "value": 9.1}]
    played = recording(info(batt_v=9.1), exchange("/api/sensors/data/last", {"samples": samples}))
    async with await SimulatedHub.from_recording(played) as hub:
        assert (await read(hub, *READS[3]))["samples"] == samples
        hub.battery_volts = 7.0
        assert (await read(hub, *READS[3]))["samples"] == [samples[0], {"chan": 3, "value": 7.0}]


async def test_a_recording_of_what_a_hub_is_alone_is_enough() -> None:
    async with await SimulatedHub.from_recording(recording(info())) as hub:
        assert hub.profile.endpoints
        assert (hub.mac, hub.name) == (MAC, "Vege_22_33")
        assert len((await read(hub, *READS[2]))["actuators"]) == 1
        assert [sample["chan"] for sample in (await read(hub, *READS[3]))["samples"]] == [1, 2]


async def test_without_a_mac_one_is_invented() -> None:
    played = recording(info(wifi={"mac_addr": "**REDACTED**"}), mac=None)
    async with await SimulatedHub.from_recording(played) as hub:
        assert hub.mac == SimulatedHub().mac


async def test_a_mac_that_was_cut_out_of_the_reply_is_that_of_the_recording() -> None:
    played = recording(info(wifi={"mac_addr": "**REDACTED**"}))
    async with await SimulatedHub.from_recording(played) as hub:
        assert (await read(hub, "POST", "/api/info/get", {"wifi": []}))["wifi"]["mac_addr"] == "7C:9E:BD:11:22:33"


# --- the configuration, and what a hub does not know


async def test_objects_of_several_replies_are_put_together_and_the_last_word_counts() -> None:
    played = recording(
        info(),
        exchange("/api/config/get", {"hub": {"name": "Old"}, "error": "success"}, request={"hub": []}),
        exchange(
            "/api/config/get",
            {"hub": {"name": "New", "current_ip_addr": "10.0.0.9"}, "endpoints": [], "error": "success"},
        ),
        exchange("/api/config/get", {"error": "busy"}),
    )
    async with await SimulatedHub.from_recording(played, "127.0.24.1") as hub:
        assert (hub.name, hub.config["endpoints"]) == ("New", [])
        assert hub.config["hub"]["current_ip_addr"] == "127.0.24.1"
        assert "wifi" in hub.config


@pytest.mark.parametrize(("body", "unknown"), [({"special": None}, {"special": None}), ({}, {})])
async def test_an_unknown_object_is_answered_as_it_was(body: dict[str, Any], unknown: dict[str, Any]) -> None:
    played = recording(info(), exchange("/api/config/get", body, request={"special": []}))
    async with await SimulatedHub.from_recording(played) as hub:
        assert await read(hub, "POST", "/api/config/get", {"special": []}) == {**unknown, "error": "success"}


async def test_firmware_that_hides_the_old_settings_goes_on_hiding_them() -> None:
    body = {"hub": None, "api_key": None, "endpoints": []}
    played = recording(info(), exchange("/api/config/get", body, request=body))
    async with await SimulatedHub.from_recording(played) as hub:
        await ask(hub, "POST", "/api/config/set", {"hub": hub.config["hub"], "api_key": "x"})
        assert await read(hub, "POST", "/api/config/get", body) == {**body, "error": "success"}
        assert hub.name == "Vege_22_33"


@pytest.mark.parametrize("power_mode", [0, 1])
async def test_old_firmware_is_known_by_its_settings(power_mode: int) -> None:
    stored = {"name": "Old", "server_url": "http://**REDACTED**@10.0.0.1/**REDACTED**", "power_mode": power_mode}
    played = recording(info(), exchange("/api/config/get", {"hub": stored, "api_key": "**REDACTED**"}))
    async with await SimulatedHub.from_recording(played) as hub:
        assert not hub.profile.endpoints
        assert hub.device.sleeps is (power_mode == 0)
        assert hub.profile.power_mode == power_mode
        assert hub.config["hub"]["server_url"] == "http://redacted@10.0.0.1/redacted"
        assert hub.config["api_key"] == "0000000000000000"
        settings = {"hub": {**stored, "name": "New"}}
        assert (await ask(hub, "POST", "/api/config/set", settings))[0] == 200
        assert await read(hub, "POST", "/api/config/get", {"hub": []}) == {**settings, "error": "success"}


async def test_refusals_and_unknown_calls_are_answered_as_they_were() -> None:
    played = recording(
        info(),
        exchange("/api/sensors/data/last", "no such page", status=404),
        exchange("/api/actuators/status", {"error": "no actuators"}),
        exchange("/api/config/set", None, status=500),
        exchange("/api/update/send", None, status=503),
        exchange("/api/update/send", None),
        exchange("/api/logs", ["boot", "idle"]),
        exchange("/api/actuators/set", "", request={"target": 9}, status=418),
        exchange("/api/actuators/set", "done", request={"target": 0}),
    )
    async with await SimulatedHub.from_recording(played) as hub:
        assert await ask(hub, *READS[3]) == (404, "no such page")
        assert await ask(hub, *READS[2]) == (200, '{"error":"no actuators"}')
        assert await ask(hub, "POST", "/api/config/set", {}) == (500, "")
        assert await ask(hub, "GET", "/api/update/send") == (200, "")
        assert await ask(hub, "GET", "/api/logs") == (200, '["boot","idle"]')
        command = {"target": 0, "duration": 5, "state": 1}
        assert await ask(hub, "POST", "/api/actuators/set", command) == (200, "done")
        assert hub.actuators[0].is_on


async def test_a_hub_without_actuators_may_leave_the_list_out() -> None:
    played = recording(info(num_actuators=0), exchange("/api/actuators/status", {"error": "success"}))
    async with await SimulatedHub.from_recording(played) as hub:
        assert await read(hub, *READS[2]) == {"error": "success"}


async def test_the_type_of_the_replies_is_the_recorded_one() -> None:
    played = recording({**info(), "content_type": "text/plain"})
    async with (
        await SimulatedHub.from_recording(played) as hub,
        aiohttp.ClientSession() as session,
        session.get(f"http://{hub.address}/api/actuators/status") as response,
    ):
        assert response.content_type == "text/plain"


# --- files


def written(directory: Path, *names: str) -> Path:
    """Write the exchanges of a recording into one file each."""
    for number, name in enumerate(names):
        body = {"hub": {"num_channels": number}, "wifi": {"mac_addr": MAC}, "error": "success"}
        document = {"format": "vegehub-recording", "version": 1, **exchange("/api/info/get", body)}
        (directory / name).write_text(json.dumps(document), encoding="utf-8")
    return directory


def test_one_file_for_each_exchange_is_read_in_the_order_of_the_names(tmp_path: Path) -> None:
    written(tmp_path, "02.json", "01.json", "03.txt")
    loaded = Recording.load(tmp_path)
    assert [one.body["hub"]["num_channels"] for one in loaded.exchanges] == [1, 0]


def test_recording_json_counts_alone(tmp_path: Path) -> None:
    written(tmp_path, "01.json", "recording.json", "02.json")
    assert Recording.load(tmp_path).exchanges == Recording.load(tmp_path / "recording.json").exchanges


@pytest.mark.parametrize("place", ["", "recording.json"])
async def test_a_directory_or_a_file_is_played(tmp_path: Path, place: str) -> None:
    written(tmp_path, "recording.json")
    async with Simulation(interfaces=["127.0.0.1"]) as simulation:
        hub = await simulation.add_recorded_hub(tmp_path / place, "127.0.24.1", mdns=False)
        assert (hub.mac, hub.host, hub.clock) == (MAC, "127.0.24.1", simulation.clock)
        assert simulation.hubs == [hub]


async def test_a_recording_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await SimulatedHub.from_recording(tmp_path / "nothing")


GOOD = {"format": "vegehub-recording", "version": 1, "exchanges": [info()]}


def broken(change: Callable[[Any], Any]) -> Any:
    document = copy.deepcopy(GOOD)
    change(document)
    return document


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ([], "not a recording"),
        (broken(lambda d: d.update(format="har")), "not a recording"),
        (broken(lambda d: d.update(version=2)), "version 2 is unknown"),
        (broken(lambda d: d.update(version=True)), "version True is unknown"),
        (broken(lambda d: d.pop("version")), "version None is unknown"),
        (broken(lambda d: d.update(mac="7C9E")), "mac: expected 12 hex digits"),
        (broken(lambda d: d.update(mac=7)), "mac: expected 12 hex digits"),
        (broken(lambda d: d.update(mac="7C:9E:BD:11:22:3ß")), "mac: expected 12 hex digits"),
        (broken(lambda d: d.update(firmware=6)), "firmware: expected text"),
        (broken(lambda d: d.update(exchanges={})), "exchanges: expected a list"),
        (broken(lambda d: d["exchanges"].append(1)), r"exchanges\[1\]: expected an object"),
        (broken(lambda d: d["exchanges"][0].update(status="200")), r"exchanges\[0\].status: expected an HTTP status"),
        (broken(lambda d: d["exchanges"][0].update(status=True)), r"exchanges\[0\].status: expected an HTTP status"),
        (broken(lambda d: d["exchanges"][0].update(status=99)), r"exchanges\[0\].status: expected an HTTP status"),
        (broken(lambda d: d["exchanges"][0].update(method="PUT")), r"exchanges\[0\].method: expected GET or POST"),
        (broken(lambda d: d["exchanges"][0].update(path="api")), r"exchanges\[0\].path: expected a path"),
        (broken(lambda d: d["exchanges"][0].pop("path")), r"exchanges\[0\].path: expected text"),
        (broken(lambda d: d["exchanges"][0].pop("body")), r"exchanges\[0\].body: expected what was exchanged"),
        (broken(lambda d: d["exchanges"][0].update(content_type=1)), r"exchanges\[0\].content_type: expected text"),
        ({"format": "vegehub-recording", "version": 1, "path": "/"}, "status: expected"),
    ],
)
def test_what_is_no_recording_is_refused_with_the_place(tmp_path: Path, document: Any, text: str) -> None:
    (tmp_path / "recording.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(RecordingError, match=f"recording.json.*{text}"):
        Recording.load(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000, b'{"a": NaN}'])
def test_what_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "recording.json").write_bytes(content)
    with pytest.raises(RecordingError, match=r"recording.json: not JSON: ."):
        Recording.load(tmp_path)


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="there is no"):
        Recording.load(tmp_path)


def test_files_of_two_hubs_are_refused(tmp_path: Path) -> None:
    for name, mac in (("a.json", MAC), ("b.json", "7C9EBD445566")):
        (tmp_path / name).write_text(json.dumps({**GOOD, "mac": mac}), encoding="utf-8")
    with pytest.raises(RecordingError, match="recordings of 2 hubs"):
        Recording.load(tmp_path)


@pytest.mark.parametrize(
    ("played", "text"),
    [
        (recording(), "that holds the object hub"),
        (recording(exchange("/api/info/get", {"wifi": {}})), "that holds the object hub"),
        (recording(exchange("/api/info/get", {"hub": {}, "error": "busy"})), "that holds the object hub"),
        (recording(exchange("/api/info/get", {"hub": {}}, status=500)), "that holds the object hub"),
        (recording(info(num_channels=10**9)), "hub.num_channels: expected a number from 0 to 64"),
        (recording(info(num_actuators=True)), "hub.num_actuators: expected a number"),
        (recording(info(wifi={"mac_addr": "7C:9E:BD:44:55:66"})), "the hub said that it is 7C9EBD445566"),
    ],
)
async def test_a_hub_that_does_not_say_what_it_is_cannot_be_played(played: Recording, text: str) -> None:
    with pytest.raises(RecordingError, match=text):
        await SimulatedHub.from_recording(played)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
SCALAR = st.sampled_from([None, True, 0, 1, -1, 3, 10**30, 1.5, -0.0, "", "7", "**REDACTED**", MAC, [], {}, [None]])
ENTRY = st.dictionaries(
    st.sampled_from(["slot", "chan", "value", "state", "typ_ma", "name", "power_mode", "batt_v", "num_channels"]),
    SCALAR,
    max_size=4,
)
PARTS = st.sampled_from(["hub", "wifi", "error", "actuators", "samples", "endpoints", "api_key", "sensors"])
BODY = st.dictionaries(PARTS, SCALAR | ENTRY | st.lists(ENTRY, max_size=2), max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # each starts a hub
@given(st.lists(st.tuples(st.sampled_from(READS), BODY), max_size=4))
def test_whatever_a_hub_said_is_played_or_refused(said: list[tuple[tuple[str, str, Any], Any]]) -> None:
    exchanges = [info(), *(exchange(path, body, request=request) for (_, path, request), body in said)]

    async def play() -> None:
        try:
            hub = await SimulatedHub.from_recording(recording(*exchanges))
        except RecordingError:
            return
        async with hub:
            for method, path, request in READS:
                status, _ = await ask(hub, method, path, request)
                assert status == 200
            hub.point_at("http://127.0.0.1:9/hook")
            hub.send_update()
            await hub.advance(2000)
            assert hub.samples_taken or not hub.inputs

    asyncio.run(play())


@settings(deadline=None)
@given(JSON)
def test_any_json_is_a_recording_or_refused(document: Any) -> None:
    with pytest.raises(RecordingError):
        Recording.parse(document)


@settings(deadline=None)
@given(JSON, JSON)
def test_what_has_not_changed_is_said_as_it_was_recorded(recorded: Any, state: Any) -> None:
    assert Template(recorded, state).filled(copy.deepcopy(state)) == recorded


# --- the command line


async def test_the_command_line_plays_a_recording(tmp_path: Path) -> None:
    written(tmp_path, "recording.json")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vegehub.simulator", "--from", str(tmp_path),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(60):
        line = json.loads(await process.stdout.readline())
    assert (line["hubs"][0]["mac"], line["hubs"][0]["profile"]) == (MAC, "recorded")
    async with VegeHub(f"{line['host']}:{line['port']}") as hub:
        assert (await hub.get_info()).mac == MAC
    process.terminate()
    async with asyncio.timeout(60):
        assert await process.communicate() == (b"", b"")


def test_a_recording_that_cannot_be_played_is_an_error_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--from", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"cannot start: {tmp_path}: there is no *.json in it\n"


@pytest.mark.parametrize("options", [["--count", "2"], ["--profile", "sprinkler-ac"], ["--interface", "nowhere"]])
def test_options_that_do_not_go_together_end_with_the_usage(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        arguments(["--from", "somewhere", *options])
    assert caught.value.code == 2
    assert "usage: python -m vegehub.simulator" in capsys.readouterr().err
