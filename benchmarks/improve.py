"""Accuracy after 0, 50 and 200 labels, chosen or at random: ``python -m benchmarks.improve --data FOLDER``.

As ``zerolabel improve`` does it on frozen features: a head learns, 50 images are chosen to teach by its answers, it
learns again, 150 more are chosen, and it learns once more. Beside it the same number of random labels, and a linear
probe on the labels alone. Oxford Pets by CLIP, ArtDL by real vision-language models, whose answers are the features as
well, and digits by a decision tree that was fitted to few, partly wrong labels. Every row is written to
``benchmarks/results/improve.json`` as it is measured, and one that is there is not measured again.
"""

import json
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from benchmarks.audits import cells
from benchmarks.real_vlm.data import SCALE, bare, pets, saints
from benchmarks.real_vlm.training import RULE, pool, rescored
from zerolabel import networks
from zerolabel.adaptation.few_shot.linear_probe import linear_probe
from zerolabel.annotations import Annotations, Annotator
from zerolabel.audit import teach
from zerolabel.data.views import Features
from zerolabel.evaluation import metrics
from zerolabel.runs import presets
from zerolabel.runs.config import IMITATION
from zerolabel.runs.prepare import prepare
from zerolabel.runs.stages.scores import averaged, stacked_with_labels
from zerolabel.runs.stages.validation import validate
from zerolabel.training.loop import make_fabric, predict, train
from zerolabel.training.validation import Validation

RESULTS = Path("benchmarks/results/improve.json")
LEARNER = "coreg"
BUDGETS = (50, 200)
HELD_OUT = 500
Row = dict[str, Any]


@dataclass(frozen=True)
class Data:
    """Images to learn from, and held-out images.

    Attributes:
        annotations: of the images to learn from.
        truth: their classes, from which answers are given.
        features: of length 1.
        new: features of held-out images.
        new_truth: their classes.
        new_scores: what the annotators give them.
        texts: where a head starts; None where the annotators have no text features.
    """

    annotations: Annotations
    truth: Int[Tensor, " N"]
    features: Float[Tensor, "N D"]
    new: Float[Tensor, "M D"]
    new_truth: Int[Tensor, " M"]
    new_scores: Float[Tensor, "M C"]
    texts: Float[Tensor, "A C D"] | None = None


def photographs(_: Path) -> Data:
    """25 breeds, CLIP B/32 with weighted prompts."""
    split = pool(pets().known, 0, size=1800)
    return Data(
        split.annotations, split.train.labels, split.train.features, split.test.features, split.test.labels,
        split.zero_shot, SCALE * split.texts,
    )  # fmt: skip


def paintings(models: range) -> Callable[[Path], Data]:
    """Ten saints; the models' probabilities are the features."""

    def made(_: Path) -> Data:
        found = saints()
        scores = found.scores[list(models)]
        features = functional.normalize(scores.sqrt().permute(1, 0, 2).reshape(len(found.labels), -1), dim=1)
        return divided(found.some(tuple(models)), found.labels, features)

    return made


def digits(data: Path) -> Data:
    """Digits by a decision tree that was fitted to 300 others, a fifth of whose labels are wrong."""
    cell = cells.digits(data)
    scores = torch.from_numpy(cell.scores[cell.models.index("tree")])
    names = tuple("0123456789")
    said = bare(scores.argmax(1)[:, None], scores, names, (Annotator("decision tree", "", "{}"),))
    features = functional.normalize(torch.from_numpy(cell.features), dim=1)
    return divided(said, torch.from_numpy(cell.truth).long(), features)


def divided(said: Annotations, truth: Int[Tensor, " N"], features: Float[Tensor, "N D"]) -> Data:
    """The last 500 of the images in a random order are held out."""
    order = torch.randperm(len(truth), generator=torch.Generator().manual_seed(0))
    first, rest = order[:-HELD_OUT], order[-HELD_OUT:]
    own = said.select(first)
    return Data(
        rescored(own, own.scores, RULE), truth[first], features[first], features[rest], truth[rest], said.scores[rest]
    )


DATA: dict[str, Callable[[Path], Data]] = {
    "digits, a decision tree": digits,
    "ArtDL, CLIP and SigLIP": paintings(range(6)),
    "pets-25, CLIP": photographs,
    "ArtDL, all 19 models": paintings(range(19)),
}


def learned(
    data: Data, labels: Int[Tensor, " N"], seed: int
) -> tuple[Float[Tensor, "N C"], Float[Tensor, "M C"], Validation | None]:
    """Probabilities of the pool and of the held-out images by a head that learned these labels, -1 for none.

    And what labels that it did not see say of the learner, by which a run goes.
    """
    said = data.annotations.with_labels(labels)
    part = partial(head, data, LEARNER, seed=seed)
    validation = validate(said, data.features, lambda known, rows: part(known, rows)[0], seed)
    learner = IMITATION if validation is not None and validation.loses else LEARNER
    taught, everything = stacked_with_labels(said, data.features), torch.arange(len(labels))
    found = head(data, learner, taught, everything, seed=seed)
    if validation is not None and validation.averages:
        found = head(data, IMITATION, averaged(taught, found[0], data.features), everything, seed=seed)
    return *found, validation


