"""Simulated hubs on real mDNS, over the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from zeroconf import DNSQuestionType, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from vegehub.simulator import mdns
from vegehub.simulator.mdns import HubAnnouncer, hub_txt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RECORD = json.loads((Path(__file__).parent.parent / "data" / "mdns_txt.json").read_text())
TXT = hub_txt(version="5.1.1", sensors=1, actuators=0)
_numbers = itertools.count()


@pytest.fixture(autouse=True)
def service_type(monkeypatch: pytest.MonkeyPatch) -> str:
    """A service type of this test alone: nothing that runs beside it, and no real hub, is heard."""
    service_type = f"_vm{os.getpid() % 10**6}x{next(_numbers)}._tcp.local."
    monkeypatch.setattr(mdns, "SERVICE_TYPE", service_type)
    return service_type


class Observer:
    """Another machine's view: what it heard, and what it is answered."""

    def __init__(self, zeroconf: AsyncZeroconf, service_type: str) -> None:
        self.aio = zeroconf
        self.type = service_type
        self.heard: list[tuple[str, str]] = []
        self.changed = asyncio.Event()
        self.browser = AsyncServiceBrowser(
            zeroconf.zeroconf, service_type, handlers=[self.hear], question_type=DNSQuestionType.QM
        )

    def hear(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        self.heard.append((state_change.name, name.removesuffix(f".{self.type}")))
        self.changed.set()

    async def until(self, *events: tuple[str, str]) -> None:
        async with asyncio.timeout(30):
            while not set(events) <= set(self.heard):
                self.changed.clear()
                await self.changed.wait()

    async def ask(self, name: str) -> AsyncServiceInfo | None:
        """Ask with an empty memory, so that only an answer given now counts."""
        full = f"{name}.{self.type}"
        cache = self.aio.zeroconf.cache
        cache.async_remove_records(list(cache.async_entries_with_name(full)))
        info = AsyncServiceInfo(self.type, full)
        answered = await info.async_request(self.aio.zeroconf, 1500, question_type=DNSQuestionType.QM)
        return info if answered else None


@pytest.fixture
async def observer(service_type: str) -> AsyncIterator[Observer]:
    zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"])
    await zeroconf.zeroconf.async_wait_for_start()
    observer = Observer(zeroconf, service_type)
    yield observer
    await observer.browser.async_cancel()
    await zeroconf.async_close()
    await asyncio.sleep(0)


@pytest.fixture
async def announcer() -> AsyncIterator[HubAnnouncer]:
    async with HubAnnouncer() as announcer:
        yield announcer


def sockets() -> int:
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists the folder is gone by now
            links.append(str(descriptor.readlink()))
    return sum(link.startswith("socket:") for link in links)


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
    announcement = await announcer.announce("Vege_A6_20", "127.0.6.20", 8080, TXT)
    await observer.until(("Added", "Vege_A6_20"))
    info = await observer.ask("Vege_A6_20")
    assert info is not None
    assert announcement.is_announced
    assert (info.server, info.parsed_addresses(), info.port) == ("Vege_A6_20.local.", ["127.0.6.20"], 8080)
    assert info.properties == {key.encode(): value.encode() for key, value in RECORD.items()}


async def test_a_sleeping_hub_answers_nothing_and_says_no_goodbye(announcer: HubAnnouncer, observer: Observer) -> None:
    sleeper = await announcer.announce("Vege_S", "127.0.6.1", txt=TXT, probe=False)
    await observer.until(("Added", "Vege_S"))
    sleeper.sleep()
    assert not sleeper.is_announced
    assert await observer.ask("Vege_S") is None
    assert ("Removed", "Vege_S") not in observer.heard


async def test_a_hub_that_wakes_keeps_its_name_and_is_answered_for(announcer: HubAnnouncer, observer: Observer) -> None:
    sleeper = await announcer.announce("Vege_W", "127.0.6.2", txt=TXT, probe=False)
    await sleeper.settled()
    sleeper.sleep()
    await sleeper.wake()
    assert sleeper.name == "Vege_W"
    assert await observer.ask("Vege_W") is not None


async def test_the_same_data_under_the_same_name_is_no_conflict(announcer: HubAnnouncer) -> None:
    # A hub that wakes may hear the echo of what it said before it slept.
    await announcer.announce("Vege_H", "127.0.6.2", txt=TXT, probe=False)
    async with HubAnnouncer() as other:
        assert (await other.announce("Vege_H", "127.0.6.2", txt=TXT)).name == "Vege_H"


async def test_a_hub_on_the_air_that_wakes_announces_itself_again(announcer: HubAnnouncer, observer: Observer) -> None:
    hub = await announcer.announce("Vege_W2", "127.0.6.2", txt=TXT, probe=False)
    await hub.wake()
    assert hub.name == "Vege_W2"
    assert await observer.ask("Vege_W2") is not None


async def test_a_hub_that_falls_asleep_while_it_probes_is_not_announced(announcer: HubAnnouncer) -> None:
    hub = await announcer.announce("Vege_P", "127.0.6.3", txt=TXT, probe=False)
    hub.sleep()
    probing = hub.wake()
    await asyncio.sleep(0.1)
    hub.sleep()
    again = hub.wake(probe=False)
    await again
    assert probing.cancelled()
    assert (hub.name, hub.is_announced) == ("Vege_P", True)


async def test_a_hub_that_is_switched_off_takes_its_announcement_back(
    announcer: HubAnnouncer, observer: Observer
) -> None:
    hub = await announcer.announce("Vege_G", "127.0.6.4", txt=TXT, probe=False)
    await observer.until(("Added", "Vege_G"))
    await hub.goodbye()
    await observer.until(("Removed", "Vege_G"))
    await hub.goodbye()
    assert not hub.is_announced


async def test_a_hub_that_moved_while_asleep_wakes_at_its_new_address(
    announcer: HubAnnouncer, observer: Observer
) -> None:
    hub = await announcer.announce("Vege_M", "127.0.6.5", txt=TXT, probe=False)
    hub.sleep()
    await hub.update(address="127.0.6.55", port=8081, txt={"version": "5.2"})
    assert not hub.is_announced
    await hub.wake(probe=False)
    info = await observer.ask("Vege_M")
    assert info is not None
    assert (info.parsed_addresses()[0], info.port, info.properties) == ("127.0.6.55", 8081, {b"version": b"5.2"})


async def test_two_hubs_of_one_announcer_never_share_a_name(announcer: HubAnnouncer, observer: Observer) -> None:
    first, second, third = [await announcer.announce("Vege_C", f"127.0.7.{n}", probe=False) for n in (1, 2, 3)]
    assert [first.name, second.name, third.name] == ["Vege_C", "Vege_C-2", "Vege_C-3"]
    info = await observer.ask("Vege_C-2")
    assert info is not None
    assert (info.server, info.parsed_addresses()) == ("Vege_C-2.local.", ["127.0.7.2"])


async def test_a_name_that_another_responder_answers_for_is_left_to_it(announcer: HubAnnouncer) -> None:
    await announcer.announce("Vege_D", "127.0.7.1")
    async with HubAnnouncer() as other:
        assert (await other.announce("Vege_D", "127.0.7.2")).name == "Vege_D-2"


async def test_a_name_taken_while_its_hub_slept_is_left_to_the_one_that_took_it(announcer: HubAnnouncer) -> None:
    sleeper = await announcer.announce("Vege_E", "127.0.7.1", probe=False)
    sleeper.sleep()
    async with HubAnnouncer() as other:
        await other.announce("Vege_E", "127.0.7.2", probe=False)
        await sleeper.wake()
    assert sleeper.name == "Vege_E-2"


async def test_twenty_hubs_share_two_sockets_and_no_thread(announcer: HubAnnouncer, observer: Observer) -> None:
    before, threads = sockets(), set(threading.enumerate())
    names = [f"Vege_{n:02}" for n in range(20)]
    await asyncio.gather(
        *(announcer.announce(name, f"127.0.8.{n}", txt=TXT, probe=False) for n, name in enumerate(names, 1))
    )
    await observer.until(*(("Added", name) for name in names))
    assert sockets() - before == 2
    assert set(threading.enumerate()) == threads


async def test_closing_says_goodbye_for_all_and_leaves_no_socket_and_no_task(observer: Observer) -> None:
    before, tasks = sockets(), len(asyncio.all_tasks())
    announcer = HubAnnouncer()
    await announcer.announce("Vege_X1", "127.0.9.1", probe=False)
    sleeper = await announcer.announce("Vege_X2", "127.0.9.2", probe=False)
    sleeper.sleep()
    await observer.until(("Added", "Vege_X1"))
    await announcer.close()
    await observer.until(("Removed", "Vege_X1"))
    await announcer.close()
    assert (sockets(), len(asyncio.all_tasks())) == (before, tasks)


async def test_closing_without_goodbye_is_silent(observer: Observer) -> None:
    tasks = len(asyncio.all_tasks())
    announcer = HubAnnouncer()
    await announcer.announce("Vege_Y", "127.0.9.1", probe=False)
    await observer.until(("Added", "Vege_Y"))
    await announcer.close(goodbye=False)
    assert await observer.ask("Vege_Y") is None
    assert ("Removed", "Vege_Y") not in observer.heard
    assert len(asyncio.all_tasks()) == tasks


async def test_an_announcer_that_announced_nothing_has_no_responder() -> None:
    announcer = HubAnnouncer()
    with pytest.raises(RuntimeError, match="nothing was announced"):
        _ = announcer.zeroconf
    await announcer.close()
