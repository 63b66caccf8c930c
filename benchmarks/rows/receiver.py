"""Taking updates in, and doing so for long."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.intervals import Interval, of_median
from benchmarks.processes import Process
from benchmarks.results import Goal, Result

if TYPE_CHECKING:
    from benchmarks.contest import Bench

_HUBS = 20
_SOAK_SECONDS = 600.0
_SOAK_STEP = 5.0
_FIRST = 400
"""Updates of each hub before the soak: they fill the page cache of SQLite, 2 MB, which else takes ten minutes."""
_SETTLED = 0.25
"""Part of the soak after which caches are full and marks are remembered."""
_MEMORY_GOAL = Goal(1, 4)
_SOCKETS_GOAL = Goal(0, 2)


def receiver(bench: Bench) -> list[Result]:
    """Push from 20 hubs at once, each update with 9 slots: updates/s, CPU of the receiver, and what it holds after."""
    count = 20
    found: dict[str, list[dict[str, float]]] = {}
    for name in ("without a journal", "with a journal"):
        with TemporaryDirectory() as folder, Process("receiving") as taking, Process("posting") as hubs:
            url = taking.ask("open", journal=str(Path(folder, "journal.sqlite")) if name == "with a journal" else None)
            hubs.ask("push", url=url, hubs=_HUBS, count=5)
            rounds = found[name] = []
            for _ in range(bench.rounds(6, 20)):
                before = taking.ask("state")
                pushed = hubs.ask("push", url=url, hubs=_HUBS, count=count)
                after = taking.ask("state")
                updates = after["taken"] - before["taken"]
                rounds.append(
                    {
                        "rate": updates / pushed["wall"],
                        "cpu": (after["cpu"] - before["cpu"]) / updates * 1e6,
                        "rss": after["rss"] / 1e6,
                    }
                )
            taking.ask("close")
    return [
        Result(
            row="receiver",
            what=f"receiver: {what}, {name}",
            interval=of_median([a_round[key] for a_round in rounds]),
            unit=unit,
        )
        for key, what, unit in (
            ("rate", "updates taken", "/s"),
            ("cpu", "CPU per update", "µs"),
            ("rss", "memory", "MB"),
        )
        for name, rounds in found.items()
    ]


def soak(bench: Bench, seconds: float = _SOAK_SECONDS) -> list[Result]:
    """Poll 20 hubs each second over one session and take 20 updates a second into a journal, for 10 minutes."""
    states: list[dict[str, Any]] = []
    with (
        TemporaryDirectory() as folder,
        Process("hub") as hub,
        Process("receiving") as taking,
        Process("posting") as hubs,
    ):
        url = taking.ask("open", journal=str(Path(folder, "journal.sqlite")))
        hubs.ask("push", url=url, hubs=_HUBS, count=_FIRST)
        taking.ask("poll", addresses=hub.ask("open", count=_HUBS))
        hubs.begin("push", url=url, hubs=_HUBS, count=int(seconds), pace=1.0)
        begun = time.monotonic()
        while time.monotonic() - begun < seconds - _SOAK_STEP:
            time.sleep(_SOAK_STEP)
            states.append(taking.ask("state"))
            bench.say(f"soak: {time.monotonic() - begun:.0f} s, {states[-1]['rss'] / 1e6:.1f} MB")
        hubs.result()
    settled = states[int(len(states) * _SETTLED) :]
    third = max(1, len(settled) // 3)
    # Medians of the first and the last third: a single sample may fall into a checkpoint of the journal.
    grown = (median(s["rss"] for s in settled[-third:]) - median(s["rss"] for s in settled[:third])) / 1e6
    sockets = max(s["sockets"] for s in settled[-third:]) - max(s["sockets"] for s in settled[:third])
    done = {name: states[-1][name] for name in ("taken", "delivered", "polls")}
    return [
        Result(
            row="soak",
            what=f"soak of {seconds / 60:g} minutes: growth of memory",
            interval=Interval.exactly(grown),
            unit="MB",
            goal=_MEMORY_GOAL,
            medians={
                f"after {seconds * part / 60:.0f} minutes": settled[int((len(settled) - 1) * at)]["rss"] / 1e6
                for part, at in ((_SETTLED, 0.0), ((1 + _SETTLED) / 2, 0.5), (1.0, 1.0))
            },
            medians_unit="MB",
        ),
        Result(
            row="soak",
            what=f"soak of {seconds / 60:g} minutes: growth of sockets",
            interval=Interval.exactly(sockets),
            goal=_SOCKETS_GOAL,
            medians={"at the end": settled[-1]["sockets"], **done},
        ),
    ]
