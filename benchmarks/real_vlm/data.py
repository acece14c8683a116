"""Outputs of real vision-language models with true labels: features of images and of class names, and votes.

The files are not part of the project; they lie beside a checkout, in ``../shared/data/real_vlm`` or below the folder
that ``ZEROLABEL_REFERENCE`` names. Labels serve evaluation alone.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from zerolabel.annotations import Annotations, Annotator, parse_rule

SCALE = 100.0
"""CLIP's factor of the cosine."""
FOLDER = Path(os.environ.get("ZEROLABEL_REFERENCE", Path(__file__).resolve().parents[3] / "shared")) / "data/real_vlm"


@dataclass(frozen=True)
class Photographs:
    """Image and text features of one data set.

    Attributes:
        classes: C names.
        features: of N images, of length 1.
        labels: true classes, -1 for an image of another class.
        texts: of A prompts, of length 1.
        prompts: what the A prompts are called.
        second: features by a second encoder of the same images; none where there is none.
    """

    classes: tuple[str, ...]
    features: Float[Tensor, "N D"]
    labels: Int[Tensor, " N"]
    texts: Float[Tensor, "A C D"]
    prompts: tuple[str, ...]
    second: Float[Tensor, "N E"] | None = None

    def select(self, index: Int[Tensor, " M"]) -> "Photographs":
        """Some of the images."""
        second = None if self.second is None else self.second[index]
        return replace(self, features=self.features[index], labels=self.labels[index], second=second)

    @property
    def known(self) -> "Photographs":
        """The images of the named classes."""
        return self.select((self.labels >= 0).nonzero().squeeze(1))


def unit(array: np.ndarray) -> Tensor:
    """Rows of length 1, in float32."""
    return functional.normalize(torch.from_numpy(array.astype(np.float32)), dim=-1)


def pets(split: str = "test") -> Photographs:
    """Oxford Pets: the 25 breeds that three prompt families name; the other twelve count as -1.

    Args:
        split: "test", or the smaller "val".
    """
    with np.load(FOLDER / "oxford_pets_clip_vitb32.npz") as file:
        kept = np.isfinite(file["text_b32"]).all((0, 2))
        return Photographs(
            tuple(file["classes"][kept].tolist()),
            unit(file[split]),
            renumbered(file[f"{split}_labels"], kept),
            unit(file["text_b32"][:, kept]),
            tuple(file["text_sources"].tolist()),
        )


def caltech(most: int = 3) -> Photographs:
    """Caltech-101, test split: the 67 classes that some of the sources name.

    A prompt is the n-th source that names a class, so that every class has at least one, and those with fewer repeat
    their last.

    Args:
        most: prompts.
    """
    with np.load(FOLDER / "caltech101_clip_vitb32_vitb16.npz") as file:
        text = file["text_b32"].astype(np.float32)
        named = np.isfinite(text).all(2)  # (8 C)
        kept = named.any(0)
        order = [named[:, c].nonzero()[0] for c in kept.nonzero()[0]]
        texts = np.stack(
            [
                np.stack([text[own[min(a, len(own) - 1)], c] for own, c in zip(order, kept.nonzero()[0], strict=True)])
                for a in range(most)
            ]
        )
        return _caltech(file, kept, unit(texts), tuple(f"source {a + 1}" for a in range(most)), "b32", "b16")


def caltech_second() -> Photographs:
    """The 34 classes of Caltech-101 that ImageNet names, with ViT-B/16 as second encoder."""
    with np.load(FOLDER / "caltech101_clip_vitb32_vitb16.npz") as file:
        kept = np.isfinite(file["text_b16_imagenet"]).all(1)
        text = file["text_b32"].astype(np.float32)
        named = np.isfinite(text).all(2)
        kept &= named.any(0)
        first = np.stack([text[named[:, c].nonzero()[0][0], c] for c in kept.nonzero()[0]])
        return _caltech(file, kept, unit(first)[None], ("first source",), "b32", "b16")


