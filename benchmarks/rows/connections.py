"""Connections that 100 calls open, by the way in which the hub sends its replies."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.contest import AIOHTTP, OURS, PUBLISHED
from benchmarks.intervals import Interval
from benchmarks.processes import Process
from benchmarks.results import Goal, Result

if TYPE_CHECKING:
    from benchmarks.contest import Bench, Contestant

CALLS = 100
_CALLS = ("status", "set")
_GOAL = Goal(1, 2)
_CASES: dict[str, dict[str, list[float]]] = {
    "body with the headers": {},
    "body 20 ms after the headers": {"split_body": [0.02]},
    "last chunk 20 ms late": {"chunked": [], "late_last_chunk": [0.02]},
    "closed silently after each answer": {"close_silently": []},
}


def connections(bench: Bench) -> list[Result]:
    """Count them where the hub counts them: 100 times status, and 100 times set, over one session."""
    with ExitStack() as stack:
        # Nothing is timed here: all at once, each with a hub of its own.
        pairs = [
            _Pair(
                call,
                contestant,
                stack.enter_context(Process("simulated")),
                stack.enter_context(Process("worker", contestant.python)),
            )
            for call in _CALLS
            for contestant in bench.contestants(OURS, AIOHTTP, PUBLISHED)
        ]
        return [result for case in _CASES for result in _case(case, pairs)]


@dataclass(frozen=True, slots=True)
class _Pair:
    call: str
    contestant: Contestant
    hub: Process
    worker: Process


def _case(case: str, pairs: list[_Pair]) -> list[Result]:
    opened: dict[str, dict[str, float]] = {call: {} for call in _CALLS}
    failed: dict[str, dict[str, float]] = {call: {} for call in _CALLS}
    for pair in pairs:
        pair.hub.begin("open", faults=_CASES[case])
    for pair in pairs:
        address = pair.hub.result()[0]
        pair.worker.begin("errors", client=pair.contestant.client, address=address, call=pair.call, count=CALLS)
    for pair in pairs:
        failed[pair.call][pair.contestant.name] = pair.worker.result()
        opened[pair.call][pair.contestant.name] = pair.hub.ask("accepted")
    goal = None if "close_silently" in _CASES[case] else _GOAL
    return [
        Result(
            row="connections",
            what=f"{what} {CALLS} times {call}, {case}",
            interval=Interval.exactly(counts[call][OURS]),
            goal=goal if counts is opened else None,
            medians=counts[call],
        )
        for call in _CALLS
        for what, counts in (("connections for", opened), ("failed of", failed))
    ]
