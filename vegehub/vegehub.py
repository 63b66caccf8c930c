"""``VegeHub``: what one hub can do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from .established import EstablishedHub
from .exceptions import (
    Outcome,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubPayloadError,
    VegeHubTimeoutError,
    VegeHubValueError,
)
from .hub.arguments import MAX_DURATION, MIN_ON, check_document, check_seconds, check_slot
from .hub.backup import backup_document, restore_document
from .hub.watering import Watering
from .wire import calls, config, models
from .wire.redact import contains_redacted, redact
from .wire.server_url import check_server_url
from .wire.servers import list_servers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from .wire.announcements import DiscoveredHub
    from .wire.models import Actuator, HubInfo, Reading
    from .wire.servers import Server, ServerChange


class VegeHub(EstablishedHub):
    """One hub, at ``ip_address``: an IPv4 or IPv6 address or a host name, each with or without ``:port``.

    ``session`` is used and never closed; without one the object opens its own at the first call, and closes it when
    it is closed, dropped, or idle for ``idle_timeout`` seconds (1 to 3600, None for never). ``timeout`` is the
    deadline of each call in seconds, ``max_on`` the longest typed ON. With ``verify_mac`` a typed write needs a
    proof, not older than 60 s, that ``mac_address`` answers; without a MAC there is nothing to prove.

    All methods raise errors of ``VegeHubError``'s tree only.
    """

    @classmethod
    def from_discovery(cls, discovered: DiscoveredHub, **options: Any) -> Self:
        """Return the object for a hub that was discovered; ``options`` are arguments of the constructor by name.

        A hub does not say its MAC when it announces itself: the first ``get_info`` or ``retrieve_mac_address`` reads it.
        """
        return cls(discovered.address, **options)

    # Reading

    async def get_info(self) -> HubInfo:
        """Read what the hub says of itself and its Wi-Fi."""
        reply = await self._call(calls.INFO_GET, calls.INFO_SELECTOR)
        info = self._read(calls.INFO_GET, models.HubInfo.parse, reply)
        self._info = models.hub_object(reply)
        if info.mac and not self._mac_address:
            self._mac_address = info.mac
        if info.mac:
            self._proof.confirm(info.mac)
        return info

    async def get_actuators(self) -> tuple[Actuator, ...]:
        """Read the actuators; empty for a hub without any."""
        return self._read(calls.ACTUATORS_STATUS, models.parse_actuators, await self.actuator_states())

    async def get_readings(self) -> tuple[Reading, ...]:
        """Read the latest value of each input in volts; slots are 1-based, as in updates."""
        return self._read(calls.SENSORS_LAST, models.parse_last_readings, await self._call(calls.SENSORS_LAST))

    async def get_config(self, *sections: str) -> dict[str, Any]:
        """Read objects of the stored configuration, by default all that are known but ``wifi``.

        What the hub does not have is left out. ``wifi`` holds passwords in clear and must be named.
        """
        names = sections or calls.CONFIG_SECTIONS
        reply = await self._call(calls.CONFIG_GET, calls.selector(*names))
        return config.sendable(reply)

    async def list_servers(self) -> tuple[Server, ...]:
        """Read where the hub sends its updates."""
        document = await self._get_device_config()
        return self._read(calls.CONFIG_GET, list_servers, document)

    # Writing: each is proved to reach the hub with our MAC

    async def turn_on(self, slot: int, duration: float | timedelta, confirm: bool = False) -> None:
        """Switch actuator ``slot`` (0-based) on for ``duration``: seconds or a timedelta, 1 s to ``max_on``.

        ``confirm``: read the status back until it shows; VegeHubTimeoutError if it does not within ``timeout``.
        """
        seconds = check_seconds("duration", duration, MIN_ON, self._max_on)
        await self._switch(1, slot, seconds, confirm=confirm)

    async def turn_off(self, slot: int, hold: float | timedelta = 0, confirm: bool = False) -> None:
        """Switch actuator ``slot`` (0-based) off and keep the hub's schedule from it for ``hold`` seconds.

        ``confirm``: read the status back until it shows; VegeHubTimeoutError if it does not within ``timeout``.
        """
        await self._switch(0, slot, check_seconds("hold", hold, 0, MAX_DURATION), confirm=confirm)

    def watering(self, slot: int, duration: float | timedelta) -> Watering:
        """Return a block (``async with``) in which actuator ``slot`` is on for ``duration`` at most.

        OFF is sent whenever ON may have arrived: on leaving, on error, on cancellation, and when ON itself was
        cancelled or its fate is unknown. OFF is repeated for up to 30 s, however often the caller is cancelled; if it
        fails all the same, that is raised, or noted on the block's own error, and logged once. One block per slot.

        Not promised: closing after SIGKILL or a power failure (only the hub's own timer does that, after
        ``duration``), after the hub reboots, on a latching valve whose hub died, or against a second controller or the
        hub's own schedule: the last command wins.
        """
        return Watering(self, check_slot(slot), check_seconds("duration", duration, MIN_ON, self._max_on))

    async def set_config(self, document: Mapping[str, Any]) -> None:
        """Replace whole objects of the configuration; fields left out of an object are lost.

        Objects that are null, and ``error``, are not sent. Redacted values are refused.
        """
        await self._write_config(check_document(document))

    async def configure_server(
        self, url: str, *, api_key: str = "", name: str = "HomeAssistant", dry_run: bool = False
    ) -> ServerChange:
        """Point the hub at a server that takes its updates, and return what that changed.

        An endpoint of ours that is there already is updated, never doubled; if nothing differs nothing is written.
        ``dry_run``: write nothing. VegeHubPayloadError when the configuration has no known shape.
        """
        check_server_url(url)
        document = await self._get_device_config()
        change = self._read(calls.CONFIG_GET, lambda read: config.plan_server(read, url, api_key, name), document)
        if change is None:
            raise self._no_known_shape()
        if change.changed and not dry_run:
            await self._write_config(dict(change.document))
        return change

    async def remove_server(self, change: ServerChange) -> None:
        """Bring back what was there before ``change``; what others changed since stays."""
        document = await self._get_device_config()
        restored = self._read(calls.CONFIG_GET, lambda read: config.plan_removal(read, change), document)
        if restored is not None:
            await self._write_config(restored)

    async def backup_config(self, *sections: str) -> dict[str, Any]:
        """Read the configuration into a document that ``restore_config`` takes; it holds secrets, keep it private.

        ``wifi`` is in it only if named.
        """
        info = await self.get_info()
        document = await self.get_config(*sections)
        return backup_document(document, info.mac, info.firmware, datetime.now(UTC), wifi="wifi" in sections)

    async def restore_config(self, backup: Mapping[str, Any], *, wifi: bool = False) -> None:
        """Write a backup back, ``wifi`` only if asked for; what only the hub itself may write stays as it is.

        VegeHubValueError, with nothing sent, for what is no backup, for one with redacted values, and for one of a
        firmware that keeps its servers in another place. A backup of another hub is taken: it may replace a dead one.
        """
        wanted = restore_document(backup, {}, wifi=wifi)
        current = await self.get_config(*{**calls.SERVER_SELECTOR, **wanted})
        await self._write_config(restore_document(backup, current, wifi=wifi))

    async def set_time(self, moment: datetime | None = None) -> None:
        """Set the hub's clock to ``moment`` (aware), by default to now."""
        if moment is not None and moment.tzinfo is None:
            raise VegeHubValueError("moment must be an aware datetime: a naive one does not say which zone it is in")
        await self._prove()
        await self._call(calls.TIME_SET, calls.clock(round((moment or datetime.now(UTC)).timestamp())))

    async def reconnect_wifi(self) -> Outcome | None:
        """Have the hub join its Wi-Fi anew; None if it said so, UNKNOWN if the link dropped before it could."""
        await self._prove()
        try:
            await self._call(calls.WIFI_RECONNECT, calls.WIFI_RESTART)
        except (VegeHubConnectionError, VegeHubTimeoutError) as err:
            if err.outcome is not Outcome.UNKNOWN:
                raise
            return err.outcome
        return None

    async def diagnostics(self) -> dict[str, Any]:
        """Read everything a bug report needs, redacted and JSON-able; a read that fails is reported in its place."""
        reads: dict[str, Callable[[], Any]] = {
            "info": lambda: self._call(calls.INFO_GET, calls.INFO_SELECTOR),
            "config": self.get_config,
            "actuators": lambda: self._call(calls.ACTUATORS_STATUS),
            "readings": lambda: self._call(calls.SENSORS_LAST),
        }
        report: dict[str, Any] = {"address": str(self._transport.address), "mac": self._mac_address}
        for name, read in reads.items():
            try:
                report[name] = redact(await read())
            except VegeHubError as err:
                report[name] = {"failed": type(err).__name__, "text": str(err)}
        report["counters"] = self.counters
        return report

    # Below the public methods

    async def _prove(self) -> None:
        if self._verify_mac and self._mac_address:
            await self._proof.require(self._mac_address)

    async def _switch(self, state: int, slot: int, seconds: float, *, confirm: bool) -> None:
        await self._check_slot(slot)
        await self._prove()
        await self._call(calls.ACTUATORS_SET, calls.actuator_command(state, slot, seconds))
        if confirm:
            await self._confirm(slot, is_on=bool(state))

    async def _confirm(self, slot: int, *, is_on: bool) -> None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._transport.timeout
        pause = 0.1
        while not any(actuator.slot == slot and actuator.is_on is is_on for actuator in await self.get_actuators()):
            if loop.time() + pause > give_up_at:
                raise VegeHubTimeoutError(
                    f"{self._host}: the hub took the command, but actuator {slot} was not reported "
                    f"{'on' if is_on else 'off'} within {self._transport.timeout:g} s",
                    host=self._host,
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)

    async def _write_config(self, document: dict[str, Any]) -> None:
        if path := contains_redacted(document):
            raise VegeHubValueError(f"{self._host}: {path} is redacted; nothing was sent", host=self._host)
        await self._prove()
        await self._call(calls.CONFIG_SET, document)

    def _no_known_shape(self) -> VegeHubPayloadError:
        return VegeHubPayloadError(
            f"{self._host}: {calls.CONFIG_GET}: expected a list of endpoints, or a hub object and an api_key; "
            "nothing was written",
            host=self._host,
            outcome=Outcome.NOT_SENT,
        )
