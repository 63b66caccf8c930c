"""How often one hub may push."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_HUBS = 10_000
"""Hubs that are remembered: whoever makes up MACs must not fill the memory."""
_WINDOW = 1.0


class RateLimit:
    """At most ``per_second`` admissions of one key within any second; None: no limit."""

    def __init__(self, per_second: int | None, monotonic: Callable[[], float]) -> None:
        self._per_second = per_second
        self._monotonic = monotonic
        self._admitted: OrderedDict[str, deque[float]] = OrderedDict()

    def admit(self, key: str) -> bool:
        """Count one for ``key`` and return True, or False if it has had its share of this second."""
        if self._per_second is None:
            return True
        now = self._monotonic()
        self._forget(now)
        moments = self._admitted.setdefault(key, deque(maxlen=self._per_second))
        if len(moments) == self._per_second and now - moments[0] < _WINDOW:
            return False
        moments.append(now)
        self._admitted.move_to_end(key)
        return True

    def _forget(self, now: float) -> None:
        # The one admitted longest ago comes first.
        while self._admitted:
            key, moments = next(iter(self._admitted.items()))
            if now - moments[-1] < _WINDOW and len(self._admitted) < MAX_HUBS:
                return
            del self._admitted[key]
