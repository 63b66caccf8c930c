"""A hub's configuration as a document: which firmware it is of, and edits of its servers that never double.

The input of an edit is never changed, unknown keys and the order of keys are kept, and whatever has an unknown shape
and is not ours stays as it is.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from .servers import (
    CUSTOM,
    CUSTOM_SERVER_TYPE,
    Server,
    ServerChange,
    Shape,
    check_api_key,
    check_server_name,
    check_server_url,
    is_custom,
    list_servers,
    related_urls,
    same_url,
    shape_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "DEFAULT_NAME",
    "Server",
    "ServerChange",
    "Shape",
    "check_api_key",
    "check_server_name",
    "check_server_url",
    "list_servers",
    "modify_device_config",
    "plan_removal",
    "plan_server",
    "sendable",
    "shape_of",
]

DEFAULT_NAME = "HomeAssistant"
"""Name of our endpoint; the established one, so that what earlier clients left behind is found."""
_MISSING = object()


def sendable(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a reply to ``config/get`` may be sent back: all but ``error`` and the sections that are null."""
    return {key: copy.deepcopy(value) for key, value in document.items() if key != "error" and value is not None}


def modify_device_config(config: dict[str, Any] | None, key: str, url: str) -> dict[str, Any] | None:
    """Return a copy of ``config`` with our server in it, under the established name; None if it has no known shape.

    All keys stay, ``error`` and nulls included. The arguments are taken as they are.
    """
    change = _plan(config, url, key, DEFAULT_NAME)
    if config is None or change is None:
        return None
    return {**copy.deepcopy(config), **change.document}


def plan_server(config: object, url: str, api_key: str = "", name: str = DEFAULT_NAME) -> ServerChange | None:
    """Work out the change that makes a hub report to ``url``; None if ``config`` has no known shape.

    An endpoint is ours if it is of type custom and has this URL, or this name and the same host or path. The first of
    ours is updated, further ones are removed, all others stay. Old firmware has one server only, which is replaced.
    VegeHubValueError for a bad argument. The document holds every section of ``config`` but ``wifi``.
    """
    return _plan(config, check_server_url(url), check_api_key(api_key), check_server_name(name))


def plan_removal(config: object, change: ServerChange) -> dict[str, Any] | None:
    """Work out the document that undoes ``change`` on the hub as it is now; None when there is nothing to write.

    Our endpoint is removed or put back to what it was, and the doubles that the change removed come back in their
    places, with a new id where theirs is taken. On old firmware the previous server comes back. Edits that others made
    since then stay. Nothing is written when the change changed nothing, or when the server that it set is no longer
    there: it was undone, or replaced by somebody else.
    """
    if not isinstance(config, dict) or shape_of(config) != change.shape:
        return None
    undone = _without_endpoint(config, change) if change.shape == "endpoints" else _without_server(config, change)
    if undone is None:
        return None
    edited = {**config, **undone}
    return None if edited == config else _document(edited)


def _document(config: Mapping[str, Any]) -> dict[str, Any]:
    # The passwords of the radio link are sent only by a caller who asks for it.
    return sendable({section: value for section, value in config.items() if section != "wifi"})


def _plan(config: object, url: str, api_key: str, name: str) -> ServerChange | None:
    shape = shape_of(config)
    if shape is None or not isinstance(config, dict):
        return None
    if shape == "hub":
        return _plan_server_of_hub(config, url, api_key, name)
    return _plan_endpoint(config, url, api_key, name)


def _plan_server_of_hub(config: dict[str, Any], url: str, api_key: str, name: str) -> ServerChange:
    hub = config["hub"]
    server = {"server_url": url, "server_type": CUSTOM_SERVER_TYPE}
    before = {**{key: hub[key] for key in server if key in hub}, "api_key": config["api_key"]}
    return ServerChange(
        shape="hub",
        url=url,
        name=name,
        before=(copy.deepcopy(before),),
        positions=(0,),
        after={**server, "api_key": api_key},
        document=_document({**config, "hub": {**hub, **server}, "api_key": api_key}),
    )


