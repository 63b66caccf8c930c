"""Arguments and options that commands share, as Typer reads them from the annotations."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from vegehub.exceptions import VegeHubValueError
from vegehub.hub import MIN_ON
from vegehub.sensors import SensorCurve, sensor_curve

from .durations import parse_duration
from .errors import usage

HOST_VARIABLE = "VEGEHUB_HOST"
INTERFACE_VARIABLE = "VEGEHUB_INTERFACE"
MAX_ON = 4 * 3600.0
"""Seconds of the longest ON; the library's own limit."""
_HOST_HELP = "Address or name of the hub, with or without :port; only :port is this machine."


def _duration(text: str | float) -> float:
    if not isinstance(text, str):
        return text  # a default
    try:
        return parse_duration(text)
    except ValueError as err:
        raise typer.BadParameter(str(err)) from None


def _on_for(text: str) -> float:
    seconds = _duration(text)
    if not MIN_ON <= seconds <= MAX_ON:
        raise typer.BadParameter(f"{text[:40]!r} is not between 1s and 4h: every ON has an end, and not a far one")
    return seconds


def _after_host(what: str, help: str) -> object:  # noqa: A002 - typer's own name for it
    """Return an argument that follows a host, which may be left out where the variable is set."""
    text = f"{help} HOST may be left out if {HOST_VARIABLE} is set."
    return typer.Argument(metavar=f"[HOST] {what}", help=text, show_default=False)


Host = Annotated[str, typer.Argument(metavar="HOST", envvar=HOST_VARIABLE, help=_HOST_HELP, show_default=False)]
Hosts = Annotated[list[str], typer.Argument(envvar=HOST_VARIABLE, metavar="HOST...", help=_HOST_HELP)]
HostAndSlot = Annotated[list[str], _after_host("SLOT", "The actuator, counted from 0.")]
HostAndUrl = Annotated[list[str], _after_host("URL", "Where the hub is to send its updates.")]
HostAndServer = Annotated[
    list[str] | None, _after_host("[SERVER]", "The id, name or URL of the server, as `list` shows it.")
]
HostAndSections = Annotated[
    list[str] | None, _after_host("[SECTION...]", "Which objects to read, all but `wifi` by default.")
]
HostAndChanges = Annotated[list[str], _after_host("PATH=VALUE...", "Such as hub.name=Shed or sensors[0].mode=1.")]
HostAndFile = Annotated[list[str], _after_host("FILE", "The backup.")]

Json = Annotated[bool, typer.Option("--json", help="Results on stdout and errors on stderr as JSON.")]
Timeout = Annotated[
    float,
    typer.Option("--timeout", parser=_duration, metavar="DURATION", help="Deadline of each call.", show_default="10s"),
]
Listening = Annotated[
    float,
    typer.Option("--timeout", parser=_duration, metavar="DURATION", help="How long to listen.", show_default="5s"),
]
Mac = Annotated[str, typer.Option("--mac", metavar="MAC", help="Do nothing unless the hub has this MAC.")]
Secrets = Annotated[bool, typer.Option("--show-secrets", help="Show passwords, keys and the paths of webhooks.")]
Interface = Annotated[
    str,
    typer.Option(
        "--interface", envvar=INTERFACE_VARIABLE, metavar="ADDRESS", help="Look only at this address of this machine."
    ),
]
SensorNames = Annotated[
    list[str] | None,
    typer.Option("--sensor", metavar="SLOT=NAME", help="Convert the volts of a slot, such as 1=VH400; repeatable."),
]
OnFor = Annotated[
    float,
    typer.Option("--for", parser=_on_for, metavar="DURATION", help="How long, such as 90s, 10m or 1h30m; 4h at most."),
]
SaveRegistry = Annotated[
    Path | None,
    typer.Option("--save", metavar="FILE", help="Add what is found to this registry, for `vegehub run`."),
]
RecordDirectory = Annotated[
    Path | None,
    typer.Option("--record", metavar="DIR", help="Keep the exchange, so that `simulate --from DIR` plays this hub."),
]
PlayDirectory = Annotated[
    Path | None,
    typer.Option("--from", metavar="DIR", help="Play the hub that `diagnostics --record DIR` has recorded."),
]
JournalFile = Annotated[
    Path | None, typer.Option("--journal", metavar="FILE", help="Keep updates in this file until they are printed.")
]
UndoFile = Annotated[
    Path | None,
    typer.Option("--undo", metavar="FILE", help="Where setup saves what was there before, and remove finds it."),
]
Registry = Annotated[Path, typer.Argument(metavar="FILE", help="The registry, as `vegehub discover --save` makes it.")]
ListenFor = Annotated[
    float | None,
    typer.Option("--for", parser=_duration, metavar="DURATION", help="End after so long.", show_default=False),
]
Wait = Annotated[
    float,
    typer.Option(
        "--wait", parser=_duration, metavar="DURATION", help="How long to wait for the update.", show_default="30s"
    ),
]
Hold = Annotated[
    float,
    typer.Option(
        "--hold",
        parser=_duration,
        metavar="DURATION",
        help="Keep the hub's own schedule off for so long.",
        show_default=False,
    ),
]
Confirm = Annotated[bool, typer.Option("--confirm/--no-confirm", help="Read the state back until it shows.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")]
Every = Annotated[
    float,
    typer.Option("--every", parser=_duration, metavar="DURATION", help="Time between readings.", show_default="10s"),
]
Count = Annotated[int | None, typer.Option("--count", min=1, help="End after so many.", show_default=False)]


def with_host(arguments: list[str], what: str, least: int = 1, most: int = 1) -> tuple[str, list[str]]:
    """Split the host from what follows it, ``least`` to ``most`` words; without it the variable's value is taken."""
    preset = os.environ.get(HOST_VARIABLE, "")
    count = len(arguments)
    if count > most + 1:
        raise usage(f"too many arguments: expected HOST {what}")
    if preset and least <= count <= most:
        return preset, arguments
    if count > least:
        return arguments[0], arguments[1:]
    raise usage(f"HOST or {what} is missing; expected HOST {what}, or set {HOST_VARIABLE}")


def path(text: str) -> Path:
    """Read the name of a file."""
    return Path(text).expanduser()


def slot(text: str) -> int:
    """Read the slot of an actuator."""
    if not text.isascii() or not text.isdigit() or len(text) > 4:  # noqa: PLR2004 - more than any hub has
        raise usage(f"SLOT: {text[:40]!r} is no number from 0")
    return int(text)


def sensors(names: list[str] | None) -> dict[int, SensorCurve]:
    """Read ``1=VH400`` for each slot (1-based)."""
    curves = {}
    for text in names or ():
        number, equals, name = text.partition("=")
        if not equals or not number.isascii() or not number.isdigit() or not int(number[:6]):
            raise usage(f"--sensor: {text[:40]!r} is not like 1=VH400")
        try:
            curves[int(number[:6])] = sensor_curve(name)
        except VegeHubValueError as err:
            raise usage(f"--sensor: {err}") from None
    return curves
