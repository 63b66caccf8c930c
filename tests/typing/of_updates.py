"""What type checkers say of updates, their receiver and journal, curves and layouts; checked, never run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, assert_type

from aiohttp import web

from vegehub import (
    SENSOR_CURVES,
    HubInfo,
    Journal,
    JournalEvent,
    PiecewiseCurve,
    Reading,
    ReceiverConnection,
    Refusal,
    Sample,
    SensorCurve,
    Server,
    ServerChange,
    SlotLayout,
    Update,
    UpdateReceiver,
    VegeHub,
    VegeHubJournalError,
    connect_receiver,
    parse_update,
    sensor_curve,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def updates(body: bytes, layout: SlotLayout) -> None:
    update = parse_update(body)
    assert_type(update, Update)
    parse_update("{}")
    parse_update({"sensors": []})
    assert_type(update.mac, str)
    assert_type(update.sent_at, datetime | None)
    assert_type(update.rssi, int | None)
    assert_type(update.error_code, int | None)
    assert_type(update.battery_volts, float | None)
    assert_type(update.readings, Mapping[int, Reading])
    assert_type(update.readings[1].latest, Sample | None)
    assert_type(update.extra, Mapping[str, Any])
    assert_type(update.problem_count, int)
    assert_type(update.inputs(layout), dict[int, Reading])
    assert_type(update.actuators(layout), dict[int, Reading])
    assert_type(update.battery(layout), float | None)

    parse_update(None)  # type: ignore[arg-type]
    parse_update([])  # type: ignore[arg-type]
    update.mac = ""  # type: ignore[misc]
    update.readings[1] = Reading(1)  # type: ignore[index]
    Update("7C9EBD112233")  # type: ignore[call-arg]


def layouts(info: HubInfo) -> None:
    layout = SlotLayout.from_info(info, has_battery=True)
    assert_type(layout, SlotLayout)
    assert_type(SlotLayout.of(4, 2, is_ac=False), SlotLayout)
    assert_type(layout.inputs, range)
    assert_type(layout.battery, int | None)
    assert_type(layout.input_index(1), int | None)
    assert_type(layout.actuator_slot(0), int)

    SlotLayout(4, 2)  # type: ignore[call-arg]
    SlotLayout.from_info({})  # type: ignore[arg-type]


def curves() -> None:
    assert_type(sensor_curve("vh400"), SensorCurve)
    assert_type(SENSOR_CURVES["vh400"], SensorCurve)
    assert_type(sensor_curve("vh400").convert(1.5), float)
    curve = PiecewiseCurve.from_points([(0.0, 0.0), (3.0, 100.0)], name="mine", unit="%")
    assert_type(curve, PiecewiseCurve)
    assert_type(curve.invert(50), float)

    sensor_curve(400)  # type: ignore[arg-type]
    SensorCurve(name="none", unit="%")  # type: ignore[abstract]
    SENSOR_CURVES["mine"] = curve  # type: ignore[index]
    curve.convert("1.5")  # type: ignore[arg-type]


async def receivers(path: Path) -> None:
    receiver = UpdateReceiver(journal=Journal(path), token="secret", allowed=["7C9EBD112233"], max_rate=None)
    assert_type(receiver.path, str)
    assert_type(receiver.port, int | None)
    assert_type(receiver.routes("/hubs"), list[web.RouteDef])

    def take(update: Update) -> None: ...

    def refused(refusal: Refusal) -> None:
        assert_type(refusal.status, int)

    async def take_later(update: Update) -> None: ...

    assert_type(receiver.subscribe(take), Callable[[], None])
    receiver.subscribe(take_later, mac="7C9EBD112233")
    assert_type(receiver.on_replied(take), Callable[[], None])
    assert_type(receiver.on_refused(refused), Callable[[], None])
    async with receiver.serve("127.0.0.1", 8080) as serving:
        assert_type(serving, UpdateReceiver)
        async for update in receiver.stream(limit=10):
            assert_type(update, Update)

    UpdateReceiver(None, None)  # type: ignore[call-arg]
    receiver.serve()  # type: ignore[call-arg]
    receiver.subscribe(refused)  # type: ignore[arg-type]
    receiver.subscribe(take)("again")  # type: ignore[call-arg]
    for _ in receiver.stream():  # type: ignore[attr-defined]
        pass


async def journals(path: Path) -> None:
    async with Journal(path, max_bytes=1_000_000) as journal:
        assert_type(journal, Journal)
        assert_type(journal.closed, bool)
        assert_type(await journal.append(b"{}"), bool)
        assert_type(await journal.retry_parked("1", "2"), int)

        async def take(update: Update) -> None: ...

        await journal.deliver(take)

        def heard(event: JournalEvent) -> None:
            assert_type(event.text, str)
            if event.kind == "gone":  # type: ignore[comparison-overlap]
                pass

        assert_type(journal.on_event(heard), Callable[[], None])
        damaged: OSError = VegeHubJournalError("damaged")
        assert_type(VegeHubJournalError("damaged").damaged, bool)
        del damaged

        Journal()  # type: ignore[call-arg]
        await journal.deliver(heard)  # type: ignore[arg-type]
        await journal.append(1)  # type: ignore[arg-type]


async def connections(hub: VegeHub, receiver: UpdateReceiver, servers: AsyncIterator[Server]) -> None:
    connection = await connect_receiver(hub, receiver, name="Garden", timeout=60)
    assert_type(connection, ReceiverConnection)
    assert_type(connection.url, str)
    assert_type(connection.update, Update)
    assert_type(connection.change, ServerChange)
    assert_type(ServerChange.from_dict({}), ServerChange)
    assert_type(await connection.undo(), None)
    async for server in servers:
        assert_type(server.url, str)
        assert_type(server.enabled, bool)

    await connect_receiver("192.0.2.57", receiver)  # type: ignore[arg-type]
    await connect_receiver(hub, receiver, "Garden")  # type: ignore[call-arg]


def nothing_is_any(update: Update) -> None:
    update.no_such_name  # type: ignore[attr-defined]  # noqa: B018 - what is refused


def settings(document: dict[str, Any]) -> None:
    assert_type(HubInfo.parse(document), HubInfo)
