"""What can go wrong with a hub: each fault is switched on by name, for ever or for a number of requests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from .odd_json import ODD

if TYPE_CHECKING:
    from collections.abc import Callable

    from .hub import SimulatedHub

_STRANGER_SEED = 0x0DD
Ending = Literal["reset", "close", "stall"]


@dataclass(frozen=True, slots=True)
class Cut:
    """A reply that breaks off."""

    part: Literal["head", "body"]
    ending: Ending
    keep: int | None = None
    """Bytes of that part that get through; None for half of it."""


@dataclass(slots=True)
class Plan:
    """How one request is treated; every active fault has its say."""

    delay: float = 0.0
    """Real seconds until the reply."""
    delays_execution: bool = False
    executes: bool = True
    status: int = 200
    body: bytes | None = None
    """In place of the hub's own."""
    odd: str = ""
    """How the body is spoilt, by name; see ``odd_json``."""
    pad_to: int = 0
    content_type: str | None = ""
    """"" for the profile's own, None for no such header."""
    location: str = ""
    framing: Literal["length", "chunked", "until_close"] = "length"
    version: str = "HTTP/1.1"
    closes: bool = False
    body_delay: float = 0.0
    last_chunk_delay: float = 0.0
    trickle: float | None = None
    """Real seconds between the single bytes of the reply."""
    raw: bytes | None = None
    """Sent in place of an HTTP reply."""
    cut: Cut | None = None
    unreachable_for: float | None = None
    """Real seconds without a hub, beginning in place of the reply; None: it is answered."""
    other: SimulatedHub | None = None
    """The hub that has the address now, and answers."""
    afterwards: Literal["", "close", "close_on_reuse", "reset_on_reuse"] = ""
    """What happens to a connection after an answer that promised to keep it."""


@dataclass(slots=True)
class Fault:
    """One fault that was switched on."""

    name: str
    apply: Callable[[Plan], None]
    times: int | None = None
    """Requests that it is still good for; None for all."""
    path: str | None = None
    value: float = 0.0
    concerns_requests: bool = True

    def take(self) -> bool:
        """Whether it is still good for one more; counts it."""
        if self.times == 0:
            return False
        if self.times is not None:
            self.times -= 1
        return True


