"""Many hubs at once."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.contest import AIOHTTP, OURS, PUBLISHED, Contestant, contest
from benchmarks.intervals import of_median, of_ratio
from benchmarks.processes import Process
from benchmarks.results import Goal, Result

if TYPE_CHECKING:
    from benchmarks.contest import Bench

COUNTS = (10, 50, 200)
_MOST = max(COUNTS)
_POLLS = 3
_TIME_GOAL = Goal(1.1, 1.25)
_SLEEPERS_GOAL = Goal(1.2, 2)
_MEMORY_GOAL = Goal(10, 20)
_LATENCY = 0.1
_LIMIT = 5.0
_BESIDE = " beside sleepers"
_OWN, _MANAGER, _AIOHTTP_OWN = "a session per hub", "HubManager", "minimal aiohttp, a session per hub"


def _contestants(bench: Bench) -> list[Contestant]:
    return [
        *bench.contestants(OURS, AIOHTTP, PUBLISHED),
        Contestant(_OWN, bench.python, "vegehub_own"),
        Contestant(_MANAGER, bench.python, "manager"),
    ]


def fleet(bench: Bench) -> list[Result]:
    """Ask 10, 50 and 200 hubs at once, three times over: a shared session, one per hub, HubManager."""
    results = []
    with Process("hub") as hub:
        addresses = hub.ask("open", count=_MOST)
        for count in COUNTS:
            found = contest(
                _contestants(bench),
                "fleet",
                bench.rounds(16, 60),
                lambda contestant, count=count: {  # type: ignore[misc]  # mypy does not infer a lambda with a default
                    "client": contestant.client,
                    "addresses": addresses[:count],
                    "polls": _POLLS,
                    "asleep": [],
                },
                generations=bench.rounds(2 if count == _MOST else 1, 3),
            )
            times = _milliseconds(found)
            for name in (OURS, _OWN, _MANAGER):
                label = "a shared session" if name == OURS else name
                results.append(
                    Result(
                        row="fleet",
                        what=f"{count} hubs at once, {label}: time against {AIOHTTP}",
                        interval=of_ratio(times[name], times[AIOHTTP]),
                        unit="x",
                        goal=_TIME_GOAL if count == _MOST and name == OURS else None,
                        medians={name: median(rounds) for name, rounds in times.items()} if name == OURS else {},
                        medians_unit="ms",
                    )
                )
            results += _cost("fleet", f"{count} hubs at once", found)
    return results


def sleepers(bench: Bench) -> list[Result]:
    """Ask 10, 50 and 200 hubs with as many asleep beside them, met first: time until the healthy ones have answered.

    Each takes 0.1 s for its answer, as a small device does: with hubs that answer in no time the row would tell how
    many connections a second Python opens, and not whether sleepers keep the others waiting.
    """
    alone = [contestant for contestant in _contestants(bench) if contestant.name != _OWN]
    beside = [replace(contestant, name=contestant.name + _BESIDE) for contestant in alone]
    results = []
    with Process("hub") as hub:
        healthy = hub.ask("open", count=_MOST, latency=_LATENCY)
        asleep = hub.ask("asleep", count=_MOST)
        for count in COUNTS:

            def arguments(contestant: Contestant, count: int = count) -> dict[str, Any]:
                sleeping = asleep[:count] if contestant.name.endswith(_BESIDE) else []
                return {"client": contestant.client, "addresses": healthy[:count], "polls": 1, "asleep": sleeping}

            is_judged = count == _MOST
            rounds = bench.rounds(8, 30) if is_judged else bench.rounds(3, 12)
            found = contest([*alone, *beside], "fleet", rounds, arguments, generations=2 if is_judged else 1)
            results += _beside(count, [contestant.name for contestant in alone], found)
        with Process("worker", bench.python) as worker:
            blocked = worker.ask(
                "fleet", client="aiohttp_100", addresses=healthy, polls=1, asleep=asleep, limit=_LIMIT
            )["wall"]
    blocked_for = {"cut off after" if blocked >= _LIMIT else "with": blocked}
    what = f"the same, {AIOHTTP} with its default limit of 100"
    return [*results, Result(row="sleepers", what=what, medians=blocked_for, medians_unit="s")]


def _beside(count: int, names: list[str], found: dict[str, list[dict[str, float]]]) -> list[Result]:
    times = _milliseconds(found)
    label = f"{count} hubs beside {count} asleep"
    results = [
        Result(
            row="sleepers",
            what=f"{label}, {name}: time against without them",
            interval=of_ratio(times[name + _BESIDE], times[name]),
            unit="x",
            goal=_SLEEPERS_GOAL if count == _MOST and name in (OURS, _MANAGER) else None,
            medians={"with": median(times[name + _BESIDE]), "without": median(times[name])},
            medians_unit="ms",
        )
        for name in names
    ]
    return [*results, *_cost("sleepers", label, {name: found[name + _BESIDE] for name in names})]


def _milliseconds(found: dict[str, list[dict[str, float]]]) -> dict[str, list[float]]:
    return {name: [a_round["wall"] * 1e3 for a_round in rounds] for name, rounds in found.items()}


def _cost(row: str, label: str, found: dict[str, list[dict[str, float]]]) -> list[Result]:
    """Show what a poll cost each contestant beside its time."""
    results = []
    for key, what, factor, unit in (("cpu", "CPU", 1e3, "ms"), ("sockets", "open sockets", 1, "")):
        medians = {name: median(a_round[key] for a_round in rounds) * factor for name, rounds in found.items()}
        results.append(Result(row=row, what=f"{label}: {what}", medians=medians, medians_unit=unit))
    return results


def memory(bench: Bench) -> list[Result]:
    """Weigh what Python holds per hub after two polls, beyond what minimal aiohttp holds for the same connections."""
    contestants = [*_contestants(bench), Contestant(_AIOHTTP_OWN, bench.python, "aiohttp_own")]
    held: dict[int, dict[str, list[float]]] = {}
    with Process("hub") as hub:
        addresses = hub.ask("open", count=_MOST + 1)
        for count in COUNTS:
            # Allocations are counted, not sampled: three processes each are plenty, and one is nearly as good.
            processes = bench.rounds(1, 3) if count == _MOST else 1
            found = contest(
                contestants,
                "memory",
                processes,
                lambda contestant, count=count: {"client": contestant.client, "addresses": addresses[: count + 1]},  # type: ignore[misc]  # mypy does not infer a lambda with a default
                generations=processes,
            )
            held[count] = {name: [held / 1e3 for held in rounds] for name, rounds in found.items()}
    most = held[_MOST]
    return [
        *(
            Result(
                row="memory",
                what=f"memory per hub, {'a shared session' if name == OURS else name}: beyond {AIOHTTP} that does the same",
                interval=of_median([mine - its for mine, its in zip(most[name], most[base], strict=True)]),
                unit="kB",
                goal=_MEMORY_GOAL,
            )
            for name, base in ((OURS, AIOHTTP), (_OWN, _AIOHTTP_OWN), (_MANAGER, AIOHTTP))
        ),
        *(
            Result(
                row="memory",
                what=f"memory per hub, of {count}",
                medians={name: median(rounds) for name, rounds in of_count.items()},
                medians_unit="kB",
            )
            for count, of_count in held.items()
        ),
    ]
