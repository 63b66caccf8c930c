"""The command line of the harness: which hub, what may be done to it, and an exit code for the result."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from vegehub.exceptions import VegeHubError, VegeHubValueError
from vegehub.wire import HubAddress

from .harness import INTERRUPTED, NOT_REACHED, Report, StepResult, run_steps
from .harness_report import as_json, as_junit, step_line, summary
from .interruption import interruptions
from .leaks import LeakError, LeakGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Write = Callable[[str], object]

DEFAULT_PROFILE = "gen2-endpoints"
DISCOVERY_SECONDS = 5.0


class UsageError(Exception):
    """The command line asks for something that cannot be done; the text says why."""


class HubNotFoundError(Exception):
    """Discovery found no hub; the text says why that may be."""


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Describe the command line of the program ``prog``."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Take a VegeHub, real or simulated, through numbered steps over one session, and prove that nothing leaks.",
        epilog="Exit codes: 0 passed and no leak; 1 a step failed or something leaked; 2 usage; 3 hub not reached; "
        "130 interrupted. --prove-guard ends with 1 when the guard saw every leak, and with 3 when it missed one.",
    )
    target = parser.add_mutually_exclusive_group()
    target.add_argument(
        "--simulate",
        metavar="PROFILE",
        nargs="?",
        const=DEFAULT_PROFILE,
        help=f"a simulated hub (default profile: {DEFAULT_PROFILE})",
    )
    target.add_argument("--host", metavar="ADDRESS", help="the hub at this address, with or without :port")
    target.add_argument("--discover", action="store_true", help="the hub that announces itself on the network")
    target.add_argument("--prove-guard", action="store_true", help="leak on purpose, in every way, and be caught")
    parser.add_argument("--actuators", action="store_true", help="on a real hub: switch every actuator on and off")
    parser.add_argument(
        "--setup", action="store_true", help="on a real hub: change its servers, receive an update, restore"
    )
    parser.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS", help="deadline of each call (10)")
    parser.add_argument("--interface", metavar="ADDRESS", help="with --discover: only this address of this machine")
    parser.add_argument("--json", metavar="FILE", help="also write a report as JSON; - for standard output")
    parser.add_argument("--junit", metavar="FILE", help="also write a report as JUnit XML")
    return parser


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run from the command line and return the exit code; a wrong command line raises SystemExit(2)."""
    parser = build_parser(prog)
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if not arguments:
            arguments = _ask(parser)
        options = parser.parse_args(arguments)
        if not (options.simulate or options.host or options.discover or options.prove_guard):
            parser.error("one of --simulate, --host, --discover and --prove-guard is needed")
        return _main(options)
    except UsageError as error:
        parser.error(str(error))
    except HubNotFoundError as error:
        _say(sys.stderr.write, str(error))
        return NOT_REACHED
    except (KeyboardInterrupt, EOFError):
        return INTERRUPTED


def _main(options: argparse.Namespace) -> int:
    # With the report on standard output, that must hold nothing else.
    to = sys.stderr if options.json == "-" else sys.stdout

    def write(line: str) -> None:
        _say(to.write, line)
        to.flush()

    if options.prove_guard:
        from .ways_to_leak import prove_guard  # noqa: PLC0415 - loads a server, which the steps need not

        return asyncio.run(prove_guard(write))
    report = asyncio.run(_run(options, write))
    for line in summary(report):
        write(line)
    _save(options, report)
    return report.exit_code


def _say(write: Write, line: str) -> None:
    write(f"{line}\n")


def _save(options: argparse.Namespace, report: Report) -> None:
    if options.json == "-":
        _say(sys.stdout.write, as_json(report))
    elif options.json:
        Path(options.json).write_text(as_json(report) + "\n", encoding="utf-8")
    if options.junit:
        Path(options.junit).write_text(as_junit(report), encoding="utf-8")


MENU = (
    ("a simulated hub", ["--simulate"]),
    ("the hub at an address", ["--host"]),
    ("a hub that announces itself on the network", ["--discover"]),
    ("no hub: prove that the leak guard sees leaks", ["--prove-guard"]),
)


