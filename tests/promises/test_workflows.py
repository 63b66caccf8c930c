"""What runs on the forge: pinned, bounded, without rights that it does not need, and naming what exists.

The workflows cannot be run here. What can be read of them is checked.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from programs import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINNED = re.compile(r"(?P<action>[\w-]+/[\w./-]+)@(?P<commit>[0-9a-f]{40})  ?# (?P<version>v\d+\.\d+\.\d+)")


# Workflows: each check takes the text of one and returns what is wrong with it


def read(text: str) -> dict[Any, Any]:
    document = yaml.safe_load(text)
    assert isinstance(document, dict)
    # YAML 1.1 takes the word `on` for true.
    document["on"] = document.pop(True, document.get("on"))
    return document


def steps(document: dict[Any, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in document["jobs"].items():
        yield from ((name, step) for step in job.get("steps", []))


def unpinned(text: str) -> list[str]:
    used = re.findall(r"\buses: *(.*?) *$", text, re.MULTILINE)
    return [f"not pinned by a commit with its version: {one}" for one in used if not PINNED.fullmatch(one)]


def without_deadline(text: str) -> list[str]:
    jobs = read(text)["jobs"]
    return [f"{name}: no timeout-minutes" for name, job in jobs.items() if not 0 < job.get("timeout-minutes", 0) <= 60]


def unneeded_rights(text: str) -> list[str]:
    document = read(text)
    wrong = (
        []
        if document.get("permissions") == {"contents": "read"}
        else ["the workflow: permissions are not contents: read"]
    )
    for name, job in document["jobs"].items():
        rights = job.get("permissions", {})
        may_publish = rights == {"id-token": "write"} and "environment" in job
        if rights and not may_publish:
            wrong.append(f"{name}: {rights}")
        if rights and any("actions/checkout" in step.get("uses", "") or "run" in step for step in job["steps"]):
            wrong.append(f"{name}: code of the repository beside the right to publish")
    for name, step in steps(document):
        checks_out = "actions/checkout" in step.get("uses", "")
        if checks_out and step.get("with", {}).get("persist-credentials") is not False:
            wrong.append(f"{name}: the checkout keeps its credentials")
    return wrong


def run_by_strangers(text: str) -> list[str]:
    """What lets a stranger's change run with the rights of the project, or his text as a command."""
    document = read(text)
    wrong = [
        f"is started by {event}"
        for event in document["on"]
        if event in ("pull_request_target", "workflow_run", "issue_comment")
    ]
    wrong += [
        f"{name}: a value is put into a command: {step['run']}"
        for name, step in steps(document)
        if "${{" in step.get("run", "")
    ]
    return wrong + (["uses a secret: publishing needs none"] if "secrets." in text else [])


def missing_programs(text: str) -> list[str]:
    return [
        f"{name}: there is no {word}"
        for name, step in steps(read(text))
        for word in re.findall(r"(?:^|\s)((?:scripts|\.ci|tests)/[\w./-]+)", step.get("run", ""))
        if not (ROOT / word).exists()
    ]


