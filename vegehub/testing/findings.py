"""What the leak guard found, in words: one line a leak, with the object, its peer and where it was created."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from traceback import FrameSummary

_LONGEST = 400
_HERE = str(Path.cwd()) + os.sep
_PACKAGE = str(Path(__file__).parent.parent) + os.sep
_SILENT = ("contextlib.py", *(str(Path("testing", module)) for module in ("leaks.py", "channels.py", "census.py")))
_FRAME_IN_TEXT = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>\S+)')


@dataclass(frozen=True, slots=True)
class Leak:
    """One thing left open, or one error nobody looked at."""

    channel: str
    """What noticed it: "warning", "loop" (its exception handler), "unraisable" or "census"."""
    kind: str
    """What it is: "session", "connector", "connection", "response", "transport", "socket", "task", "coroutine" ..."""
    detail: str
    """The object by its id, its peer as host:port and, where that is known, the place where it was created."""

    def __str__(self) -> str:
        """Say all of it in one line."""
        return f"{self.kind} ({self.channel}): {self.detail}"


def one_line(text: str) -> str:
    """Fold white space and cut what is too long for a line."""
    folded = " ".join(text.split())
    return folded if len(folded) <= _LONGEST else f"{folded[:_LONGEST]} ..."


def name(thing: object) -> str:
    """Name an object by its class and id, so that the lines about one object can be matched."""
    return f"{type(thing).__name__} {id(thing):#x}"


def address(value: object) -> str:
    """Write a socket address as host:port; a Unix socket by its path."""
    if isinstance(value, tuple) and len(value) >= 2:  # noqa: PLR2004 - host and port; IPv6 has two more
        host = f"[{value[0]}]" if ":" in str(value[0]) else value[0]
        return f"{host}:{value[1]}"
    return "nobody" if value is None else str(value or "unnamed")


def _path(file: str) -> str:
    return file.removeprefix(_HERE) if file.startswith(_HERE) else str(Path(*Path(file).parts[-2:]))


def _place(file: str, line: object, function: str) -> str:
    return f"{_path(file)}:{line} in {function}"


def _foreign(file: str) -> bool:
    if file.startswith("<frozen") or file.endswith(_SILENT):
        return True
    folders = [str(Path(asyncio.__file__).parent)]
    aiohttp = sys.modules.get("aiohttp")
    if aiohttp is not None and aiohttp.__file__:
        folders.append(str(Path(aiohttp.__file__).parent))
    return file.startswith(tuple(folder + os.sep for folder in folders))


def created_by(frames: Iterable[FrameSummary] | None) -> str:
    """Say which line of the program made it, or "" if the loop was not in debug mode then.

    Frames of asyncio, aiohttp and the guard itself say nothing; one of this library is followed by its caller.
    """
    places: list[str] = []
    for frame in reversed(list(frames or ())):
        if _foreign(frame.filename):
            continue
        places.append(_place(frame.filename, frame.lineno, frame.name))
        if not frame.filename.startswith(_PACKAGE):
            break
    shown = places if len(places) <= 2 else [places[0], places[-1]]  # noqa: PLR2004 - the first and the last
    return f", created at {' from '.join(shown)}" if shown else ""


def created(thing: Any) -> str:
    """Say where an object was created, from what its library or tracemalloc kept; "" if nobody kept it."""
    frames = getattr(thing, "_source_traceback", None)
    if frames:
        return created_by(frames)
    trace = tracemalloc.get_object_traceback(thing) if tracemalloc.is_tracing() else None
    for frame in reversed(trace or ()):
        if not _foreign(frame.filename):
            return f", created at {_path(frame.filename)}:{frame.lineno}"
    return ""


def created_in_text(text: str) -> str:
    """Read the place out of a warning that carries a traceback as text."""
    frames = [match for match in _FRAME_IN_TEXT.finditer(text) if not _foreign(match["file"])]
    return f", created at {_place(**frames[-1].groupdict())}" if frames else ""


def connections(connector: Any) -> list[tuple[Any, bool]]:
    """List the protocols of an aiohttp connector, each with whether it is in use.

    These are private attributes: aiohttp has no public way to ask, and a connection that was never given back shows
    nowhere else. A version without them lists nothing.
    """
    pooled = getattr(connector, "_conns", None) or {}
    idle = [(entry[0], False) for entries in pooled.values() for entry in entries]
    # A connection that is still being made is a placeholder without a transport.
    used = [(protocol, True) for protocol in getattr(connector, "_acquired", None) or ()]
    return used + idle


def peer(transport: Any) -> str:
    """Write the address at the other end of a transport or protocol."""
    transport = getattr(transport, "transport", transport)
    get = getattr(transport, "get_extra_info", None)
    return address(get("peername")) if get is not None else "nobody"


def peers(connector: Any) -> str:
    """List the connections that a connector holds, by peer."""
    held = [f"{peer(protocol)} ({'in use' if used else 'idle'})" for protocol, used in connections(connector)]
    return f", connected to {', '.join(sorted(held))}" if held else ", no connection"
