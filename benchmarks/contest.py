"""Contestants in rotated rounds."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .processes import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

OURS, PUBLISHED, AIOHTTP, ASYNCIO = "this library", "published client", "minimal aiohttp", "minimal asyncio"
AGAIN = "minimal aiohttp, again"
"""The control: what it shows against minimal aiohttp is no difference, but what the measurement makes of none."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """Who is measured: the Python of its environment, and the client that its process uses."""

    name: str
    python: str
    client: str


@dataclass(frozen=True, slots=True)
class Bench:
    """A run: how long it may take, and where the Pythons are."""

    quick: bool
    python: str
    published: str | None
    """The Python of the environment with the published client; None if that cannot be had."""
    say: Callable[[str], None] = lambda _: None

    def contestants(self, *names: str) -> list[Contestant]:
        """Return those of the names that can be measured here."""
        pythons = {PUBLISHED: self.published}
        clients = {AIOHTTP: "aiohttp", AGAIN: "aiohttp", ASYNCIO: "asyncio"}
        return [
            Contestant(name, python, clients.get(name, "vegehub"))
            for name in names
            if (python := pythons.get(name, self.python)) is not None
        ]

    def rounds(self, quick: int, full: int) -> int:
        """Return the number of rounds of this run."""
        return quick if self.quick else full


def rotated(names: Sequence[str], number: int) -> list[str]:
    """Return the order of a round: each contestant is as often first, and has each other before it, as any."""
    start = number % len(names)
    order = [*names[start:], *names[:start]]
    return order[::-1] if number // len(names) % 2 else order


def contest(
    contestants: Sequence[Contestant],
    job: str,
    rounds: int,
    arguments: Callable[[Contestant], Mapping[str, Any]],
    *,
    generations: int = 3,
) -> dict[str, list[Any]]:
    """Have each contestant do a job once per round; return what came out, by name and round.

    Processes are started anew ``generations`` times: where the parts of a program lie in memory is good for a few per
    cent, and differs from process to process.
    """
    by_name = {contestant.name: contestant for contestant in contestants}
    found: dict[str, list[Any]] = {name: [] for name in by_name}
    generations = min(generations, rounds)
    for generation in range(generations):
        with ExitStack() as stack:
            workers = {
                name: stack.enter_context(Process("worker", contestant.python)) for name, contestant in by_name.items()
            }
            for number in range(generation, rounds, generations):
                for name in rotated(list(by_name), number // generations + generation):
                    found[name].append(workers[name].ask(job, **arguments(by_name[name])))
    return found
