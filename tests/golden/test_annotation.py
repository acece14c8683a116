"""Candidate sets from the answers of several prompts, against Co-Reg's code."""

import pytest
import torch
from golden_case import load

from zerolabel.annotations import candidates


@pytest.mark.parametrize("case", ["c5", "c10", "c47"])
def test_annotation_sets(case):
    g = load("annotation")[case]
    n_classes = g["mean"].shape[1]
    found = {
        "union": candidates.union_of_votes(g.probabilities.argmax(2).T, n_classes),
        "top_k": candidates.top_k(g["mean"], g.k),
        "by_ratio": candidates.ratio(g["mean"], g.ratio, n_classes),
        "by_ratio_of_top_k": candidates.ratio(g["mean"], g.ratio, g.k),
    }
    for name, sets in found.items():
        assert torch.equal(sets.long(), g[name]), name
    torch.testing.assert_close(g.probabilities.mean(0), g.distilled, rtol=0, atol=1e-6)
