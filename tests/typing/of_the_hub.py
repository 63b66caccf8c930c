"""What type checkers say of `VegeHub` and of what it returns; checked, never run.

``assert_type`` fails if a type is another one, and an ignored error that is none any more fails as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, assert_type

from aiohttp import ClientSession

from vegehub import (
    Actuator,
    DiscoveredHub,
    HubInfo,
    Outcome,
    Reading,
    Sample,
    Server,
    ServerChange,
    VegeHub,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubMismatchError,
    VegeHubNoActuatorsError,
    VegeHubPayloadError,
    VegeHubResponseError,
    VegeHubSessionError,
    VegeHubTimeoutError,
    VegeHubValueError,
    WifiInfo,
    __version__,
    therm200_transform,
    update_data_to_ha_dict,
    update_data_to_latest_dict,
    vh400_transform,
)
from vegehub.hub import HubConnection, Watering


def constructor(session: ClientSession, found: DiscoveredHub, info: dict[str, Any]) -> None:
    assert_type(VegeHub("192.0.2.57"), VegeHub)
    VegeHub("192.0.2.57", "7C9EBD112233", "mine", info, session)
    VegeHub("192.0.2.57", mac_address="", unique_id="", info=None, session=None)
    VegeHub("192.0.2.57", timeout=1, idle_timeout=None, verify_mac=False, max_on=timedelta(hours=1))
    assert_type(VegeHub.from_discovery(found, session=session), VegeHub)

    VegeHub()  # type: ignore[call-arg]
    VegeHub(57)  # type: ignore[arg-type]
    VegeHub("192.0.2.57", "", "", None, None, 10.0)  # type: ignore[call-arg]
    VegeHub("192.0.2.57", session="session")  # type: ignore[arg-type]
    VegeHub("192.0.2.57", timeout="10 s")  # type: ignore[arg-type]
    VegeHub("192.0.2.57", timeout=timedelta(seconds=10))  # type: ignore[arg-type]
    VegeHub("192.0.2.57", time_out=10)  # type: ignore[call-arg]
    VegeHub.from_discovery("192.0.2.57")  # type: ignore[arg-type]


class Garden(VegeHub):
    """A class of a user's own."""


async def a_class_of_ones_own_stays_what_it_is(found: DiscoveredHub) -> None:
    assert_type(Garden.from_discovery(found), Garden)
    async with Garden("192.0.2.57") as garden:
        assert_type(garden, Garden)


async def what_is_known_without_asking(hub: VegeHub) -> None:
    assert_type(hub.ip_address, str)
    assert_type(hub.mac_address, str)
    assert_type(hub.unique_id, str)
    assert_type(hub.url, str)
    assert_type(hub.info, dict[str, Any] | None)
    assert_type(hub.entities, dict[Any, Any])
    assert_type(hub.max_on, float)
    assert_type(hub.connection, HubConnection)
    assert_type(hub.num_sensors, int | None)
    assert_type(hub.num_actuators, int | None)
    assert_type(hub.sw_version, str | None)
    assert_type(hub.is_ac, bool | None)
    assert_type(hub.owns_session, bool)
    assert_type(hub.session_open, bool)
    assert_type(hub.counters, dict[str, int])
    hub.ip_address = "192.0.2.58"

    hub.ip_address = None  # type: ignore[assignment]
    hub.mac_address = "7C9EBD112233"  # type: ignore[misc]
    hub.num_actuators + 1  # type: ignore[operator]


async def established_calls(hub: VegeHub) -> None:
    assert_type(await hub.retrieve_mac_address(), bool)
    assert_type(await hub.retrieve_mac_address(retries=2), bool)
    assert_type(await hub.setup("key", "http://192.0.2.10:8123/", 1), bool)
    assert_type(await hub.set_actuator(1, 0, 600, 1), bool)
    assert_type(await hub.actuator_states(retries=1), list[dict[str, Any]])
    assert_type(await hub.request_update(), bool)
    assert_type(await hub.close(), None)
    assert_type(await hub._get_session(), ClientSession)
    assert_type(hub._session, ClientSession | None)
    assert_type(hub._owns_session, bool)
    assert_type(await hub._get_device_info(), dict[str, Any] | None)
    assert_type(await hub._get_device_config(0), dict[str, Any] | None)
    assert_type(await hub._set_device_config(None), bool)
    assert_type(hub._modify_device_config(None, "key", "http://192.0.2.10/"), dict[str, Any] | None)

    await hub.setup("key")  # type: ignore[call-arg]
    await hub.set_actuator(1, 0)  # type: ignore[call-arg]
    await hub.set_actuator("on", 0, 600)  # type: ignore[arg-type]
    hub.set_actuator(1, 0, 600)  # type: ignore[unused-coroutine]
    hub._session = None  # type: ignore[misc]


