"""A simulated hub whose requests meet one fault each, in order; and what it executed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from vegehub.simulator import SimulatedHub
    from vegehub.simulator.faults import Faults

    Step = Callable[[Faults], object]

SET = "/api/actuators/set"
STATUS = "/api/actuators/status"
INFO = "/api/info/get"
READINGS = "/api/sensors/data/last"
CONFIG_GET = "/api/config/get"
CONFIG_SET = "/api/config/set"
WRITES = (SET, CONFIG_SET, "/api/time/set", "/api/update/send", "/api/wifi/reconnect")


def meet(simulated: SimulatedHub, path: str, *steps: Step | None) -> None:
    """Have the requests for ``path`` meet one step each, None for no fault; those after the last one meet none."""
    left = iter(steps)

    def on_request(requested: str) -> None:
        if requested == path and (step := next(left, None)) is not None:
            step(simulated.faults)

    simulated.faults.on_request = on_request


def executed(simulated: SimulatedHub, *paths: str) -> list[Any]:
    """Return the bodies of what the hub carried out, by default of all that has an effect."""
    return [record.body for record in simulated.executed if record.path in (paths or WRITES)]


def states(simulated: SimulatedHub, slot: int = 0) -> list[int]:
    return [command.state for command in simulated.actuators[slot].commands]
