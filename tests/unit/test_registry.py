"""Which hubs there are, and a file of them that is never half written."""
# ruff: noqa: A001, A002 - "id" is the word for what names a hub

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vegehub import files
from vegehub.exceptions import Outcome, VegeHubValueError
from vegehub.fleet import registry
from vegehub.fleet.registry import HubRecord, Registry

if TYPE_CHECKING:
    from pathlib import Path

MAC = "7C9EBD112233"
OTHER_MAC = "7C9EBD445566"
NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def hubs() -> Registry:
    return Registry()


# --- Ids ----------------------------------------------------------------------------------------------------------------


def test_the_id_is_the_users_choice_else_the_mac_else_a_number(hubs: Registry) -> None:
    ids = [
        hubs.add("10.0.0.1", id="Shed", mac=MAC).id,
        hubs.add("10.0.0.2", mac="7c:9e:bd:44:55:66").id,
        hubs.add("10.0.0.3").id,
        hubs.add("10.0.0.4").id,
    ]
    assert ids == ["Shed", OTHER_MAC, "hub-1", "hub-2"]
    hubs.remove("hub-1")
    assert hubs.add("10.0.0.5").id == "hub-1"


def test_an_id_that_is_taken_is_refused(hubs: Registry) -> None:
    hubs.add("10.0.0.1", id="Shed")
    with pytest.raises(VegeHubValueError, match="'Shed' is in the registry already") as caught:
        hubs.add("10.0.0.2", id="Shed")
    assert caught.value.outcome is Outcome.NOT_SENT
    assert len(hubs) == 1


@pytest.mark.parametrize("id", ["", "x" * 65, "a\x1b[31m", "two\nlines"])
def test_an_id_that_would_not_load_again_is_refused(hubs: Registry, id: str) -> None:
    with pytest.raises(VegeHubValueError, match="id"):
        hubs.add("10.0.0.1", id=id)


def test_an_id_never_names_another_hub_by_its_mac_or_address(hubs: Registry) -> None:
    hubs.add("10.0.0.1", mac=MAC)
    for id in ("10.0.0.1", "10.0.0.1:80", "7c-9e-bd-11-22-33"):
        with pytest.raises(VegeHubValueError, match="the id of one is the MAC or the address of the other"):
            hubs.add("10.0.0.2", id=id)
    hubs.add("10.0.0.3", id="10.0.0.99")
    with pytest.raises(VegeHubValueError, match="the id of one is"):
        hubs.add("10.0.0.99")
    with pytest.raises(VegeHubValueError, match="the id of one is"):
        hubs.update(MAC, address="10.0.0.99")
    hubs.add("10.0.0.4", id=OTHER_MAC)
    with pytest.raises(VegeHubValueError, match="the id of one is"):
        hubs.add("10.0.0.5", mac=OTHER_MAC, id="x")
    assert hubs.update("10.0.0.99", address="10.0.0.99").address == "10.0.0.99"


# --- Finding ------------------------------------------------------------------------------------------------------------


def test_a_hub_is_found_by_id_mac_and_address_in_any_spelling(hubs: Registry) -> None:
    record = hubs.add("Vege_22_33.local", id="Shed", mac=MAC)
    for key in ("Shed", MAC, "7c:9e:bd:11:22:33", "Vege_22_33.local", "vege_22_33.LOCAL:80"):
        assert hubs.get(key) is record
    for key in ("shed", OTHER_MAC, "Vege_22_33.local:81", "", "no such/thing"):
        assert hubs.get(key) is None


def test_an_address_that_was_handed_on_names_the_hub_that_came_last(hubs: Registry) -> None:
    hubs.add("10.0.0.1", mac=MAC)
    hubs.add("10.0.0.1", mac=OTHER_MAC)
    assert hubs.get("10.0.0.1") == hubs[OTHER_MAC]
    hubs.update(OTHER_MAC, address="10.0.0.2")
    assert hubs.get("10.0.0.1") == hubs[MAC]
    hubs.update(OTHER_MAC, address="10.0.0.1")
    assert hubs.get("10.0.0.1") == hubs[OTHER_MAC]
    hubs.remove(OTHER_MAC)
    assert hubs.get("10.0.0.1") == hubs[MAC]


