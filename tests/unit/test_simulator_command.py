"""``python -m vegehub.simulator``: one line when ready, and a clean end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from vegehub.simulator import SimulatedHub, __main__
from vegehub.simulator.__main__ import FAULTS, addresses, arguments, main, parse_fault, run

if TYPE_CHECKING:
    import argparse

# argparse looks for translations on the disk, which is nothing for a running loop.
PLAIN, FAULTY = arguments([]), arguments(["--fault", "status=503", "--fault", "chunked"])


async def start(*options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "vegehub.simulator",
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ready(process: asyncio.subprocess.Process) -> Any:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        return json.loads(await process.stdout.readline())


async def mac(place: Any) -> str:
    url = f"http://{place['host']}:{place['port']}/api/info/get"
    async with aiohttp.ClientSession() as session, session.post(url, json={"wifi": []}) as response:
        return (await response.json())["wifi"]["mac_addr"].replace(":", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_one_line_says_where_the_hub_is_and_a_signal_ends_it_cleanly(number: signal.Signals) -> None:
    process = await start("--seed", "7")
    line = await ready(process)
    (place,) = line["hubs"]
    assert (line["host"], line["port"]) == (place["host"], place["port"])
    assert (place["mac"], place["profile"]) == (SimulatedHub(seed=7).mac, "gen2-endpoints")
    assert await mac(place) == place["mac"]
    process.send_signal(number)
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")


async def first_line(capsys: pytest.CaptureFixture[str]) -> Any:
    while not (out := capsys.readouterr().out):  # noqa: ASYNC110 - there is no event for what was printed
        await asyncio.sleep(0.01)
    return json.loads(out)


@pytest.fixture
def three_hubs(unused_tcp_port: int) -> argparse.Namespace:
    port = str(unused_tcp_port)
    return arguments(["--count", "3", "--host", "127.0.7.1", "--port", port, "--profile", "sprinkler-ac"])


async def test_hubs_of_one_port_have_addresses_of_their_own(
    capsys: pytest.CaptureFixture[str], three_hubs: argparse.Namespace
) -> None:
    running = asyncio.create_task(run(three_hubs))
    line = await first_line(capsys)
    assert "host" not in line
    assert len({(place["host"], place["port"]) for place in line["hubs"]}) == 3
    assert [await mac(place) for place in line["hubs"]] == [place["mac"] for place in line["hubs"]]
    os.kill(os.getpid(), signal.SIGTERM)
    await running


async def test_faults_are_on_from_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    running = asyncio.create_task(run(FAULTY))
    (place,) = (await first_line(capsys))["hubs"]
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{place['host']}:{place['port']}/api/actuators/status") as response,
    ):
        assert (response.status, response.headers["Transfer-Encoding"]) == (503, "chunked")
    os.kill(os.getpid(), signal.SIGINT)
    await running


async def test_without_signals_in_the_loop_the_process_handles_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", refuse)
    before = signal.getsignal(signal.SIGTERM)
    running = asyncio.create_task(run(PLAIN))
    await first_line(capsys)
    os.kill(os.getpid(), signal.SIGTERM)
    await running
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("platform", "host", "port", "places"),
    [
        ("linux", "127.0.0.1", 0, [("127.0.0.1", 0), ("127.0.0.1", 0)]),
        ("linux", "127.0.0.255", 80, [("127.0.0.255", 80), ("127.0.1.0", 80)]),
        ("darwin", "127.0.0.1", 80, [("127.0.0.1", 80), ("127.0.0.1", 81)]),
        ("linux", "::1", 80, [("::1", 80), ("::1", 81)]),
        ("linux", "localhost", 80, [("localhost", 80), ("localhost", 81)]),
    ],
)
def test_where_hubs_are_put(
    monkeypatch: pytest.MonkeyPatch, platform: str, host: str, port: int, places: list[tuple[str, int]]
) -> None:
    monkeypatch.setattr(__main__.sys, "platform", platform)
    assert list(addresses(host, port, 2)) == places


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("refuse", ("refuse", [])),
        ("latency=0.5", ("latency", [0.5])),
        ("close-silently", ("close_silently", [])),
        ("error_in_200=busy now", ("error_in_200", ["busy now"])),
    ],
)
def test_faults_on_the_command_line(text: str, fault: tuple[str, list[Any]]) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize("options", [["--fault", "flood"], ["--profile", "gen9"], ["--count", "0"], ["--port", "x"]])
def test_wrong_options_end_with_the_usage(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(options)
    assert caught.value.code == 2
    assert "usage: python -m vegehub.simulator" in capsys.readouterr().err


def test_every_fault_can_be_switched_on_by_its_name_alone() -> None:
    hub = SimulatedHub()
    for name in FAULTS:
        getattr(hub.faults, name)()
    assert list(hub.faults.active) == FAULTS


def test_an_address_in_use_is_an_error_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["--port", str(taken.getsockname()[1])]) == 1
    assert capsys.readouterr().err.startswith("cannot start: ")
