from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vegehub.simulator import SimulatedHub

if TYPE_CHECKING:
    from conftest import CommandLine


async def test_info_in_a_terminal_fits_and_hides_the_network(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    code, text = await cli.in_terminal("info", simulated_hub.address)
    assert code == 0
    assert simulated_hub.mac in text
    assert "-41 dBm, channel 6" in text
    assert "9.20 V" in text
    assert "GardenNet" not in text


async def test_info_as_json(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    shown = await cli("info", simulated_hub.address, "--json")
    assert shown.code == 0
    assert shown.json["mac"] == simulated_hub.mac
    assert (shown.json["num_sensors"], shown.json["num_actuators"], shown.json["battery_volts"]) == (4, 2, 9.2)
    assert shown.json["wifi"]["ssid"] == "**REDACTED**"
    assert shown.err == ""


async def test_secrets_are_shown_on_demand(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    shown = await cli("info", simulated_hub.address, "--show-secrets", "--json")
    assert shown.json["wifi"]["ssid"] == "GardenNet"


async def test_notes_name_what_is_unusual(cli: CommandLine) -> None:
    async with SimulatedHub("sprinkler-ac") as hub:
        info = hub.device.info()
        info["hub"] |= {"on_ap": 1, "has_sd": 1, "num_vsens": 2}
        hub.device.info = lambda: info
        shown = await cli("info", hub.address)
    assert "SD card, on its own access point" in shown.out
    assert "2 wired, 2 remote" in shown.out
    assert "AC" in shown.out


async def test_readings_are_converted_where_a_sensor_is_named(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.inputs[0].volts = 1.5
    simulated_hub.inputs[1].volts = 1.5
    arguments = (
        "readings",
        simulated_hub.address,
        "--sensor",
        "1=VH400",
        "--sensor",
        "2=therm200",
        "--sensor",
        "9=RAW",
    )
    code, text = await cli.in_terminal(*arguments)
    assert code == 0
    assert "24.6 %" in text
    assert "22.5 °C" in text
    assert "there is no reading of slot 9" in text
    rows = (await cli(*arguments, "--json")).json["readings"]
    assert rows[0] == {"slot": 1, "volts": 1.5, "value": pytest.approx(24.62, abs=0.01), "unit": "%", "sensor": "VH400"}
    assert rows[2].keys() == {"slot", "volts"}


async def test_actuators_show_their_state(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.actuators[1].execute(1, 60, 1_748_736_000)
    code, text = await cli.in_terminal("actuators", simulated_hub.address)
    assert code == 0
    assert "2025-06-01 00:00:00" in text
    first, second = (await cli("actuators", simulated_hub.address, "--json")).json["actuators"]
    assert (first["is_on"], second["is_on"], second["last_run"]) == (False, True, "2025-06-01T00:00:00Z")


@pytest.mark.parametrize("status", ["empty", "missing"])
async def test_hub_without_actuators_is_no_error(cli: CommandLine, status: str) -> None:
    async with SimulatedHub("gen2-5.1-logger", no_actuators_status=status) as hub:
        shown = await cli("actuators", hub.address)
    assert (shown.code, shown.out) == (0, "This hub has no actuators.\n")


async def test_missing_list_of_a_hub_with_actuators_is_one(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.faults.wrong_json({"error": "success"}, path="/api/actuators/status")
    shown = await cli("actuators", simulated_hub.address, "--json")
    assert (shown.code, shown.error["type"]) == (1, "VegeHubNoActuatorsError")


# --- exit codes, and how an error reads


async def test_refused_connection_ends_with_3(cli: CommandLine) -> None:
    shown = await cli("info", "127.0.0.1:1")
    assert shown.code == 3
    assert shown.out == ""
    assert shown.err == (
        "error: 127.0.0.1:1: POST /api/info/get: the connection was refused; is this the address of a VegeHub?\n"
    )


async def test_silent_hub_ends_with_4(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.faults.never_answer()
    shown = await cli("info", simulated_hub.address, "--timeout", "0.3s", "--json")
    assert (shown.code, shown.error["exit_code"], shown.error["outcome"]) == (4, 4, "not_sent")
    assert shown.error["host"] == simulated_hub.address


async def test_sleeping_hub_ends_with_4_and_is_told_to_be_woken(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.sleep()
    shown = await cli("info", simulated_hub.address, "--timeout", "0.5s")
    assert shown.code == 4
    assert "press its button" in shown.err


async def test_hub_that_says_no_ends_with_1(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.faults.error_in_200("busy \x1b[31mtoday", path="/api/info/get")
    shown = await cli("info", simulated_hub.address)
    assert shown.code == 1
    assert "the hub refused it: busy" in shown.err
    assert "\x1b[31m" not in shown.err
    assert shown.err.count("\n") == 1


async def test_host_may_come_from_the_environment_and_be_a_port_of_this_machine(
    cli: CommandLine, simulated_hub: SimulatedHub
) -> None:
    shown = await cli("info", "--json", env={"VEGEHUB_HOST": f":{simulated_hub.port}"})
    assert shown.json["mac"] == simulated_hub.mac


async def test_host_may_be_a_name_with_a_port(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    assert (await cli("info", f"localhost:{simulated_hub.port}", "--json")).json["mac"] == simulated_hub.mac


async def test_ipv6_address(cli: CommandLine) -> None:
    async with SimulatedHub(host="::1") as hub:
        assert (await cli("info", hub.address, "--json")).json["mac"] == hub.mac


# --- what is printed


async def test_text_of_a_hub_cannot_act_on_the_terminal(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    info = simulated_hub.device.info()
    info["hub"]["version"] = "5.1\x1b]0;owned\x07\x1b[2J[red]\u202e\nnext"
    info["wifi"]["ssid"] = "\x1b[31mevil"
    simulated_hub.device.info = lambda: info
    async with cli.terminal("info", simulated_hub.address, "--show-secrets") as terminal:
        assert await terminal.end() == 0
        assert "5.1[red] next" in terminal.text
        assert "owned" not in terminal.raw
        assert "\x1b[2J" not in terminal.raw
        assert "\u202e" not in terminal.raw
        assert "\x1b[31mevil" not in terminal.raw
    as_json = await cli("info", simulated_hub.address, "--json")
    assert "\x1b" not in as_json.out
    assert "\u202e" not in as_json.out


async def test_colours_only_in_a_terminal_and_never_with_no_color(
    cli: CommandLine, simulated_hub: SimulatedHub
) -> None:
    simulated_hub.actuators[0].execute(1, 60, 0)
    assert "\x1b[" not in (await cli("actuators", simulated_hub.address)).out
    async with cli.terminal("actuators", simulated_hub.address) as terminal:
        await terminal.end()
        assert "\x1b[1;32mon" in terminal.raw
    async with cli.terminal("actuators", simulated_hub.address, env={"NO_COLOR": "1"}) as terminal:
        await terminal.end()
        assert "32m" not in terminal.raw


async def test_lines_in_a_pipe_do_not_end_in_spaces(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    shown = await cli("readings", simulated_hub.address)
    assert [line for line in shown.out.splitlines() if line != line.rstrip()] == []


async def test_something_moves_after_a_second_in_a_terminal_only(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.faults.latency(1.6)
    async with cli.terminal("info", simulated_hub.address) as terminal:
        await terminal.until(f"asking {simulated_hub.address} ...")
        assert await terminal.end() == 0
    assert "asking" not in (await cli("info", simulated_hub.address)).err


async def test_odd_fields_are_named_and_all_others_shown(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.faults.odd_json("cosmetic")
    shown = await cli("info", simulated_hub.address, "--json")
    assert (shown.code, shown.json["mac"], shown.json["firmware"]) == (0, simulated_hub.mac, None)
    assert "hub.version: expected text, got a list" in shown.json["problems"]
    shown = await cli("info", simulated_hub.address)
    assert "hub.version: expected text, got a list" in " ".join(shown.out.split())


async def test_an_input_without_a_value_is_named_and_the_others_shown(
    cli: CommandLine, simulated_hub: SimulatedHub
) -> None:
    simulated_hub.faults.odd_json("dashes")
    shown = await cli("readings", simulated_hub.address, "--json")
    assert [row["slot"] for row in shown.json["readings"]] == [2, 3, 4]
    shown = await cli("readings", simulated_hub.address)
    assert "slot 1 has no value: samples[0].value: expected a number, got text" in shown.err
