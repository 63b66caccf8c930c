"""Which hub is meant: bound when a call begins, never replaced by what a stranger says, one key for all spellings."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from faults.scripted import CONFIG_GET, CONFIG_SET, INFO, executed, meet
from raw_hub import RawHub, raw_hub, reply, until

from vegehub import Outcome, PendingQueue, VegeHub, VegeHubError, VegeHubMismatchError, VegeHubValueError
from vegehub.simulator import SimulatedHub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

URL = "http://127.0.0.1:9/hook"
MAC = "7C9EBD112233"
TWO = {"num_actuators": 2, "num_channels": 4}


@pytest.fixture
async def stranger() -> AsyncIterator[SimulatedHub]:
    """Another hub, with more actuators than ours, at the address of ours."""
    async with SimulatedHub("sprinkler-ac", seed=7) as hub:
        yield hub


async def water(hub: VegeHub, slot: int) -> None:
    async with hub.watering(slot, 60):
        pass


async def queued(hub: VegeHub, slot: int) -> None:
    async with PendingQueue(hub, send_delay=0) as queue:
        queue.notify_awake()
        await queue.turn_on(slot, 60, expires_in=0.3)


# All that reads who answers, or could: whatever a stranger says to it, the guard stands.
MEETS_THE_STRANGER: dict[str, Callable[[VegeHub], Awaitable[Any]]] = {
    "turn_on beyond the known slots": lambda hub: hub.turn_on(2, 60),
    "turn_off beyond the known slots": lambda hub: hub.turn_off(2),
    "set_actuator beyond the known slots": lambda hub: hub.set_actuator(1, 2, 60),
    "watering beyond the known slots": lambda hub: water(hub, 2),
    "queued beyond the known slots": lambda hub: queued(hub, 2),
    "get_info": lambda hub: hub.get_info(),
    "setup": lambda hub: hub.setup("", URL),
    "diagnostics": lambda hub: hub.diagnostics(),
    "backup_config": lambda hub: hub.backup_config(),
    "configure_server": lambda hub: hub.configure_server(URL),
    "_get_device_info": lambda hub: hub._get_device_info(),
}


@pytest.mark.parametrize("call", MEETS_THE_STRANGER)
async def test_no_call_takes_over_the_mac_of_a_stranger(stranger: SimulatedHub, call: str) -> None:
    async with VegeHub(stranger.address, MAC, info=TWO) as hub:
        (result,) = await asyncio.gather(MEETS_THE_STRANGER[call](hub), return_exceptions=True)
        if isinstance(result, Exception):
            assert isinstance(result, VegeHubError)
            assert result.outcome is Outcome.NOT_SENT
        assert hub.mac_address == MAC
        # The established setup writes, and then shows, what is at the address.
        assert hub.num_actuators == (4 if call == "setup" else 2)
        with pytest.raises(VegeHubMismatchError) as caught:
            await hub.turn_on(0, 60)
        assert (caught.value.expected, caught.value.found) == (MAC, stranger.mac)
    assert [actuator.commands for actuator in stranger.actuators] == [[]] * len(stranger.actuators)


async def test_only_the_callers_own_reading_of_the_mac_changes_it(stranger: SimulatedHub) -> None:
    async with VegeHub(stranger.address, MAC) as hub:
        assert await hub.retrieve_mac_address()
        assert hub.mac_address == stranger.mac
        await hub.turn_on(0, 60)


@pytest.mark.parametrize("call", ["get_info", "_get_device_info", "retrieve_mac_address"])
async def test_an_empty_mac_is_filled_by_what_reads_it(simulated_hub: SimulatedHub, hub: VegeHub, call: str) -> None:
    await getattr(hub, call)()
    assert hub.mac_address == simulated_hub.mac


CHANGES: dict[str, Callable[[VegeHub], Awaitable[Any]]] = {
    "turn_on": lambda hub: hub.turn_on(0, 60),
    "turn_on confirmed": lambda hub: hub.turn_on(0, 60, confirm=True),
    "turn_on of a slot to be looked up": lambda hub: hub.turn_on(1, 60),
    "turn_off": lambda hub: hub.turn_off(0),
    "set_actuator": lambda hub: hub.set_actuator(1, 0, 60),
    "set_actuator with retries": lambda hub: hub.set_actuator(1, 0, 60, retries=2),
    "request_update": lambda hub: hub.request_update(),
    "set_time": lambda hub: hub.set_time(),
    "set_config": lambda hub: hub.set_config({"api_key": "k"}),
    "configure_server": lambda hub: hub.configure_server(URL),
    "setup": lambda hub: hub.setup("", URL),
}


@pytest.mark.parametrize("call", CHANGES)
async def test_a_change_of_address_at_any_step_sends_no_part_of_a_call_to_the_new_one(call: str) -> None:
    """Of each step of the loop: nothing of the call is executed there, and its proof does not count there."""
    ended = []
    async with SimulatedHub() as ours, SimulatedHub("sprinkler-ac", seed=7) as other:
        for steps in itertools.count(1):
            ours.executed.clear()
            async with VegeHub(ours.address, ours.mac, info={"num_actuators": 1}) as hub:
                task = asyncio.create_task(CHANGES[call](hub))
                for _ in range(steps):
                    await asyncio.sleep(0)
                if task.done():
                    task.result()
                    break
                hub.ip_address = other.address
                (error,) = await asyncio.gather(task, return_exceptions=True)
                outcome = error.outcome.name if isinstance(error, VegeHubError) else "returned"
                if outcome != "returned":
                    assert "the address of this hub was changed" in str(error)
                assert executed(other) == [], f"after {steps} steps"
                assert bool(executed(ours)) is (outcome != "NOT_SENT"), f"{outcome} after {steps} steps"
                ended.append(outcome)
                with pytest.raises(VegeHubMismatchError):
                    await hub.set_time()
    assert executed(other) == []
    assert ended[-1] != "NOT_SENT"
    # What needs no proof leaves at the first step.
    assert "NOT_SENT" in ended or call in ("set_actuator", "set_actuator with retries", "request_update")


async def test_a_proved_command_that_waits_for_its_turn_ends_when_the_address_changes(
    simulated_hub: SimulatedHub, stranger: SimulatedHub
) -> None:
    async with VegeHub(simulated_hub.address, simulated_hub.mac) as hub:
        await hub.get_info()
        simulated_hub.faults.latency(0.2, times=1)
        reading = asyncio.create_task(hub.get_readings())
        await until(lambda: len(simulated_hub.requests) == 2)
        waiting = [asyncio.create_task(call(hub)) for call in CHANGES.values()]
        await asyncio.sleep(0)
        hub.ip_address = stranger.address
        results = await asyncio.gather(reading, *waiting, return_exceptions=True)
    assert all(isinstance(result, VegeHubError) and result.outcome is Outcome.NOT_SENT for result in results)
    assert executed(simulated_hub) == []
    assert stranger.requests == []


SPELLINGS = [
    ("127.0.0.1", ("localhost", "LOCALHOST", "LocalHost")),
    ("::1", ("[::1]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::0:1]")),
]


@pytest.mark.parametrize(("host", "spellings"), SPELLINGS, ids=["name", "IPv6"])
class TestOneKeyForAllSpellingsOfAnAddress:
    async def test_two_blocks_never_water_with_the_same_actuator(self, host: str, spellings: tuple[str, ...]) -> None:
        async with SimulatedHub(host=host) as simulated:
            for one, other in itertools.permutations(spellings, 2):
                async with (
                    VegeHub(f"{one}:{simulated.port}") as first,
                    VegeHub(f"{other}:{simulated.port}") as second,
                    first.watering(0, 60),
                ):
                    with pytest.raises(VegeHubValueError, match="being watered already"):
                        await water(second, 0)
                    assert simulated.actuators[0].is_on

    async def test_one_call_at_a_time_reaches_the_hub(self, host: str, spellings: tuple[str, ...]) -> None:
        async def answer(_hub: RawHub, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.02)
            writer.write(reply())

        async with raw_hub(answer, host) as raw:
            port = raw.address.rpartition(":")[2]
            hubs = [VegeHub(f"{spelling}:{port}") for spelling in spellings]
            await asyncio.gather(*(hub.request_update() for hub in hubs for _ in range(2)))
            for hub in hubs:
                await hub.close()
            assert raw.most_at_once == 1

    async def test_one_change_of_configuration_at_a_time(self, host: str, spellings: tuple[str, ...]) -> None:
        async with SimulatedHub(host=host) as simulated:
            hubs = [VegeHub(f"{spelling}:{simulated.port}") for spelling in spellings]
            await asyncio.gather(
                *(hub.configure_server(f"http://127.0.0.2/{n}", name=f"S{n}") for n, hub in enumerate(hubs))
            )
            names = {server.name for server in await hubs[0].list_servers()}
            for hub in hubs:
                await hub.close()
        assert names >= {f"S{n}" for n in range(len(hubs))}


def config_requests(simulated: SimulatedHub) -> str:
    kinds = {CONFIG_GET: "g", CONFIG_SET: "s"}
    return "".join(kinds.get(record.path, "") for record in simulated.requests)


class TestOneChangeOfTheConfigurationAtATime:
    async def test_nothing_that_changes_at_once_is_lost_over_several_objects(self, simulated_hub: SimulatedHub) -> None:
        address = simulated_hub.address
        async with VegeHub(address) as one, VegeHub(address) as two, VegeHub(address, simulated_hub.mac) as three:
            old = await one.configure_server("http://127.0.0.2/old", name="Old")
            await asyncio.gather(
                one.configure_server("http://127.0.0.2/a", name="A"),
                two.configure_server("http://127.0.0.3/b", name="B"),
                three.configure_server("http://127.0.0.4/c", name="C"),
                two.setup("", "http://127.0.0.5/d"),
                three.remove_server(old),
                one.set_config({"web_conditions": [{"actuator_slot": 0, "name": "x"}]}),
                one.configure_server("http://127.0.0.6/e", name="E"),
            )
            servers = {server.name for server in await one.list_servers()}
        assert servers >= {"A", "B", "C", "HomeAssistant", "E"}
        assert "Old" not in servers
        assert simulated_hub.config["web_conditions"] == [{"actuator_slot": 0, "name": "x"}]

    @pytest.mark.parametrize("other", ["configure_server", "setup", "remove_server", "set_config", "restore_config"])
    @pytest.mark.parametrize("first", ["configure_server", "setup", "remove_server", "restore_config"])
    async def test_no_change_is_written_between_the_reading_and_the_writing_of_another(
        self, simulated_hub: SimulatedHub, first: str, other: str
    ) -> None:
        async with VegeHub(simulated_hub.address) as one, VegeHub(simulated_hub.address) as two:
            changes = {n: await one.configure_server(f"http://127.0.0.2/{n}", name=f"S{n}") for n in range(2)}
            backup = await one.backup_config()

            def change(hub: VegeHub, name: str, number: int) -> Awaitable[Any]:
                return {
                    "configure_server": lambda: hub.configure_server(f"http://127.0.0.3/{number}", name=f"N{number}"),
                    "setup": lambda: hub.setup("", f"http://127.0.0.4/{number}"),
                    "remove_server": lambda: hub.remove_server(changes[number]),
                    "set_config": lambda: hub.set_config({"api_key": "k"}),
                    "restore_config": lambda: hub.restore_config(backup),
                }[name]()

            simulated_hub.requests.clear()
            await asyncio.gather(change(one, first, 0), change(two, other, 1))
        assert config_requests(simulated_hub) in ("gsgs", "gss", "sgs")

    async def test_a_change_that_fails_or_is_cancelled_lets_the_next_one_in(self, simulated_hub: SimulatedHub) -> None:
        meet(simulated_hub, CONFIG_GET, lambda f: f.latency(0.2), lambda f: f.status(500, times=1))
        async with VegeHub(simulated_hub.address) as one, VegeHub(simulated_hub.address) as two:
            cancelled = asyncio.create_task(one.configure_server(URL, name="A"))
            await until(lambda: simulated_hub.requests)
            failing = asyncio.create_task(two.configure_server(URL, name="B"))
            last = asyncio.create_task(one.configure_server(URL, name="C"))
            await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.wait((cancelled, failing))
            assert isinstance(failing.exception(), VegeHubError)
            await last
            assert "C" in {server.name for server in await one.list_servers()}

    async def test_one_that_waits_too_long_is_told_and_nothing_was_sent(self, simulated_hub: SimulatedHub) -> None:
        simulated_hub.faults.never_answer(path=CONFIG_GET)
        async with VegeHub(simulated_hub.address) as one, VegeHub(simulated_hub.address, timeout=0.2) as two:
            holding = asyncio.create_task(one.configure_server(URL))
            await until(lambda: simulated_hub.requests)
            with pytest.raises(VegeHubError, match="another change of its configuration") as caught:
                await two.set_config({"api_key": "k"})
            holding.cancel()
            await asyncio.wait((holding,))
        assert caught.value.outcome is Outcome.NOT_SENT
        assert caught.value.may_be_asleep
        assert [record.path for record in simulated_hub.requests if record.path != INFO] == [CONFIG_GET]
