"""What simulated hubs push, when, and what happens to it when nobody takes it; against a real server."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from vegehub.simulator import PowerState, SimulatedHub, Simulation
from vegehub.simulator.posting import loopback, post
from vegehub.simulator.sampling import printed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MAINS = "gen2-endpoints"
BATTERY = "gen2-5.1-battery"
NAMES = {"v2": "mac", "v1": "api_key", "v0-c": "key", "v0-a": "write_api_key"}


class Receiver:
    """A server that keeps what it gets and answers what the test wants."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200
        self.gate = asyncio.Event()
        self.gate.set()
        self.paths: list[str] = []

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        await self.gate.wait()
        if self.status == 200:
            self.bodies.append(body)
            self.paths.append(request.path_qs)
            self.headers.append({name.lower(): value for name, value in request.headers.items()})
        return web.Response(status=self.status, text="OK")

    @property
    def updates(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]

    def samples(self) -> list[tuple[int, str, float]]:
        """Every sample in the order in which it came."""
        return [key for update in self.updates for key in samples(update)]


def samples(update: dict[str, Any]) -> list[tuple[int, str, float]]:
    if "sensors" in update:
        return [(entry["slot"], s["t"], s["v"]) for entry in update["sensors"] for s in entry["samples"]]
    return [
        (int(name.removeprefix("field")), entry["created_at"], value)
        for entry in update["updates"]
        for name, value in entry.items()
        if name != "created_at"
    ]


@asynccontextmanager
async def serving() -> AsyncIterator[Receiver]:
    receiver = Receiver("")
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with serving() as receiver:
        yield receiver


@asynccontextmanager
async def pointed(receiver: Receiver, profile: str = MAINS, **switches: Any) -> AsyncIterator[SimulatedHub]:
    async with SimulatedHub(profile, **switches) as hub:
        hub.point_at(f"{receiver.url}/hook?id=1", "key")
        yield hub


def all_once(hub: SimulatedHub, receiver: Receiver) -> bool:
    return Counter(receiver.samples()) == Counter(hub.samples_taken)


# --- schedule and shapes


async def test_samples_are_sent_in_batches_on_schedule(receiver: Receiver) -> None:
    async with pointed(receiver) as hub:
        hub.inputs[0].volts = 1.5
        await hub.advance(899)
        assert receiver.bodies == []
        assert (len(hub.backlog), hub.next_update_at) == (10, 900)
        await hub.advance(1)
        (update,) = receiver.updates
        times = [f"2025-06-01T00:{minute:02}:00Z" for minute in (5, 10, 15)]
        assert update["sensors"][0] == {"slot": 1, "samples": [{"v": 1.5, "t": time} for time in times]}
        assert [entry["slot"] for entry in update["sensors"]] == [1, 2, 3, 4, 5]
        assert all_once(hub, receiver)
        assert (hub.backlog, hub.pushes_delivered, hub.pushes_failed) == ([], 1, 0)
        assert receiver.paths == ["/hook?id=1"]


async def test_the_body_is_compact_with_the_keys_of_the_captures(receiver: Receiver) -> None:
    async with pointed(receiver, sample_period=900, num_inputs=1) as hub:
        hub.inputs[0].volts, hub.battery_volts = 1.25, 9.1
        await hub.advance(900)
        (body,) = receiver.bodies
        assert body == (
            b'{"api_key":"key","mac":"%b","error_code":0,"sensors":['
            b'{"slot":1,"samples":[{"v":1.25,"t":"2025-06-01T00:15:00Z"}]},'
            b'{"slot":2,"samples":[{"v":9.1,"t":"2025-06-01T00:15:00Z"}]}],'
            b'"send_time":1748736900,"wifi_str":-41}' % hub.mac.encode()
        )
        assert receiver.headers[0]["content-type"] == "application/json"


async def test_documented_variants_of_the_newest_shape(receiver: Receiver) -> None:
    async with pointed(receiver, send_time="text", time_format="space", voltage=True) as hub:
        hub.send_update()
        await hub.advance(0)
        (update,) = receiver.updates
        assert update["send_time"] == "1748736000"
        assert list(update)[-1] == "voltage"
        assert update["voltage"] == 9.2
        assert update["sensors"][0]["samples"][0]["t"] == "2025-06-01 00:00:00"


