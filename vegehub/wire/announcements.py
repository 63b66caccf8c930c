"""What a hub says of itself by mDNS, as a model: pure, cleaned, and refused where it makes no sense."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Literal

from .address import HubAddress
from .payload import clean_text, problem

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

_MAX_ADDRESSES = 16
_MAX_TXT_KEYS = 64
_MAX_NAME = 63
_MAX_HOST = 253
_MAX_FIRMWARE = 32
_MAX_PORT = 65535
_COUNT = re.compile(r"[0-9]{1,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveredHub:
    """A hub as it announced itself, which anybody on the LAN can do; every text is cleaned and cut."""

    name: str
    """The instance name, such as ``Vege_A6_20``."""
    host: str = ""
    """The host name, such as ``Vege_A6_20.local``."""
    addresses: tuple[str, ...] = ()
    """IPv4 first, then IPv6, link-local ones last, IPv6 always with its scope; the newest of each kind first."""
    port: int = 80
    firmware: str = ""
    num_sensors: int | None = None
    """0 to 99; None when the hub did not say, or said something absurd. The same holds for the next two."""
    num_actuators: int | None = None
    power_mode: int | None = None
    """The hub's own setting; 0 was seen on battery hubs."""
    txt: Mapping[str, str] = field(default_factory=dict, hash=False)
    """All that the announcement carries, odd values too, keys in lower case; a key without a value has ""."""
    problems: tuple[str, ...] = ()
    """Odd values in words, without showing them."""

    @property
    def address(self) -> str:
        """What ``VegeHub(ip_address)`` takes: the first address, or the host name; the port where it is not 80."""
        return str(HubAddress(self.addresses[0] if self.addresses else self.host, self.port))


@dataclass(frozen=True, slots=True)
class HubEvent:
    """What a browser saw; no kind says whether the hub can be reached."""

    kind: Literal["added", "updated", "removed", "announced"]
    """"announced" (the hub sent its records again, unchanged) comes only from a browser that was asked for it."""
    hub: DiscoveredHub
    """As announced now; for "removed", as it was last."""


def parse_announcement(
    name: str,
    *,
    host: str,
    port: int | None,
    addresses: Iterable[str],
    txt: Mapping[bytes, bytes | None],
    replaced: Container[bytes] = (),
) -> DiscoveredHub | None:
    """Turn the records of an instance into a model; None if it has no name or no port that could be used.

    ``addresses`` may carry a scope (``fe80::1%2``); ``replaced`` are packed addresses to leave out.
    """
    shown = clean_text(name, _MAX_NAME)
    if not shown or port is None or not 1 <= port <= _MAX_PORT:
        return None
    texts: dict[str, str] = {}
    for key, value in list(txt.items())[:_MAX_TXT_KEYS]:
        texts.setdefault(clean_text(key, _MAX_NAME).lower(), clean_text(value or b""))
    texts.pop("", None)
    counts = {key: _count(texts.get(key)) for key in ("sensors", "actuators", "power_mode")}
    return DiscoveredHub(
        name=shown,
        host=clean_text(host, _MAX_HOST).removesuffix(".") or shown,
        addresses=_usable(addresses, replaced),
        port=port,
        firmware=clean_text(texts.get("version", ""), _MAX_FIRMWARE),
        num_sensors=counts["sensors"],
        num_actuators=counts["actuators"],
        power_mode=counts["power_mode"],
        txt=texts,
        problems=tuple(
            problem(key, "an integer from 0 to 99", texts[key])
            for key, count in counts.items()
            if count is None and texts.get(key)
        ),
    )


def _usable(texts: Iterable[str], replaced: Container[bytes]) -> tuple[str, ...]:
    """Return the addresses that a hub can have, best first, the given order kept within a rank."""
    ranked = [(rank, text) for text in texts if (rank := _rank(text, replaced)) is not None]
    ranked.sort(key=lambda entry: entry[0])
    return tuple(text for _, text in ranked[:_MAX_ADDRESSES])


def _rank(text: str, replaced: Container[bytes]) -> int | None:
    """Order an address: IPv4, IPv6, link-local IPv6, link-local IPv4; None for one that no connection could be made to.

    Link-local IPv4 is what is left of a time when the hub, or the access point, had no DHCP; hubs always have the other.
    """
    bare, _, scope = text.partition("%")
    address: IPv4Address | IPv6Address = ip_address(bare)
    if address.packed in replaced or address.is_unspecified or address.is_multicast:
        return None
    if isinstance(address, IPv4Address):
        return None if address.is_reserved else 3 if address.is_link_local else 0
    if not address.is_link_local:
        return 1
    return 2 if scope else None


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and _COUNT.fullmatch(text) else None
