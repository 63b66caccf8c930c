"""What hubs really send costs the odd value, and nothing else: not another value, not a command."""

from __future__ import annotations

import random
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd import INPUTS, TOKENS, places, printed, tokens

from vegehub import HubInfo, UpdateReceiver, VegeHub, VegeHubError, VegeHubPayloadError, parse_update
from vegehub.simulator import SimulatedHub
from vegehub.simulator.odd_json import ODD
from vegehub.wire.models import reported_mac
from vegehub.wire.payload import decode_json
from vegehub.wire.replies import looks_like_json, refusal

if TYPE_CHECKING:
    from odd import Path_

MAC = "7C9EBD112233"
INFO_PATH, SET_PATH = "/api/info/get", "/api/actuators/set"

INFO: dict[str, Any] = {
    "hub": {
        "first_boot": False,
        "error_message": 0,
        "num_channels": 4,
        "num_actuators": 2,
        "version": "5.1.2",
        "batt_v": 9.2,
        "is_ac": 0,
    },
    "wifi": {
        "ssid": "GardenNet",
        "strength": "-41",
        "chan": "6",
        "ip": "192.168.0.57",
        "mac_addr": "7C:9E:BD:11:22:33",
    },
    "error": "success",
}
PUSH: dict[str, Any] = {
    "api_key": "key",
    "mac": MAC,
    "error_code": 0,
    "sensors": [
        {
            "slot": slot,
            "samples": [{"v": slot + nth / 8, "t": f"2025-01-15T16:{nth:02}:23Z"} for nth in range(3)],
        }
        for slot in (11, 12, 13)
    ],
    "send_time": 1736959883,
    "wifi_str": -27,
    "voltage": 9.25,
}
INFO_PLACES = [path for path in places(INFO) if path not in (("wifi", "mac_addr"), ("error",))]


# Replies


@pytest.mark.parametrize("name", INPUTS["REPLIES"])
async def test_an_odd_reply_costs_the_odd_field_only(name: str, simulated_hub: SimulatedHub) -> None:
    _, body, expected = INPUTS["REPLIES"][name]
    simulated_hub.faults.wrong_json(body, path=INFO_PATH)
    async with VegeHub(simulated_hub.address, MAC) as hub:
        info = await hub.get_info()
        assert info.mac == MAC
        assert {path: attrgetter(path)(info) for path in expected} == expected
        await hub.turn_off(1)
    assert [command.state for command in simulated_hub.actuators[1].commands] == [0]


@pytest.mark.parametrize("name", INPUTS["SETS"])
def test_an_odd_reply_to_a_command_is_judged_by_what_it_says(name: str) -> None:
    _, body, word = INPUTS["SETS"][name]
    if word is None:
        assert looks_like_json(body)
        with pytest.raises(ValueError, match="not"):
            decode_json(body)
    elif looks_like_json(body):
        assert refusal(decode_json(body)) == word
    else:
        assert word == ""


@pytest.mark.parametrize("name", INPUTS["SETS"])
async def test_off_is_taken_or_not_by_what_the_reply_says(name: str, simulated_hub: SimulatedHub) -> None:
    _, body, word = INPUTS["SETS"][name]
    simulated_hub.faults.wrong_json(body, path=SET_PATH)
    async with VegeHub(simulated_hub.address) as hub:
        if word == "":
            await hub.turn_off(0)
        else:
            with pytest.raises(VegeHubError) as caught:
                await hub.turn_off(0)
            assert caught.value.outcome is not None
            assert caught.value.outcome.name == ("UNKNOWN" if word is None else "REJECTED")


@given(path=st.sampled_from(INFO_PLACES), token=tokens)
def test_any_token_in_any_place_of_an_info_leaves_all_others(path: Path_, token: str) -> None:
    reply = decode_json(printed(INFO, path, token))
    assert reported_mac(reply) == MAC
    found, whole = HubInfo.parse(reply), HubInfo.parse(INFO)
    spoilt = {"hub": set(), "wifi": set()} | {path[0]: {path[-1]}}
    for part, model, other in (("hub", found, whole), ("wifi", found.wifi, whole.wifi)):
        names = {"version": "firmware", "num_channels": "num_sensors", "batt_v": "battery_volts", "strength": "rssi"}
        names |= {"error_message": "error_code", "chan": "channel", "mac_addr": "mac"}
        for key in INFO[part].keys() - spoilt[part]:
            assert getattr(model, names.get(key, key)) == getattr(other, names.get(key, key)), key
    assert not refusal(reply)


