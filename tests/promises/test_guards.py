"""The guards of tests/conftest.py and of pyproject.toml do fail a test: each is shown one that deserves it."""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from typing import TYPE_CHECKING

from programs import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from programs import Programs

BAD = """
import asyncio, contextlib, socket, sys, threading, warnings
import aiohttp
from vegehub.files import read_limited, write_private

def test_is_good():
    pass

async def test_is_good_too(hub, tmp_path):
    await asyncio.to_thread(write_private, tmp_path / "file", b"")
    assert await hub.get_readings()

def test_warns():
    warnings.warn("an omen", UserWarning, stacklevel=1)

def test_forgets_a_file(tmp_path):
    (tmp_path / "file").open("w")

def test_fails_in_a_thread():
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()

async def test_blocks_by_writing(tmp_path):
    write_private(tmp_path / "file", b"")

async def test_blocks_by_reading(tmp_path):
    read_limited(__file__, 10_000)

async def test_leaves_a_session_open():
    aiohttp.ClientSession()

async def test_leaves_a_task_running():
    test_leaves_a_task_running.task = asyncio.create_task(asyncio.sleep(60))

async def test_forgets_to_await():
    asyncio.sleep(0)

async def test_swallows_a_refusal():
    with contextlib.suppress(BaseException):
        await asyncio.get_running_loop().getaddrinfo("hub.example", 80)

def test_connects_to_the_network():
    with socket.socket() as sock:
        sys.audit("socket.connect", sock, ("192.0.2.1", 80))  # announced, never attempted
"""
REASONS = {
    "test_warns": "UserWarning: an omen",
    "test_forgets_a_file": "unclosed file",
    "test_fails_in_a_thread": "ZeroDivisionError",
    "test_blocks_by_writing": "BlockingError",
    "test_blocks_by_reading": "BlockingError",
    "test_leaves_a_session_open": "Unclosed client session",
    "test_leaves_a_task_running": "test_leaves_a_task_running",
    "test_forgets_to_await": "never awaited",
    "test_swallows_a_refusal": "hub.example: tests stay on",
    "test_connects_to_the_network": "192.0.2.1:80: tests stay on",
}


async def run(programs: Programs, folder: Path, text: str) -> str:
    """Run tests as those of this project are run; return what pytest wrote."""
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    (folder / "test_bad.py").write_text(text, encoding="utf-8")
    finished = await programs.run(
        *(sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder)),
        *("-p", "no:cacheprovider", "--color=no", str(folder)),
        cwd=folder,
        # Without the guard that programs get: it is the one of conftest.py that must refuse.
        environment={"PYTHONPATH": ""},
    )
    return finished.out + finished.err


async def test_a_test_that_deserves_it_fails_and_no_other(programs: Programs, tmp_path: Path) -> None:
    out = await run(programs, tmp_path, BAD)
    blamed = re.findall(r"^(?:FAILED|ERROR) \S*?::(\w+)", out, re.MULTILINE)
    assert sorted(set(REASONS) - set(blamed)) == [], f"no guard failed {set(REASONS) - set(blamed)}\n{out}"
    assert sorted(set(blamed) - set(REASONS)) == [], f"innocent: {set(blamed) - set(REASONS)}\n{out}"
    sections = dict(re.findall(r"^_+ (?:ERROR at \w+ of )?(\w+) _+$(.*?)(?=^_{3,}|^=)", out, re.MULTILINE | re.DOTALL))
    for name, reason in REASONS.items():
        assert reason in sections[name], sections[name]


async def test_a_marker_that_nobody_declared_is_refused(programs: Programs, tmp_path: Path) -> None:
    out = await run(programs, tmp_path, "import pytest\n@pytest.mark.slwo\ndef test_is_good(): pass\n")
    assert "'slwo' not found in `markers`" in out


def test_no_warning_is_let_through_for_all_tests() -> None:
    """A single test may expect a warning; what is ignored for all would hide those of this library too."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    assert settings["filterwarnings"] == ["error"]
    assert {"--strict-markers", "--strict-config"} <= set(settings["addopts"])


def test_no_file_of_tests_turns_a_guard_off() -> None:
    off = re.compile(r"filterwarnings\(\s*[\"']ignore|simplefilter\(\s*[\"']ignore|can_block_i[n]\(")
    paths = [path for path in (ROOT / "tests").rglob("*.py") if path != ROOT / "tests" / "conftest.py"]
    assert [path.name for path in paths if off.search(path.read_text(encoding="utf-8"))] == []
