"""PiCO against four steps of the authors' code, with pseudo-labels and with own keys alone (hbzju/PiCO @ ad687bb)."""

import pytest
import torch
from golden_case import load
from golden_partial import batch_of, close, network_of, projections_of, start_contrast, weights_of

from zerolabel.learners.pico import PiCO


@pytest.mark.parametrize("phase", ["labels", "moco"])
@pytest.mark.parametrize("size", ["c5", "c10", "c47"])
def test_four_steps(size: str, phase: str, make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("pico")[f"{size}_{phase}"]
    n, n_classes = case.sets.shape
    annotations = make_annotations(torch.zeros(n, 0, dtype=torch.long), n_classes, candidates=case.sets.bool())
    (entries, dimension), network = case["start.queue"].shape, network_of(case, "start")
    momenta = {"prototype_momentum": case.prototype_momentum, "ema_momentum": case.key_momentum}
    learner = PiCO(network, annotations, queue=entries, embedding=dimension, **momenta).train()
    start_contrast(learner.contrast, network, case)
    learner.prototypes.vectors.copy_(case["start.prototypes"])
    optimizer = torch.optim.SGD(learner.parameters(), lr=case.lr, momentum=case.sgd_momentum)
    for s in range(len(case.index)):
        terms = learner.training_step(case.phi, bool(case.started), batch_of(case, s))
        close(terms["weighted"], case.classifier[s])
        close(terms["contrast"], case.contrast[s])
        optimizer.zero_grad()
        sum(terms.values()).backward()  # type: ignore[union-attr]
        optimizer.step()
        after = f"after{s + 1}"
        if f"{after}.enc.weight" not in case:
            continue
        close(learner.confidence, case[f"{after}.confidence"])
        close(learner.prototypes.vectors, case[f"{after}.prototypes"])
        close(learner.contrast.queue.keys, case[f"{after}.queue"])
        projector = learner.contrast.projector
        for pairs in (weights_of(network, case, after), projections_of(projector, case, after)):  # type: ignore[arg-type]
            for mine, theirs in pairs:
                close(mine, theirs)
