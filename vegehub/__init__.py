"""Client for the Vegetronix VegeHub, an irrigation and soil-sensor hub on the local network.

The public names are resolved when they are first used: ``import vegehub`` itself loads nothing heavy.
"""

from __future__ import annotations

# The name is what type checkers look for. Importing it, and what it comes with, costs ten times what is below.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
    from .finding import NOTHING_FOUND, HubBrowser, discover
    from .fleet import (
        ActuatorState,
        Garden,
        GardenHub,
        HubManager,
        HubRecord,
        ManagerEvent,
        Member,
        Registry,
        find_garden,
    )
    from .helpers import therm200_transform, update_data_to_ha_dict, update_data_to_latest_dict, vh400_transform
    from .hub import ReceiverConnection, connect_receiver
    from .receiving import History, HistorySample, HourlyMean, Journal, JournalEvent, Refusal, UpdateReceiver
    from .sensors import SENSOR_CURVES, PiecewiseCurve, SensorCurve, sensor_curve
    from .sleeping import PendingCommand, PendingQueue, PendingState, Presence, PresenceChange, PresenceState
    from .vegehub import VegeHub
    from .wire import (
        Actuator,
        DiscoveredHub,
        HubEvent,
        HubInfo,
        Reading,
        Sample,
        Server,
        ServerChange,
        SlotLayout,
        Update,
        WifiInfo,
        parse_update,
    )
    from .wiring import WiredActuator, WiredInput, Wiring

__version__ = "0.3.0"

_MODULE_OF = {
    "Actuator": "wire",
    "ActuatorState": "fleet",
    "DiscoveredHub": "wire",
    "Garden": "fleet",
    "GardenHub": "fleet",
    "History": "receiving",
    "HistorySample": "receiving",
    "HourlyMean": "receiving",
    "HubBrowser": "finding",
    "HubEvent": "wire",
    "HubInfo": "wire",
    "HubManager": "fleet",
    "HubRecord": "fleet",
    "Journal": "receiving",
    "JournalEvent": "receiving",
    "ManagerEvent": "fleet",
    "Member": "fleet",
    "NOTHING_FOUND": "finding",
    "Outcome": "exceptions",
    "PendingCommand": "sleeping",
    "PendingQueue": "sleeping",
    "PendingState": "sleeping",
    "PiecewiseCurve": "sensors",
    "Presence": "sleeping",
    "PresenceChange": "sleeping",
    "PresenceState": "sleeping",
    "Reading": "wire",
    "ReceiverConnection": "hub",
    "Refusal": "receiving",
    "Registry": "fleet",
    "SENSOR_CURVES": "sensors",
    "Sample": "wire",
    "SensorCurve": "sensors",
    "Server": "wire",
    "ServerChange": "wire",
    "SlotLayout": "wire",
    "Update": "wire",
    "UpdateReceiver": "receiving",
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
    "WifiInfo": "wire",
    "WiredActuator": "wiring",
    "WiredInput": "wiring",
    "Wiring": "wiring",
    "connect_receiver": "hub",
    "discover": "finding",
    "find_garden": "fleet",
    "parse_update": "wire",
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
    "ActuatorState",
    "DiscoveredHub",
    "Garden",
    "GardenHub",
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
    "Member",
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
    "WiredActuator",
    "WiredInput",
    "Wiring",
    "__version__",
    "connect_receiver",
    "discover",
    "find_garden",
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
