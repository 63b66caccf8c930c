"""The connection to the broker: kept up, with every message acknowledged, or known to be lost."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import Outcome, VegeHubConnectionError, VegeHubError, VegeHubValueError

from .messages import Message
from .turn import OFFLINE

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from .client import Client, Incoming
    from .settings import BrokerSettings, TlsSettings

_LOGGER = logging.getLogger(__name__)

_FIRST_PAUSE = 0.5
_ACK_TIMEOUT = 10.0
_HEARTBEATS = 3  # within a keepalive


class VegeHubBrokerError(VegeHubConnectionError):
    """The broker was not reached, did not let us in, or the connection to it was lost."""


class VegeHubPublishError(VegeHubError):
    """The broker refused a message; repeating it as it is may not help."""

    outcome = Outcome.REJECTED


class Broker:
    """Connects, and connects again whenever the connection is lost, in growing pauses.

    ``will`` is the topic on which the broker says that we are gone. ``begin(connection)`` is awaited on each new
    connection, before anybody else gets it from ``connection()``; ``incoming`` with every message, one at a time;
    ``status()`` gives a message that is published several times within a keepalive: if it is not acknowledged in time,
    the connection counts as lost, earlier than the broker gives us up. ``ended`` is called when a connection is lost.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        client_id: str,
        will: str,
        begin: Callable[[Connection], Awaitable[None]],
        incoming: Callable[[Incoming], Awaitable[None]],
        status: Callable[[], Awaitable[Message]],
        ended: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._will = will
        self._begin = begin
        self._incoming = incoming
        self._status = status
        self._ended = ended
        self._current: Connection | None = None
        self._changed = asyncio.Event()
        self._failing = False
        self.connects = 0
        """How often the broker was reached so far."""

    @property
    def connected(self) -> bool:
        """Whether there is a connection that can be used."""
        return self._current is not None and not self._current.lost

    async def connection(self) -> Connection:
        """Wait until there is a connection that can be used, and return it."""
        while (current := self._current) is None or current.lost:
            self._changed.clear()
            await self._changed.wait()
        return current

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        pause = _FIRST_PAUSE
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                await self._serve()
            except VegeHubBrokerError as err:
                self._note_failure(err)
            if loop.time() - begun > self._settings.keepalive:
                pause = _FIRST_PAUSE
            # Many bridges that lost the same broker must not all come back at one moment.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            pause = min(pause * 2, self._settings.reconnect_max)

    async def _serve(self) -> None:
        """Connect, and serve the connection until it is lost: VegeHubBrokerError."""
        tls = None if self._settings.tls is None else await _tls_context(self._settings.tls)
        async with opened(self._settings, self._client_id, self._will, tls) as connection:
            self.connects += 1
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(connection.read(self._incoming))
                    group.create_task(connection.watch())
                    group.create_task(self._use(connection))
            except BaseExceptionGroup as group_error:
                lost = group_error.subgroup(VegeHubBrokerError)
                if lost is None or group_error.split(VegeHubBrokerError)[1] is not None:
                    raise
                raise _first(lost) from None
            finally:
                self._current = None
                self._ended()

    async def _use(self, connection: Connection) -> None:
        await self._begin(connection)
        self._current = connection
        self._changed.set()
        if self._failing or self.connects == 1:
            self._failing = False
            _LOGGER.info("connected to the broker %s:%d", self._settings.host, self._settings.port)
        beat = self._settings.keepalive / _HEARTBEATS
        while True:
            with suppress(VegeHubPublishError):
                await connection.publish(await self._status(), timeout=beat * 2)
            await asyncio.sleep(beat)

    def _note_failure(self, err: VegeHubBrokerError) -> None:
        level = logging.DEBUG if self._failing else logging.WARNING
        self._failing = True
        _LOGGER.log(level, "%s; trying again, updates are kept meanwhile", err)


