"""Co-Reg's division loss, its history, the mixture and distribution alignment against the released code."""

import pytest
import torch
from coreg_case import annotations_of
from golden_case import Case, load

from zerolabel.blocks import targets
from zerolabel.blocks.memory import LossHistory
from zerolabel.learners import CoReg
from zerolabel.networks import build


def learner_of(case: Case, **options: object) -> CoReg:
    network = build("linear", case.sets.shape[1], 3)
    return CoReg(network, annotations_of(case.sets), queue=2, embedding=2, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("prior", "kind"), [("none", "plain"), ("uniform", "aligned")])
def test_scores_and_posteriors_of_seven_epochs(prior: str, kind: str) -> None:
    """The table that scores are aligned by is renewed batch by batch, and starts as the warm-up left it."""
    for case in load("coreg_division").values():
        learner = learner_of(case, prior=prior, alignment_batch=case.batch)
        learner.side.table.copy_(case.table)
        for epoch, logits in enumerate(case.logits):
            scores = learner.score(logits.softmax(1), learner.side)
            posterior = learner.divide(scores, learner.side)
            torch.testing.assert_close(
                posterior, case[f"{kind}_posterior"][epoch], rtol=0, atol=1e-4, check_dtype=False, msg=case.name
            )
            newest = learner.side.history.values[:, 0]
            torch.testing.assert_close(newest, case[f"{kind}_losses"][epoch], rtol=0, atol=1e-5)
        torch.testing.assert_close(scores, case[f"{kind}_scores"], rtol=0, atol=1e-5)


def test_alignment_by_all_predictions_at_once() -> None:
    for case in load("coreg_division").values():
        p = case.logits[0].softmax(1)
        given = tuple(case.prior.tolist())
        whole, to_prior = learner_of(case, alignment="whole"), learner_of(case, alignment="whole", prior=given)
        torch.testing.assert_close(whole.score(p, whole.side), case.aligned_with_itself, rtol=0, atol=1e-6)
        torch.testing.assert_close(to_prior.score(p), case.aligned_to_prior, rtol=0, atol=1e-6)
        known = targets.align_running(p, p, whole.prior, case.batch)
        torch.testing.assert_close(known, case.aligned_with_itself, rtol=0, atol=1e-6)


def test_the_history_is_the_mean_of_five_epochs() -> None:
    for case in load("coreg_division").values():
        kept = LossHistory(len(case.sets), 5)
        for epoch, losses in enumerate(case.plain_losses):
            expected = case.plain_losses[: epoch + 1][-5:].mean(0)
            torch.testing.assert_close(kept.push(losses), expected, rtol=0, atol=1e-6)
