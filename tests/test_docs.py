"""Run the commands of the documentation and check its links and lists.

How to write a page:

    ```console                          every such block is run, in the order of the page
    $ heldout challenge check x         a command; `> ` continues it
    ok: ...                             its output; `...` matches anything; no output: not compared
    ```

A failing command must be followed by `$ echo $?`. `heldout serve` runs in the background on a free
port until the page ends, and 127.0.0.1:7777 in the page is replaced by its address. The year 2030 is
replaced by next year. `<!-- not run: reason -->` before a block exempts it; `<!-- run ... -->` holds
commands that only a test needs.

A page has dozens of commands, and each start of the program costs a second of imports. So `heldout`
is here a small client of a process that has imported it once and forks for every command.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from pydantic import BaseModel

import scorer
from scorer.challenges.definition import (
    CompetitionDefaults,
    Definition,
    Example,
    Source,
    Split,
    SubmissionForm,
)
from tests.conftest import missing
from tests.servers import ROOT, environment, served, zygote
from tools import reference

DOCS = ROOT / "docs"
PAGES = sorted(
    [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY")]
    + [*DOCS.rglob("*.md")]
)
SHOWN_ADDRESS = "http://127.0.0.1:7777"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@dataclass
class Command:
    line: int
    text: str
    expected: list[str] = field(default_factory=list)


BLOCK = re.compile(
    r"(?P<exempt><!-- not run: (?P<reason>[^\n]+) -->\n+)?^```console\n(?P<shown>.*?)^```$"
    r"|^<!-- run\n(?P<hidden>.*?)^-->$",
    re.MULTILINE | re.DOTALL,
)


def commands(page: Path) -> list[Command]:
    text = page.read_text(encoding="utf-8")
    found: list[Command] = []
    for block in BLOCK.finditer(text):
        if block["exempt"]:
            assert len(block["reason"]) > 10, f"{name_of(page)}: give the reason why it is not run"
            continue
        group = "hidden" if block["hidden"] is not None else "shown"
        first = text.count("\n", 0, block.start(group)) + 1
        for number, line in enumerate(block[group].splitlines(), first):
            if line.startswith("$ "):
                found.append(Command(number, line[2:]))
            elif line.startswith("> "):
                found[-1].text += "\n" + line[2:]
            else:
                assert found, f"{name_of(page)}:{number}: output before the first command"
                found[-1].expected.append(line)
    return found


CLIENT = """\
#!{python} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as zygote:
    zygote.connect({address!r})
    words = {{"module": "app", "words": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ)}}
    socket.send_fds(zygote, [json.dumps(words).encode()], [0, 1, 2])
    zygote.recv(16)  # its pid
    sys.exit(int(zygote.recv(16)))
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a `heldout` that forks instead of importing."""
    folder = tmp_path_factory.mktemp("bin")
    client = folder / "heldout"
    client.write_text(CLIENT.format(python=sys.executable, address=zygote()), encoding="utf-8")
    client.chmod(0o700)
    return folder


class Shell:
    """Run the commands of one page in one bash.

    Variables and files stay from one block to the next.
    """

    MARK = "--- ended with"

    def __init__(self, home: Path, programs: Path) -> None:
        self.home = home
        self.data_dir = home / "data"
        self._addresses: dict[str, str] = {}
        self._servers = ExitStack()
        env = environment(self.data_dir) | {
            "PATH": os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "COLUMNS": "100",
            "XDG_CONFIG_HOME": str(home / ".config"),  # where the client keeps a sign-in
        }
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=home,
            env=env,
        )

    def run(self, command: str) -> tuple[str, int]:
        if command.split()[:2] == ["heldout", "serve"]:
            return self._serve(command.split()[2:]), 0
        for shown, real in self._addresses.items():
            command = command.replace(shown, real)
        command = command.replace("2030-", f"{datetime.now(UTC).year + 1}-")
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        # The subshell passes the exit code on, so that the page's own `echo $?` prints it.
        script = f"{{ {command}\n}} </dev/null; code=$?; echo; echo '{self.MARK}' $code; (exit $code)\n"
        self._bash.stdin.write(script)
        self._bash.stdin.flush()
        output: list[str] = []
        for line in self._bash.stdout:
            if line.startswith(self.MARK):
                text = "".join(output)[:-1]
                for shown, real in self._addresses.items():
                    text = text.replace(real, shown)
                return text, int(line.removeprefix(self.MARK))
            output.append(line)
        raise AssertionError(f"the shell ended at {command!r}: {''.join(output)}")

    def _serve(self, words: list[str]) -> str:
        # A page may show a server for other machines; the test listens on this one only.
        words = ["127.0.0.1" if word == "0.0.0.0" else word for word in words]
        server = self._servers.enter_context(served(self.data_dir, *words))
        self._addresses[SHOWN_ADDRESS] = server.address
        return f"Heldout is ready on {SHOWN_ADDRESS}\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._servers.close()
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.close()
        self._bash.stdout.close()
        self._bash.wait(10)


def as_shown(expected: list[str], output: str) -> bool:
    """Return whether the output matches the page; `...` matches any text, also several lines."""
    wanted = "\n".join(line.rstrip() for line in expected).strip()
    got = "\n".join(line.rstrip() for line in output.splitlines()).strip()
    pattern = ".*".join(re.escape(part) for part in wanted.split("..."))
    return re.fullmatch(pattern, got, re.DOTALL) is not None


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", [p for p in PAGES if commands(p)], ids=name_of)
def test_every_command_prints_what_the_page_shows(page: Path, tmp_path: Path, programs: Path) -> None:
    (tmp_path / "challenges").symlink_to(ROOT / "challenges")
    planned = commands(page)
    if shutil.which("curl") is None and any("curl " in command.text for command in planned):
        missing("curl", "apt-get install curl")
    with Shell(tmp_path, programs) as shell:
        for command, following in zip(planned, [*planned[1:], None], strict=True):
            output, code = shell.run(command.text)
            place = f"{name_of(page)}:{command.line}: $ {command.text}\n{output}"
            may_fail = following is not None and following.text == "echo $?"
            assert code == 0 or may_fail, f"{place}\nended with {code}"
            if "".join(command.expected).strip():
                shown = "\n".join(command.expected)
                assert as_shown(command.expected, output), f"{place}\nbut the page shows\n{shown}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_are_in_console_blocks(page: Path) -> None:
    fences = re.findall(r"^```(\w*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert not {"sh", "bash", "shell"} & set(fences), "use ```console, which is run"


def test_the_matcher_accepts_equal_output_and_refuses_other_output() -> None:
    assert as_shown(["a ... c", "", "end"], "a b c  \n\nend\n")
    assert as_shown(["first", "..."], "first\nsecond\nthird\n")
    assert not as_shown(["a b"], "a b c")
    assert not as_shown(["a.c"], "abc")


def prose(page: Path) -> str:
    """Return the page without its code."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def links(page: Path) -> Iterator[str]:
    yield from re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", prose(page))


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "challenges/README.md"], ids=name_of)
def test_every_link_names_an_existing_page_and_heading(page: Path) -> None:
    for link in links(page):
        if link.startswith(("https:", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), f"{name_of(page)}: {link} does not exist"
        if anchor:
            assert anchor in anchors(target), f"{name_of(page)}: {link}: no such heading"


def test_every_page_can_be_reached_from_the_index() -> None:
    reached: set[Path] = set()
    ahead = [DOCS / "index.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        ahead += [
            (page.parent / link.partition("#")[0]).resolve()
            for link in links(page)
            if not link.startswith(("https:", "#"))
        ]
    assert set(DOCS.rglob("*.md")) <= reached


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    for file, name in re.findall(r"(tests/[\w/]+\.py)::(\w+)", page.read_text(encoding="utf-8")):
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file} has no {name}"


