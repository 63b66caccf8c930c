"""A receiver takes what is good, answers everything else with 4xx, and lets nothing disturb a subscriber."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import logging
import runpy
import socket
import sqlite3
import threading
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from vegehub.exceptions import Outcome, VegeHubConnectionError, VegeHubPayloadError, VegeHubValueError
from vegehub.receiving.journal import Journal
from vegehub.receiving.receiver import UpdateReceiver
from vegehub.receiving.subscriptions import Stream, Subscribers
from vegehub.wire.updates import Update, parse_update

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from vegehub.receiving.intake import Refusal

CORPUS = runpy.run_path(str(Path(__file__).parents[1] / "data" / "broken_updates.py"))
A, B = "7C9EBD112233", "7C9EBD445566"
HOST = "127.0.0.1"
TOKEN = "a-token-of-the-tests"
TIME = "2025-01-15T16:51:23Z"
NOW = datetime(2025, 6, 1, tzinfo=UTC)


def push(volts: float = 1.5, *, hub: str = A, **fields: Any) -> bytes:
    sensors = [{"slot": 1, "samples": [{"v": volts, "t": TIME}]}]
    return json.dumps({"mac": hub, "sensors": sensors, **fields}).encode()


def volts(update: Update) -> float:
    return update.readings[1].samples[0].value


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - any condition, not one that announces itself
            await asyncio.sleep(0.002)


class Hub:
    """The hub's side of the wire."""

    def __init__(self, receiver: UpdateReceiver, session: aiohttp.ClientSession) -> None:
        self.receiver = receiver
        self.session = session

    async def post(
        self, body: Any = None, path: str | None = None, method: str = "POST", **options: Any
    ) -> tuple[int, Any]:
        """Send a request; return the status and the JSON of the answer, which every answer must have."""
        url = f"http://{HOST}:{self.receiver.port}{self.receiver.path if path is None else path}"
        async with self.session.request(method, url, data=push() if body is None else body, **options) as response:
            assert response.content_type == "application/json"
            return response.status, json.loads(await response.read() or b"null")

    @asynccontextmanager
    async def raw(self, *parts: bytes) -> AsyncIterator[asyncio.StreamReader]:
        """Send bytes, and leave the connection open for the context; yield what comes back."""
        reader, writer = await asyncio.open_connection(HOST, self.receiver.port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.01)
            yield reader
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def head(self, *headers: str) -> bytes:
        return "\r\n".join([f"POST {self.receiver.path} HTTP/1.1", f"Host: {HOST}", *headers, "", ""]).encode()


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Hub]:
    receiver = UpdateReceiver(**{"token": TOKEN, "max_rate": None, "wall_clock": NOW.timestamp, **options})
    async with receiver.serve(HOST, 0), aiohttp.ClientSession() as session:
        yield Hub(receiver, session)


def noise(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a log reader would take for a failure of this program."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR or record.exc_info]


# Taking updates in


async def test_an_update_is_acknowledged_and_handed_to_the_subscribers() -> None:
    taken: list[Update] = []
    async with serving() as hub:
        hub.receiver.subscribe(taken.append)
        status, answer = await hub.post(push(api_key="K"))
        assert (status, answer) == (200, {"status": "ok"})
        (update,) = taken
        assert (update.mac, volts(update), update.api_key, update.received_at) == (A, 1.5, "K", NOW)
        assert hub.receiver.counters.accepted == 1


async def test_the_answer_never_starts_a_synchronisation_of_the_configuration() -> None:
    async with serving() as hub:
        for body in (push(), b"{}", push(who_updated=2)):
            _, answer = await hub.post(body)
            assert "who_updated" not in answer


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/octet-stream", "application/x-www-form-urlencoded", "x"]
)
async def test_the_content_type_makes_no_difference(content_type: str) -> None:
    async with serving() as hub:
        status, _ = await hub.post(push(), headers={"Content-Type": content_type})
        assert status == 200


async def test_chunked_and_compressed_bodies_are_taken() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield push()[:10]
        yield push()[10:]

    async with serving() as hub:
        assert (await hub.post(chunks()))[0] == 200
        assert (await hub.post(gzip.compress(push()), headers={"Content-Encoding": "gzip"}))[0] == 200
        assert (await hub.post(push(), expect100=True))[0] == 200


async def test_a_mounted_receiver_works_in_any_application() -> None:
    taken: list[Update] = []
    async with UpdateReceiver() as receiver:
        receiver.subscribe(taken.append)
        app = web.Application()
        app.add_routes(receiver.routes("/vegehub/"))
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, 0).start()
            port = runner.addresses[0][1]
            async with aiohttp.ClientSession() as session:
                url = f"http://{HOST}:{port}{receiver.path}"
                for method, body, expected in (("POST", push(), 200), ("POST", b"{}", 400), ("GET", None, 405)):
                    async with session.request(method, url, data=body) as response:
                        await response.read()
                        assert response.status == expected
        finally:
            await runner.cleanup()
    assert receiver.path.startswith("/vegehub/")
    assert len(taken) == 1


