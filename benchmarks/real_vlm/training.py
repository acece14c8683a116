"""Heads on frozen features of real images, trained as ``zerolabel run`` trains them by default."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from benchmarks.real_vlm.data import SCALE, Photographs, annotated, prompt_scores
from zerolabel import networks
from zerolabel.annotate.prompt_weights import estimated_weights, weighted_texts
from zerolabel.annotations import Annotations, parse_rule
from zerolabel.data.views import Features
from zerolabel.networks.joint import joined, joined_texts
from zerolabel.runs import presets
from zerolabel.runs.prepare import prepare
from zerolabel.runs.stages.scores import spread
from zerolabel.training.loop import make_fabric, predict, train

RULE = "mass:0.9"


@dataclass(frozen=True)
class Pool:
    """Images to learn from and images held out of it.

    Attributes:
        train: the pool.
        test: held-out images.
        texts: the prompts in one text feature per class, weighted without labels on the pool.
        annotations: of the pool, by the weighted prompts.
    """

    train: Photographs
    test: Photographs
    texts: Float[Tensor, "1 C D"]
    annotations: Annotations

    @property
    def zero_shot(self) -> Float[Tensor, "M C"]:
        """Scores of the held-out images."""
        return prompt_scores(self.test.features, self.texts)[0]


def pool(photos: Photographs, seed: int, *, size: int | None = None, per_class: int | None = None) -> Pool:
    """A random split.

    Args:
        photos: of known classes.
        seed: of the split.
        size: images to learn from.
        per_class: or how many of each class.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(photos.labels), generator=generator)
    if per_class is None:
        first, rest = order[:size], order[size:]
    else:
        by_class = [order[photos.labels[order] == c] for c in range(len(photos.classes))]
        first, rest = (
            torch.cat([own[part] for own in by_class]) for part in (slice(per_class), slice(per_class, None))
        )
    return divided(photos, first, rest)


def uneven(photos: Photographs, counts: Sequence[int], seed: int) -> Pool:
    """A random split with so many images of each class to learn from, at most two thirds of them."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(photos.labels), generator=generator)
    by_class = [order[photos.labels[order] == c] for c in range(len(photos.classes))]
    first = torch.cat([own[: min(k, 2 * len(own) // 3)] for own, k in zip(by_class, counts, strict=True)])
    rest = torch.ones(len(order), dtype=torch.bool)
    rest[first] = False
    first = first[torch.randperm(len(first), generator=generator)]
    return divided(photos, first, rest.nonzero().squeeze(1))


def divided(photos: Photographs, first: Int[Tensor, " N"], rest: Int[Tensor, " M"]) -> Pool:
    """The pool of some images, annotated, with others held out."""
    train, test = photos.select(first), photos.select(rest)
    texts = weighted_texts(photos.texts, estimated_weights([train.features], photos.texts, SCALE))
    return Pool(train, test, texts, rescored(annotated(train), prompt_scores(train.features, texts)[0], RULE))


def rescored(annotations: Annotations, scores: Float[Tensor, "N C"], rule: str) -> Annotations:
    """The annotations with other scores, and the candidates that a rule makes of these."""
    changed = annotations.with_scores(scores)
    return changed.with_candidates(parse_rule(rule)(changed), rule)


def head(
    pool: Pool,
    learner: str,
    seed: int,
    *,
    start: bool = True,
    propagate: bool = False,
    rule: str = RULE,
    encoders: str = "own",
    **settings: Any,
) -> tuple[Float[Tensor, "N C"], Float[Tensor, "M C"]]:
    """Probabilities of a trained head on the pool and on the held-out images.

    Args:
        pool: of images.
        learner: name of the algorithm, with the preset for so many images.
        seed: of weights, order and views.
        start: whether the head starts at the zero-shot classifier.
        propagate: whether scores are spread over neighbors before training.
        rule: of the candidates.
        encoders: whose features are read: "own", "second", or "both" side by side; scores spread over the same.
        settings: that take the place of the preset's.
    """
    said = rescored(pool.annotations, pool.annotations.scores, rule)
    if propagate:
        said = spread(said, spaces(pool.train, encoders))
    n, n_classes = said.scores.shape
    torch.manual_seed(seed)
    parts = [joined(spaces(part, encoders)) for part in (pool.train, pool.test)]
    texts = SCALE * joined_texts(pool.texts, [part.shape[1] for part in spaces(pool.train, encoders)])
    network = networks.build("mlp", n_classes, parts[0].shape[1], texts=texts if start else None)
    preset = presets.for_head(presets.choose(n), n, n_classes)
    preset = preset if propagate else presets.near_zero_shot(preset, n, n_classes)
    own = {"seed": seed, "device": "cpu", "precision": "float32", **settings}
    made, chosen = prepare(learner, network, said, preset=preset, **own)
    for _ in train(made, Features(parts[0]), chosen):
        pass
    fabric = make_fabric(chosen)
    found = [predict(made.network, Features(part), fabric, 512) for part in parts]
    return found[0], found[1]


def spaces(photos: Photographs, encoders: str = "both") -> tuple[Float[Tensor, "N _"], ...]:
    """Features of the images by their encoder, by a second one, or by both."""
    both = (photos.features,) if photos.second is None else (photos.features, photos.second)
    return {"own": both[:1], "second": both[1:], "both": both}[encoders]


def gaussian(
    x: Float[Tensor, "N D"], new: Float[Tensor, "M D"], texts: Float[Tensor, "C D"], rounds: int = 3, share: float = 1.0
) -> Float[Tensor, "M C"]:
    """GDA beside zero-shot (arXiv 2402.04087), with the classifier's own posterior in the place of labels.

    Args:
        x: features to learn from.
        new: features to classify.
        texts: text feature per class.
        rounds: of expectation maximization, from the zero-shot posterior on.
        share: a, of the Gaussian classifier's logits.
    """
    q, n = (SCALE * x @ texts.T).softmax(1), len(x)
    weight = bias = torch.zeros(0)
    for _ in range(rounds):
        counts = q.sum(0).clamp_min(1e-6)
        means = (q.T @ x) / counts[:, None]
        covariance = ((x.T @ x) - (means.T * counts) @ means) / n
        precision = x.shape[1] * torch.linalg.pinv(
            (n - 1) * covariance + covariance.trace() * torch.eye(x.shape[1]), hermitian=True
        )
        weight = means @ precision
        bias = (counts / n).log() - (weight * means).sum(1) / 2
        q = (SCALE * x @ texts.T + share * (x @ weight.T + bias)).softmax(1)
    return (SCALE * new @ texts.T + share * (new @ weight.T + bias)).softmax(1)


def logistic(
    x: Float[Tensor, "N D"], labels: Int[Tensor, " N"], new: Float[Tensor, "M D"], n_classes: int
) -> Float[Tensor, "M C"]:
    """Logistic regression on labels, scikit-learn's, inverse penalty 10."""
    model = LogisticRegression(C=10.0, max_iter=500).fit(x.numpy(), labels.numpy())
    found = torch.zeros(len(new), n_classes)
    found[:, torch.from_numpy(model.classes_).long()] = torch.from_numpy(model.predict_proba(new.numpy())).float()
    return found
