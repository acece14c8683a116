"""From a folder of unlabeled images and class names to a small, deployable image classifier.

The public names are imported when they are first used, so that ``import zerolabel`` takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from zerolabel.version import __version__

if TYPE_CHECKING:
    from zerolabel.annotations import Annotations, Annotator
    from zerolabel.audit import Audit
    from zerolabel.data.classes import Classes
    from zerolabel.data.images import ImageSet
    from zerolabel.deployment.classifier import Classifier
    from zerolabel.errors import InputError
    from zerolabel.learners import LEARNERS, Learner
    from zerolabel.runs.estimator import ZeroLabel
    from zerolabel.runs.prepare import prepare
    from zerolabel.training import train
    from zerolabel.training.settings import Settings
    from zerolabel.vlms import load as load_vlm

_HOMES = {
    "Annotations": ("annotations", "Annotations"),
    "Annotator": ("annotations", "Annotator"),
    "Audit": ("audit", "Audit"),
    "Classes": ("data.classes", "Classes"),
    "Classifier": ("deployment.classifier", "Classifier"),
    "ImageSet": ("data.images", "ImageSet"),
    "InputError": ("errors", "InputError"),
    "LEARNERS": ("learners", "LEARNERS"),
    "Learner": ("learners", "Learner"),
    "Settings": ("training", "Settings"),
    "ZeroLabel": ("runs.estimator", "ZeroLabel"),
    "load_vlm": ("vlms", "load"),
    "prepare": ("runs.prepare", "prepare"),
    "train": ("training", "train"),
}
"""Module and name of each public name. No public name is also the name of a module: that would hide one of the two."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, own = _HOMES[name]
    return getattr(import_module(f"{__name__}.{module}"), own)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


__all__ = [
    "LEARNERS",
    "Annotations",
    "Annotator",
    "Audit",
    "Classes",
    "Classifier",
    "ImageSet",
    "InputError",
    "Learner",
    "Settings",
    "ZeroLabel",
    "__version__",
    "load_vlm",
    "prepare",
    "train",
]
