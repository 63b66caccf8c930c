"""The command that receives what hubs send."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from vegehub.exceptions import VegeHubError
from vegehub.hub.connect import connect_receiver
from vegehub.hub.local_address import local_address
from vegehub.receiving.receiver import UpdateReceiver
from vegehub.testing.interruption import to_the_end
from vegehub.wire import HubAddress, redact_url

from . import options
from .errors import CommandError, error_line, usage
from .listen_format import CsvLines, JsonLines, Rows, TableLines
from .output import Output, shown
from .runner import run
from .target import opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from vegehub.hub.connect import ReceiverConnection
    from vegehub.receiving.intake import Refusal
    from vegehub.receiving.journal import Journal
    from vegehub.wire import Update

_NAME = "vegehub listen"


class Format(StrEnum):
    """How updates are printed."""

    TABLE = "table"
    JSONL = "jsonl"
    CSV = "csv"


def listen(
    *,
    connect: Annotated[
        list[str] | None,
        typer.Option("--connect", metavar="HOST", help="Point this hub here, and back when we end; repeatable."),
    ] = None,
    bind: Annotated[
        str, typer.Option("--bind", metavar="ADDRESS", help="Listen at this address of this machine.")
    ] = "",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 0,
    token: Annotated[
        str | None,
        typer.Option("--token", help="The secret part of the URL, 16 characters or more; random by default."),
    ] = None,
    output_format: Annotated[Format, typer.Option("--format", help="How updates are printed.")] = Format.TABLE,
    sensor: options.SensorNames = None,
    journal: options.JournalFile = None,
    count: options.Count = None,
    duration: options.ListenFor = None,
    timeout: options.Timeout = 10.0,
    show_secrets: options.Secrets = False,
    json: options.Json = False,
) -> None:
    """Receive the updates that hubs send, until Ctrl-C, --count or --for ends it.

    With --connect a hub is pointed here, which is proved by an update, and what was there before is brought back at
    the end. Otherwise give a hub the URL that is shown with --show-secrets. --json is --format jsonl.
    """
    output = Output(as_json=json or output_format is Format.JSONL, show_secrets=show_secrets)
    if not connect and not bind:
        raise usage("give --connect HOST to point a hub here, or --bind ADDRESS to wait for hubs that are pointed here")
    curves = options.sensors(sensor)
    rows: Rows = (
        JsonLines(curves)
        if output.as_json
        else CsvLines(curves)
        if output_format is Format.CSV
        else TableLines(curves, output)
    )
    wish = _Wish(
        hosts=connect or [],
        bind=bind,
        port=port,
        token=token,
        journal=journal,
        count=count,
        duration=duration,
        timeout=timeout,
    )
    run(_listen(output, rows, wish))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What the command line asks for."""

    hosts: list[str]
    bind: str
    port: int
    token: str | None
    journal: Path | None
    count: int | None
    duration: float | None
    timeout: float


async def _listen(output: Output, rows: Rows, wish: _Wish) -> None:
    async with AsyncExitStack() as stack:
        journal = None
        if wish.journal is not None:
            from vegehub.receiving.journal import Journal  # noqa: PLC0415 - loads sqlite3, only to keep updates

            journal = await stack.enter_async_context(Journal(wish.journal))
        receiver = UpdateReceiver(journal=journal, token=wish.token)
        receiver.on_refused(lambda refusal: _tell_refusal(output, refusal))
        hubs = [
            await stack.enter_async_context(opened(host, output, timeout=wish.timeout, spin=False))
            for host in wish.hosts
        ]
        bind = wish.bind or await _own_address(hubs[0].ip_address)
        printer = _Printer(rows, wish.count)
        await stack.enter_async_context(receiver.serve(bind, wish.port))
        rows.begin()
        if journal is None:
            stack.callback(receiver.subscribe(printer))
        else:
            await stack.enter_async_context(_delivering(journal, printer))
        url = f"http://{_in_url(bind)}:{receiver.port}{receiver.path}"
        output.say(f"listening at {url if output.show_secrets else redact_url(url)}")
        if not wish.hosts and not output.show_secrets:
            output.say("--show-secrets shows the whole URL, which hubs need", "dim")
        for hub in hubs:
            async with output.busy(f"connecting {hub.ip_address}, and waiting for its first update"):
                connection = await connect_receiver(hub, receiver, name=_NAME, host=_advertised(wish.bind))
            stack.push_async_callback(_undo, connection, output)
            output.say(f"{hub.ip_address}: {connection.change.summary}, and its update came")
        await printer.wait(wish.duration)


class _Printer:
    """Prints updates as they come; a journal lets go of one only when it has been printed."""

    def __init__(self, rows: Rows, count: int | None) -> None:
        self._rows = rows
        self._left = count
        self._done = asyncio.Event()
        self._failed: OSError | None = None

    def __call__(self, update: Update) -> None:
        if self._left == 0:
            raise CommandError("enough were printed")  # one with a journal comes again at the next start
        try:
            self._rows.add(update)
        except OSError as err:
            self._failed = err
            self._done.set()
            raise
        if self._left is not None:
            self._left -= 1
            if not self._left:
                self._done.set()

    async def wait(self, seconds: float | None) -> None:
        """Wait until enough are printed or the time is up; OSError if nobody reads what is printed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._done.wait()
        if self._failed is not None:
            raise self._failed


@asynccontextmanager
async def _delivering(journal: Journal, printer: _Printer) -> AsyncIterator[None]:
    task = asyncio.create_task(journal.deliver(printer))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


def _tell_refusal(output: Output, refusal: Refusal) -> None:
    output.say(f"refused with {refusal.status}, from {shown(refusal.remote)}: {shown(refusal.reason)}", "yellow")


async def _undo(connection: ReceiverConnection, output: Output) -> None:
    """Bring back what was there before, however often we are interrupted."""
    address = connection.hub.ip_address
    try:
        async with output.busy(f"restoring {address}"):
            await to_the_end(connection.undo())
    except VegeHubError as err:
        raise CommandError(f"{address} could not be restored and still reports here: {error_line(err)}") from err
    output.say(f"{address}: reports again to where it did before", "dim")


async def _own_address(host: str) -> str:
    address = HubAddress.parse(host)
    own, _ = await local_address(address.host, address.port)
    return own


def _advertised(bind: str) -> str | None:
    """Return what to tell hubs: the address that we were told to use, unless that is the one for all of them."""
    try:
        return None if not bind or ipaddress.ip_address(bind).is_unspecified else bind
    except ValueError:
        return bind


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
