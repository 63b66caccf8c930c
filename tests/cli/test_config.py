from __future__ import annotations

import copy
import json
import stat
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vegehub.cli.config_path import apply_changes, parse_path, split_changes, written
from vegehub.cli.errors import CommandError

if TYPE_CHECKING:
    from conftest import CommandLine

    from vegehub.simulator import SimulatedHub


async def test_get_shows_one_value_on_a_line_without_secrets(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    code, text = await cli.in_terminal("config", "get", simulated_hub.address)
    assert code == 0
    assert "hub.name " in text
    assert "sensors[0].mode " in text
    assert "wifi" not in text.replace("connection_method  wifi", "")
    assert simulated_hub.config["api_key"] not in text


async def test_get_of_sections(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    for shown in (
        await cli("config", "get", simulated_hub.address, "wifi", "api_key", "--json"),
        await cli("config", "get", "wifi", "api_key", "--json", env={"VEGEHUB_HOST": simulated_hub.address}),
    ):
        assert shown.json == {
            "wifi": {"type": 0, "wifi_ssid": "**REDACTED**", "wifi_pw": "**REDACTED**", "ap_pw": "**REDACTED**"},
            "api_key": "**REDACTED**",
        }
    clear = await cli("config", "get", simulated_hub.address, "wifi", "--show-secrets", "--json")
    assert clear.json["wifi"]["wifi_pw"] == "secret"


async def test_set_changes_single_values_and_keeps_the_rest(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    before = copy.deepcopy(simulated_hub.config)
    code, text = await cli.in_terminal(
        "config", "set", simulated_hub.address, "hub.name=Shed", "hub.update_period=600", "sensors[1].mode=0"
    )
    assert code == 0
    assert "hub.update_period: 900 -> 600" in text
    expected = copy.deepcopy(before)
    expected["hub"] |= {"name": "Shed", "update_period": 600}
    expected["sensors"][1]["mode"] = 0
    for section in ("hub", "sensors", "actuators", "endpoints", "wifi", "api_key"):
        assert simulated_hub.config[section] == expected[section]


async def test_set_of_a_secret_does_not_show_it(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    shown = await cli("config", "set", "api_key=very-secret", "--json", env={"VEGEHUB_HOST": simulated_hub.address})
    assert simulated_hub.config["api_key"] == "very-secret"
    assert "very-secret" not in shown.out
    assert shown.json["written"] is True
    assert shown.json["differences"][0]["path"] == "api_key"


async def test_set_dry_run_and_set_of_what_is_so_already_write_nothing(
    cli: CommandLine, simulated_hub: SimulatedHub
) -> None:
    dry = await cli("config", "set", simulated_hub.address, "hub.name=Shed", "--dry-run")
    same = await cli("config", "set", simulated_hub.address, "hub.agenda=1")
    assert "nothing was written" in dry.err
    assert "no difference" in same.err
    assert "/api/config/set" not in [request.path for request in simulated_hub.requests]


async def test_set_of_an_unknown_path_is_refused(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    shown = await cli("config", "set", simulated_hub.address, "hub.color=red")
    assert (shown.code, "has no hub.color; nothing was written" in shown.err) == (1, True)


async def test_backup_diff_and_restore(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    host = simulated_hub.address
    saved = await cli("config", "backup", host, "hub.json", "--json")
    path = cli.folder / "hub.json"
    assert saved.json["mac"] == simulated_hub.mac
    assert "wifi" not in saved.json["sections"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (await cli("config", "backup", host, "hub.json")).code == 2
    assert (await cli("config", "backup", host, "hub.json", "--force")).code == 0
    assert (await cli("config", "diff", host, "hub.json")).code == 0

    simulated_hub.config["hub"]["name"] = "Other"
    simulated_hub.config["api_key"] = "changed"
    code, text = await cli.in_terminal("config", "diff", host, "hub.json")
    assert code == 1
    assert "-> Other" in text
    assert "changed" not in text

    dry = await cli("config", "restore", host, "hub.json", "--dry-run", "--json")
    assert (dry.json["written"], len(dry.json["differences"])) == (False, 2)
    assert (await cli("config", "restore", host, "hub.json")).code == 0
    assert simulated_hub.config["hub"]["name"] == simulated_hub.device.factory_name
    assert simulated_hub.config["api_key"] == simulated_hub.mac


async def test_backup_has_the_wifi_only_on_demand(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    await cli("config", "backup", simulated_hub.address, "hub.json", "--wifi")
    assert json.loads((cli.folder / "hub.json").read_text())["config"]["wifi"]["wifi_pw"] == "secret"
    simulated_hub.config["wifi"]["wifi_pw"] = "new"
    await cli("config", "restore", simulated_hub.address, "hub.json")
    assert simulated_hub.config["wifi"]["wifi_pw"] == "new"
    await cli("config", "restore", simulated_hub.address, "hub.json", "--wifi")
    assert simulated_hub.config["wifi"]["wifi_pw"] == "secret"


async def test_backup_of_another_hub_is_restored_on_demand_only(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    await cli("config", "backup", simulated_hub.address, "hub.json")
    simulated_hub.mac = "001122334455"
    simulated_hub.config["hub"]["name"] = "Replaced"
    refused = await cli("config", "restore", simulated_hub.address, "hub.json")
    assert (refused.code, "--other-hub" in refused.err) == (1, True)
    assert simulated_hub.config["hub"]["name"] == "Replaced"
    assert (await cli("config", "restore", simulated_hub.address, "hub.json", "--other-hub")).code == 0
    assert simulated_hub.config["hub"]["name"] == simulated_hub.name != "Replaced"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "vegehub-backup"}'])
def test_what_is_no_backup_is_wrong_usage(execute: Any, tmp_path: Any, content: str) -> None:
    path = tmp_path / "hub.json"
    path.write_text(content)
    shown = execute("config", "restore", "127.0.0.1", str(path))
    assert (shown.code, str(path) in shown.err) == (2, True)


# --- paths


@pytest.mark.parametrize(
    ("text", "path"),
    [("hub.name", ("hub", "name")), ("sensors[0].mode", ("sensors", 0, "mode")), ("api_key", ("api_key",))],
)
def test_path_is_read_and_written(text: str, path: tuple[Any, ...]) -> None:
    assert parse_path(text) == path
    assert written(path) == text


@pytest.mark.parametrize(
    "text", ["", ".hub", "hub.", "hub..name", "[0]", "hub[x]", "hub[-1]", "hub name", "hub[0]name"]
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="no path like"):
        parse_path(text)


@given(st.text())
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        path = parse_path(text)
    except CommandError:
        return
    assert parse_path(written(path)) == path


@pytest.mark.parametrize(
    ("text", "value"), [("1", 1), ("true", True), ('"1"', "1"), ("Shed", "Shed"), ("[]", []), ("", ""), ("NaN", "NaN")]
)
def test_value_is_json_or_text(text: str, value: Any) -> None:
    assert split_changes([f"hub.name={text}"]) == [(("hub", "name"), value)]


@pytest.mark.parametrize("path", ["x", "hub.x", "hub.name.x", "sensors[1]", "sensors.mode", "hub[0]"])
def test_path_that_leads_nowhere_is_refused_and_changes_nothing(path: str) -> None:
    document = {"hub": {"name": "a"}, "sensors": [{"mode": 1}]}
    with pytest.raises(CommandError, match="nothing was written"):
        apply_changes(document, [(("hub", "name"), "b"), (parse_path(path), 1)])
    assert document["hub"] == {"name": "a"}
