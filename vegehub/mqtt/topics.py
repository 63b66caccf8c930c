"""The names of the topics, below one prefix."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from vegehub.exceptions import VegeHubValueError

DEFAULT_PREFIX = "vegehub"
DEFAULT_DISCOVERY = "homeassistant"
COMMAND_ENDING = "/set"
"""How the topics of commands end, and no other that a bridge listens to."""
_LEVELS = re.compile(r"[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,7}")
_BRIDGES = "bridge"  # no MAC, so that it cannot be the level of a hub


@dataclass(frozen=True, slots=True)
class CommandTopic:
    """What the topic of a command says: for which hub, and which actuator, as it was written."""

    mac: str
    actuator: str


@dataclass(frozen=True, slots=True)
class Topics:
    """Topics below ``prefix``; inputs count from 1 as on the board, actuators from 0 as in commands of this library."""

    prefix: str = DEFAULT_PREFIX

    def __post_init__(self) -> None:
        check_levels(self.prefix)

    def hub(self, hub_key: str) -> str:
        """Return the topic of a hub, its MAC; a hub that sends none has ``key-...`` or ``channel-...`` instead."""
        kind, colon, rest = hub_key.partition(":")
        level = f"{kind}-{quote(rest, safe='')}" if colon else hub_key or "unknown"
        return f"{self.prefix}/{level}"

    def update(self, hub_key: str) -> str:
        """Return the topic of whole updates."""
        return f"{self.hub(hub_key)}/update"

    def input(self, hub_key: str, number: int) -> str:
        """Return the topic of the volts at an input, counted from 1."""
        return f"{self.hub(hub_key)}/input/{number}"

    def quantity(self, hub_key: str, number: int) -> str:
        """Return the topic of what the sensor at an input measures, in its own unit."""
        return f"{self.input(hub_key, number)}/value"

    def battery(self, hub_key: str) -> str:
        """Return the topic of the battery volts."""
        return f"{self.hub(hub_key)}/battery"

    def rssi(self, hub_key: str) -> str:
        """Return the topic of the signal strength in dBm."""
        return f"{self.hub(hub_key)}/rssi"

    def availability(self, hub_key: str) -> str:
        """Return the topic that says whether a hub keeps to its schedule."""
        return f"{self.hub(hub_key)}/availability"

    def presence(self, hub_key: str) -> str:
        """Return the topic of what is known of a hub's presence."""
        return f"{self.hub(hub_key)}/presence"

    def actuator(self, hub_key: str, number: int | str) -> str:
        """Return the topic of the state of an actuator, counted from 0."""
        return f"{self.hub(hub_key)}/actuator/{number}"

    def command(self, hub_key: str, number: int | str) -> str:
        """Return the topic of commands to an actuator; ``+`` for all actuators of a hub."""
        return f"{self.actuator(hub_key, number)}{COMMAND_ENDING}"

    def result(self, hub_key: str, number: int | str) -> str:
        """Return the topic of what became of commands to an actuator."""
        return f"{self.actuator(hub_key, number)}/result"

    def bridge_availability(self, name: str) -> str:
        """Return the topic that says whether a bridge is connected: its last will."""
        return f"{self.prefix}/{_BRIDGES}/{name}/availability"

    def bridge_status(self, name: str) -> str:
        """Return the topic of a bridge's counters."""
        return f"{self.prefix}/{_BRIDGES}/{name}/status"

    def tree(self, topic: str) -> str:
        """Return what a topic belongs to: a hub, the bridges, or the place where Home Assistant looks for devices."""
        if self.is_own(topic):
            return f"{self.prefix}/{topic.removeprefix(f'{self.prefix}/').partition('/')[0]}"
        return topic.rsplit("/", 4)[0]  # COMPONENT/DEVICE/NAME/config

    def is_own(self, topic: str) -> bool:
        """Tell whether a topic is below the prefix."""
        return topic.startswith(f"{self.prefix}/")

    def read_command(self, topic: str) -> CommandTopic | None:
        """Take the topic of a command apart; None for any other topic."""
        levels = topic.removeprefix(f"{self.prefix}/").split("/")
        if not topic.startswith(f"{self.prefix}/") or len(levels) != 4:  # noqa: PLR2004 - MAC/actuator/N/set
            return None
        mac, actuator, number, verb = levels
        return CommandTopic(mac, number) if (actuator, verb) == ("actuator", "set") else None

    def read_bridge(self, topic: str) -> str | None:
        """Return whose availability a topic is; None for any other topic."""
        levels = topic.removeprefix(f"{self.prefix}/").split("/")
        if not topic.startswith(f"{self.prefix}/") or len(levels) != 3:  # noqa: PLR2004 - bridge/NAME/availability
            return None
        return levels[1] if (levels[0], levels[2]) == (_BRIDGES, "availability") else None


def check_levels(text: str) -> str:
    """Return the beginning of a topic; VegeHubValueError for what would need quoting, or reach other topics."""
    if not isinstance(text, str) or not _LEVELS.fullmatch(text):
        raise VegeHubValueError("expected letters, digits, - and _, with / between levels")
    return text
