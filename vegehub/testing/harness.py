"""The numbered steps of an integration test: how they are run, how each can end, and what comes out in the end."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vegehub.exceptions import (
    VegeHubConnectionError,
    VegeHubError,
    VegeHubResponseError,
    VegeHubTimeoutError,
    VegeHubValueError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from .findings import Leak

_Bench = TypeVar("_Bench")

PASSED, FAILED, NOT_REACHED, INTERRUPTED = 0, 1, 3, 130
"""Exit codes of the harness; 2 is a wrong command line."""


INSIST_SECONDS = 30.0
"""How long a call that undoes something is repeated to a hub that does not take it."""
_PAUSE = 0.5


class Status(Enum):
    """How a step ended."""

    OK = "ok"
    FAILED = "FAILED"
    NOT_APPLICABLE = "not applicable"
    NOT_RUN = "not run"


class StepError(Exception):
    """What a step found wrong; the text is for the one who runs the test."""

    status = Status.FAILED


class NotApplicableError(Exception):
    """A step has nothing to test on this hub, or must not; the text is the reason."""

    status = Status.NOT_APPLICABLE


@dataclass(frozen=True, slots=True)
class Step(Generic[_Bench]):
    """One numbered step: ``run`` returns a detail worth showing, or raises."""

    title: str
    run: Callable[[_Bench], Awaitable[str]]
    reaches: bool = False
    """Whether this is the step that finds out if there is a hub at all."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """How one step ended."""

    number: int
    title: str
    status: Status
    detail: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class Report:
    """Everything a run found out."""

    target: str
    """Which hub, in words."""
    hub: dict[str, Any] = field(default_factory=dict)
    """What the hub said of itself; nothing secret."""
    results: list[StepResult] = field(default_factory=list)
    leaks: tuple[Leak, ...] = ()
    reached: bool = True
    interrupted: bool = False
    seconds: float = 0.0

    def count(self, status: Status) -> int:
        """Count the steps that ended in this way."""
        return sum(result.status is status for result in self.results)

    @property
    def exit_code(self) -> int:
        """0 only if every step that applies passed and nothing leaked."""
        if self.interrupted:
            return INTERRUPTED
        if not self.reached:
            return NOT_REACHED
        return FAILED if self.leaks or self.count(Status.FAILED) else PASSED


def check(holds: object, text: str) -> None:
    """Raise StepError with ``text`` unless ``holds``."""
    if not holds:
        raise StepError(text)


async def insist(call: Callable[[], Awaitable[object]], failure: str, seconds: float = INSIST_SECONDS) -> None:
    """Repeat a call to a hub until it succeeds; StepError, beginning with ``failure``, once the time is up."""
    give_up_at = time.monotonic() + seconds
    while True:
        try:
            await call()
        except VegeHubValueError:
            raise
        except VegeHubError as error:
            if time.monotonic() >= give_up_at:
                raise StepError(f"{failure}: {error}") from error
            await asyncio.sleep(_PAUSE)
        else:
            return


def _not_reached(error: BaseException) -> bool:
    """Say whether nothing answered that speaks HTTP."""
    if isinstance(error, VegeHubResponseError):
        return error.status is None
    return isinstance(error, (VegeHubConnectionError, VegeHubTimeoutError))


async def run_steps(
    bench: _Bench, steps: Sequence[Step[_Bench]], report: Report, show: Callable[[StepResult], object]
) -> None:
    """Run the steps in order into ``report``; once the hub is not reached or ``report.interrupted`` is set, no more."""
    for number, step in enumerate(steps, 1):
        begun = time.monotonic()
        status, detail = await _run(bench, step, report)
        result = StepResult(number, step.title, status, detail, time.monotonic() - begun)
        report.results.append(result)
        show(result)


async def _run(bench: _Bench, step: Step[_Bench], report: Report) -> tuple[Status, str]:
    if report.interrupted or not report.reached:
        return Status.NOT_RUN, "interrupted" if report.interrupted else "the hub was not reached"
    try:
        return Status.OK, await step.run(bench)
    except (NotApplicableError, StepError) as error:
        return error.status, str(error)
    except asyncio.CancelledError:
        # Only an interruption cancels a step; what it changed it has brought back by now.
        report.interrupted = True
        return Status.NOT_RUN, "interrupted"
    except Exception as error:  # noqa: BLE001 - whatever a step raises is a failure of this step, and the next ones run
        report.reached = not (step.reaches and _not_reached(error))
        return Status.FAILED, f"{type(error).__name__}: {error}"
