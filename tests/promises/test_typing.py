"""The types of the public API are what tests/typing says, right and wrong use, and type checkers see them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import public_api
import pytest
from programs import ROOT, clean_environment

import vegehub
from vegehub import VegeHub

if TYPE_CHECKING:
    from pathlib import Path

FILES = sorted((ROOT / "tests" / "typing").glob("*.py"))
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in FILES)


def mypy(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", *arguments]
    return subprocess.run(command, cwd=ROOT, env=clean_environment(), check=False, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.timeout(300)  # without a cache mypy reads all of aiohttp and zeroconf
def test_mypy_agrees() -> None:
    checked = mypy(*map(str, FILES))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"no issues found in {len(FILES)} source files" in checked.stdout


BROKEN = """
from typing import Any, assert_type
from vegehub import HubInfo, VegeHub, vh400_transform

async def check(hub: VegeHub) -> None:
    assert_type(await hub.get_info(), dict[str, Any])
    assert_type(vh400_transform(1.0), float)
    hub.turn_on(0, 60)
    await hub.turn_on(0, "60")
    await hub.turn_on(0, 60)  # type: ignore[arg-type]
    assert_type(await hub.get_info(), HubInfo)
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_mypy_would_see_a_wrong_type_and_an_error_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text(BROKEN, encoding="utf-8")
    found = re.findall(r"broken\.py:(\d+): error: .*\[([a-z-]+)\]$", mypy(str(path)).stdout, re.MULTILINE)
    assert found == [
        *(("6", "assert-type"), ("7", "assert-type"), ("8", "unused-coroutine")),
        *(("9", "arg-type"), ("10", "unused-ignore")),
    ]


def test_every_public_name_is_in_them() -> None:
    names = {
        node.id
        for node in ast.walk(ast.parse(TEXT.replace("from __future__ import annotations", "")))
        if isinstance(node, ast.Name)
    }
    assert set(vegehub.__all__) - names == set()


def test_every_member_of_the_hub_is_in_them() -> None:
    members = {name for name in dir(VegeHub) if not name.startswith("_")} | set(public_api.ESTABLISHED_PRIVATE)
    assert [name for name in sorted(members) if not re.search(rf"\.{name}\b", TEXT)] == []


def test_right_and_wrong_use_are_in_each() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert text.count("assert_type(") > 5, path.name
        assert text.count("# type: ignore[") > 2, path.name


def test_they_are_part_of_every_run_of_mypy() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    assert settings["strict"]
    assert {"vegehub", "tests/typing"} <= set(settings["files"])
