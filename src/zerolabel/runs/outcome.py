"""The numbers of a run: predictions of all images and, where truth was given, how right they are."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from zerolabel.annotate import Annotated
from zerolabel.annotations import Annotations, names_of
from zerolabel.blocks import targets
from zerolabel.data.images import Images
from zerolabel.data.label_files import Labels, places_known
from zerolabel.deployment.classifier import Classifier
from zerolabel.diagnostics import alarms
from zerolabel.diagnostics.agreement import mean_candidates
from zerolabel.evaluation import metrics
from zerolabel.evaluation.class_gains import class_gains, estimated_class_gains
from zerolabel.files import rows
from zerolabel.runs.config import DataConfig
from zerolabel.training.fitting import Trained
from zerolabel.vlms.names import is_model

HELD_OUT, SET_ASIDE, TRAINING = "held-out images", "images set aside", "training images"
"""Images that a classifier is checked or measured on."""
PER_ANNOTATOR = {"zero_shot": "zero_shot_accuracy_per_template", "votes": "votes_accuracy_per_annotator"}
"""Metric with the accuracy of each annotator, by the name of their ensemble."""


@dataclass(frozen=True)
class Outcome:
    """Predictions and metrics of a run.

    Attributes:
        train: annotations of the training images.
        test: annotations of the held-out images, if there are any.
        p_train: the student's probabilities on the training images.
        p_test: on the held-out images.
        both: probabilities of all networks together, on the images that accuracies are about.
        agreement: share of training images on which the networks agree; none where there is one.
        truth_train: true class ids of the training images, -1 unknown; none where no truth was given.
        truth_test: of the held-out images.
        classifier: what is deployed.
        aside: ids of the training images that were not learned.
        n_skipped: images left out: unreadable, or without an annotation where those were given.
    """

    train: Annotations
    test: Annotations | None
    p_train: Float[Tensor, "N C"]
    p_test: Float[Tensor, "M C"] | None
    both: Float[Tensor, "K C"]
    agreement: float | None
    truth_train: Int[Tensor, " N"] | None
    truth_test: Int[Tensor, " M"] | None
    classifier: Classifier
    aside: Int[Tensor, " S"]
    n_skipped: int

    @classmethod
    def of(
        cls,
        data: DataConfig,
        annotated: Annotated,
        held_out: Annotated | None,
        trained: Trained,
        classifier: Classifier,
    ) -> "Outcome":
        """Predict all images and read the truth: the only place of a run that does."""
        train, test = annotated.annotations, held_out.annotations if held_out else None
        truth = None if data.truth is None else true_labels(data, annotated, held_out).tensor_split([len(train)])
        log_p, log_p_test = trained.log_probabilities, None
        if held_out is not None:
            alone = [replace(classifier, networks=(network,)) for network in trained.networks]
            given: Images = held_out.images if classifier.dimensions is None else held_out.head_features
            log_p_test = tuple(one.logits(given).log_softmax(1) for one in alone)
        together = replace(classifier, networks=trained.networks)
        return cls(
            train,
            test,
            combine(log_p, classifier),
            None if log_p_test is None else combine(log_p_test, classifier),
            combine(log_p if log_p_test is None else log_p_test, together),
            trained.agreement,
            None if truth is None else truth[0],
            None if truth is None or test is None else truth[1],
            classifier,
            trained.aside,
            len(annotated.skipped),
        )

    @property
    def held_out(self) -> bool:
        """True if accuracies are measured on held-out images."""
        return self.test is not None

    @property
    def evaluated(self) -> tuple[Annotations, Float[Tensor, "K C"], Int[Tensor, " K"]]:
        """Annotations, probabilities and truth of the images that accuracies are about."""
        if self.test is not None and self.p_test is not None and self.truth_test is not None:
            return self.test, self.p_test, self.truth_test
        if self.truth_train is None:
            raise ValueError("no truth was given")
        return self.train, self.p_train, self.truth_train

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """Student and annotators together against the truth, the latter where they voted; none without truth."""
        if self.truth_train is None:
            return None
        annotations, p, truth = self.evaluated
        student = metrics.evaluate(p, truth, annotations.classes)
        if not annotations.votes.shape[1]:
            return student
        voted, name = metrics.evaluate(annotations.scores, truth, annotations.classes), self.ensemble
        return {
            **student,
            f"{name}_accuracy": voted["accuracy"],
            f"{name}_mean_per_class_accuracy": voted["mean_per_class_accuracy"],
            f"{name}_confusion": voted["confusion"],
            f"{name}_per_class": voted["per_class"],
            f"{name}_ece": voted["ece"],
            "class_gains": class_gains(voted["per_class"], student["per_class"]).to_dict(),
        }

    @property
    def ensemble(self) -> str:
        """Name of the ensemble of annotators in files: ``zero_shot``, or ``votes`` if some are not models."""
        return "zero_shot" if all(is_model(one.model) for one in self.train.annotators) else "votes"

    @property
    def voted(self) -> tuple[Annotations, Float[Tensor, "K C"]]:
        """Annotations and the student's probabilities of the images by which it is checked.

        These are the held-out images if somebody voted on them, else those set aside, else those it learned.
        """
        if self.test is not None and self.checked_on == HELD_OUT:
            return self.test, self.checked(self.p_train, self.p_test)
        part = self.train.select(self.aside) if len(self.aside) else self.train
        return part, self.checked(self.p_train, self.p_test)

    @property
    def checked_on(self) -> str:
        """The images of `voted`, in words."""
        if self.test is not None and self.p_test is not None and self.test.votes.shape[1]:
            return HELD_OUT
        return SET_ASIDE if len(self.aside) else TRAINING

    def checked(self, train: Shaped[Tensor, "N ..."], test: Shaped[Tensor, "M ..."] | None) -> Shaped[Tensor, "K ..."]:
        """The rows of `voted` out of those of all training and held-out images."""
        if test is not None and self.checked_on == HELD_OUT:
            return test
        return train[self.aside] if len(self.aside) else train

    @property
    def alarms(self) -> tuple[alarms.Alarm, ...]:
        """Label-free alarms, on held-out images if there are any, otherwise on the training images."""
        voted, p = self.voted
        return alarms.check(p.argmax(1), voted)

    def metrics(self) -> dict[str, Any]:
        """The run's numbers; accuracies only where truth was given."""
        train = self.train
        facts: dict[str, Any] = {
            "n_images": len(train),
            "n_skipped": self.n_skipped,
            "n_set_aside": len(self.aside),
            "n_classes": len(train.classes),
            "mean_candidates": mean_candidates(train.candidates),
            "student_parameters": self.classifier.n_parameters,
            "student_agreement": self.agreement,
            "temperature": self.classifier.temperature,
            "threshold": self.classifier.threshold,
            "alarms": [asdict(alarm) for alarm in self.alarms],
        }
        voted, p = self.voted
        found = estimated_class_gains(voted.scores, p, train.classes)
        facts["estimated_gains"] = {"lower_half": found.lower_half, "upper_half": found.upper_half}
        evaluation = self.evaluation
        if evaluation is None or self.truth_train is None:
            return facts
        annotations, _, truth = self.evaluated
        votes, ensemble = metrics.vote_accuracy(annotations.votes, truth).tolist(), self.ensemble
        names = (f"{ensemble}_accuracy", f"{ensemble}_mean_per_class_accuracy")
        return facts | {
            "evaluated_on": HELD_OUT if self.held_out else TRAINING,
            "n_evaluated": evaluation["n"],
            **{name: evaluation[name] for name in names if name in evaluation},
            PER_ANNOTATOR[ensemble]: {
                name: share for name, share in zip(names_of(annotations.annotators), votes, strict=True)
            },
            "candidate_coverage": self.coverage(),
            "student_accuracy": evaluation["accuracy"],
            "student_mean_per_class_accuracy": evaluation["mean_per_class_accuracy"],
            "student_per_class": evaluation["per_class"],
            "both_networks_accuracy": metrics.accuracy(self.both.argmax(1), truth),
            "student_ece": evaluation["ece"],
        }

    def unadapted(self, before: Annotations) -> tuple[dict[str, float], dict[str, Any]]:
        """Figures of the annotating model before it was adapted, and whom adapting helped; none without truth.

        Args:
            before: what it says of the images that accuracies are about.
        """
        if self.truth_train is None:
            return {}, {}
        after, _, truth = self.evaluated
        old, new = (metrics.evaluate(one.scores, truth, after.classes) for one in (before, after))
        figures = {
            "unadapted_accuracy": float(old["accuracy"]),
            "unadapted_mean_per_class_accuracy": float(old["mean_per_class_accuracy"]),
        }
        gains = class_gains(dict(old["per_class"]), dict(new["per_class"])).to_dict()
        return figures, {"unadapted_per_class": old["per_class"], "class_gains_of_adaptation": gains}

    def coverage(self) -> float | None:
        """Share of training images whose candidates hold the truth; none where truth names no training image."""
        assert self.truth_train is not None
        share = metrics.candidate_coverage(self.train.candidates, self.truth_train)
        return None if share != share else share

    def predictions(self) -> pd.DataFrame:
        """A row per image: annotators together and student, class and confidence."""
        parts = [table("train", self.train, self.p_train)]
        if self.test is not None and self.p_test is not None:
            parts.append(table("test", self.test, self.p_test))
        names = {"zero_shot": self.ensemble, "zero_shot_confidence": f"{self.ensemble}_confidence"}
        return pd.concat(parts, ignore_index=True).rename(columns=names)


