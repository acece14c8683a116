"""Linear probe. Radford et al. Learning Transferable Visual Models From Natural Language Supervision. ICML 2021.

    min over W, b of  penalty sum_i CE(y_i, W f_i + b) + |W|^2 / 2

The texts take no part. The authors search the penalty on validation images. Ours: by stratified cross-validation on
the shots, 5 parts or as many as the rarest class has shots; where a class has a single shot it is 31.6, their 0.316
for CLIP's features of a length of about 10. A class without shots gets no probability.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from torch import Tensor

PENALTIES = (0.316, 3.16, 31.6, 316.0)
SINGLE = 31.6
PARTS = 5
ROUNDS = 1000
"""Iterations at most."""


def linear_probe(
    features: Float[Tensor, "N D"],
    shots: Float[Tensor, "M D"],
    labels: Int[Tensor, " M"],
    texts: Float[Tensor, "C D"],
    scale: float,
    *,
    penalty: float | None = None,
) -> Float[Tensor, "N C"]:
    """Logistic regression on the shots' features.

    Args:
        features: of the images that are asked about, of length 1.
        shots: of the labelled images.
        labels: their class ids.
        texts: of the C classes; only their number is used.
        scale: not used; as all methods take it.
        penalty: inverse strength of the regularisation; by cross-validation on the shots where none is given.
    """
    posterior = features.new_zeros(len(features), len(texts))
    x, y = shots.double().numpy(), labels.numpy()
    present = np.unique(y)
    if len(present) == 1:
        posterior[:, int(present[0])] = 1
        return posterior
    fitted = LogisticRegression(C=cross_validated(x, y) if penalty is None else penalty, max_iter=ROUNDS).fit(x, y)
    found = torch.from_numpy(fitted.predict_proba(features.double().numpy()))
    posterior[:, torch.from_numpy(present)] = found.to(posterior)
    return posterior


def cross_validated(x: Float[np.ndarray, "M D"], y: Int[np.ndarray, " M"]) -> float:
    """The penalty of the least cross-entropy on the shots that are left out."""
    parts = min(PARTS, int(np.unique(y, return_counts=True)[1].min()))
    if parts < 2:
        return SINGLE
    split = StratifiedKFold(parts)

    def score(penalty: float) -> float:
        model = LogisticRegression(C=penalty, max_iter=ROUNDS)
        return float(cross_val_score(model, x, y, cv=split, scoring="neg_log_loss").mean())

    return max(PENALTIES, key=score)
