"""Where the hubs are: what they announce by mDNS.

Read ``discovery`` first: one search, or a browser that stays open. ``multicast`` opens the network for it, ``records``
reads what comes in; it needs zeroconf, which is loaded when the first search begins.
"""

from .discovery import NOTHING_FOUND, HubBrowser, discover

__all__ = ["NOTHING_FOUND", "HubBrowser", "discover"]
