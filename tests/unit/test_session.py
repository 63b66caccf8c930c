"""The session rule: what the library opens it closes, what it was given it leaves alone."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import subprocess
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from raw_hub import turn_the_loop, until, without_slowness

from vegehub import Outcome, VegeHub, VegeHubSessionError, VegeHubTimeoutError, VegeHubValueError
from vegehub.hub import SessionOwner

if TYPE_CHECKING:
    from vegehub.simulator import SimulatedHub


class TestGivenSession:
    async def test_is_used_and_left_open(self, simulated_hub: SimulatedHub) -> None:
        async with aiohttp.ClientSession() as session:
            hub = VegeHub(simulated_hub.address, session=session)
            assert hub._session is session
            await hub.request_update()
            assert hub._owns_session is False
            assert hub.owns_session is False
            assert await hub._get_session() is session
            await hub.close()
            assert not session.closed
            assert hub.session_open
            assert hub.counters["sessions_opened"] == 0

    async def test_may_be_given_as_fifth_positional_argument(self, simulated_hub: SimulatedHub) -> None:
        async with aiohttp.ClientSession() as session:
            assert VegeHub(simulated_hub.address, "", "", None, session)._session is session

    async def test_that_is_closed_is_refused_before_anything_is_sent(self, simulated_hub: SimulatedHub) -> None:
        session = aiohttp.ClientSession()
        await session.close()
        hub = VegeHub(simulated_hub.address, session=session)
        with pytest.raises(VegeHubSessionError, match="closed") as caught:
            await hub.request_update()
        assert caught.value.outcome is Outcome.NOT_SENT
        assert caught.value.host == simulated_hub.address
        assert simulated_hub.requests == []

    async def test_of_another_loop_is_refused_before_anything_is_sent(self, simulated_hub: SimulatedHub) -> None:
        opened: list[aiohttp.ClientSession] = []
        checked = threading.Event()

        async def open_one() -> None:
            async with aiohttp.ClientSession() as session:
                opened.append(session)
                await asyncio.to_thread(checked.wait)

        thread = threading.Thread(target=asyncio.run, args=(open_one(),))
        thread.start()
        try:
            await until(lambda: opened)
            with pytest.raises(VegeHubSessionError, match="another event loop"):
                await VegeHub(simulated_hub.address, session=opened[0]).request_update()
        finally:
            checked.set()
            await asyncio.to_thread(thread.join)
        assert simulated_hub.requests == []

    async def test_double_without_the_attributes_of_a_session_passes(self, simulated_hub: SimulatedHub) -> None:
        async with aiohttp.ClientSession() as session:

            class Double:
                __slots__ = ()  # so that no weak reference to it can be made either

                def request(self, *args: Any, **kwargs: Any) -> Any:
                    return session.request(*args, **kwargs)

            hub = VegeHub(simulated_hub.address, session=Double())
            assert await hub.request_update()
            assert await hub.set_actuator(1, 0, 60)

    async def test_keeps_its_own_timeout_the_earlier_one_wins(self, simulated_hub: SimulatedHub) -> None:
        simulated_hub.faults.never_answer()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.2)) as session:
            # With its own deadline of an hour alone this call would outlast the test.
            hub = VegeHub(simulated_hub.address, session=session, timeout=3600)
            with pytest.raises(VegeHubTimeoutError):
                await hub.request_update()
            assert session.timeout.total == 0.2

    async def test_keeps_its_own_limits(self, simulated_hub: SimulatedHub) -> None:
        connector = aiohttp.TCPConnector(limit=7, limit_per_host=2)
        async with aiohttp.ClientSession(connector=connector) as session:
            await VegeHub(simulated_hub.address, session=session).request_update()
            assert (connector.limit, connector.limit_per_host) == (7, 2)

    async def test_closed_under_a_running_call_is_an_error_of_the_tree(self, simulated_hub: SimulatedHub) -> None:
        simulated_hub.faults.never_answer()
        session = aiohttp.ClientSession()
        call = asyncio.create_task(VegeHub(simulated_hub.address, session=session).request_update())
        await until(lambda: simulated_hub.requests)
        await session.close()
        with pytest.raises((VegeHubSessionError, ConnectionError)):
            await call


class TestOwnedSession:
    async def test_is_opened_by_the_first_request_and_closed_by_close(self, simulated_hub: SimulatedHub) -> None:
        hub = VegeHub(simulated_hub.address)
        assert hub._session is None
        assert hub._owns_session is False
        await hub.request_update()
        session = hub._session
        assert session is not None
        assert hub._owns_session is True
        assert hub.session_open
        await hub.close()
        assert session.closed
        assert hub._session is None
        assert hub._owns_session is False
        await hub.close()

    async def test_is_opened_anew_after_close(self, simulated_hub: SimulatedHub) -> None:
        hub = VegeHub(simulated_hub.address)
        await hub.request_update()
        await hub.close()
        assert await hub.request_update()
        assert hub.counters["sessions_opened"] == 2
        await hub.close()

    async def test_is_the_same_for_first_calls_that_come_together(self, simulated_hub: SimulatedHub) -> None:
        async with VegeHub(simulated_hub.address) as hub:
            sessions = await asyncio.gather(*(hub._get_session() for _ in range(5)))
            await asyncio.gather(*(hub.request_update() for _ in range(5)))
            assert len({id(session) for session in sessions}) == 1
            assert hub.counters["sessions_opened"] == 1

    async def test_is_closed_by_leaving_the_block(self, simulated_hub: SimulatedHub) -> None:
        async with VegeHub(simulated_hub.address) as hub:
            await hub.request_update()
            session = hub._session
        assert session is not None
        assert session.closed

    async def test_that_was_closed_from_outside_is_replaced(self, simulated_hub: SimulatedHub) -> None:
        async with VegeHub(simulated_hub.address) as hub:
            await (await hub._get_session()).close()
            assert await hub.request_update()

    @pytest.mark.parametrize("idle_timeout", [0, 0.5, 3601, float("nan"), "15", True])
    def test_idle_timeout_out_of_range_is_refused(self, idle_timeout: Any) -> None:
        with pytest.raises(VegeHubValueError, match="idle_timeout must be 1 to 3600 seconds"):
            VegeHub("127.0.0.1", idle_timeout=idle_timeout)

    async def test_is_released_once_it_is_idle_and_opened_anew_by_the_next_call(
        self, simulated_hub: SimulatedHub
    ) -> None:
        hub = VegeHub(simulated_hub.address, idle_timeout=1)
        await hub.request_update()
        session = hub._session
        await until(lambda: hub._session is None)
        assert session is not None
        await until(lambda: session.closed)
        assert simulated_hub.requests
        await hub.request_update()
        assert hub.counters["sessions_opened"] == 2
        await hub.close()

    async def test_close_waits_for_a_release_that_has_begun(self, simulated_hub: SimulatedHub) -> None:
        hub = VegeHub(simulated_hub.address, idle_timeout=1)
        session = await hub._get_session()
        while hub._session is not None:  # noqa: ASYNC110 - the very step in which it is given up must not be missed
            await asyncio.sleep(0)
        await hub.close()
        assert session.closed
        assert not [task for task in asyncio.all_tasks() if "release" in task.get_name()]

    async def test_is_not_released_while_a_call_is_running(self, simulated_hub: SimulatedHub) -> None:
        simulated_hub.faults.latency(1.5, times=1)
        async with VegeHub(simulated_hub.address, idle_timeout=1) as hub:
            await hub.request_update()
            assert hub.counters["sessions_opened"] == 1
            assert hub.session_open

    async def test_stays_open_without_an_idle_timeout(self, simulated_hub: SimulatedHub) -> None:
        async with (
            VegeHub(simulated_hub.address, idle_timeout=None) as hub,
            VegeHub(simulated_hub.address, idle_timeout=1) as other,
        ):
            await hub.request_update()
            await other.request_update()
            await until(lambda: not other.session_open)
            assert hub.session_open

    @pytest.mark.parametrize("idle_timeout", [15, None])
    async def test_of_a_dropped_hub_is_closed_without_a_warning(
        self, simulated_hub: SimulatedHub, idle_timeout: float | None
    ) -> None:
        hub = VegeHub(simulated_hub.address, idle_timeout=idle_timeout)
        await hub.request_update()
        session = weakref.ref(hub._session)
        connector = hub._session.connector
        del hub
        await turn_the_loop()
        assert connector.closed
        del connector
        gc.collect()
        assert session() is None

    @pytest.mark.parametrize("idle_timeout", [15, None])
    async def test_of_a_hub_in_a_reference_cycle_is_closed_without_a_warning(
        self, simulated_hub: SimulatedHub, idle_timeout: float | None
    ) -> None:
        hub = VegeHub(simulated_hub.address, idle_timeout=idle_timeout)
        await hub.request_update()
        connector = hub._session.connector
        hub.entities["hub"] = hub
        del hub
        gc.collect()
        await turn_the_loop()
        assert connector.closed

    async def test_of_a_dropped_hub_leaves_no_timer(self, simulated_hub: SimulatedHub) -> None:
        def timers() -> int:
            return sum(not timer.cancelled() for timer in asyncio.get_running_loop()._scheduled)

        before = timers()
        hub = VegeHub(simulated_hub.address)
        await hub.request_update()
        assert timers() > before
        del hub
        await turn_the_loop()
        assert timers() <= before

    def test_serves_one_run_of_the_loop_after_the_other(self) -> None:
        from vegehub.simulator import SimulatedHub

        hub = VegeHub("127.0.0.1")

        async def use() -> None:
            async with SimulatedHub() as simulated:
                hub.ip_address = simulated.address
                await hub.request_update()

        asyncio.run(use())
        asyncio.run(use())
        assert hub.counters["sessions_opened"] == 2

    async def test_in_use_in_another_loop_is_refused(self, simulated_hub: SimulatedHub) -> None:
        async with VegeHub(simulated_hub.address) as hub:
            await hub.request_update()

            def use_elsewhere() -> None:
                asyncio.run(hub.request_update())

            with pytest.raises(VegeHubSessionError, match="another event loop"):
                await asyncio.to_thread(use_elsewhere)

    async def test_closed_from_another_loop_is_left_to_its_own(
        self, simulated_hub: SimulatedHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        closers: list[int] = []
        close = aiohttp.TCPConnector.close

        def noting_the_thread(connector: aiohttp.TCPConnector, **options: Any) -> Any:
            closers.append(threading.get_ident())
            return close(connector, **options)

        monkeypatch.setattr(aiohttp.TCPConnector, "close", noting_the_thread)
        hub = VegeHub(simulated_hub.address)
        await hub.request_update()
        session = hub._session
        assert session is not None
        await asyncio.to_thread(lambda: asyncio.run(hub.close()))
        await until(lambda: session.closed)
        assert closers == [threading.get_ident()]


SCRIPT = """
import asyncio, gc, socket
from vegehub import VegeHub
from vegehub.simulator import SimulatedHub

