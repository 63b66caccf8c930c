"""After watering the valve is off, or the error and one ERROR line say until when it may be on: whatever happens."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from faults.scripted import INFO, SET, executed, meet, states
from raw_hub import until

from vegehub import Outcome, VegeHub, VegeHubError, VegeHubMismatchError
from vegehub.simulator import SimulatedHub

if TYPE_CHECKING:
    from collections.abc import Callable


WHEN = re.compile(r"the hub's own timer ends it at \d\d:\d\d:\d\d")


@pytest.fixture
def insist_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up a failing OFF after a second and a half instead of thirty."""
    monkeypatch.setattr("vegehub.hub.watering.INSIST_FOR", 1.5)


class GardenHub(VegeHub):
    """A hub of a program of its own, made of that program's own settings."""

    def __init__(self, settings: dict[str, Any], /) -> None:
        super().__init__(settings["where"], settings["mac"], session=settings["session"], timeout=settings["timeout"])


class ClientError(Exception):
    """A defect of the caller's own, outside the tree of this library."""


def seconds(times: dict[str, Any]) -> float:
    return 0.3 if "times" in times else 60


SILENT = ("silent", "stalled body")
"""Faults that only a deadline ends."""
FAULTS: dict[str, Callable[..., None]] = {
    "unreachable": lambda f, **times: f.unreachable_afterwards(seconds(times), after_execution=False, **times),
    "executed, then unreachable": lambda f, **times: f.unreachable_afterwards(seconds(times), **times),
    "reset": lambda f, **times: f.reset_before_headers(**times),
    "reply lost": lambda f, **times: f.drop_reply(**times),
    "silent": lambda f, **times: f.never_answer(**times),
    "stalled body": lambda f, **times: f.stall_body(**times),
    "503": lambda f, **times: f.status(503, **times),
    "500": lambda f, **times: f.status(500, **times),
    "redirected": lambda f, **times: f.redirect(**times),
    "refused in words": lambda f, **times: f.refused_in_words(**times),
    "not HTTP": lambda f, **times: f.not_http(**times),
}


async def water(hub: VegeHub, fail: bool = False) -> None:
    async with hub.watering(0, 600):
        await asyncio.sleep(0)
        if fail:
            raise ClientError


def judge(simulated: SimulatedHub, error: BaseException | None, log: list[logging.LogRecord]) -> None:
    """Say whether what became of a block is what it says."""
    lines = [record for record in log if record.levelno == logging.ERROR and simulated.address in record.getMessage()]
    assert len(lines) <= 1
    if not simulated.actuators[0].is_on:
        return
    assert error is not None
    told = " ".join([str(error), *getattr(error, "__notes__", [])])
    assert "may still be on" in told
    assert WHEN.search(told)
    assert len(lines) == 1
    assert WHEN.search(lines[0].getMessage())


def deadline(name: str) -> float:
    return 0.5 if name in SILENT else 10


class TestEveryFault:
    @pytest.mark.usefixtures("insist_briefly")
    @pytest.mark.parametrize("fails", [False, True], ids=["", "block fails"])
    @pytest.mark.parametrize("kind", ["own session", "given session", "subclass"])
    async def test_of_every_length_and_at_every_request(
        self, caplog: pytest.LogCaptureFixture, kind: str, fails: bool
    ) -> None:
        """For ever or once; of ON, of OFF. All of a kind at once: each waits for itself."""

        async def history(name: str, begin: int, times: int | None) -> bool:
            limit = {} if times is None else {"times": times}
            async with SimulatedHub() as simulated, aiohttp.ClientSession() as session:
                meet(simulated, SET, *[None] * begin, lambda f: FAULTS[name](f, path=SET, **limit))
                where, mac, timeout = simulated.address, simulated.mac, deadline(name)
                given = session if kind != "own session" else None
                if kind == "subclass":
                    hub: VegeHub = GardenHub({"where": where, "mac": mac, "session": given, "timeout": timeout})
                else:
                    hub = VegeHub(where, mac, session=given, timeout=timeout)
                error: BaseException | None = None
                try:
                    await water(hub, fails)
                except (VegeHubError, ClientError) as err:
                    error = err
                await hub.close()
                judge(simulated, error, caplog.records)
                return simulated.actuators[0].is_on

        for begin, times in ((0, 1), (0, None), (1, 1), (1, None)):
            results = await asyncio.gather(*(history(name, begin, times) for name in FAULTS))
            if times == 1:
                assert not any(results)  # what passes leaves the valve closed
            elif begin == 1:
                assert dict(zip(FAULTS, results, strict=True))["503"]

    @pytest.mark.parametrize("again_after", [None, 1, 7], ids=["once", "twice", "twice, later"])
    @pytest.mark.parametrize("name", FAULTS)
    async def test_cancelled_at_each_step(
        self, caplog: pytest.LogCaptureFixture, name: str, again_after: int | None
    ) -> None:
        async def history(begin: int, steps: int) -> int:
            async with SimulatedHub() as simulated:
                meet(simulated, SET, *[None] * begin, lambda f: FAULTS[name](f, path=SET, times=1))
                async with VegeHub(simulated.address, simulated.mac, timeout=deadline(name)) as hub:
                    task = asyncio.create_task(water(hub))
                    for _ in range(steps):
                        await asyncio.sleep(0)
                    is_cancelled = task.cancel()  # not if ON was refused by then
                    for _ in range(again_after or 0):
                        await asyncio.sleep(0)
                    if again_after is not None:
                        task.cancel()
                    await asyncio.wait((task,))
                assert task.cancelled() or not is_cancelled, f"after {steps} steps"
                assert not simulated.actuators[0].is_on, f"after {steps} steps"
                judge(simulated, None, caplog.records)
                return len(states(simulated))

        arrived = await asyncio.gather(*(history(begin, steps) for begin in (0, 1) for steps in range(1, 31, 2)))
        assert min(arrived) == 0
        assert max(arrived) > 0


