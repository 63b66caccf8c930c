"""Random programs of public calls, any fault at any request: what a call says agrees with what the hub did."""

from __future__ import annotations

import pytest
from model.generate import generate
from model.many import program_of, report, run

QUICK, LENGTH = 8, 50
SLOW = 16
# Looking for the shortest programs takes its time, where there is something to look for.
pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("first", range(0, QUICK * LENGTH, LENGTH))
def test_no_history_breaks_a_promise(first: int) -> None:
    summary = run(program_of(seed) for seed in range(first, first + LENGTH))
    assert not summary.kinds, report(summary)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10_000, 10_000 + SLOW * 250, 250))
def test_no_further_history_breaks_a_promise(first: int) -> None:
    summary = run(program_of(seed) for seed in range(first, first + 250))
    assert not summary.kinds, report(summary)


@pytest.mark.slow
def test_a_hub_that_dies_while_it_waters_is_told_of() -> None:
    # All at once: each waits for as long as OFF is insisted on.
    summary = run([program_of(seed, dying=True) for seed in range(60)], at_once=60)
    assert not summary.kinds, report(summary, shrink=0)


def test_a_seed_gives_the_same_program_and_the_same_faults() -> None:
    assert [generate(seed) for seed in range(50)] == [generate(seed) for seed in range(50)]
    assert len({generate(seed).text for seed in range(50)}) == 50
