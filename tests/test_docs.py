"""The documentation is true: its commands run, its pages are fresh, nothing is missing."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from ringfence.apps.cli import COMMANDS, group
from ringfence.audit.record import EventName
from ringfence.chain import errors
from ringfence.chain import fields as chain_fields
from ringfence.chain.shape import Record
from ringfence.control import runs
from ringfence.control.runs import EXIT_CODES

ROOT = Path(__file__).parent.parent
PROGRAM = Path(sys.executable).parent / "ringfence"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
EXAMPLES = sorted((ROOT / "examples").glob("*.*"))
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND_SECONDS = 90

# Hosts a documented command may name: they are reserved for documentation, or only explained.
OWN_HOSTS = re.compile(r"(?:[\w.-]+\.)?(?:example(?:\.(?:com|org|net))?|test|invalid)")


@dataclass(frozen=True, kw_only=True)
class Command:
    """One documented command with the exit code and the output the page states."""

    line: str
    code: int
    output: str


def relative(path: Path) -> str:
    """Give the path as a test id."""
    return path.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Give info string and content of every fenced block of a page."""
    for found in BLOCK.finditer(page.read_text()):
        yield found[1].strip(), found[2]


def commands(text: str) -> list[Command]:
    """Read a console block: `$ ` begins a command, `> ` goes on with it, the rest is output."""
    found: list[Command] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            code = re.search(r"# exits (\d+)", line)
            found.append(Command(line=line[2:], code=int(code[1]) if code else 0, output=""))
        elif line.startswith("> "):
            found[-1] = Command(
                line=f"{found[-1].line}\n{line[2:]}", code=found[-1].code, output=found[-1].output
            )
        else:
            found[-1] = Command(
                line=found[-1].line, code=found[-1].code, output=f"{found[-1].output}{line}\n"
            )
    return found


