"""Sleep, power and reboots of the simulated hub."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import aiohttp
import pytest

from vegehub.simulator import PowerState, SimulatedHub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BATTERY = "gen2-5.1-battery"
QUICK = aiohttp.ClientTimeout(total=0.2)
AWAKE, ASLEEP, OFF = PowerState.AWAKE, PowerState.ASLEEP, PowerState.OFF


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def status(
    session: aiohttp.ClientSession, hub: SimulatedHub, timeout: aiohttp.ClientTimeout | None = None
) -> int:
    url = f"http://{hub.address}/api/actuators/status"
    async with session.get(url, timeout=timeout or aiohttp.ClientTimeout(total=10)) as response:
        await response.read()
        return response.status


async def switch_on(session: aiohttp.ClientSession, hub: SimulatedHub, duration: int = 600) -> None:
    command = {"target": 0, "duration": duration, "state": 1}
    async with session.post(f"http://{hub.address}/api/actuators/set", json=command) as response:
        await response.read()


async def test_a_battery_hub_sleeps_after_five_minutes_without_a_request(session: aiohttp.ClientSession) -> None:
    async with SimulatedHub(BATTERY, update_period=7200) as hub:
        await hub.advance(200)
        await status(session, hub)
        assert hub.sleeps_at == 500
        await hub.advance(299)
        assert hub.state is AWAKE
        await hub.advance(1)
        assert hub.state is ASLEEP
        assert hub.sleeps_at is None


async def test_requests_need_not_keep_a_hub_awake(session: aiohttp.ClientSession) -> None:
    async with SimulatedHub(BATTERY, requests_keep_awake=False) as hub:
        await hub.advance(200)
        await status(session, hub)
        await hub.advance(100)
        assert hub.state is ASLEEP


async def test_a_hub_on_a_power_adapter_never_sleeps() -> None:
    async with SimulatedHub() as hub:
        await hub.advance(86400)
        assert hub.state is AWAKE


async def test_the_power_mode_can_be_changed(session: aiohttp.ClientSession) -> None:
    async with SimulatedHub(update_period=7200) as hub:
        for mode, state in ((0, ASLEEP), (1, AWAKE)):
            hub.wake()
            await hub.advance(0)
            async with session.post(
                f"http://{hub.address}/api/config/set", json={"hub": {**hub.config["hub"], "power_mode": mode}}
            ) as response:
                await response.read()
            await hub.advance(301)
            assert hub.state is state


async def test_a_sleeping_hub_answers_neither_new_nor_open_connections(session: aiohttp.ClientSession) -> None:
    async with SimulatedHub() as hub, aiohttp.ClientSession() as other:
        await status(session, hub)
        hub.sleep()
        hub.sleep()
        for client in (session, other):
            with pytest.raises(TimeoutError):
                await status(client, hub, QUICK)
        assert len(hub.requests) == 1
        hub.wake()
        assert await status(session, hub) == 200


async def test_a_connection_from_before_the_sleep_is_reset(session: aiohttp.ClientSession) -> None:
    async with SimulatedHub() as hub:
        await status(session, hub)
        hub.sleep()
        hub.wake()
        await hub.advance(0)
        assert hub.open_connections == 0


async def test_a_sleeping_hub_sends_no_end_of_a_connection(session: aiohttp.ClientSession) -> None:
    async with SimulatedHub() as hub:
        hub.faults.latency(0.1)
        hub.faults.drop_reply()
        # aiohttp repeats a GET that was hung up on, but not a POST.
        request = session.post(f"http://{hub.address}/api/info/get", json={}, timeout=aiohttp.ClientTimeout(total=0.3))
        waiting = asyncio.ensure_future(request)
        await asyncio.sleep(0.02)
        hub.sleep()
        with pytest.raises(TimeoutError):
            await waiting


@pytest.mark.parametrize("turns", range(4))
async def test_a_connection_that_is_just_being_accepted_falls_silent_too(turns: int) -> None:
    async with SimulatedHub() as hub:
        with socket.socket() as client:
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect((hub.host, hub.port))
            for _ in range(turns):
                await asyncio.sleep(0)
            hub.sleep()
            await hub.advance(0)
            client.send(b"GET /api/actuators/status HTTP/1.1\r\n\r\n")
            await hub.advance(0)
            assert hub.requests == []


async def test_a_sleeping_hub_may_refuse_connections(session: aiohttp.ClientSession) -> None:
    async with SimulatedHub() as hub:
        hub.sleep(refuse=True)
        with pytest.raises(aiohttp.ClientConnectorError):
            await status(session, hub)
        hub.wake()
        assert await status(session, hub) == 200
    async with SimulatedHub(asleep_refuses=True) as hub:
        hub.sleep()
        with pytest.raises(aiohttp.ClientConnectorError):
            await status(session, hub)


async def test_actuators_close_on_time_while_the_hub_sleeps(session: aiohttp.ClientSession) -> None:
    async with SimulatedHub() as hub:
        await switch_on(session, hub)
        hub.sleep()
        await hub.advance(600)
        assert not hub.actuators[0].is_on


async def test_a_scheduled_update_opens_a_wake_window_that_ends_with_the_clock(session: aiohttp.ClientSession) -> None:
    async with SimulatedHub(BATTERY, wake_window=10) as hub:
        await hub.advance(899)
        assert hub.state is ASLEEP
        await hub.advance(1)
        assert (hub.state, hub.sleeps_at) == (AWAKE, 910)
        await asyncio.sleep(0.05)
        assert hub.state is AWAKE
        await hub.advance(10)
        assert hub.state is ASLEEP
        await hub.advance(890)
        await status(session, hub)
        assert hub.sleeps_at == 2100


async def test_a_hub_sent_to_sleep_wakes_for_updates_and_sleeps_again() -> None:
    async with SimulatedHub() as hub:
        hub.sleep()
        await hub.advance(900)
        assert hub.state is AWAKE
        await hub.advance(10)
        assert hub.state is ASLEEP


async def test_power_can_be_cut_and_given_back(session: aiohttp.ClientSession) -> None:
    async with SimulatedHub() as hub:
        await switch_on(session, hub)
        await hub.power_off()
        assert (hub.state, hub.actuators[0].is_on) == (OFF, False)
        hub.wake()
        hub.sleep()
        assert hub.state is OFF
        with pytest.raises(TimeoutError):
            await status(session, hub, QUICK)
        taken = len(hub.samples_taken)
        await hub.advance(3600)
        assert len(hub.samples_taken) == taken
        await hub.power_on()
        await hub.power_on()
        assert await status(session, hub) == 200


@pytest.mark.parametrize(
    ("actuators", "at_once", "after_its_time"), [("closed", False, False), ("open", True, True), ("timer", True, False)]
)
async def test_what_a_reboot_does_to_an_open_valve(
    session: aiohttp.ClientSession, actuators: str, at_once: bool, after_its_time: bool
) -> None:
    async with SimulatedHub() as hub:
        await switch_on(session, hub)
        config = dict(hub.config)
        await hub.reboot(actuators)
        assert hub.actuators[0].is_on is at_once
        assert hub.open_connections == 0
        assert hub.config == config
        await hub.advance(3600)
        assert hub.actuators[0].is_on is after_its_time
        assert await status(session, hub) == 200


async def test_a_command_in_progress_is_lost_with_the_power(session: aiohttp.ClientSession) -> None:
    async with SimulatedHub() as hub:
        hub.faults.latency(0.1, before_execution=True)
        waiting = asyncio.create_task(switch_on(session, hub))
        await asyncio.sleep(0.02)
        await hub.reboot()
        with pytest.raises(aiohttp.ClientError):
            await waiting
        await asyncio.sleep(0.12)
        assert hub.actuators[0].commands == []


async def test_changes_of_power_are_told_until_unsubscribed() -> None:
    async with SimulatedHub() as hub:
        seen: list[PowerState] = []
        unsubscribe = hub.on_power(seen.append)
        hub.sleep()
        hub.wake()
        await hub.power_off()
        unsubscribe()
        unsubscribe()
        await hub.power_on()
        assert seen == [ASLEEP, AWAKE, OFF]


async def test_busy_while_posting_makes_requests_wait(session: aiohttp.ClientSession) -> None:
    order: list[str] = []

    async def slow_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.1)
        order.append("post answered")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(slow_server, "127.0.0.1", 0)
    async with SimulatedHub() as hub:
        hub.faults.busy_while_posting()
        hub.point_at(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        hub.send_update()
        await asyncio.sleep(0.02)
        await status(session, hub)
        order.append("request answered")
        assert order == ["post answered", "request answered"]
    server.close()
    await server.wait_closed()
