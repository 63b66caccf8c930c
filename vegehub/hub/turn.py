"""Whose request to a hub is next: one at a time, OFF before all that waits."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp

REUSE_WINDOW = 15.0
"""Seconds for which aiohttp keeps an idle connection: a call that follows within them was probably sent on it."""


class Turn:
    """One hub's turn, shared by all objects of an event loop: one request at a time, OFF before all that waits."""

    __slots__ = ("__weakref__", "_ended_at", "_first", "_is_taken", "_others", "configuration", "loop", "session")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.configuration = asyncio.Lock()
        """Held over reading, planning and writing: one change of configuration at a time."""
        self.session: weakref.ref[aiohttp.ClientSession] | None = None
        """Of the last request that ended well, and may have left a connection to be used again."""
        self._ended_at = 0.0
        self._is_taken = False
        self._first: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    def try_take(self) -> bool:
        """Take the turn if it is free; ``give_back`` ends it."""
        is_free = not self._is_taken
        self._is_taken = True
        return is_free

    async def take(self, seconds: float, *, first: bool) -> None:
        """Wait for the turn, TimeoutError if it does not come within ``seconds``; ``give_back`` ends it."""
        if self.try_take():
            return
        place = self.loop.create_future()
        waiting = self._first if first else self._others
        waiting.append(place)
        try:
            async with asyncio.timeout(seconds):
                await place
        except BaseException:
            if place.done() and not place.cancelled():
                self.give_back()  # it came at the very moment when it was no longer wanted
            else:
                with suppress(ValueError):
                    waiting.remove(place)
            raise

    def give_back(self) -> None:
        """Let the next one have the turn."""
        for waiting in (self._first, self._others):
            while waiting:
                place = waiting.popleft()
                if not place.done():
                    place.set_result(None)
                    return
        self._is_taken = False

    def may_reuse(self, session: aiohttp.ClientSession) -> bool:
        """Say whether a request now is probably sent on the connection of the one before."""
        is_known = self.session is not None and self.session() is session
        return is_known and self.loop.time() - self._ended_at <= REUSE_WINDOW

    def ended_well(self, session: aiohttp.ClientSession) -> None:
        """Take note that a request ended well, and left its connection open."""
        try:
            self.session = weakref.ref(session)
        except TypeError:  # of a stand-in without weak references nothing need be known
            return
        self._ended_at = self.loop.time()


# By the id of the loop: a turn holds its loop, so that while it is here no other loop can have that id.
_turns: weakref.WeakValueDictionary[tuple[int, tuple[str, int]], Turn] = weakref.WeakValueDictionary()


def turn_at(place: tuple[str, int], loop: asyncio.AbstractEventLoop) -> Turn:
    """Return the turn of the hub at a host and port in a loop."""
    key = (id(loop), place)
    turn = _turns.get(key)
    if turn is None:
        turn = _turns[key] = Turn(loop)
    return turn
