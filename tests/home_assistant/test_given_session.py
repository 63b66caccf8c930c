"""A hub on Home Assistant's own session, kept for as long as Home Assistant runs, as most integrations keep theirs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from homeassistant.helpers.aiohttp_client import async_get_clientsession

from vegehub import VegeHub

if TYPE_CHECKING:
    from conftest import Hub
    from homeassistant.core import HomeAssistant


@pytest.fixture
def kept() -> list[VegeHub]:
    """What is still there when the plugin of Home Assistant looks for timers and tasks."""
    return []


@pytest.fixture
async def client(hass: HomeAssistant, hub: Hub, kept: list[VegeHub]) -> VegeHub:
    client = VegeHub(hub.host, session=async_get_clientsession(hass))
    kept.append(client)
    return client


async def test_it_is_read_and_commanded(client: VegeHub, hub: Hub) -> None:
    assert await client.retrieve_mac_address()
    assert client.mac_address == hub.mac
    assert await client.setup("", "http://127.0.0.1:9/hook")
    assert await client.set_actuator(1, 0, 60)
    assert [actuator["state"] for actuator in await client.actuator_states()] == [1, 0]
    assert await client.set_actuator(0, 0, 60)
    assert (await hub.look())["commands"] == [[0, 1, 60], [0, 0, 60]]


async def test_the_session_of_home_assistant_stays_open(hass: HomeAssistant, client: VegeHub) -> None:
    await client.retrieve_mac_address()
    await client.close()
    assert not async_get_clientsession(hass).closed
    assert await client.retrieve_mac_address()


async def test_the_established_arguments_are_taken_by_place_and_by_name(hass: HomeAssistant, hub: Hub) -> None:
    session = async_get_clientsession(hass)
    for client in (
        VegeHub(hub.host, hub.mac, "one", {"num_channels": 4}, session),
        VegeHub(ip_address=hub.host, mac_address=hub.mac, unique_id="one", info={"num_channels": 4}, session=session),
    ):
        assert (client.mac_address, client.unique_id, client.num_sensors) == (hub.mac, "one", 4)
        assert await client.set_actuator(state=0, slot=1, duration=60, retries=1)
        assert await client.setup(api_key="", server_address="http://127.0.0.1:9/hook", retries=1)


async def test_a_hub_that_does_not_answer_is_told_and_leaves_nothing(client: VegeHub, hub: Hub) -> None:
    await hub.sleep()
    with pytest.raises(TimeoutError):
        await client.retrieve_mac_address()
    await hub.wake()
    assert await client.retrieve_mac_address()


async def test_a_call_that_is_cancelled_leaves_nothing(client: VegeHub, hub: Hub) -> None:
    await hub.fault("never_answer")
    call = asyncio.create_task(client.retrieve_mac_address())
    while not (await hub.look())["requests"]:  # noqa: ASYNC110 - it is another process that sees it
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await hub.heal()
    assert await client.retrieve_mac_address()


async def test_a_hub_that_dies_after_the_headers_leaves_no_connection(client: VegeHub, hub: Hub) -> None:
    await hub.fault("reset_in_body")
    for _ in range(30):
        with pytest.raises(ConnectionError):
            await client.set_actuator(0, 0, 60)
    assert (await hub.look())["open"] == 0