CHECKS: tuple[Callable[[str], list[str]], ...] = (
    *(unpinned, without_deadline, unneeded_rights),
    *(run_by_strangers, missing_programs),
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_is_safe(path: Path, check: Callable[[str], list[str]]) -> None:
    assert check(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("check", "found", "put"),
    [
        (unpinned, r"@[0-9a-f]{40}", "@v4"),
        (unpinned, r"@[0-9a-f]{40}", "@main"),
        (unpinned, r"@([0-9a-f]{39})[0-9a-f]", r"@\1"),
        (unpinned, r"  # v4.2.2", ""),
        (unpinned, r"  # v4.2.2", "  # v4"),
        (without_deadline, r" +timeout-minutes: 5\n", ""),
        (without_deadline, r"timeout-minutes: 5\b", "timeout-minutes: 360"),
        (unneeded_rights, r"contents: read", "contents: write"),
        (unneeded_rights, r"permissions:\n  contents: read\n", ""),
        (unneeded_rights, r"timeout-minutes: 5\n", "timeout-minutes: 5\n    permissions:\n      packages: write\n"),
        (unneeded_rights, r"timeout-minutes: 5\n", "timeout-minutes: 5\n    permissions:\n      id-token: write\n"),
        (unneeded_rights, r"persist-credentials: false", "fetch-depth: 1"),
        (run_by_strangers, r"pull_request:", "pull_request_target:"),
        (run_by_strangers, r"scripts/pins", "echo ${{ github.event.issue.title }}"),
        (run_by_strangers, r"runner.os", "secrets.TOKEN"),
        (missing_programs, r"scripts/pins", "scripts/pin"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_an_unsafe_workflow_is_seen(check: Callable[[str], list[str]], found: str, put: str) -> None:
    text = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    changed = re.sub(found, put, text, count=1)
    assert changed != text
    assert check(changed)


def test_code_of_the_repository_does_not_run_where_it_may_publish() -> None:
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    changed = text.replace(
        "      - uses: actions/download-artifact", "      - run: make\n      - uses: actions/download-artifact"
    )
    assert changed != text
    assert unneeded_rights(changed)


def test_an_action_has_one_pin() -> None:
    pins: dict[str, set[tuple[str, str]]] = {}
    for path in WORKFLOWS:
        for match in PINNED.finditer(path.read_text(encoding="utf-8")):
            pins.setdefault(match["action"], set()).add((match["commit"], match["version"]))
    assert len(pins) >= 5
    assert {action: found for action, found in pins.items() if len(found) > 1} == {}


def test_every_promised_python_and_three_systems_are_tried() -> None:
    jobs = read((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))["jobs"]
    promised = [text.rpartition(" ")[2] for text in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", text)]
    matrix = jobs["portable"]["strategy"]["matrix"]
    assert matrix["python"] == [*promised, "3.14t"]
    assert {system.partition("-")[0] for system in matrix["system"]} == {"ubuntu", "macos", "windows"}
    everything = jobs["everything"]["steps"]
    assert everything[-1]["run"] == ".ci/run"
    installed = next(step["with"]["python-version"] for step in everything if "setup-python" in step.get("uses", ""))
    assert sorted(installed.split()) == promised
    # What has not been seen to pass must not stand in the way; all else must.
    assert jobs["portable"]["continue-on-error"] == "${{ matrix.system != 'ubuntu-24.04' || matrix.python == '3.14t' }}"
    assert "continue-on-error" not in jobs["everything"]


def test_a_release_is_checked_and_proven() -> None:
    document = read((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))
    assert set(document["on"]) == {"push"}
    assert set(document["on"]["push"]) == {"tags"}
    commands = [step["run"] for step in document["jobs"]["build"]["steps"] if "run" in step]
    assert {"scripts/pins", "scripts/check", "scripts/check --wheel"} <= set(commands)
    publish = document["jobs"]["publish"]
    assert (publish["needs"], publish["environment"], publish["permissions"]) == (
        "build",
        "release",
        {"id-token": "write"},
    )
    assert publish["steps"][-1]["with"] == {"attestations": True}


@pytest.mark.parametrize(("tag", "matches"), [("v{version}", True), ("v9.9.9", False)])
def test_a_tag_of_another_version_is_not_released(tag: str, matches: bool) -> None:
    document = read((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))
    (command,) = (step["run"] for _, step in steps(document) if "GITHUB_REF_NAME" in step.get("run", ""))
    environment = clean_environment() | {
        "GITHUB_REF_NAME": tag.format(version=PROJECT["version"]),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, env=environment, check=False)
    assert (done.returncode == 0) is matches


# Pins: asked of repositories that stand in for the forge


@pytest.fixture
def forge(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A forge with one action, released by an annotated tag; call it with a commit to pin that in a workflow."""
    repository = tmp_path / "forge" / "garden" / "hose"

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=repository, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    repository.mkdir(parents=True)
    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "first")
    git("tag", "--annotate", "v1.2.3", "--message", "release")
    released = git("rev-parse", "HEAD")
    git("commit", "--quiet", "--allow-empty", "--message", "second")

    def ask(commit: str = "", version: str = "v1.2.3") -> subprocess.CompletedProcess[str]:
        workflows = tmp_path / "workflows"
        workflows.mkdir(exist_ok=True)
        pin = commit or released
        (workflows / "x.yml").write_text(f"      - uses: garden/hose/reel@{pin}  # {version}\n", encoding="utf-8")
        environment = clean_environment() | {"FORGE": str(tmp_path / "forge"), "WORKFLOWS": str(workflows)}
        return subprocess.run([ROOT / "scripts" / "pins"], env=environment, check=False, capture_output=True, text=True)

    ask.latest = git("rev-parse", "HEAD")
    return ask


def test_a_pin_that_is_the_release_is_found_right(forge) -> None:
    asked = forge()
    assert (asked.returncode, asked.stdout.split()[:3]) == (0, ["ok", "garden/hose", "v1.2.3"])


def test_a_pin_that_is_not_the_release_is_found_wrong(forge) -> None:
    for commit, version in ((forge.latest, "v1.2.3"), ("0" * 40, "v1.2.3"), ("", "v1.2.4")):
        asked = forge(commit, version)
        assert asked.returncode == 1
        assert asked.stdout.startswith("WRONG  garden/hose")


def test_every_pin_of_the_workflows_is_looked_at() -> None:
    listed = subprocess.run([ROOT / "scripts" / "pins", "--list"], check=True, capture_output=True, text=True).stdout
    there = {match["commit"] for path in WORKFLOWS for match in PINNED.finditer(path.read_text(encoding="utf-8"))}
    assert {line.split()[0] for line in listed.splitlines()} == there
