"""The log of a training as a file of JSON lines."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from zerolabel.files import write_text
from zerolabel.files.json_lines import read_log
from zerolabel.files.plain_json import dumps
from zerolabel.training.loop import EpochLog


class LogFile:
    """``log.jsonl``: a line an epoch, without the lines of epochs that are done again."""

    def __init__(self, path: Path, stage: str) -> None:
        self.path, self.stage, self.lines = path, stage, read_log(path)

    def before(self, epoch: int) -> list[dict[str, Any]]:
        """The lines of the stage's epochs before one."""
        return [line for line in self.lines if line["stage"] == self.stage and line["epoch"] < epoch]

    def add(self, log: EpochLog) -> None:
        """Append an epoch's line."""
        self.lines = [old for old in self.lines if old["stage"] != self.stage or old["epoch"] < log.epoch]
        self.lines.append({"stage": self.stage, **asdict(log)})
        write_text(self.path, "".join(dumps(entry, ascii=True) + "\n" for entry in self.lines))
