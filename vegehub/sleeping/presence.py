"""Whether a hub is awake, asleep, or should have been heard from by now."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

from vegehub.exceptions import (
    VegeHubError,
    VegeHubValueError,
)
from vegehub.hub import check_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vegehub.wire import SlotLayout, Update

_LOGGER = logging.getLogger(__name__)

AWAKE_AFTER_UPDATE = 30.0
"""Seconds for which a hub is taken for awake after an update; how long it really is after one is not documented."""
AWAKE_AFTER_CALL = 300.0
"""Seconds for which a hub stays awake after it was asked something: its documented time of inactivity."""
STALE_AFTER = 2
"""Missed updates that make a hub stale."""
LONGEST_SILENCE = 86_400.0
"""Seconds of silence that make a hub stale while nobody knows how often it reports."""
_LONGEST_PERIOD = 30 * 86_400.0
_SLACK_SHARE = 0.1
_LEAST_SLACK = 30.0
_GAPS_KEPT = 8
_GAPS_NEEDED = 3
# A hub that catches up after an outage posts several updates one right after the other.
_SHORTEST_GAP = 5.0
_WALL_POWER = 1


class PresenceState(Enum):
    """What is known of a hub's presence."""

    UNKNOWN = "unknown"
    """Nothing was heard from it yet, and nothing is overdue."""
    AWAKE = "awake"
    """It was heard a moment ago, or it never sleeps: a call should reach it."""
    ASLEEP = "asleep"
    """It keeps to its schedule, but a call would not reach it now."""
    STALE = "stale"
    """It was expected and did not come: no power, no radio link, or a server address that is no longer ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceChange:
    """One change of a hub's presence."""

    name: str
    """The name that was given to ``Presence``."""
    before: PresenceState
    state: PresenceState
    at: datetime
    """When it was noticed, aware, UTC."""
    last_seen: datetime | None
    missed_updates: int


