"""The integration harness: what it tests, what it leaves alone, and the exit code it ends with."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import aiohttp
import pytest
from raw_hub import without_slowness

import vegehub.finding.discovery
from vegehub import VegeHub, VegeHubTimeoutError, VegeHubValueError
from vegehub.simulator import PROFILES, SimulatedHub
from vegehub.testing import Leak, harness_cli, harness_steps, ways_to_leak
from vegehub.testing.harness import Report, Status, Step, StepError, StepResult, insist
from vegehub.testing.harness_report import as_junit, summary
from vegehub.testing.interruption import to_the_end

SCRIPT = Path(__file__).parents[2] / "integration_test.py"
WITH_API = [name for name, profile in PROFILES.items() if profile.serves_http]
NOBODY = "127.0.0.1:9"


def run(capsys, *arguments: str) -> SimpleNamespace:
    """Run the harness in this process."""
    try:
        code = harness_cli.main(arguments, "integration_test.py")
    except SystemExit as error:
        code = error.code
    said = capsys.readouterr()
    return SimpleNamespace(code=code, out=said.out, err=said.err)


def statuses(document: dict) -> dict[str, str]:
    return {step["title"]: step["status"] for step in document["steps"]}


def settings(simulated: SimulatedHub) -> str:
    """Return the configuration of a simulated hub without the hub's own note of when and by whom it was changed."""
    return json.dumps({key: value for key, value in simulated.config.items() if key not in {"updated", "who_updated"}})


