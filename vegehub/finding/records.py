"""What zeroconf has heard of a hub, read from its records. Imports zeroconf: for those who have it loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zeroconf.asyncio  # noqa: F401 - what loads this module needs all of it
from zeroconf import RecordUpdate, RecordUpdateListener, Zeroconf

from vegehub.wire import DiscoveredHub, parse_announcement

if TYPE_CHECKING:
    from collections.abc import Callable

    from zeroconf.asyncio import AsyncServiceInfo

_TYPE_A, _TYPE_PTR, _TYPE_AAAA, _CLASS_IN = 1, 12, 28, 1


class AnnouncementListener(RecordUpdateListener):
    """Tells the name of each instance of a service type that was known and is heard again."""

    def __init__(self, service_type: str, heard: Callable[[str], None]) -> None:
        super().__init__()
        self._service_type = service_type
        self._heard = heard
        self._names: list[str] = []

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:  # noqa: ARG002 - the signature is zeroconf's
        """Take note of one packet, before it is in the cache."""
        for update in records:
            record: Any = update.new
            # A record that is its own predecessor was not heard: it has run out.
            again = update.old is not None and update.old is not record and not record.is_expired(now)
            if again and record.type == _TYPE_PTR and record.name.lower() == self._service_type:
                self._names.append(record.alias)

    def async_update_records_complete(self) -> None:
        """Tell of it once the cache has all of the packet."""
        names, self._names = self._names, []
        for name in names:
            self._heard(name)


def read_announcement(zeroconf: Zeroconf, info: AsyncServiceInfo) -> DiscoveredHub | None:
    """Turn what ``info`` has been told of an instance into a model; None if it makes no sense."""
    server = info.server or ""
    return parse_announcement(
        info.name[: -len(info.type) - 1],
        host=server,
        port=info.port,
        addresses=info.parsed_scoped_addresses(),
        txt=info.properties,
        replaced=_replaced(zeroconf, server),
    )


def _replaced(zeroconf: Zeroconf, server: str) -> set[bytes]:
    """Return the packed addresses that a newer announcement has replaced; they live on for a second."""
    records: list[Any] = []
    for kind in (_TYPE_A, _TYPE_AAAA):
        records += zeroconf.cache.get_all_by_details(server, kind, _CLASS_IN)
    current = {record.address for record in records if record.ttl > 1}
    return {record.address for record in records} - current if current else set()
