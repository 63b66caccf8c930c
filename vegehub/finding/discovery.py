"""Find hubs by mDNS (DNS-SD): once with ``discover``, or for as long as a ``HubBrowser`` is open.

What is found is what was announced, not what can be reached. A hub that fell asleep stays in the caches of a network
for up to 75 minutes, and "removed" says only that its announcement was taken back or ran out: neither is proof of
anything but that somebody sent a packet. The announcement carries no MAC, and whoever is on the LAN can forge one.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import math
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from vegehub.exceptions import Outcome, VegeHubTimeoutError, VegeHubValueError
from vegehub.wire.announcements import DiscoveredHub, HubEvent
from vegehub.wire.text import clean_text

from .multicast import check_given, checked_interfaces, no_interface, open_zeroconf

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from zeroconf import ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

    from .records import AnnouncementListener

_LOGGER = logging.getLogger(__name__)

SERVICE_TYPE = "_vege._tcp.local."

NOTHING_FOUND = (
    "Possible reasons: the hub is asleep (a battery hub announces itself only while it is awake; its button wakes it); "
    "it is on another subnet or VLAN, which mDNS does not cross; the access point filters multicast; "
    "its firmware is older than 4.0 and does not announce itself; a firewall on this machine drops UDP port 5353. "
    "A hub whose address is known can be used without discovery."
)
"""Why a hub may not have been found, in words for a person."""

MAX_HUBS = 1024
"""Announcements that a browser follows at once; a flood of invented ones beyond that is ignored."""

_RECORDS = f"{__package__}.records"
_RESOLVE_TIMEOUT_MS = 3000
_MAX_TIMEOUT = 3600.0
_MAX_BACKLOG = 2 * MAX_HUBS
_ANNOUNCEMENT_PAUSE = 2.0
"""Seconds in which further packets of a hub are the same announcement: one is sent three times within half a second."""


async def discover(
    timeout: float = 5.0,
    *,
    zeroconf: AsyncZeroconf | None = None,
    interfaces: Sequence[str] | None = None,
    expect: int | None = None,
) -> list[DiscoveredHub]:
    """Return the hubs that announce themselves within ``timeout`` seconds (up to 3600), sorted by name.

    ``expect=n`` returns as soon as n were found, and raises VegeHubTimeoutError, saying why that may be, if fewer
    were; without it the list may be empty and the reasons are logged. ``zeroconf`` is used and left open; without it
    one is opened on ``interfaces`` (addresses of this machine; all by default) and closed again.
    VegeHubConnectionError: no interface can be used.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= _MAX_TIMEOUT:
        raise VegeHubValueError(
            f"timeout must be more than 0 and at most {_MAX_TIMEOUT:g} seconds, not {timeout!r:.40}"
        )
    if expect is not None and (isinstance(expect, bool) or not isinstance(expect, int) or expect < 1):
        raise VegeHubValueError(f"expect must be an int from 1, not {expect!r:.40}")
    async with HubBrowser(zeroconf=zeroconf, interfaces=interfaces) as browser:
        try:
            async with asyncio.timeout(timeout) as deadline:
                while expect is None or len(browser.hubs) < expect:
                    await anext(browser)
        except TimeoutError:
            if not deadline.expired():
                raise
        found = browser.hubs
    if expect is not None and len(found) < expect:
        names = f" ({', '.join(hub.name for hub in found)})" if found else ""
        raise VegeHubTimeoutError(
            f"{len(found)} of {expect} hubs{names} announced themselves within {timeout:g} s. {NOTHING_FOUND}",
            outcome=Outcome.NOT_SENT,
        )
    if not found:
        _LOGGER.info("No hub announced itself within %g s. %s", timeout, NOTHING_FOUND)
    return list(found)


