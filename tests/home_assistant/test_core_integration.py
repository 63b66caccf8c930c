"""Home Assistant's own integration for this hub, as it stands in Home Assistant, against our wheel."""

from __future__ import annotations

import asyncio
import importlib.metadata
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import aiohttp
import pytest
from homeassistant.components.zeroconf import HaZeroconf
from homeassistant.config_entries import SOURCE_USER, SOURCE_ZEROCONF, ConfigEntryState
from homeassistant.const import EVENT_HOMEASSISTANT_START, STATE_OFF, STATE_ON, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import device_registry, entity_registry
from homeassistant.helpers.service_info.zeroconf import ZeroconfServiceInfo
from homeassistant.setup import async_setup_component

if TYPE_CHECKING:
    from conftest import Hub, Hubs
    from homeassistant.config_entries import ConfigEntry, ConfigFlowResult
    from homeassistant.core import HomeAssistant

DOMAIN = "vegehub"


# --- What a person does -----------------------------------------------------------------------------------------------


async def fill_in(home: HomeAssistant, host: str) -> ConfigFlowResult:
    """Open the form and type the address."""
    form = await home.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})
    assert form["type"] is FlowResultType.FORM
    assert form["errors"] == {}
    return await try_again(home, form, host)


async def try_again(home: HomeAssistant, form: ConfigFlowResult, host: str) -> ConfigFlowResult:
    return await home.config_entries.flow.async_configure(form["flow_id"], {"ip_address": host})


async def is_found(home: HomeAssistant, hub: Hub) -> ConfigFlowResult:
    """Tell Home Assistant that the hub has been announced."""
    address = ip_address(hub.host)
    return await home.config_entries.flow.async_init(
        DOMAIN,
        context={"source": SOURCE_ZEROCONF},
        data=ZeroconfServiceInfo(
            ip_address=address,
            ip_addresses=[address],
            port=80,
            hostname=f"{hub.name}.local.",
            type="_vege._tcp.local.",
            name=f"{hub.name}._vege._tcp.local.",
            properties={"version": "5.2.0", "type": "hub", "sensors": "4", "actuators": "2"},
        ),
    )


async def set_up(home: HomeAssistant, hub: Hub) -> ConfigEntry:
    """Add the hub by the form, and return its entry."""
    result = await fill_in(home, hub.host)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await home.async_block_till_done()
    entry = result["result"]
    assert entry.state is ConfigEntryState.LOADED
    return entry


async def push(home: HomeAssistant, hub: Hub) -> None:
    """Have the hub send its readings, and Home Assistant take them in."""
    assert await hub.push()
    await home.async_block_till_done()


def states(home: HomeAssistant, hub: Hub) -> dict[str, str]:
    """The state of each entity, by what it stands for."""
    registry = entity_registry.async_get(home)
    return {
        entity.unique_id.removeprefix(f"{hub.mac}_"): home.states.get(entity.entity_id).state
        for entity in registry.entities.values()
        if entity.platform == DOMAIN and entity.unique_id.startswith(hub.mac)
    }


async def switch(home: HomeAssistant, hub: Hub, number: int, service: str) -> None:
    """Press a switch; ``number`` counts from 0."""
    registry = entity_registry.async_get(home)
    entity_id = registry.async_get_entity_id("switch", DOMAIN, f"{hub.mac}_actuator_{number}")
    assert entity_id is not None
    await home.services.async_call("switch", service, {"entity_id": entity_id}, blocking=True)


@pytest.fixture
async def entry(home: HomeAssistant, hub: Hub) -> ConfigEntry:
    """The entry of the hub, added by the form; its switches can be pressed, since it has sent readings."""
    entry = await set_up(home, hub)
    await push(home, hub)
    return entry


# --- The form ---------------------------------------------------------------------------------------------------------


async def test_the_library_is_the_one_that_is_tested_whatever_the_integration_pins(
    home: HomeAssistant, entry: ConfigEntry
) -> None:
    import vegehub

    version = importlib.metadata.version("vegehub")
    assert getattr(vegehub, "__version__", version) == version
    assert home.config.skip_pip


