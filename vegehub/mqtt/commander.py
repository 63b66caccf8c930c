"""Decides which of the commands that come in are for this bridge, by what the broker says of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .client import Incoming
    from .executor import Executor
    from .topics import Topics


class Commander:
    """The commands of one bridge, ``name``, of a ``group``.

    ``turned()`` is called when the bridge's turn begins or ends, and ``missed()`` when the others are told that it is
    gone though it is not.
    """

    def __init__(
        self,
        name: str,
        group: Sequence[str],
        *,
        topics: Topics,
        executor: Executor,
        turned: Callable[[], object],
        missed: Callable[[], object],
    ) -> None:
        self._name = name
        self._group = tuple(group)
        self._topics = topics
        self._executor = executor
        self._turned = turned
        self._missed = missed
        self._turn: Turn[Incoming] = Turn(name, self._group)
        self._was_mine = False

    @property
    def in_charge(self) -> bool:
        """Whether a command that comes now would be carried out here."""
        return self._turn.is_mine

    def knows(self, name: str) -> bool:
        """Tell whether a bridge of the group is known to be online."""
        return self._turn.knows(name)

    def disconnected(self) -> None:
        """Take note that the connection is lost: another bridge of the group may be in charge from now on.

        What was said on it counts no more.
        """
        self._turn = Turn(self._name, self._group)
        if len(self._group) > 1:
            self._executor.take_back()
        self._was_mine = False

    async def incoming(self, message: Incoming) -> None:
        """Take in one message: a command, or what is said of a bridge of the group."""
        name = self._topics.read_bridge(message.topic)
        if name is None:
            due = self._turn.command(message)
        else:
            said = message.payload.decode(errors="replace")
            due = self._turn.availability(name, said, retained=message.retain)
        if self._turn.is_mine is not self._was_mine:
            self._was_mine = self._turn.is_mine
            if not self._was_mine and len(self._group) > 1:
                self._executor.take_back()
            self._turned()
        if name == self._name and not message.retain and not self._turn.is_online:
            self._missed()
        for command in due:
            await self._executor.carry_out(command)
