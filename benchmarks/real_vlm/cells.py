"""The parts of the benchmark: each yields rows, a dictionary each, in the order of their cost."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from benchmarks.real_vlm.data import (
    SCALE,
    Photographs,
    annotated,
    caltech,
    caltech_second,
    pets,
    prompt_scores,
    saints,
    voted,
)
from benchmarks.real_vlm.simulated import noisy_digits, systematic_fashion
from benchmarks.real_vlm.training import gaussian, head, logistic, pool, spaces, uneven
from zerolabel.adaptation.transduction import SOLVERS, defaults, solve
from zerolabel.adaptation.transduction.gpua import gpua
from zerolabel.annotate.prompt_weights import estimated_weights, weighted_texts
from zerolabel.annotations import Annotations
from zerolabel.annotations.candidates import parse_rule
from zerolabel.annotations.label_models import MODELS, crowd, posterior
from zerolabel.annotations.merging import merge_all
from zerolabel.blocks.label_propagation import propagate, propagate_jointly
from zerolabel.diagnostics import alarms, open_set
from zerolabel.diagnostics.confidence import comparable_scores
from zerolabel.diagnostics.inspection import intervals
from zerolabel.errors import InputError
from zerolabel.evaluation import metrics
from zerolabel.learners import LEARNERS

Row = dict[str, Any]
SEEDS = (0, 1, 2)
RULES = ("union", "topk:2", "topk:3", "ratio:0.5", "mass:0.9", "mass:0.95", "quantile:0.75,0.8", "posterior:0.9")
UNLABELED = 1800
FEW = (3, 5, 10)
SECOND = ("caltech-34", "caltech-67")
"""Data sets with features by a second encoder."""
OTHERS = ("caltech-34", "pets-25, validation split")
"""Data that no default was chosen by, with few images of each class."""
GROUPS = {
    "all 19 models": range(19),
    "CLIP, 3 models": range(3),
    "SigLIP, 3 models": range(3, 6),
    "CLIP and SigLIP": range(6),
    "Gemini, 8 models": range(6, 14),
    "GPT, 5 models": range(14, 19),
    "CLIP and 2 Gemini": (0, 1, 2, 6, 7),
    "SigLIP and 2 GPT": (3, 4, 5, 14, 15),
    "one of each family": (2, 4, 9, 15),
    "a Gemini and a GPT": (8, 15),
}


def photographs() -> dict[str, Photographs]:
    """Data sets whose images all have a named class."""
    return {"pets-25": pets().known, "caltech-67": caltech(), "caltech-34": caltech_second()}


def zero_shot() -> Iterator[Row]:
    """Every prompt, their mean, and the weighted prompts, also beside prompts that mean nothing."""
    for name, photos in photographs().items():
        labels, texts = photos.labels, photos.texts
        scores = prompt_scores(photos.features, texts)
        for prompt, own in zip(photos.prompts, scores, strict=True):
            yield {"data": name, "row": f"prompt {prompt}", "accuracy": right(own, labels)}
        for beside, more in {"": texts, **nonsense(texts)}.items():
            yield {"data": name, "row": f"mean{beside}", "accuracy": right(averaged(photos, more), labels)}
            weights = estimated_weights([photos.features], more, SCALE)
            weighted = prompt_scores(photos.features, weighted_texts(more, weights))[0]
            kept = int((weights.sum(1) > 0).sum())
            yield {"data": name, "row": f"weighted{beside}", "accuracy": right(weighted, labels), "kept": kept}


def nonsense(texts: Float[Tensor, "A C D"]) -> dict[str, Float[Tensor, "B C D"]]:
    """The prompts beside such that mean nothing: noise around the mean of all texts, and names in another order."""
    generator = torch.Generator().manual_seed(0)
    center = functional.normalize(texts.mean((0, 1)), dim=0)
    noise = torch.randn(20, *texts.shape[1:], generator=generator)
    shuffled = [texts[a % len(texts)][torch.randperm(texts.shape[1], generator=generator)] for a in range(6)]
    return {
        ", 20 nonsense templates added": torch.cat([texts, functional.normalize(center + 0.02 * noise, dim=-1)]),
        ", 20 random templates added": torch.cat([texts, functional.normalize(noise, dim=-1)]),
        ", 6 with shuffled names added": torch.cat([texts, torch.stack(shuffled)]),
    }


def averaged(photos: Photographs, texts: Float[Tensor, "A C D"]) -> Float[Tensor, "N C"]:
    """Mean of the prompts' probabilities."""
    return prompt_scores(photos.features, texts).mean(0)


