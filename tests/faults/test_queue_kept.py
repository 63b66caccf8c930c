"""What the queue says of a command is so, and what it says will come does come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from faults.scripted import READINGS, SET, executed, meet, states
from raw_hub import until

from vegehub import Outcome, PendingQueue, PendingState, VegeHub, VegeHubError, VegeHubTimeoutError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from faults.scripted import Step

    from vegehub.simulator import SimulatedHub


@pytest.fixture
async def client(simulated_hub: SimulatedHub) -> AsyncIterator[VegeHub]:
    """A client whose proof stands and whose connection will be used again."""
    async with VegeHub(simulated_hub.address, simulated_hub.mac, timeout=5) as hub:
        await hub.get_info()
        yield hub


@pytest.fixture
async def queue(client: VegeHub) -> AsyncIterator[PendingQueue]:
    async with PendingQueue(client, send_delay=0, wake_window=60) as queue:
        yield queue


AFTER_EXECUTION: dict[str, tuple[Step, ...]] = {
    "unreachable": (lambda f: f.unreachable_afterwards(0.3, times=1),),
    "refused when sent again": (lambda f: f.drop_reply(times=1), lambda f: f.status(503, times=1)),
    "refused in words when sent again": (lambda f: f.drop_reply(times=1), lambda f: f.error_in_200("busy", times=1)),
    "500": (lambda f: f.status(500, after_execution=True, times=1),),
    "cut off": (lambda f: f.reset_in_body(times=1),),
}


class TestOnThatMayHaveBeenExecuted:
    @pytest.mark.parametrize("fault", AFTER_EXECUTION)
    async def test_is_unknown_and_never_sent_a_second_time(
        self, simulated_hub: SimulatedHub, queue: PendingQueue, fault: str
    ) -> None:
        meet(simulated_hub, SET, *AFTER_EXECUTION[fault])
        queue.notify_awake()
        on = queue.turn_on(0, 600, expires_in=60)
        with pytest.raises(VegeHubError) as caught:
            await on
        assert caught.value.outcome is Outcome.UNKNOWN
        assert on.state is PendingState.FAILED
        await queue.turn_off(0)  # the hub is back
        assert states(simulated_hub) == [1, 0]

    @pytest.mark.parametrize("fault", AFTER_EXECUTION)
    async def test_an_off_is_sent_until_the_hub_takes_it(
        self, simulated_hub: SimulatedHub, client: VegeHub, fault: str
    ) -> None:
        await client.set_actuator(1, 0, 600)
        steps: list[Step] = [lambda f: f.drop_reply(after_execution=False, times=1), *AFTER_EXECUTION[fault][:1]]
        meet(simulated_hub, SET, *steps)
        async with PendingQueue(client, send_delay=0) as queue:
            queue.notify_awake()
            off = queue.turn_off(0)
            await off
        assert off.state is PendingState.DELIVERED
        assert not simulated_hub.actuators[0].is_on


class TestOnThatExpiresWhileItWaitsForItsTurn:
    @pytest.mark.parametrize("users", ["the same object", "another object"])
    async def test_was_not_sent_whoever_uses_the_hub_meanwhile(
        self, simulated_hub: SimulatedHub, client: VegeHub, queue: PendingQueue, users: str
    ) -> None:
        """And the OFF that it hid comes back, and is sent."""
        async with VegeHub(simulated_hub.address, timeout=30) as other:
            reader = client if users == "the same object" else other
            simulated_hub.faults.latency(0.3, path=READINGS)
            reading = [asyncio.create_task(reader.get_readings()) for _ in range(4)]
            await until(lambda: simulated_hub.requests[-1].path == READINGS)
            off = queue.turn_off(0)
            on = queue.turn_on(0, 600, expires_in=0.5)
            queue.notify_awake()
            with pytest.raises(VegeHubTimeoutError, match="expired") as caught:
                await on
            assert on.state is PendingState.EXPIRED
            assert caught.value.outcome is Outcome.NOT_SENT
            await off
            await asyncio.gather(*reading)
        assert off.state is PendingState.DELIVERED
        assert [body["state"] for body in executed(simulated_hub, SET)] == [0]

    async def test_was_sent_if_it_is_its_own_request_that_is_cut_short(
        self, simulated_hub: SimulatedHub, queue: PendingQueue
    ) -> None:
        meet(simulated_hub, SET, lambda f: f.never_answer(after_execution=True, times=1))
        queue.notify_awake()
        off = queue.turn_off(0)
        on = queue.turn_on(0, 600, expires_in=0.4)
        with pytest.raises(VegeHubError, match=r"no answer within 0\.\d+ s .*may have executed") as caught:
            await on
        assert caught.value.outcome is Outcome.UNKNOWN
        # It replaced what it hid; a new one is the caller's to send.
        assert off.state is PendingState.REPLACED
        assert states(simulated_hub) == [1]


class TestOffUnderAnOnThatIsBeingSent:
    async def under_way(
        self, simulated: SimulatedHub, queue: PendingQueue, step: Callable[..., None]
    ) -> tuple[object, object]:
        def late(faults: object) -> None:
            simulated.faults.latency(0.2, times=1)
            step(faults)

        meet(simulated, SET, late)
        off = queue.turn_off(0)
        on = queue.turn_on(0, 60, expires_in=60)
        queue.notify_awake()
        await until(lambda: any(record.path == SET for record in simulated.requests))
        assert on.state is PendingState.SENDING
        return off, on

    async def test_waits_and_is_shown_to_wait(self, simulated_hub: SimulatedHub, queue: PendingQueue) -> None:
        off, on = await self.under_way(simulated_hub, queue, lambda _: None)
        assert off.state is PendingState.WAITING
        assert queue.waiting == (off,)
        await on
        assert off.state is PendingState.REPLACED
        assert queue.waiting == ()
        assert states(simulated_hub) == [1]

    @pytest.mark.parametrize("refused", [False, True])
    async def test_can_be_taken_back(self, simulated_hub: SimulatedHub, queue: PendingQueue, refused: bool) -> None:
        off, on = await self.under_way(
            simulated_hub, queue, (lambda f: f.status(503, times=1)) if refused else (lambda _: None)
        )
        assert off.cancel()
        assert off.state is PendingState.CANCELLED
        assert not off.cancel()
        assert not on.cancel()
        if refused:
            with pytest.raises(VegeHubError):
                await on
        else:
            await on
        assert queue.waiting == ()
        assert states(simulated_hub) == ([] if refused else [1])

    async def test_is_sent_if_that_on_is_refused(self, simulated_hub: SimulatedHub, queue: PendingQueue) -> None:
        off, on = await self.under_way(simulated_hub, queue, lambda f: f.status(503, times=1))
        with pytest.raises(VegeHubError):
            await on
        await off
        assert off.state is PendingState.DELIVERED
        assert states(simulated_hub) == [0]


@pytest.mark.parametrize("last", ["error of the last attempt", "error that ends it"])
async def test_what_an_attempt_met_keeps_its_flags(simulated_hub: SimulatedHub, client: VegeHub, last: str) -> None:
    async with PendingQueue(client, send_delay=0) as queue:
        simulated_hub.faults.connection_close(times=1)
        await client.get_actuators()
        simulated_hub.faults.refuse()
        on = queue.turn_on(0, 60, expires_in=0.5 if last == "error that ends it" else 60)
        queue.notify_awake()
        if last == "error that ends it":
            with pytest.raises(VegeHubTimeoutError) as caught:
                await on
            assert caught.value.may_be_asleep
        else:
            await until(lambda: on.last_error is not None and on.last_error.unreachable)
            assert not on.last_error.may_be_asleep
