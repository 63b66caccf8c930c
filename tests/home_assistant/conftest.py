"""What holds for every test in a real Home Assistant: real sockets on the loopback, nothing left open, nothing in the log."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import own_network
import pytest
import pytest_socket
from homeassistant.setup import async_setup_component

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from homeassistant.core import HomeAssistant

PORT = 80
"""Of hubs: the form of Home Assistant takes an address without a port."""
ALLOWED_LOG = {
    ("asyncio", "Executing <"): "how long a step of the loop took is the machine's, not the code's",
    (
        "aiohttp_fast_zlib",
        "zlib_ng and isal are not available",
    ): "what would be faster is not installed with Home Assistant",
}
"""Lines at WARNING or above that may be there: the logger, how the line begins, and why."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--hubs-python", default=sys.executable, help="a Python that has vegehub.simulator")


def pytest_configure() -> None:
    # Whatever a test does, nobody outside is reached, and port 80 of each address is free.
    own_network.enter()


@pytest.fixture(autouse=True)
def _loopback(socket_enabled: None) -> None:
    """Allow the loopback; the plugin of Home Assistant has forbidden all sockets before each test."""
    pytest_socket.socket_allow_hosts(["127.0.0.0/8"], allow_unix_socket=True)


# --- Hubs -------------------------------------------------------------------------------------------------------------


class Process:
    """The process that runs the hubs."""

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, str(Path(__file__).with_name("hubs.py"))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, method: str, *arguments: Any) -> Any:
        """Have it do something; blocks until it is done."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([method, arguments]) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        assert line, f"the process of the hubs has ended: {process.wait()}"
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def end(self) -> None:
        """Let it end, and wait for that."""
        self._process.communicate(timeout=20)


class Hub:
    """One simulated hub at an address of its own; what is done to it is done in the process of the hubs."""

    def __init__(self, process: Process, host: str) -> None:
        self._process = process
        self.host = host
        self.mac = ""
        self.name = ""

    async def start(self, **options: Any) -> None:
        opened = await self._ask("open", PORT, options)
        self.mac, self.name = opened["mac"], opened["name"]

    async def _ask(self, method: str, *arguments: Any) -> Any:
        return await asyncio.to_thread(self._process.ask, method, self.host, *arguments)

    async def look(self) -> dict[str, Any]:
        """What it has seen; hubs.py has the keys."""
        return await self._ask("look")

    async def fault(self, name: str, **options: Any) -> None:
        """Switch a fault on; `Faults` of the simulator has the names."""
        await self._ask("fault", name, options)

    async def heal(self) -> None:
        await self._ask("heal")

    async def sleep(self) -> None:
        await self._ask("sleep")

    async def wake(self) -> None:
        await self._ask("wake")

    async def move(self, to: str) -> None:
        """Get another address, as by DHCP."""
        await self._ask("move", to, PORT)
        self.host = to

    async def volts(self, *values: float) -> None:
        await self._ask("volts", values)

    async def push(self) -> bool:
        """Send an update over a real connection; whether the server took it."""
        return await self._ask("push")


class Hubs:
    """The hubs of a test."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._numbers = itertools.count(1)
        self.running: list[Hub] = []

    def free_host(self) -> str:
        """An address of this machine that no hub of the test has."""
        return f"127.10.0.{next(self._numbers)}"

    async def add(self, profile: str = "gen2-endpoints", **options: Any) -> Hub:
        """Start one more hub."""
        hub = Hub(self._process, self.free_host())
        await hub.start(profile=profile, **options)
        self.running.append(hub)
        return hub

    async def open_connections(self) -> int:
        """Connections that the hubs have open, once they have heard of the end of those that were ended."""
        for _ in range(100):
            count = sum([(await hub.look())["open"] for hub in self.running])
            if not count:
                break
            await asyncio.sleep(0.02)
        return count


@pytest.fixture(scope="session")
def _process(request: pytest.FixtureRequest) -> Iterator[Process]:
    process = Process(request.config.getoption("--hubs-python"))
    yield process
    process.end()


# --- Nothing is left open, nothing is said ----------------------------------------------------------------------------


def _open_sessions() -> list[aiohttp.ClientSession]:
    return [one for one in gc.get_objects() if isinstance(one, aiohttp.ClientSession) and not one.closed]


def _may_be_said(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return any(record.name == name and text.startswith(start) for name, start in ALLOWED_LOG)


@pytest.fixture(autouse=True)
async def hubs(_loopback: None, _process: Process, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Hubs]:
    """The hubs of the test. Once Home Assistant has stopped, no session and no connection may be left, nor a complaint.

    `verify_cleanup` of Home Assistant's plugin then looks for timers, tasks and threads.
    """
    before = set(map(id, _open_sessions()))
    hubs = Hubs(_process)
    yield hubs
    # Home Assistant drops the hubs that it has without closing them: they end when they are collected.
    for _ in range(3):
        gc.collect()
        for _ in range(10):
            await asyncio.sleep(0)
    left = [one for one in _open_sessions() if id(one) not in before]
    connections = await hubs.open_connections()
    await asyncio.to_thread(_process.ask, "close")
    said = [
        f"{record.name}: {record.levelname}: {record.getMessage()}"
        for when in ("setup", "call", "teardown")
        for record in caplog.get_records(when)
        if record.levelno >= logging.WARNING and not _may_be_said(record)
    ]
    for one in left:
        await one.close()
    assert left == [], "sessions that nobody closed"
    assert connections == 0, "connections that nobody closed"
    assert said == [], "lines in the log"


@pytest.fixture
async def hub(hubs: Hubs) -> Hub:
    """A hub of the default profile: four inputs, a battery, two actuators."""
    return await hubs.add()


# --- Home Assistant ---------------------------------------------------------------------------------------------------


@pytest.fixture
def disable_http_server() -> None:
    """In place of the plugin's: hubs send their readings over real connections."""


@pytest.fixture
async def home(hubs: Hubs, hass: HomeAssistant) -> AsyncIterator[HomeAssistant]:
    """Home Assistant, serving at an address that hubs reach; forms that are still open are left at the end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = {"http": {"server_host": ["127.0.0.1"], "server_port": port}}
    assert await async_setup_component(hass, "http", config)
    assert await async_setup_component(hass, "webhook", {})
    await hass.http.start()
    await hass.config.async_update(internal_url=f"http://127.0.0.1:{port}")
    await hass.async_block_till_done()
    yield hass
    for flow in hass.config_entries.flow.async_progress():
        hass.config_entries.flow.async_abort(flow["flow_id"])
