"""The names that `zerolabel` offers: all there, imported on demand, hiding no module."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

import zerolabel
from zerolabel.adaptation.methods import METHODS
from zerolabel.learners import hyper_parameters

DOCS = Path(__file__).parent.parent / "docs"
HEAVY = ("torch", "sklearn", "pandas", "pyarrow", "open_clip", "timm", "kornia", "onnx", "lightning_fabric", "rich")


def run(code: str) -> str:
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_import_pulls_no_library_in() -> None:
    loaded = run(
        "import sys, zerolabel; dir(zerolabel); zerolabel.version.__version__; print(*sorted(sys.modules))"
    ).split()
    assert "zerolabel" in loaded
    assert not [name for name in HEAVY if name in loaded]


def test_a_light_name_stays_light() -> None:
    loaded = run("import sys; from zerolabel import InputError; print(*sys.modules)").split()
    assert "zerolabel.errors" in loaded and "torch" not in loaded


@pytest.mark.parametrize("name", zerolabel.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(zerolabel, name) is not None
    assert name in dir(zerolabel)


def test_names_are_the_objects_of_their_modules() -> None:
    from zerolabel import Annotations, Classifier, load_vlm, train, vlms
    from zerolabel.annotations import Annotations as annotations_class
    from zerolabel.deployment.classifier import Classifier as classifier_class

    assert Annotations is annotations_class and Classifier is classifier_class
    assert load_vlm is vlms.load and train is importlib.import_module("zerolabel.training").train


def test_no_public_name_hides_a_module() -> None:
    modules = {module.name for module in pkgutil.iter_modules(zerolabel.__path__)}
    assert len(modules) > 20
    assert not modules & set(zerolabel.__all__)


def test_modules_are_still_imported_as_modules() -> None:
    from zerolabel import ZeroLabel, annotate
    from zerolabel.deployment import export

    assert inspect.isclass(ZeroLabel) and inspect.ismodule(annotate) and inspect.ismodule(export)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Zerolabel'"):
        zerolabel.Zerolabel  # noqa: B018
    with pytest.raises(ImportError, match="no_such_name"):
        exec("from zerolabel import no_such_name")


@pytest.mark.parametrize("learner", zerolabel.LEARNERS)
def test_the_page_of_papers_gives_every_default(learner: str) -> None:
    section = re.split(r"^## ", (DOCS / "papers.md").read_text(), flags=re.MULTILINE)
    (own,) = (part for part in section if part.startswith(f"{learner}\n"))
    table = own.partition("| argument | default | source |\n")[2].partition("\n\n")[0]
    written = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \| \S", table, flags=re.MULTILINE))
    assert written == {name: str(value) for name, value in hyper_parameters(zerolabel.LEARNERS[learner]).items()}


def test_the_page_of_papers_has_a_verdict_on_every_method() -> None:
    table = (
        (DOCS / "papers.md").read_text().partition("| method | code that was read | verdict |")[2].partition("\n\n")[0]
    )
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    named = [name for methods, *_ in rows for name in re.findall(r"`([^`]+)`", methods)]
    assert sorted(named) == sorted(set(zerolabel.LEARNERS) | set(METHODS))
    for _, code, verdict, shown in rows:
        assert verdict.partition(":")[0] in ("exact", "documented difference", "ours")
        assert verdict.startswith("ours") or (("@" in code or code == "the same") and shown != "—")


def test_the_page_of_papers_gives_the_defaults_of_the_training() -> None:
    table = (DOCS / "papers.md").read_text().partition("| training | default | source |\n")[2].partition("\n\n")[0]
    written = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \| \S", table, flags=re.MULTILINE))
    chosen_by_the_user = {"device", "seed"}
    assert written == {
        name: str(value) for name, value in asdict(zerolabel.Settings()).items() if name not in chosen_by_the_user
    }


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+\.md)[^)]*\)", page.read_text()):
        assert (page.parent / target).is_file(), target