def test_the_same_mac_or_an_address_whose_hub_is_not_known_is_refused(hubs: Registry) -> None:
    hubs.add("10.0.0.1", mac=MAC)
    with pytest.raises(VegeHubValueError, match=f"{MAC} is in the registry already"):
        hubs.add("10.0.0.2", mac=MAC, id="twice")
    with pytest.raises(VegeHubValueError, match=r"10\.0\.0\.1 is in the registry already"):
        hubs.add("10.0.0.1")
    assert len(hubs) == 1


def test_get_or_add_finds_by_mac_then_by_address_and_adds_what_is_new(hubs: Registry) -> None:
    added = hubs.get_or_add("10.0.0.1", name="Shed")
    assert hubs.get_or_add("10.0.0.1") is added
    learned = hubs.get_or_add("10.0.0.1", mac=MAC, name="ignored")
    assert (learned.id, learned.mac, learned.name) == ("hub-1", MAC, "Shed")
    assert hubs.get_or_add("10.0.0.9", mac=MAC) is learned
    assert hubs.get_or_add("10.0.0.1", mac=OTHER_MAC).id == OTHER_MAC
    assert len(hubs) == 2


def test_a_mac_that_is_the_id_of_another_hub_is_not_taken_for_its_mac(hubs: Registry) -> None:
    hubs.add("10.0.0.1", id=MAC, mac=OTHER_MAC)
    assert hubs.by_mac(MAC) is None
    assert hubs.by_mac("7c-9e-bd-44-55-66") == hubs[MAC]
    assert hubs.by_mac("") is None
    with pytest.raises(VegeHubValueError, match="already"):
        hubs.get_or_add("10.0.0.2", mac=MAC)


def test_records_are_listed_in_the_order_in_which_they_came(hubs: Registry) -> None:
    for n in (3, 1, 2):
        hubs.add(f"10.0.0.{n}", id=f"h{n}", mac="" if n == 2 else f"7C9EBD00000{n}")
    hubs.update("h3", address="10.0.0.9")
    assert [record.id for record in hubs.list()] == ["h3", "h1", "h2"]
    assert list(hubs) == list(hubs.list())


# --- Changing -----------------------------------------------------------------------------------------------------------


def test_an_update_changes_what_is_given_and_keeps_the_rest(hubs: Registry) -> None:
    before = hubs.add("10.0.0.1", id="Shed", name="Old", metadata={"row": 1}, timeout=3)
    after = hubs.update(
        "Shed", address="10.0.0.2", mac=MAC, name="New", firmware="5.1.2", metadata={"row": 2}, last_seen=NOON
    )
    assert after == hubs["Shed"]
    assert (after.address, after.mac, after.name, after.firmware) == ("10.0.0.2", MAC, "New", "5.1.2")
    assert (after.metadata, after.last_seen, after.options) == ({"row": 2}, NOON, {"timeout": 3})
    assert after.created == before.created
    assert before.address == "10.0.0.1"
    assert hubs.get("10.0.0.1") is None
    assert hubs.get(MAC) is after


def test_an_update_that_is_refused_changes_nothing(hubs: Registry) -> None:
    hubs.add("10.0.0.1", mac=MAC)
    record = hubs.add("10.0.0.2", mac=OTHER_MAC)
    for change in (
        {"mac": MAC},
        {"mac": "nonsense"},
        {"address": "http://10.0.0.2/"},
        {"metadata": {"x": {1, 2}}},
        {"last_seen": datetime(2025, 1, 1)},  # noqa: DTZ001 - a naive time is what is refused
    ):
        with pytest.raises(VegeHubValueError):
            hubs.update(OTHER_MAC, **change)
    assert hubs.get(OTHER_MAC) is record
    assert hubs.get("10.0.0.2") is record


