"""The leak guard fails what leaks, names it, and is silent about everything else."""

# ruff: noqa: PT012, PT031 - what has to be caught here is a whole guarded block
from __future__ import annotations

import asyncio
import gc
import os
import shutil
import socket
import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from vegehub.testing import Leak, LeakError, LeakGuard
from vegehub.testing.ways_to_leak import WAYS, Ground, Way, caught, leaking_ground, prove_guard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# These tests leak inside a guard of their own; the one around every test would hear it too.
pytestmark = pytest.mark.leaks_on_purpose

ROOT = Path(__file__).parents[2]


def kinds(error: LeakError) -> set[str]:
    return {leak.kind for leak in error.leaks}


# --- It fails, and names what leaked ----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.title.replace(" ", "_"))
async def test_each_way_to_leak_is_seen(way):
    assert await caught(way)


async def test_a_leaked_session_is_named_with_its_id_its_peer_and_the_line_that_opened_it():
    async with leaking_ground() as ground:
        with pytest.raises(LeakError) as failure:
            async with LeakGuard():
                session = aiohttp.ClientSession()
                async with session.get(f"{ground.url}/whole") as response:
                    await response.read()
        [leak] = failure.value.leaks
        assert (leak.channel, leak.kind) == ("census", "session")
        assert f"{id(session):#x}" in leak.detail
        assert f"127.0.0.1:{ground.port} (idle)" in leak.detail
        assert "test_leak_guard.py:" in leak.detail
        await session.close()


async def test_a_pending_task_is_named_with_its_coroutine_and_the_line_that_made_it():
    with pytest.raises(LeakError) as failure:
        async with LeakGuard():
            task = asyncio.create_task(asyncio.Event().wait(), name="forgotten")
    [leak] = failure.value.leaks
    assert leak.kind == "task"
    assert "forgotten running Event.wait()" in leak.detail
    assert "test_leak_guard.py:" in leak.detail
    task.cancel()


async def test_a_coroutine_never_awaited_is_named_with_the_line_that_made_it():
    async def forgotten() -> None: ...

    with pytest.raises(LeakError, match=r"'.*forgotten' was never awaited, created at .*test_leak_guard.py"):
        async with LeakGuard():
            forgotten()


async def test_a_task_that_vanished_while_it_was_pending_is_a_leak():
    async def wait_for_nobody() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(LeakError, match=r"Task was destroyed but it is pending!: .*wait_for_nobody"):
        async with LeakGuard():
            asyncio.create_task(wait_for_nobody())  # noqa: RUF006 - vanishing is the point


async def test_an_exception_that_is_still_referenced_counts_as_not_retrieved():
    async def fail() -> None:
        raise ValueError("unseen")

    with pytest.raises(LeakError, match="nobody retrieved ValueError"):
        async with LeakGuard():
            task = asyncio.create_task(fail())
            await asyncio.wait([task])
    assert isinstance(task.exception(), ValueError)


async def test_a_server_left_listening_is_named_with_its_address():
    with pytest.raises(LeakError) as failure:
        async with LeakGuard():
            server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    assert f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}" in str(failure.value)
    server.close()
    await server.wait_closed()


