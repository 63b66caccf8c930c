"""The address of a hub is read as people type and paste it, and is one thing in all its spellings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vegehub import VegeHub, VegeHubValueError
from vegehub.wire.address import HubAddress


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("192.168.0.5", "192.168.0.5", 80),
        ("http://192.168.0.5", "192.168.0.5", 80),
        ("http://192.168.0.5/", "192.168.0.5", 80),
        ("HTTP://192.168.0.5/", "192.168.0.5", 80),
        ("192.168.0.5/", "192.168.0.5", 80),
        (" 192.168.0.5 ", "192.168.0.5", 80),
        ("\t192.168.0.5/\n", "192.168.0.5", 80),
        ("http://192.168.0.5:8080/", "192.168.0.5", 8080),
        ("http://Vege_A6_20.local/", "Vege_A6_20.local", 80),
        ("http://[fe80::1%eth0]:8080/", "fe80::1%eth0", 8080),
        ("[::1]/", "::1", 80),
        ("fe80::1%eth0", "fe80::1%eth0", 80),
    ],
)
def test_an_address_is_read_as_it_is_pasted(text: str, host: str, port: int) -> None:
    assert HubAddress.parse(text) == HubAddress(host, port)
    assert VegeHub(text).url == HubAddress(host, port).url


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (
            "https://192.168.0.5/",
            "'https://192.168.0.5/' is not a valid address: a hub speaks plain http only; leave out",
        ),
        ("ftp://192.168.0.5", "a hub speaks plain http only"),
        ("http://192.168.0.5/setup", "leave out what stands behind the host: type 192.168.0.5"),
        ("192.168.0.5/setup?x=1", "leave out what stands behind the host: type 192.168.0.5"),
        ("192.168.0.5?x=1", "leave out what stands behind the host: type 192.168.0.5"),
        ("192.168.0.5#top", "leave out what stands behind the host: type 192.168.0.5"),
        ("http:///setup", "leave out what stands behind the host"),
        ("http://192.168.0.5//", "leave out what stands behind the host: type 192.168.0.5"),
        ("http://user:s3cr3t@192.168.0.5/", "not a valid address: a hub has no user and no password"),
        ("http://", "expected an IP address or a host name"),
        ("", "'' is not a valid address: expected an IP address or a host name, with or without :port"),
        ("192.168.0.5:", "expected an IP address"),
        ("192.168.0.5:0", "expected an IP address"),
        ("a b", "expected an IP address"),
        ("[192.168.0.5]", "expected an IP address"),
        ("::1::", "expected an IP address"),
    ],
)
def test_what_is_no_address_is_refused_saying_what_to_type(text: str, advice: str) -> None:
    with pytest.raises(VegeHubValueError) as caught:
        HubAddress.parse(text)
    assert advice in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("spellings", "key"),
    [
        (["localhost", "LOCALHOST", "localhost.", "http://LocalHost/", "localhost:80"], ("localhost", 80)),
        (["::1", "[0:0:0:0:0:0:0:1]", "[::0001]:80", "http://[::1]/"], ("::1", 80)),
        (["FE80::1%eth0", "fe80:0::0001%eth0"], ("fe80::1%eth0", 80)),
        (["10.0.0.5:8080", " 10.0.0.5:8080/"], ("10.0.0.5", 8080)),
    ],
)
def test_all_spellings_of_an_address_have_one_key(spellings: list[str], key: tuple[str, int]) -> None:
    assert {HubAddress.parse(text).key for text in spellings} == {key}


def test_the_scope_of_an_address_counts_as_it_is_written() -> None:
    # Names of interfaces are told apart by case.
    assert HubAddress.parse("fe80::1%eth0").key != HubAddress.parse("fe80::1%ETH0").key


@given(st.text() | st.text("0123456789.:[]%/@ htp"))
def test_any_text_is_an_address_or_refused_and_an_address_reads_itself(text: str) -> None:
    try:
        address = HubAddress.parse(text)
    except VegeHubValueError:
        return
    assert HubAddress.parse(str(address)) == HubAddress.parse(address.url) == address
    assert HubAddress(*address.key).key == address.key
