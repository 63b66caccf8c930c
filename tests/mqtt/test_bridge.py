"""Updates of hubs on a real broker: whole, as last values, and none lost when the broker goes away."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from dataclasses import replace

import aiohttp
import pytest
from mqtt.harness import (
    TOKEN,
    Mosquitto,
    bridge_settings,
    client_of,
    ear,
    hub_settings,
    kept_ear,
    need_mosquitto,
    running,
    until,
    url_of,
)

from vegehub import Journal, VegeHubConnectionError
from vegehub.mqtt import MqttBridge, SensorSettings, VegeHubBrokerError
from vegehub.mqtt.bridge import JOURNAL_FILE
from vegehub.mqtt.broker import check_broker
from vegehub.sensors import sensor_curve
from vegehub.simulator import SimulatedHub

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def hub():
    async with SimulatedHub() as hub:
        yield hub


async def push(port: int, **document) -> int:
    """Post an update as a hub does; return the status."""
    async with aiohttp.ClientSession() as session, session.post(url_of(port), json=document) as response:
        await response.read()
        return response.status


def journal_holds(bridge: MqttBridge, count: int):
    async def looks() -> bool:
        return (await bridge._journal.counts()).pending == count

    return looks


def sensors(*samples: tuple[int, float, str]) -> list:
    return [{"slot": slot, "samples": [{"v": value, "t": time_text}]} for slot, value, time_text in samples]


# --- What is published ------------------------------------------------------------------------------------------------


async def test_an_update_is_published_whole_with_the_time_of_each_sample(broker, listener, tmp_path, hub) -> None:
    hub.inputs[0].volts = 1.5
    curve = SensorSettings(curve=sensor_curve("VH400"))
    settings = bridge_settings(broker, tmp_path / "state", hub_settings(hub, sensors={1: curve}))
    async with running(settings, hub):
        await hub.advance(900)
        update = (await listener.wait(f"vegehub/{hub.mac}/update")).json
    taken = {(slot, text, value) for slot, text, value in hub.samples_taken}
    assert taken == {
        (reading["slot"], sample["time"], sample["value"])
        for reading in update["readings"]
        for sample in reading["samples"]
    }
    assert update["readings"][0] == {
        "slot": 1,
        "kind": "input",
        "number": 1,
        "sensor": "VH400",
        "unit": "%",
        "samples": [
            {"time": f"2025-06-01T00:{minute}:00Z", "value": 1.5, "quantity": 24.6154} for minute in ("05", "10", "15")
        ],
    }
    assert (update["hub"], update["mac"], update["rssi"]) == (hub.mac, hub.mac, -41)
    assert update["delivery_id"]
    assert update["received_at"].endswith("Z")


async def test_the_last_values_are_there_for_who_comes_late(broker, tmp_path, hub) -> None:
    hub.inputs[0].volts, hub.inputs[1].volts, hub.battery_volts = 1.5, 0.075999998, 9.3148
    curves = {1: SensorSettings(curve=sensor_curve("VH400"))}
    root = f"vegehub/{hub.mac}"
    expected = {
        "input/1": "1.5",
        "input/1/value": "24.6154",
        "input/2": "0.076",
        "battery": "9.3148",
        "rssi": "-41",
        "actuator/1": "ON",
        "availability": "online",
    }
    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub, sensors=curves)), hub) as bridge:
        hub.actuators[1].execute(1, 3600, 0)
        await hub.advance(900)
        await until(lambda: bridge.published)
        async with ear(broker) as late:
            await late.until(lambda: all(late.last(f"{root}/{name}") for name in expected))
            values = {heard.topic.removeprefix(f"{root}/"): heard for heard in late.heard if root in heard.topic}
    assert {name: values[name].text for name in expected} == expected
    # Who is there is said by another task, and may have been said only now.
    assert all(values[name].retain for name in expected if name != "availability")
    assert "update" not in values


async def test_a_late_update_does_not_bring_an_old_value_back(broker, listener, tmp_path, hub) -> None:
    root = f"vegehub/{hub.mac}"
    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))) as bridge:
        port = bridge.receiver.port
        await push(port, mac=hub.mac, sensors=sensors((1, 2.0, "2025-06-01T01:00:00Z")))
        await push(port, mac=hub.mac, sensors=sensors((1, 1.0, "2025-06-01T00:00:00Z")))
        await push(port, mac=hub.mac, sensors=sensors((2, 3.0, "2025-06-01T02:00:00Z")))
        await listener.said(f"{root}/input/2", "3")
    assert [heard.text for heard in listener.on(f"{root}/input/1")] == ["2"]
    assert len(listener.on(f"{root}/update")) == 3


async def test_a_clock_that_ran_ahead_does_not_keep_later_values_back(broker, listener, tmp_path, hub) -> None:
    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))) as bridge:
        port = bridge.receiver.port
        await push(port, mac=hub.mac, sensors=sensors((1, 1.0, "2099-01-01T00:00:00Z")))
        await push(port, mac=hub.mac, sensors=sensors((1, 2.0, "1970-01-01T00:00:07Z")))
        await listener.said(f"vegehub/{hub.mac}/input/1", "2")


async def test_of_a_hub_that_is_not_in_the_settings_only_whole_updates_are_published(
    broker, listener, tmp_path, caplog
) -> None:
    async with running(bridge_settings(broker, tmp_path / "state")) as bridge:
        port = bridge.receiver.port
        await push(
            port, mac="7C9EBD000001", wifi_str=-50, voltage=9.1, sensors=sensors((1, 1.0, "2025-06-01T00:00:00Z"))
        )
        await push(port, key="secret", updates=[{"created_at": "2025-06-01 00:00:00", "field1": 1.0}])
        await push(port, sensors=[])
        await listener.wait("vegehub/unknown/update")
    topics = {heard.topic for heard in listener.heard if "/bridge/" not in heard.topic}
    old = next(topic for topic in topics if "key-" in topic)
    root = "vegehub/7C9EBD000001"
    assert topics == {f"{root}/update", f"{root}/rssi", f"{root}/battery", old, "vegehub/unknown/update"}
    assert "secret" not in "".join(heard.text for heard in listener.heard)
    assert caplog.text.count("not in the settings") == 3


async def test_only_listed_hubs_are_taken_if_the_settings_say_so(broker, tmp_path, hub) -> None:
    settings = bridge_settings(broker, tmp_path / "state", hub_settings(hub))
    settings = replace(settings, receiver=replace(settings.receiver, only_listed=True))
    async with running(settings) as bridge:
        assert await push(bridge.receiver.port, mac="7C9EBD000001", sensors=[]) == 403
        assert await push(bridge.receiver.port, mac=hub.mac, sensors=[]) == 200


async def test_a_hub_is_asked_what_it_is_once_and_not_again_after_a_restart(broker, listener, tmp_path, hub) -> None:
    settings = bridge_settings(broker, tmp_path / "state", hub_settings(hub, inputs=None, actuators=None, battery=None))
    switch = f"homeassistant/switch/vegehub_{hub.mac}/actuator_0/config"
    async with running(settings, hub):
        await hub.advance(900)
        await listener.wait(switch)
        await hub.advance(900)
        await listener.wait(f"vegehub/{hub.mac}/input/1")
        await listener.said(f"vegehub/{hub.mac}/actuator/0", "OFF")
        assert listener.on(switch)[0].json["device"]["sw_version"] == "5.2.0"

    def asked(path: str) -> int:
        return [record.path for record in hub.requests].count(path)

    assert asked("/api/info/get") == 1
    before = asked("/api/actuators/status")
    async with running(settings, hub):
        await listener.wait(switch, count=2)
        await hub.advance(900)
        # What its actuators do is asked anew, and after what it is would have been asked.
        await until(lambda: asked("/api/actuators/status") > before)
    assert asked("/api/info/get") == 1


async def test_another_hub_at_the_address_is_not_taken_for_the_one_in_the_settings(
    broker, tmp_path, hub, caplog
) -> None:
    settings = bridge_settings(broker, tmp_path / "state", replace(hub_settings(hub, inputs=None), mac="7C9EBD000001"))
    async with running(settings) as bridge:
        await push(bridge.receiver.port, mac="7C9EBD000001", sensors=[])
        await until(lambda: "answers at" in caplog.text)
        assert bridge._hubs["7C9EBD000001"].facts is None
    assert f"hub {hub.mac}, not 7C9EBD000001, answers" in caplog.text


@pytest.mark.parametrize("change", [{"hubs": ()}, {"discovery": None}])
async def test_home_assistant_is_told_of_what_is_gone(broker, listener, tmp_path, hub, change) -> None:
    settings = bridge_settings(broker, tmp_path / "state", hub_settings(hub))
    switch = f"homeassistant/switch/vegehub_{hub.mac}/actuator_0/config"
    async with running(settings):
        await listener.wait(switch)
    async with running(replace(settings, **change)):
        await listener.said(switch, "")
    async with ear(broker) as late:
        await late.wait("vegehub/bridge/main/availability")
        assert not late.on(switch)


async def test_firmware_that_has_nothing_to_say_is_not_asked_for_ever(broker, tmp_path, hub, monkeypatch) -> None:
    monkeypatch.setattr("vegehub.mqtt.hub._MAX_FAILURES", 3)
    hub.faults.status(404, path="/api/info/get")

    def asked() -> int:
        return [record.path for record in hub.requests].count("/api/info/get")

    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub)), hub) as bridge:
        for number in range(1, 6):
            await hub.advance(900)
            await until(lambda number=number: asked() >= min(number, 3))
            await until(lambda: bridge._hubs[hub.mac]._looking is None)
    assert asked() == 3


# --- Who is there -----------------------------------------------------------------------------------------------------


async def test_a_hub_that_falls_silent_is_offline_and_back_with_its_next_update(
    broker, listener, tmp_path, hub
) -> None:
    root = f"vegehub/{hub.mac}"
    settings = bridge_settings(broker, tmp_path / "state", hub_settings(hub, update_period=900.0, sleeps=True))
    async with running(settings, hub) as bridge:
        await hub.advance(900)
        await listener.said(f"{root}/availability", "online")
        presence = bridge._hubs[hub.mac].presence
        presence.check(time.monotonic() + 60)
        await listener.until(lambda: json.loads(listener.last(f"{root}/presence") or "{}").get("state") == "asleep")
        assert listener.last(f"{root}/availability") == "online"
        presence.check(time.monotonic() + 4000)
        await listener.said(f"{root}/availability", "offline")
        await hub.advance(900)
        await listener.said(f"{root}/availability", "online")
    assert json.loads(listener.last(f"{root}/presence"))["expected_period"] == 900


async def test_nothing_is_said_of_a_hub_that_was_never_heard(broker, listener, tmp_path, hub) -> None:
    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))):
        await listener.wait("vegehub/bridge/main/status")
    assert not listener.on(f"vegehub/{hub.mac}/availability")


async def test_the_bridge_says_when_it_comes_and_when_it_goes(broker, listener, tmp_path) -> None:
    async with running(bridge_settings(broker, tmp_path / "state")) as bridge:
        await listener.said("vegehub/bridge/main/availability", "online")
        status = (await listener.wait("vegehub/bridge/main/status")).json
        assert repr(bridge) == "<MqttBridge main: connected>"
    await listener.said("vegehub/bridge/main/availability", "offline")
    assert status["journal_waiting"] == 0
    assert repr(bridge) == "<MqttBridge main: not connected>"


async def test_a_bridge_that_ends_while_it_connects_is_not_left_online(broker, listener, tmp_path) -> None:
    topic = "vegehub/bridge/main/availability"
    for _ in range(5):
        async with running(bridge_settings(broker, tmp_path / "state"), connected=False):
            # The listener may hear of it before the bridge itself knows that the broker has taken it.
            await listener.said(topic, "online")
        await listener.said(topic, "offline")


# --- Outages ----------------------------------------------------------------------------------------------------------


async def test_while_the_broker_is_away_the_journal_fills_and_then_drains_in_order(broker, tmp_path, hub) -> None:
    settings = bridge_settings(broker, tmp_path / "state", hub_settings(hub))
    async with kept_ear(broker):
        pass
    async with running(settings, hub) as bridge:
        await broker.stop()
        for _ in range(5):
            await hub.advance(900)
        assert not hub.backlog
        await until(lambda: not bridge.connected)
        assert (await bridge._journal.counts()).pending == 5
        await broker.start()
        async with kept_ear(broker) as listener:
            updates = [(await listener.wait(f"vegehub/{hub.mac}/update", count)).json for count in range(1, 6)]
        await until(journal_holds(bridge, 0))
    assert [update["sent_at"][11:16] for update in updates] == ["00:15", "00:30", "00:45", "01:00", "01:15"]


async def test_the_bridge_begins_without_a_broker(tmp_path, hub) -> None:
    need_mosquitto()
    broker = Mosquitto(tmp_path / "broker")
    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub)), hub, connected=False):
        await hub.advance(900)
        async with broker, ear(broker) as listener:
            # The update itself may have come before the listener.
            await listener.wait(f"vegehub/{hub.mac}/input/1")


async def test_an_update_that_the_broker_has_not_acknowledged_stays_in_the_journal(broker, tmp_path, hub) -> None:
    state = tmp_path / "state"
    async with running(bridge_settings(broker, state, hub_settings(hub)), hub) as bridge:
        broker.pause()
        await hub.advance(900)
        assert (await bridge._journal.counts()).pending == 1
        # Ends while the message is on its way and unanswered.
    broker.resume()
    async with Journal(state / JOURNAL_FILE) as journal:
        assert (await journal.counts()).pending == 1


async def test_a_broker_that_hangs_is_given_up_before_it_gives_us_up(broker, tmp_path, hub, caplog) -> None:
    settings = bridge_settings(broker, tmp_path / "state", hub_settings(hub))
    settings = replace(settings, broker=replace(settings.broker, keepalive=2))
    async with running(settings, hub) as bridge:
        broker.pause()
        await until(lambda: not bridge.connected)
        await hub.advance(900)
        broker.resume()
        await bridge.wait_connected()
        await until(lambda: bridge.published)
    assert "connection lost: " in caplog.text


async def test_a_broker_that_has_forgotten_everything_is_told_again(tmp_path, hub) -> None:
    need_mosquitto()
    root = f"vegehub/{hub.mac}"
    async with (
        Mosquitto(tmp_path / "broker", "autosave_interval 0") as broker,
        running(bridge_settings(broker, tmp_path / "state", hub_settings(hub)), hub) as bridge,
    ):
        await hub.advance(900)
        await until(lambda: bridge.published)
        await broker.stop()
        (tmp_path / "broker" / "mosquitto.db").unlink()
        await broker.start()
        async with ear(broker) as listener:
            for topic in (f"{root}/input/1", f"{root}/availability", "vegehub/bridge/main/availability"):
                await listener.wait(topic)
            await listener.wait(f"homeassistant/sensor/vegehub_{hub.mac}/input_1/config")
        assert not listener.on(f"{root}/update")


async def test_what_the_broker_refuses_stays_and_does_not_hold_up_other_hubs(tmp_path) -> None:
    need_mosquitto()
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite #\ntopic deny vegehub/7C9EBD000001/#\n")
    acl.chmod(0o644)
    async with (
        Mosquitto(tmp_path / "broker", f"acl_file {acl}") as broker,
        ear(broker) as listener,
        running(bridge_settings(broker, tmp_path / "state")) as bridge,
    ):
        for mac in ("7C9EBD000001", "7C9EBD000002"):
            await push(bridge.receiver.port, mac=mac, sensors=sensors((1, 1.0, "2025-06-01T00:00:00Z")))
        await listener.wait("vegehub/7C9EBD000002/update")
        await until(journal_holds(bridge, 1))
        assert bridge.published == 1


async def test_an_update_larger_than_the_broker_takes_is_not_offered_for_ever(tmp_path) -> None:
    need_mosquitto()
    async with (
        Mosquitto(tmp_path / "broker", "max_packet_size 20000") as broker,
        ear(broker) as listener,
        running(bridge_settings(broker, tmp_path / "state")) as bridge,
    ):
        many = [
            {"v": 1.0, "t": f"2025-06-01T00:{minute:02}:{second:02}Z"} for minute in range(30) for second in range(60)
        ]
        await push(bridge.receiver.port, mac="7C9EBD000001", sensors=[{"slot": 1, "samples": many}])
        await push(bridge.receiver.port, mac="7C9EBD000002", sensors=sensors((1, 1.0, "2025-06-01T00:00:00Z")))
        await listener.wait("vegehub/7C9EBD000002/update")
        await until(journal_holds(bridge, 1))
        assert bridge._broker.connects == 1


class Cutter:
    """A way to the broker that cuts the connection as soon as a certain text goes through."""

    def __init__(self, port: int, text: bytes) -> None:
        self.cuts = 0
        self._to = port
        self._text = text

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.host, self.port = self._server.sockets[0].getsockname()
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer) -> None:
        broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._to)

        async def pump(source, target, *, cut: bool) -> None:
            while chunk := await source.read(65536):
                if cut and self._text in chunk:
                    self.cuts += 1
                    return
                target.write(chunk)

        done, pending = await asyncio.wait(
            [
                asyncio.ensure_future(pump(reader, broker_writer, cut=True)),
                asyncio.ensure_future(pump(broker_reader, writer, cut=False)),
            ],
            return_when=asyncio.FIRST_COMPLETED,
        )
        for task in pending:
            task.cancel()
        await asyncio.gather(*done, *pending, return_exceptions=True)
        for side in (writer, broker_writer):
            side.transport.abort()


async def test_an_update_that_costs_the_connection_each_time_lets_other_hubs_through(
    broker, listener, tmp_path
) -> None:
    async with Cutter(broker.port, b"7C9EBD000001") as cutter:
        settings = bridge_settings(broker, tmp_path / "state")
        settings = replace(settings, broker=replace(settings.broker, port=cutter.port))
        async with running(settings) as bridge:
            for mac in ("7C9EBD000001", "7C9EBD000002"):
                await push(bridge.receiver.port, mac=mac, sensors=sensors((1, 1.0, "2025-06-01T00:00:00Z")))
            await listener.wait("vegehub/7C9EBD000002/update")
            assert cutter.cuts >= 3


# --- How it is let in -------------------------------------------------------------------------------------------------


async def test_the_broker_asks_for_a_password_and_no_log_has_it(tmp_path, caplog) -> None:
    need_mosquitto()
    passwords = tmp_path / "passwords"
    process = await asyncio.create_subprocess_exec(
        "mosquitto_passwd", "-b", "-c", str(passwords), "bridge", "right-one"
    )
    assert await process.wait() == 0
    passwords.chmod(0o644)
    caplog.set_level("DEBUG")
    async with Mosquitto(tmp_path / "broker", f"password_file {passwords}", anonymous=False) as broker:
        settings = bridge_settings(broker, tmp_path / "state")
        for password, is_right in (("wrong-one", False), ("right-one", True)):
            login = replace(settings.broker, username="bridge", password=password)
            if is_right:
                await check_broker(login, "x")
            else:
                with pytest.raises(
                    VegeHubBrokerError, match=r"not connected: .*Not authorized; look at broker\.username and"
                ):
                    await check_broker(login, "x")
            async with running(replace(settings, broker=login), connected=is_right) as bridge:
                await until(lambda: bridge.connected or "trying again" in caplog.text)
                assert bridge.connected is is_right
                assert await push(bridge.receiver.port, mac="7C9EBD000001", sensors=[]) == 200
            assert password not in repr(login)
        async with client_of(broker, username="bridge", password="right-one"):
            pass
    assert "wrong-one" not in caplog.text
    assert "right-one" not in caplog.text
    assert TOKEN not in caplog.text


async def test_a_port_that_answers_nothing_is_no_broker(tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        broker = Mosquitto(tmp_path / "broker")
        broker.port = silent.getsockname()[1]
        settings = bridge_settings(broker, tmp_path / "state")
        async with running(settings, connected=False) as bridge:
            connection, _ = await asyncio.get_running_loop().sock_accept(silent)
            # The end comes in the middle of an attempt to connect.
        connection.close()
        assert bridge._broker.connects == 0


async def test_a_port_that_is_taken_ends_the_start_and_leaves_nothing_open(broker, tmp_path) -> None:
    settings = bridge_settings(broker, tmp_path / "state")
    async with running(settings) as bridge:
        taken = replace(settings.receiver, port=bridge.receiver.port)
        with pytest.raises(VegeHubConnectionError, match="cannot listen"):
            async with MqttBridge(replace(settings, state=tmp_path / "other", receiver=taken, name="other")):
                raise AssertionError
