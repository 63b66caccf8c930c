"""Carries commands out: checked, noted, queued for their hub, and each answered."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import VegeHubError

from .commands import Command, CommandRefusedError, expiry_of, read_actuator, read_command
from .ledger import VegeHubLedgerError
from .messages import Message
from .results import (
    DELIVERED,
    EXPIRED,
    NOT_SENT,
    QUEUED,
    REFUSED,
    UNKNOWN,
    outcome_of,
    outcome_of_error,
    result_document,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vegehub.sleeping import PendingCommand

    from .client import Incoming
    from .hub import BridgedHub
    from .ledger import Entry, Ledger
    from .topics import Topics

_LOGGER = logging.getLogger(__name__)

INSIST = 60.0
"""Seconds after which an OFF that waits for a hub that is awake is tried again; the pause then doubles, up to ..."""
_INSIST_MAX = 900.0
_LAST_CALL = 5.0  # seconds that an OFF gets at the end


@dataclass(frozen=True, slots=True, eq=False)
class _Open:
    """A command that is under way."""

    hub: BridgedHub
    actuator: int
    command: Command
    topic: str
    key: int | None
    pending: PendingCommand[None]


class Executor:
    """Carries out the commands that are for bridge ``name``; ``answer(message, key)`` publishes a result."""

    def __init__(
        self,
        name: str,
        *,
        topics: Topics,
        hubs: Mapping[str, BridgedHub],
        ledger: Ledger,
        answer: Callable[[Message, int | None], object],
    ) -> None:
        self._name = name
        self._topics = topics
        self._hubs = hubs
        self._ledger = ledger
        self._publish = answer
        self._open: dict[asyncio.Task[None], _Open] = {}
        self._taking_on = asyncio.Lock()
        self._taken_on: set[asyncio.Task[None]] = set()
        self.handled = 0
        """Commands that were answered so far, refused ones included."""

    @property
    def under_way(self) -> int:
        """How many commands have no final result yet."""
        return len(self._open)

    async def recover(self, now: datetime, entries: Sequence[Entry]) -> None:
        """Answer what an earlier run has left unanswered; nothing of it is carried out now."""
        for entry in entries:
            result = entry.result
            if result is None:
                result = self._left(entry, now)
                await self._ledger.finish(entry.key, result)
            self._answer(entry.topic, result, entry.key)

    async def carry_out(self, message: Incoming) -> None:
        """Take a command on; its result, or its results, are published as they come.

        Cancelled, as when the connection is lost, it is taken on all the same: what is noted has to be answered.
        """
        task = asyncio.get_running_loop().create_task(self._carry_out(message), name="vegehub: take a command on")
        self._taken_on.add(task)
        task.add_done_callback(self._taken_on.discard)
        await asyncio.shield(task)

    async def settled(self) -> None:
        """Wait until no command is being taken on."""
        if self._taken_on:
            await asyncio.wait(self._taken_on)

    async def _carry_out(self, message: Incoming) -> None:
        topic = self._topics.read_command(message.topic)
        hub = None if topic is None else self._hubs.get(topic.mac)
        if topic is None or hub is None or (message.retain and not message.payload):
            return  # the last is how a retained message is deleted
        result_topic = self._topics.result(topic.mac, topic.actuator)
        try:
            async with self._taking_on:
                self.handled += 1
                await self._take_on(hub, topic.actuator, message, result_topic)
        except CommandRefusedError as err:
            _LOGGER.debug("%s: a command is refused: %s", topic.mac, err)
            self._answer(result_topic, self._result(REFUSED, id=err.id, error=str(err)))
        except Exception:  # no message that anybody may send is to end the bridge, and with it all other commands
            _LOGGER.exception("%s: carrying out a command failed", topic.mac)
            self._answer(result_topic, self._result(UNKNOWN, error="the bridge failed with this: see its log"))

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

    def take_back(self) -> None:
        """Take back what waits: another bridge commands these hubs now."""
        for under_way in tuple(self._open.values()):
            under_way.pending.cancel()

    async def close(self) -> None:
        """End what waits with NOT_SENT, and wait until it is answered; an OFF to a hub that is awake goes out first."""
        async with self._taking_on:
            pass  # what came just before is under way from here on
        last = [task for task, one in self._open.items() if not (one.command.is_on or one.hub.sleeps_now)]
        if last:
            await asyncio.wait(last, timeout=_LAST_CALL)
        await asyncio.gather(*(hub.close() for hub in self._hubs.values()))
        if self._open:
            await asyncio.wait(self._open)

    # Below the public methods

    async def _take_on(self, hub: BridgedHub, actuator: str, message: Incoming, topic: str) -> None:
        if message.retain:
            raise CommandRefusedError("retained commands are refused: they would be carried out again and again")
        # Not now: it may have waited for others, and for a bridge to come online.
        command = read_command(message.payload, hub.settings.rules, message.received_at)
        try:
            count = None if hub.layout is None else hub.layout.num_actuators
            await self._queue(hub, read_actuator(actuator, count), command, topic)
        except CommandRefusedError as err:
            err.id = command.id
            raise

    async def _queue(self, hub: BridgedHub, actuator: int, command: Command, topic: str) -> None:
        quoted = command.document()
        if command.id is not None and (earlier := await self._earlier(topic, command)) is not None:
            self._answer(topic, {**earlier, "repeated": True})
            return
        now = datetime.now(UTC)
        if command.has_expired(now):
            text = "it had expired when it came"
            self._answer(topic, self._result(EXPIRED, id=command.id, command=quoted, error=text))
            return
        key = await self._noted(topic, command, quoted, now)
        try:
            if command.is_on:
                pending = hub.queue.turn_on(actuator, command.seconds, expires_at=command.expires_at)
            else:
                pending = hub.queue.turn_off(actuator, command.seconds)
        except VegeHubError as err:
            what = outcome_of_error(err, command, datetime.now(UTC))
            await self._finish(topic, key, self._result(what, id=command.id, command=quoted, error=str(err)))
            return
        under_way = _Open(hub, actuator, command, topic, key, pending)
        task = asyncio.get_running_loop().create_task(self._follow(under_way), name=f"vegehub: command to {hub.mac}")
        self._open[task] = under_way
        task.add_done_callback(self._ended)
        hub.try_now()
        if hub.sleeps_now:
            self._answer(topic, self._result(QUEUED, id=command.id, command=quoted, error="the hub sleeps"))

    async def _earlier(self, topic: str, command: Command) -> dict[str, Any] | None:
        """Return what became of an earlier command with this id; None if there is none, or it never got to the hub."""
        id = command.id or ""  # noqa: A001 - the name in the message
        try:
            found = await self._ledger.find(topic, id)
        except VegeHubLedgerError as err:
            if command.is_on:
                raise CommandRefusedError(f"not taken on: {err}") from err
            return None  # an OFF does no harm twice
        if found is None:
            return None
        if found.result is not None:
            return found.result
        return self._result(QUEUED, id=id, command=found.command, error="a command with this id is under way")

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
        command, pending, hub = under_way.command, under_way.pending, under_way.hub
        if not command.is_on:
            await self._insist(under_way)
        text = None
        try:
            await pending
        except VegeHubError as err:
            text = str(err)
        what = outcome_of(pending, command, datetime.now(UTC))
        if what == DELIVERED:
            hub.commanded(under_way.actuator, command.seconds, is_on=command.is_on)
        elif what == UNKNOWN:
            hub.doubted()
        result = self._result(what, id=command.id, command=command.document(), error=text)
        await self._finish(under_way.topic, under_way.key, result)

    async def _insist(self, under_way: _Open) -> None:
        """Have an OFF tried again while it waits: a hub that never sleeps may give no sign of life for long."""
        pause = INSIST
        while True:
            with suppress(TimeoutError, VegeHubError):
                async with asyncio.timeout(pause):
                    await under_way.pending
            if under_way.pending.done:
                return
            under_way.hub.try_now()
            pause = min(pause * 2, _INSIST_MAX)

    async def _finish(self, topic: str, key: int | None, result: dict[str, Any]) -> None:
        if key is not None:
            with suppress(VegeHubLedgerError):
                await self._ledger.finish(key, result)
        self._answer(topic, result, key)

    def _answer(self, topic: str, result: dict[str, Any], key: int | None = None) -> None:
        self._publish(Message(topic, json.dumps(result), retain=False), key)

    def _result(self, outcome: str, **more: Any) -> dict[str, Any]:
        return result_document(self._name, outcome, datetime.now(UTC), **more)

    def _left(self, entry: Entry, now: datetime) -> dict[str, Any]:
        """Return the result of a command that an earlier run has left."""
        if entry.sending:
            what, text = UNKNOWN, "the bridge ended while it sent this; the hub may have executed it"
        elif (expiry := expiry_of(entry.command)) is not None and expiry <= now:
            what, text = EXPIRED, "the bridge ended while this waited for the hub, and it has expired since"
        else:
            what, text = NOT_SENT, "the bridge ended while this waited for the hub; send it again"
        return self._result(what, id=entry.id, command=entry.command, error=text)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._open.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOGGER.error("answering a command failed", exc_info=error)
