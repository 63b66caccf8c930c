"""Simulated hubs on real mDNS, over the loopback interface."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from on_air import Observer, forget_all, nothing_is_left, observing, open_here, own_service_type, sockets, unused_name
from raw_hub import turn_the_loop
from zeroconf import DNSQuestionType
from zeroconf.asyncio import AsyncServiceInfo

from vegehub.simulator import mdns
from vegehub.simulator.mdns import HubAnnouncer, hub_txt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RECORD = json.loads((Path(__file__).parent.parent / "data" / "mdns_txt.json").read_text())
TXT = hub_txt(version="5.1.1", sensors=1, actuators=0)
SRV = 33


@pytest.fixture(autouse=True)
def service_type(monkeypatch: pytest.MonkeyPatch) -> str:
    return own_service_type(monkeypatch, mdns)


@pytest.fixture
async def observer(service_type: str) -> AsyncIterator[Observer]:
    async with observing(service_type) as observer:
        yield observer


@pytest.fixture
async def announcer() -> AsyncIterator[HubAnnouncer]:
    async with HubAnnouncer() as announcer:
        yield announcer


async def is_answered(announcer: HubAnnouncer, observer: Observer, name: str) -> bool:
    beside = await announcer.announce(unused_name(), "127.0.6.99", probe=False)
    return await observer.is_answered(name, beside=beside.name)


def test_hubs_announce_the_service_type_of_the_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert mdns.SERVICE_TYPE == "_vege._tcp.local."


def test_the_txt_record_is_that_of_a_real_hub() -> None:
    txt = hub_txt(version="5.1.1", sensors=1, actuators=0, power_mode=0)
    assert list(txt.items()) == list(RECORD.items())


def test_sensors_and_actuators_can_be_named() -> None:
    txt = hub_txt(version="6", sensors=2, actuators=1, sensor_names=["Bed", "Tank"], actuator_names=["Valve"])
    assert (txt["sens_1"], txt["sens_2"], txt["act_1"], txt["sensors"]) == ("Bed", "Tank", "Valve", "2")


async def test_an_announced_hub_has_its_name_address_port_and_txt(announcer: HubAnnouncer, observer: Observer) -> None:
    name = unused_name()
    announcement = await announcer.announce(name, "127.0.6.20", 8080, TXT, probe=False)
    await observer.until(("Added", name))
    info = await observer.ask(name)
    assert announcement.is_announced
    assert (info.server, info.parsed_addresses(), info.port) == (f"{name}.local.", ["127.0.6.20"], 8080)
    assert info.properties == {key.encode(): value.encode() for key, value in RECORD.items()}


async def test_an_ordinary_question_is_answered(announcer: HubAnnouncer, observer: Observer) -> None:
    name = unused_name()
    announcement = await announcer.announce(name, "127.0.6.20", 8080, TXT, probe=False)
    await announcement.settled()
    await observer.caught_up(announcer.zeroconf)
    observer.forget(name)
    forget_all(announcer.zeroconf)
    info = AsyncServiceInfo(observer.type, f"{name}.{observer.type}")
    assert await info.async_request(observer.zeroconf, 60_000, question_type=DNSQuestionType.QM)
    assert info.port == 8080


async def test_a_sleeping_hub_answers_nothing_and_says_no_goodbye(announcer: HubAnnouncer, observer: Observer) -> None:
    name = unused_name()
    sleeper = await announcer.announce(name, "127.0.6.1", txt=TXT, probe=False)
    await observer.until(("Added", name))
    assert await is_answered(announcer, observer, name)
    sleeper.sleep()
    assert not sleeper.is_announced
    assert not await is_answered(announcer, observer, name)
    assert ("Removed", name) not in observer.heard


@pytest.mark.parametrize("then", ["sleeps", "goes", "moves"])
async def test_an_answer_that_was_held_back_is_not_given_by_a_hub_that_sleeps_goes_or_moves(
    announcer: HubAnnouncer, service_type: str, then: str
) -> None:
    hub = await announcer.announce(unused_name(), "127.0.6.1", 81, TXT, probe=False)
    await hub.settled()
    responder, before = announcer.zeroconf, hub._info
    assert before is not None
    async with observing(service_type, silently=True) as listener:
        if then == "sleeps":
            hub.sleep()
        elif then == "goes":
            await hub.goodbye()
        else:
            await hub.update(address="127.0.6.2", port=82)
            await listener.remembered(hub.name)
        # So zeroconf sends what it had to say up to a second and a half ago.
        responder.async_send(responder.generate_service_broadcast(before, None))
        await listener.caught_up()
        info = listener.knows(hub.name)
        if then == "moves":
            assert info is not None
            assert (info.parsed_addresses(), info.port) == (["127.0.6.2"], 82)
        else:
            assert info is None


async def test_an_announcement_that_was_begun_is_not_repeated_once_the_hub_has_moved(
    announcer: HubAnnouncer, service_type: str
) -> None:
    hub = await announcer.announce(unused_name(), "127.0.6.1", 81, TXT, probe=False)
    await hub.update(port=82)
    async with observing(service_type, silently=True) as listener:
        await hub.settled()
        await listener.caught_up()
        records: list[Any] = listener.zeroconf.cache.async_entries_with_name(f"{hub.name}.{service_type}")
        assert {record.port for record in records if record.type == SRV} == {82}


async def test_a_hub_that_wakes_keeps_its_name_and_is_answered_for(announcer: HubAnnouncer, observer: Observer) -> None:
    name = unused_name()
    sleeper = await announcer.announce(name, "127.0.6.2", txt=TXT, probe=False)
    sleeper.sleep()
    await sleeper.wake()
    assert sleeper.name == name
    assert await observer.ask(name)


async def test_the_same_data_under_the_same_name_is_no_conflict(announcer: HubAnnouncer) -> None:
    # A hub that wakes may hear the echo of what it said before it slept.
    name = unused_name()
    await announcer.announce(name, "127.0.6.2", txt=TXT, probe=False)
    async with HubAnnouncer() as other:
        assert (await other.announce(name, "127.0.6.2", txt=TXT)).name == name


async def test_a_hub_on_the_air_that_wakes_announces_itself_again(announcer: HubAnnouncer, service_type: str) -> None:
    hub = await announcer.announce(unused_name(), "127.0.6.2", txt=TXT, probe=False)
    name = hub.name
    await hub.settled()
    async with observing(service_type, silently=True) as listener:
        assert listener.knows(name) is None
        await hub.wake()
        assert hub.name == name
        await listener.remembered(name)


async def test_a_hub_that_falls_asleep_while_it_probes_is_not_announced(announcer: HubAnnouncer) -> None:
    name = unused_name()
    hub = await announcer.announce(name, "127.0.6.3", txt=TXT, probe=False)
    hub.sleep()
    probing = hub.wake()
    await turn_the_loop()
    assert not hub.is_announced
    hub.sleep()
    again = hub.wake(probe=False)
    await again
    assert probing.cancelled()
    assert (hub.name, hub.is_announced) == (name, True)


async def test_a_hub_that_is_switched_off_takes_its_announcement_back(
    announcer: HubAnnouncer, observer: Observer
) -> None:
    name = unused_name()
    hub = await announcer.announce(name, "127.0.6.4", txt=TXT, probe=False)
    await observer.until(("Added", name))
    await hub.goodbye()
    await observer.until(("Removed", name))
    await hub.goodbye()
    assert not hub.is_announced


async def test_a_hub_that_is_switched_on_again_at_once_is_there_to_stay(
    announcer: HubAnnouncer, observer: Observer
) -> None:
    name = unused_name()
    hub = await announcer.announce(name, "127.0.6.4", 81, TXT, probe=False)
    await observer.until(("Added", name))
    await hub.goodbye()
    hub.change(port=82)
    await hub.wake(probe=False)
    await hub.settled()
    assert await is_answered(announcer, observer, name)
    assert [kind for kind, heard in observer.heard if heard == name and kind != "Updated"] == [
        "Added",
        "Removed",
        "Added",
    ]


async def test_a_hub_that_moved_while_asleep_wakes_at_its_new_address(
    announcer: HubAnnouncer, observer: Observer
) -> None:
    name = unused_name()
    hub = await announcer.announce(name, "127.0.6.5", txt=TXT, probe=False)
    hub.sleep()
    await hub.update(address="127.0.6.55", port=8081, txt={"version": "5.2"})
    assert not hub.is_announced
    await hub.wake(probe=False)
    info = await observer.ask(name)
    assert (info.parsed_addresses()[0], info.port, info.properties) == ("127.0.6.55", 8081, {b"version": b"5.2"})


async def test_two_hubs_of_one_announcer_never_share_a_name(announcer: HubAnnouncer, observer: Observer) -> None:
    name = unused_name()
    first, second, third = [await announcer.announce(name, f"127.0.7.{n}", probe=False) for n in (1, 2, 3)]
    assert [first.name, second.name, third.name] == [name, f"{name}-2", f"{name}-3"]
    info = await observer.ask(f"{name}-2")
    assert (info.server, info.parsed_addresses()) == (f"{name}-2.local.", ["127.0.7.2"])


async def test_a_name_that_another_responder_answers_for_is_left_to_it(announcer: HubAnnouncer) -> None:
    name = unused_name()
    await announcer.announce(name, "127.0.7.1", probe=False)
    async with HubAnnouncer() as other:
        assert (await other.announce(name, "127.0.7.2")).name == f"{name}-2"


async def test_a_name_taken_while_its_hub_slept_is_left_to_the_one_that_took_it(announcer: HubAnnouncer) -> None:
    name = unused_name()
    sleeper = await announcer.announce(name, "127.0.7.1", probe=False)
    sleeper.sleep()
    async with HubAnnouncer() as other:
        await other.announce(name, "127.0.7.2", probe=False)
        await sleeper.wake()
    assert sleeper.name == f"{name}-2"


async def test_twenty_hubs_share_two_sockets_and_no_thread(announcer: HubAnnouncer, observer: Observer) -> None:
    before, threads = sockets(), set(threading.enumerate())
    names = [unused_name() for _ in range(20)]
    await asyncio.gather(
        *(announcer.announce(name, f"127.0.8.{n}", txt=TXT, probe=False) for n, name in enumerate(names, 1))
    )
    await observer.until(*(("Added", name) for name in names))
    assert sockets() - before == 2
    assert set(threading.enumerate()) == threads


async def test_closing_says_goodbye_for_all_and_leaves_no_socket_and_no_task(observer: Observer) -> None:
    before = open_here()
    announcer = HubAnnouncer()
    names = [unused_name() for _ in range(3)]
    *awake, sleeper = [await announcer.announce(name, f"127.0.9.{n}", probe=False) for n, name in enumerate(names)]
    await observer.until(*(("Added", name) for name in names))
    sleeper.sleep()
    await announcer.close()
    await observer.until(*(("Removed", hub.name) for hub in awake))
    await announcer.close()
    assert ("Removed", sleeper.name) not in observer.heard
    await nothing_is_left(before)


async def test_closing_without_goodbye_is_silent(announcer: HubAnnouncer, observer: Observer) -> None:
    name = unused_name()
    before = open_here()
    closed = HubAnnouncer()
    await closed.announce(name, "127.0.9.1", probe=False)
    await observer.until(("Added", name))
    await closed.close(goodbye=False)
    await nothing_is_left(before)
    assert not await is_answered(announcer, observer, name)
    assert ("Removed", name) not in observer.heard


async def test_an_announcer_that_announced_nothing_has_no_responder() -> None:
    announcer = HubAnnouncer()
    with pytest.raises(RuntimeError, match="nothing was announced"):
        _ = announcer.zeroconf
    await announcer.close()
