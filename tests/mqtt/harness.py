"""A real broker, a client that notes what it hears, and bridges, for the tests of the bridge."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import random
import shutil
import signal
import socket
import sys
from collections import defaultdict
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import aiomqtt
import pytest
import yaml
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from vegehub.mqtt import BridgeSettings, BrokerSettings, CommandRules, HubSettings, MqttBridge, ReceiverSettings

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "a-token-for-these-tests"
MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def need_mosquitto() -> str:
    """The path of the broker; where it is not installed, the test is skipped: scripts/test and .ci/run see to that."""
    if MOSQUITTO is None:
        pytest.skip("Mosquitto is not installed: run scripts/mosquitto as root")
    return MOSQUITTO


def free_port() -> int:
    """A port that no outgoing connection is given, so that a broker that was stopped gets it back."""
    while True:
        port = random.SystemRandom().randrange(12_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


async def until(condition):
    """Wait until ``condition()``, which may be async, is true; the timeout of the test ends it otherwise."""
    while not (await found if inspect.isawaitable(found := condition()) else found):  # noqa: ASYNC110 - what it is, is open
        await asyncio.sleep(0.01)


class Mosquitto:
    """A broker on a free port of the loopback, with a data directory of its own, that can be stopped and started."""

    def __init__(self, folder: Path, *lines: str, host: str = "127.0.0.1", anonymous: bool = True) -> None:
        self.host = host
        self.port = free_port()
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        folder.mkdir(parents=True, exist_ok=True)
        user = ["user root"] if os.geteuid() == 0 else []
        config = [
            f"listener {self.port} {host}",
            f"allow_anonymous {'true' if anonymous else 'false'}",
            "persistence true",
            f"persistence_location {folder}/",
            f"log_dest file {folder}/mosquitto.log",
            "max_queued_messages 1000000",  # not 0: Mosquitto 2.0.11 then cuts each connection on which it refuses a message
            "set_tcp_nodelay true",
            *user,
            *lines,
        ]
        (folder / "mosquitto.conf").write_text("\n".join(config) + "\n", encoding="utf-8")

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            need_mosquitto(),
            "-c",
            str(self._folder / "mosquitto.conf"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        while True:
            assert self._process.returncode is None, (self._folder / "mosquitto.log").read_text(encoding="utf-8")
            with suppress(OSError):
                _, writer = await asyncio.open_connection(self.host, self.port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.02)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(how)
            await self._process.wait()

    def pause(self) -> None:
        """Have it take connections and answer nothing, as a machine that hangs."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        if self._process is not None and self._process.returncode is None:
            self.resume()
        await self.stop()


class Heard:
    """One message that came in."""

    def __init__(self, message: aiomqtt.Message) -> None:
        self.topic = str(message.topic)
        self.payload = bytes(message.payload)
        self.retain = message.retain

    @property
    def text(self) -> str:
        return self.payload.decode()

    @property
    def json(self):
        return json.loads(self.payload)

    def __repr__(self) -> str:
        return f"<{self.topic} {self.payload[:200]!r}{' retained' if self.retain else ''}>"


