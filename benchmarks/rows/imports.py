"""What starting costs: CPU time of fresh processes, whose files the system has in memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.contest import OURS, PUBLISHED, rotated
from benchmarks.intervals import of_median, of_ratio
from benchmarks.processes import clean_environment
from benchmarks.results import Goal, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.contest import Bench

_OWN_GOAL = Goal(2, 5)
_HELPERS_GOAL = Goal(0.1, 0.2)
_HELP_GOAL = Goal(2, 3)
_TIMED = "import time; begun = time.process_time_ns(); {}; print(time.process_time_ns() - begun)"
_HELPERS = "from vegehub import vh400_transform, therm200_transform, update_data_to_ha_dict"


@dataclass(frozen=True, slots=True)
class _Import:
    name: str
    python: str
    code: str


def imports(bench: Bench) -> list[Result]:
    """Time ``import vegehub``, the helpers, and the client, against bare aiohttp and the published client."""
    wanted = [
        _Import("import vegehub", bench.python, "import vegehub"),
        _Import("helpers only", bench.python, _HELPERS),
        _Import("import VegeHub", bench.python, "from vegehub import VegeHub"),
        _Import("import aiohttp", bench.python, "import aiohttp"),
    ]
    if bench.published is not None:
        wanted.append(_Import(f"{PUBLISHED}: import vegehub", bench.published, "import vegehub"))
        wanted.append(_Import(f"{PUBLISHED}: import VegeHub", bench.published, "from vegehub import VegeHub"))
    found: dict[str, list[float]] = {each.name: [] for each in wanted}
    by_name = {each.name: each for each in wanted}
    for number in range(-1, bench.rounds(10, 60)):
        for name in rotated(list(found), number):
            nanoseconds = _timed_import(by_name[name])
            if number >= 0:  # the first round fills the caches
                found[name].append(nanoseconds / 1e6)
    return [
        Result(
            row="imports",
            what="import vegehub: own code",
            interval=of_median(found["import vegehub"]),
            unit="ms",
            goal=_OWN_GOAL,
            medians={name: median(rounds) for name, rounds in found.items()},
            medians_unit="ms",
        ),
        *(
            Result(
                row="imports",
                what=f"{name}: against importing aiohttp",
                interval=of_ratio(found[name], found["import aiohttp"]),
                unit="x",
                goal=goal,
            )
            for name, goal in (("helpers only", _HELPERS_GOAL), ("import VegeHub", None))
        ),
    ]


def _timed_import(wanted: _Import) -> int:
    run = subprocess.run(  # noqa: S603 - a Python of ours
        [wanted.python, "-I", "-c", _TIMED.format(wanted.code)],
        check=True,
        capture_output=True,
        text=True,
        env=clean_environment(),
    )
    return int(run.stdout)


def help_(bench: Bench) -> list[Result]:
    """Time ``vegehub --help`` against ``python -c "import aiohttp"``: the whole process."""
    what = 'vegehub --help against python -c "import aiohttp"'
    command = Path(bench.python).with_name("vegehub")
    if not command.exists():
        return [Result(row="help", what=what, goal=_HELP_GOAL, note="the command is not installed here")]
    commands = {OURS: [str(command), "--help"], "import aiohttp": [bench.python, "-I", "-c", "import aiohttp"]}
    found: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(-1, bench.rounds(8, 40)):
        for name in rotated(list(commands), number):
            milliseconds = _whole_process(commands[name])
            if number >= 0:
                found[name].append(milliseconds)
    return [
        Result(
            row="help",
            what=what,
            interval=of_ratio(found[OURS], found["import aiohttp"]),
            unit="x",
            goal=_HELP_GOAL,
            medians={name: median(rounds) for name, rounds in found.items()},
            medians_unit="ms",
        )
    ]


def _whole_process(command: Sequence[str]) -> float:
    """Return milliseconds of CPU of a process that must succeed; elapsed ones where the system does not count them."""
    begun = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603 - a Python of ours
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment()
    )
    if sys.platform == "win32":
        code, seconds = process.wait(), time.perf_counter() - begun
    else:
        _, status, usage = os.wait4(process.pid, 0)
        code = process.returncode = os.waitstatus_to_exitcode(status)
        seconds = usage.ru_utime + usage.ru_stime
    if code:
        raise RuntimeError(f"{command[0]} ended with {code}")
    return seconds * 1e3
