"""What stands in the message of a command: read strictly, since a typing error must not open a valve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from vegehub.exceptions import VegeHubValueError
from vegehub.hub.arguments import MAX_DURATION, MIN_ON, check_seconds
from vegehub.wire import decode_strict_json, kind

MAX_COMMAND = 4096
"""Bytes of the longest command that is read."""
MAX_ID = 64
"""Characters of the longest id of a command."""
_MAX_ACTUATOR = 4
_KEYS = ("state", "duration", "hold", "expires_in", "expires_at", "id")


class CommandRefusedError(Exception):
    """A command is not carried out; the text says why. ``id`` is that of the command, as far as it could be read."""

    def __init__(self, text: str, id: str | None = None) -> None:  # noqa: A002 - the name that it has in the message
        super().__init__(text)
        self.id = id


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRules:
    """What holds for the commands to one hub; durations are seconds."""

    duration: float = 600
    """Of an ON that says none."""
    max_on: float = 4 * 3600
    """Of the longest ON."""
    expires_in: float = 900
    """For which an ON that says nothing may wait for a sleeping hub."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command to one actuator, as it is carried out."""

    is_on: bool
    seconds: float
    """ON: for which it is on; OFF: for which the hub's own schedule is kept from it."""
    expires_at: datetime | None = None
    """Until when an ON may be sent, aware; an OFF never expires."""
    id: str | None = None
    """The sender's own; a second command with the same id is not carried out."""

    def has_expired(self, now: datetime) -> bool:
        """Tell whether it must not be sent any more."""
        return self.expires_at is not None and self.expires_at <= now

    def document(self) -> dict[str, Any]:
        """Return the command as results quote it."""
        quoted: dict[str, Any] = {"state": "ON" if self.is_on else "OFF"}
        quoted["duration" if self.is_on else "hold"] = self.seconds
        if self.expires_at is not None:
            quoted["expires_at"] = self.expires_at.isoformat().replace("+00:00", "Z")
        return quoted


def expiry_of(document: dict[str, Any]) -> datetime | None:
    """Return the expiry of a command as ``Command.document`` gave it; None if it has none."""
    text = document.get("expires_at")
    return _moment(text) if isinstance(text, str) else None


def read_command(payload: bytes, rules: CommandRules, now: datetime) -> Command:
    """Read ``ON``, ``OFF``, or an object with ``state`` and more; CommandRefusedError says what is wrong with it.

    ON lasts ``duration`` seconds, ``rules.duration`` if that is left out, and may be sent until ``expires_at`` (ISO 8601
    with its zone, or Unix seconds) or for ``expires_in`` seconds. OFF may have ``hold``; what says when it expires is
    left out of account. Unknown fields are refused: one that is misspelled must not give way to a default.
    """
    if len(payload) > MAX_COMMAND:
        raise CommandRefusedError(f"longer than {MAX_COMMAND} bytes")
    word = payload.strip().upper()
    if word in (b"ON", b"OFF"):
        document: Any = {"state": word.decode()}
    else:
        try:
            document = decode_strict_json(payload)
        except ValueError as err:
            raise CommandRefusedError(f"neither ON nor OFF, and {err}") from None
    if not isinstance(document, dict):
        raise CommandRefusedError(f"expected ON, OFF or an object, got {kind(document)}")
    id = _id(document.get("id"))  # noqa: A001 - as in the message
    try:
        return _command(document, id, rules, now)
    except VegeHubValueError as err:
        raise CommandRefusedError(str(err), id) from None


def read_actuator(text: str, count: int | None) -> int:
    """Return the number of an actuator, counted from 0, of ``count`` if that is known; CommandRefusedError otherwise."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_ACTUATOR):
        raise CommandRefusedError("the topic names no actuator by its number from 0")
    number = int(text)
    if count is not None and number >= count:
        raise CommandRefusedError(f"unknown actuator {number}: this hub has {count}, numbered from 0")
    return number


def _id(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.isprintable() or not 1 <= len(value) <= MAX_ID:
        raise CommandRefusedError(f"id: expected text of 1 to {MAX_ID} characters")
    return value


def _command(document: dict[str, Any], id: str | None, rules: CommandRules, now: datetime) -> Command:  # noqa: A002 - as above
    if unknown := [name for name in document if name not in _KEYS]:
        raise VegeHubValueError(f"unknown field {unknown[0][:40]!a}; known are {', '.join(_KEYS)}")
    state = document.get("state")
    if state == "OFF":
        if "duration" in document:
            raise VegeHubValueError("duration: OFF has none; hold says for how long the hub's schedule is kept away")
        return Command(is_on=False, seconds=_seconds(document, "hold", 0, 0, MAX_DURATION), id=id)
    if state != "ON":
        raise VegeHubValueError('state: expected "ON" or "OFF"')
    if "hold" in document:
        raise VegeHubValueError("hold: belongs to OFF; an ON has a duration")
    return Command(
        is_on=True,
        seconds=_seconds(document, "duration", rules.duration, MIN_ON, rules.max_on),
        expires_at=_expiry(document, rules, now),
        id=id,
    )


def _seconds(document: dict[str, Any], name: str, default: float, low: float, high: float) -> float:
    return check_seconds(name, document.get(name, default), low, high)


def _expiry(document: dict[str, Any], rules: CommandRules, now: datetime) -> datetime:
    if "expires_at" not in document:
        return now + timedelta(seconds=_seconds(document, "expires_in", rules.expires_in, 0, MAX_DURATION))
    if "expires_in" in document:
        raise VegeHubValueError("expires_at and expires_in: only one of them says when the command expires")
    moment = _moment(document["expires_at"])
    if (moment - now).total_seconds() > MAX_DURATION:
        raise VegeHubValueError("expires_at must lie within a week")
    return moment


def _moment(value: object) -> datetime:
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise VegeHubValueError("expires_at must be a time with its zone, such as 2025-01-31T12:00:00Z, or Unix seconds")
