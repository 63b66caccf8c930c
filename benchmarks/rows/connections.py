"""Connections that 100 calls open, by the way in which the hub sends its replies."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmarks.contest import AIOHTTP, OURS, PUBLISHED
from benchmarks.intervals import Interval
from benchmarks.processes import Process
from benchmarks.results import Goal, Result

if TYPE_CHECKING:
    from benchmarks.contest import Bench

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
    return [result for case in _CASES for result in _case(bench, case)]


def _case(bench: Bench, case: str) -> list[Result]:
    opened: dict[str, dict[str, float]] = {call: {} for call in _CALLS}
    failed: dict[str, dict[str, float]] = {call: {} for call in _CALLS}
    with ExitStack() as stack:
        begun = []
        # Nothing is timed here: all at once, each with a hub of its own.
        for call in _CALLS:
            for contestant in bench.contestants(OURS, AIOHTTP, PUBLISHED):
                hub = stack.enter_context(Process("simulated"))
                worker = stack.enter_context(Process("worker", contestant.python))
                address = hub.ask("open", faults=_CASES[case])[0]
                worker.begin("errors", client=contestant.client, address=address, call=call, count=CALLS)
                begun.append((call, contestant.name, hub, worker))
        for call, name, hub, worker in begun:
            failed[call][name] = worker.result()
            opened[call][name] = hub.ask("accepted")
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
