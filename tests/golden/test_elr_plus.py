"""ELR+ against three visits of the authors' code, and the decay of its copies (shengliu66/ELR @ 934af53)."""

import pytest
import torch
from golden_case import load
from golden_noisy import close, mirror

from zerolabel.blocks import mixup
from zerolabel.blocks.memory import Momentum
from zerolabel.learners.base import Batch
from zerolabel.learners.elr_plus import ELRPlus


@pytest.mark.parametrize("name", ["c5", "c10", "c100"])
def test_loss_and_running_predictions(name: str, make_annotations, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    case = load("elr_plus")[name]
    n_classes = case.logits.shape[2]
    learner = ELRPlus(mirror(n_classes), make_annotations(case.label[:, None], n_classes), memory=case.beta)
    for s, logits in enumerate(case.logits):
        mix = mixup.Mix(float(case.share[s]), case.order[s])
        monkeypatch.setattr(mixup, "draw", lambda *_, drawn=mix: drawn)
        x = logits.clone().requires_grad_()
        # the file's logits are those of the mixed images already
        peer_copy = Momentum(mirror(n_classes, case.peer_logits[s]), 0.997)
        batch, weight = Batch(case.index[s], (logits,)), case["lambda"].item()
        terms = learner.training_step(0, mirror(n_classes, x), learner.copy, peer_copy, weight, batch)
        loss = sum(terms.values())
        loss.backward()
        close(loss, case.loss[s])
        close(x.grad, case.gradient[s])
        close(learner.running[0], case.running[s])


def test_decay_of_the_copies(make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("elr_plus")["copies"]
    learner = ELRPlus(mirror(4), make_annotations(torch.arange(8)[:, None] % 4, 4))
    ones = mirror(4)
    for parameter in ones.parameters():
        torch.nn.init.ones_(parameter)
    for step, expected in zip(case.step, case.decay, strict=True):
        for parameter in learner.copy.copy.parameters():
            torch.nn.init.zeros_(parameter)
        learner.copy.step.copy_(step)
        learner.copy.follow(ones)
        for parameter in learner.copy.copy.parameters():
            close(1 - parameter, torch.full_like(parameter, float(expected)))
        assert learner.copy.step == step + 1
