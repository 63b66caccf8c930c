"""Simulated hubs that announce themselves by real mDNS over the loopback: with their power, address and configuration."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from on_air import LOOPBACK, Observer, nothing_is_left, observing, open_here, own_service_type, sockets, unused_name
from raw_hub import turn_the_loop, until
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from vegehub.simulator import PowerState, SimulatedHub, Simulation, mdns, probing
from vegehub.simulator.mdns import HubAnnouncer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# What no test is about need not take the second that asking for the name takes.
QUICK: dict[str, Any] = {"mdns": True, "mdns_probes": False}
BATTERY = "gen2-5.1-battery"


@pytest.fixture(autouse=True)
def service_type(monkeypatch: pytest.MonkeyPatch) -> str:
    return own_service_type(monkeypatch, mdns)


@pytest.fixture
async def observer(service_type: str) -> AsyncIterator[Observer]:
    async with observing(service_type) as observer:
        yield observer


def simulated(*arguments: Any, name: str = "", **options: Any) -> SimulatedHub:
    """A hub with a name of its own: names of hosts are common to all tests that run on this machine."""
    hub = SimulatedHub(*arguments, **options)
    hub.config["hub"]["name"] = name or unused_name()
    return hub


async def is_answered(observer: Observer, name: str) -> bool:
    async with simulated(**QUICK) as beside:  # hubs of one loop share a responder
        await beside.announced()
        return await observer.is_answered(name, beside=beside.name)


async def answers(host: str, port: int) -> str:
    url = f"http://{host}:{port}/api/info/get"
    async with aiohttp.ClientSession() as session, session.post(url, json={"wifi": []}) as response:
        return str((await response.json())["wifi"]["mac_addr"]).replace(":", "")


def properties(info: AsyncServiceInfo) -> dict[str, str]:
    return {key.decode(): (value or b"").decode() for key, value in info.properties.items()}


# --- what is announced


async def test_an_announced_hub_has_the_name_place_and_txt_of_a_real_one(observer: Observer) -> None:
    async with simulated("gen2-5.1-logger", "127.0.21.1", mdns=True) as hub:
        assert hub.mdns_name is None
        await hub.announced()
        assert hub.mdns_name == hub.name
        info = await observer.remembered(hub.name, lambda info: info.port == hub.port)
        assert (info.server, info.parsed_addresses()) == (f"{hub.name}.local.", ["127.0.21.1"])
        assert json.dumps(properties(info)) == json.dumps(
            {
                "version": "5.1.2",
                "type": "hub",
                "receiver": "/api/vsens/data_in",
                "sensors": "1",
                "actuators": "0",
                "sens_1": "Sensor1",
                "power_mode": "0",
            }
        )


async def test_without_mdns_nothing_is_announced_and_zeroconf_is_not_even_loaded() -> None:
    code = (
        "import asyncio, sys\n"
        "from vegehub.simulator import SimulatedHub\n"
        "async def main():\n"
        "    async with SimulatedHub() as hub:\n"
        "        await hub.announced()\n"
        "        print(hub.mdns_name, 'zeroconf' in sys.modules)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
    assert (await process.communicate())[0].split() == [b"None", b"False"]


async def test_firmware_that_is_too_old_for_mdns_stays_silent(observer: Observer) -> None:
    async with simulated("gen1-3.9", **QUICK) as hub:
        await hub.announced()
        assert hub.mdns_name is None
        assert not await is_answered(observer, hub.name)


async def test_actuators_are_named_only_by_a_profile_that_does_so(observer: Observer) -> None:
    async with simulated(mdns_actuator_names=True, **QUICK) as hub:
        hub.config["actuators"][1]["name"] = "Back garden " * 9
        await hub.announced()
        hub.wake()
        await hub.announced()
        txt = properties(await observer.ask(hub.name))
        assert (txt["act_1"], txt["act_2"]) == ("Actuator1", ("Back garden " * 9)[:32])


@pytest.mark.parametrize("actuators", [None, "none", [None, "x"]])
async def test_actuators_of_another_shape_have_no_names(observer: Observer, actuators: Any) -> None:
    async with simulated(mdns_actuator_names=True, **QUICK) as hub:
        hub.config["actuators"] = actuators
        hub.wake()
        await hub.announced()
        assert "act_1" not in properties(await observer.ask(hub.name))


async def test_a_name_is_made_fit_for_a_host(observer: Observer) -> None:
    async with simulated(**QUICK) as hub:
        name = f"{os.getpid()} Glass house.1\x1b" + "x" * 80
        hub.config["hub"]["name"] = name
        hub.wake()
        await hub.announced()
        assert hub.mdns_name == (f"{os.getpid()}_Glass_house_1_" + "x" * 80)[:59]


async def test_a_hub_that_listens_everywhere_is_announced_where_it_is_heard(
    observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with simulated(host="127.0.21.2", **QUICK) as hub:
        await hub.announced()
        # Listening on every interface for real would open the hub to the network.
        with monkeypatch.context() as patch:
            patch.setattr(hub._server.listener, "host", "0.0.0.0")
            hub.wake()
            await hub.announced()
        info = await observer.ask(hub.name)
        assert info.parsed_addresses() == ["127.0.0.1"]


# --- names


async def test_a_name_that_another_machine_has_gets_a_number(observer: Observer) -> None:
    async with HubAnnouncer() as other:
        taken = unused_name()
        await other.announce(taken, "127.0.21.9", 81, probe=False)
        async with simulated(name=taken, mdns=True) as hub:
            await hub.announced()
            assert (hub.name, hub.mdns_name) == (taken, f"{taken}-2")
            info = await observer.ask(f"{taken}-2")
            assert (info.port, info.server) == (hub.port, f"{taken}-2.local.")


async def test_of_two_machines_that_ask_for_a_name_at_once_the_slower_one_gives_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts = [60_000.0, 0.0, 0.0]
    monkeypatch.setattr("vegehub.simulator.probing.random.uniform", lambda *_: starts.pop(0))
    async with HubAnnouncer() as other, simulated(mdns=True) as hub:
        await until(lambda: len(starts) == 2)
        announcement = await other.announce(hub.name, "127.0.21.9", 81)
        await hub.announced()
        assert (announcement.name, hub.mdns_name) == (hub.name, f"{hub.name}-2")


@pytest.mark.parametrize("where", ["port", "address", "host"])
async def test_a_name_is_taken_by_whoever_is_somewhere_else_under_it(where: str, service_type: str) -> None:
    async with simulated(host="127.0.21.1", mdns=True) as hub:
        await hub.power_off()
        other = AsyncZeroconf(interfaces=LOOPBACK)
        info = AsyncServiceInfo(
            service_type,
            f"{hub.name}.{service_type}",
            parsed_addresses=["127.0.21.9" if where == "address" else "127.0.21.1"],
            port=(hub.port - 1) if where == "port" else hub.port,
            server="elsewhere.local." if where == "host" else f"{hub.name}.local.",
        )
        await (await other.async_register_service(info, cooperating_responders=True))
        await hub.power_on()
        assert hub.mdns_name == f"{hub.name}-2"
        await other.async_close()
        await asyncio.sleep(0)


async def test_a_hub_that_moved_takes_its_own_old_announcement_for_no_conflict() -> None:
    async with simulated(BATTERY, "127.0.22.1", mdns=True) as hub:
        await hub.announced()
        hub.sleep()
        await hub.move_to("127.0.22.2")
        hub.wake()
        await hub.announced()
        assert hub.mdns_name == hub.name


async def test_a_name_that_was_just_given_up_is_free() -> None:
    async with HubAnnouncer() as other:
        name = unused_name()
        await other.announce(name, "127.0.21.9", 81, probe=False)
    async with simulated(name=name, mdns=True) as hub:
        await hub.announced()
        assert hub.mdns_name == hub.name


async def test_a_name_is_asked_for_where_nobody_has_said_it_lately() -> None:
    async with HubAnnouncer() as other:
        announcement = await other.announce(unused_name(), "127.0.21.9", 81, probe=False)
        await announcement.settled()
        async with simulated(name=announcement.name, mdns=True) as hub:
            await hub.announced()
            assert hub.mdns_name == f"{announcement.name}-2"


async def test_a_name_that_is_only_remembered_is_free(observer: Observer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with simulated(**QUICK) as witness:
        await witness.announced()
        other = HubAnnouncer()
        announcement = await other.announce(unused_name(), "127.0.21.9", 81, probe=False)
        await announcement.settled()
        await other.close(goodbye=False)
        assert witness._beacon._announcement is not None
        await observer.caught_up(witness._beacon._announcement._announcer.zeroconf)
        assert probing._JUST_NOW_MS == 2000
        monkeypatch.setattr(probing, "_JUST_NOW_MS", -1)  # as when that was longer ago
        async with simulated(name=announcement.name, mdns=True) as hub:
            await hub.announced()
            assert hub.mdns_name == hub.name


async def test_two_hubs_with_one_name_never_share_it() -> None:
    first = simulated(host="127.0.21.1", **QUICK)
    async with first, simulated(host="127.0.21.2", name=first.name, **QUICK) as second:
        await asyncio.gather(first.announced(), second.announced())
        assert {first.mdns_name, second.mdns_name} == {first.name, f"{first.name}-2"}


async def test_a_hub_that_is_renamed_is_announced_under_its_new_name_alone(observer: Observer) -> None:
    async with simulated(**QUICK) as hub:
        before = hub.name
        await observer.until(("Added", before))
        settings = {"hub": {**hub.config["hub"], "name": f"Desk Temp {os.getpid()}", "power_mode": 0}}
        url = f"http://{hub.address}/api/config/set"
        async with aiohttp.ClientSession() as session, session.post(url, json=settings) as response:
            await response.read()
        await observer.until(("Removed", before), ("Added", f"Desk_Temp_{os.getpid()}"))
        assert hub.mdns_name == f"Desk_Temp_{os.getpid()}"
        assert properties(await observer.ask(f"Desk_Temp_{os.getpid()}"))["power_mode"] == "0"


async def test_a_hub_that_is_renamed_while_it_asks_for_its_name_takes_the_new_one(observer: Observer) -> None:
    async with simulated(mdns=True) as hub:
        await turn_the_loop()
        assert hub.mdns_name is None
        before = hub.name
        hub.config["hub"]["name"] = after = unused_name()
        hub.config_changed()
        await hub.announced()
        assert hub.mdns_name == after
        assert await observer.ask(after)
        assert not await is_answered(observer, before)


# --- power


async def test_a_sleeping_hub_is_silent_and_announces_itself_when_it_wakes(
    observer: Observer, service_type: str
) -> None:
    async with simulated(BATTERY, **QUICK) as hub:
        await observer.until(("Added", hub.name))
        assert await is_answered(observer, hub.name)
        hub.sleep()
        assert not await is_answered(observer, hub.name)
        async with observing(service_type, silently=True) as listener:
            hub.wake()
            await hub.announced()
            await listener.remembered(hub.name)
        assert ("Removed", hub.name) not in observer.heard


async def test_a_hub_that_wakes_to_report_is_heard_before_a_stepped_clock_sends_it_back_to_sleep(
    observer: Observer,
) -> None:
    async with simulated(BATTERY, mdns=True) as hub:
        hub.point_at("http://127.0.0.1:9/hook")
        await hub.advance(500)
        assert hub.state is PowerState.ASLEEP
        await observer.caught_up()
        observer.forget(hub.name)
        states: list[PowerState] = []
        hub.on_power(states.append)
        await hub.advance(500)
        assert states == [PowerState.AWAKE, PowerState.ASLEEP]
        await observer.remembered(hub.name, lambda info: info.port == hub.port)


async def test_the_button_makes_a_hub_that_is_awake_announce_itself_again(service_type: str) -> None:
    async with simulated(**QUICK) as hub:
        await hub.announced()
        announcement = hub._beacon._announcement
        assert announcement is not None
        await announcement.settled()
        async with observing(service_type, silently=True) as listener:
            assert listener.knows(hub.name) is None
            hub.wake()
            await listener.remembered(hub.name)


async def test_a_hub_that_is_switched_off_says_goodbye_and_comes_back_with_its_power(
    observer: Observer, service_type: str
) -> None:
    async with simulated(**QUICK) as hub:
        await observer.until(("Added", hub.name))
        await hub.power_off()
        await observer.until(("Removed", hub.name))
        async with observing(service_type, silently=True) as listener:
            await hub.power_on()
            await listener.remembered(hub.name)
        assert hub.mdns_name == hub.name


async def test_a_hub_whose_power_is_cut_says_nothing(observer: Observer) -> None:
    async with simulated(**QUICK) as hub:
        await observer.until(("Added", hub.name))
        await hub.power_off(goodbye=False)
        assert not await is_answered(observer, hub.name)
        assert ("Removed", hub.name) not in observer.heard


async def test_a_sleeper_that_is_switched_off_says_nothing(observer: Observer) -> None:
    async with simulated(BATTERY, **QUICK) as hub:
        await observer.until(("Added", hub.name))
        hub.sleep()
        await hub.power_off()
        assert not await is_answered(observer, hub.name)
        assert ("Removed", hub.name) not in observer.heard


async def test_a_reboot_asks_for_the_name_anew() -> None:
    async with simulated(mdns=True) as hub:
        await hub.announced()
        name = hub.name
        async with HubAnnouncer() as other:
            # A machine without manners, which the hub gives way to as soon as it asks.
            await other.announce(name, "127.0.21.9", 81, probe=False)
            await hub.reboot()
            assert hub.mdns_name == f"{name}-2"


async def test_a_hub_that_stops_says_goodbye_and_may_start_again(observer: Observer, service_type: str) -> None:
    hub = simulated(**QUICK)
    await hub.start()
    await observer.until(("Added", hub.name))
    await hub.stop()
    await observer.until(("Removed", hub.name))
    assert hub.mdns_name == hub.name
    async with observing(service_type, silently=True) as listener:
        await hub.start()
        await listener.remembered(hub.name)
        await hub.stop()


# --- another address


async def test_a_hub_that_moves_is_announced_and_reached_at_its_new_address(observer: Observer) -> None:
    async with simulated(host="127.0.22.1", **QUICK) as hub:
        await hub.announced()
        await hub.move_to("127.0.22.2")
        assert (hub.host, hub.config["hub"]["current_ip_addr"]) == ("127.0.22.2", "127.0.22.2")
        assert await answers("127.0.22.2", hub.port) == hub.mac
        await observer.remembered(hub.name, lambda info: info.parsed_addresses()[0] == "127.0.22.2")
        assert hub.mdns_name == hub.name


async def test_another_hub_may_take_the_address_that_was_left() -> None:
    async with Simulation(3) as simulation:
        first = await simulation.add_hub(host="127.0.22.1")
        second = await simulation.add_hub(host="127.0.22.2")
        host, port = first.host, first.port
        await first.move_to("127.0.22.3")
        await second.move_to(host, port)
        assert await answers(host, port) == second.mac
        assert await answers(first.host, first.port) == first.mac


async def test_connections_to_the_old_address_are_lost() -> None:
    async with simulated(host="127.0.22.1") as hub, aiohttp.ClientSession() as session:
        async with session.get(f"http://{hub.address}/api/actuators/status") as response:
            await response.read()
        assert hub.open_connections == 1
        old = hub.address
        await hub.move_to("127.0.22.2")
        assert hub.open_connections == 0
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"http://{old}/api/actuators/status")


async def test_a_sleeper_that_gets_another_address_wakes_there(observer: Observer) -> None:
    async with simulated(BATTERY, "127.0.22.1", **QUICK) as hub:
        await observer.until(("Added", hub.name))
        hub.sleep()
        await hub.move_to("127.0.22.2")
        assert not await is_answered(observer, hub.name)
        hub.wake()
        await hub.announced()
        assert await answers("127.0.22.2", hub.port) == hub.mac
        # One that was heard less than a second before is not forgotten.
        await observer.remembered(hub.name, lambda info: info.parsed_addresses()[0] == "127.0.22.2")


@pytest.mark.parametrize("refuse", [True, False])
async def test_a_hub_that_moves_meets_connections_as_it_did_before(refuse: bool) -> None:
    async with simulated(host="127.0.22.1") as hub, aiohttp.ClientSession() as session:
        hub.sleep(refuse=refuse)
        await hub.move_to("127.0.22.2")
        timeout = aiohttp.ClientTimeout(total=0.3)
        with pytest.raises(aiohttp.ClientConnectorError if refuse else TimeoutError):
            await session.get(f"http://{hub.address}/api/actuators/status", timeout=timeout)


async def test_a_hub_stays_where_it_was_if_the_new_address_is_taken() -> None:
    async with simulated(host="127.0.22.1") as hub, simulated(host="127.0.22.2", seed=1) as other:
        before, open_sockets = hub.address, sockets()
        with pytest.raises(OSError, match="in use"):
            await hub.move_to(other.host, other.port)
        assert (hub.address, sockets()) == (before, open_sockets)
        assert await answers(hub.host, hub.port) == hub.mac


async def test_an_address_that_is_taken_between_two_steps_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    async with simulated(host="127.0.22.1") as hub:
        before, open_sockets = hub.address, sockets()

        def fail(*_: object) -> None:
            raise OSError("address in use")

        with monkeypatch.context() as patch:
            patch.setattr("vegehub.simulator.listener.Listener._listen", fail)
            with pytest.raises(OSError, match="in use"):
                await hub.move_to("127.0.22.2")
        assert (hub.address, sockets()) == (before, open_sockets)


async def test_a_move_to_where_it_is_loses_nothing() -> None:
    async with simulated(host="127.0.22.1") as hub, aiohttp.ClientSession() as session:
        async with session.get(f"http://{hub.address}/api/actuators/status") as response:
            await response.read()
        await hub.move_to(hub.host, hub.port)
        assert hub.open_connections == 1


async def test_a_configuration_that_tells_no_address_is_not_given_one() -> None:
    async with simulated(host="127.0.22.1") as hub:
        del hub.config["hub"]["current_ip_addr"]
        await hub.move_to("127.0.22.2")
        assert "current_ip_addr" not in hub.config["hub"]


async def test_a_hub_that_does_not_run_cannot_move() -> None:
    with pytest.raises(RuntimeError, match="only a simulated hub that runs"):
        await simulated().move_to("127.0.22.2")


# --- many hubs, and what they leave


async def test_twenty_hubs_ask_for_their_names_at_once_over_two_sockets(observer: Observer) -> None:
    before = sockets()
    async with Simulation(os.getpid(), mdns=True) as simulation:
        hubs = [await simulation.add_hub(host=f"127.0.23.{number}") for number in range(1, 21)]
        assert sockets() - before == 20 + 2
        await simulation.announced()
        names = [hub.mdns_name or "" for hub in hubs]
        assert len({*names}) == 20
        await observer.until(*(("Added", name) for name in names))
    await observer.until(*(("Removed", name) for name in names))
    assert sockets() == before


async def test_hubs_on_their_own_share_a_responder_until_the_last_one_stops(observer: Observer) -> None:
    before = open_here()
    async with simulated(seed=1, **QUICK) as first:
        async with simulated(seed=2, **QUICK):
            assert len(open_here()[0] - before[0]) == 2 + 2
        await first.announced()
        assert await observer.ask(first.name)
    await nothing_is_left(before)


async def test_one_hub_of_a_simulation_can_stay_silent(observer: Observer) -> None:
    async with Simulation(os.getpid(), interfaces=["127.0.0.1"]) as simulation:
        heard = await simulation.add_hub(mdns_probes=False)
        silent = await simulation.add_hub(mdns=False)
        await simulation.announced()
        await observer.until(("Added", heard.mdns_name or ""))
        assert silent.mdns_name is None


async def test_stopping_in_the_middle_of_the_announcement_leaves_nothing() -> None:
    before = open_here()
    hub = simulated(mdns=True)
    await hub.start()
    await hub.stop()
    await hub.announced()
    assert hub.mdns_name is None
    await nothing_is_left(before)


async def test_a_first_announcement_leaves_no_thread() -> None:
    code = (
        "import asyncio, threading\n"
        "from vegehub.simulator import SimulatedHub, mdns\n"
        f"mdns.SERVICE_TYPE = {mdns.SERVICE_TYPE!r}\n"
        "async def main():\n"
        "    async with SimulatedHub(mdns=True, mdns_probes=False) as hub:\n"
        "        await hub.announced()\n"
        "    while threading.active_count() > 1:\n"
        "        await asyncio.sleep(0.001)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
    assert await process.communicate() == (b"", None)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("interfaces", "error"),
    [(["192.0.2.1"], OSError), (["2001:db8::1"], OSError), (["nowhere"], ValueError)],
)
async def test_an_interface_that_cannot_be_used_is_an_error_and_leaves_nothing(
    interfaces: list[str], error: type[Exception], forbidden_traffic: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sockets()
    hub = simulated(interfaces=interfaces)
    if ":" in interfaces[0]:

        def refuse(*_: object) -> None:
            raise OSError(99, "Cannot assign requested address")

        # The guard of these tests lets nobody try.
        monkeypatch.setattr("vegehub.simulator.mdns.socket.socket.bind", refuse)
    with pytest.raises(error, match=interfaces[0]):
        await hub.start()
    monkeypatch.undo()
    assert sockets() == before
    async with simulated(**QUICK) as works:
        await works.announced()
        assert works.mdns_name


@pytest.mark.parametrize("interfaces", ["127.0.0.1", []])
def test_interfaces_are_a_list(interfaces: Any) -> None:
    with pytest.raises(ValueError, match="list of addresses"):
        simulated(interfaces=interfaces)
    with pytest.raises(ValueError, match="list of addresses"):
        HubAnnouncer(interfaces)


@pytest.mark.leaks_on_purpose  # the exception handler is the guard's
async def test_an_announcement_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    monkeypatch.setattr(mdns, "SERVICE_TYPE", "not a service type")
    async with simulated(**QUICK) as hub:
        await hub.announced()
        await asyncio.sleep(0)
        assert [report["message"] for report in reports] == ["a simulated hub could not announce itself"]
        assert hub.mdns_name is None


# --- the command line


async def test_the_command_line_says_under_which_name_a_hub_is_announced() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vegehub.simulator", "--interface", "127.0.0.1", "--seed", str(os.getpid()),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(60):
        (place,) = json.loads(await process.stdout.readline())["hubs"]
    assert place["mdns_name"].startswith(place["name"])
    process.terminate()
    async with asyncio.timeout(60):
        assert await process.communicate() == (b"", b"")
