"""What docs/performance.md shows of a run: ``scripts/bench --page`` fills it in, or this from a run that was kept.

usage: python -m benchmarks.page [RUN.json]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import report
from .processes import ROOT
from .results import Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RUN = ROOT / "benchmarks" / "measured.json"
PLOT = ROOT / "docs" / "assets" / "performance.svg"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def block(run: Mapping[str, Any]) -> str:
    """Return the part of the page that shows a run, as Markdown."""
    results = [Result.from_json(result) for result in run["results"]]
    kind = "A quick run: fewer rounds, and no soak" if run["quick"] else "A full run"
    versions = "; ".join(
        f"{who}: " + ", ".join(f"{name} {version}" for name, version in known.items() if version)
        for who, known in run["versions"].items()
    )
    machine = ", ".join(f"{key} {value}" for key, value in run["machine"].items())
    minutes = round(sum(run["seconds"].values()) / 60)
    return "\n".join(
        [
            f"{kind}, {run['date']}, {minutes} minutes. Machine: {machine}. Versions: {versions}.",
            "",
            "### What is judged",
            "",
            *_table(
                ("what", "measured [95 % interval]", "goal / fails at", "verdict"),
                [
                    (result.what, report.measured(result) or result.note, report.target(result), result.verdict.value)
                    for result in results
                    if result.goal is not None or result.broken
                ],
            ),
            "",
            f"`{run['summary']}`",
            "",
            "### Everything that was measured",
            "",
            *_table(
                ("what", "measured [95 % interval]", "medians"),
                [(result.what, report.measured(result) or result.note, report.medians(result)) for result in results],
            ),
        ]
    )


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [titles, ["---"] * len(titles), *rows]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines]


def fill(path: Path, run: Mapping[str, Any]) -> None:
    """Write a run into a page, between its two marks; ValueError, with the page as it was, if they are not there."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path.name} has not the two lines {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n{block(run)}\n{END}{after}", encoding="utf-8")


def main(argv: Sequence[str]) -> int:
    """Fill the page from a run in JSON, by default the one that is kept in the project."""
    run = json.loads(Path(argv[0] if argv else RUN).read_text(encoding="utf-8"))
    fill(PAGE, run)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
