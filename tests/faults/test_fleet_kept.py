"""Many hubs: a record keeps its MAC and its newest sign of life, and hubs that sleep hold up nobody."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from faults.scripted import executed
from raw_hub import turn_the_loop, until

from vegehub import DiscoveredHub, HubManager, VegeHub, VegeHubError, VegeHubMismatchError, parse_update
from vegehub.simulator import SimulatedHub

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

MAC = "7C9EBD112233"
UPDATE = {"api_key": "", "mac": MAC, "sensors": [{"slot": 1, "samples": [{"v": 1.5, "t": "2026-01-15T16:51:23Z"}]}]}

READS: dict[str, Callable[[VegeHub], Awaitable[Any]]] = {
    "retrieve_mac_address": lambda hub: hub.retrieve_mac_address(),
    "get_info": lambda hub: hub.get_info(),
    "setup": lambda hub: hub.setup("", "http://127.0.0.1:9/hook"),
    "backup_config": lambda hub: hub.backup_config(),
    "set_actuator beyond the known slots": lambda hub: hub.set_actuator(1, 7, 60),
}


class TestRecordKeepsItsMac:
    @pytest.mark.parametrize("by", ["run", "acquire", "hub"])
    @pytest.mark.parametrize("call", READS)
    async def test_whatever_a_stranger_at_its_address_says(
        self, simulated_hub: SimulatedHub, tmp_path: Path, call: str, by: str
    ) -> None:
        async with HubManager() as manager:
            manager.add(simulated_hub.address, id="shed", mac=MAC)
            if by == "run":
                result = (await manager.run(READS[call]))["shed"]
            else:
                async with manager.acquire("shed") as acquired:
                    hub = acquired if by == "acquire" else manager.hub("shed")
                    (result,) = await asyncio.gather(READS[call](hub), return_exceptions=True)
            assert (call == "retrieve_mac_address") is isinstance(result, VegeHubMismatchError)
            if isinstance(result, VegeHubMismatchError):
                assert (result.expected, result.found) == (MAC, simulated_hub.mac)
            else:
                assert not isinstance(result, VegeHubError) or "beyond" in call
            simulated_hub.executed.clear()
            writes = await manager.run(lambda hub: hub.turn_on(0, 60))
            assert isinstance(writes["shed"], VegeHubMismatchError)
            assert manager.get("shed").mac == manager.hub("shed").mac_address == MAC
            await manager.save(tmp_path / "hubs.json")
        assert executed(simulated_hub) == []
        saved = await asyncio.to_thread((tmp_path / "hubs.json").read_text)
        assert [hub["mac"] for hub in json.loads(saved)["hubs"]] == [MAC]

    async def test_an_empty_one_is_filled_by_the_first_call_that_reads_it(self, simulated_hub: SimulatedHub) -> None:
        async with HubManager() as manager:
            manager.add(simulated_hub.address, id="shed")
            await manager.run(lambda hub: hub.retrieve_mac_address())
            assert manager.get("shed").mac == simulated_hub.mac
            simulated_hub.mac = "7C9EBD445566"
            results = await manager.run(lambda hub: hub.retrieve_mac_address())
            assert isinstance(results["shed"], VegeHubMismatchError)


@pytest.mark.parametrize("order", list(itertools.permutations((0, 1, 3))))
async def test_the_newest_sign_of_life_counts_in_whatever_order_updates_come(order: tuple[int, ...]) -> None:
    now = datetime.now(UTC)
    update = parse_update(UPDATE)
    async with HubManager() as manager:
        manager.add("127.0.0.2", id="shed", mac=MAC)
        for hours in order:
            manager.take(replace(update, received_at=now - timedelta(hours=hours)))
        seen = [manager.get("shed").last_seen, manager.presence("shed").last_seen]
    for moment in seen:
        assert moment is not None
        assert abs(now - moment) < timedelta(minutes=1)


async def test_a_hub_that_cannot_be_reached_is_asked_one_question_at_a_time() -> None:
    """However often it announces itself meanwhile; the announcement that counts then is the newest."""
    async with SimulatedHub() as simulated, HubManager() as manager:
        simulated.faults.never_answer()
        met = [
            asyncio.create_task(
                manager._encounters.meet(
                    DiscoveredHub(name="Vege", addresses=(simulated.host,), port=simulated.port, firmware=str(n))
                )
            )
            for n in range(6)
        ]
        await until(lambda: simulated.requests)
        await turn_the_loop()
        simulated.faults.clear()
        simulated.faults.status(500, times=1)
        await asyncio.gather(*met)
        assert len(simulated.requests) <= 2


async def test_names_of_hubs_that_sleep_do_not_keep_named_hubs_that_are_awake_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The names of sleepers hang in the resolver until all the others have answered."""
    asleep = threading.Event()
    system = socket.getaddrinfo

    def look_up(host: str, *arguments: Any, **options: Any) -> Any:
        if host.startswith("asleep"):
            asleep.wait(60)
            raise socket.gaierror(socket.EAI_NONAME, "nobody answered")
        return system("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    async with HubManager() as manager, SimulatedHub() as one, SimulatedHub() as two:
        for number in range(60):
            manager.add(f"asleep{number}.local", id=f"asleep{number}", timeout=60)
        for number, simulated in enumerate((one, two)):
            manager.add(f"awake{number}.local:{simulated.port}", id=f"awake{number}", timeout=60)
        try:
            running = asyncio.create_task(manager.run(lambda hub: hub.get_readings(), concurrency=100))
            await until(lambda: one.requests and two.requests)
            assert not running.done()
        finally:
            asleep.set()
        results = await running
    assert [isinstance(result, Exception) for result in results.values()] == [True] * 60 + [False] * 2
