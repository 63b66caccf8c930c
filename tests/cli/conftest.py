"""The command line run as a process, piped or in a terminal of 80 columns, kept to this machine."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

COLUMNS = 80

# As in programs.py, but multicast DNS is allowed where it is limited to the loopback.
_LOOPBACK_ONLY = """
import ipaddress, socket, sys

def _local(sock, host):
    if host == "":
        return sock is None or sock.type == socket.SOCK_DGRAM
    try:
        address = ipaddress.ip_address(host.partition("%")[0] if isinstance(host, str) else host.decode())
    except ValueError:
        return host == "localhost"
    return address.is_loopback or (sock is not None and sock.type == socket.SOCK_DGRAM and address.is_unspecified)

def _audit(event, arguments):
    if event in ("socket.connect", "socket.bind") and isinstance(arguments[1], tuple):
        sock, host = arguments[0], arguments[1][0]
    elif event == "socket.getaddrinfo" and arguments[0]:
        if not _local(None, arguments[0]):
            raise socket.gaierror(socket.EAI_NONAME, "tests ask no name server")
        return
    else:
        return
    if not _local(sock, host):
        sys.stderr.write(f"{event} {host}: tests stay on this machine\\n")
        raise AssertionError(host)

sys.addaudithook(_audit)
"""
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[=>])")


@dataclass(frozen=True, slots=True)
class Finished:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        return json.loads(self.err)["error"]

    @property
    def records(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Terminal:
    """A process in a terminal; Ctrl-C is typed, not sent as a signal."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self.process = process
        self._master = master
        self._raw = ""
        self._changed = asyncio.Event()
        os.set_blocking(master, False)
        asyncio.get_running_loop().add_reader(master, self._read)

    @property
    def text(self) -> str:
        """What was printed, without colours and movements of the cursor."""
        return _ANSI.sub("", self._raw).replace("\r", "\n")

    @property
    def raw(self) -> str:
        return self._raw

    @property
    def widest(self) -> int:
        return max(len(line) for line in self.text.split("\n"))

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except BlockingIOError:
            return
        except OSError:  # Linux says so when the other side is closed
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
        self._raw += data.decode("utf-8", "replace")
        self._changed.set()

    async def until(self, text: str, times: int = 1) -> None:
        """Wait until ``text`` was printed; the timeout of the test ends it otherwise."""
        while self.text.count(text) < times:
            self._changed.clear()
            if self.process.returncode is not None:
                await asyncio.sleep(0.05)
                assert self.text.count(text) >= times, self.text
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), 0.1)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        self.type("\x03")

    async def end(self) -> int:
        """Wait for the end and return the exit code."""
        code = await self.process.wait()
        await asyncio.sleep(0.02)
        return code

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)


class CommandLine:
    def __init__(self, folder: Path) -> None:
        guard = folder / "guard"
        guard.mkdir()
        (guard / "sitecustomize.py").write_text(_LOOPBACK_ONLY, encoding="utf-8")
        self.folder = folder
        hidden = ("VEGEHUB_", "NO_COLOR", "FORCE_COLOR", "COLUMNS")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)} | {
            "PYTHONPATH": str(guard),
            "VEGEHUB_INTERFACE": "127.0.0.1",
            "TERM": "xterm",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
        }
        self._running: list[asyncio.subprocess.Process] = []

    async def start(self, *arguments: str, env: dict[str, str] | None = None) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "vegehub",
            *arguments,
            cwd=self.folder,
            env=self.environment | (env or {}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._running.append(process)
        return process

    async def __call__(self, *arguments: str, env: dict[str, str] | None = None) -> Finished:
        """Run a command to its end."""
        return await self.finish(await self.start(*arguments, env=env))

    async def finish(self, process: asyncio.subprocess.Process) -> Finished:
        out, err = await process.communicate()
        assert process.returncode is not None
        assert b"Traceback" not in err, err.decode()
        return Finished(process.returncode, out.decode(), err.decode())

    @asynccontextmanager
    async def terminal(self, *arguments: str, env: dict[str, str] | None = None) -> AsyncIterator[Terminal]:
        """Run a command in a terminal of 80 columns."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))

        def take_terminal() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "vegehub",
            *arguments,
            cwd=self.folder,
            env=self.environment | (env or {}),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            preexec_fn=take_terminal,
        )
        self._running.append(process)
        os.close(slave)
        terminal = Terminal(process, master)
        try:
            yield terminal
            assert "Traceback" not in terminal.text, terminal.text
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            terminal.close()

    async def in_terminal(self, *arguments: str, env: dict[str, str] | None = None) -> tuple[int, str]:
        """Run a command in a terminal to its end; return the exit code and what it showed."""
        async with self.terminal(*arguments, env=env) as terminal:
            code = await terminal.end()
            assert terminal.widest <= COLUMNS, terminal.text
            return code, terminal.text

    async def end(self) -> None:
        for process in self._running:
            if process.returncode is None:
                process.kill()
                await process.communicate()


@pytest.fixture
async def cli(tmp_path: Path) -> AsyncIterator[CommandLine]:
    command_line = CommandLine(tmp_path)
    yield command_line
    await command_line.end()


@pytest.fixture
def execute(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run a command in this process, for what ends before a hub is called."""
    monkeypatch.delenv("VEGEHUB_HOST", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("VEGEHUB_INTERFACE", "127.0.0.1")

    def run(*arguments: str) -> Finished:
        from vegehub.cli import main

        code = main(arguments)
        captured = capsys.readouterr()
        return Finished(code, captured.out, captured.err)

    return run
