from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from vegehub.simulator import SimulatedHub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import CommandLine


@pytest.fixture
async def announced() -> AsyncIterator[SimulatedHub]:
    """A hub whose name no other on this machine has: the loopback carries what every program announces there."""
    async with SimulatedHub(mdns=True, realtime=True, seed=os.getpid()) as hub:
        await hub.announced()
        await asyncio.sleep(1.1)  # a responder does not repeat a record within a second
        yield hub


def ours(rows: list[Any], hub: SimulatedHub) -> Any:
    return next(row for row in rows if row["name"] == hub.name)


async def test_finds_a_hub_that_announces_itself(cli: CommandLine, announced: SimulatedHub) -> None:
    code, text = await cli.in_terminal("discover", "--timeout", "2s")
    assert code == 0
    assert announced.name in text
    assert announced.address in text


async def test_saves_a_hub_with_its_mac_and_knows_it_again_at_another_address(
    cli: CommandLine, announced: SimulatedHub
) -> None:
    path = cli.folder / "hubs.json"
    shown = await cli("discover", "--timeout", "2s", "--json", "--save", "hubs.json")
    found = ours(shown.json, announced)
    assert (found["address"], found["firmware"], found["num_sensors"]) == (announced.address, "5.2.0", 4)
    record = ours(json.loads(path.read_text())["hubs"], announced)
    assert (record["mac"], record["address"]) == (announced.mac, announced.address)

    record["address"] = "127.0.0.1:1"
    path.write_text(json.dumps({"format": "vegehub-registry", "version": 1, "hubs": [record]}))
    await cli("discover", "--timeout", "2s", "--save", "hubs.json")
    assert ours(json.loads(path.read_text())["hubs"], announced)["address"] == announced.address


async def test_hub_that_does_not_answer_is_saved_without_its_mac(cli: CommandLine, announced: SimulatedHub) -> None:
    announced.faults.refuse()
    await cli("discover", "--timeout", "2s", "--save", "hubs.json")
    assert ours(json.loads((cli.folder / "hubs.json").read_text())["hubs"], announced)["mac"] == ""


@pytest.mark.parametrize("ending", ["", ".local"])
async def test_discovered_name_is_an_address(cli: CommandLine, announced: SimulatedHub, ending: str) -> None:
    shown = await cli("info", announced.name.lower() + ending, "--json")
    assert shown.json["host"] == announced.address


async def test_name_that_nobody_announces_is_left_to_the_system(cli: CommandLine) -> None:
    shown = await cli("info", "Vege_No_Such.local")
    assert (shown.code, "the name was not resolved" in shown.err) == (3, True)


async def test_file_that_is_no_registry_is_left_alone(cli: CommandLine, announced: SimulatedHub) -> None:
    (cli.folder / "hubs.json").write_text("precious")
    shown = await cli("discover", "--timeout", "2s", "--save", "hubs.json")
    assert shown.code == 2
    assert (cli.folder / "hubs.json").read_text() == "precious"


def test_nothing_found_ends_with_3_and_says_why_that_may_be(execute: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object, **__: object) -> list[Any]:
        return []

    monkeypatch.setattr("vegehub.cli.discover.find", nothing)
    shown = execute("discover", "--json")
    assert (shown.code, shown.json, shown.error["exit_code"]) == (3, [], 3)
    assert "asleep" in shown.error["message"]
    assert execute("discover").out == ""


async def test_fewer_than_expected_ends_with_3(cli: CommandLine) -> None:
    shown = await cli("discover", "--timeout", "0.2s", "--expect", "99")
    assert (shown.code, "of 99 hubs" in shown.err) == (3, True)


async def test_interface_that_this_machine_lacks_is_wrong_usage(cli: CommandLine) -> None:
    assert (await cli("discover", "--interface", "127.0.0.1x")).code == 2
