from __future__ import annotations

import asyncio
import csv
import io
import signal
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from conftest import CommandLine

    from vegehub.simulator import SimulatedHub

TOKEN = "a-token-of-the-tests"


def servers(hub: SimulatedHub) -> list[str]:
    return [entry["name"] for entry in hub.config["endpoints"]]


async def test_connected_hub_is_received_and_put_back(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    simulated_hub.inputs[0].volts = 1.5
    code, text = await cli.in_terminal(
        "listen", "--connect", simulated_hub.address, "--count", "1", "--sensor", "1=VH400"
    )
    assert code == 0
    assert "24.6 %" in text
    assert simulated_hub.mac in text
    assert "reports again to where it did before" in text
    assert servers(simulated_hub) == ["VegeCloud"]


async def test_ctrl_c_puts_the_hub_back_and_ends_with_130(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    async with cli.terminal("listen", "--connect", simulated_hub.address) as terminal:
        await terminal.until("and its update came")
        assert servers(simulated_hub) == ["VegeCloud", "vegehub listen"]
        terminal.interrupt()
        assert await terminal.end() == 130
        assert "reports again" in terminal.text
    assert servers(simulated_hub) == ["VegeCloud"]


async def test_json_lines(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    shown = await cli("listen", "--connect", simulated_hub.address, "--count", "1", "--json", "--sensor", "2=THERM200")
    assert shown.err == ""
    (record,) = shown.records
    assert (record["mac"], record["rssi"], record["problems"]) == (simulated_hub.mac, -41, 0)
    assert [row["slot"] for row in record["readings"]] == [1, 2, 3, 4, 5]
    assert record["readings"][1]["unit"] == "°C"
    assert record["readings"][0]["taken_at"].endswith("Z")


async def test_csv(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    shown = await cli(
        "listen", "--connect", simulated_hub.address, "--count", "1", "--format", "csv", "--sensor", "1=VH400"
    )
    rows = list(csv.DictReader(io.StringIO(shown.out)))
    assert [row["slot"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert (rows[0]["mac"], rows[0]["unit"], rows[1]["converted"]) == (simulated_hub.mac, "%", "")
    assert float(rows[4]["value"]) == 9.2


async def test_hub_that_is_not_reached_ends_with_3_and_nothing_is_changed(cli: CommandLine) -> None:
    shown = await cli("listen", "--connect", "127.0.0.1:1", "--json")
    assert (shown.code, "nothing was changed" in shown.error["message"]) == (3, True)


async def test_url_is_shown_on_demand_and_other_paths_are_refused(cli: CommandLine) -> None:
    hidden = await cli("listen", "--bind", "127.0.0.1", "--for", "0.1s", "--token", TOKEN)
    assert hidden.code == 0
    assert TOKEN not in hidden.err + hidden.out
    process = await cli.start("listen", "--bind", "127.0.0.1", "--token", TOKEN, "--show-secrets", "--count", "1")
    assert process.stderr is not None
    line = (await process.stderr.readline()).decode()
    url = line.split()[-1]
    assert url.endswith(f"/{TOKEN}")
    async with aiohttp.ClientSession() as session:
        for wrong, body in ((url + "x", b"{}"), (url, b"no json")):
            async with session.post(wrong, data=body) as response:
                assert response.status in (404, 400)
        old = {"key": "k", "updates": [{"created_at": "2025-06-17 13:26:55", "field1": 0.08, "field2": "bad"}]}
        async with session.post(url, json=old) as response:
            assert response.status == 200
    shown = await cli.finish(process)
    assert shown.code == 0
    assert "refused with 404" in shown.err
    assert "refused with 400" in shown.err
    assert "2025-06-17 13:26:55  key:" in shown.out
    assert "1 fields of that update were left out" in shown.err


async def test_journal_delivers_what_was_not_printed_yet(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    arguments = ("listen", "--journal", "updates.sqlite", "--json", "--count", "1")
    first = await cli(*arguments, "--connect", simulated_hub.address)
    assert len(first.records) == 1
    process = await cli.start(
        "listen",
        "--journal",
        "updates.sqlite",
        "--bind",
        "127.0.0.1",
        "--token",
        TOKEN,
        "--show-secrets",
        "--count",
        "1",
    )
    assert process.stderr is not None
    url = (await process.stderr.readline()).decode().split()[-1]
    simulated_hub.point_at(url)
    simulated_hub.send_update()
    shown = await cli.finish(process)
    assert (shown.code, simulated_hub.mac in shown.out) == (0, True)


async def test_address_that_cannot_be_had_ends_with_3(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    shown = await cli("listen", "--bind", simulated_hub.host, "--port", str(simulated_hub.port))
    assert (shown.code, "cannot listen on" in shown.err) == (3, True)


async def test_reader_that_goes_away_ends_it_and_the_hub_is_put_back(
    cli: CommandLine, simulated_hub: SimulatedHub
) -> None:
    process = await cli.start("listen", "--connect", simulated_hub.address, "--json")
    assert process.stdout is not None
    await process.stdout.readline()
    process._transport.get_pipe_transport(1).close()
    while process.returncode is None:
        simulated_hub.inputs[0].volts += 0.01
        simulated_hub.send_update()
        await simulated_hub.advance(1)
        try:
            await asyncio.wait_for(process.wait(), 0.3)
        except TimeoutError:
            continue
    assert process.returncode == 141
    assert servers(simulated_hub) == ["VegeCloud"]


async def test_sigterm_puts_the_hub_back(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    process = await cli.start("listen", "--connect", simulated_hub.address)
    assert process.stderr is not None
    await process.stderr.readuntil(b"and its update came")
    process.send_signal(signal.SIGTERM)
    shown = await cli.finish(process)
    assert shown.code == 128 + signal.SIGTERM
    assert servers(simulated_hub) == ["VegeCloud"]


async def test_hub_that_cannot_be_put_back_is_named(cli: CommandLine, simulated_hub: SimulatedHub) -> None:
    process = await cli.start("listen", "--connect", simulated_hub.address, "--timeout", "1s")
    assert process.stderr is not None
    await process.stderr.readuntil(b"and its update came")
    simulated_hub.faults.status(500, path="/api/config/set")
    process.send_signal(signal.SIGINT)
    shown = await cli.finish(process)
    assert shown.code == 130
    assert f"{simulated_hub.address} could not be restored and still reports here" in shown.err
