"""Which images, classes and human labels a run reads."""

from zerolabel.data.classes import Classes, plain
from zerolabel.data.label_files import Labels
from zerolabel.diagnostics import open_set
from zerolabel.errors import InputError
from zerolabel.runs.config import AnnotationConfig, DataConfig
from zerolabel.runs.request import Request


def resolve_data(request: Request, names: Classes, annotation: AnnotationConfig) -> DataConfig:
    """The part of the configuration that says what is read; label files are read once to check them.

    Args:
        request: what was asked.
        names: C classes.
        annotation: how these are annotated.

    Raises:
        InputError: a label file cannot be read, or an open-set run is not possible.
    """
    if request.open_set:
        check_open_set(names, annotation)
    check_labels(names, request)
    return DataConfig(
        images=str(request.images),
        classes=names.names,
        aliases=names.aliases,
        truth=request.truth,
        test_images=request.test_images,
        few_shot=request.few_shot,
        open_set=request.open_set,
    )


def check_labels(names: Classes, request: Request) -> None:
    """Check that the files of true and of human labels can be read and name classes of the run.

    Raises:
        InputError: one does not.
    """
    more = (open_set.NAME,) if request.open_set else ()
    if request.truth is not None:
        Labels.read(request.truth, Classes((*names.names, *more), (*names.aliases, *((),) * len(more))))
    if request.few_shot is not None:
        Labels.read(request.few_shot, names, use="train")


def check_open_set(names: Classes, annotation: AnnotationConfig) -> None:
    """Check that out-of-distribution images can be detected, and that no class has their name.

    Raises:
        InputError: no model gives features, or a name or an alias means the same as `open_set.NAME`.
    """
    if annotation.encoder is None or annotation.annotations is not None:
        raise InputError("--open-set needs an annotating model with image features, such as open_clip; add one.")
    every = (*names.names, *(alias for aliases in names.aliases for alias in aliases))
    taken = [name for name in every if plain(name) == plain(open_set.NAME)]
    if taken:
        raise InputError(f"with --open-set the name '{taken[0]}' is for out-of-distribution images; rename that class.")
