"""What the times of a hub mean: read in every form that they come in, and told from those that cannot be."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from .near_json import read_number

EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
"""A hub that gives an earlier time does not know the time: it counts from 1970, or from the day of its firmware."""
AHEAD = timedelta(days=1)
"""How far ahead of us a hub's clock may be; what lies beyond is none (2036, where NTP's seconds overflow)."""

_LONGEST = 48
# From here on seconds would be past the year 5000, and milliseconds are.
_MILLISECONDS_FROM, _TOO_MANY = 1e11, 1e14
_digits = re.compile(r"\d{1,13}").fullmatch
_compact = re.compile(r"20\d{12}").fullmatch
_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d{1,2})(?::(?P<second>\d{1,2})(?:[.,](?P<fraction>\d+))?)?"
_ZONE = r"(?:\s*(?:Z|UTC|GMT|(?P<sign>[+-])(?P<zone_hour>\d{1,2})(?::?(?P<zone_minute>\d{2}))?))?"
_numeric = re.compile(
    rf"(?P<year>\d{{4}})([-/.])(?P<month>\d{{1,2}})\2(?P<day>\d{{1,2}})(?:[T\s_,]+{_CLOCK}{_ZONE})?", re.IGNORECASE
).fullmatch
# As asctime() of C writes it, and as HTTP does.
_asctime = re.compile(
    rf"(?:[a-z]+\s+)?(?P<name>[a-z]{{3}})\s+(?P<day>\d{{1,2}})\s+{_CLOCK}\s+(?P<year>\d{{4}})", re.IGNORECASE
).fullmatch
_http = re.compile(
    rf"(?:[a-z]+,?\s+)?(?P<day>\d{{1,2}})[\s-](?P<name>[a-z]{{3}})[\s-](?P<year>\d{{4}})\s+{_CLOCK}{_ZONE}",
    re.IGNORECASE,
).fullmatch
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def parse_time(value: object) -> datetime | None:
    """Read a time of a hub as an aware moment, UTC; None for what is none.

    Taken are ISO in all its forms (with and without zone, Z or z, T, t or a space, a fraction, digits without leading
    zeros), what ``asctime`` and HTTP write, and Unix seconds or milliseconds, as numbers or text. A time without a
    zone is UTC.
    """
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _of_epoch(value)
    return None


def is_plausible(moment: datetime | None, now: datetime | None = None) -> bool:
    """Tell whether a hub can have measured at ``moment``: from 2020 to a day after ``now`` (aware; None: the present)."""
    return moment is not None and EARLIEST <= moment <= (now or datetime.now(UTC)) + AHEAD


def _of_text(text: str) -> datetime | None:
    if len(text) > _LONGEST:
        return None
    if not _digits(text):  # eight of them would be a date
        try:
            return _in_utc(datetime.fromisoformat(text))
        except (ValueError, OverflowError):
            pass
    text = text.strip()
    if _compact(text):
        text = f"{text[:8]}T{text[8:]}"
        try:
            return _in_utc(datetime.fromisoformat(text))
        except ValueError:
            return None
    number = read_number(text)
    return _of_loose_text(text) if number is None else _of_epoch(number)


def _of_epoch(number: float) -> datetime | None:
    if not abs(number) < _TOO_MANY:  # nor is NaN
        return None
    try:
        return datetime.fromtimestamp(number / 1000 if abs(number) >= _MILLISECONDS_FROM else number, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _of_loose_text(text: str) -> datetime | None:
    match = _numeric(text) or _asctime(text) or _http(text)
    if match is None:
        return None
    part = match.groupdict()
    name = part.get("name")
    try:
        month = int(part["month"]) if name is None else _MONTHS.index(name.lower()) + 1
        hour, minute, second = (int(part[unit] or 0) for unit in ("hour", "minute", "second"))
        # Midnight at the end of a day, and a leap second, are times that datetime does not know.
        midnight = datetime(int(part["year"]), month, int(part["day"]), tzinfo=_zone(part))
        if hour > 24 or minute > 59 or second > 60:  # noqa: PLR2004 - the limits of a clock
            return None
        fraction = float(f"0.{part['fraction'] or 0}")
        return (midnight + timedelta(hours=hour, minutes=minute, seconds=second + fraction)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _zone(part: dict[str, str | None]) -> timezone:
    offset = timedelta(hours=int(part.get("zone_hour") or 0), minutes=int(part.get("zone_minute") or 0))
    return timezone(-offset if part.get("sign") == "-" else offset)


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
