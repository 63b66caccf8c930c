"""What type checkers say of what is plugged in, and of the file that says so; checked, never run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_type

from vegehub import (
    Garden,
    GardenHub,
    HubManager,
    PiecewiseCurve,
    Reading,
    Registry,
    SensorCurve,
    SlotLayout,
    Update,
    VegeHub,
    WiredActuator,
    WiredInput,
    Wiring,
    find_garden,
)

if TYPE_CHECKING:
    from aiohttp import ClientSession


def wirings(layout: SlotLayout, readings: tuple[Reading, ...], update: Update) -> None:
    tank = WiredInput(3, "Tank", PiecewiseCurve.from_points([(0, 0), (3, 200)], unit="l"), hidden=True)
    wiring = Wiring(
        "Beds", inputs=[WiredInput(1, "Tomatoes", "VH400"), tank], actuators=[WiredActuator(1, kind="valve")]
    )
    assert_type(wiring.inputs, tuple[WiredInput, ...])
    assert_type(wiring.input("Tomatoes"), WiredInput)
    assert_type(wiring.input(1).sensor, SensorCurve)
    assert_type(wiring.actuator("Roses").slot, int)
    assert_type(wiring.actuator(1).kind, Literal["valve", "pump", "outlet"] | None)
    assert_type(wiring.value_of(1, 1.5), tuple[float, str])
    assert_type(wiring.apply(readings), tuple[Reading, ...])
    assert_type(wiring.apply_to_update(update, layout), Update)
    assert_type(wiring.problems(layout), tuple[str, ...])
    assert_type(wiring.as_dict(), dict[str, Any])
    assert_type(Wiring.from_dict({"name": "Beds"}), Wiring)
    assert_type(readings[0].name, str)
    assert_type(readings[0].quantity, float | None)
    assert_type(readings[0].unit, str)

    WiredInput("1", "Tomatoes")  # type: ignore[arg-type]
    WiredInput(1, "Tomatoes", "VH400", True)  # type: ignore[call-arg]
    WiredActuator(1, "Roses", "tap")  # type: ignore[arg-type]
    Wiring("Beds", inputs=[WiredActuator(1)])  # type: ignore[list-item]
    wiring.name = "Lawn"  # type: ignore[misc]
    wiring.input(1).sensor = "VH400"  # type: ignore[misc, assignment]


def hubs(wiring: Wiring) -> None:
    hub = VegeHub("192.0.2.57", wiring=wiring)
    assert_type(hub.wiring, Wiring)
    assert_type(hub.layout, SlotLayout | None)
    hub.wiring = Wiring()

    hub.layout = None  # type: ignore[misc]
    VegeHub("192.0.2.57", wiring={"name": "Beds"})  # type: ignore[arg-type]


async def gardens(session: ClientSession, path: Path) -> None:
    garden = Garden.load()
    assert_type(garden, Garden)
    assert_type(await Garden.async_load(path), Garden)
    assert_type(find_garden("garden.toml"), Path)
    assert_type(garden.find("beds"), GardenHub | None)
    assert_type(garden["beds"].wiring, Wiring)
    assert_type(garden["beds"].options, Mapping[str, float])
    assert_type([hub.name for hub in garden], list[str])
    assert_type(len(garden), int)
    assert_type(garden.bridge, Mapping[str, Any])
    assert_type(garden.enter(Registry()), Registry)
    assert_type(HubManager.from_garden(garden, session, registry=Registry(), follow=False), HubManager)

    garden.find("beds").address  # type: ignore[union-attr]  # noqa: B018 - None if it is not there
    HubManager.from_garden(path)  # type: ignore[arg-type]
    GardenHub("beds", "192.0.2.57")  # type: ignore[call-arg]