kept = []

async def main():
    async with SimulatedHub() as simulated:
        hub = VegeHub(simulated.address)
        await hub.request_update()
        KEEP
        sessions.append(hub._session)

sessions = []
asyncio.run(main())
left = [item for item in gc.get_objects() if isinstance(item, socket.socket) and item.fileno() != -1]
left += [item for item in gc.get_objects() if isinstance(item, asyncio.Task) and not item.done()]
print("closed" if sessions[0].closed and not left else left)
"""


@pytest.mark.parametrize("keep", ["pass", "kept.append(hub)", "hub.entities[0] = hub"])
def test_script_that_ends_without_close_leaves_nothing_and_says_nothing(keep: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", SCRIPT.replace("KEEP", keep)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, without_slowness(done.stderr)) == (0, "closed\n", "")


async def test_debug_log_tells_the_life_of_each_session(
    simulated_hub: SimulatedHub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "vegehub.hub.session")
    hub = VegeHub(simulated_hub.address)
    await hub.request_update()
    await hub.request_update()
    owned = f"{id(hub._session):#x}"
    await hub.close()
    async with aiohttp.ClientSession() as session:
        given = f"{id(session):#x}"
        other = VegeHub(simulated_hub.address, session=session)
        await other.request_update()
        await other.request_update()
    assert caplog.messages == [
        f"{simulated_hub.address}: session {owned} opened",
        f"{simulated_hub.address}: session {owned} reused",
        f"{simulated_hub.address}: session {owned} closed",
        f"{simulated_hub.address}: session {given} taken over",
        f"{simulated_hub.address}: session {given} reused",
    ]


async def test_debug_log_tells_that_a_session_was_released(
    simulated_hub: SimulatedHub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "vegehub.hub.session")
    hub = VegeHub(simulated_hub.address, idle_timeout=1)
    session = await hub._get_session()
    while hub._session is not None:  # noqa: ASYNC110 - the very step in which it is given up must not be missed
        await asyncio.sleep(0)
    assert "vegehub: release an idle session" in {task.get_name() for task in asyncio.all_tasks()}
    await hub.close()
    assert caplog.messages == [
        f"{simulated_hub.address}: session {id(session):#x} {what}" for what in ("opened", "released")
    ]


class TestRefusal:
    """A session that cannot be used is refused in words that say what to do."""

    @pytest.mark.parametrize("address", ["127.0.0.1:9", ""])
    async def test_of_a_closed_session(self, address: str) -> None:
        session = aiohttp.ClientSession()
        await session.close()
        with pytest.raises(VegeHubSessionError) as caught:
            await SessionOwner(session).get(address)
        assert str(caught.value) == (
            f"{address}: the session given is closed; nothing was sent. "
            "Keep it open while the hub is in use, or give none and let the hub open its own."
        )
        assert caught.value.host == (address or None)

    @pytest.mark.parametrize("address", ["127.0.0.1:9", ""])
    async def test_of_a_session_of_another_loop(self, address: str) -> None:
        other = asyncio.new_event_loop()
        try:

            class Elsewhere:
                closed = False
                _loop = other

            with pytest.raises(VegeHubSessionError) as caught:
                await SessionOwner(Elsewhere()).get(address)
        finally:
            other.close()
        assert str(caught.value) == (
            f"{address}: the session given belongs to another event loop; nothing was sent. "
            "Open it inside the loop that uses the hub, or give none."
        )
        assert caught.value.host == (address or None)

    @pytest.mark.parametrize("address", ["127.0.0.1:9", ""])
    async def test_of_an_owned_session_that_is_in_use_in_another_loop(self, address: str) -> None:
        owner = SessionOwner()
        await owner.get(address)
        with pytest.raises(VegeHubSessionError) as caught:
            await asyncio.to_thread(asyncio.run, owner.get(address))
        text = "this hub is in use in another event loop; nothing was sent. Use one object per loop."
        assert str(caught.value) == f"{address}: {text}"
        assert caught.value.host == (address or None)
        await owner.close()


class TestOwner:
    async def test_closes_after_the_tasks_that_still_need_its_session(self) -> None:
        owner = SessionOwner()
        session = await owner.get()
        go_on = asyncio.Event()
        seen: list[bool] = []

        async def work() -> None:
            await go_on.wait()
            seen.append(session.closed)

        task = asyncio.create_task(work())
        owner.finish_first(task)
        closing = asyncio.create_task(owner.close())
        await turn_the_loop()
        assert not closing.done()
        go_on.set()
        await closing
        assert seen == [False]
        assert session.closed
        gone = weakref.ref(task)
        del task
        gc.collect()
        assert gone() is None

    async def test_is_idle_once_the_last_of_calls_that_overlapped_has_ended(self) -> None:
        owner = SessionOwner(idle_timeout=1)
        session = await owner.get()
        owner.begin_call()
        owner.begin_call()
        owner.end_call()
        await asyncio.sleep(1.2)
        assert not session.closed
        owner.end_call()
        await until(lambda: session.closed)

    async def test_waits_no_longer_than_the_idle_time_after_a_call_in_the_middle_of_it(self) -> None:
        owner = SessionOwner(idle_timeout=1)
        session = await owner.get()
        owner.begin_call()
        await asyncio.sleep(0.6)
        owner.end_call()
        await asyncio.sleep(1.4)
        await turn_the_loop()
        assert session.closed

    async def test_asks_the_system_for_names_whatever_else_is_installed(
        self, simulated_hub: SimulatedHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("aiohttp.connector.DefaultResolver", aiohttp.AsyncResolver)
        asked: list[str] = []
        getaddrinfo = socket.getaddrinfo

        def system(host: str, *arguments: Any, **options: Any) -> Any:
            asked.append(host)
            return getaddrinfo("127.0.0.1", *arguments, **options)

        monkeypatch.setattr(socket, "getaddrinfo", system)
        async with VegeHub(f"Vege_A6_20.local:{simulated_hub.port}") as hub:
            await hub.get_readings()
        assert [name.lower() for name in asked] == ["vege_a6_20.local"]

    async def test_limits_the_connections_of_its_session_as_it_was_told(self) -> None:
        for owner, limit in ((SessionOwner(), 100), (SessionOwner(connection_limit=7), 7)):
            session = await owner.get()
            assert session.connector is not None
            assert session.connector.limit == limit
            assert session.timeout == aiohttp.ClientTimeout(total=None)
            assert isinstance(session.cookie_jar, aiohttp.DummyCookieJar)
            await owner.close()
