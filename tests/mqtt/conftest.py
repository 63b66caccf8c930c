"""A broker for each test."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from mqtt.harness import Mosquitto, ear, need_mosquitto
from programs import Programs

from vegehub import PendingQueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Politeness towards hubs and brokers is not what is tested: nobody waits for it."""
    monkeypatch.setattr("vegehub.mqtt.hub.LOOK_DELAY", 0.05)
    monkeypatch.setattr("vegehub.mqtt.hub.PendingQueue", partial(PendingQueue, send_delay=0.02))
    monkeypatch.setattr("vegehub.mqtt.broker.FIRST_PAUSE", 0.1)


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    need_mosquitto()
    async with Mosquitto(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
async def listener(broker: Mosquitto):
    """A client that hears everything."""
    async with ear(broker) as listening:
        yield listening


@pytest.fixture
async def programs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Programs]:
    """Bridges as processes of their own, kept to this machine; what a test leaves running is ended."""
    running = Programs(tmp_path_factory.mktemp("guard"))
    yield running
    await running.end()
