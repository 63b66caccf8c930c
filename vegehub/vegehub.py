"""``VegeHub``: what one hub can do."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from .exceptions import (
    Outcome,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubMismatchError,
    VegeHubNoActuatorsError,
    VegeHubPayloadError,
    VegeHubTimeoutError,
    VegeHubValueError,
)
from .hub import (
    IDLE_TIMEOUT,
    MAX_DURATION,
    MIN_ON,
    HubConnection,
    Identity,
    SessionOwner,
    Watering,
    backup_document,
    check_document,
    check_retries,
    check_seconds,
    check_slot,
    check_state,
    restore_document,
)
from .wire import (
    HubAddress,
    SlotLayout,
    calls,
    check_server_url,
    config,
    contains_redacted,
    list_servers,
    models,
    redact,
)
from .wiring import check_wiring

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta
    from types import TracebackType

    from aiohttp import ClientSession

    from .hub import Command
    from .wire import Actuator, DiscoveredHub, HubInfo, Reading, Server, ServerChange
    from .wiring import Wiring

_LOGGER = logging.getLogger(__name__)

DEFAULT_TIMEOUT = 10.0
MAX_ON = 4 * 3600.0
_MIN_TIMEOUT = 0.05
_MAX_TIMEOUT = 3600.0


class VegeHub:
    """One hub, at ``ip_address``: an IPv4 or IPv6 address or a host name, each with or without ``:port``.

    ``session`` is used and never closed; without one the object opens its own at the first call, and closes it when
    it is closed, dropped, or idle for ``idle_timeout`` seconds (1 to 3600, None for never). ``timeout`` is the
    deadline of each request in seconds, ``max_on`` the longest typed ON. With ``verify_mac`` a typed write needs a
    proof, not older than 60 s, that ``mac_address`` answers; without a MAC there is nothing to prove. ``wiring`` says
    what is plugged in: readings get their names and sensors from it.

    All methods raise errors of ``VegeHubError``'s tree only, each with the outcome of the whole call.
    """

    def __init__(
        self,
        ip_address: str,
        mac_address: str = "",
        unique_id: str = "",
        info: dict[str, Any] | None = None,
        session: ClientSession | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        idle_timeout: float | None = IDLE_TIMEOUT,
        verify_mac: bool = True,
        max_on: float | timedelta = MAX_ON,
        wiring: Wiring | None = None,
    ) -> None:
        self._ip_address = ip_address
        self._unique_id = unique_id
        self._max_on = check_seconds("max_on", max_on, MIN_ON, MAX_DURATION)
        self._wiring = check_wiring(wiring)
        self._has_warned = False
        self._connection = HubConnection(
            SessionOwner(session, idle_timeout=idle_timeout),
            Identity(HubAddress.parse(ip_address), mac_address),
            timeout=check_seconds("timeout", timeout, _MIN_TIMEOUT, _MAX_TIMEOUT),
            verify_mac=verify_mac,
            info=info,
        )
        self.entities: dict[Any, Any] = {}

    @classmethod
    def from_discovery(cls, discovered: DiscoveredHub, **options: Any) -> Self:
        """Return the object for a hub that was discovered; ``options`` are arguments of the constructor by name.

        A hub does not say its MAC when it announces itself: the first ``get_info`` or ``retrieve_mac_address`` reads it.
        """
        return cls(discovered.address, **options)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._ip_address} {self.mac_address or 'MAC unknown'}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # What is known without asking

    @property
    def ip_address(self) -> str:
        """The address as given; setting it ends calls that wait for the old one, and voids the proof of the MAC."""
        return self._ip_address

    @ip_address.setter
    def ip_address(self, ip_address: str) -> None:
        self._connection.move_to(HubAddress.parse(ip_address))
        self._ip_address = ip_address

    @property
    def mac_address(self) -> str:
        """The MAC as given, or 12 upper-case hex digits once read from the hub; "" until known."""
        return self._connection.identity.mac

    @property
    def unique_id(self) -> str:
        """The caller's own id."""
        return self._unique_id

    @property
    def url(self) -> str:
        """``http://`` and the address."""
        return self._connection.identity.address.url

    @property
    def max_on(self) -> float:
        """The longest typed ON in seconds."""
        return self._max_on

    @property
    def info(self) -> dict[str, Any] | None:
        """The hub's own ``hub`` object as last read, or as given; None if there is none."""
        return self._connection.info

    @property
    def num_sensors(self) -> int | None:
        """Number of wired analog inputs; None while unknown."""
        known: int | None = models.known_of(self.info, "num_sensors")
        return known

    @property
    def num_actuators(self) -> int | None:
        """Number of actuators; None while unknown."""
        known: int | None = models.known_of(self.info, "num_actuators")
        return known

    @property
    def sw_version(self) -> str | None:
        """The firmware's version; None while unknown."""
        known: str | None = models.known_of(self.info, "firmware")
        return known

    @property
    def is_ac(self) -> bool | None:
        """Whether the board is AC powered, and so has no battery slot; None while unknown."""
        known: bool | None = models.known_of(self.info, "is_ac")
        return known

    @property
    def layout(self) -> SlotLayout | None:
        """Which slot of an update is what, by ``info``; None while unknown."""
        sensors, actuators, is_ac = self.num_sensors, self.num_actuators, self.is_ac
        return (
            None if sensors is None or actuators is None or is_ac is None else SlotLayout.of(sensors, actuators, is_ac)
        )

    @property
    def wiring(self) -> Wiring:
        """What is plugged in, by name and number; without any names until it is given or set."""
        return self._wiring

    @wiring.setter
    def wiring(self, wiring: Wiring | None) -> None:
        self._wiring = check_wiring(wiring)

    # The session and the connection

    @property
    def connection(self) -> HubConnection:
        """What this object stands on. Internal to this library: it may change in any version."""
        return self._connection

    @property
    def owns_session(self) -> bool:
        """True while a session that this object opened is open."""
        return not self._connection.owner_is_lent and self._connection.owner.owns_session

    @property
    def session_open(self) -> bool:
        """True while there is an open session, given or owned."""
        return self._connection.owner.session_open

    @property
    def counters(self) -> dict[str, int]:
        """How often this object opened a session, made a request, and sent one again on a new connection."""
        return self._connection.counters

    @property
    def _session(self) -> ClientSession | None:
        return self._connection.owner.session

    @property
    def _owns_session(self) -> bool:
        return self.owns_session

    async def _get_session(self) -> ClientSession:
        return await self._connection.owner.get(self._connection.identity.host)

    async def close(self) -> None:
        """Close the session if this object opened it; may be repeated, and the object stays usable."""
        if not self._connection.owner_is_lent:
            await self._connection.owner.close()

    # Established names

    async def retrieve_mac_address(self, retries: int = 0) -> bool:
        """Read the hub's MAC into ``mac_address``; False when the reply has none.

        VegeHubMismatchError for a hub of a manager, whose MAC is that of its record, if another one answers.
        """
        reply = await self._connection.read(calls.INFO_GET, calls.MAC_SELECTOR, retries=retries)
        mac = "" if reply is None else self._connection.parse(calls.INFO_GET, models.reported_mac, reply)
        identity = self._connection.identity
        if identity.is_pinned and mac and identity.mac and mac != identity.expected:
            identity.void()
            raise VegeHubMismatchError(
                f"{identity.host}: another hub answers at this address: expected {identity.expected}, found {mac}; the "
                "record keeps its MAC",
                host=identity.host,
                expected=identity.expected,
                found=mac,
            )
        if mac:
            identity.mac = mac
        identity.saw(mac)
        return bool(mac)

    async def setup(self, api_key: str, server_address: str, retries: int = 0) -> bool:
        """Point the hub at a server, then read ``info`` anew, and ``mac_address`` if it is not known.

        An endpoint of ours that is there already is updated, never doubled. False when the hub's configuration has
        no known shape; then nothing was written.
        """
        check_server_url(server_address)
        check_retries(retries)
        async with self._connection.configuring():
            document = await self._get_device_config(retries)
            modified = self._modify_device_config(document, api_key, server_address)
            done = modified is not None and await self._set_device_config(modified, retries)
        try:
            self._connection.info = await self._get_device_info(retries)
        except VegeHubError as err:
            if not done:
                raise
            raise err.retold(f"the hub took the new configuration, but then: {err}", Outcome.UNKNOWN) from err
        if self.info is None and not self._has_warned:
            self._has_warned = True
            _LOGGER.warning("%s: the hub does not say how many inputs and actuators it has", self.url)
        return done

    async def set_actuator(self, state: int, slot: int, duration: int, retries: int = 0) -> bool:
        """Switch actuator ``slot`` (0-based) on (1) or off (0) for ``duration`` seconds (0 to 604800); True.

        After ``duration`` the hub's own schedule takes over again, after OFF too. A repeat (``retries``, or a resend
        on a new connection) starts the duration anew. OFF goes before all calls that wait for this hub.
        """
        state = check_state(state)
        seconds = check_seconds("duration", duration, 0, MAX_DURATION)
        command = self._connection.begin(proves=False, first=not state)
        await self._connection.switch(command, state, slot, seconds, retries=retries)
        return True

    async def actuator_states(self, retries: int = 0) -> list[dict[str, Any]]:
        """Read the hub's own list of actuators; VegeHubNoActuatorsError when the reply has none."""
        return self._actuators_of(await self._connection.read(calls.ACTUATORS_STATUS, retries=retries))

    async def request_update(self) -> bool:
        """Ask the hub to send an update to its servers now; True once it has agreed."""
        await self._connection.write(self._connection.begin(proves=False), calls.UPDATE_SEND)
        return True

    async def _get_device_info(self, retries: int = 0) -> dict[str, Any] | None:
        reply = await self._connection.read(calls.INFO_GET, calls.INFO_SELECTOR, retries=retries)
        self._connection.learn(reply)
        return None if reply is None else self._connection.parse(calls.INFO_GET, models.hub_object, reply)

    async def _get_device_config(self, retries: int = 0) -> dict[str, Any] | None:
        return await self._connection.read(calls.CONFIG_GET, calls.SERVER_SELECTOR, retries=retries)

    async def _set_device_config(self, config_data: dict[str, Any] | None, retries: int = 0) -> bool:
        if config_data is None:
            return False
        command = self._connection.begin(proves=False)
        await self._connection.write(command, calls.CONFIG_SET, config.sendable(config_data), retries=retries)
        return True

    def _modify_device_config(
        self, config_data: dict[str, Any] | None, new_key: str, server_url: str
    ) -> dict[str, Any] | None:
        return config.modify_device_config(config_data, new_key, server_url)

    # Reading

    async def get_info(self) -> HubInfo:
        """Read what the hub says of itself and its Wi-Fi; fills ``mac_address`` if it is not known."""
        reply = await self._connection.read(calls.INFO_GET, calls.INFO_SELECTOR)
        info = self._connection.parse(calls.INFO_GET, models.HubInfo.parse, reply)
        self._connection.learn(reply)
        return info

    async def get_actuators(self) -> tuple[Actuator, ...]:
        """Read the actuators; empty for a hub without any."""
        return self._connection.parse(calls.ACTUATORS_STATUS, models.parse_actuators, await self.actuator_states())

    async def get_readings(self) -> tuple[Reading, ...]:
        """Read the latest value of each input in volts, named by the wiring; slots are 1-based, as in updates."""
        reply = await self._connection.read(calls.SENSORS_LAST)
        readings = self._connection.parse(calls.SENSORS_LAST, models.parse_last_readings, reply)
        return self._wiring.apply(readings, self.layout)

    async def get_config(self, *sections: str) -> dict[str, Any]:
        """Read objects of the stored configuration, by default all that are known but ``wifi``.

        What the hub does not have is left out. ``wifi`` holds passwords in clear and must be named.
        """
        return await self._read_config(sections or calls.CONFIG_SECTIONS)

    async def list_servers(self) -> tuple[Server, ...]:
        """Read where the hub sends its updates."""
        document = await self._get_device_config()
        return self._connection.parse(calls.CONFIG_GET, list_servers, document)

    # Writing: each is proved to reach the hub with our MAC

    async def turn_on(self, slot: int, duration: float | timedelta, confirm: bool = False) -> None:
        """Switch actuator ``slot`` (0-based) on for ``duration``: seconds or a timedelta, 1 s to ``max_on``.

        ``confirm``: read the status back until it shows; VegeHubTimeoutError if it does not within ``timeout``.
        """
        seconds = check_seconds("duration", duration, MIN_ON, self._max_on)
        await self._switch(1, slot, seconds, confirm=confirm)

    async def turn_off(self, slot: int, hold: float | timedelta = 0, confirm: bool = False) -> None:
        """Switch actuator ``slot`` (0-based) off and keep the hub's schedule from it for ``hold`` seconds.

        It goes before all calls that wait for this hub. ``confirm``: read the status back until it shows;
        VegeHubTimeoutError if it does not within ``timeout``.
        """
        await self._switch(0, slot, check_seconds("hold", hold, 0, MAX_DURATION), confirm=confirm)

    def watering(self, slot: int, duration: float | timedelta) -> Watering:
        """Return a block (``async with``) in which actuator ``slot`` is on for ``duration`` at most.

        OFF is sent whenever ON may have arrived: on leaving, on error, on cancellation, and when ON itself was
        cancelled or its fate is unknown. OFF goes before all calls that wait for this hub, and is repeated for up to
        30 s, whatever it fails with and however often the caller is cancelled. The first failure is logged at ERROR,
        with the time at which the hub's own timer ends it; if OFF fails all the same, that is raised, or noted on the
        block's own error. One block per slot.

        Not promised: closing after SIGKILL or a power failure (only the hub's own timer does that, after
        ``duration``), after SIGTERM unless the program turns it into a cancellation, after the hub reboots, on a
        latching valve whose hub died, or against a second controller or the hub's own schedule: the last command wins.
        """
        return Watering(self._connection, check_slot(slot), check_seconds("duration", duration, MIN_ON, self._max_on))

    async def set_config(self, document: Mapping[str, Any]) -> None:
        """Replace whole objects of the configuration; fields left out of an object are lost.

        Objects that are null, and ``error``, are not sent. Redacted values are refused.
        """
        sent = check_document(document)
        async with self._connection.configuring():
            await self._write_config(self._connection.begin(), sent)

    async def configure_server(
        self, url: str, *, api_key: str = "", name: str = config.DEFAULT_NAME, dry_run: bool = False
    ) -> ServerChange:
        """Point the hub at a server that takes its updates, and return what that changed.

        An endpoint of ours that is there already is updated, never doubled; if nothing differs nothing is written.
        ``dry_run``: write nothing. VegeHubPayloadError when the configuration has no known shape.
        """
        check_server_url(url)
        async with self._connection.configuring():
            command = self._connection.begin(proves=not dry_run)
            document = await self._read_servers(command)
            change = self._connection.parse(
                calls.CONFIG_GET, lambda read: config.plan_server(read, url, api_key, name), document, command
            )
            if change is None:
                raise self._no_known_shape()
            if change.changed and not dry_run:
                await self._write_config(command, dict(change.document))
        return change

    async def remove_server(self, change: ServerChange) -> None:
        """Bring back what was there before ``change``; what others changed since stays."""
        async with self._connection.configuring():
            command = self._connection.begin()
            document = await self._read_servers(command)
            restored = self._connection.parse(
                calls.CONFIG_GET, lambda read: config.plan_removal(read, change), document, command
            )
            if restored is not None:
                await self._write_config(command, restored)

    async def backup_config(self, *sections: str) -> dict[str, Any]:
        """Read the configuration into a document that ``restore_config`` takes; it holds secrets, keep it private.

        ``wifi`` is in it only if named.
        """
        info = await self.get_info()
        document = await self.get_config(*sections)
        return backup_document(document, info.mac, info.firmware or "", datetime.now(UTC), wifi="wifi" in sections)

    async def restore_config(self, backup: Mapping[str, Any], *, wifi: bool = False) -> None:
        """Write a backup back, ``wifi`` only if asked for; what only the hub itself may write stays as it is.

        VegeHubValueError, with nothing sent, for what is no backup, for one with redacted values, and for one of a
        firmware that keeps its servers in another place. A backup of another hub is taken: it may replace a dead one.
        """
        wanted = restore_document(backup, {}, wifi=wifi)
        async with self._connection.configuring():
            command = self._connection.begin()
            await self._connection.prove(command)
            current = await self._read_config((*{**calls.SERVER_SELECTOR, **wanted},), command)
            await self._write_config(command, restore_document(backup, current, wifi=wifi))

    async def set_time(self, moment: datetime | None = None) -> None:
        """Set the hub's clock to ``moment`` (aware), by default to now."""
        if moment is not None and moment.tzinfo is None:
            raise VegeHubValueError("moment must be an aware datetime: a naive one does not say which zone it is in")
        epoch = round((moment or datetime.now(UTC)).timestamp())
        await self._connection.write(self._connection.begin(), calls.TIME_SET, calls.clock(epoch))

    async def reconnect_wifi(self) -> Outcome | None:
        """Have the hub join its Wi-Fi anew; None if it said so, UNKNOWN if the link dropped before it could."""
        try:
            await self._connection.write(self._connection.begin(), calls.WIFI_RECONNECT, calls.WIFI_RESTART)
        except (VegeHubConnectionError, VegeHubTimeoutError) as err:
            if err.outcome is not Outcome.UNKNOWN:
                raise
            return err.outcome
        return None

    async def diagnostics(self) -> dict[str, Any]:
        """Read everything a bug report needs, redacted and JSON-able; a read that fails is reported in its place."""
        reads: dict[str, Callable[[], Any]] = {
            "info": lambda: self._connection.read(calls.INFO_GET, calls.INFO_SELECTOR),
            "config": self.get_config,
            "actuators": lambda: self._connection.read(calls.ACTUATORS_STATUS),
            "readings": lambda: self._connection.read(calls.SENSORS_LAST),
        }
        report: dict[str, Any] = {"address": self._connection.identity.host, "mac": self.mac_address}
        for name, read in reads.items():
            try:
                report[name] = redact(await read())
            except VegeHubError as err:
                report[name] = {"failed": type(err).__name__, "text": str(err)}
        report["wiring"] = self._wiring.as_dict()
        report["counters"] = self.counters
        return report

    # Below the public methods

    async def _switch(self, state: int, slot: int, seconds: float, *, confirm: bool) -> None:
        command = self._connection.begin(first=not state)
        await self._connection.switch(command, state, slot, seconds)
        if confirm:
            await self._confirm(command, slot, is_on=bool(state))

    async def _confirm(self, command: Command, slot: int, *, is_on: bool) -> None:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._connection.timeout
        pause = 0.1
        while True:
            entries = self._actuators_of(await self._connection.read(calls.ACTUATORS_STATUS, command=command), command)
            found = self._connection.parse(
                calls.ACTUATORS_STATUS, lambda read: models.actuator_state(read, slot), entries, command
            )
            if found is is_on:
                return
            if loop.time() + pause > give_up_at:
                host = command.identity.host
                raise VegeHubTimeoutError(
                    f"{host}: the hub took the command, but actuator {slot} was not reported "
                    f"{'on' if is_on else 'off'} within {self._connection.timeout:g} s",
                    host=host,
                    outcome=command.outcome,
                )
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)

    def _actuators_of(self, reply: dict[str, Any] | None, command: Command | None = None) -> list[dict[str, Any]]:
        actuators = None if reply is None else models.actuator_list(reply)
        if actuators is None:
            host = self._connection.identity.host
            what = "expected a list of actuators, got none; has this hub any?"
            raise VegeHubNoActuatorsError(
                f"{host}: {calls.ACTUATORS_STATUS}: {what if command is None else command.tell(what, Outcome.NOT_SENT)}",
                host=host,
                outcome=Outcome.NOT_SENT if command is None else command.outcome,
            )
        return actuators

    async def _read_config(self, sections: tuple[str, ...], command: Command | None = None) -> dict[str, Any]:
        reply = await self._connection.read(calls.CONFIG_GET, calls.selector(*sections), command=command)
        return self._connection.parse(calls.CONFIG_GET, config.sendable, reply, command)

    async def _read_servers(self, command: Command) -> dict[str, Any] | None:
        await self._connection.prove(command)
        return await self._connection.read(calls.CONFIG_GET, calls.SERVER_SELECTOR, command=command)

    async def _write_config(self, command: Command, document: dict[str, Any]) -> None:
        if path := contains_redacted(document):
            host = self._connection.identity.host
            raise VegeHubValueError(f"{host}: {path} is redacted; nothing was sent", host=host)
        await self._connection.write(command, calls.CONFIG_SET, document)

    def _no_known_shape(self) -> VegeHubPayloadError:
        host = self._connection.identity.host
        return VegeHubPayloadError(
            f"{host}: {calls.CONFIG_GET}: expected a list of endpoints, or a hub object and an api_key; "
            "nothing was written",
            host=host,
            outcome=Outcome.NOT_SENT,
        )