@pytest.mark.parametrize("push_format", list(NAMES))
async def test_every_shape_carries_every_sample_once(receiver: Receiver, push_format: str) -> None:
    async with pointed(receiver, push_format=push_format) as hub:
        await hub.advance(1800)
        assert all_once(hub, receiver)
        assert all(update[NAMES[push_format]] in {"key", hub.mac} for update in receiver.updates)
        assert len(receiver.updates) == 2


async def test_the_oldest_hubs_send_fields(receiver: Receiver) -> None:
    async with pointed(receiver, "gen1-3.9", update_period=300) as hub:
        for sensor in hub.inputs:
            sensor.volts = 2.56
        hub.battery_volts = 12.42
        await hub.advance(300)
        (body,) = receiver.bodies
        assert body == (
            b'{"key":"key","updates":[{"created_at":"2025-06-01 00:05:00",'
            b'"field1":2.56,"field2":2.56,"field3":2.56,"field4":2.56,"field5":12.42}]}'
        )


async def test_fields_of_one_second_do_not_hide_each_other(receiver: Receiver) -> None:
    async with pointed(receiver, "gen1-3.9", num_inputs=1) as hub:
        hub.config["sensors"][0].update(mode=0)
        hub.inputs[0].volts = 0.0
        hub.inputs[0].volts = 3.0
        hub.inputs[0].volts = 0.5
        await hub.advance(900)
        assert [update.get("field1") for update in receiver.updates[0]["updates"][:2]] == [3.0, 0.5]
        assert all_once(hub, receiver)


@pytest.mark.parametrize(
    ("volts", "step", "noisy", "clean"),
    [(1.456, 0.002, 1.45599997, 1.456), (1.33, 0.002, 1.330000043, 1.33), (9.3149, 0.0044, 9.314800262, 9.3148)],
)
def test_numbers_are_printed_as_in_the_captures(volts: float, step: float, noisy: float, clean: float) -> None:
    assert printed(volts, step, noise=True) == noisy
    assert printed(volts, step, noise=False) == clean
    assert json.dumps(printed(0.0, step, noise=True)) == "0.0"


async def test_noise_in_the_update_equals_noise_in_the_record(receiver: Receiver) -> None:
    async with pointed(receiver, BATTERY) as hub:
        hub.inputs[0].volts = 1.33
        await hub.advance(900)
        assert b"1.330000043" in receiver.bodies[0]
        assert all_once(hub, receiver)


@pytest.mark.parametrize(
    ("switches", "slots"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"is_ac": True}, [1, 2, 3, 4, 5]),
        ({"battery_slot": False}, [1, 2, 3, 4, 5]),
        ({"actuator_slots": "always"}, [1, 2, 3, 4, 5, 6, 7]),
        ({"actuator_slots": "never"}, [1, 2, 3, 4, 5]),
    ],
)
async def test_slots_follow_board_and_switches(receiver: Receiver, switches: Any, slots: list[int]) -> None:
    async with pointed(receiver, update_period=300, **switches) as hub:
        hub.actuators[0].execute(1, 3600, 0)
        await hub.advance(300)
        assert [entry["slot"] for entry in receiver.updates[0]["sensors"]] == slots
        if switches.get("actuator_slots") == "never":
            return
        on = next(
            entry for entry in receiver.updates[0]["sensors"] if entry["slot"] == (slots[4] if len(slots) == 5 else 6)
        )
        assert on["samples"][0]["v"] == 1
        hub.actuators[0].close()
        await hub.advance(300)
        later = {entry["slot"]: entry["samples"][0]["v"] for entry in receiver.updates[1]["sensors"]}
        assert later[on["slot"]] == 0


async def test_an_actuator_that_has_not_changed_is_not_reported_again(receiver: Receiver) -> None:
    async with pointed(receiver, update_period=300) as hub:
        hub.actuators[0].execute(1, 3600, 0)
        await hub.advance(600)
        assert [len(update["sensors"]) for update in receiver.updates] == [6, 5]


async def test_the_battery_is_left_out_if_it_is_not_to_be_reported(receiver: Receiver) -> None:
    async with pointed(receiver) as hub:
        hub.config["hub"]["report_voltage"] = 0
        await hub.advance(900)
        assert [entry["slot"] for entry in receiver.updates[0]["sensors"]] == [1, 2, 3, 4]


async def test_an_update_may_be_empty_or_left_out(receiver: Receiver) -> None:
    for send_when_empty, number in ((True, 3), (False, 0)):
        async with pointed(receiver, sample_period=7200, send_when_empty=send_when_empty) as hub:
            receiver.bodies.clear()
            await hub.advance(2700)
            assert [update["sensors"] for update in receiver.updates] == [[]] * number


