"""The responder that answers for simulated hubs: zeroconf, but silent about what has ceased to be true.

zeroconf holds an answer back, for up to a second and a half, so as to send several at once; it also repeats an
announcement twice. A hub that has fallen asleep, moved or gone meanwhile would be heard after its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zeroconf import ServiceInfo, Zeroconf
from zeroconf.asyncio import AsyncZeroconf

if TYPE_CHECKING:
    from collections.abc import Sequence

_PTR, _NSEC = 12, 47
_SERVICE_TYPES = "_services._dns-sd._udp.local."


def open_responder(interfaces: Sequence[str]) -> AsyncZeroconf:
    """Open one inside the running loop, on these addresses of this machine."""
    return AsyncZeroconf(zc=Responder(interfaces=list(interfaces)))


class Responder(Zeroconf):
    """Sends of each answer only what the hubs that are on the air say now."""

    def async_send(self, out: Any, *arguments: Any, **options: Any) -> None:
        """Send a packet; an answer of which nothing is left is not sent."""
        if out.is_response():
            out.answers = [(record, at) for record, at in out.answers if self._is_true(record)]
            if not out.answers:
                return
            out.additionals = [record for record in out.additionals if self._is_true(record)]
        super().async_send(out, *arguments, **options)

    def _is_true(self, record: Any) -> bool:
        # A goodbye is of a hub that is no longer there. NSEC only says what there is none of.
        if not record.ttl or record.type == _NSEC or record.name == _SERVICE_TYPES:
            return True
        name = (record.alias if record.type == _PTR else record.name).lower()
        infos = [*self.registry.async_get_infos_server(name), self.registry.async_get_info_name(name)]
        return any(record in _records(info) for info in infos if info is not None)


def _records(info: ServiceInfo) -> list[Any]:
    return [info.dns_pointer(), info.dns_service(), info.dns_text(), *info.dns_addresses()]
