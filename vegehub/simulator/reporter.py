"""Updates of a hub: it samples and reports on schedule, keeps what did not get through, and reports edges at once."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import payloads
from .configuration import CUSTOM_SERVER
from .posting import loopback, post
from .profiles import DELIVERED
from .sampling import Sample, Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .actuators import Actuator
    from .clock import Timer, Work
    from .device import Device, Input
    from .faults import Faults
    from .power import Power

# Of what is due at one moment, samples come before the update that carries them.
_SAMPLE_PRIORITY, _UPDATE_PRIORITY = 1, 2
_SERVICE_UNAVAILABLE = 503
_RISING, _FALLING, _BOTH = 0, 1, 2


@dataclass(slots=True)
class Push:
    """One update as it is posted."""

    body: bytes
    samples: Sequence[Sample]


@dataclass(slots=True)
class Target:
    """A server that the hub reports to, with all it has not taken yet."""

    url: str = ""
    api_key: str = ""
    pending: deque[Sample] = field(default_factory=deque)
    overtaken: Push | None = None
    """A push that waits until the next one has got through."""

    @property
    def reachable(self) -> bool:
        """Whether the hub has a way to it at all."""
        return loopback(self.url) is not None


class Reporter:
    """Samples, and delivers the samples to every server configured, each with a backlog of its own."""

    def __init__(self, device: Device, faults: Faults, power: Power, work: Work) -> None:
        self.sampler = Sampler(device)
        self.pushes_delivered = 0
        self.pushes_failed = 0
        self.dropped = 0
        """Samples that no longer fitted into a backlog."""
        self._device = device
        self._clock = device.clock
        self._faults = faults
        self._power = power
        self._work = work
        self._targets: dict[Any, Target] = {}
        self._one_at_a_time = asyncio.Lock()
        self._idle = asyncio.Event()
        self._idle.set()
        self._timers: dict[str, Timer] = {}
        self._periods = (0.0, 0.0)
        self._edges_held_until = 0.0
        for sensor in device.inputs:
            sensor.on_change = self._on_input
        for actuator in device.actuators:
            actuator.on_change = self._on_actuator

    # --- the schedule

    @property
    def next_update_at(self) -> float | None:
        """The moment of the simulation at which the next scheduled update is due."""
        timer = self._timers.get("update")
        return timer.when if timer is not None else None

    def boot(self) -> None:
        """Start the schedule."""
        self.stop()
        self._periods = self._configured_periods()
        self._edges_held_until = 0.0
        self._arm("sample", self._clock.now)
        self._arm("update", self._clock.now)

    def stop(self) -> None:
        """Stop the schedule."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def config_changed(self) -> None:
        """Follow new periods and servers."""
        if self._timers and self._periods != self._configured_periods():
            self.boot()

    def _configured_periods(self) -> tuple[float, float]:
        profile = self._device.profile
        sample = self._device.setting("sample_period", profile.sample_period)
        return sample, self._device.setting("update_period", profile.update_period)

    def _arm(self, what: str, since: float) -> None:
        if what == "sample":
            self._timers[what] = self._clock.call_at(
                since + self._configured_periods()[0], self._scheduled_sample, _SAMPLE_PRIORITY
            )
        else:
            self._timers[what] = self._clock.call_at(
                since + self._configured_periods()[1], self._scheduled_update, _UPDATE_PRIORITY
            )

    def _scheduled_sample(self) -> None:
        self._arm("sample", self._timers["sample"].when)
        self._keep(self.sampler.take_all())

    def _scheduled_update(self) -> None:
        self._arm("update", self._timers["update"].when)
        self.report()

    # --- what sets off an update

    def update_requested(self) -> None:
        """Sample and report, now or after the profile's delay."""

        def sample_and_report() -> None:
            self._keep(self.sampler.take_all())
            self.report()

        delay = self._device.profile.update_send_delay
        if delay:
            self._timers["requested"] = self._clock.call_later(delay, sample_and_report, _UPDATE_PRIORITY)
        else:
            sample_and_report()

    def report(self, *, only_triggered: bool = False) -> None:
        """Wake for an update of all that waits, or of what was triggered."""
        if self._refresh_targets():
            self._power.wake_briefly()
            self._work.start(self._report(only_triggered=only_triggered))

    def _on_input(self, sensor: Input, before: float, after: float) -> None:
        level = self._device.profile.edge_volts
        if not self._timers or (before < level) is (after < level) or not self.sampler.on_edge(sensor.slot):
            return
        settings = self.sampler.settings(sensor.slot)
        if settings.get("edge", _BOTH) not in (_BOTH, _RISING if after >= level else _FALLING):
            return
        triggers = bool(settings.get("update_on_trigger"))
        self._keep(self.sampler.take_edge(sensor, triggered=triggers))
        if triggers:
            self._edge()

    def _edge(self) -> None:
        """Report the first edge at once; collect those of the next seconds into one report."""
        if self._clock.now >= self._edges_held_until:
            self._edges_held_until = self._clock.now + self._device.profile.edge_hold
            self.report(only_triggered=True)
            return
        timer = self._timers.get("edges")
        if timer is None or not timer.pending:
            self._timers["edges"] = self._clock.call_at(self._edges_held_until, self._edge, _UPDATE_PRIORITY)

    def _on_actuator(self, _: Actuator) -> None:
        if self._timers and self._device.profile.push_on_actuator_change:
            self._keep(self.sampler.take_actuators())
            self.report(only_triggered=True)

    # --- what waits

    @property
    def backlog(self) -> list[Sample]:
        """The samples that a reachable server has not taken yet, oldest first."""
        waiting: dict[int, Sample] = {}
        self._refresh_targets()
        for target in self._targets.values():
            if target.reachable:
                held = target.overtaken.samples if target.overtaken is not None else ()
                waiting.update((sample.number, sample) for sample in (*held, *target.pending))
        return [waiting[number] for number in sorted(waiting)]

    def _keep(self, samples: Sequence[Sample]) -> None:
        limit = self._device.profile.backlog_limit
        self._refresh_targets()
        for target in self._targets.values():
            target.pending.extend(samples)
            while limit is not None and len(target.pending) > limit:
                target.pending.popleft()
                self.dropped += target.reachable

    def _refresh_targets(self) -> bool:
        """Read the servers from the configuration; False if there is none."""
        configured = dict(self._configured_targets())
        for key, (url, api_key) in configured.items():
            target = self._targets.setdefault(key, Target())
            target.url, target.api_key = url, api_key
        for key in self._targets.keys() - configured.keys():
            del self._targets[key]
        return bool(configured)

    def _configured_targets(self) -> Iterator[tuple[Any, tuple[str, str]]]:
        config = self._device.config
        if not self._device.profile.endpoints:
            hub = config.get("hub")
            settings = hub if isinstance(hub, dict) else {}
            url = settings.get("server_url", "") if settings.get("server_type") == CUSTOM_SERVER else "vegecloud"
            yield "server", (str(url), str(config.get("api_key", "")))
            return
        seen: Counter[str] = Counter()
        endpoints = config.get("endpoints")
        for endpoint in endpoints if isinstance(endpoints, list) else ():
            if not isinstance(endpoint, dict):
                continue
            # Ids may collide: established clients number a new endpoint by the length of the list.
            number = repr(endpoint.get("id"))
            seen[number] += 1
            own = endpoint.get("config")
            settings = own if isinstance(own, dict) else {}
            if endpoint.get("enabled", True):
                posts = endpoint.get("type") == "custom" and settings.get("data_format", "json") == "json"
                url = settings.get("url", "") if posts else "vegecloud"
                yield (number, seen[number]), (str(url), str(settings.get("api_key", "")))

    # --- delivery

    async def until_idle(self) -> None:
        """Wait until nothing is being posted."""
        await self._idle.wait()

    async def _report(self, *, only_triggered: bool) -> None:
        async with self._one_at_a_time:
            self._idle.clear()
            try:
                results = [
                    await self._serve(target, only_triggered=only_triggered)
                    for target in tuple(self._targets.values())
                    if target.reachable
                ]
            finally:
                self._idle.set()
        if self._power.awake:
            self._power.wake_briefly()
        retry = self._device.profile.push_retry
        if retry and not all(results) and self._timers:
            self._timers["retry"] = self._clock.call_later(retry, self.report, _UPDATE_PRIORITY)

    async def _serve(self, target: Target, *, only_triggered: bool) -> bool:
        """Deliver what waits for one server, in order; False when it does not take it."""
        samples = [sample for sample in target.pending if sample.triggered or not only_triggered]
        batch = self._device.profile.max_samples_per_push or max(len(samples), 1)
        batches = [samples[start : start + batch] for start in range(0, len(samples), batch)]
        if not batches and not only_triggered and self._sends_empty():
            batches = [[]]
        for some in batches:
            if not await self._deliver(target, some):
                return False
        return True

    def _sends_empty(self) -> bool:
        profile = self._device.profile
        return profile.send_when_empty and not profile.push_format.startswith("v0")

    async def _deliver(self, target: Target, samples: Sequence[Sample]) -> bool:
        push = Push(payloads.body(self._device, target.api_key, samples), samples)
        if target.overtaken is None and self._faults.take("reorder_pushes"):
            self._forget(target, samples)
            target.overtaken = push
            return True
        if not await self._post(target, push):
            return False
        self._forget(target, samples)
        if self._faults.take("duplicate_pushes"):
            await self._post(target, push)
        if target.overtaken is not None and await self._post(target, target.overtaken):
            target.overtaken = None
        return True

    @staticmethod
    def _forget(target: Target, samples: Sequence[Sample]) -> None:
        numbers = {sample.number for sample in samples}
        target.pending = deque(sample for sample in target.pending if sample.number not in numbers)

    async def _post(self, target: Target, push: Push) -> bool:
        profile = self._device.profile
        async with self._clock.push_slots:
            body = self._faults.odd_push(push.body)
            status = await post(target.url, body, profile.push_timeout, chunked=profile.push_chunked)
        delivered = status == DELIVERED or (status == _SERVICE_UNAVAILABLE and profile.take_503_as_delivered)
        if self._faults.take("miss_reply"):
            delivered = False
        self.pushes_delivered += delivered
        self.pushes_failed += not delivered
        return delivered
