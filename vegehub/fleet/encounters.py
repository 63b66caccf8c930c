"""What a manager makes of an announcement: a new hub, a known one that is awake, or one that has moved."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vegehub.exceptions import VegeHubConnectionError, VegeHubError
from vegehub.hub.local_address import local_address
from vegehub.vegehub import VegeHub
from vegehub.wire.address import HubAddress

if TYPE_CHECKING:
    from collections.abc import Callable

    from vegehub.hub.session import SessionOwner
    from vegehub.wire.announcements import DiscoveredHub

    from .members import Members
    from .registry import HubRecord, Registry

_LOGGER = logging.getLogger(__name__)

_MAX_PAIRS = 4096


@dataclass(slots=True)
class _Pair:
    """An instance at an address, and the MAC that it gave when it was asked, once: every request keeps a hub awake."""

    mac: str = ""
    newest: DiscoveredHub | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Encounters:
    """Meets hubs that announce themselves. ``tell(kind, record, detail)`` is called for "added" and "moved".

    Announcements carry no MAC and can be forged, and so can a reply. A hub is therefore followed only to a private
    address that this machine reaches through the same interface, and only if its MAC no longer answers at the old one.
    """

    def __init__(
        self,
        registry: Registry,
        members: Members,
        owner: SessionOwner,
        tell: Callable[[str, HubRecord, str | None], object],
        *,
        follow: bool,
    ) -> None:
        self._registry = registry
        self._members = members
        self._owner = owner
        self._tell = tell
        self._follow = follow
        self._pairs: dict[tuple[str, str], _Pair] = {}

    async def meet(self, found: DiscoveredHub) -> HubRecord | None:
        """Return the record of a hub that announced itself, added if it is new; None if it gave no MAC."""
        if len(self._pairs) >= _MAX_PAIRS:
            self._pairs.clear()
        pair = self._pairs.setdefault((found.name, found.address), _Pair())
        pair.newest = found
        async with pair.turn:
            if pair.newest is not found:  # a newer one says all that this one does, and asks the hub by itself
                return self._registry.by_mac(pair.mac) if pair.mac else None
            try:
                pair.mac = pair.mac or await self._ask(found.address)
            except VegeHubError as err:
                _LOGGER.debug("%s announced itself, but gave no MAC: %s", found.name, err)
                return None
            try:
                return await self._meet(found, pair.mac)
            except VegeHubError as err:
                _LOGGER.warning("%s at %s was not taken in: %s", found.name, found.address, err)
                return None

    async def _meet(self, found: DiscoveredHub, mac: str) -> HubRecord:
        count = len(self._registry)
        record = self._registry.get_or_add(found.address, mac=mac, name=found.name, firmware=found.firmware)
        if len(self._registry) > count:
            self._tell("added", record, None)
        if record.suspended:
            return record
        if not _same(record.address, found.address):
            old = record.address
            why_not = await self._why_not(old, found.address, mac) if self._follow else "following is turned off"
            record = self._registry[record.id]  # it may have been changed, or removed, while the old address was asked
            if why_not or record.address != old:
                _LOGGER.debug("%s stays at %s, not %s: %s", record.id, record.address, found.address, why_not)
                return record
            record = self._move(record, found)
        else:
            record = self._registry.update(record.id, name=found.name, firmware=found.firmware or None)
        member = self._members.of(record)
        if found.power_mode is not None:
            member.presence.configured({"hub": {"power_mode": found.power_mode}})
        member.announced()
        return record

    def _move(self, record: HubRecord, found: DiscoveredHub) -> HubRecord:
        member = self._members.of(record)
        moved = self._registry.update(
            record.id, address=found.address, name=found.name, firmware=found.firmware or None
        )
        member.hub.ip_address = found.address
        for (_, where), pair in self._pairs.items():
            if pair.mac == record.mac and where != found.address:
                pair.mac = ""  # it may be another hub's address by now
        _LOGGER.info("%s moved from %s to %s", record.id, record.address, found.address)
        self._tell("moved", moved, record.address)
        return moved

    async def _why_not(self, old: str, new: str, mac: str) -> str:
        """Say why a hub is not to be followed to where its MAC answered; "" if it is."""
        if not _is_private(new):
            return "that is no private address"
        try:
            if await _interface(old) != await _interface(new):
                return "that is reached through another interface"
        except VegeHubConnectionError as err:
            return str(err)
        try:
            answers = await self._ask(old)
        except VegeHubError:
            return ""
        return "it still answers there" if answers == mac else ""

    async def _ask(self, address: str) -> str:
        """Return the MAC that answers at an address; VegeHubError if none does."""
        hub = VegeHub(address)
        hub.connection.borrow(self._owner)
        if not await hub.retrieve_mac_address():
            raise VegeHubError(f"{address}: the reply has no MAC", host=address)
        return hub.mac_address


def _same(one: str, other: str) -> bool:
    return HubAddress.parse(one).key == HubAddress.parse(other).key


def _is_private(address: str) -> bool:
    try:
        return ipaddress.ip_address(HubAddress.parse(address).host).is_private
    except ValueError:  # a host name
        return False


async def _interface(address: str) -> str:
    """Return the address of this machine from which ``address`` is reached; it stands for the interface."""
    target = HubAddress.parse(address)
    mine, _ = await local_address(target.host, target.port)
    return mine
