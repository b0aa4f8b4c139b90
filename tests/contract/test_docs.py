"""What the documents say is so: settings, commands, links, codes, metrics, topics."""

import importlib
import pkgutil
import re
import runpy
import shlex
import stat
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from composition import ROOT, parsed
from typer.main import get_command

import adapters
from adapters.cli import app
from adapters.clock import WallClock
from adapters.configuration import variables
from adapters.http.notes import NoteRoute
from adapters.http.server import HttpServer
from adapters.kafka.agents import StageHealth
from adapters.kafka.run import ExitCode
from adapters.kafka.topics import TOPICS
from adapters.mllp.receiver import new_stats
from adapters.observability.metrics import Metrics
from adapters.worker import Role
from engine.errors import WardstreamError
from engine.fhir.inbound import INVALID
from engine.mapping.mapper import Mapper
from engine.settings import Settings

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
FEED = "<feed>"

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def fenced(text, *languages):
    """Contents of the code blocks in one of these languages."""
    blocks = re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [body for language, body in blocks if language in languages]


def calls(lines):
    """Arguments of the lines that call ``wardstream``; variables set before it and comments are left out."""
    for line in lines:
        words = [word for word in shlex.split(line, comments=True) if not re.match(r"[A-Z_]+=", word)]
        if words and Path(words[0]).name == "wardstream":
            yield words[1:]


def typed(text):
    """Calls in the shell blocks of a page: what a reader copies."""
    blocks = [re.sub(r"\\\n", " ", block) for block in fenced(text, "sh")]
    return list(calls(line for block in blocks for line in block.splitlines()))


def mentioned(text):
    """Calls in the prose of a page, often without their arguments."""
    return list(calls(re.findall(r"`(wardstream [^`]+)`", without_blocks(text))))


def without_blocks(text):
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)


def rows(text, first_title):
    """Cells of the table whose first column has that title."""
    found, inside = [], False
    for line in text.splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells[0] == first_title:
            inside = True
        elif inside and not set(cells[0]) <= {"-"}:
            found.append(cells)
    return found


def names(cell):
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def anchors(text):
    """Anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# -- tables that are written from the code -------------------------------------------------------------------


def test_the_tables_of_settings_are_those_of_the_code():
    """Every variable, its default and its reason; the message says how to write them anew."""
    with_tables = runpy.run_path(str(ROOT / "tools" / "write_settings_table.py"))["with_tables"]
    assert with_tables(OPERATIONS) == OPERATIONS, "run: python tools/write_settings_table.py"


def test_every_variable_is_in_the_tables():
    """The tool that writes the tables leaves none out."""
    assert {cells[0].strip("`") for cells in rows(OPERATIONS, "variable")} == set(variables())


def test_the_table_of_topics_is_that_of_the_code():
    """Key, value and description of each topic, in the same words and order."""
    page = (ROOT / "docs" / "topics.md").read_text(encoding="utf-8")
    assert rows(page, "topic")[: len(TOPICS)] == [
        [each.name, each.key, each.value, each.description] for each in TOPICS.values()
    ]


# -- commands and links --------------------------------------------------------------------------------------


@every_page
def test_every_command_to_be_typed_is_understood(page):
    """Whoever types what the page says gets no usage error."""
    for words in typed(page.read_text(encoding="utf-8")):
        if words != ["--help"]:
            parsed(words)


@every_page
def test_every_command_that_a_page_mentions_exists(page):
    """The command is there, and so are the options named with it."""
    for words in mentioned(page.read_text(encoding="utf-8")):
        command = get_command(app)
        for word in words:
            if word.startswith("--"):
                assert word in {option for each in command.params for option in each.opts}, words
            elif hasattr(command, "commands"):
                command = command.commands[word]


def test_the_pages_do_name_commands():
    """The checks above look at something."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    assert {words[0] for text in texts for words in typed(text)} >= {
        "run",
        "convert",
        "replay",
        "trace",
        "dlq",
    }
    assert {words[0] for text in texts for words in mentioned(text)} >= {"run", "convert", "demo"}