class Connection:
    """One connection to the broker; each method raises VegeHubBrokerError once it is lost."""

    def __init__(self, client: Client, host: str) -> None:
        self._client = client
        self._host = host
        self._broken: asyncio.Future[VegeHubBrokerError] = asyncio.get_running_loop().create_future()

    @property
    def lost(self) -> bool:
        """Whether it is known to be lost."""
        return self._broken.done()

    async def publish(self, message: Message, *, timeout: float = _ACK_TIMEOUT) -> None:
        """Publish with QoS 1; return when the broker has acknowledged it. VegeHubPublishError if it refused."""
        try:
            reason = await self._client.send(message.topic, message.payload, retain=message.retain, timeout=timeout)
        except Exception as err:
            raise self._lost(err) from err
        if reason:
            raise VegeHubPublishError(f"broker {self._host}: refused a message to {message.topic}: {reason}")

    async def publish_all(self, messages: Iterable[Message]) -> None:
        """Publish messages, in their order, without waiting for one before the next is sent; the first error is raised."""
        async with _gathering() as group:
            for message in messages:
                group.create_task(self.publish(message))

    async def subscribe(self, topics: Iterable[tuple[str, bool]]) -> list[str]:
        """Subscribe with QoS 1 to all topics at once, in their order; return those that the broker does not grant.

        Each comes with a flag: whether messages keep their mark of being retained also when they come live.
        """
        try:
            return await self._client.listen(list(topics))
        except Exception as err:
            raise self._lost(err) from err

    async def read(self, incoming: Callable[[Incoming], Awaitable[None]]) -> None:
        """Hand over what comes in, one message at a time, until the connection is lost."""
        while True:
            try:
                message = await self._client.receive()
            except Exception as err:
                raise self._lost(err) from err
            await incoming(message)

    async def watch(self) -> None:
        """Wait until a call has found out that the connection is lost, and raise that."""
        raise await self._broken

    def _lost(self, err: Exception) -> VegeHubBrokerError:
        lost = VegeHubBrokerError(f"broker {self._host}: connection lost: {_reason(err)}", host=self._host)
        if not self._broken.done():
            self._broken.set_result(lost)
        return lost


@asynccontextmanager
async def opened(
    settings: BrokerSettings, client_id: str, will: str | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Connection]:
    """Connect to the broker as long as the context lasts; VegeHubBrokerError if that fails."""
    client_type, error_type = load_client()
    host = f"{settings.host}:{settings.port}"
    client = client_type(settings, client_id, None if will is None else Message(will, OFFLINE), tls)
    try:
        await client.enter()
    except (error_type, ValueError, OSError) as err:
        text = f"broker {host}: not connected: {_reason(err)}"
        raise VegeHubBrokerError(text, host=host, outcome=Outcome.NOT_SENT) from err
    try:
        yield Connection(client, host)
    finally:
        await client.leave()


def load_client() -> tuple[type[Client], type[Exception]]:
    """Load aiomqtt; return the class of connections and that of its errors. VegeHubValueError if it is missing."""
    try:
        from .client import Client, MqttError  # noqa: PLC0415 - loads aiomqtt, which only a bridge needs
    except ModuleNotFoundError as err:
        raise VegeHubValueError('aiomqtt is missing; install it with: pip install "vegehub[mqtt]"') from err
    return Client, MqttError


async def check_broker(settings: BrokerSettings, client_id: str) -> None:
    """Connect once, under a name of its own, and leave again; VegeHubBrokerError says why that failed."""
    tls = None if settings.tls is None else await _tls_context(settings.tls)
    async with opened(settings, f"{client_id}-check", None, tls):
        pass


async def _tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """Load what TLS needs, off the loop."""
    try:
        return await asyncio.get_running_loop().run_in_executor(None, _load_tls, settings)
    except OSError as err:
        # Also an ssl.SSLError; neither quotes what is in the files.
        named = ", ".join(str(path) for path in (settings.ca_file, settings.cert_file, settings.key_file) if path)
        text = f"broker.tls: {named or 'the certificates of the system'}: {_reason(err)}"
        raise VegeHubBrokerError(text, outcome=Outcome.NOT_SENT) from err


def _load_tls(settings: TlsSettings) -> ssl.SSLContext:
    import ssl  # noqa: PLC0415 - only for those who use TLS

    context = ssl.create_default_context(cafile=settings.ca_file)
    if settings.cert_file is not None:
        # An encrypted key would have the process ask for its password on a terminal that nobody watches.
        context.load_cert_chain(settings.cert_file, settings.key_file, password="")
    return context


@asynccontextmanager
async def _gathering() -> AsyncIterator[asyncio.TaskGroup]:
    """Make a task group whose first failure is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        raise _first(errors) from None


def _first(errors: BaseExceptionGroup[Any]) -> BaseException:
    # A lost connection says more than what it made fail.
    chosen: BaseExceptionGroup[Any] = errors.subgroup(VegeHubBrokerError) or errors
    first = chosen.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _reason(err: BaseException) -> str:
    return str(err).strip().rstrip(".") or type(err).__name__
