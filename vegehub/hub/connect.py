"""Pointing a hub at a receiver, and proving that its updates arrive there."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from vegehub.exceptions import (
    Outcome,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubMismatchError,
    VegeHubResponseError,
    VegeHubTimeoutError,
    VegeHubValueError,
)
from vegehub.wire import (
    DEFAULT_NAME,
    HubAddress,
    check_api_key,
    check_server_name,
    check_server_url,
    normalize_mac,
    redact_url,
    same_url,
)

from .arguments import check_seconds
from .local_address import local_address

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from vegehub.receiving import Refusal, UpdateReceiver
    from vegehub.wire import HubInfo, Server, ServerChange, Update

CONNECT_TIMEOUT = 30.0
"""Seconds within which the first update must come."""
_ASK_AGAIN = 10.0
_PAUSE = 1.0
_RESTORE_ATTEMPTS = 2
_MAX_PORT = 65535
_FORBIDDEN = 403

_Result = TypeVar("_Result")


class ReportingHub(Protocol):
    """What is needed of a `VegeHub` to point it at a receiver."""

    @property
    def ip_address(self) -> str:
        """Where it is."""

    @property
    def mac_address(self) -> str:
        """Its MAC, "" until known."""

    async def get_info(self) -> HubInfo:
        """Read what it says of itself, and so its MAC."""

    async def configure_server(
        self, url: str, *, api_key: str = "", name: str = DEFAULT_NAME, dry_run: bool = False
    ) -> ServerChange:
        """Point it at a server."""

    async def list_servers(self) -> tuple[Server, ...]:
        """Read where it reports to."""

    async def remove_server(self, change: ServerChange) -> None:
        """Bring back what was there before."""

    async def request_update(self) -> bool:
        """Ask for an update now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverConnection:
    """A hub that reports to a receiver, as an update has proved."""

    hub: ReportingHub
    """The hub that was given."""
    change: ServerChange
    """What was changed on the hub; ``change.to_dict()`` survives a restart, for ``VegeHub.remove_server``."""
    update: Update
    """The update that proved it."""
    url: str = field(repr=False)
    """Where the hub reports to; its path is a secret."""

    async def undo(self) -> None:
        """Bring back the server that the hub reported to before; may be repeated."""
        await self.hub.remove_server(self.change)


async def connect_receiver(
    hub: ReportingHub,
    receiver: UpdateReceiver,
    *,
    name: str = DEFAULT_NAME,
    api_key: str = "",
    host: str | None = None,
    port: int | None = None,
    path: str | None = None,
    timeout: float = CONNECT_TIMEOUT,
) -> ReceiverConnection:
    """Have ``hub`` report to ``receiver``, under its secret path, and wait up to ``timeout`` seconds for the proof.

    ``host`` is the address at which the hub finds this machine, by default the one that routes to the hub; ``port`` is
    by default the receiver's own, and must be given where it is mounted in an application; ``path`` only where a proxy
    changes it. ``name`` and ``api_key`` are as in ``VegeHub.configure_server``; an ``api_key`` also tells hubs apart
    that send no MAC.

    Whatever fails raises an error that names the broken link: the hub was not reached; it was configured but sent no
    update (VegeHubTimeoutError); updates came, but from another hub (VegeHubMismatchError); the receiver refused what
    it sent (VegeHubConnectionError, with the receiver's reason). Then, and on cancellation, what was there before is
    restored. Outcome NOT_SENT says that the hub is as it was, UNKNOWN that it may still report to the receiver.
    """
    seconds = check_seconds("timeout", timeout, 0.05, 3600)
    check_server_name(name)
    check_api_key(api_key)
    number = _port(receiver.port if port is None else port)
    address = HubAddress.parse(hub.ip_address)
    where = str(address)
    local, remote = await _reach(where, local_address(address.host, address.port))
    url = _url(host or local, number, path or receiver.path)
    if not hub.mac_address:
        await _reach(where, hub.get_info())
    plan = await _reach(where, hub.configure_server(url, api_key=api_key, name=name, dry_run=True))
    attempt = _Attempt(hub, url, plan, remote, api_key)
    with attempt.listening(receiver):
        try:
            await attempt.configure(name)
            update = await attempt.first_update(seconds)
        except BaseException as err:
            kept = await attempt.restore()
            if not isinstance(err, VegeHubError):
                if kept:
                    err.add_note(kept)
                raise
            raise attempt.failure(err, kept) from err
    return ReceiverConnection(hub=hub, change=attempt.change, update=update, url=url)


