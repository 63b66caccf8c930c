"""The examples that find hubs by mDNS, and the harness, each as a process of its own that never leaves the loopback."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from on_air import Station, own_service_type, station, unused_name
from programs import ROOT, STRICT, until

from vegehub.simulator import Simulation, mdns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from programs import Finished, Programs

LOOPBACK = "127.0.0.1"
HARNESS = "integration_test.py"

# The guard of other programs knows nothing of mDNS, which listens on every address and sends to a group. The service
# type is one of the test alone: nothing that runs beside it on this machine is found.
GUARD = """
import ipaddress, os, sys

def _local(host):
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

def _audit(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if not isinstance(address, tuple):
            return
        host, port = address[:2]
        if port == 5353 and host in ("224.0.0.251", *(("", "0.0.0.0") if event == "socket.bind" else ())):
            return
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if not _local(host):
        sys.stderr.write(f"{event} {host}: tests stay on this machine\\n")
        raise AssertionError(host)

sys.addaudithook(_audit)
"""
STARTER = """
import runpy, sys
from vegehub.finding import discovery
discovery.SERVICE_TYPE = sys.argv[1]
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# What asyncio says of slow steps, in debug mode, goes to the same terminal; it speaks of the machine.
SLOWNESS = re.compile(r"Executing <[^\r\n]* seconds\r?\n")
IN_A_TERMINAL = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"


@dataclass(frozen=True, slots=True)
class Field:
    """Hubs that announce themselves, and programs that find no others."""

    simulation: Simulation
    programs: Programs
    folder: Path

    def command(self, name: str, *arguments: str) -> tuple[str, ...]:
        path = ROOT / name if name == HARNESS else ROOT / "examples" / name
        starter = str(self.folder / "starter.py")
        return (sys.executable, *STRICT, starter, mdns.SERVICE_TYPE, str(path), *arguments)

    async def start(self, name: str, *arguments: str) -> asyncio.subprocess.Process:
        command = self.command(name, *arguments)
        return await self.programs.start(*command, environment={"PYTHONPATH": str(self.folder)})

    async def run(self, name: str, *arguments: str) -> Finished:
        return await self.programs.finish(await self.start(name, *arguments))

    async def start_in_a_terminal(self, name: str, *arguments: str) -> asyncio.subprocess.Process:
        command = (sys.executable, "-c", IN_A_TERMINAL, *self.command(name, *arguments))
        return await self.programs.start(*command, environment={"PYTHONPATH": str(self.folder)})

    async def in_a_terminal(self, name: str, *arguments: str) -> Finished:
        finished = await self.programs.finish(await self.start_in_a_terminal(name, *arguments))
        return replace(finished, out=SLOWNESS.sub("", finished.out))

    async def all_disconnected(self) -> bool:
        return not any(hub.open_connections for hub in self.simulation.hubs)


@pytest.fixture
async def field(programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Field]:
    own_service_type(monkeypatch, mdns)
    (tmp_path / "sitecustomize.py").write_text(GUARD)
    (tmp_path / "starter.py").write_text(STARTER)
    async with Simulation(seed=os.getpid(), realtime=True, mdns=True) as simulation:
        yield Field(simulation, programs, tmp_path)


def went_well(finished: Finished) -> list[str]:
    assert finished.err == ""
    assert finished.code == 0
    return finished.lines()


async def lines_until_all(process: asyncio.subprocess.Process, wanted: set[str]) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    while not wanted <= set(lines):
        line = await process.stdout.readline()
        assert line, lines
        lines.append(line.decode().rstrip())
    return lines


# --- discover.py ----------------------------------------------------------------------------------------------------------


async def test_discover_prints_hubs_as_they_come_and_ends_by_ctrl_c(field: Field) -> None:
    hubs = [await field.simulation.add_hub(profile) for profile in ("gen2-endpoints", "sprinkler-ac")]
    process = await field.start("discover.py", "600", LOOPBACK)
    wanted = {
        f"added: {hub.name} at {hub.address}, firmware {hub.profile.firmware}, "
        f"inputs {hub.profile.num_inputs}, actuators {hub.profile.num_actuators}"
        for hub in hubs
    }
    lines = await lines_until_all(process, wanted)
    assert {line for line in lines if line.startswith("added")} == wanted
    assert [hub.requests for hub in hubs] == [[], []]
    process.send_signal(signal.SIGINT)
    assert went_well(await field.programs.finish(process)) == []


async def test_discover_says_why_nothing_may_have_been_found(field: Field) -> None:
    finished = await field.run("discover.py", "0.5", LOOPBACK)
    assert finished.code == 1
    assert finished.err.startswith("No hub announced itself. Possible reasons: the hub is asleep")


async def test_discover_names_an_interface_that_this_machine_lacks(field: Field) -> None:
    finished = await field.run("discover.py", "600", "192.0.2.1")
    assert finished.code == 1
    (line,) = finished.err.splitlines()
    assert "192.0.2.1" in line


async def test_no_terminal_escape_of_a_peer_reaches_the_terminal(field: Field) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m"
    txt: dict[str, str | bytes] = {
        "version": f"{evil}5.1".encode() + b"\xff",
        "sensors": f"{evil}4",
        "actuators": "\u202e2",
        f"{evil}key": "x",
    }
    long = {str(number): "\x1b" * 240 for number in range(33)}
    refused, cleaned, plain = [unused_name() for _ in range(3)]

    def announce(air: Station) -> None:
        air.announce(f"{refused}\x1b[31m", port=8080, txt=txt)
        air.announce(f"{cleaned}\u202e", port=8080, txt=txt, host="Vege\x1b]0;owned\x07_1.local.")
        air.announce(plain, "127.0.8.2", 8080, {"version": "5.1.2", **long})

    process = await field.start_in_a_terminal("discover.py", "600", LOOPBACK)
    wanted = {
        f"added: {cleaned} at 127.0.8.1:8080, firmware 5.1\ufffd, inputs 4, actuators 2",
        f"added: {plain} at 127.0.8.2:8080, firmware 5.1.2, inputs None, actuators None",
    }
    reading = asyncio.create_task(lines_until_all(process, wanted))
    with station(mdns.SERVICE_TYPE) as air:
        while not reading.done():
            announce(air)
            await asyncio.wait([reading], timeout=0.05)
    text = "".join(await reading)
    assert refused not in text
    assert text.isprintable()


# --- fleet.py -------------------------------------------------------------------------------------------------------------


async def test_fleet_reads_all_hubs_over_one_session_and_prints_plain_lines_into_a_file(field: Field) -> None:
    hubs = [await field.simulation.add_hub() for _ in range(5)]
    for number, hub in enumerate(hubs):
        hub.inputs[0].volts = 1 + number / 10
    finished = await field.run("fleet.py", "5", LOOPBACK)
    assert finished.code == 0
    assert finished.err.splitlines() == [f"{done} of 5 done" for done in range(1, 6)]
    lines = sorted(finished.lines())
    assert [line.partition(",")[0] for line in lines] == sorted(
        f"{hub.name}: slot 1: {hub.inputs[0].volts:.2f} V" for hub in hubs
    )
    assert [hub.connections_accepted for hub in hubs] == [1] * 5
    await until(field.all_disconnected)


async def test_fleet_draws_a_progress_bar_on_a_terminal(field: Field) -> None:
    hubs = [await field.simulation.add_hub() for _ in range(3)]
    finished = await field.in_a_terminal("fleet.py", "3", LOOPBACK)
    assert finished.code == 0
    bar, _, rest = finished.out.partition("\n")
    filled = [f"[{'#' * count}{'.' * (30 - count)}]" for count in (10, 20, 30)]
    assert bar.split("\r")[1:4] == [f"{text} {done}/3" for done, text in enumerate(filled, 1)]
    assert {line.partition(":")[0] for line in rest.splitlines()} == {hub.name for hub in hubs}


async def test_fleet_names_the_hub_that_fails_and_reads_the_rest(field: Field) -> None:
    good, bad = [await field.simulation.add_hub() for _ in range(2)]
    bad.faults.status(500, path="/api/sensors/data/last")
    finished = await field.run("fleet.py", "2", LOOPBACK)
    assert finished.code == 1
    text = {line.partition(": ")[0]: line.partition(": ")[2] for line in finished.lines()}
    assert text[good.name].startswith("slot 1: ")
    assert "500" in text[bad.name]


# --- fleet_restart.py -----------------------------------------------------------------------------------------------------


async def test_fleet_restart_finds_the_saved_hubs_at_their_new_addresses(field: Field) -> None:
    hubs = [await field.simulation.add_hub(host=f"127.0.5.{number}") for number in (1, 2, 3)]
    path = field.folder / "hubs.json"
    before = {hub.mac: hub.address for hub in hubs}
    firmware = {f"{hub.mac}: firmware {hub.profile.firmware}" for hub in hubs}
    lines = went_well(await field.run("fleet_restart.py", str(path), "3", LOOPBACK))
    assert lines[0] == "0 hubs known"
    assert set(lines[1:]) == firmware | {f"{mac} is new, at {address}" for mac, address in before.items()}

    # The second hub takes the address of the first: what DHCP does.
    first, second, third = hubs
    host, port = first.host, first.port
    await first.move_to("127.0.5.11")
    await second.move_to(host, port)
    lines = went_well(await field.run("fleet_restart.py", str(path), "3", LOOPBACK))
    assert lines[0] == "3 hubs known"
    moves = {f"{hub.mac} moved from {before[hub.mac]} to {hub.address}" for hub in (first, second)}
    assert set(lines[1:]) == firmware | moves
    saved = {entry["mac"]: entry["address"] for entry in json.loads(path.read_text())["hubs"]}
    assert saved == {hub.mac: hub.address for hub in (first, second, third)}


async def test_fleet_restart_neither_uses_nor_replaces_a_broken_file(field: Field) -> None:
    path = field.folder / "hubs.json"
    path.write_text('{"format": "vegehub-registry", "version": 99, "hubs": []}')
    finished = await field.run("fleet_restart.py", str(path), "1", LOOPBACK)
    assert finished.code == 1
    (line,) = finished.err.splitlines()
    assert line.startswith(f"{path}: ")
    assert "version" in line
    assert "99" in path.read_text()


# --- The harness ----------------------------------------------------------------------------------------------------------


async def test_the_harness_finds_the_one_announced_hub_and_passes(field: Field) -> None:
    hub = await field.simulation.add_hub()
    finished = await field.run(HARNESS, "--discover", "--interface", LOOPBACK)
    assert finished.code == 0, finished.out + finished.err
    assert f"found {hub.name} at {hub.address}" in finished.lines()
    assert hub.requests
    await until(field.all_disconnected)