async def reading(hub: VegeHub) -> None:
    info = await hub.get_info()
    assert_type(info, HubInfo)
    assert_type(info.mac, str)
    assert_type(info.num_sensors, int | None)
    assert_type(info.battery_volts, float | None)
    assert_type(info.wifi, WifiInfo)
    assert_type(info.wifi.rssi, int | None)
    assert_type(info.extra, Mapping[str, Any])
    assert_type(await hub.get_actuators(), tuple[Actuator, ...])
    (valve, *_) = await hub.get_actuators()
    assert_type(valve.is_on, bool)
    assert_type(valve.last_run, datetime | None)
    readings = await hub.get_readings()
    assert_type(readings, tuple[Reading, ...])
    assert_type(readings[0].latest, Sample | None)
    assert_type(readings[0].samples, tuple[Sample, ...])
    assert_type(readings[0].samples[0].value, float)
    assert_type(readings[0].samples[0].taken_at, datetime | None)
    assert_type(await hub.get_config(), dict[str, Any])
    assert_type(await hub.get_config("hub", "wifi"), dict[str, Any])
    assert_type(await hub.list_servers(), tuple[Server, ...])
    assert_type(await hub.diagnostics(), dict[str, Any])

    info.firmware = "5.2"  # type: ignore[misc]
    readings[0].latest.value  # type: ignore[union-attr]  # noqa: B018 - None without samples
    await hub.get_config(1)  # type: ignore[arg-type]


async def writing(hub: VegeHub, backup: dict[str, Any], moment: datetime) -> None:
    await hub.turn_on(0, 60)
    await hub.turn_on(slot=0, duration=timedelta(minutes=1), confirm=True)
    await hub.turn_off(0)
    await hub.turn_off(0, hold=1.5, confirm=True)
    assert_type(hub.watering(0, 60), Watering)
    async with hub.watering(slot=0, duration=timedelta(minutes=1)):
        pass
    await hub.set_config({"hub": {}})
    change = await hub.configure_server("http://192.0.2.10/", api_key="key", name="Garden", dry_run=True)
    assert_type(change, ServerChange)
    assert_type(change.changed, bool)
    assert_type(change.to_dict(), dict[str, Any])
    await hub.remove_server(change)
    assert_type(await hub.backup_config("wifi"), dict[str, Any])
    await hub.restore_config(backup, wifi=True)
    await hub.set_time()
    await hub.set_time(moment)
    assert_type(await hub.reconnect_wifi(), Outcome | None)

    await hub.turn_on(0)  # type: ignore[call-arg]
    await hub.turn_on(0, "1 min")  # type: ignore[arg-type]
    await hub.turn_on(0, None)  # type: ignore[arg-type]
    hub.turn_off(0)  # type: ignore[unused-coroutine]
    with hub.watering(0, 60):  # type: ignore[attr-defined]
        pass
    await hub.configure_server("http://192.0.2.10/", "key")  # type: ignore[call-arg]
    await hub.restore_config(backup, True)  # type: ignore[call-arg]
    await hub.remove_server("HomeAssistant")  # type: ignore[arg-type]
    await hub.set_time(1_700_000_000)  # type: ignore[arg-type]


def errors(error: VegeHubError, response: VegeHubResponseError, payload: VegeHubPayloadError) -> None:
    assert_type(error.host, str | None)
    assert_type(error.outcome, Outcome)
    assert_type(response.status, int | None)
    assert_type(payload.path, str)
    refused: ConnectionError = VegeHubConnectionError("refused")
    late: TimeoutError = VegeHubTimeoutError("late", host="192.0.2.57", outcome=Outcome.NOT_SENT)
    without: AttributeError = VegeHubNoActuatorsError("none")
    closed: RuntimeError = VegeHubSessionError("closed")
    wrong: ValueError = VegeHubValueError("wrong")
    every: list[VegeHubError] = [response, payload, VegeHubMismatchError("another hub")]
    del refused, late, without, closed, wrong, every

    no_such_thing: ConnectionError = VegeHubTimeoutError("late")  # type: ignore[assignment]
    VegeHubError("text", "192.0.2.57")  # type: ignore[call-arg]
    del no_such_thing


def helpers(data: dict[str, Any]) -> None:
    assert_type(__version__, str)
    assert_type(vh400_transform(1.5), float | None)
    assert_type(therm200_transform("1.5"), float | None)
    assert_type(update_data_to_latest_dict(data), dict[str, Any])
    assert_type(update_data_to_ha_dict(data, 4, 2, is_ac=False), dict[str, Any])

    update_data_to_ha_dict(data, 4, 2)  # type: ignore[call-arg]
    update_data_to_latest_dict("{}")  # type: ignore[arg-type]
