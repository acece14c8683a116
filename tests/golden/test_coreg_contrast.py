"""Co-Reg's noisy contrastive loss, and its ablation, against the released code."""

import pytest
import torch
from golden_case import load

from zerolabel.blocks import losses
from zerolabel.blocks.contrastive import Contrast
from zerolabel.networks import build


@pytest.mark.parametrize("kind", ["noisy", "supervised"])
def test_contrast_and_its_gradient(kind: str) -> None:
    for case in load("coreg_contrast").values():
        length, width = case.queue.shape
        side = Contrast(build("linear", 2, 3), embedding=width, queue=length, momentum=0.999)
        side.queue.push(case.queue, case.queue_labels, case.queue_clean.bool())
        z = case.queries.requires_grad_()
        noisy = kind == "noisy"
        pairs = side.trusted_label(case.labels, case.clean.bool()) if noisy else side.same_label(case.labels)
        loss = losses.supervised_contrastive(side.similarity(z, case["keys"]) / case.temperature, *pairs)
        assert loss.item() == pytest.approx(case[kind].item(), abs=1e-5), case.name
        torch.testing.assert_close(torch.autograd.grad(loss, z)[0], case[f"{kind}_gradient"], rtol=0, atol=1e-5)
