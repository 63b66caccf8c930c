"""What people edit is checked, and an error names the file and the place in it."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import voluptuous as vol
from hypothesis import given
from hypothesis import strategies as st

from vegehub import Outcome, VegeHub, VegeHubValueError
from vegehub.fleet.schema import check, named_schema
from vegehub.hub.backup import backup_document
from vegehub.wire.redact import REDACTED

if TYPE_CHECKING:
    from collections.abc import Callable

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["format", "version", "hubs", "config", "id", "url", "options"]) | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


def registry(**changes: Any) -> dict[str, Any]:
    """A registry with three hubs; `changes` concern the last one."""
    hub = {
        "id": "shed",
        "address": "192.168.0.57:80",
        "mac": "7C:9E:BD:11:22:33",
        "name": "Vege_22_33",
        "firmware": "5.1.2",
        "created": "2025-01-31T12:00:00+00:00",
        "last_seen": None,
        "suspended": True,
        "metadata": {"field": ["north"]},
        "options": {"timeout": 5, "idle_timeout": None, "verify_mac": False, "max_on": 600.0},
    }
    others = [{"id": "one", "address": "Vege_A6_20.local"}, {"id": "two", "address": "[fe80::1%eth0]:8080"}]
    return {"format": "vegehub-registry", "version": 1, "hubs": [*others, {**hub, **changes}]}


def backup(**changes: Any) -> dict[str, Any]:
    config = {"hub": {"name": "Shed"}, "api_key": "s3cr3t", "endpoints": []}
    return {**backup_document(config, "7C9EBD112233", "5.1.2", datetime(2025, 1, 31, tzinfo=UTC)), **changes}


def server(**changes: Any) -> dict[str, Any]:
    return {"url": "http://192.168.0.10:8123/api/webhook/s3cr3t", "api_key": "s3cr3t", "name": "Farm", **changes}


def refusal(name: str, document: Any) -> VegeHubValueError | None:
    try:
        check(name, document, "file")
    except VegeHubValueError as err:
        return err
    return None


GOOD: dict[str, Callable[..., dict[str, Any]]] = {"registry": registry, "backup": backup, "server": server}


# What is right


@pytest.mark.parametrize("name", GOOD)
def test_a_good_document_is_returned_as_it_is(name: str) -> None:
    document = GOOD[name]()
    expected = copy.deepcopy(document)
    if name == "registry":
        blank = {"mac": "", "name": "", "firmware": "", "created": None, "last_seen": None}
        expected["hubs"] = [{**blank, "metadata": {}, "options": {}, **hub} for hub in expected["hubs"]]
        expected["hubs"][2]["mac"] = "7C9EBD112233"
    untouched = copy.deepcopy(document)
    assert check(name, document, "file") == expected
    assert document == untouched
    assert check(name, json.loads(json.dumps(expected)), "file") == expected


def test_what_may_be_left_out_gets_its_default() -> None:
    assert check("server", {"url": "http://h"}, "s") == {"url": "http://h", "api_key": "", "name": "HomeAssistant"}
    least = {"format": "vegehub-backup", "version": 1, "config": {}}
    assert check("backup", least, "b") == {**least, "mac": "", "firmware": "", "saved_at": None}
    assert check("registry", {"format": "vegehub-registry", "version": 1, "hubs": []}, "r")["hubs"] == []


def test_text_is_taken_up_to_its_limit() -> None:
    longest = {"url": "http://h", "api_key": "x" * 64, "name": "x" * 32}
    assert check("server", longest, "s") == longest


def test_defaults_are_not_shared_between_documents() -> None:
    document = registry()
    checked = [check("registry", document, "r") for _ in range(2)]
    checked[0]["hubs"][0]["metadata"]["x"] = 1
    assert checked[1]["hubs"][0]["metadata"] == {}


# What is wrong


@pytest.mark.parametrize(
    ("name", "document", "text"),
    [
        ("registry", registry(address=5), "hubs[2].address: expected text, got a number"),
        ("registry", registry(address="http://x/y"), "hubs[2].address: 'http://x/y' is not a valid address"),
        ("registry", registry(address=""), "hubs[2].address: '' is not a valid address"),
        ("registry", registry(id=""), "hubs[2].id: 0 characters; 1 to 64 are allowed"),
        ("registry", registry(id="x" * 65), "hubs[2].id: 65 characters; 1 to 64 are allowed"),
        ("registry", registry(id=None), "hubs[2].id: expected text, got null"),
        ("registry", registry(id="two"), "hubs[2].id: the same as hubs[1].id"),
        ("registry", registry(name="a\x1b[31m"), "hubs[2].name: a control character is not allowed"),
        ("registry", registry(mac="7C9EBD11223"), "hubs[2].mac: must be a MAC of 12 hex digits, or empty"),
        ("registry", registry(created="yesterday"), "hubs[2].created: must be a time with its zone"),
        ("registry", registry(last_seen="2025-01-31T12:00:00"), "hubs[2].last_seen: must be a time with its zone"),
        ("registry", registry(metadata=[]), "hubs[2].metadata: expected an object, got a list"),
        ("registry", registry(options="x"), "hubs[2].options: expected an object, got text"),
        ("registry", registry(options={"timout": 5}), "hubs[2].options.timout: unknown key"),
        ("registry", registry(options={"timeout": 0}), "hubs[2].options.timeout: timeout must be 0.05 to 3600 seconds"),
        ("registry", registry(options={"timeout": None}), "hubs[2].options.timeout: timeout must be"),
        (
            "registry",
            registry(options={"idle_timeout": 0.5}),
            "hubs[2].options.idle_timeout: idle_timeout must be 1 to",
        ),
        ("registry", registry(options={"max_on": True}), "hubs[2].options.max_on: max_on must be 1 to"),
        ("registry", registry(options={"verify_mac": 1}), "hubs[2].options.verify_mac: expected true or false, got a"),
        ("registry", registry(suspended=0), "hubs[2].suspended: expected true or false, got a number"),
        ("registry", registry(shoe_size=5), "hubs[2].shoe_size: unknown key"),
        ("registry", registry(**{"\x1b[31m": 5}), "hubs[2]['\\x1b[31m']: unknown key"),
        ("registry", {**registry(), "hubs": None}, "hubs: expected a list, got null"),
        ("registry", {**registry(), "hubs": [None]}, "hubs[0]: expected an object, got null"),
        ("registry", {**registry(), "hubs": [{"id": "x"}]}, "hubs[0].address: missing"),
        ("registry", {"format": "vegehub-registry", "version": 1}, "hubs: missing"),
        ("backup", backup(config=[]), "config: expected an object, got a list"),
        ("backup", backup(config={"a": [{"api_key": REDACTED}]}), "config: a[0].api_key was redacted"),
        ("backup", backup(saved_at=5), "saved_at: expected text, got a number"),
        ("backup", backup(mac=None), "mac: expected text, got null"),
        ("backup", backup(extra=1), "extra: unknown key"),
        ("server", server(url=None), "url: expected text, got null"),
        ("server", server(url="ftp://h"), "url: expected http:// or https://, a host"),
        ("server", server(url="http://"), "url: expected http:// or https://, a host"),
        ("server", server(url="h/x"), "url: expected http:// or https://, a host"),
        ("server", server(api_key="x" * 65), "api_key: 65 characters; 0 to 64 are allowed"),
        ("server", server(api_key=5), "api_key: expected text, got a number"),
        ("server", server(name=""), "name: 0 characters; 1 to 32 are allowed"),
        ("server", server(name="x" * 33), "name: 33 characters; 1 to 32 are allowed"),
        ("server", server(a=1), "a: unknown key"),
        ("server", {}, "url: missing"),
        ("server", [], "expected an object, got a list"),
    ],
)
def test_an_error_names_source_and_place(name: str, document: Any, text: str) -> None:
    with pytest.raises(VegeHubValueError) as caught:
        check(name, document, "my file")
    assert str(caught.value).startswith(f"my file: {text}")
    assert caught.value.outcome is Outcome.NOT_SENT


@pytest.mark.parametrize("name", ["registry", "backup"])
@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"format": "vegehub-other"}, "format: expected 'vegehub-{name}'"),
        ({"format": None}, "format: expected 'vegehub-{name}'"),
        ({"version": 2}, "version: another version of this format; this library reads version 1"),
        ({"version": "1"}, "version: another version of this format; this library reads version 1"),
        ({"version": True}, "version: another version of this format; this library reads version 1"),
        ({"version": None}, "version: another version of this format; this library reads version 1"),
    ],
)
def test_another_format_or_version_is_refused_by_that_alone(name: str, change: dict[str, Any], text: str) -> None:
    document = {**GOOD[name](), **change, "hubs": "of another kind", "config": "of another kind"}
    with pytest.raises(VegeHubValueError) as caught:
        check(name, document, "file")
    assert str(caught.value) == f"file: {text.format(name=name)}"


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("document", [None, [], "text", 5, True])
def test_what_is_no_object_is_refused(name: str, document: Any) -> None:
    with pytest.raises(
        VegeHubValueError, match=r"file: expected an object, got (null|a list|text|a number|true or fa)"
    ):
        check(name, document, "file")


def test_two_hubs_may_lack_a_mac_but_not_share_one() -> None:
    document = registry()
    document["hubs"][0]["mac"] = "7c-9e-bd-11-22-33"
    with pytest.raises(VegeHubValueError, match=r"hubs\[2\]\.mac: the same as hubs\[0\]\.mac"):
        check("registry", document, "file")


def test_of_many_errors_the_first_few_are_told() -> None:
    with pytest.raises(VegeHubValueError) as caught:
        check("server", {"url": 5, "name": 5, "api_key": 5, "a": 1, "b": 2}, "file")
    assert str(caught.value).count("; ") == 3
    assert str(caught.value).endswith("; and 2 more")


@pytest.mark.parametrize(
    "document",
    [server(name=5), server(url="ftp://h/s3cr3t"), server(api_key="s3cr3t" * 20), server(url="http://h:x/s3cr3t")],
)
def test_an_error_never_quotes_a_secret(document: dict[str, Any]) -> None:
    with pytest.raises(VegeHubValueError) as caught:
        check("server", document, "file")
    assert "s3cr3t" not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize("option", ["timeout", "idle_timeout", "max_on"])
@pytest.mark.parametrize("value", [0, 0.04, 0.05, 0.9, 1, 3600, 3600.5, 604800, 604801, -1, "5", True])
def test_a_registry_takes_the_options_that_a_hub_takes(option: str, value: Any) -> None:
    def by_the_client() -> bool:
        try:
            VegeHub("127.0.0.1", **{option: value})
        except VegeHubValueError:
            return False
        return True

    assert (refusal("registry", registry(options={option: value})) is None) == by_the_client()


@pytest.mark.parametrize("name", GOOD)
@given(document=JSON)
def test_any_document_is_taken_or_refused(name: str, document: Any) -> None:
    for candidate in (document, {**GOOD[name](), "hubs": document, "config": document, "url": document}):
        error = refusal(name, candidate)
        assert error is None or str(error).startswith("file: ")


# Schemas of one's own


def places(error: VegeHubValueError) -> set[str]:
    """What comes behind them are voluptuous' own words, or of whatever stands in its place."""
    return {text.rpartition(": ")[0] for text in str(error).removeprefix("bridge.yaml: ").split("; ")}


