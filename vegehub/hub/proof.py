"""The MAC guard: a proof that the address still is the hub we mean, before anything is written to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vegehub.exceptions import Outcome, VegeHubError, VegeHubMismatchError, VegeHubResponseError, VegeHubValueError
from vegehub.wire import calls
from vegehub.wire.models import normalize_mac, reported_mac

if TYPE_CHECKING:
    from .transport import Transport

PROOF_LIFETIME = 60.0
"""Seconds for which a proof holds."""


class MacProof:
    """When the hub at the transport's address last proved its MAC.

    A proof narrows the window in which DHCP may have handed the address to another hub; it does not close it.
    """

    __slots__ = ("_proved_at", "_proved_mac", "_transport")

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._proved_mac = ""
        self._proved_at = 0.0

    def confirm(self, mac: str) -> None:
        """Take note that the hub has just given this MAC."""
        self._proved_mac = mac
        self._proved_at = asyncio.get_running_loop().time()

    def void(self) -> None:
        """Forget the proof: a call failed, the address changed, or a hub was discovered."""
        self._proved_mac = ""

    async def require(self, mac: str) -> None:
        """Make sure that the hub ``mac`` answers, by one read if the last proof is void or older than 60 s.

        Raises VegeHubMismatchError if another one answers, and what the read raised otherwise; the outcome is
        NOT_SENT in each case.
        """
        try:
            expected = normalize_mac(mac)
        except ValueError as err:
            raise VegeHubValueError(f"{self._transport.host}: {mac[:40]!r} is no MAC: nothing can be proved") from err
        age = asyncio.get_running_loop().time() - self._proved_at
        if self._proved_mac == expected and age <= PROOF_LIFETIME:
            return
        self.void()
        host = self._transport.host
        try:
            found = reported_mac(await self._transport.call(calls.INFO_GET, calls.MAC_SELECTOR))
        except VegeHubError as err:
            raise _unproved(err, host, expected) from err
        if found != expected:
            raise VegeHubMismatchError(
                f"{host}: nothing was written: hub {found or 'without a MAC'} answers here, not {expected}. "
                "Find the new address of the hub, or give the new hub's MAC.",
                host=host,
            )
        self.confirm(found)


def _unproved(err: VegeHubError, host: str, mac: str) -> VegeHubError:
    """Return ``err`` as what it means for the command: that was not sent."""
    unproved = type(err)(
        f"{host}: not sent, since it could not be proved that this still is hub {mac}: {err}",
        host=host,
        outcome=Outcome.NOT_SENT,
    )
    if isinstance(err, VegeHubResponseError) and isinstance(unproved, VegeHubResponseError):
        unproved.status = err.status
    return unproved
