"""The commands about a hub's configuration: get, set, diff, backup, restore."""

from __future__ import annotations

import asyncio
import json as json_text
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vegehub.exceptions import VegeHubMismatchError
from vegehub.files import read_limited, write_private
from vegehub.hub.backup import FORMAT, restore_document
from vegehub.hub.backup import diff as differences
from vegehub.wire import CONFIG_SECTIONS, decode_strict_json, redact

from . import options
from .config_path import apply_changes, split_changes
from .errors import FAILED, unusable, usage
from .output import Output, fields, shown
from .runner import run
from .target import opened

if TYPE_CHECKING:
    from pathlib import Path

    from vegehub import VegeHub
    from vegehub.hub.backup import Difference

_MAX_FILE = 16 * 1024 * 1024

_Wifi = Annotated[bool, typer.Option("--wifi", help="The Wi-Fi settings too, which hold passwords in clear.")]


def get(
    arguments: options.HostAndSections = None,
    *,
    timeout: options.Timeout = 10.0,
    show_secrets: options.Secrets = False,
    json: options.Json = False,
) -> None:
    """Show the configuration, one value on a line."""
    output = Output(as_json=json, show_secrets=show_secrets)
    host, sections = _host_and_sections(list(arguments or ()))

    async def read() -> dict[str, Any]:
        async with opened(host, output, timeout=timeout) as hub:
            return await hub.get_config(*sections)

    document = run(read())
    visible = document if show_secrets else redact(document)
    output.show(
        visible, fields([(path, shown(_text(value)) if value != "" else '""') for path, value in _leaves("", visible)])
    )


def set_values(
    arguments: options.HostAndChanges,
    *,
    dry_run: options.DryRun = False,
    mac: options.Mac = "",
    timeout: options.Timeout = 10.0,
    show_secrets: options.Secrets = False,
    json: options.Json = False,
) -> None:
    """Change single values: vegehub config set HOST hub.name=Shed hub.update_period=900.

    A value is read as JSON, and as text where it is none. Whole sections are read, changed and sent back, because a
    hub forgets what is left out.
    """
    output = Output(as_json=json, show_secrets=show_secrets)
    host, texts = _host_and_changes(list(arguments))
    changes = split_changes(texts)

    async def write() -> tuple[str, list[Difference]]:
        async with opened(host, output, timeout=timeout, mac=mac) as hub:
            await hub.get_info()
            before = await hub.get_config(*{str(path[0]): None for path, _ in changes})
            after = apply_changes(before, changes)
            found = differences(before, after, redacted=not show_secrets)
            if found and not dry_run:
                await hub.set_config(after)
            return hub.ip_address, found

    address, found = run(write())
    _show_differences(output, address, found, written=bool(found) and not dry_run)


def diff(
    arguments: options.HostAndFile,
    *,
    timeout: options.Timeout = 10.0,
    show_secrets: options.Secrets = False,
    json: options.Json = False,
) -> int:
    """Compare a backup with the hub; exit code 1 if they differ.

    What the backup has is shown before the arrow, what the hub has now behind it.
    """
    output = Output(as_json=json, show_secrets=show_secrets)
    host, (name,) = options.with_host(arguments, "FILE")
    saved = _read(options.path(name)).get("config", {})

    async def compare() -> tuple[str, list[Difference]]:
        async with opened(host, output, timeout=timeout) as hub:
            return hub.ip_address, differences(saved, await hub.get_config(*saved), redacted=not show_secrets)

    address, found = run(compare())
    _show_differences(output, address, found, written=None)
    return FAILED if found else 0


def backup(
    arguments: options.HostAndFile,
    *,
    wifi: _Wifi = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if there is one.")] = False,
    timeout: options.Timeout = 10.0,
    json: options.Json = False,
) -> None:
    """Save the configuration to a file that only you can read: it holds keys in clear."""
    output = Output(as_json=json)
    host, (name,) = options.with_host(arguments, "FILE")
    path = options.path(name)
    if path.exists() and not force:
        raise usage(f"{path} is there already; --force replaces it")

    async def save() -> dict[str, Any]:
        async with opened(host, output, timeout=timeout) as hub:
            document = await hub.backup_config(*CONFIG_SECTIONS, *(["wifi"] if wifi else []))
        await asyncio.to_thread(write_private, path, json_text.dumps(document, indent=2) + "\n")
        return document

    document = run(save())
    sections = sorted(document["config"])
    result = {"file": str(path), "mac": document["mac"], "firmware": document["firmware"], "sections": sections}
    output.show(result, f"{path}: {len(sections)} sections of hub {document['mac']}; only you can read it")


