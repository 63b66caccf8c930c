"""The clock of the simulated hubs: order, quiet sockets between timers, real time."""

from __future__ import annotations

import asyncio
import math

import pytest

from vegehub.simulator.clock import Clock, RealtimeClock, Work


async def test_timers_run_in_the_order_of_their_moments_and_priorities() -> None:
    clock, seen = Clock(), []
    clock.call_at(20, lambda: seen.append("late"))
    clock.call_at(10, lambda: seen.append("sleep"), priority=9)
    clock.call_at(10, lambda: seen.append("sample"), priority=1)
    clock.call_at(10, lambda: seen.append("second sample"), priority=1)
    clock.call_at(30, lambda: seen.append("not yet"))
    await clock.advance(20)
    assert seen == ["sample", "second sample", "sleep", "late"]


async def test_now_is_the_moment_of_the_timer_while_it_runs() -> None:
    clock, seen = Clock(start=1000), []
    clock.call_later(5, lambda: seen.append((clock.now, clock.epoch)))
    await clock.advance(60)
    assert seen == [(5, 1005)]
    assert clock.now == 60


async def test_a_timer_may_set_another_one_that_is_due_at_once() -> None:
    clock, seen = Clock(), []
    clock.call_at(10, lambda: clock.call_at(10, lambda: seen.append("second")))
    await clock.advance(10)
    assert seen == ["second"]


async def test_a_cancelled_timer_does_not_run_and_may_be_cancelled_again() -> None:
    clock, seen = Clock(), []
    timer = clock.call_at(10, lambda: seen.append("cancelled"))
    assert timer.pending
    timer.cancel()
    timer.cancel()
    assert not timer.pending
    await clock.advance(10)
    assert seen == []


async def test_work_set_off_by_one_timer_ends_before_the_next_one_runs() -> None:
    clock, seen = Clock(), []
    work = Work(clock)

    async def push() -> None:
        await asyncio.sleep(0.02)
        seen.append("push")

    clock.call_at(10, lambda: work.start(push()))
    clock.call_at(10, lambda: seen.append("next"), priority=1)
    await clock.advance(10)
    assert seen == ["push", "next"]


async def test_work_in_progress_ends_before_the_first_timer_runs() -> None:
    clock, seen = Clock(), []
    clock.call_at(0, lambda: seen.append("timer"))
    with clock.activity():
        advancing = asyncio.create_task(clock.advance(0))
        await asyncio.sleep(0.01)
        assert seen == []
    await advancing
    assert seen == ["timer"]


async def test_work_set_off_by_the_last_timer_may_set_timers_that_are_due() -> None:
    clock, seen = Clock(), []
    work = Work(clock)

    async def late() -> None:
        await asyncio.sleep(0.01)
        clock.call_later(0, lambda: seen.append(clock.now))

    clock.call_at(10, lambda: work.start(late()))
    await clock.advance(10)
    assert seen == [10]


async def test_a_long_stretch_without_traffic_lets_other_tasks_run() -> None:
    clock, turns = Clock(), []

    def again() -> None:
        clock.call_later(1, again)
        turns.append(running.done())

    running = asyncio.create_task(asyncio.sleep(0))
    await asyncio.sleep(0)
    other = asyncio.create_task(_turns(5))
    clock.call_later(1, again)
    await clock.advance(2_000)
    assert len(turns) == 2_000
    assert other.done()


async def _turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf])
async def test_time_does_not_go_backwards(seconds: float) -> None:
    with pytest.raises(ValueError, match="cannot advance"):
        await Clock().advance(seconds)


async def test_two_cannot_advance_one_clock_at_once() -> None:
    clock = Clock()
    with clock.activity():
        first = asyncio.create_task(clock.advance(10))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="advanced already"):
            await clock.advance(10)
    await first
    await clock.advance(10)
    assert clock.now == 20


async def test_stopped_work_leaves_no_task() -> None:
    clock, ended = Clock(), []
    work = Work(clock)

    async def stubborn() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            work.start(asyncio.sleep(3600))
            ended.append(True)

    work.start(stubborn())
    await asyncio.sleep(0)
    await work.stop()
    assert ended == [True]
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await asyncio.wait_for(clock.settle(), 5)


async def test_a_failure_of_the_simulator_reaches_the_handler_of_the_loop() -> None:
    reports: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: reports.append(context))
    clock = Clock()

    async def fail() -> None:
        raise ZeroDivisionError

    Work(clock).start(fail())
    await clock.settle()
    loop.set_exception_handler(before)
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]


async def test_real_time_runs_timers_by_itself_and_in_order() -> None:
    clock, seen = RealtimeClock(start=1000), []
    assert clock.realtime
    moment = clock.now
    clock.call_at(moment + 0.02, lambda: seen.append("sleep"), priority=9)
    clock.call_at(moment + 0.02, lambda: seen.append("sample"), priority=1)
    cancelled = clock.call_later(0.02, lambda: seen.append("cancelled"))
    cancelled.cancel()
    await clock.advance(0.1)
    assert seen == ["sample", "sleep"]
    assert clock.epoch - 1000 == pytest.approx(clock.now, abs=1)