async def test_an_open_stream_is_one_leak_although_both_of_its_ends_are_open():
    streams = []
    server = await asyncio.start_server(lambda *ends: streams.append(ends), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(LeakError) as failure:
        async with LeakGuard():
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    [leak] = failure.value.leaks
    assert leak.kind == "transport"
    assert f"connected to 127.0.0.1:{port}" in leak.detail
    for _, end in [(None, writer), *streams]:
        end.close()
        await end.wait_closed()
    server.close()
    await server.wait_closed()


async def test_a_unix_socket_is_named_by_its_path(tmp_path):
    path, streams = str(tmp_path / "hub"), []
    server = await asyncio.start_unix_server(lambda *ends: streams.append(ends), path)
    with pytest.raises(LeakError) as failure:
        async with LeakGuard():
            _, writer = await asyncio.open_unix_connection(path)
    [leak] = failure.value.leaks
    assert f"connected to {path}" in leak.detail
    for _, end in [(None, writer), *streams]:
        end.close()
        await end.wait_closed()
    server.close()
    await server.wait_closed()


async def test_a_connection_that_a_server_does_not_close_is_a_leak():
    streams = []
    client = socket.socket()
    client.setblocking(False)
    server = await asyncio.start_server(lambda *ends: streams.append(ends), "127.0.0.1", 0)
    with pytest.raises(LeakError) as failure:
        async with LeakGuard():
            await asyncio.get_running_loop().sock_connect(client, server.sockets[0].getsockname())
            while not streams:  # noqa: ASYNC110 - the turns are bounded: the connection is there already
                await asyncio.sleep(0)
    assert kinds(failure.value) == {"transport"}
    client.close()
    streams[0][1].close()
    await streams[0][1].wait_closed()
    server.close()
    await server.wait_closed()


async def test_a_socket_without_a_python_object_is_found_by_its_descriptor():
    with pytest.raises(LeakError, match="file descriptor"):
        async with LeakGuard():
            descriptor = socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach()
    os.close(descriptor)


async def test_a_connector_of_the_callers_own_is_a_leak_of_its_own():
    with pytest.raises(LeakError) as failure:
        async with LeakGuard():
            connector = aiohttp.TCPConnector()
            async with aiohttp.ClientSession(connector=connector, connector_owner=False):
                pass
    assert kinds(failure.value) == {"connector"}
    await connector.close()


async def test_a_connection_that_no_response_holds_any_more_is_a_leak(monkeypatch):
    # A hub that dies after the headers can leave such a connection in the connector for good, where nothing else sees it.
    async with leaking_ground() as ground:
        connector = ground.shared.connector
        with pytest.raises(LeakError) as failure:
            async with LeakGuard():
                async with ground.shared.get(f"{ground.url}/whole") as response:
                    await response.read()
                [[pooled]] = [list(entries) for entries in connector._conns.values()]
                protocol = pooled[0]
                connector._conns.clear()
                connector._acquired.add(protocol)
        [leak] = failure.value.leaks
        assert leak.kind == "connection"
        assert f"did not get back its connection to 127.0.0.1:{ground.port}" in leak.detail


async def test_a_response_still_held_after_its_session_was_closed_is_a_leak():
    async with leaking_ground() as ground:
        with pytest.raises(LeakError) as failure:
            async with LeakGuard(), aiohttp.ClientSession() as session:
                response = await session.get(f"{ground.url}/long")
        assert "/long" in str(failure.value)
        response.close()


async def test_an_error_in_a_finalizer_is_a_leak_and_reaches_the_hook_that_was_there(monkeypatch):
    heard = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: heard.append(unraisable.exc_value))

    class Broken:
        def __del__(self) -> None:
            raise ValueError("in a finalizer")

    with pytest.raises(LeakError) as failure:
        async with LeakGuard():
            Broken()
    [leak] = failure.value.leaks
    assert leak.channel == "unraisable"
    assert "ValueError('in a finalizer')" in leak.detail
    assert len(heard) == 1


async def test_an_error_in_a_callback_is_a_leak():
    def fail() -> None:
        raise ValueError("in a callback")

    with pytest.raises(LeakError, match=r"ValueError\('in a callback'\)"):
        async with LeakGuard():
            asyncio.get_running_loop().call_soon(fail)


async def test_debug_mode_names_the_librarys_own_line_and_that_of_its_caller(simulated_hub):
    from vegehub import VegeHub

    with pytest.raises(LeakError, match=r"created at .*session.py:\d+ in .* from .*test_leak_guard.py:\d+ in "):
        async with LeakGuard():
            client = VegeHub(simulated_hub.address)
            await client.get_info()
    await client.close()


async def test_tracemalloc_tells_where_a_socket_was_made():
    tracemalloc.start(5)
    try:
        with pytest.raises(LeakError, match=r"socket .* created at .*test_leak_guard.py:"):
            async with LeakGuard():
                sock = socket.socket()
    finally:
        tracemalloc.stop()
    sock.close()


