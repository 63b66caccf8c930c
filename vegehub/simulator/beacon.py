"""What a simulated hub announces by mDNS, in step with its power, its address and its configuration.

Hubs of one event loop that announce themselves on the same interfaces share a responder.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .mdns import LOOPBACK, Announcement, HubAnnouncer, hub_txt
from .power import PowerState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .device import Device
    from .server import Server

_MAX_LABEL = 59  # a label has 63 bytes at most, and "-123" may have to be appended
_MAX_NAME = 32
# Likely: the host name is the same label, and the one captured with a name of the user's has underscores in it.
_NOT_IN_A_LABEL = re.compile(r"[^A-Za-z0-9_-]")


class _Loan:
    """A responder, and how many hubs use it."""

    def __init__(self, interfaces: Sequence[str]) -> None:
        self.announcer = HubAnnouncer(interfaces)
        self.users = 0


_loans: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, ...], _Loan]] = WeakKeyDictionary()


async def _borrow(interfaces: tuple[str, ...]) -> HubAnnouncer:
    """Return the responder of this loop on ``interfaces``, open; OSError or ValueError if it cannot be opened."""
    loans = _loans.setdefault(asyncio.get_running_loop(), {})
    if interfaces not in loans:
        loans[interfaces] = _Loan(interfaces)
    loan = loans[interfaces]
    loan.users += 1
    try:
        await loan.announcer.open()
    except BaseException:
        await _give_back(interfaces)
        raise
    return loan.announcer


async def _give_back(interfaces: tuple[str, ...]) -> None:
    """Close the responder with the last hub that uses it."""
    loans = _loans[asyncio.get_running_loop()]
    loan = loans[interfaces]
    loan.users -= 1
    if not loan.users:
        del loans[interfaces]
        await loan.announcer.close()


class Beacon:
    """Announces one hub, and falls silent, wakes and says goodbye with it; does nothing at all unless ``enabled``."""

    def __init__(self, device: Device, server: Server, interfaces: Sequence[str] | None, *, enabled: bool) -> None:
        if isinstance(interfaces, str) or (interfaces is not None and not interfaces):
            raise ValueError('interfaces must be a list of addresses of this machine, such as ["127.0.0.1"]')
        self._device = device
        self._server = server
        self._interfaces = tuple(interfaces or LOOPBACK)
        self._enabled = enabled and device.profile.announces
        self._announcement: Announcement | None = None
        self._sending: asyncio.Task[None] | None = None
        self._awake = False
        self._name: str | None = None

    @property
    def name(self) -> str | None:
        """The instance name, as it was settled when the hub was announced last; None before the first time."""
        announcement = self._announcement
        if announcement is not None and announcement.has_name:
            self._name = announcement.name
        return self._name

    async def open(self) -> None:
        """Get ready to announce; OSError or ValueError if an interface cannot be used."""
        if self._enabled:
            announcer = await _borrow(self._interfaces)
            self._announcement = announcer.add(**self._content())

    def follow(self, state: PowerState) -> None:
        """Announce the hub when it wakes, be silent when it sleeps; one that is switched off says ``goodbye``."""
        self._awake = state is PowerState.AWAKE
        if self._awake:
            self.refresh(again=True)
        elif state is PowerState.ASLEEP:
            self.silence()

    def refresh(self, *, again: bool = False) -> None:
        """Announce what is new about the hub, or everything ``again``; nothing while it is not awake."""
        announcement = self._announcement
        if announcement is None:
            return
        changed = announcement.change(**self._content())
        if not self._awake or not (changed or again):
            return
        sending = announcement.wake(probe=self._device.profile.mdns_probes)
        if sending is not self._sending:
            self._sending = sending
            # A stepped clock must not put the hub to sleep before it has been heard.
            self._device.clock.begin()
            sending.add_done_callback(self._sent)

    def silence(self) -> None:
        """Be silent at once, without a goodbye."""
        if self._announcement is not None:
            self._announcement.sleep()

    async def goodbye(self) -> None:
        """Take the announcement back, if the hub is on the air."""
        if self._announcement is not None:
            await self._announcement.goodbye()

    async def announced(self) -> None:
        """Wait until nothing is on its way."""
        while self._sending is not None and not self._sending.done():
            await asyncio.wait([self._sending])

    async def close(self) -> None:
        """Say goodbye and leave nothing open; may be repeated."""
        name, self._awake = self.name, False
        announcement, self._announcement = self._announcement, None
        if announcement is not None:
            self._name = name
            try:
                await announcement.close()
            finally:
                await _give_back(self._interfaces)

    def _sent(self, sending: asyncio.Task[None]) -> None:
        self._device.clock.end()
        if not sending.cancelled() and (error := sending.exception()) is not None:
            sending.get_loop().call_exception_handler(
                {"message": "a simulated hub could not announce itself", "exception": error, "task": sending}
            )

    def _content(self) -> dict[str, Any]:
        """Return name, address, port and TXT as the hub has them now."""
        device, listener = self._device, self._server.listener
        profile = device.profile
        hub = device.config.get("hub")
        mode = hub.get("power_mode") if isinstance(hub, dict) else None
        txt = hub_txt(
            version=profile.firmware,
            sensors=profile.num_inputs,
            actuators=profile.num_actuators,
            power_mode=mode if isinstance(mode, int) else profile.power_mode,
            actuator_names=self._actuator_names(),
        )
        # A hub that listens everywhere is reached where it is heard.
        everywhere = ipaddress.ip_address(listener.host).is_unspecified
        return {
            "name": _NOT_IN_A_LABEL.sub("_", device.name)[:_MAX_LABEL],
            "address": self._interfaces[0] if everywhere else listener.host,
            "port": listener.port,
            "txt": txt,
        }

    def _actuator_names(self) -> list[str]:
        if not self._device.profile.mdns_actuator_names:
            return []
        entries = self._device.config.get("actuators")
        names = [entry.get("name") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        return [str(name)[:_MAX_NAME].encode(errors="replace").decode() for name in names]
