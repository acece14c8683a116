"""ZLaP against what the authors' code gave."""

import pytest
from golden_case import load
from torch.testing import assert_close

from zerolabel.adaptation.transduction.zlap import zlap


@pytest.mark.parametrize("case", ["c5", "c10", "c47"])
def test_zlap_posterior(case):
    g = load("zlap")[case]
    found = zlap(g.images, g.texts, float(g.scale), gamma=g.gamma, alpha=g.alpha)
    assert_close(found, g.posterior, rtol=0, atol=1e-5)
    assert_close(found, zlap(g.images, g.texts, float(g.scale), neighbors=g.k - 1, gamma=g.gamma, alpha=g.alpha))
    assert found.argmax(1).tolist() == g.predicted.tolist()
