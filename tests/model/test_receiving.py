"""Random histories of a receiver with a journal: pushes, odd ones among them, kills, full disks, consumers that fail.

Every sample of an acknowledged push is delivered, none is lost for its time, and none comes twice but what "at least
once" allows: the same delivery, after a kill. The same seed gives the same program; only the moment of a kill differs.
`VEGEHUB_MODEL_SEED=17` carries out one history.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import pytest
from model.receiving_histories import Machine, a_hundred_hubs_at_once, check

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="forks and kills processes")

_ONE = os.environ.get("VEGEHUB_MODEL_SEED")
_IN_A_PART = 50


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(tmp_path_factory.mktemp("m"))
    yield machine
    machine.close()


async def _histories(machine: Machine, seeds: range) -> None:
    for seed in [int(_ONE)] if _ONE else seeds:
        await check(machine, seed)


# With a loop of their own: the leak guard's costs more than the histories, and what is tested are other processes.
@pytest.mark.parametrize("part", range(3))
def test_every_acknowledged_sample_is_delivered(machine: Machine, part: int) -> None:
    asyncio.run(_histories(machine, range(part * _IN_A_PART, (part + 1) * _IN_A_PART)))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(3, 33))
def test_every_acknowledged_sample_is_delivered_in_many_more_histories(machine: Machine, part: int) -> None:
    asyncio.run(_histories(machine, range(part * _IN_A_PART, (part + 1) * _IN_A_PART)))


def test_what_a_hundred_hubs_were_answered_at_once_survives_kills(machine: Machine) -> None:
    """Their updates share transactions, and each answer still comes after its own data is safe."""
    asyncio.run(a_hundred_hubs_at_once(machine, kills=2))
