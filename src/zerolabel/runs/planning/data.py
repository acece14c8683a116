"""Which classes and human labels a run reads."""

from typing import Any

from zerolabel.annotations.candidates import known_rule
from zerolabel.annotations.files import open_annotations
from zerolabel.annotations.merging import with_classes
from zerolabel.data.classes import Classes, load_classes, plain
from zerolabel.data.label_files import Labels
from zerolabel.diagnostics import open_set
from zerolabel.errors import InputError
from zerolabel.runs.request import Request


def classes_and_rule(request: Request) -> tuple[Classes, str]:
    """What the options say, or else the annotations that are appended to.

    Raises:
        InputError: neither says it, or they name different classes.
    """
    if request.append is None:
        if request.classes is None:
            raise InputError("give --classes: a file of class names, or names with commas between.")
        return load_classes(request.classes), request.candidates or "union"
    before = open_annotations(request.append)
    names = Classes(before.classes) if request.classes is None else load_classes(request.classes)
    with_classes(before, names.names, ("--classes", request.append))
    return names, request.candidates or known_rule(before.rule)


def check_open_set(asked: dict[str, Any], request: Request) -> None:
    """See that images of no class can be told apart, and that no class is called like them.

    Raises:
        InputError: no model gives features, or a name or an alias means the same as `open_set.NAME`.
    """
    if not request.open_set:
        return
    if asked["encoder"] is None or request.annotations is not None:
        raise InputError("--open-set needs an annotating model with image features, such as open_clip; add one.")
    names = (*asked["classes"], *(alias for aliases in asked["aliases"] for alias in aliases))
    taken = [name for name in names if plain(name) == plain(open_set.NAME)]
    if taken:
        raise InputError(f"with --open-set the name '{taken[0]}' is for images of no class; rename that class.")


def check_labels(asked: dict[str, Any], request: Request) -> None:
    """See that the files of true and of human labels can be read and name classes of the run.

    Raises:
        InputError: one does not.
    """
    more = (open_set.NAME,) if request.open_set else ()
    if request.truth is not None:
        Labels.read(request.truth, Classes((*asked["classes"], *more), (*asked["aliases"], *((),) * len(more))))
    if request.few_shot is not None:
        Labels.read(request.few_shot, Classes(asked["classes"], asked["aliases"]), use="train")
