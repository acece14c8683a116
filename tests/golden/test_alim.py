"""ALIM against one step of the authors' code, both variants, and its mu (zeroQiaoba/ALIM @ 5c4e46a)."""

import pytest
import torch
from golden_case import load
from golden_partial import batch_of, close, mirror, network_of, start_contrast, whole

from zerolabel.blocks import targets
from zerolabel.learners.alim import ALIM


@pytest.mark.parametrize("variant", ["scale", "onehot"])
@pytest.mark.parametrize("size", ["c5", "c10", "c47"])
def test_a_step(size: str, variant: str, make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("alim")[f"{size}_{variant}"]
    n, n_classes = case.sets.shape
    annotations = make_annotations(torch.zeros(n, 0, dtype=torch.long), n_classes, candidates=case.sets.bool())
    (entries, dimension), network = case["start.queue"].shape, network_of(case, "start")
    options = {"mixup": 0.0, "queue": entries, "embedding": dimension, "prototype_momentum": case.prototype_momentum}
    learner = ALIM(network, annotations, variant=variant, noise_rate=0.3, **options).train()
    start_contrast(learner.contrast, network, case)
    learner.prototypes.vectors.copy_(case["start.prototypes"])
    terms = learner.training_step(case.phi, case.mu, 5, True, batch_of(case, 0))
    close(learner.confidence[case.index[0]], case.confidence)
    close(terms["weighted"], case.classifier)
    close(terms["contrast"], case.contrast)
    close(learner.prototypes.vectors, case.prototypes)
    assert torch.equal(learner.contrast.queue.labels[: len(case.pseudo)], case.pseudo)


@pytest.mark.parametrize("name", ["small0", "small1"])
def test_the_target_of_one_image(name: str, make_annotations, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    case = load("alim")[name]
    n, n_classes = case.sets.shape
    annotations = make_annotations(torch.zeros(n, 0, dtype=torch.long), n_classes, candidates=case.sets.bool())
    learner = ALIM(mirror(n_classes), annotations, noise_rate=0.3, mixup=0.0, queue=4, embedding=2).train()
    monkeypatch.setattr(learner.prototypes, "similarity", lambda _: case.similarity)
    learner.training_step(0.0, case.mu, 5, True, whole(torch.zeros(n, n_classes), torch.zeros(n, n_classes)))
    close(learner.confidence, case.target)


def test_mu() -> None:
    case = load("alim")["quantile"]
    close(targets.lower_quantile(case.margin, case.noise_rate, 1.0), case.mu_sorted)
