"""The command for all hubs of a saved registry."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from vegehub.exceptions import VegeHubError

from . import options  # noqa: TC001 - Typer reads the annotations
from .errors import FAILED, OK, CommandError, error_document, error_line, unusable
from .output import Output, iso, shown, table
from .read import info_document, reading_documents
from .runner import run as run_async

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from vegehub.fleet.registry import HubRecord
    from vegehub.vegehub import VegeHub


class Action(StrEnum):
    """What is done with each hub."""

    INFO = "info"
    READINGS = "readings"
    ACTUATORS = "actuators"
    UPDATE = "update"
    CLOCK = "clock"


def run(
    file: options.Registry,
    action: Annotated[
        Action,
        typer.Argument(help="info, readings, actuators; update: send one now; clock: set it to this machine's."),
    ],
    *,
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="Hubs at once.")] = 32,
    json: options.Json = False,
) -> int:
    """Ask or tell all hubs of a saved registry at once; exit code 1 if one of them failed."""
    output = Output(as_json=json)
    records, results = run_async(_run(file, _action(action, output), output, concurrency))
    listing = table("Hub", "Address", "Result")
    documents = {}
    for record in records:
        result = results.get(record.id)
        if result is None:
            documents[record.id] = {"address": record.address, "suspended": True}
            listing.add_row(shown(record.id), record.address, "suspended")
        elif isinstance(result, BaseException):
            documents[record.id] = {"address": record.address, **error_document(result)}
            listing.add_row(shown(record.id), record.address, error_line(result).removeprefix(f"{record.address}: "))
        else:
            document, text = result
            documents[record.id] = {"address": record.address, "result": document}
            listing.add_row(shown(record.id), record.address, text)
    output.show({"action": action.value, "hubs": documents}, listing)
    failed = sum(isinstance(result, BaseException) for result in results.values())
    if failed:
        output.say(f"{failed} of {len(results)} hubs failed", "red")
    return FAILED if failed else OK


async def _run(
    path: Path, func: Callable[[VegeHub], Awaitable[tuple[Any, str]]], output: Output, concurrency: int
) -> tuple[tuple[HubRecord, ...], dict[str, Any]]:
    from vegehub.fleet.manager import HubManager  # noqa: PLC0415 - loads the whole library, which --help does not need
    from vegehub.fleet.registry import Registry  # noqa: PLC0415 - loads voluptuous

    try:
        registry = await Registry.async_load(path)
    except (OSError, ValueError) as err:
        raise unusable(path, err) from None
    if not len(registry):
        raise CommandError(f"{path}: there is no hub in it")
    bar = Progress(
        TextColumn("asking"),
        BarColumn(),
        MofNCompleteColumn(),
        console=output.err,
        disable=not output.is_live,
        transient=True,
    )
    async with HubManager(registry=registry, follow=False) as manager:
        with bar:
            task = bar.add_task("", total=len(registry))
            results = await manager.run(
                func, lambda done, total: bar.update(task, completed=done, total=total), concurrency
            )
    for result in results.values():
        if isinstance(result, BaseException) and not isinstance(result, VegeHubError):
            raise result
    return registry.list(), results


def _action(action: Action, output: Output) -> Callable[[VegeHub], Awaitable[tuple[Any, str]]]:
    async def info(hub: VegeHub) -> tuple[Any, str]:
        found = await hub.get_info()
        supply = "AC" if found.is_ac else "" if found.battery_volts is None else f"{found.battery_volts:.2f} V"
        signal = "" if found.wifi.rssi is None else f"{found.wifi.rssi} dBm"
        text = ", ".join(part for part in (f"firmware {shown(found.firmware)}", supply, signal) if part)
        return info_document(hub.ip_address, found, output), text

    async def readings(hub: VegeHub) -> tuple[Any, str]:
        rows = reading_documents(await hub.get_readings(), {})
        return rows, "  ".join(f"{row['slot']}: {row['volts']:.3f} V" for row in rows)

    async def actuators(hub: VegeHub) -> tuple[Any, str]:
        found = await hub.get_actuators() if (await hub.get_info()).num_actuators != 0 else ()
        rows = [
            {"slot": actuator.slot, "is_on": actuator.is_on, "last_run": iso(actuator.last_run)} for actuator in found
        ]
        return rows, "  ".join(f"{row['slot']}: {'on' if row['is_on'] else 'off'}" for row in rows) or "none"

    async def update(hub: VegeHub) -> tuple[Any, str]:
        return await hub.request_update(), "it sends an update"

    async def clock(hub: VegeHub) -> tuple[Any, str]:
        await hub.get_info()
        await hub.set_time()
        return True, "its clock is set"

    actions = {
        Action.INFO: info,
        Action.READINGS: readings,
        Action.ACTUATORS: actuators,
        Action.UPDATE: update,
        Action.CLOCK: clock,
    }
    return actions[action]
