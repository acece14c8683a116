"""The folder of one run, its files, and what was finished in it."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zerolabel.errors import InputError
from zerolabel.files import LOCK, alone, check_place, write_text
from zerolabel.files.json_lines import read_log
from zerolabel.files.leftovers import sweep
from zerolabel.files.plain_json import dumps
from zerolabel.runs.config import Config

INPUTS = "inputs"
"""Beside the stages that are done: hashes of what they were made of, see `zerolabel.runs.inputs`."""
OWN = (
    *("stages.json", "log.jsonl", "metrics.json", "evaluation.json", "predictions.parquet"),
    *("annotations.parquet", "test_annotations.parquet", "skipped.csv", "features", "cache", "checkpoints", "tracking"),
    *("annotations.parts", "answers.csv"),
    *(
        "adapted",
        "classifier",
        "student",
        "classifier.onnx",
        "predict.py",
        "classes.json",
        "report.html",
        "review.html",
        "README.md",
        "config.json",
    ),
)
"""Files and folders that a run writes: all that ``--overwrite`` removes."""


@dataclass(frozen=True)
class Folder:
    """The folder of one run, and the names of the files in it."""

    path: Path

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def config_file(self) -> Path:
        """``config.json``."""
        return self / "config.json"

    @classmethod
    def open(cls, path: Path, config: Config, *, resume: bool, overwrite: bool) -> "Folder":
        """Make the folder, or continue in it.

        Raises:
            InputError: it holds another run, or files that are no run, or cannot be made.
        """
        folder = cls(path)
        free = folder.check(config, resume=resume, overwrite=overwrite)
        folder.make()
        if free:
            folder.clear()
        sweep(path, deep=True)
        write_text(folder.config_file, config.to_json())
        return folder

    @contextmanager
    def begun(self, config: Config, *, resume: bool, overwrite: bool) -> Iterator["Folder"]:
        """Make the folder, or continue in it, and hold it: no other command may write to it meanwhile.

        Raises:
            InputError: as `open`; or another command is running in it.
        """
        self.check(config, resume=resume, overwrite=overwrite)
        self.make()
        with alone(self.path):
            yield self.open(self.path, config, resume=resume, overwrite=overwrite)

    def make(self) -> None:
        """Make the folder where it is not there.

        Raises:
            InputError: it cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"the folder {self.path} cannot be made ({error.strerror}); give -o another place."
            ) from None

    def check(self, config: Config, *, resume: bool, overwrite: bool) -> bool:
        """Check that a run may start or resume in the folder; writes nothing.

        Returns:
            True if the run in the folder is replaced.

        Raises:
            InputError: it holds another run, or files that are no run.
        """
        check_place(self.path)
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file; give -o a folder.")
        if not self.path.is_dir():
            return False
        return self._enter(config, resume=resume, overwrite=overwrite)

    def clear(self) -> None:
        """Remove what a run writes and nothing else, ``config.json`` last."""
        for path in (*self.path.glob(".*.partial"), *(self / name for name in OWN)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _enter(self, config: Config, *, resume: bool, overwrite: bool) -> bool:
        names = {entry.name for entry in self.path.iterdir()}
        inside = {name for name in names if not name.endswith(".partial") and name != LOCK}
        if not inside:
            return False
        if "config.json" not in inside:
            raise InputError(f"{self.path} holds files that are no run of zerolabel; give -o an empty or new folder.")
        differing = config.differences(self.config())
        if overwrite or inside == {"config.json"}:
            return True
        if not resume:
            raise InputError(f"{self.path} holds another run; give --resume to finish it or --overwrite to replace it.")
        if differing:
            raise InputError(
                f"{self.path} holds a run with another {', '.join(differing)}; repeat its options, or give --overwrite."
            )
        return False

    def config(self) -> Config:
        """Read the configuration of the run.

        Raises:
            InputError: the folder holds no run, or its ``config.json`` is damaged.
        """
        if not self.config_file.is_file():
            raise InputError(f"{self.path} holds no run of zerolabel: there is no config.json in it.")
        try:
            return Config.from_json(self.config_file.read_text(encoding="utf-8"))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(
                f"{self.config_file} is damaged or no run's; give -o another folder, or remove this one if it is a run."
            ) from None

    def finish(self, stage: str, facts: dict[str, Any]) -> None:
        """Note that a stage is done, with its numbers."""
        write_text(self / "stages.json", dumps({**self.finished(), stage: facts}, indent=2) + "\n")

    def made_of(self) -> dict[str, str] | None:
        """Hashes of what the stages that are done were made of; none where none is done."""
        return self.finished().get(INPUTS)

    def finished(self) -> dict[str, dict[str, Any]]:
        """The stages that are done, with their numbers.

        Raises:
            InputError: ``stages.json`` is damaged.
        """
        path = self / "stages.json"
        if not path.is_file():
            return {}
        try:
            stages: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise InputError(f"{path} is damaged; remove it, and its stages are done again with --resume.") from None
        return stages


@contextmanager
def timed(folder: Folder, stage: str) -> Iterator[dict[str, Any]]:
    """Note how long a stage took, and what is put into the given dictionary; the first time counts."""
    start, facts = time.perf_counter(), dict[str, Any]()
    yield facts
    if stage not in folder.finished():
        folder.finish(stage, {"seconds": round(time.perf_counter() - start, 2), **facts})


def seconds(folder: Folder) -> dict[str, float]:
    """Duration of each stage; training's is the sum over its epochs, whether or not it was interrupted."""
    spent = {stage: facts["seconds"] for stage, facts in folder.finished().items() if stage != INPUTS}
    for entry in read_log(folder / "log.jsonl"):
        spent[entry["stage"]] = spent.get(entry["stage"], 0.0) + entry["seconds"]
    return {stage: round(value, 2) for stage, value in spent.items()}


def known_time(folder: Path) -> dict[str, Any] | None:
    """The times that a finished run recorded; they stay where it is only evaluated again. None if there are none."""
    metrics = folder / "metrics.json"
    try:
        found = json.loads(metrics.read_text(encoding="utf-8"))["time"]
        return None if found["measured_seconds"] is None else dict(found)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write plain data, whole or not at all; what is no finite number is null."""
    write_text(path, dumps(data, indent=2) + "\n")
