"""Plays a program, and judges it call by call."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from model import calls, judge, tracking
from model.world import World, eventually, turns

from vegehub import VegeHub, VegeHubConnectionError, VegeHubError, VegeHubTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from model.judge import Broken
    from model.programs import Call, Program, Step

PATIENCE = 60.0
"""Seconds after which a call counts as hanging: twice as long as OFF is insisted on."""
LIVENESS = 60.0
"""Seconds in which what was promised for then must come once the hub is healthy: far more than it takes on a machine that is
not busy with other things."""
_AGAIN = 5.0
"""Seconds between two signs of life of a hub that is healthy."""


@dataclass(eq=False)
class Result:
    """What became of one call."""

    call: Call
    mac: str
    """That of the client when the call began."""
    started: tuple[int, int, int, int]
    """How many requests the hub and the stranger had got, and how many they had executed."""
    value: Any = None
    error: BaseException | None = None
    entered: bool = False
    """The block of a ``watering`` began."""
    cancelled: bool = False
    hangs: bool = False
    errors_before: int = 0
    """How many errors had been logged."""

    @property
    def text(self) -> str:
        error = self.error
        if error is None:
            return f"{self.call.text} -> {self.value!r:.60}"
        outcome = getattr(error, "outcome", None)
        return f"{self.call.text} -> {type(error).__name__} {outcome.name if outcome else ''}: {error!s:.200}"


@dataclass(eq=False)
class Verdict:
    """What was found in one history."""

    program: Program
    broken: list[Broken] = field(default_factory=list)
    calls: int = 0
    failed: list[str] = field(default_factory=list)
    """Calls that raised, rightly or wrongly."""

    @property
    def kinds(self) -> set[str]:
        return {broken.kind for broken in self.broken}


async def play(program: Program, factory: Callable[..., VegeHub] = VegeHub) -> Verdict:
    """Play ``program`` from beginning to end, in a task of its own."""
    return await asyncio.get_running_loop().create_task(_Player(program, factory).play())


class _Player:
    def __init__(self, program: Program, factory: Callable[..., VegeHub]) -> None:
        self.program = program
        self.factory = factory
        self.verdict = Verdict(program)
        self.failed = False
        """Whether the last call that was made failed, and with it every proof."""

    async def play(self) -> Verdict:
        self.world = world = World(self.program, self.factory)
        self.judge = judge.Judge(world, self.verdict.broken)
        world.track.own.add(asyncio.current_task())
        try:
            await world.open()
            for step in self.program.steps:
                await self._step(step)
            if self.program.dies is None:
                await self._liveness()
            self.judge.handles(final=True)
            for left in await world.close():
                self.judge.breaks(*left.split(": ", 1))
            self.judge.books()
        except Exception:  # noqa: BLE001 - one history must not end the others
            self.judge.breaks("the history could not be played", traceback.format_exc())
        finally:
            await world.stop()
        return self.verdict

    async def _step(self, step: Step) -> None:
        world = self.world
        world.begin(step)
        if step.move is not None and world.manager is None:
            world.at_request(step.move, 0.0, world.move_away)
        if step.stranger and self.failed and not world.handles:
            world.sim.faults.another_hub(world.stranger, times=step.stranger)
        before = self.judge.before()
        results = await self._together(step)
        world.end()
        await turns(6)
        await world.settle()
        world.move_back()
        self.judge.step(step, results, before)
        self.failed = all(
            isinstance(result.error, (VegeHubConnectionError, VegeHubTimeoutError)) and result.call.name != "watering"
            for result in results
        )
        self.verdict.calls += len(results)
        self.verdict.failed += [result.text for result in results if result.error is not None]

    async def _together(self, step: Step) -> list[Result]:
        world = self.world
        off_beside = step.calls[0].name == "poll"
        tasks: list[asyncio.Task[Result]] = []
        ended = asyncio.Event()
        for call in step.calls:
            if call.name != "poll":
                ready = asyncio.Event()
                if off_beside:
                    world.at_request(3, 0.0, ready.set)
                else:
                    ready.set()
                tasks.append(self._own(self._call(call, ready)))
        pollers = [self._own(self._poll(call, ended)) for call in step.calls if call.name == "poll"]
        results = list(await asyncio.gather(*tasks))
        ended.set()
        for polled in await asyncio.gather(*pollers):
            results.extend(polled)
        return results

    def _own(self, coroutine: Any) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self.world.track.own.add(task)
        return task

    def _result(self, call: Call) -> Result:
        world = self.world
        counts = (
            len(hub)
            for hub in (world.sim.requests, world.stranger.requests, world.sim.executed, world.stranger.executed)
        )
        return Result(call, world.hub.mac_address, tuple(counts), errors_before=len(world.track.errors))  # type: ignore[arg-type]

    async def _call(self, call: Call, ready: asyncio.Event) -> Result:
        await ready.wait()
        world = self.world
        result = self._result(call)
        task = self._own(calls.make(world, call, lambda: setattr(result, "entered", True)))

        def cancel() -> None:
            result.cancelled = task.cancel() or result.cancelled

        for wanted in call.cancels:
            world.at_request(wanted.request, wanted.delay, cancel)
        done, _ = await asyncio.wait((task,), timeout=PATIENCE)
        if not done:
            result.hangs = True
            while not task.done():
                task.cancel()
                await asyncio.wait((task,), timeout=1)
        if task.cancelled():
            result.error = asyncio.CancelledError()
        else:
            result.error = task.exception()
            result.value = None if result.error is not None else task.result()
        # The notes of a cancellation are on the exception that the task ended with.
        if task.cancelled():
            try:
                task.result()
            except asyncio.CancelledError as err:
                result.error = err
        return result

    async def _poll(self, call: Call, ended: asyncio.Event) -> list[Result]:
        results: list[Result] = []
        while not ended.is_set():
            result = self._result(call)
            try:
                await self.world.hub.get_readings()
            except VegeHubError as err:
                result.error = err
                results.append(result)
        return results

    async def _liveness(self) -> None:
        """The hub is healthy again: what was promised for then must come."""
        world = self.world
        await world.settle()
        world.heal()
        for _ in range(max(1, round(LIVENESS / _AGAIN))):
            world.queue.notify_awake()
            if await eventually(lambda: all(handle.done for _, handle in world.handles), _AGAIN):
                break
        else:
            self.judge.breaks(
                "queued command not delivered", f"{world.queue!r} {LIVENESS:g} s after the hub was healthy"
            )
        if world.hub.mac_address in ("", world.sim.mac):
            await self._recovers("get_info", world.hub.get_info)
            for slot in range(2):
                await self._recovers(f"turn_off({slot})", lambda slot=slot: world.hub.turn_off(slot, hold=3))
            if any(actuator.is_on for actuator in world.sim.actuators):
                self.judge.breaks("does not recover", "a valve is open after turn_off() returned")
        if world.manager is not None:
            await self._recovers("manager.run", lambda: self._run(world))
            if not world.presence_is_awake():
                self.judge.breaks("presence is not awake", f"{world.manager.presence('shed').state}")

    async def _run(self, world: World) -> None:
        assert world.manager is not None
        result = (await world.manager.run(lambda hub: hub.get_info()))["shed"]
        if isinstance(result, Exception):
            raise result

    async def _recovers(self, name: str, make: Callable[[], Any]) -> None:
        failed: BaseException | None = None
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + LIVENESS / 2
        while loop.time() < give_up_at:
            try:
                async with asyncio.timeout(PATIENCE):
                    await make()
            except (Exception, asyncio.CancelledError) as err:  # noqa: BLE001 - a client may be broken in any way
                failed = err
                await asyncio.sleep(0.1)
            else:
                return
        self.judge.breaks("does not recover", f"{name}: {type(failed).__name__}: {failed}")


__all__ = ["Result", "Verdict", "play", "tracking"]
