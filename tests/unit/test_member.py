"""What a member of a manager learns of its hub, keeps of its actuators, and knows of who uses it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from raw_hub import until

from vegehub import (
    DiscoveredHub,
    HubManager,
    Outcome,
    PresenceState,
    VegeHubError,
    VegeHubMismatchError,
    VegeHubTimeoutError,
    VegeHubValueError,
    parse_update,
)
from vegehub.fleet import member as member_module
from vegehub.simulator import SimulatedHub, Simulation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from vegehub import ManagerEvent, Update, VegeHub
    from vegehub.fleet import Member

LONG = 600.0
"""A timeout that no test waits for."""
FIRST = 0
"""The first actuator, as commands count them."""


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_module, "ASK_DELAY", 0.01)


@pytest.fixture
async def simulation() -> AsyncIterator[Simulation]:
    async with Simulation(seed=1) as simulation:
        yield simulation


@pytest.fixture
async def manager() -> AsyncIterator[HubManager]:
    async with HubManager() as manager:
        yield manager


@pytest.fixture
async def hub(simulation: Simulation) -> SimulatedHub:
    return await simulation.add_hub()


@pytest.fixture
async def member(manager: HubManager, hub: SimulatedHub) -> Member:
    manager.add(hub.address, id="shed", mac=hub.mac)
    return manager.member("shed")


def told(manager: HubManager) -> list[tuple[int, bool, str]]:
    """Every "actuator" event from now on: slot, ON, what told it."""
    events: list[tuple[int, bool, str]] = []

    def on_event(event: ManagerEvent) -> None:
        detail: Any = event.detail
        events.append((detail.slot, detail.is_on, detail.source))

    manager.on("actuator", on_event)
    return events


def update_of(mac: str, slots: dict[int, float], came: datetime | None = None) -> Update:
    sensors = [{"slot": slot, "samples": [{"v": value, "t": "2025-06-01T12:00:00Z"}]} for slot, value in slots.items()]
    return replace(parse_update({"mac": mac, "sensors": sensors}), received_at=came)


def push(manager: HubManager, update: Update) -> None:
    """Have an update come in and be answered."""
    manager.take(update)
    manager.notify_awake(update)


def asked(hub: SimulatedHub) -> list[str]:
    return [request.path.removeprefix("/api/") for request in hub.requests]


async def settled(member: Member) -> None:
    """Wait until nothing is about to be asked, or being asked."""
    await until(lambda: member._ask_timer is None and member._asking is None)


# --- What it learns -----------------------------------------------------------------------------------------------------


async def test_at_the_first_sign_of_life_a_hub_is_asked_once_for_layout_period_and_power_mode(
    manager: HubManager, member: Member, hub: SimulatedHub
) -> None:
    assert (member.layout, member.period, member.power_mode) == (None, None, None)
    for _ in range(3):
        push(manager, update_of(hub.mac, {1: 1.5}))
    await until(lambda: member.power_mode is not None)
    await settled(member)
    push(manager, update_of(hub.mac, {1: 1.5}))
    await settled(member)
    assert member.layout is not None
    assert (member.layout.num_sensors, member.layout.num_actuators) == (len(hub.inputs), len(hub.actuators))
    assert (member.period, member.power_mode) == (hub.config["hub"]["update_period"], hub.config["hub"]["power_mode"])
    assert not member.presence.sleeps
    assert asked(hub) == ["info/get", "config/get"]


async def test_what_another_call_has_told_is_not_asked_again(member: Member, hub: SimulatedHub) -> None:
    await member.hub.get_info()
    await until(lambda: member.power_mode is not None)
    assert member.layout is not None
    assert asked(hub) == ["info/get", "config/get"]


async def test_an_update_alone_does_not_ask_a_hub_that_may_be_asleep_again(
    manager: HubManager, member: Member, hub: SimulatedHub
) -> None:
    manager.take(update_of(hub.mac, {1: 1.5}))
    await asyncio.sleep(0.05)
    assert asked(hub) == []


async def test_a_hub_is_asked_again_when_its_firmware_changes(
    manager: HubManager, member: Member, hub: SimulatedHub
) -> None:
    found = DiscoveredHub(name="Vege_1", addresses=(hub.host,), port=hub.port, firmware="5.1.2")
    await manager._encounters.meet(found)
    await until(lambda: member.power_mode is not None)
    await settled(member)
    before = len(hub.requests)
    await manager._encounters.meet(found)
    await settled(member)
    assert asked(hub)[before:] == []
    hub.config["hub"]["update_period"] = 1234
    await manager._encounters.meet(replace(found, firmware="5.2.0"))
    await until(lambda: member.period == 1234)
    assert asked(hub)[before:] == ["info/get", "config/get"]


async def test_a_hub_is_asked_again_when_its_updates_have_slots_that_the_layout_does_not_know_and_only_then(
    manager: HubManager, member: Member, hub: SimulatedHub
) -> None:
    push(manager, update_of(hub.mac, {1: 1.5}))
    await until(lambda: member.power_mode is not None)
    await settled(member)
    assert member.layout is not None
    last = member.layout.actuators[-1]
    for slots, again in (({1: 1.5, last: 0}, 0), ({1: 1.5, last + 1: 2.5}, 1), ({last + 1: 2.5}, 1)):
        before = len(hub.requests) - again
        push(manager, update_of(hub.mac, dict(slots)))
        await until(lambda before=before, again=again: len(hub.requests) - before >= again)  # type: ignore[misc]
        await settled(member)
    assert asked(hub) == ["info/get", "config/get", "info/get"]


async def test_what_fails_is_no_error_in_the_log_and_is_asked_again_at_the_next_sign_of_life(
    manager: HubManager, member: Member, hub: SimulatedHub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    hub.faults.status(500, times=1)
    push(manager, update_of(hub.mac, {1: 1.5}))
    await until(lambda: bool(hub.requests))
    await settled(member)
    assert member.layout is None
    push(manager, update_of(hub.mac, {1: 1.5}))
    await until(lambda: member.layout is not None)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_a_hub_that_cannot_say_is_left_alone_after_a_while_until_it_announces_itself(
    manager: HubManager, member: Member, hub: SimulatedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member_module, "MAX_REFUSALS", 3)
    hub.faults.status(404)
    for _ in range(6):
        push(manager, update_of(hub.mac, {1: 1.5}))
        await settled(member)
    assert len(hub.requests) == 3
    hub.faults.clear()
    await manager._encounters.meet(DiscoveredHub(name="Vege_1", addresses=(hub.host,), port=hub.port))
    await until(lambda: member.layout is not None)


async def test_a_stranger_at_the_address_tells_nothing_and_changes_no_record(
    manager: HubManager, member: Member, hub: SimulatedHub
) -> None:
    mac, hub.mac = hub.mac, "7C9EBD00AAAA"
    push(manager, update_of(mac, {1: 1.5}))
    await until(lambda: bool(hub.requests))
    await settled(member)
    assert (member.layout, member.power_mode, asked(hub)) == (None, None, ["info/get"])
    results = await manager.run(lambda hub: hub.retrieve_mac_address())
    assert isinstance(results["shed"], VegeHubMismatchError)
    record = manager.get("shed")
    assert record is not None
    assert (record.mac, member.hub.mac_address, record.firmware) == (mac, mac, "")


async def test_a_suspended_hub_is_asked_nothing_and_tells_nothing(
    manager: HubManager, member: Member, hub: SimulatedHub
) -> None:
    events = told(manager)
    push(manager, update_of(hub.mac, {1: 1.5}))
    manager.suspend("shed")
    await settled(member)
    await member.hub.set_actuator(1, FIRST, 60)
    await asyncio.sleep(0.05)
    assert (asked(hub), events) == (["actuators/set"], [])


async def test_nothing_is_asked_and_no_timer_is_left_once_the_manager_is_closed(
    hub: SimulatedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member_module, "ASK_DELAY", 0.2)
    async with HubManager() as manager:
        manager.add(hub.address, id="shed", mac=hub.mac)
        member = manager.member("shed")
        await member.hub.set_actuator(1, FIRST, 60)
        timers = (member._timer, member._ask_timer, *member._states._ends.values())
    assert len(timers) == 3
    assert all(timer is not None and timer.cancelled() for timer in timers)
    await member.hub.actuator_states()  # a hub that somebody still holds
    assert all(timer is None or timer.cancelled() for timer in (member._timer, member._ask_timer))
    await member.hub.connection.owner.close()


# --- What its actuators do ----------------------------------------------------------------------------------------------


async def off_and_on_in_a_block(hub: VegeHub) -> None:
    async with hub.watering(FIRST, 60):
        pass


COMMANDS: dict[str, tuple[Callable[[VegeHub], Awaitable[object]], list[bool]]] = {
    "set_actuator": (lambda hub: hub.set_actuator(1, FIRST, 60), [True]),
    "turn_on": (lambda hub: hub.turn_on(FIRST, 60), [True]),
    "turn_off": (lambda hub: hub.turn_off(FIRST), [False]),
    "watering": (off_and_on_in_a_block, [True, False]),
}


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_command_that_the_hub_took_is_what_its_actuator_does(
    manager: HubManager, member: Member, name: str
) -> None:
    events = told(manager)
    command, states = COMMANDS[name]
    await command(member.hub)
    assert events == [(FIRST, is_on, "command") for is_on in states]
    assert [state.is_on for state in member.actuators.values()] == states[-1:]
    with pytest.raises(TypeError):
        member.actuators[FIRST] = member.actuators[FIRST]  # type: ignore[index]


async def test_a_queued_command_tells_too_and_one_that_is_refused_does_not(
    manager: HubManager, member: Member, hub: SimulatedHub
) -> None:
    events = told(manager)
    await refused(member, hub)
    assert events == []
    on = member.queue.turn_on(FIRST, 60, expires_in=600)
    member.replied()
    await on
    assert events == [(FIRST, True, "command")]


async def refused(member: Member, hub: SimulatedHub) -> None:
    hub.faults.status(400, times=1, path="/api/actuators/set")
    with pytest.raises(VegeHubError):
        await member.hub.turn_on(FIRST, 60)


async def test_a_status_that_is_read_tells_what_the_actuators_do(
    manager: HubManager, member: Member, hub: SimulatedHub
) -> None:
    events = told(manager)
    await member.hub.get_actuators()
    await member.hub.actuator_states()
    assert events == [(slot, False, "status") for slot in range(len(hub.actuators))]


async def test_when_the_time_of_an_on_is_over_the_actuator_is_off(manager: HubManager, member: Member) -> None:
    events = told(manager)
    await member.hub.set_actuator(1, FIRST, 1)
    await until(lambda: len(events) == 2)
    assert events == [(FIRST, True, "command"), (FIRST, False, "time")]


async def test_an_update_that_came_before_the_layout_was_known_is_read_once_it_is(
    manager: HubManager, member: Member, hub: SimulatedHub
) -> None:
    events = told(manager)
    slots = {6: 1.0, 7: 0.0}  # behind four inputs and the battery
    push(manager, update_of(hub.mac, slots))
    push(manager, update_of(hub.mac, {1: 1.5}))
    assert events == []
    await until(lambda: member.layout is not None)
    assert list(member.layout.actuators) == list(slots)  # type: ignore[union-attr]
    assert events == [(0, True, "update"), (1, False, "update")]


async def test_what_arrived_last_counts_whatever_the_clocks_of_hubs_say(
    manager: HubManager, member: Member, hub: SimulatedHub
) -> None:
    push(manager, update_of(hub.mac, {1: 1.5}))
    await until(lambda: member.power_mode is not None)
    events = told(manager)
    slot = member.layout.actuator_slot(FIRST)  # type: ignore[union-attr]
    before = datetime.now(UTC) - timedelta(seconds=5)
    ahead = datetime.now(UTC) + timedelta(hours=1)
    await member.hub.turn_on(FIRST, 60)
    manager.take(update_of(hub.mac, {slot: 0}, came=before))  # a journal delivers it late
    assert events == [(FIRST, True, "command")]
    manager.take(update_of(hub.mac, {slot: 0}, came=ahead))  # our own clock was set back since
    assert events[1:] == [(FIRST, False, "update")]
    await member.hub.turn_on(FIRST, 60)
    assert events[2:] == [(FIRST, True, "command")]
    for no_state in (0.5, 2):
        manager.take(update_of(hub.mac, {slot: no_state}))
    assert len(events) == 3


# --- Whether it is there ------------------------------------------------------------------------------------------------


async def test_a_late_update_does_not_move_last_seen_back(
    manager: HubManager, member: Member, hub: SimulatedHub
) -> None:
    now = datetime.now(UTC)
    for came in (now, now - timedelta(hours=3)):
        manager.take(update_of(hub.mac, {1: 1.5}, came=came))
    record = manager.get("shed")
    assert record is not None
    assert record.last_seen == now


async def test_any_call_that_the_hub_answers_is_a_sign_of_life(manager: HubManager, member: Member) -> None:
    await member.hub.actuator_states()
    record = manager.get("shed")
    assert record is not None
    assert member.presence.state is PresenceState.AWAKE
    assert record.last_seen == member.presence.last_seen


async def test_a_dead_hub_on_wall_power_is_known_to_be_dead_by_what_is_queued_for_it(
    manager: HubManager, member: Member, hub: SimulatedHub
) -> None:
    await member.hub.get_info()
    await until(lambda: member.power_mode == 1)
    hub.faults.connection_close()
    await member.hub.actuator_states()
    hub.faults.refuse()
    off = member.queue.turn_off(FIRST)
    await until(lambda: member.presence.state is PresenceState.STALE)
    assert off.last_error is not None
    hub.faults.clear()
    member.replied()
    await off
    assert member.presence.state is PresenceState.AWAKE


async def test_announcements_of_a_hub_that_is_being_asked_queue_no_more_than_one_question(
    manager: HubManager, hub: SimulatedHub
) -> None:
    hub.faults.never_answer(times=1)
    manager.add(hub.address, id="shed", timeout=1)
    found = DiscoveredHub(name="Vege_1", addresses=(hub.host,), port=hub.port)
    meetings = [asyncio.create_task(manager._encounters.meet(found)) for _ in range(6)]
    await until(lambda: bool(hub.requests))
    assert len(hub.requests) == 1
    for meeting in meetings:
        meeting.cancel()
    await asyncio.gather(*meetings, return_exceptions=True)
    assert len(hub.requests) == 1


# --- Who uses it --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def two(manager: HubManager) -> tuple[Member, Member]:
    manager.add("127.0.1.1", id="one")
    manager.add("127.0.1.2", id="two")
    return manager.member("one"), manager.member("two")


async def used(manager: HubManager, key: str, free: asyncio.Event) -> asyncio.Task[None]:
    async def use() -> None:
        async with manager.acquire(key):
            await free.wait()

    task = asyncio.create_task(use())
    await until(lambda: manager.member(key).in_use)
    return task


async def test_a_hub_that_others_wait_for_is_in_use_and_any_free_one_is_another(
    manager: HubManager, two: tuple[Member, Member]
) -> None:
    free = asyncio.Event()
    first_free = asyncio.Event()
    first = await used(manager, "one", first_free)
    second = await used(manager, "one", free)
    first_free.set()
    await first  # in the very moment in which the next one has not yet begun
    assert [member.in_use for member in two] == [True, False]
    async with manager.acquire(timeout=LONG) as hub:
        assert hub is two[1].hub
    free.set()
    await second
    assert [member.in_use for member in two] == [False, False]


async def test_a_hub_to_which_a_queued_command_is_sent_is_in_use_until_it_is_sent(
    manager: HubManager, member: Member, hub: SimulatedHub
) -> None:
    manager.add("127.0.1.2", id="other")
    hub.faults.never_answer(times=1, path="/api/actuators/set")
    on = member.queue.turn_on(FIRST, 60, expires_in=600)
    member.replied()
    await until(lambda: member.in_use)
    async with manager.acquire(timeout=LONG) as other:
        assert other.unique_id == "other"
        waiting = asyncio.create_task(anyones(manager))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await hub.stop()  # the command fails, and the hub is free
        assert await waiting == "shed"
    with pytest.raises(VegeHubError):
        await on


async def anyones(manager: HubManager) -> str:
    async with manager.acquire(timeout=LONG) as hub:
        return hub.unique_id


@pytest.mark.parametrize("event", ["added", "resumed", "removed"])
async def test_who_waits_for_any_hub_hears_of_one_that_comes(
    manager: HubManager, two: tuple[Member, Member], event: str
) -> None:
    free = asyncio.Event()
    await manager.remove("two")
    users = [await used(manager, "one", free)]
    if event == "resumed":
        manager.add("127.0.1.3", id="three")
        manager.suspend("three")
    waiting = asyncio.create_task(anyones(manager))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    if event == "added":
        manager.add("127.0.1.3", id="three")
    elif event == "resumed":
        manager.resume("three")
    else:
        await manager.remove("one")
        with pytest.raises(VegeHubValueError, match="there is no hub"):
            await waiting
    if event != "removed":
        assert await waiting == "three"
    free.set()
    await asyncio.gather(*users)


async def nothing(hub: VegeHub) -> None: ...


async def acquire(manager: HubManager) -> None:
    async with manager.acquire("one"):
        pass


async def run(manager: HubManager) -> None:
    await manager.run(nothing)


async def in_a_task(waits: Callable[[HubManager], Awaitable[None]], manager: HubManager) -> None:
    async with asyncio.timeout(LONG):
        await asyncio.create_task(waits(manager))  # type: ignore[arg-type]


@pytest.mark.parametrize("started", ["in the same task", "in a task started there"])
@pytest.mark.parametrize("waits", [acquire, run])
async def test_waiting_inside_acquire_for_the_same_hub_is_refused(
    manager: HubManager, two: tuple[Member, Member], waits: Callable[[HubManager], Awaitable[None]], started: str
) -> None:
    async with manager.acquire("one"):
        with pytest.raises(VegeHubValueError, match="'one' is in use by this very task"):
            await (waits(manager) if started == "in the same task" else in_a_task(waits, manager))
        async with manager.acquire("two", timeout=LONG):
            pass
    await waits(manager)


@pytest.mark.parametrize("waits", [acquire, run])
async def test_waiting_inside_run_for_the_same_hub_is_the_error_of_that_hub(
    manager: HubManager, two: tuple[Member, Member], waits: Callable[[HubManager], Awaitable[None]]
) -> None:
    async def func(hub: VegeHub) -> None:
        if hub.unique_id == "one":
            await waits(manager)

    results = await manager.run(func)
    assert isinstance(results["one"], VegeHubValueError)
    assert results["two"] is None


async def test_a_task_that_outlives_the_block_it_was_started_in_may_have_the_hub(
    manager: HubManager, two: tuple[Member, Member]
) -> None:
    go = asyncio.Event()

    async def later() -> None:
        await go.wait()
        await acquire(manager)

    async with manager.acquire("one"):
        task = asyncio.create_task(later())
    go.set()
    await task


async def test_what_an_event_starts_waits_for_the_hub_instead_of_being_refused(
    manager: HubManager, member: Member
) -> None:
    done: list[str] = []

    async def react(event: ManagerEvent) -> None:
        async with manager.acquire(event.record.id, timeout=LONG):
            done.append(event.kind)

    manager.on("actuator", react)
    async with manager.acquire("shed") as hub:
        await hub.turn_on(FIRST, 60)
        await asyncio.sleep(0.01)
        assert done == []
    await until(lambda: done == ["actuator"])


async def test_a_block_may_be_left_in_another_task_than_it_was_entered_in(
    manager: HubManager, two: tuple[Member, Member]
) -> None:
    block = manager.acquire("one")
    await block.__aenter__()

    async def leave() -> None:
        await block.__aexit__(None, None, None)

    await asyncio.create_task(leave())
    await acquire(manager)


async def test_who_gives_up_waiting_leaves_the_hub_free(manager: HubManager, two: tuple[Member, Member]) -> None:
    free = asyncio.Event()
    user = await used(manager, "one", free)
    with pytest.raises(VegeHubTimeoutError) as caught:
        async with manager.acquire("one", timeout=0.02):
            pass
    assert caught.value.outcome is Outcome.NOT_SENT
    free.set()
    await user
    assert not two[0].in_use
