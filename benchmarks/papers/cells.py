"""One run of a plan, through zerolabel's command line; what it leaves is read and measured here."""

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from benchmarks.papers import measures, pools
from benchmarks.papers.data_sets import Unpacked
from benchmarks.papers.plans import Plan, Tasks
from zerolabel import cli, vlms
from zerolabel.adaptation.transduction import parse_solver, prototypes, solve, zero_shot
from zerolabel.annotate import annotate, text_features
from zerolabel.annotations import Annotations
from zerolabel.data.classes import load_classes
from zerolabel.data.images import ImageSet
from zerolabel.files import write_text
from zerolabel.runs.inference import evaluate_classifier
from zerolabel.training import best_device


@dataclass(frozen=True)
class Place:
    """Where and with what a plan runs.

    Attributes:
        data: the unpacked data set.
        folder: of this run, kept until the run is done so that it resumes.
        cache: of image features.
        vlm: in place of the plan's model; empty takes the plan's.
        device: as the command line takes it.
        seed: of pools, weights and views.
    """

    data: Unpacked
    folder: Path
    cache: Path
    vlm: str = ""
    device: str = "auto"
    seed: int = 0


def command(*words: object) -> None:
    """Run a command of zerolabel here; what it prints on standard output is dropped.

    Raises:
        SystemExit: it failed, with its sentence on standard error.
    """
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        cli.main([str(word) for word in words])


def arguments(plan: Plan, place: Place, verb: str) -> list[str]:
    """The words of ``zerolabel run``, ``train``, ``adapt`` or ``simulate`` for a plan."""
    pool, classes = str(pools.images(place.data, plan.pool, place.seed)), str(place.data.classes)
    base = ["--seed", str(place.seed), "-o", str(place.folder / verb)]
    where = ["--device", place.device, "--cache", str(place.cache)]
    model = ["--vlm", place.vlm or plan.vlm, "--templates", plan.templates]
    if verb == "simulate":
        noise = [
            "--kind",
            "class",
            "--annotators",
            "1",
            "--confusion",
            str(pools.symmetric(place.data, plan.symmetric)),
        ]
        kind = [*plan.simulate] if plan.symmetric < 0 else noise
        return ["simulate", pool, "-c", classes, "--truth", str(place.data.split_truth("train")), *kind, *base]
    if verb == "train":
        return ["train", pool, str(place.folder / "simulate"), *base, *where, *plan.options]
    if verb == "run":
        judged = ["--test", str(place.data.images("test")), "--truth", str(place.data.truth)]
        return ["run", pool, "-c", classes, *model, *judged, *base, *where, *plan.options]
    labels = pools.labels(place.data, plan.pool, place.seed)
    told = [] if labels is None else ["--few-shot", str(labels)]
    grips = plan.options[1] in ("grip", "fpl", "ifpl")
    seen = pools.seen_classes(place.data, plan.pool, place.seed) if grips else []
    told += ["--seen-classes", ",".join(seen)] if seen else []
    return ["adapt", pool, "-c", classes, *model, *told, *base, *where, *plan.options]


def truth_of(place: Place, names: tuple[str, ...], split: str) -> Int[Tensor, " N"]:
    """Class ids of images by their file names."""
    ids = {name: i for i, name in enumerate(load_classes(place.data.classes).names)}
    labels = {name: ids[label] for name, label in place.data.labels(split)}
    return torch.tensor([labels[Path(name).name] for name in names])


def groups(plan: Plan, place: Place) -> tuple[list[int], list[int]]:
    """Classes with and without labels, or the large and the small half of the classes of the pool."""
    names = load_classes(place.data.classes).names
    if plan.measure == "harmonic mean":
        seen = set(pools.seen_classes(place.data, plan.pool, place.seed))
        return [i for i, n in enumerate(names) if n in seen], [i for i, n in enumerate(names) if n not in seen]
    half = len(names) // 2
    return list(range(half)), list(range(half, len(names)))


def annotated(plan: Plan, place: Place, vlm: str, templates: str | None) -> dict[str, Any]:
    """Annotate the plan's split with a model, and measure what it says."""
    asked = [] if templates is None else ["--templates", templates]
    images, folder = place.data.images(plan.split), place.folder / "annotations"
    command(
        "annotate", images, "-c", place.data.classes, "--vlm", vlm, *asked, "-o", folder, "--resume",
        "--device", place.device, "--cache", place.cache,
    )  # fmt: skip
    found = Annotations.load(folder / "annotations.parquet")
    truth = truth_of(place, found.file_names, plan.split)
    figure = measures.score(plan.measure, found.scores, truth, found.candidates, groups(plan, place))
    return {"figure": figure, "n_images": len(found)}


def run_annotate(plan: Plan, place: Place) -> dict[str, Any]:
    """The model as it is."""
    return annotated(plan, place, place.vlm or plan.vlm, plan.templates)


