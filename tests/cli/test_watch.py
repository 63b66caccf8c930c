from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import CommandLine

    from vegehub.simulator import SimulatedHub


async def test_table_moves_in_a_terminal_until_ctrl_c(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.inputs[0].volts = 1.0
    arguments = ("watch", simulated_hub.address, "127.0.0.1:1", "--every", "0.2s", "--sensor", "1=VH400")
    async with cli.terminal(*arguments) as terminal:
        await terminal.until("1.000")
        simulated_hub.inputs[0].volts = 1.25
        await terminal.until("1.250")
        await terminal.until("↑")
        assert "not reached" in terminal.text
        assert "13.8 %" in terminal.text
        assert terminal.widest <= 80
        terminal.interrupt()
        assert await terminal.end() == 130


async def test_json_lines_have_every_hub_and_its_error(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    shown = await cli(
        "watch", simulated_hub.address, "127.0.0.1:1", simulated_hub.address, "--count", "2", "--every", "0s", "--json"
    )
    assert shown.code == 0
    assert [record["host"] for record in shown.records] == [simulated_hub.address, "127.0.0.1:1"] * 2
    assert [row["slot"] for row in shown.records[0]["readings"]] == [1, 2, 3, 4]
    assert shown.records[1]["error"]["exit_code"] == 3


async def test_without_a_terminal_there_is_a_table_for_each_reading(
    cli: CommandLine, simulated_hub: SimulatedHub
) -> None:
    shown = await cli("watch", "--count", "2", "--every", "0.1s", env={"VEGEHUB_HOST": simulated_hub.address})
    assert shown.code == 0
    assert shown.out.count("Slot") == 2
    assert "→" in shown.out


async def test_plain_characters_where_the_terminal_knows_no_others(
    cli: CommandLine, simulated_hub: SimulatedHub
) -> None:
    env = {"PYTHONIOENCODING": "ascii", "VEGEHUB_HOST": simulated_hub.address}
    shown = await cli("watch", "--count", "2", "--every", "0s", env=env)
    assert shown.code == 0
    assert " = " in shown.out


async def test_hub_that_falls_asleep_keeps_its_last_values(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.inputs[0].volts = 1.0
    async with cli.terminal("watch", simulated_hub.address, "--every", "0.1s", "--timeout", "0.5s") as terminal:
        await terminal.until("1.000")
        simulated_hub.sleep(refuse=True)
        await terminal.until("not reached")
        assert "1.000" in terminal.text.rpartition("Hub")[2]
        terminal.interrupt()
        assert await terminal.end() == 130


async def test_no_hub_that_ever_answered_ends_with_its_error(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.faults.never_answer()
    shown = await cli("watch", simulated_hub.address, "--count", "1", "--timeout", "0.3s")
    assert shown.code == 4
    assert "asleep?" in shown.out
