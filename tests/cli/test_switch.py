from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from programs import until

from vegehub.simulator import SimulatedHub

if TYPE_CHECKING:
    from conftest import CommandLine

COMMAND = "/api/actuators/set"


async def is_true(value: object) -> bool:
    return bool(value)


def commands(hub: SimulatedHub, slot: int = 0) -> list[tuple[int, float]]:
    return [(command.state, command.duration) for command in hub.actuators[slot].commands]


async def test_on_sends_the_duration_in_seconds(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    code, text = await cli.in_terminal("on", simulated_hub.address, "1", "--for", "1h30m")
    assert (code, commands(simulated_hub, 1)) == (0, [(1, 5400)])
    assert f"{simulated_hub.address}: actuator 1 is on for 1h 30m" in text


async def test_on_as_json(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    shown = await cli("on", simulated_hub.address, "0", "--for", "90s", "--json")
    assert shown.json == {
        "host": simulated_hub.address,
        "mac": simulated_hub.mac,
        "slot": 0,
        "is_on": True,
        "seconds": 90.0,
        "confirmed": True,
    }


async def test_off_may_hold_the_schedule_off(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    shown = await cli("off", "0", "--hold", "10m", env={"VEGEHUB_HOST": simulated_hub.address})
    assert (shown.code, commands(simulated_hub)) == (0, [(0, 600)])
    assert "held off for 10m" in shown.out


async def test_unconfirmed_command_is_called_so(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.faults.status(500, path="/api/actuators/status")
    for arguments in (("on", "0", "--for", "1m"), ("off", "0")):
        shown = await cli(*arguments, "--no-confirm", env={"VEGEHUB_HOST": simulated_hub.address})
        assert (shown.code, "not read back" in shown.out) == (0, True)


async def test_slot_that_is_not_there_is_wrong_usage_and_nothing_is_sent(
    cli: CommandLine, simulated_hub: SimulatedHub
) -> None:
    shown = await cli("on", simulated_hub.address, "7", "--for", "1m")
    assert shown.code == 2
    assert "not sent, there is no actuator 7: this hub has 2, counted from 0" in shown.err
    assert COMMAND not in [request.path for request in simulated_hub.requests]


async def test_other_mac_ends_with_1_and_nothing_is_written(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    shown = await cli("on", simulated_hub.address, "0", "--for", "1m", "--mac", "00:11:22:33:44:55", "--json")
    assert (shown.code, shown.error["type"], shown.error["outcome"]) == (1, "VegeHubMismatchError", "not_sent")
    assert not commands(simulated_hub)


async def test_lost_reply_says_that_the_hub_may_have_executed_it(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.faults.drop_reply(path=COMMAND)
    shown = await cli("on", simulated_hub.address, "0", "--for", "1m")
    assert shown.code == 3
    assert "may have executed it" in shown.err
    assert commands(simulated_hub)


async def test_refused_command_says_so_and_ends_with_1(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.faults.status(503, path=COMMAND)
    shown = await cli("off", simulated_hub.address, "0")
    assert shown.code == 1
    assert "the hub refused it" in shown.err


async def test_state_that_never_shows_ends_with_4(cli: CommandLine) -> None:
    async with SimulatedHub(status_latency=1000.0) as hub:
        shown = await cli("on", hub.address, "0", "--for", "1m", "--timeout", "0.5s")
    assert shown.code == 4
    assert "took the command, but" in shown.err


async def test_interrupted_while_it_reads_back_says_that_the_valve_may_be_open(
    cli: CommandLine, simulated_hub: SimulatedHub
) -> None:
    simulated_hub.faults.never_answer(path="/api/actuators/status")
    process = await cli.start("on", simulated_hub.address, "0", "--for", "10m")
    await until(lambda: is_true(simulated_hub.actuators[0].is_on))
    process.send_signal(signal.SIGTERM)
    shown = await cli.finish(process)
    assert shown.code == 128 + signal.SIGTERM
    assert "actuator 0 may be on, for 10m at most" in shown.err
    assert f"`vegehub off {simulated_hub.address} 0` closes it" in shown.err
