"""Measure this library beside its peers: ``scripts/bench``, which makes the environments, or ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from . import page, report
from .contest import OURS, PUBLISHED, Bench
from .plot import draw
from .processes import ROOT, JobFailedError, Process
from .results import Result, Verdict, summary
from .rows import LONG, ROWS

if TYPE_CHECKING:
    from collections.abc import Sequence


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure this library beside the published client, minimal aiohttp and minimal asyncio streams. "
        "Exit code 1 if a row fails.",
        epilog="Rows: " + "; ".join(f"{name}: {row.__doc__}" for name, row in ROWS.items()),
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="what to measure, by default everything")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and no soak: under 3 minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the run as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the judged rows (.svg, .png)")
    parser.add_argument(
        "--page",
        action="store_true",
        help="keep the run in the project: benchmarks/measured.json, docs/assets/performance.svg, docs/performance.md",
    )
    parser.add_argument("--published", metavar="PYTHON", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    if options.page:
        if options.rows:
            parser.error("--page is for a run of all rows")
        options.json, options.plot = options.json or page.RUN, options.plot or page.PLOT
    return options


def versions(bench: Bench) -> dict[str, dict[str, str]]:
    """Ask each environment what it holds; SystemExit if one does not hold what it should."""
    found = {}
    for name, python in ((OURS, bench.python), (PUBLISHED, bench.published)):
        if python is None:
            continue
        with Process("worker", python) as worker:
            found[name] = worker.ask("versions")
        if Path(found[name]["vegehub_file"]).is_relative_to(ROOT / "vegehub") is not (name == OURS):
            raise SystemExit(f"{name}: the environment of {python} holds another vegehub")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the rows, print the table, and return the exit code."""
    options = arguments(argv)
    say = _say if sys.stderr.isatty() else lambda _: None
    bench = Bench(quick=options.quick, python=sys.executable, published=options.published, say=say)
    about = versions(bench)
    for name, known in about.items():
        print(f"{name}: " + ", ".join(f"{k} {v}" for k, v in known.items() if v and k != "vegehub_file"))
    if bench.published is None:
        print(f"{PUBLISHED}: skipped, it needs Python 3.12 or newer and an environment: see scripts/bench")
    print(", ".join(f"{key} {value}" for key, value in report.machine().items()), end="\n\n")
    print(report.heading(), flush=True)
    results, seconds = _measured(bench, options.rows or [name for name in ROWS if not (bench.quick and name in LONG)])
    document = report.as_document(results, about, quick=bench.quick, seconds=seconds)
    if options.json:
        options.json.write_text(report.as_json(document), encoding="utf-8")
    if options.plot:
        draw(results, options.plot)
    if options.page:
        page.fill(page.PAGE, document)
    print(f"\n{sum(seconds.values()):.0f} s")
    for result in results:
        if result.verdict is Verdict.FAILED:
            print(f"failed: {result.what}")
    text, code = summary(results)
    print(text)
    return code


def _measured(bench: Bench, names: Sequence[str]) -> tuple[list[Result], dict[str, float]]:
    """Run the rows, print each as soon as it is there, and return the results and the seconds that each row took."""
    results: list[Result] = []
    seconds: dict[str, float] = {}
    for name in names:
        bench.say(name)
        begun = time.monotonic()
        try:
            found = ROWS[name](bench)
        except JobFailedError as err:
            # What cannot be measured must not look as if nobody had asked.
            found = [Result(row=name, what=name, note=f"could not be measured: {err}", broken=True)]
        seconds[name] = time.monotonic() - begun
        results += found
        for result in found:
            print(report.lines(result), flush=True)
    return results, seconds


def _say(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
