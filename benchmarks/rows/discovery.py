"""Finding hubs by mDNS on the loopback interface."""

from __future__ import annotations

import os
import time
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.intervals import of_median
from benchmarks.processes import Process
from benchmarks.results import Goal, Result

if TYPE_CHECKING:
    from benchmarks.contest import Bench

_GOAL = Goal(0.3, 0.6)
_PAUSE = 1.2
"""Seconds: a responder does not repeat a record within one."""


def discovery(bench: Bench) -> list[Result]:
    """Time until the first and until all are found: 1 hub, 20 hubs."""
    results = []
    for count, rounds in ((1, 10), (20, bench.rounds(3, 10))):
        service_type = f"_vb{os.getpid() % 10**6}x{count}._tcp.local."
        found = []
        with Process("simulated") as hubs, Process("worker", bench.python) as worker:
            hubs.ask("announce", count=count, service_type=service_type)
            # What is loaded by the first one is no part of finding hubs.
            for number in range(rounds + 1):
                time.sleep(_PAUSE)
                once = worker.ask("discovery", service_type=service_type, expect=count)
                if number:
                    found.append(once)
        results.append(
            Result(
                row="discovery",
                what=f"discovery of {count} hub{'s' if count > 1 else ''}",
                interval=of_median([once["all"] for once in found]),
                unit="s",
                goal=_GOAL if count == 1 else None,
                medians={
                    "first": median(once["first"] for once in found),
                    "all": median(once["all"] for once in found),
                },
                medians_unit="s",
            )
        )
    return results
