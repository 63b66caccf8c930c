"""The command that runs the integration test."""

from __future__ import annotations

import contextlib
import io

import typer  # noqa: TC002 - Typer reads the annotations

from vegehub.testing.harness_cli import build_parser
from vegehub.testing.harness_cli import main as run_harness

from .errors import usage

CONTEXT_SETTINGS = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def selftest(context: typer.Context) -> int:
    """Run the integration test against a hub; the options are those of the harness, see --help."""
    arguments = list(context.args)
    for index, argument in enumerate(arguments):
        # Everywhere else --json takes no file.
        following = arguments[index + 1] if index + 1 < len(arguments) else "-"
        if argument == "--json" and following.startswith("-"):
            arguments[index] = "--json=-"
    if "--json=-" in arguments:
        _check(arguments)
    try:
        return run_harness(arguments, "vegehub selftest")
    except SystemExit as end:  # argparse has printed why
        return end.code if isinstance(end.code, int) else 1


def _check(arguments: list[str]) -> None:
    """Refuse a wrong command line as all commands do, and not in the words of argparse."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            build_parser("vegehub selftest").parse_args(arguments)
    except SystemExit as end:
        if end.code:
            raise usage(said.getvalue().strip().rpartition("error: ")[2]) from None
