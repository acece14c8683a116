"""Co-pseudo-labels, MixUp of targets and label consistency of Co-Reg against the released code."""

import pytest
import torch
from coreg_case import annotations_of
from golden_case import Case, load
from torch import Tensor

from zerolabel.blocks import losses, mixup, targets
from zerolabel.learners import CoReg
from zerolabel.learners.coreg import own_mean
from zerolabel.networks import build


def same(own: Tensor, given: Tensor) -> None:
    torch.testing.assert_close(own, given, rtol=0, atol=1e-5)


def learner_of(case: Case) -> CoReg:
    """One whose network answers with the row of logits that it is given."""
    n, c = case.mixed_logits.shape
    learner = CoReg(build("linear", c, c), annotations_of(torch.ones(n, c)), queue=2, embedding=2, mixup=0.0)
    learner.network.backbone = learner.network.head = torch.nn.Identity()
    return learner


def test_targets_and_their_mix() -> None:
    for case in load("coreg_consistency").values():
        if "target_p" not in case:
            continue
        own = learner_of(case).network
        p, u, peer = (
            own_mean(own, (case[f"{name}_1"], case[f"{name}_2"])) for name in ("own_logits", "u_own", "u_peer")
        )
        trust = case.weight[:, None]
        same(targets.sharpen(trust * case.peer_scores + (1 - trust) * p, case.temperature), case.target_p)
        same(targets.sharpen((u + peer) / 2, case.temperature), case.target_u)
        rows = torch.cat([case.target_p, case.target_p, case.target_u, case.target_u])
        same(mixup.Mix(case.share, case.order)(rows), case.mixed_target)


def test_label_consistency_and_its_gradients() -> None:
    """The rows are mixed already; nine epochs after the warm-up the unlabeled term has 9/16 of its weight."""
    for case in load("coreg_consistency").values():
        learner, x = learner_of(case), case.mixed_logits.requires_grad_()
        n = 2 * len(case.target_p) if "target_p" in case else 1
        clean = torch.arange(len(x)) < n
        terms = learner.consistency(learner.network, learner.side, x, case.mixed_target, clean, 9.0)
        assert learner.lambda_u(16.0) == learner.lambda_u(99.0) == 1
        for name, given, weight in (("consistency", "labeled", 1.0), ("unlabeled", "unlabeled", 9 / 16)):
            assert terms[name].item() == pytest.approx(weight * case[given].item(), abs=1e-5), case.name
            if f"{given}_gradient" in case:
                (slope,) = torch.autograd.grad(terms[name], x, retain_graph=True)
                same(slope, weight * case[f"{given}_gradient"])


def test_the_squared_error_of_the_code_is_the_printed_one_over_the_number_of_classes() -> None:
    for case in load("coreg_consistency").values():
        n, c = (2 * len(case.target_p) if "target_p" in case else 1), case.mixed_logits.shape[1]
        printed = losses.squared_error(case.mixed_logits[n:].softmax(1), case.mixed_target[n:])
        assert printed.item() / c == pytest.approx(case.unlabeled, abs=1e-5)
