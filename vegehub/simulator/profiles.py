"""What differs between simulated hubs: the boards and firmwares that are known, and a switch for each thing that is not.

Each field says how much is known: *known* (documented or captured), *likely* (inferred), *unknown* (a choice).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DELIVERED = 200
"""The only HTTP status for which a hub is known to take its data as delivered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A kind of hub; ``dataclasses.replace`` makes variants, and so do keyword arguments of ``SimulatedHub``."""

    # --- the board
    name: str
    firmware: str = "5.1.2"
    """Known for 5.1 and 3.9; the first version with endpoints is unknown."""
    model: str = "Undefined"
    """Known: what 5.1.2 says."""
    mac_prefix: str = "7C9EBD"
    """Known: seen in captures."""
    num_inputs: int = 4
    num_actuators: int = 2
    is_ac: bool = False
    """Known: an AC board has no battery slot."""
    power_mode: int = 1
    """Known: 0 battery (the hub sleeps), 1 power adapter (always awake)."""
    serves_http: bool = True
    """Likely: no local API is known before firmware 4."""
    announces: bool = True
    """Likely: no mDNS is known before firmware 4. Heard only where the simulation has mDNS at all."""
    endpoints: bool = True
    """Known: newer firmware has a list of endpoints, older has hub.server_url and answers null to ``endpoints``."""
    sample_period: int = 300
    """Seconds; known as a configuration key, the default is a choice."""
    update_period: int = 900
    """Seconds; known as a configuration key, the default is a choice."""

    # --- mDNS
    mdns_probes: bool = True
    """Unknown: whether the hub asks for its name whenever it wakes, as mDNS demands; costs a real second each time."""
    mdns_actuator_names: bool = False
    """Unknown: ``act_N`` beside the ``sens_N`` that were captured."""

    # --- error replies
    status_bad_request: int = 400
    """Unknown."""
    status_not_found: int = 404
    """Unknown."""
    status_bad_method: int = 405
    """Unknown."""
    error_as_json: bool = True
    """Unknown: errors as ``{"error": text}``; False: as plain text."""
    success: str | int | None = "success"
    """Known as text, as the number 0 only from an unreliable source: ``error`` of a reply that is none."""

    # --- config/get and config/set
    config_set_removes_others: bool = False
    """Unknown: False, an object that is sent replaces the stored one; True, objects not sent are removed as well."""
    config_keeps_unknown: bool = False
    """Unknown: whether keys that the firmware does not know are stored."""
    config_takes_null: bool = False
    """Likely False (hubs accept the ``endpoints: null`` they sent): whether null replaces a stored object."""
    config_set_delay: float = 0.0
    """Unknown: simulated seconds until a set shows; 0 for at once."""
    config_set_resets_connections: bool = False
    """Unknown: whether connections are lost after the reply, as with a restart of the network."""
    config_unknown_key: Literal["null", "absent"] = "null"
    """Known: null was seen for ``endpoints`` on old firmware."""
    config_endpoints_only: bool = False
    """Unknown: whether firmware with endpoints answers null to ``hub`` and ``api_key``."""

    # --- actuators
    actuators_set_body: str = '{"error":"success"}'
    """Unknown; empty in a mock."""
    zero_duration: Literal["pulse", "ignored", "stays_on"] = "pulse"
    """Unknown; read back as off: ON for 0 seconds is on and off at once, or nothing, or on without an end."""
    max_duration: float | None = None
    """Unknown: longest ON in seconds, longer ones are cut; None for no limit."""
    status_latency: float | None = None
    """Likely: seconds until a command shows in the status; None: 0.3 in real time and 0 on the stepped clock."""
    no_actuators_status: Literal["empty", "missing", "error"] = "empty"
    """Unknown: the status of a hub without actuators has an empty list, no list, or is an error."""

    # --- sensors/data/last
    has_last_readings: bool = True
    """Unknown on old firmware."""
    last_is_live: bool = True
    """Unknown: whether the values are measured for the request, or those of the last sample."""
    last_has_battery: bool = False
    """Unknown: whether the battery is listed as one more channel."""

    # --- what is pushed
    push_format: Literal["v2", "v1", "v0-c", "v0-a"] = "v2"
    """Known: all four were captured, with different generations and server types."""
    send_time: Literal["int", "text"] = "int"
    """Known as int from captures, as text from the documentation."""
    time_format: Literal["iso", "space"] = "iso"
    """Known: ISO with Z in V2 captures, ``YYYY-MM-DD HH:MM:SS`` in V0 and in the documentation."""
    float_noise: bool = False
    """Known: some firmware prints the 32-bit float with nine decimals."""
    analog_step: float = 0.0
    """Known from captures: volts per step of an input, 0.002; 0 for exact values."""
    battery_step: float = 0.0
    """Known from captures: volts per step of the battery, 0.0044; 0 for exact values."""
    voltage: bool = False
    """Known from the documentation, absent from captures: the battery as ``voltage`` beside the sensors."""
    battery_slot: bool | None = None
    """Known to follow ``is_ac`` (None); sprinkler boards may have none."""
    actuator_slots: Literal["when_new", "always", "never"] = "when_new"
    """Likely: actuators are reported when they have changed."""
    send_when_empty: bool = True
    """Known from the documentation: ``sensors`` may be empty."""
    max_samples_per_push: int | None = None
    """Unknown: largest number of samples in one body; None for all that wait."""

    # --- how it is pushed
    push_timeout: float = 5.0
    """Unknown: real seconds until a push counts as failed."""
    push_retry: float = 0.0
    """Unknown: simulated seconds until a failed push is tried again; 0: with the next update."""
    push_chunked: bool = False
    """Unknown: chunked body instead of Content-Length."""
    backlog_limit: int | None = None
    """Unknown: samples kept per endpoint, the oldest go first; None for no limit."""
    take_503_as_delivered: bool = False
    """Unknown: whether the hub drops its data also when the server answers 503."""
    push_on_wake: bool = False
    """Unknown: whether waking by the button, or a boot, sends an update."""
    push_on_actuator_change: bool = False
    """Unknown."""
    update_send_delay: float = 0.0
    """Unknown: simulated seconds from ``update/send`` to the push; 0 for at once, without advance()."""
    edge_volts: float = 1.65
    """Unknown: an edge is a crossing of this voltage."""
    edge_hold: float = 20.0
    """Known for 3.9: seconds in which edges after the first are collected into one report."""

    # --- sleep
    inactivity: float = 300.0
    """Known: seconds without a request after which a battery hub sleeps."""
    requests_keep_awake: bool = True
    """Likely."""
    wake_window: float = 10.0
    """Unknown, short: seconds awake after a scheduled update."""
    asleep_refuses: bool = False
    """Unknown: a sleeping hub refuses connections instead of dropping packets."""

    # --- the HTTP server
    content_type: str = "application/json"
    """Likely: clients with a strict parser work."""
    keep_alive: bool = True
    """Likely."""
    max_connections: int | None = None
    """Unknown: further connections are reset; None for no limit."""
    max_request_body: int = 65536
    """Unknown: bytes; 413 beyond."""
    reply_latency: float = 0.0
    """Unknown: real seconds that each reply takes."""
    wifi_reconnect: Literal["reply", "reply_then_drop", "drop"] = "reply_then_drop"
    """Unknown: whether the reply to ``wifi/reconnect`` comes before the link drops."""

    def __post_init__(self) -> None:
        if self.num_inputs < 0 or self.num_actuators < 0:
            raise ValueError("a hub has 0 or more inputs and actuators")

    @property
    def has_battery_slot(self) -> bool:
        """Whether updates carry the battery after the inputs."""
        return not self.is_ac if self.battery_slot is None else self.battery_slot


_PROFILES = (
    Profile(
        name="gen1-3.9",
        firmware="3.9",
        model="VG-HUB4",
        mac_prefix="F8F005",
        num_actuators=0,
        power_mode=0,
        serves_http=False,
        announces=False,
        endpoints=False,
        push_format="v0-c",
        time_format="space",
    ),
    Profile(
        name="gen2-5.1-battery",
        power_mode=0,
        endpoints=False,
        actuators_set_body="",
        float_noise=True,
        analog_step=0.002,
        battery_step=0.0044,
    ),
    Profile(
        name="gen2-5.1-logger",
        num_inputs=1,
        num_actuators=0,
        power_mode=0,
        endpoints=False,
        actuators_set_body="",
        float_noise=True,
        analog_step=0.002,
        battery_step=0.0044,
    ),
    Profile(name="gen2-endpoints", firmware="5.2.0"),
    Profile(name="sprinkler-ac", firmware="5.2.0", num_inputs=2, num_actuators=4, is_ac=True),
)

PROFILES: dict[str, Profile] = {profile.name: profile for profile in _PROFILES}
"""The kinds of hub that are known, by name."""

DEFAULT_PROFILE = "gen2-endpoints"


def find_profile(profile: str | Profile) -> Profile:
    """Return the profile called so; ValueError names those there are."""
    if isinstance(profile, Profile):
        return profile
    if profile not in PROFILES:
        raise ValueError(f"no profile {profile!r}; there are {', '.join(PROFILES)}")
    return PROFILES[profile]
