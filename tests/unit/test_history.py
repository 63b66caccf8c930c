"""The past of a hub: bounded, in order, each sample once, and means that outlive the samples."""

from __future__ import annotations

import gc
import tracemalloc
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vegehub.exceptions import Outcome, VegeHubValueError
from vegehub.receiving import history as module
from vegehub.receiving.history import History, HistorySample, HourlyMean
from vegehub.wire.models import Reading, Sample
from vegehub.wire.updates import parse_update

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def text(seconds: float = 0) -> str:
    return (NOON + timedelta(seconds=seconds)).isoformat()


def reading(*samples: tuple[float, float], slot: int = 1) -> Reading:
    """Samples as (seconds after noon, value)."""
    return Reading(slot, tuple(Sample(value, text(seconds)) for seconds, value in samples))


def values(history: History, slot: int | None = 1, **arguments: Any) -> list[float]:
    return [sample.value for sample in history.query("hub", slot, **arguments)]


def test_samples_come_back_with_slot_value_and_time() -> None:
    history = History()
    assert history.add("hub", reading((0, 1.5), (60, 1.6))) == 2
    assert history.query("hub", 1) == (
        HistorySample(1, 1.5, NOON),
        HistorySample(1, 1.6, NOON + timedelta(seconds=60)),
    )


def test_an_update_a_reading_and_many_readings_are_taken() -> None:
    history = History()
    update = parse_update(
        {"mac": "7C9EBD112233", "sensors": [{"slot": 1, "samples": [{"v": 1.5, "t": "2025-06-01T12:00:00Z"}]}]}
    )
    assert history.add("hub", update, arrived=NOON) == 1
    assert history.add("hub", reading((60, 2.5), slot=2)) == 1
    assert history.add("hub", (reading((120, 3.5), slot=3), reading((120, 4.5), slot=4))) == 2
    assert history.add("hub", SimpleNamespace(readings={5: reading((180, 5.5), slot=5)})) == 1
    assert [(sample.slot, sample.value) for sample in history.query("hub")] == [
        (1, 1.5),
        (2, 2.5),
        (3, 3.5),
        (4, 4.5),
        (5, 5.5),
    ]


def test_samples_out_of_order_are_put_in_order() -> None:
    history = History()
    history.add("hub", reading((120, 3.0)))
    history.add("hub", reading((0, 1.0), (180, 4.0), (60, 2.0)))
    assert values(history) == [1.0, 2.0, 3.0, 4.0]


def test_a_repeat_counts_once_wherever_it_comes() -> None:
    history = History()
    history.add("hub", reading((0, 1.0), (60, 2.0), (120, 3.0)))
    assert history.add("hub", reading((120, 3.0), (0, 1.0), (60, 2.0))) == 0
    assert values(history) == [1.0, 2.0, 3.0]
    assert history.hourly("hub", 1) == (HourlyMean(NOON, 2.0, 3),)


def test_edges_within_one_second_are_all_kept_in_their_order() -> None:
    history = History()
    edges = reading((0, 1.0), (0, 0.0), (0, 1.0), (60, 5.0))
    assert history.add("hub", edges) == 4
    assert values(history) == [1.0, 0.0, 1.0, 5.0]
    assert history.add("hub", edges) == 0
    assert history.add("hub", reading((0, 2.0))) == 1
    assert values(history) == [1.0, 0.0, 1.0, 2.0, 5.0]
    assert history.hourly("hub", 1) == (HourlyMean(NOON, 9.0 / 5, 5),)


@pytest.mark.parametrize("time", [None, "soon", "1970-01-01T00:00:07Z", "2036-02-07T06:28:16Z"])
def test_every_sample_of_a_batch_without_usable_times_is_kept_in_its_order(time: str | None) -> None:
    history = History()
    batch = Reading(1, tuple(Sample(value, time) for value in (1.0, 3.0, 2.0, 2.0)))
    assert history.add("hub", batch, arrived=NOON) == 4
    assert history.add("hub", batch, arrived=NOON + timedelta(hours=1)) == 4
    assert [(sample.value, sample.taken_at) for sample in history.query("hub", 1)] == [
        (value, NOON + timedelta(hours=hours)) for hours in (0, 1) for value in (1.0, 3.0, 2.0, 2.0)
    ]
    assert [(mean.mean, mean.count) for mean in history.hourly("hub", 1)] == [(2.0, 4), (2.0, 4)]


def test_the_same_delivery_taken_in_twice_counts_once_without_usable_times_too() -> None:
    history = History()
    batch = Reading(1, (Sample(1.0), Sample(1.0), Sample(2.0)))
    assert history.add("hub", batch, arrived=NOON) == 3
    assert history.add("hub", batch, arrived=NOON) == 0