class HubBrowser:
    """Watch hubs come and go: ``async with HubBrowser() as browser: async for event in browser: ...``.

    Takes ``zeroconf`` and ``interfaces`` as ``discover`` does; ``announcements=True`` adds events of the kind
    "announced". Hubs that a shared ``zeroconf`` knows already come first, as "added". For one consumer: one that falls
    behind by more than 2000 events gets only the newest event of each hub. The iteration ends when the browser closes.
    """

    def __init__(
        self,
        *,
        zeroconf: AsyncZeroconf | None = None,
        interfaces: Sequence[str] | None = None,
        announcements: bool = False,
    ) -> None:
        if zeroconf is not None and interfaces is not None:
            raise VegeHubValueError(
                "give zeroconf or interfaces, not both: an AsyncZeroconf has its interfaces already"
            )
        self._given = zeroconf
        self._interfaces = None if interfaces is None else checked_interfaces(interfaces)
        self._announcements = announcements
        self._own: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._listener: AnnouncementListener | None = None
        self._hubs: dict[str, DiscoveredHub] = {}
        self._last_announced: dict[str, float] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._events: deque[HubEvent] = deque()
        self._changed = asyncio.Event()
        self._opened = False
        self._closing: asyncio.Task[None] | None = None

    @property
    def hubs(self) -> tuple[DiscoveredHub, ...]:
        """The hubs that are announced now, sorted by name."""
        return tuple(sorted(self._hubs.values(), key=lambda hub: hub.name))

    async def close(self) -> None:
        """Stop watching; close the zeroconf if it was opened here. May be repeated."""
        if self._closing is None:
            self._opened = True
            self._changed.set()
            self._closing = asyncio.create_task(self._shut(), name="vegehub: close the browser")
        await _to_its_end(self._closing)

    async def __aenter__(self) -> Self:
        if self._opened:
            raise VegeHubValueError("a browser can be opened once; make another one")
        self._opened = True
        try:
            await self._open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> HubEvent:
        if not self._opened:
            raise VegeHubValueError("open the browser first: async with HubBrowser() as browser")
        while not self._events:
            if self._closing is not None:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._events.popleft()

    async def _open(self) -> None:
        await _load()
        from zeroconf import DNSQuestionType, NotRunningException  # noqa: PLC0415 - loaded when the browser was opened
        from zeroconf.asyncio import AsyncServiceBrowser  # noqa: PLC0415 - loaded when the browser was opened

        from .records import AnnouncementListener  # noqa: PLC0415 - loaded when the browser was opened

        if self._given is None:
            self._own = open_zeroconf(self._interfaces)
        else:
            check_given(self._given)
        zeroconf = self._zeroconf
        try:
            await zeroconf.async_wait_for_start()
        except NotRunningException as err:
            raise no_interface("zeroconf did not start") from err
        if self._own is not None and not zeroconf.engine.senders:
            raise no_interface("none takes multicast")
        if self._announcements:
            self._listener = AnnouncementListener(SERVICE_TYPE.lower(), self._on_announcement)
            zeroconf.async_add_listener(self._listener, None)
        # The default asks for unicast answers first; where several processes share port 5353 these get lost, and the
        # hub is found only by the second question, a second later.
        self._browser = AsyncServiceBrowser(
            zeroconf, SERVICE_TYPE, handlers=[self._on_change], question_type=DNSQuestionType.QM
        )

    @property
    def _zeroconf(self) -> Zeroconf:
        owner = self._given if self._own is None else self._own
        assert owner is not None  # noqa: S101 - for the type checker: one of the two is there once the browser is open
        return owner.zeroconf

    async def _shut(self) -> None:
        if self._browser is not None:
            await self._browser.async_cancel()
        if self._listener is not None:
            self._zeroconf.async_remove_listener(self._listener)
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        if self._own is not None:
            await self._own.async_close()
            # The transports close their sockets in a callback of their own.
            await asyncio.sleep(0)

    def _on_change(
        self,
        zeroconf: Zeroconf,  # noqa: ARG002 - zeroconf names its arguments
        service_type: str,  # noqa: ARG002 - zeroconf names its arguments
        name: str,
        state_change: ServiceStateChange,
    ) -> None:
        key = name.lower()
        if state_change.name == "Removed":
            if (task := self._asking.pop(key, None)) is not None:
                task.cancel()
            self._last_announced.pop(key, None)
            if (hub := self._hubs.pop(key, None)) is not None:
                self._put(HubEvent("removed", hub))
        elif key in self._hubs or key in self._asking or len(self._hubs) + len(self._asking) < MAX_HUBS:
            self._resolve(key, name)
        else:
            _LOGGER.debug("%d hubs are announced already; %s is ignored", MAX_HUBS, clean_text(name))

    def _on_announcement(self, name: str) -> None:
        from zeroconf.asyncio import AsyncServiceInfo  # noqa: PLC0415 - loaded when the browser was opened

        key = name.lower()
        known = self._hubs.get(key)
        if known is None:
            return
        info = AsyncServiceInfo(SERVICE_TYPE, name)
        if info.load_from_cache(self._zeroconf):
            # The service browser tells of what is new, not of an address that was left out.
            self._report(key, info)
        now = asyncio.get_running_loop().time()
        if self._hubs[key] is known and now - self._last_announced.get(key, -math.inf) >= _ANNOUNCEMENT_PAUSE:
            self._last_announced[key] = now
            self._put(HubEvent("announced", known))

    def _resolve(self, key: str, name: str) -> None:
        from zeroconf import Error  # noqa: PLC0415 - loaded when the browser was opened
        from zeroconf.asyncio import AsyncServiceInfo  # noqa: PLC0415 - loaded when the browser was opened

        try:
            info = AsyncServiceInfo(SERVICE_TYPE, name)
        except Error as err:
            _LOGGER.debug("An announcement was refused: %s", clean_text(str(err)))
            return
        if info.load_from_cache(self._zeroconf):
            self._report(key, info)
        elif key not in self._asking:
            task = asyncio.create_task(self._ask(key, info), name="vegehub: ask for an announcement")
            self._asking[key] = task
            task.add_done_callback(lambda done: self._asking.pop(key, None) if self._asking.get(key) is done else None)

    async def _ask(self, key: str, info: AsyncServiceInfo) -> None:
        from zeroconf import DNSQuestionType, Error  # noqa: PLC0415 - loaded when the browser was opened

        try:
            if await info.async_request(self._zeroconf, _RESOLVE_TIMEOUT_MS, question_type=DNSQuestionType.QM):
                self._report(key, info)
        except Error as err:
            _LOGGER.debug("%s could not be resolved: %r", clean_text(info.name), err)

    def _report(self, key: str, info: AsyncServiceInfo) -> None:
        from .records import read_announcement  # noqa: PLC0415 - loaded when the browser was opened

        hub = read_announcement(self._zeroconf, info)
        known = self._hubs.get(key)
        if hub is None:
            _LOGGER.debug("The announcement of %s was refused: no usable name or port", clean_text(info.name))
        elif hub != known:
            self._hubs[key] = hub
            self._last_announced[key] = asyncio.get_running_loop().time()
            self._put(HubEvent("added" if known is None else "updated", hub))

    def _put(self, event: HubEvent) -> None:
        self._events.append(event)
        if len(self._events) > _MAX_BACKLOG:
            newest: dict[str, HubEvent] = {}
            for late in self._events:
                newest.pop(late.hub.name, None)
                newest[late.hub.name] = late
            self._events = deque(newest.values())
        self._changed.set()


async def _load() -> None:
    """Import zeroconf, and what is built on it, off the loop, in a thread that ends with it."""
    if _RECORDS not in sys.modules:
        executor = ThreadPoolExecutor(1)
        try:
            await asyncio.get_running_loop().run_in_executor(executor, importlib.import_module, _RECORDS)
        finally:
            executor.shutdown(wait=False)


async def _to_its_end(task: asyncio.Task[None]) -> None:
    """Wait until ``task`` is done however often the caller is cancelled, then say so; sockets would stay open else."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    task.result()
