"""Hubs found by real mDNS over the loopback interface."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zeroconf.asyncio
from on_air import (
    LOOPBACK,
    Station,
    a_second_old,
    forget_all,
    nothing_is_left,
    open_here,
    own_service_type,
    sockets,
    station,
    unused_name,
)
from raw_hub import until
from zeroconf import InterfaceChoice, IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from vegehub.exceptions import (
    Outcome,
    VegeHubConnectionError,
    VegeHubSessionError,
    VegeHubTimeoutError,
    VegeHubValueError,
)
from vegehub.finding import NOTHING_FOUND, HubBrowser, discover, discovery, multicast
from vegehub.simulator import mdns
from vegehub.simulator.mdns import HubAnnouncer, hub_txt
from vegehub.wire.announcements import DiscoveredHub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from vegehub.wire.announcements import HubEvent

LONG = 600.0
"""A timeout that no test waits for: what needs it fails by the limit of the test run."""
RECORD = json.loads((Path(__file__).parent.parent / "data" / "mdns_txt.json").read_text())
TXT = hub_txt(version="5.1.1", sensors=4, actuators=2)
ONE, TWO = sorted(unused_name() for _ in range(2))


@pytest.fixture(autouse=True)
def service_type(monkeypatch: pytest.MonkeyPatch) -> str:
    return own_service_type(monkeypatch, mdns, discovery)


@pytest.fixture
def air(service_type: str) -> Iterator[Station]:
    with station(service_type) as air:
        yield air


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


async def event(browser: HubBrowser) -> HubEvent:
    return await anext(browser)


async def events(browser: HubBrowser, number: int) -> list[tuple[str, str]]:
    seen = [await event(browser) for _ in range(number)]
    return [(event.kind, event.hub.name) for event in seen]


# --- Once ---------------------------------------------------------------------------------------------------------------


def test_hubs_are_looked_for_under_the_service_type_of_the_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert discovery.SERVICE_TYPE == "_vege._tcp.local."


async def test_a_hub_is_found_with_all_that_it_announces(announcer: HubAnnouncer) -> None:
    await announcer.announce(ONE, "127.0.6.20", 80, RECORD, probe=False)
    found = await discover(LONG, interfaces=LOOPBACK, expect=1)
    assert found == [
        DiscoveredHub(
            name=ONE,
            host=f"{ONE}.local",
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
    names = [f"{ONE}_{n:02}" for n in range(20)]
    await asyncio.gather(
        *(announcer.announce(name, f"127.0.8.{n}", 8000 + n, TXT, probe=False) for n, name in enumerate(names, 1))
    )
    found = await discover(LONG, interfaces=LOOPBACK, expect=20)
    assert [hub.name for hub in found] == names
    assert [hub.address for hub in found] == [f"127.0.8.{n}:{8000 + n}" for n in range(1, 21)]


async def test_fewer_hubs_than_expected_raise_and_say_why_that_may_be(air: Station, shared: AsyncZeroconf) -> None:
    air.announce(ONE)
    await discover(LONG, zeroconf=shared, expect=1)
    with pytest.raises(VegeHubTimeoutError) as caught:
        await discover(0.2, zeroconf=shared, expect=2)
    assert caught.value.outcome is Outcome.NOT_SENT
    assert str(caught.value).startswith(f"1 of 2 hubs ({ONE}) announced themselves within 0.2 s. ")
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


async def test_discovery_leaves_no_thread_socket_or_task(air: Station) -> None:
    before = open_here()
    searching = asyncio.create_task(discover(LONG, interfaces=LOOPBACK, expect=1))
    await until(lambda: air.announce(ONE) or searching.done())
    assert [hub.name for hub in await searching] == [ONE]
    await nothing_is_left(before)


async def test_a_cancelled_discovery_leaves_nothing() -> None:
    before = open_here()
    searching = asyncio.create_task(discover(LONG, interfaces=LOOPBACK))
    await until(lambda: open_here()[0] - before[0])
    searching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await searching
    await nothing_is_left(before)


@pytest.mark.parametrize("cancels", [1, 2, 3])
async def test_cancelling_while_it_closes_leaves_nothing_either(cancels: int) -> None:
    before = open_here()
    browser = HubBrowser(interfaces=LOOPBACK)
    await browser.__aenter__()
    closing = asyncio.create_task(browser.close())
    for _ in range(cancels):
        await asyncio.sleep(0)
        closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await nothing_is_left(before)


# --- A zeroconf of the caller -------------------------------------------------------------------------------------------


async def test_a_zeroconf_that_was_given_is_used_and_stays_open(announcer: HubAnnouncer, shared: AsyncZeroconf) -> None:
    await announcer.announce(ONE, "127.0.8.1", probe=False)
    before = open_here()
    assert [hub.name for hub in await discover(LONG, zeroconf=shared, expect=1)] == [ONE]
    await nothing_is_left(before)
    assert shared.zeroconf.started
    info = AsyncServiceInfo("_other._tcp.local.", "x._other._tcp.local.", port=1, parsed_addresses=["127.0.0.1"])
    await (await shared.async_register_service(info, cooperating_responders=True))
    await (await shared.async_unregister_service(info))


async def test_what_a_shared_zeroconf_knows_already_is_found_at_once(
    announcer: HubAnnouncer, shared: AsyncZeroconf
) -> None:
    await announcer.announce(ONE, "127.0.8.1", probe=False)
    await discover(LONG, zeroconf=shared, expect=1)
    await announcer.close(goodbye=False)
    assert [hub.name for hub in await discover(LONG, zeroconf=shared, expect=1)] == [ONE]


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


async def test_a_browser_tells_of_coming_changing_moving_and_going(air: Station, shared: AsyncZeroconf) -> None:
    async with HubBrowser(zeroconf=shared) as browser:
        air.announce(ONE, "127.0.8.1", 81, {"version": "5.1"})
        came = await event(browser)
        air.announce(ONE, "127.0.8.1", 81, {"version": "5.2"})
        changed = await event(browser)
        await a_second_old(shared.zeroconf, f"{ONE}.local.")
        air.announce(ONE, "127.0.8.2", 81, {"version": "5.2"})
        moved = await event(browser)
        assert browser.hubs == (moved.hub,)
        air.goodbye(ONE)
        went = await event(browser)
        assert browser.hubs == ()
    assert [seen.kind for seen in (came, changed, moved, went)] == ["added", "updated", "updated", "removed"]
    assert [(seen.hub.name, seen.hub.firmware, seen.hub.address) for seen in (came, changed, moved)] == [
        (ONE, "5.1", "127.0.8.1:81"),
        (ONE, "5.2", "127.0.8.1:81"),
        (ONE, "5.2", "127.0.8.2:81"),
    ]
    assert moved.hub.addresses == ("127.0.8.2",)
    assert went.hub == moved.hub


async def test_a_simulated_hub_is_seen_to_come_change_and_go(announcer: HubAnnouncer, shared: AsyncZeroconf) -> None:
    async with HubBrowser(zeroconf=shared) as browser:
        hub = await announcer.announce(ONE, "127.0.8.1", txt={"version": "5.1"}, probe=False)
        seen = [await event(browser)]
        await hub.update(address="127.0.8.2", txt={"version": "5.2"})
        seen.append(await event(browser))
        await hub.goodbye()
        seen.append(await event(browser))
    assert [(event.kind, event.hub.firmware, event.hub.addresses[0]) for event in seen] == [
        ("added", "5.1", "127.0.8.1"),
        ("updated", "5.2", "127.0.8.2"),
        ("removed", "5.2", "127.0.8.2"),
    ]


async def test_a_hub_that_wakes_is_told_only_to_a_browser_that_asked_for_announcements(
    air: Station, shared: AsyncZeroconf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "_ANNOUNCEMENT_PAUSE", 0)
    async with HubBrowser(zeroconf=shared) as other, HubBrowser(zeroconf=shared, announcements=True) as asked:
        air.announce(ONE, txt=TXT)
        air.announce(ONE, txt=TXT)
        air.announce(TWO)
        assert await events(asked, 3) == [("added", ONE), ("announced", ONE), ("added", TWO)]
        assert await events(other, 2) == [("added", ONE), ("added", TWO)]


async def test_the_packets_of_one_announcement_are_told_once(
    air: Station, shared: AsyncZeroconf, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert discovery._ANNOUNCEMENT_PAUSE == 2
    monkeypatch.setattr(discovery, "_ANNOUNCEMENT_PAUSE", 0)
    async with HubBrowser(zeroconf=shared, announcements=True) as browser:
        air.announce(ONE)
        air.announce(ONE)
        assert await events(browser, 2) == [("added", ONE), ("announced", ONE)]
        monkeypatch.setattr(discovery, "_ANNOUNCEMENT_PAUSE", LONG)
        for _ in range(3):
            air.announce(ONE)
        air.announce(TWO)
        assert await events(browser, 1) == [("added", TWO)]


async def test_an_announcement_of_something_new_is_an_update_and_no_mere_announcement(
    air: Station, shared: AsyncZeroconf
) -> None:
    async with HubBrowser(zeroconf=shared, announcements=True) as browser:
        air.announce(ONE, txt={"version": "5.1"})
        assert await events(browser, 1) == [("added", ONE)]
        browser._last_announced.clear()  # as when it was long ago
        air.announce(ONE, txt={"version": "5.2"})
        air.announce(TWO)
        assert await events(browser, 2) == [("updated", ONE), ("added", TWO)]


async def test_an_address_that_ran_out_is_left_out_when_the_hub_is_heard_again(
    air: Station, shared: AsyncZeroconf
) -> None:
    async with HubBrowser(zeroconf=shared, announcements=True) as browser:
        for address in ("127.0.8.1", "127.0.8.2"):
            air.announce(ONE, address)
            newest = await event(browser)
        assert newest.hub.addresses == ("127.0.8.2", "127.0.8.1")
        cache = shared.zeroconf.cache
        cache.async_remove_records(cache.async_entries_with_name(f"{ONE}.local.")[:1])
        air.announce(ONE, "127.0.8.2")
        newest = await event(browser)
        assert (newest.kind, newest.hub.addresses) == ("updated", ("127.0.8.2",))


async def test_records_that_come_again_unchanged_are_no_update(
    air: Station, shared: AsyncZeroconf, service_type: str
) -> None:
    async with HubBrowser(zeroconf=shared) as browser:
        air.announce(ONE, txt=TXT)
        await event(browser)
        cache = shared.zeroconf.cache
        cache.async_remove_records(cache.async_entries_with_name(f"{ONE}.{service_type}"))  # as when they run out
        air.announce(ONE, txt=TXT)
        air.announce(TWO)
        assert await events(browser, 1) == [("added", TWO)]


async def test_a_sleeper_stays_known(announcer: HubAnnouncer) -> None:
    async with HubBrowser(interfaces=LOOPBACK) as browser:
        sleeper = await announcer.announce(ONE, "127.0.8.1", probe=False)
        await event(browser)
        sleeper.sleep()
        await announcer.announce(TWO, "127.0.8.2", probe=False)
        assert await events(browser, 1) == [("added", TWO)]
        assert [hub.name for hub in browser.hubs] == [ONE, TWO]


async def test_the_iteration_ends_when_the_browser_closes_after_what_was_seen(announcer: HubAnnouncer) -> None:
    browser = HubBrowser(interfaces=LOOPBACK)
    async with browser:
        await announcer.announce(ONE, "127.0.8.1", probe=False)
        await until(lambda: bool(browser.hubs))
    assert [event.hub.name async for event in browser] == [ONE]
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
        hub = await announcer.announce(ONE, "127.0.8.1", txt={"version": "0"}, probe=False)
        await announcer.announce(TWO, "127.0.8.2", txt={"version": "0"}, probe=False)
        for version in ("0", "1", "2", "3"):
            await hub.update(txt={"version": version})
            await until(lambda: [known.firmware for known in browser.hubs] == [version, "0"])  # noqa: B023 - called at once
    seen = [(event.hub.name, event.hub.firmware) async for event in browser]
    assert seen == [(TWO, "0"), (ONE, "3")]


async def test_records_that_come_one_by_one_are_asked_for(
    announcer: HubAnnouncer, shared: AsyncZeroconf, service_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "_RESOLVE_TIMEOUT_MS", 60_000)
    hub = await announcer.announce(ONE, "127.0.8.1", txt=TXT, probe=False)
    await discover(LONG, zeroconf=shared, expect=1)
    await hub.settled()
    forget_all(announcer.zeroconf)
    cache = shared.zeroconf.cache
    for name in (f"{ONE}.{service_type}", f"{ONE}.local."):
        cache.async_remove_records(cache.async_entries_with_name(name))
    assert [hub.address for hub in await discover(LONG, zeroconf=shared, expect=1)] == ["127.0.8.1"]


async def test_a_name_that_nobody_answers_for_is_no_hub_and_leaves_no_task(
    air: Station, shared: AsyncZeroconf, service_type: str
) -> None:
    air.announce(ONE)
    await discover(LONG, zeroconf=shared, expect=1)
    cache = shared.zeroconf.cache
    cache.async_remove_records(cache.async_entries_with_name(f"{ONE}.{service_type}"))
    before = open_here()
    assert await discover(0.2, zeroconf=shared) == []
    await nothing_is_left(before)


async def test_the_same_name_is_forgotten_when_it_is_taken_back_while_it_is_asked_for(
    air: Station, shared: AsyncZeroconf, service_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "_RESOLVE_TIMEOUT_MS", 60_000)
    async with HubBrowser(zeroconf=shared) as browser:
        air.announce(ONE)
        await event(browser)
        cache = shared.zeroconf.cache
        cache.async_remove_records(cache.async_entries_with_name(f"{ONE}.{service_type}"))
        async with HubBrowser(zeroconf=shared) as second:
            assert second._asking
            air.goodbye(ONE)
            assert (await event(browser)).kind == "removed"
            assert not second._asking
            assert second.hubs == ()


async def test_a_zeroconf_that_is_closed_while_a_browser_uses_it_does_no_harm(air: Station, service_type: str) -> None:
    async with AsyncZeroconf(interfaces=LOOPBACK) as shared:
        await shared.zeroconf.async_wait_for_start()
        air.announce(ONE)
        await discover(LONG, zeroconf=shared, expect=1)
        cache = shared.zeroconf.cache
        cache.async_remove_records(cache.async_entries_with_name(f"{ONE}.{service_type}"))
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


async def test_a_flood_of_announcements_is_bounded(
    air: Station, shared: AsyncZeroconf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "MAX_HUBS", 3)
    names = [f"{ONE}_{n}" for n in range(5)]
    async with HubBrowser(zeroconf=shared) as browser:
        for name in names:
            air.announce(name)
        air.announce(names[0], txt=TXT)
        assert await events(browser, 4) == [*(("added", name) for name in names[:3]), ("updated", names[0])]
        assert [hub.name for hub in browser.hubs] == names[:3]


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
    await announcer.announce(f"{ONE[:4]}\u202e{ONE[4:]}", "127.0.8.1", 8080, txt, probe=False)
    (hub,) = await discover(LONG, interfaces=LOOPBACK, expect=1)
    assert (hub.name, hub.host, hub.firmware, hub.num_sensors) == (ONE, f"{ONE}.local", "5.1.1", None)
    assert (hub.txt["sens_1"], hub.txt["sens_2"], hub.txt["flag"]) == ("\ufffd\ufffd broken", "usergnp.exe", "")
    assert hub.txt["long29"] == "x" * 240


async def test_an_announcement_that_makes_no_sense_is_refused(
    air: Station, shared: AsyncZeroconf, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="vegehub"):
        async with HubBrowser(zeroconf=shared) as browser:
            air.announce(f"{ONE}_0", port=0)
            air.announce(f"Vege\x1b[31m_{ONE}")
            air.announce(ONE, host="Vege\x1b]0;owned\x07_0.local.")
            air.announce(TWO)
            assert await events(browser, 2) == [("added", ONE), ("added", TWO)]
            assert [hub.host for hub in browser.hubs] == ["Vege_0.local", f"{TWO}.local"]
    refusals = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert len(refusals) == 2
    assert not [character for refusal in refusals for character in refusal if not character.isprintable()]


def test_zeroconf_is_loaded_only_when_it_is_needed() -> None:
    code = "import sys, vegehub, vegehub.finding.discovery; sys.exit('zeroconf' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_zeroconf_is_loaded_by_the_first_discovery_in_a_thread_that_ends() -> None:
    code = (
        "import asyncio, sys, threading, vegehub.finding.discovery as d\n"
        "async def main():\n"
        "    await d.discover(0.01, interfaces=['127.0.0.1'])\n"
        "    while threading.active_count() > 1:\n"
        "        await asyncio.sleep(0.001)\n"
        "asyncio.run(main())\n"
        "sys.exit('zeroconf' not in sys.modules)"
    )
    subprocess.run([sys.executable, "-X", "dev", "-W", "error", "-c", code], check=True)
