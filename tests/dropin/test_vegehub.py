"""The names that existing programs use: argument orders, results and the exact requests they make."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, create_autospec, patch

import pytest
from aioresponses import aioresponses

import vegehub.helpers
from vegehub import VegeHub, VegeHubConnectionError, VegeHubNoActuatorsError, VegeHubPayloadError, VegeHubTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "192.168.0.57"  # nothing connects: every request of this module is answered by aioresponses
WEBHOOK = "http://192.168.0.10:8123/api/webhook/abc"
HUB = {"first_boot": False, "num_channels": 4, "num_actuators": 2, "version": "5.1.2", "is_ac": 0}
INFO = {"hub": HUB, "wifi": {"mac_addr": "7C:9E:BD:11:22:33"}, "error": "success"}
OLD = {"hub": {"name": "Vege_22_33", "server_url": "http://a/", "server_type": 1}, "api_key": "k", "endpoints": None}
VEGECLOUD = {
    "id": 1,
    "name": "VegeCloud",
    "type": "vegecloud",
    "enabled": True,
    "connection_method": "wifi",
    "config": {"api_key": "0", "route_key": "1", "server_url": "https://api.vegecloud.com/v2"},
}
OURS = {
    "id": 2,
    "name": "HomeAssistant",
    "type": "custom",
    "enabled": True,
    "connection_method": "wifi",
    "config": {"api_key": "key", "data_format": "json", "url": WEBHOOK},
}


@pytest.fixture
def mocked() -> Iterator[aioresponses]:
    with aioresponses() as mock:
        yield mock


def requests_of(mock: aioresponses) -> list[tuple[str, str, Any]]:
    """Method, path and JSON of each request, in order."""
    calls = [(key, call) for key, made in mock.requests.items() for call in made]
    return [(method, url.path, call.kwargs.get("json")) for (method, url), call in calls]


def url(path: str) -> str:
    return f"http://{HOST}{path}"


def test_constructor_takes_five_positional_arguments() -> None:
    parameters = list(inspect.signature(VegeHub).parameters.values())
    assert [parameter.name for parameter in parameters[:5]] == [
        "ip_address",
        "mac_address",
        "unique_id",
        "info",
        "session",
    ]
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters[5:])


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("retrieve_mac_address", ["retries"]),
        ("setup", ["api_key", "server_address", "retries"]),
        ("set_actuator", ["state", "slot", "duration", "retries"]),
        ("actuator_states", ["retries"]),
        ("request_update", []),
        ("close", []),
        ("_get_session", []),
        ("_modify_device_config", ["config_data", "new_key", "server_url"]),
    ],
)
def test_methods_keep_their_arguments(name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(VegeHub, name)).parameters)[1:] == parameters


def test_properties_show_what_was_given() -> None:
    hub = VegeHub(HOST, "7c:9e:bd:11:22:33", "an id", HUB)
    assert hub.ip_address == HOST
    assert hub.mac_address == "7c:9e:bd:11:22:33"
    assert hub.unique_id == "an id"
    assert hub.url == f"http://{HOST}"
    assert hub.info is HUB
    assert hub.entities == {}
    assert (hub.num_sensors, hub.num_actuators, hub.sw_version, hub.is_ac) == (4, 2, "5.1.2", False)


def test_properties_are_none_while_there_is_no_info() -> None:
    hub = VegeHub(HOST)
    assert hub.mac_address == ""
    assert hub.unique_id == ""
    assert hub.info is None
    assert (hub.num_sensors, hub.num_actuators, hub.sw_version, hub.is_ac) == (None, None, None, None)


@pytest.mark.parametrize("info", [{}, {"num_channels": None}, {"num_channels": [], "version": 5}, []])
def test_properties_are_none_where_info_does_not_say(info: Any) -> None:
    hub = VegeHub(HOST, info=info)
    assert (hub.num_sensors, hub.num_actuators, hub.sw_version, hub.is_ac) == (None, None, None, None)


def test_tests_can_autospec_it_and_patch_its_methods() -> None:
    double = create_autospec(VegeHub, instance=True)
    assert double.mac_address is not None
    with patch.object(VegeHub, "retrieve_mac_address", AsyncMock(return_value=True)):
        assert VegeHub(HOST).retrieve_mac_address is not None
    hub = VegeHub(HOST)
    hub.anything = 1


async def test_retrieve_mac_address(mocked: aioresponses) -> None:
    mocked.post(url("/api/info/get"), payload=INFO)
    async with VegeHub(HOST) as hub:
        assert await hub.retrieve_mac_address() is True
        assert hub.mac_address == "7C9EBD112233"
        assert hub.info is None
    assert requests_of(mocked) == [("POST", "/api/info/get", {"wifi": []})]


@pytest.mark.parametrize("reply", [{}, {"wifi": None}, {"wifi": {}}, {"wifi": {"mac_addr": None}}])
async def test_retrieve_mac_address_is_false_without_a_mac(mocked: aioresponses, reply: dict[str, Any]) -> None:
    mocked.post(url("/api/info/get"), payload=reply)
    async with VegeHub(HOST, "given") as hub:
        assert await hub.retrieve_mac_address() is False
        assert hub.mac_address == "given"


@pytest.mark.parametrize("wifi", [[], "text", 5, {"mac_addr": 7}, {"mac_addr": "not a mac"}])
async def test_retrieve_mac_address_refuses_a_wrong_shape(mocked: aioresponses, wifi: Any) -> None:
    mocked.post(url("/api/info/get"), payload={"wifi": wifi})
    async with VegeHub(HOST) as hub:
        with pytest.raises(VegeHubPayloadError, match=f"{HOST}: POST /api/info/get: wifi"):
            await hub.retrieve_mac_address()


async def test_setup_of_old_firmware(mocked: aioresponses) -> None:
    mocked.post(url("/api/config/get"), payload={**OLD, "error": "success"})
    mocked.post(url("/api/config/set"), payload={"error": "success"})
    mocked.post(url("/api/info/get"), payload=INFO)
    async with VegeHub(HOST) as hub:
        assert await hub.setup("key", WEBHOOK) is True
        assert hub.info == HUB
        assert hub.mac_address == "7C9EBD112233"
        assert (hub.num_sensors, hub.num_actuators, hub.sw_version, hub.is_ac) == (4, 2, "5.1.2", False)
    assert requests_of(mocked) == [
        ("POST", "/api/config/get", {"hub": [], "api_key": [], "endpoints": []}),
        (
            "POST",
            "/api/config/set",
            {"hub": {"name": "Vege_22_33", "server_url": WEBHOOK, "server_type": 3}, "api_key": "key"},
        ),
        ("POST", "/api/info/get", {"hub": [], "wifi": []}),
    ]


async def test_setup_of_new_firmware(mocked: aioresponses) -> None:
    reply = {"hub": None, "api_key": None, "endpoints": [VEGECLOUD], "error": "success"}
    mocked.post(url("/api/config/get"), payload=reply)
    mocked.post(url("/api/config/set"), payload={"error": "success"})
    mocked.post(url("/api/info/get"), payload=INFO)
    async with VegeHub(HOST) as hub:
        assert await hub.setup("key", WEBHOOK) is True
    assert requests_of(mocked)[1] == ("POST", "/api/config/set", {"endpoints": [VEGECLOUD, OURS]})


@pytest.mark.parametrize("document", [{}, {"hub": {}}, {"api_key": "k"}, {"endpoints": None, "hub": None}])
async def test_setup_is_false_and_writes_nothing_where_the_shape_is_unknown(
    mocked: aioresponses, document: dict[str, Any]
) -> None:
    mocked.post(url("/api/config/get"), payload={**document, "error": "success"})
    mocked.post(url("/api/info/get"), payload=INFO)
    async with VegeHub(HOST) as hub:
        assert await hub.setup("key", WEBHOOK) is False
        assert hub.info == HUB
        assert hub.mac_address == "7C9EBD112233"
    assert [path for _, path, _ in requests_of(mocked)] == ["/api/config/get", "/api/info/get"]


async def test_set_actuator(mocked: aioresponses) -> None:
    mocked.post(url("/api/actuators/set"), body="")
    async with VegeHub(HOST) as hub:
        assert await hub.set_actuator(1, 0, 600) is True
    assert requests_of(mocked) == [("POST", "/api/actuators/set", {"target": 0, "duration": 600, "state": 1})]


async def test_set_actuator_sends_a_bool_as_a_number(mocked: aioresponses) -> None:
    mocked.post(url("/api/actuators/set"), body="")
    async with VegeHub(HOST) as hub:
        await hub.set_actuator(True, 1, 5)
    sent = requests_of(mocked)[0][2]
    assert sent == {"target": 1, "duration": 5, "state": 1}
    assert type(sent["state"]) is int


async def test_set_actuator_checks_no_mac(mocked: aioresponses) -> None:
    mocked.post(url("/api/actuators/set"), body="")
    async with VegeHub(HOST, "7C9EBD112233") as hub:
        await hub.set_actuator(0, 0, 0)
    assert len(requests_of(mocked)) == 1


async def test_actuator_states(mocked: aioresponses) -> None:
    actuators = [{"slot": 0, "state": 0, "unheard_of": [1]}]
    mocked.get(url("/api/actuators/status"), payload={"actuators": actuators, "error": "success"})
    mocked.get(url("/api/actuators/status"), payload={"actuators": [], "error": "success"})
    async with VegeHub(HOST) as hub:
        assert await hub.actuator_states() == actuators
        assert await hub.actuator_states() == []
    assert requests_of(mocked)[0][:2] == ("GET", "/api/actuators/status")


@pytest.mark.parametrize("reply", [{}, {"actuators": None}, {"actuators": {}}, {"actuators": "none"}])
async def test_actuator_states_without_the_list(mocked: aioresponses, reply: dict[str, Any]) -> None:
    mocked.get(url("/api/actuators/status"), payload=reply)
    async with VegeHub(HOST) as hub:
        with pytest.raises(VegeHubNoActuatorsError, match=f"{HOST}: GET /api/actuators/status") as caught:
            await hub.actuator_states()
    assert isinstance(caught.value, AttributeError)
    assert not isinstance(caught.value, ConnectionError)


async def test_request_update(mocked: aioresponses) -> None:
    mocked.get(url("/api/update/send"), body="")
    async with VegeHub(HOST) as hub:
        assert await hub.request_update() is True
    assert requests_of(mocked) == [("GET", "/api/update/send", None)]


async def test_private_names_that_scripts_use(mocked: aioresponses) -> None:
    config = {"hub": {"a": 1}, "error": "success"}
    mocked.post(url("/api/info/get"), payload=INFO)
    mocked.post(url("/api/config/get"), payload=config)
    mocked.post(url("/api/config/set"), payload={"error": "success"})
    async with VegeHub(HOST) as hub:
        assert await hub._get_device_info() == HUB
        assert await hub._get_device_config() == config
        assert await hub._set_device_config(config) is True
        assert await hub._set_device_config(None) is False
    assert requests_of(mocked)[2] == ("POST", "/api/config/set", {"hub": {"a": 1}})


def test_modify_device_config() -> None:
    hub = VegeHub(HOST)
    assert hub._modify_device_config({**OLD, "error": "success"}, "key", WEBHOOK) == {
        "hub": {"name": "Vege_22_33", "server_url": WEBHOOK, "server_type": 3},
        "api_key": "key",
        "endpoints": None,
        "error": "success",
    }
    assert hub._modify_device_config({"endpoints": [VEGECLOUD]}, "key", WEBHOOK) == {"endpoints": [VEGECLOUD, OURS]}
    assert hub._modify_device_config({"endpoints": []}, "key", WEBHOOK) == {"endpoints": [{**OURS, "id": 1}]}
    assert hub._modify_device_config(None, "key", WEBHOOK) is None
    assert hub._modify_device_config({}, "key", WEBHOOK) is None
    assert OLD["api_key"] == "k"


async def test_timeout_and_connection_errors_are_caught_as_the_builtins(mocked: aioresponses) -> None:
    mocked.get(url("/api/update/send"), exception=TimeoutError())
    mocked.get(url("/api/update/send"), status=404)
    async with VegeHub(HOST) as hub:
        with pytest.raises(TimeoutError) as timeout:
            await hub.request_update()
        assert type(timeout.value) is VegeHubTimeoutError
        assert not isinstance(timeout.value, ConnectionError)
        with pytest.raises(ConnectionError) as connection:
            await hub.request_update()
        assert isinstance(connection.value, VegeHubConnectionError)


def test_helpers_import_from_both_places() -> None:
    for name in ("vh400_transform", "therm200_transform", "update_data_to_latest_dict", "update_data_to_ha_dict"):
        assert getattr(vegehub, name) is getattr(vegehub.helpers, name)
