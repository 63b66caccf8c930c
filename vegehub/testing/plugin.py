"""Fixtures for the tests of programs that use this library; load them with ``-p vegehub.testing.plugin``.

Or say ``pytest_plugins = ["vegehub.testing.plugin"]`` in the top-level conftest.py. The fixtures are asynchronous, for
pytest-asyncio or any other plugin that runs asynchronous generators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

try:
    from pytest_asyncio import fixture as _async_fixture
except ImportError:  # another plugin runs the fixtures, and takes them as they are
    _async_fixture = pytest.fixture  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator

    from vegehub import VegeHub
    from vegehub.simulator import SimulatedHub

    from .leaks import LeakGuard

_FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose the hub of the fixtures."""
    group = parser.getgroup("vegehub")
    group.addoption("--vegehub-host", metavar="ADDRESS", help="vegehub_hub is the hub at this address, a real one")
    group.addoption("--vegehub-profile", metavar="NAME", help="profile of simulated hubs, unless a test chooses it")
    group.addoption(
        "--vegehub-write", action="store_true", help="tests may send commands and settings to the hub at ADDRESS too"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember which tests failed."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@_async_fixture
async def vegehub_leak_guard(request: pytest.FixtureRequest) -> AsyncIterator[LeakGuard]:
    """Guard the test, and every fixture that is set up after this one, against leaks.

    A failed test is not failed once more: its traceback keeps what it had open alive. The leaks are shown with it.
    """
    from .leaks import LeakError, LeakGuard  # noqa: PLC0415 - the plugin loads what is used

    guard = LeakGuard()
    await guard.__aenter__()
    yield guard
    try:
        await guard.__aexit__(None, None, None)
    except LeakError as error:
        if not request.node.stash.get(_FAILED, False):
            pytest.fail(str(error), pytrace=False)
        request.node.add_report_section("teardown", "leaks", str(error))


@_async_fixture
async def vegehub_simulated_hub(request: pytest.FixtureRequest) -> AsyncIterator[SimulatedHub]:
    """Run a simulated hub; its clock moves only by ``await vegehub_simulated_hub.advance(seconds)``.

    Indirect parameters choose the profile: ``@pytest.mark.parametrize("vegehub_simulated_hub", ["sprinkler-ac"],
    indirect=True)``.
    """
    from vegehub.simulator import DEFAULT_PROFILE, SimulatedHub  # noqa: PLC0415 - the plugin loads what is used

    profile: Any = getattr(request, "param", None) or request.config.getoption("--vegehub-profile") or DEFAULT_PROFILE
    async with SimulatedHub(profile) as simulated:
        yield simulated


@_async_fixture
async def vegehub_client(vegehub_simulated_hub: SimulatedHub) -> AsyncIterator[VegeHub]:
    """Connect a client to the simulated hub, and close it afterwards."""
    from vegehub import VegeHub  # noqa: PLC0415 - the plugin loads what is used

    async with VegeHub(vegehub_simulated_hub.address) as client:
        yield client


@_async_fixture
async def vegehub_hub(request: pytest.FixtureRequest) -> AsyncIterator[VegeHub]:
    """Connect a client to the hub of ``--vegehub-host``; without that option it is ``vegehub_client``.

    Indirect parameters choose the profile of a simulated hub, as for ``vegehub_simulated_hub``.
    """
    from vegehub import VegeHub  # noqa: PLC0415 - the plugin loads what is used
    from vegehub.simulator import DEFAULT_PROFILE, SimulatedHub  # noqa: PLC0415 - the plugin loads what is used

    host = request.config.getoption("--vegehub-host")
    if host:
        async with VegeHub(host) as client:
            yield client
        return
    profile: Any = getattr(request, "param", None) or request.config.getoption("--vegehub-profile") or DEFAULT_PROFILE
    async with SimulatedHub(profile) as simulated, VegeHub(simulated.address) as client:
        yield client


@pytest.fixture
def vegehub_may_write(request: pytest.FixtureRequest) -> bool:
    """Whether commands and settings may be sent: to a simulated hub always, to a real one with ``--vegehub-write``."""
    return not request.config.getoption("--vegehub-host") or bool(request.config.getoption("--vegehub-write"))
