"""The examples for containers and pipelines: they parse, and what they call exists and works."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from PIL import Image
from sklearn.datasets import load_sample_images

from tests import tiny_clip
from zerolabel import cli
from zerolabel.cli.demo_data import write_digits

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"
INSTRUCTIONS = {"FROM", "ARG", "RUN", "COPY", "USER", "WORKDIR", "ENTRYPOINT", "CMD"}


def test_the_dockerfile_copies_what_the_package_is_built_of() -> None:
    lines = [line for line in (EXAMPLES / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    words = [line.split(maxsplit=1) for line in lines]
    assert {name for name, _ in words} <= INSTRUCTIONS and words[0][0] == "FROM"
    copied = [part for name, rest in words if name == "COPY" for part in rest.split()[:-1]]
    assert all((ROOT / part).exists() for part in copied)
    project = (ROOT / "pyproject.toml").read_text()
    (readme,) = re.findall(r'^readme = "(.+)"', project, re.MULTILINE)
    assert {"src", "pyproject.toml", "LICENSE", readme} <= set(copied)
    order = [name for name, _ in words]
    assert order.index("USER") > max(i for i, name in enumerate(order) if name == "RUN")


def workflow() -> list[tuple[str, ...]]:
    """The zerolabel commands of the workflow."""
    jobs: dict[str, Any] = yaml.safe_load((EXAMPLES / "label-folder.yml").read_text())["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert all("uses" in step or "run" in step for step in steps)
    lines = [line for step in steps for line in step.get("run", "").splitlines()]
    return [tuple(shlex.split(line)[1:]) for line in lines if line.startswith("zerolabel")]


def test_commands_of_the_workflow_exist() -> None:
    group: Any = typer.main.get_command(cli.parser(cli.NAMES))
    assert [name for name, *_ in workflow()] == ["run", "predict"]
    for name, *arguments in workflow():
        group.commands[name].make_context(name, list(arguments))


def test_the_workflow_labels_a_folder(tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = write_digits(tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for image in sorted(digits.train.iterdir())[:60]:
        image.rename(tmp_path / "photos" / image.name)
    (tmp_path / "classes.txt").write_text("\n".join(digits.classes))
    for name, *arguments in workflow():
        short = ["--vlm", "glyphs", "--epochs", "2"] if name == "run" else []
        code, _, errors = call(name, *arguments, *short)
        assert code == 0, errors
    assert len((tmp_path / "labels.csv").read_text().splitlines()) == 61


def cells(notebook: Path) -> list[dict[str, Any]]:
    """The code cells of a notebook."""
    found: dict[str, Any] = json.loads(notebook.read_text(encoding="utf-8"))
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5) and found["metadata"]["kernelspec"]
    assert len({cell["id"] for cell in found["cells"]}) == len(found["cells"])
    return [cell for cell in found["cells"] if cell["cell_type"] == "code"]


def test_notebooks_are_kept_without_outputs() -> None:
    for notebook in EXAMPLES.glob("*.ipynb"):
        assert not any(cell["outputs"] or cell["execution_count"] for cell in cells(notebook))


def test_the_notebook_goes_from_photographs_to_onnx(tmp_path: Path) -> None:
    """Its cells in order, on windows of two real photographs and with a tiny model of random weights."""
    (tmp_path / "photos").mkdir()
    for name, photo in zip(("temple", "flower"), load_sample_images().images, strict=True):
        for i in range(20):
            corner = photo[20 * (i % 5) :, 40 * (i // 5) :]
            Image.fromarray(corner[:320, :320]).save(tmp_path / "photos" / f"{name}-{i:02}.jpg")
    own = f"CLASSES, VLM, EPOCHS = ['flower', 'temple'], {tiny_clip.write(tmp_path / 'model')!r}, 1"
    texts = []
    for cell in cells(EXAMPLES / "photographs.ipynb"):
        texts += ["".join(cell["source"]), *([own] if "parameters" in cell["metadata"].get("tags", ()) else [])]
    assert texts.count(own) == 1
    place = {"cwd": tmp_path, "env": {**os.environ, "HF_HUB_OFFLINE": "1", "ZEROLABEL_CACHE": str(tmp_path / "cache")}}
    done = subprocess.run([sys.executable, "-c", "\n".join(texts)], capture_output=True, text=True, **place)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("40 images\n") and "flower-00.jpg" in done.stdout.splitlines()[-1]
    assert (tmp_path / "run" / "report.html").is_file()


def test_the_list_for_language_models_names_pages_that_exist() -> None:
    text = (ROOT / "docs" / "llms.txt").read_text()
    pages = re.findall(r"\]\(([^)]+)\)", text)
    assert len(pages) > 15 and all((ROOT / "docs" / page).is_file() for page in pages)
    assert text.startswith("# zerolabel\n\n> ")
