"""The guard's fourth ear: who was alive before, and who is alive now that was not."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import weakref
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from .findings import Leak, address, connections, created, name, one_line, peer, peers

_DESCRIPTORS = Path("/proc/self/fd")

Pair = tuple[Any, Any]


class _Population:
    """The live objects of the kinds that can leak, found by walking the garbage collector's lists once."""

    def __init__(self) -> None:
        self.session: list[Any] = []
        self.connector: list[Any] = []
        self.response: list[Any] = []
        self.transport: list[Any] = []
        self.socket: list[socket.socket] = []
        self.future: list[asyncio.Future[Any]] = []
        kinds = self._kinds()
        # By class, not by isinstance(): that would run code of the objects (mocks, proxies) and is much slower.
        homes: dict[type, list[Any] | None] = {}
        for thing in gc.get_objects():
            cls = type(thing)
            try:
                home = homes[cls]
            except KeyError:
                home = homes[cls] = next((kinds[kind] for kind in kinds if kind in cls.__mro__), None)
            if home is not None:
                home.append(thing)

    def _kinds(self) -> dict[type, list[Any]]:
        kinds: dict[type, list[Any]] = {
            asyncio.BaseTransport: self.transport,
            socket.socket: self.socket,
            asyncio.Future: self.future,
        }
        # If nobody has imported aiohttp there are no sessions, and the guard need not be the one who loads it.
        aiohttp = sys.modules.get("aiohttp")
        if aiohttp is not None:
            kinds[aiohttp.ClientSession] = self.session
            kinds[aiohttp.BaseConnector] = self.connector
            kinds[aiohttp.ClientResponse] = self.response
        return kinds

    def everything(self) -> list[Any]:
        protocols = [protocol for connector in self.connector for protocol, used in connections(connector) if used]
        return [
            *self.session,
            *self.connector,
            *self.response,
            *self.transport,
            *self.socket,
            *self.future,
            *protocols,
            *(connection for response in self.response if (connection := getattr(response, "_connection", None))),
        ]


def _sockets_by_descriptor() -> dict[int, str]:
    """Map the file descriptors of sockets to what tells them apart; empty where there is no /proc."""
    found: dict[int, str] = {}
    with suppress(OSError):
        for entry in os.listdir(_DESCRIPTORS):  # noqa: PTH208 - Path.iterdir() builds an object per entry for nothing
            with suppress(OSError):  # the descriptor of the listing itself is gone already
                target = os.readlink(_DESCRIPTORS / entry)  # noqa: PTH115 - the target is a name, not a path
                if target.startswith("socket:"):
                    found[int(entry)] = target
    return found


def _closing(transport: Any) -> bool:
    try:
        return bool(transport.is_closing())
    except NotImplementedError:  # a stand-in that never was connected
        return True


def _ends(thing: Any) -> Pair | None:
    """Return the two addresses of a connected socket or transport."""
    if isinstance(thing, socket.socket):
        try:
            return thing.getsockname(), thing.getpeername()
        except OSError:
            return None
    here, there = thing.get_extra_info("sockname"), thing.get_extra_info("peername")
    return None if here is None or there is None else (here, there)


def _listens(sock: socket.socket) -> bool:
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:  # closed, or a system that cannot tell
        return False


def _door(bound_to: Any) -> Any:
    """Return what a listening socket and those that it accepted have in common: the port, or a Unix socket's path."""
    return bound_to[1] if isinstance(bound_to, tuple) else bound_to


