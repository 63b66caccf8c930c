"""The command that finds out what is wrong with a hub."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer
from rich.table import Table
from rich.text import Text

from vegehub.exceptions import VegeHubError
from vegehub.finding.discovery import discover
from vegehub.hub.connect import CONNECT_TIMEOUT, connect_receiver
from vegehub.hub.local_address import local_address
from vegehub.receiving.receiver import UpdateReceiver
from vegehub.testing.interruption import to_the_end
from vegehub.wire import CUSTOM, HubAddress, normalize_mac, redact_url

from . import findings, options
from .errors import FAILED, OK, error_line, exit_code, usage
from .findings import Finding, Verdict
from .output import Output, shown
from .runner import run
from .target import opened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vegehub import VegeHub
    from vegehub.wire import Server, Update

_CALLS = 3
_DISCOVERY_SECONDS = 2.0
_CONNECT_SECONDS = 3.0
_NAME = "vegehub doctor"
_STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red", Verdict.SKIP: "dim"}


def doctor(
    host: options.Host,
    *,
    mac: options.Mac = "",
    update_path: Annotated[
        bool,
        typer.Option(
            "--update-path/--no-update-path",
            help="Point the hub at this machine for a moment, to see an update come, and back.",
        ),
    ] = True,
    receiver: Annotated[
        str, typer.Option("--receiver", metavar="ADDRESS", help="The address of this machine as the hub sees it.")
    ] = "",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port for the update; 0 takes a free one.")] = 0,
    wait: options.Wait = CONNECT_TIMEOUT,
    set_clock: Annotated[bool, typer.Option("--set-clock", help="Set the hub's clock if it is off.")] = False,
    timeout: options.Timeout = 10.0,
    json: options.Json = False,
) -> int:
    """Find out what is wrong with a hub, and what to do.

    Each line is ok, warn, fail or skip, with a hint where something is wrong. The exit code is 1 if a check failed.
    """
    output = Output(as_json=json)
    try:
        expected = normalize_mac(mac) if mac else ""
    except ValueError:
        raise usage(f"--mac: {mac[:40]!r} is no MAC address") from None
    visit = _Visit(output, expected, receiver, port, wait, timeout, path=update_path, set_clock=set_clock)
    code = run(visit.examine(host))
    counts = {verdict: sum(one.verdict is verdict for one in visit.found) for verdict in Verdict}
    if output.as_json:
        rows = [
            {"check": one.check, "verdict": one.verdict.value, "text": one.text, "hint": one.hint}
            for one in visit.found
        ]
        output.show({"host": visit.address, "checks": rows, "exit_code": code}, "")
    else:
        output.say(f"{counts[Verdict.OK]} ok, {counts[Verdict.WARN]} to look at, {counts[Verdict.FAIL]} failed", "dim")
    return code


@dataclass(slots=True)
class _Visit:
    """One examination, line by line."""

    output: Output
    expected_mac: str
    receiver: str
    port: int
    wait: float
    timeout: float
    path: bool
    set_clock: bool
    address: str = ""
    found: list[Finding] = field(default_factory=list)

    async def examine(self, host: str) -> int:
        """Make all checks; return the exit code."""
        async with opened(host, self.output, timeout=self.timeout, spin=False) as hub:
            self.address = hub.ip_address
            try:
                await self._reach(hub)
            except VegeHubError as err:
                self._add([findings.not_reached(err, await self._announced())])
                return exit_code(err)
            if self.expected_mac and hub.mac_address != self.expected_mac:
                self._add([findings.skipped("All else", "this is another hub; nothing is written to it")])
                return FAILED
            try:
                await self._look(hub)
                await self._prove(hub)
            except VegeHubError as err:
                self._add(
                    [Finding("Configuration", Verdict.FAIL, error_line(err), "Look at the lines above, and try again.")]
                )
        return FAILED if any(one.verdict is Verdict.FAIL for one in self.found) else OK

    async def _reach(self, hub: VegeHub) -> None:
        seconds = []
        async with self.output.busy(f"asking {self.address}"):
            for _ in range(_CALLS):
                begun = time.perf_counter()
                info = await hub.get_info()
                seconds.append(time.perf_counter() - begun)
        self._add([findings.reached(self.address, seconds), findings.identity(info.mac, self.expected_mac)])
        self._add([findings.signal(info.wifi.rssi), findings.battery(info), *findings.hub_error(info)])
        self._add(findings.odd_fields(info.problems))

    async def _look(self, hub: VegeHub) -> None:
        async with self.output.busy("reading its configuration"):
            config = await hub.get_config("hub", "api_key", "endpoints")
            info = await hub.get_info()
            verdict = findings.firmware(info, config)
            self._add([verdict])
            offset = datetime.now().astimezone().utcoffset() or timedelta()
            self._add([findings.zone(self.address, config.get("hub"), offset)])
            if verdict.verdict is Verdict.FAIL:
                self.path = False
                return
            listed = await hub.list_servers()
        async with self.output.busy("connecting to its servers"):
            self._add(findings.servers(self.address, listed, await _unreachable(listed)))

    async def _prove(self, hub: VegeHub) -> None:
        """Have an update sent here and read the hub's clock from it; the servers are put back whatever happens."""
        if not self.path:
            self._add([findings.skipped("Update path", "not looked at"), findings.clock(self.address, None, None)])
            return
        own = HubAddress.parse(hub.ip_address)
        bind = (await local_address(own.host, own.port))[0]
        receiver = UpdateReceiver()
        begun = time.perf_counter()
        async with receiver.serve(bind, self.port), self.output.busy("waiting for an update"):
            try:
                connection = await connect_receiver(
                    hub, receiver, name=_NAME, host=self.receiver or None, timeout=self.wait
                )
            except VegeHubError as err:
                self._add([findings.no_update_path(err), findings.clock(self.address, None, None)])
                return
            seconds = time.perf_counter() - begun
            await to_the_end(connection.undo())
        update = connection.update
        self._add([findings.update_path(seconds, connection.url), *findings.odd_fields(update.problems)])
        await self._judge_clock(
            hub, findings.clock(self.address, update.sent_at or _newest(update), update.received_at)
        )

    async def _judge_clock(self, hub: VegeHub, verdict: Finding) -> None:
        if self.set_clock and verdict.verdict in (Verdict.WARN, Verdict.FAIL):
            await hub.set_time()
            verdict = Finding(verdict.check, Verdict.OK, f"{verdict.text}; it is set now")
        self._add([verdict])

    async def _announced(self) -> str:
        """Name the hubs that announce themselves; "" if there are none, or that cannot be found out."""
        interface = os.environ.get(options.INTERFACE_VARIABLE)
        with suppress(VegeHubError):
            async with self.output.busy("looking for hubs that are awake"):
                hubs = await discover(_DISCOVERY_SECONDS, interfaces=[interface] if interface else None)
            return ", ".join(f"{shown(hub.name)} at {hub.address}" for hub in hubs[:5])
        return ""

    def _add(self, new: Iterable[Finding]) -> None:
        for one in new:
            self.found.append(one)
            if not self.output.as_json:
                self.output.print(_line(one))


