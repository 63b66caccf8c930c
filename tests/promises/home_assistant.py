"""A stand-in for Home Assistant, as much of it as the integration of docs/home-assistant.md uses, and what is done with it.

Each is a file of a program that runs as a process of its own; the addresses are put in place before.
"""

from __future__ import annotations

FILES = {
    "__init__.py": "",
    "components/__init__.py": "",
    "components/webhook.py": """
import secrets

HANDLERS = {}

def async_generate_id():
    return secrets.token_hex(16)

def async_generate_url(hass, webhook_id, allow_external=True, allow_ip=None):
    return f"{hass.url}/api/webhook/{webhook_id}"

def async_register(hass, domain, name, webhook_id, handler, *, allowed_methods=None):
    assert webhook_id not in HANDLERS and allowed_methods == ["POST"]
    HANDLERS[webhook_id] = handler

def async_unregister(hass, webhook_id):
    del HANDLERS[webhook_id]
""",
    "components/sensor.py": """
from enum import Enum

class SensorDeviceClass(Enum):
    VOLTAGE = "voltage"

class SensorStateClass(Enum):
    MEASUREMENT = "measurement"

class SensorEntity:
    pass
""",
    "components/switch.py": "class SwitchEntity:\n    pass\n",
    "config_entries.py": """
from typing import Any, Generic, TypeVar

T = TypeVar("T")
ConfigFlowResult = dict[str, Any]

class ConfigEntry(Generic[T]):
    def __init__(self, title, data, unique_id):
        self.title, self.data, self.unique_id = title, data, unique_id
        self._on_unload = []

    def async_on_unload(self, function):
        self._on_unload.append(function)

    def unload(self):
        while self._on_unload:
            self._on_unload.pop()()

class AbortFlow(Exception):
    pass

class ConfigFlow:
    def __init_subclass__(cls, domain=None):
        cls.domain = domain

    def __init__(self, hass, entries=(), entry=None):
        self.hass, self._entries, self._entry, self.unique_id = hass, entries, entry, None

    async def async_set_unique_id(self, unique_id):
        self.unique_id = unique_id

    def _same(self):
        return [entry for entry in self._entries if entry.unique_id == self.unique_id]

    def _abort_if_unique_id_configured(self, updates=None):
        for entry in self._same():
            entry.data.update(updates or {})
            raise AbortFlow("already_configured")

    def _abort_if_unique_id_mismatch(self):
        if self._entry.unique_id != self.unique_id:
            raise AbortFlow("unique_id_mismatch")

    def _async_abort_entries_match(self, match):
        if any(match.items() <= entry.data.items() for entry in self._entries):
            raise AbortFlow("already_configured")

    def _get_reconfigure_entry(self):
        return self._entry

    def async_update_reload_and_abort(self, entry, data_updates):
        entry.data.update(data_updates)
        return {"type": "abort", "reason": "reconfigure_successful"}

    def async_show_form(self, *, step_id, data_schema=None, errors=None):
        return {"type": "form", "step_id": step_id, "errors": errors or {}}

    def async_abort(self, *, reason):
        return {"type": "abort", "reason": reason}

    def async_create_entry(self, *, title, data):
        return {"type": "create_entry", "title": title, "data": data}
""",
    "const.py": """
from enum import Enum

CONF_IP_ADDRESS, CONF_MAC, CONF_WEBHOOK_ID = "ip_address", "mac", "webhook_id"

class Platform(Enum):
    SENSOR = "sensor"
    SWITCH = "switch"

class EntityCategory(Enum):
    DIAGNOSTIC = "diagnostic"

class UnitOfElectricPotential(Enum):
    VOLT = "V"
""",
    "core.py": """
import importlib

class Entries:
    def __init__(self, hass):
        self.hass, self.entities, self.loaded = hass, [], []

    async def async_forward_entry_setups(self, entry, platforms):
        for platform in platforms:
            module = importlib.import_module(f"garden.{platform.value}")
            await module.async_setup_entry(self.hass, entry, self.entities.extend)
            self.loaded.append(platform)

    async def async_unload_platforms(self, entry, platforms):
        assert self.loaded == platforms
        self.entities.clear()
        self.loaded.clear()
        return True

class HomeAssistant:
    def __init__(self, session, url):
        self.session, self.url = session, url
        self.config_entries = Entries(self)
""",
    "exceptions.py": """
class HomeAssistantError(Exception):
    def __init__(self, *arguments, translation_domain=None, translation_key=None, translation_placeholders=None):
        super().__init__(*arguments)
        self.translation_key = translation_key

class ConfigEntryNotReady(HomeAssistantError):
    pass
""",
    "helpers/__init__.py": "",
    "helpers/aiohttp_client.py": "def async_get_clientsession(hass):\n    return hass.session\n",
    "helpers/device_registry.py": """
CONNECTION_NETWORK_MAC = "mac"
DeviceInfo = dict

def format_mac(mac):
    return ":".join(mac.lower()[at : at + 2] for at in range(0, 12, 2))
""",
    "helpers/entity_platform.py": "AddConfigEntryEntitiesCallback = object\n",
    "helpers/service_info/__init__.py": "",
    "helpers/service_info/zeroconf.py": """
class ZeroconfServiceInfo:
    def __init__(self, host):
        self.host = host
""",
    "helpers/update_coordinator.py": """
from typing import Generic, TypeVar

T = TypeVar("T")

class DataUpdateCoordinator(Generic[T]):
    def __init__(self, hass, logger, *, config_entry, name):
        self.hass = hass

    def async_set_updated_data(self, data):
        self.data = data

class CoordinatorEntity(Generic[T]):
    available = True

    def __init__(self, coordinator):
        self.coordinator = coordinator
""",
}

