"""The life of a hub in the manager, as docs/manager.md has it in a table and docs/hub-life.svg in a drawing."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from programs import ROOT
from raw_hub import until

from vegehub import DiscoveredHub, HubManager, PresenceState
from vegehub.simulator import Simulation
from vegehub.sleeping import presence
from vegehub.wire.updates import parse_update

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from vegehub.simulator import SimulatedHub

PAGE = (ROOT / "docs" / "manager.md").read_text(encoding="utf-8")
IN_USE = ("added", "awake", "asleep", "stale")
EVENTS = ("added", "moved", "presence", "update", "suspended", "resumed", "removed")
ALMOST = 0.2
"""Seconds before a timer of the manager is due: nothing is awaited before the state is looked at, so no test is too slow."""


class Life:
    """A manager, a simulated hub that may be in it as "shed", and the events that the manager told."""

    def __init__(self, manager: HubManager, hub: SimulatedHub, monkeypatch: pytest.MonkeyPatch) -> None:
        self.manager = manager
        self.hub = hub
        self.monkeypatch = monkeypatch
        self.told: list[str] = []
        for kind in EVENTS:
            manager.on(kind, lambda event: self.told.append(event.kind))  # type: ignore[arg-type]

    @property
    def state(self) -> str:
        record = self.manager.get(self.hub.mac)
        if record is None:
            return "gone"
        if record.suspended:
            return "suspended"
        now = self.manager.presence(self.hub.mac).state
        return "added" if now is PresenceState.UNKNOWN else now.value

    def add(self) -> None:
        self.manager.add(self.hub.address, id="shed", mac=self.hub.mac, timeout=60)

    def update(self, seconds_ago: float = 0.0) -> None:
        document = {"mac": self.hub.mac, "sensors": [{"slot": 1, "samples": [{"v": 1.5, "t": "2025-06-01T12:00:00Z"}]}]}
        came = datetime.now(UTC) - timedelta(seconds=seconds_ago)
        self.manager.take(replace(parse_update(document), received_at=came))

    def on_wall_power(self) -> None:
        self.manager.presence("shed").configured({"hub": {"power_mode": 1}})

    def reports_every_second(self) -> None:
        self.manager.presence("shed").configured({"hub": {"update_period": 1}})

    async def announce(self) -> None:
        found = DiscoveredHub(name=self.hub.name, addresses=(self.hub.host,), port=self.hub.port)
        await self.manager._encounters.meet(found)

    async def call(self) -> None:
        await self.manager.run(lambda hub: hub.get_info())

    async def change(self) -> None:
        """Wait until a timer of the manager changes the state."""
        before = self.state
        await until(lambda: self.state != before)

    async def bring(self, state: str) -> None:
        """Bring the hub into a state; nothing is awaited on the way to those of its presence."""
        if state == "nothing":
            return
        self.add()
        match state:
            case "awake":
                self.update()
            case "asleep":
                self.update(presence.AWAKE_AFTER_UPDATE + 1)
            case "stale":
                self.reports_every_second()
                self.update(60)
            case "suspended":
                self.manager.suspend("shed")
            case "removed":
                self.update()
                await self.manager.remove("shed")


# What happens


async def added(life: Life) -> None:
    life.add()
    assert life.manager.history("shed") == ()


async def announces_itself(life: Life) -> None:
    await life.announce()


async def sends_an_update(life: Life) -> None:
    life.update()


async def is_called(life: Life) -> None:
    await life.call()


async def cannot_be_reached(life: Life) -> None:
    life.hub.faults.refuse()
    await life.call()


async def cannot_be_reached_on_wall_power(life: Life) -> None:
    life.on_wall_power()
    await cannot_be_reached(life)


async def moves(life: Life) -> None:
    await life.hub.move_to("127.0.1.9")
    await life.announce()
    record = life.manager.get("shed")
    assert record is not None
    assert record.address == life.manager.hub("shed").ip_address == life.hub.address


async def is_suspended(life: Life) -> None:
    life.manager.suspend("shed")


async def speaks_while_suspended(life: Life) -> None:
    life.update()
    await life.announce()
    assert life.manager.history("shed") == ()


async def is_resumed(life: Life) -> None:
    life.manager.resume("shed")


async def is_removed(life: Life) -> None:
    await life.manager.remove("shed")


async def waits(life: Life) -> None:
    await life.change()


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table, and how it is brought about."""

    before: tuple[str, ...]
    what: str
    after: str
    events: tuple[str, ...]
    act: Callable[[Life], Awaitable[None]]


