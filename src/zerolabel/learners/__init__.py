"""The algorithms: one file each."""

from zerolabel.learners.base import Batch, Epoch, Learner, Losses, Pass, hyper_parameters
from zerolabel.learners.coreg import CoReg
from zerolabel.learners.cross_entropy import CrossEntropy
from zerolabel.learners.distillation import Distillation

LEARNERS: dict[str, type[Learner]] = {
    "coreg": CoReg,
    "cross_entropy": CrossEntropy,
    "distillation": Distillation,
}

__all__ = ["LEARNERS", "Batch", "Epoch", "Learner", "Losses", "Pass", "hyper_parameters"]
