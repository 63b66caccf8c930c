"""The one file about hubs that people edit: found, read, looked up, and refused in words that say what to write."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vegehub import (
    Garden,
    GardenHub,
    HubManager,
    Registry,
    VegeHubValueError,
    WiredInput,
    Wiring,
    find_garden,
    parse_update,
)
from vegehub.fleet import garden as garden_module

if TYPE_CHECKING:
    from collections.abc import Callable

    from vegehub.simulator import SimulatedHub

MAC, OTHER_MAC = "7C9EBDC53EDF", "7C9EBD44CB63"
TEXT = f"""
[hubs.beds]
address = "192.0.2.57"
mac = "7C:9E:BD:C5:3E:DF"
timeout = 5
inputs.1 = {{ name = "Tomatoes", sensor = "VH400" }}

[hubs."Front lawn"]
address = "Vege_CB_63.local:8080"
mac = "{OTHER_MAC}"

[hubs.shed]
address = "192.0.2.59"

[bridge.broker]
host = "broker.example"
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("VEGEHUB_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE", "APPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "garden.toml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def refused(path: Path) -> str:
    with pytest.raises(VegeHubValueError) as caught:
        Garden.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


# Where it is


@pytest.mark.skipif(os.name == "nt", reason="POSIX")
def test_the_file_is_the_one_given_else_that_of_the_variable_else_the_users_own(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_garden() == home / ".config" / "vegehub" / "vegehub.toml"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert find_garden() == home / ".config" / "vegehub" / "vegehub.toml"
    monkeypatch.setenv("XDG_CONFIG_HOME", "/etc/xdg-of-mine")
    assert find_garden() == Path("/etc/xdg-of-mine/vegehub/vegehub.toml")
    monkeypatch.setenv("VEGEHUB_CONFIG", "")
    assert find_garden() == Path("/etc/xdg-of-mine/vegehub/vegehub.toml")
    monkeypatch.setenv("VEGEHUB_CONFIG", "~/garden.toml")
    assert find_garden() == home / "garden.toml"
    assert find_garden("given.toml") == Path("given.toml")


def test_nobody_needs_a_file_but_one_that_was_named_must_be_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = Garden.load()
    assert len(empty) == 0
    assert empty.path == find_garden()
    with pytest.raises(VegeHubValueError, match=r"no hubs in .*vegehub\.toml; write each hub as \[hubs\.NAME\]"):
        empty["beds"]
    with pytest.raises(FileNotFoundError, match=r"nowhere\.toml"):
        Garden.load(home / "nowhere.toml")
    monkeypatch.setenv("VEGEHUB_CONFIG", str(home / "absent.toml"))
    with pytest.raises(FileNotFoundError, match=r"absent\.toml"):
        Garden.load()


def test_the_users_own_file_is_read_without_being_named(home: Path) -> None:
    path = find_garden()
    path.parent.mkdir(parents=True)
    path.write_text(TEXT, encoding="utf-8")
    assert Garden.load()["shed"].address == "192.0.2.59"


# What is in it


def test_hubs_stand_in_it_by_name_with_what_is_plugged_in(write: Callable[..., Path]) -> None:
    path = write(TEXT)
    garden = Garden.load(path)
    assert [hub.name for hub in garden] == ["beds", "Front lawn", "shed"]
    assert garden["beds"] == GardenHub(
        name="beds",
        address="192.0.2.57",
        mac=MAC,
        wiring=Wiring("beds", [WiredInput(1, "Tomatoes", "VH400")]),
        options={"timeout": 5},
    )
    assert garden["shed"].wiring == Wiring("shed")
    assert garden.bridge == {"broker": {"host": "broker.example"}}
    assert "broker" not in repr(garden)
    assert asyncio.run(Garden.async_load(path)) == garden


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("beds", "beds"),
        (" BEDS ", "beds"),
        ("7c:9e:bd:c5:3e:df", "beds"),
        ("192.0.2.57:80", "beds"),
        ("front lawn", "Front lawn"),
        ("vege_cb_63.LOCAL:8080", "Front lawn"),
        ("Vege_CB_63.local", None),
        ("192.0.2.5", None),
        ("", None),
    ],
)
def test_a_hub_is_found_by_name_mac_or_address(write: Callable[..., Path], key: str, name: str | None) -> None:
    found = Garden.load(write(TEXT)).find(key)
    assert (None if found is None else found.name) == name


