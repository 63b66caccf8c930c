"""The parts of a bridge by themselves: topics, messages, ledger, facts."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vegehub import VegeHubError, VegeHubValueError, parse_update
from vegehub.mqtt import VegeHubLedgerError
from vegehub.mqtt.commands import Command
from vegehub.mqtt.facts import Facts, FactsFile
from vegehub.mqtt.ledger import Ledger
from vegehub.mqtt.messages import LastValues, presence_messages, update_messages
from vegehub.mqtt.results import outcome_of_error
from vegehub.mqtt.topics import CommandTopic, Topics
from vegehub.sleeping import Presence
from vegehub.wire.layout import SlotLayout
from vegehub.wire.models import HubInfo

MAC = "7C9EBD112233"
NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)

# --- Topics -----------------------------------------------------------------------------------------------------------


def test_the_topic_of_a_command_is_read_back() -> None:
    topics = Topics("farm/vegehub")
    assert topics.read_command(topics.command(MAC, 3)) == CommandTopic(MAC, "3")
    assert topics.read_bridge(topics.bridge_availability("north")) == "north"


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "vegehub",
        "other/7C9EBD112233/actuator/0/set",
        "vegehub/x/actuator/0/result",
        "vegehub/x/input/0/set",
        "vegehub/a/b",
    ],
)
def test_other_topics_are_none_of_these(topic: str) -> None:
    assert Topics().read_command(topic) is None
    assert Topics().read_bridge(topic) is None


@given(st.text(max_size=40))
def test_every_key_of_a_hub_makes_one_level_that_can_be_published_to(text: str) -> None:
    level = Topics().hub(f"channel:{text}".encode(errors="replace").decode()).removeprefix("vegehub/")
    assert level
    assert not set("/+#\0") & set(level)


def test_hubs_without_a_mac_have_topics_of_their_own() -> None:
    assert len({Topics().hub(key) for key in ("key:a", "channel:a", "channel:a/b", "channel:a%2Fb", MAC, "")}) == 6


def test_a_prefix_that_would_reach_other_topics_is_refused() -> None:
    with pytest.raises(VegeHubValueError):
        Topics("a/+")


# --- Messages ---------------------------------------------------------------------------------------------------------


def test_a_value_that_its_curve_does_not_take_is_published_as_volts_only() -> None:
    update = parse_update({"mac": MAC, "sensors": [{"slot": 1, "samples": [{"v": 1.0, "t": None}]}]})
    layout = SlotLayout(1, 0, has_battery=False)

    class Broken:
        name, unit = "broken", ""

        def convert(self, volts: float) -> float:
            raise VegeHubValueError("no")

    messages = update_messages(update, Topics(), layout, {1: Broken()}, LastValues())
    assert [message.topic for message in messages] == [f"vegehub/{MAC}/update", f"vegehub/{MAC}/input/1"]
    sample = json.loads(messages[0].payload)["readings"][0]["samples"][0]
    assert sample == {"time": None, "value": 1.0}


def test_unknown_fields_come_along_without_secrets_and_unknown_slots_without_a_name() -> None:
    update = parse_update(
        {"mac": MAC, "wifi_pw": "s3cret", "color": "red", "sensors": [{"slot": 9, "samples": [{"v": 1, "t": "x"}]}]}
    )
    messages = update_messages(update, Topics(), SlotLayout(1, 1, has_battery=True), {}, LastValues())
    document = json.loads(messages[0].payload)
    assert len(messages) == 1
    assert document["extra"] == {"wifi_pw": "**REDACTED**", "color": "red"}
    assert document["readings"] == [{"slot": 9, "samples": [{"time": None, "time_text": "x", "value": 1.0}]}]


@given(st.lists(st.integers(0, 50), max_size=30))
def test_the_last_value_never_goes_back_in_time(seconds: list[int]) -> None:
    last = LastValues()
    taken = [second for second in seconds if last.take("a", NOW + timedelta(seconds=second))]
    assert taken == sorted(taken)
    assert not seconds or max(seconds) in taken


def test_presence_is_said_once_the_hub_was_heard() -> None:
    presence = Presence(update_period=900)
    assert presence_messages(MAC, presence, Topics()) == []
    presence.seen()
    said = {message.topic: message.payload for message in presence_messages(MAC, presence, Topics())}
    assert said[f"vegehub/{MAC}/availability"] == "online"
    assert json.loads(said[f"vegehub/{MAC}/presence"])["state"] == "awake"


# --- Results ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "seconds", "outcome"),
    [
        (VegeHubValueError("longer than max_on"), 1, "refused"),
        (VegeHubError("the queue is closed"), 1, "not_sent"),
        # What has expired must not be sent again, whatever else is wrong with it.
        (VegeHubValueError("expires_at must lie in the future"), 0, "expired"),
        (VegeHubError("the queue is closed"), -1, "expired"),
    ],
)
def test_a_command_that_cannot_be_queued_has_an_outcome(error: VegeHubError, seconds: int, outcome: str) -> None:
    command = Command(is_on=True, seconds=60, expires_at=NOW + timedelta(seconds=seconds))
    assert outcome_of_error(error, command, NOW) == outcome


# --- The ledger -------------------------------------------------------------------------------------------------------


async def test_what_a_crash_leaves_is_found_again(tmp_path) -> None:
    path = tmp_path / "commands.db"
    ledger = Ledger(path)
    assert await ledger.open(0.0) == []
    waiting = await ledger.add("t", "a", {"state": "ON"}, 0.0)
    sending = await ledger.add("t", "b", {"state": "ON"}, 0.0)
    await ledger.begin(sending)
    answered = await ledger.add("t", None, {"state": "OFF"}, 0.0)
    await ledger.finish(answered, {"outcome": "delivered"})
    reported = await ledger.add("t", "c", {"state": "OFF"}, 0.0)
    await ledger.finish(reported, {"outcome": "delivered"})
    await ledger.reported(reported)
    await ledger.close()
    again = Ledger(path)
    left = await again.open(1.0)
    assert [(entry.key, entry.sending, entry.result) for entry in left] == [
        (waiting, False, None),
        (sending, True, None),
        (answered, False, {"outcome": "delivered"}),
    ]
    assert (await again.find("t", "c")).result == {"outcome": "delivered"}
    await again.close()
    await again.close()


async def ledger_with_a_result(folder) -> Ledger:
    """An open ledger in which command "a" of topic "t" has been answered in the first second."""
    ledger = Ledger(folder / "commands.db")
    await ledger.open(0.0)
    key = await ledger.add("t", "a", {}, 0.0)
    await ledger.finish(key, {"outcome": "delivered"})
    await ledger.reported(key)
    return ledger


async def test_an_id_is_known_for_eight_days_and_per_actuator(tmp_path) -> None:
    ledger = await ledger_with_a_result(tmp_path)
    assert await ledger.find("other", "a") is None
    await ledger.close()
    for day, known in ((8, True), (9, False)):
        await ledger.open(day * 86_400.0)
        assert (await ledger.find("t", "a") is not None) is known
        await ledger.close()


async def test_a_ledger_that_stays_open_forgets_as_well(tmp_path) -> None:
    ledger = await ledger_with_a_result(tmp_path)
    for day, known in ((8, True), (9, True), (10, False)):
        # Not with each command: once a day is enough.
        await ledger.add("t", f"of day {day}", {}, day * 86_400.0)
        assert (await ledger.find("t", "a") is not None) is known
    await ledger.close()


async def test_an_id_that_never_got_to_the_hub_is_free_again(tmp_path) -> None:
    ledger = Ledger(tmp_path / "commands.db")
    await ledger.open(0.0)
    key = await ledger.add("t", "a", {}, 0.0)
    assert (await ledger.find("t", "a")).result is None
    await ledger.finish(key, {"outcome": "not_sent"})
    assert await ledger.find("t", "a") is None
    await ledger.close()


async def test_the_ledger_is_private_to_its_owner_and_to_one_process(tmp_path) -> None:
    path = tmp_path / "commands.db"
    ledger = Ledger(path)
    await ledger.open(0.0)
    assert path.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(path, timeout=0) as other, pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT * FROM commands")
    other.close()
    await ledger.close()


async def test_a_foreign_database_is_left_alone(tmp_path) -> None:
    path = tmp_path / "commands.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE precious(x)")
    other.close()
    before = path.read_bytes()
    ledger = Ledger(path)
    with pytest.raises(VegeHubLedgerError, match="another database"):
        await ledger.open(0.0)
    await ledger.close()
    assert path.read_bytes() == before


async def test_a_ledger_that_is_not_open_says_so(tmp_path) -> None:
    ledger = Ledger(tmp_path / "nowhere" / "commands.db")
    with pytest.raises(VegeHubLedgerError, match="closed"):
        await ledger.begin(1)
    with pytest.raises(VegeHubLedgerError, match="cannot be used"):
        await ledger.open(0.0)
    with pytest.raises(VegeHubLedgerError, match="cannot be used"):
        await ledger.begin(1)
    await ledger.close()


# --- Facts ------------------------------------------------------------------------------------------------------------


async def test_facts_are_read_back(tmp_path) -> None:
    facts = FactsFile(tmp_path / "hubs.json")
    await facts.load()
    info = HubInfo(firmware="5.1.2", num_sensors=4, num_actuators=2, is_ac=True)
    facts.hubs[MAC] = Facts.of(info, 900.0, sleeps=True)
    facts.discovery = {"b", "a"}
    await asyncio.gather(facts.save(), facts.save())
    again = FactsFile(tmp_path / "hubs.json")
    await again.load()
    assert again.hubs == facts.hubs
    assert again.hubs[MAC].layout == SlotLayout(4, 2, has_battery=False)
    assert again.discovery == {"a", "b"}


GOOD = {"format": "vegehub-bridge", "version": 1, "hubs": {MAC: {"inputs": 4}}, "discovery": []}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        json.dumps({**GOOD, "version": 2}).encode(),
        json.dumps({**GOOD, "hubs": {MAC: {"inputs": "four"}}}).encode(),
        json.dumps({**GOOD, "hubs": {MAC: {"inputs": -1}}}).encode(),
        json.dumps({**GOOD, "hubs": {MAC: {"inputs": 100_000}}}).encode(),
        json.dumps({**GOOD, "hubs": {MAC: None}}).encode(),
        json.dumps({**GOOD, "hubs": []}).encode(),
    ],
)
async def test_a_broken_file_of_facts_is_as_good_as_none(tmp_path, caplog, content: bytes) -> None:
    path = tmp_path / "hubs.json"
    path.write_bytes(content)
    facts = FactsFile(path)
    await facts.load()
    assert facts.hubs == {}
    assert "will be asked again" in caplog.text


async def test_facts_of_a_later_version_are_read_as_far_as_they_are_known(tmp_path) -> None:
    path = tmp_path / "hubs.json"
    path.write_text(json.dumps({**GOOD, "hubs": {MAC: {"inputs": 3, "colour": "red"}}}))
    facts = FactsFile(path)
    await facts.load()
    assert facts.hubs == {MAC: Facts(inputs=3)}


async def test_facts_that_cannot_be_written_cost_nothing_else(tmp_path, caplog) -> None:
    facts = FactsFile(tmp_path / "nowhere" / "hubs.json")
    await facts.save()
    assert "not written" in caplog.text
