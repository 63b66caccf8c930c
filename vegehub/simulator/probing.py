"""Asking whether a name is free, as mDNS demands of whoever wants to announce itself (RFC 6762, 8.1)."""

from __future__ import annotations

import importlib
import ipaddress
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from zeroconf import Zeroconf
    from zeroconf.asyncio import AsyncServiceInfo

Place = tuple[str, int]
"""Address and port."""

_MAX_START_MS = 250.0
_WAITS_MS = (250.0, 250.0, 500.0)
"""Milliseconds after each probe; the last is longer than it must be, for responders on a machine with much to do."""
_JUST_NOW_MS = 2000.0
"""A responder, and whoever hears it, passes over what it said less than a second before: so long it still counts."""
_QUERY = 0
_A, _AAAA, _SRV, _ANY, _IN = 1, 28, 33, 255, 1


async def is_taken(zeroconf: Zeroconf, wanted: AsyncServiceInfo, own: AbstractSet[Place]) -> bool:
    """Ask for the names of ``wanted`` three times, up to 1.25 real seconds; True as soon as another hub has them.

    ``own`` is what this responder says or has said under the name: hearing that again is no conflict.
    """
    instance, host = wanted.name, wanted.server or ""
    now = _now_ms()
    for name in (instance, host):
        # What is older may be of a hub that sleeps; only what is said now is a conflict.
        entries = zeroconf.cache.async_entries_with_name(name)
        zeroconf.cache.async_remove_records([entry for entry in entries if now - entry.created > _JUST_NOW_MS])
    # Those who begin at one moment must not end at one moment: the first one announces itself to the others.
    for number, wait in enumerate((random.uniform(0.0, _MAX_START_MS), *_WAITS_MS)):
        if number:
            zeroconf.async_send(_probe(wanted))
        end = _now_ms() + wait
        while (left := end - _now_ms()) > 0:
            if _others_say(zeroconf, instance, host, own):
                return True
            await zeroconf.async_wait(left)
    return _others_say(zeroconf, instance, host, own)


def _others_say(zeroconf: Zeroconf, instance: str, host: str, own: AbstractSet[Place]) -> bool:
    ports, addresses = {port for _, port in own}, {ipaddress.ip_address(address).packed for address, _ in own}
    cached = zeroconf.cache.async_entries_with_name
    services: list[Any] = [record for record in cached(instance) if record.type == _SRV]
    hosts: list[Any] = [record for record in cached(host) if record.type in (_A, _AAAA)]
    # A host of that name that is no hub is let be: tests run beside each other with service types of their own.
    return any(record.port not in ports or record.server.lower() != host.lower() for record in services) or (
        bool(services) and any(record.address not in addresses for record in hosts)
    )


def _probe(wanted: AsyncServiceInfo) -> Any:
    """Return a packet that asks who has the names, for an answer by multicast.

    The probe of the library asks for a unicast one, which gets lost where several responders share the port, as
    simulated hubs and the client under test do.
    """
    packets = importlib.import_module("zeroconf")
    out = packets.DNSOutgoing(_QUERY)
    for name in (wanted.name, wanted.server):
        out.add_question(packets.DNSQuestion(name, _ANY, _IN))
    # What makes it a probe, which is answered at once, however recently the answer was given.
    out.add_authorative_answer(wanted.dns_pointer())
    return out


def _now_ms() -> float:
    """Return the time by which zeroconf dates its records."""
    now: float = importlib.import_module("zeroconf").current_time_millis()
    return now
