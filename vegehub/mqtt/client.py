"""aiomqtt with what a bridge needs beyond it: the broker's answer to each message, and an inbox that cannot overflow."""

from __future__ import annotations

import asyncio
import logging
import socket
import traceback
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import aiomqtt
from aiomqtt import MqttError
from paho.mqtt.client import MQTT_ERR_SUCCESS
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from .commands import MAX_COMMAND
from .topics import COMMAND_ENDING

if TYPE_CHECKING:
    import ssl

    from .messages import Message
    from .settings import BrokerSettings

__all__ = ["Client", "Incoming", "MqttError"]

_LOGGER = logging.getLogger(__name__)
# What paho says of every packet and every broken connection; what is worth it is logged by us, once.
_PACKETS = logging.getLogger(f"{__name__}.packets")
_PACKETS.setLevel(logging.CRITICAL)

MAX_PACKET = 16 * 2**20
"""Bytes of the largest packet that the broker may send us; it drops larger ones."""
MAX_WAITING = 1000
"""Commands that may wait to be carried out."""
_INFLIGHT = 20
_FIRST_FAILURE = 0x80
_GOODBYE = 0.5
_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that came in; of a payload no more is kept than shows that it is too long."""

    topic: str
    payload: bytes
    retain: bool
    received_at: datetime
    """When it came, aware: what it says of time counts from then, however long it has to wait."""


class _Inbox(asyncio.Queue[aiomqtt.Message]):
    """Keeps a bounded number of messages, each of a bounded length, whoever sends them.

    Commands are dropped first: who is in charge hangs on what is said of bridges.
    """

    dropped = 0
    received_at = datetime.fromtimestamp(0, UTC)
    """When the message came that was taken out last."""

    def put_nowait(self, item: aiomqtt.Message) -> None:
        if self.qsize() >= (MAX_WAITING if item.topic.value.endswith(COMMAND_ENDING) else 2 * MAX_WAITING):
            self.dropped += 1
            if self.dropped == 1:
                _LOGGER.warning("commands come faster than they are carried out: some are dropped, without an answer")
            return
        if len(item.payload) > MAX_COMMAND:
            item.payload = bytes(item.payload[: MAX_COMMAND + 1])
        super().put_nowait(item)

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._times: deque[datetime] = deque()

    def _put(self, item: aiomqtt.Message) -> None:
        self._times.append(datetime.now(UTC))
        super()._put(item)

    def _get(self) -> aiomqtt.Message:
        self.received_at = self._times.popleft()
        return super()._get()


class Client(aiomqtt.Client):
    """One connection, begun clean and left clean: nothing that was meant for an earlier one ever comes."""

    def __init__(
        self, settings: BrokerSettings, client_id: str, will: Message | None, tls: ssl.SSLContext | None
    ) -> None:
        wishes = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho has no types here
        wishes.MaximumPacketSize = MAX_PACKET
        super().__init__(
            settings.host,
            settings.port,
            username=settings.username,
            password=settings.password,
            identifier=client_id,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=True,
            keepalive=settings.keepalive,
            bind_address=settings.bind_address,
            will=None if will is None else aiomqtt.Will(will.topic, will.payload, qos=1, retain=True),
            properties=wishes,
            tls_context=tls,
            queue_type=_Inbox,
            # Messages are small and many: one must not wait until the broker has confirmed the packet before it.
            socket_options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),
            logger=_PACKETS,
        )
        self._farewell = ReasonCode(
            PacketTypes.DISCONNECT, "Normal disconnection" if will is None else "Disconnect with will message"
        )
        self._acks: dict[int, asyncio.Future[Any]] = {}
        self._slots = asyncio.Semaphore(_INFLIGHT)
        self._largest: int | None = None
        self._attempted = asyncio.Event()
        self._entering = False

    async def enter(self) -> None:
        """Connect; MqttError, OSError or ValueError if that fails. Leaves nothing open then, nor when cancelled."""
        self._entering = True
        entering = asyncio.ensure_future(self.__aenter__())
        try:
            await asyncio.shield(entering)
        except BaseException:
            self._entering = False
            # The thread that connects cannot be stopped, and what it opens has to be closed.
            await self._attempted.wait()
            entering.cancel()
            await asyncio.wait((entering,))
            if not entering.cancelled():
                # Seen: cancelled as well, we have something else to raise.
                entering.exception()
            if self._connected.cancelled():
                # aiomqtt looks at it once more, when the connection ends.
                self._connected = asyncio.get_running_loop().create_future()
            await self.leave()
            raise

    async def leave(self) -> None:
        """Disconnect, and have the broker give our last will; without waiting long for one that does not answer.

        Only the broker knows whether it was told that we are there: so it is the one to say that we are gone.
        """
        self.forget()
        if not self._disconnected.done() and self._client.disconnect(self._farewell) == MQTT_ERR_SUCCESS:
            await asyncio.wait((self._disconnected,), timeout=_GOODBYE)
        if self._client.socket() is not None:
            # A broker that takes nothing has not even taken our goodbye.
            self._client._sock_close()  # noqa: SLF001 - paho closes only once it is written
        for future in (self._connected, self._disconnected):
            if future.done() and not future.cancelled():
                # Seen: who used the connection has found it out by a call of its own.
                future.exception()

    async def send(self, topic: str, payload: str, *, retain: bool, timeout: float) -> str:
        """Publish with QoS 1 and wait for the answer: "" for taken, else why it was refused.

        MqttError: the connection is lost, or there is no answer within ``timeout`` seconds.
        """
        content = payload.encode(errors="replace")
        if self._largest is not None and len(content) + len(topic.encode()) > self._largest - 64:
            # Sending it all the same would cost the connection, again and again.
            return f"{len(content)} bytes are more than it takes"
        async with self._slots:
            if self._disconnected.done():
                # paho would take it, and keep it for a connection that never comes.
                raise MqttError("not connected")
            # aiomqtt's own publish() does not tell what the broker answered.
            info = self._client.publish(topic, content, 1, retain)
            if info.rc != MQTT_ERR_SUCCESS:
                raise MqttError("not connected")
            answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._acks[info.mid] = answer
            try:
                async with asyncio.timeout(timeout):
                    reason = await answer
            except TimeoutError:
                raise MqttError(f"no answer within {timeout:g} s") from None
            finally:
                self._acks.pop(info.mid, None)
        if reason is None:
            raise MqttError("connection lost")
        return str(reason) if reason.value >= _FIRST_FAILURE else ""

    async def listen(self, topics: list[tuple[str, bool]]) -> list[str]:
        """Subscribe with QoS 1; return the topics that are not granted."""
        wanted = [(topic, SubscribeOptions(qos=1, retainAsPublished=keep)) for topic, keep in topics]
        answers = await self.subscribe(wanted)
        values = [answer if isinstance(answer, int) else answer.value for answer in answers]
        return [topic for (topic, _), value in zip(topics, values, strict=True) if value >= _FIRST_FAILURE]

    async def receive(self) -> Incoming:
        """Wait for the next message; MqttError once the connection is lost."""
        try:
            message = await anext(self.messages)
        finally:
            if self._disconnected.done():
                self.forget()
        payload = message.payload if isinstance(message.payload, bytes) else b""
        return Incoming(message.topic.value, payload, message.retain, cast("_Inbox", self._queue).received_at)

    def forget(self) -> None:
        """Tell those who wait for an answer that none will come."""
        for answer in self._acks.values():
            if not answer.done():
                answer.set_result(None)

    def _client_connect(self) -> None:
        try:
            super()._client_connect()
        except OSError as err:
            _close_sockets(err)
            raise
        finally:
            self._loop.call_soon_threadsafe(self._attempted.set)

    def _on_connect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Properties | None = None
    ) -> None:
        self._largest = getattr(properties, "MaximumPacketSize", None)
        most = getattr(properties, "ReceiveMaximum", _INFLIGHT)
        self._slots = asyncio.Semaphore(min(_INFLIGHT, most))
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_socket_register_write(self, client: Any, userdata: Any, sock: Any) -> None:  # noqa: ARG002 - paho's signature
        def register() -> None:
            # aiomqtt does not look whether the socket is still open, nor whose its number is by then.
            if sock.fileno() >= 0 and client.socket() is sock:
                self._loop.add_writer(sock.fileno(), self._write)

        self._loop.call_soon_threadsafe(register)

    def _write(self) -> None:
        try:
            self._client.loop_write()
        except Exception as err:  # noqa: BLE001 - whatever it is, the connection is gone
            if not self._disconnected.done():
                self._disconnected.set_exception(err)

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Properties | None = None
    ) -> None:
        if self._entering and not self._connected.done():
            # aiomqtt would wait for an answer that cannot come any more.
            self._connected.set_exception(MqttError(f"the broker closed the connection ({reason_code})"))
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:  # noqa: ARG002 - paho's signature
        if _QUICK_ACK is not None and (sock := client.socket()) is not None:
            # A broker that sends each answer by itself, as Mosquitto does unless told otherwise, waits with the next one
            # for the confirmation of this, which Linux would hold back for 40 ms: ten messages of an update wait for it.
            sock.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
        answer = self._acks.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(reason_code)


def _close_sockets(err: BaseException) -> None:
    """Close what paho forgets: the socket of a connection whose TLS handshake failed."""
    for frame, _ in traceback.walk_tb(err.__traceback__):
        for value in frame.f_locals.values():
            if isinstance(value, socket.socket):
                value.close()