async def test_new_periods_apply_at_once(receiver: Receiver) -> None:
    async with pointed(receiver) as hub:
        await hub.advance(100)
        hub.config["hub"].update(sample_period=10, update_period=60)
        hub.config_changed()
        await hub.advance(60)
        assert len(receiver.updates[0]["sensors"][0]["samples"]) == 6
        hub.config["hub"].update(sample_period="fast", update_period=0)
        hub.config_changed()
        hub.config_changed()
        await hub.advance(900)
        assert len(receiver.updates[1]["sensors"][0]["samples"]) == 3


# --- asked for


async def test_update_send_pushes_at_once_without_the_clock(receiver: Receiver) -> None:
    async with pointed(receiver) as hub:
        reader, writer = await asyncio.open_connection(hub.host, hub.port)
        writer.write(b"GET /api/update/send HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        await hub.clock.settle()
        assert all_once(hub, receiver)
        assert len(receiver.bodies) == 1
        hub.send_update()
        await hub.clock.settle()
        assert receiver.updates[1]["sensors"] == []
        assert all_once(hub, receiver)


async def test_update_send_may_take_a_while(receiver: Receiver) -> None:
    async with pointed(receiver, update_send_delay=2) as hub:
        hub.send_update()
        await hub.advance(1)
        assert receiver.bodies == []
        await hub.advance(1)
        assert len(receiver.bodies) == 1


async def test_waking_and_booting_may_push(receiver: Receiver) -> None:
    async with pointed(receiver, push_on_wake=True) as hub:
        await hub.advance(1)
        hub.sleep()
        hub.wake()
        await hub.advance(1)
        await hub.reboot()
        await hub.power_off()
        await hub.power_on()
        assert len(receiver.bodies) == 3


async def test_a_change_of_an_actuator_may_push(receiver: Receiver) -> None:
    async with pointed(receiver, push_on_actuator_change=True) as hub:
        hub.actuators[1].execute(1, 60, 0)
        await hub.advance(0)
        assert receiver.samples() == [(7, "2025-06-01T00:00:00Z", 1)]
        await hub.advance(60)
        assert receiver.samples()[1:] == [(7, "2025-06-01T00:01:00Z", 0)]


# --- delivery


@pytest.mark.parametrize("status", [201, 404, 500, 503])
async def test_what_is_not_answered_with_200_is_sent_again_with_the_next_update(
    receiver: Receiver, status: int
) -> None:
    async with pointed(receiver) as hub:
        receiver.status = status
        await hub.advance(1800)
        assert (hub.pushes_failed, len(hub.backlog)) == (2, 30)
        receiver.status = 200
        await hub.advance(900)
        assert len(receiver.bodies) == 1
        assert all_once(hub, receiver)
        first = [key for key in receiver.samples() if key[0] == 1]
        assert first == sorted(first)


async def test_a_server_that_is_down_gets_everything_when_it_is_back(receiver: Receiver) -> None:
    async with SimulatedHub() as hub:
        async with serving() as gone:
            hub.point_at(gone.url)
        await hub.advance(1800)
        assert len(hub.backlog) == 30
        hub.config["endpoints"][-1]["config"]["url"] = receiver.url
        await hub.advance(900)
        assert all_once(hub, receiver)


async def test_a_hub_may_take_503_for_delivered(receiver: Receiver) -> None:
    async with pointed(receiver, take_503_as_delivered=True) as hub:
        receiver.status = 503
        await hub.advance(900)
        assert hub.backlog == []
        receiver.status = 500
        await hub.advance(900)
        assert len(hub.backlog) == 15


async def test_a_failed_push_may_be_tried_again_soon(receiver: Receiver) -> None:
    async with pointed(receiver, push_retry=30) as hub:
        receiver.status = 500
        await hub.advance(900)
        receiver.status = 200
        await hub.advance(30)
        assert all_once(hub, receiver)
        assert hub.pushes_failed == 1


async def test_a_server_that_does_not_answer_in_time_counts_as_down(receiver: Receiver) -> None:
    async with pointed(receiver, push_timeout=0.5) as hub:
        receiver.gate.clear()
        await hub.advance(900)
        assert (hub.pushes_failed, len(hub.backlog)) == (1, 15)
        receiver.gate.set()
        await hub.advance(900)
        assert hub.backlog == []


async def test_advance_waits_for_a_push_in_flight(receiver: Receiver) -> None:
    async with pointed(receiver) as hub:
        receiver.gate.clear()
        asyncio.get_running_loop().call_later(0.1, receiver.gate.set)
        await hub.advance(900)
        assert hub.pushes_delivered == 1


async def test_large_backlogs_may_be_cut_into_batches_in_order(receiver: Receiver) -> None:
    async with pointed(receiver, max_samples_per_push=4) as hub:
        await hub.advance(900)
        assert [len(samples(update)) for update in receiver.updates] == [4, 4, 4, 3]
        assert all_once(hub, receiver)
        receiver.status = 500
        await hub.advance(900)
        assert hub.pushes_failed == 1


async def test_a_full_backlog_loses_its_oldest_samples(receiver: Receiver) -> None:
    async with pointed(receiver, backlog_limit=5) as hub:
        await hub.advance(900)
        assert hub.samples_dropped == 10
        assert receiver.samples() == hub.samples_taken[-5:]


async def test_endpoints_are_served_in_turn_and_keep_their_own_backlog(receiver: Receiver) -> None:
    async with serving() as second, pointed(receiver) as hub:
        hub.point_at(second.url, "other")
        second.status = 503
        await hub.advance(900)
        assert all_once(hub, receiver)
        second.status = 200
        await hub.advance(900)
        assert len(receiver.bodies) == 2
        assert len(second.bodies) == 1
        assert all_once(hub, second)
        assert second.updates[0]["api_key"] == "other"
        hub.config["endpoints"][-1]["enabled"] = False
        await hub.advance(900)
        assert len(second.bodies) == 1


async def test_endpoints_with_the_same_id_are_told_apart(receiver: Receiver) -> None:
    async with serving() as second, pointed(receiver) as hub:
        hub.point_at(second.url)
        for endpoint in hub.config["endpoints"]:
            endpoint["id"] = 1
        await hub.advance(900)
        assert all_once(hub, receiver)
        assert all_once(hub, second)


async def test_only_this_machine_is_ever_contacted(forbidden_traffic: list[str]) -> None:
    async with SimulatedHub() as hub, SimulatedHub("gen2-5.1-logger") as old:
        hub.config["endpoints"][0].update(type="custom", config={"url": "http://192.0.2.1/"})
        hub.config["endpoints"].append({"id": 9})
        old.config["hub"].update(server_type=3, server_url="http://hub.example/")
        await hub.advance(900)
        await old.advance(900)
        assert (hub.backlog, old.backlog) == ([], [])
        assert (hub.pushes_failed, hub.pushes_delivered, old.pushes_failed) == (0, 0, 0)
    assert forbidden_traffic == []


async def test_what_is_no_configuration_stops_nothing() -> None:
    async with SimulatedHub(config_takes_null=True) as hub, SimulatedHub(BATTERY) as old:
        hub.config.update(endpoints=None, hub=None, sensors=None)
        old.config.update(hub=None)
        await hub.advance(3600)
        await old.advance(3600)
        assert len(hub.samples_taken) == len(old.samples_taken) == 60
        assert hub.backlog == []


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8123/x", True),
        ("http://127.1.2.3", True),
        ("http://[::1]:80/", True),
        ("http://localhost/x", True),
        ("https://127.0.0.1/", False),
        ("http://192.168.0.10/", False),
        ("http://hub.example/", False),
        ("http://127.0.0.1:99999/", False),
        ("http://127.0.0.1:0/", False),
        ("http://[/", False),
        ("", False),
    ],
)
async def test_which_urls_are_on_this_machine(url: str, local: bool) -> None:
    assert (loopback(url) is not None) is local
    if not local:
        assert await post(url, b"{}", 1) is None


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", 200),
        (b"HTTP/1.0 202 Accepted\r\n\r\nuntil the end", 202),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", None),
        (b"ICY 200 OK\r\n\r\n", None),
        (b"HTTP/1.1\r\n\r\n", None),
        (b"HTTP/1.1 200", None),
        (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000, None),
    ],
)
async def test_replies_of_servers(reply: bytes, status: int | None) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(reply)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    assert await post(url, b"{}", 5) == status
    server.close()
    await server.wait_closed()


