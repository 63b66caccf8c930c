"""Programs run as processes of their own, the way a user runs them, kept to this machine."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

ROOT = Path(__file__).resolve().parent.parent.parent

# A guard of its own: the one in tests/conftest.py watches only the process of the tests.
_LOOPBACK_ONLY = """
import ipaddress, sys

def _local(host):
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

def _audit(event, arguments):
    if event in ("socket.connect", "socket.bind") and isinstance(arguments[1], tuple):
        if arguments[1][:2] == ("", 5353):
            return  # multicast DNS listens at the wildcard address
        host = arguments[1][0]
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if not _local(host):
        sys.stderr.write(f"{event} {host}: tests stay on this machine\\n")
        raise AssertionError(host)

sys.addaudithook(_audit)
"""

STRICT = ("-X", "dev", "-W", "error")
"""What a program that leaks nothing passes: every warning an error, asyncio in debug mode."""


@dataclass(frozen=True, slots=True)
class Finished:
    code: int
    out: str
    err: str

    def lines(self) -> list[str]:
        return self.out.splitlines()


def clean_environment() -> dict[str, str]:
    """The environment without coverage: it imports modules, and writes warnings, that are not the program's."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COV_", "COVERAGE_", "PYTEST_", "PYTHON"))
    }


def loaded_after(code: str) -> set[str]:
    """The modules that a fresh Python has loaded after ``code``."""
    code += "\nimport sys\nprint(*sorted(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=clean_environment(),
    )
    return set(run.stdout.split())


def _without_slowness(err: str) -> str:
    """Leave out what asyncio's debug mode says of slow steps: it speaks of the machine, not of the program."""
    lines = err.splitlines(keepends=True)
    return "".join(line for line in lines if not (line.startswith("Executing <") and line.endswith(" seconds\n")))


class Programs:
    """Starts programs, and ends those that a test left running."""

    def __init__(self, folder: Path) -> None:
        self._environment = clean_environment() | {
            "PYTHONPATH": str(folder),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        (folder / "sitecustomize.py").write_text(_LOOPBACK_ONLY, encoding="utf-8")
        self._running: list[asyncio.subprocess.Process] = []

    async def start(
        self, *arguments: str, cwd: Path = ROOT, environment: Mapping[str, str] | None = None
    ) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            cwd=cwd,
            env={**self._environment, **(environment or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._running.append(process)
        return process

    async def run(self, *arguments: str, cwd: Path = ROOT, environment: Mapping[str, str] | None = None) -> Finished:
        """Run a program to its end."""
        return await self.finish(await self.start(*arguments, cwd=cwd, environment=environment))

    async def python(self, *arguments: str, cwd: Path = ROOT, environment: Mapping[str, str] | None = None) -> Finished:
        """Run Python to its end, every warning an error."""
        return await self.run(sys.executable, *STRICT, *arguments, cwd=cwd, environment=environment)

    async def finish(self, process: asyncio.subprocess.Process) -> Finished:
        out, err = await process.communicate()
        assert process.returncode is not None
        return Finished(process.returncode, out.decode(), _without_slowness(err.decode()))

    async def end(self) -> None:
        for process in self._running:
            if process.returncode is None:
                process.kill()
                await process.communicate()


async def until(ready: Callable[[], Awaitable[bool]]) -> None:
    """Wait until ``ready`` says so; the timeout of the test ends it otherwise."""
    while not await ready():  # noqa: ASYNC110 - what is waited for happens in another process
        await asyncio.sleep(0.02)


def without_access_log(err: str) -> str:
    """Leave out what aiohttp.web writes for each request, in debug mode only."""
    return "".join(line for line in err.splitlines(keepends=True) if '"GET /' not in line)
