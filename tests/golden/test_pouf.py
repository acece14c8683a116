"""POUF against what the authors' code gave: transport, and the information term by way of the learner's step."""

import math

import pytest
import torch
from golden_case import load
from torch import nn
from torch.testing import assert_close

from zerolabel.blocks import losses
from zerolabel.learners.base import Batch
from zerolabel.learners.pouf import POUF
from zerolabel.networks import build

CASES = pytest.mark.parametrize("case", ["c5", "c10", "c47"])


@CASES
def test_pouf_transport(case):
    g = load("pouf")[case]
    x = g.cosines.clone().requires_grad_()
    cost = sum(losses.transport(g.scale * x, torch.full((x.shape[1],), 1 / x.shape[1]), g.scale))
    assert float(cost) == pytest.approx(g.transport, abs=1e-5)
    assert_close(torch.autograd.grad(cost, x)[0], g.transport_gradient, rtol=0, atol=1e-5)


@CASES
def test_pouf_training_step(case, make_annotations):
    g = load("pouf")[case]
    x, n_classes = g.cosines.clone().requires_grad_(), g.cosines.shape[1]
    learner = POUF(
        build("linear", n_classes, 3), make_annotations(torch.zeros(len(x), 1).long(), n_classes), prior="uniform",
        scale=g.scale, weight=0.3,
    )  # fmt: skip
    learner.network = nn.Identity()
    logits = g.scale * x
    terms = learner.training_step(Batch(torch.arange(len(x)), (logits,)), Batch(torch.zeros(0).long(), (logits[:0],)))
    information = (terms["entropy"] + terms["spread"]) / 0.3 - math.log(n_classes)
    assert float(information) == pytest.approx(g.information, abs=2e-4)  # 1e-5 and 1e-6 in the logarithms of theirs
    (slope,) = torch.autograd.grad(information, x, retain_graph=True)
    assert_close(slope, g.information_gradient, rtol=0, atol=2e-3)
    assert float(terms["to_classes"] + terms["to_images"]) == pytest.approx(g.transport, abs=1e-5)
