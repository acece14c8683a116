"""Decides if the student is trained on frozen features or on pixels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from zerolabel.data.images import ImageSet
from zerolabel.errors import InputError
from zerolabel.options import one_of
from zerolabel.runs import presets
from zerolabel.runs.config import HEADS
from zerolabel.runs.cost import is_timed
from zerolabel.runs.planning.learner import takes_propagated_scores
from zerolabel.runs.planning.size import SIZES, choose_size
from zerolabel.runs.request import Request
from zerolabel.vlms.names import reads_characters


@dataclass(frozen=True)
class Route:
    """The way from annotations to a student.

    Attributes:
        student: name of the network.
        size: side of its input in pixels.
        via: "features" to learn on frozen features first, else None.
        propagate: True if scores spread over neighbors in feature space before training.
        why: why features are read where the user did not ask for it, as the end of a sentence.
    """

    student: str
    size: int
    via: str | None
    propagate: bool
    why: str


def resolve_route(
    request: Request, images: ImageSet, n_classes: int, encoder: str | None, sizes: Sequence[int] | None
) -> Route:
    """The path that was asked for, else the default by the number and the size of the images.

    Args:
        request: what was asked.
        images: of the run.
        n_classes: C.
        encoder: name of the model whose features can be read; None if there is none.
        sizes: sides of the input to choose from; None leaves `SIZES`.

    Raises:
        InputError: the network is unknown, there are no features to read, or options contradict each other.
    """
    if images.embeddings is not None:
        request = without_pixels(request, images)
    size = choose_size(images, sizes or SIZES) if request.size is None else request.size
    if not 8 <= size <= 2048:
        raise InputError(f"--size {size} is not between 8 and 2048 pixels; give a size such as 32.")
    student = choose_student(request, len(images), size, scarce(len(images), n_classes, encoder))
    via = choose_via(request, student, encoder)
    on_features = student in HEADS or via is not None
    if (on_features or request.propagate) and encoder is None:
        option = "--propagate" if request.propagate else "--via features" if request.via else "--student features"
        raise InputError(
            f"{option} reads the image features of an annotating model, and {request.annotations or 'this run'} has "
            "none that gives any; leave it out, or name a model to read features of, such as --vlm open_clip:MODEL."
        )
    propagate = choose_propagation(request, len(images), encoder, on_features=on_features)
    if request.encoders and not (on_features or propagate):
        raise InputError(
            f"--encoder {request.encoders[0]}: nothing reads its features; give --via features or --propagate, or "
            "leave it out."
        )
    own = "" if request.student is not None else _reason(student, via, request)
    return Route(
        student=student,
        size=size,
        via=via,
        propagate=propagate,
        why=own,
    )


def without_pixels(request: Request, images: ImageSet) -> Request:
    """The request with a head on features as student, where the images are embeddings.

    Raises:
        InputError: it names a student that reads pixels.
    """
    if request.student in (None, "features", *HEADS) and request.via in (None, "none"):
        return replace(request, student=request.student or "features", size=request.size or SIZES[-1])
    option = f"--via {request.via}" if request.student in (None, "features", *HEADS) else f"--student {request.student}"
    raise InputError(
        f"{option} needs pixels, and {images.root} has embeddings alone; take --student features, or linear."
    )


def scarce(n_images: int, n_classes: int, encoder: str | None) -> bool:
    """True if there are too few images to train a network from scratch, and features to read instead."""
    return n_images < presets.FEW * n_classes and encoder is not None


def choose_student(request: Request, n_images: int, size: int, few: bool) -> str:
    """The network that was asked for, else a head on features where images are few, else one by size and number.

    Raises:
        InputError: the network is unknown, or does not go with ``--via``.
    """
    name = "mlp" if request.student == "features" else request.student
    if name is None:
        return "mlp" if few and request.via is None else presets.student(size, n_images)
    check_network(name, size)
    if name in HEADS and request.via == "features":
        raise InputError(
            f"--via features ends in a network that reads pixels; --student {request.student} reads features."
        )
    return name


def check_network(name: str, size: int) -> None:
    """Check that there is such a network for images of this size; torch and timm are loaded only to answer that.

    The networks whose speed is in a table are known to read images of any size that is a multiple of `presets.STEP`.

    Raises:
        InputError: it is unknown, or cannot read them.
    """
    any_size = name in presets.STUDENTS or (is_timed(name) and size % presets.STEP == 0)
    if name in HEADS or (any_size and size >= SIZES[0]):
        return
    from zerolabel import networks

    networks.build(name, 2, size)


def choose_via(request: Request, student: str, encoder: str | None) -> str | None:
    """The step before the student: what was asked, else frozen features for photographs where the student is chosen.

    Learning on features takes seconds and is better than a network of pixels alone, which then only has to learn the
    cleaned labels with one pass a step in place of Co-Reg's eight. Characters, whose features are weak, go without.

    Raises:
        InputError: there is no such step.
    """
    asked = one_of("--via", request.via, (None, "features", "none"))
    if asked is not None:
        return None if asked == "none" else asked
    photographs = encoder is not None and not reads_characters(encoder)
    return "features" if photographs and request.student is None and student not in HEADS else None


def _reason(student: str, via: str | None, request: Request) -> str:
    """Why the path is the one that it is, as the end of a sentence; empty where the user asked for it."""
    if student in HEADS:
        return f"; fewer than {presets.FEW} a class, so a head on the annotating model's features"
    if via and request.via is None:
        return "; photographs, so frozen features first, then a student of the cleaned labels (--via none: without)"
    return ""


def choose_propagation(request: Request, n_images: int, encoder: str | None, *, on_features: bool) -> bool:
    """Propagation of scores before training: the option, otherwise True for a head on features of glyphs.

    So it is beside a second encoder: the mean of the propagations over both spaces is better than one of them.

    On photographs, neighbors in the space that made the scores repeat its mistakes: a head that starts at the
    zero-shot classifier is better without, see ``benchmarks/results/real_vlm.json``.

    Raises:
        InputError: it is asked, and the learner takes no such scores.
    """
    if request.propagate is None:
        wanted = on_features and n_images <= presets.MOST_PROPAGATED and reads_characters(encoder)
        wanted = wanted or bool(request.encoders)
        return wanted and takes_propagated_scores(request.learner)
    if request.propagate and not takes_propagated_scores(request.learner):
        raise InputError(f"--propagate: {request.learner} weighs images by the annotators' own scores; leave it out.")
    return request.propagate
