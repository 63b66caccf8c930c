from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from programs import clean_environment, loaded_after

from vegehub import __version__
from vegehub.cli.app import COMMANDS, CONFIG_COMMANDS, SERVER_COMMANDS, build, load

if TYPE_CHECKING:
    from conftest import CommandLine

SINGLE = {
    **{name: entry for name, entry in COMMANDS.items() if entry[0]},
    **{f"server {name}": entry for name, entry in SERVER_COMMANDS.items()},
    **{f"config {name}": entry for name, entry in CONFIG_COMMANDS.items()},
}
HEAVY = {"aiohttp", "zeroconf", "voluptuous", "sqlite3", "vegehub.simulator", "vegehub.vegehub"}


def test_help_lists_every_command_and_the_exit_codes(execute: Any) -> None:
    shown = execute("--help")
    assert shown.code == 0
    words = " ".join(shown.out.split())
    assert all(f" {name} " in shown.out for name in COMMANDS)
    for code in ("0 ok", "1 the hub said no", "2 wrong usage", "3 the hub", "4 no answer in time", "130 interrupted"):
        assert code in words.replace("│", "")


@pytest.mark.parametrize("name", SINGLE)
def test_help_of_each_command_comes_without_the_network(execute: Any, name: str) -> None:
    if name == "selftest":
        return  # its --help is the harness's own
    shown = execute(*name.split(), "--help")
    assert shown.code == 0
    assert "--json" in shown.out
    assert f"vegehub {name} " in shown.out


@pytest.mark.parametrize("name", SINGLE)
def test_listing_says_of_each_command_what_it_says_itself(name: str) -> None:
    target, _, text = SINGLE[name]
    module, _, function = target.partition(":")
    said = inspect.getdoc(getattr(import_module(f"vegehub.cli.{module}"), function)) or ""
    words = text.rstrip(".").split(";")[0].split(",")[0]
    assert said.startswith(words), f"{name}: {said[:60]!r} does not begin with {words!r}"


def test_nothing_heavy_is_loaded_by_help() -> None:
    code = "import sys\nfrom vegehub.cli import main\nsys.stdout = open('/dev/null', 'w')\nmain(['--help'])\nsys.stdout = sys.__stdout__"
    assert not loaded_after(code) & HEAVY


def test_nothing_heavy_is_loaded_by_the_commands_that_only_read() -> None:
    assert not loaded_after("import vegehub.cli.read, vegehub.cli.switch, vegehub.cli.water") & (HEAVY - {"sqlite3"})


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_it_says_how_to_install_it_and_ends_with_2(missing: str) -> None:
    code = f"import sys\nsys.modules[{missing!r}] = None\nfrom vegehub.cli import main\nsys.exit(main(['--help']))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=clean_environment()
    )
    assert run.returncode == 2
    assert 'pip install "vegehub[cli]"' in run.stderr
    assert "Traceback" not in run.stderr
    assert not run.stdout


def test_missing_extra_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from vegehub import cli

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name, name=name)

    monkeypatch.setattr(cli.importlib, "import_module", missing)
    assert cli.main([]) == 2
    assert 'pip install "vegehub[cli]"' in capsys.readouterr().err


def test_ctrl_c_in_between_ends_with_130(execute: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vegehub.cli.app.build", interrupted)
    shown = execute("info")
    assert (shown.code, shown.err) == (130, "interrupted\n")


def test_a_module_that_typer_itself_misses_is_no_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from vegehub import cli

    def broken(name: str) -> None:
        raise ModuleNotFoundError("broken", name="something_else")

    monkeypatch.setattr(cli.importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError):
        cli.main([])


def test_ctrl_c_while_it_loads_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    from vegehub import cli

    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.importlib, "import_module", interrupted)
    assert cli.main([]) == 130


