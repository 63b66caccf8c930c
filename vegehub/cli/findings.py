"""What the doctor finds, from what is known of a hub: pure, so that each verdict can be tested by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from statistics import median
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import (
    Outcome,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubMismatchError,
    VegeHubPayloadError,
    VegeHubResponseError,
    VegeHubTimeoutError,
)
from vegehub.wire import CUSTOM, redact_url, shape_of

from .durations import format_duration
from .errors import error_line
from .output import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vegehub.wire import HubInfo, Server

SLOW = 1.0
"""Seconds from which on an answer is late: a hub on the LAN takes some milliseconds."""
WEAK, TOO_WEAK = -70, -80
"""Signal in dBm below which packets begin to be lost, and below which a link hardly holds."""
LOW, TOO_LOW = 6.5, 5.8
"""Volts of the supply; 5.5 is the least at which hubs were seen to work."""
CLOCK_OFF, CLOCK_WRONG = timedelta(minutes=1), timedelta(minutes=10)
_NEVER_SET = 2020
_SERVER_ERRORS = 500
_MAX_ODD = 5


class Verdict(Enum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, how it ended, what was seen, and what to do."""

    check: str
    verdict: Verdict
    text: str
    hint: str = ""


def reached(address: str, seconds: Sequence[float]) -> Finding:
    """Judge how fast a hub answers."""
    typical = median(seconds)
    text = f"{address} answers within {typical * 1000:.0f} ms"
    if typical < SLOW:
        return Finding("Reachability", Verdict.OK, text)
    return Finding(
        "Reachability", Verdict.WARN, text, "The radio link is poor, or the hub is busy. See the signal below."
    )


def not_reached(err: VegeHubError, announced: str) -> Finding:
    """Say why a hub may not have answered; ``announced`` is what announces itself, in words, "" for nothing."""
    if err.may_be_asleep:
        hint = (
            "If it is a battery hub it is asleep: press its button, or set its power source to the adapter. "
            "If it is awake, the address is wrong."
        )
    elif isinstance(err, VegeHubPayloadError):
        hint = (
            "It answers as a hub does, but not with what a hub says of itself. `vegehub diagnostics` shows what it sends: "
            "please report it."
        )
    elif isinstance(err, VegeHubResponseError) and err.status is not None and err.status >= _SERVER_ERRORS:
        hint = "Something answers here, and fails. If it is a hub, restart it; if that does not help, please report it."
    elif isinstance(err, VegeHubResponseError):
        hint = "Something else than a hub answers here: the address is wrong, or was given to another device."
    elif err.__cause__ is not None and not hasattr(err.__cause__, "os_error"):  # which errors of connecting have
        hint = (
            "Something listens here, and ended the connection without an answer. Try again; if it is a hub, restart it."
        )
    else:
        hint = "Nothing listens here: the address or the port is wrong, or the hub has another one now."
    found = f" Announced now: {announced}." if announced else " `vegehub discover` lists the hubs that are awake."
    return Finding("Reachability", Verdict.FAIL, error_line(err), hint + found)


def odd_fields(problems: Sequence[str]) -> Iterator[Finding]:
    """Name the fields in which a hub says something odd; they are taken as not said."""
    if problems:
        yield Finding(
            "Odd fields",
            Verdict.WARN,
            "; ".join(shown(problem) for problem in problems[:_MAX_ODD])
            + ("; ..." if len(problems) > _MAX_ODD else ""),
            "It is a hub, and all else is read. Please report it, with `vegehub diagnostics`.",
        )


def identity(found: str, expected: str) -> Finding:
    """Compare the MAC with the one that was expected, if any."""
    if not found:
        return Finding("MAC", Verdict.FAIL, "the hub does not say", "Is this a VegeHub? Update its firmware.")
    if expected and expected != found:
        return Finding(
            "MAC",
            Verdict.FAIL,
            f"{found} answers here, not {expected}",
            "The address was given to another hub. `vegehub discover` finds yours; a fixed address in the router keeps it.",
        )
    return Finding("MAC", Verdict.OK, found)


def firmware(info: HubInfo, config: Mapping[str, Any]) -> Finding:
    """Say which firmware it is, and whether its configuration has a shape that is known."""
    shape = shape_of(config)
    version = shown(info.firmware)
    if shape is None:
        return Finding(
            "Firmware",
            Verdict.FAIL,
            f"{version}, whose configuration has an unknown shape",
            "Servers cannot be set. Please report it, with `vegehub diagnostics`.",
        )
    kept = "a list of servers" if shape == "endpoints" else "one server"
    return Finding("Firmware", Verdict.OK, f"{version}, with {kept}")


def hub_error(info: HubInfo) -> Iterator[Finding]:
    """Report the hub's own error, if it has one."""
    if info.error_code:
        yield Finding(
            "Hub's error",
            Verdict.WARN,
            f"code {info.error_code}",
            "1 is said to mean a low battery; others are unknown.",
        )


def signal(rssi: int | None) -> Finding:
    """Judge the radio link."""
    if rssi is None:
        return Finding("Signal", Verdict.SKIP, "the hub does not say")
    text = f"{rssi} dBm"
    if rssi >= WEAK:
        return Finding("Signal", Verdict.OK, text)
    hint = "Move the hub or an access point closer, or away from metal and wet ground."
    return Finding("Signal", Verdict.WARN if rssi >= TOO_WEAK else Verdict.FAIL, f"{text}, weak", hint)


