"""Client for the Vegetronix VegeHub, an irrigation and soil-sensor hub on the local network.

The public names are resolved when they are first used: ``import vegehub`` itself loads nothing heavy.
"""

from __future__ import annotations

# The name is what type checkers look for. Importing it, and what it comes with, costs ten times what is below.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .announcements import DiscoveredHub, HubEvent
    from .connect import ReceiverConnection, connect_receiver
    from .discovery import NOTHING_FOUND, HubBrowser, discover
    from .exceptions import (
        Outcome,
        VegeHubConnectionError,
        VegeHubError,
        VegeHubJournalError,
        VegeHubMismatchError,
        VegeHubNoActuatorsError,
        VegeHubPayloadError,
        VegeHubResponseError,
        VegeHubSessionError,
        VegeHubTimeoutError,
        VegeHubValueError,
    )
    from .helpers import therm200_transform, update_data_to_ha_dict, update_data_to_latest_dict, vh400_transform
    from .history import History, HistorySample, HourlyMean
    from .intake import Refusal
    from .journal import Journal, JournalEvent
    from .layout import SlotLayout
    from .manager import HubManager, ManagerEvent
    from .models import Actuator, HubInfo, Reading, Sample, WifiInfo
    from .pending import PendingQueue
    from .pending_command import PendingCommand, PendingState
    from .presence import Presence, PresenceChange, PresenceState
    from .receiver import UpdateReceiver
    from .registry import HubRecord, Registry
    from .sensors import SENSOR_CURVES, PiecewiseCurve, SensorCurve, sensor_curve
    from .servers import Server, ServerChange
    from .updates import Update, parse_update
    from .vegehub import VegeHub

__version__ = "0.2.0"

_MODULE_OF = {
    "Actuator": "models",
    "DiscoveredHub": "announcements",
    "History": "history",
    "HistorySample": "history",
    "HourlyMean": "history",
    "HubBrowser": "discovery",
    "HubEvent": "announcements",
    "HubInfo": "models",
    "HubManager": "manager",
    "HubRecord": "registry",
    "Journal": "journal",
    "JournalEvent": "journal",
    "ManagerEvent": "manager",
    "NOTHING_FOUND": "discovery",
    "Outcome": "exceptions",
    "PendingCommand": "pending_command",
    "PendingQueue": "pending",
    "PendingState": "pending_command",
    "PiecewiseCurve": "sensors",
    "Presence": "presence",
    "PresenceChange": "presence",
    "PresenceState": "presence",
    "Reading": "models",
    "ReceiverConnection": "connect",
    "Refusal": "intake",
    "Registry": "registry",
    "SENSOR_CURVES": "sensors",
    "Sample": "models",
    "SensorCurve": "sensors",
    "Server": "servers",
    "ServerChange": "servers",
    "SlotLayout": "layout",
    "Update": "updates",
    "UpdateReceiver": "receiver",
    "VegeHub": "vegehub",
    "VegeHubConnectionError": "exceptions",
    "VegeHubError": "exceptions",
    "VegeHubJournalError": "exceptions",
    "VegeHubMismatchError": "exceptions",
    "VegeHubNoActuatorsError": "exceptions",
    "VegeHubPayloadError": "exceptions",
    "VegeHubResponseError": "exceptions",
    "VegeHubSessionError": "exceptions",
    "VegeHubTimeoutError": "exceptions",
    "VegeHubValueError": "exceptions",
    "WifiInfo": "models",
    "connect_receiver": "connect",
    "discover": "discovery",
    "parse_update": "updates",
    "sensor_curve": "sensors",
    "therm200_transform": "helpers",
    "update_data_to_ha_dict": "helpers",
    "update_data_to_latest_dict": "helpers",
    "vh400_transform": "helpers",
}

__all__ = [
    "NOTHING_FOUND",
    "SENSOR_CURVES",
    "Actuator",
    "DiscoveredHub",
    "History",
    "HistorySample",
    "HourlyMean",
    "HubBrowser",
    "HubEvent",
    "HubInfo",
    "HubManager",
    "HubRecord",
    "Journal",
    "JournalEvent",
    "ManagerEvent",
    "Outcome",
    "PendingCommand",
    "PendingQueue",
    "PendingState",
    "PiecewiseCurve",
    "Presence",
    "PresenceChange",
    "PresenceState",
    "Reading",
    "ReceiverConnection",
    "Refusal",
    "Registry",
    "Sample",
    "SensorCurve",
    "Server",
    "ServerChange",
    "SlotLayout",
    "Update",
    "UpdateReceiver",
    "VegeHub",
    "VegeHubConnectionError",
    "VegeHubError",
    "VegeHubJournalError",
    "VegeHubMismatchError",
    "VegeHubNoActuatorsError",
    "VegeHubPayloadError",
    "VegeHubResponseError",
    "VegeHubSessionError",
    "VegeHubTimeoutError",
    "VegeHubValueError",
    "WifiInfo",
    "__version__",
    "connect_receiver",
    "discover",
    "parse_update",
    "sensor_curve",
    "therm200_transform",
    "update_data_to_ha_dict",
    "update_data_to_latest_dict",
    "vh400_transform",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - not needed to import this module

    value = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
