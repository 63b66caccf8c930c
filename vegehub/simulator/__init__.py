"""Simulated VegeHubs: the hub's own side of the wire on real sockets, with a stepped clock and faults.

Nothing of the client is used here, so that client and simulator cannot share a mistake.
"""

from __future__ import annotations

from .actuators import Actuator, Change, Command
from .clock import DEFAULT_START, Clock, RealtimeClock
from .device import Input
from .faults import Faults
from .hub import SimulatedHub
from .playback import Recording, RecordingError
from .power import PowerState
from .profiles import DEFAULT_PROFILE, PROFILES, Profile
from .server import RequestRecord
from .simulation import Simulation

__all__ = [
    "DEFAULT_PROFILE",
    "DEFAULT_START",
    "PROFILES",
    "Actuator",
    "Change",
    "Clock",
    "Command",
    "Faults",
    "Input",
    "PowerState",
    "Profile",
    "RealtimeClock",
    "Recording",
    "RecordingError",
    "RequestRecord",
    "SimulatedHub",
    "Simulation",
]
