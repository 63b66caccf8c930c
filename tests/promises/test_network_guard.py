"""No test reaches anything beyond this machine: the guard in conftest.py sees to it.

Forbidden traffic is announced to the guard as the interpreter would announce it (``sys.audit``) and never attempted.
"""

from __future__ import annotations

import asyncio
import socket
import sys

import aiohttp
import pytest

FAR = "192.0.2.1"  # TEST-NET-1: documentation only
FORBIDDEN = "tests stay on 127.0.0.0/8"


def a_socket(family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM) -> socket.socket:
    return socket.socket(family, kind)


@pytest.mark.parametrize("event", ["socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind"])
@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, (FAR, 80)),
        (socket.AF_INET, ("10.0.0.1", 80)),
        (socket.AF_INET, ("224.0.0.1", 5353)),
        (socket.AF_INET, ("hub.example", 80)),
        (socket.AF_INET6, ("2001:db8::1", 80, 0, 0)),
        (socket.AF_INET6, ("::ffff:192.0.2.1", 80, 0, 0)),
        (socket.AF_INET6, ("fe80::1%1", 80, 0, 1)),
    ],
)
def test_other_addresses_are_refused_by_name(event, family, address, forbidden_traffic):
    with a_socket(family) as sock, pytest.raises(AssertionError, match=FORBIDDEN) as refusal:
        sys.audit(event, sock, address)
    assert f"{address[0]}:{address[1]}" in str(refusal.value)
    forbidden_traffic.clear()


@pytest.mark.parametrize("event", ["socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind"])
@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, ("127.0.0.1", 80)),
        (socket.AF_INET, ("127.3.2.1", 80)),
        (socket.AF_INET, ("localhost", 80)),
        (socket.AF_INET, ("224.0.0.251", 5353)),
        (socket.AF_INET6, ("::1", 80, 0, 0)),
        (socket.AF_INET6, ("::ffff:127.0.0.1", 80, 0, 0)),
        (socket.AF_INET6, ("ff02::fb%1", 5353, 0, 1)),
    ],
)
def test_loopback_and_multicast_dns_are_allowed(event, family, address):
    with a_socket(family) as sock:
        sys.audit(event, sock, address)


@pytest.mark.parametrize("host", ["", "0.0.0.0"])
def test_the_wildcard_address_is_for_datagrams_only(host, forbidden_traffic):
    with a_socket(kind=socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
    with a_socket() as sock, pytest.raises(AssertionError, match=FORBIDDEN):
        sock.bind((host, 0))
    forbidden_traffic.clear()


@pytest.mark.parametrize("name", ["hub.example", b"hub.example", "Vege_A6_20.local"])
@pytest.mark.parametrize("resolve", [socket.gethostbyname, lambda name: socket.getaddrinfo(name, 80)])
def test_names_are_not_asked_of_the_network(name, resolve, forbidden_traffic):
    with pytest.raises(AssertionError, match=FORBIDDEN):
        resolve(name)
    forbidden_traffic.clear()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", FAR, None])
def test_what_needs_no_network_is_resolved(name):
    assert socket.getaddrinfo(name, 80)


async def test_the_refusal_reaches_a_client_of_aiohttp_as_what_it_is(forbidden_traffic):
    # By the system's resolver: what aiohttp takes where aiodns is installed asks servers of its own, and finds none here.
    connector = aiohttp.TCPConnector(resolver=aiohttp.ThreadedResolver())
    async with aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises(AssertionError, match=FORBIDDEN):
            await session.get("http://hub.example/")
    forbidden_traffic.clear()


async def test_what_was_refused_is_remembered_even_if_the_program_swallowed_it(forbidden_traffic):
    result = await asyncio.gather(asyncio.get_running_loop().getaddrinfo("hub.example", 80), return_exceptions=True)
    assert isinstance(result[0], AssertionError)
    assert len(forbidden_traffic) == 1
    assert "hub.example" in forbidden_traffic[0]
    forbidden_traffic.clear()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there is no other family on this system")
def test_other_families_are_none_of_its_business(tmp_path):
    with a_socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
