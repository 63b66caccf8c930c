"""The commands ``simulate``, ``diagnostics`` and ``selftest``."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest
from programs import ROOT

from vegehub import VegeHub
from vegehub.simulator import PROFILES, SimulatedHub

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from conftest import CommandLine


async def ready(process: Process) -> Any:
    assert process.stdout is not None
    return json.loads(await process.stdout.readline())


async def test_json_says_where_the_hubs_are_and_ctrl_c_ends_them(cli: CommandLine) -> None:
    process = await cli.start("simulate", "--count", "2", "--profile", "sprinkler-ac", "--no-mdns", "--json")
    said = await ready(process)
    for place in said["hubs"]:
        async with VegeHub(f"{place['host']}:{place['port']}") as hub:
            assert (await hub.get_info()).mac == place["mac"]
    process.send_signal(signal.SIGINT)
    shown = await cli.finish(process)
    assert (shown.code, shown.error["exit_code"]) == (130, 130)


async def test_table_in_a_terminal_and_ctrl_c(cli: CommandLine) -> None:
    async with cli.terminal("simulate", "--seed", "1") as terminal:
        await terminal.until("Ctrl-C ends")
        assert "Vege_" in terminal.text
        assert terminal.widest <= 80
        terminal.interrupt()
        assert await terminal.end() == 130


async def test_fault_and_sleep(cli: CommandLine) -> None:
    process = await cli.start("simulate", "--fault", "status=503", "--no-mdns", "--json")
    place = await ready(process)
    shown = await cli("info", f":{place['port']}")
    assert (shown.code, "503" in shown.err) == (1, True)
    process.terminate()
    await cli.finish(process)
    process = await cli.start("simulate", "--asleep", "--profile", "gen2-5.1-battery", "--no-mdns", "--json")
    place = await ready(process)
    assert (await cli("info", f":{place['port']}", "--timeout", "0.5s")).code == 4


def test_list_names_profiles_and_faults(execute: Any) -> None:
    shown = execute("simulate", "--list")
    assert all(name in shown.out for name in PROFILES)
    assert "drop_reply" in shown.out
    assert set(execute("simulate", "--list", "--json").json["profiles"]) == set(PROFILES)


async def test_address_that_is_taken_ends_with_1(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    shown = await cli("simulate", "--host", simulated_hub.host, "--port", str(simulated_hub.port), "--no-mdns")
    assert (shown.code, "cannot be had" in shown.err) == (1, True)


async def test_without_multicast_the_hubs_run_unannounced(cli: CommandLine) -> None:
    # A module of this name is found before the real one, and refuses like a machine without multicast.
    (cli.folder / "guard" / "zeroconf").mkdir()
    (cli.folder / "guard" / "zeroconf" / "__init__.py").write_text(
        "class ServiceInfo: ...\nclass Zeroconf:\n    def __init__(self, **_):\n        raise OSError('no multicast here')\n"
    )
    (cli.folder / "guard" / "zeroconf" / "asyncio.py").write_text("class AsyncZeroconf: ...\n")
    async with cli.terminal("simulate") as terminal:
        await terminal.until("Ctrl-C ends")
        assert "not announced by mDNS: no multicast here" in terminal.text
        terminal.interrupt()
        assert await terminal.end() == 130


# --- diagnostics


async def test_diagnostics_hold_everything_but_secrets(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.point_at("http://127.0.0.1:9/api/webhook/secret-hook", api_key="secret-key")
    shown = await cli("diagnostics", simulated_hub.address)
    assert shown.code == 0
    assert shown.json["hub"]["mac"] == simulated_hub.mac
    assert {"info", "config", "actuators", "readings", "counters"} <= set(shown.json["hub"])
    assert shown.json["versions"].keys() == {"vegehub", "aiohttp", "python"}
    for secret in ("secret-hook", "secret-key", "GardenNet", "0000000000000000", "12345678"):
        assert secret not in shown.out


async def test_diagnostics_tell_a_part_that_failed_and_end_with_1(
    cli: CommandLine, simulated_hub: SimulatedHub
) -> None:
    simulated_hub.faults.status(500, path="/api/sensors/data/last")
    shown = await cli("diagnostics", simulated_hub.address)
    assert shown.code == 1
    assert shown.json["hub"]["readings"]["failed"] == "VegeHubResponseError"


async def test_reply_that_is_no_json_is_recorded_as_its_text(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.faults.not_json(b"<a href='http://h/secret-hook'>", path="/api/sensors/data/last")
    assert (await cli("diagnostics", simulated_hub.address, "--record", "kept")).code == 1
    exchanges = json.loads((cli.folder / "kept" / "recording.json").read_text())["exchanges"]
    (body,) = [one["body"] for one in exchanges if one["path"] == "/api/sensors/data/last"]
    assert body.startswith("<a href='http://h/")
    assert "secret-hook" not in body


async def test_diagnostics_of_no_hub_are_an_error(cli: CommandLine) -> None:
    shown = await cli("diagnostics", "127.0.0.1:1", "--record", "kept")
    assert (shown.code, shown.out) == (3, "")
    assert not (cli.folder / "kept").exists()


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["gen2-5.1-battery", "gen2-5.1-logger", "gen2-endpoints", "sprinkler-ac"])
async def test_recorded_hub_plays_and_passes_the_contract(cli: CommandLine, profile: str) -> None:
    async with SimulatedHub(profile, seed=7) as hub:
        hub.point_at("http://127.0.0.1:9/secret-hook", api_key="secret-key")
        hub.inputs[0].volts = 1.234
        recorded = await cli("diagnostics", hub.address, "--record", "kept")
        assert recorded.code == 0
        original = await cli("readings", hub.address, "--json")
        info = await cli("info", hub.address, "--json")
    path = cli.folder / "kept" / "recording.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for secret in ("secret-hook", "secret-key", "GardenNet", "12345678", "0000000000000000"):
        assert secret not in path.read_text()
    process = await cli.start("simulate", "--from", "kept", "--no-mdns", "--json")
    place = await ready(process)
    address = f"{place['host']}:{place['port']}"
    assert (await cli("readings", address, "--json")).json["readings"] == original.json["readings"]
    played = (await cli("info", address, "--json")).json
    assert {**played, "host": "", "wifi": 0} == {**info.json, "host": "", "wifi": 0}
    contract = await cli_pytest(cli, str(ROOT / "tests" / "contract" / "test_contract.py"), address)
    assert "passed" in contract
    assert "failed" not in contract
    assert "error" not in contract


async def cli_pytest(cli: CommandLine, path: str, address: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        path,
        "--vegehub-host",
        address,
        "--vegehub-write",
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return out.decode().splitlines()[-1]


async def test_recording_that_is_none_is_wrong_usage(cli: CommandLine) -> None:
    (cli.folder / "kept").mkdir()
    (cli.folder / "kept" / "recording.json").write_text("{}")
    shown = await cli("simulate", "--from", "kept")
    assert (shown.code, "not a recording" in shown.err) == (2, True)


# --- selftest


async def test_selftest_passes_against_a_hub(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    shown = await cli("selftest", "--host", simulated_hub.address)
    assert shown.code == 0
    assert "0 failed" in shown.out
    assert "no leak" in shown.out


async def test_selftest_as_json(cli: CommandLine) -> None:
    shown = await cli("selftest", "--host", "127.0.0.1:1", "--json")
    assert (shown.code, shown.json["exit_code"], shown.json["reached"]) == (3, 3, False)


def test_selftest_help_is_the_harness_own(execute: Any) -> None:
    shown = execute("selftest", "--help")
    assert shown.code == 0
    assert "--prove-guard" in shown.out
    assert "usage: vegehub selftest" in shown.out
    assert execute("selftest", "--json", "--help").code == 0


def test_selftest_without_an_argument_says_what_it_needs(execute: Any) -> None:
    assert execute("selftest", "--bla").code == 2