def head(
    data: Data, learner: str, said: Annotations, rows: Int[Tensor, " R"], *, seed: int
) -> tuple[Float[Tensor, "R C"], Float[Tensor, "M C"]]:
    """Probabilities of some images of the pool, which are learned, and of the held-out images."""
    n, n_classes = said.scores.shape
    torch.manual_seed(seed)
    network = networks.build("mlp", n_classes, data.features.shape[1], texts=data.texts)
    preset = presets.for_head(presets.choose(n), n, n_classes)
    made, settings = prepare(learner, network, said, preset=preset, seed=seed, device="cpu", precision="float32")
    for _ in train(made, Features(data.features[rows]), settings):
        pass
    fabric = make_fabric(settings)
    found = [predict(made.network, Features(part), fabric, 512) for part in (data.features[rows], data.new)]
    return found[0], found[1]


def chosen(data: Data, p: Float[Tensor, "N C"], known: Int[Tensor, " K"], n: int) -> Int[Tensor, " n"]:
    """Images to label after a training, as the review chooses them."""
    agree = (p.argmax(1) == data.annotations.scores.argmax(1)).numpy().astype(float)
    doubts = teach.doubt(p.amax(1).numpy().astype(float), agree)
    features = data.features.numpy().astype(float)
    return torch.from_numpy(teach.batch(features, doubts, n, labeled=known.numpy()))


def labels_of(data: Data, images: Int[Tensor, " K"]) -> Int[Tensor, " N"]:
    """The true classes of some images, -1 elsewhere: a person's answers."""
    return torch.full_like(data.truth, -1).scatter(0, images, data.truth[images])


def alone(data: Data, images: Int[Tensor, " K"]) -> float:
    """Held-out accuracy of a linear probe on the labels, with a cross-validated penalty."""
    texts = torch.zeros(data.annotations.scores.shape[1], data.features.shape[1])
    head = linear_probe(data.features[images], data.truth[images], texts, 1.0)
    return metrics.accuracy(head(data.new).argmax(1), data.new_truth)


def rows(data: Data, name: str, seed: int, known: dict[tuple[Any, ...], Row]) -> Iterator[Row]:
    """Rows that are not known, each as soon as it is measured."""
    nothing = torch.empty(0, dtype=torch.long)
    pools: dict[str, Float[Tensor, "N C"]] = {}
    for how in ("none", "chosen", "random"):
        images, before = nothing, pools.get("none")
        for n in (0,) if how == "none" else BUDGETS:
            random = torch.from_numpy(np.random.default_rng(seed).permutation(len(data.truth))[:n])
            if how == "chosen":
                if before is None:
                    before, *_ = learned(data, labels_of(data, images), seed)
                images = torch.cat([images, chosen(data, before, images, n - len(images))])
            elif how == "random":
                images = random
            if (name, how, n, seed) in known:
                before = None
                continue
            before, p, validation = learned(data, labels_of(data, images), seed)
            pools.setdefault(how, before)
            placed = torch.where(labels_of(data, images) >= 0, data.truth, before.argmax(1))
            yield {
                "data": name, "how": how, "labels": n, "seed": seed,
                "accuracy": metrics.accuracy(p.argmax(1), data.new_truth),
                "pool_accuracy": float((placed == data.truth).float().mean()),
                "labels_alone": alone(data, images) if n else None,
                "zero_shot": metrics.accuracy(data.new_scores.argmax(1), data.new_truth),
                "validation": None if validation is None else {
                    **asdict(validation), "loses": validation.loses, "averages": validation.averages
                },
            }  # fmt: skip


def read() -> list[Row]:
    """Rows that were measured so far."""
    return list(json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]) if RESULTS.is_file() else []


def table() -> tuple[list[str], list[list[str]]]:
    """Held-out accuracy by data set and number of labels, mean over seeds."""
    found = json.loads((Path(__file__).parent / "results" / "improve.json").read_text(encoding="utf-8"))["rows"]
    body = []
    for name in dict.fromkeys(row["data"] for row in found):
        own = [row for row in found if row["data"] == name]

        def cell(key: str, how: str, n: int, own: list[Row] = own) -> str:
            values = [row[key] for row in own if row["how"] == how and row["labels"] == n]
            return f"{100 * mean(values):.1f}" if values else ""

        start = [f"{100 * own[0]['zero_shot']:.1f}", cell("accuracy", "none", 0)]
        for n in BUDGETS:
            of = [cell(key, how, n) for how in ("chosen", "random") for key in ("accuracy", "labels_alone")]
            pools = [cell("pool_accuracy", how, n) for how in ("chosen", "random")]
            body.append([name, str(n), *start, *of, *pools])
    head = ["", "labels", "annotators", "no labels", "chosen", "chosen, labels alone", "random", "random, labels alone"]
    return [*head, "chosen, pool", "random, pool"], body


def main() -> None:
    """Measure what is missing."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of real_vlm and others")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sets", nargs="+", choices=DATA, default=list(DATA))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed in range(options.seeds):
        for name, make in ((name, DATA[name]) for name in options.sets):
            known = {(row["data"], row["how"], row["labels"], row["seed"]): row for row in read()}
            for row in rows(make(options.data), name, seed, known):
                result = {"command": "python -m benchmarks.improve --data FOLDER", "rows": [*read(), row]}
                RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
