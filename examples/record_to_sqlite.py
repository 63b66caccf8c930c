"""Write every sample of every hub to an SQLite file, exactly once, across restarts, crashes and repeats.

usage: python examples/record_to_sqlite.py HOST PORT TOKEN DATABASE JOURNAL

An update is acknowledged to its hub when the journal has it on disk. The journal hands it over at least once; the key of
the table, the id of the delivery with the sample's place in it, turns that into exactly once: a second try adds nothing.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from contextlib import closing, suppress

from vegehub import Journal, Update, UpdateReceiver, VegeHubError

SCHEMA = """
CREATE TABLE IF NOT EXISTS samples(
    hub TEXT NOT NULL, slot INTEGER NOT NULL, time TEXT, volts REAL NOT NULL,
    delivery TEXT NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (delivery, slot, number)
)
"""


def write(database: str, update: Update) -> None:
    """Write the samples of an update in one transaction; those that are there already stay as they are."""
    rows = [
        (update.hub_key, slot, sample.time_text, sample.value, update.delivery_id, number)
        for slot, reading in update.readings.items()
        for number, sample in enumerate(reading.samples)
    ]
    with closing(sqlite3.connect(database, timeout=1)) as connection, connection:
        connection.execute(SCHEMA)
        connection.executemany("INSERT OR IGNORE INTO samples VALUES (?, ?, ?, ?, ?, ?)", rows)


async def record(host: str, port: int, token: str, database: str, journal_path: str) -> None:
    """Receive and write until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Journal(journal_path) as journal:
        # An exception here, such as a locked database, makes the journal try the same update again later.
        consumer = asyncio.create_task(journal.deliver(lambda update: asyncio.to_thread(write, database, update)))
        async with UpdateReceiver(journal=journal, token=token).serve(host, port) as receiver:
            print(f"recording on port {receiver.port}", flush=True)
            await stop.wait()
        consumer.cancel()
        with suppress(asyncio.CancelledError):
            await consumer


if __name__ == "__main__":
    if len(sys.argv) != 6:  # noqa: PLR2004 - the program and five arguments
        raise SystemExit(__doc__)
    try:
        asyncio.run(record(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
    except VegeHubError as err:
        raise SystemExit(str(err)) from None
