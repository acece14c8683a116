"""Tip-Adapter's training-free logits against what the authors' code gave."""

import pytest
from golden_case import load
from torch.testing import assert_close

from zerolabel.adaptation.few_shot.tip_adapter import tip_adapter


@pytest.mark.parametrize("case", ["c5", "c10", "c47"])
def test_tip_adapter_logits(case):
    g = load("tip_adapter")[case]
    head = tip_adapter(g.shots, g["labels"], g.texts, 100.0, alpha=g.alpha, beta=g.beta)
    assert_close(head(g.images), g.logits, rtol=0, atol=1e-4)
