"""What a hub answered, kept in a directory without secrets, so that a simulated hub can play it.

The format is the one that ``vegehub.simulator.playback`` reads and describes.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vegehub.files import write_private
from vegehub.wire import REDACTED, decode_json, looks_like_json, redact

from .output import iso

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

FILE_NAME = "recording.json"
FORMAT, VERSION = "vegehub-recording", 1


class RecordingSession:
    """Passes on what an aiohttp session does, and keeps what was sent and received, without secrets."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.exchanges: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    @asynccontextmanager
    async def request(self, method: str, url: Any, **options: Any) -> AsyncIterator[Any]:
        """Send a request as the session does; the reply is kept once it has been read."""
        async with self._session.request(method, url, **options) as response:
            read = _ReadResponse(response)
            yield read
        self.exchanges.append(
            {
                "method": method,
                "path": urlsplit(str(url)).path,
                "request": redact(options.get("json")),
                "status": response.status,
                "content_type": response.headers.get("Content-Type"),
                "body": _without_secrets(b"".join(read.chunks)),
            }
        )

    def save(self, directory: Path, mac: str, firmware: str) -> Path:
        """Write the recording into ``directory``, which is made if it is not there; OSError names the file."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / FILE_NAME
        document = {
            "format": FORMAT,
            "version": VERSION,
            "recorded_at": iso(datetime.now(UTC)),
            "mac": mac,
            "firmware": firmware,
            "exchanges": self.exchanges,
        }
        write_private(path, json.dumps(document, indent=2) + "\n")
        return path


class _ReadResponse:
    """A response that remembers what was read of it."""

    def __init__(self, response: Any) -> None:
        self._response = response
        self.chunks: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._response, name)

    @property
    def content(self) -> _ReadResponse:
        """The stream of the body."""
        return self

    async def readany(self) -> bytes:
        """Read on."""
        chunk: bytes = await self._response.content.readany()
        self.chunks.append(chunk)
        return chunk


def _without_secrets(body: bytes) -> Any:
    """Return the JSON of a reply, or its text where it is none; None for an empty one."""
    try:
        return redact(decode_json(body))
    except ValueError:
        # What was meant to be JSON and cannot be read may hold passwords, and no key says where.
        return REDACTED if looks_like_json(body) else redact(body.decode("utf-8", "replace")) or None
