"""TransCLIP against what the authors' code gave."""

import pytest
from golden_case import load
from torch.testing import assert_close

from zerolabel.adaptation.transduction.transclip import transclip


@pytest.mark.parametrize("case", ["c5", "c10", "c47"])
def test_transclip_posterior(case):
    g = load("transclip")[case]
    assert_close(transclip(g.images, g.texts, float(g.scale)), g.posterior, rtol=0, atol=1e-4)
