"""The pytest plugin in a project that is not this one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vegehub.simulator import SimulatedHub

if TYPE_CHECKING:
    from pathlib import Path

    from programs import Programs

TEST = """
import aiohttp

async def test_reads(vegehub_leak_guard, vegehub_hub):
    print("profile", await vegehub_hub.retrieve_mac_address(), (await vegehub_hub.get_info()).num_actuators)

async def test_may_write(vegehub_may_write):
    print("may write", vegehub_may_write)

async def test_simulated(vegehub_simulated_hub, vegehub_client):
    await vegehub_client.turn_on(0, 60)
    assert vegehub_simulated_hub.actuators[0].is_on
"""
LEAKS = """
import aiohttp

async def test_leaks(vegehub_leak_guard):
    aiohttp.ClientSession()
"""


async def run(programs: Programs, folder: Path, text: str, *options: str) -> tuple[int, str]:
    (folder / "test_theirs.py").write_text(text, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n", encoding="utf-8")
    finished = await programs.run(
        *(sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", "-p", "vegehub.testing.plugin", *options),
        cwd=folder,
    )
    return finished.code, finished.out


async def test_fixtures_serve_another_project(programs: Programs, tmp_path: Path) -> None:
    code, out = await run(programs, tmp_path, TEST)
    assert code == 0, out
    assert "profile True 2" in out
    assert "may write True" in out


async def test_profile_is_chosen_by_an_option(programs: Programs, tmp_path: Path) -> None:
    code, out = await run(programs, tmp_path, TEST, "--vegehub-profile", "sprinkler-ac")
    assert code == 0, out
    assert "profile True 4" in out


async def test_given_hub_is_used_and_written_to_only_if_asked_for(programs: Programs, tmp_path: Path) -> None:
    async with SimulatedHub(profile="gen2-5.1-logger") as simulated:
        for options, may_write in (((), False), (("--vegehub-write",), True)):
            code, out = await run(programs, tmp_path, TEST, "--vegehub-host", simulated.address, *options)
            assert code == 0, out
            assert "profile True 0" in out
            assert f"may write {may_write}" in out
        assert {request.path for request in simulated.requests} == {"/api/info/get"}


async def test_leak_fails_the_test_that_made_it(programs: Programs, tmp_path: Path) -> None:
    code, out = await run(programs, tmp_path, LEAKS)
    assert code == 1
    assert "Unclosed client session" in out
