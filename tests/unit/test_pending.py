"""Commands and settings for a sleeping hub: the newest gets there when the hub wakes, and a stale ON never does."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from vegehub import (
    Outcome,
    VegeHub,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubMismatchError,
    VegeHubSessionError,
    VegeHubTimeoutError,
    VegeHubValueError,
)
from vegehub.receiving import UpdateReceiver
from vegehub.simulator import SimulatedHub
from vegehub.simulator.power import PowerState
from vegehub.sleeping import PendingQueue, PendingState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SET = "/api/actuators/set"


class Clocks:
    """The two clocks of a queue, moved by hand, together or one alone."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.moment = datetime(2025, 6, 1, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds

    def wall(self) -> datetime:
        return self.moment

    def go_on(self, seconds: float) -> None:
        self.seconds += seconds
        self.moment += timedelta(seconds=seconds)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
async def sleeper() -> AsyncIterator[SimulatedHub]:
    """A battery hub that is asleep and refuses connections."""
    async with SimulatedHub(power_mode=0, asleep_refuses=True) as hub:
        hub.sleep()
        yield hub


@pytest.fixture
async def client(sleeper: SimulatedHub) -> AsyncIterator[VegeHub]:
    async with VegeHub(sleeper.address, sleeper.mac, timeout=5) as hub:
        yield hub


@pytest.fixture
async def queue(client: VegeHub, clocks: Clocks) -> AsyncIterator[PendingQueue]:
    async with PendingQueue(client, send_delay=0.01, monotonic=clocks.monotonic, wall=clocks.wall) as queue:
        yield queue


def wake(sleeper: SimulatedHub, queue: PendingQueue) -> None:
    sleeper.wake()
    queue.notify_awake()


def commands(sleeper: SimulatedHub) -> list[tuple[int, int, float]]:
    return [
        (actuator.slot, command.state, command.duration)
        for actuator in sleeper.actuators
        for command in actuator.commands
    ]


async def until(condition: Callable[[], object]) -> None:
    """Wait for what must come; the test's own timeout ends it if it never does."""
    while not condition():  # noqa: ASYNC110 - a simulated hub has no event for it
        await asyncio.sleep(0.01)


async def settled(queue: PendingQueue) -> None:
    """Wait until the queue has nothing under way."""
    while queue._drain_task is not None:
        await asyncio.wait((queue._drain_task,))


