"""Each fault of the simulated hub, seen byte by byte by a client that is not ours."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from vegehub.simulator import SimulatedHub, listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from vegehub.simulator import Faults

STATUS = b"GET /api/actuators/status HTTP/1.1\r\nHost: hub\r\n\r\n"
ON = b'{"target":0,"duration":60,"state":1}'
SWITCH_ON = b"POST /api/actuators/set HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(ON), ON)
BODY = b'{"error":"success"}'


@dataclass
class Answer:
    data: bytes = b""
    packets: list[bytes] = field(default_factory=list)
    ending: str = "silence"
    """How the connection ended: silence, close or reset."""

    @property
    def head(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[0].lower()

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]


class Wire:
    """One raw connection to a hub."""

    def __init__(self, hub: SimulatedHub, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._hub = hub
        self._reader = reader
        self._writer = writer

    def send(self, request: bytes) -> None:
        self._writer.write(request)

    async def ask(self, request: bytes) -> Answer:
        """Send, and collect what comes until the connection ends or the hub has nothing more to do."""
        answer = Answer()
        collecting = asyncio.create_task(self._collect(answer))
        self.send(request)
        await self._hub.advance(0)
        collecting.cancel()
        await asyncio.wait([collecting])
        return answer

    async def _collect(self, answer: Answer) -> None:
        try:
            while packet := await self._reader.read(1 << 22):
                answer.packets.append(packet)
                answer.data += packet
        except ConnectionError:
            answer.ending = "reset"
        else:
            answer.ending = "close"


@asynccontextmanager
async def wire(hub: SimulatedHub) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection(hub.host, hub.port)
    try:
        yield Wire(hub, reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def ask(hub: SimulatedHub, request: bytes = SWITCH_ON) -> Answer:
    async with wire(hub) as connection:
        return await connection.ask(request)


async def until(condition: Callable[[], Any]) -> None:
    while not condition():  # noqa: ASYNC110 - there is no event for what a hub has done
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Case:
    name: str
    switch_on: Callable[[Faults], None]
    data: Callable[[Answer], bool]
    ending: str = "silence"
    executed: bool = True


def whole(answer: Answer) -> bool:
    return answer.head.startswith(b"http/1.1 200 ok") and answer.body == BODY


CASES = [
    Case("latency", lambda f: f.latency(0.01), whole),
    Case("reset_before_headers", lambda f: f.reset_before_headers(), lambda a: a.data == b"", "reset", executed=False),
    Case("reset_before_headers", lambda f: f.reset_before_headers(after_execution=True), lambda a: a.data == b"", "reset"),
    Case("reset_in_headers", lambda f: f.reset_in_headers(), lambda a: len(a.data) > 0 and b"\r\n\r\n" not in a.data, "reset"),
    Case("reset_in_headers", lambda f: f.reset_in_headers(after_execution=False), lambda a: b"\r\n\r\n" not in a.data, "reset", executed=False),
    Case("unreachable_afterwards", lambda f: f.unreachable_afterwards(30), lambda a: a.data == b"", "reset"),
    Case("unreachable_afterwards", lambda f: f.unreachable_afterwards(30, after_execution=False), lambda a: a.data == b"", "reset", executed=False),
    Case("refused_in_words", lambda f: f.refused_in_words(), lambda a: b" 200 " in a.head and a.body.endswith(b'"cur_ma":nan}'), executed=False),
    Case("refused_in_words", lambda f: f.refused_in_words(b'{"error":"d\xe9faut"}\0', after_execution=True), lambda a: a.body == b'{"error":"d\xe9faut"}\0'),
    Case("reset_in_body", lambda f: f.reset_in_body(), lambda a: a.body == BODY[:9], "reset"),
    Case("reset_in_body", lambda f: f.reset_in_body(keep=0), lambda a: a.data.endswith(b"\r\n\r\n"), "reset"),
    Case("truncate_body", lambda f: f.truncate_body(), lambda a: a.body == BODY[:9], "close"),
    Case("truncate_body", lambda f: f.truncate_body(keep=0), lambda a: a.data.endswith(b"\r\n\r\n"), "close"),
    Case("stall_headers", lambda f: f.stall_headers(), lambda a: len(a.data) > 0 and b"\r\n\r\n" not in a.data),
    Case("stall_body", lambda f: f.stall_body(keep=3), lambda a: a.body == BODY[:3]),
    Case("never_answer", lambda f: f.never_answer(), lambda a: a.data == b"", executed=False),
    Case("never_answer", lambda f: f.never_answer(after_execution=True), lambda a: a.data == b""),
    Case("drop_reply", lambda f: f.drop_reply(), lambda a: a.data == b"", "close"),
    Case("drop_reply", lambda f: f.drop_reply(after_execution=False), lambda a: a.data == b"", "close", executed=False),
    Case("split_body", lambda f: f.split_body(0.02), lambda a: whole(a) and a.packets[0].endswith(b"\r\n\r\n")),
    Case("late_last_chunk", lambda f: f.late_last_chunk(0.02), lambda a: a.packets[1:] == [b"0\r\n\r\n"]),
    Case("trickle", lambda f: f.trickle(0), whole),
    Case("status", lambda f: f.status(503), lambda a: b"503 service unavailable" in a.head and a.body == b'{"error":"failed"}', executed=False),
    Case("status", lambda f: f.status(599, after_execution=True), lambda a: a.head.startswith(b"http/1.1 599 unknown")),
    Case("error_in_200", lambda f: f.error_in_200("busy"), lambda a: b" 200 " in a.head and a.body == b'{"error":"busy"}', executed=False),
    Case("redirect", lambda f: f.redirect("/other"), lambda a: b" 302 " in a.head and b"location: /other" in a.head, executed=False),
    Case("not_json", lambda f: f.not_json(), lambda a: b"text/html" in a.head and a.body.startswith(b"<html>")),
    Case("wrong_json", lambda f: f.wrong_json([1]), lambda a: a.body == b"[1]"),
    Case("wrong_json", lambda f: f.wrong_json(b"NaN"), lambda a: a.body == b"NaN"),
    Case("not_http", lambda f: f.not_http(b"hello"), lambda a: a.data == b"hello", "close"),
    Case("content_type", lambda f: f.content_type("text/plain"), lambda a: b"content-type: text/plain" in a.head),
    Case("content_type", lambda f: f.content_type(None), lambda a: b"content-type" not in a.head),
    Case("oversized_body", lambda f: f.oversized_body(50_000), lambda a: len(a.body) == 50_000 and json.loads(a.body) == {"error": "success"}),
    Case("no_content_length", lambda f: f.no_content_length(), lambda a: b"content-length" not in a.head and a.body == BODY, "close"),
    Case("chunked", lambda f: f.chunked(), lambda a: a.body == b"13\r\n" + BODY + b"\r\n0\r\n\r\n"),
    Case("http_1_0", lambda f: f.http_1_0(), lambda a: a.head.startswith(b"http/1.0 200") and a.body == BODY, "close"),
    Case("connection_close", lambda f: f.connection_close(), lambda a: b"connection: close" in a.head and a.body == BODY, "close"),
    Case("close_silently", lambda f: f.close_silently(), lambda a: b"connection: keep-alive" in a.head and a.body == BODY, "close"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_fault_does_what_its_name_says_and_is_gone_after_clear(case: Case) -> None:
    async with SimulatedHub() as hub:
        case.switch_on(hub.faults)
        assert hub.faults.active == (case.name,)
        answer = await ask(hub)
        assert case.data(answer), answer
        assert answer.ending == case.ending
        assert len(hub.actuators[0].commands) == case.executed
        assert len(hub.requests) == 1
        hub.faults.clear()
        assert whole(await ask(hub))


async def test_an_empty_reply_breaks_off_as_well() -> None:
    async with SimulatedHub() as hub:
        hub.faults.truncate_body()
        answer = await ask(hub, b"GET /api/update/send HTTP/1.1\r\n\r\n")
        assert b"content-length: 19" in answer.head
        assert answer.body == BODY[:9]


async def test_a_chunked_empty_reply_is_complete() -> None:
    async with SimulatedHub() as hub:
        hub.faults.chunked()
        answer = await ask(hub, b"GET /api/update/send HTTP/1.1\r\n\r\n")
        assert answer.body == b"0\r\n\r\n"


async def test_a_fault_is_good_for_so_many_requests() -> None:
    async with SimulatedHub() as hub, wire(hub) as connection:
        hub.faults.status(500, times=2)
        answers = [await connection.ask(STATUS) for _ in range(3)]
        assert [answer.head.split()[1] for answer in answers] == [b"500", b"500", b"200"]
        assert hub.faults.active == ()


async def test_a_fault_may_concern_one_path() -> None:
    async with SimulatedHub() as hub, wire(hub) as connection:
        hub.faults.status(500, times=1, path="/api/actuators/set")
        assert b" 200 " in (await connection.ask(STATUS)).head
        assert b" 500 " in (await connection.ask(SWITCH_ON)).head


async def test_faults_add_up() -> None:
    async with SimulatedHub() as hub:
        hub.faults.split_body(0.01)
        hub.faults.truncate_body(keep=4)
        hub.faults.error_in_200("busy")
        answer = await ask(hub)
        assert answer.packets[0].endswith(b"\r\n\r\n")
        assert answer.body == b'{"er'


async def test_one_kind_of_fault_can_be_cleared() -> None:
    async with SimulatedHub() as hub:
        hub.faults.chunked()
        hub.faults.http_1_0()
        hub.faults.clear("chunked")
        assert hub.faults.active == ("http_1_0",)


async def test_a_late_command_is_executed_though_nobody_waits_any_more() -> None:
    async with SimulatedHub() as hub:
        hub.faults.latency(0.1, before_execution=True)
        async with wire(hub) as connection:
            connection.send(SWITCH_ON)
            await until(lambda: hub.requests)
            assert hub.actuators[0].commands == []
        await hub.advance(0)
        assert len(hub.actuators[0].commands) == 1


@pytest.mark.parametrize("before_execution", [True, False])
async def test_a_client_that_is_gone_when_a_late_reply_comes_leaves_no_connection(before_execution: bool) -> None:
    async with SimulatedHub() as hub:
        hub.faults.latency(0.1, before_execution=before_execution)
        async with wire(hub) as connection:
            connection.send(SWITCH_ON)
            await until(lambda: hub.requests)
        await hub.advance(0)
        assert hub.open_connections == 0


async def test_a_late_reply_comes_after_the_command_was_executed() -> None:
    async with SimulatedHub() as hub:
        hub.faults.latency(30)
        async with wire(hub) as connection:
            connection.send(SWITCH_ON)
            await until(lambda: hub.actuators[0].commands)


@pytest.mark.parametrize(("reset", "ending"), [(True, "reset"), (False, "close")])
async def test_a_connection_may_die_when_it_is_used_again(reset: bool, ending: str) -> None:
    async with SimulatedHub() as hub:
        hub.faults.close_silently(reset=reset, on_reuse=True)
        async with wire(hub) as connection:
            first = await connection.ask(SWITCH_ON)
            assert (whole(first), first.ending) == (True, "silence")
            second = await connection.ask(SWITCH_ON)
        assert (second.data, second.ending) == (b"", ending)
        assert len(hub.requests) == len(hub.actuators[0].commands) == 1
        await hub.advance(0)
        assert hub.open_connections == 0


async def test_an_unreachable_hub_has_lost_every_connection_and_refuses_new_ones_for_a_while() -> None:
    async with SimulatedHub() as hub, wire(hub) as idle, wire(hub) as connection:
        assert whole(await idle.ask(SWITCH_ON))
        hub.faults.unreachable_afterwards(0.2, times=1)
        assert (await connection.ask(SWITCH_ON)).ending == "reset"
        assert len(hub.actuators[0].commands) == 2
        assert hub.open_connections == 0
        assert hub.faults.active == ("unreachable",)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(hub.host, hub.port)
        await until(lambda: not hub.faults.active)
        assert whole(await ask(hub))


async def test_a_hub_that_stops_while_it_is_unreachable_leaves_no_timer() -> None:
    async with SimulatedHub() as hub:
        hub.faults.unreachable_afterwards(30)
        assert (await ask(hub)).ending == "reset"
        assert hub.faults.is_on("unreachable")
    assert not hub.faults.is_on("unreachable")


async def test_another_hub_at_the_address_executes_and_answers_in_place_of_this_one() -> None:
    ask_mac = b'POST /api/info/get HTTP/1.1\r\nContent-Length: 11\r\n\r\n{"wifi":[]}'
    async with SimulatedHub() as hub, wire(hub) as connection:
        other = SimulatedHub(seed=7)
        hub.faults.another_hub(other, times=2)
        assert whole(await connection.ask(SWITCH_ON))
        assert other.mac[-2:].encode() in (await connection.ask(ask_mac)).body
        assert (len(hub.requests), len(hub.executed), len(hub.actuators[0].commands)) == (0, 0, 0)
        assert (len(other.requests), len(other.executed), len(other.actuators[0].commands)) == (2, 2, 1)
        assert hub.mac[-2:].encode() in (await connection.ask(ask_mac)).body


async def test_another_hub_may_be_any() -> None:
    ask_mac = b'POST /api/info/get HTTP/1.1\r\nContent-Length: 11\r\n\r\n{"wifi":[]}'
    async with SimulatedHub() as hub, wire(hub) as connection:
        hub.faults.another_hub()
        assert whole(await connection.ask(SWITCH_ON))
        assert hub.actuators[0].commands == []
        strangers = json.loads((await connection.ask(ask_mac)).body)["wifi"]["mac_addr"]
        assert strangers.replace(":", "") != hub.mac


async def test_a_hub_knows_what_it_carried_out_from_what_arrived() -> None:
    async with SimulatedHub() as hub, wire(hub) as connection:
        hub.faults.status(400, times=1)
        await connection.ask(SWITCH_ON)
        await connection.ask(b"POST /api/actuators/set HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
        assert (len(hub.requests), hub.executed) == (2, [])
        await connection.ask(SWITCH_ON)
        assert hub.executed == hub.requests[2:]


async def test_a_fault_may_be_chosen_when_a_request_arrives() -> None:
    async with SimulatedHub() as hub, wire(hub) as connection:

        def third(path: str, seen: list[str] = []) -> None:  # noqa: B006 - remembers
            seen.append(path)
            if len(seen) == 3:
                hub.faults.status(500, times=1)

        hub.faults.on_request = third
        answers = [await connection.ask(STATUS) for _ in range(4)]
        assert [answer.head.split()[1] for answer in answers] == [b"200", b"200", b"500", b"200"]


async def test_a_refusing_hub_keeps_its_connections() -> None:
    async with SimulatedHub() as hub, wire(hub) as connection:
        assert whole(await connection.ask(SWITCH_ON))
        hub.faults.refuse()
        assert whole(await connection.ask(SWITCH_ON))


@pytest.mark.parametrize("platform", ["linux", "darwin"])
async def test_a_refusing_hub_keeps_its_port(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(listener.sys, "platform", platform)
    async with SimulatedHub() as hub:
        port = hub.port
        hub.faults.refuse()
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(hub.host, hub.port)
        with socket.socket() as other, pytest.raises(OSError, match="in use") as caught:
            other.bind((hub.host, hub.port))
        assert caught.value.errno == errno.EADDRINUSE
        hub.faults.clear()
        assert whole(await ask(hub))
        assert hub.port == port


async def connects(hub: SimulatedHub, patience: float = 0.2) -> bool:
    try:
        async with asyncio.timeout(patience):
            _, writer = await asyncio.open_connection(hub.host, hub.port)
    except TimeoutError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def test_behind_a_full_backlog_connections_hang() -> None:
    async with SimulatedHub() as hub:
        for _ in range(2):
            hub.faults.full_backlog()
            assert not await connects(hub)
            assert not await connects(hub)
            assert hub.connections_accepted == 0
            hub.faults.clear()
        assert await connects(hub)


async def test_a_client_that_waits_behind_a_full_backlog_is_served_when_it_clears() -> None:
    async with SimulatedHub() as hub:
        hub.faults.full_backlog()
        waiting = asyncio.create_task(connects(hub, 20))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        hub.faults.clear()
        assert await waiting


@pytest.mark.parametrize("platform", ["linux", "darwin"])
async def test_a_client_that_was_in_the_queue_when_the_backlog_filled_is_served_later(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    # On other systems than Linux only a connection that hangs shows that the backlog is full.
    monkeypatch.setattr(listener.sys, "platform", platform)
    async with SimulatedHub() as hub:
        with socket.socket() as client:
            client.setblocking(False)
            # The loop has no turn in between: the connection waits in the queue and is not accepted yet.
            with contextlib.suppress(BlockingIOError):
                client.connect((hub.host, hub.port))
            hub.faults.full_backlog()
            assert not await connects(hub)
            hub.faults.clear()
            await hub.advance(0)
            assert hub.connections_accepted == 1


@pytest.mark.parametrize("turns", range(4))
async def test_a_connection_that_is_just_being_accepted_ends_with_the_hub(turns: int) -> None:
    hub = SimulatedHub()
    await hub.start()
    with socket.socket() as client:
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect((hub.host, hub.port))
        for _ in range(turns):
            await asyncio.sleep(0)
        await hub.stop()
        assert hub.open_connections == 0
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1), 5) == b""


async def test_a_connection_that_is_just_being_accepted_is_lost_with_the_others() -> None:
    async with SimulatedHub() as hub:
        with socket.socket() as client:
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect((hub.host, hub.port))
            await until(lambda: hub.connections_accepted)
            await hub.reboot()
            assert hub.open_connections == 0


async def test_a_hub_can_be_stopped_in_every_state_of_its_listener() -> None:
    for fault in ("refuse", "full_backlog"):
        hub = SimulatedHub()
        await hub.start()
        getattr(hub.faults, fault)()
        await hub.stop()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(hub.host, hub.port)
        await hub.start()
        assert hub.faults.active == (fault,)
        await hub.stop()


async def test_a_stalled_connection_is_gone_when_the_client_closes_it() -> None:
    async with SimulatedHub() as hub:
        hub.faults.never_answer()
        async with wire(hub) as connection:
            await connection.ask(STATUS)
            assert hub.open_connections == 1
            assert (await connection.ask(STATUS)).data == b""
            assert len(hub.requests) == 1
        await hub.advance(0)
        assert hub.open_connections == 0


def test_every_fault_says_in_its_docstring_what_it_does() -> None:
    hub = SimulatedHub()
    names = [name for name in dir(hub.faults) if not name.startswith("_")]
    methods: list[Any] = [getattr(hub.faults, name) for name in names]
    hooks = (hub.faults.on_change, hub.faults.on_request)
    assert all(method.__doc__ for method in methods if callable(method) and method not in hooks)
