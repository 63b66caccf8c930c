"""How one hub is reached and commanded: requests in its turn, one outcome for each command, a proof of its identity.

Read the modules in this order. ``session`` says who opens a session and closes it, ``turn`` whose request is next,
``identity`` which hub is meant and how it is proved, and ``command`` what became of a public call. ``transport`` makes
one request, ``failures`` puts into words what went wrong with it. ``connection`` joins them: `HubConnection` is what
everything else stands on. Upon it, ``watering`` opens a valve that is always closed again, and ``connect`` points a hub
at a receiver (``local_address``: by which address it finds us). ``arguments`` checks what callers give, ``backup`` keeps
a configuration and brings it back.

`VegeHub`, in ``vegehub/vegehub.py``, makes this public; nothing here knows of it.
"""

from .arguments import (
    MAX_DURATION,
    MIN_ON,
    check_document,
    check_retries,
    check_seconds,
    check_slot,
    check_state,
)
from .backup import FORMAT as BACKUP_FORMAT
from .backup import VERSION as BACKUP_VERSION
from .backup import Difference, backup_document, diff, restore_document
from .command import Command
from .connect import CONNECT_TIMEOUT, ReceiverConnection, ReportingHub, connect_receiver
from .connection import HubConnection
from .identity import Identity
from .local_address import local_address
from .session import IDLE_TIMEOUT, SessionOwner
from .watering import Watering

__all__ = [
    "BACKUP_FORMAT",
    "BACKUP_VERSION",
    "CONNECT_TIMEOUT",
    "IDLE_TIMEOUT",
    "MAX_DURATION",
    "MIN_ON",
    "Command",
    "Difference",
    "HubConnection",
    "Identity",
    "ReceiverConnection",
    "ReportingHub",
    "SessionOwner",
    "Watering",
    "backup_document",
    "check_document",
    "check_retries",
    "check_seconds",
    "check_slot",
    "check_state",
    "connect_receiver",
    "diff",
    "local_address",
    "restore_document",
]
