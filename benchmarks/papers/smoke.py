"""Every cell on a handful of made-up images and a tiny random model.

Its own options are read and checked as they are, and then it runs, shortened. Cells that are the same once they are
shortened share a run; of students Co-Reg alone takes the whole road, since what follows training is the same for all.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import typer

from benchmarks.papers import cells
from benchmarks.papers.cells import Place
from benchmarks.papers.data_sets import Unpacked, write
from benchmarks.papers.numpy_files import Raw
from benchmarks.papers.plans import ONE, PHOTO, Options, Plan, Tasks
from benchmarks.papers.protocols import plans
from benchmarks.papers.tables import Cell
from tools.tiny_clip import TINY
from tools.tiny_clip import write as write_model
from zerolabel import cli, networks, vlms
from zerolabel.adaptation.request import Request
from zerolabel.adaptation.transduction import parse_solver
from zerolabel.annotate import annotate
from zerolabel.annotations import Annotations
from zerolabel.data.classes import load_classes
from zerolabel.data.images import ImageSet, pixels
from zerolabel.data.views import Pixels, Preprocess
from zerolabel.errors import InputError
from zerolabel.options import defaults
from zerolabel.training import predict, train
from zerolabel.training.loop import make_fabric
from zerolabel.training.settings import find_learner, make_settings, parse

CLASSES = ("cat", "dog", "ship")
IMAGES, SIDE = 12, 16
SHORT: dict[str, object] = {
    "warm_up": 1, "delay": 0, "ramp": 1, "queue": 16, "embedding": 8, "rounds": 2, "k": 2, "neighbors": 2,
    "batch_size": 6,
}  # fmt: skip
"""What is set smaller, where a method has it as a whole number."""
VIEWS = ("--no-flip", "--strong", "--size")
"""Options that do not decide which code of this package learns, beside the epochs."""


def made_up() -> Iterator[tuple[str, Raw]]:
    """Images of each class around a color of its own."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        labels = np.arange(IMAGES) % len(CLASSES)
        noise = rng.integers(0, 120, (IMAGES, SIDE, SIDE, 3), dtype=np.uint8)
        yield split, Raw(noise + (labels * 60).astype(np.uint8)[:, None, None, None], labels)


def pairs(options: Options) -> tuple[dict[str, str], dict[str, str]]:
    """Options of the command line and those after ``--set``; of what is given twice the last counts."""
    plain: dict[str, str] = {}
    chosen: dict[str, str] = {}
    words = list(options)
    while words:
        name = words.pop(0)
        value = words.pop(0) if words and not words[0].startswith("--") else ""
        if name == "--set":
            key, _, text = value.partition("=")
            chosen[key] = text
        else:
            plain[name] = value
    return plain, chosen


def learner_of(plan: Plan) -> str | None:
    """Name of the learner that trains; none where nothing is trained by epochs."""
    plain, _ = pairs(plan.options)
    if plan.kind == "adapt":
        request = Request("", plain["--method"])
        try:
            return request.learner
        except InputError:
            return None
    return plain.get("--method") if plan.kind in ("student", "simulated") else None


def shortened(plan: Plan) -> Plan:
    """The plan with two epochs, small batches, a tiny student, few batches of test images; a key of what runs."""
    plan = replace(plan, data="smoke", vlm="", templates=PHOTO if plan.templates == PHOTO else ONE)
    plan = replace(plan, pool=replace(plan.pool, shots=min(plan.pool.shots, 2), ratio=min(plan.pool.ratio, 2)))
    if plan.kind == "tasks":
        return replace(plan, tasks=Tasks(*(2, 2, 8, 2) if plan.tasks.batch else ()))
    name = learner_of(plan)
    if name is None:
        return plan
    plain, chosen = pairs(plan.options)
    own = defaults(find_learner(name))
    fitting = {k: v for k, v in SHORT.items() if k == "batch_size" or type(own.get(k)) is int}
    chosen = {k: v for k, v in chosen.items() if k in own} | {k: str(v) for k, v in fitting.items()}
    plain = {k: v for k, v in plain.items() if k not in VIEWS} | {"--epochs": "2"}
    if plan.kind != "adapt":
        plain |= {"--student": "light", "--size": str(SIDE)}
    words = [word for k, v in plain.items() for word in ((k, v) if v else (k,))]
    sets = [word for k, v in sorted(chosen.items()) for word in ("--set", f"{k}={v}")]
    return replace(plan, options=(*words, *sets), simulate=same_sets(plan.simulate))


def same_sets(simulate: Options) -> Options:
    """Simulation with the rates left that three classes can show."""
    told = dict(zip(simulate[::2], simulate[1::2], strict=True))
    told |= {"--q": "0.3"} if "--q" in told else {}
    told |= {"--eta": "0.2" if float(told["--eta"]) else "0"} if "--eta" in told else {}
    told |= {"--ratio": "2"} if "--ratio" in told else {}
    return tuple(word for pair in told.items() for word in pair)