class Presence:
    """The presence of one hub; it does no I/O and runs no task, but is told what happened and asked to ``check``.

    ============  ==============================================  ======================================================
    from          what happens                                    to
    ============  ==============================================  ======================================================
    any           ``updated``, ``seen``                           AWAKE, if that was just now; else ASLEEP, or AWAKE for a
                                                                  hub that never sleeps
    AWAKE         the time after an update or a call is over      ASLEEP; a hub that never sleeps stays AWAKE
    AWAKE         ``unreachable``                                 ASLEEP; STALE for a hub that never sleeps
    AWAKE,        nothing was heard for ``stale_after`` expected  STALE
    ASLEEP,       updates, or, while the period is unknown, for
    UNKNOWN       ``LONGEST_SILENCE``
    ============  ==============================================  ======================================================

    A hub that answers calls but sends no updates is not stale; ``missed_updates`` shows what it owes.

    Silence is measured on the monotonic clock: while this machine slept, nobody could have heard the hub. The expected
    period is ``update_period`` in seconds, or that of the configuration (``configured``); while neither is known, it is
    taken from the gaps between updates, once there are three of them, so that neither an update in between nor one that
    failed to come misleads. ``sleeps`` is False for a hub on wall power. ``layout`` tells where updates carry the
    battery. ``monotonic`` and ``wall`` are the clocks: seconds, and an aware datetime.
    """

    def __init__(
        self,
        name: str = "",
        *,
        update_period: float | None = None,
        sleeps: bool = True,
        layout: SlotLayout | None = None,
        stale_after: int = STALE_AFTER,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if isinstance(stale_after, bool) or not isinstance(stale_after, int) or stale_after < 1:
            raise VegeHubValueError(f"stale_after must be a number of updates from 1, not {stale_after!r:.40}")
        self.name = name
        self.sleeps = sleeps
        self.layout = layout
        self.battery_volts: float | None = None
        """As of the last update that said it; None until then."""
        self.last_seen: datetime | None = None
        """When the hub was last heard, aware, UTC; None until then."""
        self._monotonic = monotonic
        self._wall = wall
        self._period = (
            None if update_period is None else check_seconds("update_period", update_period, 1, _LONGEST_PERIOD)
        )
        self._stale_after = stale_after
        self._gaps: deque[float] = deque(maxlen=_GAPS_KEPT)
        self._state = PresenceState.UNKNOWN
        self._begun = monotonic()
        self._heard: float | None = None
        self._updated: float | None = None
        self._failed: float | None = None
        self._awake_until = -math.inf
        self._callbacks: dict[object, Callable[[PresenceChange], object]] = {}

    @property
    def state(self) -> PresenceState:
        """The state as of the last event or ``check``."""
        return self._state

    @property
    def expected_period(self) -> float | None:
        """Seconds between two updates: as configured, else out of the gaps; None while unknown."""
        if self._period is not None:
            return self._period
        if len(self._gaps) < _GAPS_NEEDED:
            return None
        # Updates in between (triggers, "send now") make gaps short, a missed one makes one long: neither is taken.
        return sorted(self._gaps)[-(len(self._gaps) // 4 + 1)]

    @property
    def missed_updates(self) -> int:
        """How many updates should have come since the last one; 0 while the period is unknown."""
        return self._missed(self._monotonic(), self._updated)

    def subscribe(self, callback: Callable[[PresenceChange], object]) -> Callable[[], None]:
        """Call ``callback`` at each change of state; returns an unsubscribe that may be called twice."""
        token = object()  # the same callable may be subscribed twice
        self._callbacks[token] = callback

        def unsubscribe() -> None:
            self._callbacks.pop(token, None)

        return unsubscribe

    def configured(self, document: Mapping[str, object]) -> None:
        """Take ``update_period`` and ``power_mode`` out of a configuration, as far as it has them (``hub`` object)."""
        hub = document.get("hub")
        if not isinstance(hub, dict):
            return
        period = hub.get("update_period")
        if isinstance(period, (int, float)) and not isinstance(period, bool) and 1 <= period <= _LONGEST_PERIOD:
            self._period = period
        mode = hub.get("power_mode")
        if isinstance(mode, int):
            self.sleeps = mode != _WALL_POWER
        self.check()

    def seen(self, moment: datetime | None = None) -> None:
        """Take note that the hub answered a call or announced itself, at ``moment`` (aware), by default now."""
        self._hear(self._age(moment), AWAKE_AFTER_CALL)

    def updated(self, update: Update) -> None:
        """Take note of an update of this hub; one that a journal delivers late counts from when it was received."""
        volts = update.battery_volts if self.layout is None else update.battery(self.layout)
        if volts is not None:
            self.battery_volts = volts
        age = self._age(update.received_at)
        at = self._monotonic() - age
        if self._updated is None or at > self._updated:
            if self._updated is not None and at - self._updated >= _SHORTEST_GAP:
                self._gaps.append(at - self._updated)
            self._updated = at
        self._hear(age, AWAKE_AFTER_UPDATE)

    def unreachable(self, error: VegeHubError | None = None) -> None:
        """Take note that a call did not reach the hub; an ``error`` that says nothing about that changes nothing.

        Only a connection that could not be made tells that a hub sleeps: one that took the call and fell silent may be
        busy posting, and one that answers wrongly is there.
        """
        if error is not None and not error.unreachable:
            return
        self._failed = self._monotonic()
        self.check()

    def check(self, now: float | None = None) -> PresenceState:
        """Work out the state at ``now`` (monotonic clock), by default the present; tell the subscribers of a change."""
        state = self._evaluate(self._monotonic() if now is None else now)
        before = self._state
        if state is not before:
            self._state = state
            self._tell(before)
        return self._state

    def next_check(self, now: float | None = None) -> float | None:
        """Return in how many seconds the state may change by itself; None if it can not."""
        now = self._monotonic() if now is None else now
        if self._state is PresenceState.STALE:
            return None
        due = [self._overdue_at()]
        if self._state is PresenceState.AWAKE and self.sleeps:
            due.append(self._awake_until)
        return max(0.0, min(due) - now)

    def _age(self, moment: datetime | None) -> float:
        """Return how many seconds ago ``moment`` was; a moment in the future, by a clock that was set, is now."""
        return 0.0 if moment is None else max(0.0, (self._wall() - moment).total_seconds())

    def _hear(self, age: float, awake_for: float) -> None:
        at = self._monotonic() - age
        if self._heard is None or at >= self._heard:
            self._heard = at
            wall = self._wall()
            self.last_seen = datetime.fromtimestamp(wall.timestamp() - age, UTC)
        self._awake_until = max(self._awake_until, at + awake_for)
        if self._failed is not None and at >= self._failed:
            self._failed = None
        self.check()

    def _evaluate(self, now: float) -> PresenceState:
        if now >= self._overdue_at():
            return PresenceState.STALE
        if self._heard is None:
            return PresenceState.UNKNOWN
        if self._failed is not None:
            return PresenceState.ASLEEP if self.sleeps else PresenceState.STALE
        return PresenceState.ASLEEP if self.sleeps and now >= self._awake_until else PresenceState.AWAKE

    def _overdue_at(self) -> float:
        since = self._begun if self._heard is None else self._heard
        period = self.expected_period
        return since + (LONGEST_SILENCE if period is None else self._stale_after * period + _slack(period))

    def _missed(self, now: float, since: float | None) -> int:
        period = self.expected_period
        if period is None:
            return 0
        silence = now - (self._begun if since is None else since)
        return max(0, math.floor((silence - _slack(period)) / period))

    def _tell(self, before: PresenceState) -> None:
        change = PresenceChange(
            name=self.name,
            before=before,
            state=self._state,
            at=self._wall(),
            last_seen=self.last_seen,
            missed_updates=self.missed_updates,
        )
        notable = PresenceState.STALE in (before, self._state)
        # A battery hub wakes and falls asleep many times a day: only what needs attention is shown by default.
        level = logging.INFO if notable else logging.DEBUG
        if _LOGGER.isEnabledFor(level):
            _LOGGER.log(
                level,
                "%s: %s -> %s, last seen %s, %d updates missed",
                self.name or "hub",
                before.value,
                self._state.value,
                "never" if self.last_seen is None else f"{self.last_seen:%Y-%m-%d %H:%M:%S} UTC",
                change.missed_updates,
            )
        for callback in tuple(self._callbacks.values()):
            try:
                callback(change)
            except Exception:  # a subscriber may raise anything, and must not hurt another
                _LOGGER.exception("%s: a subscriber of the presence failed", self.name or "hub")


def _slack(period: float) -> float:
    """Return the seconds that an update may be late: radio links and servers take their time."""
    return max(_LEAST_SLACK, _SLACK_SHARE * period)
