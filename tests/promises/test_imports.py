"""Importing is cheap: what is heavy is loaded when it is used."""

from __future__ import annotations

import importlib

import pytest
from programs import loaded_after

import vegehub

HEAVY = {"aiohttp", "asyncio", "zeroconf", "voluptuous", "sqlite3", "typer", "ssl"}
HELPERS = ("vh400_transform", "therm200_transform", "update_data_to_latest_dict", "update_data_to_ha_dict")


@pytest.mark.parametrize(
    "code",
    [
        "import vegehub",
        "import vegehub.helpers",
        "import vegehub.sensors",
        "import vegehub.exceptions",
        f"from vegehub import {', '.join(HELPERS)}",
        "from vegehub import VegeHubError, HubInfo",
    ],
)
def test_nothing_heavy_is_loaded_by(code: str) -> None:
    assert loaded_after(code) & HEAVY <= loaded_after("pass")


def test_the_client_loads_aiohttp_and_nothing_heavier() -> None:
    loaded = loaded_after("from vegehub import VegeHub")
    assert "aiohttp" in loaded
    # Measured against aiohttp itself: what it loads is its own affair.
    unwanted = {"aiohttp.web", "zeroconf", "voluptuous", "typer", "sqlite3", "vegehub.simulator", "vegehub.testing"}
    assert loaded & unwanted <= loaded_after("import aiohttp")


def test_the_test_tools_are_never_loaded_by_the_library() -> None:
    every_name = loaded_after("from vegehub import *")
    assert not {name for name in every_name if name.startswith(("vegehub.testing", "vegehub.simulator", "pytest"))}


def test_every_public_name_is_there() -> None:
    assert [name for name in vegehub.__all__ if getattr(vegehub, name, None) is None] == []
    assert len(set(vegehub.__all__)) == len(vegehub.__all__)
    assert set(vegehub.__all__) <= set(dir(vegehub))


def test_an_unknown_name_is_refused_as_usual() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        vegehub.no_such_name  # noqa: B018 - the access is the test
    with pytest.raises(ImportError):
        importlib.import_module("vegehub.no_such_name")