def _line(finding: Finding) -> Table:
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_column(width=4)
    line.add_column(width=12)
    line.add_column(overflow="fold")
    line.add_row(Text(finding.verdict.value, style=_STYLES[finding.verdict]), finding.check, finding.text)
    if finding.hint:
        line.add_row("", "", Text(finding.hint, style="cyan"))
    return line


async def _unreachable(listed: Iterable[Server]) -> dict[str, str]:
    """Try to connect to each server of the user's own; nothing is sent."""
    urls = [server.url for server in listed if server.kind == CUSTOM and server.enabled and server.url]
    answers = await asyncio.gather(*(_why_unreachable(url) for url in urls))
    return {url: why for url, why in zip(urls, answers, strict=True) if why}


async def _why_unreachable(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "is no URL"
    if not parts.hostname:
        return f"{redact_url(url)} has no host"
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except TimeoutError:
        return f"no connection within {_CONNECT_SECONDS:g} s"
    except OSError as err:
        unknown = err.errno is None or err.errno < 0  # numbers of the resolver are negative
        return "the name is not known" if unknown else os.strerror(err.errno or 0).lower()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return ""


def _newest(update: Update) -> datetime | None:
    moments = [reading.latest.taken_at for reading in update.readings.values() if reading.latest is not None]
    return max((moment for moment in moments if moment is not None), default=None)
