"""What waits for a hub that sleeps, and whether it is awake.

Read ``pending`` first: one command that waits, and the handle that its caller holds. ``queue`` says which command gives
way to which, and sends what waits when the hub is awake. ``presence`` works out whether it is; it does no I/O.
"""

from .pending import PendingCommand, PendingState
from .presence import LONGEST_SILENCE, Presence, PresenceChange, PresenceState
from .queue import PendingQueue

__all__ = [
    "LONGEST_SILENCE",
    "PendingCommand",
    "PendingQueue",
    "PendingState",
    "Presence",
    "PresenceChange",
    "PresenceState",
]
