"""The pages of docs/: each block of code runs, each link leads somewhere, and the reference has every public name.

Blocks are run as those of README.md are (see test_documents.py), with some kinds more:

* ``python`` with ``port N``: a program that listens on port N, which becomes a free one.
* ``python`` with ``announced N``: N hubs announce themselves on the loopback, and discovery looks nowhere else.
* ``python`` with ``integration FILE``: all of a page are one Home Assistant integration, which a stand-in for it runs.
* ``python`` with ``garden``: it finds the first ``toml`` block of its page as ``vegehub.toml``.
* ``toml``: a garden, which is read.
* ``json`` with ``data FILE``: the example of that name in tests/data.
* ``console`` and ``bash`` may also run the command ``vegehub``.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, get_args

import home_assistant
import pytest
import test_documents
from programs import ROOT, STRICT, until
from test_documents import ADDRESS, Block, Stage, blocks_of, went_well
from test_documents import stage as hubs_and_server  # noqa: F401 - a fixture

import vegehub
from vegehub import Garden
from vegehub.fleet import EventKind
from vegehub.simulator import mdns
from vegehub.simulator.mdns import HubAnnouncer, hub_txt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from programs import Finished

DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in DOCS.rglob("*.md"))
BLOCKS = [block for page in PAGES for block in blocks_of(page)]
THIS_MACHINE = "192.0.2.10"
"""Stands for the machine of the reader; 127.0.0.1 takes its place."""


def kind_of(block: Block) -> str:
    return block.note.partition(" ")[0]


def load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.rpartition("/")[2].removesuffix(".py"), ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pages_hook = load("docs/_pages.py")


@pytest.fixture
async def docs_stage(hubs_and_server: Stage) -> Stage:  # noqa: F811 - the fixture of that name
    # Last: what is an address with a port has been replaced by then.
    hubs_and_server._places[THIS_MACHINE] = "127.0.0.1"
    return hubs_and_server


# Python blocks


async def run_on_port(block: Block, stage: Stage) -> str:
    documented = block.note.split()[1]
    assert documented in block.text
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    program = stage.save("program.py", block.text.replace(documented, port))
    return went_well(await stage.python(str(program))).replace(port, documented)


def toml_of(page: str) -> str:
    return next(block.text for block in BLOCKS if block.language == "toml" and block.place.startswith(f"{page}:"))


async def run_in_garden(block: Block, stage: Stage) -> str:
    stage.save("vegehub.toml", toml_of(block.place.partition(":")[0]))
    return went_well(await stage.python(str(stage.save("program.py", block.text))))


LOOPBACK_DISCOVERY = """
import runpy, sys
from vegehub.finding import discovery
from vegehub.simulator import mdns
discovery.SERVICE_TYPE = mdns.SERVICE_TYPE = sys.argv[1]
find = discovery.open_zeroconf
discovery.open_zeroconf = lambda interfaces: find(interfaces or ["127.0.0.1"])
del sys.argv[:2]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


async def run_announced(block: Block, stage: Stage) -> str:
    program = stage.save("program.py", block.text)
    return went_well(await announced(stage, int(block.note.split()[1]), str(program)))


async def announced(stage: Stage, count: int, program: str, *arguments: str) -> Finished:
    """Run a program while ``count`` hubs announce themselves; without the guard of other programs, which refuses mDNS."""
    service_type = f"_vs{stage.hub.port}._tcp.local."
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mdns, "SERVICE_TYPE", service_type)
        async with HubAnnouncer() as announcer:
            for hub in list(stage.hubs.values())[:count]:
                board = hub.profile
                txt = hub_txt(version=board.firmware, sensors=board.num_inputs, actuators=board.num_actuators)
                await announcer.announce(hub.name, hub.host, hub.port, txt, probe=False)
            wrapper = stage.save("wrapper.py", LOOPBACK_DISCOVERY)
            return await stage.programs.python(
                *(str(wrapper), service_type, program, *arguments),
                cwd=stage.folder,
                environment={"PYTHONPATH": str(stage.folder)},
            )


KINDS: dict[str, Callable[..., Any]] = {
    **test_documents.KINDS,
    "port": run_on_port,
    "announced": run_announced,
    "garden": run_in_garden,
}


# Commands


async def run_command(command: list[str], stage: Stage) -> str:
    """Run a command of a block and return what it wrote to stdout; what the command line says on stderr is no fault."""
    match command:
        case ["vegehub", "simulate", *_]:
            return await run_simulator([*command, "--json", "--no-mdns"], stage)
        case ["vegehub", *arguments]:
            main = stage.save("main.py", "import sys\nfrom vegehub.cli import main\nsys.exit(main())\n")
            if arguments[0] == "discover":
                finished = await announced(stage, 3, str(main), *arguments)
            else:
                finished = await stage.python(str(main), *arguments)
            assert finished.code == 0, finished.err
            return finished.out
        case _:
            return await test_documents.run_command(command, stage)


