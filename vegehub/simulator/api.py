"""The HTTP API of a hub: what each call does and what it answers."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from . import configuration
from .replies import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from .device import Device
    from .requests import Request
    from .template import Template


class Reactions(Protocol):
    """What calls set off in the rest of the hub."""

    def update_requested(self) -> None:
        """Push an update."""

    def config_changed(self) -> None:
        """Follow a new configuration."""

    def last_readings(self) -> list[tuple[int, float]]:
        """Return channel (1-based) and volts of the last sample."""


class _RefusedError(Exception):
    """The hub does not do what it was asked to."""


class Api:
    """Executes requests on a device."""

    def __init__(self, device: Device, reactions: Reactions) -> None:
        self._device = device
        self._profile = device.profile
        self._reactions = reactions
        self.templates: dict[str, Template] = {}
        """What a recorded hub answered, by the path of the call; it is kept up to date with the state."""
        self.fixed: dict[tuple[str, str], Reply] = {}
        """Replies by method and path that no state goes into."""
        self._calls: dict[str, tuple[str, Callable[[Any], Reply]]] = {
            "/api/info/get": ("POST", self._info_get),
            "/api/config/get": ("POST", self._config_get),
            "/api/config/set": ("POST", self._config_set),
            "/api/actuators/set": ("POST", self._actuators_set),
            "/api/actuators/status": ("GET", self._actuators_status),
            "/api/update/send": ("GET", self._update_send),
            "/api/time/set": ("POST", self._time_set),
            "/api/wifi/reconnect": ("POST", self._wifi_reconnect),
            "/api/server/query": ("POST", self._server_query),
            "/api/certificate/delete": ("POST", self._accept),
            "/api/vsens/data_in": ("POST", self._accept),
        }
        if self._profile.has_last_readings:
            self._calls["/api/sensors/data/last"] = ("GET", self._sensors_last)

    def handle(self, request: Request) -> Reply:
        """Execute ``request``; whatever is wrong with it becomes an error reply."""
        fixed = self.fixed.get((request.method, request.path))
        if fixed is not None:
            return fixed
        if request.path not in self._calls:
            return self.error(self._profile.status_not_found, "not found")
        method, call = self._calls[request.path]
        if request.method != method:
            return self.error(self._profile.status_bad_method, "method not allowed")
        try:
            return call(_document(request.body) if method == "POST" else None)
        except _RefusedError as err:
            return self.error(self._profile.status_bad_request, str(err))

    def knows(self, method: str, path: str) -> bool:
        """Whether there is such a call."""
        return path in self._calls and self._calls[path][0] == method

    def error(self, status: int, text: str) -> Reply:
        """Put an error into words."""
        return Reply.json({"error": text}, status) if self._profile.error_as_json else Reply(text.encode(), status)

    def _info_get(self, wanted: dict[str, Any]) -> Reply:
        info = self._as_recorded("/api/info/get", self._device.info())
        return self._success({key: info.get(key) for key in wanted})

    def _config_get(self, wanted: dict[str, Any]) -> Reply:
        return self._success(configuration.read(self._device.config, wanted, self._profile))

    def _config_set(self, sent: dict[str, Any]) -> Reply:
        problem = configuration.problem(sent, self._device.config)
        if problem:
            raise _RefusedError(problem)

        def store() -> None:
            configuration.write(self._device.config, sent, self._profile, self._device.epoch)
            self._reactions.config_changed()

        if self._profile.config_set_delay:
            self._device.clock.call_later(self._profile.config_set_delay, store)
        else:
            store()
        return Reply(self._success({}).body, closes=self._profile.config_set_resets_connections)

    def _actuators_set(self, command: dict[str, Any]) -> Reply:
        target, state, duration = command.get("target"), command.get("state"), command.get("duration")
        actuators = self._device.actuators
        if not _is_int(target) or not 0 <= target < len(actuators):
            raise _RefusedError("bad target")
        if state not in (0, 1) or isinstance(state, float):
            raise _RefusedError("bad state")
        if isinstance(duration, bool) or not isinstance(duration, (int, float)) or not 0 <= duration < math.inf:
            raise _RefusedError("bad duration")
        actuators[target].execute(int(state), duration, int(self._device.epoch))
        return Reply(self._profile.actuators_set_body.encode())

    def _actuators_status(self, _: None) -> Reply:
        status = self.status()
        if not status["actuators"] and self._profile.no_actuators_status != "empty":
            if self._profile.no_actuators_status == "error":
                return Reply.json({"error": "no actuators"})
            del status["actuators"]
        return self._success(self._as_recorded("/api/actuators/status", status))

    def _sensors_last(self, _: None) -> Reply:
        return self._success(self._as_recorded("/api/sensors/data/last", self.readings()))

    def status(self) -> dict[str, Any]:
        """Return what ``actuators/status`` has to say now."""
        return {"actuators": [actuator.status() for actuator in self._device.actuators]}

    def readings(self) -> dict[str, Any]:
        """Return what ``sensors/data/last`` has to say now."""
        return {"samples": [{"chan": chan, "value": value} for chan, value in self._reactions.last_readings()]}

    def _as_recorded(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        template = self.templates.get(path)
        return document if template is None else template.filled(document)

    def _success(self, document: dict[str, Any]) -> Reply:
        return Reply.json({**document, "error": self._profile.success})

    def _update_send(self, _: None) -> Reply:
        self._reactions.update_requested()
        return Reply()

    def _time_set(self, sent: dict[str, Any]) -> Reply:
        epoch = sent.get("epoch")
        if not _is_int(epoch) or not 0 <= epoch < 1 << 32:
            raise _RefusedError("bad epoch")
        self._device.set_time(epoch)
        return self._success({})

    def _wifi_reconnect(self, sent: dict[str, Any]) -> Reply:
        manner = self._profile.wifi_reconnect
        drops = "wifi" in sent and manner != "reply"
        return Reply(self._success({}).body, closes=drops, withheld=drops and manner == "drop")

    def _server_query(self, _: dict[str, Any]) -> Reply:
        return Reply(b"Failed to parse")  # the simulated hub fetches nothing

    def _accept(self, _: dict[str, Any]) -> Reply:
        return self._success({})


def _is_int(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise _RefusedError("bad JSON") from None
    if not isinstance(document, dict):
        raise _RefusedError("bad JSON")
    return document
