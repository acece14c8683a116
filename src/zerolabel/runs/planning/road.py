"""Whether the student learns on frozen features or on pixels: the one place that decides it."""

from collections.abc import Sequence
from typing import Any

from zerolabel import networks
from zerolabel.data.images import ImageSet
from zerolabel.errors import InputError
from zerolabel.learners import LEARNERS
from zerolabel.networks.base import HEADS
from zerolabel.runs import presets
from zerolabel.runs.planning.size import choose_size
from zerolabel.runs.request import Request


def choose_student(request: Request, images: ImageSet, asked: dict[str, Any], sizes: Sequence[int]) -> tuple[str, int]:
    """Network and input size: what was asked, else by the size and number of the images.

    Raises:
        InputError: the network is unknown, or does not go with ``--via``.
    """
    size = choose_size(images, sizes) if request.size is None else request.size
    if not 8 <= size <= 2048:
        raise InputError(f"--size {size} is not between 8 and 2048 pixels; give a size such as 32.")
    name = "mlp" if request.student == "features" else request.student
    if name is None:
        name = networks.default_name(size, len(images))
        scarce = len(images) < presets.FEW * len(asked["classes"]) and asked["encoder"] is not None
        if name in networks.NAMES and request.via is None and scarce:
            name = "mlp"
    networks.build(name, 2, size)
    if name in HEADS and request.via:
        raise InputError(
            f"--via features ends in a network that reads pixels; --student {request.student} reads features."
        )
    return name, size


def few(request: Request, student: str) -> str:
    """Why a head on frozen features was chosen, where the user did not ask for one."""
    if student not in HEADS or request.student is not None:
        return ""
    return f"; fewer than {presets.FEW} a class, so a head on the annotating model's features"


def choose_propagation(request: Request, n_images: int, *, on_features: bool) -> bool:
    """Whether scores spread over neighbors before training: what was asked, else for a head on features.

    Raises:
        InputError: it is asked, and the learner takes no such scores.
    """
    takes = LEARNERS[request.learner].takes_propagated_scores
    if request.propagate is None:
        return takes and on_features and n_images <= presets.MOST_PROPAGATED
    if request.propagate and not takes:
        raise InputError(f"--propagate: {request.learner} weighs images by the annotators' own scores; leave it out.")
    return request.propagate


def check_features(asked: dict[str, Any], *, on_features: bool, request: Request) -> None:
    """See that there is a model to read features of, or to annotate held-out images with, where that is asked.

    Raises:
        InputError: there is none.
    """
    if (on_features or request.propagate) and asked["encoder"] is None:
        option = "--propagate" if request.propagate else "--via features" if request.via else "--student features"
        raise InputError(
            f"{option} reads the image features of an annotating model, and {request.annotations or 'this run'} has "
            "none that gives any; leave it out, or annotate with one such as open_clip, too."
        )
    if request.test_images is not None and not asked["vlm"]:
        raise InputError(
            f"--test images are annotated by the models of {request.annotations}, which names none; leave --test out."
        )
