"""Where a history is played: a simulated hub, a stranger, a client, and what each request meets."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from model import tracking

from vegehub import HubManager, PendingQueue, PresenceState, VegeHub
from vegehub.simulator import SimulatedHub

if TYPE_CHECKING:
    from collections.abc import Callable

    from model.programs import Call, Fault, Program, Step

    from vegehub import PendingCommand
    from vegehub.simulator import RequestRecord

TIMEOUT = 0.3
"""Seconds that the client gives a request: faults that stall last a little longer."""
AWAY = 0.35
"""Seconds for which a hub sleeps, or the client has a wrong address."""
MAC_PATH = "/api/info/get"


class HookError(Exception):
    """What a trace hook of the caller raises."""


@dataclass(eq=False)
class Arrival:
    """A request that reached the address, in their order; ``hub`` is which hub got it."""

    path: str
    fault: Fault | None
    before: tuple[int, int]


class World:
    """Everything around the client of one history."""

    def __init__(self, program: Program, factory: Callable[..., VegeHub]) -> None:
        self.program = program
        self.track = tracking.begin()
        self.sim = SimulatedHub(seed=program.seed)
        self.stranger = SimulatedHub(seed=program.seed + 1, index=1, clock=self.sim.clock, num_actuators=4)
        self.handles: list[tuple[Call, PendingCommand[None]]] = []
        self.arrivals: list[Arrival] = []
        self.backup: dict[str, Any] = {}
        self.change: Any = None
        self.dead = False
        self._factory = factory
        self._session: aiohttp.ClientSession | None = None
        self.manager: HubManager | None = None
        self._step: Step | None = None
        self._seen = 0
        self._takeover: Fault | None = None
        self._at_request: list[tuple[int, float, Callable[[], object]]] = []
        self.hook: Callable[[aiohttp.TraceRequestStartParams], None] = lambda _: None

    async def open(self) -> None:
        """Start the hubs and make the client."""
        for hub in (self.sim, self.stranger):
            hub.faults.on_request = self._arrived
            await tracking.aside(hub.start())
        program = self.program
        if not program.owned:
            trace = aiohttp.TraceConfig()
            trace.on_request_start.append(self._traced)
            self._session = aiohttp.ClientSession(raise_for_status=program.raise_for_status, trace_configs=[trace])
        mac = self.sim.mac if program.knows_mac else ""
        if program.managed:
            self.manager = HubManager(self._session)
            self.manager.add(self.sim.address, id="shed", mac=mac, timeout=TIMEOUT)
            self.hub = self.manager.hub("shed")
            self.queue = self.manager.queue("shed")
        else:
            info = {"num_actuators": 2, "num_channels": 4} if program.knows_info else None
            self.hub = self._factory(self.sim.address, mac, "", info, self._session, timeout=TIMEOUT)
            self.queue = getattr(self._factory, "queue_class", PendingQueue)(self.hub, send_delay=0)
        if any(call.name == "restore_config" for step in program.steps for call in step.calls):
            async with VegeHub(self.sim.address) as hub:
                self.backup = await hub.backup_config("hub", "api_key", "endpoints")

    async def _traced(self, _session: object, _context: object, params: aiohttp.TraceRequestStartParams) -> None:
        self.hook(params)

    async def close(self) -> list[str]:
        """Close the client in the right order, and say what it left."""
        left: list[str] = []
        await self.queue.close()
        if self.manager is not None:
            await self.manager.close()
        await self.hub.close()
        await turns(6)
        left += [f"timer left after close: {timer}" for timer in self.track.timers_left()]
        if self._session is not None:
            if self._session.closed:
                left.append("given session closed: by the library")
            await self._session.close()
        elif self.hub.session_open:
            left.append("session left after close: hub.session_open is True")
        await self.settle()
        if not await eventually(lambda: not self.sim.open_connections + self.stranger.open_connections, 1.0):
            left.append(f"connection left after close: {self.sim.open_connections} of the hub")
        left += [f"task left after close: {task}" for task in self.track.tasks_left()]
        return left

    async def stop(self) -> None:
        """End the simulated hubs."""
        if self._session is not None and not self._session.closed:
            await self._session.close()
        for hub in (self.sim, self.stranger):
            await tracking.aside(hub.stop())

    # --- what requests meet

    def begin(self, step: Step) -> None:
        """From now on requests meet what the step says."""
        self._step, self._seen, self._at_request = step, 0, []
        if step.latency:
            self.sim.faults.latency(step.latency)

    def end(self) -> None:
        """The step is over: a latency of all its replies ends, a takeover lasts as long as its fault says."""
        if self._step is not None and self._step.latency:
            self.sim.faults.clear("latency")
        self.hook = lambda _: None
        self._step, self._at_request = None, []

    def at_request(self, number: int, delay: float, action: Callable[[], object]) -> None:
        """Act when that request of the step arrives, or now if it is 0."""
        if number:
            self._at_request.append((number, delay, action))
        else:
            tracking.outside().run(self._act, delay, action)

    def _act(self, delay: float, action: Callable[[], object]) -> None:
        loop = asyncio.get_running_loop()
        if delay:
            loop.call_later(delay, action)
        else:
            loop.call_soon(action)

    def _arrived(self, path: str) -> None:
        self._seen += 1
        fault = None
        if self._step is not None:
            fault = dict(self._step.faults).get(self._seen)
            for number, delay, action in self._at_request:
                if number == self._seen:
                    self._act(delay, action)
            if self.program.dies is not None and self._step is self.program.steps[self.program.dies[0]]:
                self.dead = self.dead or self._seen >= self.program.dies[1]
        self.arrivals.append(Arrival(path, fault, (len(self.sim.requests), len(self.stranger.requests))))
        if self.dead:
            self.sim.sleep(refuse=self.program.seed % 2 == 0)
        elif fault is not None:
            self._meet(fault)
        if self._takeover is not None and path == MAC_PATH:
            # A stranger shows itself in the answer that has the MAC: before it, nobody could know.
            self.sim.faults.another_hub(self.stranger, times=self._takeover.arguments[0])
            self._takeover = None

    def _meet(self, fault: Fault) -> None:
        if fault.name == "another_hub":
            self._takeover = fault
        elif fault.name == "sleep":
            self.sim.sleep(refuse=fault.arguments[0])
            asyncio.get_running_loop().call_later(AWAY, self._wake)
        else:
            getattr(self.sim.faults, fault.name)(*fault.arguments, **dict(fault.options), times=1)

    def _wake(self) -> None:
        with suppress(Exception):
            self.sim.wake()

    def move_away(self) -> None:
        """Give the client the address of the stranger, for a while."""
        self.hub.ip_address = self.stranger.address
        asyncio.get_running_loop().call_later(AWAY, self.move_back)

    def move_back(self) -> None:
        """Give the client the right address."""
        # A client that has learned the stranger's MAC, as it may, goes on with the stranger.
        home = (self.owner_of(self.hub.mac_address) or self.sim).address
        if self.manager is None and self.hub.ip_address != home:
            self.hub.ip_address = home

    def heal(self) -> None:
        """Have a healthy hub at the address from now on."""
        self.sim.faults.clear()
        self._takeover = None
        self._step, self._at_request = None, []
        self.hook = lambda _: None
        self.sim.wake()
        self.move_back()

    async def settle(self) -> None:
        """Wait until the hubs have done all that they were asked to."""
        for _ in range(2):
            await self.sim.clock.settle()

    # --- what the hubs did

    def owner_of(self, mac: str) -> SimulatedHub | None:
        """Return the hub with this MAC; None if it is not said."""
        return {self.sim.mac: self.sim, self.stranger.mac: self.stranger}.get(mac)

    def presence_is_awake(self) -> bool:
        """Whether the manager takes the hub for awake."""
        return self.manager is None or self.manager.presence("shed").state is PresenceState.AWAKE

    def fault_of(self, hub: SimulatedHub, index: int) -> Fault | None:
        """Return what the request with this index in ``hub.requests`` met."""
        place = 0 if hub is self.sim else 1
        counts = [arrival.before for arrival in self.arrivals] + [(len(self.sim.requests), len(self.stranger.requests))]
        for number, arrival in enumerate(self.arrivals):
            if counts[number][place] == index and counts[number + 1][place] > index:
                return arrival.fault
        return None


def marks(record: RequestRecord, path: str, mark: int) -> bool:
    """Whether a request is the write of the call with this mark."""
    if record.path != path:
        return False
    body = record.body if isinstance(record.body, dict) else {}
    if path == "/api/actuators/set":
        return bool(body.get("duration") == mark)
    if path == "/api/time/set":
        return bool(body.get("epoch") == mark)
    return f"mark-{mark}-" in json.dumps(body)


async def turns(count: int) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


async def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition holds, False if it does not within so many seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        if loop.time() > end:
            return False
        await asyncio.sleep(0.005)
    return True
