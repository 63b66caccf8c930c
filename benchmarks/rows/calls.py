"""Calls to one hub, one after the other."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.contest import AGAIN, AIOHTTP, ASYNCIO, OURS, PUBLISHED, Contestant, contest
from benchmarks.intervals import of_ratio, percentile
from benchmarks.processes import Process
from benchmarks.results import Goal, Result

if TYPE_CHECKING:
    from benchmarks.contest import Bench


_STATUS_GOAL = Goal(0.95, 0.88, "more")
_SET_GOAL = Goal(0.93, 0.88, "more")
_COUNT = 50
"""Calls of a round: 5 ms, so short that whatever else runs on the machine spoils few rounds."""
_OWN = {"vegehub": "vegehub_own"}
"""Client -> the same with a session that it opens itself; minimal aiohttp does so anyway."""


def status(bench: Bench) -> list[Result]:
    """Read the actuators with one session."""
    return _with_one_session(bench, "status", _STATUS_GOAL)


def set_(bench: Bench) -> list[Result]:
    """Set an actuator with one session."""
    return _with_one_session(bench, "set", _SET_GOAL)


def sessions(bench: Bench) -> list[Result]:
    """Read the actuators, and set one, with a session per call."""
    results = []
    for call in ("status", "set"):
        contestants = [
            replace(contestant, client=_OWN.get(contestant.client, contestant.client))
            for contestant in bench.contestants(OURS, AIOHTTP, PUBLISHED)
        ]
        found = _measured(contestants, "sessions", call, 50, rounds=bench.rounds(8, 60), generations=bench.rounds(2, 5))
        results += _results("sessions", f"a session per call, {call}", found, None)
    return results


def _with_one_session(bench: Bench, call: str, goal: Goal) -> list[Result]:
    contestants = bench.contestants(OURS, AIOHTTP, AGAIN, PUBLISHED, ASYNCIO)
    found = _measured(
        contestants, "calls", call, _COUNT, rounds=bench.rounds(100, 600), generations=bench.rounds(4, 12)
    )
    again = found.pop(AGAIN)
    control = Result(
        row=call,
        what=f"{call}: control, calls/s of {AIOHTTP} against itself",
        interval=of_ratio(_rate(again), _rate(found[AIOHTTP])),
        unit="x",
    )
    return [*_results(call, call, found, goal), control]


def _measured(
    contestants: list[Contestant], job: str, call: str, count: int, *, rounds: int, generations: int
) -> dict[str, list[dict[str, Any]]]:
    with Process("hub") as hub:
        address = hub.ask("open")[0]
        return contest(
            contestants,
            job,
            rounds,
            lambda contestant: {"client": contestant.client, "address": address, "call": call, "count": count},
            generations=generations,
        )


def _results(row: str, label: str, found: dict[str, list[dict[str, Any]]], goal: Goal | None) -> list[Result]:
    rate = {name: _rate(rounds) for name, rounds in found.items()}
    cpu = {name: [a_round["cpu"] / len(a_round["each"]) * 1e6 for a_round in rounds] for name, rounds in found.items()}
    results = [
        Result(
            row=row,
            what=f"{label}: calls/s against {AIOHTTP}",
            interval=of_ratio(rate[OURS], rate[AIOHTTP]),
            unit="x",
            goal=goal,
            medians=_medians(rate),
            medians_unit="calls/s",
        ),
        Result(
            row=row,
            what=f"{label}: CPU per call against {AIOHTTP}",
            interval=of_ratio(cpu[OURS], cpu[AIOHTTP]),
            unit="x",
            medians=_medians(cpu),
            medians_unit="µs",
        ),
    ]
    for part, name in ((0.5, "p50"), (0.99, "p99")):
        times = {
            who: percentile(sorted(each for a_round in rounds for each in a_round["each"]), part)
            for who, rounds in found.items()
        }
        results.append(Result(row=row, what=f"{label}: {name} of a call", medians=times, medians_unit="µs"))
    return results


def _rate(rounds: list[dict[str, Any]]) -> list[float]:
    return [len(a_round["each"]) / a_round["wall"] for a_round in rounds]


def _medians(values: dict[str, Any]) -> dict[str, float]:
    return {name: median(rounds) for name, rounds in values.items()}
