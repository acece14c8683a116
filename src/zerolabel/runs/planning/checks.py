"""Checks of a configuration that need torch, learners or label files, before anything is done.

Each check imports what it needs itself, since a dry run waits for it.
"""

from typing import Any

from zerolabel.data.classes import Classes, plain
from zerolabel.errors import InputError
from zerolabel.runs.config import AnnotationConfig, Config, DataConfig
from zerolabel.vlms.names import is_encoder

UNKNOWN = "unknown"
"""The class of images that are of none, see `zerolabel.diagnostics.open_set.NAME`."""


def check(config: Config) -> None:
    """Check that a run can be done as planned; label files are read once for it.

    Raises:
        InputError: it cannot.
    """
    if config.annotation.annotations is None:
        check_rule(config.annotation.rule)
    check_adaptation(config.annotation, config.data.few_shot)
    if config.data.open_set:
        check_open_set(config.data.names, config.annotation)
    check_labels(config.data)
    training = config.training
    check_hyper_parameters(training.learner, training.hyper_parameters, config.data.classes)


def check_rule(rule: str) -> None:
    """Check that there is such a rule for candidates.

    Raises:
        InputError: there is none.
    """
    from zerolabel.annotations.candidates import parse_rule

    parse_rule(rule)


def check_hyper_parameters(learner: str, hyper: dict[str, Any], classes: tuple[str, ...]) -> None:
    """Check the hyper-parameters by building the learner on a few synthetic images.

    Raises:
        InputError: it does not.
    """
    from zerolabel import networks
    from zerolabel.learners import LEARNERS
    from zerolabel.runs.guesses import random_annotations

    size = 8
    try:
        LEARNERS[learner](networks.build("linear", len(classes), size), random_annotations(classes, size), **hyper)
    except (ValueError, RuntimeError, ZeroDivisionError) as error:
        if isinstance(error, InputError):
            raise
        values = ", ".join(f"{name}={value}" for name, value in hyper.items())
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"--set: {learner} cannot be made with {values} ({reason}); change one.") from None


def check_labels(data: DataConfig) -> None:
    """Check that the files of true and of human labels can be read and name classes of the run.

    Raises:
        InputError: one does not.
    """
    if data.truth is None and data.few_shot is None:
        return
    from zerolabel.data.label_files import Labels

    names, more = data.names, (UNKNOWN,) if data.open_set else ()
    if data.truth is not None:
        Labels.read(data.truth, Classes((*names.names, *more), (*names.aliases, *((),) * len(more))))
    if data.few_shot is not None:
        Labels.read(data.few_shot, names, use="train")


def check_open_set(names: Classes, annotation: AnnotationConfig) -> None:
    """Check that out-of-distribution images can be detected, and that no class has their name.

    Raises:
        InputError: no model gives features, or a name or an alias means the same as `UNKNOWN`.
    """
    if annotation.encoder is None or annotation.annotations is not None:
        raise InputError("--open-set needs an annotating model with image features, such as open_clip; add one.")
    every = (*names.names, *(alias for aliases in names.aliases for alias in aliases))
    taken = [name for name in every if plain(name) == plain(UNKNOWN)]
    if taken:
        raise InputError(f"with --open-set the name '{taken[0]}' is for out-of-distribution images; rename that class.")


def check_adaptation(annotation: AnnotationConfig, few_shot: str | None) -> None:
    """Check that there is one model to adapt, and that the method supports it.

    Raises:
        InputError: it cannot.
    """
    if annotation.adapt is None:
        return
    models = [name for name in annotation.names if is_encoder(name)]
    if annotation.annotations is not None or len(models) != 1:
        raise InputError(
            f"--adapt {annotation.adapt} adapts one model with image features before it annotates; give one."
        )
    from zerolabel.adaptation.request import Request

    if Request.parse(models[0], annotation.adapt).row.needs_labels and few_shot is None:
        raise InputError(f"--adapt {annotation.adapt} learns from labels; give --few-shot a CSV of file_name,label.")
