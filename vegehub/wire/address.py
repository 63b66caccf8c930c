"""A hub's address as people write it: IPv4, IPv6, a host name, each with or without a port."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address

from vegehub.exceptions import VegeHubValueError

DEFAULT_PORT = 80
_MAX_PORT = 65535
# Underscores are no host-name characters by the book, but every hub calls itself Vege_XX_XX.
_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?")
_SCOPE = re.compile(r"[A-Za-z0-9_.-]{1,32}")


@dataclass(frozen=True, slots=True)
class HubAddress:
    """Host (IPv6 without brackets, ``%scope`` kept) and port of a hub."""

    host: str
    port: int = DEFAULT_PORT

    @classmethod
    def parse(cls, text: str) -> HubAddress:
        """Read ``192.168.0.5``, ``fe80::1%eth0``, ``[::1]:8080`` or ``Vege_A6_20.local:80``; VegeHubValueError else."""
        if not isinstance(text, str):
            raise VegeHubValueError(f"the address of a hub must be text, not {type(text).__name__}")
        host, port = text, ""
        if text.startswith("["):
            host, bracket, rest = text[1:].partition("]")
            port = rest.removeprefix(":")
            if not bracket or (rest and not rest.startswith(":")) or ":" not in host or rest == ":":
                raise _refused(text)
        elif text.count(":") == 1:
            host, _, port = text.partition(":")
            if not port:
                raise _refused(text)
        if ":" in host:
            _check_ipv6(host, text)
        elif not _HOST_NAME.fullmatch(host):
            raise _refused(text)
        return cls(host, _port(port, text))

    @property
    def url(self) -> str:
        """``http://host``, with the port where it is not 80; IPv6 in brackets."""
        return f"http://{self}"

    @property
    def key(self) -> tuple[str, int]:
        """The same for all spellings of one address."""
        host, percent, scope = self.host.lower().partition("%")
        return (IPv6Address(host).compressed if ":" in host else host.rstrip(".")) + percent + scope, self.port

    def __str__(self) -> str:
        """Write the address as it stands in a URL and in error texts."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORT else f"{host}:{self.port}"


def _check_ipv6(host: str, text: str) -> None:
    bare, percent, scope = host.partition("%")
    if percent and not _SCOPE.fullmatch(scope):
        raise _refused(text)
    try:
        IPv6Address(bare)
    except AddressValueError:
        raise _refused(text) from None


def _port(digits: str, text: str) -> int:
    if not digits:
        return DEFAULT_PORT
    if not digits.isascii() or not digits.isdigit() or len(digits) > len(str(_MAX_PORT)):
        raise _refused(text)
    port = int(digits)
    if not 1 <= port <= _MAX_PORT:
        raise _refused(text)
    return port


def _refused(text: str) -> VegeHubValueError:
    return VegeHubValueError(
        f"{text[:80]!r} is no address of a hub: expected an IP address or a host name, with or without :port, and no path"
    )