async def run_simulator(command: list[str], stage: Stage) -> str:
    """Start simulated hubs until they have said where they are, and end them by Ctrl-C."""
    process = await stage.programs.start(sys.executable, *STRICT, "-m", *command, cwd=stage.folder)
    assert process.stdout is not None
    assert json.loads(await process.stdout.readline())
    process.send_signal(signal.SIGINT)
    finished = await stage.programs.finish(process)
    assert finished.code in (0, 130), finished.err
    return ""


async def run_commands(block: Block, stage: Stage) -> str:
    for line in stage.put_in_place(block.text).replace("\\\n", " ").splitlines():
        if command := shlex.split(line, comments=True):
            await run_command(command, stage)
    return ""


async def run_console(block: Block, stage: Stage) -> str:
    """Run the command after ``$``; return the block as it should be."""
    command, _, _ = block.text.partition("\n")
    assert command.startswith("$ ")
    out = await run_command(shlex.split(stage.put_in_place(command[2:])), stage)
    return f"{command}\n{stage.documented(out)}"


RUN = [block for block in BLOCKS if block.language in ("python", "bash", "console") and kind_of(block) != "integration"]


async def run(block: Block, stage: Stage) -> str:
    """Run a block; return what it printed, as the document would write it."""
    if block.language == "python":
        return stage.documented(await KINDS[kind_of(block)](block, stage))
    return await {"bash": run_commands, "console": run_console}[block.language](block, stage)


@pytest.mark.slow
@pytest.mark.parametrize("block", RUN, ids=lambda block: block.place)
async def test_block_does_what_the_page_says(block: Block, docs_stage: Stage) -> None:
    out = await run(block, docs_stage)
    if block.language == "console":
        # The columns of a table have other widths with the addresses of the test.
        assert out.split() == block.text.split()
    elif block.language == "python":
        assert out == (block.output or "")

    async def nobody_connected() -> bool:
        return not any(hub.open_connections for hub in docs_stage.hubs.values())

    await until(nobody_connected)


@pytest.mark.slow
async def test_the_home_assistant_integration_works(docs_stage: Stage) -> None:
    for name, text in home_assistant.FILES.items():
        docs_stage.save(f"homeassistant/{name}", text)
    files = {block.note.split()[1]: block for block in BLOCKS if kind_of(block) == "integration"}
    assert {block.place.partition(":")[0] for block in files.values()} == {"docs/home-assistant.md"}
    for name, block in files.items():
        docs_stage.save(f"garden/{name}", block.text)
    assert json.loads(files["manifest.json"].text)["requirements"] == [f"vegehub=={vegehub.__version__}"]
    went_well(await docs_stage.python(str(docs_stage.save("program.py", home_assistant.DRIVER))))


def test_every_block_is_run_or_compared_or_marked_as_text() -> None:
    assert len(RUN) > 40
    for block in BLOCKS:
        assert block.language in ("python", "bash", "console", "json", "toml", "text"), (
            f"{block.place}: {block.language!r}"
        )
        if block.language == "python":
            assert kind_of(block) in {*KINDS, "integration"}, f"{block.place}: {block.note!r}"
        elif block.language == "json":
            assert kind_of(block) in ("data", "integration"), f"{block.place}: which file of tests/data is it?"
        else:
            assert not block.note, f"{block.place}: only Python and JSON blocks have a kind"


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if kind_of(block) == "data"], ids=lambda block: block.place
)
def test_an_example_of_the_wire_is_the_one_of_the_test_data(block: Block) -> None:
    recorded = (ROOT / "tests" / "data" / block.note.split()[1]).read_text(encoding="utf-8")

    def in_order(text: str) -> Any:
        return json.loads(text, object_pairs_hook=lambda pairs: pairs)

    assert in_order(block.text) == in_order(recorded)


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language == "toml"], ids=lambda block: block.place
)
def test_a_garden_on_a_page_is_one(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "vegehub.toml"
    path.write_text(block.text, encoding="utf-8")
    assert len(Garden.load(path)) > 0


# Links and names


def links_of(page: str) -> list[tuple[str, str]]:
    """The links of a page to other files and places, as (path in the project, anchor)."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" not in target:
            whole = (ROOT / page).parent.joinpath(path).resolve() if path else ROOT / page
            found.append((whole.relative_to(ROOT).as_posix(), anchor))
    return found


def anchors_of(page: str) -> set[str]:
    """The anchors that headings give, as Markdown of mkdocs and of code forges agree on them."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.+?)(?: *\{ *#(\S+) *\})?$", text, re.MULTILINE)
    return {anchor or re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip()) for title, anchor in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page: str) -> None:
    dead = []
    for path, anchor in links_of(page):
        if not (ROOT / path).exists() or (anchor and anchor not in anchors_of(path)):
            dead.append(f"{path}#{anchor}")
    assert dead == []