def test_a_suspended_hub_keeps_its_record(hubs: Registry) -> None:
    record = hubs.add("10.0.0.1", id="Shed", mac=MAC)
    assert hubs.suspend("Shed").suspended
    assert hubs.get(MAC) == hubs["Shed"] != record
    assert hubs.resume("Shed") == record


def test_a_removed_hub_is_gone_and_may_come_again(hubs: Registry) -> None:
    record = hubs.add("10.0.0.1", id="Shed", mac=MAC)
    assert hubs.remove("Shed") is record
    assert [hubs.get(key) for key in ("Shed", MAC, "10.0.0.1")] == [None, None, None]
    hubs.add("10.0.0.1", id="Shed", mac=MAC)


@pytest.mark.parametrize("call", ["remove", "suspend", "resume", "update", "__getitem__"])
def test_a_hub_that_is_not_there_is_named(hubs: Registry, call: str) -> None:
    with pytest.raises(VegeHubValueError, match="no hub with the id 'nobody'"):
        getattr(hubs, call)("nobody")


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"session": object()}, "options.session: unknown key"),
        ({"api_key": "secret"}, "options.api_key: unknown key"),
        ({"timeout": 0}, "options.timeout"),
        ({"idle_timeout": 1e9}, "options.idle_timeout"),
        ({"verify_mac": 1}, "options.verify_mac"),
        ({"max_on": float("nan")}, "options.max_on"),
    ],
)
def test_options_are_those_of_a_hub_that_can_be_saved(hubs: Registry, arguments: dict[str, Any], place: str) -> None:
    with pytest.raises(VegeHubValueError, match=place):
        hubs.add("10.0.0.1", **arguments)
    assert len(hubs) == 0


def test_a_duration_among_the_options_is_kept_in_seconds(hubs: Registry) -> None:
    assert hubs.add("10.0.0.1", max_on=timedelta(minutes=5)).options == {"max_on": 300}


@pytest.mark.parametrize(
    "metadata", [{"x": object()}, {"x": float("nan")}, {"x": "\ud800"}, {"x": 10**30}, ["no mapping"], "text"]
)
def test_metadata_that_could_not_be_read_back_is_refused(hubs: Registry, metadata: Any) -> None:
    with pytest.raises(VegeHubValueError, match="metadata must be"):
        hubs.add("10.0.0.1", metadata=metadata)


def test_metadata_is_a_copy(hubs: Registry) -> None:
    metadata: dict[str, Any] = {"rows": (1, 2), "deep": {"x": 1}}
    record = hubs.add("10.0.0.1", metadata=metadata)
    metadata["deep"]["x"] = 2
    assert record.metadata == {"rows": [1, 2], "deep": {"x": 1}}


def test_names_of_a_peer_are_cleaned(hubs: Registry) -> None:
    record = hubs.add("10.0.0.1", name="\x1b[31mShed\x07", firmware="5\u202e.1")
    assert (record.name, record.firmware) == ("Shed", "5.1")
    record = hubs.update("hub-1", name="\x9bJHouse", firmware="6\x00")
    assert (record.name, record.firmware) == ("House", "6")


def test_a_record_is_frozen_and_hashable(hubs: Registry) -> None:
    record = hubs.add("10.0.0.1", metadata={"x": []})
    with pytest.raises(AttributeError):
        record.address = "10.0.0.2"  # type: ignore[misc]
    assert {record} == {record}


# --- The file -----------------------------------------------------------------------------------------------------------


def filled() -> Registry:
    hubs = Registry()
    hubs.add("10.0.0.1", id="Gewächshaus", mac=MAC, name="Vege_22_33", metadata={"row": [1, None]}, timeout=3.5)
    hubs.update("Gewächshaus", firmware="5.1.2", last_seen=NOON)
    hubs.add("[fe80::1%eth0]:8080", verify_mac=False, idle_timeout=None)
    hubs.suspend("hub-1")
    return hubs


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    saved = filled()
    saved.save(tmp_path / "hubs.json")
    loaded = Registry.load(tmp_path / "hubs.json")
    assert loaded.list() == saved.list()
    assert loaded.get(MAC) == saved["Gewächshaus"]
    assert loaded["hub-1"].suspended


