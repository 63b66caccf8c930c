"""What is built is what is meant: whole, typed, without caps on the versions of others."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from typing import TYPE_CHECKING

import pytest
from programs import ROOT, clean_environment
from test_layers import dotted, imported, modules

import vegehub

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def build(target: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, env=clean_environment(), check=True, capture_output=True)
    return next(folder.iterdir())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    with zipfile.ZipFile(build("wheel", tmp_path_factory.mktemp("wheel"))) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile):
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_bytes(wheel.read(name))


def test_the_wheel_has_every_module_and_says_that_it_is_typed(wheel: zipfile.ZipFile) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "vegehub").rglob("*.py")}
    names = set(wheel.namelist())
    assert modules <= names
    assert "vegehub/py.typed" in names
    assert {"vegehub/simulator/__main__.py", "vegehub/testing/__init__.py"} <= names


def test_the_wheel_has_nothing_but_the_package(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"vegehub", f"vegehub-{PROJECT['version']}.dist-info"}
    assert not [name for name in wheel.namelist() if "__pycache__" in name or name.endswith((".pyc", ".db", ".log"))]


def test_the_licence_comes_along(wheel: zipfile.ZipFile, metadata) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    text = next(wheel.read(name) for name in wheel.namelist() if name.endswith("/LICENSE"))
    assert text == (ROOT / "LICENSE").read_bytes()


def test_every_dependency_has_a_lower_bound_and_no_upper_one() -> None:
    for requirement in PROJECT["dependencies"]:
        assert re.fullmatch(r"[\w.-]+>=[\d.]+", requirement), requirement


EXTRA_OF = {"cli": "cli", "mqtt": "mqtt"}
"""Parts of the package that need an extra; what stands in neither needs the dependencies only."""
COMES_WITH = {"yarl": "aiohttp", "paho": "aiomqtt", "pytest_asyncio": "pytest"}
"""What is part of the interface of another distribution, or used only beside it."""
NAMED_OTHERWISE = {"yaml": "PyYAML"}


def foreign(source: str, module: str) -> set[str]:
    """The distributions, other than ours, that a module imports anywhere."""
    tops = {one.top for one in imported(source, module)} - sys.stdlib_module_names - {"vegehub"}
    return {NAMED_OTHERWISE.get(name, name) for name in (COMES_WITH.get(top, top) for top in tops)}


def test_nothing_is_imported_that_is_not_declared_and_nothing_declared_that_is_not_imported() -> None:
    used: dict[str, set[str]] = {"": set(), "cli": set(), "mqtt": set()}
    for path in modules():
        part = EXTRA_OF.get(path.relative_to(ROOT / "vegehub").parts[0], "")
        used[part] |= foreign(path.read_text(encoding="utf-8"), dotted(path))
    extras = PROJECT["optional-dependencies"]
    declared = {
        part: {re.split("[>=]", text)[0] for text in extras.get(part, PROJECT["dependencies"])} for part in used
    }
    # Pytest loads the plugin: it is there when the plugin is.
    assert used[""] - {"pytest"} == declared[""]
    assert used["cli"] - declared[""] == declared["cli"]
    assert used["mqtt"] - declared[""] == declared["mqtt"]


def test_an_import_that_is_not_declared_would_be_seen() -> None:
    for source in ("import requests", "def late():\n    from requests.api import get", "import_module('requests')"):
        assert foreign(source, "vegehub.wire.models") == {"requests"}


def test_the_metadata_says_which_python_and_what_it_needs(metadata) -> None:
    assert metadata["Requires-Python"] == ">=3.11"
    needed = {text for text in metadata.get_all("Requires-Dist") if "extra ==" not in text}
    assert needed == set(PROJECT["dependencies"])
    assert metadata.get_payload().strip()


def test_one_version_is_told_everywhere(metadata) -> None:
    assert metadata["Version"] == PROJECT["version"] == vegehub.__version__
    assert PROJECT["version"] in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("\n### ")[0]


def test_the_command_line_comes_along_and_what_it_needs_is_an_extra(wheel: zipfile.ZipFile, metadata) -> None:
    entry_points = next(wheel.read(name) for name in wheel.namelist() if name.endswith("/entry_points.txt"))
    assert b"vegehub = vegehub.cli:main" in entry_points
    assert set(metadata.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    needed = " ".join(PROJECT["dependencies"])
    for optional in ("typer", "rich", "pytest", "aiomqtt", "PyYAML", "matplotlib"):
        assert optional not in needed


def test_the_source_archive_can_be_tested(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "scripts/test", "tests/conftest.py", "vegehub/py.typed"} <= names
    assert not [name for name in names if name.startswith((".venv", ".git/"))]
