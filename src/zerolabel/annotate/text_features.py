"""Features of class names, and what they say about features of images."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from zerolabel.data.classes import Classes, prompts
from zerolabel.errors import InputError
from zerolabel.vlms.encoder import Encoder

ENTRIES = 1 << 22
"""Probabilities in memory at once: the more classes, the fewer images are scored together."""

WORDS = 4096
"""Names encoded at once."""


def text_features(encoder: Encoder, classes: Classes, templates: Sequence[str]) -> Float[Tensor, "A C D"]:
    """Features of every class under every template, of length 1; the names of one class are averaged.

    Raises:
        InputError: there is no template, or one lacks ``{}``, or the model has learned other classes, or its features
            of a name are not finite.
    """
    if encoder.classes not in ((), classes.names):
        known = ", ".join(encoder.classes[:5])
        raise InputError(f"--vlm {encoder.name} has learned its own classes ({known} ...); give --classes these.")
    given = encoder.class_features(classes)
    if given is not None:
        return given
    if not templates:
        raise InputError("there is no prompt template; give at least one, such as: a photo of a {}")
    for template in templates:
        if "{}" not in template:
            raise InputError(f"the template {template!r} lacks {{}}, where the class name goes; add it.")
    owners, words, rows = torch.tensor(classes.owners), classes.words, []
    for template in templates:
        total = torch.zeros(0)
        for start in range(0, len(words), WORDS):
            features = encoder.encode_texts(prompts(template, words[start : start + WORDS]))
            if not bool(features.isfinite().all()):
                word = words[start + int((~features.isfinite().all(1)).nonzero()[0])]
                raise InputError(f"--vlm {encoder.name} gives {word!r} features that are not finite; choose another.")
            total = total if len(total) else torch.zeros(len(classes), features.shape[1])
            total.index_add_(0, owners[start : start + WORDS], features)
        rows.append(functional.normalize(total, dim=-1))
    return torch.stack(rows)


def score(
    encoder: Encoder, features: Float[Tensor, "N D"], texts: Float[Tensor, "A C D"]
) -> tuple[Int[Tensor, "N A"], Float[Tensor, "N C"]]:
    """One softmax per template: p_a = softmax(scale r . t_a) (Co-Reg, Wang et al., AAAI 2025).

    Args:
        encoder: gives the scale.
        features: image features of length 1.
        texts: text features of length 1, per template and class.

    Returns:
        The votes argmax_c p_ac, and the scores mean_a p_ac. Memory beyond these two stays bounded.
    """
    votes = torch.empty(len(features), len(texts), dtype=torch.long)
    scores = torch.zeros(len(features), texts.shape[1])
    count = max(1, ENTRIES // texts.shape[1])
    for start in range(0, len(features), count):
        rows = slice(start, start + count)
        for a, text in enumerate(texts):
            p = encoder.probabilities(features[rows], text)
            votes[rows, a] = p.argmax(dim=1)
            scores[rows] += p / len(texts)
    return votes, scores


def strongest(scores: Float[Tensor, "N C"], k: int) -> Float[Tensor, "N C"]:
    """The k highest scores of each row, the others zero."""
    values, ids = scores.topk(k, dim=1)
    return torch.zeros_like(scores).scatter_(1, ids, values)
