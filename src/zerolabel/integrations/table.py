"""The table of integrations, as plain data: it is read for the help, so it imports no other tool's format."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from zerolabel.annotations import Annotations


class Integration(NamedTuple):
    """A file format of another tool.

    Attributes:
        summary: content of the file.
        endings: its extensions; empty for a folder.
        module: module of `zerolabel.integrations` with its functions.
        writer: function that writes annotations to a path, given a folder or URL that precedes file names.
        reader: function that adds the content of a path to annotations of the same images.
    """

    summary: str
    endings: tuple[str, ...]
    module: str
    writer: str = "write"
    reader: str = "read"

    @property
    def write(self) -> "Callable[[Annotations, Path, str], None]":
        """The function that writes."""
        return cast("Callable[[Annotations, Path, str], None]", self._function(self.writer))

    @property
    def read(self) -> "Callable[[Annotations, Path], Annotations]":
        """The function that reads."""
        return cast("Callable[[Annotations, Path], Annotations]", self._function(self.reader))

    def _function(self, name: str) -> object:
        return getattr(import_module(f"zerolabel.integrations.{self.module}"), name)


INTEGRATIONS = {
    "snorkel": Integration("label matrix of votes, -1 abstains", (".npy", ".csv"), "snorkel"),
    "cleanlab": Integration(
        "votes, a column per annotator, empty for an abstention",
        (".csv", ".parquet"),
        "cleanlab",
        "write_votes",
        "read_votes",
    ),
    "pred-probs": Integration(
        "class probabilities in the format of cleanlab", (".npy", ".csv"), "cleanlab", "write_scores", "read_scores"
    ),
    "crowd-kit": Integration("votes as rows of task, worker, label", (".csv", ".parquet"), "crowd_kit"),
    "label-studio": Integration("tasks with predictions; import: a person's choices", (".json",), "label_studio"),
    "fiftyone": Integration("candidates, zero-shot and human labels; import: human labels", (), "fiftyone"),
    "hugging-face": Integration("a data set with candidates, votes and scores", (".parquet",), "hugging_face"),
    "croissant": Integration("the data set of hugging-face with Croissant metadata", (), "croissant"),
    "csv": Integration(
        "file_name, label, best and candidates; import: label", (".csv", ".tsv", ".parquet"), "spreadsheet"
    ),
}
"""In the order of the documentation."""


def summary() -> str:
    """The formats, for the help of ``--to`` and ``--from``."""
    *others, last = INTEGRATIONS
    return f"{', '.join(others)} or {last}."


__all__ = ["INTEGRATIONS", "Integration", "summary"]