async def test_a_mounted_receiver_leaves_no_traceback_in_the_applications_log(caplog: pytest.LogCaptureFixture) -> None:
    async with UpdateReceiver(token=TOKEN, body_timeout=0.1) as receiver:
        app = web.Application()
        app.add_routes(receiver.routes())
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, 0).start()
            for headers, body in (
                (b"Content-Length: 5000\r\nContent-Encoding: gzip", b"this is not gzip " * 100),
                (b"Content-Length: 5000", b'{"mac":'),
                (b"Transfer-Encoding: chunked", b"5\r\n{}"),
                (b"Content-Length: 9000000", b" " * 100_000),
            ):
                reader, writer = await asyncio.open_connection(HOST, runner.addresses[0][1])
                writer.write(
                    b"POST " + receiver.path.encode() + b" HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n\r\n" + body
                )
                assert b" 4" in await reader.readline()
                writer.write(body)
                await asyncio.sleep(0.01)
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()
        finally:
            await runner.cleanup()
    assert noise(caplog) == []


# The secret path


async def test_the_path_is_random_and_long() -> None:
    paths = {UpdateReceiver().path for _ in range(3)}
    assert len(paths) == 3
    assert min(map(len, paths)) > 20


async def test_the_path_is_kept_with_its_token() -> None:
    assert UpdateReceiver(token=TOKEN).path == f"/{TOKEN}"


@pytest.mark.parametrize(
    "token", ["", "short", "with/a/slash/in/it/which/ends/it", "x" * 300, "umlaut-\u00fc-umlaut-umlaut"]
)
async def test_a_token_that_would_not_keep_others_out_is_refused(token: str) -> None:
    with pytest.raises(VegeHubValueError, match="token"):
        UpdateReceiver(token=token)


async def test_the_path_is_in_no_log_and_no_repr(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving() as hub:
        await hub.post(push())
        await hub.post(b"{}")
        await hub.post(method="GET")
        await hub.post(path=f"/{TOKEN}/x")
        async with hub.raw(b"POST " + hub.receiver.path.encode() + b" HTTP/9.9.9\r\n\r\n") as reader:
            await reader.read()
        assert TOKEN not in repr(hub.receiver)
        assert caplog.records
        assert not [
            record for record in caplog.records if TOKEN in record.getMessage() or TOKEN in str(record.exc_info)
        ]


# Refusals


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"path": "/"}, 404),
        ({"path": f"/{TOKEN}x"}, 404),
        ({"path": f"/{TOKEN}/"}, 404),
        ({"path": "/", "method": "GET"}, 404),
        ({"method": "GET"}, 405),
        ({"method": "PUT"}, 405),
        ({"method": "DELETE"}, 405),
        ({"body": b"{}"}, 400),
        ({"body": b'{"mac":"7C9EBD112233","sensors":7}'}, 400),
    ],
)
async def test_bad_input_is_refused_and_counted(request_: dict[str, Any], status: int) -> None:
    refusals: list[Refusal] = []
    async with serving() as hub:
        hub.receiver.on_refused(refusals.append)
        answer = await hub.post(**request_)
        assert answer[0] == status
        assert answer[1]["error"]
        assert [(refusal.status, refusal.remote) for refusal in refusals] == [(status, HOST)]
        assert (hub.receiver.counters.refused, hub.receiver.counters.accepted) == ({status: 1}, 0)
        assert (await hub.post())[0] == 200


async def test_the_answer_names_the_field_that_is_wrong() -> None:
    refusals: list[Refusal] = []
    async with serving() as hub:
        hub.receiver.on_refused(refusals.append)
        _, answer = await hub.post(b'{"mac":"7C9EBD112233","sensors":"SECRET"}')
        assert answer["path"] == refusals[0].path == "sensors"
        assert "SECRET" not in str(answer)


async def test_a_method_that_is_not_allowed_is_told_which_is() -> None:
    async with serving() as hub, hub.session.get(f"http://{HOST}:{hub.receiver.port}{hub.receiver.path}") as response:
        await response.read()
        assert response.headers["Allow"] == "POST"


async def test_hubs_that_are_not_on_the_list_are_refused_and_not_kept(tmp_path: Path) -> None:
    refusals: list[Refusal] = []
    old = b'{"key":"shed","updates":[]}'
    async with (
        Journal(tmp_path / "journal.db") as journal,
        serving(journal=journal, allowed=["7c:9e:bd:11:22:33"]) as hub,
    ):
        hub.receiver.on_refused(refusals.append)
        assert (await hub.post(push(hub=A)))[0] == 200
        for body in (push(hub=B), push(hub=""), old):
            assert (await hub.post(body))[0] == 403
        assert [refusal.mac for refusal in refusals] == [B, "", ""]
        assert hub.receiver.counters.refused == {403: 3}
        assert (await journal.counts()).pending == 1
        hub.receiver.allowed = [B, parse_update(old).hub_key]
        assert (await hub.post(push(hub=B)))[0] == 200
        assert (await hub.post(old))[0] == 200
        assert (await hub.post(push(hub=A)))[0] == 403
        assert hub.receiver.allowed == {B, parse_update(old).hub_key}
        hub.receiver.allowed = None
        assert (await hub.post(push(hub=A)))[0] == 200


