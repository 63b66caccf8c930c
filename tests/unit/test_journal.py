"""A journal keeps what it acknowledged, delivers it at least once and in order per hub, and refuses what it cannot keep."""
# ruff: noqa: ASYNC110, ASYNC240 - a test polls what has no event, and nothing else runs while it looks at a file

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from vegehub.exceptions import VegeHubError, VegeHubPayloadError, VegeHubValueError
from vegehub.receiving.history import History
from vegehub.receiving.journal import Journal, JournalEvent, VegeHubJournalError
from vegehub.wire.updates import Update, parse_update

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

A, B = "7C9EBD112233", "7C9EBD445566"
START = datetime(2025, 6, 1, 12, tzinfo=UTC)


class Clock:
    """Time that passes only when someone sleeps, and stands still at `end`."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.end = float("inf")
        self.stands_still = False

    def wall(self) -> float:
        return START.timestamp() + self.passed

    def monotonic(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        if self.passed + seconds > self.end:
            self.stands_still = True
            await asyncio.Event().wait()
        self.passed += seconds
        await asyncio.sleep(0)


def iso(minutes: float) -> str:
    return f"{START + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"


def push(volts: float, *, hub: str = A, time: str | None = iso(0), **fields: Any) -> bytes:
    sensors = [{"slot": 1, "samples": [{"v": volts, "t": time}]}]
    return json.dumps({"mac": hub, "sensors": sensors, **fields}).encode()


def volts(update: Update) -> list[float]:
    return [sample.value for reading in update.readings.values() for sample in reading.samples]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.002)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def opened(path: Path, clock: Clock, **options: Any) -> AsyncIterator[Journal]:
    async with Journal(path, wall_clock=clock.wall, monotonic=clock.monotonic, sleep=clock.sleep, **options) as journal:
        yield journal


@asynccontextmanager
async def delivering(journal: Journal, callback: Callable[[Update], object]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(journal.deliver(callback))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def delivered(journal: Journal, count: int) -> list[Update]:
    """Take what is there, which must be `count` updates."""
    taken: list[Update] = []
    async with delivering(journal, taken.append):
        await until(lambda: len(taken) >= count)
        while (await journal.counts()).pending:
            await asyncio.sleep(0.002)
    assert len(taken) == count
    return taken


# Delivery


async def test_updates_are_delivered_in_order_per_hub(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        for number in range(5):
            assert await journal.append(push(number, hub=A, time=iso(number)))
            assert await journal.append(push(number, hub=B, time=iso(number)))
        taken = await delivered(journal, 10)
    for hub in (A, B):
        assert [volts(update) for update in taken if update.mac == hub] == [[0], [1], [2], [3], [4]]


async def test_updates_wait_for_a_consumer_across_restarts(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        await journal.append(push(1, time=iso(1)))
    async with opened(path, clock) as journal:
        await journal.append(push(2, time=iso(2)))
        assert [volts(update) for update in await delivered(journal, 2)] == [[1], [2]]
    async with opened(path, clock) as journal:
        assert (await journal.counts()).pending == 0


async def test_a_delivered_update_is_what_came_in_with_its_reception_but_without_its_key(
    path: Path, clock: Clock
) -> None:
    body = push(1.5, api_key="SECRET", send_time="17", wifi_str=-27, voltage=9.5, error_code=1, later=[1], id="7")
    async with opened(path, clock) as journal:
        await journal.append(body)
        (update,) = await delivered(journal, 1)
    before = parse_update(body)
    assert update.readings == before.readings
    for name in (
        "mac",
        "hub_key",
        "channel_id",
        "send_time",
        "rssi",
        "battery_volts",
        "error_code",
        "extra",
        "problems",
    ):
        assert getattr(update, name) == getattr(before, name), name
    assert update.api_key == ""
    assert update.received_at == START
    assert update.delivery_id


async def test_a_hub_without_a_mac_keeps_its_identity(path: Path, clock: Clock) -> None:
    payload = {"key": "shed", "updates": [{"created_at": "2025-06-01 11:00:00", "field1": 1.0}]}
    async with opened(path, clock) as journal:
        await journal.append(payload)
        (update,) = await delivered(journal, 1)
    assert update.hub_key == parse_update(payload).hub_key != ""


async def test_an_update_that_comes_while_the_consumer_waits_is_delivered(path: Path, clock: Clock) -> None:
    taken: list[Update] = []
    async with opened(path, clock) as journal, delivering(journal, taken.append):
        await journal.append(push(1, time=iso(1)))
        await until(lambda: len(taken) == 1)
        await journal.append(push(2, time=iso(2)))
        await until(lambda: len(taken) == 2)


async def test_a_second_consumer_is_refused_while_there_is_one(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        async with delivering(journal, print):
            await asyncio.sleep(0)
            with pytest.raises(VegeHubValueError):
                await journal.deliver(print)
        await journal.append(push(1))
        assert len(await delivered(journal, 1)) == 1


async def test_a_consumer_may_be_async(path: Path, clock: Clock) -> None:
    taken: list[Update] = []

    async def consumer(update: Update) -> None:
        await asyncio.sleep(0)
        taken.append(update)

    async with opened(path, clock) as journal, delivering(journal, consumer):
        await journal.append(push(1))
        await until(lambda: len(taken) == 1)


async def test_a_failed_update_comes_again_with_the_same_id_before_the_next_of_its_hub(
    path: Path, clock: Clock
) -> None:
    calls: list[tuple[str, float]] = []
    ids: list[str] = []

    def consumer(update: Update) -> None:
        calls.append((update.mac, volts(update)[0]))
        ids.append(update.delivery_id)
        if calls.count((A, 1)) < 4 and update.mac == A:
            raise RuntimeError("not now")

    async with opened(path, clock) as journal:
        await journal.append(push(1, hub=A, time=iso(1)))
        await journal.append(push(2, hub=A, time=iso(2)))
        await journal.append(push(1, hub=B, time=iso(1)))
        async with delivering(journal, consumer):
            await until(lambda: (A, 2) in calls)
    assert [call for call in calls if call[0] == A] == [(A, 1)] * 4 + [(A, 2)]
    assert calls.index((B, 1)) == 1  # after the first failure, long before the last
    assert len({identity for call, identity in zip(calls, ids, strict=True) if call == (A, 1)}) == 1


async def test_the_pauses_between_failures_grow(path: Path, clock: Clock) -> None:
    moments: list[float] = []

    def consumer(update: Update) -> None:
        moments.append(clock.passed)
        if len(moments) < 6:
            raise RuntimeError

    async with opened(path, clock) as journal:
        await journal.append(push(1))
        async with delivering(journal, consumer):
            await until(lambda: len(moments) == 6)
    pauses = [later - earlier for earlier, later in pairwise(moments)]
    assert pauses == sorted(pauses)
    assert pauses[-1] > 10 * pauses[0] > 0


async def test_a_poison_update_is_parked_after_ten_failures_over_ten_minutes_and_the_next_goes_on(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    moments: list[float] = []
    taken: list[Update] = []
    events: list[JournalEvent] = []

    def consumer(update: Update) -> None:
        if volts(update) == [1]:
            moments.append(clock.passed)
            raise RuntimeError("SECRET")
        taken.append(update)

    async with opened(path, clock) as journal:
        journal.on_event(events.append)
        await journal.append(push(1, time=iso(1)))
        await journal.append(push(2, time=iso(2)))
        async with delivering(journal, consumer):
            await until(lambda: len(taken) == 1)
        assert len(moments) == 10
        assert 600 <= moments[-1] - moments[0] < 660
        (entry,) = await journal.parked()
        assert (volts(entry.update), entry.failures, entry.error) == ([1], 10, "RuntimeError")
        assert entry.parked_at is not None
        assert [(event.kind, event.hub_key, event.delivery_id) for event in events] == [
            ("parked", A, entry.update.delivery_id)
        ]
        assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1
        assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
        counts = await journal.counts()
        assert (counts.pending, counts.parked) == (0, 1)


async def test_failures_are_counted_across_restarts(path: Path, clock: Clock) -> None:
    calls = 0

    def consumer(update: Update) -> None:
        nonlocal calls
        calls += 1
        raise RuntimeError

    clock.end = 400
    async with opened(path, clock) as journal:
        await journal.append(push(1))
        async with delivering(journal, consumer):
            await until(lambda: clock.stands_still)
    assert calls == 9
    clock.end = float("inf")
    async with opened(path, clock) as journal, delivering(journal, consumer):
        while not (await journal.counts()).parked:
            await asyncio.sleep(0.002)
    # The time in which nothing ran does not count, so that the tenth failure is too early.
    assert calls == 11


async def test_a_parked_update_is_kept_across_restarts_and_delivered_when_asked_to(path: Path, clock: Clock) -> None:
    def fail(update: Update) -> None:
        raise RuntimeError

    async with opened(path, clock) as journal:
        for number in (1, 2):
            await journal.append(push(number, time=iso(number)))
        async with delivering(journal, fail):
            while (await journal.counts()).parked < 2:
                await asyncio.sleep(0.002)
    async with opened(path, clock) as journal:
        first, second = await journal.parked()
        assert await journal.retry_parked("unknown") == 0
        assert await journal.retry_parked(second.update.delivery_id) == 1
        assert [volts(update) for update in await delivered(journal, 1)] == [[2]]
        taken: list[Update] = []
        async with delivering(journal, taken.append):
            await asyncio.sleep(0.02)
            assert await journal.retry_parked() == 1
            await until(lambda: len(taken) == 1)
        assert taken[0].delivery_id == first.update.delivery_id


async def test_a_consumer_whose_own_work_was_cancelled_has_failed(path: Path, clock: Clock) -> None:
    calls = 0

    async def consumer(update: Update) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise asyncio.CancelledError

    async with opened(path, clock) as journal, delivering(journal, consumer):
        await journal.append(push(1))
        await until(lambda: calls == 2)


async def test_cancelling_the_delivery_loses_nothing(path: Path, clock: Clock) -> None:
    started = asyncio.Event()

    async def consumer(update: Update) -> None:
        started.set()
        await asyncio.Event().wait()

    async with opened(path, clock) as journal:
        await journal.append(push(1))
        async with delivering(journal, consumer) as task:
            await started.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        assert len(await delivered(journal, 1)) == 1


async def test_an_update_that_was_taken_is_noted_even_if_the_delivery_is_cancelled_then(
    path: Path, clock: Clock
) -> None:
    async with opened(path, clock) as journal:
        await journal.append(push(1))
        task = asyncio.create_task(journal.deliver(lambda _update: task.cancel()))
        await asyncio.wait([task])
        assert (await journal.counts()).pending == 0


async def test_closing_waits_for_the_consumers_call_and_ends_the_delivery(path: Path, clock: Clock) -> None:
    started, may_end = asyncio.Event(), asyncio.Event()

    async def consumer(update: Update) -> None:
        started.set()
        await may_end.wait()

    async with opened(path, clock) as journal:
        await journal.append(push(1))
        async with delivering(journal, consumer) as task:
            await started.wait()
            closing_task = asyncio.create_task(journal.close())
            await asyncio.sleep(0.02)
            assert not closing_task.done()
            may_end.set()
            await asyncio.gather(closing_task, journal.close(), task)
    async with opened(path, clock) as journal:
        assert (await journal.counts()).pending == 0


async def test_a_consumer_cannot_close_its_journal(path: Path, clock: Clock) -> None:
    errors: list[VegeHubError] = []

    async def consumer(update: Update) -> None:
        try:
            await journal.close()
        except VegeHubValueError as err:
            errors.append(err)

    async with opened(path, clock) as journal:
        await journal.append(push(1))
        async with delivering(journal, consumer):
            await until(lambda: len(errors) == 1)


async def test_a_closed_journal_says_so(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        pass
    assert journal.closed
    assert repr(journal) == f"<Journal {path} closed>"
    with pytest.raises(VegeHubJournalError, match="closed"):
        await journal.append(push(1))
    await journal.deliver(print)  # returns at once
    await journal.close()


async def test_a_journal_that_was_never_used_can_be_closed(path: Path) -> None:
    await Journal(path).close()
    assert not path.exists()


async def test_what_is_no_update_is_not_kept(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        with pytest.raises(VegeHubPayloadError):
            await journal.append(b"{}")
        assert (await journal.counts()).pending == 0


async def test_an_append_that_is_cancelled_in_the_middle_leaves_a_whole_update_or_none(
    path: Path, clock: Clock
) -> None:
    taken: list[Update] = []
    async with opened(path, clock) as journal, delivering(journal, taken.append):
        for number in range(20):
            task = asyncio.create_task(journal.append(push(number, time=iso(number))))
            await asyncio.sleep(0.0002 * number)
            task.cancel()
            await asyncio.wait([task])
        for number in range(20):  # a hub that got no answer sends again
            await journal.append(push(number, time=iso(number)))
        await until(lambda: len(taken) >= 20)
    assert sorted(volts(update)[0] for update in taken) == list(range(20))


async def test_an_append_whose_caller_was_cancelled_is_delivered(path: Path, clock: Clock) -> None:
    taken: list[Update] = []
    async with opened(path, clock) as journal, delivering(journal, taken.append):
        await journal.counts()  # the consumer has looked, and waits
        task = asyncio.create_task(journal.append(push(1)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await until(lambda: len(taken) == 1)


# Together


class GatedConnection(sqlite3.Connection):
    """A connection that waits with each commit until it may go on, and counts them."""

    may_commit: ClassVar[threading.Semaphore]
    commits: ClassVar[int] = 0

    def execute(self, *args: Any) -> sqlite3.Cursor:
        if args[0] == "COMMIT":
            assert self.may_commit.acquire(timeout=30)
            type(self).commits += 1
        return super().execute(*args)


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> type[GatedConnection]:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kwargs: connect(*args, factory=GatedConnection, **kwargs))
    GatedConnection.may_commit = threading.Semaphore(1)  # for the schema
    GatedConnection.commits = 0
    return GatedConnection


async def test_updates_that_come_together_share_one_transaction_and_each_waits_for_its_own_only(
    path: Path, clock: Clock, gated: type[GatedConnection]
) -> None:
    async with opened(path, clock) as journal:
        assert gated.commits == 1
        first = asyncio.create_task(journal.append(push(0)))
        await asyncio.sleep(0.02)
        together = [asyncio.create_task(journal.append(push(n, hub=f"7C9EBD0000{n:02}"))) for n in range(50)]
        await asyncio.sleep(0.02)
        assert not first.done()
        gated.may_commit.release()
        assert await first  # while the commit of the others waits
        assert not any(task.done() for task in together)
        last = asyncio.create_task(journal.append(push(99)))
        gated.may_commit.release()
        assert all(await asyncio.gather(*together))
        assert gated.commits == 3
        assert not last.done()
        for _ in range(5):
            gated.may_commit.release()
        assert await last
        assert (await journal.counts()).pending == 52


async def test_of_equal_updates_that_come_together_one_is_kept(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        bodies = [push(1), push(1), push(2, time=None), push(2, time=None), push(1, send_time=3)]
        results = await asyncio.gather(journal.append(push(0)), *(journal.append(body) for body in bodies))
        assert results == [True, True, False, True, False, False]
        assert len(await delivered(journal, 3)) == 3


async def test_one_update_for_which_there_is_no_room_does_not_cost_the_others_theirs(path: Path, clock: Clock) -> None:
    async with opened(path, clock, max_bytes=200_000) as journal:
        results = await asyncio.gather(
            *(journal.append(push(n, hub=f"7C9EBD0000{n:02}", later="x" * 300_000 * (n == 5))) for n in range(10)),
            return_exceptions=True,
        )
        assert [isinstance(result, VegeHubJournalError) for result in results] == [n == 5 for n in range(10)]
        assert (await journal.counts()).pending == 9


async def test_one_update_that_cannot_be_written_at_all_does_not_cost_the_others_theirs(
    path: Path, clock: Clock
) -> None:
    odd = Update(hub_key="\ud800", readings=parse_update(push(1)).readings)
    async with opened(path, clock) as journal:
        results = await asyncio.gather(
            *(journal.append(push(n, time=iso(n)) if n != 3 else odd) for n in range(6)), return_exceptions=True
        )
        assert [result is True for result in results] == [n != 3 for n in range(6)]


# Closing


async def test_closing_does_not_wait_for_a_consumer_that_hangs_and_its_update_comes_again(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vegehub.receiving.journal._GRACE", 0.05)
    started = asyncio.Event()

    async def hang(update: Update) -> None:
        started.set()
        await asyncio.Event().wait()

    async with opened(path, clock) as journal:
        await journal.append(push(1))
        task = asyncio.create_task(journal.deliver(hang))
        await started.wait()
        await journal.close()
        await task  # ends as it does whenever the journal is closed, and is not cancelled
    assert ["cancelled" in record.getMessage() for record in caplog.records] == [True]
    async with opened(path, clock) as journal:
        assert len(await delivered(journal, 1)) == 1


async def test_a_consumer_that_ignores_its_cancellation_holds_nothing_up(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vegehub.receiving.journal._GRACE", 0.05)
    monkeypatch.setattr("vegehub.receiving.delivery._LAST_WAIT", 0.05)
    started, may_end = asyncio.Event(), asyncio.Event()

    async def ignore(update: Update) -> None:
        started.set()
        while not may_end.is_set():
            with suppress(asyncio.CancelledError):
                await may_end.wait()

    async with opened(path, clock) as journal:
        await journal.append(push(1))
        task = asyncio.create_task(journal.deliver(ignore))
        await started.wait()
    async with opened(path, clock) as journal:
        assert (await journal.counts()).pending == 1
        may_end.set()
        await task


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_close_that_is_cancelled_while_the_loop_ends_releases_the_file(
    path: Path, clock: Clock, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vegehub.receiving.store._LOCK_TIMEOUT", 1.0)

    async def first() -> None:
        main = asyncio.current_task()
        assert main is not None
        started = asyncio.Event()

        async def hang(update: Update) -> None:
            started.set()
            await asyncio.Event().wait()

        async with opened(path, clock) as journal:
            await journal.append(push(1))
            task = asyncio.create_task(journal.deliver(hang))
            await started.wait()
            for n in range(times):
                asyncio.get_running_loop().call_later(0.02 * n, main.cancel)
        await task

    async def second() -> int:
        async with opened(path, clock) as journal:
            return (await journal.counts()).pending

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(first())
    assert asyncio.run(second()) == 1


async def test_closing_does_not_wait_for_a_disk_that_does_not_answer(
    path: Path, clock: Clock, gated: type[GatedConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vegehub.receiving.journal._LAST_WAIT", 0.05)
    async with opened(path, clock) as journal:
        first = asyncio.create_task(journal.append(push(1)))
        await asyncio.sleep(0.02)
        second = asyncio.create_task(journal.append(push(2)))
        await asyncio.sleep(0.02)
    with pytest.raises(VegeHubJournalError, match="closed"):
        await second
    assert not first.done()
    gated.may_commit.release()
    assert await first  # it is safe after all


async def test_what_has_arrived_is_written_before_the_file_is_closed(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        appending = [asyncio.create_task(journal.append(push(n, time=iso(n)))) for n in range(600)]
        await asyncio.sleep(0)
        await journal.close()
        assert all(await asyncio.gather(*appending))
    async with opened(path, clock) as journal:
        assert len(await delivered(journal, 600)) == 600


# Repeats


async def test_a_repeated_update_is_delivered_once(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        assert await journal.append(push(1))
        assert not await journal.append(push(1, send_time=5, wifi_str=-30))
        await delivered(journal, 1)
        assert not await journal.append(push(1))
    async with opened(path, clock) as journal:
        assert not await journal.append(push(1))


@pytest.mark.parametrize("other", [push(1, hub=B), push(2), push(1, time=iso(1))])
async def test_another_hub_value_or_time_is_no_repeat(path: Path, clock: Clock, other: bytes) -> None:
    async with opened(path, clock) as journal:
        assert await journal.append(push(1))
        assert await journal.append(other)


async def test_the_format_of_the_time_makes_no_difference(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        assert await journal.append(push(1, time="2025-06-01T11:00:00Z"))
        assert not await journal.append(push(1, time="2025-06-01 11:00:00"))


async def test_of_a_batch_that_is_known_in_part_only_the_new_samples_are_delivered(path: Path, clock: Clock) -> None:
    first = {"mac": A, "sensors": [{"slot": 1, "samples": [{"v": 1.0, "t": iso(0)}]}]}
    batch = {
        "mac": A,
        "wifi_str": -30,
        "sensors": [
            {"slot": 1, "samples": [{"v": 1.0, "t": iso(0)}, {"v": 2.0, "t": iso(1)}]},
            {"slot": 2, "samples": [{"v": 3.0, "t": iso(0)}]},
        ],
    }
    async with opened(path, clock) as journal:
        await journal.append(first)
        assert await journal.append(batch)
        _, update = await delivered(journal, 2)
    assert {slot: [sample.value for sample in reading.samples] for slot, reading in update.readings.items()} == {
        1: [2.0],
        2: [3.0],
    }
    assert update.rssi == -30


async def test_equal_edges_within_one_second_of_one_batch_are_all_kept(path: Path, clock: Clock) -> None:
    edges = {"mac": A, "sensors": [{"slot": 1, "samples": [{"v": v, "t": iso(0)} for v in (1.0, 0.0, 1.0)]}]}
    async with opened(path, clock) as journal:
        assert await journal.append(edges)
        assert not await journal.append(edges)
        (update,) = await delivered(journal, 1)
    assert volts(update) == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    "time", ["1970-01-01T00:00:07Z", "2019-12-31T23:59:59Z", "2036-02-07T06:28:16Z", iso(60 * 25), None, "soon"]
)
async def test_without_a_plausible_time_only_a_byte_identical_body_within_a_minute_is_a_repeat(
    path: Path, clock: Clock, time: str | None
) -> None:
    async with opened(path, clock) as journal:
        assert await journal.append(push(1, time=time, send_time=7))
        clock.passed = 59
        assert not await journal.append(push(1, time=time, send_time=7))
        assert await journal.append(push(1, time=time, send_time=8))
        clock.passed = 61
        assert await journal.append(push(1, time=time, send_time=7))
        clock.passed = 119
        assert not await journal.append(push(1, time=time, send_time=7))
        assert [volts(update) for update in await delivered(journal, 3)] == [[1], [1], [1]]


async def test_a_repeat_within_a_minute_is_known_across_a_restart(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        assert await journal.append(push(1, time=None))
    async with opened(path, clock) as journal:
        assert not await journal.append(push(1, time=None))


async def test_a_body_that_came_in_a_future_of_this_machines_clock_makes_no_repeat(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        clock.passed = 3600
        assert await journal.append(push(1, time=None))
        clock.passed = 0
        assert await journal.append(push(1, time=None))


async def test_every_sample_of_a_batch_without_usable_times_is_kept_in_its_order(path: Path, clock: Clock) -> None:
    samples = [{"v": v, "t": t} for v, t in ((1.0, None), (3.0, None), (2.0, "1970-01-01T00:00:07Z"), (1.0, None))]
    async with opened(path, clock) as journal:
        assert await journal.append({"mac": A, "sensors": [{"slot": 1, "samples": samples}]})
        (update,) = await delivered(journal, 1)
    assert volts(update) == volts(parse_update({"mac": A, "sensors": [{"slot": 1, "samples": samples}]}))
    assert sorted(volts(update)) == [1.0, 1.0, 2.0, 3.0]


async def test_of_a_batch_that_is_known_in_part_samples_without_a_time_come_again(path: Path, clock: Clock) -> None:
    samples = [{"v": 1.0, "t": iso(0)}, {"v": 2.0, "t": None}]
    async with opened(path, clock) as journal:
        assert await journal.append({"mac": A, "sensors": [{"slot": 1, "samples": samples}]})
        clock.passed = 90
        assert await journal.append({"mac": A, "send_time": 1, "sensors": [{"slot": 1, "samples": samples}]})
        assert [volts(update) for update in await delivered(journal, 2)] == [[1.0, 2.0], [2.0]]


async def test_a_month_of_a_hub_without_a_clock_and_with_a_steady_voltage_is_all_kept(path: Path, clock: Clock) -> None:
    taken = 0
    history = History(samples=10_000)

    def consumer(update: Update) -> None:
        nonlocal taken
        taken += 1
        history.add(update.hub_key, update, arrived=update.received_at)

    pushes = 30 * 24
    async with opened(path, clock) as journal, delivering(journal, consumer):
        for number in range(pushes):
            clock.passed = 3600.0 * number
            assert await journal.append(push(1.5, time="1970-01-01T00:00:07Z"))
            if number % 10 == 0:
                assert not await journal.append(push(1.5, time="1970-01-01T00:00:07Z"))  # its answer was lost
        await until(lambda: taken == pushes)
    assert [mean.count for mean in history.hourly(A, 1)] == [1] * pushes
    assert len(history.query(A, 1)) == pushes


async def test_a_time_within_the_next_day_is_plausible(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        assert await journal.append(push(1, time=iso(60 * 23), send_time=7))
        assert not await journal.append(push(1, time=iso(60 * 23), send_time=8))


async def test_an_update_without_samples_is_a_repeat_if_its_body_is(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        assert await journal.append(b'{"mac":"7C9EBD112233","sensors":[],"send_time":1}')
        assert not await journal.append(b'{"mac":"7C9EBD112233","sensors":[],"send_time":1}')
        assert await journal.append(b'{"mac":"7C9EBD112233","sensors":[],"send_time":2}')
        assert [update.send_time for update in await delivered(journal, 2)] == [1, 2]


async def test_equal_samples_of_hubs_that_cannot_be_told_apart_are_all_kept(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        assert await journal.append(push(1, hub="", send_time=1))
        assert await journal.append(push(1, hub="", send_time=2))


async def test_marks_live_thirty_days(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        await journal.append(push(1))
        clock.passed = timedelta(days=29).total_seconds()
        assert not await journal.append(push(1))
        clock.passed = timedelta(days=31).total_seconds()
        assert await journal.append(push(1))


async def test_expired_marks_are_deleted_within_a_day(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        for number in range(50):
            await journal.append(push(number))
        for hour in range(25):
            clock.passed = timedelta(days=31, hours=hour).total_seconds()
            await journal.append(push(hour, time=iso(hour)))
    assert stored(path, "SELECT COUNT(*) FROM marks WHERE until < ?", clock.wall()) == [(0,)]
    assert stored(path, "SELECT COUNT(*) FROM marks") == [(25,)]


async def test_marks_are_deleted_too_when_nothing_came_for_days(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        for number in range(50):
            await journal.append(push(number))
        clock.passed = timedelta(days=40).total_seconds()
        await journal.append(push(1, time=iso(1)))
    assert stored(path, "SELECT COUNT(*) FROM marks") == [(1,)]


async def test_an_update_comes_with_a_wrong_clock_of_this_machine_too(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        for moment in (-START.timestamp(), 10.0**13):
            clock.passed = moment
            assert await journal.append(push(1, send_time=moment), at=datetime(2025, 1, 1, tzinfo=UTC))
            clock.passed = 0
            await journal.append(push(2, send_time=moment))


# The file


def stored(path: Path, query: str, *values: Any) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query, values).fetchall()


async def test_only_the_owner_can_read_the_files(path: Path, clock: Clock) -> None:
    before = os.umask(0)
    try:
        async with opened(path, clock) as journal:
            await journal.append(push(1))
            files = list(path.parent.iterdir())
            assert len(files) > 1
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    finally:
        os.umask(before)


async def test_a_file_that_others_can_read_is_closed_to_them(path: Path, clock: Clock) -> None:
    async with opened(path, clock):
        pass
    path.chmod(0o644)
    async with opened(path, clock):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_no_secret_is_written(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        await journal.append(push(1, api_key="SECRET-1", later={"wifi_pw": "SECRET-2", "route_key": "SECRET-3"}))
        await journal.append({"key": "SECRET-4", "write_api_key": "SECRET-5", "updates": []})
        for file in path.parent.iterdir():
            assert b"SECRET" not in file.read_bytes(), file


@pytest.mark.parametrize(
    "content", [b"not a database, and longer than a header of one " * 100, b"x", b"SQLite format 3\0" + b"\xff" * 5000]
)
async def test_a_file_that_is_no_journal_is_named_and_left_as_it_is(path: Path, clock: Clock, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(VegeHubJournalError) as caught:
        async with opened(path, clock):
            raise AssertionError
    assert str(path) in str(caught.value)
    assert caught.value.damaged
    assert path.read_bytes() == content


async def test_another_database_is_named_and_left_as_it_is(path: Path, clock: Clock) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs(x)")
    content = path.read_bytes()
    with pytest.raises(VegeHubJournalError, match=r"journal\.db: not a journal"):
        async with opened(path, clock):
            raise AssertionError
    assert path.read_bytes() == content


async def test_a_journal_of_a_later_version_is_left_as_it_is(path: Path, clock: Clock) -> None:
    async with opened(path, clock):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(VegeHubJournalError, match="version 99"):
        async with opened(path, clock):
            raise AssertionError


async def test_a_journal_without_its_identity_is_damaged(path: Path, clock: Clock) -> None:
    async with opened(path, clock):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM identity")
        connection.commit()
    with pytest.raises(VegeHubJournalError, match="damaged"):
        async with opened(path, clock):
            raise AssertionError


@pytest.mark.parametrize("name", ["", "missing/journal.db"])
async def test_a_path_that_cannot_be_a_file_is_named(tmp_path: Path, clock: Clock, name: str) -> None:
    with pytest.raises(VegeHubJournalError, match=tmp_path.name):
        async with opened(tmp_path / name, clock):
            raise AssertionError


async def test_a_second_journal_on_the_same_file_is_refused(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vegehub.receiving.store._LOCK_TIMEOUT", 0.1)
    async with opened(path, clock) as journal:
        with pytest.raises(VegeHubJournalError, match="has it open"):
            async with opened(path, clock):
                raise AssertionError
        assert await journal.append(push(1))
    async with opened(path, clock) as journal:
        assert (await journal.counts()).pending == 1


async def test_a_damaged_update_is_delivered_as_such_and_the_next_goes_on(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        await journal.append(push(1, time=iso(1)))
        await journal.append(push(2, time=iso(2)))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE updates SET body = x'ff00' WHERE id = 1")
        connection.commit()
    async with opened(path, clock) as journal:
        damaged, good = await delivered(journal, 2)
    assert (damaged.hub_key, damaged.problem_count, dict(damaged.readings)) == (A, 1, {})
    assert volts(good) == [2]


async def test_damage_ends_the_delivery_with_the_name_of_the_file(path: Path, clock: Clock) -> None:
    async with opened(path, clock) as journal:
        for number in range(200):
            await journal.append(push(number, time=iso(number), later="x" * 500))
    content = path.read_bytes()
    half = len(content) // 8192 * 4096
    path.write_bytes(content[:half] + b"\xee" * (len(content) - half))
    taken: list[Update] = []
    async with opened(path, clock) as journal:
        with pytest.raises(VegeHubJournalError, match=r"journal\.db: damaged"):
            await asyncio.wait_for(journal.deliver(taken.append), 30)


# What cannot be written


class TamperedConnection(sqlite3.Connection):
    """A connection that is told to fail in the way a full disk or a read-only file makes it fail."""

    pragma: ClassVar[str | None] = None

    def execute(self, *args: Any) -> sqlite3.Cursor:
        if self.pragma is not None:
            super().execute(self.pragma)
        return super().execute(*args)


@pytest.fixture
def tampered(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[TamperedConnection]]:
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *args, **kwargs: connect(*args, factory=TamperedConnection, **kwargs)
    )
    yield TamperedConnection
    TamperedConnection.pragma = None


@pytest.mark.parametrize("pragma", ["PRAGMA query_only = ON", "PRAGMA max_page_count = 1"])
async def test_a_read_only_file_or_a_full_disk_refuses_with_one_event_and_loses_nothing(
    path: Path,
    clock: Clock,
    tampered: type[TamperedConnection],
    pragma: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[str] = []
    async with opened(path, clock) as journal:
        journal.on_event(lambda event: events.append(event.kind))
        await journal.append(push(0, time=iso(0)))
        tampered.pragma = pragma
        for number in range(1, 6):
            with pytest.raises(VegeHubJournalError) as caught:
                await journal.append(push(number, time=iso(number), later="x" * 50_000))
            assert str(path) in str(caught.value)
        assert events == ["cannot_write"]
        assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
        tampered.pragma = None
        for number in range(1, 6):
            assert await journal.append(push(number, time=iso(number), later="x" * 50_000))
        assert events == ["cannot_write", "can_write"]
        assert [volts(update) for update in await delivered(journal, 6)] == [[n] for n in range(6)]


async def test_an_update_is_not_delivered_twice_while_the_file_cannot_be_written(
    path: Path, clock: Clock, tampered: type[TamperedConnection]
) -> None:
    taken: list[float] = []

    def consumer(update: Update) -> None:
        taken.append(*volts(update))
        tampered.pragma = "PRAGMA query_only = ON"

    async with opened(path, clock) as journal:
        await journal.append(push(1, time=iso(1)))
        await journal.append(push(2, time=iso(2)))
        async with delivering(journal, consumer):
            await until(lambda: clock.passed > 100)  # many attempts to note the delivery
            assert taken == [1, 2]  # what was read together
            tampered.pragma = None
            await journal.append(push(3, time=iso(3)))
            await until(lambda: len(taken) == 3)
    tampered.pragma = None
    async with opened(path, clock) as journal:
        assert [volts(update) for update in await delivered(journal, 1)] == [[3]]
    assert taken == [1, 2, 3]


async def test_a_journal_can_be_closed_while_it_cannot_be_written(
    path: Path, clock: Clock, tampered: type[TamperedConnection]
) -> None:
    def consumer(update: Update) -> None:
        tampered.pragma = "PRAGMA query_only = ON"

    async with opened(path, clock) as journal:
        await journal.append(push(1))
        task = asyncio.create_task(journal.deliver(consumer))
        await until(lambda: clock.passed > 100)
        await journal.close()
        await task
    tampered.pragma = None
    async with opened(path, clock) as journal:
        assert len(await delivered(journal, 1)) == 1


async def test_at_its_bound_a_journal_refuses_and_deletes_nothing(path: Path, clock: Clock) -> None:
    events: list[str] = []
    kept = 0
    async with opened(path, clock, max_bytes=200_000) as journal:
        journal.on_event(lambda event: events.append(event.kind))
        with suppress(VegeHubJournalError):
            while kept < 1000:
                await journal.append(push(kept, time=iso(kept), later="x" * 5000))
                kept += 1
        with pytest.raises(VegeHubJournalError, match="full"):
            await journal.append(push(-1, time=iso(-1), later="x" * 5000))
        assert 20 < kept < 40
        assert path.stat().st_size <= 200_000
        assert (await journal.counts()).bytes_used <= 200_000
        assert events == ["cannot_write"]
    async with opened(path, clock, max_bytes=200_000) as journal:
        assert [volts(update) for update in await delivered(journal, kept)] == [[number] for number in range(kept)]
        assert await journal.append(push(-1, time=iso(-1), later="x" * 5000))


async def test_a_repeat_is_acknowledged_at_the_bound_too(path: Path, clock: Clock) -> None:
    async with opened(path, clock, max_bytes=100_000) as journal:
        await journal.append(push(0))
        with pytest.raises(VegeHubJournalError, match="full"):
            await journal.append(push(1, later="x" * 100_000))
        assert not await journal.append(push(0))


async def test_marks_give_way_before_an_update_is_refused(path: Path, clock: Clock) -> None:
    async with opened(path, clock, max_bytes=150_000) as journal:
        taken: list[Update] = []
        async with delivering(journal, taken.append):
            for number in range(60):
                clock.passed += 3600
                samples = [{"v": float(n), "t": iso(number * 60)} for n in range(200)]
                assert await journal.append({"mac": A, "sensors": [{"slot": 1, "samples": samples}]})
                while (await journal.counts()).pending:
                    await asyncio.sleep(0)
        assert not await journal.append({"mac": A, "sensors": [{"slot": 1, "samples": samples}]})


# Crashes

_WRITER = """
import asyncio, json, sys
from vegehub.receiving.journal import Journal

