"""What an announcement becomes: a model that can be trusted to be clean, though not to be true."""

from __future__ import annotations

import ipaddress
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vegehub.wire.address import HubAddress
from vegehub.wire.announcements import DiscoveredHub, parse_announcement

RECORD = json.loads((Path(__file__).parent.parent / "data" / "mdns_txt.json").read_text())


def parsed(
    name: str = "Vege_A6_20",
    *,
    host: str = "Vege_A6_20.local.",
    port: int | None = 80,
    addresses: tuple[str, ...] = ("192.168.0.57",),
    replaced: frozenset[bytes] = frozenset(),
    **txt: bytes | None,
) -> DiscoveredHub | None:
    record = {key.encode(): value for key, value in txt.items()}
    return parse_announcement(name, host=host, port=port, addresses=addresses, txt=record, replaced=replaced)


def hub(**arguments: object) -> DiscoveredHub:
    result = parsed(**arguments)  # type: ignore[arg-type]
    assert result is not None
    return result


def test_the_published_record_is_read() -> None:
    txt = {key: value.encode() for key, value in RECORD.items()}
    assert hub(addresses=("fe80::a6:20%2", "192.168.0.57"), **txt) == DiscoveredHub(
        name="Vege_A6_20",
        host="Vege_A6_20.local",
        addresses=("192.168.0.57", "fe80::a6:20%2"),
        port=80,
        firmware="5.1.1",
        num_sensors=1,
        num_actuators=0,
        power_mode=0,
        txt=RECORD,
    )


@pytest.mark.parametrize(
    ("addresses", "port", "address"),
    [
        (("192.168.0.57",), 80, "192.168.0.57"),
        (("192.168.0.57",), 8080, "192.168.0.57:8080"),
        (("fd00::5",), 80, "[fd00::5]"),
        (("fe80::5%eth0",), 8080, "[fe80::5%eth0]:8080"),
        ((), 80, "Vege_A6_20.local"),
        ((), 8080, "Vege_A6_20.local:8080"),
    ],
)
def test_the_address_is_what_a_hub_takes(addresses: tuple[str, ...], port: int, address: str) -> None:
    found = hub(addresses=addresses, port=port)
    assert found.address == address
    assert HubAddress.parse(found.address).port == port


def test_addresses_are_ordered_ipv4_then_ipv6_then_link_local_and_newest_first() -> None:
    addresses = ("169.254.7.7", "fe80::1%2", "fd00::2", "192.168.0.2", "fd00::1", "10.0.0.1")
    found = hub(addresses=addresses)
    assert found.addresses == ("192.168.0.2", "10.0.0.1", "fd00::2", "fd00::1", "fe80::1%2", "169.254.7.7")
    assert found.address == "192.168.0.2"
    assert hub(addresses=("169.254.7.7",)).address == "169.254.7.7"


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "224.0.0.251", "255.255.255.255", "240.0.0.1", "::", "ff02::fb", "fe80::1"]
)
def test_an_address_that_no_connection_can_be_made_to_is_left_out(address: str) -> None:
    assert hub(addresses=(address, "10.0.0.1")).addresses == ("10.0.0.1",)


def test_a_replaced_address_is_left_out() -> None:
    gone = ipaddress.ip_address("10.0.0.1").packed
    assert hub(addresses=("10.0.0.2", "10.0.0.1"), replaced=frozenset({gone})).addresses == ("10.0.0.2",)


def test_a_flood_of_addresses_is_cut() -> None:
    assert len(hub(addresses=tuple(f"10.0.0.{n}" for n in range(1, 200))).addresses) == 16


@pytest.mark.parametrize("port", [None, 0, 65536])
def test_an_announcement_without_a_usable_port_is_refused(port: int | None) -> None:
    assert parsed(port=port) is None


def test_an_announcement_without_a_readable_name_is_refused() -> None:
    assert parsed("\u202e\x07") is None


def test_without_a_host_the_name_stands_in() -> None:
    assert hub(host="").host == "Vege_A6_20"


@pytest.mark.parametrize("text", [b"-1", b"100", b"1e3", b"4.0", b"", b"4 4", b"\xd9\xa4", b"9" * 200])
def test_an_absurd_count_is_refused(text: bytes) -> None:
    found = hub(sensors=text, actuators=text, power_mode=text)
    assert (found.num_sensors, found.num_actuators, found.power_mode) == (None, None, None)


def test_counts_that_are_missing_are_not_made_up() -> None:
    assert (hub().num_sensors, hub().num_actuators, hub().power_mode, hub().firmware) == (None, None, None, "")


def test_text_is_cleaned_and_cut() -> None:
    found = hub(
        name="Vege\u202e_1",
        host="Vege\x1b[2J.local.",
        version=b"\x1b[31m5.1.1\x07" + b"9" * 99,
        sens_1=b"x" * 8192,
        bare=None,
    )
    assert found.name == "Vege_1"
    assert found.host == "Vege.local"
    assert found.firmware == "5.1.1" + "9" * 27
    assert found.txt["sens_1"] == "x" * 255
    assert found.txt["bare"] == ""


def test_keys_of_a_txt_record_are_cleaned_and_do_not_distinguish_case() -> None:
    record = {b"VERSION": b"5.1.1", b"version": b"6.6.6", b"\x1b[31m": b"gone", b"a\x00b": b"kept"}
    found = parse_announcement("n", host="", port=80, addresses=(), txt=record)
    assert found is not None
    assert found.txt == {"version": "5.1.1", "ab": "kept"}


def test_a_flood_of_keys_is_cut() -> None:
    record: dict[bytes, bytes | None] = {f"key{n}".encode(): b"" for n in range(500)}
    found = parse_announcement("n", host="", port=80, addresses=(), txt=record)
    assert found is not None
    assert len(found.txt) == 64


def test_a_discovered_hub_is_hashable_and_frozen() -> None:
    found = hub()
    assert len({found, hub()}) == 1
    with pytest.raises(AttributeError):
        found.name = "other"  # type: ignore[misc]


@given(
    st.text(max_size=80),
    st.text(max_size=80),
    st.integers(-1, 70000),
    st.lists(st.ip_addresses().map(str), max_size=20),
    st.dictionaries(st.binary(max_size=40), st.none() | st.binary(max_size=300), max_size=20),
)
def test_no_announcement_raises_or_passes_a_control_character(
    name: str, host: str, port: int, addresses: list[str], txt: dict[bytes, bytes | None]
) -> None:
    found = parse_announcement(name, host=host, port=port, addresses=addresses, txt=txt)
    if found is not None:
        shown = [found.name, found.host, found.firmware, *found.txt, *found.txt.values()]
        assert not [c for text in shown for c in text if unicodedata.category(c)[0] == "C"]
        assert all(len(text) <= 255 for text in shown)
