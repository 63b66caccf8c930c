"""Processes that are measured, or measured against: started, asked, ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent

_PLACES = {"worker": 0, "hub": 1, "simulated": 1}
"""Program -> which processor it stays on, of those that the bench may use.

Left alone, the system has a client and its hub now on one processor and now on two. That is good for a fifth of a call,
and lasts: minimal aiohttp measured against itself was 3 % slower, beyond the interval.
"""
# The checkout comes last on the path: an environment that has a client of its own uses that one.
_START = "import sys; sys.path.append({root!r}); from benchmarks.programs import {program}; {program}.main()"


class JobFailedError(Exception):
    """A job raised; the text is what it raised."""


class Process:
    """A program of ``benchmarks.programs`` in a process of its own, ended on leaving."""

    def __init__(self, program: str, python: str = sys.executable) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - a program of this folder
            [python, "-I", "-c", _START.format(root=str(ROOT), program=program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if program == "worker" else None,
            text=True,
            # One seed for the hashes of all: dictionaries that collide by chance would be measured otherwise.
            env={**clean_environment(), "PYTHONHASHSEED": "0"},
        )
        if (place := _PLACES.get(program)) is not None:
            _keep_on(self._process.pid, place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.communicate()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def ask(self, job: str, **arguments: Any) -> Any:
        """Have a job done and return its result; JobFailedError if it raised."""
        self.begin(job, **arguments)
        return self.result()

    def begin(self, job: str, **arguments: Any) -> None:
        """Have a job done; ``result`` waits for it."""
        assert self._process.stdin is not None  # noqa: S101 - opened above
        self._process.stdin.write(json.dumps({"job": job, "arguments": arguments}) + "\n")
        self._process.stdin.flush()

    def result(self) -> Any:
        """Wait for the job that was begun; JobFailedError if it raised."""
        assert self._process.stdout is not None  # noqa: S101 - opened above
        line = self._process.stdout.readline()
        if not line:
            raise JobFailedError("the process ended")
        reply = json.loads(line)
        if "failed" in reply:
            raise JobFailedError(reply["failed"])
        return reply["result"]


def _keep_on(pid: int, place: int) -> None:
    """Keep a process on one processor, where the system can do that and there are two at least."""
    if sys.platform == "linux" and len(processors := sorted(os.sched_getaffinity(0))) > 1:
        os.sched_setaffinity(pid, {processors[place]})


def clean_environment() -> dict[str, str]:
    """Return the environment without what changes how Python starts or what it loads."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV", "PYTEST_"))}
