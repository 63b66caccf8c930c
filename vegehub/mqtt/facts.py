"""What hubs have said of themselves, kept so that each has to be asked only once: every request keeps a hub awake."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import VegeHubError
from vegehub.files import read_limited, write_private
from vegehub.wire import SlotLayout, decode_strict_json

if TYPE_CHECKING:
    from pathlib import Path

    from vegehub.wire import HubInfo

_LOGGER = logging.getLogger(__name__)

_FORMAT = "vegehub-bridge"
_VERSION = 1
_MAX_FILE = 16 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one hub has said of itself."""

    inputs: int = 0
    actuators: int = 0
    battery: bool = True
    firmware: str = ""
    update_period: float | None = None
    sleeps: bool = True

    @classmethod
    def of(cls, info: HubInfo, update_period: float | None, *, sleeps: bool) -> Facts:
        """Return what a hub's own words come to; VegeHubValueError if they do not say what its slots are."""
        layout = SlotLayout.from_info(info)
        return cls(
            inputs=layout.num_sensors,
            actuators=layout.num_actuators,
            battery=layout.has_battery,
            firmware=info.firmware or "",
            update_period=update_period,
            sleeps=sleeps,
        )

    @property
    def layout(self) -> SlotLayout:
        """The layout of its updates."""
        return SlotLayout(self.inputs, self.actuators, self.battery)


class FactsFile:
    """The facts of all hubs by MAC, and the topics at which Home Assistant was told of them."""

    def __init__(self, path: Path) -> None:
        self.hubs: dict[str, Facts] = {}
        self.discovery: set[str] = set()
        self._path = path
        self._writing = asyncio.Lock()

    async def load(self) -> None:
        """Read the file; one that is missing or broken is as good as none, since hubs can be asked again."""
        try:
            document = await asyncio.get_running_loop().run_in_executor(None, self._read)
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError, VegeHubError) as err:
            _LOGGER.warning("%s: not readable (%s); the hubs will be asked again", self._path, type(err).__name__)
            return
        self.hubs, self.discovery = document

    async def save(self) -> None:
        """Write the file; that this fails is logged, and costs no more than asking the hubs again."""
        document = {
            "format": _FORMAT,
            "version": _VERSION,
            "hubs": {mac: asdict(facts) for mac, facts in self.hubs.items()},
            "discovery": sorted(self.discovery),
        }
        async with self._writing:
            try:
                await asyncio.get_running_loop().run_in_executor(
                    None, write_private, self._path, json.dumps(document, indent=1) + "\n"
                )
            except OSError as err:
                _LOGGER.warning("%s: not written: %s", self._path, err)

    def _read(self) -> tuple[dict[str, Facts], set[str]]:
        document = decode_strict_json(read_limited(self._path, _MAX_FILE))
        if document["format"] != _FORMAT or document["version"] != _VERSION:
            raise ValueError("another format")
        hubs = {str(mac): _facts(entry) for mac, entry in document["hubs"].items()}
        return hubs, {str(topic) for topic in document["discovery"]}


def _facts(entry: dict[str, Any]) -> Facts:
    known = {field.name for field in fields(Facts)}
    facts = Facts(**{name: value for name, value in entry.items() if name in known})
    numbers = (facts.inputs, facts.actuators, facts.update_period or 1)
    if not all(isinstance(number, (int, float)) and number >= 0 for number in numbers) or not facts.layout:
        raise ValueError("wrong facts")
    return facts
