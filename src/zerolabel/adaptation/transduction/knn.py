"""k-NN label propagation. Zhou, Bousquet, Lal, Weston, Scholkopf. Learning with Local and Global Consistency.
NeurIPS 2003.

    F <- alpha S F + (1 - alpha) Y,   S = D^-1/2 A D^-1/2,   A_ij = exp((cos_ij - 1) / temperature) between neighbors

Y is the zero-shot posterior. The affinity is ours, see `zerolabel.blocks.label_propagation`.
"""

from jaxtyping import Float
from torch import Tensor

from zerolabel.adaptation.transduction.zero_shot import zero_shot
from zerolabel.blocks.label_propagation import ALPHA, NEIGHBORS, STEPS, TEMPERATURE, propagate
from zerolabel.options import BelowOne, Neighbors, Rounds, Temperature


def knn(
    features: Float[Tensor, "N D"],
    texts: Float[Tensor, "C D"],
    scale: float,
    *,
    neighbors: Neighbors = NEIGHBORS,
    alpha: BelowOne = ALPHA,
    temperature: Temperature = TEMPERATURE,
    steps: Rounds = STEPS,
) -> Float[Tensor, "N C"]:
    """Zero-shot posteriors that spread over the graph of similar images.

    Args:
        features: image features of length 1.
        texts: text features of length 1.
        scale: the factor of the cosine in the model's softmax.
        neighbors: of each image in the graph.
        alpha: share that comes from the neighbors in each step.
        temperature: of the affinity; a smaller one trusts near neighbors more.
        steps: of the iteration.
    """
    given = zero_shot(features, texts, scale)
    return propagate(given, features, neighbors=neighbors, alpha=alpha, temperature=temperature, steps=steps)
