"""Water with a hub that sleeps: the command waits here until the hub wakes to send its readings.

usage: python examples/sleeping_hub.py HUB HOST PORT TOKEN SLOT SECONDS

The hub must report to http://HOST:PORT/TOKEN already (see listen.py). ON is sent in its next wake window, or not at all
if that does not come within an hour.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from vegehub import PendingQueue, UpdateReceiver, VegeHub, VegeHubError


async def water(hub: VegeHub, receiver: UpdateReceiver, slot: int, seconds: float) -> None:
    """Queue ON for actuator ``slot`` (0-based) and wait until the hub has it."""
    async with PendingQueue(hub) as queue:
        # The reply to an update has been written: now the hub is awake, and listens.
        receiver.on_replied(queue.notify_awake)
        command = queue.turn_on(slot, seconds, expires_in=timedelta(hours=1))
        print("waiting for the hub to wake", flush=True)
        await command
        print(f"actuator {slot} is on for {seconds:g} s")


async def main(address: str, host: str, port: int, token: str, command: list[str]) -> None:
    """Listen where the hub reports to, until the command has been sent."""
    async with VegeHub(address) as hub, UpdateReceiver(token=token).serve(host, port) as receiver:
        await water(hub, receiver, int(command[0]), float(command[1]))


if __name__ == "__main__":
    if len(sys.argv) != 7:  # noqa: PLR2004 - the program and six arguments
        raise SystemExit(__doc__)
    try:
        asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5:]))
    except VegeHubError as err:
        raise SystemExit(str(err)) from None
    except KeyboardInterrupt:
        raise SystemExit("stopped; nothing was sent") from None
