"""Random histories of a receiving process: what is done to it, what it answers, and what must come of that."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vegehub import VegeHubError, parse_update

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vegehub import Update

TOKEN = "a-token-of-the-model"
START = 1_748_779_200.0
HUBS = ("7C9EBD000001", "7C9EBD000002", "7C9EBD000003", "7C9EBD000004", "")
MONTH = 30 * 86_400.0
SMALL = 90_000

Op = tuple[Any, ...]


class BrokenPromiseError(AssertionError):
    """A history after which something is not as it was promised."""


# --- What hubs send ---------------------------------------------------------------------------------------------------

ODD = (
    b"",
    b"{}",
    b"nonsense",
    b'{"mac":"7C9EBD000001"}',
    b'{"mac":"no mac","sensors":[]}',
    b'{"mac":"7C9EBD000001","sensors":[]}',
    b'{"mac":"7C9EBD000001","sensors":[{"slot":1,"samples":[{"v":nan,"t":"2025-06-01T11:00:00Z"},{"v":7001}]}]}',
    b'{"mac":"7C9EBD000001","sensors":[{"slot":1,"samples":[{"v":NaN},{"v":7002,"t":"1970-01-01T00:00:07Z"}]}]}',
    b'{"mac":"7C9EBD000002","sensors":[{"slot":0,"samples":[{"v":1}]},{"slot":"2","samples":[{"v":"7003","t":null}]}]}',
    b'{"mac":"7C9EBD000002","sensors":[{"slot":1,"samples":[{"v":7004,"t":"2036-02-07T06:28:16Z"},{"v":7005}]}],"x":"\\ud800"}',
    b'{"mac":"7C9EBD000003","sensors":[{"slot":1,"samples":[{"v":7006,"t":1748775600}]}],"wifi_str":"odd","voltage":[]}',
    b'{"key":"shed","updates":[{"created_at":"2025-06-01 11:00:00","field1":7007.5,"field5":12.3}]}',
    b'{"mac":"7C9EBD000004","sensors":[{"slot":1,"samples":[null,1,{"v":7008,"t":"soon"},{"t":"2025-06-01T11:00:00Z"}]}]}',
    b'\xef\xbb\xbf{"mac":"7C9EBD000004","sensors":[{"slot":9,"samples":[{"v":7009,"t":"2025-06-01 11:00:09"}]}]}',
    b'{"mac":"7C9EBD000004","ssid":"Caf\xe9","sensors":[{"slot":9,"samples":[{"v":7010,"t":"2025-06-01 11:00:09"}]}]}',
)
KINDS = ("timed", "timed", "batch", "edges", "untimed", "mixed", "steady", "odd", "garbled")


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(START + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def body_of(hub: str, kind: str, seed: int) -> bytes:
    """Make what a hub sends, the same for the same arguments."""
    dice = random.Random(f"{hub} {kind} {seed}")
    if kind == "odd":
        return ODD[seed % len(ODD)]
    if kind == "steady":
        return json.dumps({"mac": hub, "sensors": [{"slot": 1, "samples": [{"v": 1.5, "t": None}]}]}).encode()

    def sample(number: int) -> dict[str, Any]:
        timed = kind in ("timed", "batch", "edges", "garbled") or (kind == "mixed" and dice.random() < 0.5)
        unusable = dice.choice((None, "1970-01-01T00:00:07Z", "soon", "2019-12-31T23:59:59Z"))
        if kind == "edges":
            return {"v": float(number % 2), "t": moment(-60 - seed % 50)}
        return {"v": float(seed * 10 + number % 10) + number / 100, "t": moment(-3600 + number) if timed else unusable}

    counts = {"timed": (1, 1), "batch": (20, 60), "edges": (3, 5)}.get(kind, (1, 4))
    sensors = [
        {"slot": slot, "samples": [sample(number) for number in range(dice.randint(*counts))]}
        for slot in range(1, dice.randint(2, 4))
    ]
    body = json.dumps({"mac": hub, "sensors": sensors, "send_time": seed}).encode()
    if kind == "garbled":
        at = dice.randrange(len(body))
        body = body[:at] + dice.choice((b"", b"nan", b"\0", b"null", b'"', b"\xff", b"9" * 30)) + body[at + 1 :]
    return body


def read(body: bytes) -> Update | None:
    try:
        return parse_update(body)
    except VegeHubError:
        return None


def made(seed: int) -> tuple[int, list[Op]]:
    """Make the program of a seed: the bound of the journal's size, and what is done."""
    dice = random.Random(seed)
    bound = SMALL if dice.random() < 0.15 else 256 * 2**20

    def pushes(count: int) -> tuple[tuple[str, str, int], ...]:
        return tuple((dice.choice(HUBS), dice.choice(KINDS), dice.randrange(700)) for _ in range(count))

    def op() -> Op:
        kind = dice.choices(
            ("push", "again", "kill", "restart", "disk", "consumer", "advance", "park"),
            weights=(9, 3, 3, 1, 1, 3, 3, 1),
        )[0]
        if kind == "push":
            return ("push", *pushes(dice.randint(1, 12)))
        if kind == "kill":
            return ("kill", dice.choice((0.0, 0.001, 0.002, 0.004, 0.008)), *pushes(dice.randint(1, 12)))
        if kind == "park":
            return ("park", *pushes(dice.randint(2, 8)))
        if kind == "again":
            return ("again", dice.choice(HUBS))
        if kind == "disk":
            return ("disk", dice.choice(("full", "full", "free")))
        if kind == "consumer":
            how = dice.choice(
                ({}, {"slow": 1}, {"fail": dice.randint(1, 4)}, {"poison": 1}, {"die": "before"}, {"die": "after"})
            )
            return ("consumer", how)
        if kind == "advance":
            return ("advance", dice.choice((1, 5, 59, 61, 400, 700, 3600, 90_000, 29 * 86_400, 31 * 86_400)))
        return ("restart",)

    return bound, [op() for _ in range(dice.randint(3, 9))]