HOOKS = (
    "on_request_start",
    "on_request_chunk_sent",
    "on_request_headers_sent",
    "on_request_end",
    "on_connection_reuseconn",
)


class TestErrorOfTheCallersOwn:
    """A trace hook of a given session may raise anything in the middle of OFF."""

    @pytest.mark.parametrize("hook", HOOKS)
    @pytest.mark.parametrize("error", [ClientError("mine"), RuntimeError("mine"), AttributeError("mine"), KeyError(1)])
    async def test_that_is_raised_once_is_logged_and_off_is_sent_again(
        self, simulated_hub: SimulatedHub, caplog: pytest.LogCaptureFixture, hook: str, error: Exception
    ) -> None:
        to_raise: list[Exception] = []

        async def raise_once(*_: object) -> None:
            if to_raise:
                raise to_raise.pop()

        trace = aiohttp.TraceConfig()
        getattr(trace, hook).append(raise_once)
        async with aiohttp.ClientSession(trace_configs=[trace]) as session:
            hub = VegeHub(simulated_hub.address, simulated_hub.mac, session=session)
            async with hub.watering(0, 600):
                to_raise.append(error)
        assert to_raise == []
        assert not simulated_hub.actuators[0].is_on
        judge(simulated_hub, None, caplog.records)
        assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1

    @pytest.mark.usefixtures("insist_briefly")
    async def test_that_is_raised_always_is_told_with_the_end_of_the_hubs_timer(
        self, simulated_hub: SimulatedHub, caplog: pytest.LogCaptureFixture
    ) -> None:
        is_broken = False

        async def raise_always(*_: object) -> None:
            if is_broken:
                raise ClientError("mine")

        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(raise_always)
        async with aiohttp.ClientSession(trace_configs=[trace]) as session:
            hub = VegeHub(simulated_hub.address, simulated_hub.mac, session=session)
            with pytest.raises(VegeHubError, match="ClientError: mine") as caught:
                async with hub.watering(0, 600):
                    is_broken = True
        assert simulated_hub.actuators[0].is_on
        judge(simulated_hub, caught.value, caplog.records)
        assert isinstance(caught.value.__cause__, ClientError)

    @pytest.mark.parametrize("closes", ["in the block", "during OFF"])
    async def test_a_session_that_the_caller_closes_does_not_keep_the_valve_open(
        self, simulated_hub: SimulatedHub, closes: str
    ) -> None:
        session = aiohttp.ClientSession()
        hub = GardenHub({"where": simulated_hub.address, "mac": simulated_hub.mac, "session": session, "timeout": 5})
        if closes == "in the block":
            async with hub.watering(0, 600):
                await session.close()
        else:
            meet(simulated_hub, SET, None, lambda f: f.never_answer(times=1))
            watering = asyncio.create_task(water(hub))
            await until(lambda: len([record for record in simulated_hub.requests if record.path == SET]) == 2)
            await session.close()
            await watering
        assert not simulated_hub.actuators[0].is_on


