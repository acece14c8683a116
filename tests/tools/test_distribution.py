"""The wheel and the sdist: built, unpacked, and used without the checkout."""

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USE = """
import zerolabel
from zerolabel import vlms
from zerolabel.report import page
print(zerolabel.__file__)
print(vlms.load("glyphs").dimensions)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("hatchling", reason="builds the distribution")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return {file.name.rsplit(".", 1)[-1]: file for file in folder.iterdir()}


def test_the_wheel_works_where_there_is_no_checkout(built: dict[str, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(built["whl"]) as wheel:
        wheel.extractall(tmp_path / "installed")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    place, dimensions = done.stdout.split()
    assert Path(place).is_relative_to(tmp_path / "installed") and int(dimensions) > 0


def test_what_is_distributed(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["whl"]) as wheel:
        names = set(wheel.namelist())
        metadata = wheel.read(next(name for name in names if name.endswith("METADATA"))).decode()
        scripts = wheel.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    for kind in ("css", "safetensors"):
        here = {str(file.relative_to(ROOT / "src")) for file in (ROOT / "src").rglob(f"*.{kind}")}
        assert here and here <= names
    assert metadata.splitlines()[1] == "Name: zerolabel-vision" and "zerolabel = zerolabel.cli:main" in scripts
    assert not [name for name in names if not name.startswith(("zerolabel/", "zerolabel_vision-"))]
    with tarfile.open(built["gz"]) as source:
        within = {name.split("/", 1)[1] for name in source.getnames() if "/" in name}
    assert {"LICENSE", "README.md", "pyproject.toml", "src/zerolabel/vlms/glyphs/model.safetensors"} <= within
    assert not [name for name in within if name.startswith((".venv", "build/", "shared"))]


def test_all_extras_of_users_are_in_all() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = set(extras["all"][0].split("[")[1].rstrip("]").split(","))
    assert named == set(extras) - {"all", "dev", "docs", "glyphs"} - {"litert"}  # which pins old releases of others
