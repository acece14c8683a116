"""Linear probe. Radford et al. Learning Transferable Visual Models From Natural Language Supervision. ICML 2021.

    min over W, b of  penalty sum_i CE(y_i, W f_i + b) + |W|^2 / 2

The texts take no part. The authors search the penalty on validation images. Ours: by stratified cross-validation on
the shots, 5 parts or as many as the rarest class has shots; where a class has a single shot it is 31.6, their 0.316
for CLIP's features of a length of about 10. A class without shots gets no probability.
"""

from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.networks.feature_head import FeatureHead
from zerolabel.options import Range

PENALTIES = (0.316, 3.16, 31.6, 316.0)
SINGLE = 31.6
PARTS = 5
ROUNDS = 1000
"""Iterations at most."""
NEVER = -1e4
"""Logit of a class without shots."""


def linear_probe(
    shots: Float[Tensor, "M D"],
    labels: Int[Tensor, " M"],
    texts: Float[Tensor, "C D"],
    scale: float,
    *,
    penalty: Annotated[float, Range(1e-6, 1e6)] | None = None,
) -> FeatureHead:
    """Logistic regression on the shots' features.

    Args:
        shots: features of the labeled images, of length 1.
        labels: their class ids.
        texts: of the C classes; only their number is used.
        scale: not used; as all methods take it.
        penalty: inverse strength of the regularization; by cross-validation on the shots where none is given.
    """
    from sklearn.linear_model import LogisticRegression

    weights, bias = torch.zeros_like(texts), texts.new_full((len(texts),), NEVER)
    x, y = shots.double().numpy(), labels.numpy()
    present = torch.from_numpy(np.unique(y))
    bias[present] = 0
    if len(present) > 1:
        fitted = LogisticRegression(C=cross_validated(x, y) if penalty is None else penalty, max_iter=ROUNDS).fit(x, y)
        slopes, offsets = torch.from_numpy(fitted.coef_).to(texts), torch.from_numpy(fitted.intercept_).to(texts)
        if len(present) == 2:  # scikit-learn keeps the second class alone
            slopes, offsets = torch.cat([-slopes, slopes]) / 2, torch.cat([-offsets, offsets]) / 2
        weights[present], bias[present] = slopes, offsets
    return FeatureHead(weights, bias=bias)


def cross_validated(x: Float[np.ndarray, "M D"], y: Int[np.ndarray, " M"]) -> float:
    """The penalty of the least cross-entropy on the shots that are left out."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    parts = min(PARTS, int(np.unique(y, return_counts=True)[1].min()))
    if parts < 2:
        return SINGLE
    split = StratifiedKFold(parts)

    def score(penalty: float) -> float:
        model = LogisticRegression(C=penalty, max_iter=ROUNDS)
        return float(cross_val_score(model, x, y, cv=split, scoring="neg_log_loss").mean())

    return max(PENALTIES, key=score)
