"""What holds for every test: loopback only, nothing blocks the loop, nothing leaks; and a simulated hub to talk to."""

from __future__ import annotations

import gc
import inspect
import ipaddress
import linecache
import logging
import re
import signal
import socket
import sys
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aioresponses.core
import hypothesis
import own_network
import pytest
from aiohttp import ClientResponse
from blockbuster import BlockBuster
from hypothesis import strategies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vegehub import VegeHub
    from vegehub.simulator import SimulatedHub

pytest_plugins = ["vegehub.testing.plugin"]

# In a real Home Assistant, with settings of their own: `scripts/check --home-assistant`.
collect_ignore = ["home_assistant"]

# Slowness is the machine's, not the code's: no example is judged by the time that it takes.
# The same commit gets the same verdict; `pytest --hypothesis-profile explore` tries what was not tried before.
hypothesis.settings.register_profile("explore", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("tests", hypothesis.settings.get_profile("explore"), derandomize=True)
hypothesis.settings.load_profile("tests")

# --- Network: loopback only -------------------------------------------------------------------------------------------

_MULTICAST_DNS = {ipaddress.ip_address("224.0.0.251"), ipaddress.ip_address("ff02::fb")}
_LOOPBACK_NAMES = {"localhost", "localhost.", "ip6-localhost"}
_forbidden_traffic: list[str] = []
_given_hub: set[object] = set()
"""The real hub that the tests were told to use, by its IP address; by name it cannot be told from another host."""
_alone = pytest.StashKey[bool]()
"""Whether this process has a network of its own, in which nobody hears it and it hears nobody."""


def pytest_configure(config: pytest.Config) -> None:
    if host := config.getoption("--vegehub-host"):
        from vegehub.wire.address import HubAddress

        _given_hub.add(_ip(HubAddress.parse(host).host.partition("%")[0]))
    config.stash[_alone] = not host and own_network.enter()
    # A shell hands Ctrl-C on ignored to what it starts in the background; programs that the tests start must hear it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header(config: pytest.Config) -> str:
    return f"network: {'a namespace of its own' if config.stash[_alone] else 'the loopback of this machine'}"


class ForbiddenTrafficError(AssertionError):
    """A test tried to reach an address outside this machine; no OSError, so that no code under test takes it for one."""


def _ip(host: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    text = bytes(host).decode("ascii", "replace") if isinstance(host, (bytes, bytearray)) else str(host)
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_local_name(host: object) -> bool:
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    return text.lower() in _LOOPBACK_NAMES


def _may_send(host: object) -> bool:
    address = _ip(host)
    if address is not None and address in _given_hub:
        return True
    if address is None:
        return _is_local_name(host)
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or ipaddress.IPv6Address(int(address))  # without its scope
    return address.is_loopback or address in _MULTICAST_DNS


def _may_bind(sock: socket.socket, host: object) -> bool:
    address = _ip(host)
    # Listening for multicast DNS needs the wildcard address; over TCP it would open a port to the network.
    if host == "" or (address is not None and address.is_unspecified):
        return sock.type == socket.SOCK_DGRAM
    return _may_send(host)


def _may_resolve(host: object) -> bool:
    # Nothing is asked of the network for an IP literal or for the wildcard address.
    return host is None or host in ("", b"") or _ip(host) is not None or _is_local_name(host)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not event.startswith("socket."):
        return
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind"):
        sock, address = arguments
        if sock.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
            return
        allowed = _may_bind(sock, address[0]) if event == "socket.bind" else _may_send(address[0])
        target = f"{address[0]}:{address[1]}"
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        allowed, target = _may_resolve(arguments[0]), str(arguments[0])
    else:
        return
    if not allowed:
        text = f"{event} {target}: tests stay on 127.0.0.0/8 and ::1"
        _forbidden_traffic.append(text)
        raise ForbiddenTrafficError(text)


# An audit hook sees what a patched socket class misses: every socket of every library, also in threads.
sys.addaudithook(_audit)


@pytest.fixture
def forbidden_traffic() -> list[str]:
    """What the guard refused in this test; a test that provokes a refusal on purpose clears it."""
    return _forbidden_traffic


@pytest.fixture(autouse=True)
def _loopback_only() -> Iterator[None]:
    """Fail a test also when the code under test swallowed the refusal."""
    _forbidden_traffic.clear()
    yield
    assert not _forbidden_traffic, "; ".join(_forbidden_traffic)


# --- aioresponses on aiohttp 3.14 and later ---------------------------------------------------------------------------


class _MockedResponse(ClientResponse):
    """A response as aioresponses builds it, with the argument that it does not know of."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Read once, by the constructor, for the size of the request: nothing has been written by a mock.
        super().__init__(*args, **{"stream_writer": SimpleNamespace(output_size=0), **kwargs})


# aiohttp 3.14 made `stream_writer` a required argument of ClientResponse; aioresponses 0.7.9 does not pass it.
_stream_writer = inspect.signature(ClientResponse.__init__).parameters.get("stream_writer")
if _stream_writer is not None and _stream_writer.default is inspect.Parameter.empty:
    aioresponses.core.ClientResponse = _MockedResponse


# --- Nothing blocks the event loop ------------------------------------------------------------------------------------


@cache
def _blockbuster() -> BlockBuster:
    # The leak guard reads /proc and collects garbage inside the loop by intent.
    buster = BlockBuster("vegehub", excluded_modules=["vegehub.testing"])
    for function in buster.functions.values():
        function.can_block_in("<frozen importlib._bootstrap>", {"_find_and_load"})
        function.can_block_in("coverage/control.py", {"_should_trace"})
    return buster


@pytest.fixture(autouse=True)
def _nothing_blocks() -> Iterator[None]:
    """Make a blocking call from the library fail while an event loop runs."""
    buster = _blockbuster()
    buster.activate()
    yield
    buster.deactivate()


# --- Time -------------------------------------------------------------------------------------------------------------

# The leak guard has asyncio note where each callback was made, and Python then asks the disk each time whether any of
# these files has changed. None does while tests run, and the asking is a quarter of their CPU time.
linecache.checkcache = lambda _filename=None: None

# --- Nothing leaks ----------------------------------------------------------------------------------------------------


def pytest_collection_finish(session: pytest.Session) -> None:
    # At its first test Hypothesis asks the garbage collector who holds its random numbers, and warns if nobody is found;
    # holders that are frozen are not found. So it has a first test before.
    hypothesis.settings(max_examples=1, database=None)(hypothesis.given(strategies.none())(lambda _: None))()
    # Each guarded test collects garbage several times; modules and collected tests need not be walked each time.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _nothing_leaks(request: pytest.FixtureRequest) -> None:
    """Guard every async test against leaks, unless it is marked `leaks_on_purpose`."""
    is_async = request.node.get_closest_marker("asyncio") is not None
    if is_async and request.node.get_closest_marker("leaks_on_purpose") is None:
        request.getfixturevalue("vegehub_leak_guard")


# --- Logging ----------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Undo what a program of ours that runs inside a test sets for its whole process, as it may."""
    logger = logging.getLogger("vegehub")
    level = logger.level
    yield
    logger.setLevel(level)


# --- Hubs that announce themselves ------------------------------------------------------------------------------------

_ANNOUNCES = re.compile(
    r"unit/test_(mdns|discovery|simulator_mdns|manager)\.py|test_(examples_)?fleet\.py|test_harness\.py.*discover|test_the_demonstration"
    r"|cli/test_(discover|simulate|doctor|run|hosts|targets?)\.py|test_docs_site\.py.*(discovery|manager|command-line|getting|simulator)"
)


@pytest.hookimpl(tryfirst=True)  # xdist looks at the groups in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give slow tests their time, and let tests of announced hubs take turns where every process would hear of them."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(600))
    if config.stash[_alone]:
        return
    for item in items:
        if _ANNOUNCES.search(item.nodeid):
            item.add_marker(pytest.mark.xdist_group("mdns"))


# --- A hub to talk to -------------------------------------------------------------------------------------------------


@pytest.fixture
def simulated_hub(vegehub_simulated_hub: SimulatedHub) -> SimulatedHub:
    """A simulated hub of the default profile; its clock moves only by `await simulated_hub.advance(seconds)`."""
    return vegehub_simulated_hub


@pytest.fixture
def hub(vegehub_client: VegeHub) -> VegeHub:
    """A client of `simulated_hub`, closed afterwards."""
    return vegehub_client