async def test_a_list_of_anything_but_hubs_is_an_error() -> None:
    with pytest.raises(VegeHubValueError):
        UpdateReceiver(allowed=["my hub"])


async def test_a_backlog_of_one_hub_is_taken_in_one_go_and_slows_no_other_down() -> None:
    now = 0.0
    async with serving(max_rate=10, monotonic=lambda: now) as hub:
        for number in range(120):
            assert (await hub.post(push(number)))[0] == 200
        assert (await hub.post(push(120)))[0] == 429
        assert (await hub.post(push(hub=B)))[0] == 200
        for number in range(30):  # ten a second from then on
            now += 0.1
            assert (await hub.post(push(number)))[0] == 200
            assert (await hub.post(push(number)))[0] == 429
        now += 6
        for number in range(60):
            assert (await hub.post(push(number)))[0] == 200
        assert (await hub.post(push(60)))[0] == 429
        now += 1000
        for number in range(120):
            assert (await hub.post(push(number)))[0] == 200
        assert (await hub.post(push(120)))[0] == 429


async def test_made_up_macs_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vegehub.receiving.intake.MAX_HUBS", 5)
    async with serving(max_rate=1, max_burst=1, monotonic=lambda: 0.0) as hub:
        for number in range(10):
            assert (await hub.post(push(hub=f"0000000000{number:02}")))[0] == 200
        assert (await hub.post(push(hub="000000000009")))[0] == 429
        assert (await hub.post(push(hub="000000000000")))[0] == 200  # forgotten


@pytest.mark.parametrize("limits", [{"max_rate": 0}, {"max_burst": 0}])
async def test_a_rate_of_none_at_all_is_an_error(limits: dict[str, int]) -> None:
    with pytest.raises(VegeHubValueError):
        UpdateReceiver(**limits)


