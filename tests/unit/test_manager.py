"""Many simulated hubs looked after over one session."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from on_air import LOOPBACK, Station, own_service_type, station, unused_name
from raw_hub import until

from vegehub.exceptions import (
    Outcome,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubMismatchError,
    VegeHubTimeoutError,
    VegeHubValueError,
)
from vegehub.finding import discovery
from vegehub.fleet import CONCURRENCY, HubManager, ManagerEvent, Registry
from vegehub.receiving import HistorySample, UpdateReceiver
from vegehub.simulator import SimulatedHub, Simulation, mdns
from vegehub.simulator.mdns import Announcement, HubAnnouncer
from vegehub.sleeping import PresenceState, presence
from vegehub.wire.announcements import DiscoveredHub
from vegehub.wire.updates import Update, parse_update

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from vegehub.vegehub import VegeHub

LONG = 600.0
"""A timeout that no test waits for."""


@pytest.fixture(autouse=True)
def service_type(monkeypatch: pytest.MonkeyPatch) -> str:
    return own_service_type(monkeypatch, mdns, discovery)


@pytest.fixture
def air(service_type: str) -> Iterator[Station]:
    with station(service_type) as air:
        yield air


@pytest.fixture
async def simulation() -> AsyncIterator[Simulation]:
    async with Simulation(seed=1) as simulation:
        yield simulation


@pytest.fixture
async def announcer() -> AsyncIterator[HubAnnouncer]:
    async with HubAnnouncer() as announcer:
        yield announcer


@pytest.fixture
async def manager() -> AsyncIterator[HubManager]:
    async with HubManager(interfaces=LOOPBACK) as manager:
        yield manager


async def announce(announcer: HubAnnouncer, hub: SimulatedHub) -> Announcement:
    return await announcer.announce(unused_name(), hub.host, hub.port, {"version": "5.1.2"}, probe=False)


def heard(manager: HubManager, *kinds: str) -> list[ManagerEvent]:
    events: list[ManagerEvent] = []
    for kind in kinds:
        manager.on(kind, events.append)  # type: ignore[arg-type]
    return events


def update_of(mac: str, volts: float = 1.5, at: str = "2025-06-01T12:00:00Z", came: datetime | None = None) -> Update:
    document = {"mac": mac, "sensors": [{"slot": 1, "samples": [{"v": volts, "t": at}]}]}
    return replace(parse_update(document), received_at=came or datetime(2025, 6, 1, 12, 1, tzinfo=UTC))


async def mac_of(hub: VegeHub) -> str:
    return (await hub.get_info()).mac


# --- Records ------------------------------------------------------------------------------------------------------------


async def test_hubs_are_added_found_suspended_resumed_and_removed_each_with_an_event(manager: HubManager) -> None:
    events = heard(manager, "added", "suspended", "resumed", "removed")
    record = manager.add("127.0.1.1:8080", id="shed", metadata={"row": 1}, timeout=3)
    assert manager.get("127.0.1.1:8080") is manager.get_or_add("127.0.1.1:8080") is record
    other = manager.get_or_add("127.0.1.2", mac="7C9EBD112233")
    assert manager.list() == (record, other)
    assert manager.suspend("shed").suspended
    assert not manager.resume("127.0.1.1:8080").suspended
    await manager.remove("7c:9e:bd:11:22:33")
    assert manager.list() == (record,)
    assert [(event.kind, event.record.id) for event in events] == [
        ("added", "shed"),
        ("added", "7C9EBD112233"),
        ("suspended", "shed"),
        ("resumed", "shed"),
        ("removed", "7C9EBD112233"),
    ]


async def test_a_hub_that_is_not_there_is_named(manager: HubManager) -> None:
    for call in (manager.hub, manager.queue, manager.presence, manager.suspend, manager.resume, manager.history):
        with pytest.raises(VegeHubValueError, match="no hub 'nobody'"):
            call("nobody")
    with pytest.raises(VegeHubValueError, match="no hub 'nobody'"):
        await manager.remove("nobody")


async def test_options_and_names_reach_the_object_of_a_hub(manager: HubManager) -> None:
    manager.add("127.0.1.1:8080", id="shed", mac="7C9EBD112233", max_on=60)
    hub = manager.hub("shed")
    assert (hub.ip_address, hub.mac_address, hub.unique_id) == ("127.0.1.1:8080", "7C9EBD112233", "shed")
    assert manager.hub("7C9EBD112233") is hub
    with pytest.raises(VegeHubValueError, match="1 to 60 seconds"):
        await hub.turn_on(0, 61)


async def test_a_saved_manager_begins_again_where_it_was(manager: HubManager, tmp_path: Path) -> None:
    manager.add("127.0.1.1", id="shed", mac="7C9EBD112233")
    manager.suspend("shed")
    await manager.save(tmp_path / "hubs.json")
    async with HubManager(registry=await Registry.async_load(tmp_path / "hubs.json")) as again:
        assert again.list() == manager.list()


# --- The session --------------------------------------------------------------------------------------------------------


async def test_all_hubs_share_one_session_which_the_manager_closes(simulation: Simulation) -> None:
    async with HubManager() as manager:
        for _ in range(5):
            manager.add((await simulation.add_hub()).address)
        await manager.run(mac_of)
        sessions = {id(await manager.hub(record.id)._get_session()) for record in manager.list()}
        session = await manager.hub("hub-1")._get_session()
        assert len(sessions) == 1
        assert session.connector is not None
        assert session.connector.limit == 0
        assert not any(manager.hub(record.id).owns_session for record in manager.list())
    assert session.closed


async def test_a_session_that_was_given_stays_open(simulation: Simulation) -> None:
    async with aiohttp.ClientSession() as session:
        async with HubManager(session) as manager:
            manager.add((await simulation.add_hub()).address)
            await manager.run(mac_of)
        assert not session.closed


# --- run ----------------------------------------------------------------------------------------------------------------


async def test_run_gives_the_result_or_the_error_of_each_hub(manager: HubManager, simulation: Simulation) -> None:
    good, bad, gone = [await simulation.add_hub() for _ in range(3)]
    for id_of_hub, hub in (("good", good), ("bad", bad), ("gone", gone)):
        manager.add(hub.address, id=id_of_hub)
    bad.faults.status(500)
    gone.faults.refuse()
    results = await manager.run(mac_of)
    assert list(results) == ["good", "bad", "gone"]
    assert results["good"] == good.mac
    assert isinstance(results["bad"], VegeHubError)
    assert isinstance(results["gone"], VegeHubConnectionError)
    record = manager.get("good")
    assert record is not None
    assert (record.mac, record.firmware) == (good.mac, manager.hub("good").sw_version)
    assert record.last_seen is not None


async def test_progress_is_told_after_each_hub_and_may_fail(
    manager: HubManager, simulation: Simulation, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(4):
        manager.add((await simulation.add_hub()).address)
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        told.append((done, total))
        raise ValueError("of the caller")

    results = await manager.run(mac_of, progress)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert not [result for result in results.values() if isinstance(result, Exception)]
    assert [record.levelno for record in caplog.records if "failed" in record.getMessage()].count(logging.ERROR) == 1


async def test_whatever_one_function_raises_the_rest_goes_on(manager: HubManager, simulation: Simulation) -> None:
    for n in range(3):
        manager.add((await simulation.add_hub()).address, id=f"h{n}")

    async def func(hub: VegeHub) -> str:
        if hub.unique_id == "h0":
            raise KeyError("of the caller")
        if hub.unique_id == "h1":
            waiting = asyncio.get_running_loop().create_future()
            waiting.cancel()
            await waiting
        return await mac_of(hub)

    results = await manager.run(func)
    assert isinstance(results["h0"], KeyError)
    assert isinstance(results["h1"], VegeHubError)
    assert results["h2"] == simulation.hubs[2].mac


async def test_cancelling_run_cancels_all_and_leaves_the_hubs_free(manager: HubManager, simulation: Simulation) -> None:
    for _ in range(3):
        manager.add((await simulation.add_hub()).address)
    begun: list[str] = []
    ended: list[str] = []

    async def func(hub: VegeHub) -> None:
        begun.append(hub.unique_id)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(hub.unique_id)

    running = asyncio.create_task(manager.run(func))
    await until(lambda: len(begun) == 3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(ended) == sorted(begun)
    async with manager.acquire(timeout=LONG):
        pass


async def test_a_hub_removed_in_the_middle_of_run_does_not_disturb_the_rest(
    manager: HubManager, simulation: Simulation
) -> None:
    for n in range(3):
        manager.add((await simulation.add_hub()).address, id=f"h{n}")
    holding = asyncio.Event()

    async def func(hub: VegeHub) -> str:
        if hub.unique_id == "h0":
            await manager.remove("h0")
            await manager.remove("h1")
            holding.set()
        return await mac_of(hub)

    free = asyncio.Event()
    acquired = await acquired_elsewhere(manager, "h1", free)
    running = asyncio.create_task(manager.run(func))
    await holding.wait()
    free.set()
    await acquired
    results = await running
    assert results["h0"] == simulation.hubs[0].mac
    assert isinstance(results["h1"], VegeHubValueError)
    assert results["h2"] == simulation.hubs[2].mac
    assert [record.id for record in manager.list()] == ["h2"]


async def test_no_more_hubs_at_once_than_asked_for(manager: HubManager, simulation: Simulation) -> None:
    for _ in range(6):
        manager.add((await simulation.add_hub()).address)
    await manager.run(mac_of)  # now they are known to be awake
    at_once: list[int] = []
    inside = 0

    async def func(hub: VegeHub) -> None:
        nonlocal inside
        inside += 1
        at_once.append(inside)
        await hub.get_info()
        inside -= 1

    await manager.run(func, concurrency=2)
    assert max(at_once) == 2
    assert len(at_once) == 6


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, True])
async def test_a_bad_concurrency_is_refused(manager: HubManager, concurrency: Any) -> None:
    with pytest.raises(VegeHubValueError, match="concurrency"):
        await manager.run(mac_of, concurrency=concurrency)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_of_three_hundred_hubs_a_hundred_that_sleep_do_not_keep_the_others_waiting(
    simulation: Simulation,
) -> None:
    async with HubManager() as manager:
        for n in range(300):
            hub = await simulation.add_hub(host=f"127.0.{2 + n // 200}.{n % 200 + 1}")
            if n % 3 == 0:
                hub.faults.full_backlog()
            manager.add(hub.address, id=f"sleeper-{n}" if n % 3 == 0 else f"awake-{n}", timeout=LONG)
        await awake_ones_answer(manager, 200)


async def awake_ones_answer(manager: HubManager, number: int, concurrency: int = CONCURRENCY) -> None:
    """Run until this number of hubs, all of them awake, have answered, while the others are still waited for."""
    answered: list[str] = []

    async def func(hub: VegeHub) -> None:
        await mac_of(hub)
        answered.append(hub.unique_id)

    running = asyncio.create_task(manager.run(func, concurrency=concurrency))
    await until(lambda: len(answered) == number)
    assert {name.partition("-")[0] for name in answered} == {"awake"}
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_hubs_that_sleep_give_their_places_to_the_others(simulation: Simulation) -> None:
    async with HubManager() as manager:
        for n in range(9):
            hub = await simulation.add_hub()
            if n < 6:
                hub.faults.full_backlog()
            manager.add(hub.address, id=f"sleeper-{n}" if n < 6 else f"awake-{n}", timeout=LONG)
        await awake_ones_answer(manager, 3, concurrency=2)


async def test_hubs_that_fell_asleep_since_they_were_heard_give_their_places_to_the_others(
    simulation: Simulation,
) -> None:
    async with HubManager() as manager:
        hubs = [await simulation.add_hub() for _ in range(5)]
        for n, hub in enumerate(hubs):
            manager.add(hub.address, id=f"sleeper-{n}" if n < 2 else f"awake-{n}", timeout=LONG)
        await manager.run(mac_of)
        for hub in hubs[:2]:
            hub.sleep()
        await awake_ones_answer(manager, 3, concurrency=2)


async def test_a_suspended_hub_is_left_alone(manager: HubManager, simulation: Simulation) -> None:
    hub = await simulation.add_hub()
    manager.add(hub.address, id="shed", mac=hub.mac)
    manager.suspend("shed")
    assert await manager.run(mac_of) == {}
    with pytest.raises(VegeHubValueError, match="suspended"):
        async with manager.acquire("shed"):
            pass
    with pytest.raises(VegeHubValueError, match="all are suspended"):
        async with manager.acquire():
            pass
    manager.take(update_of(hub.mac))
    assert manager.history("shed") == ()
    assert hub.requests == []


async def acquired_elsewhere(manager: HubManager, key: str, free: asyncio.Event) -> asyncio.Task[VegeHub]:
    """Have another task acquire a hub until ``free`` is set; it has it when this returns."""
    begun = asyncio.Event()

    async def hold() -> VegeHub:
        async with manager.acquire(key) as hub:
            begun.set()
            await free.wait()
            return hub

    task = asyncio.create_task(hold())
    await begun.wait()
    return task


# --- acquire ------------------------------------------------------------------------------------------------------------


async def test_a_hub_is_acquired_by_one_at_a_time_and_run_waits(manager: HubManager, simulation: Simulation) -> None:
    hub = await simulation.add_hub()
    manager.add(hub.address, id="shed")
    order: list[str] = []

    async def func(_: VegeHub) -> None:
        order.append("run")

    async def second() -> None:
        async with manager.acquire("shed"):
            order.append("second")

    free = asyncio.Event()
    acquired = await acquired_elsewhere(manager, "shed", free)
    waiting = [asyncio.create_task(second()), asyncio.create_task(manager.run(func))]
    await asyncio.sleep(0.05)
    order.append("first")
    free.set()
    assert await acquired is manager.hub("shed")
    await asyncio.gather(*waiting)
    assert order == ["first", "second", "run"]


async def test_a_hub_that_does_not_become_free_in_time_raises_and_stays_usable(manager: HubManager) -> None:
    manager.add("127.0.1.1", id="shed")
    free = asyncio.Event()
    acquired = await acquired_elsewhere(manager, "shed", free)
    for key, text in (("shed", "'shed' was not free"), (None, "no hub was free")):
        with pytest.raises(VegeHubTimeoutError, match=text) as caught:
            async with manager.acquire(key, timeout=0.05):
                pass
        assert caught.value.outcome is Outcome.NOT_SENT
    free.set()
    await acquired
    async with manager.acquire("shed", timeout=LONG):
        pass


async def test_any_free_hub_is_given_and_the_next_one_when_it_becomes_free(manager: HubManager) -> None:
    manager.add("127.0.1.1", id="a")
    manager.add("127.0.1.2", id="b")
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(manager.acquire())
        second = await stack.enter_async_context(manager.acquire())
        assert {first.unique_id, second.unique_id} == {"a", "b"}
        waiting = asyncio.create_task(_id_of_any(manager))
        await asyncio.sleep(0.05)
        assert not waiting.done()
    assert await waiting in {"a", "b"}


async def _id_of_any(manager: HubManager) -> str:
    async with manager.acquire() as hub:
        return hub.unique_id


async def test_a_timeout_of_the_callers_own_is_not_taken_for_ours(manager: HubManager) -> None:
    manager.add("127.0.1.1", id="shed")
    with pytest.raises(TimeoutError, match="of the caller") as caught:
        async with manager.acquire("shed"):
            raise TimeoutError("of the caller")
    assert not isinstance(caught.value, VegeHubError)


async def test_an_off_passes_while_a_hub_is_acquired_and_queued_commands_wait(
    manager: HubManager, simulation: Simulation
) -> None:
    hub = await simulation.add_hub()
    manager.add(hub.address, id="shed", mac=hub.mac)
    queue = manager.queue("shed")
    async with manager.acquire("shed"):
        on = queue.turn_on(0, 60, expires_in=600)
        off = queue.turn_off(1)
        queue.notify_awake()
        await off
        await manager.hub("shed").turn_off(0)
        states = [(slot, command.state) for slot in (0, 1) for command in hub.actuators[slot].commands]
        assert states == [(0, 0), (1, 0)]
    await on
    assert [command.state for command in hub.actuators[0].commands] == [0, 1]


# --- Updates, presence, events ------------------------------------------------------------------------------------------


async def test_an_update_fills_the_history_and_wakes_the_hub(manager: HubManager) -> None:
    manager.add("127.0.1.1", id="shed", mac="7C9EBD112233")
    events = heard(manager, "update", "presence")
    update = update_of("7C9EBD112233", came=datetime.now(UTC))
    manager.take(update)
    assert manager.history("shed", 1) == (HistorySample(1, 1.5, datetime(2025, 6, 1, 12, tzinfo=UTC)),)
    assert manager.hourly("shed", 1)[0].count == 1
    assert manager.presence("shed").state is PresenceState.AWAKE
    assert [event.kind for event in events] == ["presence", "update"]
    assert events[1].detail is update
    record = manager.get("shed")
    assert record is not None
    assert record.last_seen == update.received_at
    manager.clear_history("shed")
    assert manager.history("shed") == ()


async def test_updates_of_strangers_are_left_out(manager: HubManager) -> None:
    manager.add("127.0.1.1", id="shed", mac="7C9EBD112233")
    manager.take(update_of("7C9EBD445566"))
    manager.notify_awake(update_of("7C9EBD445566"))
    manager.take(parse_update('{"key": "old", "updates": []}'))
    assert manager.history("shed") == ()


OLD = {"api_key": "old-firmware", "sensors": [{"slot": 1, "samples": [{"v": 1.5, "t": "2025-06-01T12:00:00Z"}]}]}


async def test_a_hub_that_sends_no_mac_is_known_by_its_key_as_its_id(
    manager: HubManager, simulation: Simulation
) -> None:
    old, other = [await simulation.add_hub() for _ in range(2)]
    update = parse_update(OLD)
    manager.add(old.address, id=update.hub_key, mac=old.mac)
    manager.add(other.address, id="other", mac=other.mac)
    events = heard(manager, "update")
    manager.take(update)
    assert [event.record.id for event in events] == [update.hub_key]
    assert [sample.value for sample in manager.history(update.hub_key)] == [1.5]
    assert manager.presence(update.hub_key).state is PresenceState.AWAKE
    off = manager.queue(update.hub_key).turn_off(0)
    waiting = manager.queue("other").turn_off(0)
    manager.notify_awake(update)
    await off
    assert (len(old.actuators[0].commands), waiting.done) == (1, False)
    waiting.cancel()
    manager.suspend(update.hub_key)
    manager.take(update)
    assert len(events) == 1


@pytest.mark.parametrize(
    "stranger",
    [
        pytest.param({**OLD, "api_key": "another"}, id="another key"),
        pytest.param({**OLD, "api_key": ""}, id="no key"),
        pytest.param({"channel_id": "80", "sensors": OLD["sensors"]}, id="a channel that reads like an address"),
        pytest.param({"channel_id": "lawn", "sensors": OLD["sensors"]}, id="a channel with the id of a hub"),
    ],
)
async def test_an_update_without_a_mac_never_goes_to_another_hub(manager: HubManager, stranger: dict[str, Any]) -> None:
    manager.add("127.0.1.1", id=parse_update(OLD).hub_key)
    manager.add("channel:80", id="shed")
    manager.add("127.0.1.2", id="lawn", mac="7C9EBD112233")
    manager.take(parse_update({**OLD, "mac": "7C9EBD112233"}))
    events = heard(manager, "update")
    manager.take(parse_update(stranger))
    assert events == []
    # A key that was seen beside a MAC may be that of several hubs.
    assert [sample.value for sample in manager.history("lawn")] == [1.5]
    manager.take(parse_update(OLD))
    assert [event.record.id for event in events] == [parse_update(OLD).hub_key]


async def test_a_hub_whose_mac_was_learned_from_a_call_is_known_by_its_updates(
    manager: HubManager, simulation: Simulation
) -> None:
    hub = await simulation.add_hub()
    manager.add(hub.address, id="shed")
    await manager.hub("shed").get_info()
    manager.take(update_of(hub.mac))
    assert len(manager.history(hub.mac)) == 1


async def test_a_removed_hub_takes_its_history_and_its_queue_along(manager: HubManager) -> None:
    manager.add("127.0.1.1", id="shed", mac="7C9EBD112233")
    manager.take(update_of("7C9EBD112233"))
    waiting = manager.queue("shed").turn_off(0)
    await manager.remove("shed")
    with pytest.raises(VegeHubError) as caught:
        await waiting
    assert caught.value.outcome is Outcome.NOT_SENT
    manager.add("127.0.1.1", id="shed", mac="7C9EBD112233")
    assert manager.history("shed") == ()


async def test_a_receiver_feeds_the_manager_and_its_replies_start_what_is_queued(
    manager: HubManager, simulation: Simulation
) -> None:
    hub = await simulation.add_hub()
    manager.add(hub.address, id="shed", mac=hub.mac)
    receiver = UpdateReceiver()
    detach = manager.attach(receiver)
    off = manager.queue("shed").turn_off(0)
    body = {"mac": hub.mac, "sensors": [{"slot": 1, "samples": [{"v": 1.5, "t": "2025-06-01T12:00:00Z"}]}]}
    async with receiver.serve("127.0.0.1", 0), aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{receiver.port}{receiver.path}"
        async with session.post(url, json=body) as response:
            assert response.status == 200
        await off
        detach()
        detach()
        body["sensors"][0]["slot"] = 2  # type: ignore[index]
        async with session.post(url, json=body) as response:
            assert response.status == 200
    assert [sample.slot for sample in manager.history("shed")] == [1]
    assert len(hub.actuators[0].commands) == 1


async def test_presence_follows_calls_that_reach_a_hub_or_do_not(manager: HubManager, simulation: Simulation) -> None:
    hub = await simulation.add_hub()
    hub.faults.connection_close()  # one that is kept and falls silent may mean anything
    manager.add(hub.address, id="shed", timeout=LONG)
    events = heard(manager, "presence")
    await manager.run(mac_of)
    hub.faults.refuse()
    await manager.run(mac_of)
    assert [event.detail.state for event in events] == [PresenceState.AWAKE, PresenceState.ASLEEP]  # type: ignore[union-attr]
    manager.suspend("shed")
    manager.presence("shed").seen()
    assert len(events) == 2


async def test_a_hub_that_keeps_silent_becomes_stale_by_itself(manager: HubManager) -> None:
    record = manager.add("127.0.1.1", id="shed", mac="7C9EBD112233")
    events = heard(manager, "presence")
    manager.presence(record.id).configured({"hub": {"update_period": 1, "power_mode": 1}})
    long_ago = datetime.now(UTC) - timedelta(seconds=2 + 30 - 0.2)
    manager.take(update_of("7C9EBD112233", came=long_ago))
    await until(lambda: manager.presence("shed").state is PresenceState.STALE)
    assert events[-1].detail.state is PresenceState.STALE  # type: ignore[union-attr]


async def test_a_hub_that_was_never_heard_becomes_stale_too(
    manager: HubManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "LONGEST_SILENCE", 0.05)
    events = heard(manager, "presence")
    manager.add("127.0.1.1", id="shed")
    await until(lambda: bool(events))
    assert events[0].detail.state is PresenceState.STALE  # type: ignore[union-attr]


async def test_one_raising_callback_hurts_no_other_and_unsubscribing_ends_it(manager: HubManager) -> None:
    heard_by: list[str] = []

    def fail(event: ManagerEvent) -> None:
        raise RuntimeError("of the caller")

    async def slow(event: ManagerEvent) -> None:
        await asyncio.sleep(0)
        heard_by.append(f"async {event.record.id}")

    ends = [manager.on("added", fail), manager.on("added", slow)]
    manager.on("added", lambda event: heard_by.append(event.record.id))
    manager.add("127.0.1.1", id="a")
    await until(lambda: len(heard_by) == 2)
    for end in ends * 2:
        end()
    manager.add("127.0.1.2", id="b")
    assert heard_by == ["a", "async a", "b"]


async def test_an_event_that_does_not_exist_is_refused(manager: HubManager) -> None:
    with pytest.raises(VegeHubValueError, match="known are added, moved"):
        manager.on("exploded", print)  # type: ignore[arg-type]


async def test_closing_may_be_repeated_and_ends_what_waits(manager: HubManager) -> None:
    manager.add("127.0.1.1", id="shed")
    waiting = manager.queue("shed").turn_off(0)
    await manager.close()
    await manager.close()
    with pytest.raises(VegeHubError):
        await waiting


# --- Discovery ----------------------------------------------------------------------------------------------------------


async def test_discovered_hubs_are_added_under_their_mac_and_asked_for_it_once(
    manager: HubManager, simulation: Simulation, announcer: HubAnnouncer
) -> None:
    hubs = [await simulation.add_hub() for _ in range(3)]
    announcements = await asyncio.gather(*(announce(announcer, hub) for hub in hubs))
    events = heard(manager, "added")
    records = await manager.discover(LONG, expect=3)
    assert {record.id for record in records} == {hub.mac for hub in hubs} == {event.record.id for event in events}
    first = manager.get(hubs[0].mac)
    assert first is not None
    assert (first.name, first.firmware, first.address) == (announcements[0].name, "5.1.2", hubs[0].address)
    await manager.discover(LONG, expect=3)
    assert [len(hub.requests) for hub in hubs] == [1, 1, 1]
    assert len(manager.list()) == 3


async def test_a_hub_added_by_address_is_recognized_and_keeps_its_id(
    manager: HubManager, simulation: Simulation, announcer: HubAnnouncer
) -> None:
    hub = await simulation.add_hub()
    manager.add(hub.address, id="shed")
    await announce(announcer, hub)
    (record,) = await manager.discover(LONG, expect=1)
    assert (record.id, record.mac) == ("shed", hub.mac)
    assert manager.hub("shed").mac_address == hub.mac


async def test_what_gives_no_mac_is_not_added(
    manager: HubManager, simulation: Simulation, announcer: HubAnnouncer
) -> None:
    for fault in ("refuse", "status", "wrong_json"):
        hub = await simulation.add_hub()
        getattr(hub.faults, fault)()
        await announce(announcer, hub)
    nameless = await simulation.add_hub()
    nameless.faults.wrong_json({"wifi": {}, "error": "success"})
    await announce(announcer, nameless)
    assert await manager.discover(LONG, expect=4) == ()
    assert manager.list() == ()


async def test_a_hub_that_moved_is_followed_by_its_mac_and_keeps_id_history_and_queue(
    manager: HubManager, simulation: Simulation, announcer: HubAnnouncer
) -> None:
    old = await simulation.add_hub(host="127.0.1.1")
    manager.add(old.address, id="shed", mac=old.mac)
    manager.take(update_of(old.mac))
    on = manager.queue("shed").turn_on(0, 60, expires_in=600)
    events = heard(manager, "moved")
    new = await simulation.add_hub(host="127.0.1.2")
    new.mac = old.mac
    old.mac = "7C9EBD00AAAA"  # DHCP gave the old address to another hub
    await announce(announcer, new)
    (record,) = await manager.discover(LONG, expect=1)
    assert (record.id, record.address) == ("shed", new.address)
    assert [(event.record, event.detail) for event in events] == [(record, old.address)]
    assert len(manager.history("shed")) == 1
    await on
    assert [command.state for command in new.actuators[0].commands] == [1]
    assert old.actuators[0].commands == []


async def test_a_hub_that_comes_back_is_asked_for_its_mac_anew(manager: HubManager, simulation: Simulation) -> None:
    first, second = [await simulation.add_hub(host=f"127.0.1.{n}") for n in (1, 2)]
    mac = first.mac
    at_first, at_second = [
        DiscoveredHub(name="Vege_1", addresses=(hub.host,), port=hub.port) for hub in (first, second)
    ]
    await manager._encounters.meet(at_first)
    for here, elsewhere, found in ((second, first, at_second), (first, second, at_first)):
        here.mac, elsewhere.mac = mac, "7C9EBD00AAAA"
        asked = len(here.requests)
        record = await manager._encounters.meet(found)
        assert record is not None
        assert record.address == here.address
        assert len(here.requests) == asked + 1


async def test_an_announcement_voids_the_proof_of_the_mac(manager: HubManager, simulation: Simulation) -> None:
    hub = await simulation.add_hub()
    found = DiscoveredHub(name="Vege_1", addresses=(hub.host,), port=hub.port)
    await manager._encounters.meet(found)
    for _ in range(2):
        await manager.hub(hub.mac).turn_off(0)
        await manager.hub(hub.mac).turn_off(0)
        await manager._encounters.meet(found)
    paths = [request.path for request in hub.requests]
    off = ["/api/info/get", "/api/actuators/set", "/api/actuators/set"]
    assert paths == ["/api/info/get", *off, *off]


async def test_a_hub_is_followed_when_nothing_answers_at_the_old_address(
    manager: HubManager, simulation: Simulation, announcer: HubAnnouncer
) -> None:
    hub = await simulation.add_hub(host="127.0.1.2")
    manager.add("127.0.1.1:9", id="shed", mac=hub.mac)
    await announce(announcer, hub)
    (record,) = await manager.discover(LONG, expect=1)
    assert record.address == hub.address


async def test_the_wrong_hub_at_an_address_is_never_commanded_and_the_right_one_is_found(
    manager: HubManager, simulation: Simulation, announcer: HubAnnouncer
) -> None:
    right = await simulation.add_hub(host="127.0.1.1")
    mac, address = right.mac, right.address
    manager.add(address, id="shed", mac=mac)
    hub = manager.hub("shed")
    await hub.turn_on(0, 60)
    right.faults.status(500, times=1)
    with pytest.raises(VegeHubError):
        await hub.get_actuators()
    moved = await simulation.add_hub(host="127.0.1.2")
    moved.mac = mac
    right.mac = "7C9EBD00AAAA"
    before = len(right.actuators[0].commands)
    with pytest.raises(VegeHubMismatchError):
        await hub.turn_on(0, 60)
    await announce(announcer, moved)
    await manager.discover(LONG, expect=1)
    await hub.turn_on(0, 60)
    assert len(right.actuators[0].commands) == before
    assert [command.state for command in moved.actuators[0].commands] == [1]


async def test_a_copied_mac_moves_nothing_while_the_old_address_answers(
    manager: HubManager, simulation: Simulation, announcer: HubAnnouncer
) -> None:
    real = await simulation.add_hub(host="127.0.1.1")
    forger = await simulation.add_hub(host="127.0.1.2")
    forger.mac = real.mac
    manager.add(real.address, id="shed", mac=real.mac)
    events = heard(manager, "moved")
    await announce(announcer, forger)
    (record,) = await manager.discover(LONG, expect=1)
    assert record.address == real.address == manager.hub("shed").ip_address
    assert events == []


async def test_a_copied_mac_from_another_interface_moves_nothing(
    manager: HubManager, simulation: Simulation, announcer: HubAnnouncer
) -> None:
    forger = await simulation.add_hub(host="::1")
    manager.add("127.0.1.1:9", id="shed", mac=forger.mac)
    await announce(announcer, forger)
    (record,) = await manager.discover(LONG, expect=1)
    assert record.address == "127.0.1.1:9"


async def test_a_hub_that_announces_only_a_name_is_asked_there_but_not_followed_there(
    manager: HubManager, simulation: Simulation
) -> None:
    hub = await simulation.add_hub()
    manager.add("127.0.1.1:9", id="shed", mac=hub.mac)
    found = DiscoveredHub(name="Vege_1", host="localhost", port=hub.port)
    record = await manager._encounters.meet(found)
    assert record is not None
    assert record.address == "127.0.1.1:9"
    assert len(hub.requests) == 1


@pytest.mark.parametrize("old", ["Vege_22_33.nowhere:80", "127.0.1.1:9"])
async def test_a_move_to_an_address_that_is_not_private_or_cannot_be_compared_is_not_made(
    manager: HubManager, simulation: Simulation, announcer: HubAnnouncer, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vegehub.fleet import encounters

    async def no_route(host: str, port: int) -> tuple[str, str]:
        raise VegeHubConnectionError("no route", outcome=Outcome.NOT_SENT)

    hub = await simulation.add_hub()
    manager.add(old, id="shed", mac=hub.mac)
    if old.startswith("Vege"):
        monkeypatch.setattr(encounters, "local_address", no_route)
    else:
        monkeypatch.setattr(encounters.ipaddress.IPv4Address, "is_private", False)
    await announce(announcer, hub)
    (record,) = await manager.discover(LONG, expect=1)
    assert record.address == old


async def test_a_hub_is_not_followed_when_that_is_turned_off(simulation: Simulation, announcer: HubAnnouncer) -> None:
    hub = await simulation.add_hub()
    await announce(announcer, hub)
    async with HubManager(interfaces=LOOPBACK, follow=False) as manager:
        manager.add("127.0.1.1:9", id="shed", mac=hub.mac)
        (record,) = await manager.discover(LONG, expect=1)
        assert record.address == "127.0.1.1:9"


async def test_a_suspended_hub_that_announces_itself_stays_where_it_was(
    manager: HubManager, simulation: Simulation, announcer: HubAnnouncer
) -> None:
    hub = await simulation.add_hub()
    manager.add("127.0.1.1:9", id="shed", mac=hub.mac)
    manager.suspend("shed")
    await announce(announcer, hub)
    (record,) = await manager.discover(LONG, expect=1)
    assert (record.address, record.suspended) == ("127.0.1.1:9", True)


async def test_a_hub_that_cannot_be_taken_in_does_not_disturb_the_rest(
    manager: HubManager, simulation: Simulation, announcer: HubAnnouncer, caplog: pytest.LogCaptureFixture
) -> None:
    good, odd = [await simulation.add_hub() for _ in range(2)]
    manager.add("127.0.1.1", id=odd.mac, mac="7C9EBD00AAAA")  # an id that is another hub's MAC
    await announce(announcer, good)
    await announce(announcer, odd)
    records = await manager.discover(LONG, expect=2)
    assert [record.mac for record in records] == [good.mac]
    assert any("was not taken in" in record.getMessage() for record in caplog.records)


async def test_a_watch_adds_hubs_and_an_announcement_sends_what_is_queued(
    manager: HubManager, simulation: Simulation, air: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "_ANNOUNCEMENT_PAUSE", 0)
    watching = asyncio.create_task(manager.watch())
    hub, other = [await simulation.add_hub() for _ in range(2)]
    name, name_of_other = unused_name(), unused_name()
    await until(lambda: air.announce(name, hub.host, hub.port) or manager.get(hub.mac) is not None)
    off = manager.queue(hub.mac).turn_off(0)
    air.announce(name, hub.host, hub.port)
    await off
    assert [command.state for command in hub.actuators[0].commands] == [0]
    air.goodbye(name)
    air.announce(name_of_other, other.host, other.port)
    await until(lambda: manager.get(other.mac) is not None)
    assert manager.get(hub.mac) is not None
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching


async def test_the_power_mode_of_an_announcement_tells_whether_a_hub_sleeps(
    manager: HubManager, simulation: Simulation, announcer: HubAnnouncer
) -> None:
    hub = await simulation.add_hub()
    await announcer.announce(unused_name(), hub.host, hub.port, {"power_mode": "1"}, probe=False)
    await manager.discover(LONG, expect=1)
    assert not manager.presence(hub.mac).sleeps


async def test_a_flood_of_invented_hubs_is_forgotten(
    manager: HubManager, simulation: Simulation, announcer: HubAnnouncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vegehub.fleet import encounters

    monkeypatch.setattr(encounters, "_MAX_PAIRS", 2)
    for _ in range(5):
        await announce(announcer, await simulation.add_hub())
    await manager.discover(LONG, expect=5)
    assert len(manager._encounters._pairs) <= 2
    assert len(manager.list()) == 5
