"""ZLaP. Stojnic, Kalantidis, Tolias. Label Propagation for Zero-shot Classification with Vision-Language Models.
CVPR 2024.

    nodes: images and classes. W: an image's cosine with its 4 nearest other images, and its cosine with its 5 nearest
    classes raised to gamma, both zero where negative
    A = W + W^T,   L = I - alpha D^-1/2 A D^-1/2,   D the row sums of A
    L s_c = pi_c e_c for each class c, by conjugate gradients;   posterior of image i: norm(s_1i, ..., s_Ci)

The authors' search for k = 5 images returns the image itself, too, and the edge to itself is dropped: 4 others remain.
The paper takes the largest s_ci and gives no probabilities: normalized rows, which are flat, are ours. So are the class
shares pi, uniform in the paper (its graph gives every class the same to spread, however many images it has), and that
an image no class reaches keeps its zero-shot posterior.

Against the authors' code: exact (golden/zlap).
"""

from typing import Annotated

import numpy as np
import scipy.sparse as sparse
import torch
from jaxtyping import Float
from scipy.sparse.linalg import cg
from torch import Tensor

from zerolabel.adaptation.transduction.assignment import like_images
from zerolabel.adaptation.transduction.zero_shot import zero_shot
from zerolabel.blocks.label_propagation import linked, normalized
from zerolabel.blocks.targets import class_prior, normalize
from zerolabel.options import BelowOne, Count, Neighbors, Prior, Range, Rounds


def zlap(
    features: Float[Tensor, "N D"],
    texts: Float[Tensor, "C D"],
    scale: float,
    *,
    prior: Prior = "uniform",
    neighbors: Neighbors = 4,
    classes: Count = 5,
    gamma: Annotated[float, Range(0, 100)] = 5.0,
    alpha: BelowOne = 0.3,
    iterations: Rounds = 50,
    tolerance: Annotated[float, Range(1e-14, 0.1)] = 1e-6,
) -> Float[Tensor, "N C"]:
    """Labels that spread from the class names over one graph of images and names.

    Args:
        features: image features of length 1.
        texts: text features of length 1.
        scale: the factor of the cosine in the model's softmax.
        prior: class shares: "uniform", "estimated" from the zero-shot posteriors, or one weight per class.
        neighbors: other images that each image is joined to; the code's k = 5 counts the image itself.
        classes: classes that each image is joined to.
        gamma: power of the cosine of image and text.
        alpha: share that comes from the neighbors.
        iterations: most steps of conjugate gradients for a class.
        tolerance: of the residual, relative, at which they end.
    """
    n, n_classes = len(features), len(texts)
    system = sparse.eye_array(n + n_classes) - alpha * normalized(_graph(features, texts, neighbors, classes, gamma))
    given = zero_shot(features, texts, scale)
    shares = class_prior(given, prior)
    spread = torch.zeros_like(given)
    for c in range(n_classes):
        seed = np.zeros(n + n_classes)
        seed[n + c] = 1
        solution, _ = cg(system, seed, rtol=tolerance, atol=0, maxiter=iterations)
        spread[:, c] = torch.from_numpy(solution[:n].clip(min=0)) * shares[c]
    return torch.where(spread.any(1, keepdim=True), normalize(spread), given)


def _graph(
    features: Float[Tensor, "N D"], texts: Float[Tensor, "C D"], neighbors: int, classes: int, gamma: float
) -> sparse.csr_array:
    """A, over images and then classes."""
    images = like_images(features, neighbors)
    cosine, index = (features @ texts.T).topk(min(classes, len(texts)), dim=1)
    names = linked(index, cosine.clamp_min(0) ** gamma, len(texts))
    return sparse.block_array([[images + images.T, names], [names.T, None]]).tocsr().astype(np.float64)
