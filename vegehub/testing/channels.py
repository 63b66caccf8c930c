"""Three of the guard's four ears: warnings, the loop's exception handler, and exceptions nobody could raise."""

from __future__ import annotations

import asyncio
import math
import re
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .findings import Leak, created_by, created_in_text, name, one_line, peers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Record = Callable[[Leak], None]
    Knew = Callable[[int], bool]
    Context = dict[str, Any]

_ID = re.compile(r" at (0x[0-9a-fA-F]+)>")
_KINDS_OF_WARNING = (
    ("client session", "session"),
    ("connector", "connector"),
    ("connection", "connection"),
    ("response", "response"),
    ("transport", "transport"),
    ("event loop", "loop"),
    ("socket", "socket"),
    ("file", "file"),
    ("was never awaited", "coroutine"),
)
_KINDS_OF_CONTEXT = {
    "client_session": "session",
    "connector": "connector",
    "client_connection": "connection",
    "client_response": "response",
    "asyncgen": "generator",
}


def _is_leak(message: str, category: type[Warning]) -> bool:
    return issubclass(category, ResourceWarning) or (
        issubclass(category, RuntimeWarning) and "was never awaited" in message
    )


@contextmanager
def warnings_heard(record: Record, knew: Knew) -> Iterator[None]:
    """Record every warning about a leak; pass all others on to whoever listened before.

    ``knew`` tells by its id whether an object was there before: that is not the block's leak.
    """

    def show(  # noqa: PLR0917 - the signature of warnings.showwarning
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        text = str(message)
        if not _is_leak(text, category) or any(knew(int(found, 16)) for found in _ID.findall(text)):
            previous(message, category, filename, lineno, file, line)
            return
        kind = next((kind for word, kind in _KINDS_OF_WARNING if word in text), "resource")
        first, *_ = text.splitlines() or [""]
        record(Leak("warning", kind, one_line(first) + created_in_text(text)))

    with warnings.catch_warnings():
        # "always": turned into an error, a ResourceWarning raised inside __del__ would stop the release that follows it.
        warnings.simplefilter("always", ResourceWarning)
        warnings.filterwarnings("always", r".*was never awaited", RuntimeWarning)
        previous = warnings.showwarning
        warnings.showwarning = show
        yield


@contextmanager
def unraisables_heard(record: Record) -> Iterator[None]:
    """Record what failed where nobody could catch it (finalizers, callbacks of weak references), and pass it on."""
    previous = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        error = unraisable.exc_value
        text = f"{error!r} ignored in {_named(unraisable.object)}"
        record(Leak("unraisable", "exception", one_line(text) + created_by(_frames(error))))
        previous(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        # Another hook set meanwhile, and not taken back, belongs to its owner.
        if sys.unraisablehook is hook:
            sys.unraisablehook = previous


def _named(thing: object) -> str:
    return getattr(thing, "__qualname__", None) or type(thing).__name__


def _frames(error: BaseException | None) -> Any:
    import traceback  # noqa: PLC0415 - needed only once something failed

    return traceback.extract_tb(error.__traceback__) if error is not None else ()


def _object_in(context: Context) -> tuple[str, object]:
    for key, kind in _KINDS_OF_CONTEXT.items():
        if key in context:
            return kind, context[key]
    thing = context.get("task") or context.get("future") or context.get("handle") or context.get("transport")
    kind = "task" if "was destroyed but it is pending" in str(context.get("message")) else "exception"
    return kind, thing


def _described(kind: str, thing: Any) -> str:
    """Name an object of a loop report, with its peer, whatever state its finalizer left it in."""
    if kind == "session":
        connector = getattr(thing, "connector", None)
        return f"{name(thing)}{peers(connector) if connector is not None else ''}"
    if kind == "connector":
        return f"{name(thing)} (its connections are closed now)"
    if kind == "connection":
        key = getattr(thing, "_key", None)  # private: the report comes without the address
        return f"{name(thing)} to {key.host}:{key.port}" if key is not None else name(thing)
    if kind == "response":
        return f"{name(thing)} {thing.method} {thing.url} whose body was not read"
    if kind == "task":
        return re.sub(r" created at .*(?=>$)", "", repr(thing))
    return name(thing) if thing is not None else ""


class LoopEars:
    """The exception handlers of event loops, each in debug mode while it is listened to."""

    def __init__(self, record: Record, knew: Knew) -> None:
        self._record = record
        self._knew = knew
        self._undo: dict[asyncio.AbstractEventLoop, Callable[[], None]] = {}

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Listen to ``loop`` from now on; a handler that was set keeps getting everything."""
        if loop in self._undo:
            return
        previous, debug = loop.get_exception_handler(), loop.get_debug()
        slow = getattr(loop, "slow_callback_duration", None)

        def handler(loop: asyncio.AbstractEventLoop, context: Context) -> None:
            blamed = self._heard(context)
            if previous is not None:
                previous(loop, context)
            elif not blamed:
                loop.default_exception_handler(context)

        def undo() -> None:
            if loop.get_exception_handler() is handler:
                loop.set_exception_handler(previous)
            if not loop.is_closed():
                loop.set_debug(debug)
            if slow is not None:
                loop.slow_callback_duration = slow

        self._undo[loop] = undo
        loop.set_exception_handler(handler)
        loop.set_debug(True)
        if slow is not None:
            # Debug mode is wanted for the places where things were created, not for reports about speed.
            loop.slow_callback_duration = math.inf

    def stop(self) -> None:
        """Leave every loop as it was."""
        while self._undo:
            _loop, undo = self._undo.popitem()
            undo()

    def _heard(self, context: Context) -> bool:
        """Record a report, unless it is about something that was there before."""
        kind, thing = _object_in(context)
        if thing is not None and self._knew(id(thing)):
            return False
        error = context.get("exception")
        text = f"{context.get('message') or 'Unhandled error'}: {_described(kind, thing)}"
        if error is not None:
            text = f"{text} {error!r}"
        frames = context.get("source_traceback") or getattr(thing, "_source_traceback", None)
        self._record(Leak("loop", kind, one_line(text) + created_by(frames)))
        return True


@contextmanager
def every_loop_heard(ears: LoopEars, record_task: Callable[[asyncio.Task[Any]], None]) -> Iterator[None]:
    """Listen to every loop that starts to run, and report the tasks that ``asyncio.run()`` has to cancel at its end.

    Loops that are not made of asyncio's own classes (uvloop) are not seen.
    """
    run_forever = asyncio.BaseEventLoop.run_forever
    # Private, and the only place where the tasks that a program left behind can still be seen; absent: not seen.
    cancel_all: Any = getattr(asyncio.runners, "_cancel_all_tasks", None)

    def run(loop: asyncio.BaseEventLoop) -> None:
        ears.listen(loop)
        run_forever(loop)

    def cancel(loop: asyncio.AbstractEventLoop) -> None:
        for task in asyncio.all_tasks(loop):
            record_task(task)
        cancel_all(loop)

    asyncio.BaseEventLoop.run_forever = run  # type: ignore[method-assign, assignment]
    if cancel_all is not None:
        asyncio.runners._cancel_all_tasks = cancel  # type: ignore[attr-defined]  # noqa: SLF001 - see above
    try:
        yield
    finally:
        asyncio.BaseEventLoop.run_forever = run_forever  # type: ignore[method-assign]
        if cancel_all is not None:
            asyncio.runners._cancel_all_tasks = cancel_all  # type: ignore[attr-defined]  # noqa: SLF001 - see above
