from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from vegehub.simulator import SimulatedHub

if TYPE_CHECKING:
    from conftest import CommandLine, Finished


def verdicts(shown: Finished) -> dict[str, str]:
    """Verdict of each check; of several servers the last one."""
    return {row["check"]: row["verdict"] for row in shown.json["checks"]}


def row_of(shown: Finished, check: str) -> Any:
    return [row for row in shown.json["checks"] if row["check"] == check][-1]


def well(**switches: Any) -> SimulatedHub:
    """A hub whose clock is that of this machine, and whose zone is UTC, as in the tests."""
    hub = SimulatedHub(start=time.time(), **switches)
    hub.config["hub"]["utc_offset"] = 0
    return hub


async def test_well_hub_has_nothing_to_look_at(cli: CommandLine) -> None:
    async with well() as hub:
        code, text = await cli.in_terminal("doctor", hub.address)
        assert code == 0, text
        assert "8 ok, 0 to look at, 0 failed" in text
        assert [entry["name"] for entry in hub.config["endpoints"]] == ["VegeCloud"]


async def test_old_firmware_is_put_back_too(cli: CommandLine) -> None:
    async with well(profile="gen2-5.1-battery") as hub:
        before = dict(hub.config["hub"]), hub.config["api_key"]
        shown = await cli("doctor", hub.address, "--json")
        assert (shown.code, verdicts(shown)["Update path"]) == (0, "ok")
        assert (hub.config["hub"], hub.config["api_key"]) == before


async def test_without_the_update_path_nothing_is_written(cli: CommandLine) -> None:
    async with well() as hub:
        shown = await cli("doctor", "--no-update-path", "--json", env={"VEGEHUB_HOST": hub.address})
        assert (verdicts(shown)["Update path"], verdicts(shown)["Clock"]) == ("skip", "skip")
        assert "/api/config/set" not in [request.path for request in hub.requests]


async def test_asleep(cli: CommandLine) -> None:
    async with well() as hub:
        hub.sleep()
        shown = await cli("doctor", hub.address, "--timeout", "0.5s", "--json")
    assert (shown.code, verdicts(shown)) == (4, {"Reachability": "fail"})
    assert "press its button" in row_of(shown, "Reachability")["hint"]


async def test_wrong_address_names_the_hubs_that_are_there(cli: CommandLine) -> None:
    async with SimulatedHub(mdns=True, realtime=True, seed=os.getpid()) as hub:
        await hub.announced()
        await asyncio.sleep(1.1)
        shown = await cli("doctor", "127.0.0.1:1", "--json")
        assert f"{hub.name} at {hub.address}" in row_of(shown, "Reachability")["hint"]
    assert shown.code == 3


async def test_other_device_at_the_address(cli: CommandLine) -> None:
    async with well() as hub:
        hub.faults.not_json()
        shown = await cli("doctor", hub.address, "--json")
    assert shown.code == 1
    assert "Something else than a hub" in row_of(shown, "Reachability")["hint"]


async def test_other_mac_at_the_address_is_not_written_to(cli: CommandLine) -> None:
    async with well() as hub:
        shown = await cli("doctor", hub.address, "--mac", "00:11:22:33:44:55", "--json")
        assert (shown.code, verdicts(shown)["MAC"]) == (1, "fail")
        assert "/api/config/set" not in [request.path for request in hub.requests]


async def test_unknown_shape_of_the_configuration(cli: CommandLine) -> None:
    async with well() as hub:
        hub.config.pop("endpoints")
        hub.config.pop("hub")
        shown = await cli("doctor", hub.address, "--json")
    assert (shown.code, verdicts(shown)["Firmware"], verdicts(shown)["Update path"]) == (1, "fail", "skip")


async def test_server_that_points_nowhere(cli: CommandLine) -> None:
    async with well() as hub:
        hub.point_at("http://127.0.0.1:1/secret-hook")
        shown = await cli("doctor", hub.address, "--json")
        assert shown.code == 1
        assert row_of(shown, "Server")["verdict"] == "fail"
        assert "connection refused" in row_of(shown, "Server")["text"]
        assert "secret-hook" not in shown.out
        hub.config["endpoints"][-1]["config"]["url"] = "http://localhost:1/x"
        assert row_of(await cli("doctor", hub.address, "--no-update-path", "--json"), "Server")["verdict"] == "fail"
        hub.config["endpoints"][-1]["config"]["url"] = f"http://{hub.address}/x"
        assert row_of(await cli("doctor", hub.address, "--no-update-path", "--json"), "Server")["verdict"] == "ok"
        for url in ("nothing", "http://[", "http://127.0.0.1:99999/"):
            hub.config["endpoints"][-1]["config"]["url"] = url
            assert row_of(await cli("doctor", hub.address, "--no-update-path", "--json"), "Server")["verdict"] == "fail"