class Ear:
    """A client that notes all it hears, and lets tests wait for it."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.heard: list[Heard] = []
        self._by_topic: dict[str, list[Heard]] = defaultdict(list)
        self._changed = asyncio.Event()

    async def listen(self) -> None:
        async for message in self.client.messages:
            heard = Heard(message)
            self.heard.append(heard)
            self._by_topic[heard.topic].append(heard)
            self._changed.set()

    async def processed(self, name: str = "main") -> None:
        """Wait until a bridge has gone through all that was sent so far: it contradicts who says that it is gone."""
        topic = f"vegehub/bridge/{name}/availability"
        await self.said(topic, "online")
        count = len(self.on(topic))
        await self.send(topic, "offline", retain=True)
        await self.wait(topic, count + 2)
        await self.said(topic, "online")

    def on(self, topic: str) -> list[Heard]:
        return self._by_topic[topic]

    def last(self, topic: str) -> str | None:
        messages = self._by_topic[topic]
        return messages[-1].text if messages else None

    async def until(self, condition):
        """Wait until ``condition()`` is true, looking after each message; return what it gave."""
        while not (found := condition()):
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await self._changed.wait()
        return found

    async def wait(self, topic: str, count: int = 1) -> Heard:
        """Wait for the ``count``th message on a topic."""
        await self.until(lambda: len(self._by_topic[topic]) >= count)
        return self._by_topic[topic][count - 1]

    async def said(self, topic: str, text: str) -> None:
        """Wait until ``text`` is the last word on a topic."""
        await self.until(lambda: self.last(topic) == text)

    async def send(self, topic: str, payload: str | bytes, *, retain: bool = False) -> None:
        await self.client.publish(topic, payload, qos=1, retain=retain)


class CarefulClient(aiomqtt.Client):
    """A client that leaves a socket alone that was closed meanwhile."""

    def _on_socket_register_write(self, client, userdata, sock) -> None:
        if sock.fileno() >= 0:
            self._loop.call_soon_threadsafe(lambda: client.socket() is sock and self._register(client, userdata, sock))

    def _register(self, client, userdata, sock) -> None:
        self._loop.add_writer(sock.fileno(), client.loop_write)


def client_of(broker: Mosquitto, **options) -> aiomqtt.Client:
    # Without an address of its own, paho binds to all of them, which the tests' guard of the network refuses.
    settings = {"protocol": aiomqtt.ProtocolVersion.V5, "clean_start": True, "bind_address": broker.host, **options}
    client = CarefulClient(broker.host, broker.port, **settings)
    client.pending_calls_threshold = 10_000
    return client


@asynccontextmanager
async def ear(broker: Mosquitto, *topics: str, **options):
    """A client that listens to ``topics``, by default to all."""
    async with client_of(broker, **options) as client:
        listening = Ear(client)
        task = asyncio.create_task(listening.listen())
        await client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in topics or ("#",)])
        try:
            yield listening
        finally:
            task.cancel()
            await asyncio.wait([task])


@asynccontextmanager
async def kept_ear(broker: Mosquitto):
    """A client that listens to all, and for which the broker keeps, while it is away, what it would have heard."""
    options = {"identifier": "kept", "clean_start": False, "properties": properties_for_session(600)}
    async with ear(broker, **options) as listening:
        yield listening


def properties_for_session(seconds: int) -> Properties:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = seconds
    return properties


def hub_settings(hub, **changes) -> HubSettings:
    """The settings of a simulated hub."""
    profile = hub.profile
    given = {
        "inputs": profile.num_inputs,
        "actuators": profile.num_actuators,
        "battery": profile.has_battery_slot,
        "rules": CommandRules(),
        **changes,
    }
    return HubSettings(mac=hub.mac, address=hub.address, **given)


def bridge_settings(broker: Mosquitto, state: Path, *hubs: HubSettings, **changes) -> BridgeSettings:
    """The settings of a bridge on a free port."""
    return replace(
        BridgeSettings(
            broker=BrokerSettings(host=broker.host, port=broker.port, bind_address=broker.host, reconnect_max=1.0),
            receiver=ReceiverSettings(host="127.0.0.1", port=0, token=TOKEN),
            state=state,
            hubs=hubs,
        ),
        **changes,
    )


@asynccontextmanager
async def running(settings: BridgeSettings, *simulated, connected: bool = True):
    """A bridge that runs, with the simulated hubs pointed at it."""
    async with MqttBridge(settings) as bridge:
        for hub in simulated:
            hub.point_at(url_of(bridge.receiver.port))
        if connected:
            await bridge.wait_connected()
        yield bridge


def url_of(port: int) -> str:
    return f"http://127.0.0.1:{port}/{TOKEN}"


def settings_file(path: Path, broker: Mosquitto, hubs, **changes) -> Path:
    """Write a file of settings for simulated hubs; the port of the receiver is a free one."""
    document = {
        "state": str(path.parent / f"{path.stem}-state"),
        "broker": {"host": broker.host, "port": broker.port, "bind_address": broker.host, "reconnect_max": 1},
        "receiver": {"host": "127.0.0.1", "port": free_port(), "token": TOKEN},
        "hubs": [
            {
                "mac": hub.mac,
                "address": hub.address,
                "inputs": hub.profile.num_inputs,
                "actuators": hub.profile.num_actuators,
                "battery": hub.profile.has_battery_slot,
                "sleeps": hub.device.sleeps,
            }
            for hub in hubs
        ],
        **changes,
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


class Program:
    """A bridge as a process of its own, that can be ended and started."""

    def __init__(self, programs, config: Path) -> None:
        self.port = yaml.safe_load(config.read_text(encoding="utf-8"))["receiver"]["port"]
        self._programs = programs
        self._config = config
        self.process = None

    async def start(self) -> None:
        command = (sys.executable, "-W", "error", "-m", "vegehub.mqtt", "--config", str(self._config))
        self.process = await self._programs.start(*command)
        assert await self.process.stdout.readline() == b"listening for hubs on 127.0.0.1:%d\n" % self.port

    async def stop(self, how: signal.Signals = signal.SIGTERM):
        self.process.send_signal(how)
        return await self._programs.finish(self.process)