async def test_refusals_are_logged_once_per_sender_and_status(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as hub:
        for _ in range(5):
            await hub.post(b"{}")
            await hub.post(path="/")
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 2


async def test_dropped_samples_are_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    body = json.dumps({"mac": A, "sensors": [None, {"slot": 1, "samples": [{"v": 1.5, "t": TIME}, {}]}]}).encode()
    async with serving() as hub:
        for _ in range(3):
            assert (await hub.post(body))[0] == 200
        assert hub.receiver.counters.problems == 6
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "sensors[0]" in record.getMessage()


# Broken bodies, over real sockets


async def test_what_is_no_update_is_answered_with_400_and_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    taken: list[Update] = []
    async with serving() as hub:
        hub.receiver.subscribe(taken.append)
        for name, body in CORPUS["REFUSED"].items():
            status, answer = await hub.post(body)
            assert (status, bool(answer["error"])) == (400, True), name
        assert taken == []
        assert (await hub.post())[0] == 200
        assert len(taken) == 1
    assert noise(caplog) == []


async def test_a_broken_place_is_refused_or_left_out_and_disturbs_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    taken: list[Update] = []
    kept: list[Update] = []
    async with Journal(tmp_path / "journal.db") as journal, serving(journal=journal) as hub:
        hub.receiver.subscribe(taken.append)
        accepted = 0
        for name, body in CORPUS["BROKEN_PLACES"].items():
            status, _ = await hub.post(body)
            try:
                parse_update(body)
            except VegeHubPayloadError:
                assert status == 400, name
            else:
                assert status == 200, name
                accepted += 1
        assert len(taken) == accepted
        counts = await journal.counts()
        task = asyncio.create_task(journal.deliver(kept.append))
        await until(lambda: len(kept) == counts.pending)
        await journal.close()
        await task
    assert noise(caplog) == []


async def test_a_body_that_is_too_large_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 100_000

    async with serving(max_body=1_000_000) as hub:
        assert (await hub.post(b" " * 1_000_001))[0] == 413
        assert (await hub.post(push() + b" " * (1_000_000 - len(push()))))[0] == 200
        with suppress(aiohttp.ClientOSError):  # the client may notice the end before it reads the answer
            assert (await hub.post(endless()))[0] == 413
        bomb = gzip.compress(b" " * 30_000_000)
        assert (await hub.post(bomb, headers={"Content-Encoding": "gzip"}))[0] in (400, 413)
        assert set(hub.receiver.counters.refused) <= {400, 413}
    assert noise(caplog) == []


async def test_nine_mebibytes_are_too_large() -> None:
    async with serving() as hub:
        assert (await hub.post(io.BytesIO(CORPUS["HUGE"])))[0] == 413
        assert (await hub.post(io.BytesIO(CORPUS["HUGE"][-(2**20) :])))[0] == 400


@pytest.mark.parametrize(
    ("header", "body"),
    [("Content-Length: 9000000", b""), ("Transfer-Encoding: chunked", b"%x\r\n" % 2_000_000 + b" " * 1_500_000)],
)
async def test_a_body_that_is_too_large_is_not_waited_for(header: str, body: bytes) -> None:
    async with serving(max_body=1_000_000, body_timeout=5) as hub, hub.raw(hub.head(header) + body) as reader:
        assert b" 413 " in await reader.readline()


async def test_a_body_that_only_trickles_in_is_given_up() -> None:
    async with serving(body_timeout=0.1) as hub, hub.raw(hub.head("Content-Length: 100"), b'{"mac":') as reader:
        assert b" 408 " in await reader.readline()


async def test_half_a_body_ends_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    taken: list[Update] = []
    async with serving() as hub:
        hub.receiver.subscribe(taken.append)
        for head in (hub.head("Content-Length: 500"), hub.head("Transfer-Encoding: chunked")):
            async with hub.raw(head, push() if b"Length" in head else b"ff\r\n" + push()):
                pass
        await until(lambda: sum(hub.receiver.counters.refused.values()) == 2)
        assert (await hub.post())[0] == 200
        assert len(taken) == 1
    assert noise(caplog) == []


async def test_a_hub_that_is_reset_in_the_middle_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as hub:
        reader, writer = await asyncio.open_connection(HOST, hub.receiver.port)
        writer.write(hub.head("Content-Length: 500") + b'{"mac"')
        await writer.drain()
        await asyncio.sleep(0.02)
        linger_on_and_drop = b"\x01\0\0\0\0\0\0\0"
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_on_and_drop)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        assert reader.at_eof()
        assert (await hub.post())[0] == 200
    assert noise(caplog) == []


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (("Content-Length: 20", "Content-Encoding: gzip"), b"this is not gzip ..."),
        (("Content-Length: 20", "Content-Encoding: deflate"), b"this is not gzip ..."),
        (("Content-Length: 4", "Content-Encoding: klingon"), b"\x01\x02\x03\x04"),
        (("Transfer-Encoding: chunked",), b"zz\r\nthis is no chunk\r\n0\r\n\r\n"),
        (("Transfer-Encoding: chunked",), b"5\r\n{}"),
        (("Content-Length: -5",), b"{}"),
        (("Content-Length: many",), b"{}"),
        (("Content-Length: 2", "Content-Length: 3"), b"{}"),
    ],
)
async def test_a_broken_encoding_is_refused_without_a_traceback(
    headers: tuple[str, ...], body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(body_timeout=0.2) as hub:
        async with hub.raw(hub.head(*headers) + body) as reader:
            line = await reader.readline()
            assert b" 400 " in line or b" 408 " in line
        assert (await hub.post())[0] == 200
    assert noise(caplog) == []


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00\x01\x00\x01", b"hello\r\n\r\n", b"GET\r\n\r\n", b"\0" * 100 + b"\r\n\r\n"]
)
async def test_what_is_no_http_is_refused_without_a_traceback(garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as hub:
        async with hub.raw(garbage + b"\r\n\r\n") as reader:
            assert b"500" not in await reader.readline()
        async with hub.raw(hub.head("Content-Length: 2") + b"{}" + garbage + b"\r\n\r\n") as reader:
            assert b" 400 " in await reader.readline()
        assert (await hub.post())[0] == 200
    assert noise(caplog) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("no host", "Host"),
        ("line feeds only", ""),
        ("a space behind the version", ""),
        ("two lengths", "Content-Length"),
        ("an expectation", "Expect"),
    ],
)
async def test_what_aiohttp_refuses_is_counted_told_and_logged_once_for_an_address(
    name: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    refusals: list[Refusal] = []
    async with serving() as hub:
        hub.receiver.on_refused(refusals.append)
        good = hub.head(f"Content-Length: {len(push())}")
        head = {
            "no host": good.replace(b"Host: 127.0.0.1\r\n", b""),
            "line feeds only": good.replace(b"\r\n", b"\n"),
            "a space behind the version": good.replace(b"HTTP/1.1\r\n", b"HTTP/1.1 \r\n"),
            "two lengths": hub.head(f"Content-Length: {len(push())}", f"Content-Length: {len(push())}"),
            "an expectation": hub.head("Expect: a miracle", f"Content-Length: {len(push())}"),
        }[name]
        status = 0
        for _ in range(3):
            async with hub.raw(head + push()) as reader:
                status = int((await reader.readline()).split()[1])
        if status == 200:
            pytest.skip("this aiohttp takes it")
        await until(lambda: hub.receiver.counters.refused.get(status) == 3)
        assert [(refusal.status, refusal.remote) for refusal in refusals] == [(status, HOST)] * 3
        assert text in refusals[0].reason
        assert TOKEN not in refusals[0].reason
        (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert HOST in record.getMessage()
        assert (await hub.post())[0] == 200
        assert hub.receiver.counters.refused == {status: 3}


@pytest.mark.parametrize("sent", [b"", b"P", b"POST /x HTTP/1.1\r\nHost: a\r\n"])
async def test_half_a_head_holds_no_connection(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    refusals: list[Refusal] = []
    async with serving(body_timeout=0.1) as hub:
        hub.receiver.on_refused(refusals.append)
        for _ in range(2):
            async with hub.raw(sent) as reader:
                assert await reader.read() == b""
        assert hub.receiver.counters.refused == {0: 2}
        assert [refusal.remote for refusal in refusals] == [HOST] * 2
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1


async def test_a_head_that_trickles_in_is_given_up_as_a_whole() -> None:
    async with serving(body_timeout=0.2) as hub:
        reader, writer = await asyncio.open_connection(HOST, hub.receiver.port)
        writer.write(hub.head("X: ").removesuffix(b"\r\n\r\n"))
        ended = asyncio.create_task(reader.read())
        with suppress(ConnectionError):
            while not ended.done():
                writer.write(b"x")
                await asyncio.sleep(0.02)
        with suppress(ConnectionError):
            assert await ended == b""
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        assert hub.receiver.counters.refused == {0: 1}


async def test_half_a_head_after_an_update_holds_no_connection_and_an_idle_one_stays() -> None:
    whole = f"Content-Length: {len(push())}"
    async with serving(body_timeout=0.2) as hub, hub.raw(hub.head(whole), push()[:9], push()[9:]) as idle:
        assert b" 200 " in await idle.readline()
        async with hub.raw(hub.head(whole) + push()) as half:
            assert b" 200 " in await half.readline()
        reader, writer = await asyncio.open_connection(HOST, hub.receiver.port)
        writer.write(hub.head(whole) + push())
        assert b" 200 " in await reader.readline()
        writer.write(hub.head(whole)[:30])
        assert (await reader.read()).endswith(b'{"status": "ok"}')  # until the receiver closes it
        writer.close()
        await writer.wait_closed()
        assert not idle.at_eof()
        assert hub.receiver.counters.refused == {0: 1}


async def test_head_and_body_have_one_time_together() -> None:
    body = push()
    async with serving(body_timeout=0.5) as hub:
        reader, writer = await asyncio.open_connection(HOST, hub.receiver.port)
        head = hub.head(f"Content-Length: {len(body)}")
        for part in (head[:20], head[20:] + body[:5], body[5:]):
            writer.write(part)
            await asyncio.sleep(0.3)  # the body alone would be in time
        assert b" 408 " in await reader.readline()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def large(size: int) -> bytes:
    sample = b'{"v":1.5,"t":"2025-01-15T16:51:23Z"},'
    samples = sample * (size // len(sample))
    return (
        b'{"mac":"7C9EBD112233","sensors":[{"slot":1,"samples":['
        + samples
        + b'{"v":2.5,"t":"2025-01-15T16:51:24Z"}]}]}'
    )


async def test_others_are_served_while_a_large_body_is_decoded() -> None:
    order: list[str] = []
    async with serving(body_timeout=30) as hub:
        hub.receiver.subscribe(lambda update: order.append(update.mac))
        decoding = asyncio.create_task(hub.post(io.BytesIO(large(4_000_000))))
        await until(lambda: any(thread.name.startswith("vegehub-decoder") for thread in threading.enumerate()))
        for _ in range(5):
            assert (await hub.post(push(hub=B)))[0] == 200
        assert (await decoding)[0] == 200
    assert order == [B] * 5 + [A]
    await until(lambda: not any(thread.name.startswith("vegehub-decoder") for thread in threading.enumerate()))


async def test_a_large_body_is_read_and_kept_as_a_small_one_is(tmp_path: Path) -> None:
    body = large(400_000)
    kept: list[Update] = []
    async with Journal(tmp_path / "journal.db") as journal, serving(journal=journal) as hub:
        for broken, status in ((b"x" * 300_000, 400), (b"[" + b"0," * 1_000_001 + b"0]", 400), (b"[" * 300_000, 400)):
            assert (await hub.post(io.BytesIO(broken)))[0] == status
        for _ in range(2):
            assert (await hub.post(io.BytesIO(body)))[0] == 200
        assert hub.receiver.counters.repeated == 1
        task = asyncio.create_task(journal.deliver(kept.append))
        await until(lambda: len(kept) == 1)
        await journal.close()
        await task
    assert kept[0].readings == parse_update(body).readings


# Subscribers


async def test_a_subscriber_gets_the_updates_of_one_hub_if_it_wants_so() -> None:
    taken: list[str] = []
    async with serving() as hub:
        hub.receiver.subscribe(lambda update: taken.append(update.mac), mac="7c:9e:bd:44:55:66")
        await hub.post(push(hub=A))
        await hub.post(push(hub=B))
    assert taken == [B]


async def test_unsubscribing_twice_does_no_harm() -> None:
    taken: list[Update] = []
    async with serving() as hub:
        unsubscribe = hub.receiver.subscribe(taken.append)
        other = hub.receiver.subscribe(taken.append)
        unsubscribe()
        unsubscribe()
        await hub.post()
        assert len(taken) == 1
        other()
        await hub.post()
        assert len(taken) == 1


async def test_a_subscriber_may_end_itself() -> None:
    taken: list[Update] = []

    def once(update: Update) -> None:
        taken.append(update)
        unsubscribe()

    async with serving() as hub:
        unsubscribe = hub.receiver.subscribe(once)
        await hub.post()
        await hub.post()
    assert len(taken) == 1


async def test_a_failing_subscriber_hurts_no_other_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    taken: list[Update] = []

    def fail(update: Update) -> None:
        raise RuntimeError("mine")

    async def fail_later(update: Update) -> None:
        await asyncio.sleep(0)
        raise RuntimeError("mine too")

    async def be_cancelled(update: Update) -> None:
        raise asyncio.CancelledError

    async with serving() as hub:
        for callback in (fail, fail_later, be_cancelled, taken.append):
            hub.receiver.subscribe(callback)
        for _ in range(5):
            assert (await hub.post())[0] == 200
    assert len(taken) == 5
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 3


async def test_a_subscriber_that_fails_again_after_a_success_is_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    outcomes = iter([True, True, False, True])

    async def callback(update: Update) -> None:
        if next(outcomes):
            raise RuntimeError

    async with serving() as hub:
        hub.receiver.subscribe(callback)
        for _ in range(4):
            await hub.post()
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 2


async def test_an_async_subscriber_gets_one_update_at_a_time_in_order() -> None:
    running = 0
    taken: list[float] = []

    async def callback(update: Update) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0.001)
        taken.append(volts(update))
        running -= 1

    async with serving() as hub:
        hub.receiver.subscribe(callback)
        for number in range(10):
            await hub.post(push(number))
        await until(lambda: len(taken) == 10)
    assert taken == list(range(10))


async def test_a_slow_subscriber_makes_nobody_wait_before_its_queue_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vegehub.receiving.receiver._GRACE", 0.05)
    taken: list[Update] = []

    async def hang(update: Update) -> None:
        await asyncio.Event().wait()

    async with serving() as hub:
        hub.receiver.subscribe(hang)
        hub.receiver.subscribe(taken.append)
        for number in range(20):
            await hub.post(push(number))
        assert len(taken) == 20


@pytest.mark.parametrize("listen", [UpdateReceiver.subscribe, UpdateReceiver.on_replied])
async def test_an_async_listener_that_hangs_loses_its_oldest_updates(
    listen: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vegehub.receiving.subscriptions.MAX_WAITING", 2)
    monkeypatch.setattr("vegehub.receiving.subscriptions.PATIENCE", 0.05)
    taken: list[float] = []
    may_go_on = asyncio.Event()

    async def callback(update: Update) -> None:
        taken.append(volts(update))
        await may_go_on.wait()

    async with serving() as hub:
        listen(hub.receiver, callback)
        for number in range(6):
            assert (await hub.post(push(number)))[0] == 200
        may_go_on.set()
        await until(lambda: len(taken) == 3)
    assert taken == [0, 4, 5]
    assert [record for record in caplog.records if "oldest" in record.getMessage()]


async def test_unsubscribing_a_slow_subscriber_forgets_what_waits_for_it() -> None:
    taken: list[float] = []
    may_end = asyncio.Event()

    async def callback(update: Update) -> None:
        taken.append(volts(update))
        await may_end.wait()

    async with serving() as hub:
        unsubscribe = hub.receiver.subscribe(callback)
        for number in range(3):
            await hub.post(push(number))
        unsubscribe()
        may_end.set()
        await hub.post(push(3))
    assert taken == [0]


async def test_an_async_subscriber_gets_everything_in_a_loop_with_eager_tasks_too() -> None:
    if not hasattr(asyncio, "eager_task_factory"):
        pytest.skip("Python 3.12 and later")
    taken: list[int] = []

    async def callback(number: int) -> None:
        if number == 1:
            await asyncio.sleep(0)
        taken.append(number)

    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    try:
        group: Subscribers[int] = Subscribers("number")
        group.subscribe(callback)
        for number in range(5):
            await group.publish(number)
        await until(lambda: len(taken) == 5)
        await group.close(1)
    finally:
        asyncio.get_running_loop().set_task_factory(None)
    assert taken == [0, 1, 2, 3, 4]


async def test_a_subscriber_may_be_async_only_now_and_then() -> None:
    taken: list[float] = []

    def callback(update: Update) -> asyncio.Future[None] | None:
        taken.append(volts(update))
        if volts(update) == 2:
            raise RuntimeError
        return asyncio.ensure_future(asyncio.sleep(0.01)) if volts(update) == 0 else None

    async with serving() as hub:
        hub.receiver.subscribe(callback)
        for number in range(5):
            await hub.post(push(number))
        await until(lambda: len(taken) == 5)
    assert taken == [0, 1, 2, 3, 4]


# Streams


async def test_a_stream_yields_the_updates_from_its_creation_on() -> None:
    async with serving() as hub:
        await hub.post(push(1))
        stream = hub.receiver.stream()
        await hub.post(push(2))
        await hub.post(push(3))
        assert [volts(await anext(stream)), volts(await anext(stream))] == [2, 3]


async def test_a_stream_waits_for_an_update() -> None:
    async with serving() as hub, hub.receiver.stream(mac=B) as stream:
        waiting = asyncio.create_task(anext(stream))
        await hub.post(push(1, hub=A))
        await hub.post(push(2, hub=B))
        assert volts(await waiting) == 2


async def test_a_stream_ends_with_the_server_after_what_was_still_waiting() -> None:
    taken: list[float] = []
    async with serving() as hub:
        stream = hub.receiver.stream()
        for number in range(3):
            await hub.post(push(number))
    async for update in stream:
        taken.append(volts(update))  # noqa: PERF401 - an asynchronous comprehension hides what is tested
    assert taken == [0, 1, 2]


async def test_a_stream_that_is_left_costs_nothing_any_more(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as hub:

        async def first() -> Update:
            async for update in hub.receiver.stream(limit=1):
                return update
            raise AssertionError

        task = asyncio.create_task(first())
        await asyncio.sleep(0)
        for number in range(5):
            await hub.post(push(number))
        assert volts(await task) == 0
        closed = hub.receiver.stream(limit=1)
        await closed.aclose()
        for number in range(5):
            await hub.post(push(number))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_full_stream_makes_the_hub_wait_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "vegehub")
    others: list[Update] = []
    async with serving() as hub:
        hub.receiver.subscribe(others.append)
        stream = hub.receiver.stream(limit=2)
        posts = [asyncio.create_task(hub.post(push(number))) for number in range(2)]
        await asyncio.gather(*posts)
        waiting = []
        for number in (2, 3, 4):
            waiting.append(asyncio.create_task(hub.post(push(number))))
            await until(lambda number=number: len(others) == number + 1)
        assert not any(task.done() for task in waiting)
        taken = [volts(await anext(stream)) for _ in range(5)]
        await asyncio.gather(*waiting)
        assert sorted(taken[:2]) == [0, 1]
        assert taken[2:] == [2, 3, 4]
        assert stream.dropped == 0
    assert ["slow" in record.message for record in caplog.records if record.levelno == logging.WARNING] == [True]
    assert [record for record in caplog.records if "caught up" in record.message]


async def test_items_that_wait_for_a_full_stream_keep_their_order() -> None:
    group: Subscribers[int] = Subscribers("number")
    stream = group.stream(limit=1)
    await group.publish(1)
    waiting = asyncio.create_task(group.publish(2))
    await asyncio.sleep(0)
    assert await anext(stream) == 1
    rest = asyncio.create_task(take(stream, 2))
    await group.publish(3)  # whatever room there is at this moment is not for it
    assert await rest == [2, 3]
    await waiting


async def take(stream: Stream[int], count: int) -> list[int]:
    return [await anext(stream) for _ in range(count)]


async def test_a_stream_that_nobody_reads_loses_its_oldest_and_holds_nobody_up_for_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vegehub.receiving.subscriptions.PATIENCE", 0.05)
    async with serving() as hub:
        stream = hub.receiver.stream(limit=2)
        for number in range(6):
            assert (await hub.post(push(number)))[0] == 200
        assert stream.dropped == 4
        assert [volts(await anext(stream)) for _ in range(2)] == [4, 5]
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 2


async def test_a_stream_that_is_closed_lets_a_waiting_hub_go() -> None:
    async with serving() as hub:
        stream = hub.receiver.stream(limit=1)
        await hub.post(push(1))
        waiting = asyncio.create_task(hub.post(push(2)))
        await until(lambda: hub.receiver.counters.accepted == 2)
        await stream.aclose()
        assert (await waiting)[0] == 200


# Replies


async def test_listeners_to_replies_are_called_after_the_reply_was_written() -> None:
    order: list[str] = []
    async with serving() as hub:
        hub.receiver.subscribe(lambda update: order.append("update"))
        hub.receiver.on_replied(lambda update: order.append(f"replied to {update.mac}"))
        await hub.post()
        await hub.post(b"{}")
        await until(lambda: len(order) == 2)
    assert order == ["update", f"replied to {A}"]


async def test_a_reply_is_on_the_wire_when_its_listeners_are_called() -> None:
    seen: list[bytes] = []
    async with serving() as hub:
        with socket.create_connection((HOST, hub.receiver.port)) as client:
            client.setblocking(False)
            hub.receiver.on_replied(lambda update: seen.append(client.recv(4096)))
            client.send(hub.head(f"Content-Length: {len(push())}") + push())
            await until(lambda: len(seen) == 1)
    assert seen[0].startswith(b"HTTP/1.1 200")
    assert seen[0].endswith(b'{"status": "ok"}')


# With a journal


class TamperedConnection(sqlite3.Connection):
    """A connection on which nothing can be written, if told so."""

    read_only = False

    def execute(self, *args: Any) -> sqlite3.Cursor:
        super().execute(f"PRAGMA query_only = {int(self.read_only)}")
        return super().execute(*args)


async def test_an_update_is_on_disk_before_it_is_acknowledged(tmp_path: Path) -> None:
    async with Journal(tmp_path / "journal.db") as journal, serving(journal=journal) as hub:
        assert (await hub.post())[0] == 200
        assert (await journal.counts()).pending == 1


async def test_a_repeat_is_acknowledged_counted_and_not_kept_again(tmp_path: Path) -> None:
    replied: list[Update] = []
    async with Journal(tmp_path / "journal.db") as journal, serving(journal=journal) as hub:
        hub.receiver.on_replied(replied.append)
        assert (await hub.post())[0] == 200
        assert (await hub.post())[0] == 200
        assert (hub.receiver.counters.accepted, hub.receiver.counters.repeated) == (2, 1)
        assert (await journal.counts()).pending == 1
        await until(lambda: len(replied) == 2)  # the hub is awake, whatever it sent


async def test_a_journal_that_cannot_be_written_is_answered_with_503(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *args, **kwargs: connect(*args, factory=TamperedConnection, **kwargs)
    )
    taken: list[Update] = []
    async with Journal(tmp_path / "journal.db") as journal, serving(journal=journal) as hub:
        hub.receiver.subscribe(taken.append)
        assert (await hub.post(push(1)))[0] == 200
        monkeypatch.setattr(TamperedConnection, "read_only", True)
        for _ in range(3):
            assert (await hub.post(push(2)))[0] == 503
        assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1
        monkeypatch.setattr(TamperedConnection, "read_only", False)
        assert (await hub.post(push(2)))[0] == 200
        assert (await journal.counts()).pending == 2
        await until(lambda: len(taken) == 2)  # what was refused was handed to nobody


async def test_a_full_journal_is_answered_with_503(tmp_path: Path) -> None:
    async with Journal(tmp_path / "journal.db", max_bytes=100_000) as journal, serving(journal=journal) as hub:
        assert (await hub.post(push(1)))[0] == 200
        assert (await hub.post(push(2, later="x" * 100_000)))[0] == 503
        assert (await hub.post(push(1)))[0] == 200
        assert (await hub.post(push(3)))[0] == 200


async def test_a_journal_that_is_being_closed_gets_the_hub_no_answer(tmp_path: Path) -> None:
    """Some hubs may take any answer for delivered: a restart must not cost them anything."""
    async with Journal(tmp_path / "journal.db") as journal, serving(journal=journal) as hub:
        await journal.close()
        with pytest.raises(aiohttp.ClientConnectionError):
            await hub.post()
        assert hub.receiver.counters.refused == {0: 1}


# Starting and stopping


async def test_a_receiver_can_be_served_again_on_the_same_path() -> None:
    receiver = UpdateReceiver(token=TOKEN)
    for _ in range(2):
        async with receiver.serve(HOST, 0), aiohttp.ClientSession() as session:
            assert (await Hub(receiver, session).post())[0] == 200
        assert receiver.port is None


async def test_a_receiver_listens_once_at_a_time() -> None:
    async with serving() as hub:
        with pytest.raises(VegeHubValueError, match="listens already"):
            async with hub.receiver.serve(HOST, 0):
                raise AssertionError
        assert (await hub.post())[0] == 200


async def test_no_address_is_listened_on_by_default() -> None:
    with pytest.raises(VegeHubValueError, match="host"):
        async with UpdateReceiver().serve("", 0):
            raise AssertionError


async def test_an_address_that_is_taken_is_named() -> None:
    async with serving() as hub:
        port = hub.receiver.port
        other = UpdateReceiver()
        with pytest.raises(VegeHubConnectionError, match=f"127.0.0.1:{port}") as caught:
            async with other.serve(HOST, port):
                raise AssertionError
        assert caught.value.outcome is Outcome.NOT_SENT
        async with other.serve(HOST, 0):
            pass


async def test_stopping_waits_for_an_update_in_flight_and_answers_it(tmp_path: Path) -> None:
    started, may_end = asyncio.Event(), asyncio.Event()
    async with Journal(tmp_path / "journal.db") as journal, aiohttp.ClientSession() as session:
        append = journal.append

        async def slow_append(*args: Any, **kwargs: Any) -> bool:
            started.set()
            await may_end.wait()
            return await append(*args, **kwargs)

        journal.append = slow_append  # type: ignore[method-assign]  # a disk that takes its time
        receiver = UpdateReceiver(journal=journal)
        async with receiver.serve(HOST, 0):
            post = asyncio.create_task(Hub(receiver, session).post())
            await started.wait()
            asyncio.get_running_loop().call_later(0.05, may_end.set)
        assert (await post)[0] == 200
        assert (await journal.counts()).pending == 1


async def test_stopping_in_the_middle_of_a_request_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vegehub.receiving.receiver._GRACE", 0.05)

    async def hang(update: Update) -> None:
        await asyncio.Event().wait()

    receiver = UpdateReceiver()
    async with aiohttp.ClientSession() as session:
        async with receiver.serve(HOST, 0):
            hub = Hub(receiver, session)
            receiver.subscribe(hang)
            await hub.post()
            connections = [await asyncio.open_connection(HOST, receiver.port) for _ in range(3)]
            connections[1][1].write(b"POST /")
            connections[2][1].write(hub.head("Content-Length: 100") + b'{"mac"')
            await asyncio.sleep(0.02)
        for _, writer in connections:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
