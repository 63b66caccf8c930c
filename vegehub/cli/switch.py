"""The commands that switch an actuator at once: on, off."""

from __future__ import annotations

import asyncio

from . import options
from .durations import format_duration
from .output import Output
from .runner import run
from .target import opened


def on(
    arguments: options.HostAndSlot,
    *,
    duration: options.OnFor,
    confirm: options.Confirm = True,
    mac: options.Mac = "",
    timeout: options.Timeout = 10.0,
    json: options.Json = False,
) -> None:
    """Switch an actuator on, for a limited time.

    The hub's own timer switches it off; the command does not wait for that, and leaves the valve open when it is
    interrupted while it reads the state back. `vegehub water` waits, and closes the valve when it is interrupted.
    """
    output = Output(as_json=json)
    host, (text,) = options.with_host(arguments, "SLOT")
    slot = options.slot(text)

    async def switch() -> tuple[str, str]:
        async with opened(host, output, timeout=timeout, mac=mac) as hub:
            await hub.get_info()  # from here on, what is written is proved to reach this very hub
            try:
                await hub.turn_on(slot, duration, confirm=confirm)
            except asyncio.CancelledError as err:
                err.add_note(
                    f"actuator {slot} may be on, for {format_duration(duration)} at most; "
                    f"`vegehub off {hub.ip_address} {slot}` closes it"
                )
                raise
            return hub.ip_address, hub.mac_address

    address, found = run(switch())
    output.show(
        {"host": address, "mac": found, "slot": slot, "is_on": True, "seconds": duration, "confirmed": confirm},
        f"{address}: actuator {slot} is on for {format_duration(duration)}"
        + ("" if confirm else " (the hub took the command; not read back)"),
    )


def off(
    arguments: options.HostAndSlot,
    *,
    hold: options.Hold = 0.0,
    confirm: options.Confirm = True,
    mac: options.Mac = "",
    timeout: options.Timeout = 10.0,
    json: options.Json = False,
) -> None:
    """Switch an actuator off."""
    output = Output(as_json=json)
    host, (text,) = options.with_host(arguments, "SLOT")
    slot = options.slot(text)

    async def switch() -> tuple[str, str]:
        async with opened(host, output, timeout=timeout, mac=mac) as hub:
            await hub.get_info()
            await hub.turn_off(slot, hold, confirm=confirm)
            return hub.ip_address, hub.mac_address

    address, found = run(switch())
    output.show(
        {"host": address, "mac": found, "slot": slot, "is_on": False, "hold_seconds": hold, "confirmed": confirm},
        f"{address}: actuator {slot} is off"
        + (f", and the hub's schedule is held off for {format_duration(hold)}" if hold else "")
        + ("" if confirm else " (the hub took the command; not read back)"),
    )
