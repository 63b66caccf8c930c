"""Read a hub once.

usage: python examples/read_hub.py ADDRESS
"""

from __future__ import annotations

import asyncio
import sys

from vegehub import VegeHub, VegeHubError


async def read(address: str) -> None:
    """Print what the hub says of itself, its latest readings and its actuators."""
    async with VegeHub(address) as hub:
        info = await hub.get_info()
        print(f"{info.mac}: firmware {info.firmware}, {info.num_sensors} inputs, {info.num_actuators} actuators")
        for reading in await hub.get_readings():
            if reading.latest is not None:
                print(f"slot {reading.slot}: {reading.latest.value:.3f} V")
        for actuator in await hub.get_actuators():
            print(f"actuator {actuator.slot}: {'on' if actuator.is_on else 'off'}")


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and one address
        raise SystemExit(__doc__)
    try:
        asyncio.run(read(sys.argv[1]))
    except VegeHubError as err:
        raise SystemExit(str(err)) from None
