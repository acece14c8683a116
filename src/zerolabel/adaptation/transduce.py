"""Images, a vision-language model and prompts in; annotations whose scores come from all images together out."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zerolabel.adaptation.transduction import defaults, solve
from zerolabel.annotate import annotate, text_features
from zerolabel.annotate.prompt_weights import weighted_texts, weights_of
from zerolabel.annotate.writing import Progress
from zerolabel.annotations import Annotations, candidates
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.errors import InputError
from zerolabel.vlms.encoder import Encoder

RULE = "mass:0.9"
"""Candidates are the fewest classes that hold so much of the solver's posterior."""


@dataclass(frozen=True)
class Transduced:
    """Result of `transduce`.

    Attributes:
        annotations: the templates' votes, and scores and candidates of the solver.
        zero_shot: the same images with the templates' own scores.
        skipped: name of each unreadable file, and the reason.
    """

    annotations: Annotations
    zero_shot: Annotations
    skipped: tuple[tuple[str, str], ...]

    @property
    def changed(self) -> int:
        """Images whose best class is not the one of the templates."""
        return int((self.annotations.scores.argmax(1) != self.zero_shot.scores.argmax(1)).sum())


def transduce(
    images: ImageSet,
    encoder: Encoder,
    classes: Classes,
    templates: Sequence[str],
    method: str,
    options: dict[str, Any],
    *,
    rule: str = RULE,
    weights: str = "uniform",
    cache: str | os.PathLike[str] | None = None,
    progress: Progress = iter,
) -> Transduced:
    """Annotate, and put a solver's posterior in the place of the scores.

    The votes stay those of the templates; the rule names the solver and all its options.

    Args:
        images: N images, which the solver looks at together.
        encoder: the model.
        classes: C names with aliases.
        templates: A prompts.
        method: solver, see `zerolabel.adaptation.transduction.SOLVERS`.
        options: of the solver.
        rule: how candidates are formed of the posterior, see `zerolabel.annotations.candidates.RULES`.
        weights: of the prompts, "estimated" or "uniform", see `zerolabel.annotate.prompt_weights`. With estimated
            weights the solver has one text feature per class, the weighted mean.
        cache: folder of image features.
        progress: wraps the steps of the pass over the images.

    Raises:
        InputError: the rule, the method, an option or a template is wrong, or no image is readable.
    """
    build = candidates.parse_rule(rule)
    texts = text_features(encoder, classes, templates)
    with tempfile.TemporaryDirectory() as folder:
        done = annotate(
            images, encoder, classes, templates, out=Path(folder) / "annotations", cache=cache, progress=progress,
            weights=weights,
        )  # fmt: skip
        known = weights_of(done.annotations, encoder.name)
        texts = texts if known is None else weighted_texts(texts, known)
        posterior = solve(method, done.features, texts, encoder.logit_scale, **options)
    values = ", ".join(f"{name}={value}" for name, value in {**defaults(method), **options}.items())
    if not bool(posterior.isfinite().all()):
        raise InputError(f"--method {method} gives probabilities that are not finite; choose other --set values.")
    annotations = replace(done.annotations, scores=posterior)
    annotations = annotations.with_candidates(build(annotations), f"{rule} of {method}({values})")
    return Transduced(annotations, done.annotations, done.skipped)