async def test_off_goes_through_whatever_stands_in_an_info(simulated_hub: SimulatedHub) -> None:
    choice = random.Random(5)
    cases = [(choice.choice(INFO_PLACES), choice.choice(TOKENS)) for _ in range(60)]
    for path, token in cases:
        simulated_hub.faults.clear()
        simulated_hub.faults.wrong_json(printed(INFO, path, token), path=INFO_PATH)
        before = len(simulated_hub.actuators[0].commands)
        async with VegeHub(simulated_hub.address, MAC) as hub:
            await hub.turn_off(0)
        assert len(simulated_hub.actuators[0].commands) == before + 1, (path, token)


# Updates


@pytest.mark.parametrize("name", INPUTS["PUSHES"])
def test_an_odd_push_costs_the_odd_sample_only(name: str) -> None:
    _, body, expected = INPUTS["PUSHES"][name]
    update = parse_update(body)
    assert [sample.value for sample in update.readings[1].samples] == expected
    assert [sample.value for sample in update.readings[2].samples] == [1.25]


@pytest.mark.parametrize("name", INPUTS["PUSHES_REFUSED"])
def test_a_push_of_which_something_is_lost_is_refused(name: str) -> None:
    with pytest.raises(VegeHubPayloadError, match=r"^payload: "):
        parse_update(INPUTS["PUSHES_REFUSED"][name][1])


def samples_of(path: Path_) -> list[tuple[int, float]]:
    """The samples that a push must still give when the value at ``path`` is spoilt, in their order."""
    return [
        (entry["slot"], sample["v"])
        for number, entry in enumerate(PUSH["sensors"])
        for nth, sample in enumerate(entry["samples"])
        if path != ("sensors", number, "slot") and path != ("sensors", number, "samples", nth, "v")
    ]


@given(path=st.sampled_from(places(PUSH)), token=tokens)
def test_any_token_in_any_place_of_a_push_leaves_all_other_samples(path: Path_, token: str) -> None:
    update = parse_update(printed(PUSH, path, token))
    expected = samples_of(path)
    found = [
        (slot, sample.value)
        for slot, reading in sorted(update.readings.items())
        for sample in reading.samples
        if (slot, sample.value) in expected
    ]
    if path[-1] == "t":
        # The others are in their order; this one is where it was, or where its time has it.
        assert sorted(found) == expected
        spoilt = PUSH["sensors"][path[1]]["samples"][path[3]]["v"]
        assert [value for _, value in found if value != spoilt] == [value for _, value in expected if value != spoilt]
    else:
        assert found == expected


def test_every_token_in_every_place_of_a_push_leaves_all_other_samples() -> None:
    for path in places(PUSH):
        for token in TOKENS:
            update = parse_update(printed(PUSH, path, token))
            found = {(slot, sample.value) for slot, reading in update.readings.items() for sample in reading.samples}
            assert found.issuperset(samples_of(path)), (path, token)


# A hub that prints so


@pytest.mark.parametrize("kind", ODD)
async def test_a_hub_that_prints_so_can_be_read_switched_and_heard(kind: str) -> None:
    async with SimulatedHub() as simulated, VegeHub(simulated.address, simulated.mac) as hub:
        simulated.faults.odd_json(kind)
        info = await hub.get_info()
        assert (info.mac, info.num_sensors, info.num_actuators) == (simulated.mac, 4, 2)
        assert [actuator.slot for actuator in await hub.get_actuators()] == [0, 1]
        readings = await hub.get_readings()
        assert [reading.slot for reading in readings] == [1, 2, 3, 4]
        assert sum(reading.value is not None for reading in readings) >= 3
        await hub.turn_on(0, 60)
        await hub.turn_off(0)
        assert [command.state for command in simulated.actuators[0].commands] == [1, 0]
        receiver = UpdateReceiver()
        updates = []
        receiver.subscribe(updates.append)
        async with receiver.serve("127.0.0.1", 0):
            await hub.configure_server(f"http://127.0.0.1:{receiver.port}{receiver.path}")
            await simulated.advance(600)
            await hub.request_update()
            await simulated.advance(60)
        got = sum(len(reading.samples) for update in updates for reading in update.readings.values())
        assert updates
        assert got >= len(simulated.samples_taken) - len(updates) - len(simulated.backlog)


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="odd_json: expected one of nan, minus_nan"):
        SimulatedHub().faults.odd_json("nonsense")
