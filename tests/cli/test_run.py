from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vegehub.fleet import Registry
from vegehub.simulator import Simulation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import CommandLine


@pytest.fixture
async def farm(cli: CommandLine) -> AsyncIterator[Simulation]:
    """Two hubs that answer, one that does not, and one that is suspended; in hubs.json."""
    async with Simulation(seed=3) as simulation:
        registry = Registry()
        for name, profile in (("beds", "gen2-endpoints"), ("logger", "gen2-5.1-logger")):
            hub = await simulation.add_hub(profile)
            registry.add(hub.address, id=name, mac=hub.mac)
        registry.add("127.0.0.1:2", id="stored")
        registry.suspend("stored")
        await registry.async_save(cli.folder / "hubs.json")
        yield simulation


async def test_table_has_every_hub(cli: CommandLine, farm: Simulation) -> None:
    code, text = await cli.in_terminal("run", "hubs.json", "info")
    assert code == 0
    assert "firmware 5.2.0, 9.20 V, -41 dBm" in text
    assert "suspended" in text
    assert "asking" in text  # the bar


async def test_json_has_result_or_error_by_id(cli: CommandLine, farm: Simulation) -> None:
    farm.hubs[1].faults.status(503)
    shown = await cli("run", "hubs.json", "actuators", "--json")
    assert shown.code == 1
    hubs = shown.json["hubs"]
    assert [row["is_on"] for row in hubs["beds"]["result"]] == [False, False]
    assert hubs["logger"]["error"]["status"] == 503
    assert hubs["stored"]["suspended"] is True


@pytest.mark.parametrize(
    ("action", "text", "path"),
    [
        ("readings", "1: ", "/api/sensors/data/last"),
        ("actuators", "0: off  1: off", "/api/actuators/status"),
        ("update", "it sends an update", "/api/update/send"),
        ("clock", "its clock is set", "/api/time/set"),
    ],
)
async def test_action_is_done_with_each(cli: CommandLine, farm: Simulation, action: str, text: str, path: str) -> None:
    shown = await cli("run", "hubs.json", action)
    assert (shown.code, text in shown.out) == (0, True)
    assert path in [request.path for request in farm.hubs[0].requests]


async def test_one_failing_hub_is_told_and_ends_with_1(cli: CommandLine, farm: Simulation) -> None:
    farm.hubs[0].faults.refuse()
    shown = await cli("run", "hubs.json", "update")
    assert shown.code == 1
    assert "the connection was refused" in shown.out
    assert "1 of 2 hubs failed" in shown.err


async def test_empty_registry_ends_with_1(cli: CommandLine) -> None:
    await Registry().async_save(cli.folder / "none.json")
    shown = await cli("run", "none.json", "info")
    assert (shown.code, "there is no hub in it" in shown.err) == (1, True)
