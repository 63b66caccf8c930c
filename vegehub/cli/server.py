"""The commands about the servers that a hub reports to: setup, server list, server remove."""

from __future__ import annotations

import asyncio
import json as json_text
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vegehub.exceptions import VegeHubValueError
from vegehub.files import read_limited, write_private
from vegehub.wire import CUSTOM, ServerChange, decode_strict_json, redact_url, same_url

from . import options
from .errors import CommandError, unusable, usage
from .output import Output, shown, table
from .runner import run
from .target import opened

if TYPE_CHECKING:
    from pathlib import Path

    from vegehub import VegeHub
    from vegehub.wire import Server

_MAX_FILE = 1024 * 1024


def setup(
    arguments: options.HostAndUrl,
    *,
    api_key: Annotated[str, typer.Option("--api-key", help="The key that the hub sends with its updates.")] = "",
    name: Annotated[str, typer.Option("--name", help="The name of the server in the hub's list.")] = "HomeAssistant",
    undo: options.UndoFile = None,
    dry_run: options.DryRun = False,
    mac: options.Mac = "",
    timeout: options.Timeout = 10.0,
    json: options.Json = False,
) -> None:
    """Have a hub report to a server.

    New firmware keeps a list: other servers stay, and one of the same name is updated, never doubled. Old firmware
    has one server, which is replaced; --undo saves it.
    """
    output = Output(as_json=json)
    host, (url,) = options.with_host(arguments, "URL")

    async def configure() -> tuple[str, ServerChange]:
        async with opened(host, output, timeout=timeout, mac=mac) as hub:
            await hub.get_info()
            if undo is not None and not dry_run:
                # Before the hub is written to: what cannot be saved must not be lost.
                planned = await hub.configure_server(url, api_key=api_key, name=name, dry_run=True)
                if planned.changed:
                    await asyncio.to_thread(write_private, undo, json_text.dumps(planned.to_dict(), indent=2) + "\n")
            change = await hub.configure_server(url, api_key=api_key, name=name, dry_run=dry_run)
            return hub.ip_address, change

    address, change = run(configure())
    wrote = change.changed and not dry_run
    document = {"host": address, "changed": change.changed, "written": wrote, "summary": change.summary}
    output.show(
        document, f"{address}: {change.summary}" + ("" if wrote or not change.changed else " (nothing was written)")
    )
    if wrote and undo is not None:
        output.say(f"`vegehub server remove {address} --undo {undo}` brings back what was there before", "dim")


def list_servers(
    host: options.Host,
    *,
    timeout: options.Timeout = 10.0,
    show_secrets: options.Secrets = False,
    json: options.Json = False,
) -> None:
    """Show where a hub sends its updates."""
    output = Output(as_json=json, show_secrets=show_secrets)

    async def read() -> tuple[str, tuple[Server, ...]]:
        async with opened(host, output, timeout=timeout) as hub:
            return hub.ip_address, await hub.list_servers()

    address, found = run(read())
    rows = [_document(server, output) for server in found]
    listing = table("ID", "Name", "Kind", "Enabled", "URL", right=("ID",))
    for row in rows:
        listing.add_row(
            shown(row["id"]),
            shown(row["name"]),
            shown(row["kind"]),
            "yes" if row["enabled"] else "no",
            shown(row["url"]),
        )
    output.show({"host": address, "servers": rows}, listing if rows else "This hub reports to no server.")


def remove(
    arguments: options.HostAndServer = None,
    *,
    undo: options.UndoFile = None,
    force: Annotated[bool, typer.Option("--force", help="Also a server that is not of type custom.")] = False,
    mac: options.Mac = "",
    timeout: options.Timeout = 10.0,
    json: options.Json = False,
) -> None:
    """Remove a server by its id, name or URL; or, with --undo FILE, bring back what was there before a setup."""
    output = Output(as_json=json)
    host, rest = options.with_host(list(arguments or ()), "[SERVER]", least=0)
    if bool(rest) is (undo is not None):
        raise usage("give either the id, name or URL of a server, or --undo FILE")
    saved = None if undo is None else _saved(undo)

    async def forget() -> tuple[str, str]:
        async with opened(host, output, timeout=timeout, mac=mac) as hub:
            await hub.get_info()
            if saved is None:
                return hub.ip_address, await _remove(hub, rest[0], force=force)
            before = await hub.list_servers()
            await hub.remove_server(saved)
            changed = await hub.list_servers() != before
            return hub.ip_address, "what was there before is back" if changed else "that setup is undone already"

    address, text = run(forget())
    output.show({"host": address, "summary": text}, f"{address}: {text}")


def _saved(path: Path) -> ServerChange:
    try:
        return ServerChange.from_dict(decode_strict_json(read_limited(path, _MAX_FILE)))
    except (OSError, ValueError) as err:
        raise unusable(path, err) from None


async def _remove(hub: VegeHub, wanted: str, *, force: bool) -> str:
    config = await hub.get_config("hub", "api_key", "endpoints")
    endpoints = config.get("endpoints")
    if not isinstance(endpoints, list):
        raise CommandError(
            f"{hub.ip_address}: this firmware has one server, which can be replaced (`vegehub setup`), or put back to "
            "what it was (`vegehub server remove --undo FILE`), but not removed; nothing was changed"
        )
    servers = await hub.list_servers()
    matching = [server for server in servers if _is(server, wanted)]
    if len(matching) != 1:
        how_many = "no server" if not matching else f"{len(matching)} servers"
        raise CommandError(
            f"{hub.ip_address}: {how_many} with the id, name or URL {wanted[:80]!r}; nothing was changed. "
            f"`vegehub server list {hub.ip_address}` shows them all"
        )
    server = matching[0]
    if server.kind != CUSTOM and not force:
        raise CommandError(
            f"{hub.ip_address}: {shown(server.name)} is of type {shown(server.kind)}, and its keys would be lost; "
            "nothing was changed. Save them with `vegehub config backup`, then add --force"
        )
    kept = [entry for entry in endpoints if not (isinstance(entry, dict) and _is_entry(entry, server))]
    if len(kept) != len(endpoints) - 1:
        raise VegeHubValueError(f"{hub.ip_address}: the ids of the servers are not unique; nothing was changed")
    await hub.set_config({**config, "endpoints": kept})
    return f"server {shown(server.name)!r} is removed"


def _is(server: Server, wanted: str) -> bool:
    return wanted in (str(server.id), server.name) or (bool(server.url) and same_url(server.url, wanted))


def _is_entry(entry: dict[str, Any], server: Server) -> bool:
    return entry.get("id") == server.id and entry.get("name", "") == server.name


def _document(server: Server, output: Output) -> dict[str, Any]:
    return {
        "id": server.id,
        "name": server.name,
        "kind": server.kind,
        "enabled": server.enabled,
        "url": server.url if output.show_secrets else redact_url(server.url),
    }