async def test_the_form_adds_a_hub(home: HomeAssistant, hub: Hub) -> None:
    entry = await set_up(home, hub)
    assert entry.unique_id == entry.data["mac"] == hub.mac
    assert entry.data["ip_address"] == entry.title == hub.host
    assert entry.data["device"]["num_channels"] == 4
    webhook = f"{home.config.internal_url}/api/webhook/{entry.data['webhook_id']}"
    assert (await hub.look())["servers"] == [webhook]


async def test_the_device_and_its_entities_are_there(home: HomeAssistant, hub: Hub) -> None:
    entry = await set_up(home, hub)
    (device,) = device_registry.async_entries_for_config_entry(device_registry.async_get(home), entry.entry_id)
    assert (device.sw_version, device.configuration_url) == ("5.2.0", f"http://{hub.host}")
    inputs = {f"analog_{number}" for number in range(4)}
    assert set(states(home, hub)) == inputs | {"battery", "actuator_0", "actuator_1"}


@pytest.mark.parametrize(
    ("profile", "entities"),
    [
        ("gen2-5.1-battery", {"analog_0", "analog_1", "analog_2", "analog_3", "battery", "actuator_0", "actuator_1"}),
        ("gen2-5.1-logger", {"analog_0", "battery"}),
        ("sprinkler-ac", {"analog_0", "analog_1", *(f"actuator_{number}" for number in range(4))}),
    ],
)
async def test_each_kind_of_hub_is_added_with_what_it_has_and_heard(
    home: HomeAssistant, hubs: Hubs, profile: str, entities: set[str]
) -> None:
    hub = await hubs.add(profile)
    await set_up(home, hub)
    await push(home, hub)
    found = states(home, hub)
    assert set(found) == entities
    assert not {STATE_UNAVAILABLE, STATE_UNKNOWN} & set(found.values())


@pytest.mark.parametrize("host", ["garden.local", "", "10.0.0", "http://127.0.0.1"])
async def test_what_is_no_address_is_refused_by_the_form(home: HomeAssistant, hub: Hub, host: str) -> None:
    form = await fill_in(home, host)
    assert form["errors"] == {"base": "invalid_ip"}
    result = await try_again(home, form, hub.host)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_a_hub_that_sleeps_is_told_as_that_and_added_once_it_is_awake(home: HomeAssistant, hub: Hub) -> None:
    await hub.sleep()
    form = await fill_in(home, hub.host)
    # As core's integration has it, "no MAC" stands above why.
    assert form["errors"] == {"base": "cannot_connect"}
    await hub.wake()
    result = await try_again(home, form, hub.host)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_an_address_without_a_hub_is_told(home: HomeAssistant, hubs: Hubs) -> None:
    form = await fill_in(home, hubs.free_host())
    assert form["errors"] == {"base": "cannot_connect"}


ODD: dict[str, tuple[str, dict[str, Any]]] = {
    "404": ("status", {"code": 404}),
    "500": ("status", {"code": 500}),
    "refuses in a 200": ("error_in_200", {}),
    "redirects": ("redirect", {"location": "/login"}),
    "a web page": ("not_json", {}),
    "a list": ("wrong_json", {"value": []}),
    "text": ("wrong_json", {"value": "vege"}),
    "no HTTP": ("not_http", {}),
    "resets": ("reset_before_headers", {}),
    "resets in the headers": ("reset_in_headers", {}),
    "resets in the body": ("reset_in_body", {}),
    "breaks off": ("truncate_body", {}),
    "closes without a word": ("drop_reply", {}),
    "too much": ("oversized_body", {"size": 3_000_000}),
}


@pytest.mark.parametrize("odd", ODD)
async def test_a_hub_that_answers_oddly_is_told_and_added_once_it_is_well(
    home: HomeAssistant, hub: Hub, odd: str
) -> None:
    name, options = ODD[odd]
    await hub.fault(name, **options)
    form = await fill_in(home, hub.host)
    assert form["type"] is FlowResultType.FORM
    assert form["errors"] == {"base": "cannot_connect"}
    await hub.heal()
    result = await try_again(home, form, hub.host)
    assert result["type"] is FlowResultType.CREATE_ENTRY