async def main():
    path, first = sys.argv[1], int(sys.argv[2])
    async with Journal(path) as journal:
        number = first
        while True:
            samples = [{"v": float(number), "t": "2025-06-01T12:00:00Z"}]
            await journal.append({"mac": "7C9EBD112233", "sensors": [{"slot": 1, "samples": samples}]})
            print(number, flush=True)
            number += 1

asyncio.run(main())
"""

_CONSUMER = """
import asyncio, sys
from vegehub.receiving.journal import Journal

async def main():
    async with Journal(sys.argv[1]) as journal:
        def consumer(update):
            print(update.delivery_id, update.readings[1].samples[0].value, flush=True)
            sys.stdin.readline()
        await journal.deliver(consumer)

asyncio.run(main())
"""


def killed_after(lines: int, program: str, *arguments: str) -> list[str]:
    """Run a program until it has printed so many lines, kill it in the middle of its work, and return all it printed.

    It finds as many lines to read: a program that reads one after each that it prints cannot have come to its end before.
    """
    command = [sys.executable, "-c", program, *arguments]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write("\n" * lines)
            process.stdin.flush()
            printed = [process.stdout.readline().strip() for _ in range(lines)]
        finally:
            process.send_signal(signal.SIGKILL)
        printed += [line.strip() for line in process.stdout]
    assert process.returncode == -signal.SIGKILL
    return [line for line in printed if line]


def test_what_was_acknowledged_before_sigkill_is_delivered_once_or_more_and_in_order(path: Path) -> None:
    acknowledged: list[int] = []
    for lines in (1, 7, 40):
        first = acknowledged[-1] + 2 if acknowledged else 0
        acknowledged += [int(line) for line in killed_after(lines, _WRITER, str(path), str(first))]
    taken: dict[str, float] = {}
    for lines in (3, 10):
        taken.update(dict(line.split() for line in killed_after(lines, _CONSUMER, str(path))))

    async def rest() -> list[Update]:
        async with Journal(path) as journal:
            updates: list[Update] = []
            async with delivering(journal, updates.append):
                while (await journal.counts()).pending:
                    await asyncio.sleep(0.01)
            return updates

    rest_taken = asyncio.run(rest())
    in_order = [volts(update)[0] for update in rest_taken]
    assert in_order == sorted(in_order)
    taken.update({update.delivery_id: volts(update)[0] for update in rest_taken})
    values = [float(value) for value in taken.values()]
    assert len(values) == len(set(values))  # one id for each update, however often it came
    assert set(values) >= set(map(float, acknowledged))


# Imports


def test_sqlite_is_loaded_by_the_first_use_only() -> None:
    program = (
        "import sys; before = set(sys.modules); import vegehub.receiving;"
        "print(*{'sqlite3', 'aiohttp', 'aiohttp.web'} & (set(sys.modules) - before))"
    )
    root = Path(__file__).parents[2]
    loaded = subprocess.check_output([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(root)})
    assert loaded.split() == []
