"""ELR against four visits of the authors' code (shengliu66/ELR @ 934af53)."""

import pytest
from golden_case import load
from golden_noisy import close, mirror

from zerolabel.learners.base import Batch
from zerolabel.learners.elr import ELR


@pytest.mark.parametrize("name", ["c5", "c10", "c47"])
def test_loss_and_running_predictions(name: str, make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("elr")[name]
    n_classes = case.logits.shape[2]
    annotations = make_annotations(case.label[:, None], n_classes)
    learner = ELR(mirror(n_classes), annotations, memory=case.beta, weight=case["lambda"].item())
    for s, logits in enumerate(case.logits):
        x = logits.clone().requires_grad_()
        loss = sum(learner.training_step(Batch(case.index[s], (x,))).values())
        loss.backward()
        close(loss, case.loss[s])
        close(x.grad, case.gradient[s])
        close(learner.running, case.running[s])