def _ask(parser: argparse.ArgumentParser) -> list[str]:
    """Let a person choose; without one at a terminal, end with a usage error."""
    if not sys.stdin.isatty():
        parser.error("one of --simulate, --host, --discover and --prove-guard is needed")
    for number, (text, _) in enumerate(MENU, 1):
        _say(sys.stdout.write, f"  {number}  {text}")
    choice = input("Test what? [1] ").strip() or "1"
    if not choice.isdecimal() or not 1 <= int(choice) <= len(MENU):
        parser.error(f"no choice {choice!r}")
    arguments = list(MENU[int(choice) - 1][1])
    if arguments == ["--host"]:
        arguments.append(input("Address: ").strip())
    return arguments


async def _run(options: argparse.Namespace, write: Write) -> Report:
    report = Report("")
    begun = time.monotonic()
    try:
        async with LeakGuard():
            work = asyncio.create_task(_test(options, report, write))

            def stop(_: int) -> None:
                report.interrupted = True
                work.cancel()
                # Last, and not as an error: the terminal may be what has gone.
                with contextlib.suppress(OSError):
                    write("interrupted: restoring the hub, please wait")

            with interruptions(stop):
                await asyncio.wait((work,))
            if not work.cancelled():
                work.result()
    except LeakError as error:
        report.leaks = error.leaks
    report.seconds = time.monotonic() - begun
    return report


async def _test(options: argparse.Namespace, report: Report, write: Write) -> None:
    from .harness_steps import STEPS, open_bench  # noqa: PLC0415 - loads aiohttp: not for a usage error

    async with AsyncExitStack() as stack:
        simulated = None
        if options.simulate:
            from vegehub.simulator import PROFILES, SimulatedHub  # noqa: PLC0415 - not with a real hub

            profile = PROFILES.get(options.simulate)
            if profile is None:
                raise UsageError(f"no profile {options.simulate!r}; there are {', '.join(PROFILES)}")
            if not profile.serves_http:
                raise UsageError(f"{profile.name} has no HTTP API: it only sends updates, there is nothing to call")
            simulated = await stack.enter_async_context(SimulatedHub(profile, realtime=True))
            address, report.target = simulated.address, f"simulated {profile.name} at {simulated.address}"
        else:
            address = await _discovered(options, write) if options.discover else options.host
            report.target = f"hub at {address}"
        try:
            HubAddress.parse(address)
            bench = await stack.enter_async_context(
                open_bench(
                    address,
                    simulated=simulated,
                    actuators=options.actuators,
                    setup=options.setup,
                    timeout=options.timeout,
                )
            )
        except VegeHubValueError as error:
            raise UsageError(str(error)) from None
        write(f"VegeHub integration test: {report.target}")

        def show(result: StepResult) -> None:
            write(step_line(result, len(STEPS)))

        await run_steps(bench, STEPS, report, show)
        hub = bench.hub
        report.hub = {
            "address": address,
            "mac": hub.mac_address,
            "firmware": hub.sw_version,
            "num_sensors": hub.num_sensors,
            "num_actuators": hub.num_actuators,
        }


async def _discovered(options: argparse.Namespace, write: Write) -> str:
    try:
        from vegehub.finding.discovery import NOTHING_FOUND, discover  # noqa: PLC0415 - loads zeroconf
    except ImportError as error:
        raise UsageError(f"discovery is not available here: {error}") from None
    interfaces = [options.interface] if options.interface else None
    try:
        hubs = await discover(DISCOVERY_SECONDS, interfaces=interfaces)
    except VegeHubValueError as error:
        raise UsageError(str(error)) from None
    except VegeHubError as error:
        raise HubNotFoundError(str(error)) from None
    if not hubs:
        raise HubNotFoundError(f"no hub announced itself within {DISCOVERY_SECONDS:g} s. {NOTHING_FOUND}")
    for hub in hubs:
        write(f"found {hub.name} at {hub.address}")
    if len(hubs) > 1:
        raise UsageError("several hubs announced themselves: choose one with --host")
    return hubs[0].address
