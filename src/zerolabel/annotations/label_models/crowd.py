"""Label models of crowd-kit, an extra of this package.

GLAD: Whitehill, Ruvolo, Wu, Bergsma, Movellan. Whose Vote Should Count More: Optimal Integration of Labels from
Labelers of Unknown Expertise. NeurIPS 2009. An annotator has an ability, an image a difficulty.

MACE: Hovy, Berg-Kirkpatrick, Vaswani, Hovy. Learning Whom to Trust with MACE. NAACL 2013. An annotator either knows the
class or answers without looking, in its own habit.

Both go vote by vote through data frames: about 20 seconds for 15,000 votes, half an hour for a million.
"""

import warnings
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from zerolabel.errors import InputError

NAMES = {"glad": "GLAD", "mace": "MACE"}
"""Name of a label model, and of its class in crowd-kit."""


def fit(votes: Int[Tensor, "N A"], n_classes: int, model: str) -> Float[Tensor, "N C"]:
    """The probability of each class under a model of crowd-kit; a row is zero where nobody voted.

    Args:
        votes: class ids, -1 where an annotator abstained.
        n_classes: C.
        model: a key of `NAMES`.

    Raises:
        InputError: crowd-kit is not installed.
    """
    try:
        from crowdkit import aggregation
    except ImportError:
        raise InputError(f'label model {model} needs crowd-kit; run: pip install "zerolabel-vision[crowd]"') from None
    found = torch.zeros(len(votes), n_classes)
    data = frame(votes)
    if len(data):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # crowd-kit calls pandas in ways that pandas is giving up
            p: Any = getattr(aggregation, NAMES[model])().fit_predict_proba(data)
        values = torch.tensor(p.to_numpy(), dtype=torch.float32)
        found[torch.tensor(p.index.to_numpy())[:, None], torch.tensor(p.columns.to_numpy(dtype=int))] = values
    return found


def frame(votes: Int[Tensor, "N A"]) -> pd.DataFrame:
    """Votes as crowd-kit reads them: the columns ``task``, ``worker`` and ``label``; an abstention has no row."""
    tasks, workers = (votes >= 0).nonzero(as_tuple=True)
    return pd.DataFrame({"task": tasks.numpy(), "worker": workers.numpy(), "label": votes[tasks, workers].numpy()})
