"""The bridge as a program: how it is started, checked and ended, and what a crash leaves."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from dataclasses import replace

import pytest
from mqtt.harness import (
    Mosquitto,
    Program,
    bridge_settings,
    free_port,
    hub_settings,
    need_mosquitto,
    running,
    settings_file,
    until,
    url_of,
)

from vegehub.cli.app import load
from vegehub.cli.errors import CommandError
from vegehub.mqtt import HubSettings, TlsSettings, VegeHubBrokerError, load_settings
from vegehub.mqtt.broker import check_broker
from vegehub.mqtt.program import main, topic_lines
from vegehub.simulator import SimulatedHub

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def hub():
    async with SimulatedHub() as hub:
        yield hub


async def test_killed_it_is_said_to_be_gone_and_loses_nothing(broker, listener, tmp_path, programs, hub) -> None:
    bridge = Program(programs, settings_file(tmp_path / "bridge.yaml", broker, [hub]))
    await bridge.start()
    hub.point_at(url_of(bridge.port))
    await listener.said("vegehub/bridge/main/availability", "online")
    await hub.advance(900)
    await listener.wait(f"vegehub/{hub.mac}/update")
    await bridge.stop(signal.SIGKILL)
    await listener.said("vegehub/bridge/main/availability", "offline")
    await hub.advance(900)
    await bridge.start()
    await hub.advance(900)
    while not hub.samples_taken or hub.backlog:
        hub.send_update()
        await hub.advance(1)
    taken = {(slot, text) for slot, text, _ in hub.samples_taken}
    await listener.until(lambda: taken == samples_of(listener.on(f"vegehub/{hub.mac}/update")))
    finished = await bridge.stop()
    assert finished.code == 0, finished.err
    assert "Traceback" not in finished.err
    await listener.said("vegehub/bridge/main/availability", "offline")


def samples_of(updates) -> set:
    return {
        (reading["slot"], sample["time"])
        for update in updates
        for reading in update.json["readings"]
        for sample in reading["samples"]
    }


async def test_a_command_that_waited_when_it_was_killed_is_answered_by_the_next_run(
    broker, listener, tmp_path, programs
) -> None:
    async with SimulatedHub(power_mode=0, asleep_refuses=True) as sleeper:
        bridge = Program(programs, settings_file(tmp_path / "bridge.yaml", broker, [sleeper]))
        await bridge.start()
        await listener.said("vegehub/bridge/main/availability", "online")
        sleeper.sleep()
        topic = f"vegehub/{sleeper.mac}/actuator/0"
        await listener.send(f"{topic}/set", '{"state":"ON","id":"a"}')
        # Commands are taken on in their order: once this one is answered, the first is noted.
        await listener.send(f"{topic}/set", "nonsense")
        await listener.wait(f"{topic}/result")
        await bridge.stop(signal.SIGKILL)
        await bridge.start()
        answer = (await listener.wait(f"{topic}/result", 2)).json
        assert (answer["id"], answer["outcome"]) == ("a", "not_sent")
        await bridge.stop()
        assert sleeper.actuators[0].commands == []


async def test_a_command_that_was_on_its_way_when_it_was_killed_may_have_been_executed(
    broker, listener, tmp_path, programs, hub
) -> None:
    bridge = Program(programs, settings_file(tmp_path / "bridge.yaml", broker, [hub]))
    await bridge.start()
    await listener.said("vegehub/bridge/main/availability", "online")
    hub.faults.never_answer(path="/api/actuators/set")
    topic = f"vegehub/{hub.mac}/actuator/0"
    command = '{"state":"ON","id":"a"}'
    await listener.send(f"{topic}/set", command)
    await listener.until(lambda: any(record.path == "/api/actuators/set" for record in hub.requests))
    await bridge.stop(signal.SIGKILL)
    hub.faults.clear()
    await bridge.start()
    assert (await listener.wait(f"{topic}/result")).json["outcome"] == "unknown"
    await listener.send(f"{topic}/set", command)
    assert (await listener.wait(f"{topic}/result", 2)).json["repeated"]
    await bridge.stop()
    assert len([record for record in hub.requests if record.path == "/api/actuators/set"]) == 1


# --- The command lines ------------------------------------------------------------------------------------------------


def run_main(capsys, *arguments: str) -> tuple[int, str, str]:
    try:
        code = main(arguments)
    finally:
        for handler in logging.getLogger().handlers[:]:
            if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr:
                logging.getLogger().removeHandler(handler)
    said = capsys.readouterr()
    return code, said.out, said.err


async def run_main_in_thread(capsys, *arguments: str) -> tuple[int, str, str]:
    """Run it beside the loop of the test, which has the broker's process."""
    return await asyncio.to_thread(run_main, capsys, *arguments)


