"""The model test can fail: clients that are broken on purpose are caught, each in its kind."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from model.many import program_of, report, run, shortest
from model.programs import Call, Cancel, Fault, Program, Step

from vegehub import (
    Outcome,
    PendingQueue,
    VegeHub,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubMismatchError,
    VegeHubTimeoutError,
)
from vegehub.testing import LeakGuard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class SaysNotSent(VegeHub):
    async def turn_on(self, *args: Any, **kwargs: Any) -> None:
        await super().turn_on(*args, **kwargs)
        raise VegeHubConnectionError("lost", host=self.ip_address, outcome=Outcome.NOT_SENT)


class SaysRejected(VegeHub):
    async def set_actuator(self, *args: Any, **kwargs: Any) -> bool:
        await super().set_actuator(*args, **kwargs)
        raise VegeHubConnectionError("no", host=self.ip_address, outcome=Outcome.REJECTED)


class SaysUnknown(VegeHub):
    async def turn_on(self, *args: Any, **kwargs: Any) -> None:
        raise VegeHubTimeoutError("who knows", host=self.ip_address, outcome=Outcome.UNKNOWN)


class SaysDone(VegeHub):
    async def turn_off(self, *args: Any, **kwargs: Any) -> None:
        pass


class NeverCloses(VegeHub):
    def watering(self, slot: int, duration: Any) -> Any:
        @asynccontextmanager
        async def block() -> AsyncIterator[None]:
            await self.turn_on(slot, duration)
            yield

        return block()


class Trusting(VegeHub):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, verify_mac=False)


class Swallows(VegeHub):
    async def get_info(self) -> Any:
        try:
            return await super().get_info()
        except asyncio.CancelledError:
            return None


class RaisesItsOwn(VegeHub):
    async def get_info(self) -> Any:
        raise KeyError("wifi")


class LeavesATask(VegeHub):
    async def get_info(self) -> Any:
        self.entities["task"] = asyncio.create_task(asyncio.sleep(0.3))
        return await super().get_info()


class LeavesATimer(VegeHub):
    async def get_info(self) -> Any:
        asyncio.get_running_loop().call_later(0.3, print)
        return await super().get_info()


class LeavesItsSession(VegeHub):
    async def close(self) -> None:
        pass


class Hangs(VegeHub):
    async def get_info(self) -> Any:
        await asyncio.sleep(60)


class ReadsThatMayHaveActed(VegeHub):
    async def get_info(self) -> Any:
        raise VegeHubTimeoutError("the hub may have executed it", host=self.ip_address, outcome=Outcome.UNKNOWN)


class Rebinds(VegeHub):
    async def get_info(self) -> Any:
        await self.retrieve_mac_address()
        return await super().get_info()


class Waits(VegeHub):
    async def turn_off(self, *args: Any, **kwargs: Any) -> None:
        for _ in range(4):
            await self.get_readings()
        await super().turn_off(*args, **kwargs)


class ReadsThenWrites(VegeHub):
    async def configure_server(self, url: str, **kwargs: Any) -> Any:
        endpoints = (await self.get_config("endpoints"))["endpoints"]
        await asyncio.sleep(0.05)
        await self.set_config({"endpoints": [*endpoints, {"id": 9, "name": "ours", "config": {"url": url}}]})


class SaysMaybe(VegeHub):
    async def set_actuator(self, *args: Any, **kwargs: Any) -> bool:
        try:
            return await super().set_actuator(*args, **kwargs)
        except VegeHubError as err:
            err.outcome = Outcome.UNKNOWN
            raise


class NamesNoHub(VegeHub):
    async def get_info(self) -> Any:
        raise VegeHubConnectionError("gone", outcome=Outcome.NOT_SENT)


class NamesNoMacs(VegeHub):
    async def get_info(self) -> Any:
        raise VegeHubMismatchError("another hub", host=self.ip_address)


class CancelsItself(VegeHub):
    async def get_info(self) -> Any:
        raise asyncio.CancelledError


class LeavesATimerWhenClosed(VegeHub):
    async def close(self) -> None:
        await super().close()
        asyncio.get_running_loop().call_later(0.3, print)


class Forgets(VegeHub):
    class queue_class(PendingQueue):  # noqa: N801 - found by this name
        def notify_awake(self, update: Any = None) -> None:
            pass


class ShowsNothing(VegeHub):
    class queue_class(PendingQueue):  # noqa: N801 - found by this name
        waiting = ()


TAKEN_OVER = ((1, Fault("another_hub", (2,))),)
CASES = [
    ("executed, reported NOT_SENT", SaysNotSent, Step((Call("turn_on", mark=101),))),
    ("executed, reported NOT_SENT", SaysNotSent, Step((Call("get_info"), Call("turn_on", mark=101)))),
    ("executed, reported REJECTED", SaysRejected, Step((Call("set_actuator_on", mark=101),))),
    ("UNKNOWN, though nothing with an effect had left", SaysUnknown, Step((Call("turn_on", mark=101),))),
    ("returned, not executed", SaysDone, Step((Call("turn_off", mark=101),))),
    ("does not recover", SaysDone, Step((Call("turn_on", mark=101),))),
    ("valve left on", NeverCloses, Step((Call("watering", mark=101),))),
    ("valve left on", NeverCloses, Step((Call("watering", mark=101, block="error"),))),
    ("written at another hub", Trusting, Step((Call("restore_config", mark=101),), move=0)),
    ("cancellation lost", Swallows, Step((Call("get_info", cancels=(Cancel(1),)),))),
    ("error outside the tree", RaisesItsOwn, Step((Call("get_info"),))),
    ("task left after a call", LeavesATask, Step((Call("get_info"),))),
    ("timer left after a call", LeavesATimer, Step((Call("get_info"),))),
    ("hangs", Hangs, Step((Call("get_info"),))),
    ("read reported UNKNOWN", ReadsThatMayHaveActed, Step((Call("get_info"),))),
    ("text of a read speaks of execution", ReadsThatMayHaveActed, Step((Call("get_info"),))),
    (
        "refused, reported UNKNOWN",
        SaysMaybe,
        Step((Call("set_actuator_on", mark=101),), ((1, Fault("status", (400,))),)),
    ),
    ("error names no hub", NamesNoHub, Step((Call("get_info"),))),
    ("mismatch does not name the MACs", NamesNoMacs, Step((Call("get_info"),))),
    ("cancelled without being asked to", CancelsItself, Step((Call("get_info"),))),
    ("timer left after close", LeavesATimerWhenClosed, Step((Call("get_info"),))),
    ("OFF behind readers", Waits, Step((Call("poll"), Call("poll"), Call("turn_off", mark=101)), latency=0.03)),
    (
        "configuration lost",
        ReadsThenWrites,
        Step(tuple(Call("configure_another", slot=host, mark=90 + host) for host in (11, 12))),
    ),
    ("queued command not delivered", Forgets, Step((Call("queue_turn_off", mark=101),))),
    ("says WAITING, is not in waiting", ShowsNothing, Step((Call("queue_turn_off", mark=101),))),
    ("known MAC replaced", Rebinds, Step((Call("get_info"),), TAKEN_OVER)),
]


@pytest.mark.parametrize(("kind", "broken", "step"), CASES, ids=[f"{case[1].__name__}: {case[0]}" for case in CASES])
def test_a_broken_client_is_caught(
    kind: str, broken: type[VegeHub], step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.play.PATIENCE", 2.0)
    monkeypatch.setattr("model.play.LIVENESS", 1.0)
    summary = run([Program(1, (step,))], broken)
    assert kind in summary.kinds, report(summary, shrink=0)


def test_a_stranger_after_a_failed_call_is_caught() -> None:
    steps = (
        Step((Call("get_readings"),), ((1, Fault("status", (500,))),)),
        Step((Call("turn_on", mark=101),), stranger=2),
    )
    assert "written at another hub" in run([Program(1, steps)], Trusting).kinds
    # Nothing failed: the stranger does not come.
    assert "written at another hub" not in run([Program(1, (replace(steps[0], faults=()), steps[1]))], Trusting).kinds


def test_a_valve_that_is_left_on_by_a_dead_hub_and_not_told_of_is_caught() -> None:
    summary = run([program_of(seed, dying=True) for seed in range(4)], NeverCloses)
    assert summary.kinds["valve left on"] > 0


def test_histories_leave_nothing_in_the_process() -> None:
    with LeakGuard():
        run(program_of(seed) for seed in range(20_000, 20_020))


def test_a_session_that_stays_open_is_caught() -> None:
    summary = run([Program(1, (Step((Call("get_info"),)),), owned=True)], LeavesItsSession)
    assert "session left after close" in summary.kinds
    assert "connection left after close" in summary.kinds


def test_what_is_printed_is_the_shortest_program_with_its_seed() -> None:
    steps = (
        Step((Call("get_readings"),), ((1, Fault("status", (500,))),)),
        Step((Call("turn_on", mark=101, confirm=True),), ((3, Fault("split_body")), (5, Fault("chunked")))),
        Step((Call("get_info"),)),
    )
    kind = "executed, reported NOT_SENT"
    found = shortest(Program(77, steps, owned=True, knows_info=False), kind, SaysNotSent)
    assert found is not None
    assert found.program == Program(77, (Step((Call("turn_on", mark=101),)),))
    summary = run([found.program], SaysNotSent)
    text = report(summary, SaysNotSent)
    assert f"seed 77: {kind}" in text
    assert "    turn_on(0, 101)\n    => turn_on(0, 101) -> VegeHubConnectionError NOT_SENT: lost" in text


def test_a_healthy_hub_and_a_sound_client_break_nothing() -> None:
    calls = [
        *("get_info", "get_actuators", "get_readings", "get_config", "actuator_states", "list_servers"),
        *("retrieve_mac_address", "set_actuator_on", "set_actuator_off", "turn_on", "turn_off", "watering"),
        *("setup", "configure_server", "remove_server", "set_config", "restore_config", "set_time", "reconnect_wifi"),
        *("request_update", "queue_turn_off", "notify_awake", "queue_close"),
    ]
    steps = tuple(Step((Call(name, mark=number),)) for number, name in enumerate(calls, 101))
    programs = [Program(seed, steps, owned=seed % 2 == 1) for seed in range(4)]
    managed = tuple(
        Step((Call(name, mark=number),))
        for number, name in enumerate(
            ("manager_get_info", "manager_turn_on", "manager_turn_off", "queue_turn_off", "notify_awake"), 101
        )
    )
    summary = run([*programs, Program(5, managed, managed=True)])
    assert not summary.failed
    assert not summary.kinds, report(summary, shrink=0)
