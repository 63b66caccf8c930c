"""The ten steps that a hub, real or simulated, is taken through over one shared session."""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp

from vegehub import Outcome, VegeHub, VegeHubConnectionError, VegeHubError, VegeHubSessionError, VegeHubValueError
from vegehub.hub.backup import diff
from vegehub.hub.local_address import local_address
from vegehub.wire import HubAddress, parse_update

from .harness import NotApplicableError, Step, StepError, check, insist
from .interruption import to_the_end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from aiohttp import web

    from vegehub.simulator import SimulatedHub
    from vegehub.wire import Update

ON_SECONDS = 10
"""How long an actuator is told to be on: should everything fail, the hub's own timer ends it."""
PUSH_SECONDS = 30.0
"""How long a hub may take from ``update/send`` to its update."""
CALLS_OVER_ONE_SESSION = 5
_SERVER_SECTIONS = ("endpoints", "hub", "api_key")
_MAX_BODY = 8 * 1024 * 1024
_SERVER_NAME = "vegehub selftest"


@dataclass(slots=True)
class Bench:
    """What the steps work with."""

    hub: VegeHub
    session: aiohttp.ClientSession
    connections: list[str]
    """Filled by the session: "new" or "reused" for each request."""
    simulated: SimulatedHub | None = None
    may_switch: bool = False
    may_configure: bool = False
    switched: set[int] = field(default_factory=set)
    """Actuators that may be on because of this test."""


@asynccontextmanager
async def open_bench(
    address: str,
    *,
    simulated: SimulatedHub | None = None,
    actuators: bool = False,
    setup: bool = False,
    timeout: float = 10.0,
) -> AsyncIterator[Bench]:
    """Open the one session and a ``VegeHub`` on it; on a simulated hub everything may be switched and configured."""
    connections: list[str] = []

    async def note(_session: object, _context: object, parameters: object) -> None:
        created = isinstance(parameters, aiohttp.TraceConnectionCreateEndParams)
        connections.append("new" if created else "reused")

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(note)
    trace.on_connection_reuseconn.append(note)
    async with aiohttp.ClientSession(trace_configs=[trace]) as session:
        yield Bench(
            VegeHub(address, session=session, timeout=timeout),
            session,
            connections,
            simulated,
            may_switch=actuators or simulated is not None,
            may_configure=setup or simulated is not None,
        )


async def properties(bench: Bench) -> str:
    """Look at what a hub object knows before anything was asked."""
    hub = bench.hub
    check(hub.url.startswith("http://"), f"url is {hub.url!r}")
    check(hub.mac_address == "" and hub.info is None, "a new object must know neither MAC nor info")
    check(hub.num_sensors is None and hub.sw_version is None, "a new object must not invent counts or versions")
    check(not hub.owns_session and hub.session_open, "the session given must be used and not be owned")
    return hub.url


async def mac(bench: Bench) -> str:
    """Read the MAC."""
    check(await bench.hub.retrieve_mac_address(), "the reply has no MAC")
    if bench.simulated is not None:
        check(bench.hub.mac_address == bench.simulated.mac, f"got {bench.hub.mac_address}, not {bench.simulated.mac}")
    return bench.hub.mac_address


async def info(bench: Bench) -> str:
    """Read what the hub says of itself."""
    told = await bench.hub.get_info()
    check(told.firmware, "the hub did not say its firmware")
    check(told.mac == bench.hub.mac_address, f"the MAC was {bench.hub.mac_address} and is {told.mac} now")
    return f"firmware {told.firmware}, {told.num_sensors} inputs, {told.num_actuators} actuators"


async def accessors(bench: Bench) -> str:
    """Compare the properties with what the hub said."""
    hub = bench.hub
    told = await hub.get_info()
    wanted = (told.num_sensors, told.num_actuators, told.firmware, told.is_ac)
    got = (hub.num_sensors, hub.num_actuators, hub.sw_version, hub.is_ac)
    check(got == wanted, f"properties say {got}, the hub said {wanted}")
    return "AC powered" if hub.is_ac else "not AC powered"


