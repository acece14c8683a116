"""Several learners on the same images and annotations: a run per learner and seed, each in a folder of its own.

All runs share student, size, epochs, batch size, learning rate and pixels, which are decoded once. Each learner draws
the views that it declares, since what a learner does with a strong view is part of it; the table says which they are.
A finished run is never done again, and one that was killed goes on after its last whole epoch.
"""

import json
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from rich.table import Table
from safetensors.torch import load_file, save_file
from torch import Tensor

from zerolabel import calibration, evaluation, health, networks, selection
from zerolabel.annotations import Annotations, replacing
from zerolabel.errors import InputError
from zerolabel.images import ImageSet, pixels
from zerolabel.images import sha256 as hash_content
from zerolabel.inspection.files import open_annotations
from zerolabel.learners import LEARNERS
from zerolabel.options import find_learner, make_settings
from zerolabel.planning import Request, plan
from zerolabel.presets import HEADS
from zerolabel.prompts import Classes
from zerolabel.runs import Config, Folder, write_text
from zerolabel.students import fit, statistics
from zerolabel.training import launch, predict
from zerolabel.truth import Labels
from zerolabel.views import Pixels, Preprocess

ANNOTATOR = "annotator"
"""The row of the annotators' mean scores, which trains nothing."""


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
        configs: of each learner, with seed 0.
        seeds: from 0, of each.
        truth: true labels, read after the runs; none where they are unknown.
        test: images held out of training; their annotations, where there are any, judge without labels.
        test_annotations: of the held-out images.
    """

    configs: dict[str, Config]
    seeds: int
    truth: str | None = None
    test: str | None = None
    test_annotations: str | None = None

    def to_json(self) -> str:
        """What must be the same where runs are taken up again; truth may come later."""
        data = {name: {k: v for k, v in asdict(c).items() if k not in _FREE} for name, c in self.configs.items()}
        return json.dumps({"learners": data, "test": self.test, "test_annotations": self.test_annotations}, indent=1)


_FREE = ("created", "command", "preset", "zerolabel", "truth")


def compare_plan(
    request: Request, learners: Sequence[str], seeds: int, test: str | None, test_annotations: str | None
) -> Comparison:
    """Fill in what was not said, once for all learners.

    Args:
        request: what all share; its options are ``NAME=VALUE`` for the training, ``LEARNER.NAME=VALUE`` for one.
        learners: names.
        seeds: runs of each.
        test: held-out images.
        test_annotations: of these.

    Raises:
        InputError: something cannot be.
    """
    wanted = tuple(dict.fromkeys(name.strip() for name in learners if name.strip()))
    if not wanted:
        raise InputError("give --learners, names with commas between; `zerolabel learners` lists them.")
    if test_annotations is not None and test is None:
        raise InputError("--test-annotations are of the images of --test; give both.")
    for name in wanted:
        find_learner(name)
    own = {text: text.partition("=")[0].partition(".") for text in request.options}
    for text, (learner, dot, _) in own.items():
        if dot and learner not in wanted:
            raise InputError(f"--set {text}: {learner} is not among --learners {','.join(wanted)}.")
    configs = {}
    for name in wanted:
        mine = [
            text.partition(".")[2] if dot else text for text, (who, dot, _) in own.items() if not dot or who == name
        ]
        configs[name] = plan(replace(request, learner=name, options=mine))
    first = next(iter(configs.values()))
    if first.student in HEADS:
        raise InputError(f"--student {first.student} reads features; compare takes one that reads pixels, as light.")
    return Comparison(configs, seeds, request.truth, test, test_annotations)


def run_all(comparison: Comparison, folder: Path, jobs: int) -> Iterator[tuple[str, int, bool]]:
    """Do the runs that are not there, in processes of their own; yields learner, seed and whether it was there.

    Raises:
        InputError: the folder holds another comparison.
    """
    text, known = comparison.to_json(), folder / "comparison.json"
    if known.is_file():
        there = json.loads(known.read_text(encoding="utf-8"))
        now = json.loads(text)
        other = [
            name
            for name in now["learners"]
            if there["learners"].get(name, now["learners"][name]) != now["learners"][name]
        ]
        if other or any(there[key] != now[key] for key in ("test", "test_annotations")):
            raise InputError(f"{folder} holds a comparison with other options; repeat them, or give -o another folder.")
        now["learners"] = {**there["learners"], **now["learners"]}
        text = json.dumps(now, indent=1)
    elif folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder} holds files that are no comparison; give -o an empty or new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(known, text)
    decode(comparison, folder)
    wanted = [(name, seed) for seed in range(comparison.seeds) for name in comparison.configs]
    yield from ((name, seed, True) for name, seed in wanted if (run_folder(folder, name, seed) / "run.json").is_file())
    todo = [(name, seed) for name, seed in wanted if not (run_folder(folder, name, seed) / "run.json").is_file()]
    threads = max(1, torch.get_num_threads() // jobs)
    devices = max(1, torch.cuda.device_count())
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        asked = {
            pool.submit(run_one, comparison, folder, name, seed, threads, place % devices): (name, seed)
            for place, (name, seed) in enumerate(todo)
        }
        for done in as_completed(asked):
            done.result()
            yield (*asked[done], False)


def run_folder(folder: Path, learner: str, seed: int) -> Path:
    """Where one run lies."""
    return folder / "runs" / f"{learner}-{seed}"


def decode(comparison: Comparison, folder: Path) -> None:
    """Decode all images once; runs map the files."""
    config = next(iter(comparison.configs.values()))
    images = ImageSet.open(config.images).named(open_annotations(str(config.annotations)).file_names)
    pixels(images, config.size, folder / "cache" / "train.npy")
    if comparison.test is not None:
        pixels(ImageSet.open(comparison.test), config.size, folder / "cache" / "test.npy")


def run_one(comparison: Comparison, folder: Path, name: str, seed: int, threads: int, device: int) -> None:
    """One run, from its last whole epoch: ``log.jsonl``, ``probabilities.safetensors`` and, last, ``run.json``."""
    torch.set_num_threads(threads)
    config, start = comparison.configs[name], time.perf_counter()
    chosen = {"device": f"cuda:{device}"} if torch.cuda.device_count() > 1 else {}
    settings = make_settings({**config.settings, **chosen, "seed": seed})
    rows = np.load(folder / "cache" / "train.npy", mmap_mode="r")
    annotations = open_annotations(str(config.annotations))
    torch.manual_seed(seed)
    network = networks.build(config.student, len(config.classes), config.size, pretrained=config.pretrained)
    preprocess = Preprocess(config.size, *statistics(rows))
    where = launch(settings).device
    source = Pixels(rows, preprocess, flip=config.flip, device=where)
    place = Folder(run_folder(folder, name, seed))
    place.path.mkdir(parents=True, exist_ok=True)
    learner = LEARNERS[name](network, annotations, **config.hyper_parameters)
    trained = fit(learner, source, settings, preprocess, place, lambda _, steps: steps, "train")
    kept = {"train": trained.log_probabilities[0].exp()}
    if len(trained.log_probabilities) > 1:
        kept["second"] = trained.log_probabilities[1].exp()
    if comparison.test is not None:
        held_out = Pixels(
            np.load(folder / "cache" / "test.npy", mmap_mode="r"), preprocess, flip=config.flip, device=where
        )
        kept["test"] = predict(trained.networks[0].to(where), held_out, launch(settings), settings.batch_size * 4).cpu()
    with replacing(place / "probabilities.safetensors") as partial:
        save_file({key: value.contiguous() for key, value in kept.items()}, partial)
    spent = sum(json.loads(line)["seconds"] for line in (place / "log.jsonl").read_text().splitlines())
    facts = {
        "seconds": round(spent, 2),
        "wall_seconds": round(time.perf_counter() - start, 2),
        "peak_memory": peak_memory(),
        "views": list(learner.views),
        "network_agreement": trained.agreement,
        "parameters": networks.count_parameters(trained.networks[0]),
    }
    write_text(place / "run.json", json.dumps(facts) + "\n")


def peak_memory() -> int:
    """Bytes that this process held at most, on the graphics card where it used one."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def table(comparison: Comparison, folder: Path) -> pd.DataFrame:
    """A row per finished run, and one of the annotators; columns of accuracy only where truth was given.

    ``accuracy`` is that on held-out images where there are any, ``pool_accuracy`` that on the images of the training.
    """
    config = next(iter(comparison.configs.values()))
    annotations = open_annotations(str(config.annotations))
    on_test = comparison.test_annotations is not None
    judges = open_annotations(str(comparison.test_annotations)) if on_test else annotations
    pool, truth = true_labels(comparison, annotations)
    rows = [
        label_free(judges.scores, judges)
        | accuracies(judges.scores if on_test or comparison.test is None else None, truth, config.classes)
        | on_pool(annotations.scores, pool)
    ]
    rows[0] |= {"learner": ANNOTATOR, "seed": 0, **coverage(annotations, pool)}
    predicted: dict[str, list[Tensor]] = {}
    for name in comparison.configs:
        for seed in range(comparison.seeds):
            place = run_folder(folder, name, seed)
            if not (place / "run.json").is_file():
                continue
            p = load_file(place / "probabilities.safetensors")
            mine = p["test"] if on_test else p["train"]
            predicted.setdefault(name, []).append(mine.argmax(1))
            facts = json.loads((place / "run.json").read_text(encoding="utf-8"))
            target = facts["network_agreement"]
            if target is None:
                target = evaluation.agreement(p["train"].argmax(1), annotations.scores.argmax(1))
            log_p = p["train"].clamp_min(1e-12).log()
            confidence = selection.average_confidence(mine.clamp_min(1e-12).log(), calibration.calibrate(log_p, target))
            judged = p.get("test", p["train"])
            rows.append(
                {"learner": name, "seed": seed, **label_free(mine, judges), "average_confidence": confidence}
                | {key: facts[key] for key in ("network_agreement", "seconds", "peak_memory", "parameters")}
                | {"views": ",".join(facts["views"])}
                | accuracies(judged, truth, config.classes)
                | on_pool(p["train"], pool)
            )
    found = pd.DataFrame(rows)
    stable = {name: selection.stability(seeds) for name, seeds in predicted.items()}
    return found.assign(stability=found["learner"].map(stable))


