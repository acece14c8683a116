"""The list of planted mistakes fits the package, and a mistake that no test sees is told."""

import json
from pathlib import Path

import pytest

from tools import planted_mistakes
from tools.mistakes import MISTAKES, Mistake
from tools.planted_mistakes import FOUND, STALE, SURVIVED

ROOT = Path(__file__).resolve().parents[2]


def test_every_mistake_can_be_planted_and_has_tests() -> None:
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES) >= 30
    for mistake in MISTAKES:
        text = (ROOT / "src" / "zerolabel" / mistake.file).read_text(encoding="utf-8")
        assert text.count(mistake.old) == 1, f"{mistake.name}: its line is not in {mistake.file} exactly once"
        compile(text.replace(mistake.old, mistake.new), mistake.file, "exec")
        assert mistake.old != mistake.new and all((ROOT / name).is_file() for name in mistake.tests), mistake.name


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package of one function, whose sign is tested and whose scale is not."""
    for name in ("src/zerolabel", "tests", "tools", "benchmarks"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "src" / "zerolabel" / "__init__.py").write_text("def f(x):\n    return 2 * x\n")
    (tmp_path / "tests" / "test_f.py").write_text(
        "import zerolabel\n\ndef test_sign():\n    assert zerolabel.f(1) > 0\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [("2 * x", "-2 * x", FOUND), ("2 * x", "3 * x", SURVIVED), ("5 * x", "x", STALE), ("x", "y", STALE)],
)
def test_a_mistake_is_found_survives_or_is_stale(tree: Path, old: str, new: str, verdict: str) -> None:
    mistake = Mistake("a mistake", "__init__.py", old, new, ("tests/test_f.py",))
    assert planted_mistakes.outcome(mistake, tree, 60).verdict == verdict
    assert "return 2 * x" in (tree / "src" / "zerolabel" / "__init__.py").read_text()


def test_results_of_others_stay_in_the_order_of_the_list(tmp_path: Path) -> None:
    file, (first, second, *_) = tmp_path / "results.json", MISTAKES
    planted_mistakes.record(file, {second.name: {"name": second.name}})
    planted_mistakes.record(file, {**planted_mistakes.recorded(file), first.name: {"name": first.name}})
    assert [row["name"] for row in json.loads(file.read_text())["mistakes"]] == [first.name, second.name]