def test_of_a_batch_beyond_the_bound_the_newest_are_kept_without_usable_times_too() -> None:
    history = History(samples=3)
    assert history.add("hub", Reading(1, tuple(Sample(float(n)) for n in range(10))), arrived=NOON) == 10
    assert values(history) == [7.0, 8.0, 9.0]
    assert history.hourly("hub", 1) == (HourlyMean(NOON, 4.5, 10),)


def test_a_sample_without_a_usable_time_keeps_its_place_among_those_that_have_one() -> None:
    history = History()
    mixed = (Sample(1.0, text(-60)), Sample(2.0, "2036-02-07T06:28:16Z"), Sample(3.0, text(-30)), Sample(2.0))
    assert history.add("hub", Reading(1, mixed), arrived=NOON) == 4
    assert values(history) == [1.0, 3.0, 2.0, 2.0]


def test_the_same_time_in_another_slot_or_hub_is_no_repeat() -> None:
    history = History()
    history.add("hub", reading((0, 1.0)))
    assert history.add("hub", reading((0, 1.0), slot=2)) == 1
    assert history.add("other", reading((0, 1.0))) == 1


def test_only_the_newest_samples_are_kept_and_the_means_of_all() -> None:
    history = History(samples=3)
    history.add("hub", reading(*((60 * n, float(n)) for n in range(10))))
    assert values(history) == [7.0, 8.0, 9.0]
    assert history.hourly("hub", 1) == (HourlyMean(NOON, 4.5, 10),)


def test_a_sample_that_may_have_fallen_out_already_counts_no_second_time() -> None:
    history = History(samples=3)
    history.add("hub", reading(*((60 * n, float(n)) for n in range(10))))
    assert history.add("hub", reading((360, 6.0), (0, 0.0), (30, 5.0))) == 0
    assert history.add("hub", reading((390, 6.5))) == 1
    assert values(history) == [7.0, 8.0, 9.0]
    assert history.hourly("hub", 1)[0].count == 11


def test_hourly_means_are_in_order_and_start_on_the_hour() -> None:
    history = History()
    history.add("hub", reading((7200, 5.0), (10, 1.0), (3599, 2.0), (3600, 3.0), (7260, 7.0)))
    assert history.hourly("hub", 1) == (
        HourlyMean(NOON, 1.5, 2),
        HourlyMean(NOON + timedelta(hours=1), 3.0, 1),
        HourlyMean(NOON + timedelta(hours=2), 6.0, 2),
    )
    since = NOON + timedelta(hours=1)
    assert [mean.start for mean in history.hourly("hub", 1, since)] == [since, since + timedelta(hours=1)]
    assert len(history.hourly("hub", 1, since - timedelta(seconds=1))) == 3


def test_hours_beyond_the_bound_fall_out() -> None:
    history = History(hours=2)
    history.add("hub", reading((0, 1.0), (3600, 2.0), (7200, 3.0)))
    assert [mean.mean for mean in history.hourly("hub", 1)] == [2.0, 3.0]
    history.add("hub", reading((36000, 4.0)))
    assert [mean.mean for mean in history.hourly("hub", 1)] == [4.0]
    history.add("hub", reading((18000, 9.0)))
    assert [mean.mean for mean in history.hourly("hub", 1)] == [4.0]


def test_by_default_a_thousand_samples_and_ninety_days_are_kept() -> None:
    history = History()
    history.add(
        "hub", reading(*((1800 * n, float(n)) for n in range(2 * 24 * 100))), arrived=NOON + timedelta(days=100)
    )
    assert len(values(history)) == 1000
    assert len(history.hourly("hub", 1)) == 90 * 24


def test_a_query_can_begin_at_a_moment() -> None:
    history = History()
    history.add("hub", reading((0, 1.0), (60, 2.0), (120, 3.0)))
    assert values(history, since=NOON + timedelta(seconds=60)) == [2.0, 3.0]
    assert values(history, since=NOON + timedelta(seconds=61)) == [3.0]
    assert values(history, since=NOON + timedelta(days=1)) == []


@pytest.mark.parametrize(
    "time", [None, "nonsense", "1970-01-01T00:00:07Z", "2019-12-31 23:59:59", "2025-06-02T12:00:01Z", "2106-02-07"]
)
def test_a_sample_without_a_time_that_can_be_true_has_the_moment_at_which_it_came(time: str | None) -> None:
    history = History()
    history.add("hub", Reading(1, (Sample(1.5, time),)), arrived=NOON)
    assert history.query("hub", 1) == (HistorySample(1, 1.5, NOON),)


