"""DESIGN: a module imports from its own row and the rows below it, and the simulator shares nothing with the client."""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from programs import ROOT, loaded_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PACKAGE = ROOT / "vegehub"

# What stands in no row belongs to the lowest one: payloads and models, without loop and I/O.
ROWS = (
    {"receiving", "finding", "files"},
    {"vegehub", "established", "hub", "sleeping"},
    {"fleet"},
    {"cli", "simulator", "testing", "mqtt", "__main__", "__init__"},
)
PURE, HUB, MANY = 0, 2, 3
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
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source_of_them = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            full = [f"{source_of_them}.{alias.name}" for alias in node.names]
            names = [name if name in KNOWN else source_of_them for name in full]
        elif isinstance(node, ast.Call):
            names = [importlib.util.resolve_name(name, package) for name in imported_by_call(node, texts)]
        else:
            continue
        yield from (Imported(node.lineno, name, id(node) in for_types) for name in names)


def imported_by_call(call: ast.Call, texts: dict[str, object]) -> list[str]:
    """The names that `import_module` or `__import__` is given, itself or by way of an executor, as far as they are literal."""
    used = [ast.unparse(part).rpartition(".")[2] for part in (call.func, *call.args)]
    if not {"import_module", "__import__"} & {*used}:
        return []
    values = [part.value if isinstance(part, ast.Constant) else texts.get(ast.unparse(part)) for part in call.args]
    return [value for value in values if isinstance(value, str)][:1]


def imports_of(path: Path) -> list[Imported]:
    return list(imported(path.read_text(encoding="utf-8"), dotted(path)))


def row(name: str) -> int:
    """The row of a module of the package, counted from 0 for the lowest; a subpackage counts as a whole."""
    parts = name.split(".")
    top = parts[1] if len(parts) > 1 else "__init__"
    return next((number for number, names in enumerate(ROWS, 1) if top in names), 0)


def upward(module: str, source: str) -> list[str]:
    return [
        f"{module}:{one.line}: imports {one.name}, which is in a higher row"
        for one in imported(source, module)
        if one.top == "vegehub" and row(module) < row(one.name)
    ]


def foreign_to_the_simulator(module: str, source: str) -> list[str]:
    return [
        f"{module}:{one.line}: imports {one.name}"
        for one in imported(source, module)
        if one.top == "vegehub"
        and not f"{one.name}.".startswith("vegehub.simulator.")
        and one.name != "vegehub.sensors"
    ]


def outside_of_its_row(module: str, source: str) -> list[str]:
    """What a module does that only the row of I/O may do; the edges do as they need."""
    if row(module) not in (PURE, HUB, MANY) or module.startswith("vegehub.hub."):
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


CHECKS: tuple[Callable[[str, str], list[str]], ...] = (upward, outside_of_its_row)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_no_module_breaks_the_layers(check: Callable[[str, str], list[str]]) -> None:
    wrong = [line for path in modules() for line in check(dotted(path), path.read_text(encoding="utf-8"))]
    assert not wrong, "\n".join(wrong)


def test_every_module_of_a_row_is_there() -> None:
    tops = {name.split(".")[1] for name in KNOWN if "." in name} | {"__init__"}
    assert {name for names in ROWS for name in names} - tops == set()


@pytest.mark.parametrize("path", sorted((PACKAGE / "receiving").glob("*.py")), ids=lambda path: path.stem)
def test_updates_come_in_without_the_hub_row(path: Path) -> None:
    """The manager joins them by subscribing; a server that only takes updates needs no client."""
    names = [one.name for one in imports_of(path) if one.top == "vegehub"]
    assert [name for name in names if row(name) >= HUB] == []


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
@pytest.mark.parametrize("module", ["vegehub.wire.models", "vegehub.hub.transport"])
def test_a_way_up_is_seen(module: str, source: str) -> None:
    assert len(upward(module, source)) == 1


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
