"""What the scripts need to know of pyproject.toml: a stamp for environments, and the lowest declared versions."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def project() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def stamp(*parts: str) -> str:
    """Hash what an environment is made from: declared dependencies, place, Python, and ``parts``.

    Settings of the tools are left out: changing a ruff rule is no reason to install everything anew.
    """
    declared = project()
    made_from = [declared["project"], declared["build-system"], str(ROOT), sys.version, sys.executable, parts]
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def lowest() -> list[str]:
    """Pin each runtime dependency to its lower bound: ``aiohttp>=3.13.3`` gives ``aiohttp==3.13.3``."""
    pins = []
    for requirement in project()["project"]["dependencies"]:
        match = re.fullmatch(r"([A-Za-z0-9_.-]+)\s*>=\s*([0-9][0-9A-Za-z.]*)", requirement)
        if match is None:
            raise SystemExit(f"pyproject.toml: {requirement!r} is not of the form name>=version")
        pins.append("==".join(match.groups()))
    return pins


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["stamp", *parts]:
            print(stamp(*parts))
        case ["lowest"]:
            print("\n".join(lowest()))
        case _:
            raise SystemExit("usage: _project.py stamp [PART ...] | lowest")