async def test_the_error_is_an_assertion_with_a_line_for_each_leak():
    with pytest.raises(AssertionError) as failure:
        async with LeakGuard() as guard:
            sock = socket.socket()
            task = asyncio.create_task(asyncio.Event().wait())
    assert failure.value.leaks == guard.leaks
    assert all(isinstance(leak, Leak) for leak in guard.leaks)
    head, *lines = str(failure.value).splitlines()
    assert head == "2 leaks"
    assert lines == [f"  {leak}" for leak in guard.leaks]
    assert guard.report() == str(failure.value)
    sock.close()
    task.cancel()


async def test_the_error_of_the_block_is_never_hidden_and_gets_the_leaks_as_a_note():
    async def body() -> None:
        async with LeakGuard():
            socks.append(socket.socket())
            raise KeyError("the block's own")

    socks: list[socket.socket] = []
    with pytest.raises(KeyError, match="the block's own") as failure:
        await body()
    [note] = failure.value.__notes__
    assert note.startswith("1 leak\n  socket (census):")
    socks[0].close()


async def test_the_error_of_a_clean_block_gets_no_note():
    with pytest.raises(KeyError) as failure:
        async with LeakGuard():
            raise KeyError("the block's own")
    assert not getattr(failure.value, "__notes__", [])


async def test_an_inner_guard_that_fails_is_heard_by_an_outer_one_that_still_stands():
    with pytest.raises(LeakError):
        async with LeakGuard() as outer:
            with pytest.raises(LeakError):
                async with LeakGuard():
                    aiohttp.ClientSession()
    assert {leak.channel for leak in outer.leaks} == {"loop"}


# --- It is silent about what does not leak ----------------------------------------------------------------------------


async def test_a_clean_exchange_between_client_and_server_is_no_leak():
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"error": "success"})

    async with LeakGuard() as guard:
        app = web.Application()
        app.router.add_post("/api/info/get", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}/") as session:
            for _ in range(3):
                async with session.post("/api/info/get", json={}) as response:
                    assert await response.json() == {"error": "success"}
        await runner.cleanup()
    assert guard.leaks == ()
    assert guard.report() == "no leak"


async def test_what_was_open_before_is_not_blamed():
    async with leaking_ground() as ground:
        held = await ground.shared.get(f"{ground.url}/long")
        task = asyncio.create_task(asyncio.Event().wait())
        sock = socket.socket()
        failed = asyncio.get_running_loop().create_future()
        failed.set_exception(ValueError("before"))
        async with LeakGuard():
            pass
        assert isinstance(failed.exception(), ValueError)
        held.close()
        task.cancel()
        sock.close()


async def test_a_connection_kept_warm_by_a_session_from_before_is_no_leak():
    async with leaking_ground() as ground, LeakGuard(), ground.shared.get(f"{ground.url}/whole") as response:
        await response.read()


@pytest.mark.parametrize("in_a_cycle", [False, True])
async def test_a_session_from_before_that_is_dropped_meanwhile_is_not_blamed(in_a_cycle, caplog):
    session = aiohttp.ClientSession()
    if in_a_cycle:
        session.itself = [session]  # the collector clears weak references before it calls finalizers
    with pytest.warns(ResourceWarning, match="Unclosed client session"):
        async with LeakGuard():
            session = None
            gc.collect()
    assert "Unclosed client session" in caplog.text, "it must still be reported as if there were no guard"


async def test_a_session_held_by_a_forgotten_generator_is_closed_by_the_loop_and_no_leak():
    async def kept():
        async with aiohttp.ClientSession() as session:
            yield session

    async with LeakGuard():
        generator = kept()
        await anext(generator)
        generator = None


async def test_things_that_close_in_the_turns_after_the_block_are_no_leak():
    async def close_later() -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async with LeakGuard():
        task = asyncio.create_task(close_later())
    assert task.done()


async def test_a_stand_in_for_a_transport_is_no_leak():
    async with LeakGuard():
        transport = asyncio.Transport()
    assert isinstance(transport, asyncio.BaseTransport)


async def test_a_warning_that_is_no_leak_goes_its_usual_way():
    with pytest.warns(DeprecationWarning, match="old"):
        async with LeakGuard():
            warnings.warn("old", DeprecationWarning, stacklevel=1)
    with pytest.raises(DeprecationWarning):
        async with LeakGuard():
            warnings.warn("old", DeprecationWarning, stacklevel=1)


