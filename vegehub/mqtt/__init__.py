"""A bridge between hubs and an MQTT broker; it needs the extra ``mqtt`` (aiomqtt and PyYAML)."""

from __future__ import annotations

from .bridge import MqttBridge
from .commands import CommandRules
from .connection import VegeHubBrokerError, VegeHubPublishError
from .ledger import VegeHubLedgerError
from .settings import (
    BridgeSettings,
    BrokerSettings,
    HubSettings,
    ReceiverSettings,
    SensorSettings,
    TlsSettings,
)
from .settings_file import load_settings

__all__ = [
    "BridgeSettings",
    "BrokerSettings",
    "CommandRules",
    "HubSettings",
    "MqttBridge",
    "ReceiverSettings",
    "SensorSettings",
    "TlsSettings",
    "VegeHubBrokerError",
    "VegeHubLedgerError",
    "VegeHubPublishError",
    "load_settings",
]