def run_student(plan: Plan, place: Place) -> dict[str, Any]:
    """Annotation and student; the sum of both networks answers where there are two."""
    words = arguments(plan, place, "run")
    command(*words, "--resume")
    found = json.loads((place.folder / "run" / "metrics.json").read_text())
    return {
        "figure": 100 * (found["both_networks_accuracy"] or found["student_accuracy"]),
        "zero-shot": 100 * found["zero_shot_accuracy"],
        "mean candidates per image": found["mean_candidates"],
        "truth missing": 100 * (1 - found["candidate_coverage"]),
        "n_images": found["n_images"],
        "command": words,
    }


def run_simulated(plan: Plan, place: Place) -> dict[str, Any]:
    """Annotators made of true labels, and a student of theirs."""
    made, words = arguments(plan, place, "simulate"), arguments(plan, place, "train")
    command(*made, "--overwrite")
    command(*words, "--resume")
    said = Annotations.load(place.folder / "simulate" / "annotations.parquet")
    truth = truth_of(place, said.file_names, "train")
    report = evaluate_classifier(
        place.folder / "train", str(place.data.images("test")), str(place.data.split_truth("test")), place.device
    )
    facts = {m: measures.score(m, said.scores, truth, said.candidates) for m in measures.FINGERPRINTS}
    return {"figure": 100 * report["accuracy"], **facts, "n_images": len(said), "command": words}


def run_adapt(plan: Plan, place: Place) -> dict[str, Any]:
    """A part of the model learned, and the model with it on the test images.

    zerolabel keeps the model as it was where its check finds that adapting did not help; no paper has such a check,
    so that the figure is that of what was learned, and ``helped`` says what the check found.
    """
    words = arguments(plan, place, "adapt")
    command(*words, "--resume")
    record = place.folder / "adapt" / "adapted.json"
    about = json.loads(record.read_text(encoding="utf-8"))
    helped = about["used"]
    write_text(record, json.dumps({**about, "used": True}, indent=2, ensure_ascii=False) + "\n")
    found = annotated(plan, place, f"adapted:{place.folder / 'adapt'}", None)
    write_text(record, json.dumps(about, indent=2, ensure_ascii=False) + "\n")
    return {**found, "helped": helped, "command": words}


def drawn(truth: Int[Tensor, " N"], tasks: Tasks, generator: torch.Generator) -> Int[Tensor, " M"]:
    """Images of one batch: as many classes as a draw says, then images of those."""
    present = truth.unique()
    most = min(tasks.largest, len(present))
    least = min(tasks.least, most)
    n = int(torch.randint(least, most + 1, (1,), generator=generator))
    chosen = present[torch.randperm(len(present), generator=generator)[:n]]
    own = torch.isin(truth, chosen).nonzero().squeeze(1)
    return own[torch.randperm(len(own), generator=generator)[: tasks.batch]]


def answers(
    name: str, features: Float[Tensor, "N D"], texts: Float[Tensor, "A C D"], scale: float, options: dict[str, Any]
) -> Float[Tensor, "N C"]:
    """Of a solver, or of the model as it is."""
    if name == "zero_shot":
        return zero_shot(features, prototypes(texts), scale)
    return solve(name, features, texts, scale, **options)


def run_tasks(plan: Plan, place: Place) -> dict[str, Any]:
    """A solver on batches of test images; the figure is the mean accuracy of the batches."""
    name, *texts_of = plan.options
    options = parse_solver(name, texts_of) if name != "zero_shot" else {}
    encoder, classes = vlms.load(place.vlm or plan.vlm, best_device(place.device)), load_classes(place.data.classes)
    templates = vlms.templates(place.vlm or plan.vlm, plan.templates)
    images = ImageSet.open(str(place.data.images("test")))
    done = annotate(images, encoder, classes, templates, cache=place.cache)
    texts, features = text_features(encoder, classes, templates), done.features.clone()
    truth = truth_of(place, done.annotations.file_names, "test")
    generator, right = torch.Generator().manual_seed(place.seed), []
    for _ in range(plan.tasks.count):
        own = drawn(truth, plan.tasks, generator) if plan.tasks.batch else torch.arange(len(truth))
        p = answers(name, features[own], texts, encoder.logit_scale, options)
        right.append(float((p.argmax(1) == truth[own]).float().mean()))
    return {"figure": 100 * sum(right) / len(right), "n_images": len(truth)}


KINDS: dict[str, Callable[[Plan, Place], dict[str, Any]]] = {
    "annotate": run_annotate,
    "student": run_student,
    "simulated": run_simulated,
    "adapt": run_adapt,
    "tasks": run_tasks,
}


def run(plan: Plan, place: Place) -> dict[str, Any]:
    """Run a plan: its ``figure``, what else was measured, and ``differences`` from what its annotations must be."""
    facts = KINDS[plan.kind](plan, place)
    n_classes = len(load_classes(place.data.classes).names)
    return {**facts, "differences": measures.differences(plan, facts, n_classes)}


__all__ = ["KINDS", "Place", "arguments", "run"]
