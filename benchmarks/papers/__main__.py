"""Our figures beside the papers': ``python -m benchmarks.papers PAPER [--data NAME] [--cell N] [--smoke] [--list]``.

PAPER is a file of `benchmarks/paper_tables` or a method, such as coreg, grip, ueo, transclip or stata. Each finished
run is a JSON file under ``--work``, so that the command can be stopped and continued, and cells that need the same run
share it. A GPU and a network are meant; what lies under ``--root`` already is not downloaded.
"""

import argparse
import contextlib
import hashlib
import io
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.papers import cells, tables
from benchmarks.papers.data_sets import DATA_SETS, unpack
from benchmarks.papers.plans import Plan
from benchmarks.papers.protocols import missing, plans
from benchmarks.papers.smoke import Smoke
from benchmarks.papers.tables import Cell
from zerolabel.annotate.cluster import Share, calls, parse_engine
from zerolabel.errors import InputError
from zerolabel.files import replacing
from zerolabel.training import best_device

WORK, ROOT = Path("build/benchmarks/papers"), Path("build/data")


@dataclass(frozen=True)
class Bench:
    """Where runs lie, and what is asked of all of them.

    Attributes:
        work: unpacked data, finished runs and the cache of features.
        root: where data sets lie, or are downloaded to.
        limit: images of each split at most.
        vlm: in place of the papers' models.
        device: as the command line takes it.
        seed: of pools, weights and views.
    """

    work: Path = WORK
    root: Path = ROOT
    limit: int | None = None
    vlm: str = ""
    device: str = "auto"
    seed: int = 0

    def key(self, plan: Plan) -> str:
        """Of everything that a run's result depends on."""
        told = {**asdict(plan), "limit": self.limit, "model": self.vlm, "seed": self.seed}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    def finished(self, plan: Plan) -> dict[str, Any] | None:
        """What was measured; none where it was not run yet."""
        file = self.work / "finished" / f"{self.key(plan)}.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None

    def run(self, plan: Plan) -> dict[str, Any]:
        """Run a plan, or take what was measured before.

        Raises:
            InputError: its data set cannot be had.
            SystemExit: a command failed, with its sentence on standard error.
        """
        found = self.finished(plan)
        if found is not None:
            return found
        key = self.key(plan)
        data = unpack(plan.data, self.root, self.work / "data", self.limit)
        folder = self.work / "runs" / key
        facts = cells.run(plan, cells.Place(data, folder, self.work / "cache", self.vlm, self.device, self.seed))
        row = {"plan": asdict(plan), "limit": self.limit, "model": self.vlm or plan.vlm, "seed": self.seed, **facts}
        with replacing(self.work / "finished" / f"{key}.json") as file:
            file.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        return row

    def run_on_ray(self, asked: Sequence[Plan], jobs: int, address: str | None) -> None:
        """Run the plans that are not finished by workers of Ray; their folders are on storage that all machines share.

        Raises:
            InputError: a data set cannot be had, or a plan failed.
        """
        todo = list({self.key(plan): plan for plan in asked if self.finished(plan) is None}.values())
        for plan in todo:
            unpack(plan.data, self.root, self.work / "data", self.limit)
        share = Share.of(best_device(self.device).type, jobs)
        for done, (place, _) in enumerate(calls(run_there, [(self, plan) for plan in todo], share, address), 1):
            print(f"{done} of {len(todo)} runs: {todo[place].data}, {todo[place].kind}", file=sys.stderr)


def run_there(bench: Bench, plan: Plan) -> None:
    """Run a plan in a worker.

    Raises:
        InputError: a command failed; with its sentence.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            bench.run(plan)
    except SystemExit:
        sentence = (said.getvalue().strip().splitlines() or ["a command failed"])[-1]
        raise InputError(sentence.removeprefix("error: ")) from None


def figure(cell: Cell, rows: Sequence[dict[str, Any] | None]) -> float | None:
    """Ours: the mean over the cell's plans; none where one is not finished."""
    done = [row["figure"] for row in rows if row is not None]
    return mean(done) if done and len(done) == len(rows) else None


