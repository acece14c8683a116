"""UEO against what the authors' code gave: weights, loss and gradient."""

import pytest
import torch
from golden_case import load
from torch import nn
from torch.testing import assert_close

from zerolabel.blocks import losses
from zerolabel.learners.base import Batch
from zerolabel.learners.ueo import UEO
from zerolabel.networks import build


def learner_of(g, make_annotations):
    n_classes = g.scores.shape[1]
    annotations = make_annotations(g.scores.argmax(1, keepdim=True), n_classes, scores=g.scores)
    return UEO(build("linear", n_classes, 3), annotations, scale=g.scale)


@pytest.mark.parametrize("case", ["c5", "c10", "c47", "small"])
def test_ueo_weights(case, make_annotations):
    g = load("ueo")[case]
    weight = learner_of(g, make_annotations).weight
    assert_close(weight, g.weight, rtol=0, atol=1e-5)
    assert weight.argsort().tolist() == g.weight.argsort().tolist()


@pytest.mark.parametrize("case", ["c5", "c10", "c47"])
def test_ueo_loss_and_training_step(case, make_annotations):
    g = load("ueo")[case]
    x = g.logits.clone().requires_grad_()
    loss = losses.weighted_entropy(x, g.weight) - losses.entropy_of_mean(x, 1 / g.weight)
    assert_close(loss.detach(), torch.tensor(g.loss), rtol=0, atol=1e-3)  # 1e-5 in the logarithms of theirs
    assert_close(torch.autograd.grad(loss, x)[0], g.gradient, rtol=0, atol=1e-5)
    learner = learner_of(g, make_annotations)
    learner.network = nn.Identity()
    batch, none = Batch(torch.arange(len(x)), (g.logits,)), Batch(torch.zeros(0).long(), (g.logits[:0],))
    terms = learner.training_step(batch, none)
    assert float(terms["entropy"]) == pytest.approx(g.entropy, abs=1e-3)
    assert float(-terms["spread"]) == pytest.approx(g.entropy_of_mean, abs=1e-3)
    assert float(sum(terms.values())) == pytest.approx(g.loss, abs=1e-3)
