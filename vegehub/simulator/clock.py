"""The time of simulated hubs: stepped by the test, or following the real clock."""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

DEFAULT_START = 1748736000.0
"""2025-06-01T00:00:00Z, in Unix seconds: where the wall clock of a stepped simulation starts."""

# A client in the same loop that reacts to a reply over a new connection needs about eight turns to be heard.
_QUIET_TURNS = 12
# A long stretch of timers without traffic still lets the rest of the program run now and then.
_TIMERS_PER_TURN = 256


class Timer:
    """A call that is due at a moment of a clock; ``cancel`` may come at any time, also twice."""

    __slots__ = ("_callback", "_handle", "priority", "sequence", "when")

    def __init__(self, when: float, priority: int, sequence: int, callback: Callable[[], object]) -> None:
        self.when = when
        self.priority = priority
        self.sequence = sequence
        self._callback: Callable[[], object] | None = callback
        self._handle: asyncio.TimerHandle | None = None

    def __lt__(self, other: Timer) -> bool:
        return (self.when, self.priority, self.sequence) < (other.when, other.priority, other.sequence)

    @property
    def pending(self) -> bool:
        """Whether the call is still to come."""
        return self._callback is not None

    def cancel(self) -> None:
        """Drop the call; no effect once it has run."""
        self._callback = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def run(self) -> None:
        """Make the call, once."""
        callback, self._callback, self._handle = self._callback, None, None
        if callback is not None:
            callback()

    def arm(self, handle: asyncio.TimerHandle) -> None:
        """Remember the timer of the event loop that will run this one."""
        self._handle = handle


class Clock:
    """A clock that stands still until ``advance``; ``start`` is its wall time in Unix seconds at ``now`` 0."""

    def __init__(self, start: float = DEFAULT_START) -> None:
        self.start = start
        self.push_slots = asyncio.Semaphore(64)
        """Hubs that push at the same moment: more would overflow the listen backlog of their common receiver."""
        self._now = 0.0
        self._timers: list[Timer] = []
        self._sequence = 0
        self._active = 0
        self._started = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._advancing = False

    @property
    def now(self) -> float:
        """Simulated seconds since the start."""
        return self._now

    @property
    def epoch(self) -> float:
        """The true wall time of the simulation, in Unix seconds; a hub's own clock may be off."""
        return self.start + self.now

    @property
    def realtime(self) -> bool:
        """Whether the clock moves by itself."""
        return False

    def call_at(self, when: float, callback: Callable[[], object], priority: int = 0) -> Timer:
        """Call back at ``when``; of calls due at the same moment the lowest ``priority`` is made first."""
        self._sequence += 1
        timer = Timer(when, priority, self._sequence, callback)
        heapq.heappush(self._timers, timer)
        return timer

    def call_later(self, delay: float, callback: Callable[[], object], priority: int = 0) -> Timer:
        """Call back after ``delay`` simulated seconds."""
        return self.call_at(self.now + delay, callback, priority)

    @contextmanager
    def activity(self) -> Iterator[None]:
        """Mark a stretch of work (a request, a push) that ``advance`` waits for."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def begin(self) -> None:
        """Count one more piece of work in progress."""
        self._active += 1
        self._started += 1
        self._quiet.clear()

    def end(self) -> None:
        """Count one piece of work less."""
        self._active -= 1
        if not self._active:
            self._quiet.set()

    async def settle(self) -> None:
        """Wait until no request is being handled and no push is in flight, for a few turns of the loop."""
        calm = 0
        while calm < _QUIET_TURNS:
            await self._quiet.wait()
            seen = self._started
            await asyncio.sleep(0)
            calm = calm + 1 if self._started == seen and not self._active else 0

    async def advance(self, seconds: float) -> None:
        """Move on by ``seconds``, running due timers in order and letting the sockets settle after each step."""
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"cannot advance by {seconds} seconds")
        if self._advancing:
            raise RuntimeError("this clock is being advanced already: await one advance() before the next")
        self._advancing = True
        try:
            await self._advance_to(self._now + seconds)
        finally:
            self._advancing = False

    async def _advance_to(self, target: float) -> None:
        await self.settle()
        steps = 0
        while (due := self._next_due(target)) is not None:
            self._now = max(self._now, due.when)
            seen = self._started
            # Hubs of one simulation that do the same thing at the same moment do it side by side, as real ones would.
            while (timer := self._next_due(due.when)) is not None and timer.priority == due.priority:
                heapq.heappop(self._timers)
                timer.run()
                steps += 1
            if self._started != seen:
                await self.settle()
            elif steps >= _TIMERS_PER_TURN:
                steps = 0
                await asyncio.sleep(0)
            if self._next_due(target) is None:
                self._now = target
                await self.settle()
        self._now = target

    def _next_due(self, target: float) -> Timer | None:
        while self._timers and not self._timers[0].pending:
            heapq.heappop(self._timers)
        return self._timers[0] if self._timers and self._timers[0].when <= target else None


class RealtimeClock(Clock):
    """A clock that follows the event loop; ``advance`` just waits."""

    def __init__(self, start: float = DEFAULT_START) -> None:
        super().__init__(start)
        self._zero: float | None = None

    def _loop_zero(self) -> tuple[asyncio.AbstractEventLoop, float]:
        loop = asyncio.get_running_loop()
        if self._zero is None:
            self._zero = loop.time()
        return loop, self._zero

    @property
    def now(self) -> float:
        """Seconds since the clock was first used."""
        loop, zero = self._loop_zero()
        return loop.time() - zero

    @property
    def realtime(self) -> bool:
        """Whether the clock moves by itself."""
        return True

    def call_at(self, when: float, callback: Callable[[], object], priority: int = 0) -> Timer:
        """Call back at ``when``; of calls due at the same moment the lowest ``priority`` is made first."""
        loop, zero = self._loop_zero()
        timer = Timer(when, priority, 0, callback)
        # The loop keeps no order between equal moments; a millisecond does.
        timer.arm(loop.call_at(zero + when + priority * 0.001, timer.run))
        return timer

    async def advance(self, seconds: float) -> None:
        """Wait ``seconds`` of real time, then until the sockets are quiet."""
        await asyncio.sleep(seconds)
        await self.settle()


def make_clock(*, realtime: bool, start: float | None) -> Clock:
    """Return a stepped clock, or one that follows real time."""
    if realtime:
        return RealtimeClock(time.time() if start is None else start)
    return Clock(DEFAULT_START if start is None else start)


class Work:
    """The running tasks of one hub: each counts as activity of the clock, and none outlives ``stop``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run ``coroutine`` as a task of this hub."""
        self._clock.begin()
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._clock.end()
        if not task.cancelled() and (error := task.exception()) is not None:
            task.get_loop().call_exception_handler(
                {"message": "a simulated hub failed", "exception": error, "task": task}
            )

    def cancel(self) -> None:
        """Break off what runs."""
        for task in self._tasks:
            task.cancel()

    async def stop(self) -> None:
        """Break off what runs and wait until it has ended."""
        while self._tasks:
            self.cancel()
            await asyncio.wait(self._tasks)
            # The callbacks that forget a finished task come one turn later.
            await asyncio.sleep(0)