class Reader:
    """A newcomer: an empty directory, an empty home, a fresh data directory, no key of anybody."""

    def __init__(self, directory: Path) -> None:
        self.here = directory / "here"
        programs = directory / "programs"
        for path in (self.here, programs, directory / "home", directory / "tmp"):
            path.mkdir()
        (programs / "ringfence").symlink_to(PROGRAM)
        # A box would have to mount the environment of these tests if its programs came first.
        search = [p for p in os.environ["PATH"].split(":") if Path(p) != PROGRAM.parent]
        self.environment = {
            "HOME": str(directory / "home"),
            "LANG": "C.UTF-8",
            "PATH": ":".join([*search, str(programs)]),
            "RINGFENCE_DATA": str(directory / "data"),
            "TMPDIR": str(directory / "tmp"),
        }

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run one line in a shell."""
        environment = self.environment | self._ids(line)
        return subprocess.run(
            ["bash", "-c", line],
            cwd=self.here,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def _ids(self, line: str) -> dict[str, str]:
        """Give what stands for an id printed before: the newest run, the oldest open review."""
        ids = {}
        if "$RUN" in line.replace("$RUN_", ""):
            ids["RUN"] = self._first("runs list", "runs", "run")
        if "$REVIEW" in line:
            ids["REVIEW"] = self._first("review list", "reviews", "id")
        return ids

    def _first(self, command: str, listed: str, name: str) -> str:
        answer = self.run(f"ringfence {command} --json").stdout
        return str(json.loads(answer)[listed][0][name])


def matches(expected: str, printed: str) -> bool:
    """Say whether the stated lines stand in the output in this order; `…` stands for any text."""
    position = 0
    for line in expected.splitlines():
        if line.strip() in {"", "…"}:
            continue
        pattern = ".*".join(re.escape(part) for part in line.rstrip().split("…"))
        found = re.compile(f"^{pattern}$", re.MULTILINE).search(printed, position)
        if found is None:
            return False
        position = found.end()
    return True


@pytest.mark.box
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "page", [p for p in PAGES if any(i == "console" for i, _ in blocks(p))], ids=relative
)
def test_every_documented_command_does_what_the_page_says(page: Path, tmp_path: Path) -> None:
    """In order, by a newcomer: exit code and every stated line of output."""
    reader = Reader(tmp_path)
    for info, text in blocks(page):
        if name := re.search(r"\bfile=(\S+)", info):
            (reader.here / name[1]).write_text(text)
        if info != "console":
            continue
        for command in commands(text):
            done = reader.run(command.line)
            said = f"$ {command.line}\n{done.stdout}"
            assert done.returncode == command.code, said
            assert matches(command.output, done.stdout), f"{said}\nexpected:\n{command.output}"


def test_a_wrong_page_is_noticed() -> None:
    """Guard off: another code, another text or another order is no match."""
    found = commands("$ false    # exits 1\n$ echo a\na\n$ cat <<E\n> b\n> E\nb\n")
    assert [c.code for c in found] == [1, 0, 0]
    assert found[2].line == "cat <<E\nb\nE"
    assert matches("a\n…\nc …\n", "a\nb\nc d\n")
    assert not matches("b\na\n", "a\nb\n")
    assert not matches("a\n", "ab\n")


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_documented_commands_ask_nobody(page: Path) -> None:
    """A command in the docs names hosts that belong to nobody."""
    for info, text in blocks(page):
        if info != "console":
            continue
        for command in commands(text):
            hosts = re.findall(r"https?://([\w.-]+)|--allow-host[ =](\S+)", command.line)
            for host in (a or b for a, b in hosts):
                assert OWN_HOSTS.fullmatch(host), f"{page}: {host}"


def test_generated_pages_are_fresh() -> None:
    """`make docs` would change nothing, at any width of the terminal."""
    for columns in ("40", "200"):
        done = subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "docs.py"), "--check"],
            env={**os.environ, "COLUMNS": columns},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def page(name: str) -> str:
    """Give the text of one page below docs/."""
    return (ROOT / "docs" / name).read_text()


@pytest.mark.parametrize("event", [event.value for event in EventName])
def test_every_event_is_explained(event: str) -> None:
    """Each name has its line in the table."""
    assert re.search(rf"^\| `{re.escape(event)}` \| \S", page("audit-events.md"), re.MULTILINE)


def test_the_table_of_events_has_no_stale_line() -> None:
    """A retired name stays in the enum, so a line without one is a mistake."""
    named = set(re.findall(r"^\| `([a-z]+\.[a-z]+)` \|", page("audit-events.md"), re.MULTILINE))
    assert named == {event.value for event in EventName}


def returned(node: ast.expr | None) -> set[int]:
    """Give the whole numbers that an expression can be, as far as they stand in it."""
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return {value}
        case ast.IfExp():
            return returned(node.body) | returned(node.orelse)
        case _:
            return set()


def exit_codes() -> set[int]:
    """Give every exit code that stands in the source of the command line."""
    codes = set(EXIT_CODES.values())
    sources = [*(ROOT / "src/ringfence/apps/cli").glob("*.py"), Path(runs.__file__)]
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Return(value=value):
                    codes |= returned(value)
                case ast.Call(func=ast.Attribute(attr="exit"), args=[value]):
                    codes |= returned(value)
    return codes


def test_every_exit_code_is_explained() -> None:
    """The codes that stand in the source have their line, and no line is stale."""
    listed = {int(n) for n in re.findall(r"^\| (\d+) \| \S", page("exit-codes.md"), re.MULTILINE)}
    assert listed == exit_codes()


@pytest.mark.parametrize("kind", ["InputError", "Refused", "Unavailable", "InternalError"])
def test_every_kind_of_error_is_explained(kind: str) -> None:
    """Who has to act on which kind, and with which exit code it ends."""
    assert issubclass(getattr(errors, kind), errors.RingfenceError)
    assert re.search(rf"^\| `{kind}` \| \S", page("exit-codes.md"), re.MULTILINE)


def settings() -> set[str]:
    """Give every environment variable of ours that source or scripts name."""
    names: set[str] = set()
    for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "scripts").iterdir()]:
        if path.is_file() and path.suffix in {".py", ""}:
            names |= set(re.findall(r"\bRINGFENCE_[A-Z_]*[A-Z]\b", path.read_text()))
    return names


def test_every_setting_is_explained() -> None:
    """Each environment variable has its line, and no line is stale."""
    listed = set(re.findall(r"^\| `(RINGFENCE_\w+)` \| \S", page("settings.md"), re.MULTILINE))
    assert listed == settings()


def test_every_command_is_explained() -> None:
    """Each command and subcommand has its heading in the reference."""
    text = page("cli.md")
    context = click.Context(group, info_name="ringfence")
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        assert f"## `ringfence {name}`" in text
        for child in command.list_commands(context) if isinstance(command, click.Group) else ():
            assert f"### `ringfence {name} {child}`" in text


RECORDS = {
    name: record
    for name, record in vars(chain_fields).items()
    if isinstance(record, Record) and not name.startswith("_")
}


@pytest.mark.parametrize("name", RECORDS)
def test_every_field_of_a_chain_is_explained(name: str) -> None:
    """Refused ones too, each in the table of its record."""
    table = page("chain-format.md").split(f"<!-- fields: {name} -->")[1].split("<!-- end -->")[0]
    for field in RECORDS[name].fields:
        assert f"| `{field.name}` |" in table


@pytest.mark.parametrize("source", PAGES, ids=relative)
def test_every_relative_link_leads_somewhere(source: Path) -> None:
    """Files and headings that are linked are there."""
    text = BLOCK.sub("", source.read_text())
    links = re.findall(r"\]\(([^)\s]+)\)|^\[[^\]]+\]:\s+(\S+)$", text, re.MULTILINE)
    for link in (a or b for a, b in links):
        if re.match(r"https?://|mailto:|data:", link):
            continue
        file, _, heading = link.partition("#")
        target = (source.parent / file).resolve() if file else source
        assert target.exists(), f"{link} in {relative(source)}"
        if heading:
            assert heading in headings(target), f"{link} in {relative(source)}"


def headings(path: Path) -> set[str]:
    """Give the anchors of a page, made as the usual forges make them."""
    titles = re.findall(r"^#+ (.+)$", BLOCK.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("source", PAGES, ids=relative)
def test_every_test_that_is_named_exists(source: Path) -> None:
    """A page that says what proves something names a living test."""
    for path, name in re.findall(r"(tests/[\w/]+\.py)(?:::(test_\w+))?", source.read_text()):
        assert (ROOT / path).is_file(), path
        assert f"def {name}" in (ROOT / path).read_text(), f"{path}::{name}"


def explain(file: Path, reader: Reader, *options: str) -> subprocess.CompletedProcess[str]:
    """Explain a chain copied into the reader's directory."""
    shutil.copy(file, reader.here)
    for folder in ("triage", "ws/collect"):
        (reader.here / folder).mkdir(parents=True, exist_ok=True)
    return reader.run(f"ringfence explain {file.name} {' '.join(options)}")


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_every_example_is_explained(file: Path, tmp_path: Path) -> None:
    """With a program in place of each client, every example gives a plan for every agent."""
    reader = Reader(tmp_path)
    programs = tmp_path / "programs"
    shutil.copy("/bin/true", programs / "claude")
    done = explain(file, reader, "--client", "claude")
    assert done.returncode == 0, done.stdout


def test_an_agent_without_a_program_is_refused_by_name(tmp_path: Path) -> None:
    """A chain of the other format names no client; the refusal says who needs one."""
    done = explain(ROOT / "examples" / "release-notes.json", Reader(tmp_path))
    assert done.returncode == 2
    assert "error: no-client: agent 'collect' has a prompt but nothing that runs it" in done.stdout
    assert "or give --client" in done.stdout


def test_a_client_that_is_not_installed_is_named(tmp_path: Path) -> None:
    """Nothing else is started in its place."""
    reader = Reader(tmp_path)
    reader.environment["PATH"] = f"{tmp_path / 'programs'}:/usr/bin:/bin"
    done = explain(ROOT / "examples" / "fetch-with-fallback.yaml", reader)
    assert done.returncode == 2
    assert "error: command-not-found: 'claude': no such executable" in done.stdout
