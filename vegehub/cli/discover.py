"""The command that finds hubs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

import vegehub
from vegehub.exceptions import VegeHubError, VegeHubTimeoutError
from vegehub.finding.discovery import NOTHING_FOUND
from vegehub.finding.discovery import discover as find

from . import options  # noqa: TC001 - Typer reads the annotations
from .errors import NOT_REACHED, CommandError, unusable
from .output import Output, shown, table
from .runner import run

if TYPE_CHECKING:
    from pathlib import Path

    from vegehub.wire import DiscoveredHub


def discover(
    *,
    timeout: options.Listening = 5.0,
    expect: Annotated[int | None, typer.Option(min=1, help="End as soon as so many were found.")] = None,
    interface: options.Interface = "",
    save: options.SaveRegistry = None,
    json: options.Json = False,
) -> int:
    """Find the hubs that announce themselves.

    What is found is what was announced: a battery hub stays announced for a while after it has fallen asleep.
    """
    output = Output(as_json=json)
    hubs = run(_search(output, timeout, expect, interface))
    output.show([_document(hub) for hub in hubs], _listing(hubs))
    if save is not None and hubs:
        run(_save(hubs, save, output))
    if not hubs:
        raise CommandError(f"no hub announced itself within {timeout:g} s. {NOTHING_FOUND}", NOT_REACHED)
    return 0


async def _search(output: Output, timeout: float, expect: int | None, interface: str) -> list[DiscoveredHub]:
    async with output.busy("listening for hubs"):
        try:
            return await find(timeout, interfaces=[interface] if interface else None, expect=expect)
        except VegeHubTimeoutError as err:
            raise CommandError(str(err), NOT_REACHED) from err


def _document(hub: DiscoveredHub) -> dict[str, Any]:
    return {
        "name": hub.name,
        "address": hub.address,
        "host": hub.host,
        "addresses": list(hub.addresses),
        "port": hub.port,
        "firmware": hub.firmware,
        "num_sensors": hub.num_sensors,
        "num_actuators": hub.num_actuators,
        "power_mode": hub.power_mode,
    }


def _listing(hubs: list[DiscoveredHub]) -> Any:
    if not hubs:
        return ""
    listing = table("Name", "Address", "Firmware", "Sensors", "Actuators", right=("Sensors", "Actuators"))
    for hub in hubs:
        listing.add_row(
            shown(hub.name), hub.address, shown(hub.firmware), shown(hub.num_sensors), shown(hub.num_actuators)
        )
    return listing


async def _save(hubs: list[DiscoveredHub], path: Path, output: Output) -> None:
    """Add the hubs to a registry, with their MACs, by which they are known again at another address."""
    from vegehub.fleet.registry import Registry  # noqa: PLC0415 - loads voluptuous, only to save

    try:
        registry = await Registry.async_load(path)
    except FileNotFoundError:
        registry = Registry()
    except (OSError, ValueError) as err:
        raise unusable(path, err) from None
    before = len(registry)
    async with output.busy("asking the hubs for their MACs"):
        macs = await asyncio.gather(*(_mac(hub.address) for hub in hubs))
    for hub, mac in zip(hubs, macs, strict=True):
        record = registry.get_or_add(hub.address, mac=mac, name=hub.name, firmware=hub.firmware)
        registry.update(record.id, address=hub.address, name=hub.name, firmware=hub.firmware)
    await registry.async_save(path)
    output.say(f"{path}: {len(registry)} hubs, {len(registry) - before} of them new", "dim")


async def _mac(address: str) -> str:
    async with vegehub.VegeHub(address) as hub:
        with suppress(VegeHubError):  # asleep, perhaps: it is saved all the same
            await hub.retrieve_mac_address()
        return hub.mac_address
