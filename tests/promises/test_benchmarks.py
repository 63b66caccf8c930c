"""The bench measures what it says: intervals hold, a row can fail, and a run ends with its verdict."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from programs import ROOT, Programs

from benchmarks import __main__ as bench
from benchmarks import page, report
from benchmarks.contest import AGAIN, AIOHTTP, OURS, PUBLISHED, Bench, Contestant, contest, rotated
from benchmarks.intervals import Interval, of_median, of_ratio, percentile
from benchmarks.plot import place, plain
from benchmarks.processes import JobFailedError, Process
from benchmarks.results import Goal, Result, Verdict, summary
from benchmarks.rows import LONG, ROWS

if TYPE_CHECKING:
    from pathlib import Path

LESS = Goal(1.1, 1.25)
MORE = Goal(0.95, 0.88, "more")


class TestIntervals:
    def test_the_estimate_is_the_median_and_lies_inside(self) -> None:
        interval = of_median([3.0, 1.0, 2.0, 5.0, 4.0])
        assert interval.estimate == 3.0
        assert 1.0 <= interval.low <= 3.0 <= interval.high <= 5.0

    def test_rounds_without_noise_have_no_width(self) -> None:
        assert of_median([2.0] * 7) == Interval.exactly(2.0)

    def test_the_same_rounds_give_the_same_interval(self) -> None:
        values = [random.Random(1).gauss(1, 0.1) for _ in range(20)]
        assert of_median(values) == of_median(values)

    def test_more_rounds_narrow_it(self) -> None:
        draw = random.Random(2)
        few, many = (of_median([draw.gauss(1, 0.1) for _ in range(count)]) for count in (10, 200))
        assert many.high - many.low < few.high - few.low

    def test_it_holds_the_truth_about_95_times_in_100(self) -> None:
        draw = random.Random(3)
        held = 0
        for _ in range(100):
            interval = of_median([draw.gauss(1, 0.1) for _ in range(25)], seed=draw.randrange(1000))
            held += interval.low <= 1 <= interval.high
        assert 88 <= held <= 100

    def test_a_ratio_is_taken_within_its_round(self) -> None:
        # The machine is ten times slower in every second round, for both: the ratio does not see it.
        slow = [1.0, 10.0] * 10
        assert of_ratio([2 * value for value in slow], slow) == Interval.exactly(2.0)

    @pytest.mark.parametrize("values", [[], [math.nan], [1.0, math.inf]])
    def test_what_was_not_measured_has_none(self, values: list[float]) -> None:
        with pytest.raises(ValueError, match="rounds"):
            of_median(values)

    def test_a_ratio_needs_pairs(self) -> None:
        with pytest.raises(ValueError, match="both"):
            of_ratio([1.0, 2.0], [1.0])

    def test_percentiles_lie_between_two_values(self) -> None:
        assert [percentile([0.0, 10.0, 20.0], part) for part in (0.0, 0.25, 0.5, 1.0)] == [0.0, 5.0, 10.0, 20.0]


class TestVerdict:
    @pytest.mark.parametrize(
        ("goal", "interval", "verdict"),
        [
            (LESS, Interval(1.05, 1.0, 1.2), Verdict.MET),
            (LESS, Interval(1.1, 1.1, 1.25), Verdict.MET),
            (LESS, Interval(1.11, 1.0, 1.2), Verdict.MISSED),
            # The estimate is good, but the end of the interval that is far from the goal is beyond the line.
            (LESS, Interval(1.05, 1.0, 1.26), Verdict.FAILED),
            (MORE, Interval(0.96, 0.9, 1.0), Verdict.MET),
            (MORE, Interval(0.94, 0.88, 1.0), Verdict.MISSED),
            (MORE, Interval(0.96, 0.87, 1.0), Verdict.FAILED),
            (MORE, Interval.exactly(math.nan), Verdict.FAILED),
            (LESS, Interval.exactly(math.nan), Verdict.FAILED),
        ],
    )
    def test_follows_the_goal_and_the_far_end(self, goal: Goal, interval: Interval, verdict: Verdict) -> None:
        assert goal.judge(interval) is verdict
        assert Result(row="status", what="", interval=interval, goal=goal).verdict is verdict

    @pytest.mark.parametrize(("value", "fails_at", "better"), [(2, 1, "less"), (1, 2, "more"), (1, 1, "less")])
    def test_a_goal_beyond_its_line_is_refused(self, value: float, fails_at: float, better: str) -> None:
        with pytest.raises(ValueError, match="good side"):
            Goal(value, fails_at, better)

    def test_without_a_goal_there_is_none(self) -> None:
        assert Result(row="status", what="", interval=Interval.exactly(1)).verdict is Verdict.SHOWN

    def test_what_cannot_be_measured_here_is_skipped_and_what_broke_fails(self) -> None:
        assert Result(row="curves", what="", goal=LESS, note="no Python 3.12").verdict is Verdict.SKIPPED
        assert Result(row="curves", what="", note="it raised", broken=True).verdict is Verdict.FAILED

    def test_the_summary_counts_and_only_a_failure_is_an_error(self) -> None:
        met, missed, failed, shown = (
            Result(row="", what="", interval=Interval.exactly(value), goal=goal)
            for value, goal in ((1.0, LESS), (1.2, LESS), (1.3, LESS), (9.0, None))
        )
        assert summary([met, met, missed, shown]) == ("bench: 2 met, 1 missed", 0)
        assert summary([met, missed, failed]) == ("bench: 1 met, 2 missed", 1)

    def test_a_value_is_drawn_between_its_goal_and_its_line(self) -> None:
        assert [place(goal, value) for goal in (LESS, MORE) for value in (goal.value, goal.fails_at)] == [0, 1, 0, 1]
        assert place(MORE, 1.0) < 0 < 1 < place(MORE, 0.8)


class TestContest:
    def test_everybody_is_first_and_has_each_other_before_it_equally_often(self) -> None:
        names = ["a", "b", "c", "d"]
        orders = [rotated(names, number) for number in range(8)]
        assert all(sorted(order) == names for order in orders)
        assert Counter(order[0] for order in orders) == dict.fromkeys(names, 2)
        before = Counter((first, second) for order in orders for first, second in pairwise(order))
        assert before["a", "b"] == before["b", "a"]

    def test_the_published_client_is_left_out_where_it_cannot_be_had(self) -> None:
        def names(published: str | None) -> list[str]:
            run = Bench(quick=True, python="python", published=published)
            return [contestant.name for contestant in run.contestants(OURS, AIOHTTP, PUBLISHED)]

        assert names(None) == [OURS, AIOHTTP]
        assert names("other") == [OURS, AIOHTTP, PUBLISHED]

    def test_each_round_asks_each_contestant_once(self) -> None:
        whats = ["vh400_transform", "therm200_transform"]
        found = contest(
            [Contestant(what, bench.sys.executable, what) for what in whats],
            "ns",
            3,
            lambda contestant: {"what": contestant.client, "slots": 0, "samples": 0, "seconds": 0.001},
            generations=2,
        )
        assert {name: len(rounds) for name, rounds in found.items()} == dict.fromkeys(whats, 3)
        assert all(value > 0 for rounds in found.values() for value in rounds)

    @pytest.mark.skipif(
        sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2,
        reason="needs Linux and two processors",
    )
    def test_a_client_and_its_hub_stay_on_processors_of_their_own(self) -> None:
        with Process("worker") as client, Process("worker") as other, Process("hub") as hub:
            places = [os.sched_getaffinity(process.pid) for process in (client, other, hub)]
        assert [len(place) for place in places] == [1, 1, 1]
        assert places[0] == places[1] != places[2]

    def test_the_control_is_minimal_aiohttp_under_another_name(self) -> None:
        one, again = Bench(quick=True, python="python", published=None).contestants(AIOHTTP, AGAIN)
        assert (one.client, one.python) == (again.client, again.python)

    def test_what_a_contestant_raises_is_told(self) -> None:
        with Process("worker") as worker, pytest.raises(JobFailedError, match="no_such_curve"):
            worker.ask("ns", what="no_such_curve", slots=0, samples=0, seconds=0.001)


class TestRun:
    def run(self, monkeypatch: pytest.MonkeyPatch, *results: Result, arguments: tuple[str, ...] = ()) -> int:
        monkeypatch.setitem(ROWS, "status", lambda _: list(results))
        return bench.main(["--quick", "status", *arguments])

    def test_a_row_that_fails_is_named_and_makes_the_exit_code_1(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        failed = Result(row="status", what="too slow", interval=Interval(0.9, 0.8, 1.0), unit="x", goal=MORE)
        assert self.run(monkeypatch, failed) == 1
        lines = capsys.readouterr().out.splitlines()
        assert lines[-2:] == ["failed: too slow", "bench: 0 met, 1 missed"]
        assert "too slow 0.9 [0.8 1] >= 0.95 / 0.88 FAILED" in [" ".join(line.split()) for line in lines]

    def test_a_row_that_cannot_be_measured_fails(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def stumble(_: Bench) -> list[Result]:
            raise JobFailedError("OSError: no more sockets")

        monkeypatch.setitem(ROWS, "status", stumble)
        assert bench.main(["--quick", "status"]) == 1
        assert "no more sockets" in capsys.readouterr().out

    def test_the_run_can_be_read_by_a_program(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        file = tmp_path / "run.json"
        met = Result(row="status", what="calls", interval=Interval(1.0, 0.9, 1.1), goal=MORE, medians={OURS: 7.0})
        assert self.run(monkeypatch, met, arguments=("--json", str(file))) == 0
        run = json.loads(file.read_text(encoding="utf-8"))
        assert run["results"][0]["verdict"] == "met"
        assert run["results"][0]["interval"] == {"estimate": 1.0, "low": 0.9, "high": 1.1}
        assert run["versions"][OURS]["vegehub"]
        assert str(ROOT) not in file.read_text(encoding="utf-8")

    def test_an_unknown_row_is_refused_with_those_that_are_known(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            bench.main(["speed"])
        assert "there are status, set" in capsys.readouterr().err

    def test_a_quick_run_leaves_out_only_what_is_long(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        asked: list[str] = []
        for name in ROWS:
            monkeypatch.setitem(ROWS, name, lambda _, name=name: asked.append(name) or [])
        assert bench.main(["--quick"]) == 0
        assert set(ROWS) - set(asked) == LONG == {"soak", "bridge"}
        assert bench.main([]) == 0
        assert "soak" in asked
        assert capsys.readouterr().out.splitlines()[-1] == "bench: 0 met, 0 missed"

    def test_a_run_is_read_as_it_was_written(self) -> None:
        results = [
            Result(row="set", what="calls", interval=Interval(1.0, 0.9, 1.1), goal=MORE, medians={OURS: 7.0}),
            Result(row="set", what="p50", medians={OURS: 7.0, AIOHTTP: 6.0}, medians_unit="µs"),
            Result(row="help", what="help", note="not installed", goal=LESS),
            Result(row="soak", what="soak", note="it raised", broken=True),
        ]
        run = json.loads(report.as_json(report.as_document(results, {}, quick=True, seconds={"set": 1.26})))
        assert [Result.from_json(result) for result in run["results"]] == results
        assert run["seconds"] == {"set": 1.3}
        assert run["summary"] == "bench: 1 met, 1 missed"

    @pytest.mark.parametrize(
        ("value", "text"), [(0, "0"), (61, "61"), (0.9487, "0.949"), (12.34, "12.3"), (10057.3, "10057")]
    )
    def test_numbers_have_the_digits_that_count(self, value: float, text: str) -> None:
        assert report.number(value) == text

    @pytest.mark.slow
    async def test_a_quick_run_of_one_row_measures_and_judges(self, programs: Programs, tmp_path: Path) -> None:
        # Connections are counted: the verdicts do not depend on the machine.
        file = tmp_path / "run.json"
        run = await programs.run(
            bench.sys.executable, "-m", "benchmarks", "--quick", "--json", str(file), "connections", cwd=ROOT
        )
        assert (run.code, run.err) == (0, "")
        assert run.lines()[-1] == "bench: 6 met, 0 missed"
        by_name = {result["what"]: result for result in json.loads(file.read_text(encoding="utf-8"))["results"]}
        lost = by_name["failed of 100 times set, closed silently after each answer"]["medians"]
        assert lost[OURS] == 0 < lost[AIOHTTP]

    def test_only_a_run_of_all_rows_is_kept_in_the_project(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("RUN", "PLOT", "PAGE"):
            monkeypatch.setattr(page, name, tmp_path / name)
        with pytest.raises(SystemExit):
            self.run(monkeypatch, arguments=("--page",))
        assert "all rows" in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []

    def test_a_run_of_all_rows_is_kept_where_it_belongs(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ROWS:
            monkeypatch.setitem(ROWS, name, lambda _, name=name: [Result(row=name, what=name, medians={OURS: 1.0})])
        for name in ("RUN", "PAGE"):
            monkeypatch.setattr(page, name, tmp_path / name)
        page.PAGE.write_text(f"{page.BEGIN}\n{page.END}", encoding="utf-8")
        drawn: list[Path] = []
        monkeypatch.setattr(bench, "draw", lambda _, path: drawn.append(path))  # needs the extra bench
        assert bench.main(["--page"]) == 0
        kept = json.loads(page.RUN.read_text(encoding="utf-8"))
        assert [result["row"] for result in kept["results"]] == list(ROWS)
        assert page.PAGE.read_text(encoding="utf-8") == f"{page.BEGIN}\n{page.block(kept)}\n{page.END}"
        assert drawn == [page.PLOT]

    def test_the_script_is_one_that_the_shell_can_read(self) -> None:
        subprocess.run(["bash", "-n", str(ROOT / "scripts/bench")], check=True)


class TestPage:
    def document(self, *results: Result) -> dict[str, Any]:
        versions = {OURS: {"python": "3.13.0", "vegehub_file": "/somewhere"}}
        return report.as_document(list(results), versions, quick=False, seconds={"status": 100.0, "set": 80.0})

    def test_shows_what_was_judged_with_its_verdict_and_everything_with_its_medians(self) -> None:
        failed = Result(row="status", what="too slow", interval=Interval(0.9, 0.8, 1.0), unit="x", goal=MORE)
        shown = Result(row="status", what="p50", medians={OURS: 7.0}, medians_unit="µs")
        judged, _, everything = page.block(self.document(failed, shown)).partition("### Everything")
        assert "A full run" in judged
        assert "3 minutes" in judged
        assert "python 3.13.0" in judged
        assert "somewhere" not in judged
        assert "| too slow | 0.9 [0.8 1] | >= 0.95 / 0.88 | FAILED |" in judged.splitlines()
        assert "`bench: 0 met, 1 missed`" in judged.splitlines()
        assert "p50" not in judged
        assert "| p50 |  | this library 7 µs |" in everything.splitlines()

    def test_is_filled_in_between_its_marks_however_often(self, tmp_path: Path) -> None:
        file = tmp_path / "page.md"
        file.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n", encoding="utf-8")
        for value in (1.0, 2.0):
            run = self.document(Result(row="status", what="calls", interval=Interval.exactly(value)))
            page.fill(file, run)
            expected = f"before\n{page.BEGIN}\n{page.block(run)}\n{page.END}\nafter\n"
            assert file.read_text(encoding="utf-8") == expected

    def test_without_its_marks_is_left_as_it_is(self, tmp_path: Path) -> None:
        file = tmp_path / "page.md"
        file.write_text(page.BEGIN, encoding="utf-8")
        with pytest.raises(ValueError, match=r"page\.md"):
            page.fill(file, self.document())
        assert file.read_text(encoding="utf-8") == page.BEGIN

    def test_of_the_project_shows_the_run_that_is_kept(self) -> None:
        run = json.loads(page.RUN.read_text(encoding="utf-8"))
        text = page.PAGE.read_text(encoding="utf-8")
        kept = text.partition(page.BEGIN)[2].partition(page.END)[0]
        assert kept.strip() == page.block(run), "fill it in by: python -m benchmarks.page"
        assert set(run["seconds"]) <= set(ROWS)
        drawn = page.PLOT.read_text(encoding="utf-8")
        assert all(result["what"] in drawn for result in run["results"] if result["goal"] and result["interval"])

    def test_draws_nothing_that_names_another_host(self) -> None:
        svg = (
            '<?xml version="1.0"?>\n<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN"\n  "http://www.w3.org/svg11.dtd">\n'
            '<svg xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg">'
            '<use xlink:href="#m1"/></svg>'
        )
        assert plain(svg) == ('<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><use href="#m1"/></svg>')
