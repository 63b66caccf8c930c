"""A day of a hundred hubs: brokers and bridges come and go, and every sample and every command ends up where it should."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import aiomqtt
import pytest
from mqtt.harness import (
    Mosquitto,
    Program,
    client_of,
    need_mosquitto,
    properties_for_session,
    settings_file,
    until,
    url_of,
)
from paho.mqtt.subscribeoptions import SubscribeOptions
from raw_hub import drain

from vegehub.simulator import Simulation

HUBS = 100
HOURS = 24
HOUR = 3600.0
CRASH = 10
AWAY = (4, 5, 16, 17)
"""Hours in which the broker is away."""
FINAL = {"delivered", "expired", "replaced", "rejected", "refused", "unknown"}


class Consumer:
    """A client with a session that the broker keeps while it is away; it looks at (hub, slot, time)."""

    def __init__(self, broker: Mosquitto) -> None:
        self._broker = broker
        self.samples: dict[tuple[str, int, str], set[float]] = defaultdict(set)
        self.subscribed = asyncio.Event()

    async def run(self) -> None:
        while True:
            with suppress(aiomqtt.MqttError):
                client = client_of(
                    self._broker, identifier="consumer", clean_start=False, properties=properties_for_session(3600)
                )
                async with client:
                    await client.subscribe([("vegehub/+/update", SubscribeOptions(qos=1))])
                    self.subscribed.set()
                    async for message in client.messages:
                        self._take(json.loads(message.payload))
            await asyncio.sleep(0.05)

    def _take(self, update) -> None:
        for reading in update["readings"]:
            for sample in reading["samples"]:
                self.samples[update["hub"], reading["slot"], sample["time"]].add(sample["value"])


class Sender:
    """Sends each command again, with the same id, until it knows the outcome."""

    def __init__(self, broker: Mosquitto) -> None:
        self._broker = broker
        self._connected = asyncio.Event()
        self._client: aiomqtt.Client | None = None
        self._answers: dict[str, asyncio.Queue[str]] = defaultdict(asyncio.Queue)
        self.final: dict[str, str] = {}

    async def run(self) -> None:
        while True:
            with suppress(aiomqtt.MqttError):
                async with client_of(self._broker) as client:
                    await client.subscribe([("vegehub/+/actuator/+/result", SubscribeOptions(qos=1))])
                    self._client = client
                    self._connected.set()
                    async for message in client.messages:
                        answer = json.loads(message.payload)
                        self._answers[answer["id"]].put_nowait(answer["outcome"])
            self._connected.clear()
            await asyncio.sleep(0.05)

    async def send(self, topic: str, number: int, seconds: float) -> None:
        """Send one command, that may wait for ``seconds``, until its outcome is known."""
        id_ = f"{topic}#{number}"
        expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
        # The duration tells commands apart at the hub.
        command = {"state": "ON", "duration": 60 + number, "expires_at": expires_at.isoformat(), "id": id_}
        outcome = ""
        while outcome not in FINAL:
            await self._connected.wait()
            with suppress(aiomqtt.MqttError):
                await self._client.publish(topic, json.dumps(command), qos=1, timeout=2)
            with suppress(TimeoutError):
                async with asyncio.timeout(2):
                    outcome = await self._answers[id_].get()
        self.final[id_] = outcome


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_day_of_a_hundred_hubs_with_two_outages_of_the_broker_and_a_crash_of_the_bridge(
    tmp_path, programs
) -> None:
    need_mosquitto()
    async with Mosquitto(tmp_path / "broker") as broker, Simulation(seed=5) as simulation:
        hubs = [await simulation.add_hub(sample_period=900, update_period=3600) for _ in range(HUBS)]
        bridge = Program(programs, settings_file(tmp_path / "bridge.yaml", broker, hubs))
        await bridge.start()
        for hub in hubs:
            hub.point_at(url_of(bridge.port))
        consumer, sender = Consumer(broker), Sender(broker)
        clients = [asyncio.create_task(consumer.run()), asyncio.create_task(sender.run())]
        await consumer.subscribed.wait()
        events = {
            4: broker.stop,
            6: broker.start,
            CRASH: lambda: bridge.stop(signal.SIGKILL),
            12: bridge.start,
            16: broker.stop,
            18: broker.start,
        }
        commands = []
        for hour in range(HOURS):
            if hour == CRASH:
                # What was given while the broker was away has its outcome by then: only a crash makes one unknown.
                await asyncio.gather(*commands)
            # In the middle of what hubs and commands are doing, not between two hours.
            event = asyncio.create_task(events[hour]()) if hour in events else None
            for index in range(hour % 4, HUBS, 4):
                topic = f"vegehub/{hubs[index].mac}/actuator/0/set"
                before = commands[-HUBS] if len(commands) >= HUBS else None
                # Of those that are given while the broker is away, half are not worth waiting for it.
                seconds = 0.01 if hour in (4, 16) else 120
                commands.append(asyncio.create_task(in_turn(before, sender.send(topic, hour, seconds))))
            await simulation.advance(HOUR)
            if event is not None:
                await event
        await asyncio.gather(*commands)
        await drain(simulation, hubs)
        taken = {(hub.mac, slot, text): {value} for hub in hubs for slot, text, value in hub.samples_taken}
        await until(lambda: len(consumer.samples) >= len(taken))
        finished = await bridge.stop()
        for client in clients:
            client.cancel()
        await asyncio.wait(clients)
    assert finished.code == 0, finished.err
    assert "Traceback" not in finished.err
    assert len(taken) >= HUBS * HOURS * 4 * 5
    assert consumer.samples == taken
    assert_commands(hubs, sender)


async def in_turn(before: asyncio.Task | None, work) -> None:
    if before is not None:
        await asyncio.wait([before])
    await work


def assert_commands(hubs, sender: Sender) -> None:
    """Each command has its outcome; none was executed twice, out of order, or although it is said to have expired."""
    outcomes = list(sender.final.values())
    assert len(outcomes) == HUBS * HOURS // 4
    assert set(outcomes) <= {"delivered", "expired", "unknown"}
    assert {"delivered", "expired"} <= set(outcomes)
    given_while_away = [outcome for id_, outcome in sender.final.items() if int(id_.partition("#")[2]) in AWAY]
    assert len(given_while_away) == len(AWAY) * HUBS // 4
    assert set(given_while_away) == {"delivered", "expired"}
    for hub in hubs:
        executed = [int(command.duration) - 60 for command in hub.actuators[0].commands]
        assert executed == sorted(set(executed))
        of_hub = {id_.partition("#")[2]: outcome for id_, outcome in sender.final.items() if hub.mac in id_}
        delivered = {int(number) for number, outcome in of_hub.items() if outcome == "delivered"}
        unknown = {int(number) for number, outcome in of_hub.items() if outcome == "unknown"}
        assert delivered <= set(executed) <= delivered | unknown
