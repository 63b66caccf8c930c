"""DESIGN: a module imports from its own row and the rows below it, and the simulator shares nothing with the client."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest
from programs import ROOT, loaded_after

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGE = ROOT / "vegehub"

# What stands in no row belongs to the lowest one: payloads and models, without loop and I/O.
ROWS = (
    {"session", "transport", "deadline", "failures", "local_address"}
    | {"discovery", "multicast", "receiver", "intake", "subscriptions", "files"}
    | {"journal", "journal_store", "delivery", "repeats"},
    {
        "vegehub",
        "established",
        "proof",
        "watering",
        "pending",
        "pending_command",
        "pending_list",
        "presence",
        "connect",
    },
    {"manager", "registry", "history", "encounters", "members"},
    {"cli", "simulator", "testing", "mqtt", "__main__", "__init__"},
)
OF_THE_LOOP = {"aiohttp", "asyncio", "socket", "sqlite3", "zeroconf", "ssl", "threading", "subprocess"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


KNOWN = {dotted(path) for path in modules()}


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of every import in a module, also of those inside functions and for types only."""
    package = dotted(path).split(".")
    if path.stem != "__init__":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{source}.{alias.name}"
                yield node.lineno, full if full in KNOWN else source


def row(name: str) -> int:
    """The row of a module of the package, counted from 0 for the lowest; a subpackage counts as a whole."""
    parts = name.split(".")
    top = parts[1] if len(parts) > 1 else "__init__"
    # A module that grew too long was cut in two: journal_store stands with journal.
    names_of_it = {top, top.partition("_")[0]}
    return next((number for number, names in enumerate(ROWS, 1) if names & names_of_it), 0)


def of_package(path: Path) -> list[tuple[str, str]]:
    """Where and what a module imports of the package."""
    place = path.relative_to(ROOT)
    return [(f"{place}:{line}", name) for line, name in imported(path) if name.split(".")[0] == "vegehub"]


def test_no_module_imports_upward_and_so_nobody_the_edges() -> None:
    wrong = [
        f"{place}: imports {name}, which is in a higher row"
        for path in modules()
        for place, name in of_package(path)
        if row(dotted(path)) < row(name)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_lowest_row_has_no_loop_and_no_io() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: imports {name}; a module with I/O belongs to a row of its own"
        for path in modules()
        if row(dotted(path)) == 0
        for line, name in imported(path)
        if name.split(".")[0] in OF_THE_LOOP
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", ["receiver", "journal"])
def test_updates_come_in_without_the_hub_row(module: str) -> None:
    """The manager joins them by subscribing; a server that only takes updates needs no client."""
    path = PACKAGE / f"{module}.py"
    if path.exists():
        assert not [place for place, name in of_package(path) if row(name) == ROWS.index({*ROWS[1]}) + 1]


def test_the_simulator_imports_nothing_of_the_client_but_the_sensor_curves() -> None:
    wrong = [
        f"{place}: imports {name}"
        for path in (PACKAGE / "simulator").rglob("*.py")
        for place, name in of_package(path)
        if not name.startswith("vegehub.simulator") and name != "vegehub.sensors"
    ]
    assert not wrong, "\n".join(wrong)


def test_the_simulator_loads_nothing_of_the_client_either() -> None:
    parts = [dotted(path) for path in (PACKAGE / "simulator").rglob("*.py") if path.stem != "__main__"]
    curves = {name for name in loaded_after("import vegehub.sensors") if name.startswith("vegehub")}
    loaded = {name for name in loaded_after(f"import {', '.join(parts)}") if name.startswith("vegehub")}
    assert parts
    assert {name for name in loaded if not name.startswith("vegehub.simulator")} <= curves


def test_the_leak_guard_works_without_the_client() -> None:
    loaded = {name for name in loaded_after("import vegehub.testing") if name.startswith("vegehub.")}
    assert {name for name in loaded if not name.startswith("vegehub.testing")} == set()
