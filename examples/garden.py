"""Read the hubs of a garden by name, in the units of their sensors, and water one bed.

usage: python examples/garden.py FILE [SECONDS]

FILE is a vegehub.toml such as the one beside this program. The valve "Roses" of the hub "beds" is opened for SECONDS.
"""

from __future__ import annotations

import asyncio
import sys

from vegehub import Garden, HubManager, Reading, VegeHub, VegeHubError


def text_of(hub: VegeHub, reading: Reading) -> str:
    """Return what one input measured, such as ``Tomatoes 24.6 %``."""
    value = reading.quantity
    return f"{hub.wiring.input(reading.slot).label} {'?' if value is None else f'{value:.1f}'} {reading.unit}"


async def read(hub: VegeHub) -> str:
    """Return the quantities of all inputs that are to be shown."""
    await hub.get_info()
    shown = [reading for reading in await hub.get_readings() if not hub.wiring.input(reading.slot).hidden]
    return ", ".join(text_of(hub, reading) for reading in shown)


async def main(path: str, seconds: float) -> None:
    """Print a line for each hub, then water the roses."""
    garden = await Garden.async_load(path)
    async with HubManager.from_garden(garden) as manager:
        for name, result in (await manager.run(read)).items():
            print(f"{name}: {result}")
        beds = manager.hub("beds")
        roses = beds.wiring.actuator("Roses")
        # The hub's own timer ends it a little later, should this program be killed.
        async with beds.watering(roses.slot, duration=seconds + 10):
            print(f"watering: {roses.label}")
            await asyncio.sleep(seconds)


if __name__ == "__main__":
    if not sys.argv[1:]:
        raise SystemExit(__doc__)
    try:
        asyncio.run(main(sys.argv[1], float(sys.argv[2]) if sys.argv[2:] else 5.0))
    except (VegeHubError, OSError) as err:
        raise SystemExit(str(err)) from None
    except KeyboardInterrupt:
        raise SystemExit("stopped") from None
