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

_HUBS = 100
_COUNT = 10
"""Updates of each hub in a round."""
_JOURNAL_GOAL = Goal(0.4, 0.35, better="more")
_SOAK_HUBS = 20
_SOAK_SECONDS = 600.0
_SOAK_STEP = 5.0
_FIRST = 400
"""Updates of each hub before the soak: they fill the page cache of SQLite, 2 MB, which else takes ten minutes."""
_SETTLED = 0.25
"""Part of the soak after which caches are full and marks are remembered."""
_MEMORY_GOAL = Goal(1, 4)
_SOCKETS_GOAL = Goal(0, 2)


def receiver(bench: Bench) -> list[Result]:
    """Push from 100 hubs at once, each update with 9 slots: updates/s without and with a journal, and what they cost."""
    names = ("without a journal", "with a journal")
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with (
        TemporaryDirectory() as folder,
        Process("receiving") as plain,
        Process("receiving") as safe,
        Process("posting") as hubs,
    ):
        taking = dict(zip(names, (plain, safe), strict=True))
        urls = {
            names[0]: plain.ask("open", journal=None),
            names[1]: safe.ask("open", journal=str(Path(folder, "journal.sqlite"))),
        }
        for url in urls.values():
            hubs.ask("push", url=url, hubs=_HUBS, count=3)
        # One beside the other: what the machine does meanwhile is the same for both.
        for _ in range(bench.rounds(10, 30)):
            for name in names:
                rounds[name].append(_pushed(taking[name], hubs, urls[name]))
        for process in taking.values():
            process.ask("close")
    shares = [safe["rate"] / plain["rate"] for plain, safe in zip(*rounds.values(), strict=True)]
    shown = [
        Result(
            row="receiver",
            what=f"receiver: {what}, {name}",
            interval=of_median([a_round[key] for a_round in rounds[name]]),
            unit=unit,
        )
        for key, what, unit in (
            ("rate", "updates taken", "/s"),
            ("cpu", "CPU per update", "µs"),
            ("rss", "memory", "MB"),
        )
        for name in names
    ]
    share = Result(
        row="receiver",
        what="receiver: updates taken with a journal, as a part of those without",
        interval=of_median(shares),
        unit="x",
        goal=_JOURNAL_GOAL,
        medians={name: median(a_round["rate"] for a_round in rounds[name]) for name in names},
        medians_unit="/s",
    )
    return [share, *shown]


def _pushed(taking: Process, hubs: Process, url: str) -> dict[str, float]:
    before = taking.ask("state")
    pushed = hubs.ask("push", url=url, hubs=_HUBS, count=_COUNT)
    after = taking.ask("state")
    updates = after["taken"] - before["taken"]
    return {
        "rate": updates / pushed["wall"],
        "cpu": (after["cpu"] - before["cpu"]) / updates * 1e6,
        "rss": after["rss"] / 1e6,
    }


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
        hubs.ask("push", url=url, hubs=_SOAK_HUBS, count=_FIRST)
        taking.ask("poll", addresses=hub.ask("open", count=_SOAK_HUBS))
        hubs.begin("push", url=url, hubs=_SOAK_HUBS, count=int(seconds), pace=1.0)
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
