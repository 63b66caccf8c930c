"""The one way a file is written, whole or not at all, and for its owner only; and where people keep theirs."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from .exceptions import VegeHubValueError

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_OWNER_ONLY = 0o600
_CAN_SYNC_FOLDERS = os.name != "nt"


def write_private(path: str | Path, data: bytes | str) -> None:
    """Write a file that only its owner can read (0600), so that it has the old content or the new, never half of one.

    Text is written as UTF-8. When this returns, the file would survive a power failure. A symbolic link stays and its
    target is written; whatever mode the old file had, the new one is 0600. Blocks: call it in an executor.

    On an error the old file is whole and nothing else is left; OSError names the path. Only if the very last step
    fails, the sync of the folder, the new file is there, but might not survive a power failure. A process that is
    killed may leave a file ``.vegehub-*.tmp`` beside it, which nobody reads.
    """
    content = memoryview(data.encode() if isinstance(data, str) else data)
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, "cannot write: the link leads to itself", str(path))
    temporary = target.with_name(f".vegehub-{os.urandom(8).hex()}.tmp")
    try:
        try:
            _write_synced(temporary, content)
            temporary.replace(target)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(target.parent)
    except OSError as err:
        _raise_with_path(err, path, "write")


def path_in(variable: str) -> Path | None:
    """Return the path in a variable of the environment, ``~`` expanded; None where it is not set, or empty."""
    text = os.environ.get(variable)
    return Path(os.path.expanduser(text)) if text else None  # noqa: PTH111 - the one of pathlib raises without a home


def configuration_path(name: str) -> Path:
    """Return where the file ``name`` stands in the user's configuration folder; it need not exist.

    ``vegehub`` in ``%APPDATA%`` on Windows; elsewhere in ``$XDG_CONFIG_HOME``, or ``~/.config`` without it.
    """
    variable, usual = ("APPDATA", "~/AppData/Roaming") if os.name == "nt" else ("XDG_CONFIG_HOME", "~/.config")
    folder = os.environ.get(variable, "")
    if not os.path.isabs(folder):  # noqa: PTH117 - a relative one counts as none, by the rules of XDG
        folder = os.path.expanduser(usual)  # noqa: PTH111 - as above
    return Path(folder, "vegehub", name)


def read_limited(path: str | Path, limit: int) -> bytes:
    """Return the content of a file of at most ``limit`` bytes; VegeHubValueError if it is larger, and unread beyond.

    OSError names the path. Blocks: call it in an executor.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(limit + 1)
    except OSError as err:
        _raise_with_path(err, path, "read")
    if len(content) > limit:
        raise VegeHubValueError(f"{path}: larger than {limit} bytes")
    return content


def _write_synced(path: Path, content: memoryview) -> None:
    descriptor = os.open(path, _NEW_FILE, _OWNER_ONLY)
    try:
        while content:
            content = content[os.write(descriptor, content) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a power failure; Windows has no such call and needs none."""
    if not _CAN_SYNC_FOLDERS:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_with_path(err: OSError, path: str | Path, what: str) -> NoReturn:
    # Given a number, OSError makes the class that callers expect, such as PermissionError.
    raise OSError(err.errno, f"cannot {what}: {err.strerror or err}", str(path)) from err