def _caltech(
    file: "np.lib.npyio.NpzFile", kept: np.ndarray, texts: Tensor, prompts: tuple[str, ...], first: str, second: str
) -> Photographs:
    splits = ("test",)
    parts = [np.concatenate([file[f"{name}_{encoder}"] for name in splits]) for encoder in (first, second)]
    labels = renumbered(np.concatenate([file[f"{name}_labels"] for name in splits]), kept)
    made = Photographs(
        tuple(file["classes"][kept].tolist()), unit(parts[0]), labels, texts, prompts, second=unit(parts[1])
    )
    return made.known


def renumbered(labels: np.ndarray, kept: np.ndarray) -> Int[Tensor, " N"]:
    """Class ids among the classes that are kept, -1 for the others."""
    ids = np.where(kept, kept.cumsum() - 1, -1)
    return torch.from_numpy(ids[labels.astype(np.int64)])


@dataclass(frozen=True)
class Paintings:
    """What 19 models said of 1,864 paintings of saints.

    Attributes:
        annotations: their votes and mean scores; an abstention is -1.
        scores: of each model; a row of zeros is an abstention.
        labels: true classes.
    """

    annotations: Annotations
    scores: Float[Tensor, "M N C"]
    labels: Int[Tensor, " N"]

    def some(self, models: Sequence[int]) -> Annotations:
        """The annotations by some of the models."""
        names = [self.annotations.annotators[m].model for m in models]
        return voted(self.scores[list(models)], self.annotations.classes, names)


def saints(asked: str = "labels") -> Paintings:
    """ArtDL.

    Args:
        asked: "labels" for class names as prompts, "descriptions" for descriptions of the saints.
    """
    with np.load(FOLDER / "saints_artdl_vlm_probs.npz") as file:
        p = torch.from_numpy(file[f"probs_{asked}"].astype(np.float32))
        classes, models = tuple(file["classes"].tolist()), file["models"].tolist()
        labels = torch.from_numpy(file["labels"].astype(np.int64))
    silent = p.isnan().any(2) | (p.amax(2) - p.amin(2) < 1e-6)
    scores = torch.where(silent[:, :, None], 0.0, p.nan_to_num())
    scores = scores / scores.sum(2, keepdim=True).clamp_min(1e-12)
    return Paintings(voted(scores, classes, models), scores, labels)


def voted(scores: Float[Tensor, "A N C"], classes: tuple[str, ...], names: Sequence[str]) -> Annotations:
    """Annotations of the probabilities that annotators gave, with the candidates of the rule "union"."""
    spoke = scores.any(2)
    votes = torch.where(spoke, scores.argmax(2), -1).T.contiguous()
    mean = scores.sum(0) / spoke.sum(0)[:, None].clamp_min(1)
    return bare(votes, mean, classes, tuple(Annotator(name, "", "{}") for name in names))


def bare(
    votes: Int[Tensor, "N A"],
    scores: Float[Tensor, "N C"],
    classes: tuple[str, ...],
    annotators: tuple[Annotator, ...],
    rule: str = "union",
) -> Annotations:
    """Annotations of N images without names."""
    n = len(votes)
    made = Annotations(
        classes=classes,
        file_names=tuple(f"{i:06}" for i in range(n)),
        sha256=("",) * n,
        sizes=torch.zeros(n, 2, dtype=torch.long),
        votes=votes,
        scores=scores,
        candidates=torch.zeros(scores.shape, dtype=torch.bool),
        labels=torch.full((n,), -1),
        annotators=annotators,
        rule=rule,
    )
    return made.with_candidates(parse_rule(rule)(made), rule)


def prompt_scores(features: Float[Tensor, "N D"], texts: Float[Tensor, "A C D"]) -> Float[Tensor, "A N C"]:
    """What each prompt gives, ``softmax(scale r . t_a)``."""
    return torch.stack([(SCALE * features @ text.T).softmax(1) for text in texts])


def annotated(photos: Photographs, rule: str = "union") -> Annotations:
    """Annotations of the images by the prompts."""
    said = voted(prompt_scores(photos.features, photos.texts), photos.classes, photos.prompts)
    return said.with_candidates(parse_rule(rule)(said), rule)
