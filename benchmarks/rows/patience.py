"""How long a call to a hub that does not answer takes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmarks.contest import AIOHTTP, OURS, PUBLISHED
from benchmarks.intervals import Interval
from benchmarks.processes import Process
from benchmarks.results import Result

if TYPE_CHECKING:
    from benchmarks.contest import Bench

_CASES: dict[str, dict[str, list[float]]] = {
    "refused": {"refuse": []},
    "never answers": {"never_answer": []},
    "stalls after the headers": {"stall_body": []},
    "full backlog": {"full_backlog": []},
}


def patience(bench: Bench) -> list[Result]:
    """Wait for a call to give up, as each contestant is out of the box; our deadline is 10 s."""
    limit = 12.0 if bench.quick else 40.0
    results = []
    with ExitStack() as stack:
        begun = []
        # All cases at once: waiting costs nothing.
        for case, faults in _CASES.items():
            hub = stack.enter_context(Process("simulated"))
            address = hub.ask("open", faults=faults)[0]
            for contestant in bench.contestants(OURS, AIOHTTP, PUBLISHED):
                worker = stack.enter_context(Process("worker", contestant.python))
                worker.begin("giving_up", client=contestant.client, address=address, call="set", limit=limit)
                begun.append((case, contestant.name, worker))
        found = {(case, name): worker.result() for case, name, worker in begun}
    for case in _CASES:
        of_case = {name: found[case, name] for known, name, _ in begun if known == case}
        results.append(
            Result(
                row="patience",
                what=f"time until a call gives up, {case}",
                interval=Interval.exactly(of_case[OURS]["seconds"]),
                unit="s",
                medians={f"{name} ({it['how']})": it["seconds"] for name, it in of_case.items()},
                medians_unit="s",
            )
        )
    return results
