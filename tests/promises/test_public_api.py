"""The public names are pinned: whoever changes one sees, and records, what changes for those who use it."""

from __future__ import annotations

import ast
import difflib
import inspect

import public_api
import pytest
from programs import ROOT

import vegehub
from vegehub import VegeHub

HOW = "If this is meant, record it: python tests/promises/public_api.py; and tell users of it in CHANGELOG.md."


def difference(recorded: list[str], found: list[str]) -> str:
    return "\n".join(difflib.unified_diff(recorded, found, "recorded", "found", n=0, lineterm=""))


def test_the_public_surface_is_the_recorded_one() -> None:
    recorded = public_api.RECORDED.read_text(encoding="utf-8").splitlines()
    if changes := difference(recorded, public_api.surface()):
        pytest.fail(f"The public surface has changed.\n{changes}\n{HOW}", pytrace=False)


def test_the_record_has_what_it_is_for() -> None:
    """An empty record would agree with a rendering that forgot something."""
    recorded = public_api.RECORDED.read_text(encoding="utf-8").splitlines()
    names = {line.removeprefix("async ").removeprefix("class ").split("(")[0].split(":")[0] for line in recorded}
    assert set(vegehub.__all__) <= names
    assert {f"VegeHub.{member}" for member in public_api.ESTABLISHED_PRIVATE} <= names
    assert {"VegeHub.entities (attribute)", "[vegehub.testing]", "[vegehub.simulator]"} <= {*recorded}
    assert {"LeakGuard", "SimulatedHub", "SimulatedHub.advance", "fixture vegehub_simulated_hub"} <= names
    assert {line.split()[1] for line in recorded if line.startswith("vegehub ")} >= {"discover", "info", "on", "config"}


def test_the_names_are_sorted_and_each_is_listed_three_times() -> None:
    """For people (`__all__`), for the running program (`_MODULE_OF`), and for type checkers (the imports)."""
    assert vegehub.__all__ == sorted(vegehub.__all__, key=lambda name: (not name.isupper(), name))
    resolved = {*vegehub._MODULE_OF, "__version__"}
    tree = ast.parse((ROOT / "vegehub" / "__init__.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 1]
    checked = {alias.name for node in imports for alias in node.names}
    assert set(vegehub.__all__) == resolved == checked | {"__version__"}
    assert {alias.name: node.module for node in imports for alias in node.names} == vegehub._MODULE_OF


@pytest.mark.parametrize(
    ("call", "parameters"),
    [
        ("__init__", "self ip_address mac_address unique_id info session"),
        ("retrieve_mac_address", "self retries"),
        ("setup", "self api_key server_address retries"),
        ("set_actuator", "self state slot duration retries"),
        ("actuator_states", "self retries"),
        ("request_update", "self"),
        ("close", "self"),
        ("_get_session", "self"),
        ("_get_device_info", "self retries"),
        ("_get_device_config", "self retries"),
        ("_set_device_config", "self config_data retries"),
        ("_modify_device_config", "self config_data new_key server_url"),
    ],
)
def test_established_calls_take_their_arguments_by_position(call: str, parameters: str) -> None:
    found = inspect.signature(getattr(VegeHub, call)).parameters.values()
    assert [one.name for one in found if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD] == parameters.split()


def test_the_class_can_be_patched_as_existing_tests_do() -> None:
    assert not any("__slots__" in vars(base) for base in VegeHub.__mro__[:-1])
    methods = [
        name for name in (*public_api.ESTABLISHED_PRIVATE, "setup", "set_actuator") if callable(getattr(VegeHub, name))
    ]
    asynchronous = {name for name in methods if inspect.iscoroutinefunction(getattr(VegeHub, name))}
    assert asynchronous == {*methods} - {"_modify_device_config"}


def test_a_change_is_shown_line_by_line() -> None:
    found = public_api.surface()
    name = next(line for line in found if line.startswith("async VegeHub.turn_on("))
    changed = [line.replace("duration", "seconds") if line == name else line for line in found]
    shown = difference(found, changed).splitlines()
    assert [line for line in shown[2:] if line[0] in "+-"] == [f"-{name}", f"+{name.replace('duration', 'seconds')}"]