HEARD = ("added", "asleep", "stale")
ROWS = (
    Row(("nothing",), "you call `add`", "added", ("added",), added),
    Row(("nothing",), "it announces itself and gives its MAC", "awake", ("added", "presence"), announces_itself),
    Row(HEARD, "it sends an update", "awake", ("presence", "update"), sends_an_update),
    Row(HEARD, "it answers a call", "awake", ("presence",), is_called),
    Row(HEARD, "it announces itself", "awake", ("presence",), announces_itself),
    Row(
        ("awake",),
        f"it runs on battery and is not heard again, for {presence.AWAKE_AFTER_UPDATE:g} s after an update or "
        f"{presence.AWAKE_AFTER_CALL:g} s after a call or an announcement",
        "asleep",
        ("presence",),
        waits,
    ),
    Row(
        ("awake",),
        "it runs on battery and no connection can be made to it",
        "asleep",
        ("presence",),
        cannot_be_reached,
    ),
    Row(
        ("awake",),
        "it has wall power and no connection can be made to it",
        "stale",
        ("presence",),
        cannot_be_reached_on_wall_power,
    ),
    Row(
        ("added", "awake", "asleep"),
        f"it is not heard for two of its periods, or for {presence.LONGEST_SILENCE / 3600:g} hours while its period is "
        "not known",
        "stale",
        ("presence",),
        waits,
    ),
    Row(
        ("awake",),
        "it announces itself at another address, and its MAC no longer answers at the old one",
        "awake",
        ("moved",),
        moves,
    ),
    Row(
        HEARD,
        "it announces itself at another address, and its MAC no longer answers at the old one",
        "awake",
        ("moved", "presence"),
        moves,
    ),
    Row(IN_USE, "you call `suspend`", "suspended", ("suspended",), is_suspended),
    Row(("suspended",), "it sends an update or announces itself", "suspended", (), speaks_while_suspended),
    Row(("suspended",), "you call `resume`", "as before", ("resumed",), is_resumed),
    Row((*IN_USE, "suspended"), "you call `remove`", "removed", ("removed",), is_removed),
    Row(("removed",), "you call `add`", "added", ("added",), added),
)


@pytest.fixture
async def life(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Life]:
    async with Simulation(seed=3) as simulation, HubManager() as manager:
        yield Life(manager, await simulation.add_hub(host="127.0.1.1"), monkeypatch)


async def bring_about(life: Life, row: Row, before: str) -> None:
    """Bring the hub into the state of a row, so that what the row waits for is near."""
    if row.act is not waits:
        await life.bring(before)
    elif row.after == "asleep":
        life.add()
        life.update(presence.AWAKE_AFTER_UPDATE - ALMOST)
    elif before == "added":
        life.monkeypatch.setattr(presence, "LONGEST_SILENCE", ALMOST)
        life.add()
    else:
        life.add()
        life.reports_every_second()
        if before == "awake":
            life.on_wall_power()
        life.update(2 * 1 + 30 - ALMOST)
    assert life.state in (before, {"nothing": "gone", "removed": "gone"}.get(before))


@pytest.mark.parametrize(
    ("row", "before"),
    [
        pytest.param(row, before, id=f"{before} to {row.after}: {row.what[:50]}")
        for row in ROWS
        for before in row.before
    ],
)
async def test_each_row_of_the_table_is_true(life: Life, row: Row, before: str) -> None:
    await bring_about(life, row, before)
    life.told.clear()
    await row.act(life)
    after = "gone" if row.after == "removed" else "added" if row.after == "as before" else row.after
    assert (life.state, tuple(life.told)) == (after, row.events)


@pytest.mark.parametrize("state", IN_USE)
async def test_a_hub_that_is_resumed_is_what_it_was(life: Life, state: str) -> None:
    await life.bring(state)
    life.manager.suspend("shed")
    life.manager.resume("shed")
    assert life.state == state


async def test_the_table_has_these_rows_and_no_others() -> None:
    section = PAGE.partition("## The life of a hub\n")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    table = [
        (tuple(before.split(", ")), what, after, tuple(re.findall(r"`(\w+)`", events)))
        for before, what, after, events in cells[2:]
    ]
    assert table == [(row.before, row.what, row.after, row.events) for row in ROWS]


def test_the_drawing_has_an_arrow_for_each_change_in_the_table_and_no_others() -> None:
    drawing = ET.parse(ROOT / "docs" / "hub-life.svg")
    arrows: set[tuple[str, str]] = set()
    for path in drawing.iter("{http://www.w3.org/2000/svg}path"):
        before, after = path.get("data-from"), path.get("data-to")
        if before and after:
            wide = {"in use": IN_USE}
            arrows |= {(one, other) for one in wide.get(before, (before,)) for other in wide.get(after, (after,))}
    changes = {
        (before, after)
        for row in ROWS
        if row.events
        for before in row.before
        for after in (IN_USE if row.after == "as before" else (row.after,))
    }
    assert arrows == changes
    names = {text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")}
    assert {*IN_USE, "suspended", "removed", "moved"} <= names


def test_the_drawing_loads_nothing_from_elsewhere() -> None:
    text = (ROOT / "docs" / "hub-life.svg").read_text(encoding="utf-8")
    assert "://" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