def test_a_clock_that_is_a_little_ahead_is_believed() -> None:
    history = History()
    history.add("hub", Reading(1, (Sample(1.5, "2025-06-02T12:00:00Z"),)), arrived=NOON)
    assert history.query("hub", 1)[0].taken_at == NOON + timedelta(days=1)


def test_without_a_moment_of_arrival_it_is_now() -> None:
    history = History()
    before = datetime.now(UTC)
    history.add("hub", Reading(1, (Sample(1.5),)))
    assert before <= history.query("hub", 1)[0].taken_at <= datetime.now(UTC)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_no_finite_number_is_left_out(value: float) -> None:
    history = History()
    assert history.add("hub", reading((0, value), (60, 1.0))) == 1
    assert values(history) == [1.0]


def test_clearing_forgets_one_hub_or_all() -> None:
    history = History()
    for id_of_hub in ("hub", "other", "third"):
        history.add(id_of_hub, reading((0, 1.0)))
    history.clear("hub")
    history.clear("nobody")
    assert [len(history.query(name)) for name in ("hub", "other", "third")] == [0, 1, 1]
    history.clear()
    assert [len(history.query(name)) for name in ("hub", "other", "third")] == [0, 0, 0]
    assert history.add("hub", reading((0, 1.0))) == 1


def test_what_is_not_known_is_empty() -> None:
    history = History()
    assert history.query("nobody") == ()
    assert history.hourly("nobody", 1) == ()
    history.add("hub", Reading(1))
    assert history.query("hub") == history.query("hub", 1) == ()


def test_a_forged_update_cannot_make_slots_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    history = History()
    history.add("hub", [reading((0, 1.0), slot=slot) for slot in range(1, 1000)])
    assert len(history.query("hub")) == module.MAX_SLOTS


@pytest.mark.parametrize("arguments", [{"samples": 0}, {"hours": 0}, {"samples": 1.5}, {"hours": True}])
def test_bad_bounds_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(VegeHubValueError, match="must be an int from 1") as caught:
        History(**arguments)
    assert caught.value.outcome is Outcome.NOT_SENT


def test_naive_moments_are_refused() -> None:
    naive = NOON.replace(tzinfo=None)
    with pytest.raises(VegeHubValueError, match="arrived"):
        History().add("hub", reading((0, 1.0)), arrived=naive)
    with pytest.raises(VegeHubValueError, match="since"):
        History().query("hub", since=naive)
    with pytest.raises(VegeHubValueError, match="since"):
        History().hourly("hub", 1, since=naive)


def test_a_full_slot_takes_little_memory() -> None:
    history = History()
    samples = tuple(Sample(1.0, text(1800 * n)) for n in range(2 * 24 * 90))
    gc.collect()
    tracemalloc.start()
    history.add("hub", Reading(1, samples), arrived=NOON + timedelta(days=90))
    gc.collect()  # what Python keeps for later tuples is not the history's
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # 16 bytes each for 1000 samples and 2160 hours, and what arrays keep in reserve
    assert size < 1.3 * 16 * (1000 + 2160)


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 40_000), st.floats(-9, 9)), max_size=12), max_size=12),
    st.integers(1, 12),
)
def test_any_order_of_samples_gives_the_newest_in_order_and_true_means(
    pushes: list[list[tuple[int, float]]], bound: int
) -> None:
    history = History(samples=bound)
    counted: list[tuple[int, float]] = []
    for push in pushes:
        before = Counter(counted)
        nths: Counter[tuple[int, float]] = Counter()
        for seconds, value in push:
            nths[seconds, value] += 1
            taken = history.add("hub", reading(*[(seconds, value)] * nths[seconds, value]), arrived=NOON)
            assert taken <= (nths[seconds, value] > before[seconds, value])
            counted += [(seconds, value)] * taken
    kept = history.query("hub", 1)
    assert len(kept) == min(len(counted), bound)
    times = [round((sample.taken_at - NOON).total_seconds()) for sample in kept]
    assert times == sorted(seconds for seconds, _ in counted)[-bound:]
    assert Counter(zip(times, (sample.value for sample in kept), strict=True)) <= Counter(counted)
    means = history.hourly("hub", 1)
    assert sum(mean.count for mean in means) == len(counted)
    assert [mean.start for mean in means] == sorted({mean.start for mean in means})
    total = sum(value for _, value in counted)
    assert sum(mean.mean * mean.count for mean in means) == pytest.approx(total, abs=1e-6)
