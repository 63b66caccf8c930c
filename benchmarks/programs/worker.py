"""One contestant: does what it is told in a process of its own, and says how long that took."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from importlib import metadata
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from . import pipe
from .clients import CLIENTS
from .payloads import ns_per_value

if TYPE_CHECKING:
    from vegehub import VegeHub

Poll = Callable[[], Awaitable[Any]]


async def versions() -> dict[str, str]:
    """Say what is measured: Python, and the versions of the packages in this environment."""
    import vegehub  # noqa: PLC0415 - the file tells the published client from the checkout

    found = {"python": sys.version.split()[0], "vegehub_file": str(vegehub.__file__)}
    for name in ("vegehub", "aiohttp", "yarl", "multidict", "zeroconf", "typer"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found


async def calls(client: str, address: str, call: str, count: int) -> dict[str, Any]:
    """Make ``count`` calls one after the other over one session: seconds, CPU seconds, and the time of each in µs."""
    async with CLIENTS[client](address) as hubs:
        method: Callable[[], Awaitable[Any]] = getattr(hubs[0], call)
        for _ in range(3):
            await method()
        return await _timed(method, count)


async def sessions(client: str, address: str, call: str, count: int) -> dict[str, Any]:
    """Make ``count`` calls one after the other, each with a session of its own, which is opened and closed."""

    async def once() -> None:
        async with CLIENTS[client](address) as hubs:
            await getattr(hubs[0], call)()

    await once()
    return await _timed(once, count)


async def _timed(method: Callable[[], Awaitable[Any]], count: int) -> dict[str, Any]:
    gc.collect()
    clock = time.perf_counter
    moments = [clock()]
    cpu = time.process_time()
    for _ in range(count):
        await method()
        moments.append(clock())
    cpu = time.process_time() - cpu
    each = [round((end - start) * 1e6, 1) for start, end in pairwise(moments)]
    return {"wall": moments[-1] - moments[0], "cpu": cpu, "each": each}


async def errors(client: str, address: str, call: str, count: int) -> int:
    """Make ``count`` calls over one session, and return how many failed; connections are counted by the hub."""
    failed = 0
    async with CLIENTS[client](address) as hubs:
        method: Callable[[], Awaitable[Any]] = getattr(hubs[0], call)
        for _ in range(count):
            try:
                await method()
            except Exception:  # noqa: BLE001 - contestants raise what they like
                failed += 1
    return failed


async def fleet(
    client: str, addresses: list[str], polls: int, asleep: list[str], limit: float = 60.0
) -> dict[str, Any]:
    """Ask all hubs at once, ``polls`` times: mean seconds until the last answer, CPU, and the sockets at the end.

    The first poll opens the connections. What is asked of hubs ``asleep`` begins with the first poll, runs beside it, and
    is not waited for. What has not ended after ``limit`` seconds is cut off.
    """
    opened = _manager_polls if client == "manager" else _client_polls
    async with opened(client, addresses, asleep) as poll:
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                for _ in range(polls):
                    await poll()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        sockets = open_sockets()
    return {"wall": wall / polls, "cpu": cpu / polls, "sockets": sockets}


@asynccontextmanager
async def _client_polls(client: str, addresses: list[str], asleep: list[str]) -> AsyncIterator[Poll]:
    waiting: list[asyncio.Task[None]] = []
    async with CLIENTS[client](*_mixed(addresses, asleep)) as hubs:

        async def poll() -> None:
            if asleep and not waiting:
                waiting.extend(asyncio.create_task(_swallowed(hub.status)) for hub in hubs[::2])
            await asyncio.gather(*(hub.status() for hub in (hubs[1::2] if asleep else hubs)))

        try:
            yield poll
        finally:
            await _cancelled(waiting)


@asynccontextmanager
async def _manager_polls(_client: str, addresses: list[str], asleep: list[str]) -> AsyncIterator[Poll]:
    from vegehub.fleet import HubManager  # noqa: PLC0415 - only what is measured is loaded

    answers = 0
    done = asyncio.Event()
    waiting: list[asyncio.Task[Any]] = []

    async def ask(hub: VegeHub) -> None:
        nonlocal answers
        await hub.actuator_states()
        answers += 1
        if answers == len(addresses):
            done.set()

    async with HubManager() as manager:
        for address in _mixed(addresses, asleep):
            manager.add(address)

        async def poll() -> None:
            nonlocal answers
            answers = 0
            done.clear()
            run = asyncio.create_task(manager.run(ask, concurrency=len(addresses) + len(asleep)))
            waiting.append(run)
            await done.wait()
            if not asleep:
                await run

        try:
            yield poll
        finally:
            await _cancelled(waiting)


def _mixed(awake: list[str], asleep: list[str]) -> list[str]:
    """Put a sleeper before each hub that is awake: whoever takes them in order meets it first."""
    return [address for pair in zip(asleep, awake, strict=True) for address in pair] if asleep else awake


async def _swallowed(poll: Poll) -> None:
    with suppress(Exception):  # how a sleeper's call ends is not what is measured
        await poll()


async def _cancelled(tasks: list[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def open_sockets() -> int:
    """Count the open sockets of this process; -1 where there is no /proc."""
    try:
        descriptors = os.listdir("/proc/self/fd")  # noqa: PTH208 - names are all that is wanted
    except OSError:
        return -1
    count = 0
    for descriptor in descriptors:
        with suppress(OSError):  # the descriptor of the listing itself is gone already
            count += os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")  # noqa: PTH115 - no path
    return count


async def memory(client: str, addresses: list[str]) -> float:
    """Return the bytes that Python holds per hub after two polls, sockets included, and nothing before the first."""
    if client == "manager":
        from vegehub.fleet import HubManager  # noqa: PLC0415 - only what is measured is loaded

        async with HubManager() as manager:
            warm = manager.add(addresses[0])
            await manager.hub(warm.id).actuator_states()
            before = _held()
            for address in addresses[1:]:
                manager.add(address)
            for _ in range(2):
                await manager.run(lambda hub: hub.actuator_states(), concurrency=len(addresses))
            return (_held() - before) / (len(addresses) - 1)
    async with CLIENTS[client](addresses[0]) as first:
        await first[0].status()  # what is loaded and cached once for all hubs is no cost of a hub
        before = _held()
        async with CLIENTS[client](*addresses[1:]) as hubs:
            for _ in range(2):
                await asyncio.gather(*(hub.status() for hub in hubs))
            return (_held() - before) / len(hubs)


def _held() -> int:
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def giving_up(client: str, address: str, call: str, limit: float) -> dict[str, Any]:
    """Return the seconds until a call fails, and how; after ``limit`` seconds it is cut off."""
    how = "answered"
    async with CLIENTS[client](address) as hubs:
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(limit) as cut:
                await getattr(hubs[0], call)()
        except TimeoutError as err:
            how = "cut off" if cut.expired() else type(err).__name__
        except Exception as err:  # noqa: BLE001 - contestants raise what they like
            how = type(err).__name__
        return {"seconds": time.perf_counter() - begun, "how": how}


async def discovery(service_type: str, expect: int) -> dict[str, float]:
    """Look for hubs on the loopback interface: seconds to the first and to all."""
    from vegehub import discovery as module  # noqa: PLC0415 - only what is measured is loaded

    module.SERVICE_TYPE = service_type
    begun = time.perf_counter()
    first = 0.0
    async with module.HubBrowser(interfaces=["127.0.0.1"]) as browser:
        while len(browser.hubs) < expect:
            await anext(browser)
            first = first or time.perf_counter() - begun
    return {"first": first, "all": time.perf_counter() - begun}


def main() -> None:
    """Do jobs until the pipe is closed."""
    pipe.answer(
        {
            "versions": versions,
            "calls": calls,
            "sessions": sessions,
            "errors": errors,
            "fleet": fleet,
            "memory": memory,
            "giving_up": giving_up,
            "discovery": discovery,
            "ns": ns_per_value,
        }
    )
