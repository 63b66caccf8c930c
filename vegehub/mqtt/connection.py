"""One connection to the broker, on which every message is acknowledged, refused, or known to be lost."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import Outcome, VegeHubConnectionError, VegeHubError, VegeHubValueError

from .messages import Message
from .turn import OFFLINE

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from .client import Client, Incoming
    from .settings import BrokerSettings, TlsSettings

_ACK_TIMEOUT = 10.0
_NOT_AUTHORIZED = "Not authorized"  # as paho writes reason code 0x87


class VegeHubBrokerError(VegeHubConnectionError):
    """The broker was not reached, did not let us in, or the connection to it was lost."""


class VegeHubPublishError(VegeHubError):
    """The broker refused a message; repeating it as it is may not help."""

    outcome = Outcome.REJECTED
    not_authorized = False
    """Whether we may not publish to this topic at all, whatever the message."""


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
            error = VegeHubPublishError(f"broker {self._host}: refused a message to {message.topic}: {reason}")
            error.not_authorized = reason == _NOT_AUTHORIZED
            raise error

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
        text = f"broker {host}: not connected: {_reason(err)}{_advice(err)}"
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


async def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """Load what TLS needs, off the loop; VegeHubBrokerError names the files."""
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
        raise first_of(errors) from None


def first_of(errors: BaseExceptionGroup[Any]) -> BaseException:
    """Return the error to report of a group: a lost connection says more than what it made fail."""
    chosen: BaseExceptionGroup[Any] = errors.subgroup(VegeHubBrokerError) or errors
    first = chosen.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first


def _advice(err: Exception) -> str:
    """Return which keys of the settings to look at."""
    text = str(err).lower()
    if "not authorized" in text or "password" in text:
        return "; look at broker.username and broker.password"
    return "; look at broker.tls" if "certificate" in text else ""


def _reason(err: BaseException) -> str:
    return str(err).strip().rstrip(".") or type(err).__name__
