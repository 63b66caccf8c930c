"""A house of rooms: each module imports from its own row and the rows below it, and from a room what that room names."""

from __future__ import annotations

import ast
import importlib.util
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from programs import ROOT, loaded_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PACKAGE = ROOT / "vegehub"

ROWS = (
    ("pure", "wire sensors wiring exceptions helpers"),
    ("in and found", "receiving finding files"),
    ("one hub", "vegehub hub sleeping"),
    ("many", "fleet"),
    ("edges", "cli mqtt record simulator testing __main__ __init__"),
)
"""From the lowest to the highest: what may stand at the top of the package, and nothing else."""
NUMBER = {top: number for number, (_, tops) in enumerate(ROWS) for top in tops.split()}
PURE, IN_AND_FOUND, ONE_HUB, MANY, EDGES = range(len(ROWS))
EDGES_OF_EDGES = {"cli": {"mqtt", "record", "simulator", "testing"}, "testing": {"simulator"}, "__main__": {"cli"}}
"""The command line shows all of it; the harness runs against a simulated hub."""
LOOSE = {"mqtt", "simulator", "testing"}
"""Edges of which `cli` still uses more than they name."""
CIRCLES = {"simulator"}
"""Rooms in which modules still need each other's types."""
OF_THE_LOOP = {
    "aiohttp",
    "asyncio",
    "concurrent",
    "multiprocessing",
    "select",
    "selectors",
    "signal",
    "threading",
    "time",
}
OF_THE_OUTSIDE = {
    "aiohttp",
    "http",
    "io",
    "os",
    "shutil",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "zeroconf",
}
"""What a socket or a file is reached by; `pathlib` only names files, which is no I/O yet."""


@dataclass(frozen=True, slots=True)
class Imported:
    """One import of a module; ``for_types``: it is for type checkers only, and never carried out."""

    line: int
    name: str
    for_types: bool = False
    source: str = ""
    """The module that a name is imported from; "" for an import of the whole module."""
    what: str = ""
    """That name."""

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


KNOWN = {dotted(path) for path in modules()}
PACKAGES = {dotted(path) for path in modules() if path.stem == "__init__"}


