"""mDNS in tests, by real packets on the loopback, which every process of this machine hears.

Names of hosts are common to all of them, whatever the service type: two tests that run at once must not use the same.
A hub, and whoever hears it, passes over a packet that comes again within a second. What is waited for is therefore
always a state, and what must not come is asked for together with something that does.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import socket
import threading
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zeroconf as packets
from raw_hub import until
from zeroconf import DNSQuestionType, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from types import ModuleType

    import pytest

LOOPBACK = ["127.0.0.1"]
_GROUP = ("224.0.0.251", 5353)
_QUERY, _RESPONSE = 0, 0x8400
_A, _PTR, _TXT, _SRV, _ANY, _IN, _UNIQUE = 1, 12, 16, 33, 255, 1, 0x8000
_TTL = 4500
_numbers = itertools.count()


def unused_name() -> str:
    """Return a name of a hub, and so of a host, that no other test on this machine uses."""
    return f"Vege_{os.getpid()}_{next(_numbers)}"


def own_service_type(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> str:
    """Give the modules a service type of this test alone: nothing that runs beside it, and no real hub, is found."""
    service_type = f"_v{os.getpid() % 10**7}x{next(_numbers)}._tcp.local."
    for module in modules:
        monkeypatch.setattr(module, "SERVICE_TYPE", service_type)
    return service_type


def sockets() -> int:
    """Count the open sockets of this process."""
    return len(_sockets())


def open_here() -> tuple[set[str], set[threading.Thread], set[asyncio.Task[Any]]]:
    """Sockets, threads and tasks of this process."""
    threads = {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}
    return _sockets(), threads, asyncio.all_tasks()


async def nothing_is_left(before: tuple[set[Any], ...]) -> None:
    """Wait until nothing is open that was not ``open_here`` before: a thread may outlive its last word by a moment."""
    await until(lambda: not any(now - then for now, then in zip(open_here(), before, strict=True)))


def _sockets() -> set[str]:
    gc.collect()  # a connection is closed with the last of its objects
    links = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists the folder is gone by now
            links.add(str(descriptor.readlink()))
    return {link for link in links if link.startswith("socket:")}


class Observer:
    """Another machine: what it heard, and what it is answered."""

    def __init__(self, zeroconf: Zeroconf, service_type: str) -> None:
        self.zeroconf = zeroconf
        self.type = service_type
        self.heard: list[tuple[str, str]] = []

    def browser(self) -> AsyncServiceBrowser:
        """Begin to ask who is there, and to take note of what is ``heard``."""
        return AsyncServiceBrowser(self.zeroconf, self.type, handlers=[self._hear], question_type=DNSQuestionType.QM)

    def _hear(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        self.heard.append((state_change.name, name.removesuffix(f".{self.type}")))

    async def until(self, *events: tuple[str, str]) -> None:
        """Wait until all of these were heard."""
        await until(lambda: set(events) <= set(self.heard))

    def forget(self, name: str) -> None:
        """Forget where a hub is, though not that there is one."""
        cache = self.zeroconf.cache
        for known in (f"{name}.{self.type}", f"{name}.local."):
            cache.async_remove_records(cache.async_entries_with_name(known))

    def knows(self, name: str) -> AsyncServiceInfo | None:
        """Return what is remembered of a hub, if that is complete."""
        info = AsyncServiceInfo(self.type, f"{name}.{self.type}")
        return info if info.load_from_cache(self.zeroconf) else None

    async def remembered(self, name: str, fits: Callable[[AsyncServiceInfo], object] = bool) -> AsyncServiceInfo:
        """Wait, without asking, until what was announced fits."""
        await until(lambda: (info := self.knows(name)) is not None and fits(info))
        found = self.knows(name)
        assert found is not None
        return found

    async def caught_up(self, *others: Zeroconf) -> None:
        """Wait until whatever was sent on this machine has been read, by the others too."""
        name = f"{unused_name()}.local."
        # The socket hears it last, as it is sent last.
        last = packets.DNSOutgoing(_RESPONSE)
        last.add_answer_at_time(packets.DNSAddress(name, _A, _IN, _TTL, socket.inet_aton(LOOPBACK[0])), 0)
        self.zeroconf.async_send(last)
        caches = [zeroconf.cache for zeroconf in (self.zeroconf, *others)]
        await until(lambda: all(cache.async_entries_with_name(name) for cache in caches))

    async def ask(self, name: str) -> AsyncServiceInfo:
        """Ask with an empty memory, so that only an answer given now counts."""
        await self.caught_up()
        self.forget(name)
        await self._ask_until(lambda: self.knows(name) is not None, name)
        info = self.knows(name)
        assert info is not None
        return info

    async def is_answered(self, name: str, *, beside: str) -> bool:
        """Ask for a hub and, in one packet with it, for another one that the same responder answers for."""
        await self.caught_up()
        for asked in (name, beside):
            self.forget(asked)
        await self._ask_until(lambda: self.knows(beside) is not None, name, beside)
        return bool(self.zeroconf.cache.async_entries_with_name(f"{name}.{self.type}"))

    async def _ask_until(self, answered: Callable[[], bool], *names: str) -> None:
        while not answered():
            self.zeroconf.async_send(_question(self.type, names))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await until(answered)


def _question(service_type: str, names: tuple[str, ...]) -> packets.DNSOutgoing:
    """Return a packet that is answered at once: an ordinary question may wait for a second, a probe does not."""
    out = packets.DNSOutgoing(_QUERY)
    # The last name makes it another packet than the one before, which would be passed over.
    for name in (
        *(f"{name}.{domain}" for name in names for domain in (service_type, "local.")),
        f"{unused_name()}.local.",
    ):
        out.add_question(packets.DNSQuestion(name, _ANY, _IN))
    out.add_authorative_answer(packets.DNSPointer(service_type, _PTR, _IN, _TTL, f"{names[0]}.{service_type}"))
    return out


@asynccontextmanager
async def observing(service_type: str, *, silently: bool = False) -> AsyncIterator[Observer]:
    """Observe until the block ends; ``silently``: without asking who is there."""
    async with AsyncZeroconf(interfaces=LOOPBACK) as zeroconf:
        await zeroconf.zeroconf.async_wait_for_start()
        observer = Observer(zeroconf.zeroconf, service_type)
        browser = None if silently else observer.browser()
        yield observer
        if browser is not None:
            await browser.async_cancel()
    await asyncio.sleep(0)  # the transports close their sockets in a callback of their own


class Station:
    """Puts packets on the air when the test says so, each once: of hubs with any manners, or none."""

    def __init__(self, service_type: str) -> None:
        self._type = service_type
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK[0]))
        self._socket.bind((LOOPBACK[0], 0))

    def announce(
        self,
        name: str,
        address: str = "127.0.8.1",
        port: int = 80,
        txt: Mapping[str, str | bytes] | None = None,
        *,
        host: str = "",
    ) -> None:
        """Announce a hub: all of its records, in one packet."""
        instance, host = f"{name}.{self._type}", host or f"{name}.local."
        texts = ((key, value.encode() if isinstance(value, str) else value) for key, value in (txt or {}).items())
        entries = [key.encode() + b"=" + value for key, value in texts]
        text = b"".join(bytes([len(entry)]) + entry for entry in entries)
        self._send(
            packets.DNSPointer(self._type, _PTR, _IN, _TTL, instance),
            packets.DNSService(instance, _SRV, _IN | _UNIQUE, _TTL, 0, 0, port, host),
            packets.DNSText(instance, _TXT, _IN | _UNIQUE, _TTL, text or b"\0"),
            packets.DNSAddress(host, _A, _IN | _UNIQUE, _TTL, socket.inet_aton(address)),
        )

    def goodbye(self, name: str) -> None:
        """Take the announcement of a hub back."""
        self._send(packets.DNSPointer(self._type, _PTR, _IN, 0, f"{name}.{self._type}"))

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def _send(self, *records: packets.DNSRecord) -> None:
        out = packets.DNSOutgoing(_RESPONSE)
        for record in records:
            out.add_answer_at_time(record, 0)
        for packet in out.packets():
            # The number means nothing to anybody, but makes it another packet than the one before.
            self._socket.sendto((next(_numbers) % 65536).to_bytes(2, "big") + packet[2:], _GROUP)


@contextlib.contextmanager
def station(service_type: str) -> Iterator[Station]:
    """Be on the air until the block ends."""
    opened = Station(service_type)
    try:
        yield opened
    finally:
        opened.close()


def forget_all(zeroconf: Zeroconf) -> None:
    """Empty the memory of a responder: an answer that it has heard itself give within a second it keeps back."""
    cache = zeroconf.cache
    for name in cache.names():
        cache.async_remove_records(cache.async_entries_with_name(name))


async def a_second_old(zeroconf: Zeroconf, *names: str) -> None:
    """Wait until a new record would replace those of these names: whoever hears it keeps what it heard within a second."""
    cached = zeroconf.cache.async_entries_with_name
    await until(
        lambda: all(packets.current_time_millis() - record.created > 1000 for name in names for record in cached(name))
    )