# --- It leaves things as they were ------------------------------------------------------------------------------------


async def test_the_handler_that_was_set_hears_everything_and_is_set_again():
    loop = asyncio.get_running_loop()
    heard = []

    def handler(_: asyncio.AbstractEventLoop, context: dict) -> None:
        heard.append(context["message"])

    loop.set_exception_handler(handler)
    before = (loop.get_debug(), loop.slow_callback_duration, sys.unraisablehook, warnings.showwarning, gc.callbacks[:])
    with pytest.raises(LeakError):
        async with LeakGuard():
            assert loop.get_debug()
            aiohttp.ClientSession()
    after = (loop.get_debug(), loop.slow_callback_duration, sys.unraisablehook, warnings.showwarning, gc.callbacks[:])
    assert heard == ["Unclosed client session"]
    assert loop.get_exception_handler() is handler
    assert after == before


async def test_a_hook_that_the_block_set_and_left_is_not_taken_away(monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    loop = asyncio.get_running_loop()

    def hook(*_: object) -> None: ...

    async with LeakGuard():
        sys.unraisablehook = hook
        loop.set_exception_handler(hook)
    assert sys.unraisablehook is hook
    assert loop.get_exception_handler() is hook


async def test_a_guard_is_used_once():
    guard = LeakGuard()
    async with guard:
        pass
    with pytest.raises(RuntimeError, match="once"):
        guard.__enter__()


# --- Around a whole asyncio.run() -------------------------------------------------------------------------------------


def test_a_clean_run_is_no_leak():
    async def main() -> None:
        async with leaking_ground() as ground, ground.shared.get(f"{ground.url}/whole") as response:
            await response.read()

    with LeakGuard() as guard:
        asyncio.run(main())
    assert guard.leaks == ()


def _run(main: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await main()

    asyncio.run(run())


async def _leave_session() -> None:
    aiohttp.ClientSession()


async def _leave_body_unread() -> None:
    async with leaking_ground() as ground:
        await ground.shared.get(f"{ground.url}/long")


async def _leave_exception() -> None:
    async def fail() -> None:
        raise ValueError("unseen")

    await asyncio.wait([asyncio.create_task(fail())])


async def _leave_coroutine() -> None:
    _leave_session()


async def _leave_socket() -> None:
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))


async def _leave_server() -> None:
    await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("main", "kind"),
    [
        (_leave_session, "session"),
        (_leave_body_unread, "response"),
        (_leave_exception, "exception"),
        (_leave_coroutine, "coroutine"),
        (_leave_socket, "transport"),
        (_leave_server, "socket"),
    ],
)
def test_what_a_run_leaves_behind_is_seen(main, kind):
    with pytest.raises(LeakError) as failure, LeakGuard():
        _run(main)
    assert kind in kinds(failure.value)


def test_a_task_that_the_run_had_to_cancel_is_a_leak():
    async def main() -> None:
        asyncio.create_task(asyncio.Event().wait(), name="forgotten")  # noqa: RUF006 - forgotten by intent

    with pytest.raises(LeakError, match=r"forgotten running Event\.wait"), LeakGuard():
        asyncio.run(main())


def test_without_a_loop_the_error_of_the_block_gets_the_note():
    with pytest.raises(KeyError) as failure, LeakGuard():
        sock = socket.socket()
        raise KeyError("the block's own")
    assert "socket (census)" in failure.value.__notes__[0]
    sock.close()


def test_asyncio_is_left_as_it_was():
    before = (asyncio.BaseEventLoop.run_forever, asyncio.runners._cancel_all_tasks)
    with LeakGuard():
        assert asyncio.BaseEventLoop.run_forever is not before[0]
    assert (asyncio.BaseEventLoop.run_forever, asyncio.runners._cancel_all_tasks) == before


# --- The proof --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_the_proof_names_each_leak_and_says_that_the_guard_failed_each_time():
    lines: list[str] = []
    assert await prove_guard(lines.append) == 1
    assert lines[-1] == f"the guard saw {len(WAYS)} of {len(WAYS)} leaks"
    for way in WAYS:
        assert sum(way.title in line and line.endswith("seen") for line in lines) == 1


