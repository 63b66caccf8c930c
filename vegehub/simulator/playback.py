"""Recordings of hubs: ``SimulatedHub.from_recording`` goes on where a recorded hub was.

A recording is a directory of JSON files in UTF-8, as ``vegehub diagnostics --record DIR`` writes it, or one such file.
The directory holds either ``recording.json``::

    {"format": "vegehub-recording", "version": 1, "mac": "7C9EBD112233", "firmware": "5.2.0",
     "exchanges": [
      {"method": "POST", "path": "/api/info/get", "request": {"hub": [], "wifi": []},
       "status": 200, "body": {"hub": {...}, "wifi": {...}, "error": "success"}},
      {"method": "GET", "path": "/api/actuators/status", "request": null,
       "status": 200, "body": {"actuators": [...], "error": "success"}}]}

or one file for each exchange, read in the order of their names: the fields of the exchange beside ``format`` and
``version`` (and ``mac`` and ``firmware``, if wanted), in place of the list.

========= ============================================================================================================
format    "vegehub-recording".
version   1; any other is refused. Fields that are not named here are ignored.
mac       12 hex digits, with or without separators. May be missing where a reply to ``info/get`` has ``wifi.mac_addr``.
firmware  For people; what counts is ``hub.version`` of ``info/get``. May be missing.
exchanges In the order in which they were made. The last good reply to a call counts; the objects of several
          ``info/get`` and ``config/get`` are put together. There must be one to ``info/get`` that holds ``hub``.
method    "GET" or "POST".
path      From the root, without the query.
request   The JSON that was sent; null where nothing was.
status    The HTTP status.
body      The JSON of the reply; its text where it was no JSON, null where it was empty.
========= ============================================================================================================

An exchange may have ``content_type``, the header of the reply. Secrets stand as ``**REDACTED**``, alone or within a
URL, or as any other harmless text; in place of that mark the hub that plays has invented ones.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

FORMAT, VERSION = "vegehub-recording", 1

_FILE = "recording.json"
_MARK = "**REDACTED**"
_STAND_INS = {
    "api_key": "0000000000000000",
    "route_key": "12345678",
    "ssid": "GardenNet",
    "wifi_ssid": "GardenNet",
    "wifi_pw": "secret",
    "ap_pw": "vegetronix",
}
_OTHER_SECRET = "redacted"  # noqa: S105 - it stands where a secret was
_METHODS = ("GET", "POST")
_MAC_DIGITS = 12
_MIN_STATUS, _MAX_STATUS = 100, 599


class RecordingError(ValueError):
    """A file is no recording that can be played; the text names the file and the place in it."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call and the reply to it; secrets are invented ones."""

    method: str
    path: str
    request: Any
    status: int
    body: Any
    content_type: str | None = None
    """None where it was not recorded."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What a hub answered."""

    mac: str
    """12 upper-case hex digits; "" where it was not noted."""
    firmware: str
    exchanges: tuple[Exchange, ...]
    source: str = "recording"
    """Where it comes from, for error texts."""

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Recording:
        """Read a directory or a file, which blocks; OSError if it cannot be read, RecordingError if it is none."""
        source = Path(path)
        documents = [(file.name, _decoded(file)) for file in _files(source)]
        if not documents:
            raise RecordingError(f"{source}: there is no *.json in it")
        parts = [cls.parse(document, name) for name, document in documents]
        macs = {part.mac for part in parts if part.mac}
        if len(macs) > 1:
            raise RecordingError(f"{source}: recordings of {len(macs)} hubs ({', '.join(sorted(macs))})")
        return cls(
            next(iter(macs), ""),
            next((part.firmware for part in parts if part.firmware), ""),
            tuple(exchange for part in parts for exchange in part.exchanges),
            str(source),
        )

    @classmethod
    def parse(cls, document: object, source: str = "recording") -> Recording:
        """Check a decoded file, a whole recording or a single exchange; RecordingError names the place."""
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise RecordingError(f'{source}: not a recording: its "format" is not "{FORMAT}"')
        version = document.get("version")
        if version != VERSION or isinstance(version, bool):
            raise RecordingError(f"{source}: version {version!r:.40} is unknown; this program reads version {VERSION}")
        entries = document.get("exchanges", [document])
        if not isinstance(entries, list):
            _refuse(f"{source}: exchanges", "a list")
        return cls(
            _mac(document.get("mac"), f"{source}: mac"),
            _text(document, "firmware", source, default=""),
            tuple(
                _exchange(entry, f"{source}: exchanges[{number}]" if "exchanges" in document else source)
                for number, entry in enumerate(entries)
            ),
            source,
        )


def _files(source: Path) -> Iterator[Path]:
    if not source.is_dir():
        yield source
    elif (source / _FILE).exists():
        yield source / _FILE
    else:
        yield from sorted(file for file in source.iterdir() if file.suffix == ".json")


def _decoded(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as err:
        raise RecordingError(f"{file.name}: not JSON: {str(err) or 'nested too deeply'}") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _refuse(place: str, expected: str) -> NoReturn:
    raise RecordingError(f"{place}: expected {expected}")


def _exchange(entry: object, place: str) -> Exchange:
    if not isinstance(entry, dict):
        _refuse(place, "an object")
    status = entry.get("status")
    if not isinstance(status, int) or isinstance(status, bool) or not _MIN_STATUS <= status <= _MAX_STATUS:
        _refuse(f"{place}.status", "an HTTP status")
    method, path = _text(entry, "method", place), _text(entry, "path", place)
    if method not in _METHODS:
        _refuse(f"{place}.method", " or ".join(_METHODS))
    if not path.startswith("/"):
        _refuse(f"{place}.path", "a path from the root")
    for key in ("request", "body"):
        if key not in entry:
            _refuse(f"{place}.{key}", "what was exchanged, or null")
    kind = entry.get("content_type")
    if kind is not None and not isinstance(kind, str):
        _refuse(f"{place}.content_type", "text")
    return Exchange(method, path, _whole(entry["request"]), status, _whole(entry["body"]), kind)


def _text(document: dict[str, Any], key: str, place: str, default: str | None = None) -> str:
    value = document.get(key, default)
    if not isinstance(value, str):
        _refuse(f"{place}.{key}" if default is None else f"{place}: {key}", "text")
    return value


def _mac(value: object, place: str) -> str:
    if value is None:
        return ""
    digits = mac_digits(value)
    if not digits:
        _refuse(place, f"{_MAC_DIGITS} hex digits")
    return digits


def mac_digits(value: object) -> str:
    """Return the 12 upper-case hex digits of a MAC; "" if ``value`` is none."""
    digits = "".join(character for character in value if character not in ":-. ") if isinstance(value, str) else ""
    is_mac = len(digits) == _MAC_DIGITS and all(digit in "0123456789abcdefABCDEF" for digit in digits)
    return digits.upper() if is_mac else ""


def _whole(value: Any, key: str = "") -> Any:
    """Copy a document with invented secrets in place of those that were cut out."""
    if isinstance(value, dict):
        return {name: _whole(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner, key) for inner in value]
    if not isinstance(value, str) or _MARK not in value:
        return value
    return _STAND_INS.get(key, _OTHER_SECRET) if value == _MARK else value.replace(_MARK, _OTHER_SECRET)