def restore(
    arguments: options.HostAndFile,
    *,
    wifi: _Wifi = False,
    other_hub: Annotated[
        bool, typer.Option("--other-hub", help="Also if the backup is of another hub, which this one replaces.")
    ] = False,
    dry_run: options.DryRun = False,
    mac: options.Mac = "",
    timeout: options.Timeout = 10.0,
    show_secrets: options.Secrets = False,
    json: options.Json = False,
) -> None:
    """Bring a backup back."""
    output = Output(as_json=json, show_secrets=show_secrets)
    host, (name,) = options.with_host(arguments, "FILE")
    saved = _read(options.path(name))

    async def write() -> tuple[str, list[Difference]]:
        async with opened(host, output, timeout=timeout, mac=mac) as hub:
            found = await hub.get_info()
            if saved.get("mac") != found.mac and not other_hub:
                raise VegeHubMismatchError(
                    f"{hub.ip_address}: nothing was written: the backup is of hub {shown(saved.get('mac'))}, and this "
                    f"is {found.mac}; --other-hub restores it all the same",
                    host=hub.ip_address,
                )
            return hub.ip_address, await _restore(hub, saved, wifi=wifi, dry_run=dry_run, redacted=not show_secrets)

    address, found = run(write())
    _show_differences(output, address, found, written=bool(found) and not dry_run)


async def _restore(
    hub: VegeHub, saved: dict[str, Any], *, wifi: bool, dry_run: bool, redacted: bool
) -> list[Difference]:
    sections = list(restore_document(saved, {}, wifi=wifi))
    current = await hub.get_config(*{**dict.fromkeys(("hub", "api_key", "endpoints")), **dict.fromkeys(sections)})
    wanted = restore_document(saved, current, wifi=wifi)
    found = differences({section: current.get(section) for section in wanted}, wanted, redacted=redacted)
    if found and not dry_run:
        await hub.restore_config(saved, wifi=wifi)
    return found


def _host_and_sections(arguments: list[str]) -> tuple[str, list[str]]:
    preset = os.environ.get(options.HOST_VARIABLE, "")
    if preset and (not arguments or arguments[0] in (*CONFIG_SECTIONS, "wifi")):
        return preset, arguments
    return options.with_host(arguments, "[SECTION...]", least=0, most=len(arguments))


def _host_and_changes(arguments: list[str]) -> tuple[str, list[str]]:
    count = len(arguments) - ("=" not in arguments[0])
    return options.with_host(arguments, "PATH=VALUE...", least=max(count, 1), most=max(count, 1))


def _read(path: Path) -> dict[str, Any]:
    try:
        document = decode_strict_json(read_limited(path, _MAX_FILE))
    except (OSError, ValueError) as err:
        raise unusable(path, err) from None
    if (
        not isinstance(document, dict)
        or document.get("format") != FORMAT
        or not isinstance(document.get("config"), dict)
    ):
        raise usage(f"{path} is no backup of a hub")
    return document


def _show_differences(output: Output, address: str, found: list[Difference], *, written: bool | None) -> None:
    rows = [{"path": path, "before": before, "after": after} for path, before, after in found]
    document = {"host": address, "differences": rows} | ({} if written is None else {"written": written})
    if output.as_json:
        output.show(document, "")
        return
    for path, before, after in found:
        output.out.print(f"{shown(path)}: {shown(_text(before))} -> {shown(_text(after))}", soft_wrap=True)
    endings = {
        None: "1 difference" if len(found) == 1 else f"{len(found)} differences",
        True: "written",
        False: "nothing was written",
    }
    output.say(f"{address}: " + (endings[written] if found else "no difference"), "dim")


def _leaves(path: str, value: Any) -> list[tuple[str, Any]]:
    """List every value with its path, as ``config set`` takes it."""
    if isinstance(value, dict) and value:
        pairs = [(f"{path}.{key}" if path else str(key), inner) for key, inner in value.items()]
    elif isinstance(value, list) and value:
        pairs = [(f"{path}[{index}]", inner) for index, inner in enumerate(value)]
    else:
        return [(path, value)]
    return [leaf for inner_path, inner in pairs for leaf in _leaves(inner_path, inner)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json_text.dumps(value)
