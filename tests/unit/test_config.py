"""Edits of a configuration: our server never doubles, everybody else's settings stay, and each change can be undone."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vegehub.exceptions import Outcome, VegeHubPayloadError, VegeHubValueError
from vegehub.hub.backup import backup_document, diff, restore_document
from vegehub.wire.config import (
    ServerChange,
    check_api_key,
    check_server_name,
    check_server_url,
    list_servers,
    modify_device_config,
    plan_removal,
    plan_server,
    sendable,
    shape_of,
)
from vegehub.wire.redact import redact

URL = "http://192.168.0.10:8123/api/webhook/s3cr3t-hook"
MOVED = "http://192.168.0.99:8123/api/webhook/s3cr3t-hook"
KEY = "s3cr3t-key"
CLOUD = {
    "id": 1,
    "name": "VegeCloud",
    "type": "vegecloud",
    "enabled": True,
    "connection_method": "wifi",
    "config": {"api_key": "0000000000000000", "route_key": "12345678", "server_url": "https://api.vegecloud.com/v2"},
}


def endpoint(number: Any = 2, url: Any = URL, name: Any = "HomeAssistant", **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "name": name,
        "type": "custom",
        "enabled": True,
        "connection_method": "wifi",
        "config": {"api_key": KEY, "data_format": "json", "url": url},
        **more,
    }


def new_config(*entries: Any, **more: Any) -> dict[str, Any]:
    return {"hub": None, "api_key": None, "endpoints": list(entries), "error": "success", **more}


def old_config(url: Any = "https://api.vegecloud.com/v2", kind: Any = 1, key: Any = "OLDKEY") -> dict[str, Any]:
    hub = {"name": "Shed", "server_url": url, "update_urls": [], "server_type": kind, "dns": ""}
    return {"hub": hub, "api_key": key, "endpoints": None, "error": "success"}


def plan(config: Any, url: str = URL, key: str = KEY, name: str = "HomeAssistant") -> ServerChange:
    change = plan_server(config, url, key, name)
    assert change is not None
    return change


def apply(config: dict[str, Any], document: Any) -> dict[str, Any]:
    """Store a document as a hub does: each section that is sent replaces the stored one."""
    return {**config, **copy.deepcopy(dict(document))}


# What is of which firmware


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        (new_config(), "endpoints"),
        ({"endpoints": []}, "endpoints"),
        ({"hub": {"firmware_version": "5.1.2"}, "api_key": "", "endpoints": [], "error": "success"}, "endpoints"),
        (old_config(), "hub"),
        ({"hub": {}, "api_key": None}, "hub"),
        ({"hub": None, "api_key": "", "endpoints": None}, None),
        ({"hub": {}, "endpoints": None}, None),
        ({"hub": {}, "api_key": "", "endpoints": {}}, "hub"),
        ({"endpoints": {}}, None),
        ({"endpoints": "[]"}, None),
        ({}, None),
        (None, None),
        ([], None),
        ("endpoints", None),
        (7, None),
    ],
)
def test_firmware_is_told_by_shape(config: Any, shape: str | None) -> None:
    assert shape_of(config) == shape
    assert (plan_server(config, URL) is None) is (shape is None)


# The established name


def test_modify_device_config_points_old_firmware_at_the_server() -> None:
    config = old_config()
    assert modify_device_config(config, KEY, URL) == {
        "hub": {"name": "Shed", "server_url": URL, "update_urls": [], "server_type": 3, "dns": ""},
        "api_key": KEY,
        "endpoints": None,
        "error": "success",
    }
    assert config == old_config()


def test_modify_device_config_appends_to_new_firmware() -> None:
    config = new_config(CLOUD)
    result = modify_device_config(config, KEY, URL)
    assert result == new_config(CLOUD, endpoint(2))
    assert json.dumps(result) == json.dumps(new_config(CLOUD, endpoint(2)))
    assert config == new_config(CLOUD)


@pytest.mark.parametrize("config", [None, {}, {"hub": {}}, {"api_key": ""}, {"endpoints": None, "hub": None}])
def test_modify_device_config_gives_none_for_an_unknown_shape(config: Any) -> None:
    assert modify_device_config(config, KEY, URL) is None


def test_modify_device_config_never_doubles_and_takes_its_arguments_as_they_are() -> None:
    once = modify_device_config(new_config(), "k" * 500, "no url")
    assert modify_device_config(once, "k" * 500, "no url") == once


def test_modify_device_config_keeps_what_it_does_not_send() -> None:
    wifi = {"wifi_ssid": "GardenNet", "wifi_pw": "secret"}
    result = modify_device_config(new_config(wifi=wifi), KEY, URL)
    assert result is not None
    assert result["wifi"] == wifi


def test_sendable_leaves_out_the_error_and_empty_sections_only() -> None:
    document = {"hub": {"dns": None}, "api_key": "", "endpoints": None, "sensors": [], "agenda": 0, "error": "success"}
    assert sendable(document) == {"hub": {"dns": None}, "api_key": "", "sensors": [], "agenda": 0}


# New firmware


def test_a_first_server_is_appended_with_the_next_id() -> None:
    change = plan(new_config({**CLOUD, "id": 7}, {**CLOUD, "id": 3}))
    assert change.shape == "endpoints"
    assert change.changed
    assert change.before == ()
    assert change.after == endpoint(8)
    assert change.document == {"endpoints": [{**CLOUD, "id": 7}, {**CLOUD, "id": 3}, endpoint(8)]}


@pytest.mark.parametrize(
    ("ids", "expected"),
    [([], 1), (["9", None, True, 2], 3), ([2, 3.0], 4), ([-5], -4), ([-5, 1], 2), ([None], 1), ([[], {}], 1)],
)
def test_the_next_id_counts_ints_only_and_is_free(ids: list[Any], expected: int) -> None:
    change = plan(new_config(*({**CLOUD, "id": one} for one in ids)))
    assert change.after["id"] == expected
    assert expected not in ids


@pytest.mark.parametrize(
    "present",
    [
        URL,
        MOVED,
        "http://192.168.0.10/other",
        "https://192.168.0.10:8123/api/webhook/s3cr3t-hook",
        "HTTP://192.168.0.10:8123/api/webhook/s3cr3t-hook",
    ],
)
def test_our_endpoint_is_updated_in_its_place(present: str) -> None:
    ours = endpoint(4, present, enabled=False, colour="green")
    ours["config"] = {"url": present, "retries": 3, "api_key": "x"}
    change = plan(new_config(ours, CLOUD))
    expected = {**ours, "enabled": True}
    expected["config"] = {"url": URL, "retries": 3, "api_key": KEY, "data_format": "json"}
    assert change.before == (ours,)
    assert json.dumps(change.document) == json.dumps({"endpoints": [expected, CLOUD]})


def test_the_data_format_of_our_endpoint_is_kept_in_its_place() -> None:
    ours = endpoint()
    ours["config"]["data_format"] = "csv"
    change = plan(new_config(ours))
    assert not change.changed
    assert json.dumps(change.document["endpoints"]) == json.dumps([ours])


@pytest.mark.parametrize(
    "other",
    [
        endpoint(url="http://192.168.0.99:8123/api/webhook/else"),  # our name, but another host and path
        endpoint(url=MOVED, name="Node-RED"),  # our path, but another name and host
        endpoint(url="http://192.168.0.10:1880/vege", name="Node-RED"),  # our host, but another name and path
        endpoint(url=None),
        endpoint(url="http://[broken/api"),
        endpoint(url="/api/webhook/s3cr3t-hook"),
        endpoint(type="vegecloud"),
        endpoint(type=None),
        endpoint(config=None),
        endpoint(config=[]),
        {"type": "custom"},
        None,
        "endpoint",
        [URL],
        7,
    ],
)
def test_what_is_not_ours_stays_as_it_is(other: Any) -> None:
    change = plan(new_config(other, CLOUD))
    assert change.before == ()
    assert json.dumps(change.document["endpoints"][:2]) == json.dumps([other, CLOUD])
    assert len(change.document["endpoints"]) == 3


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://ha.local/x", "HTTP://HA.Local:80/x", True),
        ("https://ha.local/x", "https://ha.local:443/x", True),
        ("http://ha.local", "http://ha.local/", True),
        ("http://ha.local/?a=1", "http://ha.local?a=1", True),
        ("http://ha.local/x", "http://ha.local/x/", False),
        ("http://ha.local/x", "http://ha.local/X", False),
        ("http://ha.local/x", "https://ha.local/x", False),
        ("http://ha.local/x", "http://ha.local:8123/x", False),
        ("http://ha.local/x", "http://ha.local/x?key=1", False),
        ("http://a@ha.local/x", "http://b@ha.local/x", False),
    ],
)
def test_spellings_of_one_url_are_one_server(one: str, other: str, same: bool) -> None:
    change = plan(new_config(endpoint(2, one, name="another name")), other)
    assert bool(change.before) is same


def test_doubles_that_other_clients_left_are_removed() -> None:
    first, second, third = endpoint(2, MOVED), endpoint(2), endpoint(3, name="old name")
    foreign = endpoint(4, "http://192.168.0.77/x", name="Node-RED")
    config = new_config(CLOUD, first, foreign, second, third)
    change = plan(config)
    assert change.document["endpoints"] == [CLOUD, endpoint(2), foreign]
    assert change.before == (first, second, third)
    assert plan_removal(apply(config, change.document), change) == {
        "endpoints": [CLOUD, first, foreign, {**second, "id": 5}, third]
    }


def test_setting_a_server_thrice_leaves_one() -> None:
    config = new_config(CLOUD)
    for _ in range(3):
        config = apply(config, plan(config).document)
    assert config["endpoints"] == [CLOUD, endpoint(2)]
    assert not plan(config).changed


def test_what_was_read_is_sent_back_but_no_wifi_and_nothing_empty() -> None:
    hub = {"name": "Shed", "dns": None}
    config = {"hub": hub, "api_key": "", "endpoints": [], "wifi": {"wifi_pw": "x"}, "special": None, "error": "success"}
    assert plan(config).document == {"hub": hub, "api_key": "", "endpoints": [endpoint(1)]}


# Old firmware


def test_old_firmware_gets_the_three_settings_and_keeps_the_rest() -> None:
    config = old_config()
    change = plan(config)
    assert change.shape == "hub"
    assert change.changed
    assert change.before == ({"server_url": "https://api.vegecloud.com/v2", "server_type": 1, "api_key": "OLDKEY"},)
    assert change.after == {"server_url": URL, "server_type": 3, "api_key": KEY}
    expected = {"hub": {**config["hub"], "server_url": URL, "server_type": 3}, "api_key": KEY}
    assert json.dumps(change.document) == json.dumps(expected)


@pytest.mark.parametrize(
    "config",
    [
        old_config(),
        old_config(url="", kind=3, key=""),
        old_config(url=None, kind=None),
        {"hub": {"name": "Shed"}, "api_key": "x", "sensors": [], "error": "success"},
    ],
)
def test_removal_brings_the_previous_server_of_old_firmware_back(config: dict[str, Any]) -> None:
    change = plan(config)
    assert plan_removal(apply(config, change.document), change) == sendable(config)


def test_an_api_key_that_was_null_comes_back_as_empty() -> None:
    config = old_config(key=None)
    change = plan(config)
    removal = plan_removal(apply(config, change.document), change)
    assert removal == {"hub": config["hub"], "api_key": ""}


def test_removal_on_old_firmware_keeps_later_edits() -> None:
    config = old_config()
    change = plan(config)
    now = apply(config, change.document)
    now["hub"]["name"] = "Greenhouse"
    removal = plan_removal(now, change)
    assert removal == {"hub": {**config["hub"], "name": "Greenhouse"}, "api_key": "OLDKEY"}


@pytest.mark.parametrize("later", [{"server_url": MOVED}, {"server_url": None}, {"server_type": 1}])
def test_removal_leaves_a_server_that_somebody_set_later(later: dict[str, Any]) -> None:
    change = plan(old_config())
    now = apply(old_config(), change.document)
    now["hub"].update(later)
    assert plan_removal(now, change) is None


# Undoing on new firmware


def test_removal_takes_an_added_endpoint_away_and_keeps_later_edits() -> None:
    config = new_config(CLOUD)
    change = plan(config)
    later = endpoint(9, "http://192.168.0.77/x", name="Node-RED")
    now = apply(config, {"endpoints": [later, *change.document["endpoints"]]})
    assert plan_removal(now, change) == {"endpoints": [later, CLOUD]}


def test_removal_puts_an_updated_endpoint_back_but_for_later_edits() -> None:
    before = endpoint(2, MOVED, enabled=False)
    before["config"] = {"url": MOVED, "api_key": "before"}
    change = plan(new_config(before))
    now = apply(new_config(before), change.document)
    assert plan_removal(now, change) == {"endpoints": [before]}
    now["endpoints"][0]["name"] = "renamed"
    now["endpoints"][0]["config"]["data_format"] = "csv"
    now["endpoints"][0]["config"]["api_key"] = "cut by the"
    expected = {**before, "name": "renamed", "config": {**before["config"], "data_format": "csv"}}
    assert plan_removal(now, change) == {"endpoints": [expected]}


def test_removal_leaves_out_keys_that_the_endpoint_did_not_have() -> None:
    before = endpoint(2, URL)
    del before["enabled"], before["name"], before["config"]["api_key"]
    change = plan(new_config(before))
    assert plan_removal(apply(new_config(before), change.document), change) == {"endpoints": [before]}


def test_removal_finds_our_endpoint_after_the_hub_has_numbered_anew() -> None:
    change = plan(new_config(CLOUD))
    now = new_config(CLOUD, endpoint(41))
    assert plan_removal(now, change) == {"endpoints": [CLOUD]}


def test_removal_twice_is_removal_once() -> None:
    doubles = [endpoint(2, MOVED), endpoint(3), endpoint(4)]
    config = new_config(*doubles)
    change = plan(config)
    undone = plan_removal(apply(config, change.document), change)
    assert undone == {"endpoints": doubles}
    assert plan_removal(apply(config, undone), change) is None


def test_removal_does_not_bring_back_what_somebody_brought_back() -> None:
    doubles = [endpoint(2), endpoint(3), endpoint(4)]
    change = plan(new_config(*doubles))
    now = new_config(endpoint(2), endpoint(8))
    assert plan_removal(now, change) == {"endpoints": [endpoint(2), endpoint(8), endpoint(4)]}


def test_a_removed_double_gets_a_new_id_where_its_own_is_taken() -> None:
    config = new_config(endpoint(2), endpoint(3))
    change = plan(config)
    taken = {**CLOUD, "id": 3}
    now = apply(config, {"endpoints": [*change.document["endpoints"], taken]})
    assert plan_removal(now, change) == {"endpoints": [endpoint(2), endpoint(4), taken]}


@pytest.mark.parametrize(
    "now",
    [
        new_config(),
        new_config(CLOUD),
        new_config(endpoint(2, "http://192.168.0.77/x")),
        new_config(None, 7, {"type": "custom", "config": {"url": URL + "/x"}}),
        old_config(),
        {},
        None,
        [],
    ],
)
def test_removal_writes_nothing_where_nothing_of_ours_is_left(now: Any) -> None:
    assert plan_removal(now, plan(new_config(endpoint(2, MOVED), endpoint(3)))) is None


@pytest.mark.parametrize("config", [new_config(CLOUD, endpoint()), old_config(URL, 3, KEY)])
def test_a_change_that_changes_nothing_is_known_as_such_and_needs_no_undoing(config: dict[str, Any]) -> None:
    change = plan(config)
    assert not change.changed
    assert plan_removal(config, change) is None
    assert "stays at" in change.summary


# Random configurations

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
URLS = st.sampled_from([URL, MOVED, "HTTP://192.168.0.10:8123", "http://ha.local/x", "http://[x", ""]) | JSON
IDS = st.integers(-3, 9) | st.sampled_from(["1", "2", None, True, 2.0])
ENDPOINTS = (
    st.fixed_dictionaries(
        {"type": st.sampled_from(["custom", "custom", "vegecloud", None])},
        optional={
            "id": IDS,
            "name": st.sampled_from(["HomeAssistant", "Node-RED", None]),
            "enabled": st.sampled_from([True, False, None, 1]),
            "config": st.fixed_dictionaries(
                {"url": URLS}, optional={"api_key": st.sampled_from([KEY, "", None]), "data_format": JSON, "x": JSON}
            )
            | JSON,
            "more": JSON,
        },
    )
    | JSON
)
SECTIONS = {"wifi": JSON, "sensors": JSON, "error": JSON, "who_updated": JSON}
HUBS = st.fixed_dictionaries({}, optional={"server_url": URLS, "server_type": st.integers(1, 3) | JSON, "name": JSON})
NEW = st.fixed_dictionaries(
    {"endpoints": st.lists(ENDPOINTS, max_size=5)}, optional={"hub": HUBS | JSON, "api_key": JSON, **SECTIONS}
)
OLD = st.fixed_dictionaries(
    {"hub": HUBS, "api_key": st.sampled_from([KEY, "", "x"])}, optional={"endpoints": st.none(), **SECTIONS}
)
TARGETS = st.sampled_from([URL, MOVED, "http://192.168.0.10:8123/", "http://ha.local/x"])


def mine(entries: list[Any], url: str) -> list[Any]:
    return [entry for entry in entries if isinstance(entry, dict) and plan(new_config(entry), url).before]


@given(config=NEW, url=TARGETS)
def test_new_firmware_keeps_one_endpoint_of_ours_and_all_the_others(config: dict[str, Any], url: str) -> None:
    before = copy.deepcopy(config)
    change = plan(config, url)
    assert config == before

    once = apply(config, change.document)
    assert mine(once["endpoints"], url) == [change.after]
    ours = mine(config["endpoints"], url)
    others = [entry for entry in config["endpoints"] if entry not in ours]
    assert json.dumps([entry for entry in once["endpoints"] if entry != change.after]) == json.dumps(others)
    assert "wifi" not in change.document
    assert "error" not in change.document

    again = plan(once, url)
    assert not again.changed
    assert json.dumps(apply(apply(once, again.document), plan(once, url).document)) == json.dumps(once)


@given(config=NEW, url=TARGETS)
def test_ids_stay_unique_if_they_were(config: dict[str, Any], url: str) -> None:
    def ids(entries: list[Any]) -> list[Any]:
        return [json.dumps(entry.get("id")) for entry in entries if isinstance(entry, dict) and "id" in entry]

    for number, entry in enumerate(config["endpoints"]):
        if isinstance(entry, dict):
            entry["id"] = number * 2
    change = plan(config, url)
    after = ids(change.document["endpoints"])
    assert len(after) == len(set(after))
    undone = plan_removal(apply(config, change.document), change)
    back = (undone or config)["endpoints"]
    assert back == config["endpoints"]


@given(config=OLD, url=TARGETS)
def test_old_firmware_is_pointed_at_the_server_and_back(config: dict[str, Any], url: str) -> None:
    before = copy.deepcopy(config)
    change = plan(config, url)
    assert config == before
    once = apply(config, change.document)
    assert (once["hub"]["server_url"], once["hub"]["server_type"], once["api_key"]) == (url, 3, KEY)
    assert apply(once, plan(once, url).document) == once
    assert not plan(once, url).changed
    undone = plan_removal(once, change)
    assert apply(once, undone or {}) == config
    assert (undone is None) is (not change.changed)


@given(config=NEW | OLD, now=NEW | OLD | JSON, url=TARGETS)
def test_junk_never_raises_and_a_saved_change_is_the_same_change(config: dict[str, Any], now: Any, url: str) -> None:
    change = plan(config, url)
    saved = json.loads(json.dumps(change.to_dict()))
    assert ServerChange.from_dict(saved).to_dict() == change.to_dict()
    before = copy.deepcopy(now)
    removal = plan_removal(now, change)
    assert now == before
    assert removal is None or "wifi" not in removal
    assert all(server.kind is not None for server in list_servers(config))


@given(config=JSON | NEW | OLD)
def test_any_document_gives_a_result_or_the_error_of_the_tree(config: Any) -> None:
    plan_server(config, URL)
    try:
        list_servers(config)
    except VegeHubPayloadError:
        assert shape_of(config) is None


# The record of a change


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (new_config(), "is added"),
        (new_config(endpoint(2, MOVED)), "is set to"),
        (new_config(endpoint(2), endpoint(3)), "1 double of it removed"),
        (new_config(endpoint(2), endpoint(3), endpoint(4)), "2 doubles of it removed"),
        (old_config(URL, 1), "only server is set to"),
        (old_config(URL, 3, KEY), "stays at"),
    ],
)
def test_a_change_says_what_it_does_without_secrets(config: dict[str, Any], text: str) -> None:
    change = plan(config)
    assert text in change.summary
    assert "192.168.0.10" in change.summary
    for shown in (change.summary, repr(change), str(change), f"{list_servers(apply(config, change.document))}"):
        assert "s3cr3t" not in shown
    assert change == plan(config)
    assert hash(change) == hash(plan(config))


def spoil(value: Any) -> None:
    """Empty every object and list of a document."""
    if isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            spoil(inner)
        value.clear()


@pytest.mark.parametrize(
    "config",
    [new_config(endpoint(2, MOVED, more=[{"x": 1}]), endpoint(3, MOVED), CLOUD), old_config(url=["odd"])],
)
def test_a_change_shares_nothing_with_others(config: dict[str, Any]) -> None:
    config = copy.deepcopy(config)
    now = copy.deepcopy(config)
    change = plan(config)
    expected = copy.deepcopy(change.to_dict())
    spoil(config)
    assert change.to_dict() == expected
    spoil(change.to_dict())
    assert change.to_dict() == expected
    saved = copy.deepcopy(expected)
    again = ServerChange.from_dict(saved)
    spoil(saved)
    assert again.to_dict() == expected
    now = apply(now, change.document)
    before = copy.deepcopy(now)
    spoil(plan_removal(now, change))
    assert change.to_dict() == expected
    assert now == before


def saved_change(**more: Any) -> dict[str, Any]:
    return {**plan(new_config(endpoint(2, MOVED))).to_dict(), **more}


@pytest.mark.parametrize(
    ("saved", "path"),
    [
        (None, "payload"),
        ([], "payload"),
        ({}, "shape"),
        (saved_change(shape=[]), "shape"),
        (saved_change(url=7), "url"),
        (saved_change(name=None), "name"),
        (saved_change(before={}), "before"),
        (saved_change(before=["x"]), "before[0]"),
        (saved_change(before=[{"config": KEY}]), "before[0].config"),
        (saved_change(after=[KEY]), "after"),
        (saved_change(after={"config": KEY}), "after.config"),
        (saved_change(document=KEY), "document"),
        (saved_change(positions=None), "positions"),
        (saved_change(positions=[]), "positions"),
        (saved_change(positions=[-1]), "positions"),
        (saved_change(positions=["x"]), "positions[0]"),
        (saved_change(shape="hub", before=[], positions=[]), "before"),
    ],
)
def test_a_damaged_record_is_refused_by_path_and_without_values(saved: Any, path: str) -> None:
    with pytest.raises(VegeHubValueError) as caught:
        ServerChange.from_dict(saved)
    assert str(caught.value).startswith(f"saved server change: {path}: ")
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.outcome is Outcome.NOT_SENT


def test_a_redacted_record_is_refused() -> None:
    with pytest.raises(VegeHubValueError, match="redacted"):
        ServerChange.from_dict(redact(saved_change()))


# Servers


def test_servers_of_new_firmware_are_listed_as_far_as_they_are_understood() -> None:
    odd = {"id": [1], "name": 7, "type": None, "enabled": 0, "config": {"url": 5, "server_url": "http://x"}}
    servers = list_servers(new_config(CLOUD, endpoint("2", enabled=False), odd, "junk", None, {}))
    assert [(one.id, one.name, one.kind, one.url, one.enabled) for one in servers] == [
        (1, "VegeCloud", "vegecloud", "https://api.vegecloud.com/v2", True),
        ("2", "HomeAssistant", "custom", URL, False),
        (None, "", "", "http://x", False),
        (None, "", "", "", True),
    ]
    assert servers[2].problems == (
        "endpoints[2].id: expected an integer or text, got a list",
        "endpoints[2].name: expected text, got a number",
        "endpoints[2].config.url: expected text, got a number",
    )
    assert dict(servers[2].extra) == {"id": [1], "name": 7}
    assert not any(servers[index].problems for index in (0, 1, 3))


def test_a_switch_of_a_server_in_words_is_one() -> None:
    states = ["off", "false", 0, "on", "TRUE", 1, "perhaps", None]
    servers = list_servers(new_config(*(endpoint(number, enabled=state) for number, state in enumerate(states))))
    assert [server.enabled for server in servers] == [False, False, False, True, True, True, True, True]


@pytest.mark.parametrize(
    ("kind", "expected"), [(3, "custom"), ("3", "custom"), (1, "legacy"), (None, "legacy"), ([], "legacy")]
)
def test_old_firmware_has_one_server(kind: Any, expected: str) -> None:
    (server,) = list_servers(old_config(URL, kind))
    assert (server.id, server.kind, server.url, server.enabled) == (None, expected, URL, True)


@pytest.mark.parametrize("config", [None, [], {}, {"hub": {}}, "secret-text"])
def test_servers_of_an_unknown_shape_are_refused(config: Any) -> None:
    with pytest.raises(VegeHubPayloadError, match="endpoints") as caught:
        list_servers(config)
    assert "secret" not in str(caught.value)


# Arguments


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "https://ha.example",
        "HTTP://[fe80::1]:8123/x",
        "http://user@ha.local:1/x?y#z",
        "http://h/" + "x" * 247,
    ],
)
def test_a_server_url_is_taken(url: str) -> None:
    assert check_server_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3cr3t",
        "ftp://ha.local/s3cr3t",
        "//ha.local/s3cr3t",
        "http:///s3cr3t",
        "http://:80/s3cr3t",
        "http:s3cr3t",
        "http://ha.local:0/s3cr3t",
        "http://ha.local:65536/s3cr3t",
        "http://ha.local:eight/s3cr3t",
        "http://[::1/s3cr3t",
        "http://ha.local/s3cr3t\n",
        "http://ha.local/\x00s3cr3t",
        "http://ha.local/\x85s3cr3t",
        "http://ha.local/s3cr3t x",
        " http://ha.local/s3cr3t",
        "http://ha.local/s3cr3t" + "x" * 256,
        None,
        7,
        b"http://ha.local/s3cr3t",
        ["http://ha.local/s3cr3t"],
    ],
)
def test_a_bad_server_url_is_refused_and_not_shown(url: Any) -> None:
    with pytest.raises(VegeHubValueError, match="server URL: ") as caught:
        plan_server(new_config(), url)
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.outcome is Outcome.NOT_SENT


@pytest.mark.parametrize("key", ["", "7C9EBD112233", "0" * 256])
def test_an_api_key_is_taken(key: str) -> None:
    assert check_api_key(key) == key


@pytest.mark.parametrize("key", [None, 7, b"s3cr3t", "s3cr3t\n", "s3cr3t" + "x" * 256])
def test_a_bad_api_key_is_refused_and_not_shown(key: Any) -> None:
    with pytest.raises(VegeHubValueError, match="api_key: ") as caught:
        plan_server(new_config(), URL, key)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("name", ["", None, "x" * 257, "a\tb"])
def test_a_bad_server_name_is_refused(name: Any) -> None:
    assert check_server_name("Shed") == "Shed"
    with pytest.raises(VegeHubValueError, match="server name: "):
        plan_server(new_config(), URL, KEY, name)


# Backup

MOMENT = datetime(2025, 6, 17, 13, 26, 55, 123456, tzinfo=UTC)


def full_config(**hub: Any) -> dict[str, Any]:
    return {
        "hub": {"name": "Shed", "model": "VG", "firmware_version": "5.1.2", "current_ip_addr": "192.168.0.57", **hub},
        "api_key": KEY,
        "mac": "7C9EBD112233",
        "updated": "2021-06-11 18:22:06",
        "who_updated": 1,
        "sensors": [{"slot": 0, "mode": 1}],
        "endpoints": None,
        "wifi": {"wifi_ssid": "GardenNet", "wifi_pw": "s3cr3t-wifi"},
        "error": "success",
    }


def backup_of(config: dict[str, Any], **more: Any) -> dict[str, Any]:
    document = backup_document(config, "7C9EBD112233", "5.1.2", MOMENT, **more)
    return json.loads(json.dumps(document))


def test_a_backup_says_what_it_is_and_leaves_the_wifi_passwords_out() -> None:
    config = full_config()
    backup = backup_of(config)
    sections = {section: config[section] for section in config if section not in ("endpoints", "wifi", "error")}
    assert backup == {
        "format": "vegehub-backup",
        "version": 1,
        "mac": "7C9EBD112233",
        "firmware": "5.1.2",
        "saved_at": "2025-06-17T13:26:55+00:00",
        "config": sections,
    }
    assert backup_of(config, wifi=True)["config"]["wifi"] == config["wifi"]


def test_a_backup_needs_a_time_with_a_zone() -> None:
    with pytest.raises(VegeHubValueError, match="saved_at"):
        backup_document({}, "", "", MOMENT.replace(tzinfo=None))


def test_restore_brings_settings_back_and_keeps_what_only_the_hub_writes() -> None:
    backup = backup_of(full_config(wifi_version="19.6.1"), wifi=True)
    now = full_config(name="Greenhouse", firmware_version="5.2.0", current_ip_addr="192.168.0.99", new_field=[1])
    now["sensors"] = []
    before = copy.deepcopy(now)
    document = restore_document(backup, now)
    assert document == {
        "hub": {
            "name": "Shed",
            "model": "VG",
            "firmware_version": "5.2.0",
            "current_ip_addr": "192.168.0.99",
            "new_field": [1],
        },
        "api_key": KEY,
        "sensors": [{"slot": 0, "mode": 1}],
    }
    assert restore_document(backup, now, wifi=True)["wifi"] == full_config()["wifi"]
    saved = copy.deepcopy(backup)
    spoil(document)
    assert now == before
    assert backup == saved


def test_restore_works_where_the_hub_said_nothing() -> None:
    assert restore_document(backup_of(full_config()), {})["hub"] == {"name": "Shed"}


def test_restore_brings_odd_sections_back_as_they_were() -> None:
    backup = backup_of({"hub": [1], "special": {"a": [1]}, "route_key": "x"})
    assert restore_document(backup, {"hub": {"model": "VG"}, "special": None}) == backup["config"]


@pytest.mark.parametrize(
    ("backup", "text"),
    [
        (None, "expected an object"),
        ([], "expected an object"),
        ({}, "format"),
        ({"format": "vegehub-backup"}, "version"),
        ({"format": "vegehub-backup", "version": 2, "config": {}}, "version"),
        ({"format": "vegehub-backup", "version": 1}, "config: expected an object"),
        ({"format": "vegehub-backup", "version": 1, "config": [KEY]}, "config: expected an object"),
    ],
)
def test_what_is_no_backup_is_refused(backup: Any, text: str) -> None:
    with pytest.raises(VegeHubValueError, match=text) as caught:
        restore_document(backup, full_config())
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("saved", "now"),
    [(new_config(endpoint()), old_config()), (old_config(), new_config())],
)
def test_a_backup_of_another_kind_of_firmware_is_refused(saved: dict[str, Any], now: dict[str, Any]) -> None:
    with pytest.raises(VegeHubValueError, match="'endpoints'"):
        restore_document(backup_of(saved), now)


def test_a_redacted_backup_is_refused_by_path() -> None:
    backup = backup_of(new_config(CLOUD, endpoint()))
    backup["config"]["endpoints"][1] = redact(backup["config"]["endpoints"][1])
    with pytest.raises(VegeHubValueError, match=r"config\.endpoints\[1\]\.config\.(api_key|url)"):
        restore_document(backup, new_config())


@given(config=st.dictionaries(st.sampled_from(["hub", "sensors", "wifi", "mac"]), JSON))
def test_restore_right_after_backup_sends_what_was_read(config: dict[str, Any]) -> None:
    expected = {key: value for key, value in sendable(config).items() if key not in ("wifi", "mac")}
    assert restore_document(backup_of(config), config) == expected


# Differences


def test_differences_are_listed_by_path() -> None:
    before = {"hub": {"name": "Shed", "dns": None, "period": 300}, "sensors": [{"slot": 0}, {"slot": 1}], "same": [1]}
    after = {"hub": {"name": "Shed", "period": 600}, "sensors": [{"slot": 0}], "same": [1], "special": {}}
    assert diff(before, after) == [
        ("hub.period", 300, 600),
        ("sensors[1]", {"slot": 1}, None),
        ("special", None, {}),
    ]
    assert diff([1], [2, 3]) == [("[0]", 1, 2), ("[1]", None, 3)]
    assert diff(1, 2) == [("", 1, 2)]
    assert diff(before, before) == []


def test_a_difference_of_secrets_is_listed_and_not_shown() -> None:
    before, after = full_config(), {**full_config(), "api_key": "s3cr3t-two", "wifi": {"wifi_pw": "s3cr3t-three"}}
    shown = diff(before, after)
    assert {path for path, *_ in shown} == {"api_key", "wifi.wifi_ssid", "wifi.wifi_pw"}
    assert "s3cr3t" not in repr(shown)
    assert ("api_key", KEY, "s3cr3t-two") in diff(before, after, redacted=False)


def test_what_lies_under_a_secret_key_is_not_shown_either() -> None:
    before, after = {"token": [{"x": "s3cr3t"}]}, {"token": [{"x": "s3cr3t-two"}]}
    ((path, shown_before, shown_after),) = diff(before, after)
    assert path == "token[0].x"
    assert "s3cr3t" not in f"{shown_before} {shown_after}"


def test_a_secret_that_is_added_or_taken_away_is_not_shown() -> None:
    config = new_config(endpoint())
    for shown in (diff(new_config(), config), diff(config, {}), diff({}, config)):
        assert shown
        assert "s3cr3t" not in repr(shown)


def no_nulls(value: Any) -> bool:
    if isinstance(value, (dict, list)):
        return all(no_nulls(inner) for inner in (value.values() if isinstance(value, dict) else value))
    return value is not None


@given(one=JSON.filter(no_nulls), other=JSON.filter(no_nulls))
def test_no_difference_means_equal(one: Any, other: Any) -> None:
    assert diff(one, copy.deepcopy(one)) == []
    assert (diff(one, other, redacted=False) == []) is (one == other)


# At the edges of an edit


def test_what_modify_device_config_returns_shares_nothing_with_its_argument() -> None:
    config = new_config(CLOUD, wifi={"wifi_ssid": "GardenNet"})
    before = copy.deepcopy(config)
    spoil(modify_device_config(config, KEY, URL))
    assert config == before


def test_the_one_server_of_old_firmware_stands_in_one_place() -> None:
    assert plan(old_config()).positions == (0,)


def test_a_record_of_fewer_keys_undoes_those_and_no_others() -> None:
    before = {"id": 2, "name": "Shed", "enabled": False, "type": "custom", "config": {"url": MOVED}}
    after = {"id": 2, "type": "custom", "config": {"url": URL}}
    record = {"shape": "endpoints", "url": URL, "name": "Shed", "before": [before], "positions": [0], "after": after}
    change = ServerChange.from_dict({**record, "document": {"endpoints": [after]}})
    assert plan_removal(new_config(after), change) == {
        "endpoints": [{"id": 2, "type": "custom", "config": {"url": MOVED}}]
    }


@pytest.mark.parametrize(
    ("saved", "text"),
    [
        (saved_change(shape=[]), "shape: expected 'endpoints' or 'hub', got a list"),
        (saved_change(positions=[]), "positions: expected an index for each object of 'before', got a list"),
        (saved_change(shape="hub", before=[], positions=[]), "before: expected one object, got a list"),
    ],
)
def test_a_damaged_record_is_refused_in_words(saved: Any, text: str) -> None:
    with pytest.raises(VegeHubValueError) as caught:
        ServerChange.from_dict(saved)
    assert str(caught.value) == f"saved server change: {text}"


def test_a_configuration_without_servers_is_refused_in_words() -> None:
    with pytest.raises(VegeHubPayloadError) as caught:
        list_servers("x")
    text = "payload: expected a configuration with a list 'endpoints', or 'hub' and 'api_key', got text"
    assert (str(caught.value), caught.value.path) == (text, "")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("http://ha.local/x y",), "server URL: a space is not allowed"),
        ((7,), "server URL: expected text, got a number"),
        ((URL, None), "api_key: expected text, got null"),
        ((URL, KEY, ""), "server name: must not be empty"),
    ],
)
def test_a_bad_argument_is_refused_in_words(arguments: tuple[Any, ...], text: str) -> None:
    with pytest.raises(VegeHubValueError) as caught:
        plan_server(new_config(), *arguments)
    assert str(caught.value) == text


@pytest.mark.parametrize("character", ["\x00", "\x1f", "\x7f", "\x80", "\x9f"])
def test_each_control_character_is_refused(character: str) -> None:
    with pytest.raises(VegeHubValueError, match="control character"):
        check_server_name(f"Shed{character}")


@pytest.mark.parametrize("character", [" ", "~", "\xa0", "\xe4"])
def test_the_characters_beside_the_control_characters_are_taken(character: str) -> None:
    assert check_server_name(f"Shed{character}") == f"Shed{character}"


def test_urls_that_differ_in_the_fragment_are_two_servers() -> None:
    assert plan(new_config(endpoint(2, "http://ha.local/x#a", name="other")), "http://ha.local/x#b").before == ()
