"""The judged rows as a picture: where each lies between its goal and the line at which it fails."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .results import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .results import Goal, Result

_NO_METADATA: dict[str, str | None] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_COLOURS = {Verdict.MET: "tab:green", Verdict.MISSED: "tab:orange", Verdict.FAILED: "tab:red"}


def place(goal: Goal, value: float) -> float:
    """Return where a value lies: 0 at the goal, 1 at the line at which the row fails, below 0 if it is better."""
    return (value - goal.value) / (goal.fails_at - goal.value)


def draw(results: Sequence[Result], path: Path) -> None:
    """Write the picture; the suffix decides the format. Needs matplotlib, the extra ``bench``."""
    import matplotlib as mpl  # noqa: PLC0415 - heavy, and wanted only with --plot

    mpl.use("Agg")
    # Text stays text, and the same run gives the same file.
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "vegehub"}
    import matplotlib.pyplot as plt  # noqa: PLC0415 - only after the backend is chosen

    judged = [(result, goal, it) for result in results if (goal := result.goal) and (it := result.interval)][::-1]
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.32 * len(judged)), layout="constrained")
    axes.axvspan(1, 1.6, color="tab:red", alpha=0.12)
    axes.axvline(0, color="tab:green", linewidth=1)
    for height, (result, goal, interval) in enumerate(judged):
        spots = [max(-1.5, min(1.6, place(goal, end))) for end in (interval.estimate, interval.low, interval.high)]
        axes.plot(spots[1:], [height, height], color="black", linewidth=1)
        axes.plot(spots[0], height, "o", color=_COLOURS[result.verdict])
    axes.set_yticks(range(len(judged)), [result.what for result, _, _ in judged], fontsize=7)
    axes.set_xlim(-1.6, 1.6)
    axes.set_xticks([-1.5, 0, 1], ["far better", "goal", "fails"])
    axes.set_title("Judged rows with their 95 % intervals", fontsize=9)
    figure.savefig(path, metadata=_NO_METADATA if path.suffix == ".svg" else None)
    plt.close(figure)
    if path.suffix == ".svg":
        path.write_text(plain(path.read_text(encoding="utf-8")), encoding="utf-8")


def plain(svg: str) -> str:
    """Return a drawing that names no other host: no document type, and links within it as browsers read them today."""
    svg = re.sub(r"<!DOCTYPE[^>]*>\s*", "", svg)
    return re.sub(r' xmlns:xlink="[^"]*"', "", svg).replace("xlink:href", "href")
