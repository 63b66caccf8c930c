"""Updates as lines: a table for people, JSON lines, or CSV."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from .output import iso, local_time, shown, write_json, write_line
from .read import converted, value_text

if TYPE_CHECKING:
    from vegehub.sensors import SensorCurve
    from vegehub.wire import Update

    from .output import Output

_CSV = ("received_at", "mac", "slot", "taken_at", "value", "converted", "unit")
_TABLE = "{:<19}  {:<12}  {:>4}  {:>9}  {:>10}  {}"


class Rows(Protocol):
    """Where updates go."""

    def begin(self) -> None:
        """Write what stands above the first update."""

    def add(self, update: Update) -> None:
        """Write one update."""


class JsonLines:
    """One JSON object for each update."""

    def __init__(self, curves: dict[int, SensorCurve]) -> None:
        self._curves = curves

    def begin(self) -> None:
        """Write nothing."""

    def add(self, update: Update) -> None:
        """Write one object."""
        write_json(
            {
                "mac": update.mac,
                "hub_key": update.hub_key,
                "received_at": iso(update.received_at),
                "sent_at": iso(update.sent_at),
                "rssi": update.rssi,
                "error_code": update.error_code,
                "battery_volts": update.battery_volts,
                "problems": update.problem_count,
                "readings": _samples(update, self._curves),
            }
        )


class CsvLines:
    """One line for each sample."""

    def __init__(self, curves: dict[int, SensorCurve]) -> None:
        self._curves = curves

    def begin(self) -> None:
        """Write the names of the columns."""
        write_line(",".join(_CSV))

    def add(self, update: Update) -> None:
        """Write the samples."""
        for sample in _samples(update, self._curves):
            text = io.StringIO()
            row = (
                iso(update.received_at),
                update.mac or update.hub_key,
                sample["slot"],
                sample["taken_at"],
                sample["volts"],
                sample.get("value"),
                sample.get("unit"),
            )
            csv.writer(text, lineterminator="").writerow(["" if value is None else value for value in row])
            write_line(text.getvalue())


class TableLines:
    """One line for each sample, in columns that fit 80 characters."""

    def __init__(self, curves: dict[int, SensorCurve], output: Output) -> None:
        self._curves = curves
        self._output = output

    def begin(self) -> None:
        """Write the names of the columns."""
        self._line("Taken at", "Hub", "Slot", "Value", "Converted", "Sensor")

    def add(self, update: Update) -> None:
        """Write the samples."""
        samples = _samples(update, self._curves)
        if not samples:
            self._line(
                local_time(update.received_at), update.mac or shown(update.hub_key, 12), "", "", "nothing new", ""
            )
        for sample in samples:
            moment = local_time(_moment(sample["taken_at"]) or update.received_at)
            name = update.mac or shown(update.hub_key, 12)
            known = sample.get("sensor", "-")
            self._line(moment, name, f"{sample['slot']}", f"{sample['volts']:.3f}", value_text(sample), known)
        if update.problems:
            self._output.say(
                f"{update.problem_count} fields of that update were left out: {'; '.join(update.problems)}", "yellow"
            )

    def _line(self, *cells: str) -> None:
        write_line(_TABLE.format(*cells).rstrip())


def _samples(update: Update, curves: dict[int, SensorCurve]) -> list[dict[str, Any]]:
    samples = []
    for slot in sorted(update.readings):
        for sample in update.readings[slot].samples:
            found = {"slot": slot, "taken_at": iso(sample.taken_at), "volts": sample.value}
            samples.append({**found, **converted(sample.value, curves.get(slot))})
    return samples


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
