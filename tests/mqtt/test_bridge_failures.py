"""What goes wrong around a bridge, and what must not follow from it."""

from __future__ import annotations

import asyncio
import json
import os
import runpy
import signal
import socket
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from mqtt.harness import (
    Mosquitto,
    bridge_settings,
    ear,
    hub_settings,
    kept_ear,
    need_mosquitto,
    running,
    settings_file,
    until,
)

from vegehub.mqtt import MqttBridge
from vegehub.mqtt.bridge import LEDGER_FILE
from vegehub.mqtt.ledger import Ledger
from vegehub.mqtt.messages import Message
from vegehub.mqtt.program import main, until_stopped
from vegehub.mqtt.publisher import Publisher
from vegehub.simulator import SimulatedHub

pytestmark = pytest.mark.timeout(60)

ONLINE_TOPIC = "vegehub/bridge/main/availability"


@pytest.fixture
async def hub():
    async with SimulatedHub() as hub:
        yield hub


def topic_of(hub, rest: str) -> str:
    return f"vegehub/{hub.mac}/{rest}"


def broker_with_rules(tmp_path, *rules: str) -> Mosquitto:
    """A broker where `rules` hold for who gives no name, and all is allowed to who is called `ear`."""
    need_mosquitto()
    rights = tmp_path / "rights"
    rights.write_text("\n".join([*rules, "user ear", "topic readwrite #", ""]), encoding="utf-8")
    rights.chmod(0o644)
    return Mosquitto(tmp_path / "broker", f"acl_file {rights}", "log_type all")


def refusals(tmp_path, topic: str) -> int:
    """How often the broker has refused to take a message for a topic that begins like this."""
    log = (tmp_path / "broker" / "mosquitto.log").read_text(encoding="utf-8")
    return sum("Denied PUBLISH" in line and f"'{topic}" in line for line in log.splitlines())


# --- What the broker does not allow -----------------------------------------------------------------------------------


async def test_a_tree_of_topics_that_is_not_ours_is_left_alone_and_said_once(tmp_path, hub, caplog) -> None:
    async with (
        broker_with_rules(tmp_path, "topic readwrite vegehub/#", "topic deny vegehub/closed/2") as broker,
        running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))) as bridge,
    ):
        await until(lambda: refusals(tmp_path, "homeassistant/"))
        for connects in (1, 2):
            await until(lambda connects=connects: bridge._broker.connects == connects and bridge.connected)
            async with ear(broker, username="ear") as listener:
                bridge._board.put([Message(f"homeassistant/{connects}/b/c/d", "x")])
                for number in range(1, 4):
                    bridge._board.put([Message(f"vegehub/closed/{number}", f"{connects}")])
                await listener.said("vegehub/closed/3", f"{connects}")
            await broker.stop()
            await until(lambda: not bridge.connected)
            await broker.start()
        assert refusals(tmp_path, "vegehub/closed/2") == 1
        assert refusals(tmp_path, "homeassistant/2/") == 0
    warnings = [record.getMessage() for record in caplog.records if "refused a message" in record.getMessage()]
    warnings = [text for text in warnings if "homeassistant/" in text]
    assert len(warnings) == 1
    assert "what it refuses below homeassistant/ is left alone" in warnings[0]


async def test_a_bridge_that_may_not_say_that_it_is_there_carries_out_no_old_command_later(
    tmp_path, hub, caplog
) -> None:
    async with (
        broker_with_rules(tmp_path, "topic read #", f"topic write vegehub/{hub.mac}/#") as broker,
        running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))) as bridge,
        ear(broker, username="ear") as listener,
    ):
        await listener.send(topic_of(hub, "actuator/0/set"), '{"state":"ON","expires_in":1,"id":"old"}')
        await listener.send(topic_of(hub, "actuator/1/set"), '{"state":"OFF"}')
        await until(lambda: len(bridge._commander._turn._undecided) == 2)
        sent = datetime.now(UTC)
        await until(lambda: datetime.now(UTC) > sent + timedelta(seconds=1))
        await listener.send(ONLINE_TOPIC, "online")
        assert (await listener.wait(topic_of(hub, "actuator/0/result"))).json["outcome"] == "expired"
        assert (await listener.wait(topic_of(hub, "actuator/1/result"))).json["outcome"] == "delivered"
        await broker.stop()
        await until(lambda: not bridge.connected)
        await broker.start()
        await until(lambda: bridge._broker.connects == 2 and bridge.connected)
    assert hub.actuators[0].commands == []
    assert caplog.text.count("does not let us use vegehub/bridge/main/availability") == 1


