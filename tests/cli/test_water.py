from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from programs import until

if TYPE_CHECKING:
    from conftest import CommandLine

    from vegehub.simulator import SimulatedHub

COMMAND = "/api/actuators/set"


async def is_true(value: object) -> bool:
    return bool(value)


def states(hub: SimulatedHub) -> list[int]:
    return [command.state for command in hub.actuators[0].commands]


async def test_opens_waits_and_closes(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    code, text = await cli.in_terminal("water", simulated_hub.address, "0", "--for", "1s")
    assert code == 0
    assert simulated_hub.actuators[0].commands[0].duration == 1
    assert states(simulated_hub)[:2] == [1, 0]
    assert not simulated_hub.actuators[0].is_on
    assert "is on for 1s; Ctrl-C closes it" in text
    assert "left" in text  # the bar
    assert "is off again, after 1s" in text


async def test_as_json_shows_no_bar(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    shown = await cli("water", "0", "--for", "1s", "--json", env={"VEGEHUB_HOST": simulated_hub.address})
    assert shown.err == ""
    assert (shown.json["mac"], shown.json["slot"], shown.json["interrupted"]) == (simulated_hub.mac, 0, False)
    assert shown.json["opened_at"] <= shown.json["closed_at"]
    assert shown.json["open_for"] >= 1


async def test_ctrl_c_closes_the_valve_and_ends_with_130(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    async with cli.terminal("water", simulated_hub.address, "0", "--for", "1h") as terminal:
        await terminal.until("left")
        assert simulated_hub.actuators[0].is_on
        terminal.interrupt()
        assert await terminal.end() == 130
        assert "is off again, after" in terminal.text
        assert "of 1h" in terminal.text
        assert "interrupted" in terminal.text
    assert not simulated_hub.actuators[0].is_on


async def test_ctrl_c_again_and_again_does_not_break_off_the_closing(
    cli: CommandLine, simulated_hub: SimulatedHub
) -> None:
    async with cli.terminal("water", simulated_hub.address, "0", "--for", "1h") as terminal:
        await terminal.until("left")
        simulated_hub.faults.status(503, path=COMMAND, times=2)
        for _ in range(3):
            terminal.interrupt()
        assert await terminal.end() == 130
    assert not simulated_hub.actuators[0].is_on


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_other_ends_close_the_valve_too(cli: CommandLine, simulated_hub: SimulatedHub, number: int) -> None:
    process = await cli.start("water", simulated_hub.address, "0", "--for", "1h")
    assert process.stderr is not None
    await process.stderr.readuntil(b"Ctrl-C closes it")
    process.send_signal(number)
    shown = await cli.finish(process)
    assert shown.code == 128 + number
    assert not simulated_hub.actuators[0].is_on


async def test_started_by_nohup_it_goes_on_when_the_terminal_is_closed(
    cli: CommandLine, simulated_hub: SimulatedHub
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup hands it on to the program that it starts
    try:
        process = await cli.start("water", simulated_hub.address, "0", "--for", "2s")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert process.stderr is not None
    await process.stderr.readuntil(b"Ctrl-C closes it")
    process.send_signal(signal.SIGHUP)
    shown = await cli.finish(process)
    assert shown.code == 0
    assert "is off again" in shown.out
    assert not simulated_hub.actuators[0].is_on


async def test_interrupted_as_json_has_result_and_error(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    process = await cli.start("water", simulated_hub.address, "0", "--for", "1h", "--json")
    await until(lambda: is_true(simulated_hub.actuators[0].is_on))
    process.send_signal(signal.SIGINT)
    shown = await cli.finish(process)
    assert (shown.code, shown.error["exit_code"]) == (130, 130)
    if shown.out:  # it may have been interrupted before ON had been answered
        assert shown.json["interrupted"] is True
    assert not simulated_hub.actuators[0].is_on


async def test_interrupted_before_the_valve_was_open_sends_nothing(
    cli: CommandLine, simulated_hub: SimulatedHub
) -> None:
    simulated_hub.faults.never_answer(path="/api/info/get")
    process = await cli.start("water", simulated_hub.address, "0", "--for", "1h")
    await until(lambda: is_true(simulated_hub.requests))
    process.send_signal(signal.SIGINT)
    shown = await cli.finish(process)
    assert (shown.code, shown.out) == (130, "")
    assert not states(simulated_hub)


async def test_refused_on_is_told_and_no_off_is_sent(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.faults.status(503, path=COMMAND)
    shown = await cli("water", simulated_hub.address, "0", "--for", "1m")
    assert shown.code == 1
    assert "the hub refused it" in shown.err
    assert [request.path for request in simulated_hub.requests].count(COMMAND) == 1


async def test_state_that_cannot_be_read_back_is_a_warning(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.faults.status(500, path="/api/actuators/status")
    shown = await cli("water", simulated_hub.address, "0", "--for", "1s")
    assert shown.code == 0
    assert "could not be read back" in shown.err
