"""Taking in what hubs push, and losing none of it.

A push comes in at ``receiver`` (the HTTP side; ``serving`` is what aiohttp's server does by itself). ``intake`` reads it
within its limits and has it decoded (``large``: in a thread, if it is large). With a ``journal`` it is then brought to
safety before the hub gets its answer: in ``store``, an SQLite file, where ``repeats`` tells what was there before. From
there ``delivery`` hands it to the one consumer. ``subscriptions`` are the other listeners, best effort, and ``history``
keeps the newest samples in memory for whoever asks.

To be read in that order. Nothing here knows of commands to a hub: it only listens.
"""

from .history import MAX_HOURS, MAX_SAMPLES, MAX_SLOTS, History, HistorySample, HourlyMean
from .intake import BODY_TIMEOUT, MAX_BODY, MAX_BURST, MAX_RATE, Refusal
from .journal import MAX_BYTES, Journal, JournalCounts, JournalEvent
from .receiver import ReceiverCounters, UpdateReceiver
from .store import StoredUpdate
from .subscriptions import MAX_WAITING, Stream, Subscribers

__all__ = [
    "BODY_TIMEOUT",
    "MAX_BODY",
    "MAX_BURST",
    "MAX_BYTES",
    "MAX_HOURS",
    "MAX_RATE",
    "MAX_SAMPLES",
    "MAX_SLOTS",
    "MAX_WAITING",
    "History",
    "HistorySample",
    "HourlyMean",
    "Journal",
    "JournalCounts",
    "JournalEvent",
    "ReceiverCounters",
    "Refusal",
    "StoredUpdate",
    "Stream",
    "Subscribers",
    "UpdateReceiver",
]
