"""Payloads: nanoseconds of CPU. Nothing is waited for here, and CPU time is blind to who else uses the machine."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from benchmarks.contest import OURS, PUBLISHED, Contestant, contest
from benchmarks.intervals import of_ratio
from benchmarks.results import Goal, Result

if TYPE_CHECKING:
    from benchmarks.contest import Bench

SIZES = ((4, 1), (9, 1), (9, 100), (7, 10000))
_SECONDS = 0.02
_CONVERTER_GOAL = Goal(1.5, 1.2, "more")
# json.loads takes time in proportion to the samples: the same goal for 9x100 and for 7x10000 says that we do too.
_PARSE_GOALS = {(9, 1): Goal(2, 3), (9, 100): Goal(3, 6), (7, 10000): Goal(3, 6)}
_CURVE_GOAL = Goal(2, 1.5, "more")
_JSON = "json.loads"
_NO_PEER = "the published client cannot be had here: it needs Python 3.12"


def converters(bench: Bench) -> list[Result]:
    """Time the two established converters against those of the published client."""
    return [
        _against_published(bench, name, slots, samples, _CONVERTER_GOAL if name == "update_data_to_ha_dict" else None)
        for name in ("update_data_to_ha_dict", "update_data_to_latest_dict")
        for slots, samples in SIZES
    ]


def curves(bench: Bench) -> list[Result]:
    """Time the two curves, a value."""
    return [
        _against_published(bench, "vh400_transform", 0, 0, _CURVE_GOAL),
        _against_published(bench, "therm200_transform", 0, 0, None),
    ]


def updates(bench: Bench) -> list[Result]:
    """Time ``parse_update`` against ``json.loads`` of the same bytes."""
    whats = [_JSON, "parse_update", "parse_update and latest"]
    results = []
    for slots, samples in SIZES:
        # One process does all three, so that none has a luckier place in memory; contestants are what it does.
        found = _measured(bench, [Contestant(what, bench.python, what) for what in whats], slots, samples)
        medians = {what: median(found[what]) / 1e3 for what in whats}
        results += [
            Result(
                row="updates",
                what=f"{what}, {slots}x{samples}, against {_JSON}",
                interval=of_ratio(found[what], found[_JSON]),
                unit="x",
                goal=_PARSE_GOALS.get((slots, samples)) if what == "parse_update" else None,
                medians=medians if what == "parse_update" else {},
                medians_unit="µs",
            )
            for what in whats[1:]
        ]
    return results


def _measured(bench: Bench, contestants: list[Contestant], slots: int, samples: int) -> dict[str, list[float]]:
    return contest(
        contestants,
        "ns",
        bench.rounds(8, 40),
        lambda contestant: {
            "what": contestant.client,
            "slots": slots,
            "samples": samples,
            "seconds": _SECONDS if bench.quick else 2 * _SECONDS,
        },
        generations=bench.rounds(2, 10),
    )


def _against_published(bench: Bench, what: str, slots: int, samples: int, goal: Goal | None) -> Result:
    label = f"{what}{f', {slots}x{samples}' if slots else ''}: speed against {PUBLISHED}"
    if bench.published is None:
        return Result(row="converters" if slots else "curves", what=label, goal=goal, note=_NO_PEER)
    contestants = [Contestant(OURS, bench.python, what), Contestant(PUBLISHED, bench.published, what)]
    found = _measured(bench, contestants, slots, samples)
    return Result(
        row="converters" if slots else "curves",
        what=label,
        interval=of_ratio(found[PUBLISHED], found[OURS]),
        unit="x",
        goal=goal,
        medians={name: median(rounds) for name, rounds in found.items()},
        medians_unit="ns",
    )