def _plan_endpoint(config: dict[str, Any], url: str, api_key: str, name: str) -> ServerChange:
    entries = config["endpoints"]
    positions = tuple(index for index, entry in enumerate(entries) if _is_ours(entry, url, name))
    before = tuple(copy.deepcopy(entries[index]) for index in positions)
    if before:
        first = positions[0]
        settings = before[0]["config"]
        after = {
            **before[0],
            "name": name,
            "enabled": True,
            "config": {**settings, "data_format": settings.get("data_format", "json"), "api_key": api_key, "url": url},
        }
        endpoints = [after if index == first else entry for index, entry in enumerate(entries)]
        endpoints = [entry for index, entry in enumerate(endpoints) if index == first or index not in positions]
    else:
        after = {
            "id": _next_id(entries),
            "name": name,
            "type": CUSTOM,
            "enabled": True,
            "connection_method": "wifi",
            "config": {"api_key": api_key, "data_format": "json", "url": url},
        }
        endpoints = [*entries, after]
    return ServerChange(
        shape="endpoints",
        url=url,
        name=name,
        before=before,
        positions=positions,
        after=after,
        document=_document({**config, "endpoints": endpoints}),
    )


def _custom_url(entry: object) -> str | None:
    """Return the URL of a custom endpoint; None for whatever else stands in the list."""
    if not isinstance(entry, dict) or entry.get("type") != CUSTOM or not isinstance(entry.get("config"), dict):
        return None
    url = entry["config"].get("url")
    return url if isinstance(url, str) else None


def _is_ours(entry: object, url: str, name: str) -> bool:
    present = _custom_url(entry)
    if present is None or not isinstance(entry, dict):
        return False
    return same_url(present, url) or (entry.get("name") == name and related_urls(present, url))


def _next_id(entries: Sequence[Any]) -> int:
    ids = [entry.get("id") for entry in entries if isinstance(entry, dict)]
    number = max((one for one in ids if isinstance(one, int)), default=0) + 1
    while number in ids:  # as a float
        number += 1
    return number


def _without_server(config: Mapping[str, Any], change: ServerChange) -> dict[str, Any] | None:
    hub = dict(config["hub"])
    present = hub.get("server_url")
    if not is_custom(hub) or not isinstance(present, str) or not same_url(present, change.url):
        return None
    before = change.before[0]
    for key in ("server_url", "server_type"):
        _set(hub, key, before.get(key, _MISSING))
    # A null is never sent, so that it would leave our key where there was none.
    api_key = before.get("api_key")
    return {"hub": hub, "api_key": "" if api_key is None else api_key}


def _without_endpoint(config: Mapping[str, Any], change: ServerChange) -> dict[str, Any] | None:
    entries = list(config["endpoints"])
    index = _ours_now(entries, change)
    if index is None:
        return None
    ours = entries.pop(index)
    present = [_content(entry) for entry in entries]
    if change.before:
        entries.insert(index, _put_back(ours, change.before[0], change.after))
    for position, double in zip(change.positions[1:], change.before[1:], strict=True):
        if (content := _content(double)) in present:
            present.remove(content)  # somebody brought it back already
        else:
            taken = any(isinstance(entry, dict) and entry.get("id") == double.get("id") for entry in entries)
            entries.insert(position, {**double, "id": _next_id(entries)} if taken else dict(double))
    return {"endpoints": entries}


def _ours_now(entries: Sequence[Any], change: ServerChange) -> int | None:
    """Find the endpoint that the change wrote: by URL and id, or, should the hub number anew, by a URL it brought."""
    same = [
        index
        for index, entry in enumerate(entries)
        if (url := _custom_url(entry)) is not None and same_url(url, change.url)
    ]
    earlier = [_content(entry) for entry in change.before]
    by_id = (index for index in same if entries[index].get("id") == change.after.get("id"))
    by_content = (index for index in same if _content(entries[index]) not in earlier)
    return next(by_id, next(by_content, None))


def _content(entry: Any) -> Any:
    return {key: value for key, value in entry.items() if key != "id"} if isinstance(entry, dict) else entry


def _put_back(now: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Undo the keys that the change wrote, but for those that somebody else has changed since then."""
    entry, settings = dict(now), dict(now["config"])
    for key in ("name", "enabled"):
        if entry.get(key, _MISSING) == after.get(key):
            _set(entry, key, before.get(key, _MISSING))
    # A key is worth nothing at another URL: the two go back together, whatever the hub made of ours.
    for key in ("url", "api_key"):
        _set(settings, key, before["config"].get(key, _MISSING))
    if "data_format" not in before["config"] and settings.get("data_format") == after["config"].get("data_format"):
        settings.pop("data_format", None)
    entry["config"] = settings
    return entry


def _set(target: dict[str, Any], key: str, value: Any) -> None:
    if value is _MISSING:
        target.pop(key, None)
    else:
        target[key] = value
