"""The table as text and as JSON."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .results import summary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .results import Result

_WIDTHS = (72, 26, 17)


def machine() -> dict[str, str]:
    """Describe the machine without naming it."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"processor": processor, "cores": str(os.cpu_count()), "system": f"{platform.system()} {platform.release()}"}


def as_document(
    results: Sequence[Result],
    versions: Mapping[str, Mapping[str, str]],
    *,
    quick: bool,
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Return the whole run as JSON can carry it; ``seconds`` is what each row took."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "quick": quick,
        "seconds": {row: round(of_row, 1) for row, of_row in seconds.items()},
        "machine": machine(),
        "versions": {who: {k: v for k, v in of.items() if k != "vegehub_file"} for who, of in versions.items()},
        "summary": summary(results)[0],
        "results": [result.as_json() for result in results],
    }


def as_json(document: Mapping[str, Any]) -> str:
    """Write a run."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def heading() -> str:
    """Return the two lines above the table."""
    titles = ("what", "measured [95 % interval]", "goal / fails at")
    line = "  ".join(title.ljust(width) for title, width in zip(titles, _WIDTHS, strict=True)) + "  verdict"
    return f"{line}\n{'-' * len(line)}"


def lines(result: Result) -> str:
    """Return a result as one line, and the medians of the contestants below it."""
    cells = (result.what, measured(result), target(result))
    text = (
        "  ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)) + f"  {result.verdict.value}"
    )
    text = text.rstrip()
    if result.note:
        text += f"\n    {result.note}"
    if result.medians:
        text += f"\n    {medians(result)}"
    return text


def measured(result: Result) -> str:
    """Return the estimate and the ends of its interval, "" if there is none."""
    interval = result.interval
    if interval is None:
        return ""
    text = number(interval.estimate) + ("" if result.unit == "x" or not result.unit else f" {result.unit}")
    if interval.low != interval.high:
        text += f" [{number(interval.low)} {number(interval.high)}]"
    return text


def target(result: Result) -> str:
    """Return the goal and the line at which the row fails, "" if there is none."""
    goal = result.goal
    return "" if goal is None else f"{'>' if goal.better == 'more' else '<'}= {goal.value:g} / {goal.fails_at:g}"


def medians(result: Result) -> str:
    """Return the contestants with their medians."""
    unit = f" {result.medians_unit}" if result.medians_unit else ""
    return ", ".join(f"{name} {number(value)}{unit}" for name, value in result.medians.items())


def number(value: float) -> str:
    """Write a number with three digits that count, a count as it is."""
    if value == int(value) and abs(value) < 1e6:  # noqa: PLR2004 - from there on powers of ten read better
        return str(int(value))
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits
