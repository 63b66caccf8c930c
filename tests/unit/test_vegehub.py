"""The typed names of VegeHub: what they send, what they refuse, and what they never show."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from raw_hub import raw_hub, reply

from vegehub import (
    Outcome,
    Reading,
    Sample,
    VegeHub,
    VegeHubError,
    VegeHubMismatchError,
    VegeHubPayloadError,
    VegeHubResponseError,
    VegeHubTimeoutError,
    VegeHubValueError,
)
from vegehub.simulator import SimulatedHub
from vegehub.wire.announcements import DiscoveredHub

INFO, SET = "/api/info/get", "/api/actuators/set"


def paths(simulated: SimulatedHub) -> list[str]:
    return [request.path for request in simulated.requests]


class TestMacGuard:
    async def test_one_proof_serves_the_writes_that_follow(self, simulated_hub: SimulatedHub) -> None:
        async with VegeHub(simulated_hub.address, simulated_hub.mac) as hub:
            await hub.turn_on(0, 60)
            await hub.turn_off(0)
            await hub.set_time()
        assert paths(simulated_hub) == [INFO, SET, SET, "/api/time/set"]

    async def test_mac_may_be_given_with_colons(self, simulated_hub: SimulatedHub) -> None:
        mac = ":".join(simulated_hub.mac[index : index + 2].lower() for index in range(0, 12, 2))
        async with VegeHub(simulated_hub.address, mac) as hub:
            await hub.turn_off(0)

    async def test_reading_the_mac_is_a_proof(self, simulated_hub: SimulatedHub, hub: VegeHub) -> None:
        await hub.retrieve_mac_address()
        await hub.turn_off(0)
        assert paths(simulated_hub) == [INFO, SET]

    async def test_without_a_mac_nothing_is_checked(self, simulated_hub: SimulatedHub, hub: VegeHub) -> None:
        await hub.turn_off(0)
        assert paths(simulated_hub) == [SET]

    async def test_can_be_turned_off(self, simulated_hub: SimulatedHub) -> None:
        async with VegeHub(simulated_hub.address, "000000000001", verify_mac=False) as hub:
            await hub.turn_off(0)
        assert paths(simulated_hub) == [SET]

    async def test_proof_ages(self, simulated_hub: SimulatedHub, monkeypatch: pytest.MonkeyPatch) -> None:
        async with VegeHub(simulated_hub.address, simulated_hub.mac) as hub:
            await hub.turn_off(0)
            monkeypatch.setattr("vegehub.hub.identity.PROOF_LIFETIME", -1.0)
            await hub.turn_off(0)
        assert paths(simulated_hub) == [INFO, SET, INFO, SET]

    async def test_failed_call_voids_the_proof(self, simulated_hub: SimulatedHub) -> None:
        async with VegeHub(simulated_hub.address, simulated_hub.mac) as hub:
            await hub.turn_off(0)
            simulated_hub.faults.status(500, times=1)
            with pytest.raises(VegeHubResponseError):
                await hub.get_readings()
            await hub.turn_off(0)
        assert paths(simulated_hub) == [INFO, SET, "/api/sensors/data/last", INFO, SET]

    async def test_changed_address_voids_the_proof(self, simulated_hub: SimulatedHub) -> None:
        async with SimulatedHub(host="127.0.0.2", seed=9) as other:
            async with VegeHub(simulated_hub.address, simulated_hub.mac) as hub:
                await hub.turn_off(0)
                hub.ip_address = other.address
                with pytest.raises(VegeHubMismatchError, match=f"found {other.mac}") as caught:
                    await hub.turn_on(0, 60)
            assert (caught.value.expected, caught.value.found) == (simulated_hub.mac, other.mac)
            assert caught.value.outcome is Outcome.NOT_SENT
            assert paths(other) == [INFO]

    @pytest.mark.parametrize(
        "write",
        [
            lambda hub: hub.turn_on(0, 60),
            lambda hub: hub.turn_off(0),
            lambda hub: hub.set_config({"api_key": "k"}),
            lambda hub: hub.configure_server("http://127.0.0.1:9/x"),
            lambda hub: hub.set_time(),
            lambda hub: hub.reconnect_wifi(),
        ],
    )
    async def test_guards_every_typed_write(self, simulated_hub: SimulatedHub, write: Any) -> None:
        async with VegeHub(simulated_hub.address, "000000000001") as hub:
            with pytest.raises(VegeHubMismatchError):
                await write(hub)
        assert paths(simulated_hub) == [INFO]

    async def test_hub_without_a_mac_is_no_proof(self) -> None:
        async with raw_hub(reply(b'{"wifi":{}}')) as raw, VegeHub(raw.address, "7C9EBD112233") as hub:
            with pytest.raises(VegeHubMismatchError, match="found one that gives no MAC"):
                await hub.turn_off(0)

    async def test_status_of_a_failed_proof_is_kept(self, simulated_hub: SimulatedHub) -> None:
        simulated_hub.faults.status(404)
        async with VegeHub(simulated_hub.address, simulated_hub.mac) as hub:
            with pytest.raises(VegeHubResponseError) as caught:
                await hub.turn_off(0)
        assert (caught.value.status, caught.value.outcome) == (404, Outcome.NOT_SENT)

    @pytest.mark.parametrize("mac", ["nonsense", "7C9EBD11223", "7C9EBD11223G"])
    async def test_mac_that_is_none_is_refused_by_the_first_write(self, simulated_hub: SimulatedHub, mac: str) -> None:
        async with VegeHub(simulated_hub.address, mac) as hub:
            with pytest.raises(VegeHubValueError, match="MAC"):
                await hub.turn_off(0)
        assert simulated_hub.requests == []


class TestActuators:
    async def test_on_and_off_carry_their_durations(self, simulated_hub: SimulatedHub, hub: VegeHub) -> None:
        await hub.turn_on(1, timedelta(minutes=2))
        await hub.turn_off(1, hold=600)
        commands = simulated_hub.actuators[1].commands
        assert [(command.state, command.duration) for command in commands] == [(1, 120), (0, 600)]

    async def test_off_without_hold_has_duration_zero(self, simulated_hub: SimulatedHub, hub: VegeHub) -> None:
        await hub.turn_off(0)
        assert simulated_hub.actuators[0].commands[0].duration == 0

    async def test_confirm_reads_until_it_shows(self, simulated_hub: SimulatedHub, hub: VegeHub) -> None:
        await hub.turn_on(0, 60, confirm=True)
        await hub.turn_off(0, confirm=True)
        assert paths(simulated_hub).count("/api/actuators/status") == 2

    async def test_confirm_raises_when_it_does_not_show(self) -> None:
        async with (
            raw_hub(reply(b'{"actuators":[{"slot":0,"state":0}]}')) as raw,
            VegeHub(raw.address, timeout=1) as hub,
        ):
            with pytest.raises(VegeHubTimeoutError, match="actuator 0 was not reported on") as caught:
                await hub.turn_on(0, 60, confirm=True)
        assert caught.value.outcome is Outcome.UNKNOWN
        assert len(raw.requests) > 2

    @pytest.mark.parametrize("slot", [-1, 1.0, "0", True, None])
    async def test_slot_must_be_an_int_from_zero(self, simulated_hub: SimulatedHub, hub: VegeHub, slot: Any) -> None:
        for call in (hub.set_actuator(1, slot, 60), hub.turn_on(slot, 60), hub.turn_off(slot)):
            with pytest.raises(VegeHubValueError, match="slot must be an int from 0"):
                await call
        assert simulated_hub.requests == []

    @pytest.mark.parametrize("state", [2, -1, 1.0, "1", None])
    async def test_state_must_be_0_or_1(self, simulated_hub: SimulatedHub, hub: VegeHub, state: Any) -> None:
        with pytest.raises(VegeHubValueError, match="state must be"):
            await hub.set_actuator(state, 0, 60)
        assert simulated_hub.requests == []

    @pytest.mark.parametrize("duration", [-1, 604801, float("nan"), float("inf"), "60", None, True])
    async def test_drop_in_duration_must_be_0_to_604800(
        self, simulated_hub: SimulatedHub, hub: VegeHub, duration: Any
    ) -> None:
        with pytest.raises(VegeHubValueError, match="duration must be 0 to 604800 seconds"):
            await hub.set_actuator(1, 0, duration)
        assert simulated_hub.requests == []

    async def test_typed_on_is_limited_by_max_on(self, simulated_hub: SimulatedHub) -> None:
        async with VegeHub(simulated_hub.address, max_on=timedelta(minutes=1)) as hub:
            for duration in (0, 0.9, 61, timedelta(hours=1)):
                with pytest.raises(VegeHubValueError, match="duration must be 1 to 60 seconds"):
                    await hub.turn_on(0, duration)
            await hub.turn_on(0, 60)

    async def test_slot_beyond_the_known_count_reads_info_anew_before_it_is_refused(
        self, simulated_hub: SimulatedHub
    ) -> None:
        known = {"num_actuators": 1}
        async with VegeHub(simulated_hub.address, info=known) as hub:
            await hub.set_actuator(0, 1, 0)
            assert hub.num_actuators == 2
            with pytest.raises(VegeHubValueError, match="there is no actuator 2: this hub has 2"):
                await hub.set_actuator(0, 2, 0)
        assert paths(simulated_hub) == [INFO, SET, INFO]
        assert known == {"num_actuators": 1}


def test_from_discovery_takes_the_address_and_the_options() -> None:
    discovered = DiscoveredHub(name="Vege_A6_20", host="Vege_A6_20.local", addresses=("127.0.0.7",), port=8080)
    hub = VegeHub.from_discovery(discovered, mac_address="7C9EBD112233", max_on=60)
    assert (hub.ip_address, hub.mac_address) == ("127.0.0.7:8080", "7C9EBD112233")
    with pytest.raises(VegeHubValueError, match="1 to 60"):
        hub.watering(0, 61)


class TestReading:
    async def test_readings_are_one_based_and_carry_the_latest_value(
        self, simulated_hub: SimulatedHub, hub: VegeHub
    ) -> None:
        simulated_hub.inputs[0].volts = 1.2
        readings = await hub.get_readings()
        assert readings[0] == Reading(1, (Sample(1.2),))
        assert readings[0].latest is not None
        assert readings[0].latest.taken_at is None

    async def test_wrong_shape_names_hub_call_and_field(self) -> None:
        body = b'{"samples":7}'
        async with raw_hub(reply(body)) as raw, VegeHub(raw.address) as hub:
            with pytest.raises(VegeHubPayloadError) as caught:
                await hub.get_readings()
        assert str(caught.value) == (
            f"{raw.address}: GET /api/sensors/data/last: samples: expected a list, got a number"
        )
        assert (caught.value.path, caught.value.host) == ("samples", raw.address)

    async def test_config_sections_can_be_chosen(self, simulated_hub: SimulatedHub, hub: VegeHub) -> None:
        assert set(await hub.get_config("endpoints", "no_such_section")) == {"endpoints"}


class TestWriting:
    async def test_config_is_replaced(self, simulated_hub: SimulatedHub, hub: VegeHub) -> None:
        section = (await hub.get_config("hub"))["hub"]
        await hub.set_config({"hub": {**section, "name": "Shed"}, "error": "success", "endpoints": None})
        assert simulated_hub.config["hub"]["name"] == "Shed"
        assert simulated_hub.config["endpoints"]

    @pytest.mark.parametrize(
        "document", [{}, {"hub": None}, {"error": "success"}, [], None, {"hub": {1, 2}}, {"hub": float("nan")}]
    )
    async def test_config_that_cannot_be_sent_is_refused(
        self, simulated_hub: SimulatedHub, hub: VegeHub, document: Any
    ) -> None:
        with pytest.raises(VegeHubValueError):
            await hub.set_config(document)
        assert simulated_hub.requests == []

    async def test_redacted_values_are_never_sent(self, simulated_hub: SimulatedHub, hub: VegeHub) -> None:
        report = await hub.diagnostics()
        simulated_hub.requests.clear()
        with pytest.raises(VegeHubValueError, match="redacted"):
            await hub.set_config(report["config"])
        assert simulated_hub.requests == []

    async def test_dry_run_writes_nothing(self, simulated_hub: SimulatedHub, hub: VegeHub) -> None:
        change = await hub.configure_server("http://127.0.0.1:9/hook", dry_run=True)
        assert change.changed
        assert paths(simulated_hub) == ["/api/config/get"]

    async def test_server_that_is_set_already_is_not_written(self, simulated_hub: SimulatedHub, hub: VegeHub) -> None:
        await hub.configure_server("http://127.0.0.1:9/hook")
        simulated_hub.requests.clear()
        assert not (await hub.configure_server("http://127.0.0.1:9/hook")).changed
        assert paths(simulated_hub) == ["/api/config/get"]

    @pytest.mark.parametrize("url", ["", "ftp://host/x", "http://", "host/path", None, "http://host/\n"])
    async def test_bad_url_is_refused_before_anything_is_sent(
        self, simulated_hub: SimulatedHub, hub: VegeHub, url: Any
    ) -> None:
        for call in (hub.configure_server(url), hub.setup("", url)):
            with pytest.raises(VegeHubValueError):
                await call
        assert simulated_hub.requests == []

    async def test_unknown_shape_is_told_and_nothing_is_written(self) -> None:
        body = b'{"hub":null,"api_key":null,"endpoints":null,"error":"success"}'
        async with raw_hub(reply(body)) as raw, VegeHub(raw.address) as hub:
            with pytest.raises(VegeHubPayloadError, match="expected a list of endpoints") as caught:
                await hub.configure_server("http://127.0.0.1:9/hook")
        assert caught.value.outcome is Outcome.NOT_SENT
        assert len(raw.requests) == 1

    async def test_removing_a_server_that_is_gone_writes_nothing(
        self, simulated_hub: SimulatedHub, hub: VegeHub
    ) -> None:
        change = await hub.configure_server("http://127.0.0.1:9/hook")
        await hub.remove_server(change)
        simulated_hub.requests.clear()
        await hub.remove_server(change)
        assert paths(simulated_hub) == ["/api/config/get"]

    async def test_time_is_sent_as_unix_seconds(self, simulated_hub: SimulatedHub, hub: VegeHub) -> None:
        await hub.set_time(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
        assert simulated_hub.requests[0].body == {"epoch": 1767323045}

    async def test_naive_time_is_refused(self, simulated_hub: SimulatedHub, hub: VegeHub) -> None:
        with pytest.raises(VegeHubValueError, match="aware"):
            await hub.set_time(datetime(2026, 1, 2))  # noqa: DTZ001 - the point of the test
        assert simulated_hub.requests == []

    async def test_wifi_is_backed_up_and_restored_only_when_named(
        self, simulated_hub: SimulatedHub, hub: VegeHub
    ) -> None:
        assert "wifi" not in (await hub.backup_config())["config"]
        backup = await hub.backup_config("wifi", "hub")
        assert backup["config"]["wifi"]["wifi_pw"]
        await hub.restore_config(backup)
        assert set(simulated_hub.requests[-1].body) == {"hub"}
        await hub.restore_config(backup, wifi=True)
        assert set(simulated_hub.requests[-1].body) == {"hub", "wifi"}

    @pytest.mark.parametrize("backup", [None, {}, {"format": "vegehub-backup", "version": 2}, [], "x"])
    async def test_what_is_no_backup_is_refused(self, simulated_hub: SimulatedHub, hub: VegeHub, backup: Any) -> None:
        with pytest.raises(VegeHubValueError):
            await hub.restore_config(backup)
        assert simulated_hub.requests == []


async def test_diagnostics_report_a_read_that_fails_in_its_place(simulated_hub: SimulatedHub, hub: VegeHub) -> None:
    simulated_hub.faults.status(500, path="/api/config/get")
    report = await hub.diagnostics()
    assert report["config"]["failed"] == "VegeHubResponseError"
    assert report["info"]["hub"]["num_channels"] == 4


@pytest.mark.parametrize("profile", ["gen2-5.1-battery", "gen2-endpoints"])
async def test_secrets_never_reach_logs_reprs_errors_or_diagnostics(
    profile: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with SimulatedHub(profile=profile) as simulated, VegeHub(simulated.address) as hub:
        shown = []
        change = await hub.configure_server("http://127.0.0.1:9/secret-path", api_key="secret-key")
        again = await hub.configure_server("http://127.0.0.1:9/secret-path", api_key="secret-key-2")
        await hub.setup("secret-key-3", "http://127.0.0.1:9/secret-path")
        shown += [repr(change), repr(again), change.summary, repr(hub), repr(await hub.list_servers())]
        await hub.get_config("wifi", "hub", "api_key", "endpoints")
        await hub.backup_config("wifi")
        shown += [repr(await hub.diagnostics()), repr(await hub.get_info())]
        secrets = ["secret-", simulated.config["wifi"]["wifi_pw"], simulated.config["wifi"]["ap_pw"]]
        for fault in ("reset_before_headers", "not_json", "truncate_body"):
            getattr(simulated.faults, fault)()
            for call in (
                hub.configure_server("http://127.0.0.1:9/secret-path", api_key="secret-key"),
                hub.set_config({"api_key": "secret-key"}),
                hub.get_config("wifi"),
            ):
                try:
                    await call
                except VegeHubError as err:
                    shown += [str(err), repr(err), repr(err.__cause__)]
            simulated.faults.clear()
    shown += [record.getMessage() for record in caplog.records if record.name.startswith("vegehub")]
    assert len(shown) > 20
    for secret in secrets:
        assert not [text for text in shown if secret in text]


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), "10", None])
def test_timeout_must_be_finite_and_positive(timeout: Any) -> None:
    with pytest.raises(VegeHubValueError, match="timeout"):
        VegeHub("127.0.0.1", timeout=timeout)


async def test_a_name_that_is_no_utf_8_is_written_back_as_what_it_says() -> None:
    body = b'{"hub":{"name":"G\xe4rtnerei"},"api_key":"","endpoints":[],"error":"success"}'
    async with raw_hub(reply(body)) as raw, VegeHub(raw.address) as hub:
        await hub.configure_server("http://127.0.0.1:9/hook")
        assert json.loads(raw.requests[-1].partition(b"\r\n\r\n")[2])["hub"]["name"] == "G\xe4rtnerei"


async def test_a_mac_that_is_none_hinders_no_established_call(simulated_hub: SimulatedHub) -> None:
    async with VegeHub(simulated_hub.address, "entry 7") as hub:
        assert await hub.setup("", "http://127.0.0.1:9/hook") is True
        assert hub.mac_address == "entry 7"
        with pytest.raises(VegeHubValueError, match="is not a MAC address"):
            await hub.turn_off(0)
