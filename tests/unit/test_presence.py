"""Presence: awake, asleep, stale or unknown, by what was heard and what was not, with one event per change."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from vegehub import (
    Outcome,
    SlotLayout,
    VegeHubConnectionError,
    VegeHubMismatchError,
    VegeHubResponseError,
    VegeHubTimeoutError,
    VegeHubValueError,
)
from vegehub.sleeping import LONGEST_SILENCE, Presence, PresenceChange, PresenceState
from vegehub.wire.models import Reading, Sample
from vegehub.wire.updates import Update

AWAKE, ASLEEP, STALE, UNKNOWN = PresenceState.AWAKE, PresenceState.ASLEEP, PresenceState.STALE, PresenceState.UNKNOWN
NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


class Bench:
    """A presence, its two clocks, and the changes it reported."""

    def __init__(self, **options: Any) -> None:
        self.seconds = 5000.0
        self.moment = NOON
        self.presence = Presence("shed", monotonic=lambda: self.seconds, wall=lambda: self.moment, **options)
        self.changes: list[PresenceChange] = []
        self.presence.subscribe(self.changes.append)

    def go_on(self, seconds: float) -> PresenceState:
        self.seconds += seconds
        self.moment += timedelta(seconds=seconds)
        return self.presence.check()

    def update(self, every: float = 0, **fields: Any) -> None:
        self.go_on(every)
        self.presence.updated(Update(mac="7C9EBD112233", **fields))

    @property
    def states(self) -> list[tuple[PresenceState, PresenceState]]:
        return [(change.before, change.state) for change in self.changes]


def unreached() -> VegeHubTimeoutError:
    """Return what a call raises that got no connection."""
    error = VegeHubTimeoutError("no connection", outcome=Outcome.NOT_SENT)
    error.unreachable = True
    return error


class TestStates:
    def test_hub_that_was_never_heard_is_unknown(self) -> None:
        bench = Bench(update_period=900)
        assert bench.presence.state is UNKNOWN
        bench.presence.unreachable(unreached())
        assert bench.go_on(1000) is UNKNOWN
        assert bench.presence.last_seen is None
        assert bench.changes == []

    def test_hub_that_is_never_heard_becomes_stale(self) -> None:
        bench = Bench(update_period=900)
        assert bench.go_on(3 * 900) is STALE
        assert bench.presence.missed_updates == 2

    def test_update_shows_it_awake_for_a_moment_then_asleep(self) -> None:
        bench = Bench(update_period=900)
        bench.update()
        assert bench.presence.state is AWAKE
        assert bench.presence.last_seen == NOON
        assert bench.go_on(29) is AWAKE
        assert bench.go_on(1) is ASLEEP
        assert bench.states == [(UNKNOWN, AWAKE), (AWAKE, ASLEEP)]

    def test_answered_call_shows_it_awake_for_its_time_of_inactivity(self) -> None:
        bench = Bench()
        bench.presence.seen()
        assert bench.go_on(299) is AWAKE
        assert bench.go_on(1) is ASLEEP

    def test_update_does_not_shorten_the_time_after_a_call(self) -> None:
        bench = Bench()
        bench.presence.seen()
        bench.update(every=10)
        assert bench.go_on(200) is AWAKE

    def test_hub_on_wall_power_stays_awake(self) -> None:
        bench = Bench(update_period=900, sleeps=False)
        bench.update()
        assert bench.go_on(1000) is AWAKE

    def test_two_missed_updates_make_it_stale_and_news_awake_again(self) -> None:
        bench = Bench(update_period=900)
        bench.update()
        assert bench.go_on(2 * 900) is ASLEEP
        assert bench.presence.missed_updates == 1
        assert bench.go_on(90) is STALE
        assert bench.presence.missed_updates == 2
        bench.update(every=900)
        assert bench.presence.state is AWAKE
        assert bench.presence.missed_updates == 0
        assert bench.states[-2:] == [(ASLEEP, STALE), (STALE, AWAKE)]

    def test_how_many_missed_updates_is_the_callers_choice(self) -> None:
        bench = Bench(update_period=100, stale_after=1)
        bench.update()
        assert bench.go_on(129) is ASLEEP
        assert bench.go_on(1) is STALE

    def test_without_a_period_a_day_of_silence_makes_it_stale(self) -> None:
        bench = Bench()
        bench.update()
        assert bench.go_on(LONGEST_SILENCE - 1) is ASLEEP
        assert bench.go_on(1) is STALE
        assert bench.presence.missed_updates == 0

    def test_hub_that_answers_calls_but_sends_no_updates_owes_them_but_is_not_stale(self) -> None:
        bench = Bench(update_period=900)
        bench.update()
        bench.go_on(2000)
        bench.presence.seen()
        assert bench.presence.state is AWAKE
        assert bench.presence.missed_updates == 2

    def test_unreachable_hub_is_asleep(self) -> None:
        bench = Bench(update_period=900)
        bench.presence.seen()
        bench.presence.unreachable(unreached())
        assert bench.presence.state is ASLEEP
        assert bench.go_on(10) is ASLEEP
        bench.presence.seen()
        assert bench.presence.state is AWAKE

    def test_unreachable_hub_on_wall_power_is_stale(self) -> None:
        bench = Bench(sleeps=False)
        bench.presence.seen()
        bench.presence.unreachable()
        assert bench.presence.state is STALE
        assert bench.go_on(10) is STALE

    @pytest.mark.parametrize(
        "error",
        [
            VegeHubTimeoutError("fell silent", outcome=Outcome.UNKNOWN),
            VegeHubConnectionError("reset", outcome=Outcome.UNKNOWN),
            VegeHubResponseError("500", outcome=Outcome.NOT_SENT, status=500),
            VegeHubMismatchError("another hub"),
        ],
    )
    def test_error_that_does_not_tell_absence_changes_nothing(self, error: Any) -> None:
        bench = Bench()
        bench.presence.seen()
        bench.presence.unreachable(error)
        assert bench.presence.state is AWAKE

    def test_time_in_which_this_machine_slept_is_no_silence(self) -> None:
        bench = Bench(update_period=900)
        bench.update()
        bench.moment += timedelta(days=2)  # the monotonic clock stood still
        assert bench.presence.check() is AWAKE


class TestLate:
    def test_update_that_a_journal_delivers_late_counts_from_when_it_was_received(self) -> None:
        bench = Bench(update_period=900)
        received = bench.moment
        bench.go_on(600)
        bench.update(received_at=received)
        assert bench.presence.state is ASLEEP
        assert bench.presence.last_seen == received
        assert bench.go_on(1289) is ASLEEP
        assert bench.go_on(1) is STALE

    def test_late_update_takes_nothing_back(self) -> None:
        bench = Bench(update_period=900)
        bench.presence.unreachable(unreached())
        bench.go_on(1000)
        bench.update(received_at=bench.moment)
        bench.presence.unreachable(unreached())
        bench.update(received_at=NOON)
        assert bench.presence.state is ASLEEP
        assert bench.presence.last_seen == NOON + timedelta(seconds=1000)
        assert bench.presence.missed_updates == 0

    def test_moment_of_another_zone_and_of_the_future(self) -> None:
        bench = Bench()
        bench.presence.seen(NOON.astimezone(timezone(timedelta(hours=2))) + timedelta(seconds=10))
        assert bench.presence.state is AWAKE
        assert bench.presence.last_seen == NOON


class TestPeriod:
    def test_is_taken_from_the_gaps_between_updates(self) -> None:
        bench = Bench()
        for _ in range(3):
            bench.update(every=600)
        assert bench.presence.expected_period is None
        bench.update(every=600)
        assert bench.presence.expected_period == 600

    @pytest.mark.parametrize("odd", [20, 1, 1300, 90_000])
    def test_update_in_between_or_missed_does_not_mislead(self, odd: float) -> None:
        bench = Bench()
        for every in (600, 600, 600, 600, odd, 600, 600):
            bench.update(every=every)
        assert bench.presence.expected_period == 600

    def test_updates_that_a_hub_sends_in_one_go_do_not_mislead(self) -> None:
        bench = Bench()
        for every in (600, 1, 1, 1) * 4:
            bench.update(every=every)
        assert bench.presence.expected_period == 600

    def test_follows_a_new_period(self) -> None:
        bench = Bench()
        for every in [60] * 10 + [3600] * 3:
            bench.update(every=every)
        assert bench.presence.expected_period == 3600

    def test_of_the_configuration_goes_before_the_gaps(self) -> None:
        bench = Bench()
        for _ in range(5):
            bench.update(every=60)
        bench.presence.configured({"hub": {"update_period": 900, "power_mode": 0}})
        assert bench.presence.expected_period == 900
        assert bench.presence.sleeps

    def test_power_mode_of_the_configuration_says_whether_it_sleeps(self) -> None:
        bench = Bench()
        bench.presence.seen()
        bench.go_on(400)
        bench.presence.configured({"hub": {"power_mode": 1}})
        assert not bench.presence.sleeps
        assert bench.presence.state is AWAKE

    @pytest.mark.parametrize(
        "document",
        [{}, {"hub": None}, {"hub": {}}, *({"hub": {"update_period": bad}} for bad in (0, -1, True, "900", 1e12))],
    )
    def test_configuration_without_a_usable_period_changes_nothing(self, document: Any) -> None:
        bench = Bench(update_period=700)
        bench.presence.configured(document)
        assert bench.presence.expected_period == 700
        assert bench.presence.sleeps


class TestBattery:
    def test_is_kept_from_the_last_update_that_said_it(self) -> None:
        bench = Bench()
        bench.update(battery_volts=9.2)
        bench.update(every=900)
        assert bench.presence.battery_volts == 9.2

    def test_is_found_in_the_batterys_slot(self) -> None:
        bench = Bench(layout=SlotLayout(4, 2, True))
        bench.update(readings={5: Reading(5, (Sample(9.1), Sample(9.0)))})
        assert bench.presence.battery_volts == 9.0


class TestEvents:
    def test_one_event_per_change(self) -> None:
        bench = Bench(update_period=900)
        for _ in range(3):
            bench.update(every=10)
            bench.presence.seen()
            bench.presence.check()
        assert bench.states == [(UNKNOWN, AWAKE)]
        change = bench.changes[0]
        assert (change.name, change.at, change.last_seen, change.missed_updates) == (
            "shed",
            NOON + timedelta(seconds=10),
            NOON + timedelta(seconds=10),
            0,
        )

    def test_unsubscribe_may_be_called_twice_and_ends_one_subscription(self) -> None:
        bench = Bench()
        unsubscribe = bench.presence.subscribe(bench.changes.append)
        unsubscribe()
        unsubscribe()
        bench.presence.seen()
        assert len(bench.changes) == 1

    def test_failing_subscriber_hurts_no_other(self, caplog: pytest.LogCaptureFixture) -> None:
        def fail(_: PresenceChange) -> None:
            raise RuntimeError("mine")

        bench = Bench()
        bench.presence.subscribe(fail)
        bench.presence.subscribe(bench.changes.append)
        bench.presence.seen()
        assert len(bench.changes) == 2
        assert "a subscriber of the presence failed" in caplog.text

    def test_only_what_needs_attention_is_logged_by_default(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "vegehub.sleeping.presence")
        bench = Bench(update_period=900)
        bench.update()
        bench.go_on(100)
        assert caplog.messages == []
        bench.go_on(2000)
        assert caplog.messages == ["shed: asleep -> stale, last seen 2025-06-01 12:00:00 UTC, 2 updates missed"]
        bench.update()
        assert len(caplog.messages) == 2

    def test_next_check_is_when_the_state_may_change_by_itself(self) -> None:
        bench = Bench(update_period=900)
        assert bench.presence.next_check() == 2 * 900 + 90
        bench.update()
        assert bench.presence.next_check() == 30
        assert bench.go_on(30) is ASLEEP
        assert bench.presence.next_check() == 2 * 900 + 90 - 30
        bench.go_on(2 * 900 + 60)
        assert bench.presence.state is STALE
        assert bench.presence.next_check() is None

    def test_check_at_a_given_moment(self) -> None:
        bench = Bench(update_period=900)
        bench.update()
        assert bench.presence.next_check(bench.seconds + 20) == 10
        assert bench.presence.check(bench.seconds + 30) is ASLEEP


@pytest.mark.parametrize(
    "options", [{"update_period": 0}, {"update_period": "900"}, {"stale_after": 0}, {"stale_after": True}]
)
def test_bad_options_are_refused(options: Any) -> None:
    with pytest.raises(VegeHubValueError):
        Presence(**options)


def test_clocks_are_those_of_the_machine_by_default() -> None:
    presence = Presence()
    presence.seen()
    assert presence.last_seen is not None
    assert abs(datetime.now(UTC) - presence.last_seen) < timedelta(minutes=1)
    assert presence.check() is AWAKE
