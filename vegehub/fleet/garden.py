"""The file that people edit: ``vegehub.toml``, with their hubs by name, what is plugged in, and how to bridge them.

The registry is state, what was learned and seen; nobody edits it. This file is read and never written here.
"""

from __future__ import annotations

import asyncio
import re
import tomllib
from dataclasses import dataclass, field, replace
from functools import cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import VegeHubValueError
from vegehub.files import configuration_path, path_in, read_limited
from vegehub.hub import MAX_DURATION, MIN_ON, check_seconds
from vegehub.wire import HubAddress, decode_strict_json, normalize_mac, schema
from vegehub.wiring import NO_WIRING, Wiring, wiring_fields

from .schema import REGISTRY_FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Self

    from .registry import HubRecord, Registry

FILE_NAME = "vegehub.toml"
VARIABLE = "VEGEHUB_CONFIG"
"""The variable of the environment that may name the file."""
MAX_FILE = 1024 * 1024
"""Bytes of the largest file that is read."""

_TIMEOUT = (0.05, 3600.0)
_where = re.compile(r" ?\(at (line \d+, column \d+|end of document)\)").search
_is_yaml = re.compile(rb"^(broker|receiver|state|hubs)[ \t]*:", re.MULTILINE).search
_HOW = 'write each hub as [hubs.NAME] and below it address = "192.0.2.57"'


