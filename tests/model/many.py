"""Many histories at once: what they broke, and the shortest program that shows it."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from model.generate import Generator
from model.play import Verdict, play
from model.tracking import Watch

from vegehub import VegeHub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from model.programs import Program, Step

AT_ONCE = 32
"""Histories that share a loop: most of their time they wait."""
_KEPT = 20
_ROUNDS = 20
"""In each round something is left out."""


@dataclass
class Summary:
    """What many histories came to."""

    histories: int = 0
    calls: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    """In how many histories each kind was seen."""
    failed: list[str] = field(default_factory=list)
    """Calls that raised, rightly or wrongly; the first of them."""
    first: dict[str, Verdict] = field(default_factory=dict)
    """The shortest history of each kind."""

    def add(self, verdict: Verdict) -> None:
        """Count a history."""
        self.histories += 1
        self.calls += verdict.calls
        self.failed += verdict.failed[: _KEPT - len(self.failed)]
        self.kinds.update(verdict.kinds)
        for kind in verdict.kinds:
            known = self.first.get(kind)
            if known is None or verdict.program.size < known.program.size:
                self.first[kind] = verdict

    def merge(self, other: Summary) -> None:
        """Add what another process found."""
        self.histories += other.histories
        self.calls += other.calls
        self.kinds.update(other.kinds)
        for kind, verdict in other.first.items():
            known = self.first.get(kind)
            if known is None or verdict.program.size < known.program.size:
                self.first[kind] = verdict


def program_of(seed: int, *, dying: bool = False) -> Program:
    """Return the program of a seed."""
    generator = Generator(seed)
    return generator.dying() if dying else generator.program()


async def play_all(
    programs: Iterable[Program], factory: Callable[..., VegeHub] = VegeHub, at_once: int = AT_ONCE
) -> Summary:
    """Play ``programs``, some at a time."""
    summary = Summary()
    source = iter(programs)

    async def work() -> None:
        for program in source:
            summary.add(await play(program, factory))

    with Watch() as watch:
        await asyncio.gather(*(work() for _ in range(at_once)))
        gc.collect()
        for _ in range(10):
            await asyncio.sleep(0)
    for complaint in watch.complaints:
        summary.kinds[f"the loop complains: {complaint:.160}"] += 1
    return summary


def run(programs: Iterable[Program], factory: Callable[..., VegeHub] = VegeHub, at_once: int = AT_ONCE) -> Summary:
    """Play ``programs`` in a loop of their own; what warns counts as broken."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        summary = asyncio.run(play_all(programs, factory, at_once))
        gc.collect()
    for warning in caught:
        if issubclass(warning.category, (ResourceWarning, RuntimeWarning)):
            summary.kinds[f"warning: {warning.message!s:.160}"] += 1
    return summary


# --- the shortest program that shows it


def shortest(program: Program, kind: str, factory: Callable[..., VegeHub] = VegeHub) -> Verdict | None:
    """Return the verdict on the shortest program found that breaks ``kind``; None if it does not show itself again."""

    # Some show themselves only now and then, since a network keeps no order: each gets a second chance.
    best = run([program, program], factory).first.get(kind)
    for _ in range(_ROUNDS):
        if best is None:
            return None
        shorter = run([candidate for candidate in _shorter(best.program) for _ in range(2)], factory).first.get(kind)
        if shorter is None:
            return best
        best = shorter
    return best


def _shorter(program: Program) -> Iterator[Program]:
    steps, dies = program.steps, program.dies
    if dies is None:
        for index in range(len(steps) if len(steps) > 1 else 0):
            yield replace(program, steps=(steps[index],))
            yield replace(program, steps=steps[index : index + 2])
            yield replace(program, steps=steps[:index] + steps[index + 1 :])
    elif dies[0]:
        yield replace(program, steps=steps[1:], dies=(dies[0] - 1, dies[1]))
    for index, step in enumerate(steps):
        for less in _less(step):
            yield replace(program, steps=(*steps[:index], less, *steps[index + 1 :]))
    for name, plain in (("owned", False), ("raise_for_status", False), ("knows_mac", True), ("knows_info", True)):
        if getattr(program, name) is not plain:
            yield replace(program, **{name: plain})


def _less(step: Step) -> Iterator[Step]:
    for number in range(len(step.faults)):
        yield replace(step, faults=step.faults[:number] + step.faults[number + 1 :])
    if len(step.calls) > 1:
        for number in range(len(step.calls)):
            yield replace(step, calls=step.calls[:number] + step.calls[number + 1 :])
    for number, call in enumerate(step.calls):
        simpler = [
            replace(call, cancels=call.cancels[:which] + call.cancels[which + 1 :])
            for which in range(len(call.cancels))
        ]
        simpler += [replace(call, confirm=False)] if call.confirm else []
        simpler += [replace(call, retries=0)] if call.retries else []
        simpler += [replace(call, block="")] if call.block else []
        for plain in simpler:
            yield replace(step, calls=(*step.calls[:number], plain, *step.calls[number + 1 :]))
    if step.move is not None:
        yield replace(step, move=None)


def report(summary: Summary, factory: Callable[..., VegeHub] = VegeHub, *, shrink: int = 3) -> str:
    """Say what was broken: how often, by which seed, and the shortest program that shows it, for ``shrink`` kinds."""
    kinds = list(summary.first.items())[:shrink]
    found = {kind: shortest(verdict.program, kind, factory) for kind, verdict in kinds}
    return in_words(summary, found)


def in_words(summary: Summary, found: dict[str, Verdict | None]) -> str:
    """Say what was broken; ``found`` has the shortest program of each kind for which one was looked for."""
    lines = [f"{summary.histories} histories, {summary.calls} calls: {sum(summary.kinds.values())} promises broken"]
    for kind, count in summary.kinds.most_common():
        lines.append(f"{count:6d}  {kind}")
    for kind, verdict in summary.first.items():
        short = found.get(kind)
        shown = short or verdict
        broken = next(broken for broken in shown.broken if broken.kind == kind)
        alone = "; alone it did not show itself again" if kind in found else ""
        again = "" if short else f" (the whole program{alone})"
        lines += ["", f"seed {shown.program.seed}: {kind}{again}"]
        lines += [f"    {line}" for line in shown.program.text.splitlines()]
        lines.append(f"    => {broken.text}")
    return "\n".join(lines)
