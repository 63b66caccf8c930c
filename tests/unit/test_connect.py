"""``connect_receiver`` proves the path from a hub to a receiver, names the link that is broken, and restores."""

from __future__ import annotations

import asyncio
import copy
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from vegehub import (
    Outcome,
    VegeHub,
    VegeHubConnectionError,
    VegeHubError,
    VegeHubMismatchError,
    VegeHubPayloadError,
    VegeHubTimeoutError,
    VegeHubValueError,
)
from vegehub.hub import connect_receiver, local_address
from vegehub.receiving import Refusal, UpdateReceiver
from vegehub.simulator import SimulatedHub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from vegehub import ServerChange

STRANGER = "7C9EBD999999"
CONFIG_SET = "/api/config/set"
UPDATE_SEND = "/api/update/send"
_MARKS = ("updated", "who_updated")


@pytest.fixture
async def receiver() -> AsyncIterator[UpdateReceiver]:
    async with UpdateReceiver().serve("127.0.0.1", 0) as receiver:
        yield receiver


async def until(condition: Callable[[], object]) -> None:
    """Wait for what must come; the test's own timeout ends it if it never does."""
    while not condition():  # noqa: ASYNC110 - a simulated hub has no event for it
        await asyncio.sleep(0.01)


def stored(simulated: SimulatedHub) -> dict[str, Any]:
    """Return the configuration without the marks that each write leaves."""
    return {name: value for name, value in copy.deepcopy(simulated.config).items() if name not in _MARKS}


def urls(simulated: SimulatedHub) -> list[str]:
    return [entry["config"].get("url", "") for entry in simulated.config["endpoints"]]


