"""Fixtures of the promise tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from programs import Programs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def programs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Programs]:
    running = Programs(tmp_path_factory.mktemp("guard"))
    yield running
    await running.end()
