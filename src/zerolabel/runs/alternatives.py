"""The student beside simpler classifiers, on the same images, and the estimated accuracy of each.

What is known without labels comes from `zerolabel.diagnostics.inspection.intervals`. It counts only on images that a
classifier did not learn: one that memorized its pool contradicts no annotator there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from zerolabel.annotate import Annotated
from zerolabel.annotations import Annotations, names_of
from zerolabel.diagnostics.agreement import agreement
from zerolabel.diagnostics.inspection import intervals
from zerolabel.evaluation import metrics
from zerolabel.networks import EncodedNetwork
from zerolabel.runs.baselines import BEST, best_annotator, linear_predictions
from zerolabel.runs.config import HEADS, TrainingConfig
from zerolabel.runs.outcome import TRAINING, Outcome
from zerolabel.training.fitting import Trained
from zerolabel.vlms.names import is_model

ZERO_SHOT, VOTE, STUDENT = "zero-shot", "the vote", "student"


@dataclass(frozen=True)
class Answers:
    """Predicted class ids of one classifier, -1 where it has no answer.

    Attributes:
        name: of the classifier.
        train: of the N training images.
        test: of the M held-out images, if there are any.
        learned: True if it was fitted to the training images.
    """

    name: str
    train: Int[Tensor, " N"]
    test: Int[Tensor, " M"] | None
    learned: bool = True


def simple(encoder: str | None, annotated: Annotated, held_out: Annotated | None, aside: Tensor) -> list[Answers]:
    """Zero-shot or the vote of imported annotators, the best prompt and, on features, linear classifiers.

    Args:
        encoder: the model whose prompts have weights; None if there is none.
        annotated: the training images.
        held_out: images held out of training, if there are any.
        aside: ids of the training images that are not learned.
    """
    train, test = annotated.annotations, None if held_out is None else held_out.annotations
    name = ZERO_SHOT if all(is_model(one.model) for one in train.annotators) else VOTE
    found = [Answers(name, best(train), None if test is None else best(test), learned=False)]
    if len(train.annotators) > 1:
        chosen = train.annotators[best_annotator(train, encoder)]
        named = f"{BEST}: {names_of([chosen])[0]}"
        found.append(Answers(named, votes(train, chosen), None if test is None else votes(test, chosen), learned=False))
    read = [one.head_features for one in (annotated, held_out) if one is not None]
    features = read[0]
    if not all(one.shape[1] == features.shape[1] > 0 for one in read):  # held-out images that only people voted on
        return found
    for name, predicted in linear_predictions(train, features, aside, read).items():
        found.append(Answers(name, predicted[0], predicted[1] if len(predicted) > 1 else None))
    return found


def best(annotations: Annotations) -> Int[Tensor, " N"]:
    """The class with the highest score, -1 where nobody voted."""
    return torch.where(annotations.scores.any(1), annotations.scores.argmax(1), -1)


def votes(annotations: Annotations, annotator: object) -> Int[Tensor, " N"]:
    """The votes of one annotator, -1 where it did not vote."""
    places = [a for a, one in enumerate(annotations.annotators) if one == annotator]
    return annotations.votes[:, places[0]] if places else torch.full((len(annotations),), -1)


def head_answers(training: TrainingConfig, trained: Trained, held_out: Annotated | None) -> Answers:
    """Answers of a head on frozen features, without a pass through the image encoder."""
    test = None
    if held_out is not None:
        network = trained.networks[0]
        head = network.on_features if isinstance(network, EncodedNetwork) else network
        with torch.inference_mode():
            test = head(held_out.head_features.float()).argmax(1)
    return Answers(on_features(training), trained.log_probabilities[0].argmax(1), test)


def on_features(training: TrainingConfig) -> str:
    """Name of the head on frozen features."""
    return f"{training.learner} on features"


def student_answers(training: TrainingConfig, outcome: Outcome) -> Answers:
    """Answers of the student."""
    read = on_features(training) if training.student in HEADS else f"{training.student} at {training.size} pixels"
    test = None if outcome.p_test is None else outcome.p_test.argmax(1)
    return Answers(f"{STUDENT}: {read}", outcome.p_train.argmax(1), test)


def rows(outcome: Outcome, answers: Sequence[Answers]) -> list[dict[str, Any]]:
    """A row per classifier: accuracy where truth was given, and what is known without labels.

    Args:
        outcome: says which images are measured and checked.
        answers: of the classifiers, that of the annotators together first.
    """
    return [
        {
            "name": one.name,
            "accuracy": measured(outcome, one),
            "agreement": agreement(*(outcome.checked(each.train, each.test) for each in (one, answers[0]))),
            "estimated_accuracy": estimated(outcome, one),
        }
        for one in answers
    ]


def measured(outcome: Outcome, answers: Answers) -> float | None:
    """Accuracy against the truth; none without it."""
    if outcome.truth_train is None:
        return None
    test = outcome.test is not None and outcome.truth_test is not None and answers.test is not None
    predicted, truth = (answers.test, outcome.truth_test) if test else (answers.train, outcome.truth_train)
    if predicted is None or truth is None:
        return None
    return number(metrics.accuracy(predicted, truth))


def estimated(outcome: Outcome, answers: Answers) -> dict[str, Any]:
    """Estimated accuracy with its interval, and what it is about.

    Ends are none where nothing dependable is known.
    """
    voted, _ = outcome.voted
    memorized = answers.learned and outcome.checked_on == TRAINING
    share = intervals.accuracy(outcome.checked(answers.train, answers.test), voted)
    known = share.known and not memorized
    return {
        "estimate": number(share.estimate),
        "low": share.low if known else None,
        "high": share.high if known else None,
        "known": known,
        "n_images": len(voted),
        "images": outcome.checked_on,
    }


def number(value: float) -> float | None:
    """A number for JSON; none where it does not exist."""
    return None if value != value else float(value)


__all__ = ["STUDENT", "ZERO_SHOT", "Answers", "head_answers", "rows", "simple", "student_answers"]