async def test_the_proof_says_so_when_the_guard_missed_a_leak(monkeypatch):
    async def nothing(_: Ground) -> None: ...

    monkeypatch.setattr("vegehub.testing.ways_to_leak.WAYS", (Way("nothing at all", ("session",), nothing), WAYS[0]))
    lines: list[str] = []
    assert await prove_guard(lines.append) == 3
    assert lines[0].endswith("MISSED")
    assert lines[-1] == "the guard saw 1 of 2 leaks"


# --- Every async test of this project is guarded ----------------------------------------------------------------------

GUARDED_TESTS = """
import asyncio, socket, time
import pytest
from hypothesis import given, strategies
from vegehub.wire import models

kept = []

async def test_clean(): await asyncio.sleep(0)

async def test_leaks(): kept.append(socket.socket())

@given(strategies.integers())
async def test_leaks_under_hypothesis(_): kept.append(socket.socket())

@pytest.mark.leaks_on_purpose
async def test_leaks_on_purpose(): kept.append(socket.socket())

async def test_fails_and_leaks():
    kept.append(socket.socket())
    assert False

def test_without_a_loop(): kept.append(socket.socket())

async def test_blocks(monkeypatch):
    # As if the library slept: only calls that come from its own files count.
    exec(compile("time.sleep(0)", models.__file__, "exec"), {"time": time})
"""


def results_of(tmp_path: Path, tests: str, *options: str) -> tuple[dict[str, str], str]:
    """Run tests in a process of their own; return how each ended, and all that was printed."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "test_guarded.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rA", *options, "test_guarded.py"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    ended = {
        line.split(" ")[1].split("::")[1]: line.split(" ")[0]
        for line in run.stdout.splitlines()
        if line.startswith(("PASSED ", "FAILED ", "ERROR ")) and "::" in line
    }
    return ended, run.stdout + run.stderr


def test_every_async_test_is_guarded_against_leaks_and_blocking_calls(tmp_path):
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    shutil.copy(ROOT / "tests" / "own_network.py", tmp_path)
    ended, said = results_of(tmp_path, GUARDED_TESTS)
    assert ended == {
        "test_clean": "PASSED",
        "test_leaks": "ERROR",
        "test_leaks_under_hypothesis": "ERROR",
        "test_leaks_on_purpose": "PASSED",
        "test_fails_and_leaks": "FAILED",
        "test_without_a_loop": "PASSED",
        "test_blocks": "FAILED",
    }, said
    assert "socket (census)" in said
    assert "Blocking call to time.sleep" in said


# --- The pytest plugin ------------------------------------------------------------------------------------------------

TESTS_OF_A_USER = """
import socket
import pytest

kept = []

async def test_leaks(vegehub_leak_guard): kept.append(socket.socket())

async def test_leaks_and_does_not_ask(): kept.append(socket.socket())

async def test_fails_and_leaks(vegehub_leak_guard):
    kept.append(socket.socket())
    assert False

async def test_reads_a_hub(vegehub_leak_guard, vegehub_simulated_hub, vegehub_client):
    assert (await vegehub_client.get_info()).mac == vegehub_simulated_hub.mac

@pytest.mark.parametrize("vegehub_simulated_hub", ["sprinkler-ac"], indirect=True)
async def test_reads_a_sprinkler(vegehub_client):
    assert len(await vegehub_client.get_actuators()) == 4
"""


def test_the_plugin_guards_the_tests_that_ask_for_it(tmp_path):
    ended, said = results_of(tmp_path, TESTS_OF_A_USER, "-p", "vegehub.testing.plugin")
    assert ended == {
        "test_leaks": "ERROR",
        "test_leaks_and_does_not_ask": "PASSED",
        "test_fails_and_leaks": "FAILED",
        "test_reads_a_hub": "PASSED",
        "test_reads_a_sprinkler[sprinkler-ac]": "PASSED",
    }, said
    assert "Captured leaks teardown" in said


def test_the_plugin_imports_nothing_heavy():
    code = "import sys, vegehub.testing.plugin; sys.exit(any(name in sys.modules for name in ('aiohttp', 'zeroconf')))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