def _needs_actuators(bench: Bench) -> int:
    count = bench.hub.num_actuators or 0
    if not count:
        raise NotApplicableError("this hub has no actuators")
    return count


async def actuator_states(bench: Bench) -> str:
    """Read the actuators."""
    count = _needs_actuators(bench)
    actuators = await bench.hub.get_actuators()
    check(len(actuators) == count, f"info says {count} actuators, the status has {len(actuators)}")
    return ", ".join(f"{actuator.slot} {'on' if actuator.is_on else 'off'}" for actuator in actuators)


async def actuator_control(bench: Bench) -> str:
    """Switch each actuator on and off, reading back both; each is off in the end, whatever happens."""
    _needs_actuators(bench)
    if not bench.may_switch:
        raise NotApplicableError("opens valves: only with --actuators")
    actuators = await bench.hub.get_actuators()
    busy = [actuator.slot for actuator in actuators if actuator.is_on]
    tested = [actuator.slot for actuator in actuators if not actuator.is_on]
    if not tested:
        raise NotApplicableError("every actuator is on already: left alone")
    try:
        for slot in tested:
            bench.switched.add(slot)
            await bench.hub.turn_on(slot, ON_SECONDS, confirm=True)
            await bench.hub.turn_off(slot, confirm=True)
    finally:
        await to_the_end(_all_off(bench))
    left = f"; on already and left alone: {', '.join(map(str, busy))}" if busy else ""
    return f"on and off: {', '.join(map(str, tested))}{left}"


async def _all_off(bench: Bench) -> None:
    """Send OFF to every actuator that may be on because of this test, until the hub shows it."""
    failures = []
    for slot in sorted(bench.switched):
        try:
            await insist(
                partial(bench.hub.turn_off, slot, confirm=True),
                f"actuator {slot} may still be on, for {ON_SECONDS} s at most",
            )
        except StepError as error:
            failures.append(str(error))
        else:
            bench.switched.discard(slot)
    check(not failures, "; ".join(failures))


async def _config(bench: Bench) -> dict[str, Any]:
    return await bench.hub.get_config(*_SERVER_SECTIONS)


async def _restored(bench: Bench, before: dict[str, Any]) -> None:
    differences = diff(before, await _config(bench))
    check(not differences, f"not as before: {', '.join(path for path, *_ in differences)}")


def _needs_leave_to_configure(bench: Bench) -> None:
    if not bench.may_configure:
        raise NotApplicableError("changes the configuration: only with --setup")


async def setup(bench: Bench) -> str:
    """Point the hub at a server as Home Assistant does, and bring back what was there."""
    _needs_leave_to_configure(bench)
    hub = bench.hub
    before = await _config(bench)
    backup = await hub.backup_config(*_SERVER_SECTIONS)
    # Nobody listens there: the hub is asked for nothing before the old servers are back.
    url = f"http://{await _local_address(hub)}:9/{secrets.token_hex(8)}"
    try:
        check(await hub.setup("", url), "setup() does not know the shape of this configuration")
        servers = await hub.list_servers()
        check(sum(server.url == url for server in servers) == 1, "the server is not in the configuration once")
    finally:
        await to_the_end(insist(partial(hub.restore_config, backup), "the old servers are not back"))
    await _restored(bench, before)
    return f"set, read back, restored (servers: {len(await hub.list_servers())})"


async def update_received(bench: Bench) -> str:
    """Take in an update of the hub, end to end, and bring back its old servers."""
    _needs_leave_to_configure(bench)
    hub = bench.hub
    before = await _config(bench)
    async with _server(await _local_address(hub)) as (url, updates):
        change = await hub.configure_server(url, name=_SERVER_NAME)
        try:
            await hub.request_update()
            update = await _next_of(updates, hub.mac_address)
        finally:
            await to_the_end(insist(partial(hub.remove_server, change), "the server of this test is still there"))
    await _restored(bench, before)
    check(not update.problems, f"{update.problem_count} values of the update were unreadable")
    return f"{len(update.readings)} slots"


