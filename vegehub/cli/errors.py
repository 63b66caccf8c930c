"""What a failure looks like from outside: one line for people, one JSON object for programs, and an exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vegehub.exceptions import (
    VegeHubConnectionError,
    VegeHubError,
    VegeHubMismatchError,
    VegeHubResponseError,
    VegeHubSessionError,
    VegeHubTimeoutError,
    VegeHubValueError,
)
from vegehub.wire import clean_text

if TYPE_CHECKING:
    from pathlib import Path

OK, FAILED, USAGE, NOT_REACHED, TIMEOUT, INTERRUPTED = 0, 1, 2, 3, 4, 130
"""Exit codes."""
BROKEN_PIPE = 141
"""Exit code when the reader of our output has gone: what a shell shows for SIGPIPE."""

EXIT_CODES = (
    "Exit codes: 0 ok; 1 the hub said no, or a check failed; 2 wrong usage; 3 the hub was not reached; "
    "4 no answer in time, it may be asleep; 130 interrupted."
)

_MAX_TEXT = 2000


class CommandError(Exception):
    """A command failed for a reason of its own: a file, a check, something that is not there."""

    def __init__(self, text: str, code: int = FAILED) -> None:
        super().__init__(text)
        self.code = code


class InterruptedByUserError(Exception):
    """The command was stopped by a signal; its notes say what could not be put back."""

    def __init__(self, number: int) -> None:
        super().__init__("interrupted")
        self.code = 128 + number


def usage(text: str) -> CommandError:
    """Return the error for a wrong command line."""
    return CommandError(text, USAGE)


def unusable(path: Path, err: OSError | ValueError) -> CommandError:
    """Return the error for a file that was named on the command line and cannot be used."""
    text = error_line(err)
    return usage(text if str(path) in text else f"{path}: {text}")


def exit_code(err: BaseException) -> int:
    """Return the exit code that tells this failure."""
    if isinstance(err, (CommandError, InterruptedByUserError)):
        return err.code
    if isinstance(err, (VegeHubValueError, VegeHubSessionError)):
        return USAGE
    if isinstance(err, VegeHubTimeoutError):
        return TIMEOUT
    if isinstance(err, VegeHubConnectionError) and not isinstance(err, VegeHubResponseError):
        return NOT_REACHED
    return FAILED


def error_line(err: BaseException) -> str:
    """Say on one line what happened, in the error's own words, and what to do."""
    parts = [clean_text(_text(err), _MAX_TEXT) or type(err).__name__]
    if isinstance(err, VegeHubError) and err.host and (advice := _advice(err, parts[0])):
        parts.append(advice)
    parts += [clean_text(note, _MAX_TEXT) for note in getattr(err, "__notes__", ())]
    return "; ".join(part.rstrip(".") for part in parts)


def error_document(err: BaseException) -> dict[str, Any]:
    """Return the same as an object for programs."""
    document: dict[str, Any] = {"type": type(err).__name__, "message": error_line(err), "exit_code": exit_code(err)}
    if isinstance(err, VegeHubError):
        document |= {"host": err.host, "outcome": err.outcome.name.lower()}
    if isinstance(err, VegeHubResponseError):
        document["status"] = err.status
    return {"error": document}


def _text(err: BaseException) -> str:
    if isinstance(err, OSError) and not isinstance(err, VegeHubError) and err.filename is not None:
        return f"{err.filename}: {err.strerror}"
    return str(err)


def _advice(err: VegeHubError, text: str) -> str:
    if isinstance(err, (VegeHubMismatchError, VegeHubValueError)) or "?" in text or "press its button" in text:
        return ""  # the text says it already
    if isinstance(err, VegeHubTimeoutError):
        return "wake the hub with its button and try again"
    if isinstance(err, VegeHubResponseError):
        return f"`vegehub doctor {err.host}` looks closer"
    return "try again"
