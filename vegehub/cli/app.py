"""The table of commands; each is loaded when it is run, so that help comes at once."""

from __future__ import annotations

import logging
import os
import re
import sys
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from vegehub import __version__
from vegehub.exceptions import VegeHubError

from .errors import (
    BROKEN_PIPE,
    EXIT_CODES,
    FAILED,
    INTERRUPTED,
    USAGE,
    CommandError,
    InterruptedByUserError,
    error_document,
    error_line,
    exit_code,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PROG = "vegehub"
_READ, _WATER, _CONFIGURE, _RECEIVE, _TEST = "Read", "Water", "Configure", "Follow", "Find faults, and test"

COMMANDS: dict[str, tuple[str, str, str]] = {
    "discover": ("discover:discover", _READ, "Find the hubs that announce themselves."),
    "info": ("read:info", _READ, "Show what a hub says of itself."),
    "readings": ("read:readings", _READ, "Show the latest value of each input."),
    "actuators": ("read:actuators", _READ, "Show the state of each actuator."),
    "on": ("switch:on", _WATER, "Switch an actuator on, for a limited time."),
    "off": ("switch:off", _WATER, "Switch an actuator off."),
    "water": ("water:water", _WATER, "Open a valve, wait, and close it, whatever happens."),
    "setup": ("server:setup", _CONFIGURE, "Have a hub report to a server."),
    "server": ("", _CONFIGURE, "List or remove the servers of a hub."),
    "config": ("", _CONFIGURE, "Read, change, keep and restore the configuration."),
    "listen": ("listen:listen", _RECEIVE, "Receive the updates that hubs send."),
    "watch": ("watch:watch", _RECEIVE, "Show readings of hubs as they change."),
    "run": ("run:run", _RECEIVE, "Ask or tell all hubs of a saved registry at once."),
    "bridge": ("bridge:bridge", _RECEIVE, "Publish what hubs send to an MQTT broker, and take commands from it."),
    "doctor": ("doctor:doctor", _TEST, "Find out what is wrong with a hub, and what to do."),
    "diagnostics": ("diagnostics:diagnostics", _TEST, "Collect what a bug report needs, without secrets."),
    "simulate": ("simulate:simulate", _TEST, "Run simulated hubs on this machine."),
    "selftest": ("selftest:selftest", _TEST, "Run the integration test against a hub."),
}
SERVER_COMMANDS = {
    "list": ("server:list_servers", "", "Show where a hub sends its updates."),
    "remove": ("server:remove", "", "Remove a server, or undo a setup."),
}
CONFIG_COMMANDS = {
    "get": ("config:get", "", "Show the configuration."),
    "set": ("config:set_values", "", "Change single values."),
    "diff": ("config:diff", "", "Compare a backup with the hub; exit code 1 if they differ."),
    "backup": ("config:backup", "", "Save the configuration to a file that only you can read."),
    "restore": ("config:restore", "", "Bring a backup back."),
}
_GROUPS = {"server": SERVER_COMMANDS, "config": CONFIG_COMMANDS}

# The class of all errors of usage, wherever this version of Typer keeps it.
_UsageError: type[Any] = typer.BadParameter.__mro__[1]

_HELP = "Talk to VegeHub irrigation hubs on the local network."
_EPILOG = (
    f"{EXIT_CODES} Durations are written like 90s, 10m or 1h30m. VEGEHUB_HOST is the hub where HOST is left out, "
    "VEGEHUB_INTERFACE the address of this machine that discovery is limited to. Results go to stdout, all else to "
    "stderr."
)


class Command(TyperCommand):
    """A command whose usage line shows a host that may be left out as people write it: [HOST] SLOT."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what follows the name of the command."""
        return [re.sub(r"^\{(.*)\}\.\.\.$", r"\1", piece) for piece in super().collect_usage_pieces(ctx)]


class LazyGroup(TyperGroup):
    """A group whose commands are listed by a table, and imported when one of them is run."""

    table: dict[str, tuple[str, str, str]] = COMMANDS

    def resolve_command(self, ctx: Any, args: Any) -> Any:
        """Find the command that the first argument names, and load it."""
        name, found, rest = super().resolve_command(ctx, args)
        target = self.table[name][0] if name in self.table else ""
        return name, load(str(name), target) if target else found, rest


class _ServerGroup(LazyGroup):
    table = SERVER_COMMANDS


class _ConfigGroup(LazyGroup):
    table = CONFIG_COMMANDS


def load(name: str, target: str) -> Any:
    """Import the function ``module:function`` and make a command of it."""
    module, _, function = target.partition(":")
    loaded = import_module(f".{module}", __package__)
    # What follows `selftest` is for the harness, its --help too.
    settings = getattr(loaded, "CONTEXT_SETTINGS", None)
    single = _typer(rich_markup_mode="markdown")
    make = single.command(name, cls=Command, context_settings=settings, add_help_option=settings is None)
    make(_telling_of_a_broken_pipe(getattr(loaded, function)))
    return typer.main.get_command(single)


def _telling_of_a_broken_pipe(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let the end of whoever reads stdout through as an error of ours; Typer would end with 1, as if it had failed."""

    @wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except BrokenPipeError:
            raise CommandError("nobody reads the output any more", BROKEN_PIPE) from None

    return wrapped


def build() -> Any:
    """Return the whole command line."""
    app = _typer(cls=LazyGroup, help=_HELP, epilog=_EPILOG, no_args_is_help=True)
    app.callback()(_root)
    for name, (target, panel, text) in COMMANDS.items():
        if target:
            _list(app, name, text, panel)
            continue
        group = _typer(
            cls=_ServerGroup if name == "server" else _ConfigGroup, help=text, epilog=EXIT_CODES, no_args_is_help=True
        )
        for inner, (_, inner_panel, inner_text) in _GROUPS[name].items():
            _list(group, inner, inner_text, inner_panel)
        app.add_typer(group, name=name, rich_help_panel=panel)
    return typer.main.get_command(app)


def execute(argv: Sequence[str]) -> int:
    """Run one command; every failure becomes one line, or one JSON object, on stderr and an exit code."""
    arguments = list(argv)
    as_json = "--json" in (arguments[: arguments.index("--")] if "--" in arguments else arguments)
    # What the library logs it also raises; --verbose shows it all the same.
    logging.getLogger(PROG).addHandler(logging.NullHandler())
    try:
        result = build().main(args=arguments, prog_name=PROG, standalone_mode=False)
    except KeyboardInterrupt:
        return _fail(InterruptedByUserError(INTERRUPTED - 128), as_json=as_json)
    except (VegeHubError, CommandError, InterruptedByUserError, OSError) as err:
        return _fail(err, as_json=as_json)
    except _UsageError as err:
        return _usage(err, as_json=as_json)
    return result if isinstance(result, int) else 0


def _fail(err: BaseException, *, as_json: bool) -> int:
    if exit_code(err) == BROKEN_PIPE:
        # Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    from .output import stderr_line  # noqa: PLC0415 - loads rich, which help alone does not need

    line = error_line(err)
    stderr_line(
        error_document(err) if as_json else line if isinstance(err, InterruptedByUserError) else f"error: {line}"
    )
    return exit_code(err)


def _usage(err: Any, *, as_json: bool) -> int:
    if type(err).__name__ == "NoArgsIsHelpError":
        err.show()
        return USAGE
    path = err.ctx.command_path if err.ctx is not None else PROG
    failure = CommandError(f"{err.format_message()} (see `{path} --help`)", USAGE)
    return _fail(failure, as_json=as_json)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROG} {__version__}")
        raise typer.Exit


def _root(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens to stderr.")] = False,
) -> None:
    if verbose:
        logging.basicConfig(stream=sys.stderr, format="%(relativeCreated)7d ms  %(name)s: %(message)s")
        logging.getLogger(PROG).setLevel(logging.DEBUG)


def _typer(**settings: Any) -> typer.Typer:
    return typer.Typer(add_completion="cls" in settings, pretty_exceptions_enable=False, **settings)


def _list(app: typer.Typer, name: str, text: str, panel: str) -> None:
    """Put a command into the listing; ``LazyGroup`` loads the real one."""
    app.command(name, help=text, rich_help_panel=panel or None)(lambda: FAILED)