async def test_a_result_that_the_broker_refuses_does_not_hold_up_the_next(tmp_path, hub, caplog) -> None:
    refused = topic_of(hub, "actuator/0/result")
    async with (
        broker_with_rules(tmp_path, "topic readwrite #", f"topic deny {refused}") as broker,
        running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))),
        ear(broker, username="ear") as listener,
    ):
        for actuator in (0, 1):
            await listener.send(topic_of(hub, f"actuator/{actuator}/set"), "OFF")
        assert (await listener.wait(topic_of(hub, "actuator/1/result"))).json["outcome"] == "delivered"
        assert not listener.on(refused)
    assert "a result is lost: " in caplog.text


# --- Crashes and ends -------------------------------------------------------------------------------------------------


async def test_an_update_that_comes_twice_after_a_crash_has_the_same_key(
    broker, listener, tmp_path, hub, monkeypatch
) -> None:
    publish = Publisher.publish
    acknowledged = asyncio.Event()

    async def publish_and_hang(self, update) -> None:
        await publish(self, update)
        acknowledged.set()
        await asyncio.Event().wait()

    settings = bridge_settings(broker, tmp_path / "state", hub_settings(hub))
    with monkeypatch.context() as patch:
        patch.setattr(Publisher, "publish", publish_and_hang)
        async with running(settings, hub):
            await hub.advance(900)
            await acknowledged.wait()
            # Ends when the broker has it, and before the journal knows.
    async with running(settings):
        first, second = [(await listener.wait(topic_of(hub, "update"), count)).json for count in (1, 2)]
    assert first["delivery_id"]
    assert first == second


async def test_what_an_earlier_run_left_is_answered_as_expired_once_it_is(broker, listener, tmp_path, hub) -> None:
    state = tmp_path / "state"
    state.mkdir()
    now = datetime.now(UTC)
    ledger = Ledger(state / LEDGER_FILE)
    await ledger.open(now.timestamp())
    for id_, minutes in (("past", -1), ("future", 60)):
        expires_at = (now + timedelta(minutes=minutes)).isoformat()
        command = {"state": "ON", "duration": 60, "expires_at": expires_at}
        await ledger.add(topic_of(hub, "actuator/0/result"), id_, command, now.timestamp())
    await ledger.close()
    async with running(bridge_settings(broker, state, hub_settings(hub))):
        answers = [(await listener.wait(topic_of(hub, "actuator/0/result"), count)).json for count in (1, 2)]
    assert [(answer["id"], answer["outcome"]) for answer in answers] == [("past", "expired"), ("future", "not_sent")]
    assert hub.actuators[0].commands == []


async def test_an_off_that_came_before_the_end_still_goes_out(broker, listener, tmp_path, hub) -> None:
    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))) as bridge:
        await listener.send(topic_of(hub, "actuator/0/set"), "OFF")
        await until(lambda: bridge._executor.handled)
    assert (await listener.wait(topic_of(hub, "actuator/0/result"))).json["outcome"] == "delivered"
    assert [command.state for command in hub.actuators[0].commands] == [0]


async def test_an_off_is_tried_again_though_the_hub_gives_no_sign_of_life(
    broker, listener, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("vegehub.mqtt.executor.INSIST", 0.1)
    async with SimulatedHub(power_mode=0, asleep_refuses=True) as hub:
        settings = bridge_settings(broker, tmp_path / "state", hub_settings(hub, sleeps=False))
        hub.sleep()
        async with running(settings) as bridge:
            queue = bridge._hubs[hub.mac].queue
            queue._wake_window = 0.05
            await listener.send(topic_of(hub, "actuator/0/set"), "OFF")
            await until(lambda: queue.waiting and queue.waiting[0].last_error)
            hub.wake()
            assert (await listener.wait(topic_of(hub, "actuator/0/result"))).json["outcome"] == "delivered"
    assert [command.state for command in hub.actuators[0].commands] == [0]


async def test_of_two_commands_at_once_the_hub_gets_the_newer_one_last(broker, listener, tmp_path, hub) -> None:
    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))):
        for id_, state in (("1", "ON"), ("2", "OFF"), ("3", "ON"), ("4", "OFF")):
            await listener.send(topic_of(hub, "actuator/0/set"), json.dumps({"state": state, "id": id_}))
        await listener.wait(topic_of(hub, "actuator/0/result"), 4)
    outcomes = {heard.json["id"]: heard.json["outcome"] for heard in listener.on(topic_of(hub, "actuator/0/result"))}
    assert set(outcomes) == {"1", "2", "3", "4"}
    assert set(outcomes.values()) <= {"delivered", "replaced"}
    assert outcomes["4"] == "delivered"
    assert hub.actuators[0].commands[-1].state == 0


