"""Receive what hubs push, with a server of its own; prints one line per reading.

usage: python examples/listen.py HOST PORT [TOKEN]

HOST is the address of this machine at which the hubs find it. The token is the secret part of the path: give the one
that was printed the last time, and hubs that were pointed here find this program again.
"""

from __future__ import annotations

import asyncio
import sys

from vegehub import UpdateReceiver, VegeHubError


async def listen(host: str, port: int, token: str | None) -> None:
    """Print updates until Ctrl-C."""
    receiver = UpdateReceiver(token=token)
    async with receiver.serve(host, port):
        print(f"point hubs at http://{host}:{receiver.port}{receiver.path}", flush=True)
        async for update in receiver.stream():
            for reading in update.readings.values():
                for sample in reading.samples:
                    print(
                        f"{update.hub_key} slot {reading.slot}: {sample.value:.3f} V at {sample.time_text}", flush=True
                    )


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        raise SystemExit(__doc__)
    try:
        asyncio.run(listen(sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None))  # noqa: PLR2004 - the token is optional
    except VegeHubError as err:
        raise SystemExit(str(err)) from None
    except KeyboardInterrupt:
        pass
