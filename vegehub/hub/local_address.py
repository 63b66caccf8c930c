"""Which address of this machine another one reaches it at."""

from __future__ import annotations

import asyncio
import socket

from vegehub.exceptions import Outcome, VegeHubConnectionError

_RESOLVE_TIMEOUT = 10.0


async def local_address(host: str, port: int) -> tuple[str, str]:
    """Return the address of this machine that routes to ``host``, and the address of ``host``; nothing is sent to it.

    VegeHubConnectionError if the name is not resolved, or there is no route.
    """
    try:
        async with asyncio.timeout(_RESOLVE_TIMEOUT):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as err:
        raise _no_route(host, "the name was not resolved") from err
    failed: OSError | None = None
    for family, kind, protocol, _, address in found:
        try:
            # Connecting a datagram socket only looks up the route.
            with socket.socket(family, kind, protocol) as probe:
                probe.setblocking(False)
                probe.connect(address)
                return _without_scope(probe.getsockname()[0]), _without_scope(str(address[0]))
        except OSError as err:
            failed = err
    raise _no_route(host, "this machine has no route to it") from failed


def _without_scope(address: str) -> str:
    # The scope names an interface of this machine, which says nothing to another one.
    return address.partition("%")[0]


def _no_route(host: str, reason: str) -> VegeHubConnectionError:
    return VegeHubConnectionError(f"{host}: {reason}; nothing was sent", host=host, outcome=Outcome.NOT_SENT)