async def test_when_nobody_knows_whether_a_valve_opened_the_hub_is_asked(broker, listener, tmp_path, hub) -> None:
    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))):
        hub.faults.drop_reply(after_execution=True, path="/api/actuators/set")
        await listener.send(topic_of(hub, "actuator/0/set"), "ON")
        assert (await listener.wait(topic_of(hub, "actuator/0/result"))).json["outcome"] == "unknown"
        await listener.said(topic_of(hub, "actuator/0"), "ON")


async def test_a_command_that_the_bridge_stumbles_over_is_answered_and_the_next_one_carried_out(
    broker, listener, tmp_path, hub, monkeypatch, caplog
) -> None:
    def stumble(*_, **__) -> None:
        raise RuntimeError("a fault of ours")

    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))) as bridge:
        with monkeypatch.context() as patch:
            patch.setattr(bridge._hubs[hub.mac].queue, "turn_on", stumble)
            await listener.send(topic_of(hub, "actuator/0/set"), "ON")
            assert (await listener.wait(topic_of(hub, "actuator/0/result"))).json["outcome"] == "unknown"
        await listener.send(topic_of(hub, "actuator/0/set"), "ON")
        assert (await listener.wait(topic_of(hub, "actuator/0/result"), 2)).json["outcome"] == "delivered"
    assert "a fault of ours" in caplog.text


async def test_too_many_commands_at_once_are_dropped_and_not_what_is_said_of_bridges(
    broker, listener, tmp_path, hub, monkeypatch, caplog
) -> None:
    monkeypatch.setattr("vegehub.mqtt.client.MAX_WAITING", 3)
    go_on = asyncio.Event()
    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))) as bridge:
        await listener.said(ONLINE_TOPIC, "online")
        add = bridge._ledger.add

        async def wait_and_add(*given) -> int:
            await go_on.wait()
            return await add(*given)

        monkeypatch.setattr(bridge._ledger, "add", wait_and_add)
        for _ in range(10):
            await listener.send(topic_of(hub, "actuator/0/set"), "OFF")
        await listener.send(ONLINE_TOPIC, "offline", retain=True)
        await until(lambda: "faster than they are carried out" in caplog.text)
        go_on.set()
        await listener.wait(ONLINE_TOPIC, 3)
        await listener.said(ONLINE_TOPIC, "online")
    assert bridge._executor.handled == 4  # one was under way, three waited
    assert caplog.text.count("faster than they are carried out") == 1


async def test_a_command_that_is_being_noted_when_the_connection_is_lost_is_carried_out_and_answered(
    broker, tmp_path, hub, monkeypatch
) -> None:
    go_on, noting = asyncio.Event(), asyncio.Event()
    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))) as bridge:
        add = bridge._ledger.add

        async def wait_and_add(*given) -> int:
            key = await add(*given)
            noting.set()
            await go_on.wait()
            return key

        monkeypatch.setattr(bridge._ledger, "add", wait_and_add)
        async with kept_ear(broker) as before:
            await before.send(topic_of(hub, "actuator/0/set"), "ON")
            await noting.wait()
        await broker.stop()
        await until(lambda: not bridge.connected)
        go_on.set()
        await broker.start()
        async with kept_ear(broker) as after:
            assert (await after.wait(topic_of(hub, "actuator/0/result"))).json["outcome"] == "delivered"
    assert [command.state for command in hub.actuators[0].commands] == [1]


async def test_a_hub_that_never_comes_back_is_not_left_online_by_an_earlier_run(
    broker, listener, tmp_path, hub
) -> None:
    settings = bridge_settings(broker, tmp_path / "state", hub_settings(hub, update_period=900.0))
    async with running(settings, hub):
        await hub.advance(900)
        await listener.said(topic_of(hub, "availability"), "online")
    async with running(settings) as bridge:
        await listener.processed()
        assert listener.last(topic_of(hub, "availability")) == "online"
        bridge._hubs[hub.mac].presence.check(10**9)
        await listener.said(topic_of(hub, "availability"), "offline")


