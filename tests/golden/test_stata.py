"""StatA against what the authors' code gave."""

import pytest
from golden_case import load
from torch.testing import assert_close

from zerolabel.adaptation.transduction.stata import stata


@pytest.mark.parametrize("case", ["c5", "c10", "c47", "small"])
def test_stata_posterior(case):
    g = load("stata")[case]
    found = stata(g.images, g.texts, float(g.scale), neighbors=g.neighbors)
    assert_close(found, g.posterior, rtol=0, atol=1e-4)
