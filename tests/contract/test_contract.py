"""What every hub must do, through the public API: simulated ones of each profile, or a real one.

    pytest tests/contract/test_contract.py --vegehub-host ADDRESS

Against a real hub only what changes nothing is run; ``--vegehub-write`` adds commands and settings, which are undone.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from vegehub import Outcome, VegeHub, VegeHubMismatchError, VegeHubValueError

PROFILES = ["gen2-5.1-battery", "gen2-5.1-logger", "gen2-endpoints", "sprinkler-ac"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vegehub_hub" in metafunc.fixturenames:
        option = metafunc.config.getoption
        chosen = option("--vegehub-host") or option("--vegehub-profile")
        metafunc.parametrize("vegehub_hub", [chosen] if chosen else PROFILES, indirect=True)


async def test_mac_is_twelve_upper_hex_digits(vegehub_hub: VegeHub) -> None:
    assert await vegehub_hub.retrieve_mac_address()
    assert len(vegehub_hub.mac_address) == 12
    assert set(vegehub_hub.mac_address) <= set("0123456789ABCDEF")


async def test_info_agrees_with_the_established_properties(vegehub_hub: VegeHub) -> None:
    info = await vegehub_hub.get_info()
    assert info.mac == vegehub_hub.mac_address
    assert (info.num_sensors, info.num_actuators) == (vegehub_hub.num_sensors, vegehub_hub.num_actuators)
    assert (info.firmware, info.is_ac) == (vegehub_hub.sw_version, vegehub_hub.is_ac)
    assert info.wifi.rssi is None or -120 <= info.wifi.rssi <= 0


async def test_there_is_a_status_for_each_actuator(vegehub_hub: VegeHub) -> None:
    info = await vegehub_hub.get_info()
    actuators = await vegehub_hub.get_actuators()
    assert [actuator.slot for actuator in actuators] == list(range(info.num_actuators))
    assert [raw["slot"] for raw in await vegehub_hub.actuator_states()] == list(range(info.num_actuators))


async def test_readings_are_volts_of_the_inputs(vegehub_hub: VegeHub) -> None:
    info = await vegehub_hub.get_info()
    readings = await vegehub_hub.get_readings()
    assert [reading.slot for reading in readings] == sorted({reading.slot for reading in readings})
    for reading in readings:
        assert 1 <= reading.slot <= info.num_sensors + 1
        assert reading.latest is not None
        assert 0 <= reading.latest.value < 30


async def test_configuration_is_read_without_passwords(vegehub_hub: VegeHub) -> None:
    document = await vegehub_hub.get_config()
    assert "wifi" not in document
    assert "error" not in document
    assert None not in document.values()


async def test_servers_are_listed(vegehub_hub: VegeHub) -> None:
    for server in await vegehub_hub.list_servers():
        assert isinstance(server.url, str)


async def test_update_can_be_requested(vegehub_hub: VegeHub) -> None:
    assert await vegehub_hub.request_update()


async def test_diagnostics_hold_every_part_and_no_failure(vegehub_hub: VegeHub) -> None:
    report = await vegehub_hub.diagnostics()
    assert {"address", "mac", "info", "config", "actuators", "readings", "counters"} <= set(report)
    assert not [name for name, part in report.items() if isinstance(part, dict) and "failed" in part]


async def test_slot_beyond_the_last_is_refused_before_it_is_sent(vegehub_hub: VegeHub) -> None:
    info = await vegehub_hub.get_info()
    with pytest.raises(VegeHubValueError, match="there is no actuator") as caught:
        await vegehub_hub.set_actuator(0, info.num_actuators, 0)
    assert caught.value.outcome is Outcome.NOT_SENT


async def test_another_mac_is_told_before_anything_is_written(vegehub_hub: VegeHub) -> None:
    other = VegeHub(vegehub_hub.ip_address, "00:00:00:00:00:01")
    with pytest.raises(VegeHubMismatchError, match="nothing was written"):
        await other.turn_off(0)
    await other.close()


async def test_actuator_goes_on_and_off(vegehub_hub: VegeHub, vegehub_may_write: bool) -> None:
    info = await vegehub_hub.get_info()
    for slot in range(info.num_actuators if vegehub_may_write else 0):
        await vegehub_hub.turn_on(slot, timedelta(seconds=5), confirm=True)
        await vegehub_hub.turn_off(slot, confirm=True)
        assert not (await vegehub_hub.get_actuators())[slot].is_on


async def test_setup_thrice_leaves_one_server_of_ours_and_removing_it_brings_back_what_was(
    vegehub_hub: VegeHub, vegehub_may_write: bool
) -> None:
    if not vegehub_may_write:
        return
    before = await vegehub_hub.get_config()
    change = await vegehub_hub.configure_server("http://127.0.0.1:9/hook", api_key="key", name="Contract")
    for _ in range(2):
        again = await vegehub_hub.configure_server("http://127.0.0.1:9/hook", api_key="key", name="Contract")
        assert not again.changed
    assert [server.url for server in await vegehub_hub.list_servers()].count("http://127.0.0.1:9/hook") == 1
    await vegehub_hub.remove_server(change)
    after = await vegehub_hub.get_config()
    assert after == before


async def test_backup_is_restored(vegehub_hub: VegeHub, vegehub_may_write: bool) -> None:
    if not vegehub_may_write:
        return
    backup = await vegehub_hub.backup_config()
    change = await vegehub_hub.configure_server("http://127.0.0.1:9/hook", name="Contract")
    assert change.changed
    await vegehub_hub.restore_config(backup)
    assert (await vegehub_hub.backup_config())["config"] == backup["config"]
