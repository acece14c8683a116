"""The shell blocks of the documentation: every command is parsed, and blocks run here unless a comment says why not.

A block that is not run follows ``<!-- not run: reason -->``. The others run in a folder of handwritten digits, offline:
the default annotator is the built-in one and trainings are short, and nothing else of a command is changed.
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from zerolabel import cli, vlms
from zerolabel.cli.demo_data import write_digits
from zerolabel.runs import presets

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?:<!-- not run: (?P<reason>[^>]+) -->\s*)?^```sh\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)
AT_FULL_SCALE = {"papers.md"}
"""Pages whose commands reproduce publications: parsed and not run."""
N_IMAGES = 60
BEFORE = {"other-tools.md": "annotate photos -c classes.txt -o run"}
"""What a page supposes to be done already."""


@dataclass(frozen=True)
class Block:
    """One shell block."""

    page: Path
    number: int
    commands: tuple[tuple[str, ...], ...]
    reason: str | None

    def __str__(self) -> str:
        return f"{self.page.name}-{self.number}"


def blocks(page: Path) -> list[Block]:
    found = []
    for number, match in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")), 1):
        lines = match["text"].replace("\\\n", " ").splitlines()
        commands = tuple(tuple(words) for line in lines if (words := shlex.split(line, comments=True)))
        reason = match["reason"] or ("at full scale" if page.name in AT_FULL_SCALE else None)
        found.append(Block(page, number, commands, reason))
    return found


BLOCKS = [block for page in PAGES for block in blocks(page)]
RUN = {page: [block for block in BLOCKS if block.page == page and block.reason is None] for page in PAGES}


def test_there_are_blocks_and_several_pages_run() -> None:
    assert len(BLOCKS) > 40 and sum(bool(own) for own in RUN.values()) >= 5


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_command_and_option_exists(block: Block) -> None:
    group: Any = typer.main.get_command(cli.parser(cli.NAMES))
    for program, *words in block.commands:
        if program != "zerolabel" or "..." in words:
            continue
        name, *arguments = words
        assert name in group.commands, f"{block}: zerolabel {name}"
        group.commands[name].make_context(name, arguments)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages suppose to be in the current folder."""
    folder = tmp_path_factory.mktemp("docs")
    written = write_digits(folder / "all")
    for name, start in (("photos", 0), ("digits", 0), ("new_photos", N_IMAGES), ("new_images", N_IMAGES)):
        (folder / name).mkdir()
        for path in sorted(written.train.iterdir())[start : start + (N_IMAGES if start == 0 else 5)]:
            shutil.copy(path, folder / name)
    shown = {path.name for path in (folder / "photos").iterdir()}
    head, *rows = written.truth.read_text().splitlines()
    truth = [head, *(row for row in rows if row.partition(",")[0] in shown)]
    (folder / "truth.csv").write_text("\n".join(truth))
    (folder / "few.csv").write_text("\n".join(truth[:6]))
    (folder / "classes.txt").write_text("\n".join(written.classes))
    return folder


@pytest.fixture
def digits(originals: Path, tmp_path: Path) -> Path:
    """A copy for one page."""
    return Path(shutil.copytree(originals, tmp_path / "docs"))


@pytest.mark.parametrize("page", [page for page in PAGES if RUN[page]], ids=lambda page: page.name)
def test_the_blocks_of_a_page_run(
    page: Path,
    digits: Path,
    originals: Path,
    call: Callable[..., tuple[object, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(digits)
    monkeypatch.setenv("ZEROLABEL_CACHE", str(originals.parent / "cache"))
    monkeypatch.setattr(vlms, "DEFAULT_PHOTO_VLM", "glyphs")
    monkeypatch.setattr(presets, "DRAWN", 1)
    if page.name in BEFORE:
        assert call(*BEFORE[page.name].split())[0] == 0
    for block in RUN[page]:
        for program, *arguments in block.commands:
            shown = f"{block}: {program} {shlex.join(arguments)}"
            if program == "zerolabel":
                code, _, err = call(*arguments)
                assert code == 0, f"{shown}\n{err}"
            else:
                assert program == "python", shown
                done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
                assert done.returncode == 0, f"{shown}\n{done.stderr}"