def test_a_hub_that_is_not_there_is_answered_with_the_nearest_one(write: Callable[..., Path]) -> None:
    garden = Garden.load(write(TEXT))
    with pytest.raises(VegeHubValueError, match=r'no hub "bed" in .*garden\.toml; did you mean "beds"\?'):
        garden["bed"]
    with pytest.raises(VegeHubValueError, match='known are "beds", "Front lawn", "shed"'):
        garden["zzz"]


def test_a_byte_order_mark_does_no_harm(write: Callable[..., Path]) -> None:
    assert len(Garden.load(write(b"\xef\xbb\xbf" + TEXT.encode()))) == 3


def test_an_empty_file_is_an_empty_garden(write: Callable[..., Path]) -> None:
    assert Garden.load(write("")).hubs == ()
    assert Garden.load(write("[hubs]\n")).hubs == ()


# What is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[hub.beds]", 'hub: unknown key; did you mean "hubs"?'),
        ("hubs = 5", "hubs: expected keys and values, got a number"),
        ("hubs.beds = 5", "hubs.beds: expected keys and values, got a number"),
        ("[hubs.beds]", 'hubs.beds.address: missing, such as address = "192.0.2.57"'),
        ("[hubs.beds]\naddress = 5", "hubs.beds.address: expected text, got a number"),
        ("[hubs.beds]\naddress = 'a b'", "hubs.beds.address: 'a b' is no"),
        ("[hubs.'a b']\naddress = 'a'\nmac = '12'", 'hubs."a b".mac: expected a MAC of 12 hex digits, such as "7C:'),
        ("[hubs.b]\naddress = 'a'\nadress = 'a'", 'hubs.b.adress: unknown key; did you mean "address"?'),
        ("[hubs.b]\naddress = 'a'\nmax_on = 0", "hubs.b.max_on: expected seconds, a number from 1 to 604800"),
        ("[hubs.b]\naddress = 'a'\ntimeout = '5'", "hubs.b.timeout: expected seconds, a number from 0.05 to 3600"),
        ("[hubs.b]\naddress = 'a'\ninputs.1.sensor = 'VH40'", 'hubs.b.inputs.1.sensor: unknown sensor "VH40"; did you'),
        ("[hubs.b]\naddress = 'a'\nactuators = {1 = 'A', 2 = 'a'}", 'hubs.b: actuators 1 and 2 are both called "a"'),
        (
            f"[hubs.{MAC}]\naddress = 'a'",
            f"hubs.{MAC}: not a name for a hub: it would be taken for a MAC or an address",
        ),
        ("[hubs.'192.0.2.1']\naddress = 'a'", 'hubs."192.0.2.1": not a name for a hub: it would be taken for'),
        ("[hubs.'::1']\naddress = 'a'", 'hubs."::1": not a name for a hub: it would be taken for'),
        ("[hubs.' a']\naddress = 'a'", 'hubs." a": not a name for a hub: expected 1 to 64 characters'),
        ("[hubs.'']\naddress = 'a'", 'hubs."": not a name for a hub: expected 1 to 64 characters'),
        ("[hubs.b]\naddress = 'a'\n[hubs.B]\naddress = 'c'", "hubs.B: its name is the name of hubs.b too"),
        ("[hubs.b]\naddress = 'a'\n[hubs.c]\naddress = 'A:80'", "hubs.c: its address is the address of hubs.b too"),
        ("[hubs.b]\naddress = 'a'\n[hubs.a]\naddress = 'c'", "hubs.a: its name is the address of hubs.b too"),
        (
            f"[hubs.b]\naddress = 'a'\nmac = '{MAC}'\n[hubs.c]\naddress = 'd'\nmac = '{MAC.lower()}'",
            "hubs.c: its MAC is the MAC of hubs.b too",
        ),
        ("bridge = 5", "bridge: expected keys and values, got a number"),
        ("a = 1\nb = [1,\n2", "not valid TOML: "),
        ("x = " + "[" * 5000, ""),
        ("x = " + "1" * 5000, "not valid TOML: "),
        (b"\xff\xfe", "not UTF-8 text"),
        ("{}", "JSON, not TOML; write each hub as [hubs.NAME]"),
    ],
)
def test_an_error_names_the_file_the_table_and_the_key_and_says_what_to_write(
    write: Callable[..., Path], text: str | bytes, message: str
) -> None:
    assert message in refused(write(text))


