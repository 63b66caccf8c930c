"""Simulated hubs in a process of their own, which does what lines of JSON on stdin say and answers each with a line.

A process of its own, because Home Assistant's tests forbid sockets and timers of others, and because the published client,
against which the same tests run, has no simulator: there, this program runs with another Python.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from vegehub.simulator import SimulatedHub, Simulation


class Hubs:
    """The hubs of one test; each method is something that a line can ask for."""

    def __init__(self) -> None:
        self._simulation = Simulation()
        self._hubs: dict[str, SimulatedHub] = {}

    async def open(self, host: str, port: int, options: dict[str, Any]) -> dict[str, Any]:
        hub = await self._simulation.add_hub(host=host, port=port, **options)
        await hub.announced()
        self._hubs[host] = hub
        return {"mac": hub.mac, "name": hub.name, "inputs": len(hub.inputs), "firmware": hub.profile.firmware}

    async def look(self, host: str) -> dict[str, Any]:
        """Say what the hub has seen."""
        hub = self._hubs[host]
        return {
            "requests": [request.path for request in hub.requests],
            "commands": [
                [actuator.slot, command.state, command.duration]
                for actuator in hub.actuators
                for command in actuator.commands
            ],
            "on": [actuator.is_on for actuator in hub.actuators],
            "servers": _servers(hub.config),
            "accepted": hub.connections_accepted,
            "open": hub.open_connections,
        }

    async def fault(self, host: str, name: str, options: dict[str, Any]) -> None:
        getattr(self._hubs[host].faults, name)(**options)

    async def heal(self, host: str) -> None:
        self._hubs[host].faults.clear()

    async def sleep(self, host: str) -> None:
        self._hubs[host].sleep()

    async def wake(self, host: str) -> None:
        self._hubs[host].wake()

    async def move(self, host: str, to: str, port: int) -> None:
        hub = self._hubs[to] = self._hubs.pop(host)
        await hub.move_to(to, port)

    async def volts(self, host: str, values: list[float]) -> None:
        for one, value in zip(self._hubs[host].inputs, values, strict=True):
            one.volts = value

    async def push(self, host: str) -> bool:
        """Send an update and say whether the server took it."""
        hub = self._hubs[host]
        taken, failed = hub.pushes_delivered, hub.pushes_failed
        hub.send_update()
        while (hub.pushes_delivered, hub.pushes_failed) == (taken, failed):  # noqa: ASYNC110 - it sets no event
            await asyncio.sleep(0.01)
        return hub.pushes_delivered > taken

    async def close(self) -> None:
        """Stop all hubs."""
        simulation, self._simulation = self._simulation, Simulation()
        self._hubs.clear()
        await simulation.stop()


def _servers(config: dict[str, Any]) -> list[str]:
    """The URLs that the hub reports to, in the way of its firmware."""
    endpoints = config.get("endpoints")
    if endpoints is not None:
        return [endpoint["config"]["url"] for endpoint in endpoints if endpoint["type"] == "custom"]
    url = config["hub"].get("server_url")
    return [url] if url else []


async def main() -> None:
    hubs = Hubs()
    lines = asyncio.StreamReader(limit=2**20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        method, arguments = json.loads(line)
        try:
            answer = {"result": await getattr(hubs, method)(*arguments)}
        except Exception as err:  # noqa: BLE001 - whatever it is, the test is to say it
            answer = {"error": repr(err)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    await hubs.close()


if __name__ == "__main__":
    asyncio.run(main())