def weighted_scores(photos: Photographs) -> tuple[Float[Tensor, "N C"], Float[Tensor, "1 C D"]]:
    """Scores of the weighted prompts, and their text features."""
    texts = weighted_texts(photos.texts, estimated_weights([photos.features], photos.texts, SCALE))
    return prompt_scores(photos.features, texts)[0], texts


def said() -> Iterator[tuple[str, Annotations, Int[Tensor, " N"]]]:
    """Annotations of photographs by weighted prompts, and of paintings by models, with the truth."""
    for name, photos in photographs().items():
        yield name, annotated(photos).with_scores(weighted_scores(photos)[0]), photos.labels
    paintings = saints()
    for name, models in GROUPS.items():
        yield f"artdl, {name}", paintings.some(tuple(models)), paintings.labels
    scores = torch.cat([saints(asked).scores[:6] for asked in ("labels", "descriptions")])
    names = [f"{i}" for i in range(12)]
    yield "artdl, 12 contrastive voters", voted(scores, paintings.annotations.classes, names), paintings.labels


def candidate_rules() -> Iterator[Row]:
    """Coverage and size of the sets of every rule."""
    for name, annotations, truth in said():
        for rule in RULES:
            made = parse_rule(rule)(annotations)
            some = made.any(1)
            yield {
                "data": name,
                "rule": rule,
                "coverage": metrics.candidate_coverage(made, truth),
                "size": float(made[some].sum(1).float().mean()),
                "empty": float((~some).float().mean()),
            }


def comparable() -> Iterator[Row]:
    """Accuracy of the mean of several models' scores, as they state them and with comparable confidences."""
    paintings = saints()
    for name, models in GROUPS.items():
        parts, names = [paintings.some((m,)) for m in models], [f"model {m}" for m in models]
        stated, made = merge_all(parts, names), merge_all(comparable_scores(parts, names), names)
        yield {
            "data": f"artdl, {name}",
            "stated": right(stated.scores, paintings.labels),
            "comparable": right(made.scores, paintings.labels),
        }


def label_models() -> Iterator[Row]:
    """Accuracy of every label model beside the mean of the scores."""
    for name, annotations, truth in said():
        yield {"data": name, "model": "mean scores", "accuracy": right(annotations.scores, truth)}
        for model in MODELS:
            if model not in crowd.NAMES:
                yield {"data": name, "model": model, "accuracy": right(posterior(annotations, model), truth)}


def label_free() -> Iterator[Row]:
    """Estimated noise of labels and candidate sets, with its interval, beside the truth."""
    for name, annotations, truth in said():
        for rule in ("union", "mass:0.9"):
            changed = annotations.with_candidates(parse_rule(rule)(annotations), rule)
            for what, share in zip(("candidates", "labels"), intervals.noise(changed, truth), strict=True):
                holds = share.low <= float(share.true or 0) <= share.high
                yield {"data": name, "rule": rule, "what": what, "holds": holds, **asdict(share)}


def solvers() -> Iterator[Row]:
    """Every solver with its defaults; one that refuses is said so."""
    for name, photos in photographs().items():
        scores, texts = weighted_scores(photos)
        yield {"data": name, "solver": "zero-shot", "accuracy": right(scores, photos.labels)}
        for solver in SOLVERS:
            options = {"prior": "estimated"} if "prior" in defaults(solver) else {}
            for given in ({}, options) if options else ({},):
                row = {"data": name, "solver": ", ".join([solver, *(f"{k} {v}" for k, v in given.items())])}
                try:
                    p = solve(solver, photos.features, functional.normalize(texts, dim=-1), SCALE, **given)
                except InputError as error:
                    yield {**row, "refused": str(error)}
                else:
                    yield {**row, "accuracy": right(p, photos.labels)}


