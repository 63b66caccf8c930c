"""The command that runs a bridge to an MQTT broker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from vegehub.exceptions import VegeHubValueError
from vegehub.mqtt.connection import load_client
from vegehub.mqtt.program import check as check_settings
from vegehub.mqtt.program import topic_lines, until_stopped
from vegehub.mqtt.settings_file import load_settings

from .errors import unusable, usage
from .output import Output, write_json
from .runner import run


def bridge(
    *,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Settings in YAML; without it the environment has to have all."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check the settings, connect to the broker once, and end.")
    ] = False,
    print_topics: Annotated[bool, typer.Option("--print-topics", help="List the topics, and end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Results and errors as JSON.")] = False,
) -> None:
    """Publish what hubs send to an MQTT broker, and take commands from it, until Ctrl-C.

    docs/mqtt.md describes the settings and the topics. VEGEHUB_MQTT_PASSWORD and other variables take precedence.
    """
    output = Output(as_json=json)
    try:
        load_client()
        settings = load_settings(config, os.environ)
    except OSError as err:
        raise unusable(config or Path(), err) from err
    except VegeHubValueError as err:
        raise usage(str(err)) from err
    if print_topics:
        pairs = [line.split("  ", 1) for line in topic_lines(settings)]
        if json:
            write_json([{"topic": topic, "what": what} for topic, what in pairs])
        else:
            output.print("\n".join(f"{topic}  {what}" for topic, what in pairs))
    elif check:
        found = run(check_settings(settings))
        output.show({"ok": True, "text": found}, found)
    else:
        run(until_stopped(settings))