def battery(info: HubInfo) -> Finding:
    """Judge the battery."""
    if info.is_ac:
        return Finding("Battery", Verdict.SKIP, "none: powered by AC")
    volts = info.battery_volts
    if volts is None:
        return Finding("Battery", Verdict.SKIP, "the hub does not say")
    text = f"{volts:.2f} V"
    if volts >= LOW:
        return Finding("Battery", Verdict.OK, text)
    hint = "Charge or replace the battery, or connect the adapter."
    return Finding("Battery", Verdict.WARN if volts >= TOO_LOW else Verdict.FAIL, f"{text}, low", hint)


def zone(address: str, hub: object, local: timedelta) -> Finding:
    """Compare the hub's offset from UTC with that of this machine."""
    offset = hub.get("utc_offset") if isinstance(hub, dict) else None
    if isinstance(offset, bool) or not isinstance(offset, (int, float)):
        return Finding("Zone", Verdict.SKIP, "the hub does not say")
    here = round(local.total_seconds())
    text = _utc(round(offset))
    if offset == here:
        return Finding("Zone", Verdict.OK, f"{text}, as here")
    return Finding(
        "Zone",
        Verdict.WARN,
        f"{text} on the hub, {_utc(here)} here",
        f"Schedules run at the wrong time of day. `vegehub config set {address} hub.utc_offset={here}` sets it; "
        "daylight saving needs that twice a year.",
    )


def servers(address: str, found: Sequence[Server], unreachable: Mapping[str, str]) -> Iterator[Finding]:
    """Judge each server; ``unreachable`` says of those that this machine cannot connect to why not."""
    active = [server for server in found if server.enabled and server.url]
    if not active:
        hint = f"The hub sends its readings nowhere. `vegehub setup {address} URL` gives it a server."
        yield Finding("Server", Verdict.WARN, "none", hint)
    for server in active:
        name = f"{shown(server.name)}, " if server.name else ""
        text = f"{name}{redact_url(server.url)}"
        if server.kind != CUSTOM:
            yield Finding("Server", Verdict.SKIP, f"{text} (not looked at: of type {shown(server.kind)})")
        elif server.url in unreachable:
            yield Finding(
                "Server",
                Verdict.FAIL,
                f"{text}: {unreachable[server.url]}",
                f"Nothing takes the updates there. Start that server, or `vegehub setup {address} URL`.",
            )
        else:
            yield Finding("Server", Verdict.OK, f"{text} takes connections")


def update_path(seconds: float, url: str) -> Finding:
    """Report that an update came."""
    return Finding("Update path", Verdict.OK, f"an update came to {redact_url(url)} after {seconds:.1f} s")


def no_update_path(err: VegeHubError) -> Finding:
    """Say which link is broken between the hub and a receiver on this machine."""
    text = error_line(err)
    if isinstance(err, VegeHubTimeoutError):
        left = "its servers are as before" if err.outcome is Outcome.NOT_SENT else "it may still be pointed here"
        text = f"the hub was asked for an update, and none came here; {left}"
        hint = (
            "The hub does not reach this machine. Look for a firewall here (it needs a TCP port; fix one with "
            "--port), client isolation of the access point, or another network; --receiver gives another address."
        )
    elif isinstance(err, VegeHubMismatchError):
        hint = "Updates come, but from another hub: look at the addresses of both."
    elif isinstance(err, VegeHubConnectionError):
        hint = "Try again; if it stays so, `vegehub diagnostics` and a report help."
    else:
        hint = "The configuration was not taken."
    return Finding("Update path", Verdict.FAIL, text, hint)


def clock(address: str, hub_time: datetime | None, here: datetime | None) -> Finding:
    """Compare the clock by which the hub dated its update with ours."""
    if hub_time is None or here is None:
        return Finding("Clock", Verdict.SKIP, "not known: it is read from an update")
    if hub_time.year < _NEVER_SET:
        return Finding(
            "Clock",
            Verdict.FAIL,
            f"at {hub_time:%Y-%m-%d}: it was never set",
            f"The hub reaches no time server. `vegehub doctor {address} --set-clock` sets it until the next restart.",
        )
    off = hub_time - here
    if abs(off) <= CLOCK_OFF:
        return Finding("Clock", Verdict.OK, f"within {format_duration(max(abs(off).total_seconds(), 1))} of ours")
    direction = "ahead of" if off > timedelta() else "behind"
    return Finding(
        "Clock",
        Verdict.WARN if abs(off) <= CLOCK_WRONG else Verdict.FAIL,
        f"{format_duration(abs(off).total_seconds())} {direction} ours",
        f"`vegehub doctor {address} --set-clock` sets it. If it comes back, the hub reaches no time server, or the "
        "clock of this machine is wrong.",
    )


def skipped(check: str, why: str) -> Finding:
    """Return the finding for a check that was not made."""
    return Finding(check, Verdict.SKIP, why)


def _utc(seconds: int) -> str:
    minutes = abs(seconds) // 60
    return f"UTC{'-' if seconds < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
