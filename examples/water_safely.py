"""Open a valve for some seconds; whatever happens meanwhile, it is closed again, and the hub's own timer stands behind it.

usage: python examples/water_safely.py ADDRESS SLOT SECONDS
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from datetime import timedelta

from vegehub import VegeHub, VegeHubError


async def water(address: str, slot: int, seconds: float) -> None:
    """Water with actuator ``slot`` (0-based); Ctrl-C and SIGTERM end it early, and close the valve first."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine that runs is in a task
    # asyncio turns Ctrl-C into a cancellation by itself. SIGTERM, with which `kill` and systemd stop a program, ends
    # Python at once unless it is told otherwise. Windows has neither SIGTERM from outside nor add_signal_handler.
    with suppress(NotImplementedError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with VegeHub(address) as hub:
        # The duration is what the hub counts down by itself: it holds if this program or this machine dies.
        async with hub.watering(slot=slot, duration=timedelta(seconds=seconds + 10)):
            print("open")
            await asyncio.sleep(seconds)
        # The block has sent OFF and the hub took it; confirm=True reads the state back as well.
        await hub.turn_off(slot, confirm=True)
        print("closed")


if __name__ == "__main__":
    if len(sys.argv) != 4:  # noqa: PLR2004 - the program and three arguments
        raise SystemExit(__doc__)
    try:
        asyncio.run(water(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
    except VegeHubError as err:
        raise SystemExit(str(err)) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        # Without a configuration of its own, logging writes errors to stderr: an OFF that failed stands there.
        raise SystemExit("stopped; the valve is closed, unless an error above says otherwise") from None
