"""Many hubs over one session, the file that describes them, and the one that keeps what was learned of them.

Read the modules in this order. ``registry`` has a record of each hub, and writes and reads the file; ``schema`` says
what may stand in it, and has the parts that other files are checked with. ``member`` is one hub while the program runs:
its `VegeHub`, queue and presence, what it has said of itself, what its ``actuators`` do, and who uses it. ``encounters``
decides what an announcement means: a new hub, a known one that is awake, or one that has moved. ``manager`` is the facade
over all of them. ``garden`` is the file that people edit: hubs by name, and what is plugged into them.
"""

from . import schema
from .actuators import ActuatorState
from .garden import Garden, GardenHub, find_garden
from .manager import CONCURRENCY, EventKind, HubManager, ManagerEvent
from .member import Member
from .registry import HubRecord, Registry

__all__ = [
    "CONCURRENCY",
    "ActuatorState",
    "EventKind",
    "Garden",
    "GardenHub",
    "HubManager",
    "HubRecord",
    "ManagerEvent",
    "Member",
    "Registry",
    "find_garden",
    "schema",
]
