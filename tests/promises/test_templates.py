"""What people and their tools meet before CI does: issue forms and hooks name what exists, and ask for what helps."""

from __future__ import annotations

import re
import shlex
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from programs import ROOT

from vegehub.cli import app

if TYPE_CHECKING:
    from pathlib import Path

FORGE = ROOT / ".github"
FORMS = [path for path in sorted((FORGE / "ISSUE_TEMPLATE").glob("*.yml")) if path.name != "config.yml"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


# Hooks of pre-commit


def test_hooks_are_the_tools_of_this_environment() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"]
    declared = " ".join(PROJECT["optional-dependencies"]["dev"])
    for hook in hooks[0]["hooks"]:
        program, *arguments = shlex.split(hook["entry"])
        assert hook["language"] == "system"
        assert re.search(rf"\b{program}>=", declared), program
        assert [word for word in arguments if "/" in word and not (ROOT / word).exists()] == []
    assert {hook["entry"].split()[0] for hook in hooks[0]["hooks"]} >= {"ruff", "mypy"}


# Issue templates


def texts_of(form: dict[str, Any]) -> str:
    return "\n".join(str(value) for field in form["body"] for value in field["attributes"].values())


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_is_well_formed(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= form.keys()
    kinds = {"markdown": "value", "textarea": "label", "input": "label", "dropdown": "options"}
    for field in form["body"]:
        assert kinds[field["type"]] in field["attributes"]
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(set(ids)) == len(ids)
    options = [option for field in form["body"] for option in field["attributes"].get("options", [])]
    assert all(isinstance(option, str) for option in options)  # a bare yes would be true


def test_the_form_for_bugs_asks_for_what_finding_one_takes() -> None:
    form = yaml.safe_load((FORGE / "ISSUE_TEMPLATE" / "bug.yml").read_text(encoding="utf-8"))
    required = {field["id"] for field in form["body"] if field.get("validations", {}).get("required")}
    assert {"expected", "diagnostics", "versions", "firmware"} <= required
    assert "vegehub diagnostics HOST" in texts_of(form)
    assert "SECURITY.md" in texts_of(form)
    assert yaml.safe_load((FORGE / "ISSUE_TEMPLATE" / "config.yml").read_text(encoding="utf-8")) == {
        "blank_issues_enabled": False
    }


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_commands_options_and_files_that_a_form_names_exist(path: Path) -> None:
    text = texts_of(yaml.safe_load(path.read_text(encoding="utf-8")))
    named = [shlex.split(command) for command in re.findall(r"`vegehub ([^`]+)`", text)]
    assert named
    for name, *arguments in named:
        if name.startswith("--"):
            assert name in ("--version", "--verbose")
            continue
        known = {option for one in app.load(name, app.COMMANDS[name][0]).params for option in one.opts}
        assert {word for word in arguments if word.startswith("--")} <= known
    for target in re.findall(r"\]\(\.\./blob/HEAD/([^)]+)\)", text):
        assert (ROOT / target).is_file(), target


def test_the_template_of_changes_names_what_exists() -> None:
    text = (FORGE / "pull_request_template.md").read_text(encoding="utf-8")
    for name in re.findall(r"`(scripts/[\w]+)`|(\w+\.md)", text):
        assert (ROOT / "".join(name)).is_file()
