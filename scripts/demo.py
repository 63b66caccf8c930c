"""The main job, step by step, against simulated hubs: for people to watch. Nothing leaves this machine."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import aiohttp

from vegehub import HubBrowser, UpdateReceiver, VegeHub, VegeHubError, connect_receiver, vh400_transform
from vegehub.simulator import SimulatedHub, Simulation
from vegehub.testing import LeakError, LeakGuard

if TYPE_CHECKING:
    from vegehub import DiscoveredHub

PROFILES = ("gen2-endpoints", "gen2-5.1-battery", "sprinkler-ac")


def step(text: str) -> None:
    """Print the heading of a step."""
    print(f"\n{text}")


def say(text: str) -> None:
    """Print a line of a step."""
    print(f"   {text}")


def check(text: str, *, holds: bool) -> None:
    """Print a line that is shown to be true; the demonstration fails if it is not."""
    if not holds:
        raise SystemExit(f"   NOT TRUE: {text}")
    say(text)


async def find(simulated: list[SimulatedHub]) -> list[DiscoveredHub]:
    """Look for the hubs by mDNS on the loopback interface, where they announce themselves."""
    missing = {hub.name for hub in simulated}
    found = {}
    async with asyncio.timeout(30), HubBrowser(interfaces=["127.0.0.1"]) as browser:
        async for event in browser:
            if event.kind == "added" and event.hub.name in missing:
                missing.remove(event.hub.name)
                found[event.hub.name] = event.hub
                say(f"{event.hub.name}  at {event.hub.address}  firmware {event.hub.firmware}")
            if not missing:
                break
    return [found[hub.name] for hub in simulated]


async def read(hubs: list[VegeHub]) -> None:
    """Read every hub, all at once over the one session."""
    infos = await asyncio.gather(*(hub.get_info() for hub in hubs))
    readings = await asyncio.gather(*(hub.get_readings() for hub in hubs))
    for hub, info, slots in zip(hubs, infos, readings, strict=True):
        volts = ", ".join(f"{slot.latest.value:.3f} V" for slot in slots if slot.latest)
        say(f"{hub.ip_address}  {info.mac}  firmware {info.firmware}  {info.num_actuators} actuators  inputs: {volts}")
    first = readings[0][0].latest
    if first is not None:
        say(f"a VH400 at the first input would say {vh400_transform(first.value):.1f} % of soil moisture")


async def take_a_push(hub: VegeHub) -> None:
    """Point a hub at a receiver on this machine, prove the path by an update, and put its configuration back."""
    before = await hub.list_servers()
    async with UpdateReceiver().serve("127.0.0.1", 0) as receiver:
        connection = await connect_receiver(hub, receiver, name="Demo")
        say(connection.change.summary)
        for reading in connection.update.readings.values():
            if reading.latest is not None:
                say(f"received: slot {reading.slot}, {reading.latest.value:.3f} V, taken at {reading.latest.time_text}")
        await connection.undo()
        check("the hub's servers are again what they were", holds=await hub.list_servers() == before)


async def water(hub: VegeHub, simulated: SimulatedHub) -> None:
    """Open a valve, look at it, and close it; once more with an error in the middle."""
    valve = simulated.actuators[0]
    async with hub.watering(slot=0, duration=timedelta(minutes=5)):
        actuator = (await hub.get_actuators())[0]
        check("inside the block the hub reports it on", holds=actuator.is_on and valve.is_on)
    check("after the block it is off", holds=not valve.is_on)
    try:
        async with hub.watering(slot=0, duration=timedelta(minutes=5)):
            raise RuntimeError("the pump ran dry")  # noqa: TRY301 - the error of a user's program
    except RuntimeError as err:
        check(f"after an error ({err}) it is off", holds=not valve.is_on)
    for command in valve.commands:
        say(f"the hub executed: state {command.state} for {command.duration:g} s")


async def fail(hub: VegeHub, simulated: SimulatedHub) -> None:
    """Talk to a hub that sleeps, and to one that dies before it has replied."""
    simulated.sleep()
    try:
        await hub.turn_on(0, 60)
    except VegeHubError as err:
        say(f"asleep: {type(err).__name__}, the command was {err.outcome.value}")
    simulated.wake()
    simulated.faults.drop_reply(times=1, path="/api/actuators/set")
    try:
        await hub.turn_on(0, 60)
    except VegeHubError as err:
        say(f"died: {type(err).__name__}, what became of the command is {err.outcome.value}")
    await hub.turn_off(0, confirm=True)
    say("turned off, and read back")


async def demonstrate() -> None:
    """Run all steps."""
    step("1. Three simulated hubs start, each on a port of this machine")
    async with Simulation(seed=2025, mdns=True) as simulation, aiohttp.ClientSession() as session:
        simulated = [await simulation.add_hub(profile) for profile in PROFILES]
        for one in simulated:
            say(f"{one.address}  {one.name}  {one.profile.name}")

        step("2. They are found by mDNS")
        hubs = [VegeHub.from_discovery(found, session=session) for found in await find(simulated)]

        step("3. They are read, all at once, over one session")
        await read(hubs)

        step("4. The first is pointed at a receiver on this machine, and sends its readings there")
        await take_a_push(hubs[0])

        step("5. A valve is opened and closed")
        await water(hubs[0], simulated[0])

        step("6. Things go wrong")
        async with VegeHub(simulated[1].address, timeout=1) as own:
            await fail(own, simulated[1])
            say(f"this one had a session of its own: {own.counters}")

        step("7. What the hubs saw")
        for one in simulated:
            say(f"{one.address}  requests: {len(one.requests)}, connections: {one.connections_accepted}")


async def main() -> int:
    """Run the demonstration under the leak guard; the exit code is 1 if anything was left open."""
    try:
        async with LeakGuard():
            await demonstrate()
    except LeakError as err:
        print(f"\n{err}")
        return 1
    step("Nothing leaked: every session, connection, task and socket was closed, and no warning was given.")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
