"""The bridge as a program: what ``vegehub bridge`` and ``python -m vegehub.mqtt`` do."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from vegehub.exceptions import VegeHubError, VegeHubValueError

from .bridge import MqttBridge
from .broker import check_broker
from .connection import load_client
from .discovery import Discovery
from .settings_file import load_settings
from .topics import Topics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vegehub.wire import SlotLayout

    from .settings import BridgeSettings

FAILED, USAGE = 1, 2
"""Exit codes: the bridge failed, or the broker said no; wrong settings."""


async def serve(settings: BridgeSettings) -> None:
    """Run a bridge until cancelled."""
    async with MqttBridge(settings) as bridge:
        print(f"listening for hubs on {settings.receiver.host}:{bridge.receiver.port}", flush=True)  # noqa: T201 - said to whoever started it
        await bridge.finished()


async def until_stopped(settings: BridgeSettings) -> None:
    """Run a bridge until SIGINT or SIGTERM, or until cancelled, and end in good order."""
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    received: list[int] = []

    def stop(number: int) -> None:
        # A second one does not break off what the first one has begun.
        if not received and task is not None:
            task.cancel()
        received.append(number)

    with suppress(NotImplementedError):  # Windows
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)
    try:
        await serve(settings)
    except asyncio.CancelledError:
        if not received:
            raise
    finally:
        with suppress(NotImplementedError):
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


async def check(settings: BridgeSettings) -> str:
    """Connect to the broker once; return what was found, VegeHubBrokerError if it was not reached."""
    await check_broker(settings.broker, settings.client_id)
    broker = settings.broker
    return f"settings of {len(settings.hubs)} hubs are fine, and broker {broker.host}:{broker.port} lets us in"


def topic_lines(settings: BridgeSettings) -> list[str]:
    """Return every topic of a bridge, with what it is; parts of hubs that only the hubs know are left open."""
    topics = Topics(settings.prefix)
    lines = [
        f"{topics.bridge_availability(settings.name)}  online, offline",
        f"{topics.bridge_status(settings.name)}  counters, JSON",
    ]
    for hub in settings.hubs:
        lines += _lines_of_hub(topics, hub.mac, hub.layout, commands=settings.commands)
    if settings.discovery is not None:
        bridge = settings.name if len(settings.group) <= 1 else None
        discovery = Discovery(topics, bridge, prefix=settings.discovery, commands=settings.commands)
        for hub in settings.hubs:
            found = discovery.messages(hub, hub.layout)
            lines += [f"{message.topic}  Home Assistant discovery, JSON" for message in found]
    return lines


def _lines_of_hub(topics: Topics, mac: str, layout: SlotLayout | None, *, commands: bool) -> list[str]:
    inputs = ["+"] if layout is None else [str(index + 1) for index in range(layout.num_sensors)]
    actuators = ["+"] if layout is None else [str(index) for index in range(layout.num_actuators)]
    root = topics.hub(mac)
    lines = [
        f"{topics.availability(mac)}  online, offline",
        f"{topics.presence(mac)}  awake, asleep or stale, and when it was last seen, JSON",
        f"{topics.update(mac)}  each update with all its samples, JSON, not retained",
        f"{topics.rssi(mac)}  dBm",
    ]
    if layout is None or layout.has_battery:
        lines.append(f"{topics.battery(mac)}  volts")
    for number in inputs:
        lines += [
            f"{root}/input/{number}  volts",
            f"{root}/input/{number}/value  in the unit of its sensor, if it has one",
        ]
    for number in actuators:
        lines.append(f"{topics.actuator(mac, number)}  ON, OFF")
        if commands:
            lines += [
                f"{topics.command(mac, number)}  commands: ON, OFF or JSON",
                f"{topics.result(mac, number)}  what became of them, JSON, not retained",
            ]
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser("python -m vegehub.mqtt", description="Publish what hubs send to an MQTT broker.")
    parser.add_argument("--config", metavar="FILE", help="settings in YAML; without it the environment has to have all")
    parser.add_argument("--check", action="store_true", help="check the settings, connect to the broker once, and end")
    parser.add_argument("--print-topics", action="store_true", help="list the topics, and end")
    parser.add_argument("--verbose", action="store_true", help="log what happens")
    arguments = parser.parse_args(argv)
    level = logging.DEBUG if arguments.verbose else logging.INFO
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("vegehub").setLevel(level)
    try:
        load_client()
        settings = load_settings(arguments.config, os.environ)
        if arguments.print_topics:
            print(*topic_lines(settings), sep="\n")  # noqa: T201 - it is what was asked for
        elif arguments.check:
            print(asyncio.run(check(settings)))  # noqa: T201 - as above
        else:
            asyncio.run(until_stopped(settings))
    except (VegeHubError, OSError) as err:
        print(f"error: {err}", file=sys.stderr)  # noqa: T201 - as above
        return USAGE if isinstance(err, VegeHubValueError) else FAILED
    return 0
