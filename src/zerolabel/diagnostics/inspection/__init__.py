"""Label-free estimates of the quality of annotations.

Everything is computed from the annotations alone; true labels, where they are given, only stand beside it.
"""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.annotations import Annotations, Annotator
from zerolabel.annotations.label_models import annotator_accuracy, first_choices, first_votes, posterior
from zerolabel.annotations.noise import beliefs
from zerolabel.diagnostics.agreement import mean_candidates
from zerolabel.diagnostics.inspection import class_names, findings, intervals, vote_counts
from zerolabel.diagnostics.inspection.class_names import Pair
from zerolabel.diagnostics.inspection.findings import Finding
from zerolabel.diagnostics.inspection.intervals import Share
from zerolabel.evaluation import metrics

JOINT = "joint"


@dataclass(frozen=True)
class TextSpace:
    """Class names as a model's text encoder sees them.

    Attributes:
        model: how it is named.
        texts: text features of length 1.
        scale: of the cosine, as the model has it for images.
    """

    model: str
    texts: Float[Tensor, "C D"]
    scale: float


@dataclass(frozen=True)
class Inspection:
    """Inspection of annotations of N images by B annotators over C classes.

    Attributes:
        annotations: that were inspected.
        n_known: images with known truth; None where no truth was given.
        coverage: share of the images with candidates whose set holds the true class.
        label_noise: share of the annotated images whose best-scored class is not the true one.
        dependence: share of the annotators' number that their shared errors make void, in [0, 1].
        annotators: in the order of the next three; further choices of an annotator are not among them.
        agreement: share of the images on which two annotators chose the same class, NaN where they never both voted.
        quality: mean probability, under the label model, of what each annotator voted for; NaN where it never voted.
        accuracy: the true one; None where no truth was given.
        votes_per_class: how often each annotator chose each class.
        label_model: that gave the quality.
        near: class names that are near each other.
        near_by: how that was measured, in words.
        findings: what stands out, and what to do.
    """

    annotations: Annotations
    n_known: int | None
    coverage: Share
    label_noise: Share
    dependence: float
    annotators: tuple[Annotator, ...]
    agreement: Float[Tensor, "B B"]
    quality: tuple[float, ...]
    accuracy: tuple[float, ...] | None
    votes_per_class: Int[Tensor, "B C"]
    label_model: str
    near: tuple[Pair, ...]
    near_by: str
    findings: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        """All of it as data for JSON; what does not exist is None."""
        classes = self.annotations.classes
        means = vote_counts.mean_agreement(self.agreement).tolist()
        counts = self.votes_per_class
        return {
            "n_images": len(self.annotations),
            "n_without_candidates": int((~self.annotations.candidates.any(1)).sum()),
            "n_human": int(self.annotations.human.sum()),
            "n_known": self.n_known,
            "rule": self.annotations.rule,
            "mean_candidates": number(mean_candidates(self.annotations.candidates)),
            "set_sizes": vote_counts.set_sizes(self.annotations.candidates).tolist(),
            "coverage": vars(self.coverage),
            "label_noise": vars(self.label_noise),
            "dependence": self.dependence,
            "label_model": self.label_model,
            "annotators": [
                {
                    "model": annotator.model,
                    "template": annotator.template,
                    "votes": int(counts[a].sum()),
                    "agreement": number(means[a]),
                    "estimated_accuracy": number(self.quality[a]),
                    "accuracy": None if self.accuracy is None else number(self.accuracy[a]),
                    "votes_per_class": dict(zip(classes, counts[a].tolist(), strict=True)),
                }
                for a, annotator in enumerate(self.annotators)
            ],
            "agreement": [[number(value) for value in row] for row in self.agreement.tolist()],
            "near_names": [
                {"first": classes[p.first], "second": classes[p.second], "nearness": p.nearness} for p in self.near
            ],
            "near_names_by": self.near_by,
            "findings": [vars(finding) for finding in self.findings],
        }


def inspect(
    annotations: Annotations,
    *,
    truth: Int[Tensor, " N"] | None = None,
    text: TextSpace | None = None,
    label_model: str = JOINT,
) -> Inspection:
    """Look at annotations.

    Args:
        annotations: of N images.
        truth: class ids, -1 unknown; it is put beside the estimates and enters none of them.
        text: the class names in a model's text space; without it their letters are compared.
        label_model: gives the quality of the annotators: ``"joint"``, which reads votes and confidence as the
            estimates of noise do, or a key of `zerolabel.annotations.label_models.MODELS`, which reads votes alone.

    Raises:
        InputError: there is no such label model, or it needs a package that is not installed.
    """
    votes, n_classes = first_votes(annotations), len(annotations.classes)
    missed, wrong = intervals.noise(annotations, truth)
    believed = beliefs(annotations)
    if label_model == JOINT:
        quality = tuple(annotator_accuracy(votes[believed.rows], believed.joint).tolist())
    else:
        quality = tuple(annotator_accuracy(votes, posterior(annotations, label_model)).tolist())
    near = (
        class_names.near_by_letters(annotations.classes)
        if text is None
        else class_names.near_by_text(text.texts, text.scale)
    )
    near_by = "the letters of the names" if text is None else f"the text encoder of {text.model}"
    return Inspection(
        annotations=annotations,
        n_known=None if truth is None else int((truth >= 0).sum()),
        coverage=missed.complement,
        label_noise=wrong,
        dependence=believed.dependence,
        annotators=tuple(annotations.annotators[a] for a in first_choices(annotations)),
        agreement=vote_counts.vote_agreement(votes),
        quality=quality,
        accuracy=None if truth is None else tuple(metrics.vote_accuracy(votes, truth).tolist()),
        votes_per_class=vote_counts.votes_per_class(votes, n_classes),
        label_model=label_model,
        near=near,
        near_by=near_by,
        findings=(
            *findings.about_noise(missed.complement, wrong),
            *findings.about_candidates(annotations),
            *findings.about_prompts(annotations, quality),
            *findings.about_classes(annotations),
            *findings.about_names(annotations.classes, near, near_by),
        ),
    )


def number(value: float) -> float | None:
    """A number for JSON; None where it does not exist."""
    return None if value != value else value


__all__ = ["Finding", "Inspection", "Pair", "Share", "TextSpace", "inspect"]