def label_free(p: Float[Tensor, "N C"], annotations: Annotations) -> dict[str, Any]:
    """Criteria and alarms of one student."""
    alarms = [alarm.kind for alarm in health.check(p.argmax(1), annotations)]
    return {**selection.criteria(p, annotations), "alarms": ",".join(alarms)}


def true_labels(
    comparison: Comparison, annotations: Annotations
) -> tuple[Int[Tensor, " N"] | None, Int[Tensor, " K"] | None]:
    """True classes of the images of the training, and of those that accuracies are about; none without truth."""
    if comparison.truth is None:
        return None, None
    names, digests = list(annotations.file_names), list(annotations.sha256)
    if comparison.test is not None:
        held_out = ImageSet.open(comparison.test)
        names += held_out.file_names
        digests += [hash_content(held_out.read_bytes(i)) for i in range(len(held_out))]
    found = Labels.read(comparison.truth, Classes(annotations.classes)).match(names, digests)
    pool = found[: len(annotations)]
    return pool, pool if comparison.test is None else found[len(annotations) :]


def on_pool(p: Float[Tensor, "N C"], truth: Int[Tensor, " N"] | None) -> dict[str, float]:
    """The column of the accuracy on the images of the training; none where the truth says nothing of them."""
    if truth is None or not bool((truth >= 0).any()):
        return {}
    return {"pool_accuracy": evaluation.accuracy(p.argmax(1), truth)}


