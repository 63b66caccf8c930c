"""What scripts/mutate needs beside the tool: which modules, a quiet log, a table, and hangs that are told from failures."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TIMED_OUT = 36
"""What the tool takes the exit status of a test run for; 0 is survived, 5 and 33 are not reached by any test."""
STATUS = {0: "survived", 1: "killed", 3: "killed", 5: "untested", 33: "untested", TIMED_OUT: "timeout", None: "not run"}
COLUMNS = ("killed", "timeout", "survived", "untested", "other")


def modules() -> list[str]:
    """Return the modules that pyproject.toml lists, without their folder."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]
    return [Path(path).stem for path in settings["only_mutate"]]


def select(wanted: list[str]) -> str:
    """Return the wanted modules, all of them for none; ends the program at one that is not listed."""
    known = modules()
    for name in wanted:
        if name not in known:
            raise SystemExit(f"{name}: not a module of [tool.mutmut] in pyproject.toml, which has: {' '.join(known)}")
    return " ".join(wanted or known)


def progress() -> None:
    """Pass on what the tool says, but for its spinner: of its counts only each hundredth, and the last."""
    last = ""
    hundreds = 0
    for line in sys.stdin:
        if count := re.match(r"\W*(\d+)/\d+ ", line):
            last = line
            if int(count[1]) // 100 > hundreds:
                hundreds = int(count[1]) // 100
                print(line, end="")
        elif not re.match(r"\W*(Generating|Running|Listing|vegehub\.)|\s*$", line):
            print(line, end="")
    print(last, end="")


def result(wanted: list[str]) -> None:
    """Print the table of the modules and the names of what survived; run where the tool has run."""
    print(f"{'module':<12}{'mutants':>9}" + "".join(f"{column:>10}" for column in COLUMNS))
    alive: list[str] = []
    total: Counter[str] = Counter()
    for module in wanted:
        meta = json.loads(Path("mutants/vegehub", f"{module}.py.meta").read_text(encoding="utf-8"))
        statuses = {name: STATUS.get(code, "other") for name, code in meta["exit_code_by_key"].items()}
        counts = Counter(statuses.values())
        total += counts
        alive += [f"{status}: {name}" for name, status in statuses.items() if status not in ("killed", "timeout")]
        print(row(module, counts))
    print(row("all", total))
    print("\n".join(alive))


def row(name: str, counts: Counter[str]) -> str:
    """Return a line of the table."""
    return f"{name:<12}{sum(counts.values()):>9}" + "".join(f"{counts[column]:>10}" for column in COLUMNS)


class _Hangs:
    found = False


def pytest_runtest_logreport(report: Any) -> None:
    """Note a test that pytest-timeout has stopped; a hook of pytest."""
    if report.failed and "Timeout (>" in str(report.longrepr):
        _Hangs.found = True


def pytest_sessionfinish(session: Any) -> None:
    """Give the tool its own status for a hang, where pytest has one for all failures; a hook of pytest."""
    if _Hangs.found:
        session.exitstatus = TIMED_OUT


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["select", *wanted]:
            print(select(wanted))
        case ["progress"]:
            progress()
        case ["result", *wanted]:
            result(wanted)
        case _:
            raise SystemExit("usage: _mutate.py select [MODULE ...] | progress | result MODULE ...")
