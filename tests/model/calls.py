"""How each call of a program is made, by public names alone."""

from __future__ import annotations

import asyncio
import copy
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from model.world import HookError, eventually

from vegehub import VegeHubError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import aiohttp
    from model.programs import Call
    from model.world import World

    from vegehub import VegeHub

REST = 0.9
"""Seconds that a queue gets after a sign of life; what is not through by then waits for the next one."""


class BlockError(Exception):
    """What the block of a ``watering`` raises."""


def url(call: Call) -> str:
    """Return the server's address of a call."""
    return f"http://192.0.2.9/mark-{call.mark}-"


async def make(world: World, call: Call, note: Callable[[], None]) -> Any:
    """Make ``call``; ``note`` is called when the block of a ``watering`` begins."""
    if call.name == "watering":
        return await _water(world, call, note)
    special = _SPECIAL.get(call.name)
    if special is not None:
        return await special(world, call)
    if call.name.startswith("manager_"):
        return await _managed(world, call)
    return await _PLAIN[call.name](world.hub, call)


_PLAIN: dict[str, Callable[[VegeHub, Call], Awaitable[Any]]] = {
    "set_actuator_on": lambda hub, call: hub.set_actuator(1, call.slot, call.mark, call.retries),
    "set_actuator_off": lambda hub, call: hub.set_actuator(0, call.slot, call.mark, call.retries),
    "turn_on": lambda hub, call: hub.turn_on(call.slot, call.mark, confirm=call.confirm),
    "turn_off": lambda hub, call: hub.turn_off(call.slot, hold=call.mark, confirm=call.confirm),
    "setup": lambda hub, call: hub.setup("", url(call), call.retries),
    "request_update": lambda hub, _: hub.request_update(),
    "set_config": lambda hub, call: hub.set_config({"api_key": f"mark-{call.mark}-"}),
    "configure_another": lambda hub, call: hub.configure_server(
        f"http://192.0.2.{call.slot}/mark-{call.mark}-", name=f"Server {call.slot}"
    ),
    "set_time": lambda hub, call: hub.set_time(datetime.fromtimestamp(call.mark, UTC)),
    "reconnect_wifi": lambda hub, _: hub.reconnect_wifi(),
    "retrieve_mac_address": lambda hub, _: hub.retrieve_mac_address(),
    "get_info": lambda hub, _: hub.get_info(),
    "get_actuators": lambda hub, _: hub.get_actuators(),
    "get_readings": lambda hub, _: hub.get_readings(),
    "get_config": lambda hub, _: hub.get_config(),
    "actuator_states": lambda hub, _: hub.actuator_states(),
    "list_servers": lambda hub, _: hub.list_servers(),
}


async def _configure(world: World, call: Call) -> None:
    world.change = await world.hub.configure_server(url(call))


async def _remove(world: World, _: Call) -> None:
    if world.change is not None:
        await world.hub.remove_server(world.change)


async def _restore(world: World, call: Call) -> None:
    backup = copy.deepcopy(world.backup)
    backup["config"]["api_key"] = f"mark-{call.mark}-"
    await world.hub.restore_config(backup)


async def _queue_on(world: World, call: Call) -> None:
    world.handles.append((call, world.queue.turn_on(call.slot, call.mark, expires_in=call.expires)))


async def _queue_off(world: World, call: Call) -> None:
    world.handles.append((call, world.queue.turn_off(call.slot, hold=call.mark)))


async def _awake(world: World, call: Call) -> None:
    def take_back() -> None:
        for _, handle in reversed(world.handles):
            if not handle.done:
                handle.cancel()
                return

    if call.take_back:
        world.at_request(call.take_back, 0.0, take_back)
    world.queue.notify_awake()
    await eventually(lambda: all(handle.done for _, handle in world.handles), REST)


async def _close_queue(world: World, _: Call) -> None:
    await world.queue.close()


_SPECIAL: dict[str, Callable[[World, Call], Awaitable[Any]]] = {
    "configure_server": _configure,
    "remove_server": _remove,
    "restore_config": _restore,
    "queue_turn_on": _queue_on,
    "queue_turn_off": _queue_off,
    "notify_awake": _awake,
    "queue_close": _close_queue,
}


async def _managed(world: World, call: Call) -> Any:
    assert world.manager is not None
    if call.name == "manager_turn_on":
        async with world.manager.acquire("shed", timeout=5) as hub:
            return await hub.turn_on(call.slot, call.mark)
    work: dict[str, Callable[[VegeHub], Awaitable[Any]]] = {
        "manager_turn_off": lambda hub: hub.turn_off(call.slot, hold=call.mark),
        "manager_retrieve_mac": lambda hub: hub.retrieve_mac_address(),
        "manager_get_info": lambda hub: hub.get_info(),
        "manager_setup": lambda hub: hub.setup("", "http://192.0.2.9/manager"),
    }
    results = await world.manager.run(work[call.name])
    result = results["shed"]
    if isinstance(result, Exception):
        raise result
    return result


async def _water(world: World, call: Call, note: Callable[[], None]) -> None:
    async with world.hub.watering(call.slot, call.mark):
        note()
        await asyncio.sleep(0)
        if call.block == "hook":
            _arm_hook(world)
        elif call.block == "read":
            with suppress(VegeHubError):
                await world.hub.get_readings()
        if call.block == "error":
            raise BlockError("the block's own")


def _arm_hook(world: World) -> None:
    """Have the caller's trace hook raise once, at the next command: that of OFF."""

    def hook(params: aiohttp.TraceRequestStartParams) -> None:
        if params.url.path == "/api/actuators/set":
            world.hook = lambda _: None
            raise HookError("a trace hook of the caller")

    world.hook = hook
