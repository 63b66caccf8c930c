"""The names of ``VegeHub`` that existing programs use, with their established results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

from .exceptions import VegeHubNoActuatorsError, VegeHubPayloadError, VegeHubValueError
from .hub.arguments import MAX_DURATION, MIN_ON, check_retries, check_seconds, check_slot, check_state
from .hub.proof import MacProof
from .hub.session import IDLE_TIMEOUT, SessionOwner
from .hub.transport import Transport
from .wire import calls, config, models
from .wire.address import HubAddress
from .wire.server_url import check_server_url

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from types import TracebackType

    from aiohttp import ClientSession

_Parsed = TypeVar("_Parsed")

DEFAULT_TIMEOUT = 10.0
MAX_ON = 4 * 3600.0
_MIN_TIMEOUT = 0.05
_MAX_TIMEOUT = 3600.0


class EstablishedHub:
    """The constructor, the session and the established names of ``VegeHub``; see there."""

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
    ) -> None:
        self._ip_address = ip_address
        self._mac_address = mac_address
        self._unique_id = unique_id
        self._info = info
        self._verify_mac = verify_mac
        self._max_on = check_seconds("max_on", max_on, MIN_ON, MAX_DURATION)
        self._owner = SessionOwner(session, idle_timeout=idle_timeout)
        self._owner_is_lent = False
        self._transport = Transport(
            self._owner,
            HubAddress.parse(ip_address),
            check_seconds("timeout", timeout, _MIN_TIMEOUT, _MAX_TIMEOUT),
        )
        self._proof = MacProof(self._transport)
        self.entities: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._ip_address} {self._mac_address or 'MAC unknown'}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # What is known without asking

    @property
    def ip_address(self) -> str:
        """The address as given; setting it voids the proof of the MAC."""
        return self._ip_address

    @ip_address.setter
    def ip_address(self, ip_address: str) -> None:
        self._transport.move_to(HubAddress.parse(ip_address))
        self._ip_address = ip_address
        self._proof.void()

    @property
    def mac_address(self) -> str:
        """The MAC as given, or 12 upper-case hex digits once read from the hub; "" until known."""
        return self._mac_address

    @property
    def unique_id(self) -> str:
        """The caller's own id."""
        return self._unique_id

    @property
    def url(self) -> str:
        """``http://`` and the address."""
        return self._transport.address.url

    @property
    def info(self) -> dict[str, Any] | None:
        """The hub's own ``hub`` object as last read by ``setup`` or ``get_info``, or as given; None if there is none."""
        return self._info

    @property
    def num_sensors(self) -> int | None:
        """Number of wired analog inputs; None while unknown."""
        known: int | None = models.known_of(self._info, "num_sensors")
        return known

    @property
    def num_actuators(self) -> int | None:
        """Number of actuators; None while unknown."""
        known: int | None = models.known_of(self._info, "num_actuators")
        return known

    @property
    def sw_version(self) -> str | None:
        """The firmware's version; None while unknown."""
        known: str | None = models.known_of(self._info, "firmware")
        return known

    @property
    def is_ac(self) -> bool | None:
        """Whether the board is AC powered, and so has no battery slot; None while unknown."""
        known: bool | None = models.known_of(self._info, "is_ac")
        return known

    # The session

    @property
    def owns_session(self) -> bool:
        """True while a session that this object opened is open."""
        return not self._owner_is_lent and self._owner.owns_session

    @property
    def session_open(self) -> bool:
        """True while there is an open session, given or owned."""
        return self._owner.session_open

    @property
    def counters(self) -> dict[str, int]:
        """How often this object opened a session, made a call, and sent one again on a new connection."""
        return {
            "sessions_opened": self._owner.sessions_opened,
            "calls": self._transport.calls,
            "resends": self._transport.resends,
        }

    @property
    def _session(self) -> ClientSession | None:
        return self._owner.session

    @property
    def _owns_session(self) -> bool:
        return self.owns_session

    async def _get_session(self) -> ClientSession:
        return await self._owner.get(self._transport.host)

    async def close(self) -> None:
        """Close the session if this object opened it; may be repeated, and the object stays usable."""
        if not self._owner_is_lent:
            await self._owner.close()

    def _borrow(self, owner: SessionOwner) -> None:
        """Use the session of ``owner``, which somebody else closes."""
        self._owner = self._transport.owner = owner
        self._owner_is_lent = True

    def _without_session(self) -> Self:
        """Return an object for the same hub that will open a session of its own."""
        return type(self)(
            self._ip_address,
            self._mac_address,
            self._unique_id,
            self._info,
            timeout=self._transport.timeout,
            verify_mac=self._verify_mac,
            max_on=self._max_on,
        )

    # Established names

    async def retrieve_mac_address(self, retries: int = 0) -> bool:
        """Read the hub's MAC into ``mac_address``; False when the reply has none."""
        reply = await self._call(calls.INFO_GET, calls.MAC_SELECTOR, retries)
        return self._take_mac(reply)

    async def setup(self, api_key: str, server_address: str, retries: int = 0) -> bool:
        """Point the hub at a server, then read ``info`` and ``mac_address`` anew.

        An endpoint of ours that is there already is updated, never doubled. False when the hub's configuration has
        no known shape; then nothing was written.
        """
        check_server_url(server_address)
        check_retries(retries)
        document = await self._get_device_config(retries)
        modified = self._modify_device_config(document, api_key, server_address)
        done = modified is not None and await self._set_device_config(modified, retries)
        self._info = await self._get_device_info(retries)
        return done

    async def set_actuator(self, state: int, slot: int, duration: int, retries: int = 0) -> bool:
        """Switch actuator ``slot`` (0-based) on (1) or off (0) for ``duration`` seconds (0 to 604800); True.

        After ``duration`` the hub's own schedule takes over again, after OFF too. A repeat (``retries``, or a resend
        on a new connection) starts the duration anew.
        """
        state = check_state(state)
        seconds = check_seconds("duration", duration, 0, MAX_DURATION)
        check_retries(retries)
        await self._check_slot(slot)
        await self._call(calls.ACTUATORS_SET, calls.actuator_command(state, slot, seconds), retries)
        return True

    async def actuator_states(self, retries: int = 0) -> list[dict[str, Any]]:
        """Read the hub's own list of actuators; VegeHubNoActuatorsError when the reply has none."""
        reply = await self._call(calls.ACTUATORS_STATUS, None, retries)
        actuators = models.actuator_list(reply)
        if actuators is None:
            raise VegeHubNoActuatorsError(
                f"{self._host}: {calls.ACTUATORS_STATUS}: expected a list of actuators, got none; has this hub any?",
                host=self._host,
            )
        return actuators

    async def request_update(self) -> bool:
        """Ask the hub to send an update to its servers now; True once it has agreed."""
        await self._call(calls.UPDATE_SEND)
        return True

    async def _get_device_info(self, retries: int = 0) -> dict[str, Any] | None:
        reply = await self._call(calls.INFO_GET, calls.INFO_SELECTOR, retries)
        self._take_mac(reply)
        return self._read(calls.INFO_GET, models.hub_object, reply)

    async def _get_device_config(self, retries: int = 0) -> dict[str, Any] | None:
        reply: dict[str, Any] = await self._call(calls.CONFIG_GET, calls.SERVER_SELECTOR, retries)
        return reply

    async def _set_device_config(self, config_data: dict[str, Any] | None, retries: int = 0) -> bool:
        if config_data is None:
            return False
        await self._call(calls.CONFIG_SET, config.sendable(config_data), retries)
        return True

    def _modify_device_config(
        self, config_data: dict[str, Any] | None, new_key: str, server_url: str
    ) -> dict[str, Any] | None:
        return config.modify_device_config(config_data, new_key, server_url)

    # What all methods share

    @property
    def _host(self) -> str:
        return self._transport.host

    async def _call(self, call: calls.Call, payload: Any = None, retries: int = 0) -> Any:
        check_retries(retries)
        try:
            return await self._transport.call(call, payload, retries)
        except BaseException:
            self._proof.void()
            raise

    def _read(self, call: calls.Call, parse: Callable[[Any], _Parsed], reply: Any) -> _Parsed:
        """Parse a reply; an error of shape gets the hub and the call it is about."""
        try:
            return parse(reply)
        except VegeHubPayloadError as err:
            self._proof.void()
            raise VegeHubPayloadError(f"{self._host}: {call}: {err}", host=self._host, path=err.path) from err

    def _take_mac(self, reply: Any) -> bool:
        mac = self._read(calls.INFO_GET, models.reported_mac, reply)
        if not mac:
            return False
        self._mac_address = mac
        self._proof.confirm(mac)
        return True

    async def _check_slot(self, slot: int) -> None:
        check_slot(slot)
        count = self.num_actuators
        if count is None or slot < count:
            return
        self._info = await self._get_device_info()
        count = self.num_actuators
        if count is not None and slot >= count:
            raise VegeHubValueError(
                f"{self._host}: there is no actuator {slot}: this hub has {count}, counted from 0; nothing was sent",
                host=self._host,
            )
