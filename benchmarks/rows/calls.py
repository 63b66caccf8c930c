"""Calls to one hub, one after the other."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.contest import AIOHTTP, ASYNCIO, OURS, PUBLISHED, contest
from benchmarks.intervals import of_ratio, percentile
from benchmarks.processes import Process
from benchmarks.results import Goal, Result

if TYPE_CHECKING:
    from benchmarks.contest import Bench


_STATUS_GOAL = Goal(0.95, 0.88, "more")
_SET_GOAL = Goal(0.93, 0.88, "more")


def status(bench: Bench) -> list[Result]:
    """Read the actuators with one session."""
    return _calls(bench, "status", _STATUS_GOAL)


def set_(bench: Bench) -> list[Result]:
    """Set an actuator with one session."""
    return _calls(bench, "set", _SET_GOAL)


def _calls(bench: Bench, call: str, goal: Goal) -> list[Result]:
    count = 200
    with Process("hub") as hub:
        address = hub.ask("open")[0]
        found = contest(
            bench.contestants(OURS, AIOHTTP, PUBLISHED, ASYNCIO),
            "calls",
            bench.rounds(48, 160),
            lambda contestant: {"client": contestant.client, "address": address, "call": call, "count": count},
            generations=bench.rounds(4, 10),
        )
    rate = {name: [count / a_round["wall"] for a_round in rounds] for name, rounds in found.items()}
    cpu = {name: [a_round["cpu"] / count * 1e6 for a_round in rounds] for name, rounds in found.items()}
    results = [
        Result(
            row=call,
            what=f"{call}: calls/s against {AIOHTTP}",
            interval=of_ratio(rate[OURS], rate[AIOHTTP]),
            unit="x",
            goal=goal,
            medians=_medians(rate),
            medians_unit="calls/s",
        ),
        Result(
            row=call,
            what=f"{call}: CPU per call against {AIOHTTP}",
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
        results.append(Result(row=call, what=f"{call}: {name} of a call", medians=times, medians_unit="µs"))
    return results


def sessions(bench: Bench) -> list[Result]:
    """Read the actuators with a session per call."""
    count = 50
    with Process("hub") as hub:
        address = hub.ask("open")[0]
        found = contest(
            bench.contestants(OURS, AIOHTTP, PUBLISHED),
            "sessions",
            bench.rounds(12, 60),
            lambda contestant: {
                "client": "aiohttp" if contestant.name == AIOHTTP else "vegehub_own",
                "address": address,
                "count": count,
            },
        )
    rate: dict[str, list[float]] = {
        name: [count / a_round["wall"] for a_round in rounds] for name, rounds in found.items()
    }
    return [
        Result(
            row="sessions",
            what=f"a session per call: calls/s against {AIOHTTP}",
            interval=of_ratio(rate[OURS], rate[AIOHTTP]),
            unit="x",
            medians=_medians(rate),
            medians_unit="calls/s",
        )
    ]


def _medians(values: dict[str, Any]) -> dict[str, float]:
    return {name: median(rounds) for name, rounds in values.items()}