def coverage(annotations: Annotations, truth: Int[Tensor, " N"] | None) -> dict[str, float]:
    """Columns of the annotations: how many candidates there are, and how often the true class is one of them."""
    known = {"mean_candidates": evaluation.mean_candidates(annotations.candidates)}
    if truth is None or not bool((truth >= 0).any()):
        return known
    return known | {"candidate_coverage": evaluation.candidate_coverage(annotations.candidates, truth)}


def accuracies(p: Tensor | None, truth: Tensor | None, classes: Sequence[str]) -> dict[str, Any]:
    """Columns of accuracy; none without truth."""
    if truth is None or p is None:
        return {}
    judged = evaluation.evaluate(p, truth, classes)
    each = {f"accuracy of {name}": share for name, share in dict(judged["per_class"]).items()}
    return {"accuracy": judged["accuracy"], "mean_per_class_accuracy": judged["mean_per_class_accuracy"], **each}


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """A row per learner: mean and standard deviation over seeds of every number, best first by the criterion."""
    numbers = [c for c in runs.select_dtypes("number").columns if c != "seed"]
    grouped = runs.groupby("learner", sort=False)[numbers]
    means, spread = grouped.mean(), grouped.std(ddof=1).add_suffix(" spread")
    order = means[selection.DEFAULT].where(means.index != ANNOTATOR).sort_values(ascending=False).index
    together = pd.concat([means, spread, runs.groupby("learner")["seed"].count().rename("runs")], axis=1)
    return together.loc[order]


def shown(means: pd.DataFrame) -> Table:
    """Learners side by side: means over their seeds."""
    wanted = ("accuracy", "approximated_accuracy", "covering_rate", "nuclear_norm", "stability", "seconds")
    here = [name for name in wanted if name in means]
    table = Table("learner", *(name.replace("_", " ") for name in here))
    for learner in means.index:
        cells = []
        for name in here:
            value, spread = float(means.loc[learner, name]), means.loc[learner].get(f"{name} spread")
            text = f"{value:.0f}" if name == "seconds" else f"{value:.2%}"
            text += "" if name == "seconds" or spread is None or spread != spread else f" ± {100 * float(spread):.2f}"
            cells.append("" if value != value else text)
        table.add_row(str(learner), *cells)
    return table


def first_logs(comparison: Comparison, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The epochs of each learner's first run."""
    files = {name: run_folder(folder, name, 0) / "log.jsonl" for name in comparison.configs}
    return {
        name: [json.loads(line) for line in f.read_text(encoding="utf-8").splitlines()] for name, f in files.items()
    }


def save(runs: pd.DataFrame, path: Path) -> None:
    """Write the table, whole or not at all."""
    with replacing(path) as partial:
        runs.to_parquet(partial, index=False)


__all__ = ["ANNOTATOR", "Comparison", "compare_plan", "first_logs", "run_all", "save", "shown", "summary", "table"]
