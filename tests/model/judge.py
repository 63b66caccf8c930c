"""The judge: what a call said against what the hubs did."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model.calls import BlockError
from model.generate import EATERS, REFUSALS
from model.programs import ESTABLISHED, READS, UNMARKED, WRITES
from model.world import HookError, marks

from vegehub import (
    Outcome,
    PendingState,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubMismatchError,
    VegeHubResponseError,
    VegeHubTimeoutError,
    VegeHubValueError,
)

if TYPE_CHECKING:
    from model.play import Result
    from model.programs import Call, Step
    from model.world import World

    from vegehub.simulator import RequestRecord, SimulatedHub

# Requests of others that may come between the call of an OFF and its command: what is under way, and one that is just
# being sent.
_BEFORE_OFF = 2


@dataclass(frozen=True)
class Broken:
    """A promise that was broken: its kind, and what happened."""

    kind: str
    text: str


class Judge:
    """Judges the calls of one history."""

    def __init__(self, world: World, broken: list[Broken]) -> None:
        self._world = world
        self._broken = broken
        self._judged: set[int] = set()
        self._rebound = False
        """Whether the caller itself has had the MAC read anew."""

    def breaks(self, kind: str, text: str) -> None:
        """Note a broken promise."""
        self._broken.append(Broken(kind, text))

    def before(self) -> tuple[str, str]:
        """Return what is to be known before a step: the MAC of the client and of the record."""
        return self._macs()

    def step(self, step: Step, results: list[Result], before: tuple[str, str]) -> None:
        """Judge the calls of a step that has ended."""
        for result in results:
            self._call(step, result)
        self._identity(step, results, before)
        self.handles()
        self._left_behind()
        if len(step.calls) > 1:
            self._order(step, results)
            self._both_servers(step, results)

    # --- one call

    def _call(self, step: Step, result: Result) -> None:
        call = result.call
        if result.hangs:
            self.breaks("hangs", result.text)
        if call.name == "watering":
            self._watering(step, result)
        error = result.error
        if isinstance(error, VegeHubError):
            self._error(error, result.text)
            if call.name in READS:
                self._read(step, error, result.text)
        if self._of_the_tree(result) and call.name in WRITES and not call.name.startswith("queue_"):
            self._write(step, call, result)

    def _of_the_tree(self, result: Result) -> bool:
        """Whether the call returned, or ended with an error of the tree; judge it if not."""
        error, call = result.error, result.call
        cancelled = isinstance(error, asyncio.CancelledError)
        if cancelled is not result.cancelled and not result.hangs:
            self.breaks("cancellation lost" if result.cancelled else "cancelled without being asked to", result.text)
        if error is None or isinstance(error, VegeHubError):
            return True
        by_the_program = (isinstance(error, BlockError) and call.block == "error") or isinstance(error, HookError)
        if not cancelled and not by_the_program:
            self.breaks("error outside the tree", result.text)
        return False

    def _error(self, error: VegeHubError, text: str) -> None:
        if isinstance(error, VegeHubMismatchError):
            found = getattr(error, "found", None)
            expected = getattr(error, "expected", None)
            macs = {self._world.sim.mac, self._world.stranger.mac}
            # A hub that does not say its MAC is none of ours either.
            if expected not in macs or (found and found not in macs) or found is None or found == expected:
                self.breaks("mismatch does not name the MACs", f"{text} expected={expected} found={found}")
        elif error.host is None and not isinstance(error, VegeHubValueError) and self._world.manager is None:
            self.breaks("error names no hub", text)

    def _read(self, step: Step, error: VegeHubError, text: str) -> None:
        if error.outcome is not Outcome.NOT_SENT:
            self.breaks(f"read reported {error.outcome.name}", text)
        if "execut" in str(error):
            self.breaks("text of a read speaks of execution", text)
        # Where others use the hub, a timeout may be that of the turn.
        if len(step.calls) > 1 or self._world.handles or isinstance(error, VegeHubResponseError):
            return
        asleep = getattr(error, "may_be_asleep", None)
        if isinstance(error, VegeHubTimeoutError) and asleep is not True:
            self.breaks("timeout does not say that the hub may be asleep", text)
        refused = isinstance(error, VegeHubConnectionError) and isinstance(_root(error), ConnectionRefusedError)
        if refused and asleep is not False:
            self.breaks("refused connection says that the hub may be asleep", text)

    def _write(self, step: Step, call: Call, result: Result) -> None:
        error = result.error
        outcome = error.outcome if isinstance(error, VegeHubError) else None
        done = self._executed(call, result)
        # What leaves a block of watering that began is the outcome of its OFF.
        about_off = result.entered or (call.name == "watering" and self._world.dead)
        if outcome in (Outcome.NOT_SENT, Outcome.REJECTED) and any(done.values()) and not about_off:
            self.breaks(f"executed, reported {outcome.name}", result.text)
        self._at_the_right_hub(call, result, done)
        if error is None:
            self._returned(call, result, done)
        elif outcome is Outcome.UNKNOWN and not about_off:
            self._unknown(step, call, result)

    def _returned(self, call: Call, result: Result, done: dict[SimulatedHub, int]) -> None:
        if result.value in (False, Outcome.UNKNOWN) or call.name in ("remove_server", "watering"):
            return
        right = self._right_hub(call, result)
        if not (done[right] if right is not None else any(done.values())):
            self.breaks("returned, not executed", result.text)

    def _at_the_right_hub(self, call: Call, result: Result, done: dict[SimulatedHub, int]) -> None:
        right = self._right_hub(call, result)
        for hub, count in done.items():
            if right is not None and hub is not right and count:
                self.breaks("written at another hub", f"{result.text} at {hub.mac}, not {right.mac}")

    def _right_hub(self, call: Call, result: Result) -> SimulatedHub | None:
        return None if call.name in ESTABLISHED else self._world.owner_of(result.mac)

    def _unknown(self, step: Step, call: Call, result: Result) -> None:
        written = self._arrived(call, result)
        # On a busy machine a reply may be late that no fault held back.
        was_late = isinstance(result.error, VegeHubTimeoutError) and result.error.__cause__ is not None
        lost = {fault.name for _, fault in step.faults} & EATERS or step.move is not None or was_late
        if not written and not lost and call.name not in UNMARKED:
            self.breaks("UNKNOWN, though nothing with an effect had left", result.text)
        # One that was sent again, since its connection had died, may have arrived before: no client can know.
        is_first = not self._world.hub.counters["resends"]
        if len(written) == 1 and is_first and not lost and not call.confirm and call.name != "setup":
            fault = self._world.fault_of(*written[0])
            if fault in REFUSALS:
                self.breaks("refused, reported UNKNOWN", f"{result.text} after {fault.text}")

    # --- watering

    def _watering(self, step: Step, result: Result) -> None:
        world, call = self._world, result.call
        # Without a MAC nobody can tell a stranger: one that came in between may keep its valve open.
        if not result.mac and len(world.stranger.requests) > result.started[1]:
            return
        # A stranger that took the address within the minute of a proof may have got the ON; the OFF is for the hub that is meant.
        meant = world.owner_of(result.mac) if result.mac else None
        for hub in (world.sim, world.stranger) if meant is None else (meant,):
            commands = hub.actuators[call.slot].commands if call.slot < len(hub.actuators) else []
            on = [index for index, command in enumerate(commands) if command.state and command.duration == call.mark]
            if not on or any(not command.state for command in commands[on[-1] + 1 :]):
                continue
            if world.dead and self._is_told(result):
                continue
            if meant is not None and self._took_the_off(world.stranger if meant is world.sim else world.sim, call.slot):
                continue
            self.breaks("valve left on", f"{result.text}; {hub.mac} executed ON and no OFF")

    @staticmethod
    def _took_the_off(other: SimulatedHub, slot: int) -> bool:
        """Whether the other hub got a watering's OFF, in the minute of a proof or with one that could not be read."""
        commands = other.actuators[slot].commands if slot < len(other.actuators) else []
        return any(not command.state and not command.duration for command in commands)

    def _is_told(self, result: Result) -> bool:
        """Whether the error, and the log, say that the valve may still be on."""
        error = result.error
        said = isinstance(error, VegeHubError) or any("on" in note for note in getattr(error, "__notes__", ()))
        logged = [record.getMessage() for record in self._world.track.errors[result.errors_before :]]
        return said and any("may still be on" in line and str(result.call.slot) in line for line in logged)

    # --- the queue

    def handles(self, *, final: bool = False) -> None:
        """Judge queued commands: those that are done, and at the end all of them."""
        waiting = self._world.queue.waiting
        for number, (call, handle) in enumerate(self._world.handles):
            text = f"{call.text}: {handle!r}"
            if handle.state is PendingState.WAITING and handle not in waiting:
                self.breaks("says WAITING, is not in waiting", text)
            if handle.done and number not in self._judged:
                self._judged.add(number)
                self._handle(call, handle.error, text)
            elif final and not handle.done:
                self.breaks("queued command has no end", text)

    def _handle(self, call: Call, error: VegeHubError | None, text: str) -> None:
        world = self._world
        done = {hub: self._count(hub.executed, call) for hub in (world.sim, world.stranger)}
        text = f"{text} {error!r:.200}"
        if error is None:
            if not any(done.values()):
                self.breaks("delivered, not executed", text)
        elif error.outcome is not Outcome.UNKNOWN and any(done.values()):
            self.breaks(f"executed, reported {error.outcome.name}", text)
        elif error.outcome is Outcome.UNKNOWN and not self._may_have_left(call):
            self.breaks("UNKNOWN, though nothing with an effect had left", text)
        if call.name == "queue_turn_on" and done[world.sim] > 2:
            self.breaks("queued ON sent again and again", text)
        if done[world.stranger] and world.program.knows_mac and not self._rebound:
            self.breaks("written at another hub", text)

    def _may_have_left(self, call: Call) -> bool:
        world = self._world
        lost = {fault.name for step in world.program.steps for _, fault in step.faults} & EATERS
        return bool(lost) or any(self._count(hub.requests, call) for hub in (world.sim, world.stranger))

    # --- identity

    def _macs(self) -> tuple[str, str]:
        world = self._world
        record = world.manager.get("shed") if world.manager is not None else None
        return world.hub.mac_address, record.mac if record is not None else ""

    def _identity(self, step: Step, results: list[Result], before: tuple[str, str]) -> None:
        asked = any(result.call.name == "retrieve_mac_address" and result.value for result in results)
        self._rebound = self._rebound or asked
        names = ", ".join(call.name for call in step.calls)
        of_client, of_record = self._macs()
        if before[0] and of_client != before[0] and not asked:
            self.breaks("known MAC replaced", f"{names}: {before[0]} -> {of_client}")
        if before[1] and of_record != before[1]:
            self.breaks("MAC of a record replaced", f"{names}: {before[1]} -> {of_record}")

    # --- many calls at once

    def _order(self, step: Step, results: list[Result]) -> None:
        if step.calls[0].name != "poll" or step.calls[-1].name == "poll":
            return
        result = next(result for result in results if result.call.name != "poll")
        if result.call.slot > 1:
            return
        others = 0
        is_off = result.call.name != "watering"
        for record in self._world.sim.requests[result.started[0] :]:
            others += record.path == "/api/sensors/data/last"
            body = record.body if isinstance(record.body, dict) else {}
            if record.path == "/api/actuators/set" and body.get("state") == 0:
                if others > _BEFORE_OFF:
                    self.breaks("OFF behind readers", f"{result.text}: {others} other requests came before it")
                return
            if not is_off:
                # Watering: what counts begins once its ON is through.
                others = 0
                is_off = record.path == "/api/actuators/set"

    def _both_servers(self, step: Step, results: list[Result]) -> None:
        if any(call.name != "configure_another" for call in step.calls) or any(result.error for result in results):
            return
        if any(result.started[1] < len(self._world.stranger.requests) for result in results):
            return
        stored = json.dumps(self._world.sim.config.get("endpoints"))
        for result in results:
            if f"mark-{result.call.mark}-" not in stored:
                self.breaks("configuration lost", f"{result.text}, but it is not in the hub's configuration")

    # --- what is left

    def _left_behind(self) -> None:
        world = self._world
        # A manager looks after its hubs, and a queue goes on by itself, until they are closed.
        if world.manager is not None or world.handles:
            return
        if not world.program.owned:
            for timer in world.track.timers_left():
                self.breaks("timer left after a call", timer)
            if world.sim.open_connections > 1:
                self.breaks("connection left after a call", f"{world.sim.open_connections} are open")
        for task in world.track.tasks_left():
            self.breaks("task left after a call", task)

    def books(self) -> None:
        """The two lists that the hub keeps of its commands must agree."""
        for hub in (self._world.sim, self._world.stranger):
            commands = sum(len(actuator.commands) for actuator in hub.actuators)
            if commands != sum(record.path == "/api/actuators/set" for record in hub.executed):
                self.breaks("the simulated hub contradicts itself", hub.mac)

    # --- what the hubs did

    def _count(self, records: list[RequestRecord], call: Call) -> int:
        return sum(marks(record, WRITES[call.name], call.mark) for record in records)

    def _executed(self, call: Call, result: Result) -> dict[SimulatedHub, int]:
        world = self._world
        return {
            world.sim: len(self._of(world.sim.executed, result.started[2], call)),
            world.stranger: len(self._of(world.stranger.executed, result.started[3], call)),
        }

    def _arrived(self, call: Call, result: Result) -> list[tuple[SimulatedHub, int]]:
        world = self._world
        return [
            *((world.sim, index) for index in self._of(world.sim.requests, result.started[0], call)),
            *((world.stranger, index) for index in self._of(world.stranger.requests, result.started[1], call)),
        ]

    def _of(self, records: list[RequestRecord], start: int, call: Call) -> list[int]:
        path = WRITES[call.name]
        return [
            index
            for index, record in enumerate(records[start:], start)
            if (record.path == path if call.name in UNMARKED else marks(record, path, call.mark))
        ]


def _root(error: BaseException) -> Any:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