async def test_bodies_may_be_chunked(receiver: Receiver) -> None:
    async with pointed(receiver, push_chunked=True) as hub:
        await hub.advance(900)
        assert all_once(hub, receiver)
        assert receiver.headers[0]["transfer-encoding"] == "chunked"


# --- edges


async def edge_hub(hub: SimulatedHub, edge: int = 2, on_trigger: int = 1) -> None:
    hub.inputs[0].volts = 0.0
    hub.config["sensors"][0].update(mode=0, edge=edge, update_on_trigger=on_trigger)


async def test_the_first_edge_is_sent_at_once_and_the_next_ones_together(receiver: Receiver) -> None:
    async with pointed(receiver) as hub:
        await edge_hub(hub)
        hub.inputs[0].volts = 3.0
        await hub.advance(1)
        assert receiver.samples() == [(1, "2025-06-01T00:00:00Z", 3.0), (5, "2025-06-01T00:00:00Z", 9.2)]
        hub.inputs[0].volts = 0.0
        hub.inputs[0].volts = 3.1
        await hub.advance(1)
        hub.inputs[0].volts = 0.1
        await hub.advance(17)
        assert len(receiver.bodies) == 1
        await hub.advance(1)
        assert [key[2] for key in samples(receiver.updates[1]) if key[0] == 1] == [0.0, 3.1, 0.1]
        await hub.advance(20)
        hub.inputs[0].volts = 3.0
        await hub.advance(0)
        assert len(receiver.bodies) == 3
        assert all_once(hub, receiver)


