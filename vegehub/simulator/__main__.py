"""Run simulated hubs from the command line: ``python -m vegehub.simulator --help``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import inspect
import ipaddress
import json
import signal
import sys
from typing import TYPE_CHECKING, Any

from .faults import Faults
from .playback import RecordingError
from .profiles import DEFAULT_PROFILE, PROFILES
from .simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .hub import SimulatedHub

FAULTS = sorted(
    name
    for name, method in inspect.getmembers(Faults, inspect.isfunction)
    if not name.startswith("_") and name not in {"begin", "clear", "is_on", "plan", "take", "total", "odd_push"}
)
"""The names that ``--fault`` takes."""


def parse_fault(text: str) -> tuple[str, list[Any]]:
    """Split ``name`` or ``name=value``, the value being JSON or plain text."""
    name, equals, value = text.partition("=")
    name = name.replace("-", "_")
    if name not in FAULTS:
        raise argparse.ArgumentTypeError(f"no fault {name!r}; there are {', '.join(FAULTS)}")
    if not equals:
        return name, []
    try:
        return name, [json.loads(value)]
    except ValueError:
        return name, [value]


def addresses(host: str, port: int, count: int) -> Iterator[tuple[str, int]]:
    """Give out an address for each hub: consecutive 127.x.y.z on one port where the system has them, else ports."""
    first = None
    with contextlib.suppress(ValueError):
        first = ipaddress.ip_address(host)
    own_hosts = isinstance(first, ipaddress.IPv4Address) and first.is_loopback and sys.platform == "linux"
    for number in range(count):
        if not port:
            yield host, 0
        elif own_hosts and first is not None:
            yield str(first + number), port
        else:
            yield host, port + number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m vegehub.simulator",
        description="Run simulated VegeHubs in real time. One line of JSON says where they are as soon as they are ready.",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--profile", choices=list(PROFILES), default=DEFAULT_PROFILE)
    kind.add_argument(
        "--from",
        dest="recording",
        metavar="DIR",
        help="go on where a hub was that `vegehub diagnostics --record` recorded",
    )
    parser.add_argument("--count", type=_positive, default=1, help="number of hubs (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address of the first hub (default: %(default)s)")
    parser.add_argument(
        "--port",
        type=int,
        default=0,
        help="0: free ports; else this one, each hub on a 127.x.y.z of its own if possible",
    )
    parser.add_argument("--seed", type=int, default=0, help="decides MACs, names and voltages (default: %(default)s)")
    parser.add_argument("--mdns", action="store_true", help="announce the hubs by mDNS")
    parser.add_argument(
        "--interface",
        type=_address,
        action="append",
        metavar="ADDRESS",
        help="address of this machine to announce them on, may be repeated (default: 127.0.0.1); implies --mdns",
    )
    parser.add_argument(
        "--fault",
        type=parse_fault,
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help=f"switch a fault on for good, may be repeated: {', '.join(FAULTS)}",
    )
    options = parser.parse_args(argv)
    if options.recording is not None and options.count != 1:
        parser.error("--from plays one hub: leave --count out")
    return options


async def run(options: argparse.Namespace) -> None:
    """Serve until a signal comes."""
    with _signals() as stop:
        mdns = options.mdns or None  # None: only if interfaces are named
        async with Simulation(options.seed, realtime=True, mdns=mdns, interfaces=options.interface) as simulation:
            if options.recording is not None:
                await simulation.add_recorded_hub(options.recording, options.host, options.port)
            else:
                for host, port in addresses(options.host, options.port, options.count):
                    await simulation.add_hub(options.profile, host, port)
            await simulation.announced()
            for hub in simulation.hubs:
                for name, values in options.fault:
                    getattr(hub.faults, name)(*values)
            places = [_place(hub) for hub in simulation.hubs]
            top = {"host": places[0]["host"], "port": places[0]["port"]} if len(places) == 1 else {}
            print(json.dumps({**top, "hubs": places}), flush=True)  # noqa: T201 - this line is the interface
            await stop.wait()


def _place(hub: SimulatedHub) -> dict[str, Any]:
    announced = {} if hub.mdns_name is None else {"mdns_name": hub.mdns_name}
    return {
        "host": hub.host,
        "port": hub.port,
        "mac": hub.mac,
        "name": hub.name,
        "profile": hub.profile.name,
        **announced,
    }


@contextlib.contextmanager
def _signals() -> Iterator[asyncio.Event]:
    """Turn SIGINT and SIGTERM into an event, for as long as it lasts."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    try:
        for number in numbers:
            loop.add_signal_handler(number, stop.set)
    except NotImplementedError:  # Windows
        before = {number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set)) for number in numbers}
        try:
            yield stop
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; the exit code is 0 after a signal, 1 if an address or a recording cannot be had."""
    options = arguments(argv)
    try:
        asyncio.run(run(options))
    except (OSError, RecordingError) as err:
        print(f"cannot start: {err}", file=sys.stderr)  # noqa: T201 - a command line program
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
