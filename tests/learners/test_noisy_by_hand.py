"""Learners of one label per image, on cases small enough to be computed by hand."""

import pytest
import torch
from torch import Tensor, nn

from zerolabel.blocks import targets
from zerolabel.learners import Learner
from zerolabel.learners.base import Batch, Epoch
from zerolabel.learners.coteaching import CoTeaching
from zerolabel.learners.elr import ELR
from zerolabel.learners.fixmatch import FixMatch
from zerolabel.learners.flexmatch import FlexMatch
from zerolabel.learners.gce import GCE
from zerolabel.learners.jocor import JoCoR
from zerolabel.learners.must import MUST
from zerolabel.learners.sce import SCE
from zerolabel.learners.truncated_gce import TruncatedGCE
from zerolabel.networks import Network, NetworkSpec


def learner_of(kind: type[Learner], n: int, make_annotations, **options: object) -> Learner:  # type: ignore[no-untyped-def]
    """All images are labeled with class 0 of two; a network's logits are its image, the peer's those behind them."""
    network = Network(nn.Identity(), 4, NetworkSpec("linear", 2, 4), pretrained=True)
    learner = kind(network, make_annotations(torch.zeros(n, 1, dtype=torch.long), 2), **options)
    with torch.no_grad():
        for k, own in enumerate(learner.networks):
            own.head.weight.copy_(torch.eye(4)[2 * k : 2 * k + 2])
            own.head.bias.zero_()
    return learner.train()


def said(*p: float, peer: tuple[float, ...] | None = None) -> Tensor:
    """Images on which the networks give class 0 these probabilities."""
    both = [torch.tensor(one) for one in (p, p if peer is None else peer)]
    return torch.cat([torch.stack([one, 1 - one], 1).log() for one in both], 1)


def batch_of(*views: Tensor) -> Batch:
    return Batch(torch.arange(len(views[0])), views)


def test_gce(make_annotations) -> None:  # type: ignore[no-untyped-def]
    for q, expected in ((0.7, (0.206589 + 0.813555) / 2), (1.0, (0.2 + 0.7) / 2), (1e-4, (0.223144 + 1.203973) / 2)):
        terms = learner_of(GCE, 2, make_annotations, q=q).training_step(batch_of(said(0.8, 0.3)))
        assert terms["supervised"].item() == pytest.approx(expected, abs=1e-4)


def test_sce(make_annotations) -> None:  # type: ignore[no-untyped-def]
    terms = learner_of(SCE, 2, make_annotations).training_step(batch_of(said(0.8, 0.3)))
    assert terms["supervised"].item() == pytest.approx(0.1 * (0.223144 + 1.203973) / 2, abs=1e-5)
    assert terms["reverse"].item() == pytest.approx((0.2 + 0.7) / 2 * 9.210340, abs=1e-5)  # -log 1e-4


def test_sce_bounds_the_cross_entropy_and_not_its_reverse(make_annotations) -> None:  # type: ignore[no-untyped-def]
    x = said(0.5, 1e-9).requires_grad_()
    terms = learner_of(SCE, 2, make_annotations, least_prediction=1e-7).training_step(batch_of(x))
    assert terms["supervised"].item() == pytest.approx(0.1 * (0.693147 + 16.118096) / 2, abs=1e-5)  # -log 1e-7
    paper = learner_of(SCE, 2, make_annotations).training_step(batch_of(x))
    assert paper["supervised"].item() == pytest.approx(0.1 * (0.693147 + 20.723266) / 2, abs=1e-5)  # -log 1e-9
    terms["supervised"].backward()
    assert x.grad is not None and x.grad[0].any() and not x.grad[1].any()


def test_truncated_gce(make_annotations) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(TruncatedGCE, 3, make_annotations)
    p = torch.tensor([[0.6, 0.4], [0.5, 0.5], [0.4, 0.6]])
    assert learner.believed(p).tolist() == [True, False, False]  # p_y > k, strictly
    terms = learner.training_step(Batch(torch.tensor([0]), (said(0.6),)))
    assert terms["supervised"].item() == pytest.approx(0.429474, abs=1e-5)


def test_truncated_gce_is_a_constant_below_k_in_a_mean_over_the_batch(make_annotations) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(TruncatedGCE, 2, make_annotations)
    learner.kept[1] = False
    x = said(0.6, 0.2).requires_grad_()
    terms = learner.training_step(batch_of(x))
    # (1 - .5^.7) / .7 = .549182, whatever the network says of the second image
    assert terms["supervised"].item() == pytest.approx((0.429474 + 0.549182) / 2, abs=1e-5)
    terms["supervised"].backward()
    # d L / d z_y = -p_y^q (1 - p_y) = -.6^.7 .4 = -.279747, by half for the mean
    torch.testing.assert_close(x.grad[:, 0], torch.tensor([-0.139874, 0.0]), atol=1e-5, rtol=0)
    (one,) = learner.passes(Epoch(0, 0.0, lambda _: torch.zeros(2, 2)))
    assert one.groups[0].tolist() == [0, 1]  # all are drawn, so that the mean is over them


