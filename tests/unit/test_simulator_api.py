"""What the simulated hub answers, over real sockets: states, order of keys, refusals, and every switch."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from vegehub.simulator import PROFILES, Command, Profile, SimulatedHub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OFF_ON = [False, True]


class Browser:
    """A client that is not ours."""

    def __init__(self, hub: SimulatedHub, session: aiohttp.ClientSession) -> None:
        self.hub = hub
        self._session = session

    async def call(self, method: str, path: str, document: Any = None) -> tuple[int, str]:
        url = f"http://{self.hub.address}{path}"
        async with self._session.request(method, url, json=document, allow_redirects=False) as response:
            return response.status, await response.text()

    async def post(self, path: str, document: Any) -> Any:
        status, text = await self.call("POST", path, document)
        assert status == 200, text
        return json.loads(text)

    async def get(self, path: str) -> Any:
        status, text = await self.call("GET", path)
        assert status == 200, text
        return json.loads(text)

    async def states(self) -> list[int]:
        return [entry["state"] for entry in (await self.get("/api/actuators/status"))["actuators"]]

    async def switch(self, target: Any, state: Any, duration: Any) -> tuple[int, str]:
        command = {"target": target, "duration": duration, "state": state}
        return await self.call("POST", "/api/actuators/set", command)


@asynccontextmanager
async def browser(profile: str | Profile = "gen2-endpoints", **switches: Any) -> AsyncIterator[Browser]:
    async with SimulatedHub(profile, **switches) as hub, aiohttp.ClientSession() as session:
        yield Browser(hub, session)


async def test_the_status_shows_what_a_command_did_until_its_time_is_over() -> None:
    async with browser() as web:
        assert await web.switch(1, 1, 600) == (200, '{"error":"success"}')
        assert await web.states() == [0, 1]
        await web.hub.advance(599)
        assert await web.states() == [0, 1]
        await web.hub.advance(1)
        assert await web.states() == [0, 0]
        assert web.hub.actuators[1].commands == [Command(1, 600, 0)]
        assert [(change.is_on, change.at) for change in web.hub.actuators[1].changes] == [(True, 0), (False, 600)]


async def test_a_second_command_starts_the_time_anew() -> None:
    async with browser() as web:
        await web.switch(0, 1, 100)
        await web.hub.advance(90)
        await web.switch(0, 1, 100)
        assert web.hub.actuators[0].closes_at == 190
        await web.hub.advance(50)
        assert web.hub.actuators[0].is_on
        await web.switch(0, 0, 600)
        assert not web.hub.actuators[0].is_on
        assert web.hub.actuators[0].closes_at is None


async def test_the_status_tells_when_it_last_ran_and_what_it_draws() -> None:
    async with browser(start=1_700_000_000) as web:
        web.hub.actuators[0].typical_ma = 250
        await web.hub.advance(5)
        await web.switch(0, 1, 60)
        entry = (await web.get("/api/actuators/status"))["actuators"][0]
        assert (entry["last_run"], entry["cur_ma"], entry["typ_ma"]) == (1_700_000_005, 250, 250)


async def test_the_state_in_the_status_may_lag_behind() -> None:
    async with browser(status_latency=0.5) as web:
        await web.switch(0, 1, 60)
        assert web.hub.actuators[0].is_on
        assert await web.states() == [0, 0]
        await web.hub.advance(0.5)
        assert await web.states() == [1, 0]


async def test_in_real_time_the_state_in_the_status_lags_behind_by_itself() -> None:
    async with SimulatedHub(realtime=True) as hub:
        actuator = hub.actuators[0]
        actuator.execute(1, 60, 0)
        assert actuator.status()["state"] == 0
        await hub.advance(0.31)
        assert actuator.status()["state"] == 1


@pytest.mark.parametrize(
    ("switch", "states", "changes"), [("pulse", [0, 0], 2), ("ignored", [0, 0], 0), ("stays_on", [1, 0], 1)]
)
async def test_on_for_no_time(switch: str, states: list[int], changes: int) -> None:
    async with browser(zero_duration=switch) as web:
        await web.switch(0, 1, 0)
        assert await web.states() == states
        assert len(web.hub.actuators[0].changes) == changes
        assert len(web.hub.actuators[0].commands) == 1


async def test_a_longest_duration_cuts_longer_ones() -> None:
    async with browser(max_duration=60) as web:
        await web.switch(0, 1, 600)
        assert web.hub.actuators[0].closes_at == 60


@pytest.mark.parametrize(
    ("target", "state", "duration", "text"),
    [
        (2, 1, 60, "bad target"),
        (-1, 1, 60, "bad target"),
        (True, 1, 60, "bad target"),
        ("0", 1, 60, "bad target"),
        (0, 2, 60, "bad state"),
        (0, 1.0, 60, "bad state"),
        (0, [], 60, "bad state"),
        (0, 1, -1, "bad duration"),
        (0, 1, "60", "bad duration"),
        (0, 1, True, "bad duration"),
        (0, 1, None, "bad duration"),
    ],
)
async def test_a_bad_command_is_refused_and_not_executed(target: Any, state: Any, duration: Any, text: str) -> None:
    async with browser() as web:
        assert await web.switch(target, state, duration) == (400, json.dumps({"error": text}, separators=(",", ":")))
        assert [actuator.commands for actuator in web.hub.actuators] == [[], []]


@pytest.mark.parametrize(
    ("switch", "reply"),
    [
        ("empty", {"actuators": [], "error": "success"}),
        ("missing", {"error": "success"}),
        ("error", {"error": "no actuators"}),
    ],
)
async def test_the_status_of_a_hub_without_actuators(switch: str, reply: Any) -> None:
    async with browser("gen2-5.1-logger", no_actuators_status=switch) as web:
        assert await web.get("/api/actuators/status") == reply


async def test_wrong_calls_get_errors_as_json_or_as_the_profile_wants_them() -> None:
    async with browser() as web:
        assert await web.call("GET", "/api/nothing") == (404, '{"error":"not found"}')
        assert await web.call("GET", "/api/info/get") == (405, '{"error":"method not allowed"}')
        assert await web.call("POST", "/api/info/get", []) == (400, '{"error":"bad JSON"}')
        assert await web.call("POST", "/api/info/get") == (400, '{"error":"bad JSON"}')
    async with browser(error_as_json=False, status_not_found=500) as web:
        assert await web.call("GET", "/api/nothing") == (500, "not found")


async def test_a_document_that_nests_too_deeply_is_bad_json() -> None:
    async with browser(max_request_body=1_000_000) as web, aiohttp.ClientSession() as session:
        body = b"[" * 200_000
        async with session.post(f"http://{web.hub.address}/api/info/get", data=body) as response:
            assert response.status == 400
        assert web.hub.requests[-1].body == body


async def test_every_request_is_recorded() -> None:
    async with browser() as web:
        await web.hub.advance(3)
        await web.post("/api/info/get", {"wifi": []})
        await web.call("GET", "/api/nothing?x")
        seen = [(record.method, record.path, record.body, record.at) for record in web.hub.requests]
        assert seen == [("POST", "/api/info/get", {"wifi": []}, 3), ("GET", "/api/nothing", None, 3)]


async def test_keys_come_in_the_order_asked_and_the_error_last() -> None:
    async with browser() as web:
        text = (await web.call("POST", "/api/info/get", {"time": [], "nothing": [], "hub": {}}))[1]
        assert list(json.loads(text)) == ["time", "nothing", "hub", "error"]
        assert await web.post("/api/config/get", {}) == {"error": "success"}


async def test_unknown_objects_of_the_configuration_may_be_left_out() -> None:
    async with browser(config_unknown_key="absent") as web:
        assert await web.post("/api/config/get", {"nothing": []}) == {"error": "success"}


async def test_firmware_with_endpoints_may_keep_back_what_older_firmware_tells() -> None:
    async with browser(config_endpoints_only=True) as web:
        reply = await web.post("/api/config/get", {"hub": [], "api_key": [], "endpoints": []})
        assert (reply["hub"], reply["api_key"]) == (None, None)
        assert [endpoint["name"] for endpoint in reply["endpoints"]] == ["VegeCloud"]


async def test_the_mac_and_name_follow_from_seed_and_index() -> None:
    first, same, other, next_one = (
        SimulatedHub(seed=1),
        SimulatedHub(seed=1),
        SimulatedHub(seed=2),
        SimulatedHub(seed=1, index=1),
    )
    assert first.mac == same.mac
    assert len({first.mac, other.mac, next_one.mac}) == 3
    assert first.mac.startswith("7C9EBD")
    assert first.name == f"Vege_{first.mac[8:10]}_{first.mac[10:12]}"
    assert [sensor.volts for sensor in first.inputs] == [sensor.volts for sensor in same.inputs]
    assert SimulatedHub("gen1-3.9").mac.startswith("F8F005")


async def test_a_profile_of_ones_own_can_be_given() -> None:
    profile = replace(PROFILES["sprinkler-ac"], num_inputs=0, name="bare")
    async with browser(profile, max_duration=5) as web:
        web.hub.battery_volts = 8.8
        hub = (await web.post("/api/info/get", {"hub": []}))["hub"]
        assert (hub["num_channels"], hub["num_actuators"], hub["is_ac"], hub["batt_v"]) == (0, 4, 1, 8.8)
        assert web.hub.battery_volts == 8.8
        assert (web.hub.profile.name, web.hub.profile.max_duration) == ("bare", 5)


async def test_another_hub_may_take_over_the_address() -> None:
    async with browser() as web:
        web.hub.mac = "7C9EBD000001"
        assert (await web.post("/api/info/get", {"wifi": []}))["wifi"]["mac_addr"] == "7C:9E:BD:00:00:01"


# --- config/set


async def test_an_object_that_is_sent_replaces_the_stored_one_and_the_others_stay() -> None:
    async with browser("gen2-5.1-battery") as web:
        before = json.loads(json.dumps(web.hub.config))
        assert await web.post("/api/config/set", {"hub": {"name": "Shed"}, "api_key": "k"}) == {"error": "success"}
        assert web.hub.name == "Shed"
        assert set(web.hub.config["hub"]) == {"name", "model", "firmware_version", "current_ip_addr"}
        assert web.hub.config["api_key"] == "k"
        assert web.hub.config["wifi"] == before["wifi"]
        assert web.hub.config["updated"] == "2025-06-01 00:00:00"


async def test_objects_that_are_not_sent_may_be_removed() -> None:
    async with browser("gen2-5.1-battery", config_set_removes_others=True) as web:
        await web.post("/api/config/set", {"hub": {"name": "Shed"}})
        assert set(web.hub.config) == {"hub", "mac", "updated", "who_updated"}
        await web.post("/api/config/set", {"api_key": "k"})
        assert set(web.hub.config) == {"api_key", "mac", "updated", "who_updated"}
        assert web.hub.name.startswith("Vege_")


async def test_what_only_the_hub_may_write_stays() -> None:
    async with browser() as web:
        document = {"hub": {"firmware_version": "9.9", "name": "Shed"}, "mac": "000000000000"}
        await web.post("/api/config/set", document)
        assert web.hub.config["hub"]["firmware_version"] == web.hub.profile.firmware
        assert web.hub.config["mac"] == web.hub.mac


@pytest.mark.parametrize("takes_null", OFF_ON)
@pytest.mark.parametrize("keeps_unknown", OFF_ON)
async def test_nulls_errors_and_unknown_objects(takes_null: bool, keeps_unknown: bool) -> None:
    async with browser(config_takes_null=takes_null, config_keeps_unknown=keeps_unknown) as web:
        await web.post("/api/config/set", {"endpoints": None, "error": "success", "novel": 1})
        assert (web.hub.config["endpoints"] is None) is takes_null
        assert ("novel" in web.hub.config) is keeps_unknown
        assert "error" not in web.hub.config


@pytest.mark.parametrize(
    "document",
    [{"hub": []}, {"hub": "text"}, {"endpoints": {}}, {"endpoints": [1]}, {"wifi": 1}, {"sensors": {}}, {"api_key": 1}],
)
async def test_a_configuration_of_the_wrong_shape_is_refused_as_a_whole(document: dict[str, Any]) -> None:
    async with browser() as web:
        before = json.loads(json.dumps(web.hub.config))
        status, text = await web.call("POST", "/api/config/set", {**document, "route_key": "new"})
        assert (status, json.loads(text)["error"]) == (400, f"bad {next(iter(document))}")
        assert web.hub.config == before


async def test_a_configuration_may_take_effect_later() -> None:
    async with browser(config_set_delay=2) as web:
        await web.post("/api/config/set", {"api_key": "late"})
        assert web.hub.config["api_key"] != "late"
        await web.hub.advance(2)
        assert web.hub.config["api_key"] == "late"


async def test_a_configuration_may_cost_the_connections() -> None:
    async with browser(config_set_resets_connections=True) as web, aiohttp.ClientSession() as other:
        async with other.get(f"http://{web.hub.address}/api/actuators/status") as response:
            await response.read()
        assert await web.post("/api/config/set", {"api_key": "k"}) == {"error": "success"}
        await web.hub.advance(0)
        assert web.hub.open_connections == 0


async def test_the_configuration_read_is_a_copy() -> None:
    async with browser() as web:
        reply = await web.post("/api/config/get", {"endpoints": []})
        await web.post("/api/config/set", reply)
        reply["endpoints"].clear()
        assert len(web.hub.config["endpoints"]) == 1


# --- the other calls


async def test_last_readings_are_measured_when_asked() -> None:
    async with browser() as web:
        web.hub.inputs[0].volts = 1.5
        reply = await web.get("/api/sensors/data/last")
        assert list(reply) == ["samples", "error"]
        assert reply["samples"][0] == {"chan": 1, "value": 1.5}
        assert len(reply["samples"]) == 4


async def test_last_readings_may_be_those_of_the_last_sample_and_have_the_battery() -> None:
    async with browser(last_is_live=False, last_has_battery=True) as web:
        assert (await web.get("/api/sensors/data/last"))["samples"] == []
        web.hub.inputs[0].volts, web.hub.battery_volts = 1.5, 9.1
        await web.hub.advance(300)
        web.hub.inputs[0].volts = 0.0
        samples = (await web.get("/api/sensors/data/last"))["samples"]
        assert (samples[0], samples[-1]) == ({"chan": 1, "value": 1.5}, {"chan": 5, "value": 9.1})


async def test_last_readings_may_be_unknown_to_the_firmware() -> None:
    async with browser(has_last_readings=False) as web:
        assert (await web.call("GET", "/api/sensors/data/last"))[0] == 404


async def test_the_time_can_be_set() -> None:
    async with browser() as web:
        web.hub.faults.clock_off(500)
        await web.post("/api/time/set", {"epoch": 1_800_000_000})
        await web.hub.advance(10)
        assert (await web.post("/api/info/get", {"time": []}))["time"] == {"epoch": 1_800_000_010}
        assert (await web.call("POST", "/api/time/set", {"epoch": "now"}))[0] == 400
        web.hub.faults.clear()
        web.hub.sync_time()
        assert (await web.post("/api/info/get", {"time": []}))["time"] == {"epoch": int(web.hub.clock.epoch)}


@pytest.mark.parametrize(
    ("manner", "replies", "kept"), [("reply", True, 1), ("reply_then_drop", True, 0), ("drop", False, 0)]
)
async def test_reconnecting_may_drop_the_link_before_or_after_the_reply(manner: str, replies: bool, kept: int) -> None:
    async with browser(wifi_reconnect=manner) as web:
        if replies:
            assert await web.post("/api/wifi/reconnect", {"wifi": []}) == {"error": "success"}
        else:
            with pytest.raises(aiohttp.ClientError):
                await web.post("/api/wifi/reconnect", {"wifi": []})
        await web.hub.advance(0)
        assert web.hub.open_connections == kept


async def test_only_the_interface_named_is_restarted() -> None:
    async with browser(wifi_reconnect="drop") as web:
        assert await web.post("/api/wifi/reconnect", {"ap": []}) == {"error": "success"}


async def test_minor_calls_are_answered_and_fetch_nothing() -> None:
    async with browser() as web:
        query = {"webCondUrl": "http://127.0.0.1:9/", "webCondKey": '"value"'}
        assert await web.call("POST", "/api/server/query", query) == (200, "Failed to parse")
        assert await web.post("/api/certificate/delete", {}) == {"error": "success"}
        assert await web.post("/api/vsens/data_in", {"v": 1}) == {"error": "success"}


# --- the server


async def test_one_connection_serves_many_requests() -> None:
    async with browser() as web:
        for _ in range(20):
            await web.states()
        assert (web.hub.connections_accepted, web.hub.open_connections) == (1, 1)


async def test_a_server_may_close_after_each_answer() -> None:
    async with browser(keep_alive=False) as web:
        for _ in range(3):
            await web.states()
        assert (web.hub.connections_accepted, web.hub.open_connections) == (3, 0)


async def test_a_server_may_take_few_connections() -> None:
    async with browser(max_connections=1) as web, aiohttp.ClientSession() as second:
        await web.states()
        with pytest.raises(aiohttp.ClientError):
            await second.get(f"http://{web.hub.address}/api/actuators/status")
        await web.states()
        assert web.hub.open_connections == 1


async def test_a_large_body_is_refused() -> None:
    async with browser(max_request_body=100) as web:
        status, text = await web.call("POST", "/api/config/set", {"api_key": "x" * 200})
        assert (status, text) == (413, '{"error":"body too large"}')
        assert web.hub.requests == []


async def test_a_slow_server_is_slow_with_every_reply() -> None:
    async with browser(reply_latency=0.02) as web:
        started = asyncio.get_running_loop().time()
        await web.states()
        assert asyncio.get_running_loop().time() - started >= 0.02


async def test_100_continue_is_given() -> None:
    async with SimulatedHub() as hub:
        reader, writer = await asyncio.open_connection(hub.host, hub.port)
        head = (
            b"POST /api/config/get HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        )
        writer.write(head)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert (await reader.read()).endswith(b'\r\n\r\n{"error":"success"}')
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_closes_its_side_still_gets_its_reply() -> None:
    async with SimulatedHub() as hub:
        hub.faults.latency(0.02)
        reader, writer = await asyncio.open_connection(hub.host, hub.port)
        writer.write(b"GET /api/actuators/status HTTP/1.1\r\nConnection: close\r\n\r\n")
        writer.write_eof()
        assert b'"error":"success"' in await reader.read()
        writer.close()
        await writer.wait_closed()


async def test_a_second_request_in_the_same_packet_is_served_after_the_first() -> None:
    async with SimulatedHub() as hub:
        reader, writer = await asyncio.open_connection(hub.host, hub.port)
        request = b"GET /api/update/send HTTP/1.1\r\n\r\n"
        writer.write(request + request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert (await reader.read()).count(b"200 OK") == 2
        writer.close()
        await writer.wait_closed()


async def test_old_hubs_have_no_http_server() -> None:
    async with SimulatedHub("gen1-3.9") as hub:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(hub.host, hub.port)


async def test_a_stopped_hub_leaves_nothing_and_can_be_started_again() -> None:
    async with aiohttp.ClientSession() as session:
        hub = SimulatedHub()
        await hub.start()
        with pytest.raises(RuntimeError, match="runs already"):
            await hub.start()
        web = Browser(hub, session)
        await web.switch(0, 1, 600)
        hub.faults.latency(30)
        waiting = asyncio.create_task(web.states())
        await asyncio.sleep(0.01)
        await hub.stop()
        await hub.stop()
        with pytest.raises(aiohttp.ClientError):
            await waiting
        assert asyncio.all_tasks() == {asyncio.current_task()}
        port = hub.port
        hub.faults.clear()
        await hub.start()
        assert hub.port == port
        await web.states()
        await hub.stop()


async def test_an_address_in_use_is_an_error() -> None:
    async with SimulatedHub() as first:
        second = SimulatedHub(port=first.port)
        with pytest.raises(OSError, match="in use"):
            await second.start()


async def test_a_hub_on_ipv6_has_its_address_in_brackets() -> None:
    async with browser(host="::1") as web:
        assert web.hub.address == f"[::1]:{web.hub.port}"
        await web.states()


def test_an_unknown_profile_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="gen2-endpoints"):
        SimulatedHub("gen3")


def test_a_negative_number_of_inputs_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        SimulatedHub(num_inputs=-1)