class TestCancellationIsNeverLost:
    @pytest.mark.parametrize("times", [1, 2, 3])
    async def test_with_an_error_of_the_block_it_is_raised_with_that_as_its_context(
        self, simulated_hub: SimulatedHub, hub: VegeHub, times: int
    ) -> None:
        meet(simulated_hub, SET, None, lambda f: f.latency(0.1, before_execution=True))
        rounds: list[BaseException | None] = []

        async def program() -> None:
            while True:
                try:
                    await water(hub, fail=True)
                except ClientError:
                    rounds.append(None)
                except asyncio.CancelledError as err:
                    rounds.append(err.__context__)
                    raise

        task = asyncio.create_task(program())
        await until(lambda: len([record for record in simulated_hub.requests if record.path == SET]) == 2)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0.01)
        await asyncio.wait((task,))
        assert task.cancelled()
        assert [type(error) for error in rounds] == [ClientError]
        assert states(simulated_hub) == [1, 0]

    async def test_a_timeout_of_the_callers_own_ends_as_one(self, simulated_hub: SimulatedHub, hub: VegeHub) -> None:
        meet(simulated_hub, SET, None, lambda f: f.latency(0.6, before_execution=True))
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.4):
                await water(hub, fail=True)
        assert not isinstance(caught.value, VegeHubError)
        assert states(simulated_hub) == [1, 0]

    @pytest.mark.usefixtures("insist_briefly")
    async def test_a_failed_off_is_noted_on_it(
        self, simulated_hub: SimulatedHub, caplog: pytest.LogCaptureFixture
    ) -> None:
        notes: list[str] = []

        async def program(hub: VegeHub) -> None:
            try:
                await water(hub, fail=True)
            except asyncio.CancelledError as err:
                notes.extend(err.__notes__)
                raise

        meet(simulated_hub, SET, None, lambda f: f.status(500))
        async with VegeHub(simulated_hub.address) as hub:
            task = asyncio.create_task(program(hub))
            await until(lambda: len(simulated_hub.requests) == 2)
            task.cancel()
            await asyncio.wait((task,))
        assert task.cancelled()
        assert len(notes) == 1
        judge(simulated_hub, VegeHubError(notes[0]), caplog.records)


class TestWhatIsToldOfAnOffThatFails:
    @pytest.mark.usefixtures("insist_briefly")
    async def test_after_an_on_of_unknown_outcome_names_the_time_too(
        self, simulated_hub: SimulatedHub, caplog: pytest.LogCaptureFixture
    ) -> None:
        simulated_hub.faults.drop_reply(times=1, path=SET)
        simulated_hub.faults.status(500, path=SET, after_execution=True)
        async with VegeHub(simulated_hub.address) as hub:
            with pytest.raises(VegeHubError) as caught:
                await water(hub)
        assert caught.value.outcome is Outcome.UNKNOWN
        lines = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert len(lines) == 1
        assert WHEN.search(lines[0])
        assert WHEN.search(" ".join([str(caught.value), *caught.value.__notes__]))

    @pytest.mark.usefixtures("insist_briefly")
    async def test_says_how_often_and_how_long_it_was_tried(self, simulated_hub: SimulatedHub) -> None:
        """A mismatch too is looked at again until then."""
        async with VegeHub(simulated_hub.address, simulated_hub.mac) as hub:
            block = hub.watering(0, 600)
            await block.__aenter__()
            simulated_hub.mac = "7C9EBD445566"
            hub.ip_address = hub.ip_address  # voids the proof
            with pytest.raises(VegeHubMismatchError) as caught:
                await block.__aexit__(None, None, None)
        said = re.search(r"OFF failed (\d+) times in (\d+) s", str(caught.value))
        assert said is not None
        asked = [record for record in simulated_hub.requests if record.path == INFO]
        assert int(said[1]) == len(asked) - 1 >= 2
        assert int(said[2]) <= 10
        assert caught.value.outcome is Outcome.NOT_SENT
        assert states(simulated_hub) == [1]

    async def test_a_hub_that_is_followed_to_its_new_address_is_closed_there(
        self, simulated_hub: SimulatedHub, caplog: pytest.LogCaptureFixture
    ) -> None:
        port = simulated_hub.port
        async with (
            SimulatedHub("sprinkler-ac", host="127.0.0.1", seed=7) as stranger,
            VegeHub(simulated_hub.address, simulated_hub.mac) as hub,
        ):
            block = hub.watering(0, 600)
            await block.__aenter__()
            await simulated_hub.move_to("127.0.0.2")
            await stranger.move_to("127.0.0.1", port)
            hub.ip_address = hub.ip_address  # as an announcement does: the proof is void
            leaving = asyncio.create_task(block.__aexit__(None, None, None))
            await until(lambda: len(stranger.requests) > 1)
            hub.ip_address = simulated_hub.address
            await leaving
            assert executed(stranger) == []
        assert states(simulated_hub) == [1, 0]
        assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1
