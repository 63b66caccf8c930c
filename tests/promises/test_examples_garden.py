"""The example of a garden: its file is read as it stands, and its program names what is plugged in."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from programs import ROOT

from vegehub import Garden, WiredActuator, WiredInput
from vegehub.simulator import SimulatedHub

if TYPE_CHECKING:
    from pathlib import Path

    from programs import Programs

FILE = ROOT / "examples" / "vegehub.toml"


def test_the_file_is_what_it_says() -> None:
    garden = Garden.load(FILE)
    assert [hub.name for hub in garden] == ["beds", "Front lawn"]
    beds = garden["beds"]
    assert (beds.address, beds.mac, beds.options) == ("192.0.2.57", "7C9EBDC53EDF", {"max_on": 1800})
    assert beds.wiring.input("Tomatoes") == WiredInput(1, "Tomatoes", "VH400")
    assert beds.wiring.input(4).hidden
    assert beds.wiring.actuators == (WiredActuator(1, "Roses"), WiredActuator(2, "Tank pump", "pump"))


@pytest.mark.slow
async def test_the_program_reads_the_hubs_by_name_and_waters_one_bed(programs: Programs, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        beds, lawn = [
            await stack.enter_async_context(SimulatedHub(profile=profile, seed=seed, realtime=True))
            for seed, profile in enumerate(("gen2-endpoints", "gen2-5.1-logger"))
        ]
        for each, volts in zip(beds.inputs, (1.5, 1.2, 1.1, 0.5), strict=True):
            each.volts = volts
        lawn.inputs[0].volts = 2.0
        text = FILE.read_text(encoding="utf-8").replace("7C:9E:BD:C5:3E:DF", beds.mac)
        path = tmp_path / "vegehub.toml"
        path.write_text(text.replace("192.0.2.57", beds.address).replace("192.0.2.58", lawn.address), encoding="utf-8")
        finished = await programs.python(str(ROOT / "examples" / "garden.py"), str(path), "0.1")
        assert finished.err == ""
        assert finished.lines() == [
            "beds: Tomatoes 24.6 %, Soil temperature 10.0 °C, Water tank 66.7 l",
            "Front lawn: Input 1 2.0 V",
            "watering: Roses",
        ]
        assert [command.state for command in beds.actuators[0].commands][:2] == [1, 0]
        assert beds.actuators[1].commands == []
