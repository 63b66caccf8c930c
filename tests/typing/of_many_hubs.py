"""What type checkers say of discovery, registries, managers, queues and presence; checked, never run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, assert_type

from vegehub import (
    NOTHING_FOUND,
    ActuatorState,
    DiscoveredHub,
    History,
    HistorySample,
    HourlyMean,
    HubBrowser,
    HubEvent,
    HubManager,
    HubRecord,
    ManagerEvent,
    Member,
    PendingCommand,
    PendingQueue,
    PendingState,
    Presence,
    PresenceChange,
    PresenceState,
    Reading,
    Registry,
    ServerChange,
    SlotLayout,
    Update,
    UpdateReceiver,
    VegeHub,
    VegeHubError,
    discover,
)

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from aiohttp import ClientSession
    from zeroconf.asyncio import AsyncZeroconf


async def discovery(zeroconf: AsyncZeroconf) -> None:
    assert_type(await discover(), list[DiscoveredHub])
    (found, *_) = await discover(2, zeroconf=zeroconf, interfaces=["192.0.2.10"], expect=1)
    assert_type(found.address, str)
    assert_type(found.addresses, tuple[str, ...])
    assert_type(found.port, int)
    assert_type(found.num_sensors, int | None)
    async with HubBrowser(zeroconf=zeroconf) as browser:
        assert_type(browser, HubBrowser)
        assert_type(browser.hubs, tuple[DiscoveredHub, ...])
        async for event in browser:
            assert_type(event, HubEvent)
            assert_type(event.hub, DiscoveredHub)
            if event.kind == "vanished":  # type: ignore[comparison-overlap]
                pass
    assert_type(NOTHING_FOUND, str)

    await discover(5, zeroconf)  # type: ignore[call-arg]
    discover()  # type: ignore[unused-coroutine]
    for _ in browser:  # type: ignore[attr-defined]
        pass


async def registries(path: Path) -> None:
    registry = Registry.load(path)
    assert_type(registry, Registry)
    assert_type(await Registry.async_load(path), Registry)
    assert_type(registry.add("192.0.2.57", id="lawn", metadata={"zone": 1}), HubRecord)
    assert_type(registry.get("lawn"), HubRecord | None)
    assert_type(registry.by_mac("7C9EBD112233"), HubRecord | None)
    assert_type(registry.list(), tuple[HubRecord, ...])
    assert_type(registry["lawn"], HubRecord)
    assert_type(len(registry), int)
    assert_type([record.id for record in registry], list[str])
    registry.save(str(path))

    registry.get("lawn").address  # type: ignore[union-attr]  # noqa: B018 - None if unknown
    registry["lawn"].address = "192.0.2.58"  # type: ignore[misc]
    registry.add()  # type: ignore[call-arg]


def histories(history: History, reading: Reading, since: datetime) -> None:
    assert_type(history.add("lawn", reading), int)
    assert_type(history.query("lawn", slot=1, since=since), tuple[HistorySample, ...])
    assert_type(history.query("lawn")[0].value, float)
    assert_type(history.hourly("lawn", 1), tuple[HourlyMean, ...])

    history.add("lawn", 1.5)  # type: ignore[arg-type]
    History(1000)  # type: ignore[call-arg]


async def managers(session: ClientSession, receiver: UpdateReceiver, path: Path) -> None:
    async with HubManager(session, follow=False) as manager:
        assert_type(manager, HubManager)
        assert_type(manager.add("192.0.2.57", id="lawn", timeout=3), HubRecord)
        assert_type(manager.get("lawn"), HubRecord | None)
        assert_type(manager.list(), tuple[HubRecord, ...])
        assert_type(manager.hub("lawn"), VegeHub)
        assert_type(manager.queue("lawn"), PendingQueue)
        assert_type(manager.presence("lawn"), Presence)
        assert_type(await manager.discover(expect=2), tuple[HubRecord, ...])
        assert_type(await manager.run(VegeHub.get_readings), dict[str, tuple[Reading, ...] | Exception])

        async def volts(hub: VegeHub) -> float:
            return (await hub.get_info()).battery_volts or 0.0

        def told(done: int, of: int) -> None: ...

        assert_type(await manager.run(volts, told, concurrency=4), dict[str, float | Exception])
        async with manager.acquire(timeout=3) as hub:
            assert_type(hub, VegeHub)
        assert_type(manager.attach(receiver), Callable[[], None])
        assert_type(manager.history("lawn", 1), tuple[HistorySample, ...])
        assert_type(manager.hourly("lawn", 1), tuple[HourlyMean, ...])

        def heard(event: ManagerEvent) -> None:
            assert_type(event.record, HubRecord)
            assert_type(event.detail, PresenceChange | Update | ActuatorState | str | None)

        assert_type(manager.on("update", heard), Callable[[], None])
        await manager.save(path)

        manager.on("actuator", heard)
        member = manager.member("lawn")
        assert_type(member, Member)
        assert_type(member.id, str)
        assert_type(member.hub, VegeHub)
        assert_type(member.queue, PendingQueue)
        assert_type(member.presence, Presence)
        assert_type(member.layout, SlotLayout | None)
        assert_type(member.period, float | None)
        assert_type(member.power_mode, int | None)
        assert_type(member.in_use, bool)
        assert_type(member.actuators[0], ActuatorState)
        assert_type(member.actuators[0].is_on, bool)
        assert_type(member.actuators[0].since, datetime)

        member.in_use = True  # type: ignore[misc]
        member.actuators[0].is_on = False  # type: ignore[misc]
        manager.on("no such event", heard)  # type: ignore[arg-type]
        manager.on("update", told)  # type: ignore[arg-type]
        await manager.run(manager.hub)  # type: ignore[arg-type]
        with manager.acquire():  # type: ignore[attr-defined]
            pass
        HubManager(registry=path)  # type: ignore[arg-type]


async def queues(hub: VegeHub, update: Update, soon: timedelta, moment: datetime) -> None:
    async with PendingQueue(hub) as queue:
        command = queue.turn_on(0, 60, expires_in=soon)
        assert_type(command, PendingCommand[None])
        assert_type(command.state, PendingState)
        assert_type(command.error, VegeHubError | None)
        assert_type(command.expires_at, datetime | None)
        assert_type(command.cancel(), bool)
        assert_type(queue.turn_off(0), PendingCommand[None])
        assert_type(await queue.configure_server("http://192.0.2.10/"), ServerChange)
        queue.turn_on(0, soon, expires_at=moment)
        queue.notify_awake(update)
        if command.state is PendingState.DELIVERED:
            pass

        queue.turn_on(0)  # type: ignore[call-arg]
        queue.turn_on(0, 60, soon)  # type: ignore[call-arg]
        PendingQueue("192.0.2.57")  # type: ignore[arg-type]


def presences(presence: Presence, update: Update, document: dict[str, object]) -> None:
    assert_type(presence.state, PresenceState)
    assert_type(presence.last_seen, datetime | None)
    assert_type(presence.expected_period, float | None)
    assert_type(presence.check(), PresenceState)

    def heard(change: PresenceChange) -> None:
        assert_type(change.before, PresenceState)
        assert_type(change.missed_updates, int)

    assert_type(presence.subscribe(heard), Callable[[], None])
    presence.updated(update)
    presence.configured(document)

    presence.state = PresenceState.AWAKE  # type: ignore[misc]
    presence.subscribe(update)  # type: ignore[arg-type]