def test_a_mistake_in_toml_is_told_by_its_line_and_without_a_value(write: Callable[..., Path]) -> None:
    message = refused(write('[bridge.broker]\nhost = "broker"\npassword = "wild\\qcard-4711"\n'))
    assert message.startswith("line 3, column ")
    assert "4711" not in message
    assert "wild" not in message


def test_a_file_that_is_too_large_is_not_read(write: Callable[..., Path]) -> None:
    assert refused(write("# " + "x" * garden_module.MAX_FILE)) == f"larger than {garden_module.MAX_FILE} bytes"


def test_a_registry_in_its_place_is_refused_and_left_alone(tmp_path: Path) -> None:
    registry, path = Registry(), tmp_path / "hubs.json"
    registry.add("192.0.2.57", id="beds", mac=MAC)
    registry.save(path)
    before = path.read_bytes()
    assert refused(path) == (
        "a registry, which nobody edits, and not a vegehub.toml; it was left alone. In vegehub.toml, write each hub as "
        '[hubs.NAME] and below it address = "192.0.2.57"'
    )
    assert path.read_bytes() == before
    assert len(Registry.load(path)) == 1


YAML = "# settings\nname: garden\nbroker:\n  host: broker.example\nhubs:\n  - mac: '7C9EBDC53EDF'\n    address: 192.0.2.57\n"


def test_settings_of_the_bridge_in_its_place_are_refused_and_left_alone(write: Callable[..., Path]) -> None:
    path = write(YAML)
    assert refused(path).startswith(
        "YAML, as the bridge read it up to version 0.2.0; it was left alone. In vegehub.toml"
    )
    assert path.read_text(encoding="utf-8") == YAML


WORDS = st.sampled_from(
    [
        *("[hubs.beds]", "[hubs.b.inputs]", "[bridge]", "[[hubs]]", "address = '192.0.2.57'", "mac = '7C9EBDC53EDF'"),
        *("1 = { name = 'A', sensor = 'VH400' }", "2 = 'B'", "inputs = 5", "x = 1979-05-27", "=", '"', "{", "inf", "#"),
    ]
)


@given(st.lists(WORDS | st.text(max_size=8), max_size=10).map("\n".join).map(str.encode) | st.binary(max_size=60))
def test_a_file_is_a_garden_or_refused_and_nothing_else_happens(content: bytes) -> None:
    with suppress(VegeHubValueError), pytest.MonkeyPatch.context() as patch:
        patch.setattr(garden_module, "read_limited", lambda *_: content)
        for hub in Garden.load("vegehub.toml"):
            assert hub.wiring.name == hub.name


def test_two_hubs_made_by_a_program_cannot_be_taken_for_each_other_either() -> None:
    hubs = (GardenHub(name="a", address="192.0.2.57"), GardenHub(name="b", address="192.0.2.57"))
    with pytest.raises(VegeHubValueError, match=r"hubs\.b: its address is the address of hubs\.a too"):
        Garden(hubs=hubs)


# What becomes of it


def garden_of(*hubs: tuple[str, str, str]) -> Garden:
    return Garden(
        hubs=tuple(GardenHub(name=name, address=address, mac=mac, wiring=Wiring(name)) for name, address, mac in hubs)
    )


def kept(registry: Registry) -> list[tuple[Any, ...]]:
    return [(record.id, record.address, record.mac, record.firmware) for record in registry]


def test_a_registry_keeps_what_was_learned_and_takes_what_the_file_says() -> None:
    registry = Registry()
    old = registry.add("192.0.2.1", id="beds", mac=MAC, firmware="5.2.0", metadata={"zone": 1}, max_on=60)
    registry.add("192.0.2.9", id="found by itself")
    seen = datetime(2026, 5, 1, tzinfo=UTC)
    registry.update("beds", last_seen=seen)
    assert garden_of(("beds", "192.0.2.57", ""), ("lawn", "192.0.2.58", OTHER_MAC)).enter(registry) is registry
    beds = registry["beds"]
    assert (beds.address, beds.mac, beds.firmware, beds.metadata) == ("192.0.2.57", MAC, "5.2.0", {"zone": 1})
    assert (beds.created, beds.last_seen, beds.options, beds.wiring) == (old.created, seen, {}, Wiring("beds"))
    assert [record.id for record in registry] == ["beds", "found by itself", "lawn"]