# --- The process ------------------------------------------------------------------------------------------------------


class Machine:
    """A small disk of its own where that can be had, and receiving processes on it, one at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.disk = folder / "disk"
        self.disk.mkdir()
        command = [sys.executable, str(Path(__file__).with_name("receiving_process.py"))]
        self.has_disk = (
            bool(shutil.which("unshare"))
            and not subprocess.run(
                ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(self.disk)], check=False, capture_output=True
            ).returncode
        )
        if self.has_disk:
            mount = 'mount -t tmpfs -o size=16m tmpfs "$0" && exec "$@"'
            command = ["unshare", "-rm", "sh", "-c", mount, str(self.disk), *command]
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def do(self, command: str, argument: Any = None) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([command, argument]).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process that forks has ended")
        return json.loads(line)

    def close(self) -> None:
        self._process.communicate()


@dataclass
class Attempt:
    """One push: when, what, and what was answered (None: nothing)."""

    at: float
    body: bytes
    update: Update | None
    status: int | None = None


@dataclass
class Run:
    """One history as it is carried out."""

    machine: Machine
    bound: int
    number: int
    passed: float = 0.0
    consumer: dict[str, Any] = field(default_factory=dict)
    pid: int = 0
    port: int = 0
    deaths: int = 0
    lives: int = 0
    disk_full: bool = False
    was_full: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    last: dict[str, bytes] = field(default_factory=dict)
    program: list[Op] = field(default_factory=list)
    _control: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def calls(self) -> Path:
        return self.machine.folder / f"calls-{self.number}"

    async def start(self) -> None:
        self.lives += 1
        control = str(self.machine.folder / f"c{self.number}-{self.lives}")
        started = self.machine.do(
            "start",
            {
                "passed": self.passed,
                "consumer": self.consumer,
                "calls": str(self.calls),
                "journal": str(self.machine.disk / "journal.db"),
                "max_bytes": self.bound,
                "control": control,
                "errors": str(self.machine.folder / "errors"),
            },
        )
        self.pid, self.port = started["pid"], started["port"]
        if self.port == 0:
            raise BrokenPromiseError("a receiver does not start")
        # It may be killed by its consumer at once.
        with suppress(OSError):
            self._control = await asyncio.open_unix_connection(control)

    async def tell(self, command: str, **arguments: Any) -> Any:
        if self._control is None:
            return None
        reader, writer = self._control
        with suppress(OSError):
            writer.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
            line = await asyncio.wait_for(reader.readline(), 20)
            return json.loads(line) if line else None
        return None

    async def end(self, how: signal.Signals) -> None:
        if self.pid == 0:
            return
        with suppress(ProcessLookupError):
            os.kill(self.pid, how)
        code = self.machine.do("wait", self.pid)
        self.pid = 0
        if self._control is not None:
            self._control[1].close()
            with suppress(OSError):
                await self._control[1].wait_closed()
            self._control = None
        if code == -signal.SIGKILL:
            self.deaths += 1
        elif code != 0:
            errors = (self.machine.folder / "errors").read_text()[-2000:]
            raise BrokenPromiseError(f"the receiver ended with {code}:\n{errors}")

    async def again(self) -> None:
        """Be there: it may have been killed by its own consumer."""
        await self.end(signal.SIGKILL)
        if "die" in self.consumer:
            self.consumer = {}
        await self.start()

    async def post(self, body: bytes, hub: str) -> Attempt:
        attempt = Attempt(self.passed, body, read(body))
        self.attempts.append(attempt)
        self.last[hub] = body
        with suppress(OSError, asyncio.IncompleteReadError, ValueError, IndexError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                head = f"POST /{TOKEN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                attempt.status = int((await asyncio.wait_for(reader.readuntil(b"\r\n"), 30)).split()[1])
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
        return attempt

    async def burst(self, pushes: Iterable[tuple[str, str, int]]) -> None:
        by_hub: dict[str, list[bytes]] = defaultdict(list)
        for hub, kind, seed in pushes:
            by_hub[hub].append(body_of(hub, kind, seed))

        async def one(hub: str, bodies: list[bytes]) -> None:
            for body in bodies:
                attempt = await self.post(body, hub)
                self.judge_answer(attempt)

        await asyncio.gather(*(one(hub, bodies) for hub, bodies in by_hub.items()))

    def judge_answer(self, attempt: Attempt) -> None:
        status = attempt.status
        may_be_full = self.disk_full or self.bound == SMALL
        allowed = {None, 400} if attempt.update is None else {None, 200, 503} if may_be_full else {None, 200}
        if status not in allowed:
            raise BrokenPromiseError(f"answered with {status}: {attempt.body!r}")

    async def do(self, op: Op) -> None:  # noqa: C901 - one case for each thing that can happen
        name, *arguments = op
        if name == "push":
            await self.burst(arguments)
        elif name == "again":
            if arguments[0] in self.last:
                self.judge_answer(await self.post(self.last[arguments[0]], arguments[0]))
        elif name == "kill":
            delay, *pushes = arguments
            pushing = asyncio.create_task(self.burst(pushes))
            await asyncio.sleep(delay)
            await self.end(signal.SIGKILL)
            await pushing
            await self.again()
        elif name == "restart":
            await self.end(signal.SIGTERM)
            await self.start()
        elif name == "disk":
            if self.machine.has_disk:
                self.disk_full = arguments[0] == "full"
                self.was_full |= self.disk_full
                self.machine.do("fill" if self.disk_full else "free", str(self.machine.disk))
        elif name == "consumer":
            self.consumer = dict(arguments[0])
            await self.tell("consumer", consumer=self.consumer)
        elif name == "advance":
            self.passed += arguments[0]
            await self.tell("advance", seconds=arguments[0])
        elif name == "park":
            # A third of what is pushed is never taken: it is parked, and what stands behind it goes on.
            self.consumer = {"poison": 1}
            await self.tell("consumer", consumer=self.consumer)
            await self.burst(arguments)
            for _ in range(15):
                self.passed += 400
                await self.tell("advance", seconds=400)
                await self.tell("counts")
                await asyncio.sleep(0.002)
        if await self.tell("events") is None:
            await self.again()

    async def heal(self) -> None:
        """Make all well; then what was promised must come within a bound."""
        self.disk_full = False
        self.machine.do("free", str(self.machine.disk))
        self.consumer = {}
        await self.again()
        taken = {attempt.body for attempt in self.attempts if attempt.status == 200}
        left = list(dict.fromkeys(a.body for a in self.attempts if a.update is not None and a.body not in taken))
        for turn in range(400):
            await self.tell("retry")
            self.passed += 400
            await self.tell("advance", seconds=400)
            counts = await self.tell("counts")
            if counts == [0, 0] and not left:
                break
            if left and (counts == [0, 0] or self.bound != SMALL):
                attempt = await self.post(left[0], "")
                if attempt.status == 200:
                    del left[0]
                elif turn > 200 or self.bound != SMALL:
                    raise BrokenPromiseError(f"all is well, and the answer is {attempt.status}")
            await asyncio.sleep(0.001 if turn < 100 else 0.02)
        else:
            raise BrokenPromiseError(f"all is well, and there is still something to deliver: {counts}")
        await self.end(signal.SIGTERM)

    # --- The verdict --------------------------------------------------------------------------------------------------

    def judge(self) -> None:
        by_id: dict[str, dict[str, Any]] = {}
        times: Counter[str] = Counter()
        for line in self.calls.read_text().splitlines() if self.calls.exists() else ():
            # A kill may cut a line, and the next process goes on behind it: that call did not come to its end.
            begin = line.rfind('{"id": ')
            try:
                call = json.loads(line[max(begin, 0) :])
            except ValueError:
                continue
            times[call["id"]] += 1
            if by_id.setdefault(call["id"], call) != call:
                raise BrokenPromiseError(f"{call['id']} is not the same each time")
        again = {identity for identity, count in times.items() if count > 1}
        if again and not self.deaths:
            raise BrokenPromiseError(f"nobody was killed, and {again} came again")
        if any(count > 1 + self.deaths for count in times.values()):
            raise BrokenPromiseError("an update came more often than the receiver was killed")
        delivered: Counter[tuple[Any, ...]] = Counter()
        for call in by_id.values():
            delivered.update((call["hub"], *sample) for sample in call["samples"])
        for key, (least, most) in self.expected().items():
            if not least <= delivered.get(key, 0) <= most:
                raise BrokenPromiseError(f"{key} came {delivered.get(key, 0)} times, not {least} to {most}")
            delivered.pop(key, None)
        if delivered:
            raise BrokenPromiseError(f"nobody sent {delivered}")
        self.judge_order(by_id.values())

    def judge_order(self, calls: Iterable[dict[str, Any]]) -> None:
        """What one hub pushed in its order is delivered in that order, but for what was parked and queued again."""
        if any("poison" in str(op) or op[0] == "park" for op in self.program):
            return
        rows: dict[str, int] = {}
        for call in calls:
            row = int(call["id"].rpartition("-")[2])
            if row < rows.get(call["hub"], 0):
                raise BrokenPromiseError(f"{call['id']} of {call['hub']} came too late")
            rows[call["hub"]] = row

    def expected(self) -> dict[tuple[Any, ...], tuple[int, int]]:
        """How often each sample may come, at least and at most."""
        marks_may_go = self.bound == SMALL or self.was_full or self.passed > MONTH
        least: Counter[tuple[Any, ...]] = Counter()
        most: Counter[tuple[Any, ...]] = Counter()
        timed_least: Counter[tuple[Any, ...]] = Counter()
        timed_most: Counter[tuple[Any, ...]] = Counter()
        for attempts in self.by_body():
            count = Counter(self.by_the_body_alone(attempts))
            for attempt in attempts:
                timed, untimed = self.split(attempt)
                if attempt.status == 200:
                    timed_least |= timed
                timed_most = timed_most + timed if marks_may_go else timed_most | timed
            # None of these times becomes plausible within a history.
            _, untimed = self.split(attempts[0])
            for key, times in untimed.items():
                least[key] += times * count["least"]
                most[key] += times * (len(attempts) if marks_may_go else count["most"])
        keys = least.keys() | most.keys() | timed_least.keys() | timed_most.keys()
        return {key: (least[key] + timed_least[key], most[key] + timed_most[key]) for key in keys}

    def by_body(self) -> Iterator[list[Attempt]]:
        groups: dict[bytes, list[Attempt]] = defaultdict(list)
        for attempt in self.attempts:
            if attempt.update is not None and attempt.status in (200, None):
                groups[attempt.body].append(attempt)
        yield from groups.values()

    @staticmethod
    def by_the_body_alone(attempts: list[Attempt]) -> dict[str, int]:
        """How often a body is kept of which only the whole can be recognised, for a minute from when it was kept."""
        least, kept = 0, float("-inf")
        for attempt in attempts:
            if attempt.status == 200 and attempt.at - kept > 60:
                least, kept = least + 1, attempt.at
        unsure = any(attempt.status is None for attempt in attempts)
        return {"least": least, "most": len(attempts) if unsure else least}

    def split(self, attempt: Attempt) -> tuple[Counter[tuple[Any, ...]], Counter[tuple[Any, ...]]]:
        timed: Counter[tuple[Any, ...]] = Counter()
        untimed: Counter[tuple[Any, ...]] = Counter()
        update = attempt.update
        assert update is not None
        for slot, reading in update.readings.items():
            for sample in reading.samples:
                at = sample.taken_at
                usable = at is not None and at.year >= 2020 and at.timestamp() <= START + attempt.at + 86_400
                by_itself = usable and update.hub_key
                (timed if by_itself else untimed)[update.hub_key, slot, sample.value, sample.time_text] += 1
        return timed, untimed


_numbers = iter(range(10**9))


async def carry_out(machine: Machine, bound: int, program: list[Op]) -> None:
    """Carry out a program on an empty disk; BrokenPromiseError if anything promised did not come."""
    run = Run(machine, bound, next(_numbers), program=program)
    machine.do("free", str(machine.disk))
    machine.do("clean", str(machine.disk))
    try:
        await run.start()
        for op in program:
            await run.do(op)
        await run.heal()
        run.judge()
    finally:
        await run.end(signal.SIGKILL)
        for file in machine.folder.glob(f"c{run.number}-*"):
            file.unlink()
        run.calls.unlink(missing_ok=True)


async def a_hundred_hubs_at_once(machine: Machine, kills: int) -> None:
    """Push from a hundred hubs, each as fast as it is answered, while the receiver is killed."""
    run = Run(machine, 256 * 2**20, next(_numbers))
    machine.do("free", str(machine.disk))
    machine.do("clean", str(machine.disk))
    seeds = iter(range(700, 10**9))

    async def push(hub: str) -> None:
        while True:
            attempt = await run.post(body_of(hub, "timed", next(seeds)), hub)
            run.judge_answer(attempt)
            if attempt.status is None:
                return

    try:
        await run.start()
        for life in range(kills):
            pushing = [asyncio.create_task(push(f"7C9EBD1{number:05}")) for number in range(100)]
            while sum(attempt.status == 200 for attempt in run.attempts) < 150 * (life + 1):  # noqa: ASYNC110 - whichever
                await asyncio.sleep(0.005)
            await run.end(signal.SIGKILL)
            await asyncio.gather(*pushing)
            await run.again()
        await run.heal()
        run.judge()
    finally:
        await run.end(signal.SIGKILL)


async def check(machine: Machine, seed: int) -> None:
    """Carry out the history of a seed; if it breaks a promise, find the shortest program that does, and tell both."""
    bound, program = made(seed)
    try:
        await carry_out(machine, bound, program)
    except BrokenPromiseError as err:
        shortest, error = await shortened(machine, bound, program, err)
        lines = "\n".join(f"    {op!r}," for op in shortest)
        raise BrokenPromiseError(f"seed {seed}, bound {bound}: {error}\n[\n{lines}\n]") from None


async def shortened(  # noqa: C901 - two loops and what they share
    machine: Machine, bound: int, program: list[Op], error: BrokenPromiseError
) -> tuple[list[Op], BrokenPromiseError]:
    """Leave out whatever can be left out, within a minute: first many operations at once, then single pushes."""
    loop = asyncio.get_running_loop()
    until = loop.time() + 60

    async def broken(variant: list[Op]) -> BrokenPromiseError | None:
        # A kill comes at another moment each time.
        for _ in range(3 if any("kill" in op or "die" in str(op) for op in variant) else 1):
            try:
                await carry_out(machine, bound, variant)
            except BrokenPromiseError as err:
                return err
        return None

    size = max(1, len(program) // 2)
    while True:
        at = 0
        while at < len(program) and loop.time() < until:
            variant = program[:at] + program[at + size :]
            if err := await broken(variant):
                program, error = variant, err
            else:
                at += size
        if size == 1:
            break
        size //= 2
    for at in range(len(program)):
        first = {"push": 1, "park": 1, "kill": 2}.get(program[at][0], len(program[at]))
        for gone in range(len(program[at]) - 1, first - 1, -1):
            op = program[at]
            variant = [*program[:at], (*op[:gone], *op[gone + 1 :]), *program[at + 1 :]]
            if loop.time() < until and (err := await broken(variant)):
                program, error = variant, err
    return program, error