@pytest.mark.parametrize("page", [*PAGES, *pages_hook.ROOT_PAGES])
def test_every_link_leads_somewhere_on_the_site_too(page: str) -> None:
    on_site = {path.removeprefix("docs/") for path in PAGES} | {*pages_hook.ROOT_PAGES.values(), pages_hook.EXAMPLES}
    folder, _, name = page.rpartition("/")
    place = page.removeprefix("docs/") if page.startswith("docs/") else pages_hook.ROOT_PAGES[name]
    shown = pages_hook.translate((ROOT / page).read_text(encoding="utf-8"), folder, place)
    shown = re.sub(r"^```.*?^```$", "", shown, flags=re.MULTILINE | re.DOTALL)
    targets = [target.partition("#")[0] for target in re.findall(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)", shown)]
    base = (DOCS / place).parent
    places = [
        (base / target).resolve().relative_to(DOCS).as_posix() for target in targets if target and "://" not in target
    ]
    assert [path for path in places if path not in on_site and not (DOCS / path).is_file()] == []


def test_the_examples_are_all_on_their_page() -> None:
    page = pages_hook.examples_page()
    for path in (ROOT / "examples").glob("*.py"):
        assert f"{{ #{path.stem} }}" in page
        assert path.read_text(encoding="utf-8") in page


def test_the_navigation_has_every_page_once() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"^ +- (?:[^\n:]+: )?(\S+\.md)$", text.partition("\nnav:")[2], re.MULTILINE)
    there = [path.removeprefix("docs/") for path in PAGES] + [*pages_hook.ROOT_PAGES.values(), pages_hook.EXAMPLES]
    assert sorted(listed) == sorted(there), "the pages of docs/ and the list 'nav' in mkdocs.yml differ"


def test_the_reference_has_every_public_name() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md"))
    shown = set(re.findall(r"^::: (\S+)$", text, re.MULTILINE))
    last_parts = {name.rpartition(".")[2] for name in shown if name.count(".") in (1, 2)}
    assert set(vegehub.__all__) - last_parts - {"__version__"} == set()
    for name in shown:
        module, _, attribute = name.rpartition(".")
        try:
            assert hasattr(importlib.import_module(module), attribute), name
        except ModuleNotFoundError:
            importlib.import_module(name)


def test_the_page_of_the_manager_has_every_event() -> None:
    page = (DOCS / "manager.md").read_text(encoding="utf-8")
    table = page.partition("| kind | when |")[2].partition("\n\n")[0]
    told = re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines()[1:]))
    assert sorted(told) == sorted(get_args(EventKind))


def test_the_error_tree_is_the_one_of_the_code() -> None:
    from vegehub import exceptions

    (tree,) = [block.text for block in blocks_of("docs/errors.md") if block.text.startswith("VegeHubError ")]
    assert exceptions.__doc__ is not None
    assert tree.strip() in exceptions.__doc__


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_exists(page: str) -> None:
    test_documents.test_every_test_that_a_document_names_exists(page)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_holds_only_addresses_that_are_reserved_for_documentation(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    if page == "docs/protocol.md":
        text = re.sub(r"^```json.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)  # those of tests/data
    allowed = ("192.0.2.", "127.", "0.0.0.0")
    assert [address for address in ADDRESS.findall(text) if not address.startswith(allowed)] == []


def test_the_check_of_the_built_site_sees_what_it_is_for(tmp_path: Any) -> None:
    check = load("docs/_check.py").check
    (tmp_path / "other.html").write_text('<h2 id="there">x</h2>', encoding="utf-8")
    page = tmp_path / "index.html"
    page.write_text('<a href="other.html#there">x</a><a href="https://example.org/">y</a>', encoding="utf-8")
    assert check(tmp_path) == []
    for bad in (
        '<a href="missing.html">x</a>',
        '<a href="other.html#missing">x</a>',
        '<script src="https://example.org/x.js"></script>',
        '<link rel="stylesheet" href="//example.org/x.css">',
        '<img src="missing.png">',
        "<style>@import 'https://example.org/x.css';</style>",
        '<p style="background: url(https://example.org/x.png)">x</p>',
    ):
        page.write_text(bad, encoding="utf-8")
        assert len(check(tmp_path)) == 1, bad
    page.write_text("", encoding="utf-8")
    (tmp_path / "x.css").write_text("a{background:url(https://example.org/x.png)}", encoding="utf-8")
    assert len(check(tmp_path)) == 1


def test_nothing_of_the_configuration_names_another_host() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in settings
    assert "://" not in settings
    for path in (DOCS / "assets").iterdir():
        text = re.sub(r'xmlns="http://www\.w3\.org/2000/svg"', "", path.read_text(encoding="utf-8"))
        assert "://" not in text, path.name
