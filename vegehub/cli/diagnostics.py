"""The command that collects what a bug report needs."""

from __future__ import annotations

import asyncio
import platform
import sys
from typing import TYPE_CHECKING, Any, cast

from vegehub import __version__

from . import options  # noqa: TC001 - Typer reads the annotations
from .errors import FAILED, OK
from .output import Output, write_json
from .recording import RecordingSession
from .runner import run
from .target import opened

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import ClientSession


def diagnostics(
    host: options.Host,
    *,
    record: options.RecordDirectory = None,
    timeout: options.Timeout = 10.0,
    json: options.Json = False,
) -> int:
    """Collect what a bug report needs, as JSON without secrets.

    Passwords, keys, names of networks and the paths of webhooks are left out; addresses, MACs and the names of hubs
    are not.
    """
    output = Output(as_json=json)
    report = run(_collect(host, output, timeout, record))
    write_json(report, indent=2)
    return FAILED if any(isinstance(part, dict) and "failed" in part for part in report["hub"].values()) else OK


async def _collect(host: str, output: Output, timeout: float, record: Path | None) -> dict[str, Any]:
    import aiohttp  # noqa: PLC0415 - heavy, and not needed for --help

    async with aiohttp.ClientSession() as session:
        recording = RecordingSession(session)
        async with opened(host, output, timeout=timeout, session=cast("ClientSession", recording)) as hub:
            info = await hub.get_info()  # a hub that is not reached is an error, and no report
            recording.exchanges.clear()
            found = await hub.diagnostics()
        if record is not None:
            path = await asyncio.to_thread(recording.save, record, info.mac, info.firmware or "")
            output.say(f"{path}: {len(recording.exchanges)} calls, without secrets", "dim")
    versions = {"vegehub": __version__, "aiohttp": aiohttp.__version__, "python": platform.python_version()}
    return {"versions": versions, "platform": sys.platform, "hub": found}