@pytest.mark.parametrize(("edge", "values"), [(0, [3.0]), (1, [0.0]), (2, [3.0, 0.0])])
async def test_edges_of_the_wanted_kind_are_seen(receiver: Receiver, edge: int, values: list[float]) -> None:
    async with pointed(receiver) as hub:
        await edge_hub(hub, edge)
        for volts in (1.0, 3.0, 2.0, 0.0, 0.5):
            hub.inputs[0].volts = volts
        await hub.advance(20)
        assert [key[2] for key in receiver.samples() if key[0] == 1] == values


async def test_an_edge_that_triggers_nothing_waits_for_the_update(receiver: Receiver) -> None:
    async with pointed(receiver) as hub:
        await edge_hub(hub, on_trigger=0)
        hub.inputs[0].volts = 3.0
        await hub.advance(899)
        assert receiver.bodies == []
        await hub.advance(1)
        assert [key[2] for key in receiver.samples() if key[0] == 1] == [3.0]
        assert all_once(hub, receiver)


async def test_an_edge_report_leaves_what_waits_for_the_update(receiver: Receiver) -> None:
    async with pointed(receiver) as hub:
        await edge_hub(hub)
        await hub.advance(300)
        hub.inputs[0].volts = 3.0
        await hub.advance(0)
        assert {key[0] for key in receiver.samples()} == {1, 5}
        assert len(hub.backlog) == 4
        await hub.advance(600)
        assert all_once(hub, receiver)


async def test_an_edge_that_could_not_be_sent_goes_with_the_update(receiver: Receiver) -> None:
    async with pointed(receiver) as hub:
        await edge_hub(hub)
        receiver.status = 500
        hub.inputs[0].volts = 3.0
        await hub.advance(60)
        receiver.status = 200
        await hub.advance(840)
        assert all_once(hub, receiver)


async def test_an_edge_wakes_a_sleeping_hub_but_not_one_without_power(receiver: Receiver) -> None:
    async with pointed(receiver) as hub:
        await edge_hub(hub)
        hub.sleep()
        hub.inputs[0].volts = 3.0
        await hub.advance(0)
        assert (hub.state, len(receiver.bodies)) == (PowerState.AWAKE, 1)
        await hub.power_off()
        hub.inputs[0].volts = 0.0
        await hub.advance(60)
        assert len(receiver.bodies) == 1


# --- time, faults, sleep


async def test_a_clock_that_is_off_is_off_in_every_time(receiver: Receiver) -> None:
    async with pointed(receiver) as hub:
        hub.faults.clock_off(86400)
        hub.send_update()
        await hub.advance(0)
        assert receiver.updates[0]["send_time"] == 1748736000 + 86400
        assert receiver.samples()[0][1] == "2025-06-02T00:00:00Z"
        hub.faults.clear()
        hub.send_update()
        await hub.advance(0)
        assert receiver.samples()[-1][1] == "2025-06-01T00:00:00Z"


async def test_without_ntp_time_starts_in_1970_with_every_reboot(receiver: Receiver) -> None:
    async with pointed(receiver) as hub:
        await hub.advance(900)
        hub.faults.no_ntp()
        await hub.reboot()
        await hub.advance(900)
        assert samples(receiver.updates[1])[0][1] == "1970-01-01T00:05:00Z"
        hub.faults.clear()
        await hub.advance(900)
        assert samples(receiver.updates[2])[0][1] == "2025-06-01T00:35:00Z"
        await hub.reboot(ntp=False)
        hub.sync_time()
        await hub.advance(900)
        assert samples(receiver.updates[3])[0][1] == "2025-06-01T00:50:00Z"
        assert all_once(hub, receiver)