def test_an_error_of_a_schema_of_ones_own_names_source_and_place() -> None:
    schema = vol.Schema({vol.Required("broker"): {"port": int, "tls": bool, "topics": [str], "scale": float}})
    assert check(schema, {"broker": {"port": 1883}}, "bridge.yaml") == {"broker": {"port": 1883}}
    with pytest.raises(VegeHubValueError, match=r"^bridge\.yaml: ") as caught:
        check(schema, {"broker": {"port": "x", "tls": 1, "topics": {}}}, "bridge.yaml")
    assert places(caught.value) == {"broker.port", "broker.tls", "broker.topics"}


def test_the_errors_of_a_schema_are_known_whatever_library_it_is_of() -> None:
    class OtherError(Exception):
        path = ("broker", "port")
        error_message = "not that one"

    def refuse(_: Any) -> None:
        raise OtherError

    with pytest.raises(VegeHubValueError, match=r"^file: broker\.port: not that one$"):
        check(refuse, {}, "file")


def test_an_error_in_a_schema_of_ones_own_is_not_taken_for_one_of_the_document() -> None:
    def stumble(_: Any) -> None:
        raise KeyError("port")

    with pytest.raises(KeyError):
        check(stumble, {}, "file")


def test_schemas_live_on_when_another_library_takes_the_place_of_voluptuous() -> None:
    code = """
import sys, types
from vegehub.fleet.schema import check
check("server", {"url": "http://h"}, "s")
for name in [name for name in sys.modules if name.partition(".")[0] == "voluptuous"]:
    del sys.modules[name]
import voluptuous
for name, document in (("server", {"url": 5}), ("registry", {"format": "vegehub-registry", "version": 2})):
    try:
        check(name, document, "file")
    except ValueError as err:
        print(err)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == [
        "file: url: expected text, got a number",
        "file: version: another version of this format; this library reads version 1",
    ]


def test_a_single_check_will_do_as_a_schema() -> None:
    def refuse(_: Any) -> None:
        raise vol.Invalid("not today")

    with pytest.raises(VegeHubValueError, match=r"^file: not today$"):
        check(refuse, {}, "file")


def test_an_unknown_schema_is_refused() -> None:
    with pytest.raises(VegeHubValueError, match="known are server, backup, registry"):
        named_schema("settings")


def test_voluptuous_is_loaded_only_when_something_is_checked() -> None:
    code = (
        "import sys, vegehub.fleet.schema; before = 'voluptuous' in sys.modules; "
        "vegehub.fleet.schema.check('server', {'url': 'http://h'}, 's'); print(before, 'voluptuous' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "True"]