class Dam:
    """A way to the broker that can be closed: then nothing goes through, and soon nothing more goes in."""

    def __init__(self, port: int) -> None:
        self.closed = False
        self._to = port

    async def __aenter__(self):
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._server = await asyncio.start_server(self._serve, sock=listening, limit=4096)
        self.port = listening.getsockname()[1]
        self._opened = asyncio.Event()
        return self

    async def __aexit__(self, *_):
        self._opened.set()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer) -> None:
        broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._to)

        async def pump(source, target) -> None:
            while chunk := await source.read(4096):
                if self.closed:
                    await self._opened.wait()
                    return
                target.write(chunk)

        await asyncio.wait(
            [
                asyncio.ensure_future(pump(reader, broker_writer)),
                asyncio.ensure_future(pump(broker_reader, writer)),
            ]
        )
        for side in (writer, broker_writer):
            side.transport.abort()


async def test_a_broker_that_takes_nothing_does_not_keep_the_bridge_from_ending(broker, tmp_path) -> None:
    async with Dam(broker.port) as dam:
        settings = bridge_settings(broker, tmp_path / "state")
        settings = replace(settings, broker=replace(settings.broker, port=dam.port))
        async with running(settings) as bridge:
            client = bridge._broker._current._client
            dam.closed = True
            # More than fits on the way: not even the goodbye can be written.
            bridge._board.put([Message("vegehub/large", "x" * 12_000_000)])
            await until(client._client.want_write)
        assert client._client.socket() is None


async def test_what_a_part_of_the_bridge_fails_with_is_raised(broker, tmp_path, monkeypatch) -> None:
    async with MqttBridge(bridge_settings(broker, tmp_path / "state")) as bridge:
        monkeypatch.setattr(bridge._journal, "counts", lambda: 1 // 0)
        with pytest.raises(ExceptionGroup) as caught:
            await bridge.finished()
    assert caught.value.subgroup(ZeroDivisionError)


# --- The program ------------------------------------------------------------------------------------------------------


async def test_a_signal_ends_the_program_in_good_order_and_a_second_one_changes_nothing(
    broker, listener, tmp_path, hub, capsys
) -> None:
    task = asyncio.create_task(until_stopped(bridge_settings(broker, tmp_path / "state", hub_settings(hub))))
    await listener.said(ONLINE_TOPIC, "online")
    hub.faults.latency(0.5, path="/api/actuators/set")
    await listener.send(topic_of(hub, "actuator/0/set"), "OFF")
    await until(lambda: any(record.path == "/api/actuators/set" for record in hub.requests))
    os.kill(os.getpid(), signal.SIGTERM)
    await until(task.cancelling)
    os.kill(os.getpid(), signal.SIGTERM)
    await task
    assert (await listener.wait(topic_of(hub, "actuator/0/result"))).json["outcome"] == "delivered"
    await listener.said(ONLINE_TOPIC, "offline")
    assert "listening for hubs on 127.0.0.1:" in capsys.readouterr().out


async def test_a_program_that_is_cancelled_says_so(broker, listener, tmp_path) -> None:
    task = asyncio.create_task(until_stopped(bridge_settings(broker, tmp_path / "state")))
    await listener.said(ONLINE_TOPIC, "online")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await listener.said(ONLINE_TOPIC, "offline")


def test_it_runs_as_a_module(tmp_path, monkeypatch, capsys) -> None:
    path = settings_file(tmp_path / "bridge.yaml", Mosquitto(tmp_path / "broker"), [])
    monkeypatch.setattr(sys, "argv", ["vegehub.mqtt", "--config", str(path), "--print-topics"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("vegehub.mqtt", run_name="__main__")
    assert ended.value.code == 0
    assert "vegehub/bridge/main/availability  online, offline" in capsys.readouterr().out


def test_a_folder_that_cannot_be_made_ends_the_program(tmp_path, capsys) -> None:
    broker = Mosquitto(tmp_path / "broker")
    path = settings_file(tmp_path / "bridge.yaml", broker, [], state=str(tmp_path / "a file"))
    (tmp_path / "a file").write_text("")
    assert main(["--config", str(path), "--verbose"]) == 1
    assert "a file" in capsys.readouterr().err
