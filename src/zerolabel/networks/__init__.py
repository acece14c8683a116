"""Networks that are trained: a backbone that gives features, and a linear head."""

from zerolabel.networks.base import NAMES, Network, NetworkSpec, count_parameters, mean_probabilities
from zerolabel.networks.build import build, rebuild, twin
from zerolabel.networks.embedder import Embedder, projector
from zerolabel.networks.encoded import EncodedNetwork, ImageEncoder
from zerolabel.networks.zero_shot import ZeroShotNetwork

__all__ = [
    "NAMES",
    "Embedder",
    "EncodedNetwork",
    "ImageEncoder",
    "Network",
    "NetworkSpec",
    "ZeroShotNetwork",
    "build",
    "count_parameters",
    "mean_probabilities",
    "projector",
    "rebuild",
    "twin",
]
