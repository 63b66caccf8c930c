"""A hub's configuration kept and brought back, and the difference of two configurations."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import VegeHubPayloadError, VegeHubValueError
from vegehub.wire import as_object, contains_redacted, redact, sendable, shape_of, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

FORMAT = "vegehub-backup"
VERSION = 1

# What only the hub writes. A backup keeps it for people to read; bringing it back would be a lie at best.
_READ_ONLY = frozenset({"mac", "updated", "who_updated"})
_READ_ONLY_OF_HUB = frozenset({"model", "firmware_version", "wifi_version", "current_ip_addr"})

Difference = tuple[str, Any, Any]
"""Path, value before, value after; None where there is none."""


def backup_document(
    config: Mapping[str, Any], mac: str, firmware: str, saved_at: datetime, *, wifi: bool = False
) -> dict[str, Any]:
    """Return a JSON-able backup of what was read; the passwords of ``wifi`` are in it only if asked for.

    ``saved_at`` must be aware, else VegeHubValueError. It holds api keys in clear: keep it private.
    """
    if saved_at.tzinfo is None:
        raise VegeHubValueError("saved_at must be an aware datetime")
    sections = {section: value for section, value in sendable(config).items() if wifi or section != "wifi"}
    return {
        "format": FORMAT,
        "version": VERSION,
        "mac": mac,
        "firmware": firmware,
        "saved_at": saved_at.isoformat(timespec="seconds"),
        "config": sections,
    }


def restore_document(backup: object, current: Mapping[str, Any], *, wifi: bool = False) -> dict[str, Any]:
    """Return what to send so that the hub has the configuration of ``backup`` again.

    ``current`` is the same sections as the hub has them now: what only the hub writes is taken from there, and so is
    any field of an object that the backup does not know. ``wifi`` is left out unless asked for.

    VegeHubValueError, and nothing to send, for anything that is no backup, for one with redacted values, and for one
    of a firmware that keeps its servers in another place. Whether it is of this hub is for the caller to check
    (``backup["mac"]``): a new hub may well take the place of an old one.
    """
    try:
        sections = _sections(backup)
    except VegeHubPayloadError as err:
        raise VegeHubValueError(f"backup: {err}") from None
    saved_shape, shape = shape_of(sections), shape_of(current)
    if saved_shape is not None and shape is not None and saved_shape != shape:
        raise VegeHubValueError(f"backup: it has its servers in {saved_shape!r}, this hub's firmware in {shape!r}")
    document: dict[str, Any] = {}
    for section, value in sendable(sections).items():
        if section in _READ_ONLY or (section == "wifi" and not wifi):
            continue
        now = current.get(section)
        read_only = _READ_ONLY_OF_HUB if section == "hub" else frozenset()
        document[section] = _merged(value, now, read_only) if isinstance(value, dict) else value
    return document


def diff(before: object, after: object, *, redacted: bool = True) -> list[Difference]:
    """List where two configurations differ, as ``(path, before, after)``; an absent key counts as null.

    Secrets are shown as redacted, still listed where they differ, unless ``redacted`` is False.
    """
    shown = (redact(before), redact(after)) if redacted else (before, after)
    return list(_differences("", before, after, *shown))


def _sections(backup: object) -> dict[str, Any]:
    document = as_object(backup)
    if document.get("format") != FORMAT:
        raise wrong("format", f"{FORMAT!r}", document.get("format"))
    if document.get("version") != VERSION:
        raise VegeHubValueError(f"backup: written by another version of this library; this one reads version {VERSION}")
    sections = as_object(document.get("config"), "config")
    if path := contains_redacted({"config": sections}):
        raise VegeHubValueError(f"backup: {path} was redacted, so its value is lost; nothing was restored")
    return sections


def _merged(saved: Mapping[str, Any], now: object, read_only: frozenset[str]) -> dict[str, Any]:
    present = now if isinstance(now, dict) else {}
    kept = {key: value for key, value in present.items() if key in read_only or key not in saved}
    merged = {key: value for key, value in saved.items() if key not in read_only or key in kept}
    return copy.deepcopy({**merged, **kept})


def _key_path(path: str, key: object) -> str:
    return f"{path}.{key}" if path else f"{key}"


def _differences(path: str, before: Any, after: Any, shown_before: Any, shown_after: Any) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            values = [part.get(key) for part in (before, after)]
            shown = [_shown(part, key) for part in (shown_before, shown_after)]
            yield from _differences(_key_path(path, key), *values, *shown)
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            values = [part[index] if index < len(part) else None for part in (before, after)]
            shown = [_shown(part, index) for part in (shown_before, shown_after)]
            yield from _differences(f"{path}[{index}]", *values, *shown)
    elif before != after:
        yield path, shown_before, shown_after


def _shown(part: Any, key: Any) -> Any:
    """Go down in a redacted copy, of which any branch may be one mark instead of the branch."""
    if isinstance(part, dict):
        return part.get(key)
    if isinstance(part, list):
        return part[key] if key < len(part) else None
    return part
