"""Random programs: the same seed gives the same program and the same faults."""

from __future__ import annotations

import random
from dataclasses import replace

from model.programs import UNMARKED, Call, Cancel, Fault, Program, Step

_FIRST_MARK = 100  # no other duration of a program is as long: the OFF of watering has 0

WORDS = (
    b'{"error":"valve fault","cur_ma":nan}',
    b'{"error":"valve d\xe9fectueuse"}',
    b'{"error":"valve fault"}\x00',
    b'[{"error":"valve fault"}]',
    b'{"error":"valve fau',
    b'\xef\xbb\xbf{"error":"valve fault"}',
    b' \r\n{"error":"valve\tfault",}',
    b'{"error":"valve fault","t":-inf}\n\n',
    '{"error":"valve fault"}'.encode("utf-16"),
    b"{error: valve fault}",
)
"""Refusals that are JSON, or look like it."""

_EXECUTED_OR_NOT = [
    Fault(name, options=(("after_execution", executed),))
    for name in ("drop_reply", "reset_before_headers", "reset_in_headers", "never_answer", "unreachable_afterwards")
    for executed in (True, False)
]
_LOST = [
    *_EXECUTED_OR_NOT,
    # The worst of them, once more: it was executed, and nothing can be asked any more.
    *(Fault("unreachable_afterwards", (seconds,)) for seconds in (0.1, 0.3)),
    *(Fault(name) for name in ("reset_in_body", "truncate_body", "stall_headers", "stall_body", "not_http")),
    Fault("latency", (0.4,), (("before_execution", True),)),
    Fault("latency", (0.4,)),
]
_REFUSED = [
    *(Fault("status", (code,)) for code in (400, 400, 404, 503)),
    Fault("error_in_200", ("valve fault",)),
    Fault("error_in_200", (1,)),
]
_DOUBTFUL = [
    *(
        Fault("status", (code,), (("after_execution", executed),))
        for code in (408, 500, 302)
        for executed in (True, False)
    ),
    *(Fault("refused_in_words", (words,)) for words in WORDS),
    Fault("refused_in_words", (WORDS[4],), (("after_execution", True),)),
    Fault("redirect"),
    Fault("not_json"),
    *(Fault("wrong_json", (value,)) for value in (None, [], 5, "text", {"error": None})),
    Fault("oversized_body", (1_100_000,)),
]
_HARMLESS = [
    *(
        Fault("close_silently", options=options)
        for options in ((), (("on_reuse", True),), (("reset", True), ("on_reuse", True)))
    ),
    *(Fault(name) for name in ("split_body", "chunked", "no_content_length", "http_1_0", "connection_close")),
    Fault("latency", (0.05,)),
    Fault("latency", (0.05,), (("before_execution", True),)),
]
_ABSENT = [Fault("sleep", (refuse,)) for refuse in (True, False)]
_KINDS = ((_LOST, 34), (_REFUSED, 12), (_DOUBTFUL, 14), (_HARMLESS, 20), (_ABSENT, 6))
_TAKEOVERS = [Fault("another_hub", (times,)) for times in (1, 2, 3)]

REFUSALS = tuple(_REFUSED)
"""Faults after which a write is known not to have been executed."""
EATERS = frozenset({"close_silently", "unreachable_afterwards", "sleep"})
"""Faults that lose connections: a request on one of them is never seen by the hub."""