class _Attempt:
    """One attempt: what was changed so far, and what came in at the receiver."""

    def __init__(self, hub: ReportingHub, url: str, plan: ServerChange, remote: str, api_key: str) -> None:
        self.change = plan
        self._hub = hub
        self._url = url
        self._where = str(HubAddress.parse(hub.ip_address))
        self._mac = normalize_mac(hub.mac_address) if hub.mac_address else ""
        self._remote = remote
        self._api_key = api_key
        self._may_be_written = False
        self._is_configured = False
        # None where waiting has become pointless. No exception: one that comes too late would be reported as unretrieved.
        self._proof: asyncio.Future[Update | None] = asyncio.get_running_loop().create_future()
        self._strangers: set[str] = set()
        self._refusal: Refusal | None = None
        self._unknown: Refusal | None = None
        self._unasked: VegeHubError | None = None
        self._unsubscribe: tuple[Callable[[], None], ...] = ()

    def listening(self, receiver: UpdateReceiver) -> Self:
        """Listen to ``receiver`` as long as the context lasts."""
        self._unsubscribe = (receiver.subscribe(self._on_update), receiver.on_refused(self._on_refused))
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._proof.cancel()

    async def configure(self, name: str) -> None:
        """Write the configuration."""
        self._may_be_written = True
        try:
            self.change = await self._hub.configure_server(self._url, api_key=self._api_key, name=name)
        except VegeHubError as err:
            self._may_be_written = err.outcome is Outcome.UNKNOWN
            raise _like(err, f"the hub could not be configured: {err}") from err
        self._is_configured = True

    async def first_update(self, seconds: float) -> Update:
        """Ask for updates until one comes; the error names the broken link."""
        asking = asyncio.get_running_loop().create_task(self._ask(), name=f"vegehub: ask {self._where} for an update")
        try:
            async with asyncio.timeout(seconds):
                if (update := await self._proof) is not None:
                    return update
        except TimeoutError:
            pass
        finally:
            asking.cancel()
            await asyncio.wait((asking,))
        raise await self._diagnosis(seconds)

    async def restore(self) -> str:
        """Undo what was written, however often the caller is cancelled; return why that failed, "" if it did not."""
        if not (self._may_be_written and self.change.changed):
            return ""
        restoring = asyncio.get_running_loop().create_task(self._restore(), name=f"vegehub: restore {self._where}")
        cancelled = False
        while not restoring.done():
            try:
                await asyncio.wait((restoring,))
            except asyncio.CancelledError:
                cancelled = True
        failed = "the restoring was cancelled" if restoring.cancelled() else restoring.result()
        kept = failed and (
            f"what was there before could not be restored, so the hub may still report to "
            f"{redact_url(self._url)}: {failed}"
        )
        if cancelled:
            interrupted = asyncio.CancelledError()
            if kept:
                interrupted.add_note(kept)
            raise interrupted
        return kept

    def failure(self, err: VegeHubError, kept: str) -> VegeHubError:
        """Return what the caller gets: the broken link, and how the hub was left."""
        restored = self._may_be_written and self.change.changed
        left = kept or ("what was there before is restored" if restored else "nothing was changed")
        text = f"{self._where}: not connected to the receiver: {err}; {left}"
        return _like(err, text, self._where, Outcome.UNKNOWN if kept else Outcome.NOT_SENT)

    def _on_update(self, update: Update) -> None:
        is_ours = update.mac == self._mac if update.mac and self._mac else update.api_key == self._api_key
        if not is_ours:
            self._strangers.add(update.hub_key or "without a MAC")
        elif self._is_configured and not self._proof.done():
            self._proof.set_result(update)

    def _on_refused(self, refusal: Refusal) -> None:
        # What was refused before it was read has no MAC; then only the address tells whose it is.
        by_mac = refusal.mac and self._mac
        if refusal.mac == self._mac if by_mac else _plain(refusal.remote) == _plain(self._remote):
            self._refusal = refusal
            if refusal.status == _FORBIDDEN and not self._proof.done():
                self._proof.set_result(None)
        elif not by_mac:
            self._unknown = refusal

    async def _ask(self) -> None:
        """Ask for an update now and again: a hub may be busy with its new configuration, or lose the first request."""
        while True:
            try:
                await self._hub.request_update()
            except VegeHubError as err:
                self._unasked = err
                await asyncio.sleep(_PAUSE)
            else:
                self._unasked = None
                await asyncio.sleep(_ASK_AGAIN)

    async def _diagnosis(self, seconds: float) -> VegeHubError:
        """Find out which link is broken, now that no update has come."""
        ours = self._mac or "with our api key"
        if self._refusal is not None:
            return _refused(self._refusal)
        if self._strangers:
            others = ", ".join(sorted(self._strangers)[:3])
            return VegeHubMismatchError(
                f"the hub was configured, but within {seconds:g} s updates came only from hub {others}, and none from "
                f"hub {ours}. Which hub is at this address? If those are other hubs of yours, this one does not reach "
                "the receiver"
            )
        if self._unasked is not None and self._unasked.outcome is not Outcome.UNKNOWN:
            return _like(
                self._unasked, f"the hub was configured, but could not be asked for an update: {self._unasked}"
            )
        if reason := await self._not_listed():
            return VegeHubConnectionError(f"the hub took the configuration, but {reason}")
        return VegeHubTimeoutError(
            f"the hub was configured, but no update came within {seconds:g} s. Does a firewall keep it from "
            f"{redact_url(self._url)}, is that the right address of this machine, as seen by the hub, and does the "
            f"receiver listen there?{_meanwhile(self._unknown)}"
        )

    async def _not_listed(self) -> str:
        """Say what is wrong with our entry in the hub's list of servers; "" if nothing is, or it cannot be read."""
        with suppress(VegeHubError):
            ours = [server for server in await self._hub.list_servers() if same_url(server.url, self._url)]
            if not ours:
                return "the receiver is not in its list of servers"
            if not any(server.enabled for server in ours):
                return "the receiver is switched off in its list of servers"
        return ""

    async def _restore(self) -> str:
        failed = ""
        for attempt in range(_RESTORE_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_PAUSE)
            try:
                await self._hub.remove_server(self.change)
            except VegeHubError as err:
                failed = str(err)
            else:
                return ""
        return failed


