"""What a simulated hub is and knows, apart from sockets: inputs, actuators, battery, configuration, its idea of the time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from . import configuration
from .actuators import Actuator

if TYPE_CHECKING:
    from collections.abc import Callable

    from .clock import Clock
    from .profiles import Profile

_MAC_STEP = 7919  # odd: every index of one seed has its own last two bytes until 65536


class Input:
    """A wired analog input; set ``volts`` to what the sensor delivers."""

    def __init__(self, slot: int, volts: float) -> None:
        self.slot = slot
        """0-based."""
        self.on_change: Callable[[Input, float, float], None] | None = None
        self._volts = volts

    @property
    def volts(self) -> float:
        """Volts at the input."""
        return self._volts

    @volts.setter
    def volts(self, volts: float) -> None:
        before, self._volts = self._volts, volts
        if self.on_change is not None:
            self.on_change(self, before, volts)


class Device:
    """The hub behind its network: everything that lives on when a connection does not."""

    def __init__(self, profile: Profile, clock: Clock, address: str, seed: int, index: int) -> None:
        generator = random.Random(f"{seed} {index}")
        tail = (random.Random(seed).randrange(1 << 24) + index * _MAC_STEP) % (1 << 24)
        self.profile = profile
        self.clock = clock
        self.address = address
        self.mac = f"{profile.mac_prefix}{tail:06X}"
        """12 upper-case hex digits."""
        self.factory_name = f"Vege_{self.mac[8:10]}_{self.mac[10:]}"
        self.inputs = [
            Input(slot, round(generator.randrange(250, 1200) * 0.002, 3)) for slot in range(profile.num_inputs)
        ]
        self.actuators = [Actuator(slot, clock, profile) for slot in range(profile.num_actuators)]
        self.battery_volts = 9.2
        self.rssi = -41
        """Strength of the radio link in dBm."""
        self.error_code = 0
        """``error_code`` of updates."""
        self.clock_offset = 0.0
        """Seconds by which the hub's clock is ahead of the true time."""
        self.clock_fault = 0.0
        """Further seconds, by a fault."""
        self.config = configuration.factory_config(profile, self.mac, self.factory_name, address)

    @property
    def name(self) -> str:
        """The name the user gave, also its mDNS name; ``Vege_XX_XX`` until then."""
        hub = self.config.get("hub")
        name = hub.get("name") if isinstance(hub, dict) else None
        return name if isinstance(name, str) and name else self.factory_name

    def move(self, address: str) -> None:
        """Have another address, which the configuration tells as well."""
        self.address = address
        hub = self.config.get("hub")
        if isinstance(hub, dict) and "current_ip_addr" in hub:
            hub["current_ip_addr"] = address

    @property
    def epoch(self) -> float:
        """Unix seconds by the hub's own clock."""
        return self.clock.epoch + self.clock_offset + self.clock_fault

    def set_time(self, epoch: float) -> None:
        """Set the hub's clock to ``epoch`` Unix seconds."""
        self.clock_offset += epoch - self.epoch

    def setting(self, key: str, default: float) -> float:
        """Return a number of the ``hub`` object of the configuration; ``default`` if it has none above 0."""
        hub = self.config.get("hub")
        value = hub.get(key) if isinstance(hub, dict) else None
        valid = isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
        return float(value) if valid and value is not None else default

    @property
    def sleeps(self) -> bool:
        """Whether the hub runs on its battery and sleeps by itself."""
        hub = self.config.get("hub")
        mode = hub.get("power_mode", self.profile.power_mode) if isinstance(hub, dict) else self.profile.power_mode
        return mode == 0

    def info(self) -> dict[str, Any]:
        """Return every object that ``info/get`` can name; the last three have an unknown shape."""
        profile = self.profile
        digits = self.mac
        return {
            "hub": {
                "first_boot": False,
                "page_updated": False,
                "error_message": 0,
                "num_channels": profile.num_inputs,
                "num_actuators": profile.num_actuators,
                "version": profile.firmware,
                "agenda": 1,
                "batt_v": round(self.battery_volts, 4),
                "num_vsens": 0,
                "is_ac": int(profile.is_ac),
                "has_sd": 0,
                "on_ap": 0,
            },
            "wifi": {
                "ssid": "GardenNet",
                "strength": str(self.rssi),
                "chan": "6",
                "ip": self.address,
                "status": "3",
                "mac_addr": ":".join(digits[i : i + 2] for i in range(0, len(digits), 2)),
            },
            "time": {"epoch": int(self.epoch)},
            "sensors": [{"slot": sensor.slot, "value": sensor.volts} for sensor in self.inputs],
            "actuators": [actuator.status() for actuator in self.actuators],
        }
