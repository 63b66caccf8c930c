from __future__ import annotations

import asyncio
import os
import signal

import pytest

from vegehub import VegeHubTimeoutError
from vegehub.cli.errors import InterruptedByUserError
from vegehub.cli.output import Output, shown
from vegehub.cli.runner import run
from vegehub.testing.interruption import to_the_end


def test_result_is_passed_on() -> None:
    async def work() -> int:
        return 7

    assert run(work()) == 7


def test_error_is_passed_on() -> None:
    async def work() -> None:
        raise VegeHubTimeoutError("x")

    with pytest.raises(VegeHubTimeoutError):
        run(work())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_cancels_and_what_is_put_back_is_put_back(number: int) -> None:
    done = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.sleep(60)
        finally:
            os.kill(os.getpid(), number)  # a second one breaks nothing off
            await to_the_end(put_back())

    async def put_back() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        done.append("put back")

    with pytest.raises(InterruptedByUserError) as caught:
        run(work())
    assert done == ["put back"]
    assert caught.value.code == 128 + number
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_note_of_what_could_not_be_put_back_is_kept() -> None:
    async def noted() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as err:
            err.add_note("the actuator may still be on")
            raise

    async def failed() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise VegeHubTimeoutError("no answer") from None

    for work, note in ((noted, "the actuator may still be on"), (failed, "no answer")):
        with pytest.raises(InterruptedByUserError) as caught:
            run(work())
        assert note in caught.value.__notes__


async def test_to_the_end_says_that_it_was_cancelled_when_it_is_done() -> None:
    done = asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0.01)
        done.set()

    task = asyncio.create_task(to_the_end(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()


def test_nothing_is_shown_as_a_dash() -> None:
    assert [shown(None), shown(""), shown(0), shown("a\nb")] == ["-", "-", "0", "a b"]


def test_json_keeps_people_out_of_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).say("hello")
    Output().say("hello")
    assert capsys.readouterr() == ("", "hello\n")