HARMLESS: dict[str, tuple[str, dict[str, Any]]] = {
    "headers and body apart": ("split_body", {}),
    "the last chunk late": ("late_last_chunk", {}),
    "byte by byte": ("trickle", {}),
    "chunked": ("chunked", {}),
    "HTTP/1.0": ("http_1_0", {}),
    "no length": ("no_content_length", {}),
    "plain text": ("content_type", {"value": "text/plain"}),
    "no type": ("content_type", {"value": None}),
    "closes each time": ("connection_close", {}),
    "closes silently": ("close_silently", {}),
    "closes when it is used again": ("close_silently", {"on_reuse": True}),
    "slow": ("latency", {"seconds": 0.2}),
}


@pytest.mark.parametrize("way", HARMLESS)
async def test_a_hub_that_answers_in_its_own_way_is_added_and_switched(home: HomeAssistant, hub: Hub, way: str) -> None:
    name, options = HARMLESS[way]
    await hub.fault(name, **options)
    await set_up(home, hub)
    await push(home, hub)
    await switch(home, hub, 0, "turn_on")
    await switch(home, hub, 0, "turn_off")
    assert (await hub.look())["commands"] == [[0, 1, 600], [0, 0, 600]]


async def test_a_hub_that_was_added_is_not_added_twice(home: HomeAssistant, entry: ConfigEntry, hub: Hub) -> None:
    result = await fill_in(home, hub.host)
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "already_configured")
    assert len((await hub.look())["servers"]) == 1


@pytest.mark.parametrize("profile", ["gen2-endpoints", "gen2-5.1-battery"])
async def test_adding_it_anew_leaves_one_server_at_the_hub(home: HomeAssistant, hubs: Hubs, profile: str) -> None:
    hub = await hubs.add(profile)
    for _ in range(3):
        entry = await set_up(home, hub)
        assert (await hub.look())["servers"] == [f"{home.config.internal_url}/api/webhook/{entry.data['webhook_id']}"]
        await home.config_entries.async_remove(entry.entry_id)


async def test_two_hubs_are_told_apart(home: HomeAssistant, hubs: Hubs) -> None:
    one, other = [await hubs.add() for _ in range(2)]
    for hub in (one, other):
        await set_up(home, hub)
        await push(home, hub)
    await switch(home, other, 1, "turn_on")
    assert (await one.look())["commands"] == []
    assert (await other.look())["commands"] == [[1, 1, 600]]


# --- Found by mDNS ----------------------------------------------------------------------------------------------------


async def test_a_hub_that_was_found_is_added_once_it_is_confirmed(home: HomeAssistant, hub: Hub) -> None:
    form = await is_found(home, hub)
    assert (form["type"], form["step_id"]) == (FlowResultType.FORM, "zeroconf_confirm")
    (flow,) = home.config_entries.flow.async_progress()
    assert flow["context"]["title_placeholders"] == {"host": f"{hub.name} ({hub.host})"}
    result = await home.config_entries.flow.async_configure(form["flow_id"], {})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["result"].unique_id == hub.mac
    await home.async_block_till_done()
    await push(home, hub)
    assert STATE_UNAVAILABLE not in states(home, hub).values()


async def test_a_hub_that_announces_itself_is_found(home: HomeAssistant, hubs: Hubs) -> None:
    # Over multicast on the loopback, where the plugin would have Home Assistant listen on a network that is not there.
    listening = partial(HaZeroconf, interfaces=["127.0.0.1"])
    with patch("homeassistant.components.zeroconf.HaZeroconf", lambda **_: listening()):
        assert await async_setup_component(home, "zeroconf", {})
        home.bus.async_fire(EVENT_HOMEASSISTANT_START)
        await home.async_block_till_done()
        hub = await hubs.add(mdns=True)
        async with asyncio.timeout(60):
            while not (flows := home.config_entries.flow.async_progress()):  # noqa: ASYNC110 - it comes when it comes
                await asyncio.sleep(0.05)
        (flow,) = flows
        assert flow["context"]["unique_id"] == hub.mac
        result = await home.config_entries.flow.async_configure(flow["flow_id"], {})
        assert result["type"] is FlowResultType.CREATE_ENTRY
        assert result["result"].data["ip_address"] == hub.host


