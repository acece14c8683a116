"""LP++ against what the authors' code gave: its start, its step sizes, and 10, 50 and 300 steps."""

import pytest
from golden_case import load
from torch.nn import functional
from torch.testing import assert_close

from zerolabel.adaptation.few_shot.lp_plus_plus import fit, lp_plus_plus, step_sizes

CASES = ["c5", "c10", "c47"]


@pytest.mark.parametrize("case", CASES)
def test_lp_plus_plus_start(case):
    g = load("lp_plus_plus")[case]
    weight, bias, alpha = fit(g.shots, g["labels"], g.texts, 0)
    assert_close(weight, g.start_weight, rtol=0, atol=1e-5)
    assert_close(bias, g.start_bias)
    assert alpha.tolist() == pytest.approx([g.start_alpha] * len(alpha), rel=1e-3)  # theirs is partly in half precision
    assert step_sizes(g.shots, g.shots @ g.texts.T) == pytest.approx((g.rate_weight, g.rate_alpha), rel=1e-5)


@pytest.mark.parametrize("steps", [10, 50, 300])
@pytest.mark.parametrize("case", CASES)
def test_lp_plus_plus_logits(case, steps):
    g = load("lp_plus_plus")[case]
    found = lp_plus_plus(g.shots, g["labels"], g.texts, 100.0, iterations=steps)(g.images)
    assert_close(found.softmax(1), g[f"logits_{steps}"].softmax(1), rtol=0, atol=1e-4)
    alpha = fit(g.shots, g["labels"], g.texts, steps)[2]
    assert_close(
        functional.normalize(alpha, dim=0), functional.normalize(g[f"alpha_{steps}"][0], dim=0), atol=1e-3, rtol=0
    )
    if steps == 300:
        assert found.argmax(1).tolist() == g.logits_300.argmax(1).tolist()
