"""EM-Dirichlet against what the authors' code gave: assignments, their own settings, and classes after matching."""

import pytest
from golden_case import load
from torch.testing import assert_close

from zerolabel.adaptation.transduction.em_dirichlet import em_dirichlet

KINDS = pytest.mark.parametrize(("kind", "hard"), [("soft", False), ("hard", True)])


@KINDS
@pytest.mark.parametrize("case", ["c5", "c10", "c47"])
def test_em_dirichlet_quick(case, kind, hard):
    g = load("em_dirichlet")[case]
    options = {"hard": hard, "iterations": 20, "steps": 50, "matching": False, "sharpness": g.temperature / g.scale}
    found = em_dirichlet(g.images, g.texts, float(g.scale), **options)
    assert_close(found, g[f"{kind}_quick"].to(found), rtol=0, atol=2e-4)
    assert_close(em_dirichlet(g.images, g.texts, float(g.scale), partition=float(g.partition), **options), found)


@KINDS
@pytest.mark.parametrize("case", ["c5", "c10", "c47"])
def test_em_dirichlet_with_their_own_settings(case, kind, hard):
    g = load("em_dirichlet")[case]
    alone = em_dirichlet(g.images, g.texts, float(g.scale), hard=hard, matching=False)
    assert alone.argmax(1).tolist() == g[f"{kind}_own"].argmax(1).tolist()
    matched = em_dirichlet(g.images, g.texts, float(g.scale), hard=hard)
    assert matched.argmax(1).tolist() == g[f"{kind}_matched"].tolist()
