"""Simulated hubs announce themselves by real mDNS: probe, announce, move, sleep in silence, wake, say goodbye.

mDNS keeps its own pace in real time, also where the hubs' clock is stepped: a probe takes about a second.
"""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from .probing import is_taken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from zeroconf import Zeroconf
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

SERVICE_TYPE = "_vege._tcp.local."

LOOPBACK = ("127.0.0.1",)
"""The interfaces on which simulated hubs announce themselves unless told otherwise."""

_RESPONDER = f"{__package__}.responder"
_GROUP = "224.0.0.251"


def hub_txt(
    *,
    version: str,
    sensors: int,
    actuators: int,
    power_mode: int = 0,
    sensor_names: Sequence[str] | None = None,
    actuator_names: Sequence[str] = (),
) -> dict[str, str]:
    """Return the TXT record of a hub, keys in the order of a real one.

    ``sensor_names`` are Sensor1, Sensor2 ... by default; ``act_N``, which no capture shows, only if names are given.
    """
    names = [f"Sensor{number}" for number in range(1, sensors + 1)] if sensor_names is None else sensor_names
    return {
        "version": version,
        "type": "hub",
        "receiver": "/api/vsens/data_in",
        "sensors": str(sensors),
        "actuators": str(actuators),
        **{f"sens_{number}": name for number, name in enumerate(names, 1)},
        **{f"act_{number}": name for number, name in enumerate(actuator_names, 1)},
        "power_mode": str(power_mode),
    }


