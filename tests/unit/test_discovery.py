"""Hubs found by real mDNS over the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zeroconf.asyncio
from zeroconf import InterfaceChoice, IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from vegehub import discovery, multicast
from vegehub.announcements import DiscoveredHub
from vegehub.discovery import NOTHING_FOUND, HubBrowser, discover
from vegehub.exceptions import (
    Outcome,
    VegeHubConnectionError,
    VegeHubSessionError,
    VegeHubTimeoutError,
    VegeHubValueError,
)
from vegehub.simulator import mdns
from vegehub.simulator.mdns import HubAnnouncer, hub_txt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from vegehub.announcements import HubEvent

LOOPBACK = ["127.0.0.1"]
LONG = 600.0
"""A timeout that no test waits for: what needs it fails by the limit of the test run."""
RECORD = json.loads((Path(__file__).parent.parent / "data" / "mdns_txt.json").read_text())
TXT = hub_txt(version="5.1.1", sensors=4, actuators=2)
_numbers = itertools.count()


@pytest.fixture(autouse=True)
def service_type(monkeypatch: pytest.MonkeyPatch) -> str:
    """A service type of this test alone: nothing that runs beside it, and no real hub, is found."""
    service_type = f"_vd{os.getpid() % 10**6}x{next(_numbers)}._tcp.local."
    monkeypatch.setattr(mdns, "SERVICE_TYPE", service_type)
    monkeypatch.setattr(discovery, "SERVICE_TYPE", service_type)
    return service_type


@pytest.fixture
async def announcer() -> AsyncIterator[HubAnnouncer]:
    async with HubAnnouncer() as announcer:
        yield announcer


@pytest.fixture
async def shared() -> AsyncIterator[AsyncZeroconf]:
    async with AsyncZeroconf(interfaces=LOOPBACK) as shared:
        await shared.zeroconf.async_wait_for_start()
        yield shared
    await asyncio.sleep(0)


def sockets() -> int:
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists the folder is gone by now
            links.append(str(descriptor.readlink()))
    return sum(link.startswith("socket:") for link in links)


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}


async def event(browser: HubBrowser) -> HubEvent:
    async with asyncio.timeout(60):
        return await anext(browser)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - any condition, not one that announces itself
            await asyncio.sleep(0.001)


# --- Once ---------------------------------------------------------------------------------------------------------------


def test_hubs_are_looked_for_under_the_service_type_of_the_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert discovery.SERVICE_TYPE == "_vege._tcp.local."


async def test_a_hub_is_found_with_all_that_it_announces(announcer: HubAnnouncer) -> None:
    await announcer.announce("Vege_A6_20", "127.0.6.20", 80, RECORD, probe=False)
    found = await discover(LONG, interfaces=LOOPBACK, expect=1)
    assert found == [
        DiscoveredHub(
            name="Vege_A6_20",
            host="Vege_A6_20.local",
            addresses=("127.0.6.20",),
            port=80,
            firmware="5.1.1",
            num_sensors=1,
            num_actuators=0,
            power_mode=0,
            txt=RECORD,
        )
    ]
    assert found[0].address == "127.0.6.20"


async def test_twenty_hubs_are_found_and_the_call_ends_with_the_last(announcer: HubAnnouncer) -> None:
    names = [f"Vege_{n:02}" for n in range(20)]
    await asyncio.gather(
        *(announcer.announce(name, f"127.0.8.{n}", 8000 + n, TXT, probe=False) for n, name in enumerate(names, 1))
    )
    found = await discover(LONG, interfaces=LOOPBACK, expect=20)
    assert [hub.name for hub in found] == names
    assert [hub.address for hub in found] == [f"127.0.8.{n}:{8000 + n}" for n in range(1, 21)]


async def test_fewer_hubs_than_expected_raise_and_say_why_that_may_be(announcer: HubAnnouncer) -> None:
    await announcer.announce("Vege_1", "127.0.8.1", probe=False)
    with pytest.raises(VegeHubTimeoutError) as caught:
        await discover(2, interfaces=LOOPBACK, expect=2)
    assert caught.value.outcome is Outcome.NOT_SENT
    assert str(caught.value).startswith("1 of 2 hubs (Vege_1) announced themselves within 2 s. ")
    assert NOTHING_FOUND in str(caught.value)


async def test_nothing_found_is_an_empty_list_and_the_reasons_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="vegehub"):
        assert await discover(0.2, interfaces=LOOPBACK) == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO] == [
        f"No hub announced itself within 0.2 s. {NOTHING_FOUND}"
    ]


@pytest.mark.parametrize(
    "reason", ["asleep", "subnet or VLAN", "multicast", "firmware is older than 4.0", "UDP port 5353"]
)
def test_the_reasons_why_nothing_was_found_are_all_named(reason: str) -> None:
    assert reason in NOTHING_FOUND


async def test_discovery_leaves_no_thread_socket_or_task(announcer: HubAnnouncer) -> None:
    await announcer.announce("Vege_1", "127.0.8.1", probe=False)
    await announcer._announcements[0].settled()
    before = (sockets(), threads(), len(asyncio.all_tasks()))
    await discover(LONG, interfaces=LOOPBACK, expect=1)
    assert (sockets(), threads(), len(asyncio.all_tasks())) == before


async def test_a_cancelled_discovery_leaves_nothing() -> None:
    before = (sockets(), threads(), len(asyncio.all_tasks()))
    searching = asyncio.create_task(discover(LONG, interfaces=LOOPBACK))
    await until(lambda: sockets() > before[0])
    searching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await searching
    assert (sockets(), threads(), len(asyncio.all_tasks())) == before


@pytest.mark.parametrize("cancels", [1, 2, 3])
async def test_cancelling_while_it_closes_leaves_nothing_either(cancels: int) -> None:
    before = (sockets(), threads(), len(asyncio.all_tasks()))
    browser = HubBrowser(interfaces=LOOPBACK)
    await browser.__aenter__()
    closing = asyncio.create_task(browser.close())
    for _ in range(cancels):
        await asyncio.sleep(0)
        closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert (sockets(), threads(), len(asyncio.all_tasks())) == before


# --- A zeroconf of the caller -------------------------------------------------------------------------------------------


async def test_a_zeroconf_that_was_given_is_used_and_stays_open(announcer: HubAnnouncer, shared: AsyncZeroconf) -> None:
    await announcer.announce("Vege_1", "127.0.8.1", probe=False)
    before, tasks = sockets(), len(asyncio.all_tasks())
    assert [hub.name for hub in await discover(LONG, zeroconf=shared, expect=1)] == ["Vege_1"]
    assert (sockets(), len(asyncio.all_tasks())) == (before, tasks)
    assert shared.zeroconf.started
    info = AsyncServiceInfo("_other._tcp.local.", "x._other._tcp.local.", port=1, parsed_addresses=["127.0.0.1"])
    await (await shared.async_register_service(info, cooperating_responders=True))
    await (await shared.async_unregister_service(info))


async def test_what_a_shared_zeroconf_knows_already_is_found_at_once(
    announcer: HubAnnouncer, shared: AsyncZeroconf
) -> None:
    await announcer.announce("Vege_1", "127.0.8.1", probe=False)
    await discover(LONG, zeroconf=shared, expect=1)
    await announcer.close(goodbye=False)
    assert [hub.name for hub in await discover(LONG, zeroconf=shared, expect=1)] == ["Vege_1"]


async def test_a_closed_zeroconf_is_refused() -> None:
    closed = AsyncZeroconf(interfaces=LOOPBACK)
    await closed.async_close()
    with pytest.raises(VegeHubSessionError, match="closed"):
        await discover(LONG, zeroconf=closed)


def test_a_zeroconf_of_another_loop_is_refused() -> None:
    async def use(foreign: AsyncZeroconf) -> None:
        with pytest.raises(VegeHubSessionError, match="another event loop"):
            await discover(LONG, zeroconf=foreign)

    async def both() -> None:
        async with AsyncZeroconf(interfaces=LOOPBACK) as foreign:
            await foreign.zeroconf.async_wait_for_start()
            await asyncio.to_thread(lambda: asyncio.run(use(foreign)))
        await asyncio.sleep(0)

    asyncio.run(both())


# --- Interfaces and arguments -------------------------------------------------------------------------------------------


async def test_an_interface_that_this_machine_lacks_is_named() -> None:
    before = sockets()
    with pytest.raises(VegeHubConnectionError, match=r"no usable network interface.*198\.51\.100\.7") as caught:
        await discover(LONG, interfaces=["127.0.0.1", "198.51.100.7"])
    assert caught.value.outcome is Outcome.NOT_SENT
    assert sockets() == before


@pytest.mark.parametrize("error", [RuntimeError("No interfaces to listen on"), OSError(97, "not supported")])
async def test_a_machine_without_interfaces_gives_a_clear_error(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise error

    monkeypatch.setattr(zeroconf.asyncio, "AsyncZeroconf", refuse)
    with pytest.raises(VegeHubConnectionError, match="no usable network interface") as caught:
        await discover(LONG)
    assert caught.value.outcome is Outcome.NOT_SENT
    assert caught.value.__cause__ is error


async def test_a_zeroconf_that_opens_no_sender_gives_the_same_error(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sockets()
    opened = AsyncZeroconf
    monkeypatch.setattr(zeroconf.asyncio, "AsyncZeroconf", lambda **_: opened(interfaces=[]))
    with pytest.raises(VegeHubConnectionError, match="no usable network interface"):
        await discover(LONG)
    assert sockets() == before


async def test_a_zeroconf_that_does_not_start_gives_the_same_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: object, timeout: float = 0) -> None:
        monkeypatch.undo()  # closing waits for the start as well
        raise zeroconf.NotRunningException

    before = sockets()
    monkeypatch.setattr(zeroconf.Zeroconf, "async_wait_for_start", fail)
    with pytest.raises(VegeHubConnectionError, match="zeroconf did not start"):
        await discover(LONG, interfaces=LOOPBACK)
    assert sockets() == before


@pytest.mark.parametrize(("has_ipv6", "version"), [(True, IPVersion.All), (False, IPVersion.V4Only)])
async def test_all_interfaces_are_used_by_default_with_ipv6_where_there_is_any(
    has_ipv6: bool, version: IPVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    opened = AsyncZeroconf

    def record(**arguments: Any) -> AsyncZeroconf:
        asked.append(arguments)
        return opened(interfaces=LOOPBACK)

    if not has_ipv6:
        monkeypatch.setattr(multicast.socket, "AF_INET6", 12345)
    monkeypatch.setattr(zeroconf.asyncio, "AsyncZeroconf", record)
    await discover(0.01)
    assert asked == [{"interfaces": InterfaceChoice.All, "ip_version": version}]


async def test_an_ipv6_interface_that_this_machine_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere(socket.socket):
        def bind(self, address: Any) -> None:  # a bind to an address of another machine, without trying it
            raise OSError(99, "cannot assign requested address")

    monkeypatch.setattr(multicast.socket, "socket", Elsewhere)
    with pytest.raises(VegeHubConnectionError, match=r"2001:db8::1 is no address of this machine"):
        HubBrowser(interfaces=["2001:db8::1"])


@pytest.mark.parametrize("interface", ["::1", "fe80::1", "127.0.0.1"])
async def test_interfaces_of_this_machine_are_taken(interface: str) -> None:
    await HubBrowser(interfaces=[interface]).close()


@pytest.mark.parametrize("interfaces", ["127.0.0.1", [], ["eth0"], [""], b"lo"])
async def test_interfaces_that_are_no_addresses_are_refused(interfaces: Any) -> None:
    with pytest.raises(VegeHubValueError, match="interfaces"):
        await discover(LONG, interfaces=interfaces)


async def test_interfaces_and_a_zeroconf_cannot_both_be_given(shared: AsyncZeroconf) -> None:
    with pytest.raises(VegeHubValueError, match="not both"):
        await discover(LONG, zeroconf=shared, interfaces=LOOPBACK)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 3601, True, "5"])
async def test_a_bad_timeout_is_refused(timeout: Any) -> None:
    with pytest.raises(VegeHubValueError, match="timeout"):
        await discover(timeout, interfaces=LOOPBACK)


@pytest.mark.parametrize("expect", [0, -1, 1.5, True, "2"])
async def test_a_bad_count_is_refused(expect: Any) -> None:
    with pytest.raises(VegeHubValueError, match="expect"):
        await discover(LONG, interfaces=LOOPBACK, expect=expect)


async def test_a_timeout_error_of_another_cause_is_not_taken_for_the_end_of_the_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(self: HubBrowser) -> HubEvent:
        raise TimeoutError("of somebody else")

    monkeypatch.setattr(HubBrowser, "__anext__", fail)
    with pytest.raises(TimeoutError, match="somebody else"):
        await discover(LONG, interfaces=LOOPBACK)


# --- For as long as a browser is open -----------------------------------------------------------------------------------


async def test_records_that_come_again_unchanged_are_no_update(
    announcer: HubAnnouncer, shared: AsyncZeroconf, service_type: str
) -> None:
    hub = await announcer.announce("Vege_1", "127.0.8.1", txt=TXT, probe=False)
    async with HubBrowser(zeroconf=shared) as browser:
        assert (await event(browser)).kind == "added"
        await hub.settled()
        cache = shared.zeroconf.cache
        cache.async_remove_records(
            list(cache.async_entries_with_name(f"Vege_1.{service_type}"))
        )  # as when they run out
        await asyncio.sleep(1.1)  # the same packet is taken for a duplicate for a second
        await hub.wake()
        await until(lambda: bool(cache.async_entries_with_name(f"Vege_1.{service_type}")))
        await hub.goodbye()
        assert (await event(browser)).kind == "removed"


async def test_a_sleeper_stays_known(announcer: HubAnnouncer) -> None:
    async with HubBrowser(interfaces=LOOPBACK) as browser:
        sleeper = await announcer.announce("Vege_1", "127.0.8.1", probe=False)
        await event(browser)
        sleeper.sleep()
        await announcer.announce("Vege_2", "127.0.8.2", probe=False)
        assert (await event(browser)).hub.name == "Vege_2"
        assert [hub.name for hub in browser.hubs] == ["Vege_1", "Vege_2"]


async def test_the_iteration_ends_when_the_browser_closes_after_what_was_seen(announcer: HubAnnouncer) -> None:
    browser = HubBrowser(interfaces=LOOPBACK)
    async with browser:
        await announcer.announce("Vege_1", "127.0.8.1", probe=False)
        await until(lambda: bool(browser.hubs))
    assert [event.hub.name async for event in browser] == ["Vege_1"]
    assert [event async for event in browser] == []


async def test_a_waiting_consumer_is_released_when_the_browser_closes() -> None:
    async with HubBrowser(interfaces=LOOPBACK) as browser:
        waiting = asyncio.create_task(anext(browser, None))
        await asyncio.sleep(0)
    assert await waiting is None


async def test_a_browser_is_opened_first_and_only_once() -> None:
    browser = HubBrowser(interfaces=LOOPBACK)
    with pytest.raises(VegeHubValueError, match="open the browser first"):
        await anext(browser)
    async with browser:
        pass
    with pytest.raises(VegeHubValueError, match="once"):
        async with browser:
            pass
    await browser.close()


async def test_a_browser_that_was_never_opened_can_be_closed() -> None:
    await HubBrowser(interfaces=LOOPBACK).close()


async def test_a_consumer_that_falls_behind_gets_the_newest_event_of_each_hub(
    announcer: HubAnnouncer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "_MAX_BACKLOG", 2)
    async with HubBrowser(interfaces=LOOPBACK) as browser:
        hub = await announcer.announce("Vege_1", "127.0.8.1", txt={"version": "0"}, probe=False)
        await announcer.announce("Vege_2", "127.0.8.2", txt={"version": "0"}, probe=False)
        for version in ("0", "1", "2", "3"):
            await hub.update(txt={"version": version})
            await until(lambda: [known.firmware for known in browser.hubs] == [version, "0"])  # noqa: B023 - called at once
    seen = [(event.hub.name, event.hub.firmware) async for event in browser]
    assert seen == [("Vege_2", "0"), ("Vege_1", "3")]


async def test_records_that_come_one_by_one_are_asked_for(
    announcer: HubAnnouncer, shared: AsyncZeroconf, service_type: str
) -> None:
    await announcer.announce("Vege_1", "127.0.8.1", txt=TXT, probe=False)
    await discover(LONG, zeroconf=shared, expect=1)
    cache = shared.zeroconf.cache
    await announcer._announcements[0].settled()
    await asyncio.sleep(1.2)  # a responder keeps an answer back that it has given within a second
    for name in (f"Vege_1.{service_type}", "Vege_1.local."):
        cache.async_remove_records(list(cache.async_entries_with_name(name)))
    assert [hub.address for hub in await discover(LONG, zeroconf=shared, expect=1)] == ["127.0.8.1"]


async def test_a_name_that_nobody_answers_for_is_no_hub_and_leaves_no_task(
    announcer: HubAnnouncer, shared: AsyncZeroconf, service_type: str
) -> None:
    await announcer.announce("Vege_1", "127.0.8.1", txt=TXT, probe=False)
    await discover(LONG, zeroconf=shared, expect=1)
    await announcer.close(goodbye=False)
    cache = shared.zeroconf.cache
    cache.async_remove_records(list(cache.async_entries_with_name(f"Vege_1.{service_type}")))
    tasks = len(asyncio.all_tasks())
    assert await discover(0.2, zeroconf=shared) == []
    assert len(asyncio.all_tasks()) == tasks


async def test_the_same_name_is_forgotten_when_it_is_taken_back_while_it_is_asked_for(
    announcer: HubAnnouncer, shared: AsyncZeroconf, service_type: str
) -> None:
    hub = await announcer.announce("Vege_1", "127.0.8.1", txt=TXT, probe=False)
    await discover(LONG, zeroconf=shared, expect=1)
    cache = shared.zeroconf.cache
    await hub.settled()
    async with HubBrowser(zeroconf=shared) as browser:
        await event(browser)
        cache.async_remove_records(list(cache.async_entries_with_name(f"Vege_1.{service_type}")))
        async with HubBrowser(zeroconf=shared) as second:
            assert second._asking
            await hub.goodbye()
            assert (await event(browser)).kind == "removed"
            assert not second._asking
            assert second.hubs == ()


async def test_a_zeroconf_that_is_closed_while_a_browser_uses_it_does_no_harm(
    announcer: HubAnnouncer, service_type: str
) -> None:
    async with AsyncZeroconf(interfaces=LOOPBACK) as shared:
        await announcer.announce("Vege_1", "127.0.8.1", txt=TXT, probe=False)
        await discover(LONG, zeroconf=shared, expect=1)
        cache = shared.zeroconf.cache
        cache.async_remove_records(list(cache.async_entries_with_name(f"Vege_1.{service_type}")))
        async with HubBrowser(zeroconf=shared) as browser:
            await shared.async_close()
            await until(lambda: not browser._asking)
            assert browser.hubs == ()


async def test_a_loop_that_ends_while_a_browser_closes_is_not_held_up() -> None:
    browser = HubBrowser(interfaces=LOOPBACK)
    await browser.__aenter__()
    closing = asyncio.create_task(browser.close())
    await asyncio.sleep(0)
    browser._closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await browser._shut()


async def test_a_flood_of_announcements_is_bounded(announcer: HubAnnouncer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "MAX_HUBS", 3)
    for n in range(1, 6):
        await announcer.announce(f"Vege_{n}", f"127.0.8.{n}", txt=TXT, probe=False)
    assert len(await discover(2, interfaces=LOOPBACK)) == 3


# --- What a peer may say --------------------------------------------------------------------------------------------------


async def test_text_of_a_peer_is_cleaned(announcer: HubAnnouncer) -> None:
    txt: dict[str, str | bytes | None] = {
        "version": b"\x1b[2J\x1b]0;owned\x075.1.1\x07",
        "sens_1": b"\xff\xfe broken",
        "sens_2": "user\u202egnp.exe",
        "sensors": "99999",
        "flag": None,
        **{f"long{n}": b"x" * 240 for n in range(30)},
    }
    await announcer.announce("Vege\u202e_1", "127.0.8.1", 8080, txt, probe=False)
    (hub,) = await discover(LONG, interfaces=LOOPBACK, expect=1)
    assert (hub.name, hub.host, hub.firmware, hub.num_sensors) == ("Vege_1", "Vege_1.local", "5.1.1", None)
    assert (hub.txt["sens_1"], hub.txt["sens_2"], hub.txt["flag"]) == ("\ufffd\ufffd broken", "usergnp.exe", "")
    assert hub.txt["long29"] == "x" * 240


async def test_an_announcement_that_makes_no_sense_is_refused(
    announcer: HubAnnouncer, caplog: pytest.LogCaptureFixture, service_type: str
) -> None:
    # A well-behaved responder refuses such a name, so this one is put on the air behind its back.
    with caplog.at_level(logging.DEBUG, logger="vegehub"):
        await announcer.announce("Vege_0", "127.0.8.1", port=0, probe=False)
        hub = await announcer.announce("Vege_1", "127.0.8.1", probe=False)
        hub._info.name = f"Vege\x1b[31m_1.{service_type}"
        await hub.update()
        await announcer.announce("Vege_2", "127.0.8.2", probe=False)
        found = await discover(LONG, interfaces=LOOPBACK, expect=2)
    assert [found_hub.name for found_hub in found] == ["Vege_1", "Vege_2"]
    assert any("refused" in record.getMessage() for record in caplog.records)
    assert not [record for record in caplog.records if "\x1b" in record.getMessage()]


def test_zeroconf_is_loaded_only_when_it_is_needed() -> None:
    code = "import sys, vegehub, vegehub.discovery; sys.exit('zeroconf' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_zeroconf_is_loaded_by_the_first_discovery_in_a_thread_that_ends() -> None:
    code = (
        "import asyncio, sys, threading, vegehub.discovery as d\n"
        "async def main():\n"
        "    await d.discover(0.01, interfaces=['127.0.0.1'])\n"
        "    return threading.active_count()\n"
        "sys.exit(asyncio.run(main()) != 1 or 'zeroconf' not in sys.modules)"
    )
    subprocess.run([sys.executable, "-X", "dev", "-W", "error", "-c", code], check=True)