def second_encoder() -> Iterator[Row]:
    """Scores spread over the images' neighbors in the space of one encoder and of two, and GPUA from each space."""
    for name in SECOND:
        photos = photographs()[name]
        scores, texts = weighted_scores(photos)
        yield from spread_rows(name, photos, scores)
        yield from aligned_rows(name, replace(photos, texts=functional.normalize(texts, dim=-1)), SCALE)
    digits, scores, scale = noisy_digits()
    yield from spread_rows("digits, noisy annotator", digits, scores)
    yield from aligned_rows("digits, noisy annotator", digits, scale)
    yield from spread_rows("Fashion-MNIST, systematic annotator", *systematic_fashion())


def spread_rows(name: str, photos: Photographs, scores: Float[Tensor, "N C"]) -> Iterator[Row]:
    """The annotator's scores, and what neighbors make of them."""
    assert photos.second is not None
    rows = {
        "zero-shot": scores,
        "spread over the annotator's features": propagate(scores, photos.features),
        "spread over the second encoder's": propagate(scores, photos.second),
        "mean of both": propagate_jointly(scores, spaces(photos)),
    }
    for row, p in rows.items():
        yield {"data": name, "row": row, "accuracy": right(p, photos.labels)}


def aligned_rows(name: str, photos: Photographs, scale: float) -> Iterator[Row]:
    """GPUA from the annotator's own features, and from the second encoder's."""
    for row, vision in (("annotator's features", None), ("second encoder's", photos.second)):
        p = gpua(photos.features, photos.texts[0], scale, vision)
        yield {"data": name, "row": f"GPUA on the {row}", "accuracy": right(p, photos.labels)}