async def _reach(where: str, step: Coroutine[None, None, _Result]) -> _Result:
    """Await a step before which nothing was changed; what fails is told so."""
    try:
        return await step
    except VegeHubError as err:
        answered = isinstance(err, VegeHubResponseError) or not isinstance(
            err, (VegeHubConnectionError, VegeHubTimeoutError)
        )
        link = "" if answered else "the hub was not reached: "
        text = f"{where}: not connected to the receiver: {link}{err}; nothing was changed"
        raise _like(err, text, where, Outcome.NOT_SENT) from err


def _refused(refusal: Refusal) -> VegeHubConnectionError:
    if refusal.status == 0:
        return VegeHubConnectionError(
            f"the hub was configured, and reached the receiver, but got no answer there: {refusal.reason}"
        )
    at = f" ({refusal.path})" if refusal.path and refusal.path not in refusal.reason else ""
    return VegeHubConnectionError(
        f"the hub was configured, and its update came, but the receiver refused it with {refusal.status}: "
        f"{refusal.reason}{at}"
    )


def _meanwhile(refusal: Refusal | None) -> str:
    if refusal is None:
        return ""
    what = f"refused a request with {refusal.status}" if refusal.status else "did not answer a request"
    return (
        f" Meanwhile the receiver {what} that came from {refusal.remote or 'an unknown address'} ({refusal.reason}): "
        "is that this hub?"
    )


def _plain(address: str) -> str:
    """Return an IP address as it is compared: without a scope, and not as IPv6 where it is an IPv4 one."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def _like(err: VegeHubError, text: str, host: str | None = None, outcome: Outcome | None = None) -> VegeHubError:
    """Return the error with another text; what else it says stays."""
    other = err.retold(text, outcome)
    other.host = host or err.host
    return other


def _url(host: str, port: int, path: str) -> str:
    bracketed = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return check_server_url(f"http://{bracketed}:{port}/{path.removeprefix('/')}")


def _port(port: object) -> int:
    if port is None:
        raise VegeHubValueError(
            "the receiver does not listen: begin serve() first, or give the port at which it is mounted"
        )
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= _MAX_PORT:
        raise VegeHubValueError(f"port must be 1 to {_MAX_PORT}, not {port!r:.40}")
    return port
