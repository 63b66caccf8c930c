"""Nothing secret is left in what is printed, logged or saved, and what is not secret stays."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vegehub.wire.payload import decode_json
from vegehub.wire.redact import REDACTED, contains_redacted, is_redacted, redact, redact_url

DATA = Path(__file__).parents[1] / "data"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
SECRET_KEYS = [
    "wifi_pw",
    "ap_pw",
    "api_key",
    "write_api_key",
    "route_key",
    "key",
    "apiKey",
    "API-KEY",
    "APIKey",
    "password",
    "mqtt_password",
    "wifi_passphrase",
    "wifiPassword",
    "passwd",
    "psk",
    "secret",
    "client_secret",
    "token",
    "access_token",
    "authorization",
    "ssid",
    "wifi_ssid",
    "bssid",
    "server_user",
    "server_channel",
]
PUBLIC_KEYS = ["name", "mac", "version", "slot", "keyboard", "monkey", "passed", "server_type", "sample_period", "ip"]


# Keys


@pytest.mark.parametrize("key", SECRET_KEYS)
@pytest.mark.parametrize("value", ["s3cr3t", 12345678, 0, True, 1.5, ["s3cr3t"], {"value": "s3cr3t"}])
def test_what_stands_under_the_key_of_a_secret_is_hidden(key: str, value: Any) -> None:
    assert redact({"outer": [{key: value}]}) == {"outer": [{key: REDACTED}]}


@pytest.mark.parametrize("key", SECRET_KEYS)
@pytest.mark.parametrize("value", ["", None, [], {}])
def test_an_empty_secret_stays_visible_as_empty(key: str, value: Any) -> None:
    assert redact({key: value}) == {key: value}


@pytest.mark.parametrize("key", PUBLIC_KEYS)
@pytest.mark.parametrize("value", ["Vege_22_33", 5, False, 1.5, None, [1, "a"], {"x": 1}])
def test_what_is_no_secret_stays(key: str, value: Any) -> None:
    assert redact({key: value}) == {key: value}


def test_a_whole_configuration_keeps_everything_but_secrets() -> None:
    config = decode_json((DATA / "config_get_reply_old.json").read_bytes())
    config |= decode_json((DATA / "config_wifi_section.json").read_bytes())
    shown = redact(config)
    text = json.dumps(shown)
    for secret in ("7C9EBD112233", "/api/webhook/abc", "GardenNet", "secret", "vegetronix"):
        assert secret in json.dumps(config)
        assert secret not in text
    assert shown["hub"]["server_url"] == f"http://192.168.0.10:8123/{REDACTED}"
    hidden = {"server_url"}
    assert {k: v for k, v in shown["hub"].items() if k not in hidden} == {
        k: v for k, v in config["hub"].items() if k not in hidden
    }


def test_endpoints_of_new_firmware_are_redacted_and_recognisable() -> None:
    shown = redact(decode_json((DATA / "config_get_reply_new.json").read_bytes()))
    cloud, custom = (endpoint["config"] for endpoint in shown["endpoints"])
    assert cloud == {
        "api_key": REDACTED,
        "route_key": REDACTED,
        "server_url": f"https://api.vegecloud.com/{REDACTED}",
    }
    assert custom == {"api_key": "", "data_format": "json", "url": f"http://192.168.0.10:8123/{REDACTED}"}


# URLs


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", ""),
        ("http://192.168.0.10:8123", "http://192.168.0.10:8123"),
        ("http://192.168.0.10:8123/", "http://192.168.0.10:8123/"),
        ("http://192.168.0.10:8123/api/webhook/s3cr3t", f"http://192.168.0.10:8123/{REDACTED}"),
        ("https://ha.example.org?token=s3cr3t", f"https://ha.example.org/{REDACTED}"),
        ("https://ha.example.org#s3cr3t", f"https://ha.example.org/{REDACTED}"),
        ("http://user:s3cr3t@10.0.0.1/x", f"http://{REDACTED}@10.0.0.1/{REDACTED}"),
        ("http://s3cr3t@10.0.0.1", f"http://{REDACTED}@10.0.0.1"),
        ("http://user:s3cr3t@x@10.0.0.1", f"http://{REDACTED}@10.0.0.1"),
        ("http://user:12/s3cr3t@10.0.0.1/", f"http://{REDACTED}"),
        ("http://user:s3cr3t/x@10.0.0.1/", f"http://{REDACTED}"),
        ("http://[::1]:80/s3cr3t", f"http://[::1]:80/{REDACTED}"),
        ("http://[fe80::1%eth0]/s3cr3t", f"http://[fe80::1%eth0]/{REDACTED}"),
        ("http://[s3cr3t", f"http://{REDACTED}"),
        ("http://host:s3cr3t/", f"http://{REDACTED}"),
        ("http:///s3cr3t", f"http://{REDACTED}"),
        ("http://host\\s3cr3t", f"http://host/{REDACTED}"),
        ("HTTP://Host:80/s3cr3t", f"HTTP://Host:80/{REDACTED}"),
        ("mqtts://user:s3cr3t@broker:8883", f"mqtts://{REDACTED}@broker:8883"),
        ("192.168.0.10:8123/api/webhook/s3cr3t", REDACTED),
        ("s3cr3t", REDACTED),
        ("s3 cr3t://x", REDACTED),
        ("http://host/" + "s3cr3t" * 1000, REDACTED),
        (None, REDACTED),
        (5, REDACTED),
    ],
)
def test_a_url_keeps_scheme_host_and_port_only(url: Any, shown: str) -> None:
    assert redact_url(url) == shown
    assert "s3cr3t" not in redact_url(url)


@pytest.mark.parametrize("key", ["url", "server_url", "webCondUrl", "callback_uri", "webhook", "Server-URL"])
def test_urls_are_told_by_their_key(key: str) -> None:
    assert redact({key: "http://h:80/s3cr3t"}) == {key: f"http://h:80/{REDACTED}"}
    assert redact({key: "h/s3cr3t"}) == {key: REDACTED}
    assert redact({key: ""}) == {key: ""}


def test_a_list_of_urls_is_redacted_entry_by_entry() -> None:
    urls = ["http://h/s3cr3t", "h/s3cr3t", ""]
    assert redact({"update_urls": urls}) == {"update_urls": [f"http://h/{REDACTED}", REDACTED, ""]}


@pytest.mark.parametrize("key", ["target", "error", "description"])
def test_urls_are_found_within_any_text(key: str) -> None:
    text = "cannot reach http://h:8123/api/webhook/s3cr3t (or https://u:s3cr3t@x/y), <http://z/s3cr3t>"
    shown = redact({key: text})[key]
    assert "s3cr3t" not in shown
    assert shown.startswith(f"cannot reach http://h:8123/{REDACTED} (or https://")


def test_the_vendors_firmware_address_stays_unless_it_carries_secrets() -> None:
    address = "https://vegecloud.com/firmware/VG-HUB/latest.json"
    assert redact({"firmware_url": address}) == {"firmware_url": address}
    for secret in ("https://u:s3cr3t@vegecloud.com/f", "https://vegecloud.com/f?k=s3cr3t"):
        assert "s3cr3t" not in redact({"firmware_url": secret})["firmware_url"]


# Any document


@given(document=JSON)
def test_the_result_is_json_and_the_document_is_left_alone(document: Any) -> None:
    untouched = copy.deepcopy(document)
    json.dumps(redact(document), allow_nan=False)
    assert document == untouched


@given(document=JSON)
def test_redacting_twice_changes_nothing_more(document: Any) -> None:
    assert redact(redact(document)) == redact(document)


@given(secret=st.text("0123456789", min_size=12, max_size=12), key=st.sampled_from(SECRET_KEYS), document=JSON)
def test_a_secret_anywhere_is_gone(secret: str, key: str, document: Any) -> None:
    assume(secret not in json.dumps(document))  # a number of the document may have the same digits, and it stays
    shown = redact({"a": [document, {key: secret, "b": {key: [secret]}}], "url": f"http://h/{secret}"})
    assert secret not in json.dumps(shown)


@given(text=st.text() | st.from_regex(r"\A[a-z]{0,3}://[^ ]{0,12}@?[^ ]{0,12}\Z"))
def test_any_text_is_taken_as_a_url(text: str) -> None:
    assert isinstance(redact_url(text), str)


def test_the_copy_shares_no_container_with_the_document() -> None:
    document: dict[str, Any] = {"a": {}, "b": [], "c": [{"d": [1]}]}
    shown = redact(document)
    shown["a"]["x"] = shown["b"].append(1) or shown["c"][0]["d"].append(2)
    assert document == {"a": {}, "b": [], "c": [{"d": [1]}]}


def test_what_json_cannot_hold_is_named_by_its_type() -> None:
    document = {"a": b"s3cr3t", "b": {1}, "c": math.nan, "d": -math.inf, "e": 10**5000, "f": (1, ()), 5: None, b"k": 1}
    assert redact(document) == {
        "a": "<bytes>",
        "b": "<set>",
        "c": "nan",
        "d": "-inf",
        "e": "<int>",
        "f": [1, []],
        "5": None,
        "<bytes>": 1,
    }


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}, lambda inner: {"api": [inner]}])
def test_deep_documents_are_cut_and_not_followed(wrap: Any) -> None:
    document: Any = "s3cr3t"
    for _ in range(5000):
        document = wrap(document)
    text = json.dumps(redact(document))
    assert REDACTED in text
    assert "s3cr3t" not in text


def test_a_document_that_holds_itself_is_cut() -> None:
    document: dict[str, Any] = {"name": "x"}
    document["self"] = document
    assert REDACTED in json.dumps(redact(document))
    assert contains_redacted(document) is None


# Recognising what was redacted


def test_a_redacted_value_is_recognised() -> None:
    assert is_redacted(REDACTED)
    assert is_redacted(redact_url("http://h/s3cr3t"))
    assert not any(map(is_redacted, ["", "x", None, 5, [REDACTED]]))


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"api_key": REDACTED}, "api_key"),
        (
            {"endpoints": [{"config": {"api_key": ""}}, {"config": {"api_key": REDACTED}}]},
            "endpoints[1].config.api_key",
        ),
        ({"a": {"b": 1}, "hub": {"server_url": f"http://h/{REDACTED}"}, "z": REDACTED}, "hub.server_url"),
        ([1, (2, REDACTED)], "[1][1]"),
        (REDACTED, "."),
        ({"a": ["x", 1, None, {}]}, None),
        ("", None),
        (None, None),
    ],
)
def test_the_first_redacted_value_is_found_by_path(document: Any, path: str | None) -> None:
    assert contains_redacted(document) == path


@given(document=JSON)
def test_what_redact_hides_is_found_again(document: Any) -> None:
    assert contains_redacted(redact({"a": document, "wifi_pw": "s3cr3t"}))
    assert (contains_redacted(document) is None) is (REDACTED not in json.dumps(document))


def test_the_search_goes_down_any_depth() -> None:
    document: Any = REDACTED
    for _ in range(2000):
        document = [document]
    assert contains_redacted(document) == "[0]" * 2000
