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
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 400, 60
MOST_PARAMETERS, MOST_ANYS, MOST_ENTRIES = 12, 40, 26

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
    """Docstrings and the options of commands count."""
    assert len(path.read_text().splitlines()) <= MOST_LINES
    for node in functions(path):
        lines = (node.end_lineno or 0) - node.lineno + 1
        assert lines <= MOST_LINES_OF_A_FUNCTION, f"{node.name} has {lines} lines"


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
    """All of a function but the object or class that it belongs to."""
    given = function.args
    listed = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
    return [one for one in listed if one is not None and one.arg not in ("self", "cls")]


@every_file
def test_parameters(path: Path) -> None:
    """A command has a parameter per option, the constructor of a learner and of the estimator per hyper-parameter."""
    from zerolabel.cli import COMMANDS

    commands = {(command.__module__, command.__name__) for command in COMMANDS}
    module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for function in functions(path):
        is_learner = function.name == "__init__" and (path in LEARNER_FILES or path.stem == "estimator")
        if (module, function.name) not in commands and not is_learner:
            assert len(parameters(function)) <= MOST_PARAMETERS, f"{function.name} has {len(parameters(function))}"


def test_few_types_say_nothing() -> None:
    said = [
        annotation
        for path in FILES
        for function in functions(path)
        for annotation in (*(one.annotation for one in parameters(function)), function.returns)
        if annotation is not None and ast.unparse(annotation) == "Any"
    ]
    assert len(said) <= MOST_ANYS, "name the type, or take `object` and check it"


def test_few_entries_at_the_top() -> None:
    entries = {path.relative_to(PACKAGE).parts[0] for path in FILES} | {"py.typed"}
    assert len(entries) <= MOST_ENTRIES, sorted(entries)


@pytest.mark.parametrize("path", sorted((PACKAGE / "runs" / "stages").glob("*.py")), ids=lambda path: path.stem)
def test_a_stage_takes_parts_of_the_configuration(path: Path) -> None:
    assert "zerolabel.runs.config.Config" not in imported(path)


def test_the_pipeline_is_read_on_one_page() -> None:
    assert len((PACKAGE / "runs" / "pipeline.py").read_text().splitlines()) <= 120


def naming(name: str) -> set[str]:
    """Files whose code, not prose, has a name as a string or imports a module of that name."""
    module = name.replace("-", "_")
    return {
        str(path.relative_to(PACKAGE))
        for path in FILES
        if any(isinstance(node, ast.Constant) and node.value == name for node in ast.walk(tree(path)))
        or any(module in full.split(".") for full in imported(path))
    }


@pytest.mark.parametrize(
    ("name", "touched"),
    [
        ("proden", {"learners/__init__.py"}),
        ("ueo", {"learners/__init__.py", "adaptation/methods.py"}),
        ("tip-adapter-f", {"adaptation/few_shot/__init__.py", "adaptation/methods.py"}),
        ("zlap", {"adaptation/transduction/__init__.py", "adaptation/methods.py"}),
        ("gpua", {"adaptation/transduction/__init__.py", "adaptation/methods.py"}),
    ],
)
def test_what_a_new_algorithm_touches(name: str, touched: set[str]) -> None:
    """Beside its own file and its section in the docs: three files for a learner, four for a method."""
    assert naming(name) == touched
    assert name.replace("-", " ") in (ROOT / "docs" / "papers.md").read_text().lower().replace("-", " ")


def test_what_a_new_integration_touches() -> None:
    """Beside its own file and its section in the docs: the line in the table, from which the help is printed."""
    assert naming("crowd-kit") - {"integrations/crowd_kit.py"} == {"integrations/table.py"}
    assert "crowd-kit" in (ROOT / "docs" / "other-tools.md").read_text().lower()


@every_file
def test_docstrings_say_what_a_thing_is(path: Path) -> None:
    """Plain statements: no indirect question in place of a noun or a verb."""
    nodes = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    texts = [ast.get_docstring(node) or "" for node in nodes]
    openings = re.compile(r"(Whether|How|What|Where|See that|The same)\b")
    assert not [text.splitlines()[0] for text in texts if openings.match(text)]


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
