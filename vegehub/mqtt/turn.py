"""Which of several bridges carries out a command: the first of the group that is online, by what the broker says."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

_CommandT = TypeVar("_CommandT")

_MAX_UNDECIDED = 1000

ONLINE = "online"
"""What a bridge or a hub says of itself ..."""
OFFLINE = "offline"
"""... and what the broker says in the place of a bridge that is gone: its last will."""


class Turn(Generic[_CommandT]):
    """Decides for one bridge, and one connection, which commands are its own.

    All bridges of a group get the same messages in the same order: commands, and who has come and gone. Whoever is the
    first in the list of those online at a command carries it out. A command that comes while none is online belongs to
    the first that comes online after it. So each command has exactly one bridge, without any agreement between them.
    A broker that is a cluster may not keep that order; then a command at the moment of a change may have two, or none.
    """

    def __init__(self, name: str, group: Sequence[str]) -> None:
        self._name = name
        self._group = tuple(group)
        self._online: set[str] = set()
        self._undecided: deque[_CommandT] = deque(maxlen=_MAX_UNDECIDED)

    @property
    def is_mine(self) -> bool:
        """Whether a command that comes now is for this bridge."""
        return self._first() == self._name

    def knows(self, name: str) -> bool:
        """Tell whether a bridge is known to be online."""
        return name in self._online

    @property
    def is_online(self) -> bool:
        """Whether all have heard that this bridge is there."""
        return self._name in self._online

    def command(self, command: _CommandT) -> list[_CommandT]:
        """Take a command in; return those to be carried out here and now."""
        first = self._first()
        if first is None:
            self._undecided.append(command)
        return [command] if first == self._name else []

    def availability(self, name: str, said: str, *, retained: bool) -> list[_CommandT]:
        """Take in what was said of a bridge; return the commands that this made ours.

        ``retained``: it was said before we listened. Of ourselves that is of no interest: it is what the last run left.
        """
        if name not in self._group or (name == self._name and retained):
            return []
        if said != ONLINE:
            self._online.discard(name)
            return []
        self._online.add(name)
        decided = list(self._undecided)
        self._undecided.clear()
        return decided if name == self._name else []

    def _first(self) -> str | None:
        return next((name for name in self._group if name in self._online), None)
