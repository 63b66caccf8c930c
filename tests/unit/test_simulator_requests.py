"""Requests as the simulated hub reads them, however they are cut into packets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vegehub.simulator.requests import BadRequestError, Request, RequestParser

POST = b"POST /api/actuators/set?x=1 HTTP/1.1\r\nHost: hub\r\nContent-Length: 7\r\n\r\n" + b'{"a":1}'
CHUNKED = b'POST /api/info/get HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n{"a\r\n4\r\n":1}\r\n0\r\nTrailer: x\r\n\r\n'
GET = b"GET /api/actuators/status HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"


def read_all(data: bytes, cuts: list[int], max_body: int = 100) -> list[Request]:
    parser, found, start = RequestParser(max_body), [], 0
    for end in [*sorted(cuts), len(data)]:
        parser.feed(data[start:end])
        start = end
        while (request := parser.next()) is not None:
            found.append(request)
    assert not parser.started
    return found


@given(st.permutations([POST, CHUNKED, GET]), st.lists(st.integers(0, 400), max_size=12))
def test_requests_are_read_however_they_are_cut(requests: list[bytes], cuts: list[int]) -> None:
    data = b"".join(requests)
    found = read_all(data, [min(cut, len(data)) for cut in cuts])
    assert {request.path for request in found} == {"/api/actuators/set", "/api/info/get", "/api/actuators/status"}
    assert [request.body for request in found if request.method == "POST"] == [b'{"a":1}'] * 2


@given(st.binary(max_size=200), st.sampled_from([b"", POST[:60], CHUNKED[:66], CHUNKED[:80]]))
def test_bytes_that_are_no_request_are_refused_or_waited_for(data: bytes, prefix: bytes) -> None:
    parser, refusal = RequestParser(50), 400
    parser.feed(prefix + data)
    try:
        while parser.next() is not None:
            pass
    except BadRequestError as err:
        refusal = err.status
    assert 400 <= refusal < 500


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET\r\n\r\n", 400),
        (b"GET /x HTTP/2.0\r\n\r\n", 400),
        (b"GET x HTTP/1.1\r\n\r\n", 400),
        (b"G3T / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nname : value\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 2000, 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\n" + b"x" * 9000, 431),
        (b"GET / HTTP/1.1\r\nx: " + b"x" * 9000 + b"\r\n\r\n", 431),
    ],
)
def test_a_bad_request_gets_a_status_that_says_so(data: bytes, status: int) -> None:
    parser = RequestParser(100)
    parser.feed(data)
    with pytest.raises(BadRequestError) as caught:
        parser.next()
    assert caught.value.status == status


def test_blank_lines_before_a_request_are_skipped() -> None:
    assert [request.method for request in read_all(b"\r\n\r\n" + GET, [])] == ["GET"]


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        ("HTTP/1.1", "", True),
        ("HTTP/1.1", "close", False),
        ("HTTP/1.0", "", False),
        ("HTTP/1.0", "Keep-Alive", True),
    ],
)
def test_the_client_says_whether_the_connection_is_kept(version: str, connection: str, kept: bool) -> None:
    assert Request("GET", "/", version=version, headers={"connection": connection}).keep_alive is kept


def test_a_client_that_waits_for_100_continue_is_noticed() -> None:
    parser = RequestParser(100)
    parser.feed(POST[:-7].replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
    assert parser.next() is None
    assert parser.expects_continue
    parser.feed(POST[-7:])
    request = parser.next()
    assert request is not None
    assert request.body == b'{"a":1}'
    assert not parser.expects_continue
