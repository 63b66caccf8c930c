"""The command that opens a valve for a while and closes it, whatever happens."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, TextColumn

from vegehub.exceptions import VegeHubError

from . import options
from .durations import format_duration
from .errors import InterruptedByUserError
from .output import Output, iso
from .runner import run
from .target import opened

if TYPE_CHECKING:
    from vegehub import VegeHub

_TICK = 0.25


class _Session:
    """What is known of one watering, also after it was interrupted."""

    def __init__(self, slot: int, seconds: float) -> None:
        self.slot = slot
        self.seconds = seconds
        self.host = ""
        self.mac = ""
        self.opened_at: datetime | None = None
        self.closed_at: datetime | None = None

    @property
    def open_for(self) -> float:
        """Seconds for which the valve was open."""
        if self.opened_at is None or self.closed_at is None:
            return 0.0
        return (self.closed_at - self.opened_at).total_seconds()

    def document(self, *, interrupted: bool) -> dict[str, Any]:
        return {
            "host": self.host,
            "mac": self.mac,
            "slot": self.slot,
            "seconds": self.seconds,
            "opened_at": iso(self.opened_at),
            "closed_at": iso(self.closed_at),
            "open_for": round(self.open_for, 1),
            "interrupted": interrupted,
        }


def water(
    arguments: options.HostAndSlot,
    *,
    duration: options.OnFor,
    mac: options.Mac = "",
    timeout: options.Timeout = 10.0,
    json: options.Json = False,
) -> None:
    """Open a valve, wait, and close it, whatever happens.

    Ctrl-C, SIGTERM (which stops a service), a closed terminal and an error close the valve too. After a power failure
    of this machine, or SIGKILL, the hub's own timer closes it at the end of the duration.
    """
    output = Output(as_json=json)
    host, (text,) = options.with_host(arguments, "SLOT")
    session = _Session(options.slot(text), duration)
    try:
        run(_water(host, session, output, timeout=timeout, mac=mac))
    except InterruptedByUserError:
        if session.opened_at is not None and session.closed_at is not None:
            _report(session, output, interrupted=True)
        raise
    _report(session, output, interrupted=False)


async def _water(host: str, session: _Session, output: Output, *, timeout: float, mac: str) -> None:
    async with opened(host, output, timeout=timeout, mac=mac, spin=False) as hub:
        async with output.busy(f"asking {hub.ip_address}"):
            await hub.get_info()
        session.host, session.mac = hub.ip_address, hub.mac_address
        try:
            async with hub.watering(session.slot, session.seconds):
                session.opened_at = datetime.now(UTC)
                output.say(
                    f"{hub.ip_address}: actuator {session.slot} is on for {format_duration(session.seconds)}; "
                    "Ctrl-C closes it"
                )
                await _wait(session.seconds, output)
        except asyncio.CancelledError as err:
            if not getattr(err, "__notes__", ()):  # a note says that OFF has failed
                session.closed_at = datetime.now(UTC)
            raise
        session.closed_at = datetime.now(UTC)
        await _look(hub, session, output)


async def _wait(seconds: float, output: Output) -> None:
    """Wait, with a bar on a terminal; it stands inside the block, so that its end cannot come before OFF."""
    if not output.is_live:
        await asyncio.sleep(seconds)
        return
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + seconds
    bar = Progress(
        TextColumn("watering"),
        # Not the whole width: the ^C that a terminal echoes must not begin a line of its own.
        BarColumn(bar_width=40),
        TextColumn("{task.fields[left]} left"),
        console=output.err,
        auto_refresh=False,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=seconds, left=format_duration(seconds))
        while (left := ends_at - loop.time()) > 0:
            bar.update(task, completed=seconds - left, left=format_duration(left), refresh=True)
            await asyncio.sleep(min(left, _TICK))


async def _look(hub: VegeHub, session: _Session, output: Output) -> None:
    """Read the state back: the hub took the OFF, and this shows that it did what it was told."""
    try:
        await hub.turn_off(session.slot, confirm=True)
    except VegeHubError as err:
        output.say(f"the hub took the OFF, but its state could not be read back: {err}", "yellow")


def _report(session: _Session, output: Output, *, interrupted: bool) -> None:
    early = f" of {format_duration(session.seconds)}" if interrupted else ""
    output.show(
        session.document(interrupted=interrupted),
        f"{session.host}: actuator {session.slot} is off again, after {format_duration(session.open_for)}{early}",
    )