@dataclass
class Smoke:
    """Made-up data, a model, and what has run already."""

    folder: Path
    done: dict[Plan, dict[str, Any]] = field(default_factory=dict)
    checked: set[Plan] = field(default_factory=set)

    @cached_property
    def data(self) -> Unpacked:
        """The images."""
        place = Unpacked(self.folder / "images")
        write(place, CLASSES, dict(made_up()), None)
        return place

    @cached_property
    def vlm(self) -> str:
        """The model; as many tokens as CLIP's, so that the papers' learned prompts have room."""
        return write_model(self.folder / "model", {**TINY, "text_cfg": {**TINY["text_cfg"], "context_length": 77}})

    def place(self) -> Place:
        """Where the next plan runs."""
        number = len(self.done) + len(self.checked)
        return Place(self.data, self.folder / f"run-{number}", self.folder / "cache", self.vlm, "cpu")

    def cell(self, cell: Cell) -> list[dict[str, Any]]:
        """Check a cell's plans as they are, and run them shortened.

        Raises:
            InputError, SystemExit: a plan is wrong.
        """
        found = []
        for plan in plans(cell):
            self.check(plan)
            short = shortened(plan)
            if short not in self.done:
                whole = self.whole(short)
                self.done[short] = cells.run(short, self.place()) if whole else trained(short, self.place())
            found.append(self.done[short])
        return found

    def whole(self, plan: Plan) -> bool:
        """Whether a plan takes the whole road, export and evaluation too: of students Co-Reg's first one alone."""
        if plan.kind not in ("student", "simulated"):
            return True
        return "coreg" in plan.options and not any(p.kind == plan.kind and "coreg" in p.options for p in self.done)

    def check(self, plan: Plan) -> None:
        """Read the plan's own options as the command line does, once for all data sets that share them.

        Raises:
            InputError, typer.BadParameter: the command line, the learner or the method does not take one.
        """
        same = replace(plan, data="")
        if same in self.checked:
            return
        self.checked.add(same)
        if plan.kind == "tasks" and plan.options[0] != "zero_shot":
            parse_solver(plan.options[0], plan.options[1:])
        elif plan.kind == "adapt":
            check_adapt(plan, self.place())
        elif plan.kind == "simulated":
            parameters("simulate", cells.arguments(plan, self.place(), "simulate"))
            check_student(plan, "train", self.place())
        elif plan.kind == "student":
            check_student(plan, "run", self.place())


def trained(plan: Plan, place: Place) -> dict[str, Any]:
    """A student trained on the plan's annotations, without the stages that are the same for every learner."""
    images, names = ImageSet.open(str(place.data.images("train"))), load_classes(place.data.classes)
    if plan.kind == "simulated":
        cells.command(*cells.arguments(plan, place, "simulate"))
        said = Annotations.load(place.folder / "simulate" / "annotations.parquet")
        images = images.select([images.file_names.index(name) for name in said.file_names])
    else:
        said = annotate(images, vlms.load(place.vlm), names, (plan.templates,), cache=place.cache).annotations
    plain, chosen = pairs(plan.options)
    asked = parse(plain["--method"], [f"{k}={v}" for k, v in chosen.items()])
    settings = make_settings({**asked.settings, "epochs": 2, "device": "cpu"})
    network = networks.build("light", len(names), SIDE)
    learner = find_learner(plain["--method"])(network, said, **asked.learner)
    place.folder.mkdir(parents=True, exist_ok=True)
    rows = pixels(images, SIDE, place.folder / "pixels.npy")
    source = Pixels(rows, Preprocess(SIDE, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)), flip=True)
    logs = [log.to_dict() for log in train(learner, source, settings)]
    p = predict(learner.network, source, make_fabric(settings), len(images))
    truth = cells.truth_of(place, said.file_names, "train")
    return {"figure": 100 * float((p.argmax(1) == truth).float().mean()), "epochs": len(logs), "differences": []}


def parameters(verb: str, words: list[str]) -> dict[str, Any]:
    """What the command line makes of the words after a verb."""
    parser: Any = typer.main.get_command(cli.parser(cli.NAMES))
    context = parser.commands[verb].make_context(verb, words[1:])
    return dict(context.params)


def check_student(plan: Plan, verb: str, place: Place) -> None:
    """Options of ``run`` or ``train``: of the command, of the learner and of the training."""
    given = parameters(verb, cells.arguments(plan, place, verb))
    chosen = parse(given["method"], given["options"] or ())
    make_settings({**chosen.settings, "epochs": given["epochs"], "device": "cpu"})


def check_adapt(plan: Plan, place: Place) -> None:
    """Options of ``adapt``: of the command, of the method and of the training."""
    given = parameters("adapt", cells.arguments(plan, place, "adapt"))
    more = {"preset": given["preset"]} if "preset" in given else {}
    Request.parse(
        given["vlm"], given["method"], given["options"] or (), tune=given["tune"],
        common={"epochs": given["epochs"]},
        propagate=given["propagate"], **more,
    )  # fmt: skip


def summary(done: dict[Plan, dict[str, Any]]) -> str:
    """The runs as text, for a reader of a failed test."""
    return json.dumps([{"kind": plan.kind, "options": plan.options, **facts} for plan, facts in done.items()], indent=1)


__all__ = ["Smoke", "shortened", "summary"]