def _served_by(task: asyncio.Task[Any]) -> Pair | None:
    """Return the ends of the connection that a task of an aiohttp server serves; None for any other task."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    transport = getattr(frame.f_locals.get("self"), "transport", None) if frame is not None else None
    return _ends(transport) if isinstance(transport, asyncio.BaseTransport) else None


def _descriptor(transport: Any) -> int:
    sock = transport.get_extra_info("socket")
    return sock.fileno() if sock is not None else -1


def describe_task(task: asyncio.Task[Any]) -> str:
    """Name a task, its coroutine, where it waits and where it was created."""
    coroutine: Any = task.get_coro()
    called = getattr(coroutine, "__qualname__", None) or repr(coroutine)
    frames = task.get_stack(limit=1)
    waits = f", waiting at {Path(frames[0].f_code.co_filename).name}:{frames[0].f_lineno}" if frames else ""
    return one_line(f"{task.get_name()} running {called}() is pending{waits}") + created(task)


def _describe_socket(sock: socket.socket) -> str:
    ends = _ends(sock)
    if ends is not None:
        return f"{address(ends[0])} connected to {address(ends[1])}"
    return f"{'listening on' if _listens(sock) else 'bound to'} {address(sock.getsockname())}"


class Census:
    """Who was alive when it was taken; ``newcomers()`` lists who leaked since."""

    def __init__(self) -> None:
        # Weak references by id: an id alone may be given to another object later.
        self._known: dict[int, weakref.ref[Any]] = {}
        self._dying: set[int] = set()
        self._collecting = False
        for thing in _Population().everything():
            with suppress(TypeError):
                self._known[id(thing)] = weakref.ref(thing, partial(self._forget, id(thing)))
        self._descriptors = set(_sockets_by_descriptor().values())
        self._tasks = weakref.WeakSet(_tasks())
        gc.callbacks.append(self._watch_collector)

    def close(self) -> None:
        """Stop watching the garbage collector."""
        gc.callbacks.remove(self._watch_collector)

    def _forget(self, identity: int, _: object) -> None:
        del self._known[identity]
        # The collector clears weak references before it calls finalizers, and those are what reports.
        if self._collecting:
            self._dying.add(identity)

    def _watch_collector(self, phase: str, _: object) -> None:
        self._collecting = phase == "start"
        self._dying.clear()

    def newcomers(self) -> tuple[Leak, ...]:
        """List what was opened since and is still open; each thing once, under the largest that holds it."""
        return tuple(_Comparison(self).run())

    def knew(self, thing: Any) -> bool:
        """Tell whether an object was alive when this census was taken."""
        reference = self._known.get(id(thing))
        return reference is not None and reference() is thing

    def knew_id(self, identity: int) -> bool:
        """Tell the same of an object that is being finalized, to which no weak reference leads any more."""
        return identity in self._known or identity in self._dying

    def knew_task(self, task: asyncio.Task[Any]) -> bool:
        """Tell whether a task was there when this census was taken."""
        return task in self._tasks

    def knew_descriptor(self, target: str) -> bool:
        """Tell whether a socket of the process was open when this census was taken."""
        return target in self._descriptors


def _tasks() -> set[asyncio.Task[Any]]:
    try:
        return asyncio.all_tasks() - {asyncio.current_task()}
    except RuntimeError:  # no loop runs in this thread
        return set()


class _Comparison:
    """One look at who is alive now, against a census taken before."""

    def __init__(self, before: Census) -> None:
        self._before = before
        self._now = _Population()
        self._leaks: list[Leak] = []
        self._explained: set[int] = set()  # ids of connectors, protocols and transports that a line covers already
        self._open_descriptors: set[int] = set()
        self._pairs: set[Pair | None] = set()
        self._listening = {_door(sock.getsockname()) for sock in self._now.socket if _listens(sock)}

    def run(self) -> list[Leak]:
        self._sessions()
        self._connectors()
        self._responses()
        self._ends_of(accepted=False)
        self._ends_of(accepted=True)
        self._descriptors()
        self._work()
        return self._leaks

    def _add(self, kind: str, detail: str) -> None:
        self._leaks.append(Leak("census", kind, detail))

    def _sessions(self) -> None:
        for session in self._now.session:
            if session.closed or self._before.knew(session):
                continue
            connector = session.connector
            if getattr(session, "_connector_owner", True):  # private: a session does not say whose connector it has
                self._explained.add(id(connector))
            self._add("session", f"{name(session)} is open{peers(connector)}{created(session)}")

    def _connectors(self) -> None:
        for connector in self._now.connector:
            new = not self._before.knew(connector)
            if new and not connector.closed and id(connector) not in self._explained:
                self._add("connector", f"{name(connector)} is open{peers(connector)}{created(connector)}")
            for protocol, used in connections(connector):
                if used and not new and not self._before.knew(protocol):
                    detail = (
                        f"{name(connector)} of a shared session did not get back its connection to {peer(protocol)}"
                    )
                    self._add("connection", f"{detail}{self._unread(protocol)}")
                self._covers(protocol)

    def _unread(self, protocol: Any) -> str:
        for response in self._now.response:
            if getattr(getattr(response, "_connection", None), "protocol", None) is protocol:
                return f", {response.method} {response.url} has an unread body{created(response)}"
        return ""

    def _covers(self, protocol: Any) -> None:
        """Note that the transport of a protocol, its socket and the other end of it are accounted for."""
        self._explained.add(id(protocol))
        transport = getattr(protocol, "transport", None)
        if transport is not None:
            self._accounted(transport)

    def _accounted(self, transport: Any) -> None:
        self._explained.add(id(transport))
        self._open_descriptors.add(_descriptor(transport))
        self._pairs.add(_ends(transport))

    def _other_end(self, ends: Pair | None) -> bool:
        """Tell whether this is the other end of a connection that is accounted for, as with a server of this process."""
        return ends is not None and ends[::-1] in self._pairs

    def _is_accepted(self, ends: Pair | None) -> bool:
        return ends is not None and _door(ends[0]) in self._listening

    def _responses(self) -> None:
        for response in self._now.response:
            # Private: a response does not tell whether it still holds its connection.
            connection = getattr(response, "_connection", None)
            if connection is None or self._before.knew(response) or id(connection.protocol) in self._explained:
                continue
            detail = f"{name(response)} {response.method} {response.url} has an unread body"
            self._add("response", f"{detail}{created(response)}")

    def _ends_of(self, *, accepted: bool) -> None:
        """Look at the transports and sockets that were connected from here, or at those that were accepted here."""
        # The end that was connected is named and the one that a server of this process holds is not: it is the same leak.
        for transport in self._now.transport:
            ends = _ends(transport)
            fresh = not self._before.knew(transport) and id(transport) not in self._explained
            if fresh and not _closing(transport) and self._is_accepted(ends) is accepted:
                if not self._other_end(ends):
                    route = f" {address(ends[0])} connected to {address(ends[1])}" if ends else ""
                    self._add("transport", f"{name(transport)}{route} is open{created(transport)}")
                self._accounted(transport)
        for sock in self._now.socket:
            ends = _ends(sock)
            fresh = sock.fileno() not in {-1, *self._open_descriptors} and not self._before.knew(sock)
            if fresh and self._is_accepted(ends) is accepted:
                if not self._other_end(ends):
                    self._add("socket", f"{name(sock)} {_describe_socket(sock)} is open{created(sock)}")
                self._pairs.add(ends)
                self._open_descriptors.add(sock.fileno())

    def _descriptors(self) -> None:
        """Look for sockets that no Python object of this process stands for."""
        owned = self._open_descriptors | {sock.fileno() for sock in self._now.socket}
        for descriptor, target in _sockets_by_descriptor().items():
            if descriptor not in owned and not self._before.knew_descriptor(target):
                with socket.socket(fileno=os.dup(descriptor)) as twin:
                    if not self._other_end(_ends(twin)):
                        self._add("socket", f"file descriptor {descriptor}, {_describe_socket(twin)}, is open")

    def _work(self) -> None:
        for task in _tasks():
            if not task.done() and not self._before.knew_task(task) and not self._other_end(_served_by(task)):
                self._add("task", describe_task(task))
        for future in self._now.future:
            # Private: asking in public, by exception(), would count as having looked.
            if self._before.knew(future) or not future.done() or not getattr(future, "_log_traceback", False):
                continue
            error = getattr(future, "_exception", None)
            self._add("exception", one_line(f"{name(future)}: nobody retrieved {error!r}") + created(future))
