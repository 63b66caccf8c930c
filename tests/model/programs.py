"""What a random history is made of: steps of public calls, and the fault that each request of a step meets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fault:
    """A fault of the simulated hub, for one request: ``hub.faults.NAME(*arguments, **options)``."""

    name: str
    arguments: tuple[Any, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def text(self) -> str:
        given = [*map(repr, self.arguments), *(f"{key}={value!r}" for key, value in self.options)]
        return f"{self.name}({', '.join(given)})"


@dataclass(frozen=True)
class Cancel:
    """A cancellation of the call, ``delay`` seconds after request number ``request`` of the step (0: after its beginning)."""

    request: int
    delay: float = 0.0


@dataclass(frozen=True)
class Call:
    """One public call. ``mark`` is in what it writes and in nothing else: a duration, a hold, a time, part of a URL."""

    name: str
    slot: int = 0
    mark: int = 0
    retries: int = 0
    confirm: bool = False
    block: str = ""
    """What happens in a block of ``watering``: nothing, "error", "read"; "hook": a trace hook of the caller raises at OFF."""
    cancels: tuple[Cancel, ...] = ()
    expires: float = 0.0
    """Of a queued ON, in seconds."""
    take_back: int = 0
    """Of ``notify_awake``: at this request the newest command that waits is cancelled; 0 for none."""

    @property
    def text(self) -> str:
        given = _ARGUMENTS.get(self.name, "").format(call=self)
        if self.retries:
            given += f"{', ' if given else ''}retries={self.retries}"
        if self.confirm:
            given += ", confirm=True"
        notes = [f"block: {self.block}"] if self.block else []
        notes += [f"the newest command is taken back at request {self.take_back}"] if self.take_back else []
        notes += [f"cancelled at request {c.request}{f' + {c.delay:g} s' if c.delay else ''}" for c in self.cancels]
        return f"{self.name}({given})" + (f"  # {', '.join(notes)}" if notes else "")


_ARGUMENTS = {
    "set_actuator_on": "1, {call.slot}, {call.mark}",
    "set_actuator_off": "0, {call.slot}, {call.mark}",
    "turn_on": "{call.slot}, {call.mark}",
    "turn_off": "{call.slot}, hold={call.mark}",
    "watering": "{call.slot}, {call.mark}",
    "manager_turn_on": "{call.slot}, {call.mark}",
    "manager_turn_off": "{call.slot}, hold={call.mark}",
    "queue_turn_on": "{call.slot}, {call.mark}, expires_in={call.expires:g}",
    "queue_turn_off": "{call.slot}, hold={call.mark}",
    "setup": "'', 'http://192.0.2.9/mark-{call.mark}-'",
    "configure_server": "'http://192.0.2.9/mark-{call.mark}-'",
    "configure_another": "'http://192.0.2.{call.slot}/mark-{call.mark}-', name='Server {call.slot}'",
    "set_config": "{{'api_key': 'mark-{call.mark}-'}}",
    "restore_config": "'mark-{call.mark}-'",
    "set_time": "{call.mark}",
}


@dataclass(frozen=True)
class Step:
    """Calls that are made together, and what the requests meet that arrive meanwhile, by their number from 1."""

    calls: tuple[Call, ...]
    faults: tuple[tuple[int, Fault], ...] = ()
    move: int | None = None
    """At this request (0: at once) ``ip_address`` becomes that of another hub, for a third of a second."""
    latency: float = 0.0
    """Of each reply, in seconds."""
    stranger: int = 0
    """If the call before failed, which voids each proof, another hub answers the first requests, as many as this."""

    @property
    def lines(self) -> list[str]:
        lines = [call.text for call in self.calls]
        if len(lines) > 1:
            lines = ["together:", *(f"    {line}" for line in lines)]
        if self.latency:
            lines.append(f"    # all replies: latency({self.latency})")
        if self.stranger:
            lines.append(f"    # if the call before failed: another_hub({self.stranger}) from request 1")
        if self.move is not None:
            lines.append(f"    # request {self.move}: hub.ip_address = stranger.address, and back")
        return lines + [f"    # request {number}: {fault.text}" for number, fault in self.faults]


@dataclass(frozen=True)
class Program:
    """A whole history."""

    seed: int
    steps: tuple[Step, ...]
    owned: bool = False
    """The library opens the session."""
    raise_for_status: bool = False
    """Of the session that is given."""
    managed: bool = False
    """The hub is one of a ``HubManager``."""
    knows_mac: bool = True
    knows_info: bool = True
    dies: tuple[int, int] | None = None
    """Step and request at which the hub loses its power for good."""

    @property
    def text(self) -> str:
        session = "a session of its own" if self.owned else "a session that is given"
        if self.raise_for_status and not self.owned:
            session += " (raise_for_status=True)"
        known = [name for name, on in (("MAC", self.knows_mac), ("info", self.knows_info)) if on]
        head = f"hub with {session}, {' and '.join(known) or 'nothing'} known{', of a manager' if self.managed else ''}"
        if self.dies is not None:
            head += f"; it loses its power at request {self.dies[1]} of step {self.dies[0] + 1}"
        return "\n".join([head, *(line for step in self.steps for line in step.lines)])

    @property
    def size(self) -> int:
        """Calls, faults and cancellations: what shrinking makes less."""
        return sum(
            len(step.calls) + len(step.faults) + (step.move is not None) + sum(len(call.cancels) for call in step.calls)
            for step in self.steps
        )


READS = {
    *("get_info", "get_actuators", "get_readings", "get_config", "actuator_states", "retrieve_mac_address"),
    *("list_servers", "poll", "manager_retrieve_mac", "manager_get_info"),
}
"""Calls that change nothing."""
ESTABLISHED = {"setup", "set_actuator_on", "set_actuator_off", "request_update"}
"""Calls that write without a proof of the MAC."""
WRITES = {
    **dict.fromkeys(
        (
            *("set_actuator_on", "set_actuator_off", "turn_on", "turn_off", "watering"),
            *("queue_turn_on", "queue_turn_off", "manager_turn_on", "manager_turn_off"),
        ),
        "/api/actuators/set",
    ),
    **dict.fromkeys(
        ("setup", "configure_server", "configure_another", "set_config", "remove_server", "restore_config"),
        "/api/config/set",
    ),
    "set_time": "/api/time/set",
    "reconnect_wifi": "/api/wifi/reconnect",
    "request_update": "/api/update/send",
}
"""What each call writes, by its path."""
UNMARKED = {"remove_server", "reconnect_wifi", "request_update"}
"""Writes that cannot be told from others of their kind: they are made alone."""
