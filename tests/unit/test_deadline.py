"""A deadline behaves as ``asyncio.timeout`` does, for one block after the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from raw_hub import until

from vegehub.hub.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterator

FOREVER = 3600.0


@pytest.fixture
async def deadline() -> Deadline:
    return Deadline(asyncio.get_running_loop())


@pytest.fixture
async def timers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[asyncio.TimerHandle]]:
    """The timers that a deadline has set."""
    loop = asyncio.get_running_loop()
    made: list[asyncio.TimerHandle] = []
    call_at = loop.call_at

    def record(when, callback, *args, **kwargs):
        handle = call_at(when, callback, *args, **kwargs)
        if isinstance(getattr(callback, "__self__", None), Deadline):
            made.append(handle)
        return handle

    monkeypatch.setattr(loop, "call_at", record)
    return made


async def test_what_takes_too_long_ends_with_a_timeout_error(deadline: Deadline) -> None:
    with pytest.raises(TimeoutError) as caught, deadline.within(0.01):
        await asyncio.Event().wait()
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)  # the task goes on as if nothing had been cancelled


async def test_what_ends_in_time_is_left_alone(deadline: Deadline) -> None:
    with deadline.within(FOREVER):
        await asyncio.sleep(0)
    with pytest.raises(KeyError), deadline.within(FOREVER):
        raise KeyError


async def test_one_timer_serves_blocks_that_follow_one_another(
    deadline: Deadline, timers: list[asyncio.TimerHandle]
) -> None:
    for _ in range(100):
        with deadline.within(FOREVER):
            pass
    assert len(timers) == 1


async def test_a_timer_that_comes_early_is_put_off(deadline: Deadline, timers: list[asyncio.TimerHandle]) -> None:
    with deadline.within(0.0):
        pass
    with deadline.within(FOREVER):
        await until(lambda: len(timers) == 2)
    assert timers[1].when() > asyncio.get_running_loop().time()


async def test_a_shorter_block_does_not_wait_for_the_timer_of_a_longer_one(
    deadline: Deadline, timers: list[asyncio.TimerHandle]
) -> None:
    with deadline.within(FOREVER):
        pass
    with pytest.raises(TimeoutError), deadline.within(0.01):
        await asyncio.Event().wait()
    assert [timer.cancelled() for timer in timers] == [True, False]


async def test_a_timer_between_two_blocks_hurts_nobody_and_is_not_set_again(
    deadline: Deadline, timers: list[asyncio.TimerHandle]
) -> None:
    with deadline.within(0.0):
        pass
    await asyncio.sleep(0.01)  # loops until the timer has come: the one due first comes first
    assert len(timers) == 1


async def test_a_cancellation_from_elsewhere_passes_through(deadline: Deadline) -> None:
    async def wait() -> None:
        with deadline.within(FOREVER):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_that_comes_with_the_deadline_wins(deadline: Deadline) -> None:
    async def wait() -> None:
        with deadline.within(0.0):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task.cancel()  # by somebody else, before this one has been heard
                raise

    task = asyncio.create_task(wait())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_a_timer_inside_that_was_due_before_has_its_say_also_where_the_loop_was_busy(
    deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    clock = loop.time

    def busy_for_long() -> None:
        monkeypatch.setattr(loop, "time", lambda: clock() + 3 * FOREVER)

    with deadline.within(2 * FOREVER):
        loop.call_soon(busy_for_long)
        try:
            async with asyncio.timeout(FOREVER):
                await asyncio.Event().wait()
        except TimeoutError:
            said = True
    assert said
    monkeypatch.undo()


async def test_a_block_that_begins_while_one_before_expires_is_left_alone(
    deadline: Deadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    clock = loop.time
    ready = asyncio.Event()
    with deadline.within(FOREVER):
        monkeypatch.setattr(loop, "time", lambda: clock() + 2 * FOREVER)
        # In one pass of the loop, the block gets what it waited for, and its deadline is seen to be over.
        loop.call_soon(ready.set)
        loop.call_soon(deadline._look)
        await ready.wait()
    with deadline.within(FOREVER):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    monkeypatch.undo()


async def test_another_error_that_comes_with_the_deadline_is_not_replaced(deadline: Deadline) -> None:
    async def stumble() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as err:
            raise KeyError from err

    with pytest.raises(KeyError), deadline.within(0.0):
        await stumble()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_task_that_is_cancelled_already_keeps_that(deadline: Deadline) -> None:
    async def wait() -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            with pytest.raises(TimeoutError), deadline.within(0.0):
                await asyncio.Event().wait()
        current = asyncio.current_task()
        assert current is not None
        return current.cancelling()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == 1


async def test_serves_again_after_a_stop(deadline: Deadline) -> None:
    with deadline.within(FOREVER):
        pass
    deadline.stop()
    with pytest.raises(TimeoutError), deadline.within(0.01):
        await asyncio.sleep(FOREVER)


def test_it_needs_a_task() -> None:
    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(RuntimeError, match=r"^a deadline needs a task$"), Deadline(loop).within(FOREVER):
            pass
    finally:
        loop.close()
