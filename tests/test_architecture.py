"""How the code is laid out: what must exist nowhere, and who may import whom."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "zerolabel"
FILES = sorted(PACKAGE.rglob("*.py"))
LEARNER_FILES = sorted(path for path in (PACKAGE / "learners").glob("*.py") if path.stem not in ("__init__", "base"))
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 400, 60  # of a function without its docstring

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
every_learner_file = pytest.mark.parametrize("path", LEARNER_FILES, ids=lambda path: path.stem)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported(path: Path) -> set[str]:
    """Full names of all modules and members that a file imports."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def identifiers(path: Path) -> set[str]:
    """Every name, argument, attribute and keyword that a file uses."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.arg | ast.keyword):
            found.add(node.arg or "")
    return found


def calls(path: Path, method: str) -> int:
    return sum(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method
        for node in ast.walk(tree(path))
    )


def test_there_are_files() -> None:
    assert len(FILES) > 10 and len(LEARNER_FILES) >= 3


@every_learner_file
def test_every_learner_file_is_in_the_table(path: Path) -> None:
    from zerolabel.learners import LEARNERS

    modules = [learner.__module__ for learner in LEARNERS.values()]
    assert modules.count(f"zerolabel.learners.{path.stem}") == 1


def test_the_table_names_what_it_holds() -> None:
    from zerolabel.learners import LEARNERS, Learner

    for name, learner in LEARNERS.items():
        assert learner.__module__ == f"zerolabel.learners.{name}"
        assert learner.__bases__ == (Learner,), f"{name} inherits from a learner"
        assert learner.__doc__


@every_learner_file
def test_learners_import_neither_each_other_nor_what_is_above_them(path: Path) -> None:
    own = {name for name in imported(path) if name.startswith("zerolabel")}
    others = {f"zerolabel.learners.{other.stem}" for other in LEARNER_FILES if other != path}
    above = {
        f"zerolabel.{name}"
        for name in ("training", "data.images", "vlms", "annotate", "evaluation", "export", "report", "cli")
    }
    for name in own:
        assert not any(name == module or name.startswith(module + ".") for module in others | above), name


def test_one_backward_in_the_package() -> None:
    assert {path.name: calls(path, "backward") for path in FILES if calls(path, "backward")} == {"loop.py": 1}


@every_file
def test_no_device_is_spelled_out_and_nothing_is_unpickled(path: Path) -> None:
    assert calls(path, "cuda") == 0
    assert not {"pickle", "dill", "cloudpickle"} & {name.split(".")[0] for name in imported(path)}
    loads = [
        node for node in ast.walk(tree(path)) if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
    ]
    assert loads == []


@every_file
def test_no_star_import_and_no_postponed_annotations(path: Path) -> None:
    names = imported(path)
    assert not any(name.endswith(".*") for name in names)
    assert "__future__.annotations" not in names


@every_file
def test_no_drawer_for_odds_and_ends(path: Path) -> None:
    assert path.stem not in ("utils", "util", "misc", "common", "helpers")
    assert path.parent.name not in ("utils", "util", "misc", "common", "helpers")


@every_file
def test_length(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            lines = node.body[0].lineno - node.lineno + (node.end_lineno or 0) - body[0].lineno + 1
            assert lines <= MOST_LINES_OF_A_FUNCTION, f"{node.name} has {lines} lines"


@every_file
def test_nothing_unfinished(path: Path) -> None:
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", path.read_text())
    raised = [ast.unparse(node.exc) for node in ast.walk(tree(path)) if isinstance(node, ast.Raise) and node.exc]
    assert not any(text.startswith("NotImplementedError") for text in raised)


TRAINING_SIDE = [
    *LEARNER_FILES,
    PACKAGE / "learners" / "base.py",
    *(PACKAGE / "training").glob("*.py"),
    *(PACKAGE / "blocks").glob("*.py"),
]


@pytest.mark.parametrize("path", TRAINING_SIDE, ids=lambda path: path.stem)
def test_truth_is_not_spoken_of_where_networks_learn(path: Path) -> None:
    words = re.compile(r"truth|oracle|true_label|ground_?truth|y_true")
    assert not [name for name in identifiers(path) if words.search(name)]


def test_layers() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    ended = subprocess.run(
        [*command, "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        cwd=ROOT / "src",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