def test_version_is_that_of_the_package(execute: Any) -> None:
    shown = execute("--version")
    assert (shown.code, shown.out) == (0, f"vegehub {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["infos"], "No such command 'infos'. Did you mean 'info'?"),
        (["info"], "Missing argument 'HOST'"),
        (["info", "--bla", "x"], "No such option: --bla"),
        (["on", "127.0.0.1", "0"], "Missing option '--for'"),
        (["on", "0", "--for", "1m"], "HOST or SLOT is missing"),
        (["on", "127.0.0.1", "x", "--for", "1m"], "SLOT: 'x' is no number from 0"),
        (["on", "127.0.0.1", "0", "1", "--for", "1m"], "too many arguments"),
        (["on", "127.0.0.1", "0", "--for", "soon"], "'soon' is no duration"),
        (["on", "127.0.0.1", "0", "--for", "5h"], "not between 1s and 4h"),
        (["on", "127.0.0.1", "0", "--for", "0"], "not between 1s and 4h"),
        (["on", "127.0.0.1", "0", "--for", "1m", "--mac", "x"], "--mac: 'x' is no MAC address"),
        (["readings", "127.0.0.1", "--sensor", "VH400"], "is not like 1=VH400"),
        (["readings", "127.0.0.1", "--sensor", "1=VH999"], "unknown sensor; known are VH400"),
        (["info", "a b"], "is not a valid address"),
        (["info", "127.0.0.1:99999"], "is not a valid address"),
        (["config", "set", "127.0.0.1", "hub.name"], "'hub.name' is not like hub.name=Shed"),
        (["config", "set", "127.0.0.1", "[0]=1"], "is no path like"),
        (["config", "diff", "127.0.0.1", "no-such-file"], "no-such-file: cannot read: No such file or directory"),
        (["server", "remove", "127.0.0.1"], "either the id, name or URL of a server, or --undo FILE"),
        (["server", "remove", "127.0.0.1", "--undo", "no-such-file"], "no-such-file: cannot read"),
        (["listen"], "--connect HOST to point a hub here, or --bind ADDRESS"),
        (["run", "no-such-file", "info"], "no-such-file: cannot read"),
        (["run", "no-such-file", "burn"], "'burn' is not one of"),
        (["doctor", "127.0.0.1", "--mac", "x"], "is no MAC address"),
        (["simulate", "--profile", "x"], "no profile 'x'; there are gen1-3.9"),
        (["simulate", "--fault", "x"], "no fault 'x'"),
        (["simulate", "--from", "no-such-folder"], "no-such-folder: No such file"),
        (["simulate", "--from", "x", "--count", "2"], "played by one hub"),
        (["selftest", "--json", "--bla"], "unrecognized arguments: --bla"),
    ],
)
def test_wrong_command_line_ends_with_2_and_one_line(execute: Any, arguments: list[str], text: str) -> None:
    shown = execute(*arguments, "--json")
    assert shown.code == 2
    assert shown.out == ""
    assert text in shown.error["message"]
    assert shown.error["exit_code"] == 2
    if arguments[0] != "selftest":
        plain = execute(*arguments)
        assert plain.code == 2
        assert plain.err.count("\n") == 1
        assert plain.err.startswith("error: ")
        assert text in plain.err


def test_no_argument_shows_the_help_and_ends_with_2(execute: Any) -> None:
    for arguments in ([], ["server"], ["config"]):
        shown = execute(*arguments)
        assert shown.code == 2
        assert "Usage" in shown.out + shown.err


def test_after_two_dashes_json_is_an_argument(execute: Any) -> None:
    assert execute("info", "--", "a b", "--json").err.startswith("error: ")


def test_each_target_of_the_table_can_be_loaded() -> None:
    assert build().name is None or build()
    for name, (target, _, _) in SINGLE.items():
        assert load(name.split()[-1], target).name == name.split()[-1]


async def test_runs_as_a_module_and_as_a_program(cli: CommandLine) -> None:
    assert (await cli("--version")).out == f"vegehub {__version__}\n"


async def test_reader_that_goes_away_is_no_error(cli: CommandLine) -> None:
    process = await cli.start("simulate", "--no-mdns", "--json", "--count", "2")
    assert process.stdout is not None
    await process.stdout.readline()
    process.terminate()
    assert await process.wait() == 128 + 15


async def test_verbose_logs_to_stderr_and_results_stay_clean(cli: CommandLine, simulated_hub: Any) -> None:
    shown = await cli("--verbose", "info", simulated_hub.address, "--json")
    assert shown.json["mac"] == simulated_hub.mac
    assert "/api/info/get" in shown.err
