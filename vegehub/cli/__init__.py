"""The command line, ``vegehub``; it needs the extra ``cli`` (Typer and rich)."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEEDED = ("typer", "rich")
_HOW_TO_INSTALL = 'The command line needs Typer and rich. Install them with: pip install "vegehub[cli]"\n'
_USAGE, _INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; 2, with a hint, where the extra ``cli`` is not installed."""
    try:
        for name in _NEEDED:
            importlib.import_module(name)
    except ModuleNotFoundError as err:
        if err.name not in _NEEDED:
            raise
        sys.stderr.write(_HOW_TO_INSTALL)
        return _USAGE
    except KeyboardInterrupt:
        return _INTERRUPTED
    from .app import execute  # noqa: PLC0415 - loads Typer, whose absence has to be told first

    return execute(sys.argv[1:] if argv is None else argv)
