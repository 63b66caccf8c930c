"""The hubs a program knows: added, found, moved, suspended, removed, and kept in a file between two runs."""
# ruff: noqa: A002 - "id" is the word for what names a hub, in calls as in the file

from __future__ import annotations

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import VegeHubValueError
from vegehub.files import read_limited, write_private
from vegehub.wire import HubAddress, clean_text, decode_strict_json, normalize_mac
from vegehub.wiring import NO_WIRING, Wiring, check_wiring

from .schema import MAX_PEER_NAME, REGISTRY_FORMAT, REGISTRY_VERSION, check, named_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

MAX_FILE = 16 * 1024 * 1024
"""Bytes of the largest file that ``save`` writes and ``load`` reads."""

_MAX_FIRMWARE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class HubRecord:
    """What is known of one hub; it does not change, ``Registry.update`` makes another."""

    id: str
    """The user's choice, else the MAC, else ``hub-1``, ``hub-2`` ...; it stays when the hub moves."""
    address: str
    """As ``VegeHub`` takes it: where the hub was found last."""
    mac: str = ""
    """12 upper-case hex digits; "" until it is known."""
    name: str = ""
    firmware: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The user's own, JSON-able; it is saved as it is, so no place for secrets."""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Options of ``VegeHub``: timeout, idle_timeout, verify_mac, max_on."""
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    last_seen: datetime | None = None
    suspended: bool = False
    """True: the record is kept and the hub left alone."""
    wiring: Wiring = NO_WIRING
    """What is plugged in, as people call it."""


