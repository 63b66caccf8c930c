"""``HubConnection``: how one hub is reached and commanded; what `VegeHub`, watering, the queue and the fleet stand on.

A public call that only reads is one ``read``. One that changes something begins a `Command` and hands it to each
``prove``, ``read`` and ``write`` of its own. Where a request goes, and which MAC has to answer there, is bound when the
call begins.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from vegehub.exceptions import (
    Outcome,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubMismatchError,
    VegeHubPayloadError,
    VegeHubResponseError,
    VegeHubTimeoutError,
    VegeHubValueError,
)
from vegehub.wire import calls, models

from .arguments import check_retries, check_slot
from .command import Command
from .failures import HTTP_OK, Failure
from .session import SessionOwner
from .transport import Request, Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from vegehub.wire import Call, HubAddress

    from .identity import Identity
    from .turn import Turn

_Parsed = TypeVar("_Parsed")

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0


class HubConnection:
    """Requests and commands to one hub. Internal: programs use `VegeHub`, which has one as ``connection``."""

    def __init__(
        self,
        owner: SessionOwner,
        identity: Identity,
        *,
        timeout: float,
        verify_mac: bool = True,
        info: dict[str, Any] | None = None,
    ) -> None:
        self.identity = identity
        """Where the hub is and which one it is; another object once the address has changed."""
        self.info = info
        """The hub's own ``hub`` object as last read, or as given; None if there is none."""
        self.verify_mac = verify_mac
        self.owner_is_lent = False
        self.on_answer: Callable[[Call, Any, Any], object] | None = None
        """Called with call, payload and reply whenever the hub has answered a call well, or taken it."""
        self._transport = Transport(owner, timeout)

    # Who and where

    @property
    def owner(self) -> SessionOwner:
        """Who opened the session, and closes it."""
        return self._transport.owner

    @property
    def timeout(self) -> float:
        """Seconds within which a request must be answered once its turn has come."""
        return self._transport.timeout

    @property
    def counters(self) -> dict[str, int]:
        """How often a session was opened, a request made, and one sent again on a new connection."""
        return {
            "sessions_opened": self.owner.sessions_opened,
            "calls": self._transport.calls,
            "resends": self._transport.resends,
        }

    def borrow(self, owner: SessionOwner) -> None:
        """Use the session of ``owner``, which somebody else closes."""
        self._transport.owner = owner
        self.owner_is_lent = True

    def with_own_session(self) -> HubConnection:
        """Return a connection to the same hub that opens a session of its own; its owner is to be closed."""
        own = HubConnection(
            SessionOwner(), self.identity, timeout=self.timeout, verify_mac=self.verify_mac, info=self.info
        )
        own.on_answer = self.on_answer
        return own

    def move_to(self, address: HubAddress) -> None:
        """Send the calls that begin from now on to ``address``; those that wait are ended, and nothing is proved there."""
        if address != self.identity.address:
            self.identity = self.identity.moved_to(address)
        self.identity.void()

    def finish_first(self, task: asyncio.Task[Any]) -> None:
        """Let the session stay open until ``task`` is done."""
        self.owner.finish_first(task)

    # Requests

    def begin(
        self,
        *,
        proves: bool = True,
        first: bool = False,
        follows: bool = False,
        patience: Callable[[], float] | None = None,
        remaining: Callable[[], float | None] | None = None,
    ) -> Command:
        """Begin a call that changes something, for the hub that is meant now.

        ``proves``: its writes need the proof that the MAC, where one is known, answers at the address. ``first``: its
        writes stand before all that waits for this hub. ``follows``: each attempt goes to the address of that moment.
        ``patience``: seconds it may wait for its turn, by default ``timeout``. ``remaining``: seconds for which it is
        still wanted, None for ever.
        """
        proves = proves and self.verify_mac
        return Command(
            self.identity,
            self.identity.expected if proves else "",
            proves=proves,
            first=first,
            follows=follows,
            patience=patience,
            remaining=remaining,
        )

    def read(
        self, call: Call, payload: Any = None, *, retries: int = 0, command: Command | None = None
    ) -> Awaitable[dict[str, Any] | None]:
        """Return the JSON object that the hub answers, None if it answers with nothing.

        ``command`` is the one that this read belongs to: its outcome is that of the error.
        """
        identity = self.identity if command is None else self._where(command)
        return self._request(Request(identity, call, payload, command), retries)

    def write(self, command: Command, call: Call, payload: Any = None, *, retries: int = 0) -> Awaitable[Any]:
        """Send what ``command`` is about, after the proof of the MAC where it needs one, in one turn."""
        return self._request(Request(self._where(command), call, payload, command, writes=True), retries)

    async def prove(self, command: Command) -> None:
        """Make sure, by one read at most, that the hub with the command's MAC answers; VegeHubMismatchError if not."""
        identity = self._where(command)
        if command.mac and not identity.is_proved(command.mac):
            await self._attempt(Request(identity, calls.INFO_GET, calls.MAC_SELECTOR, command), only_proves=True)

    async def switch(self, command: Command, state: int, slot: int, seconds: float, *, retries: int = 0) -> None:
        """Switch actuator ``slot`` (0-based), which is looked up first where it is beyond the known count."""
        check_slot(slot)
        count = self._known_count()
        if count is not None and slot >= count:
            await self.prove(command)
            self.learn(await self.read(calls.INFO_GET, calls.INFO_SELECTOR, command=command))
            count = self._known_count()
            if count is not None and slot >= count:
                host = command.identity.host
                what = f"there is no actuator {slot}: this hub has {count}, counted from 0"
                raise VegeHubValueError(
                    f"{host}: {command.tell(what, Outcome.NOT_SENT)}", host=host, outcome=command.outcome
                )
        payload = calls.actuator_command(state, slot, seconds)
        await self.write(command, calls.ACTUATORS_SET, payload, retries=retries)

    @asynccontextmanager
    async def configuring(self) -> AsyncIterator[None]:
        """Hold the configuration of this hub: one change at a time, from reading to writing.

        VegeHubTimeoutError if another one holds it for longer than ``timeout``. A change of address while it waits ends
        the call.
        """
        identity = self.identity
        lock = identity.turn.configuration
        host = identity.host
        try:
            async with asyncio.timeout(self.timeout):
                await lock.acquire()
        except TimeoutError as err:
            raise VegeHubTimeoutError(
                f"{host}: not sent, another change of its configuration was under way for {self.timeout:g} s",
                host=host,
                outcome=Outcome.NOT_SENT,
            ) from err
        try:
            if identity is not self.identity:
                self._end_moved(Request(identity, calls.CONFIG_GET))
            yield
        finally:
            lock.release()

    # What replies tell

    def parse(self, call: Call, parse: Callable[[Any], _Parsed], reply: Any, command: Command | None = None) -> _Parsed:
        """Parse a reply; an error of shape gets the hub, the call and the command it is about."""
        try:
            return parse(reply)
        except VegeHubPayloadError as err:
            identity = self.identity if command is None else command.identity
            identity.void()
            failure = Failure(VegeHubPayloadError, str(err), status=HTTP_OK, path=err.path)
            raise Request(identity, call, command=command).failed(failure) from err

    def learn(self, reply: Any) -> None:
        """Take what a reply to ``info/get`` tells: info, and the MAC, which fills an empty one and never replaces one."""
        if reply is None:
            return
        mac = self.parse(calls.INFO_GET, models.reported_mac, reply)
        is_ours = self.identity.may_be(mac)
        self.identity.saw(mac)
        if is_ours:  # what a stranger at our address says of itself is not about our hub
            self.info = self.parse(calls.INFO_GET, models.hub_object, reply)

    def _known_count(self) -> int | None:
        count: int | None = models.known_of(self.info, "num_actuators")
        return count

    # One request after the other

    def _where(self, command: Command) -> Identity:
        if command.follows:
            command.identity = self.identity
            # The MAC is bound once; where it was not known when the call began, as soon as it is.
            if command.proves and not command.mac:
                command.mac = self.identity.expected
        return command.identity

    def _request(self, request: Request, retries: int) -> Awaitable[Any]:
        return self._attempts(request, retries) if check_retries(retries) else self._attempt(request)

    async def _attempts(self, request: Request, retries: int) -> Any:
        attempt = 0
        while True:
            try:
                return await self._attempt(request)
            except VegeHubError as err:
                if attempt >= retries or request.identity is not self.identity or not _worth_repeating(err):
                    raise
            await asyncio.sleep(_pause(attempt))
            attempt += 1

    async def _attempt(self, request: Request, *, only_proves: bool = False) -> Any:
        identity, command = request.identity, request.command
        turn = identity.turn
        if command is not None:
            command.last = Outcome.NOT_SENT
        if not turn.try_take():
            await self._wait_for(turn, request)
        try:
            if command is not None and command.mac and (request.writes or only_proves):
                await self._prove(turn, request, command)
                if only_proves:
                    return None
            if identity is not self.identity:
                self._end_moved(request)
            reply = await self._transport.exchange(turn, request)
            if identity is not self.identity and not request.writes:
                self._end_moved(request)  # what another address has answered says nothing of the hub at this one
            if self.on_answer is not None:
                self.on_answer(request.call, request.payload, reply)
            return reply
        except BaseException:
            identity.void()
            raise
        finally:
            turn.give_back()

    async def _wait_for(self, turn: Turn, request: Request) -> None:
        command = request.command
        patience = self.timeout if command is None or command.patience is None else command.patience()
        try:
            await turn.take(patience, first=command is not None and command.first)
        except TimeoutError as err:
            what = f"other calls to this hub kept it busy for {patience:.3g} s"
            failure = Failure(VegeHubTimeoutError, what, Outcome.NOT_SENT, may_be_asleep=True)
            raise request.failed(failure) from err

    async def _prove(self, turn: Turn, request: Request, command: Command) -> None:
        """Prove the MAC in the turn that ``request`` has, unless it was proved within the last 60 s."""
        identity = request.identity
        if identity.is_proved(command.mac):
            return
        if identity is not self.identity:
            self._end_moved(request)
        try:
            reply = await self._transport.exchange(turn, Request(identity, calls.INFO_GET, calls.MAC_SELECTOR))
            found = self.parse(calls.INFO_GET, models.reported_mac, reply)
        except VegeHubError as err:
            if not command.needs_proof:
                return
            what = f"it could not be proved that hub {command.mac} is still at this address: {err}"
            raise err.retold(f"{identity.host}: {command.tell(what, Outcome.NOT_SENT)}", command.outcome) from err
        identity.saw(found)
        if found != command.mac:
            what = (
                f"another hub answers at this address: expected {command.mac}, found {found or 'one that gives no MAC'}; "
                "nothing was written to it. Find the new address of your hub, or give the MAC of the new one"
            )
            raise VegeHubMismatchError(
                f"{identity.host}: {command.tell(what, Outcome.NOT_SENT)}",
                host=identity.host,
                outcome=command.outcome,
                expected=command.mac,
                found=found,
            )

    def _end_moved(self, request: Request) -> NoReturn:
        what = f"the address of this hub was changed to {self.identity.host} during the call; call again"
        raise request.failed(Failure(VegeHubConnectionError, what, Outcome.NOT_SENT))


def _worth_repeating(err: VegeHubError) -> bool:
    if isinstance(err, VegeHubResponseError):
        return err.status is not None and err.status != HTTP_OK
    return isinstance(err, (VegeHubConnectionError, VegeHubTimeoutError))


def _pause(attempt: int) -> float:
    """Return the seconds before the next attempt: 0.25, doubling, at most 5, with a quarter of jitter either way."""
    base = _FIRST_PAUSE * 2.0 ** min(attempt, 10)
    return min(_LONGEST_PAUSE, base * random.uniform(0.75, 1.25))  # noqa: S311 - spreads load, hides nothing
