"""Which hub is meant: its address, the MAC it must have, and the proof that the one is still the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from yarl import URL

from vegehub.exceptions import VegeHubValueError
from vegehub.wire import normalize_mac

from .turn import turn_at

if TYPE_CHECKING:
    from vegehub.wire import HubAddress

    from .turn import Turn

PROOF_LIFETIME = 60.0
"""Seconds for which a proof holds."""


class Identity:
    """One hub at one address. A call takes it when it begins; a change of address makes another object.

    A proof narrows the window in which DHCP may have handed the address to another hub; it does not close it.
    """

    __slots__ = ("_base", "_proved_at", "_proved_mac", "_turn", "_urls", "address", "host", "is_pinned", "mac")

    def __init__(self, address: HubAddress, mac: str = "", *, is_pinned: bool = False) -> None:
        self.address = address
        self.host = str(address)
        """The address as error texts name it."""
        self.mac = mac
        """As the caller gave it, or 12 upper-case hex digits once the hub has said it; "" until known."""
        self.is_pinned = is_pinned
        """True where the MAC belongs to a record that only its owner changes."""
        self._turn: Turn | None = None
        self._base = URL(address.url)
        self._urls: dict[str, URL] = {}
        self._proved_mac = ""
        self._proved_at = 0.0

    def url(self, path: str) -> URL:
        """Return the URL of a path of the API; kept, since making one costs a tenth of a call."""
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = self._base.with_path(path)
        return url

    def moved_to(self, address: HubAddress) -> Identity:
        """Return the same hub at another address, where nothing is proved."""
        return Identity(address, self.mac, is_pinned=self.is_pinned)

    @property
    def turn(self) -> Turn:
        """The turn of this address in the running loop."""
        loop = asyncio.get_running_loop()
        turn = self._turn
        if turn is None or turn.loop is not loop:
            turn = self._turn = turn_at(self.address.key, loop)
        return turn

    @property
    def expected(self) -> str:
        """The MAC that a typed write needs a proof of, "" if none is known; VegeHubValueError for what is no MAC."""
        if not self.mac:
            return ""
        try:
            return normalize_mac(self.mac)
        except ValueError as err:
            raise VegeHubValueError(
                f"{self.address}: {self.mac[:40]!r} is not a MAC address, so nothing can be proved; nothing was sent",
                host=str(self.address),
            ) from err

    def may_be(self, mac: str) -> bool:
        """Say whether ``mac``, as a reply gave it, may be this hub's: it is, or one of the two is not known."""
        try:
            known = normalize_mac(self.mac)
        except ValueError:
            return True
        return mac in ("", known)

    def is_proved(self, mac: str) -> bool:
        """Say whether ``mac`` answered here within the last 60 s and nothing has failed since."""
        return self._proved_mac == mac and asyncio.get_running_loop().time() - self._proved_at <= PROOF_LIFETIME

    def saw(self, mac: str) -> None:
        """Take note of the MAC that a reply gave, "" if it gave none: fill an empty one, prove the same, never replace one."""
        if mac and not self.mac:
            self.mac = mac
        self._proved_mac = mac
        self._proved_at = asyncio.get_running_loop().time()

    def void(self) -> None:
        """Forget the proof: a call failed, or an announcement showed that the address is in use, not by which hub."""
        self._proved_mac = ""
