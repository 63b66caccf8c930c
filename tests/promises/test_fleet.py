"""Many simulated hubs: found by real mDNS, polled at once, commanded at the right address."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import aiohttp
import pytest
from on_air import LOOPBACK, nothing_is_left, open_here, own_service_type
from raw_hub import until
from zeroconf import DNSQuestionType
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from vegehub import HubManager, VegeHub, VegeHubError, VegeHubMismatchError, discover
from vegehub.finding import discovery
from vegehub.hub import identity
from vegehub.simulator import SimulatedHub, Simulation, mdns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LONG = 600.0
"""A timeout that no test waits for."""
# Names of hosts are common to all processes of a machine, and the seed makes the name.
SEED = os.getpid()


@pytest.fixture(autouse=True)
def service_type(monkeypatch: pytest.MonkeyPatch) -> str:
    return own_service_type(monkeypatch, mdns, discovery)


@pytest.fixture
async def simulation() -> AsyncIterator[Simulation]:
    async with Simulation(seed=SEED) as simulation:
        yield simulation


@pytest.fixture
async def manager() -> AsyncIterator[HubManager]:
    async with HubManager(interfaces=LOOPBACK) as manager:
        yield manager


async def mac_of(hub: VegeHub) -> str:
    return (await hub.get_info()).mac


def states(hub: SimulatedHub) -> list[int]:
    return [command.state for command in hub.actuators[0].commands]


# --- Discovery ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 20])
async def test_simulated_hubs_are_found_and_a_shared_zeroconf_stays_usable(count: int, service_type: str) -> None:
    async with (
        Simulation(seed=SEED, mdns=True) as simulation,
        AsyncZeroconf(interfaces=LOOPBACK) as shared,
    ):
        hubs = [await simulation.add_hub(host=f"127.0.4.{number}") for number in range(1, count + 1)]
        await simulation.announced()
        before = open_here()
        found = await discover(LONG, zeroconf=shared, expect=count)
        assert {(hub.name, hub.address) for hub in found} == {(hub.mdns_name, hub.address) for hub in hubs}
        await nothing_is_left(before)
        info = AsyncServiceInfo(service_type, f"{hubs[0].mdns_name}.{service_type}")
        assert await info.async_request(shared.zeroconf, 60_000, question_type=DNSQuestionType.QM)
        assert len(await discover(LONG, zeroconf=shared, expect=count)) == count
    await asyncio.sleep(0)


async def test_a_discovery_of_its_own_leaves_no_thread_socket_or_task(simulation: Simulation) -> None:
    await simulation.add_hub(mdns=True, mdns_probes=False)
    await simulation.announced()
    before = open_here()
    assert len(await discover(LONG, interfaces=LOOPBACK, expect=1)) == 1
    await nothing_is_left(before)


# --- Three hundred --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_three_hundred_hubs_asked_at_once_over_one_session_all_answer_and_sleepers_hold_up_none(
    simulation: Simulation,
) -> None:
    hubs = [await simulation.add_hub(host=f"127.0.{5 + n // 200}.{n % 200 + 1}") for n in range(300)]
    patience = aiohttp.ClientTimeout(sock_connect=LONG)  # by default a connection has 30 s, all three hundred together
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=patience) as session,
        HubManager(session) as manager,
    ):
        for hub in hubs:
            manager.add(hub.address, id=hub.name, mac=hub.mac, timeout=LONG)
        results = await manager.run(mac_of, concurrency=300)
        assert results == {hub.name: hub.mac for hub in hubs}

        sleepers = hubs[::3]
        for hub in sleepers:
            hub.sleep(refuse=False)
        ended: list[str] = []

        async def ask(hub: VegeHub) -> None:
            await mac_of(hub)
            ended.append(hub.unique_id)

        asking = asyncio.create_task(manager.run(ask, concurrency=300))
        await until(lambda: len(ended) == 200)
        assert set(ended) == {hub.name for hub in hubs} - {hub.name for hub in sleepers}
        assert not asking.done()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert not session.closed


# --- An address that is handed on -----------------------------------------------------------------------------------------


def test_a_proof_of_the_mac_holds_for_sixty_seconds() -> None:
    assert identity.PROOF_LIFETIME == 60


@pytest.mark.parametrize("since", ["a failed call", "more than sixty seconds"])
async def test_no_command_reaches_the_hub_that_took_over_an_address_and_discovery_finds_the_right_one(
    manager: HubManager, simulation: Simulation, since: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = await simulation.add_hub(host="127.0.1.1", mdns=True, mdns_probes=False)
    wrong = await simulation.add_hub(host="127.0.1.2", mdns=True, mdns_probes=False)
    host, port = right.host, right.port
    manager.add(right.address, id="shed", mac=right.mac)
    hub = manager.hub("shed")
    await hub.turn_on(0, 60)

    await right.move_to("127.0.1.3")
    await wrong.move_to(host, port)
    assert hub.ip_address == wrong.address
    if since == "a failed call":
        wrong.faults.status(500, times=1)
        with pytest.raises(VegeHubError):
            await hub.get_actuators()
    else:
        monkeypatch.setattr(identity, "PROOF_LIFETIME", -1.0)
    for _ in range(2):
        with pytest.raises(VegeHubMismatchError):
            await hub.turn_on(0, 60)
        with pytest.raises(VegeHubMismatchError):
            await hub.turn_off(0)

    await simulation.announced()
    await manager.discover(LONG, expect=2)
    assert hub.ip_address == right.address
    await hub.turn_on(0, 60)
    assert (states(right), states(wrong)) == ([1, 1], [])


# --- One that fails, one that hangs, one that is removed ------------------------------------------------------------------


async def test_hubs_that_fail_hang_or_go_disturb_no_other_and_cancellation_ends_all(simulation: Simulation) -> None:
    failing, hanging, removed, *rest = [await simulation.add_hub() for _ in range(8)]
    failing.faults.status(500)
    hanging.faults.never_answer()
    ended: dict[str, str] = {}

    def progress(done: int, total: int) -> None:
        raise RuntimeError("of the caller")

    async with HubManager() as manager:
        for hub in simulation.hubs:
            manager.add(hub.address, id=hub.name, timeout=LONG)

        async def ask(hub: VegeHub) -> None:
            if hub.unique_id == removed.name:
                await manager.remove(removed.name)
            try:
                await mac_of(hub)
                ended[hub.unique_id] = "answered"
            except VegeHubError:
                ended[hub.unique_id] = "failed"
                raise
            except asyncio.CancelledError:
                ended[hub.unique_id] = "cancelled"
                raise

        asking = asyncio.create_task(manager.run(ask, progress))
        answered = {hub.name: "answered" for hub in (removed, *rest)}
        await until(lambda: ended == {**answered, failing.name: "failed"})
        assert not asking.done()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert ended.pop(hanging.name) == "cancelled"
        await until(lambda: not hanging.open_connections)
        hanging.faults.clear()
        async with manager.acquire(hanging.name, timeout=LONG) as hub:
            assert await mac_of(hub) == hanging.mac
    await until(lambda: not any(hub.open_connections for hub in simulation.hubs))
