"""The public surface of the package as text, a line for each name; `test_public_api.py` compares it with the recorded one.

Run as a program it writes `public_api.txt` anew: ``.venv/bin/python tests/promises/public_api.py``.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDED = Path(__file__).with_suffix(".txt")
MODULES = ("vegehub", "vegehub.helpers", "vegehub.simulator", "vegehub.testing")
NAMED = {
    "vegehub.helpers": (
        *("vh400_transform", "therm200_transform"),
        *("update_data_to_latest_dict", "update_data_to_ha_dict"),
    )
}
"""Where existing programs import from a module without `__all__`: the names that they import."""
ESTABLISHED_PRIVATE = (
    "_get_session",
    "_session",
    "_owns_session",
    "_get_device_info",
    "_get_device_config",
    "_set_device_config",
    "_modify_device_config",
)
"""Members of VegeHub that are no public names, but that existing programs and tests call, patch or read."""
OPERATORS = (
    *("__enter__", "__exit__", "__iter__", "__next__", "__len__", "__call__", "__contains__", "__getitem__"),
    *("__aenter__", "__aexit__", "__aiter__", "__anext__", "__await__"),
)


def surface() -> list[str]:
    """The whole public surface."""
    lines = []
    for name in MODULES:
        lines += [f"[{name}]", *of_module(name), ""]
    return [*lines, "[vegehub.testing.plugin]", *of_plugin(), "", "[command line]", *of_command_line()]


def of_module(name: str) -> Iterator[str]:
    module = importlib.import_module(name)
    for public in sorted(NAMED.get(name) or module.__all__):
        value = getattr(module, public)
        if inspect.isclass(value):
            yield from of_class(public, value)
        elif inspect.isfunction(value):
            yield called(public, value)
        else:
            yield f"{public}: {type(value).__name__}"


def of_class(name: str, kind: type) -> Iterator[str]:
    bases = [base.__name__ for base in kind.__mro__[1:] if base is not object and not base.__name__.startswith("_")]
    yield f"class {name}({', '.join(bases)})" if bases else f"class {name}"
    if issubclass(kind, enum.Enum):
        yield from (f"{name}.{member.name} = {member.value!r}" for member in kind)
    elif has_constructor(kind):
        yield f"{name}{signature(kind)}"
    private = ESTABLISHED_PRIVATE if name == "VegeHub" else ()
    members: dict[str, list[str]] = {}
    for ours in of_package(kind):
        for member in vars(ours):
            wanted = not member.startswith("_") or member in (*private, *OPERATORS)
            if wanted and not (issubclass(kind, enum.Enum) and member in kind.__members__):
                lines = of_member(f"{name}.{member}", inspect.getattr_static(kind, member), ours)
                members.setdefault(member, list(lines))
        for member in attributes(ours):
            members.setdefault(member, [f"{name}.{member} (attribute)"])
    # Sorted: moving a method within a file is no change.
    for _, lines in sorted(members.items()):
        yield from lines


def of_package(kind: type) -> list[type]:
    """The class and its bases, as far as they are of the package."""
    return [base for base in kind.__mro__ if base.__module__.partition(".")[0] == "vegehub"]


def attributes(kind: type) -> list[str]:
    """The public attributes that the constructor of a class sets."""
    if "__init__" not in vars(kind) or "__dataclass_fields__" in vars(kind):
        return []
    return re.findall(r"\bself\.([a-z]\w*)(?:: [^=\n]+)? = ", inspect.getsource(kind.__init__))


def has_constructor(kind: type) -> bool:
    """Whether the way to make one is the package's own, and not that of a builtin error or of a protocol."""
    if getattr(kind, "_is_protocol", False):
        return False
    return any({"__init__", "__new__"} & vars(base).keys() for base in of_package(kind))


def of_member(name: str, member: Any, owner: type) -> Iterator[str]:
    last = name.rpartition(".")[2]
    if isinstance(member, property):
        settable = "" if member.fset is None else ", can be set"
        yield f"{name}: {returned(member.fget)} (property{settable})"
    elif isinstance(member, cached_property):
        yield f"{name}: {returned(member.func)} (property)"
    elif isinstance(member, (staticmethod, classmethod)):
        yield called(name, member.__func__, type(member).__name__)
    elif inspect.isfunction(member):
        yield called(name, member)
    elif last in (*vars(owner).get("__dataclass_fields__", {}), *vars(owner).get("_fields", ())):
        pass  # an argument of the constructor
    else:
        yield f"{name}: {type(member).__name__}"


def called(name: str, function: Any, how: str = "") -> str:
    wrapped = inspect.unwrap(function)
    is_async = inspect.iscoroutinefunction(wrapped)
    return f"{'async ' if is_async else ''}{name}{signature(function)}{f' ({how})' if how else ''}"


class _AsWritten(str):
    """An annotation that is shown as the source has it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def signature(function: Any) -> str:
    """The signature as it is written; a default that is an object without its place in memory."""
    found = inspect.signature(function)
    parameters = [one.replace(annotation=as_written(one.annotation)) for one in found.parameters.values()]
    shown = found.replace(parameters=parameters, return_annotation=as_written(found.return_annotation))
    return re.sub(r" at 0x[0-9a-f]+>", ">", str(shown))


def as_written(annotation: Any) -> Any:
    text = getattr(annotation, "__forward_arg__", annotation)
    return _AsWritten(text) if isinstance(text, str) else annotation


def returned(function: Any) -> str:
    return repr(as_written(inspect.signature(function).return_annotation))


def of_plugin() -> Iterator[str]:
    plugin = importlib.import_module("vegehub.testing.plugin")
    for name, value in sorted(vars(plugin).items()):
        if type(value).__name__ == "FixtureFunctionDefinition":
            yield f"fixture {name}"
    for option in sorted(set(re.findall(r'"(--vegehub-[a-z-]+)"', inspect.getsource(plugin)))):
        yield f"option {option}"


def of_command_line() -> Iterator[str]:
    app = importlib.import_module("vegehub.cli.app")
    for name, (target, _, _) in sorted(app.COMMANDS.items()):
        if target:
            yield of_command(app, name, target)
    for group, commands in (("config", app.CONFIG_COMMANDS), ("server", app.SERVER_COMMANDS)):
        for name, (target, _, _) in sorted(commands.items()):
            yield of_command(app, f"{group} {name}", target)


def of_command(app: Any, name: str, target: str) -> str:
    """A command with its arguments in their order, and its options in that of the alphabet."""
    arguments, options = [], []
    for parameter in app.load(name, target).params:
        if parameter.param_type_name == "argument":
            arguments.append(str(parameter.metavar or parameter.name).upper())
        else:
            options.append("/".join([*parameter.opts, *parameter.secondary_opts]))
    return " ".join(["vegehub", name, *arguments, *sorted(set(options) - {"--help"})])


if __name__ == "__main__":
    RECORDED.write_text("\n".join(surface()) + "\n", encoding="utf-8")
