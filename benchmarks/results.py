"""What a row says: the quantity, how it was judged, and the verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from .intervals import Interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Verdict(Enum):
    """How a row came out."""

    MET = "met"
    """The estimate reaches the goal, and the whole interval stays on the good side of the line."""
    MISSED = "missed"
    """The goal was not reached, but the whole interval stays on the good side of the line."""
    FAILED = "FAILED"
    """The far end of the interval lies beyond the line."""
    SHOWN = ""
    """There is no goal."""
    SKIPPED = "skipped"
    """It was not measured; the note says why."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A value to be reached, and the line beyond which a row fails."""

    value: float
    fails_at: float
    better: Literal["less", "more"] = "less"

    def __post_init__(self) -> None:
        if self.value == self.fails_at or (self.value > self.fails_at) is not (self.better == "more"):
            raise ValueError("the goal must be on the good side of the line")

    def judge(self, interval: Interval) -> Verdict:
        """Judge by the end of the interval that is far from the goal; that far end may touch the line, not cross it."""
        sign = 1 if self.better == "less" else -1
        far = interval.high if self.better == "less" else interval.low
        # NaN compares false: what could not be measured fails.
        if not sign * far <= sign * self.fails_at:
            return Verdict.FAILED
        return Verdict.MET if sign * interval.estimate <= sign * self.value else Verdict.MISSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line of the table."""

    row: str
    what: str
    interval: Interval | None = None
    unit: str = ""
    """"x" for a ratio."""
    goal: Goal | None = None
    medians: dict[str, float] = field(default_factory=dict)
    """Contestant -> its median, in ``medians_unit``."""
    medians_unit: str = ""
    note: str = ""
    broken: bool = False
    """It could not be measured although it should have been: that fails."""

    @property
    def verdict(self) -> Verdict:
        """How it came out."""
        if self.broken:
            return Verdict.FAILED
        if self.interval is None:
            return Verdict.SKIPPED if self.note else Verdict.SHOWN
        return Verdict.SHOWN if self.goal is None else self.goal.judge(self.interval)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON can carry it."""
        return {**asdict(self), "verdict": self.verdict.value or "shown"}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Result:
        """Read what ``as_json`` gave; the verdict follows from the rest."""
        fields = {name: value for name, value in document.items() if name != "verdict"}
        if (interval := fields["interval"]) is not None:
            fields["interval"] = Interval(**interval)
        if (goal := fields["goal"]) is not None:
            fields["goal"] = Goal(**goal)
        return cls(**fields)


def summary(results: Sequence[Result]) -> tuple[str, int]:
    """Return the last line, and the exit code: 1 if a row failed."""
    verdicts = [result.verdict for result in results]
    failed = verdicts.count(Verdict.FAILED)
    met, missed = verdicts.count(Verdict.MET), verdicts.count(Verdict.MISSED) + failed
    return f"bench: {met} met, {missed} missed", 1 if failed else 0