def true_labels(data: DataConfig, annotated: Annotated, held_out: Annotated | None) -> Int[Tensor, " K"]:
    """Class ids of the training images and then of the held-out ones, -1 unknown."""
    parts = [part for part in (annotated, held_out) if part is not None]
    labels = Labels.read(str(data.truth), data.names)
    return labels.match(
        [name for part in parts for name in part.annotations.file_names],
        [digest for part in parts for digest in part.annotations.sha256],
        [name for part in parts for name, _ in part.skipped],
        subset=True,
    )


def check_truth(data: DataConfig, annotated: Annotated, held_out: Annotated | None) -> None:
    """Check that true labels match the images where they are given, before hours of training; nothing is kept.

    Raises:
        InputError: it names unknown files, or no image that accuracies are about.
    """
    if data.truth is None:
        return
    truth = true_labels(data, annotated, held_out)
    evaluated = truth if held_out is None else truth[len(annotated.annotations) :]
    places_known(evaluated, data.truth, "images" if held_out is None else f"held-out images in {data.test_images}")


def combine(log_p: Sequence[Float[Tensor, "N C"]], classifier: Classifier) -> Float[Tensor, "N C"]:
    """Probabilities of a classifier from those of its networks, which are the first of the given ones."""
    parts = log_p[: len(classifier.networks)]
    return rows.each(lambda *some: (targets.average(*some) / classifier.temperature).softmax(1), *parts)


def table(name: str, annotations: Annotations, p: Float[Tensor, "N C"]) -> pd.DataFrame:
    """The predictions of one set of images."""
    voted = annotations.scores.any(1).tolist()
    score, zero_shot = annotations.scores.max(1)
    confidence, student = p.max(1)
    classes = annotations.classes
    return pd.DataFrame(
        {
            "file_name": annotations.file_names,
            "set": name,
            "zero_shot": [classes[c] if known else None for c, known in zip(zero_shot.tolist(), voted, strict=True)],
            "zero_shot_confidence": score.tolist(),
            "student": [classes[c] for c in student.tolist()],
            "student_confidence": confidence.tolist(),
        }
    )


__all__ = ["Outcome", "check_truth"]
