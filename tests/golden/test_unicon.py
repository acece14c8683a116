"""UNICON against distance, selection, label weight and contrast of the authors' code
(nazmul-karim170/UNICON-Noisy-Label @ 616dc49)."""

import pytest
import torch
from golden_case import Case, load
from golden_noisy import close, mirror

from zerolabel.learners.unicon import UNICON

SELECTED = ("c5", "c10", "c47", "c10_noisy")


def learner_of(case: Case, make_annotations) -> UNICON:  # type: ignore[no-untyped-def]
    n_classes = case.probabilities.shape[1]
    return UNICON(mirror(n_classes), make_annotations(case.label[:, None], n_classes))


@pytest.mark.parametrize("name", [*SELECTED, "small"])
def test_distance_and_weight_of_the_label(name: str, make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("unicon")[name]
    learner = learner_of(case, make_annotations)
    close(learner.distance(case.probabilities), case.distance)
    close(learner.trust(case.distance), case.weight)


@pytest.mark.parametrize("name", SELECTED)
def test_selection(name: str, make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("unicon")[name]
    learner = learner_of(case, make_annotations)
    assert (learner.cutoff, learner.strictness) == (case.cutoff, case.strictness)
    assert torch.equal(learner.select(case.distance), case.chosen.bool())


@pytest.mark.parametrize("name", SELECTED)
def test_contrast(name: str, make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("unicon")[name]
    learner = learner_of(case, make_annotations)
    assert learner.contrast_temperature == case.temperature
    z = case.embeddings.clone().requires_grad_()
    loss = learner.contrast(z)
    close(loss, case.contrast)
    loss.backward()
    close(z.grad, case.contrast_gradient)
