from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest

from vegehub.simulator import SimulatedHub

if TYPE_CHECKING:
    from conftest import CommandLine

HOOK = "http://127.0.0.1:9/api/webhook/secret-hook"


def urls(hub: SimulatedHub) -> list[str]:
    return [entry["config"].get("url", "") for entry in hub.config["endpoints"]]


async def test_setup_adds_a_server_and_hides_its_path(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    code, text = await cli.in_terminal("setup", simulated_hub.address, HOOK)
    assert (code, urls(simulated_hub)) == (0, ["", HOOK])
    assert "'HomeAssistant' is added" in text
    assert "secret-hook" not in text


async def test_setup_twice_changes_nothing(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    await cli("setup", simulated_hub.address, HOOK, "--json")
    shown = await cli("setup", HOOK, "--json", env={"VEGEHUB_HOST": simulated_hub.address})
    assert (shown.json["changed"], shown.json["written"]) == (False, False)
    assert urls(simulated_hub) == ["", HOOK]


async def test_dry_run_writes_nothing(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    shown = await cli("setup", simulated_hub.address, HOOK, "--dry-run", "--undo", "undo.json")
    assert "(nothing was written)" in shown.out
    assert urls(simulated_hub) == [""]
    assert not (cli.folder / "undo.json").exists()


async def test_url_that_is_none_is_wrong_usage(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    shown = await cli("setup", simulated_hub.address, "not a url")
    assert (shown.code, "server URL" in shown.err) == (2, True)


@pytest.mark.parametrize("profile", ["gen2-endpoints", "gen2-5.1-battery"])
async def test_undo_brings_back_what_was_there(cli: CommandLine, profile: str) -> None:
    async with SimulatedHub(profile) as hub:
        before = json.dumps([hub.config.get("endpoints"), hub.config["hub"], hub.config["api_key"]])
        shown = await cli("setup", hub.address, HOOK, "--api-key", "k", "--undo", "undo.json")
        assert "--undo undo.json` brings back" in shown.err
        assert stat.S_IMODE((cli.folder / "undo.json").stat().st_mode) == 0o600
        undone = await cli("server", "remove", hub.address, "--undo", "undo.json")
        assert "what was there before is back" in undone.out
        assert json.dumps([hub.config.get("endpoints"), hub.config["hub"], hub.config["api_key"]]) == before
        again = await cli("server", "remove", "--undo", "undo.json", env={"VEGEHUB_HOST": hub.address})
        assert "undone already" in again.out


async def test_undo_file_that_cannot_be_written_keeps_the_hub_as_it_is(
    cli: CommandLine, simulated_hub: SimulatedHub
) -> None:
    shown = await cli("setup", simulated_hub.address, HOOK, "--undo", "no/such/folder.json")
    assert shown.code == 1
    assert urls(simulated_hub) == [""]


async def test_file_that_is_no_undo_is_wrong_usage(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    (cli.folder / "undo.json").write_text("[]")
    shown = await cli("server", "remove", simulated_hub.address, "--undo", "undo.json")
    assert (shown.code, "undo.json: " in shown.err) == (2, True)


async def test_list_shows_servers_without_secrets(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.point_at(HOOK, name="Shed")
    code, text = await cli.in_terminal("server", "list", simulated_hub.address)
    assert code == 0
    assert "Shed" in text
    assert "secret-hook" not in text
    shown = await cli("server", "list", simulated_hub.address, "--json", "--show-secrets")
    assert [server["url"] for server in shown.json["servers"]][1] == HOOK


async def test_list_of_nothing_says_so(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.config["endpoints"] = []
    assert (await cli("server", "list", simulated_hub.address)).out == "This hub reports to no server.\n"


@pytest.mark.parametrize("wanted", ["2", "Shed", HOOK])
async def test_remove_takes_an_id_a_name_or_a_url(cli: CommandLine, simulated_hub: SimulatedHub, wanted: str) -> None:
    simulated_hub.point_at(HOOK, name="Shed")
    shown = await cli("server", "remove", simulated_hub.address, wanted)
    assert (shown.code, urls(simulated_hub)) == (0, [""])
    assert "'Shed' is removed" in shown.out


async def test_remove_of_another_kind_needs_force(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    shown = await cli("server", "remove", simulated_hub.address, "VegeCloud")
    assert (shown.code, len(urls(simulated_hub))) == (1, 1)
    assert "add --force" in shown.err
    assert (await cli("server", "remove", simulated_hub.address, "VegeCloud", "--force")).code == 0
    assert urls(simulated_hub) == []


async def test_remove_of_what_is_not_there_changes_nothing(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    shown = await cli("server", "remove", simulated_hub.address, "Shed")
    assert (shown.code, "no server with the id" in shown.err) == (1, True)


async def test_remove_of_one_of_two_of_the_same_name_changes_nothing(
    cli: CommandLine, simulated_hub: SimulatedHub
) -> None:
    simulated_hub.point_at(HOOK, name="Shed")
    simulated_hub.point_at(HOOK + "2", name="Shed")
    assert "2 servers" in (await cli("server", "remove", simulated_hub.address, "Shed")).err
    for entry in simulated_hub.config["endpoints"][1:]:
        entry["id"] = 2
    shown = await cli("server", "remove", simulated_hub.address, HOOK)
    assert (shown.code, "not unique" in shown.err) == (2, True)
    assert len(urls(simulated_hub)) == 3


async def test_remove_on_old_firmware_says_what_to_do_instead(cli: CommandLine) -> None:
    async with SimulatedHub("gen2-5.1-battery") as hub:
        shown = await cli("server", "remove", hub.address, "x")
    assert (shown.code, "--undo FILE" in shown.err) == (1, True)