class Generator:
    """Makes the program of a seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self._mark = _FIRST_MARK

    def program(self) -> Program:
        """Return the program."""
        rng = self.random
        managed = rng.random() < 0.15
        steps: list[Step] = []
        for _ in range(rng.randint(3, 7)):
            steps.extend(self._managed() if managed else self._steps())
        return Program(
            self.seed,
            tuple(steps),
            owned=rng.random() < 0.35,
            raise_for_status=rng.random() < 0.15,
            managed=managed,
            knows_mac=managed or rng.random() < 0.8,
            knows_info=rng.random() < 0.5,
        )

    def dying(self) -> Program:
        """Return a program in which the hub dies while it waters."""
        rng = self.random
        steps = [Step((self._watering(),))]
        if rng.random() < 0.5:
            steps.insert(0, Step((Call("get_info"),)))
        request = rng.randint(2, 4)
        return Program(self.seed, tuple(steps), owned=rng.random() < 0.5, dies=(len(steps) - 1, request))

    # --- steps

    def _steps(self) -> list[Step]:
        rng = self.random
        kind = rng.random()
        if kind < 0.56:
            return [self._faulty((self._any(),))]
        if kind < 0.62:
            failing = self._faulty((rng.choice((self._typed, self._established, self._setting, self._read))(),))
            lost = ((rng.randint(1, 2), rng.choice(_LOST)), (3, rng.choice(_LOST)))
            return [replace(failing, faults=lost), Step((rng.choice((self._typed, self._setting))(),), stranger=2)]
        if kind < 0.76:
            return [self._faulty(tuple(self._together() for _ in range(rng.randint(2, 3))))]
        if kind < 0.90:
            return self._queued()
        if kind < 0.94:
            pollers = tuple(Call("poll") for _ in range(rng.randint(3, 6)))
            off = rng.choice(("turn_off", "set_actuator_off", "watering"))
            return [Step((*pollers, Call(off, slot=rng.randint(0, 1), mark=self._next())), latency=0.03)]
        if kind < 0.97:
            both = tuple(Call("configure_another", slot=host, mark=self._next()) for host in (11, 12))
            return [Step(both)]
        return [Step((self._typed(),), move=rng.randint(0, 3))]

    def _queued(self) -> list[Step]:
        rng = self.random
        steps = [Step((self._for_the_queue(),)) for _ in range(rng.randint(1, 3))]
        calls: tuple[Call, ...] = (Call("notify_awake", take_back=rng.choice((0, 0, 0, 1, 2, 3))),)
        if rng.random() < 0.3:
            calls += (Call("poll"), Call("poll"))
            return [*steps, Step(calls, latency=0.08)]
        steps.append(self._faulty(calls))
        if rng.random() < 0.1:
            steps.append(Step((Call("queue_close"),)))
        return steps

    def _for_the_queue(self) -> Call:
        rng = self.random
        slot = self._slot()
        if rng.random() < 0.5:
            return Call("queue_turn_off", slot=slot, mark=self._next())
        return Call("queue_turn_on", slot=slot, mark=self._next(), expires=rng.choice((0.25, 0.4, 30, 30)))

    def _managed(self) -> list[Step]:
        rng = self.random
        if rng.random() < 0.25:
            return self._queued()
        if rng.random() < 0.2:
            return [self._faulty((Call(rng.choice(("manager_retrieve_mac", "manager_get_info", "manager_setup"))),))]
        name = rng.choice(("manager_turn_on", "manager_turn_off"))
        return [self._faulty((self._cancelled(Call(name, slot=self._slot(), mark=self._next())),))]

    def _faulty(self, calls: tuple[Call, ...]) -> Step:
        rng = self.random
        faults = [(number, self._fault()) for number in range(1, 9) if rng.random() < 0.33]
        if rng.random() < 0.2:
            faults = sorted({**dict(faults), rng.randint(1, 3): rng.choice(_TAKEOVERS)}.items())
        return Step(calls, tuple(faults))

    def _fault(self) -> Fault:
        kinds, weights = zip(*_KINDS, strict=True)
        return self.random.choice(self.random.choices(kinds, weights)[0])

    # --- calls

    def _any(self) -> Call:
        rng = self.random
        kind = rng.random()
        if kind < 0.25:
            return self._watering()
        if kind < 0.55:
            return self._cancelled(self._typed())
        if kind < 0.72:
            return self._cancelled(self._established())
        if kind < 0.87:
            return self._cancelled(self._setting())
        return self._cancelled(self._read(alone=True))

    def _typed(self) -> Call:
        name = self.random.choice(("turn_on", "turn_off"))
        return Call(name, slot=self._slot(), mark=self._next(), confirm=self.random.random() < 0.3)

    def _established(self) -> Call:
        rng = self.random
        name = rng.choice(("set_actuator_on", "set_actuator_off", "setup", "request_update"))
        retries = 0 if name == "request_update" else rng.choice((0, 0, 1, 2))
        return Call(name, slot=self._slot(), mark=self._next(), retries=retries)

    def _setting(self) -> Call:
        names = ("configure_server", "remove_server", "set_config", "restore_config", "set_time", "reconnect_wifi")
        return Call(self.random.choice(names), mark=self._next())

    def _read(self, *, alone: bool = False) -> Call:
        names = ["get_info", "get_actuators", "get_readings", "get_config", "actuator_states", "list_servers"]
        if alone:
            names.append("retrieve_mac_address")
        return Call(self.random.choice(names))

    def _together(self) -> Call:
        rng = self.random
        while True:
            call = rng.choice((self._typed, self._typed, self._read, self._setting, self._established))()
            if call.name not in UNMARKED:
                return call if rng.random() < 0.7 else self._cancelled(call)

    def _watering(self) -> Call:
        rng = self.random
        block = rng.choice(("", "", "error", "read", "hook"))
        return self._cancelled(Call("watering", slot=rng.randint(0, 1), mark=self._next(), block=block), often=True)

    def _cancelled(self, call: Call, *, often: bool = False) -> Call:
        rng = self.random
        if rng.random() > (0.5 if often else 0.15):
            return call
        cancels = tuple(
            Cancel(rng.randint(0, 5), rng.choice((0.0, 0.0, 0.004, 0.03))) for _ in range(rng.choice((1, 1, 2)))
        )
        return replace(call, cancels=cancels)

    def _slot(self) -> int:
        return self.random.choice((0, 0, 0, 1, 1, 2, 3))

    def _next(self) -> int:
        self._mark += 1
        return self._mark


def generate(seed: int) -> Program:
    """Return the program of ``seed``."""
    return Generator(seed).program()
