"""The command that runs simulated hubs."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vegehub.simulator import DEFAULT_PROFILE, PROFILES, Simulation
from vegehub.simulator.__main__ import FAULTS, addresses, parse_fault
from vegehub.simulator.mdns import HubAnnouncer
from vegehub.simulator.playback import RecordingError

from . import options  # noqa: TC001 - Typer reads the annotations
from .errors import CommandError, unusable, usage
from .output import Output, table, write_json
from .runner import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vegehub.simulator import SimulatedHub

Fault = tuple[str, list[Any]]


def simulate(
    *,
    profile: Annotated[str, typer.Option(help=f"{', '.join(PROFILES)}.")] = DEFAULT_PROFILE,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Number of hubs.")] = 1,
    recorded: options.PlayDirectory = None,
    host: Annotated[str, typer.Option(help="Address of the first hub.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0: free ports; else this one, each hub on a 127.x.y.z of its own.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Decides MACs, names and voltages.")] = 0,
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=VALUE]", help="Switch a fault on, such as latency=2; repeatable; see --list."),
    ] = None,
    asleep: Annotated[bool, typer.Option("--asleep", help="Begin asleep, as a battery hub mostly is.")] = False,
    mdns: Annotated[bool, typer.Option("--mdns/--no-mdns", help="Announce the hubs on this machine.")] = True,
    show_list: Annotated[bool, typer.Option("--list", help="List profiles and faults, and end.")] = False,
    json: options.Json = False,
) -> None:
    """Run simulated hubs on this machine, in real time, until Ctrl-C.

    With --json one line says where they are, as soon as they are ready.
    """
    output = Output(as_json=json)
    if show_list:
        _show_list(output)
        return
    if profile not in PROFILES:
        raise usage(f"no profile {profile[:40]!r}; there are {', '.join(PROFILES)}")
    if recorded is not None and count != 1:
        raise usage("a recording is played by one hub: leave --count out")
    faults = [_fault(text) for text in fault or ()]

    async def add(simulation: Simulation) -> None:
        try:
            if recorded is not None:
                await simulation.add_recorded_hub(recorded, host, port)
            else:
                for address in addresses(host, port, count):
                    await simulation.add_hub(profile, *address)
        except OSError as err:
            if recorded is not None and err.filename is not None:
                raise unusable(recorded, err) from None
            raise CommandError(f"{host}:{port} cannot be had: {err.strerror or err}") from err
        except RecordingError as err:
            raise usage(f"{recorded}: {err}") from None

    run(_serve(add, seed, faults, output, asleep=asleep, mdns=mdns))


async def _serve(
    add: Callable[[Simulation], Awaitable[None]],
    seed: int,
    faults: list[Fault],
    output: Output,
    *,
    asleep: bool,
    mdns: bool,
) -> None:
    announced = mdns and await _can_announce(output)
    async with Simulation(seed, realtime=True, mdns=announced) as simulation:
        await add(simulation)
        async with output.busy("announcing"):
            await simulation.announced()
        for hub in simulation.hubs:
            for name, values in faults:
                getattr(hub.faults, name)(*values)
            if asleep:
                hub.sleep()
        _show(simulation.hubs, output)
        await asyncio.Event().wait()


async def _can_announce(output: Output) -> bool:
    announcer = HubAnnouncer()
    try:
        await announcer.open()
    except (OSError, ValueError) as err:
        output.say(f"not announced by mDNS: {err}", "yellow")
        return False
    finally:
        await announcer.close()
    return True


def _show(hubs: list[SimulatedHub], output: Output) -> None:
    places = [
        {"host": hub.host, "port": hub.port, "mac": hub.mac, "name": hub.name, "profile": hub.profile.name}
        for hub in hubs
    ]
    if output.as_json:
        write_json({**({"host": hubs[0].host, "port": hubs[0].port} if len(hubs) == 1 else {}), "hubs": places})
        return
    listing = table("Name", "Address", "MAC", "Profile")
    for hub in hubs:
        listing.add_row(hub.name, hub.address, hub.mac, hub.profile.name)
    output.print(listing)
    output.say(f"Try `vegehub info {hubs[0].address}` in another terminal; Ctrl-C ends.", "dim")


def _show_list(output: Output) -> None:
    profiles = {
        name: f"firmware {profile.firmware}, {profile.num_inputs} inputs, {profile.num_actuators} actuators, "
        + ("AC" if profile.is_ac else "sleeps" if profile.power_mode == 0 else "always awake")
        + ("" if profile.serves_http else ", no HTTP API")
        for name, profile in PROFILES.items()
    }
    if output.as_json:
        write_json({"profiles": list(PROFILES), "faults": FAULTS})
        return
    listing = table("Profile", "")
    for name, text in profiles.items():
        listing.add_row(name, text)
    output.print(listing)
    output.print("")
    output.print("Faults: " + ", ".join(FAULTS))


def _fault(text: str) -> Fault:
    try:
        return parse_fault(text)
    except argparse.ArgumentTypeError as err:
        raise usage(f"--fault: {err}") from None
