"""A bridge in a process of its own, told by its address where the broker is."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import pipe
from .receiving import resident

if TYPE_CHECKING:
    from vegehub.mqtt import MqttBridge

_TOKEN = "a-token-for-benchmarks"  # noqa: S105 - nobody else is served
_INPUTS = 8


class _Bridging:
    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._bridge: MqttBridge | None = None

    async def open(self, name: str, port: int, state: str, hubs: int) -> str:
        """Run a bridge for this many hubs, and return the URL to post to."""
        from vegehub.mqtt import (  # noqa: PLC0415 - a missing extra is told as the result of the job
            BridgeSettings,
            BrokerSettings,
            HubSettings,
            MqttBridge,
            ReceiverSettings,
        )

        settings = BridgeSettings(
            broker=BrokerSettings(host="127.0.0.1", port=port),
            receiver=ReceiverSettings(host="127.0.0.1", port=0, token=_TOKEN),
            state=Path(state),
            name=name,
            prefix=name,
            hubs=tuple(
                # Nobody answers there: these hubs only push, and are known well enough not to be asked.
                HubSettings(
                    mac=f"7C9EBD{hub:06X}",
                    address="127.0.0.1:9",
                    inputs=_INPUTS,
                    actuators=0,
                    battery=True,
                    update_period=300,
                    sleeps=True,
                )
                for hub in range(hubs)
            ),
        )
        self._bridge = await self._stack.enter_async_context(MqttBridge(settings))
        await self._bridge.wait_connected()
        return f"127.0.0.1:{self._bridge.receiver.port}{self._bridge.receiver.path}"

    async def published(self, count: int) -> None:
        """Wait until the broker has acknowledged so many updates."""
        while self._bridge is not None and self._bridge.published < count:  # noqa: ASYNC110 - it counts, and tells nobody
            await asyncio.sleep(0.002)

    async def state(self) -> dict[str, Any]:
        """Say what has been done, and what is held now."""
        gc.collect()
        return {
            "published": 0 if self._bridge is None else self._bridge.published,
            "cpu": time.process_time(),
            "rss": resident(),
        }

    async def close(self) -> None:
        """End the bridge."""
        await self._stack.aclose()


def main() -> None:
    """Serve until the pipe is closed."""
    it = _Bridging()
    asyncio.run(pipe.serve({"open": it.open, "published": it.published, "state": it.state, "close": it.close}))