async def test_receiver_that_the_hub_does_not_reach(cli: CommandLine) -> None:
    async with well() as hub:
        shown = await cli("doctor", hub.address, "--receiver", "127.0.0.9", "--wait", "0.5s", "--json")
        assert (shown.code, verdicts(shown)["Update path"]) == (1, "fail")
        assert "firewall" in row_of(shown, "Update path")["hint"]
        assert [entry["name"] for entry in hub.config["endpoints"]] == ["VegeCloud"]


async def test_low_battery_and_weak_signal(cli: CommandLine) -> None:
    async with well() as hub:
        hub.battery_volts = 5.6
        hub.device.rssi = -84
        code, text = await cli.in_terminal("doctor", hub.address)
    assert code == 1
    assert "5.60 V, low" in text
    assert "-84 dBm, weak" in text
    assert "Charge or replace the battery" in text


async def test_clock_off_by_hours_is_found_and_set_on_demand(cli: CommandLine) -> None:
    async with well() as hub:
        hub.device.clock_offset = 3.01 * 3600.0
        shown = await cli("doctor", hub.address, "--json")
        assert (shown.code, verdicts(shown)["Clock"]) == (1, "fail")
        assert "3h" in row_of(shown, "Clock")["text"]
        assert "--set-clock" in row_of(shown, "Clock")["hint"]
        mended = await cli("doctor", hub.address, "--set-clock", "--json")
        assert (mended.code, verdicts(mended)["Clock"]) == (0, "ok")
        assert abs(hub.device.epoch - time.time()) < 600


async def test_wrong_zone(cli: CommandLine) -> None:
    async with well() as hub:
        shown = await cli("doctor", hub.address, "--json", env={"TZ": "Asia/Kolkata"})
    assert (shown.code, verdicts(shown)["Zone"]) == (0, "warn")
    assert "hub.utc_offset=19800" in row_of(shown, "Zone")["hint"]


async def test_hub_that_stops_answering_in_between(cli: CommandLine) -> None:
    async with well() as hub:
        hub.faults.status(500, path="/api/config/get")
        shown = await cli("doctor", hub.address, "--json")
    assert (shown.code, verdicts(shown)["Configuration"]) == (1, "fail")


async def test_ctrl_c_while_it_waits_puts_the_hub_back(cli: CommandLine) -> None:
    async with well() as hub:
        async with cli.terminal("doctor", hub.address, "--receiver", "127.0.0.9") as terminal:
            await terminal.until("waiting for an update")
            assert len(hub.config["endpoints"]) == 2
            terminal.interrupt()
            assert await terminal.end() == 130
        assert [entry["name"] for entry in hub.config["endpoints"]] == ["VegeCloud"]


async def test_odd_fields_are_named_and_the_hub_is_still_a_hub(cli: CommandLine) -> None:
    async with well() as hub:
        hub.faults.odd_json("cosmetic")
        shown = await cli("doctor", hub.address, "--json")
        assert (verdicts(shown)["Reachability"], verdicts(shown)["MAC"], verdicts(shown)["Update path"]) == ("ok",) * 3
        rows = [row for row in shown.json["checks"] if row["check"] == "Odd fields"]
        assert [row["verdict"] for row in rows] == ["warn", "warn"]
        assert "hub.version: expected text, got a list; " in rows[0]["text"]
        assert "wifi.strength: expected an integer, got a list" in rows[0]["text"]
        assert "wifi_str: expected an integer, got a list" in rows[1]["text"]
        assert "It is a hub" in rows[0]["hint"]


async def test_a_hub_that_prints_near_json_has_nothing_to_look_at(cli: CommandLine) -> None:
    async with well() as hub:
        hub.faults.odd_json("single_quotes")
        shown = await cli("doctor", hub.address, "--json")
        assert (shown.code, set(verdicts(shown).values()) <= {"ok", "skip"}) == (0, True), shown.json


async def test_what_answers_and_fails_is_not_called_another_device(cli: CommandLine) -> None:
    async with well() as hub:
        hub.faults.status(500)
        shown = await cli("doctor", hub.address, "--json")
        assert "Something answers here, and fails" in row_of(shown, "Reachability")["hint"]
        hub.faults.clear()
        hub.faults.wrong_json([])
        shown = await cli("doctor", hub.address, "--json")
        assert "answers as a hub does" in row_of(shown, "Reachability")["hint"]
        hub.faults.clear()
        hub.faults.drop_reply()
        shown = await cli("doctor", hub.address, "--json")
        assert "ended the connection without an answer" in row_of(shown, "Reachability")["hint"]
