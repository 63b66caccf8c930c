"""From hubs through a bridge to a real MQTT broker."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.intervals import of_median
from benchmarks.processes import Process
from benchmarks.results import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.contest import Bench

_HUBS = 100
_COUNT = 5
"""Updates per hub and round; a hub that sends more than 10 in a second is told to wait."""
_PACE = 0.11
_PERIOD = 300.0
"""Seconds between the updates of a hub, as they are set by its manufacturer."""


def bridge(bench: Bench) -> list[Result]:
    """Push from 100 hubs through receiver, journal, bridge and Mosquitto: one bridge, two with half the hubs each."""
    mosquitto = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if mosquitto is None or find_spec("aiomqtt") is None:
        missing = "Mosquitto (scripts/mosquitto)" if mosquitto is None else "aiomqtt (the extra mqtt)"
        return [Result(row="bridge", what="bridge", note=f"not installed: {missing}")]
    results = []
    idle = _rounds(mosquitto, 1, 0, 1)[0]["rss"]
    for bridges in (1, 2):
        rounds = _rounds(mosquitto, bridges, _HUBS // bridges, bench.rounds(4, 10))
        label = "one bridge" if bridges == 1 else "two bridges with half the hubs each"
        cpu = [a_round["cpu"] for a_round in rounds]
        results += [
            Result(
                row="bridge",
                what=f"{_HUBS} hubs, {label}: updates the broker has",
                interval=of_median([a_round["rate"] for a_round in rounds]),
                unit="/s",
                medians={"Mosquitto, CPU per update": median(a_round["broker"] for a_round in rounds) * 1e3},
                medians_unit="ms",
            ),
            Result(
                row="bridge",
                what=f"{_HUBS} hubs, {label}: CPU of the bridges per update",
                interval=of_median([seconds * 1e3 for seconds in cpu]),
                unit="ms",
                medians={f"of one core, an update each {_PERIOD:.0f} s": median(cpu) * _HUBS / _PERIOD * 100},
                medians_unit="%",
            ),
            Result(
                row="bridge",
                what=f"{_HUBS} hubs, {label}: memory of the bridges",
                interval=of_median([a_round["rss"] for a_round in rounds]),
                unit="MB",
                medians={"a bridge without hubs": idle},
                medians_unit="MB",
            ),
        ]
    return results


def _rounds(mosquitto: str, bridges: int, hubs: int, count: int) -> list[dict[str, float]]:
    """Run bridges with so many hubs each beside a new broker; push, and measure until the broker has everything."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        broker, port = stack.enter_context(_broker(mosquitto, folder))
        running = [stack.enter_context(Process("bridging")) for _ in range(bridges)]
        urls = [
            one.ask("open", name=f"bridge{number}", port=port, state=str(folder / str(number)), hubs=hubs)
            for number, one in enumerate(running)
        ]
        pushing = [stack.enter_context(Process("posting")) for _ in range(bridges)]
        # What is loaded and cached by the first updates is no part of the rest.
        _push(running, pushing, urls, hubs, 1)
        rounds = []
        for _ in range(count):
            before, broker_before = [one.ask("state") for one in running], _cpu(broker.pid)
            wall = _push(running, pushing, urls, hubs, _COUNT)
            after, broker_after = [one.ask("state") for one in running], _cpu(broker.pid)
            updates = max(1, bridges * hubs * _COUNT)
            rounds.append(
                {
                    "rate": updates / wall,
                    "cpu": sum(a["cpu"] - b["cpu"] for a, b in zip(after, before, strict=True)) / updates,
                    "broker": (broker_after - broker_before) / updates,
                    "rss": sum(state["rss"] for state in after) / 1e6,
                }
            )
        for one in running:
            one.ask("close")
    return rounds


def _push(running: list[Process], pushing: list[Process], urls: list[str], hubs: int, count: int) -> float:
    """Push from all hubs at once; return the seconds until the broker has acknowledged it all."""
    due: list[Any] = [one.ask("state")["published"] + hubs * count for one in running]
    begun = time.perf_counter()
    for one, url in zip(pushing, urls, strict=True):
        one.begin("push", url=url, hubs=hubs, count=count, pace=_PACE)
    for one, published in zip(running, due, strict=True):
        one.begin("published", count=published)
    for one in (*running, *pushing):
        one.result()
    return time.perf_counter() - begun


@contextmanager
def _broker(mosquitto: str, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a broker on a free port of the loopback, without a file of its own to write to."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    config = folder / "mosquitto.conf"
    user = "user root\n" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n{user}", encoding="utf-8")
    process = subprocess.Popen([mosquitto, "-c", str(config)], stderr=subprocess.DEVNULL)  # noqa: S603 - found above
    try:
        while process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.02)
        yield process, port
    finally:
        process.terminate()
        process.wait()


def _cpu(pid: int) -> float:
    """Return the CPU seconds of a process; 0 where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
