"""Commands over a real broker: carried out once, never from an old message, and each answered."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from mqtt.harness import bridge_settings, hub_settings, kept_ear, running, until

from vegehub import VegeHubValueError
from vegehub.mqtt import CommandRules, VegeHubLedgerError
from vegehub.mqtt.messages import Message
from vegehub.simulator import SimulatedHub
from vegehub.simulator.actuators import Command

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def hub():
    async with SimulatedHub() as hub:
        yield hub


@pytest.fixture
async def sleeper():
    """A battery hub that is asleep, reports when told to, and then stays awake until the clock moves."""
    async with SimulatedHub(power_mode=0, asleep_refuses=True) as hub:
        hub.sleep()
        yield hub


def set_of(hub, actuator: object = 0) -> str:
    return f"vegehub/{hub.mac}/actuator/{actuator}/set"


def result_of(hub, actuator: object = 0) -> str:
    return f"vegehub/{hub.mac}/actuator/{actuator}/result"


def state_of(hub, actuator: int = 0) -> str:
    return f"vegehub/{hub.mac}/actuator/{actuator}"


def outcomes_of(listener, hub) -> list[str]:
    return [heard.json["outcome"] for heard in listener.on(result_of(hub))]


async def test_on_and_off_reach_the_hub_and_are_answered(broker, listener, tmp_path, hub) -> None:
    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))):
        await listener.send(set_of(hub), "ON")
        first = (await listener.wait(result_of(hub))).json
        await listener.said(state_of(hub), "ON")
        await listener.send(set_of(hub), json.dumps({"state": "OFF", "hold": 60, "id": "stop"}))
        second = (await listener.wait(result_of(hub), 2)).json
        await listener.said(state_of(hub), "OFF")
    assert hub.actuators[0].commands == [Command(1, 600, 0.0), Command(0, 60, 0.0)]
    assert (first["outcome"], first["error"], first["id"], first["bridge"]) == ("delivered", None, None, "main")
    assert first["command"]["duration"] == 600
    assert (second["outcome"], second["id"], second["command"]) == ("delivered", "stop", {"state": "OFF", "hold": 60})


async def test_each_hub_has_its_own_limits(broker, listener, tmp_path, hub) -> None:
    rules = CommandRules(duration=30, max_on=40, expires_in=50)
    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub, rules=rules))):
        await listener.send(set_of(hub), "ON")
        await listener.wait(result_of(hub))
        await listener.send(set_of(hub), '{"state":"ON","duration":41}')
        refused = (await listener.wait(result_of(hub), 2)).json
    assert hub.actuators[0].commands == [Command(1, 30, 0.0)]
    assert refused["outcome"] == "refused"
    assert "duration must be 1 to 40 seconds" in refused["error"]


@pytest.mark.parametrize(
    ("actuator", "payload", "why"),
    [
        (0, b"{not json", "not JSON"),
        (0, b"\x00\xff", "not UTF-8"),
        (0, b"", "neither ON nor OFF"),
        (7, b"ON", "unknown actuator 7: this hub has 2"),
        ("x", b"ON", "names no actuator"),
        ("-1", b"ON", "names no actuator"),
        (0, b'{"state":"ON","duration":null}', "duration must be"),
        (0, b'{"state":"ON","duration":"for ever"}', "duration must be"),
        (0, b'{"state":"ON","duration":1e999}', "out of range"),
        (0, b'{"state":"ON","duration":-1,"id":"a"}', "duration must be"),
        (0, b"A" * 10_000_000, "longer than 4096 bytes"),
        (0, b'{"state":"ON","x":' + b"[" * 1000 + b"]" * 1000 + b"}", "nested too deeply"),
    ],
    ids=lambda value: repr(value)[:20],
)
async def test_a_bad_command_is_answered_and_never_carried_out(
    broker, listener, tmp_path, hub, actuator, payload, why
) -> None:
    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))) as bridge:
        await listener.send(set_of(hub, actuator), payload)
        answer = (await listener.wait(result_of(hub, actuator))).json
        await listener.send(set_of(hub, 1), "OFF")
        assert (await listener.wait(result_of(hub, 1))).json["outcome"] == "delivered"
        assert bridge.connected
    assert answer["outcome"] == "refused"
    assert why in answer["error"]
    assert hub.actuators[0].commands == []
    assert hub.actuators[1].commands == [Command(0, 0, 0.0)]


async def test_a_retained_command_is_refused_whenever_it_comes(broker, listener, tmp_path, hub) -> None:
    await listener.send(set_of(hub), "ON", retain=True)
    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))):
        old = (await listener.wait(result_of(hub))).json
        await listener.send(set_of(hub), "ON", retain=True)
        live = (await listener.wait(result_of(hub), 2)).json
        await listener.send(set_of(hub), "", retain=True)
        await listener.send(set_of(hub, 1), "ON")
        await listener.wait(result_of(hub, 1))
    assert [old["outcome"], live["outcome"]] == ["refused", "refused"]
    assert "retained" in old["error"]
    assert len(listener.on(result_of(hub))) == 2
    assert hub.actuators[0].commands == []


async def test_a_command_from_before_the_connection_never_comes(broker, listener, tmp_path, hub) -> None:
    settings = bridge_settings(broker, tmp_path / "state", hub_settings(hub))
    async with running(settings):
        pass
    await listener.send(set_of(hub), "ON")
    async with running(settings):
        await listener.send(set_of(hub, 1), "ON")
        await listener.wait(result_of(hub, 1))
    assert hub.actuators[0].commands == []


async def test_topics_of_other_hubs_and_a_bridge_without_commands_are_left_alone(
    broker, listener, tmp_path, hub
) -> None:
    settings = bridge_settings(broker, tmp_path / "state", hub_settings(hub), commands=False)
    async with running(settings) as bridge:
        await listener.send(set_of(hub), "ON")
        await listener.send("vegehub/7C9EBD000001/actuator/0/set", "ON")
        await listener.processed()
        assert bridge._executor.handled == 0
    assert hub.actuators[0].commands == []
    assert not any("switch" in heard.topic for heard in listener.heard)


async def test_a_command_waits_for_a_sleeping_hub_and_goes_out_when_it_wakes(
    broker, listener, tmp_path, sleeper
) -> None:
    settings = bridge_settings(broker, tmp_path / "state", hub_settings(sleeper, sleeps=True))
    async with running(settings, sleeper) as bridge:
        presence = bridge._hubs[sleeper.mac].presence
        presence.seen(datetime.now(UTC) - timedelta(hours=1))
        await listener.send(set_of(sleeper), '{"state":"ON","duration":60,"id":"a"}')
        queued = (await listener.wait(result_of(sleeper))).json
        assert (queued["outcome"], queued["id"]) == ("queued", "a")
        sleeper.wake()
        sleeper.send_update()
        delivered = (await listener.wait(result_of(sleeper), 2)).json
    assert delivered["outcome"] == "delivered"
    assert sleeper.actuators[0].commands == [Command(1, 60, 0.0)]


async def test_of_several_commands_the_newest_is_sent_and_all_are_answered(broker, listener, tmp_path, sleeper) -> None:
    settings = bridge_settings(broker, tmp_path / "state", hub_settings(sleeper, sleeps=True))
    async with running(settings, sleeper) as bridge:
        bridge._hubs[sleeper.mac].presence.seen(datetime.now(UTC) - timedelta(hours=1))
        for number, state in enumerate(("ON", "ON", "OFF")):
            await listener.send(set_of(sleeper), json.dumps({"state": state, "id": str(number)}))
        await listener.until(lambda: len(listener.on(result_of(sleeper))) == 5)
        sleeper.wake()
        sleeper.send_update()
        await listener.wait(result_of(sleeper), 6)
    outcomes = [(heard.json["id"], heard.json["outcome"]) for heard in listener.on(result_of(sleeper))]
    assert sorted(outcomes) == [
        ("0", "queued"),
        ("0", "replaced"),
        ("1", "queued"),
        ("1", "replaced"),
        ("2", "delivered"),
        ("2", "queued"),
    ]
    assert [command.state for command in sleeper.actuators[0].commands] == [0]


async def test_an_expired_command_is_answered_and_not_sent(broker, listener, tmp_path, sleeper) -> None:
    settings = bridge_settings(broker, tmp_path / "state", hub_settings(sleeper, sleeps=True))
    async with running(settings, sleeper) as bridge:
        bridge._hubs[sleeper.mac].presence.seen(datetime.now(UTC) - timedelta(hours=1))
        await listener.send(set_of(sleeper), '{"state":"ON","expires_at":"2025-06-01T00:00:00Z","id":"old"}')
        assert (await listener.wait(result_of(sleeper))).json["outcome"] == "expired"
        await listener.send(set_of(sleeper), '{"state":"ON","expires_in":0.1,"id":"short"}')
        # Whether it is queued first, or has expired when it comes, is up to the machine.
        await listener.until(
            lambda: (
                ("short", "expired")
                in [(heard.json["id"], heard.json["outcome"]) for heard in listener.on(result_of(sleeper))]
            )
        )
        sleeper.wake()
        sleeper.send_update()
        await listener.wait(f"vegehub/{sleeper.mac}/update")
    assert sleeper.actuators[0].commands == []


async def test_the_same_id_is_carried_out_once_also_after_a_restart(broker, listener, tmp_path, hub) -> None:
    settings = bridge_settings(broker, tmp_path / "state", hub_settings(hub))
    command = json.dumps({"state": "ON", "duration": 60, "id": "only-once"})
    async with running(settings):
        for count in (1, 2):
            await listener.send(set_of(hub), command)
            await listener.wait(result_of(hub), count)
    async with running(settings):
        await listener.send(set_of(hub), command)
        await listener.wait(result_of(hub), 3)
        await listener.send(set_of(hub, 1), command)
        await listener.wait(result_of(hub, 1))
    answers = [heard.json for heard in listener.on(result_of(hub))]
    assert [answer["outcome"] for answer in answers] == ["delivered"] * 3
    assert [answer.get("repeated", False) for answer in answers] == [False, True, True]
    assert len(hub.actuators[0].commands) == 1
    assert len(hub.actuators[1].commands) == 1


async def test_an_id_that_is_under_way_is_answered_as_such(broker, listener, tmp_path, sleeper) -> None:
    settings = bridge_settings(broker, tmp_path / "state", hub_settings(sleeper, sleeps=True))
    command = json.dumps({"state": "ON", "id": "x"})
    async with running(settings, sleeper) as bridge:
        bridge._hubs[sleeper.mac].presence.seen(datetime.now(UTC) - timedelta(hours=1))
        await listener.send(set_of(sleeper), command)
        await listener.wait(result_of(sleeper))
        await listener.send(set_of(sleeper), command)
        again = (await listener.wait(result_of(sleeper), 2)).json
    assert (again["outcome"], again["repeated"]) == ("queued", True)


async def test_what_waits_when_the_bridge_ends_is_answered_and_may_be_sent_again(
    broker, listener, tmp_path, sleeper
) -> None:
    settings = bridge_settings(broker, tmp_path / "state", hub_settings(sleeper, sleeps=True))
    command = json.dumps({"state": "ON", "id": "x"})
    for count in (2, 4):
        async with running(settings, sleeper) as bridge:
            bridge._hubs[sleeper.mac].presence.seen(datetime.now(UTC) - timedelta(hours=1))
            await listener.send(set_of(sleeper), command)
            await listener.wait(result_of(sleeper), count - 1)
        await listener.wait(result_of(sleeper), count)
    outcomes = [heard.json["outcome"] for heard in listener.on(result_of(sleeper))]
    assert outcomes == ["queued", "not_sent", "queued", "not_sent"]


async def test_a_result_waits_for_the_broker(broker, tmp_path, hub) -> None:
    settings = bridge_settings(broker, tmp_path / "state", hub_settings(hub))
    async with running(settings) as bridge:
        hub.faults.latency(0.3)
        async with kept_ear(broker) as before:
            await before.send(set_of(hub), "ON")
            await until(lambda: bridge._executor.handled)
        await broker.stop()
        await until(lambda: not bridge._executor.under_way)
        await broker.start()
        async with kept_ear(broker) as after:
            await after.until(lambda: outcomes_of(before, hub) + outcomes_of(after, hub))
    assert set(outcomes_of(before, hub) + outcomes_of(after, hub)) == {"delivered"}
    assert len(hub.actuators[0].commands) == 1


async def test_what_became_of_a_lost_reply_is_not_known_and_said_so(broker, listener, tmp_path, hub) -> None:
    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))):
        hub.faults.drop_reply(after_execution=True, path="/api/actuators/set")
        await listener.send(set_of(hub), '{"state":"ON","id":"u"}')
        lost = (await listener.wait(result_of(hub))).json
        hub.faults.clear()
        hub.faults.status(400, path="/api/actuators/set")
        await listener.send(set_of(hub, 1), "ON")
        rejected = (await listener.wait(result_of(hub, 1))).json
    assert (lost["outcome"], lost["id"]) == ("unknown", "u")
    assert rejected["outcome"] == "rejected"


async def test_another_hub_at_the_address_gets_no_command(broker, listener, tmp_path, hub) -> None:
    mine = hub_settings(hub)
    settings = bridge_settings(broker, tmp_path / "state", mine)
    hub.mac = "7C9EBD000001"
    async with running(settings):
        await listener.send(f"vegehub/{mine.mac}/actuator/0/set", '{"state":"ON","expires_in":0.5}')
        result = (await listener.wait(f"vegehub/{mine.mac}/actuator/0/result")).json
    assert result["outcome"] == "expired"
    assert hub.actuators[0].commands == []


async def test_without_a_layout_the_hub_itself_says_which_actuators_it_has(broker, listener, tmp_path, hub) -> None:
    settings = bridge_settings(broker, tmp_path / "state", hub_settings(hub, actuators=None))
    async with running(settings):
        await listener.send(set_of(hub, 5), "ON")
        assert (await listener.wait(result_of(hub, 5))).json["outcome"] == "rejected"
        await listener.send(set_of(hub, 1), "ON")
        assert (await listener.wait(result_of(hub, 1))).json["outcome"] == "delivered"
    assert len(hub.actuators[1].commands) == 1


async def test_the_state_is_off_again_when_the_time_is_over(broker, listener, tmp_path, hub) -> None:
    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))):
        await listener.send(set_of(hub), '{"state":"ON","duration":1}')
        await listener.said(state_of(hub), "ON")
        await hub.advance(1)
        await listener.said(state_of(hub), "OFF")


async def test_the_hub_is_asked_for_a_state_that_an_earlier_run_has_left(broker, listener, tmp_path, hub) -> None:
    settings = bridge_settings(broker, tmp_path / "state", hub_settings(hub))
    async with running(settings):
        await listener.send(set_of(hub), "ON")
        await listener.said(state_of(hub), "ON")
    await hub.advance(700)
    async with running(settings, hub):
        hub.send_update()
        await listener.said(state_of(hub), "OFF")


async def test_without_its_ledger_the_bridge_takes_no_on_but_every_off(broker, listener, tmp_path, hub, caplog) -> None:
    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))) as bridge:
        await listener.send(set_of(hub), "ON")
        await listener.wait(result_of(hub))
        await bridge._ledger.close()
        commands = ({"state": "ON"}, {"state": "ON", "id": "a"}, {"state": "OFF"}, {"state": "OFF", "id": "b"})
        for count, command in enumerate(commands, 2):
            await listener.send(set_of(hub), json.dumps(command))
            await listener.wait(result_of(hub), count)
    outcomes = [heard.json["outcome"] for heard in listener.on(result_of(hub))]
    assert outcomes == ["delivered", "refused", "refused", "delivered", "delivered"]
    assert "without a note" in caplog.text
    assert [command.state for command in hub.actuators[0].commands] == [1, 0, 0]


async def test_a_command_that_cannot_be_noted_before_it_goes_out_does_not_go_out(
    broker, listener, tmp_path, hub, monkeypatch
) -> None:
    async def fail(*_) -> None:
        raise VegeHubLedgerError("disk full")

    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))) as bridge:
        monkeypatch.setattr(bridge._ledger, "begin", fail)
        await listener.send(set_of(hub), "ON")
        assert (await listener.wait(result_of(hub))).json["outcome"] == "not_sent"
        await listener.send(set_of(hub), "OFF")
        assert (await listener.wait(result_of(hub), 2)).json["outcome"] == "delivered"
    assert [command.state for command in hub.actuators[0].commands] == [0]


async def test_a_closed_queue_refuses_in_words(broker, listener, tmp_path, hub) -> None:
    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))) as bridge:
        await bridge._hubs[hub.mac].queue.close()
        await listener.send(set_of(hub), "ON")
        assert (await listener.wait(result_of(hub))).json["outcome"] == "not_sent"


async def test_a_bridge_that_is_said_to_be_gone_says_that_it_is_not(broker, listener, tmp_path, hub) -> None:
    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub))):
        topic = "vegehub/bridge/main/availability"
        await listener.said(topic, "online")
        await listener.send(topic, "offline", retain=True)
        await listener.wait(topic, 3)
        assert listener.last(topic) == "online"
        await listener.send(set_of(hub), "ON")
        assert (await listener.wait(result_of(hub))).json["outcome"] == "delivered"


# --- Several bridges --------------------------------------------------------------------------------------------------


async def test_a_standby_takes_over_by_last_will_and_gives_back(broker, listener, tmp_path, hub) -> None:
    group = ("north", "south")
    north = bridge_settings(broker, tmp_path / "north", hub_settings(hub), name="north", group=group)
    south = bridge_settings(broker, tmp_path / "south", hub_settings(hub), name="south", group=group)
    bridges = []

    async def command(number: int) -> None:
        await listener.send(set_of(hub), json.dumps({"state": "OFF", "id": str(number)}))
        bridges.append((await listener.wait(result_of(hub), number)).json["bridge"])

    async with running(south):
        await listener.said("vegehub/bridge/south/availability", "online")
        await command(1)
        async with running(north):
            await listener.said("vegehub/bridge/north/availability", "online")
            await command(2)
        await listener.said("vegehub/bridge/north/availability", "offline")
        await command(3)
    assert bridges == ["south", "north", "south"]
    assert len(hub.actuators[0].commands) == 3


async def test_a_bridge_that_loses_its_turn_takes_back_what_waits(broker, listener, tmp_path, sleeper) -> None:
    group = ("north", "south")
    mine = hub_settings(sleeper, sleeps=True)
    north = bridge_settings(broker, tmp_path / "north", mine, name="north", group=group)
    south = bridge_settings(broker, tmp_path / "south", mine, name="south", group=group)
    async with running(south) as standby:
        await listener.said("vegehub/bridge/south/availability", "online")
        standby._hubs[sleeper.mac].presence.seen(datetime.now(UTC) - timedelta(hours=1))
        await listener.send(set_of(sleeper), '{"state":"ON","id":"a"}')
        await listener.wait(result_of(sleeper))
        async with running(north):
            taken_back = (await listener.wait(result_of(sleeper), 2)).json
    assert (taken_back["outcome"], taken_back["bridge"]) == ("not_sent", "south")
    assert sleeper.actuators[0].commands == []


async def test_a_bridge_of_a_group_that_is_cut_off_takes_back_what_waits(broker, tmp_path, sleeper) -> None:
    settings = bridge_settings(
        broker, tmp_path / "state", hub_settings(sleeper, sleeps=True), name="north", group=("north", "south")
    )
    async with running(settings, sleeper) as bridge:
        bridge._hubs[sleeper.mac].presence.seen(datetime.now(UTC) - timedelta(hours=1))
        async with kept_ear(broker) as listener:
            await listener.send(set_of(sleeper), '{"state":"ON","id":"a"}')
            await listener.wait(result_of(sleeper))
        await broker.stop()
        await until(lambda: not bridge._executor.under_way)
        await broker.start()
        async with kept_ear(broker) as listener:
            # The first result may come again: the listener may have gone before the broker knew that it had it.
            await listener.until(lambda: "not_sent" in outcomes_of(listener, sleeper))
            assert outcomes_of(listener, sleeper)[-1] == "not_sent"


async def test_a_standby_does_not_say_of_a_hub_that_it_never_hears_that_it_is_gone(
    broker, listener, tmp_path, hub
) -> None:
    group = ("north", "south")
    mine = hub_settings(hub, update_period=900.0)
    north = bridge_settings(broker, tmp_path / "north", mine, name="north", group=group)
    south = bridge_settings(broker, tmp_path / "south", mine, name="south", group=group)
    async with running(north), running(south, hub) as standby:
        await listener.said("vegehub/bridge/south/availability", "online")
        await until(lambda: standby._commander.knows("north"))
        await hub.advance(900)
        await listener.wait(f"vegehub/{hub.mac}/update")
        standby._hubs[hub.mac].presence.check(10**9)
        # What it says after that is heard; of the hub it has said nothing before.
        standby._board.put([Message("vegehub/end", "x")])
        await listener.wait("vegehub/end")
        assert not listener.on(f"vegehub/{hub.mac}/availability")


async def test_a_ledger_that_is_no_ledger_ends_the_start(broker, tmp_path, hub) -> None:
    settings = bridge_settings(broker, tmp_path / "state", hub_settings(hub))
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "commands.db").write_bytes(b"something else, " * 100)
    with pytest.raises(VegeHubLedgerError, match=r"commands\.db: cannot be used"):
        async with running(settings):
            raise AssertionError


def test_values_that_cannot_be_are_refused_by_the_library_as_well(hub) -> None:
    with pytest.raises(VegeHubValueError):
        replace(hub_settings(hub), address="no address at all").url  # noqa: B018 - the access is the test