class Announcement:
    """One hub on the air; made by ``HubAnnouncer.announce``, or silent as yet by ``add``."""

    def __init__(
        self, announcer: HubAnnouncer, name: str, address: str, port: int, txt: Mapping[str, str | bytes | None]
    ) -> None:
        self._announcer = announcer
        self._wanted = name
        self._address = address
        self._port = port
        self._txt = dict(txt)
        self._info: AsyncServiceInfo | None = None
        self._claimed = ""
        self._waking: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Future[Any]] = set()
        self.name = name
        """The instance name: another one than asked for after a collision."""

    @property
    def is_announced(self) -> bool:
        """True while questions for this hub are answered."""
        return self._info is not None

    @property
    def has_name(self) -> bool:
        """True once a name has been claimed, also while the hub is silent again."""
        return bool(self._claimed)

    def sleep(self) -> None:
        """Fall silent at once, without a goodbye: questions go unanswered, caches keep what they have."""
        self._stop_sending()
        self._leave_the_air()

    def wake(self, *, probe: bool = True) -> asyncio.Task[None]:
        """Probe for the name and announce, as mDNS demands of a machine that wakes; the task need not be awaited.

        A hub that is on the air already announces itself again.
        """
        if self._waking is None or self._waking.done():
            # One of those that were cancelled a moment ago may hold the name still.
            before = list(self._tasks)
            self._waking = asyncio.create_task(self._wake(probe, before), name=f"announce {self._wanted}")
            self._keep(self._waking)
        return self._waking

    def change(
        self,
        *,
        name: str | None = None,
        address: str | None = None,
        port: int | None = None,
        txt: Mapping[str, str | bytes | None] | None = None,
    ) -> bool:
        """Change what ``wake`` will announce; False if nothing is new. Another name is claimed like the first."""
        before = (self._wanted, self._address, self._port, self._txt)
        self._wanted = self._wanted if name is None else name
        self._address = self._address if address is None else address
        self._port = self._port if port is None else port
        self._txt = self._txt if txt is None else dict(txt)
        return before != (self._wanted, self._address, self._port, self._txt)

    async def update(
        self,
        *,
        address: str | None = None,
        port: int | None = None,
        txt: Mapping[str, str | bytes | None] | None = None,
    ) -> None:
        """Change what is announced: sent now, or when the hub wakes."""
        self.change(address=address, port=port, txt=txt)
        if self._info is not None:
            self._info = _record(self.name, self._address, self._port, self._txt)
            self._keep(await self._announcer.zeroconf.async_update_service(self._info))

    async def goodbye(self) -> None:
        """Take the announcement back, as a hub does that is switched off; nothing if it is not on the air."""
        self._stop_sending()
        self._take_back()

    async def close(self) -> None:
        """Say goodbye if the hub is on the air, and leave the announcer."""
        await self.goodbye()
        await self.settled()
        self._announcer.remove(self)

    async def settled(self) -> None:
        """Wait until the announcement on its way has been sent in full: three packets within half a second."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _wake(self, probe: bool, before: list[asyncio.Future[Any]]) -> None:
        if before:
            await asyncio.wait(before)
        if self._info is not None and self._claimed == self._wanted:
            await self.update()
            return
        self._take_back()
        wanted = ""
        while wanted != self._wanted:  # it may change while others are asked
            if wanted:
                self._announcer.give_back(self.name)
            wanted = self._wanted
            self.name = await self._announcer.claim(wanted, self._address, self._port, probe=probe)
        try:
            self._info = _record(self.name, self._address, self._port, self._txt)
        except Exception:
            self._announcer.give_back(self.name)
            raise
        self._claimed = wanted
        # The name has been probed for, in our own way.
        self._keep(await self._announcer.zeroconf.async_register_service(self._info, cooperating_responders=True))

    def _take_back(self) -> None:
        info = self._leave_the_air()
        if info is not None:
            # One packet, as small devices send: a second one could take back what is announced by then.
            zeroconf = self._announcer.zeroconf
            zeroconf.async_send(zeroconf.generate_service_broadcast(info, 0))

    def _leave_the_air(self) -> AsyncServiceInfo | None:
        """Answer no more questions; return what was announced."""
        info, self._info = self._info, None
        if info is not None:
            self._announcer.zeroconf.registry.async_remove(info)
            self._announcer.give_back(self.name)
        return info

    def _keep(self, sending: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(sending)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _stop_sending(self) -> None:
        self._waking = None
        for task in self._tasks:
            task.cancel()


class HubAnnouncer:
    """The mDNS responder of any number of simulated hubs, over one pair of sockets.

    ``interfaces`` are addresses of this machine, the loopback one by default. Opened by ``open`` or the first
    ``announce``, closed by ``close`` or by leaving ``async with``.
    """

    def __init__(self, interfaces: Sequence[str] = LOOPBACK) -> None:
        if isinstance(interfaces, str) or not interfaces:
            raise ValueError('interfaces must be a list of addresses of this machine, such as ["127.0.0.1"]')
        self._interfaces = list(interfaces)
        self._responder: AsyncZeroconf | None = None
        self._announcements: list[Announcement] = []
        self._taken: set[str] = set()
        self._said: dict[str, set[tuple[str, int]]] = {}
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def zeroconf(self) -> Zeroconf:
        """The responder; RuntimeError while none is open."""
        if self._responder is None:
            raise RuntimeError("nothing was announced yet")
        return self._responder.zeroconf

    async def open(self) -> None:
        """Open the responder, if it is not; OSError or ValueError if an interface cannot be used."""
        async with self._opening:
            if self._responder is None:
                for address in self._interfaces:
                    _check(address)
                await _load()
                from .responder import open_responder  # noqa: PLC0415 - only a hub that is announced needs zeroconf

                self._responder = open_responder(self._interfaces)

    def add(
        self, name: str, address: str, port: int = 80, txt: Mapping[str, str | bytes | None] | None = None
    ) -> Announcement:
        """Return an announcement that is silent until its ``wake``; the responder must be open by then."""
        announcement = Announcement(self, name, address, port, txt or {})
        self._announcements.append(announcement)
        return announcement

    def remove(self, announcement: Announcement) -> None:
        """Forget an announcement that is silent; no effect if it was forgotten already."""
        if announcement in self._announcements:
            self._announcements.remove(announcement)

    async def announce(
        self,
        name: str,
        address: str,
        port: int = 80,
        txt: Mapping[str, str | bytes | None] | None = None,
        *,
        probe: bool = True,
    ) -> Announcement:
        """Announce a hub and return when the first packet is on its way.

        A name that another responder answers for, or another hub here has, gets "-2", "-3" ... appended.
        ``probe=False`` saves the second that asking other responders takes.
        """
        await self.open()
        announcement = self.add(name, address, port, txt)
        await announcement.wake(probe=probe)
        return announcement

    async def close(self, *, goodbye: bool = True) -> None:
        """Close the responder, with a goodbye for every hub that is on the air; may be repeated."""
        announcements, self._announcements = self._announcements, []
        farewells = []
        for announcement in announcements:
            if goodbye:
                farewells.append(announcement.goodbye())
            else:
                announcement.sleep()
        await asyncio.gather(*farewells)
        await asyncio.gather(*(announcement.settled() for announcement in announcements))
        responder, self._responder = self._responder, None
        if responder is not None:
            await responder.async_close()
            # The transports close their sockets in a callback of their own.
            await asyncio.sleep(0)

    async def claim(self, name: str, address: str, port: int, *, probe: bool) -> str:
        """Return ``name``, or the first of ``name-2``, ``name-3`` ... that no other hub has; kept until given back."""
        await self.zeroconf.async_wait_for_start()
        number = 1
        while True:
            candidate = name if number == 1 else f"{name}-{number}"
            number += 1
            if candidate.lower() in self._taken:
                continue
            self._taken.add(candidate.lower())
            said = self._said.setdefault(candidate.lower(), set())
            said.add((address, port))
            try:
                if not probe or not await is_taken(self.zeroconf, _record(candidate, address, port, {}), said):
                    return candidate
            except BaseException:
                self.give_back(candidate)
                raise
            self.give_back(candidate)

    def give_back(self, name: str) -> None:
        """Free a name that was claimed."""
        self._taken.discard(name.lower())


def _record(name: str, address: str, port: int, txt: Mapping[str, str | bytes | None]) -> AsyncServiceInfo:
    from zeroconf.asyncio import AsyncServiceInfo  # noqa: PLC0415 - only a hub that is announced needs it

    return AsyncServiceInfo(
        SERVICE_TYPE,
        f"{name}.{SERVICE_TYPE}",
        addresses=[ipaddress.ip_address(address).packed],
        port=port,
        properties=dict(txt),
        server=f"{name}.local.",
    )


async def _load() -> None:
    """Import zeroconf, with what is built on it, off the loop, in a thread that ends with it."""
    if _RESPONDER not in sys.modules:
        executor = ThreadPoolExecutor(1)
        try:
            await asyncio.get_running_loop().run_in_executor(executor, importlib.import_module, _RESPONDER)
        finally:
            executor.shutdown(wait=False)


def _check(interface: str) -> None:
    """Join the group for a moment: zeroconf stays silent about an interface that it cannot use."""
    address = ipaddress.ip_address(interface)
    try:
        if isinstance(address, ipaddress.IPv6Address):
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
                probe.bind((interface, 0))
        else:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                member = socket.inet_aton(_GROUP) + address.packed
                probe.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    except OSError as err:
        raise OSError(f"no mDNS on {interface}: {err}") from err
