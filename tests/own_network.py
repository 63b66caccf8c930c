"""A network of its own for the process that runs tests, where the system can give one.

Every process on a machine hears what is announced on its loopback interface. In a network namespace of its own a worker
hears its own hubs only, and no test can reach another machine whatever it does.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys

_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_IFF_UP = 1
_REQUEST = "16sH14x"  # struct ifreq: the name of the interface, its flags


def enter() -> bool:
    """Leave the network of the machine for a new one that has a loopback only; False where that cannot be had.

    It holds for this thread and what it starts, threads and processes. Linux gives it to root only.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    import fcntl  # which Windows lacks

    # os.unshare() came with Python 3.12.
    if ctypes.CDLL(None).unshare(_CLONE_NEWNET) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        _, flags = struct.unpack(_REQUEST, fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack(_REQUEST, b"lo", 0)))
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack(_REQUEST, b"lo", flags | _IFF_UP))
    return True