@asynccontextmanager
async def started(*arguments: str):
    """Start the script in a process of its own; nothing of it is left afterwards."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), *arguments, stdout=pipe, stderr=pipe)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def finished(*arguments: str) -> SimpleNamespace:
    async with started(*arguments) as process:
        out, err = await process.communicate()
    return SimpleNamespace(code=process.returncode, out=out.decode(), err=err.decode())


async def until(holds) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - the other side is another process: there is no event to wait for
            await asyncio.sleep(0.01)


# --- A simulated hub --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", WITH_API)
def test_every_profile_with_an_api_passes_and_nothing_leaks(profile, capsys):
    done = run(capsys, "--simulate", profile, "--json", "-")
    report = json.loads(done.out)
    assert (done.code, report["exit_code"], report["leaks"]) == (0, 0, []), done.err
    assert len(report["steps"]) == 10
    without = {"Actuator states", "Actuator control"} if PROFILES[profile].num_actuators == 0 else set()
    for title, status in statuses(report).items():
        assert status == ("not applicable" if title in without else "ok"), title
    assert all(step["detail"] for step in report["steps"] if step["status"] == "not applicable")


def test_the_script_prints_a_line_for_each_step_and_a_summary():
    command = [sys.executable, str(SCRIPT), "--simulate", "gen2-5.1-logger"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert without_slowness(done.stderr) == ""
    assert lines[0].startswith("VegeHub integration test: simulated gen2-5.1-logger at 127.0.0.1:")
    assert [line[:7] for line in lines[1:11]] == [f"[{number:2}/10]" for number in range(1, 11)]
    assert lines[6].startswith("[ 6/10] Actuator control ........... not applicable  this hub has no actuators")
    assert lines[11].startswith("10 steps: 8 passed, 0 failed, 2 not applicable; no leak;")


def test_a_profile_without_an_api_is_refused_with_the_reason(capsys):
    done = run(capsys, "--simulate", "gen1-3.9")
    assert done.code == 2
    assert "gen1-3.9 has no HTTP API" in done.err


def test_an_unknown_profile_is_refused_with_the_names_of_those_there_are(capsys):
    done = run(capsys, "--simulate", "gen9")
    assert done.code == 2
    assert all(name in done.err for name in PROFILES)


# --- Wrong command lines ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--actuators"],
        ["--simulate", "--host", NOBODY],
        ["--host", "not an address"],
        ["--host", NOBODY, "--timeout", "-1"],
    ],
)
def test_a_wrong_command_line_ends_with_2_and_the_usage(arguments, capsys):
    done = run(capsys, *arguments)
    assert done.code == 2
    assert done.err.startswith("usage: integration_test.py")
    assert done.out == ""


def test_without_arguments_and_without_a_terminal_it_ends_with_2():
    command = [sys.executable, str(SCRIPT)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2
    assert "--simulate, --host, --discover and --prove-guard" in done.stderr


# --- Asking at a terminal ---------------------------------------------------------------------------------------------


def answer(monkeypatch, *answers: str | BaseException) -> None:
    left = iter(answers)

    def reply(_: str) -> str:
        given = next(left)
        if isinstance(given, BaseException):
            raise given
        return given

    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("builtins.input", reply)


def test_at_a_terminal_the_first_choice_is_a_simulated_hub(monkeypatch, capsys):
    answer(monkeypatch, "")
    done = run(capsys)
    assert done.code == 0
    assert "simulated gen2-endpoints" in done.out


def test_at_a_terminal_an_address_can_be_typed(monkeypatch, capsys):
    answer(monkeypatch, "2", f" {NOBODY} ")
    done = run(capsys)
    assert done.code == 3
    assert f"hub at {NOBODY}" in done.out


@pytest.mark.parametrize("choice", ["0", "9", "x"])
def test_at_a_terminal_a_choice_that_is_not_offered_ends_with_2(choice, monkeypatch, capsys):
    answer(monkeypatch, choice)
    assert run(capsys).code == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt(), EOFError()])
def test_leaving_the_menu_ends_with_130(error, monkeypatch, capsys):
    answer(monkeypatch, error)
    assert run(capsys).code == 130


# --- A real hub -------------------------------------------------------------------------------------------------------


async def test_a_hub_that_is_not_there_ends_with_3_and_the_other_steps_are_not_run():
    done = await finished("--host", NOBODY, "--json", "-")
    report = json.loads(done.out)
    assert (done.code, report["reached"]) == (3, False)
    assert statuses(report)["MAC address"] == "FAILED"
    assert set(list(statuses(report).values())[2:]) == {"not run"}


async def test_without_leave_nothing_of_a_real_hub_is_changed(simulated_hub):
    before = settings(simulated_hub)
    done = await finished("--host", simulated_hub.address, "--json", "-")
    report = json.loads(done.out)
    assert done.code == 0, done.err
    wanted = {
        "Actuator control": "opens valves: only with --actuators",
        "Setup, backup and restore": "changes the configuration: only with --setup",
        "Update received": "changes the configuration: only with --setup",
    }
    left_out = {step["title"]: step["detail"] for step in report["steps"] if step["status"] == "not applicable"}
    assert left_out == wanted
    assert settings(simulated_hub) == before
    assert not {request.path for request in simulated_hub.requests} & {"/api/actuators/set", "/api/config/set"}


@pytest.mark.parametrize("profile", ["gen2-endpoints", "gen2-5.1-battery"])
async def test_with_leave_everything_is_tested_and_the_hub_is_as_it_was(profile):
    async with SimulatedHub(profile) as simulated:
        before = settings(simulated)
        done = await finished("--host", simulated.address, "--actuators", "--setup", "--json", "-")
        assert done.code == 0, done.out + done.err
        assert set(statuses(json.loads(done.out)).values()) == {"ok"}
        assert settings(simulated) == before
        for actuator in simulated.actuators:
            assert [change.is_on for change in actuator.changes] == [True, False]
            assert not actuator.is_on


async def test_an_actuator_that_is_on_already_is_left_alone(simulated_hub, hub):
    await hub.turn_on(0, 60)
    done = await finished("--host", simulated_hub.address, "--actuators", "--json", "-")
    [step] = [step for step in json.loads(done.out)["steps"] if step["title"] == "Actuator control"]
    assert (step["status"], step["detail"]) == ("ok", "on and off: 1; on already and left alone: 0")
    assert len(simulated_hub.actuators[0].commands) == 1
    await hub.turn_on(1, 60)
    done = await finished("--host", simulated_hub.address, "--actuators", "--json", "-")
    assert statuses(json.loads(done.out))["Actuator control"] == "not applicable"


async def test_a_step_that_fails_ends_with_1_and_the_next_steps_are_run(simulated_hub, tmp_path):
    simulated_hub.faults.status(500, path="/api/actuators/status")
    simulated_hub.config["hub"]["name"] = "\x01<Shed>"
    junit = tmp_path / "report.xml"
    done = await finished("--host", simulated_hub.address, "--junit", str(junit), "--json", str(tmp_path / "report"))
    report = json.loads((tmp_path / "report").read_text())
    assert done.code == report["exit_code"] == 1
    assert statuses(report)["Actuator states"] == "FAILED"
    assert statuses(report)["Session reuse"] == "ok"
    suite = ET.fromstring(junit.read_text())
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("11", "1", "3")
    [failed] = [case.get("name") for case in suite if case.find("failure") is not None]
    assert failed == "5. Actuator states"


async def test_a_hub_that_rejects_calls_was_reached(simulated_hub):
    simulated_hub.faults.status(403)
    done = await finished("--host", simulated_hub.address, "--json", "-")
    assert (done.code, json.loads(done.out)["reached"]) == (1, True)


async def test_a_hub_that_takes_no_update_request_is_as_it_was(simulated_hub):
    before = settings(simulated_hub)
    simulated_hub.faults.status(404, path="/api/update/send")
    done = await finished("--host", simulated_hub.address, "--setup", "--json", "-")
    assert statuses(json.loads(done.out))["Update received"] == "FAILED"
    assert done.code == 1
    assert settings(simulated_hub) == before


# --- Interrupted ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("presses", "number"), [(1, signal.SIGINT), (3, signal.SIGINT), (1, signal.SIGTERM), (1, signal.SIGHUP)]
)
async def test_stopped_while_a_valve_is_open_it_closes_every_valve(presses, number, simulated_hub):
    # The hub's clock stands still: only an OFF can close the valve.
    hang_while_open(simulated_hub)
    async with started("--host", simulated_hub.address, "--actuators", "--json", "-") as process:
        await until(lambda: simulated_hub.actuators[0].is_on)
        simulated_hub.faults.clear()
        # OFF takes so long that the further presses fall into it.
        simulated_hub.faults.latency(0.5, path="/api/actuators/set", before_execution=True)
        offs = len(simulated_hub.requests)
        for press in range(presses):
            process.send_signal(number)
            if press == 0:
                await until(lambda: any(r.path == "/api/actuators/set" for r in simulated_hub.requests[offs:]))
            await asyncio.sleep(0.02)
        out, err = await process.communicate()
    report = json.loads(out)
    assert process.returncode == report["exit_code"] == 130, err.decode()
    assert report["leaks"] == []
    assert statuses(report)["Session reuse"] == "not run"
    assert [command.state for command in simulated_hub.actuators[0].commands] == [1, 0]
    assert not any(actuator.is_on for actuator in simulated_hub.actuators)
    assert b"interrupted: restoring the hub" in err


def hang_while_open(simulated: SimulatedHub) -> None:
    """Leave the status unanswered once the first valve is open: the harness waits there, reading back its ON."""
    before = simulated.actuators[0].on_change

    def on_change(actuator) -> None:
        if actuator.is_on:
            simulated.faults.never_answer(path="/api/actuators/status")
        before(actuator)

    simulated.actuators[0].on_change = on_change


async def test_after_ctrl_c_off_is_repeated_to_a_hub_that_does_not_take_it(simulated_hub):
    hang_while_open(simulated_hub)
    async with started("--host", simulated_hub.address, "--actuators") as process:
        await until(lambda: simulated_hub.actuators[0].is_on)
        simulated_hub.faults.clear()
        simulated_hub.faults.status(503, path="/api/actuators/set", times=2)
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert process.returncode == 130
    assert not simulated_hub.actuators[0].is_on


async def test_after_ctrl_c_in_the_setup_the_old_servers_are_back():
    async with SimulatedHub("gen2-endpoints") as simulated:
        before = settings(simulated)
        simulated.faults.never_answer(path="/api/update/send")
        async with started("--host", simulated.address, "--setup") as process:
            await until(lambda: any(request.path == "/api/update/send" for request in simulated.requests))
            assert settings(simulated) != before
            process.send_signal(signal.SIGTERM)
            await process.communicate()
        assert process.returncode == 130
        assert settings(simulated) == before


# --- The leak guard ---------------------------------------------------------------------------------------------------


def test_a_leak_ends_with_1_although_every_step_passed(monkeypatch, capsys, tmp_path):
    kept = []

    async def leak(_: harness_steps.Bench) -> str:
        kept.append(aiohttp.ClientSession())
        return "leaked"

    monkeypatch.setattr(harness_steps, "STEPS", (Step("Leaks on purpose", leak),))
    junit = tmp_path / "report.xml"
    done = run(capsys, "--simulate", "--junit", str(junit))
    assert done.code == 1
    assert "leak: session (census): ClientSession" in done.out
    assert "1 steps: 1 passed, 0 failed; 1 leak;" in done.out
    [guard] = [case for case in ET.fromstring(junit.read_text()) if case.get("name") == "Leak guard"]
    assert "ClientSession" in guard.find("failure").text
    asyncio.run(kept.pop().close())


@pytest.mark.slow
def test_the_proof_ends_with_1_and_names_every_leak_it_made():
    command = [sys.executable, str(SCRIPT), "--prove-guard"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    count = len(ways_to_leak.WAYS)
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == f"the guard saw {count} of {count} leaks"
    for way in ways_to_leak.WAYS:
        assert way.title in done.stdout


def test_the_proof_ends_with_3_if_the_guard_missed_a_leak(monkeypatch, capsys):
    async def nothing(_: ways_to_leak.Ground) -> None: ...

    monkeypatch.setattr(ways_to_leak, "WAYS", (ways_to_leak.Way("nothing", ("session",), nothing),))
    assert run(capsys, "--prove-guard").code == 3


# --- Discovery --------------------------------------------------------------------------------------------------------


def discovered(monkeypatch, found) -> list:
    asked = []

    async def discover(timeout, *, interfaces=None):
        asked.append(interfaces)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(vegehub.finding, "discover", discover)
    return asked


def announced(address: str) -> SimpleNamespace:
    return SimpleNamespace(name="Vege_A6_20", address=address)


def test_the_one_hub_that_announces_itself_is_tested(monkeypatch, capsys):
    asked = discovered(monkeypatch, [announced(NOBODY)])
    done = run(capsys, "--discover", "--interface", "127.0.0.1")
    assert asked == [["127.0.0.1"]]
    assert f"found Vege_A6_20 at {NOBODY}" in done.out
    assert done.code == 3


def test_of_several_hubs_one_must_be_chosen(monkeypatch, capsys):
    discovered(monkeypatch, [announced("127.0.0.1:9"), announced("127.0.0.2:9")])
    done = run(capsys, "--discover")
    assert done.code == 2
    assert "127.0.0.2:9" in done.out
    assert "--host" in done.err


@pytest.mark.parametrize(
    ("found", "code"), [([], 3), (VegeHubTimeoutError("no interface"), 3), (VegeHubValueError("bad interface"), 2)]
)
def test_if_no_hub_is_found_the_reason_is_said(found, code, monkeypatch, capsys):
    discovered(monkeypatch, found)
    done = run(capsys, "--discover")
    assert done.code == code
    assert ("asleep" if found == [] else str(found)) in done.err


def test_without_the_discovery_module_it_says_so(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "vegehub.finding", None)
    done = run(capsys, "--discover")
    assert done.code == 2
    assert "discovery is not available" in done.err


# --- Pieces -----------------------------------------------------------------------------------------------------------


async def test_work_that_must_be_done_is_done_however_often_the_caller_is_cancelled():
    go, done = asyncio.Event(), []

    async def work() -> str:
        await go.wait()
        done.append(True)
        return "done"

    task = asyncio.create_task(to_the_end(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [True]
    assert await to_the_end(work()) == "done"


async def test_a_call_that_never_succeeds_is_given_up_with_the_reason():
    calls = []

    async def fail() -> None:
        calls.append(True)
        raise VegeHubTimeoutError("asleep")

    with pytest.raises(StepError, match="still on: asleep"):
        await insist(fail, "still on", seconds=0)
    assert calls == [True]


async def test_a_call_that_was_wrong_is_not_repeated():
    async def fail() -> None:
        raise VegeHubValueError("no such slot")

    with pytest.raises(VegeHubValueError):
        await insist(fail, "still on")


async def test_actuators_that_may_still_be_on_are_named(simulated_hub, monkeypatch):
    monkeypatch.setattr(harness_steps, "insist", lambda call, failure: insist(call, failure, seconds=0))
    async with harness_steps.open_bench(simulated_hub.address, simulated=simulated_hub) as bench:
        await bench.hub.get_info()
        simulated_hub.faults.status(500, path="/api/actuators/set")
        with pytest.raises(StepError, match="actuator 0 may still be on, for 10 s at most"):
            await harness_steps.actuator_control(bench)
    assert bench.switched == {0}


async def test_a_push_of_another_hub_is_not_taken_for_the_update(simulated_hub, monkeypatch):
    monkeypatch.setattr(harness_steps, "PUSH_SECONDS", 0.2)
    async with harness_steps.open_bench(simulated_hub.address, simulated=simulated_hub) as bench:
        await bench.hub.get_info()
        simulated_hub.mac = "7C9EBD000000"
        bench.hub = VegeHub(simulated_hub.address, bench.hub.mac_address, session=bench.session, verify_mac=False)
        with pytest.raises(StepError, match="sent no update"):
            await harness_steps.update_received(bench)


async def test_a_post_that_is_no_update_is_answered_with_400():
    async with (
        harness_steps._server("127.0.0.1") as (url, _),
        aiohttp.ClientSession() as session,
        session.post(url, data=b"not JSON") as response,
    ):
        assert response.status == 400
        await response.read()


async def test_an_error_that_does_not_come_is_a_failure(simulated_hub, monkeypatch):
    async with harness_steps.open_bench(simulated_hub.address, simulated=simulated_hub) as bench:
        monkeypatch.setattr(bench.hub, "set_actuator", lambda *_: bench.hub.get_info())
        with pytest.raises(StepError, match="VegeHubValueError was expected"):
            await harness_steps.error_handling(bench)


def test_an_interrupted_run_says_what_was_not_run():
    results = [StepResult(1, "a", Status.OK), StepResult(2, "b", Status.NOT_RUN, "interrupted")]
    report = Report("hub", results=results, interrupted=True, leaks=(Leak("census", "socket", "one"),) * 2)
    *leaks, last = summary(report)
    assert leaks == ["leak: socket (census): one"] * 2
    assert last == "2 steps: 1 passed, 0 failed, 1 not run; 2 leaks; 0.0 s"
    assert report.exit_code == 130


def test_control_characters_of_a_peer_do_not_break_the_xml():
    report = Report("hub", results=[StepResult(1, "a", Status.FAILED, "bad \x00\x1b[31m <text>")])
    [failure] = ET.fromstring(as_junit(report)).iter("failure")
    assert failure.get("message") == "bad [31m <text>"
