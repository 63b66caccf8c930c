"""Every code block of README.md and SESSION_REUSE_FIX.md runs as it stands, against simulated hubs.

How a block is run follows from its language and from a comment on the line above it, which readers do not see:

* ``python``: a program of its own, started with every warning an error; nothing may come on stderr.
* ``python`` with ``<!-- test: KIND -->``: see ``KINDS`` below.
* ``text`` with ``<!-- test: output -->``: what the block before it printed, exactly.
* ``text`` without a comment: not run. Every other language is refused.
* ``bash``: commands; each one is run, or checked against what it names.
* ``console``: commands after ``$``, run, and what they print.

Addresses are those reserved for documentation (192.0.2.0/24). The simulated hubs and a server take their places before
anything runs, and a block that still names another address than that of this machine is not run at all.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
import socket
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from textwrap import indent
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from programs import ROOT, STRICT, until, without_access_log

from vegehub.simulator import SimulatedHub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from programs import Finished, Programs

DOCUMENTS = ("README.md", "SESSION_REUSE_FIX.md")
PAGES = (*DOCUMENTS, "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
HUBS = {
    "192.0.2.57": "gen2-endpoints",
    "192.0.2.58": "gen2-5.1-battery",
    "192.0.2.59": "sprinkler-ac",
}
SERVER = "192.0.2.10:8123"
ADDRESS = re.compile(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b")
FENCE = re.compile(
    r"(?:^<!-- test: (?P<note>[^\n]*?) -->\n)?^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code; ``output`` is what stands below it as its output, None if nothing does."""

    place: str
    language: str
    note: str
    text: str
    output: str | None = None


def blocks_of(document: str) -> list[Block]:
    """Read the blocks of a document, each with its output."""
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks: list[Block] = []
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("text"))
        block = Block(f"{document}:{line}", match["language"].strip(), match["note"] or "", match["text"])
        if block.note == "output":
            program = blocks.pop()
            assert program.output is None, f"{block.place}: a second output of one block"
            block = Block(program.place, program.language, program.note, program.text, block.text)
        blocks.append(block)
    assert text.count("\n```") == 2 * len(FENCE.findall(text)), f"{document}: a fence is not closed, or indented"
    return blocks


BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]
RUN = [block for block in BLOCKS if block.language != "text"]


class Stage:
    """Where a block is run: hubs and a server in the places of the documented addresses, and an empty folder."""

    def __init__(self, hubs: dict[str, SimulatedHub], server: str, programs: Programs, folder: Path) -> None:
        self.hubs = hubs
        self.programs = programs
        self.folder = folder
        self._places = {SERVER: server, **{address: hub.address for address, hub in hubs.items()}}

    @property
    def hub(self) -> SimulatedHub:
        return self.hubs["192.0.2.57"]

    def put_in_place(self, text: str) -> str:
        """Replace the documented addresses; refuse a text that names another one that is not of this machine."""
        for documented, real in self._places.items():
            text = text.replace(documented, real)
        left = [address for address in ADDRESS.findall(text) if not address.startswith("127.")]
        assert not left, f"an address that is not reserved for documentation: {left}"
        return text

    def documented(self, text: str) -> str:
        """Write what came out as the document would: documented addresses, and ids of sessions in order."""
        for documented, real in self._places.items():
            text = text.replace(real, documented)
        return _numbered(text)

    def save(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.put_in_place(text), encoding="utf-8")
        return path

    async def python(self, *arguments: str) -> Finished:
        return await self.programs.python(*arguments, cwd=self.folder)


def _numbered(text: str) -> str:
    ids: dict[str, str] = {}
    return re.sub(r"\b0x[0-9a-f]+", lambda match: ids.setdefault(match[0], f"0x{len(ids)}"), text)


@pytest.fixture
async def stage(tmp_path: Path, programs: Programs) -> AsyncIterator[Stage]:
    """Three hubs that follow real time, as programs do, and a server that takes whatever is posted to it."""

    async def take(_request: web.Request) -> web.Response:
        return web.json_response("OK")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", take)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with AsyncExitStack() as stack:
        hubs = {
            address: await stack.enter_async_context(SimulatedHub(profile=profile, seed=seed, realtime=True))
            for seed, (address, profile) in enumerate(HUBS.items())
        }
        for sensor, volts in zip(hubs["192.0.2.57"].inputs, (1.04, 1.26, 1.5, 1.72), strict=True):
            sensor.volts = volts
        yield Stage(hubs, f"127.0.0.1:{port}", programs, tmp_path)
    await runner.cleanup()


