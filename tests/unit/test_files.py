"""A file is the old one or the new one, whole, and its owner's only."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from vegehub.exceptions import VegeHubValueError
from vegehub.files import read_limited, write_private

if TYPE_CHECKING:
    from pathlib import Path

OLD = b"old " * 1000
NEW = b"new " * 2000

KILLED = """
import os, sys
from vegehub import files

steps = int(sys.argv[1])

def dying(name):
    step = getattr(os, name)
    def call(*args, **kwargs):
        global steps
        if steps == 0:
            os._exit(9)
        steps -= 1
        return step(*args, **kwargs)
    setattr(os, name, call)

for name in ("open", "write", "fsync", "close", "replace", "rename"):
    dying(name)
files.write_private(sys.argv[2], b"new " * 2000)
os._exit(0)
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "hubs.json"
    path.write_bytes(OLD)
    path.chmod(0o644)
    return path


@pytest.mark.parametrize(
    "data", [b"", b"bytes \x00\xff", "text ä € \N{SEEDLING}", bytearray(b"x"), memoryview(b"x" * 9)]
)
def test_what_was_written_is_read(tmp_path: Path, data: Any) -> None:
    path = tmp_path / "new.json"
    write_private(path, data)
    assert path.read_bytes() == (data.encode() if isinstance(data, str) else bytes(data))
    assert names(tmp_path) == ["new.json"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_owner_may_read_it(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_private(tmp_path / "new.json", b"secret")
    finally:
        os.umask(before)
    assert mode(tmp_path / "new.json") == 0o600


def test_an_old_file_is_replaced_and_its_mode_too(target: Path) -> None:
    write_private(str(target), NEW)
    assert target.read_bytes() == NEW
    assert mode(target) == 0o600


def test_a_link_stays_and_its_target_is_written(tmp_path: Path, target: Path) -> None:
    (tmp_path / "folder").mkdir()
    link = tmp_path / "folder" / "link.json"
    link.symlink_to(target)
    write_private(link, NEW)
    assert link.is_symlink()
    assert target.read_bytes() == NEW
    assert names(tmp_path / "folder") == ["link.json"]


def test_a_link_to_nothing_makes_its_target(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "new.json")
    write_private(tmp_path / "link.json", NEW)
    assert (tmp_path / "new.json").read_bytes() == NEW


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(link)
    with pytest.raises(OSError, match=r"link\.json") as caught:
        write_private(link, NEW)
    assert caught.value.errno == errno.ELOOP
    assert names(tmp_path) == ["link.json"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [("missing/new.json", FileNotFoundError), ("hubs.json/new.json", NotADirectoryError), (".", OSError)],
)
def test_an_error_is_an_os_error_that_names_the_path(target: Path, path: str, kind: type[OSError]) -> None:
    place = target.parent / path
    with pytest.raises(kind) as caught:
        write_private(place, NEW)
    assert caught.value.filename == str(place)
    assert "cannot write" in str(caught.value)
    assert names(target.parent) == ["hubs.json"]
    assert target.read_bytes() == OLD


@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), OSError("odd"), KeyboardInterrupt()]
)
def test_a_failing_step_leaves_the_old_file_and_nothing_else(
    target: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    def fail(*_: Any) -> None:
        raise error

    # Path.replace calls os.replace: both stand for the last step.
    for name in ("replace", "rename") if step == "rename" else (step,):
        monkeypatch.setattr(os, name, fail)
    with pytest.raises(type(error)) as caught:
        write_private(target, NEW)
    monkeypatch.undo()
    if isinstance(error, OSError):
        assert str(target) in str(caught.value) or caught.value.filename == str(target)
        assert caught.value.errno == error.errno
    assert target.read_bytes() == OLD
    assert names(target.parent) == ["hubs.json"]


def test_the_content_is_synced_before_the_replace_and_the_folder_after(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        steps.append(f"sync {'folder' if is_folder else os.fstat(descriptor).st_size}")
        sync(descriptor)

    def replaced(*args: Any) -> None:
        steps.append("replace")
        replace(*args)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replaced)
    write_private(target, NEW)
    assert steps == [f"sync {len(NEW)}", "replace", "sync folder"]


def test_a_folder_that_cannot_be_synced_is_reported_with_the_new_file_in_place(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="cannot write: Input/output error"):
        write_private(target, NEW)
    assert target.read_bytes() == NEW
    assert names(target.parent) == ["hubs.json"]


def test_a_system_without_folder_sync_is_served_too(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vegehub.files._CAN_SYNC_FOLDERS", False)
    write_private(target, NEW)
    assert target.read_bytes() == NEW


def test_a_system_that_writes_piece_by_piece_gets_it_all(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:1000]))
    write_private(target, NEW)
    assert target.read_bytes() == NEW


@pytest.mark.parametrize(("data", "kind"), [("\ud800", ValueError), (5, TypeError), (None, TypeError)])
def test_what_cannot_be_written_touches_nothing(target: Path, data: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        write_private(target, data)
    assert target.read_bytes() == OLD
    assert names(target.parent) == ["hubs.json"]


def test_a_process_killed_before_any_step_leaves_the_old_file_or_the_new(target: Path) -> None:
    seen = []
    for step in range(20):
        target.write_bytes(OLD)
        run = subprocess.run([sys.executable, "-c", KILLED, str(step), str(target)], check=False, timeout=60)
        assert run.returncode in (0, 9)
        seen.append(target.read_bytes())
        assert seen[-1] in (OLD, NEW)
        for left in target.parent.glob(".vegehub-*.tmp"):
            assert mode(left) == 0o600
            left.unlink()
        assert names(target.parent) == ["hubs.json"]
        if run.returncode == 0:
            break
    # open, write, fsync, close, replace, and then the folder: open, fsync, close.
    assert seen == [OLD] * 5 + [NEW] * 4


# Reading


def test_a_file_is_read_up_to_its_limit(target: Path) -> None:
    assert read_limited(target, len(OLD)) == OLD
    assert read_limited(str(target), 10**9) == OLD


def test_a_larger_file_is_refused(target: Path) -> None:
    with pytest.raises(VegeHubValueError, match=r"hubs\.json: larger than 3999 bytes"):
        read_limited(target, len(OLD) - 1)


def test_an_endless_file_is_refused_too() -> None:
    with pytest.raises(VegeHubValueError, match="/dev/zero: larger than 1000 bytes"):
        read_limited("/dev/zero", 1000)


@pytest.mark.parametrize(("path", "kind"), [("missing.json", FileNotFoundError), (".", IsADirectoryError)])
def test_what_cannot_be_read_is_named(tmp_path: Path, path: str, kind: type[OSError]) -> None:
    with pytest.raises(kind, match="cannot read") as caught:
        read_limited(tmp_path / path, 1000)
    assert caught.value.filename == str(tmp_path / path)
