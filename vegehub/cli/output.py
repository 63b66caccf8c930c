"""What a command prints: results on stdout, as text or JSON, and everything else on stderr."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from vegehub.wire import clean_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from rich.console import RenderableType

HIDDEN = "**REDACTED**"
"""Stands where a secret is not shown."""
PATIENCE = 1.0
"""Seconds after which something has to move on the screen."""
_WIDTH_OF_PIPES = 200


class Output:
    """The two streams of a command; with ``as_json`` stdout gets JSON only, and stderr errors only."""

    def __init__(self, *, as_json: bool = False, show_secrets: bool = False) -> None:
        self.as_json = as_json
        self.show_secrets = show_secrets
        self.out = _console(stderr=False)
        self.err = _console(stderr=True)

    @property
    def is_live(self) -> bool:
        """Whether stderr is a terminal on which something may move."""
        return not self.as_json and self.err.is_terminal and not self.err.is_dumb_terminal

    def show(self, document: Any, text: RenderableType) -> None:
        """Print the result: ``document`` as JSON, or ``text`` for people."""
        if self.as_json:
            write_json(document, indent=2)
        elif text:
            self.print(text)

    def print(self, text: RenderableType) -> None:
        """Print text or a table; without the spaces that a table ends its lines with where nobody sees them."""
        if self.out.is_terminal:
            self.out.print(text)
            return
        with self.out.capture() as capture:
            self.out.print(text)
        for line in capture.get().splitlines():
            write_line(line.rstrip())

    def say(self, text: str, style: str = "") -> None:
        """Tell a person something that is no result."""
        if not self.as_json:
            self.err.print(Text(text, style=style))

    def secret(self, text: str) -> str:
        """Return a secret as it may be shown."""
        return shown(text) if self.show_secrets or not text else HIDDEN

    @asynccontextmanager
    async def busy(self, text: str) -> AsyncIterator[None]:
        """Show that something goes on, if it takes longer than a second and somebody looks."""
        if not self.is_live:
            yield
            return
        status = Status(Text(f"{text} ..."), console=self.err)
        timer = asyncio.get_running_loop().call_later(PATIENCE, status.start)
        try:
            yield
        finally:
            timer.cancel()
            status.stop()


def _console(*, stderr: bool) -> Console:
    # What a hub says is text: neither markup nor emoji codes nor addresses in it are to be acted on.
    console = Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_OF_PIPES
    return console


def write_json(document: Any, indent: int | None = None) -> None:
    """Write JSON to stdout; escapes whatever is not ASCII, so that no text of a hub can act on a terminal."""
    write_line(json.dumps(document, indent=indent, default=_plain, allow_nan=False))


def write_line(line: str) -> None:
    """Write a line to stdout at once: the reader of a stream may be waiting for it."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def stderr_line(line: str | dict[str, Any]) -> None:
    """Write what went wrong on one line, which only a terminal breaks, between words."""
    if isinstance(line, str):
        console = _console(stderr=True)
        console.print(Text(line, style="red"), soft_wrap=not console.is_terminal)
    else:
        sys.stderr.write(json.dumps(line) + "\n")


def shown(value: object, limit: int = 255) -> str:
    """Return what a hub said as text that may be printed; "-" for nothing."""
    if value is None or value == "":
        return "-"
    return clean_text(value if isinstance(value, str) else str(value), limit)


def table(*columns: str, right: Iterable[str] = ()) -> Table:
    """Return an empty table for narrow screens; the columns named in ``right`` hold numbers."""
    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def fields(rows: Mapping[str, str] | Sequence[tuple[str, str]]) -> Table:
    """Return names and values, one pair on a line."""
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in dict(rows).items():
        made.add_row(name, value)
    return made


def local_time(moment: datetime | None) -> str:
    """Return a moment in the zone of this machine; "-" for none."""
    return "-" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def iso(moment: datetime | None) -> str | None:
    """Return a moment as programs read it, in UTC."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
