"""A broker for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mqtt.harness import Mosquitto, ear, need_mosquitto
from programs import Programs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


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
