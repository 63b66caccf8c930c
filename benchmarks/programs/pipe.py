"""The other side of ``benchmarks.processes``: jobs come in as lines of JSON, results leave the same way."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


def answer(jobs: Mapping[str, Callable[..., Awaitable[Any]]]) -> None:
    """Do the jobs one after the other, each in an event loop of its own, until there are no more lines."""
    for line in sys.stdin:
        _reply(asyncio.run(_done(jobs, line)))


async def serve(jobs: Mapping[str, Callable[..., Awaitable[Any]]]) -> None:
    """Do the jobs in this event loop, which goes on between them, until there are no more lines."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=2**24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        _reply(await _done(jobs, line.decode()))


async def _done(jobs: Mapping[str, Callable[..., Awaitable[Any]]], line: str) -> dict[str, Any]:
    job = json.loads(line)
    try:
        return {"result": await jobs[job["job"]](**job["arguments"])}
    except Exception as err:  # noqa: BLE001 - whatever a contestant raises is reported where the run is made
        return {"failed": f"{type(err).__name__}: {err}"}


def _reply(reply: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(reply) + "\n")
    sys.stdout.flush()