@pytest.mark.parametrize("odd", ["404", "a web page", "closes without a word", "no HTTP"])
async def test_what_was_found_and_answers_oddly_is_left_alone(home: HomeAssistant, hub: Hub, odd: str) -> None:
    name, options = ODD[odd]
    await hub.fault(name, **options)
    result = await is_found(home, hub)
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "cannot_connect")


async def test_what_was_found_and_sleeps_again_is_told_as_that(home: HomeAssistant, hub: Hub) -> None:
    await hub.sleep()
    result = await is_found(home, hub)
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "timeout_connect")


async def test_a_hub_that_falls_asleep_before_it_is_confirmed_is_told_as_that(home: HomeAssistant, hub: Hub) -> None:
    form = await is_found(home, hub)
    await hub.sleep()
    form = await home.config_entries.flow.async_configure(form["flow_id"], {})
    assert form["errors"] == {"base": "timeout_connect"}
    await hub.wake()
    result = await home.config_entries.flow.async_configure(form["flow_id"], {})
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_a_hub_that_fails_once_when_it_is_found_is_asked_again(home: HomeAssistant, hub: Hub) -> None:
    await hub.fault("drop_reply", times=2)
    form = await is_found(home, hub)
    assert form["type"] is FlowResultType.FORM


async def test_a_hub_that_moved_is_followed(home: HomeAssistant, entry: ConfigEntry, hub: Hub, hubs: Hubs) -> None:
    await hub.move(hubs.free_host())
    result = await is_found(home, hub)
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "already_configured")
    await home.async_block_till_done()
    assert entry.data["ip_address"] == hub.host
    await push(home, hub)
    await switch(home, hub, 0, "turn_on")
    assert (await hub.look())["commands"] == [[0, 1, 600]]


# --- Readings ---------------------------------------------------------------------------------------------------------


async def test_readings_are_shown(home: HomeAssistant, entry: ConfigEntry, hub: Hub) -> None:
    await hub.volts(0.0, 1.25, 2.5, 3.0)
    await push(home, hub)
    found = states(home, hub)
    shown = [float(found[f"analog_{number}"]) for number in range(4)]
    assert shown == pytest.approx([0.0, 1.25, 2.5, 3.0], abs=0.01)
    assert float(found["battery"]) > 1
    assert [found["actuator_0"], found["actuator_1"]] == [STATE_OFF, STATE_OFF]


async def test_a_valve_that_is_open_is_shown_so(home: HomeAssistant, entry: ConfigEntry, hub: Hub) -> None:
    await switch(home, hub, 1, "turn_on")
    await push(home, hub)
    assert [states(home, hub)[f"actuator_{number}"] for number in range(2)] == [STATE_OFF, STATE_ON]
    await switch(home, hub, 1, "turn_off")
    await push(home, hub)
    assert states(home, hub)["actuator_1"] == STATE_OFF


ODD_UPDATES: dict[str, Any] = {
    "nothing": {},
    "an empty list": {"sensors": []},
    "no samples": {"sensors": [{"slot": 1, "samples": []}]},
    "a slot that is not there": {"sensors": [{"slot": 99, "samples": [{"v": 1.0, "t": "2025-06-01T12:00:00Z"}]}]},
    "no slot": {"sensors": [{"samples": [{"v": 1.0, "t": "2025-06-01T12:00:00Z"}]}]},
    "a value of null": {"sensors": [{"slot": 1, "samples": [{"v": None, "t": "2025-06-01T12:00:00Z"}]}]},
    "a word for a value": {"sensors": [{"slot": 1, "samples": [{"v": "wet", "t": "2025-06-01T12:00:00Z"}]}]},
    "a sensor of null": {"sensors": [None]},
    "sensors of text": {"sensors": "none"},
    "extra keys": {"key": "x", "wifi_str": -60, "news": {"a": 1}, "sensors": []},
}