@every_page
def test_every_link_leads_somewhere(page):
    """Files and headings that a page points to are there."""
    text = without_blocks(page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target


@every_page
def test_every_file_that_a_page_names_is_there(page):
    """Paths in backticks that begin with a folder of the repository exist."""
    text = page.read_text(encoding="utf-8")
    folders = "adapters|bench|deploy|docs|engine|fixtures|models|tests|tools"
    for path in re.findall(rf"`((?:{folders})/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path


@every_page
def test_every_make_target_on_a_page_exists(page):
    """``make x`` in a shell block or in backticks does something."""
    text = page.read_text(encoding="utf-8")
    targets = set(re.findall(r"^[a-z-]+(?=:)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = set(re.findall(r"`make ([a-z-]+)`", text))
    asked |= {m for block in fenced(text, "sh") for m in re.findall(r"^make ([a-z-]+)", block, re.MULTILINE)}
    assert asked <= targets


@every_page
def test_every_setting_that_a_page_names_exists(page):
    """``kafka.partitions`` in a text is a setting, by that very name."""
    settings = Settings()
    sections = "kafka|mllp|http|read|mapping|nlp|drift|observability"
    for section, name in re.findall(rf"`({sections})\.([a-z_]+)`", page.read_text(encoding="utf-8")):
        if f"{section}.{name}" not in TOPICS:
            assert hasattr(getattr(settings, section), name), f"{section}.{name}"


def test_the_example_overlays_compile():
    """The tables that README and operations show are accepted, and do what the page says."""
    for page in ("README.md", "docs/operations.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        files = re.findall(r"`overlay/([\w/-]+\.csv)`", text)
        blocks = fenced(text, "csv")
        assert files
        assert len(files) == len(blocks)
        overlay = Tree(dict(zip(files, blocks, strict=True)))
        Mapper(overlay)


class Tree:
    """A folder of texts, as the loader of tables sees one."""

    def __init__(self, files, name="overlay"):
        self.name = name
        self._files = files

    def iterdir(self):
        for top in sorted({path.split("/")[0] for path in self._files}):
            inner = {p.partition("/")[2]: t for p, t in self._files.items() if p.split("/")[0] == top}
            yield Tree(inner, top)

    def is_dir(self):
        return "" not in self._files

    def read_text(self, encoding):
        return self._files[""]


# -- codes, statuses, metrics --------------------------------------------------------------------------------


def error_codes():
    """Codes of all errors of the project, and those that are not errors of Python."""
    for package in pkgutil.walk_packages(adapters.__path__, "adapters."):
        if package.name.endswith(".errors"):
            importlib.import_module(package.name)
    pending, found = [WardstreamError], {INVALID}
    while pending:
        kind = pending.pop()
        if kind.__module__.startswith(("engine.errors", "adapters.")):
            found.add(kind.code)
        pending += kind.__subclasses__()
    return found


def test_every_code_is_explained():
    """An operator who sees a code finds it, and no code is explained that does not exist."""
    letters = {code for cells in rows(OPERATIONS, "code") for code in names(cells[0])}
    (others,) = re.findall(
        r"^Codes of errors that end a process.*?\n\n", OPERATIONS, re.MULTILINE | re.DOTALL
    )
    assert letters | set(names(others)) == error_codes()
    assert not letters & set(names(others))


def test_every_exit_code_is_explained():
    """A supervisor can be set up from the table."""
    told = {int(cells[0]) for cells in rows(OPERATIONS, "code") if cells[0].isdigit()}
    assert told == {*(code.value for code in ExitCode), 1, 2}


def note_route():
    return NoteRoute(Settings(), SimpleNamespace(), SimpleNamespace(), WallClock(), b"key")


def test_every_metric_is_explained():
    """The table has what is served, and nothing else."""
    metrics = Metrics()
    metrics.add("mllp_FEED", new_stats())
    HttpServer(Settings(), SimpleNamespace(), WallClock(), metrics, SimpleNamespace(), note_route())
    metrics.watch(lambda: [StageHealth("drift", (), 0, 0.0, rebalancing=False)])
    served = {
        line.split(" ")[0].split("{")[0].replace("FEED", FEED)
        for line in metrics.text().decode().splitlines()
        if not line.startswith("#")
    }
    told = set()
    for cells in rows(OPERATIONS, "metric"):
        for name in names(cells[0]):
            ends = re.split(r",\s*", cells[1].partition(": ")[2]) if name.endswith("*") else [""]
            told |= {name.removesuffix("*") + end for end in ends}
    assert told == served


def test_every_role_is_named():
    """The list of roles is whole."""
    (sentence,) = re.findall(r"takes `all` or some of ([^.]+)\.", OPERATIONS)
    assert names(sentence) == [role.value for role in Role]


def test_every_path_of_the_http_side_is_named_as_it_is():
    """What the page says can be asked for is routed."""
    server = HttpServer(
        Settings(), SimpleNamespace(), WallClock(), Metrics(), SimpleNamespace(), note_route()
    )
    routed = {f"{r.method} {r.resource.canonical}" for r in server.application().router.routes()}
    assert set(re.findall(r"`((?:GET|POST) /[a-z/]+)`", OPERATIONS)) <= routed


# -- the rest ------------------------------------------------------------------------------------------------


def test_decisions_are_numbered_once():
    """A number names one decision, and its page says so in its first line."""
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [page.name.split("-")[0] for page in pages]
    assert len(numbers) == len(set(numbers))
    for page in pages:
        assert page.read_text(encoding="utf-8").startswith(f"# {page.name[:4]} ")


def test_every_runtime_dependency_was_decided_on():
    """A package comes in with its reason, licence and weight, or not at all."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.match(r"[\w.-]+", each).group().lower() for each in project["dependencies"]}
    (page,) = (ROOT / "docs" / "decisions").glob("0007-*.md")
    table = " ".join(cells[0] for cells in rows(page.read_text(encoding="utf-8"), "package"))
    assert wanted == {
        re.match(r"[\w.-]+", each).group().lower() for each in re.split(r"[\s,]+", table) if each[0].isalpha()
    }


@every_page
def test_no_page_names_a_package_index(page):
    """Where packages come from is the site's own configuration."""
    assert not re.search(r"index-url|find-links|pypi\.|npmjs|repo1\.maven", page.read_text(encoding="utf-8"))


def test_the_script_of_ci_can_be_run():
    """It is executable, stops at the first failure, and lets no test against a real Kafka be skipped."""
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    text = script.read_text()
    assert "set -euo pipefail" in text
    assert text.index("export WARDSTREAM_REQUIRE_KAFKA=1") < text.index("make test\n")
