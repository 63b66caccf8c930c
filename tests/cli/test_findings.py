from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from vegehub import (
    HubInfo,
    Outcome,
    Server,
    VegeHubConnectionError,
    VegeHubMismatchError,
    VegeHubPayloadError,
    VegeHubResponseError,
    VegeHubTimeoutError,
    VegeHubValueError,
)
from vegehub.cli import findings
from vegehub.cli.findings import Verdict

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOST = "192.0.2.7"


@pytest.mark.parametrize(("seconds", "verdict"), [([0.01, 0.02, 9.0], Verdict.OK), ([1.5, 1.6, 0.1], Verdict.WARN)])
def test_latency_is_that_of_the_typical_call(seconds: list[float], verdict: Verdict) -> None:
    assert findings.reached(HOST, seconds).verdict is verdict


@pytest.mark.parametrize(
    ("err", "hint"),
    [
        (VegeHubTimeoutError("x", host=HOST, outcome=Outcome.NOT_SENT), "press its button"),
        (VegeHubResponseError("x", host=HOST), "Something else than a hub answers"),
        (VegeHubConnectionError("x", host=HOST), "Nothing listens here"),
    ],
)
def test_hub_that_is_not_reached_is_told_by_how_it_failed(err: VegeHubConnectionError, hint: str) -> None:
    found = findings.not_reached(err, "")
    assert found.verdict is Verdict.FAIL
    assert hint in found.hint
    assert "vegehub discover" in found.hint
    assert "Shed at 192.0.2.8" in findings.not_reached(err, "Shed at 192.0.2.8").hint


def test_mac() -> None:
    assert findings.identity("AABBCCDDEEFF", "").verdict is Verdict.OK
    assert findings.identity("AABBCCDDEEFF", "AABBCCDDEEFF").verdict is Verdict.OK
    other = findings.identity("AABBCCDDEEFF", "001122334455")
    assert (other.verdict, "given to another hub" in other.hint) == (Verdict.FAIL, True)
    assert findings.identity("", "").verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("config", "verdict"),
    [({"endpoints": []}, Verdict.OK), ({"hub": {}, "api_key": ""}, Verdict.OK), ({}, Verdict.FAIL)],
)
def test_firmware_is_judged_by_the_shape_of_its_configuration(config: dict[str, object], verdict: Verdict) -> None:
    assert findings.firmware(HubInfo(firmware="5.2"), config).verdict is verdict


def test_error_of_the_hub() -> None:
    assert list(findings.hub_error(HubInfo())) == []
    assert next(findings.hub_error(HubInfo(error_code=1))).verdict is Verdict.WARN


@pytest.mark.parametrize(
    ("rssi", "verdict"),
    [(None, Verdict.SKIP), (-41, Verdict.OK), (-70, Verdict.OK), (-75, Verdict.WARN), (-88, Verdict.FAIL)],
)
def test_signal(rssi: int | None, verdict: Verdict) -> None:
    assert findings.signal(rssi).verdict is verdict


@pytest.mark.parametrize(
    ("info", "verdict"),
    [
        (HubInfo(battery_volts=9.2), Verdict.OK),
        (HubInfo(battery_volts=6.2), Verdict.WARN),
        (HubInfo(battery_volts=5.5), Verdict.FAIL),
        (HubInfo(battery_volts=None), Verdict.SKIP),
        (HubInfo(battery_volts=0.0, is_ac=True), Verdict.SKIP),
    ],
)
def test_battery(info: HubInfo, verdict: Verdict) -> None:
    assert findings.battery(info).verdict is verdict


def test_zone() -> None:
    assert findings.zone(HOST, {"utc_offset": 3600}, timedelta(hours=1)).verdict is Verdict.OK
    wrong = findings.zone(HOST, {"utc_offset": -21600}, timedelta(hours=5, minutes=30))
    assert (wrong.verdict, wrong.text) == (Verdict.WARN, "UTC-06:00 on the hub, UTC+05:30 here")
    assert "hub.utc_offset=19800" in wrong.hint
    for unknown in (None, {}, {"utc_offset": "x"}, {"utc_offset": True}):
        assert findings.zone(HOST, unknown, timedelta()).verdict is Verdict.SKIP


def test_servers() -> None:
    good = Server(name="A", kind="custom", url="http://192.0.2.1/secret")
    bad = Server(name="B", kind="custom", url="http://192.0.2.2/secret")
    cloud = Server(name="C", kind="vegecloud", url="https://cloud.example/secret")
    off = Server(name="D", kind="custom", url="http://192.0.2.3/secret", enabled=False)
    found = list(findings.servers(HOST, (good, bad, cloud, off), {bad.url: "refused"}))
    assert [one.verdict for one in found] == [Verdict.OK, Verdict.FAIL, Verdict.SKIP]
    assert all("secret" not in one.text + one.hint for one in found)
    (nothing,) = findings.servers(HOST, (off,), {})
    assert (nothing.verdict, "vegehub setup" in nothing.hint) == (Verdict.WARN, True)


@pytest.mark.parametrize(
    ("err", "hint"),
    [
        (VegeHubTimeoutError("x", host=HOST), "firewall"),
        (VegeHubMismatchError("x", host=HOST), "another hub"),
        (VegeHubPayloadError("x", host=HOST), "Try again"),
        (VegeHubValueError("x", host=HOST), "not taken"),
    ],
)
def test_update_path_that_is_broken(err: VegeHubConnectionError, hint: str) -> None:
    found = findings.no_update_path(err)
    assert (found.verdict, hint in found.hint) == (Verdict.FAIL, True)


def test_update_path_says_how_the_hub_was_left() -> None:
    for outcome, text in ((Outcome.NOT_SENT, "as before"), (Outcome.UNKNOWN, "may still be pointed here")):
        assert text in findings.no_update_path(VegeHubTimeoutError("x", host=HOST, outcome=outcome)).text


@pytest.mark.parametrize(
    ("off", "verdict", "text"),
    [
        (timedelta(seconds=3), Verdict.OK, "within 3s"),
        (timedelta(minutes=-5), Verdict.WARN, "5m behind"),
        (timedelta(hours=3), Verdict.FAIL, "3h ahead of"),
    ],
)
def test_clock(off: timedelta, verdict: Verdict, text: str) -> None:
    found = findings.clock(HOST, NOW + off, NOW)
    assert (found.verdict, text in found.text) == (verdict, True)


def test_clock_that_was_never_set_and_one_that_is_not_known() -> None:
    never = findings.clock(HOST, datetime(1970, 1, 1, tzinfo=UTC), NOW)
    assert (never.verdict, "time server" in never.hint) == (Verdict.FAIL, True)
    assert findings.clock(HOST, None, NOW).verdict is Verdict.SKIP
