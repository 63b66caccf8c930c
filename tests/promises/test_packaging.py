"""What is built is what is meant: whole, typed, without caps on the versions of others."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from typing import TYPE_CHECKING

import pytest
from programs import ROOT, clean_environment

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


def test_no_dependency_has_an_upper_cap() -> None:
    for requirement in PROJECT["dependencies"]:
        assert ">=" in requirement
        assert not {"<", "==", "~", "!"} & set(requirement)


def test_the_metadata_says_which_python_and_what_it_needs(metadata) -> None:
    assert metadata["Requires-Python"] == ">=3.11"
    needed = {text for text in metadata.get_all("Requires-Dist") if "extra ==" not in text}
    assert needed == set(PROJECT["dependencies"])
    assert metadata.get_payload().strip()


def test_the_source_archive_can_be_tested(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "scripts/test", "tests/conftest.py", "vegehub/py.typed"} <= names
    assert not [name for name in names if name.startswith((".venv", ".git/"))]
