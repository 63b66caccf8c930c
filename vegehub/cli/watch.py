"""The command that shows readings as they change."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.live import Live
from rich.text import Text

from vegehub.exceptions import VegeHubError

from . import options
from .errors import OK, error_document, error_line, exit_code
from .output import Output, iso, shown, table, write_json
from .read import reading_documents, value_text
from .runner import run
from .target import resolve
from .trend import arrow, sparkline

if TYPE_CHECKING:
    from collections.abc import Callable

    from vegehub.fleet import HubManager
    from vegehub.sensors import SensorCurve
    from vegehub.vegehub import VegeHub

_KEPT = 12

Rows = list[dict[str, Any]]


def watch(
    hosts: options.Hosts,
    *,
    every: options.Every = 10.0,
    sensor: options.SensorNames = None,
    count: options.Count = None,
    timeout: options.Timeout = 10.0,
    json: options.Json = False,
) -> int:
    """Show readings of hubs as they change, with their trends, until Ctrl-C or --count ends it.

    Every reading keeps a battery hub awake, and costs charge; `vegehub listen` waits for what a hub sends by itself.
    """
    output = Output(as_json=json)
    return run(_watch(_Board(output, options.sensors(sensor)), hosts, every, count, timeout))


class _Board:
    """What was read last from each hub, and what was read before."""

    def __init__(self, output: Output, curves: dict[int, SensorCurve]) -> None:
        self.output = output
        self.curves = curves
        self.failures: dict[str, VegeHubError] = {}
        self.answered = False
        self._rows: dict[str, Rows] = {}
        self._past: dict[tuple[str, int], deque[float]] = {}
        self._at = datetime.now().astimezone()

    def take(self, results: dict[str, Any]) -> None:
        """Take in one reading of each hub, or why there is none."""
        self._at = datetime.now().astimezone()
        for host, result in results.items():
            if isinstance(result, VegeHubError):
                self.failures[host] = result
                continue
            if isinstance(result, BaseException):
                raise result
            self.failures.pop(host, None)
            self.answered = True
            self._rows[host] = reading_documents(result, self.curves)
            for row in self._rows[host]:
                past = self._past.setdefault((host, row["slot"]), deque(maxlen=_KEPT))
                past.append(row["volts"])

    def records(self, hosts: list[str]) -> Rows:
        """Return one object for each hub."""
        at = iso(self._at)
        return [
            {"at": at, "host": host, **error_document(self.failures[host])}
            if host in self.failures
            else {"at": at, "host": host, "readings": self._rows.get(host, [])}
            for host in hosts
        ]

    def table(self, hosts: list[str]) -> Any:
        """Return the table for people."""
        made = table("Hub", "Slot", "Volts", "Value", "", "Trend", "", right=("Slot", "Volts", "Value"))
        plain = not self.output.out.encoding.lower().startswith("utf")
        for host in hosts:
            failure = self.failures.get(host)
            rows = self._rows.get(host, [])
            state = "" if failure is None else _state(failure)
            if not rows:
                made.add_row(host, "", "", "", "", "", Text(state, style="yellow"))
            for number, row in enumerate(rows):
                past = self._past[host, row["slot"]]
                made.add_row(
                    host if not number else "",
                    f"{row['slot']}",
                    Text(f"{row['volts']:.3f}", style="dim" if failure else ""),
                    Text(value_text(row), style="dim" if failure else ""),
                    arrow(past, plain=plain),
                    sparkline(past, plain=plain),
                    Text(state if not number else "", style="yellow"),
                )
        made.caption = Text(f"{self._at:%H:%M:%S}; Ctrl-C ends", style="dim")
        made.caption_justify = "left"
        return made


async def _watch(board: _Board, hosts: list[str], every: float, count: int | None, timeout: float) -> int:
    from vegehub.fleet import HubManager  # noqa: PLC0415 - loads the whole library, which --help does not need

    addresses = list(dict.fromkeys([await resolve(host, board.output) for host in hosts]))
    async with HubManager(follow=False) as manager:
        for address in addresses:
            manager.add(address, id=address, timeout=timeout)
        if board.output.as_json or not board.output.out.is_terminal:
            await _turns(lambda: _print(board, addresses), board, manager, every, count)
        else:
            await _on_screen(board, manager, addresses, every, count)
    if board.answered:
        return OK
    for failure in board.failures.values():
        raise failure
    return OK


async def _on_screen(board: _Board, manager: HubManager, addresses: list[str], every: float, count: int | None) -> None:
    with Live(console=board.output.out, auto_refresh=False) as live:
        await _turns(lambda: live.update(board.table(addresses), refresh=True), board, manager, every, count)


async def _turns(
    show: Callable[[], object], board: _Board, manager: HubManager, every: float, count: int | None
) -> None:
    left = count
    while left is None or left > 0:
        async with board.output.busy("asking the hubs"):
            board.take(await manager.run(_read))
        show()
        left = None if left is None else left - 1
        if left != 0:
            await asyncio.sleep(every)


def _print(board: _Board, addresses: list[str]) -> None:
    if not board.output.as_json:
        board.output.print(board.table(addresses))
        return
    for record in board.records(addresses):
        write_json(record)


async def _read(hub: VegeHub) -> Any:
    return await hub.get_readings()


def _state(failure: VegeHubError) -> str:
    return {3: "not reached", 4: "asleep?"}.get(exit_code(failure), shown(error_line(failure), 30))
