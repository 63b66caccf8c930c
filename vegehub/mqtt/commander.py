"""Carries out the commands that come in: checked, noted, queued for their hub, and each answered."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import Outcome, VegeHubError, VegeHubValueError
from vegehub.pending_command import PendingState

from .commands import Command, CommandRefusedError, read_actuator, read_command
from .ledger import VegeHubLedgerError
from .messages import Message, iso
from .turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vegehub.pending_command import PendingCommand

    from .client import Incoming
    from .hub import BridgedHub
    from .ledger import Entry, Ledger
    from .topics import Topics

_LOGGER = logging.getLogger(__name__)

_OF_STATES = {
    PendingState.DELIVERED: "delivered",
    PendingState.EXPIRED: "expired",
    PendingState.REPLACED: "replaced",
    PendingState.CANCELLED: "not_sent",
    PendingState.CLOSED: "not_sent",
}
_OF_OUTCOMES = {Outcome.NOT_SENT: "not_sent", Outcome.REJECTED: "rejected", Outcome.UNKNOWN: "unknown"}


@dataclass(frozen=True, slots=True, eq=False)
class _Open:
    """A command that is under way."""

    hub: BridgedHub
    actuator: int
    command: Command
    topic: str
    key: int | None
    pending: PendingCommand[None]


class Commander:
    """The commands of one bridge, ``name``, of a ``group``.

    ``answer(message, key)`` publishes a result; ``turned()`` is called when the bridge's turn begins or ends, and
    ``missed()`` when the others are told that it is gone though it is not.
    """

    def __init__(
        self,
        name: str,
        group: Sequence[str],
        *,
        topics: Topics,
        hubs: Mapping[str, BridgedHub],
        ledger: Ledger,
        answer: Callable[[Message, int | None], object],
        turned: Callable[[], object],
        missed: Callable[[], object],
    ) -> None:
        self._name = name
        self._group = tuple(group) or (name,)
        self._topics = topics
        self._hubs = hubs
        self._ledger = ledger
        self._publish = answer
        self._turned = turned
        self._missed = missed
        self._turn: Turn[Incoming] = Turn(name, self._group)
        self._was_mine = False
        self._open: dict[asyncio.Task[None], _Open] = {}
        self.handled = 0
        """Commands that were answered so far, refused ones included."""

    @property
    def in_charge(self) -> bool:
        """Whether a command that comes now would be carried out here."""
        return self._turn.is_mine

    async def recover(self, now: datetime, entries: Sequence[Entry]) -> None:
        """Answer what an earlier run has left unanswered; nothing of it is carried out now."""
        for entry in entries:
            result = entry.result
            if result is None:
                what, text = (
                    ("unknown", "the bridge ended while it sent this; the hub may have executed it")
                    if entry.sending
                    else ("not_sent", "the bridge ended while this waited for the hub; send it again")
                )
                result = self._result(what, entry.id, entry.command, text, now)
                await self._ledger.finish(entry.key, result)
            self._answer(entry.topic, result, entry.key)

    def connected(self) -> None:
        """Begin anew: what was said on an earlier connection counts no more."""
        self._turn = Turn(self._name, self._group)

    def disconnected(self) -> None:
        """Take note that the connection is lost: another bridge of the group may be in charge from now on."""
        self._turn = Turn(self._name, self._group)
        if len(self._group) > 1:
            self._take_back()
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
                self._take_back()
            self._turned()
        if name == self._name and not message.retain and not self._turn.is_online:
            self._missed()
        for command in due:
            await self._carry_out(command)

    async def close(self) -> None:
        """End what waits with NOT_SENT, and wait until it is answered."""
        await asyncio.gather(*(hub.close() for hub in self._hubs.values()))
        if self._open:
            await asyncio.wait(self._open)

    def noting(self, hub: BridgedHub) -> Callable[[int, bool], Any]:
        """Return what a hub calls before it is sent a command: the note survives if we do not."""

        async def note(actuator: int, is_on: bool) -> None:
            # Of each kind only the newest can still be sent.
            keys = [
                one.key
                for one in self._open.values()
                if one.hub is hub and one.actuator == actuator and one.command.is_on is is_on
            ]
            if keys and (key := keys[-1]) is not None:
                try:
                    await self._ledger.begin(key)
                except VegeHubLedgerError:
                    if is_on:
                        raise

        return note

    # One command

    async def _carry_out(self, message: Incoming) -> None:
        topic = self._topics.read_command(message.topic)
        hub = None if topic is None else self._hubs.get(topic.mac)
        if topic is None or hub is None or (message.retain and not message.payload):
            return  # the last is how a retained message is deleted
        self.handled += 1
        result_topic = self._topics.result(topic.mac, topic.actuator)
        now = datetime.now(UTC)
        try:
            await self._take_on(hub, topic.actuator, message, result_topic, now)
        except CommandRefusedError as err:
            _LOGGER.debug("%s: a command is refused: %s", topic.mac, err)
            self._answer(result_topic, self._result("refused", err.id, None, str(err), now))

    async def _take_on(self, hub: BridgedHub, actuator: str, message: Incoming, topic: str, now: datetime) -> None:
        if message.retain:
            raise CommandRefusedError("retained commands are refused: they would be carried out again and again")
        command = read_command(message.payload, hub.settings.rules, now)
        try:
            count = None if hub.layout is None else hub.layout.num_actuators
            await self._queue(hub, read_actuator(actuator, count), command, topic, now)
        except CommandRefusedError as err:
            err.id = command.id
            raise

    async def _queue(self, hub: BridgedHub, actuator: int, command: Command, topic: str, now: datetime) -> None:
        quoted = command.document()
        if command.id is not None and (earlier := await self._earlier(topic, command.id)) is not None:
            self._answer(topic, {**earlier, "repeated": True})
            return
        if command.expires_at is not None and command.expires_at <= now:
            self._answer(topic, self._result("expired", command.id, quoted, "it had expired when it came", now))
            return
        key = await self._noted(topic, command, quoted, now)
        try:
            if command.is_on:
                pending = hub.queue.turn_on(actuator, command.seconds, expires_at=command.expires_at)
            else:
                pending = hub.queue.turn_off(actuator, command.seconds)
        except VegeHubError as err:
            what = "refused" if isinstance(err, VegeHubValueError) else "not_sent"
            await self._finish(topic, key, self._result(what, command.id, quoted, str(err), now))
            return
        under_way = _Open(hub, actuator, command, topic, key, pending)
        task = asyncio.get_running_loop().create_task(self._follow(under_way), name=f"vegehub: command to {hub.mac}")
        self._open[task] = under_way
        task.add_done_callback(self._ended)
        hub.try_now()
        if hub.sleeps_now:
            self._answer(topic, self._result("queued", command.id, quoted, "the hub sleeps", now))

    async def _earlier(self, topic: str, id: str) -> dict[str, Any] | None:  # noqa: A002 - the name in the message
        """Return what became of an earlier command with this id; None if there is none, or it never got to the hub."""
        try:
            found = await self._ledger.find(topic, id)
        except VegeHubLedgerError as err:
            raise CommandRefusedError(f"not taken on: {err}") from err
        if found is None:
            return None
        if found.result is not None:
            return found.result
        return self._result("queued", id, found.command, "a command with this id is under way", datetime.now(UTC))

    async def _noted(self, topic: str, command: Command, quoted: dict[str, Any], now: datetime) -> int | None:
        """Note a command in the ledger; an OFF is carried out even if that fails."""
        try:
            return await self._ledger.add(topic, command.id, quoted, now.timestamp())
        except VegeHubLedgerError as err:
            if command.is_on:
                raise CommandRefusedError(f"not taken on: {err}") from err
            _LOGGER.error("an OFF is carried out without a note: %s", err)  # noqa: TRY400 - the text says it all
            return None

    async def _follow(self, under_way: _Open) -> None:
        """Wait for the outcome of a command and answer it."""
        command, pending = under_way.command, under_way.pending
        text = None
        try:
            await pending
        except VegeHubError as err:
            text = str(err)
        if pending.state is PendingState.DELIVERED:
            under_way.hub.commanded(under_way.actuator, command.seconds, is_on=command.is_on)
        error = pending.error
        what = _OF_STATES.get(pending.state) or _OF_OUTCOMES[Outcome.UNKNOWN if error is None else error.outcome]
        if isinstance(error, VegeHubValueError):
            what = "refused"
        result = self._result(what, command.id, command.document(), text, datetime.now(UTC))
        await self._finish(under_way.topic, under_way.key, result)

    async def _finish(self, topic: str, key: int | None, result: dict[str, Any]) -> None:
        if key is not None:
            with suppress(VegeHubLedgerError):
                await self._ledger.finish(key, result)
        self._answer(topic, result, key)

    def _answer(self, topic: str, result: dict[str, Any], key: int | None = None) -> None:
        self._publish(Message(topic, json.dumps(result), retain=False), key)

    def _result(
        self,
        outcome: str,
        id: str | None,  # noqa: A002 - the name that it has in the message
        command: dict[str, Any] | None,
        error: str | None,
        now: datetime,
    ) -> dict[str, Any]:
        return {
            "id": id,
            "outcome": outcome,
            "error": error,
            "command": command,
            "at": iso(now),
            "bridge": self._name,
        }

    # All of them

    def _take_back(self) -> None:
        """Take back what waits: another bridge commands these hubs now."""
        for under_way in tuple(self._open.values()):
            under_way.pending.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._open.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOGGER.error("answering a command failed", exc_info=error)
