"""A simulated hub: real sockets in front of a device that exists in memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, Self

from . import configuration
from .api import Api
from .beacon import Beacon
from .clock import Clock, Work, make_clock
from .device import Device
from .faults import Faults
from .listener import Door
from .past import Past
from .playback import Recording
from .power import Power, PowerState
from .profiles import DEFAULT_PROFILE, Profile, find_profile
from .reporter import Reporter
from .server import RequestRecord, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

    from .actuators import Actuator
    from .device import Input
    from .replies import Reply
    from .requests import Request

Valves = Literal["closed", "open", "timer"]


class SimulatedHub:
    """A VegeHub on the loopback: ``async with SimulatedHub() as hub`` serves at ``hub.address``.

    ``profile`` is the name of a kind of hub or a ``Profile``; ``switches`` change single fields of it. ``seed`` and ``index``
    decide the MAC, the name and the first voltages. The hub has a stepped clock of its own, moved by ``advance``, unless it is given one or
    ``realtime`` is set; ``start`` is the wall time at its beginning in Unix seconds, by default 2025-06-01, in real time now.
    With ``mdns``, or where ``interfaces`` (addresses of this machine) are named, it announces itself: on them, by
    default on the loopback.
    """

    def __init__(
        self,
        profile: str | Profile = DEFAULT_PROFILE,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
        *,
        index: int = 0,
        clock: Clock | None = None,
        realtime: bool = False,
        start: float | None = None,
        mdns: bool | None = None,
        interfaces: Sequence[str] | None = None,
        **switches: Any,
    ) -> None:
        chosen = find_profile(profile)
        self.profile = replace(chosen, **switches) if switches else chosen
        self.clock = clock or make_clock(realtime=realtime, start=start)
        self.device = Device(self.profile, self.clock, host, seed, index)
        self.faults = Faults(self._on_faults)
        self.requests: list[RequestRecord] = []
        self.executed: list[RequestRecord] = []  # those that the hub carried out; what it refused is not among them
        self._work = Work(self.clock)
        self._api = Api(self.device, self)
        self._server = Server((host, port), self.profile, self.faults, self._work, self)
        self._power = Power(self.device, self._on_power)
        self._reporter = Reporter(self.device, self.faults, self._power, self._work)
        self._beacon = Beacon(self.device, self._server, interfaces, enabled=bool(interfaces) if mdns is None else mdns)
        self._listeners: list[Callable[[PowerState], None]] = []
        self._running = self._unsynced = False

    @classmethod
    async def from_recording(
        cls, recording: str | PathLike[str] | Recording, host: str = "127.0.0.1", port: int = 0, **options: Any
    ) -> Self:
        """Return a hub, still to be started, that goes on where a recorded one was; ``options`` are those of the class.

        ``vegehub.simulator.playback`` describes recordings. OSError if it cannot be read, RecordingError if it is none.
        """
        if not isinstance(recording, Recording):
            recording = await asyncio.to_thread(Recording.load, recording)
        past = Past(recording)
        hub = cls(past.profile, host, port, **options)
        past.restore(hub.device, hub._api)
        return hub

    # --- where it is and what it has

    @property
    def host(self) -> str:
        """The address without the port."""
        return self._server.listener.host

    @property
    def port(self) -> int:
        """The port; a free one was taken if it was given as 0."""
        return self._server.listener.port

    @property
    def address(self) -> str:
        """``host:port``, the way it is given to a client."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def mac(self) -> str:
        """12 upper-case hex digits; may be set, as if another hub had taken over the address."""
        return self.device.mac

    @mac.setter
    def mac(self, mac: str) -> None:
        self.device.mac = self.device.config["mac"] = mac

    @property
    def name(self) -> str:
        """The name of the hub, as in its configuration."""
        return self.device.name

    @property
    def mdns_name(self) -> str | None:
        """The instance name of its announcement, another one than ``name`` after a collision; None before the first."""
        return self._beacon.name

    @property
    def inputs(self) -> list[Input]:
        """The wired inputs."""
        return self.device.inputs

    @property
    def actuators(self) -> list[Actuator]:
        """The relays, valves and pumps."""
        return self.device.actuators

    @property
    def config(self) -> dict[str, Any]:
        """The configuration as it is stored; requests change it, and so may a test."""
        return self.device.config

    @property
    def battery_volts(self) -> float:
        """Volts of the battery or supply."""
        return self.device.battery_volts

    @battery_volts.setter
    def battery_volts(self, volts: float) -> None:
        self.device.battery_volts = volts

    @property
    def state(self) -> PowerState:
        """Awake, asleep or off."""
        return self._power.state

    @property
    def sleeps_at(self) -> float | None:
        """The moment of the simulation at which the hub will fall asleep, None if it will not."""
        return self._power.sleeps_at

    @property
    def connections_accepted(self) -> int:
        """Connections taken since the start."""
        return self._server.accepted

    @property
    def open_connections(self) -> int:
        """Connections that neither side has closed."""
        return len(self._server.connections)

    @property
    def samples_taken(self) -> list[tuple[int, str, float]]:
        """Every sample since the beginning, as (slot, time as sent, value), oldest first."""
        return [sample.key for sample in self._reporter.sampler.taken]

    @property
    def backlog(self) -> list[tuple[int, str, float]]:
        """The samples that a server on this machine is still to get; other servers are never contacted."""
        return [sample.key for sample in self._reporter.backlog]

    @property
    def samples_dropped(self) -> int:
        """Samples lost because the backlog was full."""
        return self._reporter.dropped

    @property
    def pushes_delivered(self) -> int:
        """Updates that a server took."""
        return self._reporter.pushes_delivered

    @property
    def pushes_failed(self) -> int:
        """Updates that a server did not take."""
        return self._reporter.pushes_failed

    @property
    def next_update_at(self) -> float | None:
        """The moment of the simulation at which the next scheduled update is due; None without power."""
        return self._reporter.next_update_at

    # --- its life

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Take the address and boot; OSError if it cannot be had. ``announced`` waits until it is announced, too."""
        if self._running:
            raise RuntimeError("this simulated hub runs already")
        self._running = True
        try:
            await self._beacon.open()
            self._boot(ntp=True)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End, leaving no task, timer or socket; a second call does nothing."""
        if not self._running:
            return
        self._running = False
        self._reporter.stop()
        self._power.off()
        for actuator in self.actuators:
            actuator.stop_timer()
        self._server.listener.set_door(Door.SHUT)
        await self._work.stop()
        await self._server.close()
        await self._beacon.close()

    async def announced(self) -> None:
        """Wait until the announcement on its way has been sent, or given up because the hub sleeps; else return at once."""
        await self._beacon.announced()

    async def move_to(self, host: str, port: int = 0) -> None:
        """Get another address, as by DHCP, and announce it; the one before is free at once, its connections are lost.

        ``port`` 0 takes a free one. OSError if the address cannot be had: the hub stays where it was.
        """
        if not self._running:
            raise RuntimeError("only a simulated hub that runs can move")
        self._server.move(host, port)
        self.device.move(host)
        self._beacon.refresh()
        await self.clock.settle()

    async def advance(self, seconds: float) -> None:
        """Move the clock on, which is that of all hubs of a simulation; due timers run in order."""
        await self.clock.advance(seconds)

    def sleep(self, *, refuse: bool | None = None) -> None:
        """Sleep until ``wake``: connections hang (or are ``refuse``d), open ones fall silent."""
        self._power.sleep(refuse=refuse)

    def wake(self) -> None:
        """Press the button."""
        if self.state is not PowerState.OFF:
            self._power.boot()
            self._on_wake()

    def point_at(self, url: str, api_key: str = "", name: str = "Server") -> None:
        """Configure a server of the user's own, as on the hub's settings page; only the loopback is ever contacted."""
        configuration.point_at(self.config, url, api_key, name)

    def send_update(self) -> None:
        """Press "Send Update Now" on the hub's page: sample, and push all that waits."""
        self._reporter.update_requested()

    async def reboot(self, actuators: Valves = "closed", *, ntp: bool = True) -> None:
        """Restart: connections are lost; actuators are closed, stay open for good, or keep their timer.

        Without ``ntp`` the hub's clock starts again in 1970. The configuration lives on.
        """
        self._lose_power(actuators)
        self._beacon.silence()
        self._server.reset()
        self._boot(ntp=ntp)
        await self.clock.settle()

    async def power_off(
        self, actuators: Valves = "closed", *, refuse: bool | None = None, goodbye: bool = True
    ) -> None:
        """Switch it off: it takes its announcement back, unless the power is cut (``goodbye=False``)."""
        self._lose_power(actuators)
        self._power.off(refuse=refuse)
        if not goodbye:
            self._beacon.silence()
        await self._beacon.goodbye()
        await self.clock.settle()

    async def power_on(self, *, ntp: bool = True) -> None:
        """Give it power again; as it is if it has some."""
        if self.state is PowerState.OFF:
            self._boot(ntp=ntp)
            await self.clock.settle()

    def sync_time(self) -> None:
        """Set the hub's clock right, as NTP does."""
        self.device.set_time(self.clock.epoch)

    def on_power(self, callback: Callable[[PowerState], None]) -> Callable[[], None]:
        """Call back when the hub wakes, falls asleep or loses power; returns an unsubscribe that may be called twice."""
        self._listeners.append(callback)

        def unsubscribe() -> None:
            if callback in self._listeners:
                self._listeners.remove(callback)

        return unsubscribe

    def _lose_power(self, actuators: Valves) -> None:
        # Requests and pushes in progress end here, and what they had not done yet is not done.
        self._work.cancel()
        self._reporter.stop()
        for actuator in self.actuators:
            if actuators == "closed":
                actuator.close()
            elif actuators == "open":
                actuator.stop_timer()

    def _boot(self, *, ntp: bool) -> None:
        self._unsynced = self.faults.is_on("no_ntp")
        self.device.clock_offset = 0.0 if ntp and not self._unsynced else -self.clock.epoch
        self._power.boot()
        self._reporter.boot()
        self._on_wake()

    def _on_wake(self) -> None:
        if self.profile.push_on_wake:
            self._reporter.update_requested()

    def _on_power(self, state: PowerState) -> None:
        if state is PowerState.AWAKE:
            self._server.revive()
        else:
            self._server.silence()
        if self._running:
            self._set_door()
            self._beacon.follow(state)
        for callback in tuple(self._listeners):
            callback(state)

    def _on_faults(self) -> None:
        self.device.clock_fault = self.faults.total("clock_off")
        if self._unsynced and not self.faults.is_on("no_ntp"):
            self.device.clock_offset, self._unsynced = 0.0, False
        if self._running:
            self._set_door()

    def _set_door(self) -> None:
        if not self.profile.serves_http:
            door = Door.REFUSING
        elif not self._power.awake:
            door = Door.REFUSING if self._power.refuses else Door.HANGING
        elif self.faults.is_on("refuse") or self.faults.is_on("unreachable"):
            door = Door.REFUSING
        else:
            door = Door.HANGING if self.faults.is_on("full_backlog") else Door.OPEN
        self._server.listener.set_door(door)

    # --- what the server and the API need

    def received(self, request: Request) -> None:
        """Record a request, and stay awake for it."""
        self._power.touch()
        self.requests.append(RequestRecord.of(request, self.clock.now))

    async def ready(self) -> None:
        """Wait until the hub has time for a request."""
        if self.faults.is_on("busy_while_posting"):
            await self._reporter.until_idle()

    def handle(self, request: Request) -> Reply:
        """Execute a request."""
        reply = self._api.handle(request)
        if reply.status == HTTPStatus.OK:
            self.executed.append(RequestRecord.of(request, self.clock.now))
        return reply

    def error(self, status: int, text: str) -> Reply:
        """Put an error into words."""
        return self._api.error(status, text)

    update_requested = send_update  # over the API it comes to the same

    def config_changed(self) -> None:
        """Follow a new configuration."""
        self._power.reconsider()
        self._beacon.refresh()
        self._reporter.config_changed()

    def last_readings(self) -> list[tuple[int, float]]:
        """Return channel (1-based) and volts of the last sample."""
        return self._reporter.sampler.latest()