async def test_check_connects_once(broker, tmp_path, hub, capsys) -> None:
    path = settings_file(tmp_path / "bridge.yaml", broker, [hub])
    code, out, _ = await run_main_in_thread(capsys, "--config", str(path), "--check")
    assert (code, out) == (0, f"settings of 1 hubs are fine, and broker 127.0.0.1:{broker.port} lets us in\n")
    await broker.stop()
    code, _, err = await run_main_in_thread(capsys, "--config", str(path), "--check")
    assert code == 1
    assert "not connected" in err
    assert not (tmp_path / "bridge-state").exists()


async def test_print_topics_lists_them_all(broker, listener, tmp_path, hub, capsys) -> None:
    path = settings_file(tmp_path / "bridge.yaml", broker, [hub])
    code, out, _ = await run_main_in_thread(capsys, "--config", str(path), "--print-topics")
    assert code == 0
    listed = {line.split("  ")[0] for line in out.splitlines()}
    async with running(bridge_settings(broker, tmp_path / "state", hub_settings(hub)), hub):
        hub.actuators[0].execute(1, 60, 0)
        hub.actuators[1].execute(1, 60, 0)
        await hub.advance(900)
        await listener.send(f"vegehub/{hub.mac}/actuator/0/set", "OFF")
        await listener.wait(f"vegehub/{hub.mac}/actuator/0/result")
        # All of them but those of sensors that are not there, and of commands that were not sent.
        unheard = {f"vegehub/{hub.mac}/input/{number}/value" for number in range(1, 5)}
        unheard |= {f"vegehub/{hub.mac}/actuator/1/{name}" for name in ("set", "result")}
        await listener.until(lambda: listed - {message.topic for message in listener.heard} == unheard)
    assert {message.topic for message in listener.heard} <= listed


def test_topics_that_only_the_hub_knows_are_left_open(tmp_path) -> None:
    broker = Mosquitto(tmp_path / "broker")
    bare = HubSettings(mac="7C9EBD112233", address="127.0.0.1")
    settings = bridge_settings(broker, tmp_path / "state", bare, discovery=None, commands=False)
    lines = "\n".join(topic_lines(settings))
    assert "vegehub/7C9EBD112233/input/+  volts" in lines
    assert "homeassistant" not in lines
    assert "/set" not in lines


def test_wrong_settings_are_told_on_one_line(tmp_path, capsys) -> None:
    path = tmp_path / "bridge.yaml"
    path.write_text("state: x\nbroker: {host: b, port: none}\n")
    code, out, err = run_main(capsys, "--config", str(path))
    assert (code, out) == (2, "")
    assert "broker.port: expected an integer" in err
    code, _, err = run_main(capsys, "--config", str(tmp_path / "nowhere.yaml"))
    assert code == 1
    assert "nowhere.yaml" in err


async def test_the_command_of_the_command_line_does_the_same(broker, tmp_path, hub, capsys, monkeypatch) -> None:
    path = str(settings_file(tmp_path / "bridge.yaml", broker, [hub]))
    monkeypatch.setenv("COLUMNS", "300")  # lines are wrapped where they end

    async def run(*arguments: str) -> str:
        await asyncio.to_thread(
            lambda: load("bridge", "bridge:bridge").main(list(arguments), prog_name="bridge", standalone_mode=False)
        )
        return capsys.readouterr().out

    lines = (await run("--config", path, "--print-topics")).splitlines()
    assert lines == topic_lines(await asyncio.to_thread(load_settings, path))
    documents = json.loads(await run("--config", path, "--print-topics", "--json"))
    assert [document["topic"] for document in documents] == [line.split("  ")[0] for line in lines]
    with pytest.raises(CommandError, match="nowhere"):
        await run("--config", str(tmp_path / "nowhere.yaml"))
    (tmp_path / "wrong.yaml").write_text("state: 5\n")
    with pytest.raises(CommandError, match="broker: missing") as caught:
        await run("--config", str(tmp_path / "wrong.yaml"))
    assert caught.value.code == 2
    monkeypatch.delitem(sys.modules, "vegehub.mqtt.client")
    monkeypatch.setitem(sys.modules, "aiomqtt", None)
    with pytest.raises(CommandError, match="pip install"):
        await run("--config", path)


async def test_the_command_runs_the_bridge_until_it_is_told_to_end(broker, listener, tmp_path, programs, hub) -> None:
    path = settings_file(tmp_path / "bridge.yaml", broker, [hub])
    call = "from vegehub.cli.app import load; load('bridge', 'bridge:bridge').main(prog_name='bridge')"
    checked = await programs.run(sys.executable, "-c", call, "--config", str(path), "--check")
    assert "lets us in" in checked.out
    process = await programs.start(sys.executable, "-c", call, "--config", str(path))
    await listener.said("vegehub/bridge/main/availability", "online")
    process.send_signal(signal.SIGTERM)
    finished = await programs.finish(process)
    assert (finished.code, finished.err) == (0, "")
    await listener.said("vegehub/bridge/main/availability", "offline")