async def _next_of(updates: asyncio.Queue[Update], mac_address: str) -> Update:
    try:
        async with asyncio.timeout(PUSH_SECONDS):
            while (update := await updates.get()).mac not in ("", mac_address):
                pass
    except TimeoutError:
        raise StepError(f"the hub took the request but sent no update within {PUSH_SECONDS:g} s") from None
    return update


async def _local_address(hub: VegeHub) -> str:
    """Return the address of this machine at which the hub can reach it, as it stands in a URL."""
    address = HubAddress.parse(hub.ip_address)
    host, _ = await local_address(address.host, address.port)
    return f"[{host}]" if ":" in host else host


@asynccontextmanager
async def _server(host: str) -> AsyncIterator[tuple[str, asyncio.Queue[Update]]]:
    """Serve a secret path for as long as the block runs; the updates that are posted there come out of the queue."""
    from aiohttp import web  # noqa: PLC0415 - the server side is needed by this step only

    updates: asyncio.Queue[Update] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        try:
            updates.put_nowait(parse_update(await request.read()))
        except VegeHubError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response("OK")

    app = web.Application(client_max_size=_MAX_BODY)
    path = f"/{secrets.token_hex(16)}"
    app.router.add_post(path, take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    async with AsyncExitStack() as stack:
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, host.strip("[]"), 0).start()
        yield f"http://{host}:{runner.addresses[0][1]}{path}", updates


async def error_handling(bench: Bench) -> str:
    """Provoke errors that cannot harm the hub, and check that each says what it must."""
    hub, session = bench.hub, bench.session
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        # Bound and not listening: the system refuses every connection to it.
        nobody = VegeHub(f"127.0.0.1:{unused.getsockname()[1]}", session=session)
        refused = await _error(nobody.get_info(), VegeHubConnectionError)
    check(refused.outcome is Outcome.NOT_SENT, f"a refused connection ended as {refused.outcome}")
    await _error(hub.set_actuator(2, 0, ON_SECONDS), VegeHubValueError)
    await _error(hub.turn_on(0, -1), VegeHubValueError)
    await _error(hub.turn_on(hub.num_actuators or 0, ON_SECONDS), VegeHubValueError)
    await _error(hub.configure_server("ftp://example.invalid/", dry_run=True), VegeHubValueError)
    await _error(_use_address("not an address", session), VegeHubValueError)
    async with aiohttp.ClientSession() as closed:
        pass
    await _error(VegeHub(hub.ip_address, session=closed).get_info(), VegeHubSessionError)
    return "7 errors, each of its class"


async def _use_address(address: str, session: aiohttp.ClientSession) -> None:
    await VegeHub(address, session=session).get_info()


async def _error(call: Awaitable[object], expected: type[VegeHubError]) -> VegeHubError:
    try:
        await call
    except expected as error:
        return error
    raise StepError(f"{expected.__name__} was expected, and nothing was raised")


async def session_reuse(bench: Bench) -> str:
    """Make several calls over the one session, and look whether connections are opened without need."""
    already = len(bench.connections)
    for _ in range(CALLS_OVER_ONE_SESSION):
        await bench.hub.get_info()
    opened = bench.connections[already:].count("new")
    check(bench.hub.counters["sessions_opened"] == 0, "a session was opened although one was given")
    check(not bench.session.closed, "the session given was closed")
    if bench.simulated is not None and bench.simulated.profile.keep_alive:
        check(opened <= 1, f"{opened} connections for {CALLS_OVER_ONE_SESSION} calls to a hub that keeps them alive")
    return f"{CALLS_OVER_ONE_SESSION} calls, {opened} new connections"


STEPS = (
    Step("Properties", properties),
    Step("MAC address", mac, reaches=True),
    Step("Info", info),
    Step("Property accessors", accessors),
    Step("Actuator states", actuator_states),
    Step("Actuator control", actuator_control),
    Step("Setup, backup and restore", setup),
    Step("Update received", update_received),
    Step("Error handling", error_handling),
    Step("Session reuse", session_reuse),
)