def test_generated_pages_are_up_to_date() -> None:
    assert reference.out_of_date() == [], "run `python tools/reference.py`"


def format_page() -> str:
    return (DOCS / "reference" / "challenge-format.md").read_text(encoding="utf-8")


MODELS: dict[str, type[BaseModel]] = {
    "": Definition,
    "source": Source,
    "submission": SubmissionForm,
    "competition": CompetitionDefaults,
    "split": Split,
    "examples": Example,
}


@pytest.mark.parametrize("part", MODELS)
def test_every_key_of_a_challenge_is_documented_with_its_default(part: str) -> None:
    for key, spec in MODELS[part].model_fields.items():
        whole = f"{part}.{key}" if part else key
        row = re.search(rf"^\| `{re.escape(whole)}` \|([^|]*)\|([^|]*)\|", format_page(), re.MULTILINE)
        assert row, f"challenge-format.md has no row for {whole}"
        if isinstance(spec.default, int | str) and spec.default:
            assert str(spec.default) in row[2], f"{whole}: the default is {spec.default}"


def test_every_documented_key_exists() -> None:
    for whole in re.findall(r"^\| `([a-z_.]+)` \|", format_page(), re.MULTILINE):
        part, _, key = whole.rpartition(".")
        assert part in MODELS or part == "baselines", whole
        if part in MODELS:
            assert key in MODELS[part].model_fields, whole


def test_the_example_of_the_format_passes_the_check(tmp_path: Path) -> None:
    folder = scorer.scaffold(tmp_path / "example")
    [example] = re.findall(r"^```yaml\n(.*?)^```$", format_page(), re.MULTILINE | re.DOTALL)
    (folder / "challenge.yaml").write_text(example, encoding="utf-8")
    challenge = scorer.load(folder)
    assert challenge.title == "Who responds?"
    assert not scorer.check(challenge).problems


def test_every_file_in_the_layout_exists() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    [layout] = re.findall(r"^## Layout\n+(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    named = re.findall(r"^ {4}(\S+)", layout, re.MULTILINE)
    assert len(named) > 6
    assert all((ROOT / name).exists() for name in named), named


@pytest.mark.parametrize("page", sorted((DOCS / "decisions").glob("0*.md")), ids=name_of)
def test_a_decision_has_reasons_alternatives_and_costs(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.match(rf"# {page.name[:4]} ", text)
    for part in ("## Why", "## Alternatives", "## What it costs"):
        assert part in text
    for name in re.findall(r"`((?:app|scorer|worker|tests)/[\w/]+\.py)`", text):
        assert (ROOT / name).is_file(), f"{name_of(page)}: {name} does not exist"


def test_how_it_works_names_every_state() -> None:
    from app.base.models import State

    text = (DOCS / "how-it-works.md").read_text(encoding="utf-8")
    assert all(f"`{state}`" in text for state in State)


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        ("app.competing.evaluations", "MAX_ATTEMPTS", 3),
        ("app.competing.competitions", "REJECTED_LIMIT", 20),
        ("app.people.accounts", "MIN_PASSWORD_LENGTH", 8),
        ("scorer.sandbox.baselines", "LIMIT_SECONDS", 600),
    ],
)
def test_numbers_in_pages_are_those_of_the_code(module: str, name: str, value: float) -> None:
    found = getattr(import_module(module), name)
    assert found == value, f"{name} changed: correct docs/, then this test"


def test_every_threat_has_a_number_of_its_own() -> None:
    rows = re.findall(r"^\| (\d+) ", (ROOT / "docs" / "threats.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) > 20
    assert sorted(rows, key=int) == sorted(set(rows), key=int)