def _document(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


@dataclass(slots=True)
class Faults:
    """The faults of one hub.

    Every method switches one on. ``times`` is the number of requests (or pushes) it is good for, None for all until ``clear``;
    ``path`` limits it to requests for that path. Faults add up: a late reply may also be cut short. Delays are real seconds,
    because the deadlines of clients are real.
    """

    on_change: Callable[[], None] = lambda: None
    on_request: Callable[[str], None] = lambda _path: None
    """Called with the path of each request before the faults are looked at: a test may switch one on for this request."""
    _active: list[Fault] = field(default_factory=list)

    @property
    def active(self) -> tuple[str, ...]:
        """The names of the faults that are on."""
        return tuple(fault.name for fault in self._active if fault.times != 0)

    def clear(self, name: str | None = None) -> None:
        """Switch off all faults, or those called ``name``."""
        self._active = [fault for fault in self._active if name is not None and fault.name != name]
        self.on_change()

    def is_on(self, name: str) -> bool:
        """Whether a fault called ``name`` is on; it is not counted."""
        return name in self.active

    def take(self, name: str) -> bool:
        """Whether a fault called ``name`` is on; counts one of its times."""
        return any(fault.take() for fault in self._active if fault.name == name)

    def total(self, name: str) -> float:
        """Return the sum of the values of the faults called ``name``."""
        return sum(fault.value for fault in self._active if fault.name == name)

    def begin(self, name: str) -> None:
        """Note a state that one of the faults has set off; it ends by ``clear``."""
        self._switch(name)

    def plan(self, path: str) -> Plan:
        """Return how a request for ``path`` is to be treated, and count it."""
        self.on_request(path)
        plan = Plan()
        for fault in self._active:
            if fault.concerns_requests and fault.path in (None, path) and fault.take():
                fault.apply(plan)
        return plan

    def _add(self, name: str, times: int | None = None, path: str | None = None, **changes: Any) -> None:
        def apply(plan: Plan) -> None:
            for key, value in changes.items():
                setattr(plan, key, value)

        self._active.append(Fault(name, apply, times, path))
        self.on_change()

    def _switch(self, name: str, times: int | None = None, value: float = 0.0) -> None:
        """Switch on a fault that concerns no single request."""
        self._active.append(Fault(name, lambda _: None, times, value=value, concerns_requests=False))
        self.on_change()

    # --- the connection

    def refuse(self) -> None:
        """Refuse new connections; those that are open live on."""
        self._switch("refuse")

    def full_backlog(self) -> None:
        """Let new connections hang, as behind a full listen backlog or with a hub that is asleep."""
        self._switch("full_backlog")

    def connection_close(self, *, times: int | None = None, path: str | None = None) -> None:
        """Announce the end of the connection with the reply, and end it."""
        self._add("connection_close", times, path, closes=True)

    def close_silently(
        self, *, reset: bool = False, on_reuse: bool = False, times: int | None = None, path: str | None = None
    ) -> None:
        """Promise to keep the connection with the answer, and close it unannounced.

        As it is, the hub closes at once, which the client may notice only after it has used the connection again. With
        ``on_reuse`` the hub closes when the next request arrives, with ``reset`` it answers that with a reset; such a
        request is not executed and not recorded.
        """
        afterwards = "reset_on_reuse" if reset else "close_on_reuse" if on_reuse else "close"
        self._add("close_silently", times, path, afterwards=afterwards)

    # --- no reply, or part of one

    def reset_before_headers(
        self, *, after_execution: bool = False, times: int | None = None, path: str | None = None
    ) -> None:
        """Reset the connection in place of a reply."""
        cut = Cut("head", "reset", 0)
        self._add("reset_before_headers", times, path, cut=cut, executes=after_execution)

    def reset_in_headers(
        self, *, after_execution: bool = True, times: int | None = None, path: str | None = None
    ) -> None:
        """Reset the connection in the middle of the headers; the command is executed unless ``after_execution`` is False."""
        self._add("reset_in_headers", times, path, cut=Cut("head", "reset"), executes=after_execution)

    def reset_in_body(self, *, keep: int | None = None, times: int | None = None, path: str | None = None) -> None:
        """Execute, and reset the connection after ``keep`` bytes of the body, half of it if None."""
        self._add("reset_in_body", times, path, cut=Cut("body", "reset", keep))

    def truncate_body(self, *, keep: int | None = None, times: int | None = None, path: str | None = None) -> None:
        """Execute, and close the connection after ``keep`` bytes of the body announced, half of it if None."""
        self._add("truncate_body", times, path, cut=Cut("body", "close", keep))

    def stall_headers(self, *, times: int | None = None, path: str | None = None) -> None:
        """Execute, and fall silent in the middle of the headers."""
        self._add("stall_headers", times, path, cut=Cut("head", "stall"))

    def stall_body(self, *, keep: int | None = None, times: int | None = None, path: str | None = None) -> None:
        """Execute, and fall silent after ``keep`` bytes of the body, half of it if None."""
        self._add("stall_body", times, path, cut=Cut("body", "stall", keep))

    def never_answer(self, *, after_execution: bool = False, times: int | None = None, path: str | None = None) -> None:
        """Take the request and stay silent, without executing it unless ``after_execution``."""
        self._add("never_answer", times, path, cut=Cut("head", "stall", 0), executes=after_execution)

    def drop_reply(self, *, after_execution: bool = True, times: int | None = None, path: str | None = None) -> None:
        """Execute the command, unless ``after_execution`` is False, and close without a byte."""
        self._add("drop_reply", times, path, cut=Cut("head", "close", 0), executes=after_execution)

    def unreachable_afterwards(
        self,
        seconds: float = 0.5,
        *,
        after_execution: bool = True,
        times: int | None = None,
        path: str | None = None,
    ) -> None:
        """Execute, reset every connection in place of a reply, and refuse new ones for ``seconds``.

        As a hub does whose Wi-Fi restarts: the first attempt may have arrived, a second one cannot be made. Without
        ``after_execution`` the command is not executed. ``clear`` ends it early.
        """
        self._add("unreachable_afterwards", times, path, unreachable_for=seconds, executes=after_execution)

    # --- a reply at the wrong time

    def latency(
        self,
        seconds: float = 0.5,
        *,
        before_execution: bool = False,
        times: int | None = None,
        path: str | None = None,
    ) -> None:
        """Reply ``seconds`` late; ``before_execution`` delays the command too, which is then executed in any case."""
        self._add("latency", times, path, delay=seconds, delays_execution=before_execution)

    def split_body(self, delay: float = 0.02, *, times: int | None = None, path: str | None = None) -> None:
        """Send the body ``delay`` seconds after the headers."""
        self._add("split_body", times, path, body_delay=delay)

    def late_last_chunk(self, delay: float = 0.02, *, times: int | None = None, path: str | None = None) -> None:
        """Send a chunked body whose end comes ``delay`` seconds late."""
        self._add("late_last_chunk", times, path, framing="chunked", last_chunk_delay=delay)

    def trickle(self, delay: float = 0.001, *, times: int | None = None, path: str | None = None) -> None:
        """Send the reply byte by byte, ``delay`` seconds apart."""
        self._add("trickle", times, path, trickle=delay)

    def busy_while_posting(self) -> None:
        """Keep requests waiting while the hub posts an update."""
        self._switch("busy_while_posting")

    # --- a wrong reply

    def status(
        self,
        code: int = 500,
        text: str = "failed",
        *,
        after_execution: bool = False,
        times: int | None = None,
        path: str | None = None,
    ) -> None:
        """Answer with HTTP status ``code`` and ``{"error": text}``, without executing unless ``after_execution``."""
        body = _document({"error": text})
        self._add("status", times, path, status=code, body=body, executes=after_execution)

    def error_in_200(
        self,
        text: Any = "failed",
        *,
        after_execution: bool = False,
        times: int | None = None,
        path: str | None = None,
    ) -> None:
        """Answer 200 with ``{"error": text}``, without executing unless ``after_execution``."""
        self._add("error_in_200", times, path, body=_document({"error": text}), executes=after_execution)

    def refused_in_words(
        self,
        words: bytes = b'{"error":"valve fault","cur_ma":nan}',
        *,
        after_execution: bool = False,
        times: int | None = None,
        path: str | None = None,
    ) -> None:
        """Answer 200 with a refusal that is no strict JSON, without executing unless ``after_execution``.

        ``words`` are sent as they are: with a bare ``nan``, in Latin-1, with a NUL behind, cut short.
        """
        self._add("refused_in_words", times, path, body=_document(words), executes=after_execution)

    def another_hub(
        self, hub: SimulatedHub | None = None, *, times: int | None = None, path: str | None = None
    ) -> None:
        """Have another hub at this address: ``hub`` gets the request, executes it and answers.

        It need not be started; without ``hub`` it is one of the default profile that nobody has set up. What it gets is
        in its own ``requests``, ``executed`` and ``actuators``, and not in those of this hub.
        """
        if hub is None:
            from .hub import SimulatedHub  # noqa: PLC0415 - each hub has its faults: the modules need each other

            hub = SimulatedHub(seed=_STRANGER_SEED)
        self._add("another_hub", times, path, other=hub)

    def odd_json(self, kind: str = "nan", *, times: int | None = None, path: str | None = None) -> None:
        """Print replies, and without ``path`` updates too, as small programs do: ``kind`` is a name of `odd_json.ODD`.

        What is spoilt is what nobody acts on: a measured value, the text of a user, times, commas, the encoding.
        """
        if kind not in ODD:
            raise ValueError(f"odd_json: expected one of {', '.join(ODD)}; got {kind!r:.40}")
        self._add("odd_json", times, path, odd=kind)

    def odd_push(self, body: bytes) -> bytes:
        """Return the body of an update as the faults called ``odd_json`` have it printed; counts them."""
        plan = Plan()
        for fault in self._active:
            if fault.name == "odd_json" and fault.path is None and fault.take():
                fault.apply(plan)
        return ODD[plan.odd](body) if plan.odd else body

    def redirect(self, location: str = "/", *, times: int | None = None, path: str | None = None) -> None:
        """Answer with a redirection to ``location``, without executing."""
        self._add("redirect", times, path, status=302, location=location, body=b"", executes=False)

    def not_json(
        self, body: bytes = b"<html><body>Vege</body></html>", *, times: int | None = None, path: str | None = None
    ) -> None:
        """Execute, and reply with ``body`` as HTML."""
        self._add("not_json", times, path, body=body, content_type="text/html")

    def wrong_json(self, value: Any = None, *, times: int | None = None, path: str | None = None) -> None:
        """Execute, and reply with ``value`` as JSON, or as it is if it is bytes."""
        self._add("wrong_json", times, path, body=_document(value))

    def not_http(
        self, data: bytes = b"\x00\xffVEGE\r\n\r\n", *, times: int | None = None, path: str | None = None
    ) -> None:
        """Execute, and reply with bytes that are no HTTP, then close."""
        self._add("not_http", times, path, raw=data)

    def content_type(
        self, value: str | None = "text/plain", *, times: int | None = None, path: str | None = None
    ) -> None:
        """Reply with this Content-Type, None for none."""
        self._add("content_type", times, path, content_type=value)

    def oversized_body(self, size: int = 2 * 1024 * 1024, *, times: int | None = None, path: str | None = None) -> None:
        """Fill the body up to ``size`` bytes with spaces, which leaves the JSON valid."""
        self._add("oversized_body", times, path, pad_to=size)

    def no_content_length(self, *, times: int | None = None, path: str | None = None) -> None:
        """Reply without a length; the end of the connection ends the body."""
        self._add("no_content_length", times, path, framing="until_close", closes=True)

    def chunked(self, *, times: int | None = None, path: str | None = None) -> None:
        """Reply with a chunked body."""
        self._add("chunked", times, path, framing="chunked")

    def http_1_0(self, *, times: int | None = None, path: str | None = None) -> None:
        """Reply as an HTTP/1.0 server does, and close."""
        self._add("http_1_0", times, path, version="HTTP/1.0", closes=True)

    # --- updates and time

    def duplicate_pushes(self, *, times: int | None = None) -> None:
        """Post an update that was taken once more."""
        self._switch("duplicate_pushes", times)

    def reorder_pushes(self, *, times: int | None = None) -> None:
        """Let an update be overtaken by the next one."""
        self._switch("reorder_pushes", times)

    def miss_reply(self, *, times: int | None = None) -> None:
        """Miss the reply to an update, which is then taken for not delivered."""
        self._switch("miss_reply", times)

    def clock_off(self, seconds: float = 3600.0) -> None:
        """Let the hub's clock be ``seconds`` ahead of the true time."""
        self._switch("clock_off", value=seconds)

    def no_ntp(self) -> None:
        """Let the hub's clock start again in 1970 with every reboot; ``clear`` gives the time back."""
        self._switch("no_ntp")