def two_encoders(name: str, seed: int, encoders: str, propagate: bool) -> Row:
    """Co-Reg's head on the features of one encoder or of two, on held-out images."""
    photos = photographs()[name]
    split = pool(photos, seed, size=2 * len(photos.labels) // 3)
    p_train, p = head(split, "coreg", seed, encoders=encoders, propagate=propagate)
    return {
        "data": name,
        "seed": seed,
        "encoders": encoders,
        "propagate": propagate,
        "accuracy": right(p, split.test.labels),
        "zero_shot": right(split.zero_shot, split.test.labels),
        "pool_accuracy": right(p_train, split.train.labels),
    }


def open_sets() -> Iterator[Row]:
    """How well scores of unknown classes tell the other twelve breeds of Pets apart."""
    photos = pets()
    cosines = (
        photos.features
        @ weighted_texts(photos.texts, estimated_weights([photos.known.features], photos.texts, SCALE))[0].T
    )
    known = photos.labels >= 0
    found = {
        "mcm": open_set.mcm(SCALE * cosines),
        "max_logit": open_set.max_logit(SCALE * cosines),
        "energy": open_set.energy(SCALE * cosines),
    }
    for name, scores in found.items():
        yield {"data": "pets, 12 unknown classes", "score": name, "auroc": open_set.auroc(scores, known)}


def rows_by_hand(seed: int) -> Iterator[Row]:
    """What sixty lines by hand give on held-out images: Gaussian classifier and logistic regression."""
    for name, photos in {"pets-25": pets().known, "caltech-67": caltech()}.items():
        split = pool(photos, seed, size=UNLABELED if name == "pets-25" else 1300)
        x, new, labels = split.train.features, split.test.features, split.test.labels
        told = split.annotations.scores.argmax(1)
        found = {
            "zero-shot": split.zero_shot,
            "zero-shot, mean of the prompts": averaged(split.test, split.test.texts),
            "GDA": gaussian(x, new, split.texts[0]),
            "logistic regression": logistic(x, told, new, len(photos.classes)),
        }
        for row, p in found.items():
            yield {"data": name, "learner": row, "seed": seed, "accuracy": right(p, labels)}


def learned(learner: str, seed: int, name: str = "pets-25") -> Row:
    """A learner's head with the default preset, on held-out images."""
    photos = pets().known if name == "pets-25" else caltech()
    split = pool(photos, seed, size=UNLABELED if name == "pets-25" else 1300)
    p_train, p = head(split, learner, seed)
    return {
        "data": name,
        "learner": learner,
        "seed": seed,
        "accuracy": right(p, split.test.labels),
        "pool_accuracy": right(p_train, split.train.labels),
    }


def few_images(name: str, per_class: int, seed: int, **how: Any) -> Row:
    """Co-Reg's head on few images of each class: on new images and on its own, beside zero-shot."""
    photos = pets().known if name == "pets-25" else caltech()
    split = pool(photos, seed, per_class=per_class)
    p_train, p = head(split, "coreg", seed, **how)
    told = annotated(split.test).with_scores(split.zero_shot)
    return {
        "data": name,
        "per_class": per_class,
        "seed": seed,
        **how,
        "accuracy": right(p, split.test.labels),
        "zero_shot": right(split.zero_shot, split.test.labels),
        "pool_accuracy": right(p_train, split.train.labels),
        "alarms": [alarm.kind for alarm in alarms.check(p.argmax(1), told)],
    }


def other_data(name: str, per_class: int, seed: int) -> Row:
    """Co-Reg's head on few images of data that no default was chosen by: halfway to zero-shot, and whole."""
    photos = pets("val").known if name == "pets-25, validation split" else caltech_second()
    split = uneven(photos, [per_class] * len(photos.classes), seed)
    found = {"zero_shot": split.zero_shot, "accuracy": head(split, "coreg", seed)[1]}
    found["whole"] = head(split, "coreg", seed, interpolation=1.0)[1]
    rates = {what: round(right(one, split.test.labels), 4) for what, one in found.items()}
    return {"data": name, "per_class": per_class, "seed": seed, **rates}


def right(p: Float[Tensor, "N C"], labels: Int[Tensor, " N"]) -> float:
    """Share of the images whose best class is the true one."""
    return metrics.accuracy(p.argmax(1), labels)


PARTS: dict[str, Callable[[], Iterator[Row]]] = {
    "zero_shot": zero_shot,
    "candidate_rules": candidate_rules,
    "label_models": label_models,
    "comparable": comparable,
    "label_free": label_free,
    "solvers": solvers,
    "second_encoder": second_encoder,
    "open_set": open_sets,
    "by_hand": lambda: (row for seed in SEEDS for row in rows_by_hand(seed)),
}
"""Parts without training; each is measured as a whole."""


def trainings() -> Iterator[tuple[str, tuple[Any, ...], Callable[[], Row]]]:
    """Part, key and row of every training, the most wanted first; a row is there once its key is."""
    for seed in SEEDS:
        for name in ("pets-25", "caltech-67"):
            for count in FEW:
                yield "few_images", (name, count, seed), lambda n=name, c=count, s=seed: few_images(n, c, s)
        yield "learners", ("pets-25", "coreg", seed), lambda s=seed: learned("coreg", s)
        yield "learners", ("caltech-67", "coreg", seed), lambda s=seed: learned("coreg", s, "caltech-67")
    how = (
        {"start": False},
        {"propagate": True},
        {"rule": "union"},
        {"start": False, "propagate": True, "rule": "union"},
    )
    for options in how:
        for name in ("pets-25", "caltech-67"):
            key = (name, 5, 0, *sorted(options))
            yield "few_images", key, lambda n=name, o=options: few_images(n, 5, 0, **o)
    for name in SECOND:
        for seed in SEEDS:
            for encoders, spread in (("own", False), ("own", True), ("both", False), ("both", True)):
                key = (name, encoders, spread, seed)
                yield "two_encoders", key, lambda n=name, s=seed, e=encoders, p=spread: two_encoders(n, s, e, p)
    for name in OTHERS:
        for seed in SEEDS:
            for count in FEW[:2]:
                yield "other_data", (name, count, seed), lambda n=name, c=count, s=seed: other_data(n, c, s)
    for seed in SEEDS:
        for learner in LEARNERS:
            yield "learners", ("pets-25", learner, seed), lambda k=learner, s=seed: learned(k, s)