@dataclass(frozen=True, slots=True, kw_only=True)
class GardenHub:
    """One hub of the file."""

    name: str
    """The name of its table: ``[hubs.NAME]``."""
    address: str
    """As ``VegeHub`` takes it."""
    mac: str = ""
    """12 upper-case hex digits; "" where the file does not say, and then no command is proved to reach this hub."""
    wiring: Wiring = NO_WIRING
    options: Mapping[str, float] = field(default_factory=dict, hash=False)
    """Options of ``VegeHub`` in seconds, as far as the file gives them: ``timeout``, ``max_on``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Garden:
    """The hubs of a ``vegehub.toml``, in its order, and its ``[bridge]`` table.

    VegeHubValueError where two hubs could be taken for each other: the same name, MAC or address.
    """

    hubs: tuple[GardenHub, ...] = ()
    bridge: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    """As it stands in the file; it may hold a password."""
    path: Path | None = None
    """The file; None for a garden that was made by a program."""

    def __post_init__(self) -> None:
        seen: dict[object, tuple[str, GardenHub]] = {}
        for hub in self.hubs:
            address = HubAddress.parse(hub.address).key
            # A name is a spelling too: it may be another hub's host name.
            spellings = (
                ("name", hub.name.casefold()),
                ("name", _spelling(hub.name)),
                ("MAC", hub.mac),
                ("address", address),
            )
            for what, spelling in spellings:
                other, owner = seen.setdefault(spelling, (what, hub)) if spelling else (what, hub)
                if owner is not hub:
                    raise VegeHubValueError(
                        f"{schema.place(('hubs', hub.name))}: its {what} is the {other} of {schema.place(('hubs', owner.name))} too; "
                        "each hub needs a name, a MAC and an address of its own"
                    )

    @classmethod
    def load(cls, path: str | Path | None = None) -> Self:
        """Read a file; without a path the one of `find_garden`, which need not exist where nobody named it.

        VegeHubValueError names the file, the table and the key, and says what to write. OSError: it cannot be read.
        Blocks; in an event loop use ``async_load``.
        """
        file = find_garden(path)
        try:
            content = read_limited(file, MAX_FILE)
        except FileNotFoundError:
            if path is None and path_in(VARIABLE) is None:
                return cls(path=file)
            raise
        document = _decoded(content, str(file))
        try:
            found = schema.validated(_schema(), document, str(file))
            return cls(hubs=found.get("hubs", ()), bridge=found.get("bridge", {}), path=file)
        except VegeHubValueError as err:
            text = str(err)
            raise VegeHubValueError(text if text.startswith(f"{file}: ") else f"{file}: {text}") from None

    @classmethod
    async def async_load(cls, path: str | Path | None = None) -> Self:
        """Read a file as ``load`` does, off the loop."""
        return await asyncio.get_running_loop().run_in_executor(None, cls.load, path)

    def __iter__(self) -> Iterator[GardenHub]:
        return iter(self.hubs)

    def __len__(self) -> int:
        return len(self.hubs)

    def find(self, key: str) -> GardenHub | None:
        """Return the hub with this name, case ignored, else this MAC or address in any spelling; None if there is none."""
        spelling = _spelling(key)
        tests = (
            lambda hub: hub.name == key,
            lambda hub: hub.name.casefold() == key.strip().casefold(),
            lambda hub: bool(hub.mac) and hub.mac == spelling,
            lambda hub: HubAddress.parse(hub.address).key == spelling,
        )
        return next((hub for test in tests for hub in self.hubs if test(hub)), None)

    def __getitem__(self, key: str) -> GardenHub:
        """Return a hub as ``find`` does; VegeHubValueError says which names there are."""
        hub = self.find(key)
        if hub is not None:
            return hub
        where = "this garden" if self.path is None else str(self.path)
        if not self.hubs:
            raise VegeHubValueError(f"no hubs in {where}; {_HOW}")
        raise VegeHubValueError(
            f"no hub {schema.quoted(key)} in {where}{schema.near(key, (each.name for each in self.hubs))}"
        )

    def enter(self, registry: Registry) -> Registry:
        """Bring a registry into line with the file and return it: what the file says holds, what was learned stays.

        Each hub gets its name for an id, also where it had another one before. A record under a name that now stands for
        another hub is removed; all others stay as they are, and VegeHubValueError says which one stands in the way.
        """
        learned = self._learned(registry)
        names = {record.id: name for name, record in learned.items()}
        wanted = {hub.name for hub in self.hubs}
        for record in registry.list():
            # Names may have been swapped: all are given up before one is taken.
            if (record.id in wanted or record.id in names) and names.get(record.id) != record.id:
                registry.remove(record.id)
        for hub in self.hubs:
            _enter(hub, learned.get(hub.name), registry)
        return registry

    def _learned(self, registry: Registry) -> dict[str, HubRecord]:
        """Return the record of each hub by its name: the one with its MAC, else the one with its id if it may be its."""
        learned = {hub.name: record for hub in self.hubs if (record := registry.by_mac(hub.mac)) is not None}
        taken = {record.id for record in learned.values()}
        records = {record.id: record for record in registry if record.id not in taken}
        for hub in self.hubs:
            record = records.get(hub.name)
            if hub.name not in learned and record is not None and _may_be(hub, record):
                learned[hub.name] = record
        return learned


def find_garden(path: str | Path | None = None) -> Path:
    """Return which file is read: ``path``, else the one in ``$VEGEHUB_CONFIG``, else the user's own; it need not exist.

    The user's own is ``vegehub/vegehub.toml`` in ``$XDG_CONFIG_HOME`` or ``~/.config``, on Windows in ``%APPDATA%``.
    """
    default = configuration_path(FILE_NAME)
    return type(default)(path) if path is not None else path_in(VARIABLE) or default


# --- The file ---------------------------------------------------------------------------------------------------------


def _decoded(content: bytes, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        reason = "not UTF-8 text"
    except RecursionError:
        reason = "nested too deeply"
    except ValueError as err:
        # tomllib quotes keys at most, never a value: a password may stand there.
        where = _where(str(err))
        reason = f"{f'{where[1]}: ' if where else ''}not valid TOML: {str(err)[: where.start() if where else None]}"
    raise VegeHubValueError(f"{source}: {_of_before(content) or reason}")


def _of_before(content: bytes) -> str:
    """Recognize what version 0.2.0 kept hubs in."""
    try:
        document = decode_strict_json(content)
    except ValueError:
        document = None
    if isinstance(document, dict) and document.get("format") == REGISTRY_FORMAT:
        return f"a registry, which nobody edits, and not a {FILE_NAME}; it was left alone. In {FILE_NAME}, {_HOW}"
    if _is_yaml(content):
        return f"YAML, as the bridge read it up to version 0.2.0; it was left alone. In {FILE_NAME}, {_HOW}"
    return f"JSON, not TOML; {_HOW}" if document is not None else ""


@cache
def _schema() -> schema.Check:
    """Build the schema of the whole file."""
    hub = schema.object_of(
        {
            "mac": schema.all_of(schema.is_text, _mac),
            "timeout": _seconds(*_TIMEOUT),
            "max_on": _seconds(MIN_ON, MAX_DURATION),
            **wiring_fields(),
        },
        required={"address": (schema.all_of(schema.is_text, schema.checked(_address)), '"192.0.2.57"')},
    )
    return schema.object_of(
        {
            "hubs": schema.all_of(schema.is_object, {_hub_name: schema.all_of(hub, schema.checked(_hub))}, _named),
            "bridge": schema.is_object,
        }
    )


def _hub(section: dict[str, Any]) -> GardenHub:
    return GardenHub(
        name="",
        address=section["address"],
        mac=section.get("mac", ""),
        wiring=Wiring("", section.get("inputs", ()), section.get("actuators", ())),
        options={key: section[key] for key in ("timeout", "max_on") if key in section},
    )


def _named(hubs: dict[str, GardenHub]) -> tuple[GardenHub, ...]:
    return tuple(replace(hub, name=name, wiring=replace(hub.wiring, name=name)) for name, hub in hubs.items())


def _hub_name(name: Any) -> str:
    try:
        text = Wiring(name).name
    except VegeHubValueError as err:
        raise schema.invalid(f"not a name for a hub: {err}") from None
    if not text or text != name:
        raise schema.invalid("not a name for a hub: expected 1 to 64 characters, without space around them")
    spelling = _spelling(text)
    if isinstance(spelling, str) or _is_ip(text):
        raise schema.invalid(
            "not a name for a hub: it would be taken for a MAC or an address; give it a name of your own"
        )
    return text


def _is_ip(text: str) -> bool:
    try:
        ip_address(HubAddress.parse(text).host.partition("%")[0])
    except ValueError:
        return False
    return True


def _seconds(low: float, high: float) -> schema.Check:
    def check(value: Any) -> float:
        try:
            return check_seconds("it", value, low, high)
        except VegeHubValueError:
            raise schema.invalid(f"expected seconds, a number from {low:g} to {high:g}") from None

    return check


def _mac(value: str) -> str:
    try:
        return normalize_mac(value)
    except ValueError:
        raise schema.invalid('expected a MAC of 12 hex digits, such as "7C:9E:BD:11:22:33"') from None


def _address(value: str) -> str:
    HubAddress.parse(value)
    return value


def _spelling(text: str) -> str | tuple[str, int] | None:
    """Return the one spelling of a MAC (text) or an address (host and port); None for what is neither."""
    try:
        return normalize_mac(text)
    except ValueError:
        pass
    try:
        return HubAddress.parse(text).key
    except VegeHubValueError:
        return None


def _may_be(hub: GardenHub, record: HubRecord) -> bool:
    """Whether a record of the same name may be of the same hub; without a MAC only its address tells it from others."""
    return not hub.mac if record.mac else _spelling(hub.address) == _spelling(record.address)


def _enter(hub: GardenHub, known: HubRecord | None, registry: Registry) -> None:
    if known is not None and known.id == hub.name:
        mac = hub.mac or None
        registry.update(hub.name, address=hub.address, mac=mac, wiring=hub.wiring, options=hub.options)
        return
    options: dict[str, Any] = dict(hub.options)
    if known is None:
        registry.add(hub.address, id=hub.name, mac=hub.mac, wiring=hub.wiring, **options)
        return
    facts: dict[str, Any] = {key: getattr(known, key) for key in ("mac", "name", "firmware", "metadata")}
    registry.add(hub.address, id=hub.name, wiring=hub.wiring, **facts, **options)
    registry.update(hub.name, last_seen=known.last_seen)
    if known.suspended:
        registry.suspend(hub.name)
