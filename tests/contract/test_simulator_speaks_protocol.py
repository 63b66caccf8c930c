"""The simulated hub answers as the examples of PROTOCOL.md do: same keys, same order, same types; asked without our client."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from vegehub.simulator import PROFILES, SimulatedHub
from vegehub.simulator.mdns import hub_txt

DATA = Path(__file__).parents[1] / "data"
SERVING = [name for name, profile in PROFILES.items() if profile.serves_http]
WITH_ACTUATORS = [name for name in SERVING if PROFILES[name].num_actuators]
NEW = [name for name in SERVING if PROFILES[name].endpoints]
OLD = [name for name in SERVING if not PROFILES[name].endpoints]
COMPACT = (",", ":")


def example(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_bytes())


def shape(value: Any) -> Any:
    """Types and order of keys; a list has the shapes of its entries, each once."""
    if isinstance(value, dict):
        return [(key, shape(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        shapes: list[Any] = []
        for inner in map(shape, value):
            if inner not in shapes:
                shapes.append(inner)
        return shapes
    return type(value).__name__


async def ask(hub: SimulatedHub, method: str, path: str, body: Any = None) -> Any:
    """Make one call with plain aiohttp; the reply must be compact JSON of the type that strict parsers want."""
    text = await ask_text(hub, method, path, body)
    document = json.loads(text)
    assert text == json.dumps(document, separators=COMPACT, ensure_ascii=False)
    return document


async def ask_text(hub: SimulatedHub, method: str, path: str, body: Any = None) -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://{hub.address}{path}", json=body) as response,
    ):
        assert response.status == 200
        assert response.content_type == "application/json"
        return await response.text()


@pytest.mark.parametrize("profile", SERVING)
async def test_info(profile: str) -> None:
    async with SimulatedHub(profile) as hub:
        reply = await ask(hub, "POST", "/api/info/get", example("info_get_request"))
        assert shape(reply) == shape(example("info_get_reply"))
        assert re.fullmatch("([0-9A-F]{2}:){5}[0-9A-F]{2}", reply["wifi"]["mac_addr"])
        assert reply["error"] == "success"


@pytest.mark.parametrize("profile", SERVING)
async def test_replies_have_the_keys_in_the_order_of_the_request(profile: str) -> None:
    async with SimulatedHub(profile) as hub:
        assert list(await ask(hub, "POST", "/api/info/get", {"wifi": [], "hub": {}})) == ["wifi", "hub", "error"]
        wanted = {"api_key": [], "no_such_object": [], "hub": {}}
        reply = await ask(hub, "POST", "/api/config/get", wanted)
        assert list(reply) == [*wanted, "error"]
        assert reply["no_such_object"] is None


@pytest.mark.parametrize("profile", SERVING)
async def test_info_names_each_object_that_the_vendor_names(profile: str) -> None:
    async with SimulatedHub(profile) as hub:
        request = example("info_get_request_all")
        reply = await ask(hub, "POST", "/api/info/get", request)
        assert list(reply) == [*request, "error"]
        assert None not in reply.values()


@pytest.mark.parametrize("profile", OLD)
async def test_configuration_of_old_firmware(profile: str) -> None:
    async with SimulatedHub(profile) as hub:
        reply = await ask(hub, "POST", "/api/config/get", example("config_get_request"))
        assert shape(reply) == shape(example("config_get_reply_old"))
        assert reply["api_key"] == hub.mac


@pytest.mark.parametrize("profile", NEW)
async def test_configuration_of_new_firmware(profile: str) -> None:
    async with SimulatedHub(profile) as hub:
        wanted = example("config_get_reply_new")
        cloud, _custom = wanted["endpoints"]
        reply = await ask(hub, "POST", "/api/config/get", {"endpoints": []})
        assert shape(reply) == shape({**wanted, "endpoints": [cloud]})


@pytest.mark.parametrize("profile", SERVING)
async def test_wifi_of_the_configuration(profile: str) -> None:
    async with SimulatedHub(profile) as hub:
        reply = await ask(hub, "POST", "/api/config/get", {"wifi": []})
        assert shape(reply) == [*shape(example("config_wifi_section")), ("error", "str")]


@pytest.mark.parametrize("profile", NEW)
async def test_new_firmware_stores_and_returns_the_example(profile: str) -> None:
    async with SimulatedHub(profile) as hub:
        wanted = example("config_get_reply_new")
        assert await ask(hub, "POST", "/api/config/set", wanted) == example("config_set_reply")
        reply = await ask(hub, "POST", "/api/config/get", {"endpoints": []})
        assert json.dumps(reply) == json.dumps(wanted)


@pytest.mark.parametrize("profile", OLD)
async def test_old_firmware_stores_the_example_but_for_what_only_the_hub_writes(profile: str) -> None:
    async with SimulatedHub(profile) as hub:
        wanted = example("config_get_reply_old")
        own = {key: hub.config["hub"][key] for key in ("model", "firmware_version", "current_ip_addr")}
        assert await ask(hub, "POST", "/api/config/set", wanted) == example("config_set_reply")
        reply = await ask(hub, "POST", "/api/config/get", example("config_get_request"))
        wanted["hub"].update(own)
        assert json.dumps(reply) == json.dumps(wanted)


@pytest.mark.parametrize("profile", WITH_ACTUATORS)
async def test_actuators(profile: str) -> None:
    async with SimulatedHub(profile) as hub:
        wanted = shape(example("actuators_status_reply"))
        reply = await ask(hub, "GET", "/api/actuators/status")
        assert shape(reply) == wanted
        assert [entry["slot"] for entry in reply["actuators"]] == list(range(len(hub.actuators)))

        await ask_text(hub, "POST", "/api/actuators/set", example("actuators_set_request"))
        assert hub.actuators[0].is_on
        await hub.advance(1)
        reply = await ask(hub, "GET", "/api/actuators/status")
        assert shape(reply) == wanted
        assert [entry["state"] for entry in reply["actuators"]] == [1] + [0] * (len(hub.actuators) - 1)


@pytest.mark.parametrize("profile", SERVING)
async def test_last_readings(profile: str) -> None:
    async with SimulatedHub(profile) as hub:
        reply = await ask(hub, "GET", "/api/sensors/data/last")
        # The known example is cut behind the samples: further keys are unknown.
        assert shape(reply["samples"]) == shape(example("sensors_last_reply")["samples"])
        assert [sample["chan"] for sample in reply["samples"]] == list(range(1, len(hub.inputs) + 1))


@pytest.mark.parametrize("profile", SERVING)
@pytest.mark.parametrize(
    ("path", "request_body"), [("/api/time/set", "time_set_request"), ("/api/wifi/reconnect", "wifi_reconnect_request")]
)
async def test_other_requests_of_the_protocol_are_taken(profile: str, path: str, request_body: str) -> None:
    async with SimulatedHub(profile) as hub:
        await ask_text(hub, "POST", path, example(request_body))
        assert (hub.requests[-1].path, hub.requests[-1].body) == (path, example(request_body))


async def test_a_server_query_that_finds_nothing_says_so_in_plain_words() -> None:
    async with SimulatedHub() as hub:
        text = await ask_text(hub, "POST", "/api/server/query", example("server_query_request"))
        assert text == "Failed to parse"


def test_announcement_of_a_hub() -> None:
    txt = hub_txt(version="5.1.1", sensors=1, actuators=0, power_mode=0)
    assert json.dumps(txt, separators=COMPACT).encode() == (DATA / "mdns_txt.json").read_bytes()