def went_well(finished: Finished) -> str:
    assert finished.err == ""
    assert finished.code == 0
    return finished.out


# The kinds of Python blocks


async def run_program(block: Block, stage: Stage) -> str:
    return went_well(await stage.python(str(stage.save("program.py", block.text))))


async def run_inside(block: Block, stage: Stage) -> str:
    """``inside``: the lines stand in an async function that has a ``hub``."""
    program = (
        "import asyncio\nfrom datetime import timedelta\nfrom vegehub import VegeHub\n\n"
        'async def main() -> None:\n    async with VegeHub("192.0.2.57") as hub:\n'
        f"{indent(block.text, ' ' * 8)}\nasyncio.run(main())\n"
    )
    return went_well(await stage.python(str(stage.save("program.py", program))))


async def run_wasteful(block: Block, stage: Stage) -> str:
    """``many-connections``: how not to do it, with a hub that sends headers and body apart."""
    stage.hub.faults.split_body(0.2)
    finished = await stage.programs.run(sys.executable, str(stage.save("program.py", block.text)), cwd=stage.folder)
    assert finished.code == 0
    assert stage.hub.connections_accepted > 1
    return finished.out


async def run_under_pytest(block: Block, stage: Stage) -> str:
    """``pytest``: a file of tests."""
    path = stage.save("test_block.py", block.text)
    stage.save("pytest.ini", "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    finished = await stage.python("-m", "pytest", "-q", "-p", "no:cacheprovider", str(path))
    assert finished.code == 0, finished.out
    assert re.search(r"^[1-9]\d* passed", finished.out, re.MULTILINE)
    return ""


async def run_as_server(block: Block, stage: Stage) -> str:
    """``serve PORT PATH``: it listens on 127.0.0.1; the path answers with 200, and Ctrl-C ends it without a word."""
    _, documented_port, path = block.note.split()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    assert documented_port in block.text
    saved = stage.save("program.py", block.text.replace(documented_port, port))
    process = await stage.programs.start(sys.executable, *STRICT, str(saved), cwd=stage.folder)
    async with aiohttp.ClientSession() as session:

        async def answers() -> bool:
            assert process.returncode is None
            try:
                async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                    return response.status == 200 and bool(await response.read())
            except aiohttp.ClientConnectionError:
                return False

        await until(answers)
    process.send_signal(signal.SIGINT)
    finished = await stage.programs.finish(process)
    assert without_access_log(finished.err) == ""
    assert finished.code in (0, -signal.SIGINT)
    return ""


HOME_ASSISTANT = {
    "__init__.py": "",
    "helpers/__init__.py": "",
    "config_entries.py": """
class ConfigEntry:
    def __init__(self, data, unique_id):
        self.data, self.unique_id, self.runtime_data = data, unique_id, None
""",
    "const.py": 'CONF_IP_ADDRESS = "ip_address"\nCONF_MAC = "mac"\n',
    "core.py": "class HomeAssistant:\n    session = None\n",
    "exceptions.py": "class ConfigEntryNotReady(Exception):\n    pass\n",
    "helpers/aiohttp_client.py": "def async_get_clientsession(hass):\n    return hass.session\n",
}
DRIVER = """
import asyncio
import aiohttp
import integration
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ConfigEntryNotReady

async def main():
    async with aiohttp.ClientSession() as session:
        hass = HomeAssistant()
        hass.session = session
        entry = ConfigEntry({"ip_address": "192.0.2.57", "mac": "MAC"}, "an id")
        assert await integration.async_setup_entry(hass, entry) is True
        assert entry.runtime_data._session is session
        assert entry.runtime_data.mac_address == "MAC"
        assert await integration.async_unload_entry(hass, entry) is True
        assert not session.closed
        away = ConfigEntry({"ip_address": "127.0.0.1:9", "mac": "MAC"}, "another id")
        try:
            await integration.async_setup_entry(hass, away)
        except ConfigEntryNotReady:
            pass
        else:
            raise AssertionError("a hub that does not answer was set up")

asyncio.run(main())
"""


async def run_in_home_assistant(block: Block, stage: Stage) -> str:
    """``home-assistant``: an integration; a stand-in for Home Assistant sets it up and unloads it."""
    for name, text in HOME_ASSISTANT.items():
        stage.save(f"homeassistant/{name}", text)
    stage.save("integration.py", block.text)
    return went_well(await stage.python(str(stage.save("program.py", DRIVER.replace("MAC", stage.hub.mac)))))


KINDS: dict[str, Callable[..., object]] = {
    "": run_program,
    "inside": run_inside,
    "many-connections": run_wasteful,
    "pytest": run_under_pytest,
    "serve": run_as_server,
    "home-assistant": run_in_home_assistant,
}


# Commands


async def run_command(command: list[str], stage: Stage) -> str:
    """Run a command of a bash or console block; what would run all of this again, or install, is only looked at."""
    match command:
        case [script, *options] if script.startswith("scripts/"):
            text = (ROOT / script).read_text(encoding="utf-8")
            assert text.startswith("#!/usr/bin/env bash")
            assert [option for option in options if option.startswith("--") and option not in text] == []
            return ""
        case ["python", "-m", "pip", "install", *_]:
            dry = [*command[1:4], "--dry-run", "--no-deps", "--no-build-isolation", "--quiet", *command[4:]]
            assert (await stage.programs.run(sys.executable, *dry)).code == 0
            return ""
        case ["python", "-m", "vegehub.simulator", *_]:
            return await run_simulator(command, stage)
        case ["python", program, *arguments] if (ROOT / program).is_file():
            return went_well(await stage.programs.python(str(ROOT / program), *arguments, cwd=stage.folder))
        case _:
            raise AssertionError(f"no rule for the command {shlex.join(command)}")


async def run_simulator(command: list[str], stage: Stage) -> str:
    """Start simulated hubs until they have said where they are, and end them by Ctrl-C."""
    process = await stage.programs.start(sys.executable, *STRICT, *command[1:], cwd=stage.folder)
    assert process.stdout is not None
    ready = json.loads(await process.stdout.readline())
    assert ready
    process.send_signal(signal.SIGINT)
    finished = await stage.programs.finish(process)
    assert finished.err == ""
    assert finished.code in (0, 130, -signal.SIGINT)
    return ""


async def run_commands(block: Block, stage: Stage) -> str:
    lines = stage.put_in_place(block.text).replace("\\\n", " ").splitlines()
    for line in lines:
        if command := shlex.split(line, comments=True):
            await run_command(command, stage)
    return ""


async def run_console(block: Block, stage: Stage) -> str:
    """Compare what each command after ``$`` prints with the lines below it."""
    printed = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            printed.append(f"{line}\n")
            printed.append(await run_command(shlex.split(stage.put_in_place(line[2:])), stage))
    assert stage.documented("".join(printed)) == _numbered(block.text)
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("block", RUN, ids=lambda block: block.place)
async def test_block_does_what_the_document_says(block: Block, stage: Stage) -> None:
    if block.language == "python":
        out = await KINDS[block.note.partition(" ")[0]](block, stage)
    else:
        out = await {"bash": run_commands, "console": run_console}[block.language](block, stage)
    if block.output is not None:
        assert stage.documented(out) == _numbered(block.output)

    async def nobody_connected() -> bool:
        return not any(hub.open_connections for hub in stage.hubs.values())

    if block.note != "many-connections":
        await until(nobody_connected)


def test_every_block_is_run_or_marked_as_text() -> None:
    assert len(RUN) > 10
    for block in BLOCKS:
        assert block.language in ("python", "bash", "console", "text"), f"{block.place}: {block.language!r}"
        assert block.note.partition(" ")[0] in KINDS, f"{block.place}: {block.note!r}"
        assert block.language == "python" or not block.note, f"{block.place}: only Python blocks have a kind"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_file_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    assert [target for target in targets if target and not (ROOT / target).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_document_names_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    missing = []
    for path, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text):
        source = (ROOT / path).read_text(encoding="utf-8") if (ROOT / path).is_file() else None
        if source is None or (name and f"def {name}(" not in source):
            missing.append(f"{path}::{name}" if name else path)
    assert missing == []


def test_the_pages_hold_only_addresses_that_are_reserved_for_documentation() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        found = {address for address in ADDRESS.findall(text) if not address.startswith(("192.0.2.", "127."))}
        assert found == set(), page
