"""Adapting ``glyphs`` to scikit-learn's handwritten digits without labels: ``python -m benchmarks.adaptation``.

Every figure is of one call of ``zerolabel adapt``, judged on the 500 held-out digits by what ``adapted:FOLDER`` means,
which is the unadapted model where the check without labels saw no help; figures named ``learnt_`` are of what was
learned in any case. Parts:

- ``methods``: every method on all 1,297 digits; those of a few labels get four of each class, drawn anew by each seed;
- ``skewed``: the methods without labels on pools whose class sizes fall to a tenth and to a fiftieth, with the prior
  estimated, the default, and with the papers' uniform prior;
- ``open``: digits 0 to 5 have names; pools hold all of them, some, or others, too (UEO's four scenarios);
- ``loop``: Co-Reg on what the adapted model annotates, against Co-Reg on what it annotated before; also on a pool in
  which digits 6 to 9 have no name, with ``--open-set``;
- ``cost``: seconds and memory of each kind of prompt on a ViT-B/32 of random weights.

Finished calls are kept under ``build/benchmarks/adaptation`` and not repeated; with ``--add`` the committed figures of
all others stay. The tables go to the screen and to ``benchmarks/results/adaptation.json``.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import committed, equal_candidates
from benchmarks.prompt_cost import KINDS, apart
from zerolabel import vlms
from zerolabel.adaptation.methods import SUPERVISED
from zerolabel.adaptation.transduction import SOLVERS, defaults
from zerolabel.annotate import score, text_features
from zerolabel.cli.demo_data import write_digits
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.diagnostics import open_set

WORK = Path("build/benchmarks/adaptation")
RESULTS = Path("benchmarks/results/adaptation.json")
SEEDS = (0, 1, 2)
DIGITS = tuple("0123456789")
NAMED, ABSENT = 6, 2
SHOTS = 4
UNLABELED = ("grip", "ifpl", "fpl", "ueo", "infomax")
LEARNERS = ("cpl", "upl", "tent", "pouf", "must", "dpa", "lafter", "proden", "coreg")
"""Learners that are methods under their own names."""
UNIFORM = ("grip", "ifpl", "fpl", "infomax", "pouf", "must", "dpa")
"""Methods whose papers share images out evenly over the classes."""
OPEN = ("ueo", "infomax", "grip")
LOOP = ("ueo", "grip")
STUDENTS = ("light", "features")


@dataclass(frozen=True)
class Run:
    """One adaptation.

    Attributes:
        part: of the benchmark.
        pool: list of unlabeled images.
        method: of ``zerolabel adapt``.
        seed: of training, of the few labels, and of the pool where that is drawn.
        options: further ones.
        classes: names.
    """

    part: str
    pool: str
    method: str
    seed: int
    options: tuple[str, ...] = ()
    classes: tuple[str, ...] = DIGITS

    @property
    def name(self) -> str:
        """How its row is called."""
        return " ".join((self.method, *(o for o in self.options if "=" in o)))

    @property
    def folder(self) -> Path:
        """Where it is done."""
        return WORK / "runs" / "-".join((self.part, self.pool, self.name, str(self.seed))).replace(" ", "-")

    def labels(self) -> list[str]:
        """Options that give the few labels, where the method wants any."""
        return ["--few-shot", str(few_labels(self.seed))] if self.method in SUPERVISED else []

    def insist(self) -> list[str]:
        """Options under which a solver for few of many classes takes all of them, too."""
        few = self.method in SOLVERS and "present" in defaults(self.method)
        return ["--set", "present=1"] if few else []

    def command(self) -> list[str]:
        """The call."""
        return [
            "zerolabel", "adapt", str(pool_file(self.pool, self.seed)), "--classes", ",".join(self.classes),
            "--vlm", "glyphs", "--method", self.method, "--seed", str(self.seed), "--cache", str(WORK / "cache"),
            "-o", str(self.folder), *self.options, *self.labels(), *self.insist(),
        ]  # fmt: skip


def call(command: list[str], threads: int = 1) -> None:
    """One call of the command line.

    Raises:
        SystemExit: it failed.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    program = str(Path(sys.executable).with_name(command[0]))
    done = subprocess.run([program, *command[1:]], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")


def truth() -> pd.DataFrame:
    """True labels of all digits, and whether they are held out."""
    images = WORK / "images"
    table = pd.read_csv(images / "truth.csv", dtype=str)
    return table.assign(test=[(images / "test" / name).exists() for name in table["file_name"]])


def few_labels(seed: int) -> Path:
    """Four labels of each class of the pool."""
    file = WORK / "images" / f"few-{seed}.csv"
    if file.is_file():
        return file
    table = truth()
    drawn = table[~table["test"]].groupby("label").sample(SHOTS, random_state=seed)
    drawn[["file_name", "label"]].to_csv(file, index=False)
    return file


def pool_file(pool: str, seed: int) -> Path:
    """A list of unlabeled digits: ``all``, ``ratio R``, or a scenario of `open_set.SCENARIOS`."""
    file = WORK / "images" / f"{pool.replace(' ', '-')}-{seed}.txt"
    if file.is_file():
        return file
    table = truth()
    table = table[~table["test"]]
    if pool.startswith("ratio"):
        table = skewed(table, float(pool.split()[1]), seed)
    elif pool != "all":
        ids = torch.tensor(table["label"].map(DIGITS.index).to_numpy())
        table = table[open_set.pool(ids, pool, NAMED, ABSENT).numpy()]
    file.write_text("".join(f"train/{name}\n" for name in sorted(table["file_name"])))
    return file


def skewed(table: pd.DataFrame, ratio: float, seed: int) -> pd.DataFrame:
    """Class sizes that fall geometrically; the seed draws which class is the largest, and the images."""
    order = pd.Series(DIGITS).sample(frac=1, random_state=seed).tolist()
    largest = table["label"].value_counts().min()
    counts = {label: max(1, round(largest * ratio ** (-i / 9))) for i, label in enumerate(order)}
    return pd.concat([g.sample(counts[str(label)], random_state=seed) for label, g in table.groupby("label")])


def probabilities(spec: str, classes: tuple[str, ...]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of the held-out digits: probabilities, logits of the best template's kind, and cosines without the scale."""
    encoder, names = vlms.load(spec), Classes(classes)
    images = ImageSet.open(str(WORK / "images" / "test"))
    pixels = torch.stack([encoder.preprocess(images.read(i)) for i in range(len(images))])
    features, texts = encoder.encode_images(pixels), text_features(encoder, names, vlms.templates(spec, None))
    cosines = features @ torch.nn.functional.normalize(texts.mean(0), dim=1).T
    return score(encoder, features, texts)[1], encoder.logit_scale * cosines, cosines


def judge(spec: str, classes: tuple[str, ...] = DIGITS) -> dict[str, float]:
    """Accuracies on held-out digits of named classes and, where others are among them, how well these are told."""
    p, logits, cosines = probabilities(spec, classes)
    images = ImageSet.open(str(WORK / "images" / "test"))
    labels = truth().set_index("file_name")["label"].loc[list(images.file_names)]
    ids = open_set.named(torch.tensor(labels.map(DIGITS.index).to_numpy()), len(classes))
    known = ids >= 0
    right = (p.argmax(1) == ids)[known].double()
    each = [float(right[ids[known] == c].mean()) for c in range(len(classes))]
    found = {"accuracy": float(right.mean()), "mean_per_class_accuracy": sum(each) / len(each)}
    if bool(known.all()):
        return found
    scores = {"mcm": open_set.mcm(cosines), "max_logit": open_set.max_logit(logits), "energy": open_set.energy(logits)}
    scores["confidence"] = p.amax(1)
    for name, values in scores.items():
        found[f"auroc_{name}"] = open_set.auroc(values, known)
        found[f"hos_{name}"] = open_set.hos(open_set.answers(p, values, open_set.threshold(values)), ids)
    return found


def learned(run: Run) -> dict[str, float]:
    """What training gave, also where the check without labels did not take it."""
    record = json.loads((run.folder / "adapted.json").read_text())
    forced = run.folder / "forced"
    forced.mkdir(exist_ok=True)
    shutil.copy(run.folder / "adapted.safetensors", forced)
    (forced / "adapted.json").write_text(json.dumps({**record, "used": True}))
    return {f"learnt_{name}": value for name, value in judge(f"adapted:{forced}", run.classes).items()}


def adapt(run: Run) -> dict[str, Any]:
    """The figures of one run, from its folder where it was finished before."""
    file = run.folder / "judged.json"
    if file.is_file():
        row = dict(json.loads(file.read_text()))
        if "learnt_accuracy" not in row:
            row |= learned(run)
            file.write_text(json.dumps(row) + "\n")
        return row
    start = time.perf_counter()
    call([*run.command(), "--resume"])
    seconds = time.perf_counter() - start
    record = json.loads((run.folder / "adapted.json").read_text())
    row = {
        "part": run.part, "pool": run.pool, "method": run.name, "prompt": record["tune"], "seed": run.seed,
        "used": record["used"], "wall_seconds": round(seconds, 1), "command": " ".join(run.command()),
        **judge(f"adapted:{run.folder}", run.classes), **learned(run),
    }  # fmt: skip
    file.write_text(json.dumps(row) + "\n")
    return row


def runs(parts: list[str]) -> Iterator[Run]:
    """All adaptations of the parts, seed by seed."""
    for seed in SEEDS:
        if "methods" in parts:
            of_all = (*UNLABELED, *LEARNERS, *SOLVERS, *SUPERVISED)
            yield from (Run("methods", "all", method, seed) for method in of_all)
        if "skewed" in parts:
            for ratio in ("ratio 10", "ratio 50"):
                yield from (Run("skewed", ratio, method, seed) for method in (*UNLABELED, *LEARNERS[:-2], *SOLVERS))
                yield from (Run("skewed", ratio, m, seed, ("--set", "prior=uniform")) for m in UNIFORM)
        if "open" in parts:
            for scenario in open_set.SCENARIOS:
                yield from (Run("open", scenario, method, seed, classes=DIGITS[:NAMED]) for method in OPEN)


@dataclass(frozen=True)
class Loop:
    """Co-Reg by ``zerolabel run``, on what the model annotates before or after it was adapted.

    Attributes:
        seed: of all.
        adapt: method; none leaves the model as it is.
        student: network.
        open: whether digits 6 to 9 have no name, and are told apart.
    """

    seed: int
    adapt: str | None
    student: str
    open: bool = False

    @property
    def folder(self) -> Path:
        """Where it is done."""
        return WORK / "runs" / f"loop-{self.adapt}-{self.student}{'-open' if self.open else ''}-{self.seed}"

    def command(self) -> list[str]:
        """The call."""
        names, truth_file = (DIGITS[:NAMED], open_truth()) if self.open else (DIGITS, WORK / "images" / "truth.csv")
        return [
            "zerolabel", "run", str(WORK / "images" / "train"), "--classes", ",".join(names), "--vlm", "glyphs",
            "--student", self.student, "--test", str(WORK / "images" / "test"), "--truth", str(truth_file),
            "--seed", str(self.seed), "--cache", str(WORK / "cache"), "-o", str(self.folder), "--resume",
            *(["--adapt", self.adapt] if self.adapt else []), *(["--open-set"] if self.open else []),
            *equal_candidates.flags("prior=uniform", "warm_up=60"),
        ]  # fmt: skip

    def run(self) -> dict[str, Any]:
        """Its figures."""
        if not (self.folder / "metrics.json").is_file():
            call(self.command())
        found = json.loads((self.folder / "metrics.json").read_text())
        keys = ("zero_shot_accuracy", "student_accuracy", "student_mean_per_class_accuracy", "seconds")
        about = {"pool": "open" if self.open else "all", "adapt": self.adapt or "none", "student": self.student}
        of_unknown = {"unknown": found["student_per_class"]["unknown"]} if self.open else {}
        return {
            **about, "seed": self.seed, **{key: found[key] for key in keys}, **of_unknown,
            "command": " ".join(self.command()),
        }  # fmt: skip


def loops() -> list[Loop]:
    """All of them, seed by seed."""
    closed = [Loop(s, a, student) for s in SEEDS for a in (None, *LOOP) for student in STUDENTS]
    return closed + [Loop(s, a, student, True) for s in SEEDS for a in (None, "ueo") for student in STUDENTS]


def open_truth() -> Path:
    """True labels where every digit from 6 on is "unknown"."""
    file = WORK / "images" / "open-truth.csv"
    if not file.is_file():
        table = truth()[["file_name", "label"]]
        named = table["label"].isin(DIGITS[:NAMED])
        table.assign(label=table["label"].where(named, open_set.NAME)).to_csv(file, index=False)
    return file


def percent(values: pd.Series) -> str:
    """Mean and standard deviation over seeds, in per cent."""
    spread = f" ± {100 * values.std():.1f}" if len(values) > 1 else ""
    return f"{100 * values.mean():.1f}{spread}"


def shown(title: str, rows: list[dict[str, Any]], by: list[str], figures: list[str]) -> Table:
    """A row per setting, a mean over its seeds."""
    table = Table(*by, *figures, title=title)
    for key, group in pd.DataFrame(rows).groupby(by, sort=False):
        table.add_row(*map(str, key), *(percent(group[name]) if name in group else "" for name in figures))
    return table


def results(rows: list[dict[str, Any]], trained: list[dict[str, Any]], costs: list[dict[str, Any]]) -> dict[str, Any]:
    """All figures, and the unadapted model beside them."""
    named = DIGITS[:NAMED]
    return {
        "command": "python -m benchmarks.adaptation",
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{os.cpu_count()} cores, {platform.machine()}; other programs ran beside it",
        "torch": torch.__version__,
        "zero_shot": {"all classes": judge("glyphs"), "six named classes": judge("glyphs", named)},
        "adapted": rows,
        "loop": trained,
        "cost": costs,
    }


def finished(parts: list[str]) -> list[dict[str, Any]]:
    """The figures of all runs that are there."""
    return [adapt(run) for run in runs(parts) if (run.folder / "judged.json").is_file()]


def main() -> None:
    """Run what is not there yet, and write the tables."""
    every = ["methods", "skewed", "open", "loop", "cost"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="*", default=every, choices=every, help="only these")
    parser.add_argument("--methods", nargs="*", help="only these")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, a thread each")
    committed.add_option(parser)
    options = parser.parse_args()
    write_digits(WORK / "images")
    wanted = [run for run in runs(options.parts) if options.methods is None or run.method in options.methods]
    for run in wanted:
        run.command()  # writes the lists, before two runs need the same
    tasks: list[Callable[[], Any]] = [lambda run=run: adapt(run) for run in wanted]
    if "loop" in options.parts:
        open_truth()
        tasks += [one.run for one in loops() if options.methods is None or one.adapt in options.methods]
    with ThreadPoolExecutor(options.jobs) as workers:
        for done in [workers.submit(task) for task in tasks]:
            done.result()
    before = {"adapted": [], "loop": [], "cost": [], **committed.read(RESULTS, options.add)}
    rows = committed.renew(before["adapted"], finished(every), ("part", "pool", "method", "seed"))
    trained = [one.run() for one in loops() if (one.folder / "metrics.json").is_file()]
    trained = committed.renew(before["loop"], trained, ("pool", "adapt", "student", "seed"))
    costs = [apart(kind) for kind in KINDS] if "cost" in options.parts else before["cost"]
    RESULTS.write_text(json.dumps(results(rows, trained, costs), indent=1) + "\n")
    console, figures = Console(width=150), ["accuracy", "mean_per_class_accuracy", "learnt_accuracy", "used"]
    for part in ("methods", "skewed"):
        mine = [row for row in rows if row["part"] == part]
        if mine:
            console.print(shown(part, mine, ["pool", "method"], figures))
    opened = [row for row in rows if row["part"] == "open"]
    if opened:
        console.print(shown("open", opened, ["pool", "method"], ["accuracy", "auroc_mcm", "auroc_energy", "hos_mcm"]))
    if trained:
        figures = ["zero_shot_accuracy", "student_accuracy", "student_mean_per_class_accuracy"]
        console.print(shown("loop", trained, ["pool", "student", "adapt"], figures))
    console.print(pd.DataFrame(costs).to_string())


if __name__ == "__main__":
    main()
