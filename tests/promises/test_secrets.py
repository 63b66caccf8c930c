"""Nothing in the project tells of the machine it was made on, and nothing looks like a secret."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from programs import ROOT

SECRETS = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY",
    "a cloud key": r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
    "a forge token": r"\b(gh[pousr]|glpat)[_-][A-Za-z0-9_]{20,}",
    "a chat token": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "a package token": r"\bpypi-[A-Za-z0-9_-]{20,}",
    "a model provider's key": r"\bsk-[A-Za-z0-9_-]{20,}",
    "a signed token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}",
    "a bearer token": r"[Bb]earer [A-Za-z0-9._~+/-]{20,}",
}


@cache
def texts() -> dict[str, str]:
    """Every file of the project by name: tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    names = [name for name in listed.stdout.decode().split("\0") if name]
    found = {name: (ROOT / name) for name in names if (ROOT / name).is_file()}
    return {name: path.read_bytes().decode("utf-8", "replace") for name, path in found.items()}


def places(pattern: str) -> list[str]:
    expression = re.compile(pattern)
    return [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for name, text in texts().items()
        for match in expression.finditer(text)
    ]


def test_there_is_something_to_look_at() -> None:
    assert {"pyproject.toml", "vegehub/__init__.py"} <= set(texts())


@pytest.mark.parametrize("what", SECRETS)
def test_no_file_holds(what: str) -> None:
    assert places(SECRETS[what]) == []


def test_no_url_holds_a_password() -> None:
    # Tests of redaction write such URLs with invented, short words on purpose.
    allowed = {name for name in texts() if name.startswith("tests/")}
    found = places(r"\b[a-z][a-z0-9+.-]{1,10}://[^\s/:@\"'<>{}]+:[^\s/@\"'<>{}]+@[^\s\"'<>]+")
    assert [place for place in found if place.split(":")[0] not in allowed] == []


def test_no_file_names_a_folder_of_this_machine() -> None:
    folders = {ROOT, ROOT.parent, Path.home()} - {Path(ROOT.anchor)}
    own = "|".join(re.escape(str(folder)) for folder in sorted(folders))
    assert places(rf"(?<![\w.~)}}-])(?:{own})(?![\w-])") == []


def test_no_file_names_a_home_or_scratch_folder() -> None:
    assert places(r"(?<![\w.~)}\]-])/(?:home|Users|root|tmp|private/var|var/folders)/[\w.-]+") == []


def test_no_file_names_the_package_registry_that_this_machine_uses() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    values = listed + " ".join(value for name, value in os.environ.items() if "INDEX" in name.upper())
    hosts = {urlsplit(url).hostname for url in re.findall(r"https?://[^\s'\"]+", values)}
    for host in hosts - {None, "localhost", "127.0.0.1"}:
        assert places(re.escape(str(host))) == []


def test_no_file_is_large_or_binary() -> None:
    """Programs and texts only: what cannot be read cannot be reviewed."""
    assert [name for name, text in texts().items() if "\0" in text] == []
    assert [name for name, text in texts().items() if len(text) > 400_000] == []


def test_programs_are_executable() -> None:
    programs = [name for name, text in texts().items() if text.startswith("#!")]
    assert programs
    assert [name for name in programs if not os.access(ROOT / name, os.X_OK)] == []