class TestConnected:
    async def test_update_proves_the_path(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver
    ) -> None:
        connection = await connect_receiver(hub, receiver)
        assert connection.update.mac == simulated_hub.mac == hub.mac_address
        assert connection.url == f"http://127.0.0.1:{receiver.port}{receiver.path}"
        assert connection.change.changed
        assert urls(simulated_hub)[-1] == connection.url
        assert receiver.path not in repr(connection)

    async def test_undo_brings_back_what_was_there(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver
    ) -> None:
        simulated_hub.point_at("http://127.0.0.1:1/", name="Mine")
        before = stored(simulated_hub)
        connection = await connect_receiver(hub, receiver, name="Shed", api_key="k")
        assert [entry["name"] for entry in simulated_hub.config["endpoints"]][-2:] == ["Mine", "Shed"]
        await connection.undo()
        await connection.undo()
        assert stored(simulated_hub) == before

    async def test_again_changes_nothing_and_never_doubles(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver
    ) -> None:
        await connect_receiver(hub, receiver)
        before = stored(simulated_hub)
        assert not (await connect_receiver(hub, receiver)).change.changed
        assert stored(simulated_hub) == before

    async def test_old_firmware(self, receiver: UpdateReceiver) -> None:
        async with SimulatedHub("gen2-5.1-battery") as simulated, VegeHub(simulated.address, simulated.mac) as hub:
            before = stored(simulated)
            connection = await connect_receiver(hub, receiver)
            assert simulated.config["hub"]["server_url"] == connection.url
            await connection.undo()
            assert simulated.config["hub"] == before["hub"]

    async def test_receiver_mounted_in_an_application(self, simulated_hub: SimulatedHub, hub: VegeHub) -> None:
        receiver = UpdateReceiver()
        app = web.Application()
        app.add_routes(receiver.routes("/hubs"))
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            with pytest.raises(VegeHubValueError, match="does not listen"):
                await connect_receiver(hub, receiver)
            connection = await connect_receiver(hub, receiver, port=runner.addresses[0][1])
            assert "/hubs/" in connection.url
        finally:
            await runner.cleanup()
            await receiver.close()

    async def test_ipv6(self) -> None:
        async with (
            SimulatedHub(host="::1") as simulated,
            VegeHub(simulated.address) as hub,
            UpdateReceiver().serve("::1", 0) as receiver,
        ):
            connection = await connect_receiver(hub, receiver)
            assert connection.url.startswith(f"http://[::1]:{receiver.port}/")

    async def test_address_of_this_machine_can_be_given(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver
    ) -> None:
        connection = await connect_receiver(hub, receiver, host="localhost")
        assert connection.url.startswith("http://localhost:")

    async def test_hub_that_sends_no_mac_is_recognised_by_its_api_key(self, receiver: UpdateReceiver) -> None:
        async with SimulatedHub(push_format="v0-c") as simulated, VegeHub(simulated.address) as hub:
            connection = await connect_receiver(hub, receiver, api_key="shed")
            assert (connection.update.mac, connection.update.api_key) == ("", "shed")

    @pytest.mark.parametrize("fault", ["drop_reply", "never_answer"])
    async def test_lost_reply_to_the_request_for_an_update_does_no_harm(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver, fault: str
    ) -> None:
        getattr(simulated_hub.faults, fault)(after_execution=True, path=UPDATE_SEND)
        assert (await connect_receiver(hub, receiver)).update.mac == simulated_hub.mac

    async def test_hub_is_asked_again_when_it_was_busy(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver
    ) -> None:
        simulated_hub.faults.status(503, times=1, path=UPDATE_SEND)
        assert (await connect_receiver(hub, receiver)).update.mac == simulated_hub.mac

    async def test_update_that_came_before_the_hub_was_configured_proves_nothing(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        configure_server = hub.configure_server

        async def late(url: str, *, dry_run: bool = False, **options: Any) -> ServerChange:
            if not dry_run:
                old_way = f"http://127.0.0.1:{receiver.port}{receiver.path}"
                async with aiohttp.request("POST", old_way, json={"mac": simulated_hub.mac, "sensors": []}) as response:
                    assert response.status == 200
            return await configure_server(url, dry_run=dry_run, **options)

        monkeypatch.setattr(hub, "configure_server", late)
        with pytest.raises(VegeHubTimeoutError):
            await connect_receiver(hub, receiver, host="127.0.0.9", timeout=0.3)
        assert receiver.counters.accepted == 1


class TestBroken:
    @pytest.fixture(autouse=True)
    def _before(self, simulated_hub: SimulatedHub) -> None:
        simulated_hub.point_at("http://127.0.0.1:1/", name="Mine")
        self.before = stored(simulated_hub)

    async def test_hub_refuses_connections(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver
    ) -> None:
        simulated_hub.faults.refuse()
        with pytest.raises(VegeHubConnectionError, match=r"the hub was not reached: .*nothing was changed") as caught:
            await connect_receiver(hub, receiver)
        assert (caught.value.host, caught.value.outcome) == (simulated_hub.address, Outcome.NOT_SENT)

    async def test_hub_is_asleep(self, simulated_hub: SimulatedHub, receiver: UpdateReceiver) -> None:
        simulated_hub.sleep()
        async with VegeHub(simulated_hub.address, simulated_hub.mac, timeout=0.3) as hub:
            with pytest.raises(VegeHubTimeoutError, match=r"the hub was not reached: .*asleep"):
                await connect_receiver(hub, receiver)

    async def test_device_without_a_known_configuration(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver
    ) -> None:
        simulated_hub.faults.wrong_json({"hub": 1}, path="/api/config/get")
        with pytest.raises(VegeHubPayloadError, match="nothing was changed") as caught:
            await connect_receiver(hub, receiver)
        assert "not reached" not in str(caught.value)

    async def test_another_hub_answers(self, simulated_hub: SimulatedHub, receiver: UpdateReceiver) -> None:
        async with VegeHub(simulated_hub.address, STRANGER) as hub:
            with pytest.raises(VegeHubMismatchError, match="could not be configured") as caught:
                await connect_receiver(hub, receiver)
        assert caught.value.outcome is Outcome.NOT_SENT
        assert stored(simulated_hub) == self.before

    async def test_hub_refuses_the_configuration(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver
    ) -> None:
        simulated_hub.faults.status(400, "no room", path=CONFIG_SET)
        with pytest.raises(VegeHubConnectionError, match=r"could not be configured: .*no room.*nothing was changed"):
            await connect_receiver(hub, receiver)
        assert [request.path for request in simulated_hub.requests].count(CONFIG_SET) == 1

    async def test_configured_but_no_update_came(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver
    ) -> None:
        with pytest.raises(VegeHubTimeoutError, match=r"no update came within 0\.3 s.*restored") as caught:
            await connect_receiver(hub, receiver, host="127.0.0.9", timeout=0.3)
        assert "firewall" in str(caught.value)
        assert "http://127.0.0.9:" in str(caught.value)
        assert receiver.path not in str(caught.value)
        assert (caught.value.host, caught.value.outcome) == (simulated_hub.address, Outcome.NOT_SENT)
        assert stored(simulated_hub) == self.before

    async def test_update_came_from_another_mac(self, simulated_hub: SimulatedHub, receiver: UpdateReceiver) -> None:
        async with VegeHub(simulated_hub.address, STRANGER, verify_mac=False) as hub:
            with pytest.raises(VegeHubMismatchError, match=f"only from hub {simulated_hub.mac}.*{STRANGER}") as caught:
                await connect_receiver(hub, receiver, timeout=1)
        assert caught.value.outcome is Outcome.NOT_SENT
        assert stored(simulated_hub) == self.before

    async def test_update_without_mac_and_with_another_key_is_no_proof(self, receiver: UpdateReceiver) -> None:
        async with SimulatedHub(push_format="v0-c") as other, SimulatedHub() as simulated:
            other.point_at(f"http://127.0.0.1:{receiver.port}{receiver.path}", api_key="other")
            async with VegeHub(simulated.address) as hub:
                attempt = asyncio.create_task(
                    connect_receiver(hub, receiver, api_key="k", path="/x", host="127.0.0.9", timeout=1)
                )
                await until(lambda: any("127.0.0.9" in url for url in urls(simulated)))
                other.send_update()
                with pytest.raises(VegeHubMismatchError, match="only from hub key:"):
                    await attempt

    async def test_hub_that_the_receiver_does_not_allow(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver
    ) -> None:
        receiver.allowed = [STRANGER]
        # Known for sure, so that nobody waits for the deadline.
        with pytest.raises(VegeHubConnectionError, match="refused it with 403: this hub is not allowed here") as caught:
            await connect_receiver(hub, receiver, timeout=3600)
        assert caught.value.outcome is Outcome.NOT_SENT
        assert stored(simulated_hub) == self.before

    async def test_refusal_of_another_hub_does_not_matter(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver
    ) -> None:
        async with SimulatedHub(seed=7) as other:
            receiver.allowed = [simulated_hub.mac]
            other.point_at(f"http://127.0.0.1:{receiver.port}{receiver.path}")
            simulated_hub.faults.latency(0.2, times=1, path=CONFIG_SET)
            attempt = asyncio.create_task(connect_receiver(hub, receiver))
            await until(lambda: simulated_hub.requests[-1:] and simulated_hub.requests[-1].path == CONFIG_SET)
            other.send_update()
            await until(lambda: receiver.counters.refused)
            assert (await attempt).update.mac == simulated_hub.mac

    async def test_receiver_refuses_the_path(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver
    ) -> None:
        with pytest.raises(VegeHubConnectionError, match="refused it with 404: nothing here"):
            await connect_receiver(hub, receiver, path="wrong", timeout=1)
        assert stored(simulated_hub) == self.before

    @pytest.mark.parametrize(
        ("sent", "text"),
        [
            (
                b"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n{}",
                r"came, but the receiver refused it with 400",
            ),
            (
                b"POST {path} HTTP/1.1\r\nHost: ",
                r"reached the receiver, but got no answer .*no whole head .* 0\.2 seconds",
            ),
            (b"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{", r"refused it with 408: not complete"),
            (b"POST {path} HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}", r"refused it with 400: sensors"),
        ],
    )
    async def test_hub_sends_what_is_no_whole_request(
        self, simulated_hub: SimulatedHub, hub: VegeHub, sent: bytes, text: str
    ) -> None:
        async with UpdateReceiver(body_timeout=0.2).serve("127.0.0.1", 0) as receiver:
            attempt = asyncio.create_task(connect_receiver(hub, receiver, path="/x", host="127.0.0.9", timeout=1))
            await until(lambda: any("127.0.0.9" in url for url in urls(simulated_hub)))
            await self.send(receiver, "127.0.0.1", sent)
            with pytest.raises(VegeHubConnectionError, match=text) as caught:
                await attempt
            assert receiver.path not in str(caught.value)
        assert stored(simulated_hub) == self.before

    async def test_hub_seems_to_come_from_another_address(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver
    ) -> None:
        attempt = asyncio.create_task(connect_receiver(hub, receiver, path="/x", host="127.0.0.9", timeout=0.5))
        await until(lambda: any("127.0.0.9" in url for url in urls(simulated_hub)))
        await self.send(receiver, "127.0.0.3", b"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n")
        with pytest.raises(VegeHubTimeoutError, match=r"refused a request with 400 that came from 127\.0\.0\.3"):
            await attempt

    @staticmethod
    async def send(receiver: UpdateReceiver, source: str, sent: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", receiver.port, local_addr=(source, 0))
        writer.write(sent.replace(b"{path}", receiver.path.encode()))
        await reader.read()
        writer.close()
        await writer.wait_closed()

    async def test_refusal_is_known_by_an_address_that_is_written_another_way(
        self, simulated_hub: SimulatedHub, hub: VegeHub
    ) -> None:
        receiver = UpdateReceiver()
        # As a receiver that listens on IPv6 and IPv4 at once sees it.
        attempt = asyncio.create_task(connect_receiver(hub, receiver, port=9, host="127.0.0.9", timeout=0.5))
        await until(lambda: any("127.0.0.9" in url for url in urls(simulated_hub)))
        receiver._refused.offer(Refusal(status=413, reason="larger than it may be", remote="::ffff:127.0.0.1"))
        with pytest.raises(VegeHubConnectionError, match="refused it with 413: larger"):
            await attempt

    async def test_hub_cannot_be_asked_for_an_update(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver
    ) -> None:
        simulated_hub.faults.status(404, path=UPDATE_SEND)
        with pytest.raises(VegeHubConnectionError, match="could not be asked for an update"):
            await connect_receiver(hub, receiver, timeout=0.3)
        assert stored(simulated_hub) == self.before

    @pytest.mark.parametrize(("edit", "text"), [("remove", "is not in its list"), ("disable", "is switched off")])
    async def test_hub_did_not_keep_the_server(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver, edit: str, text: str
    ) -> None:
        attempt = asyncio.create_task(connect_receiver(hub, receiver, host="127.0.0.9", timeout=0.4))
        await until(lambda: any("127.0.0.9" in url for url in urls(simulated_hub)))
        if edit == "remove":
            simulated_hub.config["endpoints"].pop()
        else:
            simulated_hub.config["endpoints"][-1]["enabled"] = False
        with pytest.raises(VegeHubConnectionError, match=text):
            await attempt
        assert stored(simulated_hub) == self.before

    async def test_says_so_when_restoring_failed(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver
    ) -> None:
        receiver.allowed = [STRANGER]
        receiver.on_refused(lambda _: simulated_hub.faults.status(500, path=CONFIG_SET))
        with pytest.raises(
            VegeHubConnectionError, match="not allowed here; what was there before could not be"
        ) as caught:
            await connect_receiver(hub, receiver)
        assert caught.value.outcome is Outcome.UNKNOWN
        assert receiver.path not in str(caught.value)

    async def test_restoring_is_tried_again(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver
    ) -> None:
        receiver.allowed = [STRANGER]
        once = receiver.on_refused(lambda _: (once(), simulated_hub.faults.status(500, times=1, path=CONFIG_SET)))
        with pytest.raises(VegeHubConnectionError, match="restored"):
            await connect_receiver(hub, receiver)
        assert stored(simulated_hub) == self.before

    async def test_configuration_of_unknown_outcome_is_undone(
        self, simulated_hub: SimulatedHub, receiver: UpdateReceiver
    ) -> None:
        simulated_hub.faults.never_answer(after_execution=True, times=1, path=CONFIG_SET)
        async with VegeHub(simulated_hub.address, simulated_hub.mac, timeout=0.5) as hub:
            with pytest.raises(VegeHubTimeoutError, match=r"could not be configured: .*restored"):
                await connect_receiver(hub, receiver)
        assert stored(simulated_hub) == self.before

    async def test_nothing_is_undone_that_was_there_already(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver
    ) -> None:
        await connect_receiver(hub, receiver)
        before = stored(simulated_hub)
        receiver.allowed = [STRANGER]
        simulated_hub.requests.clear()
        with pytest.raises(VegeHubConnectionError, match="nothing was changed"):
            await connect_receiver(hub, receiver)
        assert stored(simulated_hub) == before
        assert [request.path for request in simulated_hub.requests].count("/api/config/get") == 2


class TestCancelled:
    @pytest.mark.parametrize("times", [1, 2])
    async def test_restores(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver, times: int
    ) -> None:
        before = stored(simulated_hub)
        attempt = asyncio.create_task(connect_receiver(hub, receiver, host="127.0.0.9"))
        await until(lambda: simulated_hub.requests[-1:] and simulated_hub.requests[-1].path == UPDATE_SEND)
        simulated_hub.faults.latency(0.1, path=CONFIG_SET)
        attempt.cancel()
        if times > 1:
            await until(lambda: simulated_hub.requests[-1].path == CONFIG_SET)
            attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        assert stored(simulated_hub) == before

    @pytest.mark.parametrize("times", [1, 2])
    async def test_notes_that_restoring_failed(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver, times: int
    ) -> None:
        attempt = asyncio.create_task(connect_receiver(hub, receiver, host="127.0.0.9"))
        await until(lambda: simulated_hub.requests[-1:] and simulated_hub.requests[-1].path == UPDATE_SEND)
        simulated_hub.faults.status(500, path=CONFIG_SET)
        attempt.cancel()
        if times > 1:
            await until(lambda: simulated_hub.requests[-1].path == CONFIG_SET)
            attempt.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await attempt
        assert "could not be restored" in caught.value.__notes__[0]


class TestArguments:
    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"port": 0}, "port must be"),
            ({"port": True}, "port must be"),
            ({"port": "80"}, "port must be"),
            ({"timeout": 0}, "timeout must be"),
            ({"name": ""}, "server name"),
            ({"api_key": 1}, "api_key"),
            ({"host": "not a host"}, "server URL"),
        ],
    )
    async def test_bad_one_is_refused_before_anything_is_sent(
        self, simulated_hub: SimulatedHub, hub: VegeHub, receiver: UpdateReceiver, options: Any, text: str
    ) -> None:
        with pytest.raises(VegeHubValueError, match=text):
            await connect_receiver(hub, receiver, **options)
        assert simulated_hub.requests == []


class TestLocalAddress:
    async def test_is_the_one_that_routes_to_the_hub_and_nothing_is_sent(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            silent.setblocking(False)
            assert await local_address("127.0.0.1", silent.getsockname()[1]) == ("127.0.0.1", "127.0.0.1")
            with pytest.raises(BlockingIOError):
                silent.recv(1)

    async def test_name_that_is_not_resolved(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def fail(*_: Any, **__: Any) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", fail)
        with pytest.raises(VegeHubConnectionError, match=r"hub.local: the name was not resolved") as caught:
            await local_address("hub.local", 80)
        assert (caught.value.host, caught.value.outcome) == ("hub.local", Outcome.NOT_SENT)

    @pytest.mark.parametrize("found", [[], [(9999, socket.SOCK_DGRAM, 0, "", ("127.0.0.1", 80))]])
    async def test_no_route(self, monkeypatch: pytest.MonkeyPatch, found: list[Any]) -> None:
        async def resolve(*_: Any, **__: Any) -> list[Any]:
            return found

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        with pytest.raises(VegeHubError, match="no route"):
            await local_address("127.0.0.1", 80)