async def test_a_backlog_lives_through_a_reboot(receiver: Receiver) -> None:
    async with pointed(receiver) as hub:
        receiver.status = 500
        await hub.advance(900)
        await hub.reboot()
        receiver.status = 200
        await hub.advance(900)
        assert all_once(hub, receiver)


async def test_a_push_that_the_power_cut_short_is_sent_again(receiver: Receiver) -> None:
    async with pointed(receiver) as hub:
        receiver.gate.clear()
        hub.send_update()
        await asyncio.sleep(0.02)
        await hub.reboot()
        receiver.gate.set()
        await hub.advance(900)
        # The server may have taken the first one too: the hub cannot know.
        assert Counter(samples(receiver.updates[-1])) == Counter(hub.samples_taken)
        assert hub.backlog == []


async def test_a_push_may_be_duplicated(receiver: Receiver) -> None:
    async with pointed(receiver) as hub:
        hub.faults.duplicate_pushes(times=1)
        await hub.advance(1800)
        first, again, _ = receiver.bodies
        assert first == again


async def test_a_push_may_be_overtaken_by_the_next(receiver: Receiver) -> None:
    async with pointed(receiver) as hub:
        hub.faults.reorder_pushes(times=1)
        await hub.advance(900)
        assert (receiver.bodies, len(hub.backlog)) == ([], 15)
        receiver.status = 500
        await hub.advance(900)
        receiver.status = 200
        await hub.advance(900)
        assert [update["send_time"] - 1748736000 for update in receiver.updates] == [2700, 900]
        assert hub.backlog == []
        assert all_once(hub, receiver)


async def test_a_hub_that_misses_the_reply_sends_again(receiver: Receiver) -> None:
    async with pointed(receiver) as hub:
        hub.faults.miss_reply(times=1)
        await hub.advance(900)
        assert (len(receiver.bodies), len(hub.backlog)) == (1, 15)
        await hub.advance(900)
        assert Counter(receiver.samples()) - Counter(hub.samples_taken) == Counter(samples(receiver.updates[0]))


async def test_a_sleeping_battery_hub_reports_on_schedule(receiver: Receiver) -> None:
    async with pointed(receiver, BATTERY) as hub:
        states: list[PowerState] = []
        hub.on_power(states.append)
        await hub.advance(3600)
        assert len(receiver.bodies) == 4
        assert states == [PowerState.ASLEEP, PowerState.AWAKE] * 4
        assert all_once(hub, receiver)


@pytest.mark.slow
async def test_a_day_of_many_hubs_with_an_outage_loses_and_doubles_nothing(receiver: Receiver) -> None:
    async with Simulation(seed=3) as sim:
        profiles = ("gen1-3.9", BATTERY, "gen2-5.1-logger", MAINS, "sprinkler-ac")
        hubs = [await sim.add_hub(profile, host=f"127.0.1.{n + 1}") for n, profile in enumerate(profiles)]
        for hub in hubs:
            hub.point_at(receiver.url, hub.mac)
        for status in (200, 503, 200):
            receiver.status = status
            await sim.advance(28800)
        by_key = {key: Counter[Any]() for key in (hub.mac for hub in hubs)}
        for update in receiver.updates:
            by_key[update.get("key") or update["api_key"]].update(samples(update))
        assert all(by_key[hub.mac] == Counter(hub.samples_taken) for hub in hubs)
        assert all(hub.samples_taken and hub.backlog == [] for hub in hubs)


@pytest.mark.slow
async def test_three_hundred_hubs_fit_and_each_is_itself(receiver: Receiver) -> None:
    async with Simulation(seed=1) as sim:
        hubs = [await sim.add_hub("gen2-5.1-logger", host=f"127.1.{n // 200}.{n % 200 + 1}") for n in range(300)]
        for hub in hubs:
            hub.point_at(receiver.url)
        await sim.advance(900)
        assert Counter(update["mac"] for update in receiver.updates) == Counter(hub.mac for hub in hubs)
        assert len({hub.mac for hub in hubs}) == len({hub.name for hub in hubs}) == 300
        await sim.remove_hub(hubs[0])
        assert sim.hubs == hubs[1:]
    assert asyncio.all_tasks() == {asyncio.current_task()}