@pytest.mark.parametrize("name", ODD_UPDATES)
async def test_odd_updates_take_nothing_away(home: HomeAssistant, entry: ConfigEntry, hub: Hub, name: str) -> None:
    before = states(home, hub)
    url = f"{home.config.internal_url}/api/webhook/{entry.data['webhook_id']}"
    async with aiohttp.ClientSession() as session, session.post(url, json=ODD_UPDATES[name]) as response:
        assert response.status == 200
    await home.async_block_till_done()
    assert states(home, hub) == before


# --- Switches ---------------------------------------------------------------------------------------------------------


async def test_a_switch_opens_and_closes_its_valve(home: HomeAssistant, entry: ConfigEntry, hub: Hub) -> None:
    for number in range(2):
        await switch(home, hub, number, "turn_on")
    seen = await hub.look()
    assert seen["on"] == [True, True]
    for number in range(2):
        await switch(home, hub, number, "turn_off")
    seen = await hub.look()
    assert seen["on"] == [False, False]
    assert seen["commands"] == [[0, 1, 600], [0, 0, 600], [1, 1, 600], [1, 0, 600]]


async def test_a_hundred_commands_need_few_connections(home: HomeAssistant, entry: ConfigEntry, hub: Hub) -> None:
    await hub.fault("split_body", delay=0.002)
    before = (await hub.look())["accepted"]
    for _ in range(50):
        await switch(home, hub, 0, "turn_on")
        await switch(home, hub, 0, "turn_off")
    seen = await hub.look()
    assert len(seen["commands"]) == 100
    assert seen["accepted"] - before == 1
    assert seen["open"] <= 1


async def test_a_switch_of_a_sleeping_hub_fails_with_a_timeout(
    home: HomeAssistant, entry: ConfigEntry, hub: Hub
) -> None:
    await hub.sleep()
    with pytest.raises(TimeoutError, match=hub.host):
        await switch(home, hub, 0, "turn_on")
    assert (await hub.look())["commands"] == []
    await hub.wake()
    await switch(home, hub, 0, "turn_on")
    assert (await hub.look())["commands"] == [[0, 1, 600]]


@pytest.mark.parametrize("odd", ["404", "500", "refuses in a 200", "resets", "closes without a word", "breaks off"])
async def test_a_switch_that_fails_says_so_with_a_connection_error(
    home: HomeAssistant, entry: ConfigEntry, hub: Hub, odd: str
) -> None:
    # On a connection that is new: one that died when it was used again is a command that may be sent again.
    await hub.fault("connection_close")
    await switch(home, hub, 1, "turn_off")
    name, options = ODD[odd]
    await hub.fault(name, **options)
    with pytest.raises(ConnectionError, match=hub.host):
        await switch(home, hub, 0, "turn_on")
    # Opened at most once, whatever became of the reply.
    assert [command for command in (await hub.look())["commands"] if command[0] == 0] in ([], [[0, 1, 600]])


# --- A hub that is there for long -------------------------------------------------------------------------------------


async def test_a_hub_that_sleeps_is_set_up_from_what_is_stored_without_a_request(
    home: HomeAssistant, entry: ConfigEntry, hub: Hub
) -> None:
    assert await home.config_entries.async_unload(entry.entry_id)
    before = await hub.look()
    await hub.sleep()
    assert await home.config_entries.async_setup(entry.entry_id)
    await home.async_block_till_done()
    assert len(states(home, hub)) == 7
    after = await hub.look()
    assert (after["requests"], after["accepted"]) == (before["requests"], before["accepted"])


async def test_an_entry_can_be_loaded_again_and_goes_on(home: HomeAssistant, entry: ConfigEntry, hub: Hub) -> None:
    for _ in range(3):
        await switch(home, hub, 0, "turn_off")
        assert await home.config_entries.async_reload(entry.entry_id)
        await home.async_block_till_done()
        await push(home, hub)
    await switch(home, hub, 0, "turn_on")
    assert (await hub.look())["commands"][-1] == [0, 1, 600]


async def test_an_entry_can_be_removed(home: HomeAssistant, entry: ConfigEntry, hub: Hub) -> None:
    await switch(home, hub, 0, "turn_off")
    await home.config_entries.async_remove(entry.entry_id)
    await home.async_block_till_done()
    assert states(home, hub) == {}