def test_an_empty_registry_can_be_saved(tmp_path: Path) -> None:
    Registry().save(str(tmp_path / "hubs.json"))
    assert len(Registry.load(str(tmp_path / "hubs.json"))) == 0


def test_the_file_is_versioned_readable_and_private(tmp_path: Path) -> None:
    path = tmp_path / "hubs.json"
    filled().save(path)
    document = json.loads(path.read_text(encoding="utf-8"))
    assert (document["format"], document["version"]) == ("vegehub-registry", 1)
    assert "Gewächshaus" in path.read_text(encoding="utf-8")
    assert path.stat().st_mode & 0o777 == 0o600


def edited(**changes: Any) -> bytes:
    document = json.loads(filled()._document())
    for place, value in changes.items():
        *keys, last = (int(key) if key.isdigit() else key for key in place.split("__"))
        target = document
        for key in keys:
            target = target[key]
        target[last] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 5000, "nested too deeply|not JSON"),
        (b'{"format": "vegehub-registry", "version": 1, "hubs": [', "not JSON"),
        (b"[]", "expected an object"),
        (edited(version=2), "version: another version"),
        (edited(version=True), "version: another version"),
        (edited(format="other"), "format: expected"),
        (edited(hubs={}), "hubs: expected a list, got an object"),
        (edited(hubs=["text"]), r"hubs\[0\]"),
        (edited(hubs__0__name=7), r"hubs\[0\].name: expected text, got a number"),
        (edited(hubs__1__mac="none"), r"hubs\[1\].mac"),
        (edited(hubs__1__mac=MAC), r"hubs\[1\].mac: the same as hubs\[0\].mac"),
        (edited(hubs__1__address="10.0.0.1"), r"hubs\[1\]: 10.0.0.1 is in the registry already"),
        (edited(hubs__0__created="yesterday"), r"hubs\[0\].created"),
        (edited(hubs__0__suspended="no"), r"hubs\[0\].suspended: expected true or false, got text"),
        (edited(hubs__0__password="x"), r"hubs\[0\].password: unknown key"),
        (edited(hubs__0__options={"session": 1}), r"hubs\[0\].options.session: unknown key"),
    ],
    # The contents have the time at which they were made: workers that collect in different seconds would disagree.
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_file_is_refused_by_its_place_and_left_alone(tmp_path: Path, content: bytes, place: str) -> None:
    path = tmp_path / "hubs.json"
    path.write_bytes(content)
    with pytest.raises(VegeHubValueError, match=rf"hubs\.json: .*{place}" if place[0] != "n" else place) as caught:
        Registry.load(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["hubs.json"]  # noqa: PTH208 - names are what is compared


def test_fields_that_an_older_file_lacks_have_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "hubs.json"
    entry = {"id": "Shed", "address": "10.0.0.1"}
    path.write_text(json.dumps({"format": "vegehub-registry", "version": 1, "hubs": [entry]}))
    (record,) = Registry.load(path)
    assert record == HubRecord(id="Shed", address="10.0.0.1", created=record.created)


def test_a_file_that_is_not_there_is_told_from_a_broken_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"hubs\.json"):
        Registry.load(tmp_path / "hubs.json")


def test_a_file_too_large_to_load_is_neither_read_nor_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "hubs.json"
    filled().save(path)
    monkeypatch.setattr(registry, "MAX_FILE", 100)
    with pytest.raises(VegeHubValueError, match="larger than 100 bytes"):
        Registry.load(path)
    before = path.read_bytes()
    with pytest.raises(VegeHubValueError, match="too many"):
        filled().save(path)
    assert path.read_bytes() == before


async def test_saving_and_loading_do_not_block_the_loop(tmp_path: Path) -> None:
    await filled().async_save(tmp_path / "hubs.json")
    assert (await Registry.async_load(tmp_path / "hubs.json")).list()[0].id == "Gewächshaus"


