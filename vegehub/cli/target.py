"""From the host that a person typed to a hub that can be called."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING

import vegehub
from vegehub.exceptions import VegeHubError, VegeHubValueError
from vegehub.finding.discovery import HubBrowser
from vegehub.wire import HubAddress, normalize_mac

from .errors import usage
from .options import INTERFACE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientSession

    from vegehub import VegeHub
    from vegehub.wire import DiscoveredHub

    from .output import Output

LOOKUP_SECONDS = 3.0
"""How long a name is looked for by mDNS before it is left to the system."""
_OWN_PORT = re.compile(r":(\d{1,5})")


async def resolve(host: str, output: Output) -> str:
    """Return what ``VegeHub`` takes: the address as it is, one on this machine for ``:port``, or a discovered one."""
    if match := _OWN_PORT.fullmatch(host):
        return f"127.0.0.1:{match[1]}"
    HubAddress.parse(host)
    if not _may_be_announced(host):
        return host
    async with output.busy(f"looking for {host}"):
        found = await _announced(host)
    if found is None:
        return host
    output.say(f"{host} is at {found.address}", "dim")
    return found.address


@asynccontextmanager
async def opened(
    host: str,
    output: Output,
    *,
    timeout: float,
    mac: str = "",
    session: ClientSession | None = None,
    spin: bool = True,
) -> AsyncIterator[VegeHub]:
    """Give the hub at ``host``; with ``mac`` nothing is written unless that hub answers.

    ``spin`` shows that it is being asked for as long as the context lasts.
    """
    try:
        expected = normalize_mac(mac) if mac else ""
    except ValueError:
        raise usage(f"--mac: {mac[:40]!r} is no MAC address") from None
    address = await resolve(host, output)
    async with vegehub.VegeHub(address, expected, session=session, timeout=timeout) as hub:
        if not spin:
            yield hub
            return
        async with output.busy(f"asking {address}"):
            yield hub


def _may_be_announced(host: str) -> bool:
    """Tell a name that hubs announce from an address and from a name of the DNS."""
    name = host.lower().removesuffix(".").removesuffix(".local")
    if ":" in host or "." in name or not name or name == "localhost":
        return False
    try:
        ip_address(name)
    except ValueError:
        return True
    return False


async def _announced(host: str) -> DiscoveredHub | None:
    wanted = host.lower().removesuffix(".").removesuffix(".local")
    interface = os.environ.get(INTERFACE_VARIABLE)
    try:
        async with (
            asyncio.timeout(LOOKUP_SECONDS),
            HubBrowser(interfaces=[interface] if interface else None) as browser,
        ):
            async for event in browser:
                names = {event.hub.name.lower(), event.hub.host.lower().removesuffix(".local")}
                if event.kind != "removed" and wanted in names:
                    return event.hub
    except TimeoutError:
        return None
    except VegeHubValueError:
        raise
    except VegeHubError:
        return None  # this machine takes no multicast: the system may still know the name
    return None