async def test_without_its_extra_the_program_says_what_to_install(tmp_path, programs, broker, hub) -> None:
    path = settings_file(tmp_path / "bridge.yaml", broker, [hub])
    for missing, said in (("yaml", "PyYAML is missing"), ("aiomqtt", "aiomqtt is missing")):
        call = f"import sys; sys.modules['{missing}'] = None; from vegehub.mqtt.program import main; sys.exit(main())"
        finished = await programs.run(sys.executable, "-c", call, "--config", str(path))
        assert finished.code == 2
        assert said in finished.err
        assert "Traceback" not in finished.err


async def test_nothing_of_the_extra_is_loaded_before_it_is_used(programs) -> None:
    check = "import sys, vegehub.mqtt; sys.exit(bool({'aiomqtt', 'paho', 'yaml'} & set(sys.modules)))"
    assert (await programs.run(sys.executable, "-c", check)).code == 0


# --- TLS --------------------------------------------------------------------------------------------------------------


async def openssl(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "openssl", *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0


async def certificate(folder, name: str, *, issuer: str = "", address: str = "127.0.0.1") -> None:
    """Make a key and a certificate, signed by another or by itself."""
    key, made = str(folder / f"{name}.key"), str(folder / f"{name}.pem")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-keyout", key)
    subject = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{address}")
    # Python 3.13 takes no authority that does not say what its key is for.
    subject += ("-addext", "keyUsage=critical,keyCertSign,digitalSignature")
    signer = ("-CA", str(folder / f"{issuer}.pem"), "-CAkey", str(folder / f"{issuer}.key")) if issuer else ()
    await openssl("req", "-x509", *curve, *subject, *signer, "-days", "2", "-out", made)
    (folder / f"{name}.key").chmod(0o644)


async def test_tls_both_ways_and_a_broker_that_is_another_is_refused(tmp_path, hub) -> None:
    need_mosquitto()
    for name, issuer, address in (
        ("ca", "", "127.0.0.1"),
        ("broker", "ca", "127.0.0.1"),
        ("bridge", "ca", "127.0.0.1"),
        ("elsewhere", "ca", "127.0.0.9"),
        ("stranger", "", "127.0.0.1"),
    ):
        await certificate(tmp_path, name, issuer=issuer, address=address)

    def tls(name: str) -> list[str]:
        return [
            f"cafile {tmp_path}/ca.pem",
            f"certfile {tmp_path}/{name}.pem",
            f"keyfile {tmp_path}/{name}.key",
            "require_certificate true",
        ]

    mine = TlsSettings(ca_file=tmp_path / "ca.pem", cert_file=tmp_path / "bridge.pem", key_file=tmp_path / "bridge.key")
    async with Mosquitto(tmp_path / "b", *tls("broker")) as broker:
        settings = bridge_settings(broker, tmp_path / "state", hub_settings(hub))
        right = replace(settings.broker, tls=mine)
        async with running(replace(settings, broker=right), hub) as bridge:
            await hub.advance(900)
            await bridge._broker.connection()
            await until(lambda: bridge.published)
        for wrong, said in (
            (replace(mine, cert_file=None, key_file=None), "not connected"),
            (replace(mine, ca_file=tmp_path / "stranger.pem"), r"certificate verify failed.*; look at broker\.tls"),
            (replace(mine, ca_file=tmp_path / "nowhere.pem"), r"broker\.tls: .*nowhere\.pem"),
            (replace(mine, key_file=tmp_path / "ca.key"), r"broker\.tls: .*ca\.key"),
            (TlsSettings(), "certificate verify failed"),
        ):
            with pytest.raises(VegeHubBrokerError, match=said):
                await check_broker(replace(right, tls=wrong), "x")
    async with Mosquitto(tmp_path / "e", *tls("elsewhere")) as broker:
        with pytest.raises(VegeHubBrokerError, match="IP address mismatch"):
            await check_broker(replace(right, port=broker.port), "x")


async def test_a_broker_that_is_not_there_is_told_in_words(tmp_path) -> None:
    broker = Mosquitto(tmp_path / "broker")
    broker.port = free_port()
    with pytest.raises(VegeHubBrokerError, match=rf"broker 127\.0\.0\.1:{broker.port}: not connected: .*refused"):
        await check_broker(bridge_settings(broker, tmp_path).broker, "x")
