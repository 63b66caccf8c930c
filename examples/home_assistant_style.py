"""Live inside a host application, such as Home Assistant, that owns the one session everybody shares.

usage: python examples/home_assistant_style.py ADDRESS

The component below takes the session it is given, turns the errors of the library into those its host understands, and
never closes what is not its own. In Home Assistant the session is ``async_get_clientsession(hass)``.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import Any

import aiohttp

from vegehub import VegeHub


class NotReadyError(Exception):
    """The host tries again later."""


@dataclass
class HubComponent:
    """A hub as a component of a host application."""

    hub: VegeHub

    @classmethod
    async def set_up(cls, address: str, session: aiohttp.ClientSession) -> HubComponent:
        """Identify the hub; NotReadyError says whether it sleeps or fails."""
        hub = VegeHub(address, session=session)
        try:
            # The established names: retrieve_mac_address(), setup(), actuator_states(), set_actuator(), request_update().
            if not await hub.retrieve_mac_address(retries=1):
                raise NotReadyError("the hub does not say who it is")
        except TimeoutError as err:
            raise NotReadyError(f"asleep? {err}") from err
        except ConnectionError as err:
            raise NotReadyError(str(err)) from err
        return cls(hub)

    async def update(self) -> list[dict[str, Any]]:
        """Return the raw states of the actuators."""
        return await self.hub.actuator_states()


async def host(address: str) -> None:
    """Do what the host application does: open the session at its start, close it at its end."""
    async with aiohttp.ClientSession() as session:
        component = await HubComponent.set_up(address, session)
        print(f"set up {component.hub.mac_address}")
        for state in await component.update():
            print(f"actuator {state['slot']}: {state['state']}")
        del component  # dropped without close(), as hosts do: it owned nothing
        print(f"session open: {not session.closed}")


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and one address
        raise SystemExit(__doc__)
    try:
        asyncio.run(host(sys.argv[1]))
    except NotReadyError as err:
        raise SystemExit(f"not ready: {err}") from None
