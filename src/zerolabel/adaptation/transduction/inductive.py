"""A classifier of single images from a posterior of many: TransCLIP's assignment without the neighbors.

    logits_k = scale f . t_k + ( f . Sigma^-1 mu_k - mu_k^T Sigma^-1 mu_k / 2 ) / tau

mu and Sigma are the means and the variance of the posterior, as in `transclip`; t is the text feature. It is linear in
f. That the posteriors of the other solvers are read likewise is ours.
"""

from jaxtyping import Float
from torch import Tensor

from zerolabel.adaptation.transduction.transclip import gaussians
from zerolabel.networks.feature_head import FeatureHead

TEMPERATURE = 50.0
"""tau, as TransCLIP's."""


def inductive(
    features: Float[Tensor, "N D"], posterior: Float[Tensor, "N C"], texts: Float[Tensor, "C D"], scale: float
) -> FeatureHead:
    """A head over features that answers for new images as a solver did for these.

    Args:
        features: image features of length 1.
        posterior: of a solver, for the same images.
        texts: text features of length 1; also the mean of a class that no image is of.
        scale: the factor of the cosine in the model's softmax.
    """
    means, variance = gaussians(features, posterior, texts)
    slopes = means / (variance * TEMPERATURE)
    return FeatureHead(scale * texts + slopes, bias=-(means * slopes).sum(1) / 2)