async def test_of_saves_that_overlap_the_newest_state_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hubs = filled()
    path = tmp_path / "hubs.json"
    loop = asyncio.get_running_loop()
    real = loop.run_in_executor
    held: list[Any] = []

    async def hold(*call: Any) -> None:
        held.append(call)

    monkeypatch.setattr(loop, "run_in_executor", hold)
    await hubs.async_save(path)
    hubs.add("10.0.0.7", id="late")
    await hubs.async_save(path)
    await hubs.async_save(tmp_path / "other.json")
    monkeypatch.undo()
    for executor, *call in reversed(held):  # the threads come in the opposite order
        await real(executor, *call)
    assert [record.id for record in await Registry.async_load(path)] == ["Gewächshaus", "hub-1", "late"]
    assert (tmp_path / "other.json").exists()


def test_a_save_that_failed_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hubs, path = filled(), tmp_path / "hubs.json"
    with monkeypatch.context() as patched:
        patched.setattr(registry, "write_private", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(OSError, match="full"):
            hubs.save(path)
    hubs.save(path)
    assert Registry.load(path).list() == hubs.list()


CRASH = """
import json, os, pathlib, sys
from vegehub.fleet.registry import Registry

path = pathlib.Path(sys.argv[1])
CALLS = ("open", "write", "fsync", "replace", "rename", "close", "unlink")

def registry_of(*ids):
    hubs = Registry()
    for number, id in enumerate(ids):
        hubs.add(f"10.0.1.{number}", id=id)
    return hubs

NEW = [f"new-{number}" for number in range(50)]

def save_and_die(step, before):
    new = registry_of(*NEW)
    seen = 0
    def dying(name, real):
        def call(*arguments, **options):
            nonlocal seen
            seen += 1
            if seen == step and before:
                if name == "write":
                    real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                os._exit(9)
            result = real(*arguments, **options)
            if seen == step:
                os._exit(9)
            return result
        return call
    for name in CALLS:
        setattr(os, name, dying(name, getattr(os, name)))
    new.save(path)
    os._exit(0)

outcomes = []
for before in (True, False):
    step, died = 1, True
    while died:
        registry_of("old").save(path)
        child = os.fork()
        if child == 0:
            save_and_die(step, before)
        died = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        ids = [record.id for record in Registry.load(path)]
        content = "old" if ids == ["old"] else "new" if ids == NEW else "broken"
        outcomes.append([before, step, died, content])
        step += 1
print(json.dumps(outcomes))
"""


def test_a_process_that_dies_at_any_step_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CRASH, str(tmp_path / "hubs.json")], check=True, capture_output=True, text=True
    )
    outcomes = json.loads(done.stdout)
    assert {content for *_, content in outcomes} == {"old", "new"}
    for before in (True, False):
        contents = [content for when, _, _, content in outcomes if when is before]
        died = [died for when, _, died, _ in outcomes if when is before]
        # open, write, sync, close, replace, and the same for the folder: each was a place to die
        assert len(contents) > 6
        assert died == [True] * (len(died) - 1) + [False]
        assert contents == sorted(contents, reverse=True)  # the old one up to some step, the new one from there on


def test_what_registry_writes_goes_through_the_one_way_a_file_is_written() -> None:
    assert registry.write_private is files.write_private


@given(
    entries=st.lists(
        st.tuples(
            st.sampled_from(["10.0.0.1", "10.0.0.2", "Vege.local", "10.0.0.1:80"]),
            st.none() | st.sampled_from(["a", "b", "10.0.0.2", MAC]),
            st.sampled_from(["", MAC, OTHER_MAC]),
            st.text(max_size=70),
        ),
        max_size=6,
    )
)
def test_whatever_was_added_loads_again_and_is_found_by_no_name_of_another(
    entries: list[tuple[str, str | None, str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    hubs = Registry()
    for address, id, mac, name in entries:
        try:
            hubs.add(address, id=id, mac=mac, name=name)
        except VegeHubValueError:
            continue
    path = tmp_path_factory.getbasetemp() / "any-hubs.json"
    hubs.save(path)
    assert Registry.load(path).list() == hubs.list()
    for record in hubs:
        assert hubs.get(record.id) is record
        if record.mac:
            assert hubs.get(record.mac) is record
