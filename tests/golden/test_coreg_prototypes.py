"""Co-Reg's prototypes and prototype similarity alignment against the released code."""

import pytest
import torch
from coreg_case import annotations_of
from golden_case import load

from zerolabel.blocks.memory import Prototypes
from zerolabel.learners import CoReg
from zerolabel.networks import build


def test_prototypes_after_each_batch() -> None:
    for case in load("coreg_prototypes").values():
        made = Prototypes(case.prototypes.shape[1], case.embeddings.shape[2], case.momentum)
        nobody = torch.zeros(case.labels.shape[1], dtype=torch.bool)
        for z, label, expected in zip(case.embeddings, case.labels, case.prototypes, strict=True):
            made.update(z, label, nobody)
            torch.testing.assert_close(made.vectors, expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(made.similarity(case.embeddings[-1]), case.similarity, rtol=0, atol=1e-5)


def test_alignment_of_both_ends_and_its_gradients() -> None:
    for case in load("coreg_prototypes").values():
        (n, c), m = case.similarity_p.shape, len(case.similarity_u)
        learner = CoReg(build("linear", c, 3), annotations_of(torch.ones(n + m, c)), queue=2, embedding=2)
        p, u = case.similarity_p.requires_grad_(), case.similarity_u.requires_grad_()
        clean = torch.arange(n + m) < n

        similarity, given = torch.cat([p, u]) / case.temperature, torch.cat([case.target_p, case.target_u])
        mixed_in = torch.cat([case.target_p_mixed_in, case.target_u_mixed_in])
        ends = ((case.share, given), (1 - case.share, mixed_in))
        total = sum(share * learner.alignment(similarity, target, clean) for share, target in ends)
        assert total.item() == pytest.approx(case.divergence + case.squared_error, abs=1e-5), case.name
        slopes = torch.autograd.grad(total, (p, u))
        for slope, expected in zip(slopes, (case.gradient_p, case.gradient_u), strict=True):
            torch.testing.assert_close(slope, expected, rtol=0, atol=1e-5)
