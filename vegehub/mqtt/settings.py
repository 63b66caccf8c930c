"""The settings of a bridge, as frozen dataclasses; secrets are not in their repr."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vegehub.wire import HubAddress, SlotLayout

from .commands import CommandRules
from .topics import DEFAULT_DISCOVERY, DEFAULT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from vegehub.sensors import SensorCurve

DEFAULT_NAME = "main"
MQTT_PORT, MQTTS_PORT = 1883, 8883
KEEPALIVE = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """How the broker proves who it is, and the bridge who it is; the broker's certificate and name are always checked."""

    ca_file: Path | None = None
    """Of the authority that signed the broker's certificate; None: those that the system trusts."""
    cert_file: Path | None = None
    key_file: Path | None = None
    """Of the bridge's own certificate, both or none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """Where the broker is, and who we are to it. MQTT 5 is needed."""

    host: str
    port: int = MQTT_PORT
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    client_id: str = ""
    """"": made of the name of the bridge."""
    bind_address: str = ""
    """The address of this machine from which the broker is reached; "": the one that routes to it."""
    keepalive: int = KEEPALIVE
    """Seconds; the broker takes the bridge for gone after one and a half times this, the bridge the broker earlier."""
    reconnect_max: float = 60.0
    """Seconds of the longest pause between two attempts to connect."""
    tls: TlsSettings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverSettings:
    """Where hubs send their updates to."""

    host: str
    port: int = 8099
    token: str = field(repr=False)
    """The secret path: 16 to 200 letters, digits, - and _."""
    only_listed: bool = False
    """Refuse the updates of hubs that are not in the settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorSettings:
    """What is connected to an input."""

    curve: SensorCurve
    name: str = ""
    device_class: str | None = None
    """Of Home Assistant; None: what follows from the curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSettings:
    """One hub; what is None is asked of the hub once, when it is awake, and kept."""

    mac: str
    address: str
    name: str = ""
    inputs: int | None = None
    actuators: int | None = None
    battery: bool | None = None
    """Whether its updates have a slot for the battery."""
    update_period: float | None = None
    """Seconds between its updates."""
    sleeps: bool | None = None
    sensors: Mapping[int, SensorSettings] = field(default_factory=dict, hash=False)
    """By input, counted from 1."""
    actuator_names: Mapping[int, str] = field(default_factory=dict, hash=False)
    """By actuator, counted from 0."""
    rules: CommandRules = field(default_factory=CommandRules)

    @property
    def layout(self) -> SlotLayout | None:
        """The layout as far as the settings say it; None where they do not."""
        if self.inputs is None or self.actuators is None or self.battery is None:
            return None
        return SlotLayout(self.inputs, self.actuators, self.battery)

    @property
    def url(self) -> str:
        """The address of the hub's own page."""
        return HubAddress.parse(self.address).url


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSettings:
    """All settings of one bridge; `load_settings` reads them from a file and the environment."""

    broker: BrokerSettings
    receiver: ReceiverSettings
    state: Path
    """The folder of the journal and of the other files that the bridge keeps."""
    name: str = DEFAULT_NAME
    """Of this bridge; each has its own."""
    group: tuple[str, ...] = ()
    """The bridges that may command these hubs, this one among them: the first that is online does. Empty: only this."""
    prefix: str = DEFAULT_PREFIX
    discovery: str | None = DEFAULT_DISCOVERY
    """Where Home Assistant looks for devices; None: it is told nothing."""
    commands: bool = True
    hubs: tuple[HubSettings, ...] = ()

    @property
    def client_id(self) -> str:
        """The id under which the broker knows this bridge."""
        return self.broker.client_id or f"vegehub-{self.name}"
