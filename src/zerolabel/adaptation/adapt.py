"""Adapt a vision-language model to unlabeled images: annotate, train, check without labels, and write a folder."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor

from zerolabel.adaptation.checks import Check, check
from zerolabel.adaptation.fitting import Fitted, Training, fit_head
from zerolabel.adaptation.request import Request
from zerolabel.adaptation.task import Task
from zerolabel.annotate import annotate
from zerolabel.annotations import Annotations
from zerolabel.annotations.candidates import check_enough
from zerolabel.annotations.digest import of_annotations
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.deployment.assembly import KEPT
from zerolabel.diagnostics import calibration, open_set
from zerolabel.errors import InputError
from zerolabel.files import LOCK, alone, replacing, write_text, writing
from zerolabel.files.plain_json import dumps
from zerolabel.vlms import adapted
from zerolabel.vlms.encoder import Encoder

Progress = Callable[[str, Iterator[Any]], Iterable[Any]]
REQUEST = "request.json"


@dataclass(frozen=True)
class Adapted:
    """Result of `adapt`.

    Attributes:
        folder: folder for ``--vlm adapted:FOLDER``.
        annotations: annotations of the unadapted model, which training used.
        probabilities: predictions of the deployed model, adapted or not, on the training images.
        trained: predictions of the adapted model, deployed or not.
        check: comparison of both models without labels.
        skipped: name of each unreadable file, and the reason.
    """

    folder: Path
    annotations: Annotations
    probabilities: Float[Tensor, "N C"]
    trained: Float[Tensor, "N C"]
    check: Check
    skipped: tuple[tuple[str, str], ...]


def adapt(
    images: ImageSet,
    encoder: Encoder,
    classes: Classes,
    templates: Sequence[str],
    request: Request,
    output: Path,
    *,
    labels: Callable[[Annotations], Int[Tensor, " N"]] | None = None,
    cache: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress = lambda _, steps: steps,
) -> Adapted:
    """Adapt a model to unlabeled images, check the result without labels, and write it.

    If the check finds no improvement, the folder records this and stands for the unadapted model.

    Args:
        images: unlabeled images.
        encoder: the model to adapt.
        classes: C names with aliases.
        templates: prompts of the annotation that training starts from.
        request: method, trainable parts and options.
        output: folder to write.
        labels: from annotations to human labels as class ids, -1 for unlabeled images.
        cache: folder of cached image features; None disables the cache.
        resume: continue from the checkpoint in the folder.
        progress: wraps the steps of a stage, given the stage's name.

    Raises:
        InputError: the folder is not free, the model lacks the parts to train, or labels are needed and missing.
    """
    inputs = {"classes": [classes.names, list(classes.words)], "templates": list(templates)}
    requested = dumps({**asdict(request), **inputs}, indent=2, ascii=True) + "\n"
    check_output_folder(output, requested, resume=resume)
    done = annotate(images, encoder, classes, templates, cache=cache, progress=partial(progress, "annotate"))
    if labels is not None:
        done = replace(done, annotations=done.annotations.with_labels(labels(done.annotations)))
    row, task = request.row, Task(request, encoder, classes, tuple(templates), done)
    if not (row.needs_labels or row.learner is None):
        check_enough(task.annotations)
    fitted: Fitted | Training = fit_head(task) if row.learner is None else Training(task)
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
    with alone(output):
        check_output_folder(output, requested, resume=resume)
        write_text(output / REQUEST, requested)
        if isinstance(fitted, Training):
            made_of = {**of_annotations(task.annotations), "model": encoder.revision}
            fitted = fitted.run(output, partial(progress, "adapt"), made_of)
        return write_result(fitted, task, output)


def write_result(fitted: Fitted, task: Task, output: Path) -> Adapted:
    """Check an adapted model and write it; without the record, which is written last, the folder is not a model."""
    request, annotations = task.request, task.annotations
    found = check(annotations, fitted.probabilities)
    if not bool(fitted.probabilities.isfinite().all()):
        raise FloatingPointError(f"--method {request.method} ends in values that are not finite; nothing is adapted.")
    (output / adapted.RECORD).unlink(missing_ok=True)
    with replacing(output / adapted.WEIGHTS) as partial_file:
        save_file({name: value.detach().cpu().contiguous() for name, value in fitted.state.items()}, partial_file)
    chosen = fitted.probabilities if found.helped else annotations.scores
    record = {
        "base": request.vlm, "revision": task.encoder.revision, "method": request.method, **fitted.facts,
        "classes": list(task.classes.names), "aliases": [list(a) for a in task.classes.aliases],
        "base_templates": list(task.templates), "check": asdict(found), "used": found.helped, "reason": found.reason,
        "layout": adapted.LAYOUT, "settings": asdict(request.training()),
        "options": request.options(), "threshold": threshold(request, chosen),
    }  # fmt: skip
    write_text(output / adapted.RECORD, dumps(record, indent=2) + "\n")
    return Adapted(output, annotations, chosen, fitted.probabilities, found, task.annotated.skipped)


def threshold(request: Request, probabilities: Float[Tensor, "N C"]) -> float:
    """Confidence for abstention: for an open set, where the confidences split in two; else the one that most reach."""
    confidence = probabilities.amax(1)
    return open_set.threshold(confidence) if request.open_set else calibration.threshold_for_share(confidence, KEPT)


def check_output_folder(output: Path, requested: str, *, resume: bool) -> None:
    """Check that a folder is free or contains an unfinished adaptation with the same request.

    Raises:
        InputError: it contains another adaptation, or other files.
    """
    if output.is_file():
        raise InputError(f"{output} is a file; give -o a folder.")
    if not output.is_dir() or not set(os.listdir(output)) - {LOCK}:
        return
    if not (output / REQUEST).exists():
        raise InputError(f"{output} holds files of another kind; give -o an empty or new folder.")
    if not resume:
        raise InputError(f"{output} holds an adaptation; give --resume to finish it, or -o another folder.")
    if (output / REQUEST).read_text(encoding="utf-8") != requested:
        raise InputError(f"{output} holds an adaptation with other options; give -o another folder.")


__all__ = ["Adapted", "adapt"]
