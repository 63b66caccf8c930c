"""Where mDNS is spoken: the interfaces of this machine, and the zeroconf that is opened on them or was given."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING

from vegehub.exceptions import Outcome, VegeHubConnectionError, VegeHubSessionError, VegeHubValueError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zeroconf.asyncio import AsyncZeroconf

_MDNS_GROUP = "224.0.0.251"


def checked_interfaces(interfaces: Sequence[str]) -> list[str]:
    """Return the addresses; VegeHubValueError if one is none, VegeHubConnectionError if this machine has it not."""
    if isinstance(interfaces, (str, bytes)) or not interfaces:
        raise VegeHubValueError('interfaces must be a list of addresses of this machine, such as ["192.168.0.2"]')
    for address in interfaces:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            raise VegeHubValueError(f"interfaces: {address!r:.60} is no IP address") from None
        try:
            _try(parsed)
        except OSError as err:
            raise no_interface(f"{address} is no address of this machine that takes multicast") from err
    return list(interfaces)


def _try(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    # Before zeroconf does, which leaves a socket open when it fails. A link-local address needs its interface as well,
    # which zeroconf knows and we do not.
    if isinstance(address, ipaddress.IPv4Address):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            membership = socket.inet_aton(_MDNS_GROUP) + address.packed
            probe.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    elif not address.is_link_local:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))


def open_zeroconf(interfaces: list[str] | None) -> AsyncZeroconf:
    """Open one inside the running loop; VegeHubConnectionError, nothing left open, if no interface can be used."""
    from zeroconf import InterfaceChoice, IPVersion  # noqa: PLC0415 - loaded by the caller, off the loop
    from zeroconf.asyncio import AsyncZeroconf  # noqa: PLC0415 - loaded by the caller, off the loop

    try:
        if interfaces is not None:
            return AsyncZeroconf(interfaces=interfaces)
        version = IPVersion.All if _has_ipv6() else IPVersion.V4Only
        return AsyncZeroconf(interfaces=InterfaceChoice.All, ip_version=version)
    except (OSError, RuntimeError) as err:
        raise no_interface(str(err)) from err


def _has_ipv6() -> bool:
    # Asked first, as zeroconf leaves a socket open when it finds out itself.
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def no_interface(reason: str) -> VegeHubConnectionError:
    """Build the error that says why no interface can be used and what to do."""
    return VegeHubConnectionError(
        f"no usable network interface for mDNS: {reason}. Join a network, or name addresses of this machine in "
        "interfaces; a hub whose address is known can be used without discovery.",
        outcome=Outcome.NOT_SENT,
    )


def check_given(zeroconf: AsyncZeroconf) -> None:
    """Refuse an AsyncZeroconf that is closed or belongs to another loop: VegeHubSessionError, nothing was sent."""
    if zeroconf.zeroconf.done:
        raise VegeHubSessionError("the AsyncZeroconf given is closed. Keep it open while it is in use, or give none.")
    if zeroconf.zeroconf.loop is not asyncio.get_running_loop():
        raise VegeHubSessionError(
            "the AsyncZeroconf given belongs to another event loop. Open it inside the loop that uses it, or give none."
        )