def imported(source: str, module: str) -> Iterator[Imported]:
    """Every import in the source of a module: at its top, in functions, for types only, relative, and by name."""
    tree = ast.parse(source)
    package = module if module in PACKAGES else module.rpartition(".")[0]
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    texts = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [(alias.name, "", "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            full = [(f"{origin}.{alias.name}", alias.name) for alias in node.names]
            names = [(name if name in KNOWN else origin, origin, what) for name, what in full]
        elif isinstance(node, ast.Call):
            names = [(name, "", "") for name in imported_by_call(node, texts, package)]
        else:
            continue
        yield from (Imported(node.lineno, name, id(node) in for_types, *rest) for name, *rest in names)


def imported_by_call(call: ast.Call, texts: dict[str, object], package: str) -> list[str]:
    """The names that `import_module` or `__import__` is given, itself or by way of an executor, as far as they are literal."""
    used = [ast.unparse(part).rpartition(".")[2] for part in (call.func, *call.args)]
    if not {"import_module", "__import__"} & {*used}:
        return []
    values = [part.value if isinstance(part, ast.Constant) else texts.get(ast.unparse(part)) for part in call.args]
    name, of, *_ = [*(value for value in values if isinstance(value, str)), "", ""]
    return [importlib.util.resolve_name(name, of or package)] if name else []


def imports_of(path: Path) -> list[Imported]:
    return list(imported(path.read_text(encoding="utf-8"), dotted(path)))


def top_of(name: str) -> str:
    """The room of a module, or the module itself where it stands at the top of the package."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def row(name: str) -> int:
    return NUMBER.get(top_of(name), PURE)


def upward(module: str, source: str) -> list[str]:
    """Imports of a higher row, or of a room beside it that it must not know, for types too."""
    here = top_of(module)
    wrong = []
    for one in imported(source, module):
        there = top_of(one.name)
        if one.top != "vegehub" or there == here:
            continue
        beside = (here == "hub" and there == "vegehub") or (
            row(module) == row(one.name) == EDGES
            and here != "__init__"
            and there not in {"__init__", *EDGES_OF_EDGES.get(here, ())}
        )
        if row(module) < row(one.name) or beside:
            wrong.append(f"{module}:{one.line}: imports {one.name}")
    return wrong


def named_by(room: str) -> set[str] | None:
    """What the `__init__` of a room names; None where it names nothing yet."""
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return {*ast.literal_eval(node.value)}
    return None


ROOMS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
NAMED = {room: named_by(room) for room in ROOMS}


def unnamed(module: str, source: str) -> list[str]:
    """What a module uses of another room that this room does not name, or names otherwise than through the room."""
    wrong = []
    for one in imported(source, module):
        room = top_of(one.name)
        named = NAMED.get(room)
        if one.top != "vegehub" or room in (top_of(module), *LOOSE) or room not in ROOMS:
            continue
        public = {f"vegehub.{room}", *(f"vegehub.{room}.{name}" for name in named or ())}
        if (one.source or one.name) not in public or (
            one.source == f"vegehub.{room}" and one.what not in (named or {"main"})
        ):
            wrong.append(f"{module}:{one.line}: {one.name} {one.what} is not in the __all__ of {room}")
    return wrong


def private(module: str, source: str) -> list[str]:
    """Names with an underscore that a module takes from another one of the package, by import or by attribute."""
    others = {one.what or one.name.rpartition(".")[2] for one in imported(source, module) if one.top == "vegehub"}
    wrong = [
        f"{module}:{one.line}: imports {one.what}"
        for one in imported(source, module)
        if one.top == "vegehub" and re.match("_[^_]", one.what)
    ]
    return wrong + [
        f"{module}:{node.lineno}: uses {ast.unparse(node)}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and re.match("_[^_]", node.attr)
        and isinstance(node.value, ast.Name)
        and node.value.id in others
    ]


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Modules that need each other, each circle once; what leads into one is not a part of it."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            for following in graph.get(waiting.pop(), set()) - found:
                found.add(following)
                waiting.append(following)
        return found

    every = {module: reached(module) for module in graph}
    found = [sorted(other for other in every[module] if module in every.get(other, ())) for module in graph]
    return [circle for number, circle in enumerate(found) if circle and circle not in found[:number]]


def foreign_to_the_simulator(module: str, source: str) -> list[str]:
    return [
        f"{module}:{one.line}: imports {one.name}"
        for one in imported(source, module)
        if one.top == "vegehub"
        and not f"{one.name}.".startswith("vegehub.simulator.")
        and one.name != "vegehub.sensors"
    ]


def outside_of_its_row(module: str, source: str) -> list[str]:
    """What a module does that only a row of I/O may do; the edges do as they need."""
    if row(module) not in (PURE, ONE_HUB, MANY) or top_of(module) == "hub":
        return []
    forbidden = OF_THE_OUTSIDE | (OF_THE_LOOP if row(module) == PURE else set())
    wrong = [
        f"{module}:{one.line}: imports {one.name}; a module with I/O belongs to a row of its own"
        for one in imported(source, module)
        if (one.top in forbidden or one.name.startswith("urllib.request")) and not one.for_types
    ]
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = {"open", "print", "input", "read_text", "read_bytes", "write_text", "write_bytes", "unlink", "mkdir"}
    wrong += [
        f"{module}:{call.lineno}: calls {ast.unparse(call.func)}"
        for call in calls
        if ast.unparse(call.func).rpartition(".")[2] in names
        and (
            isinstance(call.func, ast.Name)
            or ast.unparse(call.func).rpartition(".")[2] not in ("open", "print", "input")
        )
    ]
    return wrong


CHECKS: tuple[Callable[[str, str], list[str]], ...] = (upward, unnamed, private, outside_of_its_row)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_no_module_breaks_the_layers(check: Callable[[str, str], list[str]]) -> None:
    wrong = [line for path in modules() for line in check(dotted(path), path.read_text(encoding="utf-8"))]
    assert not wrong, "\n".join(wrong)


def test_each_room_and_each_module_at_the_top_stands_in_one_row() -> None:
    tops = {top_of(name) for name in KNOWN}
    assert tops - NUMBER.keys() == set()
    assert NUMBER.keys() - tops <= {"wiring", "record"}, "what is still to come"
    assert sum(len(names.split()) for _, names in ROWS) == len(NUMBER)


def test_no_module_needs_one_that_needs_it_for_types_neither() -> None:
    graph = {dotted(path): {one.name for one in imports_of(path) if one.name != dotted(path)} for path in modules()}
    found = [circle for circle in circles(graph) if not all(top_of(name) in CIRCLES for name in circle)]
    assert found == []


def test_each_room_says_what_happens_in_it_and_what_it_gives() -> None:
    for room in ROOMS - {"cli"}:
        tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
        names = NAMED[room]
        assert ast.get_docstring(tree), room
        assert names, room
        given = {
            alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
        }
        assert names <= given | {room}, room


@pytest.mark.parametrize("path", sorted((PACKAGE / "receiving").glob("*.py")), ids=lambda path: path.stem)
def test_updates_come_in_without_the_hub_row(path: Path) -> None:
    """The manager joins them by subscribing; a server that only takes updates needs no client."""
    names = [one.name for one in imports_of(path) if one.top == "vegehub"]
    assert [name for name in names if row(name) >= ONE_HUB] == []


def test_only_private_names_of_other_libraries_are_used() -> None:
    """The linter sees the others; what is kept from it is listed here."""
    kept = [
        f"{path.relative_to(PACKAGE)}: {line.partition('#')[0].strip()}"
        for path in modules()
        for line in path.read_text(encoding="utf-8").splitlines()
        if "noqa: SLF001" in line
    ]
    ours = [line for line in kept if not re.search(r"asyncio\.runners\._|self\._client\._sock_close", line)]
    assert ours == ["hub/session.py: present._release_if_idle()"]  # of the same module


def test_the_simulator_imports_nothing_of_the_client_but_the_sensor_curves() -> None:
    paths = list((PACKAGE / "simulator").rglob("*.py"))
    wrong = [
        line for path in paths for line in foreign_to_the_simulator(dotted(path), path.read_text(encoding="utf-8"))
    ]
    assert paths
    assert not wrong, "\n".join(wrong)


WAYS_UP = (
    "from ..vegehub import VegeHub",
    "from .. import VegeHub",
    "from .. import vegehub",
    "from vegehub import VegeHub",
    "import vegehub.fleet.manager",
    "import vegehub.cli.app as app",
    "from ..cli import main",
    "from ..simulator.hub import SimulatedHub",
    "def late():\n    from ..fleet.manager import HubManager",
    "async def late():\n    if True:\n        from .. import fleet",
    "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from ..fleet.manager import HubManager",
    "import importlib\nimportlib.import_module('vegehub.fleet.manager')",
    "from importlib import import_module\nimport_module('.fleet', 'vegehub')",
    "NAME = 'vegehub.fleet.manager'\ndef late(loop):\n    loop.run_in_executor(None, import_module, NAME)",
    "__import__('vegehub.fleet.manager')",
)


@pytest.mark.parametrize("source", WAYS_UP)
@pytest.mark.parametrize("module", ["vegehub.wire.models", "vegehub.receiving.store", "vegehub.hub.transport"])
def test_a_way_up_is_seen(module: str, source: str) -> None:
    assert len(upward(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("vegehub.hub.connect", "if TYPE_CHECKING:\n    from vegehub.vegehub import VegeHub"),
        ("vegehub.receiving.receiver", "from vegehub.hub import HubConnection"),
        ("vegehub.wire.models", "from vegehub.files import read_limited"),
        ("vegehub.fleet.manager", "from vegehub.mqtt import MqttBridge"),
        ("vegehub.mqtt.bridge", "from vegehub.cli import main"),
        ("vegehub.mqtt.bridge", "from vegehub.testing import LeakGuard"),
        ("vegehub.testing.leaks", "import vegehub.cli"),
    ],
)
def test_a_way_to_a_room_beside_is_seen(module: str, source: str) -> None:
    assert len(upward(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("vegehub.sleeping.queue", "from vegehub.vegehub import VegeHub"),
        ("vegehub.fleet.manager", "from vegehub.finding import discover"),
        ("vegehub.cli.simulate", "from vegehub.simulator import Simulation"),
        ("vegehub.testing.harness_cli", "from vegehub.simulator import PROFILES"),
        ("vegehub.mqtt.discovery", "from vegehub import __version__"),
    ],
)
def test_a_way_down_is_none_of_them(module: str, source: str) -> None:
    assert upward(module, source) == []


@pytest.mark.parametrize(
    "source",
    [
        "from vegehub.hub.connection import HubConnection",
        "from vegehub.hub import Transport",
        "from vegehub.hub import transport",
        "import vegehub.hub.session",
        "import vegehub.hub.session as session",
        "if TYPE_CHECKING:\n    from ..sleeping.queue import PendingQueue",
        "from vegehub.fleet.registry import Registry",
    ],
)
def test_what_a_room_does_not_name_is_seen(source: str) -> None:
    assert len(unnamed("vegehub.cli.read", source)) == 1


@pytest.mark.parametrize("source", ["from vegehub.hub import SessionOwner", "from vegehub.fleet.schema import check"])
def test_what_a_room_names_is_free_to_use(source: str) -> None:
    assert unnamed("vegehub.cli.read", source) == []


@pytest.mark.parametrize(
    "source",
    [
        "from vegehub.hub import _attempt",
        "from vegehub import hub\nhub._secret",
        "from ..wire import models\nmodels._mac",
    ],
)
def test_a_private_name_of_another_module_is_seen(source: str) -> None:
    assert len(private("vegehub.cli.read", source)) == 1


def test_a_circle_is_seen_and_what_leads_into_it_is_not_a_part() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}}
    assert circles(graph) == [["b", "c"], ["d"]]


@pytest.mark.parametrize(
    "source",
    [
        "from ..models import HubInfo",
        "from .. import models",
        "from ..vegehub import VegeHub",
        "from vegehub.testing import LeakGuard",
        "import vegehub",
        "import vegehub.simulators",
        "def late():\n    from .. import calls",
        "if TYPE_CHECKING:\n    from ..calls import Call",
        "import_module('..calls', __package__)",
    ],
)
def test_what_the_simulator_takes_from_the_client_is_seen(source: str) -> None:
    assert len(foreign_to_the_simulator("vegehub.simulator.api", source)) == 1
    assert (
        foreign_to_the_simulator("vegehub.simulator.api", "from ..sensors import vh400\nfrom .clock import Clock") == []
    )


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("vegehub.wire.models", "import asyncio"),
        ("vegehub.wire.models", "def late():\n    from socket import create_server"),
        ("vegehub.wire.models", "import urllib.parse, os.path"),
        ("vegehub.wire.models", "from urllib.request import urlopen"),
        ("vegehub.wire.models", "open('x')"),
        ("vegehub.vegehub", "import aiohttp"),
        ("vegehub.vegehub", "def late():\n    import aiohttp.web"),
        ("vegehub.fleet.registry", "Path('x').write_text('y')"),
        ("vegehub.fleet.registry", "import sqlite3"),
    ],
)
def test_io_above_or_below_its_row_is_seen(module: str, source: str) -> None:
    assert len(outside_of_its_row(module, source)) == 1


def test_names_for_types_only_are_no_io() -> None:
    assert outside_of_its_row("vegehub.vegehub", "if TYPE_CHECKING:\n    from aiohttp import ClientSession") == []
    assert outside_of_its_row("vegehub.receiving.receiver", "import aiohttp") == []


def test_the_simulator_loads_nothing_of_the_client_either() -> None:
    parts = [dotted(path) for path in (PACKAGE / "simulator").rglob("*.py") if path.stem != "__main__"]
    curves = {name for name in loaded_after("import vegehub.sensors") if name.startswith("vegehub")}
    loaded = {name for name in loaded_after(f"import {', '.join(parts)}") if name.startswith("vegehub")}
    assert parts
    assert {name for name in loaded if not name.startswith("vegehub.simulator")} <= curves


def test_the_leak_guard_works_without_the_client() -> None:
    loaded = {name for name in loaded_after("import vegehub.testing") if name.startswith("vegehub.")}
    assert {name for name in loaded if not name.startswith("vegehub.testing")} == set()
