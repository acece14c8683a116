"""Published figures as plain data: ``benchmarks/paper_tables/PAPER.json``, a table after a table.

A column is ``DATA`` or ``DATA|SETTING``, a row a method; the source of the figures stands beside them. ``meanN`` as the
data is the mean over the data sets of `MEANS`.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from zerolabel.errors import InputError, nearest

FOLDER = Path(__file__).resolve().parents[1] / "paper_tables"
_ELEVEN = (
    "imagenet", "sun397", "aircraft", "eurosat", "cars", "food101", "pets", "flowers102", "caltech101", "dtd", "ucf101",
)  # fmt: skip
MEANS: dict[str, tuple[str, ...]] = {
    "mean3": ("caltech101", "flowers102", "pets"),
    "mean4": ("resisc45", "cub", "flowers102", "pets"),
    "mean6": ("flowers102", "resisc45", "aircraft", "mnist", "eurosat", "dtd"),
    "mean9": ("cub", "resisc45", "aircraft", "caltech101", "eurosat", "flowers102", "food101", "pets", "cars"),
    "mean11": _ELEVEN,
    "mean11r": (*_ELEVEN[1:], "resisc45"),
    "mean12": (*_ELEVEN, "cub"),
    "mean22": (),
}
"""Data sets that a mean is over; of 22 they are not known here."""


@dataclass(frozen=True)
class Cell:
    """One published figure.

    Attributes:
        number: its place in its paper's file, from 1; what ``--cell`` takes.
        paper: name of the file.
        table: which table of which paper.
        protocol: how it was measured, a key of `benchmarks.papers.plans.PROTOCOLS`.
        method: row.
        data: data set, or a key of `MEANS`.
        setting: what else the column says; empty where nothing.
        figure: per cent, or mean candidates per image.
        source: publication, and how it was read.
    """

    number: int
    paper: str
    table: str
    protocol: str
    method: str
    data: str
    setting: str
    figure: float
    source: str

    @property
    def name(self) -> str:
        """For folders and messages."""
        return f"{self.paper}-{self.number}"

    @property
    def data_sets(self) -> tuple[str, ...]:
        """The data sets that it needs."""
        return MEANS.get(self.data, (self.data,))


def papers() -> list[str]:
    """Names of the files."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def read(paper: str) -> list[Cell]:
    """The figures of a file, numbered.

    Raises:
        ValueError: a row has not as many figures as there are columns.
    """
    return [
        Cell(number, paper, *parts)
        for number, parts in enumerate(_rows(json.loads((FOLDER / f"{paper}.json").read_text("utf-8"))["tables"]), 1)
    ]


def _rows(tables: Iterable[dict[str, object]]) -> Iterator[tuple[str, str, str, str, str, float, str]]:
    for table in tables:
        columns, rows = table["columns"], table["rows"]
        assert isinstance(columns, list) and isinstance(rows, dict)
        for method, figures in rows.items():
            for column, figure in zip(columns, figures, strict=True):
                data, _, setting = column.partition("|")
                if figure is not None:
                    name, protocol, source = (str(table[key]) for key in ("table", "protocol", "source"))
                    yield name, protocol, method, data, setting, float(figure), source


def plain(name: str) -> str:
    """A method's name as the command line takes it: "Hard EM-Dirichlet" is ``hard-em-dirichlet``."""
    return name.lower().replace("_", "-").replace(" ", "-")


def select(name: str, data: str | None = None, number: int | None = None) -> list[Cell]:
    """The figures of a paper, or those of a method in all papers.

    Args:
        name: a file's, or a method's.
        data: only those that need this data set.
        number: only the one of this number in a paper's file.

    Raises:
        InputError: there is no such paper or method, or nothing is left.
    """
    if name in papers():
        found = read(name)
    else:
        every = [cell for paper in papers() for cell in read(paper)]
        found = [cell for cell in every if plain(cell.method) == plain(name)]
        if not found:
            known = [*papers(), *dict.fromkeys(plain(cell.method) for cell in every)]
            raise InputError(f"there is no paper or method '{name}'{nearest(name, known)}")
    kept = [cell for cell in found if data is None or data in (cell.data, *cell.data_sets)]
    kept = [cell for cell in kept if number is None or cell.number == number]
    if not kept:
        wanted = f"--data {data}" if data is not None else f"--cell {number}"
        held = sorted({cell.data for cell in found})
        raise InputError(f"{wanted}: {name} has {len(found)} figures, none of this; its data: {', '.join(held)}.")
    return kept
