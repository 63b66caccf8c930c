"""The commands that only read: info, readings, actuators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from vegehub.exceptions import VegeHubNoActuatorsError, VegeHubValueError

from . import options
from .output import Output, fields, iso, local_time, shown, table
from .runner import run
from .target import opened

if TYPE_CHECKING:
    from vegehub.sensors import SensorCurve
    from vegehub.wire import Actuator, HubInfo, Reading


def info(
    host: options.Host,
    *,
    timeout: options.Timeout = 10.0,
    show_secrets: options.Secrets = False,
    json: options.Json = False,
) -> None:
    """Show what a hub says of itself."""
    output = Output(as_json=json, show_secrets=show_secrets)

    async def read() -> tuple[str, HubInfo]:
        async with opened(host, output, timeout=timeout) as hub:
            return hub.ip_address, await hub.get_info()

    address, found = run(read())
    output.show(info_document(address, found, output), _info_text(address, found, output))


def readings(
    host: options.Host,
    *,
    sensor: options.SensorNames = None,
    timeout: options.Timeout = 10.0,
    json: options.Json = False,
) -> None:
    """Show the latest value of each input, in volts; with --sensor also what the sensor measures."""
    output = Output(as_json=json)
    curves = options.sensors(sensor)

    async def read() -> tuple[str, tuple[Reading, ...]]:
        async with opened(host, output, timeout=timeout) as hub:
            return hub.ip_address, await hub.get_readings()

    address, found = run(read())
    rows = reading_documents(found, curves)
    for slot in curves.keys() - {row["slot"] for row in rows}:
        output.say(f"there is no reading of slot {slot}", "yellow")
    for reading in found:
        if reading.latest is None:
            output.say(
                f"slot {reading.slot} has no value: {shown('; '.join(reading.problems) or 'the hub sent none')}",
                "yellow",
            )
    listing = table("Slot", "Volts", "Value", "Sensor", right=("Slot", "Volts", "Value"))
    for row in rows:
        listing.add_row(f"{row['slot']}", f"{row['volts']:.3f}", value_text(row), row.get("sensor", "-"))
    output.show({"host": address, "readings": rows}, listing)


def actuators(host: options.Host, *, timeout: options.Timeout = 10.0, json: options.Json = False) -> None:
    """Show the state of each actuator."""
    output = Output(as_json=json)

    async def read() -> tuple[str, tuple[Actuator, ...]]:
        async with opened(host, output, timeout=timeout) as hub:
            try:
                return hub.ip_address, await hub.get_actuators()
            except VegeHubNoActuatorsError:
                if (await hub.get_info()).num_actuators:
                    raise
                return hub.ip_address, ()  # some firmware leaves the list out where there is nothing to list

    address, found = run(read())
    document = {"host": address, "actuators": [_actuator_document(actuator) for actuator in found]}
    output.show(document, _actuators_text(found))


def info_document(address: str, found: HubInfo, output: Output) -> dict[str, Any]:
    """Return what a hub says of itself as an object for programs."""
    wifi = found.wifi
    return {
        "host": address,
        "mac": found.mac,
        "firmware": found.firmware,
        "num_sensors": found.num_sensors,
        "num_actuators": found.num_actuators,
        "num_virtual_sensors": found.num_virtual_sensors,
        "is_ac": found.is_ac,
        "battery_volts": found.battery_volts,
        "error_code": found.error_code,
        "first_boot": found.first_boot,
        "has_sd": found.has_sd,
        "on_access_point": found.on_access_point,
        "wifi": {
            "ssid": wifi.ssid if output.show_secrets else output.secret(wifi.ssid or ""),
            "rssi": wifi.rssi,
            "channel": wifi.channel,
            "ip": wifi.ip,
        },
        "problems": list(found.problems),
    }


def reading_documents(found: tuple[Reading, ...], curves: dict[int, SensorCurve]) -> list[dict[str, Any]]:
    """Return one object for each slot with a value; ``value`` and ``unit`` where the sensor is known."""
    return [
        {
            "slot": reading.slot,
            "volts": reading.latest.value,
            **converted(reading.latest.value, curves.get(reading.slot)),
        }
        for reading in found
        if reading.latest is not None
    ]


def converted(volts: float, curve: SensorCurve | None) -> dict[str, Any]:
    """Return what a sensor measures at ``volts``; empty where there is no curve."""
    if curve is None:
        return {}
    try:
        value: float | None = round(curve.convert(volts), 2)
    except VegeHubValueError:
        value = None
    return {"value": value, "unit": curve.unit, "sensor": curve.name}


def value_text(row: dict[str, Any]) -> str:
    """Write a converted value with its unit; "-" for none."""
    return "-" if row.get("value") is None else f"{row['value']:.1f} {row['unit']}".rstrip()


def _info_text(address: str, found: HubInfo, output: Output) -> Any:
    wifi = found.wifi
    rows = {
        "Address": address,
        "MAC": shown(found.mac),
        "Firmware": shown(found.firmware),
        "Sensors": f"{shown(found.num_sensors)} wired"
        + (f", {found.num_virtual_sensors} remote" if found.num_virtual_sensors else ""),
        "Actuators": shown(found.num_actuators),
        "Supply": "AC" if found.is_ac else "-" if found.battery_volts is None else f"{found.battery_volts:.2f} V",
        "Signal": "-" if wifi.rssi is None else f"{wifi.rssi} dBm, channel {shown(wifi.channel)}",
        "Network": output.secret(wifi.ssid or "") or "-",
        "Error": "none" if found.error_code == 0 else shown(found.error_code),
    }
    notes = [
        text
        for text, holds in (
            ("first start", found.first_boot),
            ("SD card", found.has_sd),
            ("on its own access point", found.on_access_point),
        )
        if holds
    ]
    rows |= {"Notes": ", ".join(notes)} if notes else {}
    return fields(rows | ({"Odd": "; ".join(map(shown, found.problems))} if found.problems else {}))


def _actuator_document(actuator: Actuator) -> dict[str, Any]:
    return {
        "slot": actuator.slot,
        "is_on": actuator.is_on,
        "last_run": iso(actuator.last_run),
        "next_window_start": iso(actuator.next_window_start),
        "next_window_end": iso(actuator.next_window_end),
        "current_ma": actuator.current_ma,
        "typical_ma": actuator.typical_ma,
        "error_code": actuator.error_code,
    }


def _actuators_text(found: tuple[Actuator, ...]) -> Any:
    if not found:
        return "This hub has no actuators."
    listing = table("Slot", "State", "Last run", "Next window", "mA", "Error", right=("Slot", "mA", "Error"))
    for actuator in found:
        listing.add_row(
            f"{actuator.slot}",
            Text("on", style="bold green") if actuator.is_on else "off",
            local_time(actuator.last_run),
            local_time(actuator.next_window_start),
            "-" if actuator.current_ma is None else f"{actuator.current_ma:g}",
            shown(actuator.error_code),
        )
    return listing