class Registry:
    """Records of hubs, each found by its id, its MAC or its address. For one event loop, like most of asyncio.

    All methods raise VegeHubValueError for a bad argument, an id that is taken, or a hub that is not there.
    """

    def __init__(self) -> None:
        named_schema("registry")  # loads voluptuous, now rather than in a call inside an event loop
        self._records: dict[str, HubRecord] = {}
        self._by_mac: dict[str, str] = {}
        self._by_address: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._by_spelling: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._writing = threading.Lock()
        self._turn = 0
        self._written: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[HubRecord]:
        return iter(self.list())

    def add(
        self,
        address: str,
        *,
        id: str | None = None,
        mac: str = "",
        name: str = "",
        firmware: str = "",
        metadata: Mapping[str, Any] | None = None,
        wiring: Wiring | None = None,
        **options: Any,
    ) -> HubRecord:
        """Add a hub; ``options`` are those of ``VegeHub`` that can be saved: no session.

        Another record may have the same address only if both MACs are known: addresses are handed on, hubs are not.
        """
        mac = _mac(mac)
        record = HubRecord(
            id=id if id is not None else mac or self._free_id(),
            address=address,
            mac=mac,
            name=clean_text(name, MAX_PEER_NAME),
            firmware=clean_text(firmware, _MAX_FIRMWARE),
            metadata=_json_able(metadata or {}),
            options=options,
            wiring=check_wiring(wiring),
        )
        record = _checked(record)
        if record.id in self._records:
            raise VegeHubValueError(f"{record.id!r} is in the registry already; choose another id")
        return self._put(record)

    def get(self, key: str) -> HubRecord | None:
        """Return the record with this id, else this MAC in any spelling, else this address (the newest); None if none."""
        if (record := self._records.get(key)) is not None:
            return record
        spelling = _spelling(key)
        found = self._by_mac.get(spelling) or next(reversed(self._by_address.get(spelling, {})), None)
        return None if found is None else self._records[found]

    def by_mac(self, mac: str) -> HubRecord | None:
        """Return the record with this MAC in any spelling, and no other that has it for an id; None if there is none."""
        found = self._by_mac.get(_spelling(mac))
        return None if found is None else self._records[found]

    def get_or_add(self, address: str, *, mac: str = "", **arguments: Any) -> HubRecord:
        """Return the record with this MAC, or the one at this address, whose MAC may not be known yet; else ``add`` one.

        What is found is left as it is, but for a MAC that it lacks.
        """
        mac = _mac(mac)
        if mac and (known := self.by_mac(mac)) is not None:
            return known
        record = self.get(address)
        if record is None or (mac and record.mac):
            return self.add(address, mac=mac, **arguments)
        return self.update(record.id, mac=mac) if mac else record

    def update(
        self,
        id: str,
        *,
        address: str | None = None,
        mac: str | None = None,
        name: str | None = None,
        firmware: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        last_seen: datetime | None = None,
        wiring: Wiring | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> HubRecord:
        """Change what is given and keep the rest; return the new record."""
        if last_seen is not None and last_seen.tzinfo is None:
            raise VegeHubValueError("last_seen must be an aware datetime")
        if all(value is None for value in (address, mac, name, firmware, metadata, wiring, options)):
            # A moment comes with every answer of every hub, and may be any.
            record = self._records[id] = replace(self[id], last_seen=last_seen or self[id].last_seen)
            return record
        changes = {
            "address": address,
            "mac": None if mac is None else _mac(mac),
            "name": None if name is None else clean_text(name, MAX_PEER_NAME),
            "firmware": None if firmware is None else clean_text(firmware, _MAX_FIRMWARE),
            "metadata": None if metadata is None else _json_able(metadata),
            "last_seen": last_seen,
            "wiring": None if wiring is None else check_wiring(wiring),
            "options": options,
        }
        given: dict[str, Any] = {key: value for key, value in changes.items() if value is not None}
        return self._put(_checked(replace(self[id], **given)))

    def __getitem__(self, id: str) -> HubRecord:
        try:
            return self._records[id]
        except KeyError:
            raise VegeHubValueError(f"no hub with the id {id!r:.80} in the registry") from None

    def remove(self, id: str) -> HubRecord:
        """Forget a hub and return what was known of it."""
        record = self[id]
        self._unlist(record)
        del self._records[id]
        return record

    def suspend(self, id: str) -> HubRecord:
        """Keep the record and leave the hub alone until ``resume``."""
        return self._put(replace(self[id], suspended=True))

    def resume(self, id: str) -> HubRecord:
        """Take a suspended hub up again."""
        return self._put(replace(self[id], suspended=False))

    def list(self) -> tuple[HubRecord, ...]:
        """Return all records in the order in which they were added."""
        return tuple(self._records.values())

    def save(self, path: str | Path) -> None:
        """Write all records to a file that only its owner can read: it has the old content or the new, nothing else.

        OSError names the path. Blocks; in an event loop use ``async_save``.
        """
        self._write(path, self._document(), self._next_turn())

    async def async_save(self, path: str | Path) -> None:
        """Write the records as they are now, off the loop; of saves that overlap the newest state stays."""
        # The state is taken here, in the loop: another thread would see it change.
        document, turn = self._document(), self._next_turn()
        await asyncio.get_running_loop().run_in_executor(None, self._write, path, document, turn)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that ``save`` wrote.

        VegeHubValueError names the place in it that is broken, or the version that is not known; the file is left
        alone. OSError (FileNotFoundError and others) names the path. Blocks; in an event loop use ``async_load``.
        """
        try:
            document = decode_strict_json(read_limited(path, MAX_FILE))
        except VegeHubValueError:
            raise
        except ValueError as err:
            raise VegeHubValueError(f"{path}: {err}") from None
        registry = cls()
        for index, entry in enumerate(check("registry", document, str(path))["hubs"]):
            entry["created"] = _moment(entry["created"]) or datetime.now(UTC)
            entry["last_seen"] = _moment(entry["last_seen"])
            try:
                registry._put(HubRecord(**entry))
            except VegeHubValueError as err:
                raise VegeHubValueError(f"{path}: hubs[{index}]: {err}") from None
        return registry

    @classmethod
    async def async_load(cls, path: str | Path) -> Self:
        """Read a file as ``load`` does, off the loop."""
        return await asyncio.get_running_loop().run_in_executor(None, cls.load, path)

    def _put(self, record: HubRecord) -> HubRecord:
        self._check_unique(record)
        before = self._records.get(record.id)
        if before is None or (before.mac, before.address) != (record.mac, record.address):
            if before is not None:
                self._unlist(before)
            if record.mac:
                self._by_mac[record.mac] = record.id
            self._by_address[_spelling(record.address)][record.id] = None
            self._by_spelling[_spelling(record.id)][record.id] = None
        self._records[record.id] = record
        return record

    def _unlist(self, record: HubRecord) -> None:
        self._by_mac.pop(record.mac, None)
        for index, key in ((self._by_address, record.address), (self._by_spelling, record.id)):
            spelling = _spelling(key)
            del index[spelling][record.id]
            if not index[spelling]:
                del index[spelling]

    def _check_unique(self, record: HubRecord) -> None:
        """Refuse a record that ``get`` could take for another one: a command must not reach the wrong valve."""
        mac, address, spelling = record.mac, _spelling(record.address), _spelling(record.id)
        if (other := self._by_mac.get(mac, record.id)) != record.id:
            raise VegeHubValueError(f"the hub {mac} is in the registry already, as {other!r}")
        for other in self._by_address.get(address, ()):
            if other != record.id and not (mac and self._records[other].mac):
                raise VegeHubValueError(f"{record.address} is in the registry already, as {other!r}")
        speaks_of_another = [self._by_mac.get(spelling), *self._by_address.get(spelling, ())]
        is_spoken_of = [*self._by_spelling.get(mac, ()), *self._by_spelling.get(address, ())]
        for found in (*speaks_of_another, *is_spoken_of):
            if found is not None and found != record.id:
                raise VegeHubValueError(
                    f"of the hubs {found!r} and {record.id!r}, the id of one is the MAC or the address of the other"
                )

    def _free_id(self) -> str:
        number = 1
        while f"hub-{number}" in self._records:
            number += 1
        return f"hub-{number}"

    def _document(self) -> bytes:
        hubs = [_entry(record) for record in self._records.values()]
        document = {"format": REGISTRY_FORMAT, "version": REGISTRY_VERSION, "hubs": hubs}
        content = (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
        if len(content) > MAX_FILE:
            raise VegeHubValueError(f"{len(content)} bytes are too many for a file of hubs: {MAX_FILE} at most")
        return content

    def _next_turn(self) -> int:
        self._turn += 1
        return self._turn

    def _write(self, path: str | Path, document: bytes, turn: int) -> None:
        with self._writing:
            # Threads may come here in any order.
            if turn > self._written.get(str(path), 0):
                write_private(path, document)
                self._written[str(path)] = turn


@lru_cache(maxsize=4096)
def _spelling(text: str) -> str:
    """Return the one spelling of a MAC or an address that may be written in many; any other text in lower case."""
    try:
        return normalize_mac(text)
    except ValueError:
        pass
    try:
        return str(HubAddress.parse(text)).lower()
    except VegeHubValueError:
        return text.lower()


def _mac(text: str) -> str:
    try:
        return normalize_mac(text) if text else ""
    except ValueError:
        raise VegeHubValueError(f"{text!r:.60} is no MAC address") from None


def _json_able(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy as it will be read back from a file."""
    if not isinstance(metadata, Mapping):
        raise VegeHubValueError(f"metadata must be a mapping, not {type(metadata).__name__}")
    try:
        # As deep in a document as it will be in the file: there is a limit to nesting.
        text = json.dumps({"hubs": [{"metadata": dict(metadata)}]}, ensure_ascii=False, allow_nan=False)
        copy: dict[str, Any] = decode_strict_json(text.encode())["hubs"][0]["metadata"]
    except (TypeError, ValueError, RecursionError) as err:
        raise VegeHubValueError(f"metadata must be JSON-able: {err}") from None
    return copy


def _checked(record: HubRecord) -> HubRecord:
    """Refuse in ``add`` and ``update`` what ``load`` would refuse."""
    document = {"format": REGISTRY_FORMAT, "version": REGISTRY_VERSION, "hubs": [_entry(record)]}
    try:
        checked = check("registry", document, f"hub {record.id!r:.80}")
    except VegeHubValueError as err:
        raise VegeHubValueError(str(err).replace("hubs[0].", "")) from None
    return replace(record, options=checked["hubs"][0]["options"])


def _entry(record: HubRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "address": record.address,
        "mac": record.mac,
        "name": record.name,
        "firmware": record.firmware,
        "created": record.created.isoformat(),
        "last_seen": None if record.last_seen is None else record.last_seen.isoformat(),
        "metadata": dict(record.metadata),
        "options": dict(record.options),
        **({"suspended": True} if record.suspended else {}),
        **({"wiring": record.wiring.as_dict()} if record.wiring != NO_WIRING else {}),
    }


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