DRIVER = """
import asyncio
import aiohttp
from aiohttp import web
from homeassistant.components import webhook
from homeassistant.config_entries import AbortFlow, ConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ConfigEntryNotReady, HomeAssistantError
from homeassistant.helpers.service_info.zeroconf import ZeroconfServiceInfo

import garden
from garden.config_flow import GardenConfigFlow
from garden.diagnostics import async_get_config_entry_diagnostics

HUB, OTHER, NOBODY = "192.0.2.57", "192.0.2.59", "192.0.2.10:9"


async def aborts(step, reason):
    try:
        await step
    except AbortFlow as err:
        assert str(err) == reason, err
    else:
        raise AssertionError(f"not aborted: {reason}")


async def serve(hass):
    async def take(request):
        handler = webhook.HANDLERS.get(request.match_info["id"])
        return web.Response() if handler is None else await handler(hass, request.match_info["id"], request)

    app = web.Application()
    app.router.add_post("/api/webhook/{id}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hass.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    return runner


async def flow(hass):
    form = await GardenConfigFlow(hass).async_step_user()
    assert form["type"] == "form" and not form["errors"]
    failed = await GardenConfigFlow(hass).async_step_user({"ip_address": NOBODY})
    assert failed["errors"] == {"base": "cannot_connect"}, failed
    found = GardenConfigFlow(hass)
    assert (await found.async_step_zeroconf(ZeroconfServiceInfo(HUB)))["step_id"] == "confirm"
    result = await found.async_step_confirm({})
    assert result["type"] == "create_entry", result
    return ConfigEntry(result["title"], result["data"], found.unique_id)


async def flow_again(hass, entry):
    await aborts(GardenConfigFlow(hass, [entry]).async_step_user({"ip_address": HUB}), "already_configured")
    await aborts(GardenConfigFlow(hass, [entry]).async_step_zeroconf(ZeroconfServiceInfo(HUB)), "already_configured")
    entry.data["ip_address"] = NOBODY
    moved = GardenConfigFlow(hass, [entry]).async_step_zeroconf(ZeroconfServiceInfo(HUB))
    await aborts(moved, "already_configured")
    assert entry.data["ip_address"] == HUB
    other = GardenConfigFlow(hass, [entry], entry)
    await aborts(other.async_step_reconfigure({"ip_address": OTHER}), "unique_id_mismatch")
    same = GardenConfigFlow(hass, [entry], entry)
    assert (await same.async_step_reconfigure({"ip_address": HUB}))["reason"] == "reconfigure_successful"


async def use(hass, entry):
    coordinator = entry.runtime_data
    inputs, battery, valves = hass.config_entries.entities[:4], *hass.config_entries.entities[4:5], hass.config_entries.entities[5:]
    assert len(valves) == 2 and len({entity._attr_unique_id for entity in hass.config_entries.entities}) == 7
    assert not inputs[0].available and valves[0].available and valves[0].is_on is None
    while 1 not in coordinator.data:  # a hub takes one sample a second, and its last one went to the config flow
        await coordinator.hub.request_update()
        await asyncio.sleep(0.2)
    assert [entity.native_value for entity in inputs] == [1.04, 1.26, 1.5, 1.72], coordinator.data
    assert inputs[0].available
    assert battery.native_value == 9.2
    await valves[0].async_turn_on()
    assert valves[0].is_on is True and (await coordinator.hub.get_actuators())[0].is_on
    await valves[0].async_turn_off()
    assert valves[0].is_on is False and not (await coordinator.hub.get_actuators())[0].is_on
    async with hass.session.post(f"{hass.url}/api/webhook/{entry.data['webhook_id']}", data=b"no update") as reply:
        assert reply.status == 400
    report = await async_get_config_entry_diagnostics(hass, entry)
    assert entry.data["webhook_id"] not in str(report)
    coordinator.hub.ip_address = NOBODY
    try:
        await valves[0].async_turn_on()
    except HomeAssistantError as err:
        assert err.translation_key == "failed"
    else:
        raise AssertionError("a command to nobody went well")


async def main():
    async with aiohttp.ClientSession() as session:
        hass = HomeAssistant(session, "")
        runner = await serve(hass)
        entry = await flow(hass)
        await flow_again(hass, entry)
        assert await garden.async_setup_entry(hass, entry) is True
        await use(hass, entry)
        assert await garden.async_unload_entry(hass, entry) is True
        entry.unload()
        assert not webhook.HANDLERS and not session.closed
        hub = garden.hub_of(hass, entry)
        assert "HomeAssistant" in [server.name for server in await hub.list_servers()]
        await garden.async_remove_entry(hass, entry)
        assert "HomeAssistant" not in [server.name for server in await hub.list_servers()]
        away = ConfigEntry(entry.title, {**entry.data, "ip_address": NOBODY}, entry.unique_id)
        stranger = ConfigEntry(entry.title, {**entry.data, "ip_address": OTHER}, entry.unique_id)
        for wrong in (away, stranger):
            try:
                await garden.async_setup_entry(hass, wrong)
            except ConfigEntryNotReady:
                pass
            else:
                raise AssertionError("a hub that is not there was set up")
        await runner.cleanup()


asyncio.run(main())
"""