def test_a_hub_that_was_found_before_it_had_a_name_keeps_what_was_learned() -> None:
    registry = Registry()
    registry.add("192.0.2.57", mac=MAC, firmware="5.2.0")
    registry.suspend(MAC)
    garden_of(("beds", "192.0.2.57", MAC)).enter(registry)
    assert kept(registry) == [("beds", "192.0.2.57", MAC, "5.2.0")]
    assert registry["beds"].suspended


def test_names_that_were_swapped_in_the_file_stay_with_their_hubs() -> None:
    registry = Registry()
    registry.add("192.0.2.1", id="beds", mac=MAC, firmware="1")
    registry.add("192.0.2.2", id="lawn", mac=OTHER_MAC, firmware="2")
    garden_of(("beds", "192.0.2.2", OTHER_MAC), ("lawn", "192.0.2.1", MAC)).enter(registry)
    assert kept(registry) == [("beds", "192.0.2.2", OTHER_MAC, "2"), ("lawn", "192.0.2.1", MAC, "1")]


def test_a_name_that_stands_for_another_hub_now_takes_nothing_over() -> None:
    registry = Registry()
    registry.add("192.0.2.1", id="beds", mac=MAC, firmware="1")
    registry.add("192.0.2.2", id="lawn", firmware="2")
    garden_of(("beds", "192.0.2.1", OTHER_MAC), ("lawn", "192.0.2.3", "")).enter(registry)
    assert kept(registry) == [("beds", "192.0.2.1", OTHER_MAC, ""), ("lawn", "192.0.2.3", "", "")]


def test_addresses_that_were_swapped_in_the_file_stand_in_nobodys_way() -> None:
    registry = Registry()
    registry.add("192.0.2.1", id="beds")
    registry.add("192.0.2.2", id="lawn")
    garden_of(("beds", "192.0.2.2", ""), ("lawn", "192.0.2.1", "")).enter(registry)
    assert sorted(kept(registry)) == [("beds", "192.0.2.2", "", ""), ("lawn", "192.0.2.1", "", "")]


def test_a_wiring_is_saved_with_the_registry(tmp_path: Path) -> None:
    registry, path = Registry(), tmp_path / "hubs.json"
    wiring = Wiring("Beds", [WiredInput(1, "Tomatoes", "VH400")])
    registry.add("192.0.2.57", id="beds", wiring=wiring)
    registry.add("192.0.2.58", id="lawn")
    registry.save(path)
    assert '"lawn"' in path.read_text(encoding="utf-8").partition('"wiring"')[2]
    loaded = Registry.load(path)
    assert loaded["beds"].wiring == wiring
    assert loaded["lawn"].wiring == Wiring()
    assert loaded.list() == registry.list()
    path.write_text(path.read_text(encoding="utf-8").replace("VH400", "VH40"), encoding="utf-8")
    with pytest.raises(VegeHubValueError, match=re.escape('hubs[0].wiring.inputs.1.sensor: unknown sensor "VH40"')):
        Registry.load(path)
    with pytest.raises(VegeHubValueError, match="wiring must be a Wiring, not dict"):
        registry.add("192.0.2.59", wiring={"name": "Shed"})  # type: ignore[arg-type]


async def test_a_manager_of_a_garden_names_readings_and_updates(vegehub_simulated_hub: SimulatedHub) -> None:
    simulated = vegehub_simulated_hub
    simulated.inputs[0].volts = 1.5
    wiring = Wiring("beds", [WiredInput(1, "Tomatoes", "VH400")])
    hub = GardenHub(name="beds", address=simulated.address, mac=simulated.mac, wiring=wiring, options={"max_on": 60})
    async with HubManager.from_garden(Garden(hubs=(hub,)), follow=False) as manager:
        assert manager.hub("beds").max_on == 60
        readings = (await manager.run(lambda each: each.get_readings()))["beds"]
        assert isinstance(readings, tuple)
        assert (readings[0].name, readings[0].unit) == ("Tomatoes", "%")
        heard: list[Any] = []
        manager.on("update", heard.append)
        payload = {"mac": simulated.mac, "sensors": [{"slot": 1, "samples": [{"v": 1.5}]}]}
        manager.take(parse_update(payload))
        while not heard:
            await manager.run(lambda each: each.get_info())
        assert heard[0].detail.readings[1].name == "Tomatoes"
        manager._registry.update("beds", wiring=Wiring("beds", [WiredInput(1, "Peppers")]))
        assert manager.hub("beds").wiring.input(1).name == "Peppers"
