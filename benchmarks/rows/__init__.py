"""The rows of the table, each a function that measures and returns results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import bridge, calls, connections, discovery, fleet, imports, patience, payloads, receiver

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contest import Bench
    from benchmarks.results import Result

ROWS: dict[str, Callable[[Bench], list[Result]]] = {
    "status": calls.status,
    "set": calls.set_,
    "sessions": calls.sessions,
    "connections": connections.connections,
    "fleet": fleet.fleet,
    "sleepers": fleet.sleepers,
    "memory": fleet.memory,
    "patience": patience.patience,
    "converters": payloads.converters,
    "updates": payloads.updates,
    "curves": payloads.curves,
    "imports": imports.imports,
    "help": imports.help_,
    "discovery": discovery.discovery,
    "receiver": receiver.receiver,
    "soak": receiver.soak,
    "bridge": bridge.bridge,
}
LONG = {"soak", "bridge"}
"""Rows that are measured only where they are named, or in a full run."""