def shown(chosen: Sequence[Cell], ours: dict[str, float | None], notes: dict[str, str]) -> Table:
    """The figures of a selection, ours beside the papers', and the sources below."""
    sources = list(dict.fromkeys(cell.source for cell in chosen))
    table = Table("cell", "method", "data", "setting", "paper", "ours", "source", "note", caption_justify="left")
    for cell in chosen:
        mine = "" if ours.get(cell.name) is None else f"{ours[cell.name]:.2f}"
        source = f"\\[{sources.index(cell.source) + 1}] {cell.table}"
        told = notes.get(cell.name, "")
        table.add_row(cell.name, cell.method, cell.data, cell.setting, f"{cell.figure:.2f}", mine, source, told)
    table.caption = "\n".join(f"\\[{i}] {source}" for i, source in enumerate(sources, 1))
    return table


def note(cell: Cell, rows: Sequence[dict[str, Any] | None]) -> str:
    """What a reader must know of a cell: why it has no run, or where annotations are not the paper's."""
    if not plans(cell):
        return missing(cell)
    return "; ".join(dict.fromkeys(text for row in rows if row is not None for text in row["differences"]))


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.papers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("paper", help=f"{', '.join(tables.papers())}, or a method such as ueo or transclip")
    parser.add_argument("--data", choices=sorted([*DATA_SETS, *tables.MEANS]), help="only cells of this data set")
    parser.add_argument("--cell", type=int, help="only the cell of this number")
    parser.add_argument("--list", action="store_true", help="show the figures and what is finished; run nothing")
    parser.add_argument("--smoke", action="store_true", help="made-up images and a tiny random model: no figure counts")
    parser.add_argument("--root", type=Path, default=ROOT, help="where data sets lie, or are downloaded to")
    parser.add_argument("--work", type=Path, default=WORK, help="where runs and their results lie")
    parser.add_argument("--limit", type=int, help="images of each split at most, to try it out: no figure counts")
    parser.add_argument("--vlm", default="", help="a model in place of the papers': no figure counts")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", default="local", help="local, or ray or ray:ADDRESS: several runs at once")
    parser.add_argument("--jobs", type=int, default=1, help="with ray, runs that share the cores of a machine")
    return parser.parse_args(words)


def measured(chosen: Sequence[Cell], asked: argparse.Namespace) -> tuple[dict[str, float | None], dict[str, str]]:
    """Our figures and the notes of a selection; runs what is not finished unless it is only listed.

    Raises:
        InputError: a data set cannot be had.
    """
    bench = Bench(asked.work, asked.root, asked.limit, asked.vlm, asked.device, asked.seed)
    name, address = parse_engine(asked.engine)
    if name == "ray" and not (asked.smoke or asked.list):
        bench.run_on_ray([plan for cell in chosen for plan in plans(cell)], asked.jobs, address)
    ours: dict[str, float | None] = {}
    notes: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        smoke = Smoke(Path(folder))
        for number, cell in enumerate(chosen, 1):
            if asked.smoke:
                rows: list[dict[str, Any] | None] = [*smoke.cell(cell)]
            elif asked.list:
                rows = [bench.finished(plan) for plan in plans(cell)]
            else:
                print(f"{number} of {len(chosen)}: {cell.name}, {cell.method}, {cell.data}", file=sys.stderr)
                rows = [bench.run(plan) for plan in plans(cell)]
            ours[cell.name], notes[cell.name] = figure(cell, rows), note(cell, rows)
    return ours, notes


def main(words: Sequence[str] | None = None) -> None:
    """Run what is not there yet, and print the table.

    Raises:
        SystemExit: with code 2 and one sentence for what the user must mend.
    """
    asked = arguments(words)
    try:
        chosen = tables.select(asked.paper, asked.data, asked.cell)
        ours, notes = measured(chosen, asked)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    if asked.smoke or asked.limit or asked.vlm:
        notes = {name: "; ".join(filter(None, ("no figure to compare", text))) for name, text in notes.items()}
    Console(width=170).print(shown(chosen, ours, notes))


if __name__ == "__main__":
    main()