class TestDelivery:
    async def test_command_queued_while_the_hub_sleeps_is_sent_when_it_wakes(
        self, sleeper: SimulatedHub, queue: PendingQueue
    ) -> None:
        command = queue.turn_on(1, 60, expires_in=600)
        assert command.state is PendingState.WAITING
        assert sleeper.requests == []
        wake(sleeper, queue)
        assert await command is None
        assert commands(sleeper) == [(1, 1, 60)]
        assert (command.state, command.done, command.error, command.attempts) == (PendingState.DELIVERED, True, None, 1)

    async def test_nothing_is_sent_before_the_hub_wakes(self, sleeper: SimulatedHub, queue: PendingQueue) -> None:
        sleeper.wake()
        queue.turn_off(0)
        queue.set_config("hub", {"name": "x"})
        await settled(queue)
        assert sleeper.connections_accepted == 0

    async def test_hub_is_left_alone_while_nothing_waits(self, sleeper: SimulatedHub, queue: PendingQueue) -> None:
        wake(sleeper, queue)
        await settled(queue)
        assert sleeper.connections_accepted == 0

    async def test_command_queued_while_the_hub_is_awake_is_sent_at_once(
        self, sleeper: SimulatedHub, queue: PendingQueue
    ) -> None:
        wake(sleeper, queue)
        await queue.turn_off(0, hold=timedelta(minutes=1))
        assert commands(sleeper) == [(0, 0, 60)]

    async def test_off_goes_first_then_on_then_settings(self, sleeper: SimulatedHub, queue: PendingQueue) -> None:
        waiting = [
            queue.set_config("hub", {"name": "Shed"}),
            queue.turn_on(0, 60, expires_in=600),
            queue.turn_off(1),
        ]
        assert queue.waiting == (waiting[2], waiting[1], waiting[0])
        wake(sleeper, queue)
        await asyncio.gather(*waiting)
        sent = [(request.path, request.body) for request in sleeper.requests if not request.path.endswith("/get")]
        assert sent == [
            (SET, {"target": 1, "duration": 0, "state": 0}),
            (SET, {"target": 0, "duration": 60, "state": 1}),
            ("/api/config/set", {"hub": {"name": "Shed"}}),
        ]
        assert queue.waiting == ()

    async def test_hub_that_is_not_reached_gets_it_in_its_next_wake_window(
        self, sleeper: SimulatedHub, client: VegeHub, clocks: Clocks
    ) -> None:
        async with PendingQueue(client, send_delay=0, wake_window=0.1, wall=clocks.wall) as queue:
            command = queue.turn_on(0, 60, expires_in=600)
            queue.notify_awake()
            await settled(queue)
            assert command.state is PendingState.WAITING
            assert isinstance(command.last_error, VegeHubConnectionError)
            assert command.attempts == 0
            wake(sleeper, queue)
            await command
        assert commands(sleeper) == [(0, 1, 60)]

    async def test_attempts_go_on_while_the_hub_may_be_awake(self, sleeper: SimulatedHub, queue: PendingQueue) -> None:
        sleeper.wake()
        sleeper.faults.status(500, times=2, path="/api/info/get")
        command = queue.turn_off(0)
        queue.notify_awake()
        await command
        assert commands(sleeper) == [(0, 0, 0)]

    @pytest.mark.parametrize("signal", [True, False])
    async def test_sign_of_life_during_an_attempt_is_not_lost(
        self, sleeper: SimulatedHub, client: VegeHub, clocks: Clocks, signal: bool
    ) -> None:
        sleeper.wake()
        sleeper.faults.status(500, times=1, path="/api/info/get")
        sleeper.faults.latency(0.2, times=1, path="/api/info/get")
        # The window is over when the first attempt has failed: only a signal of its own allows the second one.
        async with PendingQueue(client, send_delay=0, wake_window=0.1, wall=clocks.wall) as queue:
            command = queue.turn_off(0)
            queue.notify_awake()
            await until(lambda: sleeper.requests)
            if signal:
                queue.notify_awake()
            await settled(queue)
            assert command.done is signal

    async def test_hub_that_answers_nothing_while_it_posts_is_tried_all_the_same(
        self, sleeper: SimulatedHub, client: VegeHub, queue: PendingQueue
    ) -> None:
        may_reply, posting = asyncio.Event(), asyncio.Event()

        async def take(_: web.Request) -> web.Response:
            posting.set()
            await may_reply.wait()
            return web.Response(text="OK")

        app = web.Application()
        app.router.add_post("/", take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            sleeper.point_at(f"http://127.0.0.1:{runner.addresses[0][1]}/")
            sleeper.faults.busy_while_posting()
            sleeper.wake()
            sleeper.send_update()
            await posting.wait()
            command = queue.turn_on(0, 60, expires_in=600)
            queue.notify_awake()
            await until(lambda: sleeper.requests)
            assert commands(sleeper) == []
            may_reply.set()
            await command
        finally:
            may_reply.set()
            await runner.cleanup()
        assert commands(sleeper) == [(0, 1, 60)]

    async def test_setting_is_the_newest_of_its_section(self, sleeper: SimulatedHub, queue: PendingQueue) -> None:
        value = {"name": "A"}
        older = queue.set_config("hub", {"name": "old"})
        newer = queue.set_config("hub", value)
        other = queue.set_config("api_key", "k")
        value["name"] = "changed after it was queued"
        wake(sleeper, queue)
        await asyncio.gather(newer, other)
        with pytest.raises(VegeHubError, match="replaced"):
            await older
        assert sleeper.config["hub"]["name"] == "A"
        assert sleeper.config["api_key"] == "k"

    async def test_queued_server_gives_the_change(self, sleeper: SimulatedHub, queue: PendingQueue) -> None:
        older = queue.configure_server("http://127.0.0.1:1/secret", name="Other")
        command = queue.configure_server("http://127.0.0.1:9/secret", api_key="k", name="Shed")
        assert "secret" not in repr(command) + command.text
        wake(sleeper, queue)
        change = await command
        assert change.url == "http://127.0.0.1:9/secret"
        assert [entry["config"]["url"] for entry in sleeper.config["endpoints"] if entry["name"] == "Shed"] == [
            change.url
        ]
        assert older.state is PendingState.REPLACED


class TestUpdates:
    @pytest.fixture
    async def receiver(self) -> AsyncIterator[UpdateReceiver]:
        async with UpdateReceiver().serve("127.0.0.1", 0) as receiver:
            yield receiver

    @pytest.fixture
    async def battery_hub(self, receiver: UpdateReceiver) -> AsyncIterator[SimulatedHub]:
        """A hub that reports every 15 minutes and sleeps in between."""
        async with SimulatedHub(power_mode=0, asleep_refuses=True) as simulated:
            simulated.point_at(f"http://127.0.0.1:{receiver.port}{receiver.path}")
            await simulated.advance(800)
            assert simulated.state is PowerState.ASLEEP
            yield simulated

    async def queue_of(self, receiver: UpdateReceiver, hub: VegeHub) -> PendingQueue:
        queue = PendingQueue(hub)
        receiver.on_replied(queue.notify_awake)
        return queue

    @pytest.mark.parametrize("busy", [False, True])
    async def test_command_reaches_the_hub_in_its_next_wake_window(
        self, receiver: UpdateReceiver, battery_hub: SimulatedHub, busy: bool
    ) -> None:
        if busy:
            battery_hub.faults.busy_while_posting()
        async with VegeHub(battery_hub.address, battery_hub.mac) as hub, await self.queue_of(receiver, hub) as queue:
            off, on = queue.turn_off(0), queue.turn_on(1, 60, expires_in=3600)
            assert battery_hub.requests == []
            await battery_hub.advance(100)
            await asyncio.gather(off, on)
        assert commands(battery_hub) == [(0, 0, 0), (1, 1, 60)]
        assert receiver.counters.accepted == 1

    async def test_update_with_a_spoofed_mac_sends_no_command_to_its_sender(
        self, receiver: UpdateReceiver, battery_hub: SimulatedHub
    ) -> None:
        async with (
            SimulatedHub(host="127.0.0.5") as spoofer,
            VegeHub(battery_hub.address, battery_hub.mac) as hub,
            await self.queue_of(receiver, hub) as queue,
        ):
            command = queue.turn_on(0, 60, expires_in=3600)
            spoofer.mac = battery_hub.mac
            spoofer.point_at(f"http://127.0.0.1:{receiver.port}{receiver.path}")
            spoofer.send_update()
            await until(lambda: command.last_error)
            assert spoofer.connections_accepted == 0
            assert battery_hub.requests == []
            assert command.state is PendingState.WAITING

    async def test_update_of_another_hub_is_no_sign_of_life(
        self, receiver: UpdateReceiver, battery_hub: SimulatedHub
    ) -> None:
        async with (
            SimulatedHub(seed=7) as other,
            VegeHub(battery_hub.address, battery_hub.mac) as hub,
            await self.queue_of(receiver, hub) as queue,
        ):
            command = queue.turn_off(0)
            battery_hub.wake()
            other.point_at(f"http://127.0.0.1:{receiver.port}{receiver.path}")
            other.send_update()
            await until(lambda: receiver.counters.accepted)
            await settled(queue)
            assert command.state is PendingState.WAITING
        assert other.mac != battery_hub.mac
        assert battery_hub.connections_accepted == 0


class TestNewest:
    async def test_of_two_commands_for_one_actuator_only_the_newer_is_sent(
        self, sleeper: SimulatedHub, queue: PendingQueue
    ) -> None:
        older = queue.turn_on(0, 60, expires_in=600)
        newer = queue.turn_on(0, 90, expires_in=600)
        with pytest.raises(VegeHubError, match="replaced by a newer one") as caught:
            await older
        assert caught.value.outcome is Outcome.NOT_SENT
        assert caught.value.host == sleeper.address
        wake(sleeper, queue)
        await newer
        assert commands(sleeper) == [(0, 1, 90)]

    async def test_off_replaces_a_waiting_on(self, sleeper: SimulatedHub, queue: PendingQueue) -> None:
        on = queue.turn_on(0, 60, expires_in=600)
        off = queue.turn_off(0)
        assert (on.state, off.state) == (PendingState.REPLACED, PendingState.WAITING)
        wake(sleeper, queue)
        await off
        assert commands(sleeper) == [(0, 0, 0)]

    async def test_on_that_is_delivered_replaces_the_off_before_it(
        self, sleeper: SimulatedHub, queue: PendingQueue
    ) -> None:
        off = queue.turn_off(0)
        on = queue.turn_on(0, 60, expires_in=600)
        wake(sleeper, queue)
        await on
        with pytest.raises(VegeHubError, match="replaced"):
            await off
        assert commands(sleeper) == [(0, 1, 60)]

    @pytest.mark.parametrize("newer_on", [False, True])
    async def test_off_stands_again_when_the_on_that_took_its_place_expires(
        self, sleeper: SimulatedHub, queue: PendingQueue, clocks: Clocks, newer_on: bool
    ) -> None:
        off = queue.turn_off(0)
        on = queue.turn_on(0, 60, expires_in=600)
        if newer_on:
            on = queue.turn_on(0, 90, expires_in=600)
        clocks.go_on(601)
        wake(sleeper, queue)
        await off
        assert on.state is PendingState.EXPIRED
        assert commands(sleeper) == [(0, 0, 0)]

    async def test_off_stands_again_and_is_sent_when_the_on_is_taken_back_while_the_hub_is_awake(
        self, sleeper: SimulatedHub, queue: PendingQueue
    ) -> None:
        off = queue.turn_off(0)
        on = queue.turn_on(0, 60, expires_in=600)
        async with queue.held():
            wake(sleeper, queue)
            assert on.cancel()
            await off
        assert commands(sleeper) == [(0, 0, 0)]

    async def test_off_below_an_on_can_be_taken_back(self, sleeper: SimulatedHub, queue: PendingQueue) -> None:
        off = queue.turn_off(0)
        on = queue.turn_on(0, 60, expires_in=600)
        assert off.cancel()
        assert on.cancel()
        wake(sleeper, queue)
        await settled(queue)
        assert commands(sleeper) == []
        assert off.state is PendingState.CANCELLED

    async def test_off_replaces_an_on_and_the_off_below_it(self, sleeper: SimulatedHub, queue: PendingQueue) -> None:
        first = queue.turn_off(0)
        on = queue.turn_on(0, 60, expires_in=600)
        last = queue.turn_off(0, hold=5)
        assert (first.state, on.state) == (PendingState.REPLACED, PendingState.REPLACED)
        wake(sleeper, queue)
        await last
        assert commands(sleeper) == [(0, 0, 5)]

    async def test_off_queued_while_an_on_is_being_sent_follows_it(
        self, sleeper: SimulatedHub, queue: PendingQueue
    ) -> None:
        sleeper.faults.latency(0.1, path=SET)
        on = queue.turn_on(0, 60, expires_in=600)
        wake(sleeper, queue)
        await until(lambda: on.state is PendingState.SENDING)
        off = queue.turn_off(0)
        await on
        await off
        assert commands(sleeper) == [(0, 1, 60), (0, 0, 0)]

    async def test_off_of_unknown_outcome_goes_below_an_on_queued_meanwhile(
        self, sleeper: SimulatedHub, queue: PendingQueue
    ) -> None:
        sleeper.faults.latency(0.1, times=1, path=SET)
        sleeper.faults.status(500, after_execution=True, times=1, path=SET)
        off = queue.turn_off(0)
        wake(sleeper, queue)
        await until(lambda: off.state is PendingState.SENDING)
        on = queue.turn_on(0, 60, expires_in=600)
        await on
        assert commands(sleeper) == [(0, 0, 0), (0, 1, 60)]
        assert off.state is PendingState.REPLACED

    async def test_on_that_could_not_be_sent_gives_way_to_an_on_queued_meanwhile(self, sleeper: SimulatedHub) -> None:
        sleeper.wake()
        sleeper.faults.never_answer(times=1, path="/api/sensors/data/last")
        async with (
            VegeHub(sleeper.address, sleeper.mac, timeout=0.3) as client,
            PendingQueue(client, send_delay=0) as queue,
            VegeHub(sleeper.address, timeout=1) as other,
        ):
            await client.get_info()  # proves the MAC
            busy = asyncio.create_task(other.get_readings())
            await until(lambda: sleeper.requests[-1].path == "/api/sensors/data/last")
            older = queue.turn_on(0, 60, expires_in=600)
            queue.notify_awake()
            await until(lambda: older.state is PendingState.SENDING)  # it waits for the turn of the hub
            newer = queue.turn_on(0, 90, expires_in=600)
            await newer
            await asyncio.wait((busy,))
            assert isinstance(busy.exception(), VegeHubTimeoutError)
        assert older.state is PendingState.REPLACED
        assert older.error is not None
        assert older.error.outcome is Outcome.NOT_SENT
        assert commands(sleeper) == [(0, 1, 90)]


class TestExpiry:
    @pytest.mark.parametrize("stopped", ["monotonic", "wall", "none"])
    async def test_expired_on_is_never_sent_whichever_clock_ends_it(
        self, sleeper: SimulatedHub, queue: PendingQueue, clocks: Clocks, stopped: str
    ) -> None:
        command = queue.turn_on(0, 60, expires_in=600)
        if stopped != "monotonic":
            clocks.seconds += 600
        if stopped != "wall":
            clocks.moment += timedelta(seconds=600)
        wake(sleeper, queue)
        with pytest.raises(VegeHubTimeoutError, match="expired before the hub took it") as caught:
            await command
        assert caught.value.outcome is Outcome.NOT_SENT
        assert command.state is PendingState.EXPIRED
        await settled(queue)
        assert commands(sleeper) == []

    async def test_on_is_sent_until_then(self, sleeper: SimulatedHub, queue: PendingQueue, clocks: Clocks) -> None:
        command = queue.turn_on(0, 60, expires_at=clocks.moment + timedelta(seconds=600))
        clocks.go_on(599)
        wake(sleeper, queue)
        await command

    async def test_expiry_at_a_moment_also_ends_by_the_monotonic_clock(
        self, sleeper: SimulatedHub, queue: PendingQueue, clocks: Clocks
    ) -> None:
        zone = timezone(timedelta(hours=2))
        command = queue.turn_on(0, 60, expires_at=(clocks.moment + timedelta(hours=1)).astimezone(zone))
        assert command.expires_at == clocks.moment + timedelta(hours=1)
        assert command.queued_at == clocks.moment
        clocks.seconds += 3600  # somebody set the wall clock back meanwhile
        wake(sleeper, queue)
        with pytest.raises(VegeHubTimeoutError):
            await command

    async def test_caller_is_told_although_the_hub_never_wakes(self, sleeper: SimulatedHub, client: VegeHub) -> None:
        async with PendingQueue(client) as queue:
            off = queue.turn_off(1)
            late = queue.turn_on(2, 60, expires_in=600)
            with pytest.raises(VegeHubTimeoutError, match="expired"):
                await queue.turn_on(0, 60, expires_in=0.05)
            assert queue.waiting == (off, late)

    async def test_on_that_expires_while_the_mac_is_proved_is_not_sent(
        self, sleeper: SimulatedHub, queue: PendingQueue, clocks: Clocks
    ) -> None:
        sleeper.faults.latency(0.1, path="/api/info/get")
        command = queue.turn_on(0, 60, expires_in=600)
        wake(sleeper, queue)
        await until(lambda: sleeper.requests)
        clocks.go_on(600)
        with pytest.raises(VegeHubTimeoutError, match="expired"):
            await command
        assert commands(sleeper) == []

    async def test_on_that_expires_while_it_waits_for_its_turn_is_not_sent(
        self, sleeper: SimulatedHub, client: VegeHub
    ) -> None:
        sleeper.wake()
        await client.get_info()  # proves the MAC
        sleeper.faults.never_answer(path="/api/actuators/status")
        async with PendingQueue(client, send_delay=0) as queue, VegeHub(sleeper.address) as other:
            busy = asyncio.create_task(other.get_actuators())
            await until(lambda: sleeper.requests[-1].path == "/api/actuators/status")
            queue.notify_awake()
            with pytest.raises(VegeHubTimeoutError, match="it expired before the hub took it") as caught:
                await queue.turn_on(0, 60, expires_in=0.2)
            assert caught.value.outcome is Outcome.NOT_SENT
            busy.cancel()
            await asyncio.wait((busy,))
        assert commands(sleeper) == []

    async def test_on_that_expires_while_it_is_being_sent_is_unknown(
        self, sleeper: SimulatedHub, client: VegeHub
    ) -> None:
        sleeper.wake()
        await client.get_info()  # proves the MAC
        sleeper.faults.never_answer(path=SET)
        async with PendingQueue(client, send_delay=0) as queue:
            queue.notify_awake()
            command = queue.turn_on(0, 60, expires_in=0.3)
            with pytest.raises(VegeHubTimeoutError, match="the hub may have executed it") as caught:
                await command
        assert caught.value.outcome is Outcome.UNKNOWN
        assert command.state is PendingState.FAILED

    async def test_off_never_expires(self, sleeper: SimulatedHub, queue: PendingQueue, clocks: Clocks) -> None:
        command = queue.turn_off(0)
        clocks.go_on(365 * 86_400)
        wake(sleeper, queue)
        await command
        assert command.expires_at is None


class TestFailures:
    async def test_on_whose_reply_is_lost_is_unknown_and_not_sent_again(
        self, sleeper: SimulatedHub, queue: PendingQueue
    ) -> None:
        sleeper.faults.never_answer(after_execution=True, path=SET)
        async with (
            VegeHub(sleeper.address, sleeper.mac, timeout=0.3) as impatient,
            PendingQueue(impatient, send_delay=0) as queue,
        ):
            command = queue.turn_on(0, 60, expires_in=600)
            wake(sleeper, queue)
            with pytest.raises(VegeHubTimeoutError) as caught:
                await command
            assert caught.value.outcome is Outcome.UNKNOWN
            assert command.state is PendingState.FAILED
            sleeper.faults.clear()
            queue.notify_awake()
            await settled(queue)
        assert commands(sleeper) == [(0, 1, 60)]

    async def test_off_whose_reply_is_lost_is_repeated(self, sleeper: SimulatedHub, queue: PendingQueue) -> None:
        sleeper.faults.drop_reply(times=3, path=SET)
        command = queue.turn_off(0)
        wake(sleeper, queue)
        await command
        assert set(commands(sleeper)) == {(0, 0, 0)}
        assert command.attempts > 1

    async def test_off_that_the_hub_could_not_execute_is_repeated(
        self, sleeper: SimulatedHub, queue: PendingQueue
    ) -> None:
        sleeper.faults.status(500, times=1, path=SET)
        command = queue.turn_off(0)
        wake(sleeper, queue)
        await command
        assert commands(sleeper) == [(0, 0, 0)]

    async def test_setting_whose_reply_is_lost_is_repeated(self, sleeper: SimulatedHub, queue: PendingQueue) -> None:
        sleeper.faults.drop_reply(times=2, path="/api/config/set")
        command = queue.set_config("api_key", "k")
        wake(sleeper, queue)
        await command
        assert command.attempts == 2

    @pytest.mark.parametrize("kind", ["on", "off", "setting"])
    async def test_what_the_hub_refuses_is_reported_and_not_repeated(
        self, sleeper: SimulatedHub, queue: PendingQueue, kind: str
    ) -> None:
        sleeper.faults.error_in_200("no such thing", path=SET)
        sleeper.faults.error_in_200("no such thing", path="/api/config/set")
        command: Any = {
            "on": lambda: queue.turn_on(0, 60, expires_in=600),
            "off": lambda: queue.turn_off(0),
            "setting": lambda: queue.set_config("api_key", "k"),
        }[kind]()
        wake(sleeper, queue)
        with pytest.raises(VegeHubConnectionError, match="no such thing") as caught:
            await command
        assert caught.value.outcome is Outcome.REJECTED
        assert command.error is caught.value
        assert command.attempts == 1
        assert queue.waiting == ()

    async def test_failure_of_one_command_does_not_keep_the_next_from_being_sent(
        self, sleeper: SimulatedHub, queue: PendingQueue
    ) -> None:
        sleeper.faults.status(400, times=1, path=SET)
        first, second = queue.turn_on(0, 60, expires_in=600), queue.turn_on(1, 60, expires_in=600)
        wake(sleeper, queue)
        await second
        assert first.state is PendingState.FAILED

    async def test_another_hub_at_the_address_gets_nothing_and_is_asked_once(
        self, sleeper: SimulatedHub, queue: PendingQueue, clocks: Clocks
    ) -> None:
        own = sleeper.mac
        sleeper.mac = "7C9EBD999999"
        command = queue.turn_on(0, 60, expires_in=600)
        wake(sleeper, queue)
        await settled(queue)
        assert isinstance(command.last_error, VegeHubMismatchError)
        assert [request.path for request in sleeper.requests] == ["/api/info/get"]
        assert commands(sleeper) == []
        sleeper.mac = own
        queue.notify_awake()
        await command

    async def test_what_cannot_be_done_before_a_send_ends_an_on_and_never_holds_an_off(
        self, sleeper: SimulatedHub, client: VegeHub
    ) -> None:
        async def fails(_: object) -> None:
            raise OSError("disk full")

        async with PendingQueue(client, send_delay=0, before_send=fails) as queue:
            on, off = queue.turn_on(0, 60, expires_in=600), queue.turn_off(1)
            wake(sleeper, queue)
            await off
            with pytest.raises(VegeHubError, match="disk full") as caught:
                await on
        assert caught.value.outcome is Outcome.NOT_SENT
        assert (on.state, on.attempts) == (PendingState.FAILED, 0)
        assert commands(sleeper) == [(1, 0, 0)]

    async def test_another_hub_that_appears_between_proof_and_command_gets_nothing(
        self, sleeper: SimulatedHub, client: VegeHub
    ) -> None:
        async def stranger_comes(_: object) -> None:
            sleeper.mac = "7C9EBD999999"
            client.ip_address = sleeper.address  # voids the proof

        async with PendingQueue(client, send_delay=0, before_send=stranger_comes) as queue:
            command = queue.turn_on(0, 60, expires_in=600)
            wake(sleeper, queue)
            await settled(queue)
            assert (command.state, command.attempts) == (PendingState.WAITING, 1)
            assert isinstance(command.last_error, VegeHubMismatchError)
        assert commands(sleeper) == []

    async def test_expiry_tells_what_the_last_attempt_met(
        self, sleeper: SimulatedHub, queue: PendingQueue, clocks: Clocks
    ) -> None:
        sleeper.mac = "7C9EBD999999"
        command = queue.turn_on(0, 60, expires_in=600)
        wake(sleeper, queue)
        await settled(queue)
        clocks.go_on(600)
        queue.notify_awake()
        with pytest.raises(VegeHubTimeoutError, match=r"the last attempt: .*7C9EBD999999") as caught:
            await command
        assert isinstance(caught.value.__cause__, VegeHubMismatchError)

    async def test_actuator_that_the_hub_does_not_have_is_reported(
        self, sleeper: SimulatedHub, client: VegeHub, queue: PendingQueue
    ) -> None:
        sleeper.wake()
        await client.get_info()
        command = queue.turn_on(7, 60, expires_in=600)
        wake(sleeper, queue)
        with pytest.raises(VegeHubValueError, match="no actuator 7"):
            await command

    async def test_closed_session_is_reported(self, sleeper: SimulatedHub) -> None:
        import aiohttp

        session = aiohttp.ClientSession()
        await session.close()
        async with PendingQueue(VegeHub(sleeper.address, session=session), send_delay=0) as queue:
            command = queue.turn_off(0)
            queue.notify_awake()
            with pytest.raises(VegeHubSessionError):
                await command

    async def test_follows_the_hub_to_a_new_address(self, sleeper: SimulatedHub, queue: PendingQueue) -> None:
        async with SimulatedHub() as elsewhere:
            elsewhere.mac = sleeper.mac
            command = queue.turn_off(0)
            queue._hub.ip_address = elsewhere.address
            queue.notify_awake()
            await command
            assert commands(elsewhere) == [(0, 0, 0)]
        assert sleeper.connections_accepted == 0


class TestHandle:
    async def test_taken_back_command_is_not_sent(self, sleeper: SimulatedHub, queue: PendingQueue) -> None:
        command = queue.turn_on(0, 60, expires_in=600)
        assert command.cancel()
        assert not command.cancel()
        with pytest.raises(VegeHubError, match="taken back") as caught:
            await command
        assert caught.value.outcome is Outcome.NOT_SENT
        wake(sleeper, queue)
        await settled(queue)
        assert commands(sleeper) == []

    async def test_delivered_command_cannot_be_taken_back(self, sleeper: SimulatedHub, queue: PendingQueue) -> None:
        command = queue.turn_off(0)
        wake(sleeper, queue)
        await command
        assert not command.cancel()
        assert command.state is PendingState.DELIVERED

    async def test_may_be_awaited_more_than_once(self, sleeper: SimulatedHub, queue: PendingQueue) -> None:
        command = queue.turn_off(0)
        waiting = [asyncio.ensure_future(command) for _ in range(3)]
        wake(sleeper, queue)
        assert await asyncio.gather(*waiting, command) == [None] * 4

    async def test_cancelled_waiter_does_not_take_it_back(self, sleeper: SimulatedHub, queue: PendingQueue) -> None:
        command = queue.turn_off(0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await command
        assert command.state is PendingState.WAITING
        wake(sleeper, queue)
        await command

    async def test_failure_that_nobody_asks_for_makes_no_noise(
        self, sleeper: SimulatedHub, queue: PendingQueue, clocks: Clocks
    ) -> None:
        queue.turn_on(0, 60, expires_in=600)
        clocks.go_on(600)
        queue.turn_on(1, 60, expires_in=600)  # the leak guard listens for exceptions that nobody retrieved

    async def test_handles_of_one_command_are_equal(self, sleeper: SimulatedHub, queue: PendingQueue) -> None:
        command, other = queue.turn_off(0), queue.turn_off(1)
        assert queue.waiting == (command, other)
        assert command != other
        assert {command, *queue.waiting} == {command, other}
        assert command != "OFF"
        assert repr(command) == "<PendingCommand OFF to actuator 0: waiting>"
        assert repr(queue) == f"<PendingQueue of http://{sleeper.address}: 2 waiting>"


class TestHeld:
    async def test_only_off_is_sent_while_held(self, sleeper: SimulatedHub, queue: PendingQueue) -> None:
        on, off = queue.turn_on(0, 60, expires_in=600), queue.turn_off(1)
        async with queue.held():
            wake(sleeper, queue)
            await off
            await settled(queue)
            assert on.state is PendingState.WAITING
        await on
        assert commands(sleeper) == [(0, 1, 60), (1, 0, 0)]

    async def test_begins_when_what_is_being_sent_has_arrived(self, sleeper: SimulatedHub, queue: PendingQueue) -> None:
        sleeper.faults.latency(0.1, path=SET)
        on = queue.turn_on(0, 60, expires_in=600)
        wake(sleeper, queue)
        await until(lambda: on.state is PendingState.SENDING)
        async with queue.held():
            assert on.state is PendingState.DELIVERED

    async def test_that_begins_during_the_proof_keeps_the_command_back(
        self, sleeper: SimulatedHub, queue: PendingQueue
    ) -> None:
        sleeper.faults.latency(0.1, path="/api/info/get")
        on = queue.turn_on(0, 60, expires_in=600)
        wake(sleeper, queue)
        await until(lambda: sleeper.requests)
        async with queue.held():
            await settled(queue)
            assert on.state is PendingState.WAITING
        await on


class TestEnd:
    async def test_close_ends_what_waits_with_not_sent(self, sleeper: SimulatedHub, queue: PendingQueue) -> None:
        waiting = [
            queue.turn_off(0),
            queue.turn_on(0, 60, expires_in=600),
            queue.turn_off(1),
            queue.set_config("api_key", "k"),
        ]
        await queue.close()
        await queue.close()
        for command in waiting:
            with pytest.raises(VegeHubError, match="closed") as caught:
                await command
            assert caught.value.outcome is Outcome.NOT_SENT
            assert command.state is PendingState.CLOSED
        wake(sleeper, queue)
        await settled(queue)
        assert sleeper.connections_accepted == 0

    async def test_closed_queue_takes_nothing(self, queue: PendingQueue) -> None:
        await queue.close()
        with pytest.raises(VegeHubError, match="not queued") as caught:
            queue.turn_off(0)
        assert caught.value.outcome is Outcome.NOT_SENT

    async def test_close_waits_for_the_command_that_is_being_sent(
        self, sleeper: SimulatedHub, queue: PendingQueue
    ) -> None:
        sleeper.faults.latency(0.1, path=SET)
        command, next_one = queue.turn_off(0), queue.turn_off(1)
        wake(sleeper, queue)
        await until(lambda: sleeper.requests and sleeper.requests[-1].path == SET)
        await queue.close()
        assert (command.state, next_one.state) == (PendingState.DELIVERED, PendingState.CLOSED)

    async def test_command_that_fails_while_the_queue_closes_keeps_its_outcome(
        self, sleeper: SimulatedHub, queue: PendingQueue
    ) -> None:
        sleeper.faults.latency(0.1, path=SET)
        sleeper.faults.drop_reply(path=SET)
        command = queue.turn_off(0)
        wake(sleeper, queue)
        await until(lambda: sleeper.requests and sleeper.requests[-1].path == SET)
        await queue.close()
        with pytest.raises(VegeHubConnectionError) as caught:
            await command
        assert caught.value.outcome is Outcome.UNKNOWN

    async def test_close_does_not_wait_for_a_hub_that_does_not_answer(
        self, sleeper: SimulatedHub, clocks: Clocks
    ) -> None:
        sleeper.faults.never_answer()
        # With its deadline of an hour a call that close() waited for would outlast the test.
        async with VegeHub(sleeper.address, sleeper.mac, timeout=3600) as hub:
            queue = PendingQueue(hub, send_delay=0)
            queue.turn_off(0)
            wake(sleeper, queue)
            await until(lambda: sleeper.requests)
            await queue.close()

    @pytest.mark.parametrize("kind", ["on", "off"])
    async def test_drain_that_is_cancelled_leaves_no_caller_waiting_for_ever(
        self, sleeper: SimulatedHub, queue: PendingQueue, kind: str
    ) -> None:
        sleeper.faults.never_answer(times=1, path=SET)
        command = queue.turn_off(0) if kind == "off" else queue.turn_on(0, 60, expires_in=600)
        wake(sleeper, queue)
        await until(lambda: sleeper.requests and sleeper.requests[-1].path == SET)
        assert queue._drain_task is not None
        queue._drain_task.cancel()
        await settled(queue)
        if kind == "on":
            with pytest.raises(VegeHubTimeoutError) as caught:
                await command
            assert caught.value.outcome is Outcome.UNKNOWN
        else:
            assert command.state is PendingState.WAITING
            queue.notify_awake()
            await command

    def test_nothing_leaks_when_the_loop_ends_under_a_queue(self) -> None:
        program = """
import asyncio
from vegehub import VegeHub
from vegehub.sleeping import PendingQueue
from vegehub.receiving import UpdateReceiver
from vegehub.simulator import SimulatedHub
from vegehub.simulator.power import PowerState

async def main():
    hub = SimulatedHub()
    await hub.start()
    hub.faults.never_answer()
    queue = PendingQueue(VegeHub(hub.address, hub.mac), send_delay=0)
    queue.turn_on(0, 60, expires_in=600)
    queue.turn_off(1)
    queue.notify_awake()
    while not hub.requests:
        await asyncio.sleep(0.01)
    await hub.stop()

asyncio.run(main())
"""
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-c", program], check=False, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, "")


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ({}, "either expires_in or expires_at"),
            ({"expires_in": 1, "expires_at": datetime(2025, 6, 1, 13, tzinfo=UTC)}, "either expires_in or expires_at"),
            ({"expires_in": 0}, "more than 0"),
            ({"expires_in": -1}, "expires_in must be"),
            ({"expires_in": float("nan")}, "expires_in must be"),
            ({"expires_in": 604_801}, "expires_in must be"),
            ({"expires_in": True}, "expires_in must be"),
            ({"expires_at": datetime(2025, 6, 1, 13)}, "aware"),  # noqa: DTZ001 - naive by intent
            ({"expires_at": 600}, "aware"),
            ({"expires_at": datetime(2025, 6, 1, 12, tzinfo=UTC)}, "future"),
            ({"expires_at": datetime(2025, 6, 9, tzinfo=UTC)}, "a week at most"),
        ],
    )
    async def test_bad_expiry_is_refused(self, queue: PendingQueue, arguments: Any, text: str) -> None:
        with pytest.raises(VegeHubValueError, match=text) as caught:
            queue.turn_on(0, 60, **arguments)
        assert caught.value.outcome is Outcome.NOT_SENT
        assert queue.waiting == ()

    async def test_duration_is_limited_as_the_hub_says(self, sleeper: SimulatedHub) -> None:
        queue = PendingQueue(VegeHub(sleeper.address, max_on=100))
        for duration in (0, 101, float("inf"), "60"):
            with pytest.raises(VegeHubValueError, match="duration must be 1 to 100 seconds"):
                queue.turn_on(0, duration, expires_in=60)

    @pytest.mark.parametrize("slot", [-1, 1.0, True, "0"])
    async def test_bad_slot_is_refused(self, queue: PendingQueue, slot: Any) -> None:
        with pytest.raises(VegeHubValueError, match="slot"):
            queue.turn_on(slot, 60, expires_in=60)
        with pytest.raises(VegeHubValueError, match="slot"):
            queue.turn_off(slot)

    async def test_bad_hold_is_refused(self, queue: PendingQueue) -> None:
        with pytest.raises(VegeHubValueError, match="hold"):
            queue.turn_off(0, hold=-1)

    async def test_bad_settings_are_refused(self, queue: PendingQueue) -> None:
        for section, value in ((1, {}), ("hub", None), ("error", "x"), ("hub", {"x": object()})):
            with pytest.raises(VegeHubValueError):
                queue.set_config(section, value)  # type: ignore[arg-type]
        for url, options in (("ftp://x", {}), ("http://x", {"name": ""}), ("http://x", {"api_key": 1})):
            with pytest.raises(VegeHubValueError):
                queue.configure_server(url, **options)  # type: ignore[arg-type]
        assert queue.waiting == ()

    async def test_bad_times_are_refused(self, client: VegeHub) -> None:
        for options in ({"send_delay": -1}, {"wake_window": float("inf")}):
            with pytest.raises(VegeHubValueError):
                PendingQueue(client, **options)