def test_coteaching(make_annotations) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(CoTeaching, 4, make_annotations, noise_rate=0.2)
    x = said(0.9, 0.5, 0.2, 0.1, peer=(0.2, 0.9, 0.1, 0.6))
    terms = learner.training_step(0.5, batch_of(x))
    assert terms["supervised_a"].item() == pytest.approx((0.693147 + 2.302585) / 2, abs=1e-5)  # b picks 1 and 3
    assert terms["supervised_b"].item() == pytest.approx((1.609438 + 0.105361) / 2, abs=1e-5)  # a picks 0 and 1
    assert [targets.kept_share(0.2, epoch, 10) for epoch in (0, 5, 10, 50)] == pytest.approx([1, 0.9, 0.8, 0.8])


@pytest.mark.parametrize("kind", [CoTeaching, JoCoR])
@pytest.mark.parametrize(("share", "kept"), [(0.9, 2), (0.67, 2), (0.6, 1), (0.1, 1)])
def test_the_number_of_kept_images_is_rounded_down(kind, share, kept, make_annotations) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(kind, 3, make_annotations, noise_rate=0.2)
    terms = learner.training_step(share, batch_of(said(0.9, 0.8, 0.7)))  # both networks say the same
    losses = [0.105361, 0.223144, 0.356675][:kept]
    one = sum(losses) / kept
    assert next(iter(terms.values())).item() == pytest.approx(one, abs=1e-5)  # JoCoR: half of twice


def test_jocor(make_annotations) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(JoCoR, 2, make_annotations, noise_rate=0.2)
    x = said(0.8, 0.5, peer=(0.6, 0.1))
    terms = learner.training_step(0.5, batch_of(x))
    assert terms["supervised"].item() == pytest.approx(0.5 * (0.223144 + 0.510826), abs=1e-5)
    assert terms["agreement"].item() == pytest.approx(0.5 * (0.2 * 0.287682 + 0.2 * 0.693147), abs=1e-5)
    both = learner.training_step(1.0, batch_of(x))
    assert both["agreement"].item() == pytest.approx(0.5 * (0.196166 + 0.878890) / 2, abs=1e-5)


def test_elr(make_annotations) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(ELR, 1, make_annotations)
    for p, running, early in ((0.8, (0.24, 0.06), -0.684468), (0.6, (0.348, 0.162), -0.958964)):
        terms = learner.training_step(batch_of(said(p)))
        torch.testing.assert_close(learner.running, torch.tensor([running]))
        assert terms["early"].item() == pytest.approx(early, abs=1e-5)


def test_must_takes_the_mean_over_confident_images(make_annotations) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(MUST, 3, make_annotations, threshold=0.7)
    learner.teacher.reset(learner.network)
    terms = learner.training_step(batch_of(said(0.9, 0.6, 0.2), said(0.5, 0.1, 0.2)))
    assert terms["self_training"].item() == pytest.approx((0.693147 + 0.223144) / 2, abs=1e-5)
    nobody = learner.training_step(batch_of(said(0.6, 0.6, 0.4), said(0.5, 0.1, 0.2)))
    assert nobody["self_training"].item() == 0


@pytest.mark.parametrize(("kind", "kept"), [(FixMatch, 1), (FlexMatch, 2)])
def test_matching(kind: type[Learner], kept: int, make_annotations) -> None:  # type: ignore[no-untyped-def]
    sets = torch.tensor([[True, False], [True, True], [True, True]])
    annotations = make_annotations(torch.zeros(3, 1, dtype=torch.long), 2, candidates=sets)
    network = learner_of(GCE, 1, make_annotations).network
    learner = kind(network, annotations)
    own = Batch(torch.tensor([0]), (said(0.8), said(0.8)))
    rest = Batch(torch.tensor([1, 2]), (said(0.96, 0.9), said(0.7, 0.6)))
    terms = learner.training_step(own, rest)
    assert terms["supervised"].item() == pytest.approx(0.223144, abs=1e-5)
    losses = [0.356675, 0.510826]  # -log 0.7; -log 0.6, of an image below FixMatch's threshold
    assert terms["unlabeled"].item() == pytest.approx(sum(losses[:kept]) / 2, abs=1e-5)


def test_flexmatch_threshold(make_annotations) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(FlexMatch, 8, make_annotations)
    learner.rest, learner.last = torch.arange(8), torch.tensor([0, 0, 0, 0, 1, 1, -1, -1])
    torch.testing.assert_close(learner.thresholds(), torch.tensor([0.95, 0.95 * 0.5 / 1.5]))
