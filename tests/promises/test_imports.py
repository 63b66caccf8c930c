"""Importing is cheap: what is heavy is loaded when it is used, and never while the loop waits for it."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

import pytest
from programs import loaded_after

import vegehub

if TYPE_CHECKING:
    from programs import Programs

HEAVY = {
    "aiohttp",
    "asyncio",
    "zeroconf",
    "voluptuous",
    "sqlite3",
    "typer",
    "rich",
    "yaml",
    "aiomqtt",
    "ssl",
    "logging",
}
HEAVIER_THAN_AIOHTTP = {"aiohttp.web", "zeroconf", "voluptuous", "typer", "rich", "yaml", "aiomqtt", "sqlite3"}
HELPERS = ("vh400_transform", "therm200_transform", "update_data_to_latest_dict", "update_data_to_ha_dict")


@pytest.mark.parametrize(
    "code",
    [
        "import vegehub",
        "import vegehub.helpers",
        "import vegehub.sensors",
        "import vegehub.exceptions",
        f"from vegehub import {', '.join(HELPERS)}",
        f"from vegehub.helpers import {', '.join(HELPERS)}",
        "from vegehub import VegeHubError, HubInfo",
        "from vegehub import parse_update, Update",
        "from vegehub import Wiring, WiredInput; Wiring(inputs=[WiredInput(1, 'Tomatoes', 'VH400')]).as_dict()",
    ],
)
def test_nothing_heavy_is_loaded_by(code: str) -> None:
    assert loaded_after(code) & HEAVY <= loaded_after("pass")


def test_the_client_loads_aiohttp_and_nothing_heavier() -> None:
    loaded = loaded_after("from vegehub import VegeHub")
    assert "aiohttp" in loaded
    assert loaded & HEAVIER_THAN_AIOHTTP == set()
    assert not {name for name in loaded if name.startswith(("vegehub.simulator", "vegehub.testing", "vegehub.cli"))}


def test_what_is_called_heavy_is_seen_when_it_is_loaded() -> None:
    """A name that is spelled as no module is would let everything through."""
    everything = loaded_after("import aiohttp.web, typer, rich, yaml, aiomqtt, voluptuous, zeroconf, sqlite3")
    assert (HEAVY | HEAVIER_THAN_AIOHTTP) - everything == set()


def test_the_test_tools_are_never_loaded_by_the_library() -> None:
    every_name = loaded_after("from vegehub import *")
    assert not {name for name in every_name if name.startswith(("vegehub.testing", "vegehub.simulator", "pytest"))}


def test_every_public_name_is_there() -> None:
    assert [name for name in vegehub.__all__ if getattr(vegehub, name, None) is None] == []
    assert len(set(vegehub.__all__)) == len(vegehub.__all__)
    assert set(vegehub.__all__) <= set(dir(vegehub))


def test_an_unknown_name_is_refused_as_usual() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        vegehub.no_such_name  # noqa: B018 - the access is the test
    with pytest.raises(ImportError):
        importlib.import_module("vegehub.no_such_name")


SPY = """
import asyncio, sys, threading
from asyncio import events

HEAVY = ("aiohttp", "zeroconf", "voluptuous", "sqlite3", "typer", "ssl")
seen = []

class Spy:
    @staticmethod
    def find_spec(name, path=None, target=None):
        inside = events._get_running_loop() is not None and threading.current_thread() is threading.main_thread()
        if inside and name.partition(".")[0] in HEAVY:
            seen.append(name)

def watch(main):
    sys.meta_path.insert(0, Spy)
    asyncio.run(main)
    print("loaded while the loop ran:", *seen)
"""

USES = {
    "a call to a hub": """
from vegehub import VegeHub, VegeHubError
hub = VegeHub("127.0.0.1:1")
async def main():
    try:
        await hub.get_info()
    except VegeHubError:
        pass
    await hub.close()
watch(main())
""",
    "a journal": """
import pathlib
from vegehub import Journal, parse_update
journal = Journal(pathlib.Path("journal.db"))
async def main():
    async with journal:
        await journal.append({"mac": "7C9EBD112233", "sensors": []})
watch(main())
""",
    "a receiver": """
from vegehub import UpdateReceiver
receiver = UpdateReceiver()
async def main():
    async with receiver.serve("127.0.0.1", 0):
        pass
watch(main())
""",
    "a parser": """
from vegehub import parse_update
async def main():
    parse_update({"mac": "7C9EBD112233", "sensors": []})
watch(main())
""",
    "a search": """
from vegehub import discover
from vegehub.finding import discovery
discovery.SERVICE_TYPE = "_vegehub-spy._tcp.local."  # of its own: hubs of other tests have nothing to answer
async def main():
    await discover(timeout=0.1, interfaces=["127.0.0.1"])
watch(main())
""",
}


@pytest.mark.parametrize("use", USES)
async def test_nothing_heavy_is_loaded_inside_a_running_call(programs: Programs, tmp_path, use: str) -> None:
    """Loading takes up to hundreds of milliseconds, in which the loop would stand still."""
    finished = await programs.run(sys.executable, "-c", SPY + USES[use], cwd=tmp_path)
    assert finished.code == 0, finished.err
    assert finished.lines() == ["loaded while the loop ran:"]


async def test_what_is_loaded_inside_a_running_call_is_seen(programs: Programs, tmp_path) -> None:
    late = "async def main():\n    import sqlite3\nwatch(main())\n"
    finished = await programs.run(sys.executable, "-c", SPY + late, cwd=tmp_path)
    assert finished.lines()[0].startswith("loaded while the loop ran: sqlite3")
