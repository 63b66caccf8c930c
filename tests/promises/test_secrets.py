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
    "a password in a URL": r"\b[a-z][a-z0-9+.-]{1,10}://[^\s/:@\"'<>{}]+:[^\s/@\"'<>{}]+@[^\s\"'<>]+",
}
PLACES = {
    "a home or scratch folder": r"(?<![\w.~)}\]-])/(?:home|Users|root|tmp|private/var|var/folders)/[\w.-]+|\b[A-Z]:\\+Users\b",
    "a package registry": r"pypi[.]org|pythonhosted[.]|npmjs[.](?:com|org)|/[s]imple/[\w-]|dev[p]i\b|artifac[t]ory|nexu[s]/repository",
    "an option that names a registry": r"(?:--|_)(?:extra-)?(?:index|INDEX)[-_](?:url|URL)|-{2}find-links|PIP_(?:FIND_LINKS|INDEX)",
}
# Put together here, so that this file does not hold what it looks for.
EXAMPLES = {
    "a private key": ("-----BEGIN RSA", " PRIVATE KEY-----"),
    "a cloud key": ("AKIA", "IOSFODNN7EXAMPLE"),
    "a forge token": ("ghp", "_0123456789abcdefghijklmn"),
    "a chat token": ("xoxb", "-0123456789-abc"),
    "a package token": ("pypi", "-AgEIcHlwaS5vcmcCJDAwMDAw"),
    "a model provider's key": ("sk", "-0123456789abcdefghijkl"),
    "a signed token": ("eyJ0123456789abc", ".eyJ0123456789abc"),
    "a bearer token": ("Authorization: Bearer", " 0123456789abcdefghijkl"),
    "a password in a URL": ("mqtt://garden", ":hose@broker.example/"),
    "a home or scratch folder": ("see /ho", "me/gardener/vegehub"),
    "a package registry": ("https://py", "pi.org/project/aiohttp"),
    "an option that names a registry": ("pip install -", "-index-url x"),
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


@pytest.mark.parametrize("what", SECRETS | PLACES)
def test_no_file_holds(what: str) -> None:
    found = places((SECRETS | PLACES)[what])
    if what == "a password in a URL":
        # Tests of redaction write such URLs with invented, short words on purpose.
        found = [place for place in found if not place.startswith("tests/")]
    assert found == []


@pytest.mark.parametrize("what", SECRETS | PLACES)
def test_it_would_be_seen(what: str) -> None:
    assert re.search((SECRETS | PLACES)[what], f"before {''.join(EXAMPLES[what])} after")


def test_no_file_names_a_folder_of_this_machine() -> None:
    folders = {ROOT, ROOT.parent, Path.home()} - {Path(ROOT.anchor)}
    own = "|".join(re.escape(str(folder)) for folder in sorted(folders))
    assert places(rf"(?<![\w.~)}}-])(?:{own})(?![\w-])") == []


def registries() -> set[str]:
    """What pip is told of registries on this machine: hosts, and folders that stand in for one."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [line for line in listed.splitlines() if re.search(r"index|find-links", line)]
    lines += [value for name, value in os.environ.items() if "INDEX" in name.upper() or "FIND_LINKS" in name.upper()]
    urls = [urlsplit(word) for word in re.findall(r"[^\s'\"=]*/[^\s'\"]+", " ".join(lines))]
    return {url.hostname or url.path for url in urls} - {"localhost", "127.0.0.1", ""}


def test_no_file_names_the_package_registry_that_this_machine_uses() -> None:
    for registry in registries():
        assert places(rf"(?<![\w.]){re.escape(registry)}(?![\w-])") == []


def test_the_registry_of_the_environment_is_among_those_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_EXTRA_" + "INDEX_URL", "https://packages.example/simple")
    assert "packages.example" in registries()


def test_no_file_is_large_or_binary() -> None:
    """Programs and texts only: what cannot be read cannot be reviewed."""
    assert [name for name, text in texts().items() if "\0" in text] == []
    assert [name for name, text in texts().items() if len(text) > 400_000] == []


def test_programs_are_executable() -> None:
    programs = [name for name, text in texts().items() if text.startswith("#!")]
    assert programs
    assert [name for name in programs if not os.access(ROOT / name, os.X_OK)] == []
