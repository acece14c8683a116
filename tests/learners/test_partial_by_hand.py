"""Partial-label learners on a few images, with results that were worked out by hand."""

from math import log

import pytest
import torch
from torch import Tensor, nn

from zerolabel.annotations import Annotations, candidates
from zerolabel.blocks import targets
from zerolabel.learners import ALIM, CPL, FREDIS, LWC, LWS, POP, RC, IRNet, PaPi, PiCOPlus, SoLar
from zerolabel.learners.base import Batch, Epoch
from zerolabel.networks import Network, NetworkSpec


def mirror(n_classes: int) -> Network:
    """A network whose logits are its images."""
    made = Network(nn.Identity(), n_classes, NetworkSpec("linear", n_classes, n_classes), pretrained=True)
    with torch.no_grad():
        made.head.weight.copy_(torch.eye(n_classes))
        made.head.bias.zero_()
    return made


@pytest.fixture
def annotated(make_annotations):  # type: ignore[no-untyped-def]
    def of(sets: list[list[int]], labels: list[int] | None = None) -> Annotations:
        rows = torch.tensor(sets, dtype=torch.bool)
        given = None if labels is None else torch.tensor(labels)
        votes = torch.zeros(len(rows), 0, dtype=torch.long)
        return make_annotations(votes, rows.shape[1], labels=given, candidates=rows)  # type: ignore[no-any-return]

    return of


def shown(*p: list[float], views: int = 1) -> Batch:
    """Images on which the mirror's prediction is p."""
    return Batch(torch.arange(len(p)), (torch.tensor(p).log(),) * views)


def rows_are(found: Tensor, *expected: list[float], within: float = 1e-4) -> None:
    torch.testing.assert_close(found, torch.tensor(expected), atol=within, rtol=0)


@pytest.mark.parametrize(
    ("similarity", "inside", "mu", "target"),
    [
        ((0.9, 0.1, 0.2), (1, 0, 0), 0.5, (1.0, 0.0, 0.0)),
        ((0.1, 0.17, 0.1), (1, 0, 0), 0.5, (1 / 2.8591, 1.3591 / 2.8591, 0.5 / 2.8591)),  # r is as 1 : e : 1
        ((0.1, 0.17, 0.1), (1, 0, 1), 0.0, (0.5, 0.0, 0.5)),  # warm-up: soft, inside the set
        ((1.0, -1.0, 1.0), (0, 1, 0), 0.0, (0.0, 1.0, 0.0)),  # however improbable the candidate
    ],
)
def test_alim_target(similarity, inside, mu, target, annotated, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    learner = ALIM(mirror(3), annotated([inside]), noise_rate=0.3, mixup=0.0, queue=4, embedding=2).train()
    monkeypatch.setattr(learner.prototypes, "similarity", lambda _: torch.tensor([similarity]))
    learner.training_step(0.0, mu, 5, True, shown([1 / 3] * 3, views=2))
    rows_are(learner.confidence, target)


def test_alim_onehot_leaves_the_set_where_mu_lets_it(annotated, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    for mu, best in ((0.3, 0), (0.4, 1)):  # e mu is below or above 1
        learner = ALIM(mirror(3), annotated([[1, 0, 0]]), variant="onehot", noise_rate=0.3, queue=4, embedding=2)
        monkeypatch.setattr(learner.prototypes, "similarity", lambda _: torch.tensor([[0.1, 0.17, 0.1]]))
        learner.train().training_step(0.0, mu, 5, True, shown([1 / 3] * 3, views=2))
        assert learner.confidence.argmax().item() == best and learner.confidence.sum().item() == 1


def test_alim_mu_is_an_entry_of_the_sorted_ratios(annotated) -> None:  # type: ignore[no-untyped-def]
    learner = ALIM(mirror(2), annotated([[1, 0]] * 5), noise_rate=0.5, warm_up_share=0.0, queue=4, embedding=2)
    learner.margin.copy_(torch.tensor([0.9, 0.1, 5.0, 0.4, 0.6]))
    for rate, mu in ((0.5, 0.6), (0.3, 0.4), (0.0, 0.0), (0.9, 1.0)):  # floor(5 rate) is 2, 1, none, 4: capped at 1
        learner.noise_rate = rate
        list(learner.passes(Epoch(3, 0.5, lambda _: learner.scores)))
        assert learner.figures["mu"] == pytest.approx(mu)


def test_cpl_sets_count_ties() -> None:
    """The 0.5-quantile of the best scores is 0.6, those of the columns are 0.5, 0.4 and 0."""
    p = torch.tensor([[0.6, 0.4, 0.0], [0.5, 0.5, 0.0], [0.1, 0.2, 0.7]])
    found = candidates.quantiles(p, 0.5, 0.5)
    # within: 0.6 does not exceed 0.6, so two; 0.5 + 0.5 does, so two; 0.7 does, so one
    assert found.tolist() == [[True, True, False], [True, True, False], [False, False, True]]


def test_cpl_leaves_out_classes_of_no_share() -> None:
    p = torch.tensor([[1.0, 1e-9, 0.0], [1.0, 1e-6, 0.0], [0.2, 0.3, 0.5]])
    assert candidates.quantiles(p, 1.0, 0.0).tolist() == [[True, False, False], [True, True, False], [True, True, True]]


def test_cpl_learns_a_tenth_of_the_images_in_round_one(annotated) -> None:  # type: ignore[no-untyped-def]
    """501 images of five classes: K_1 = floor(50 / 5) = 10 of each, and K_10 = 100."""
    p = (torch.randn(501, 5, generator=torch.Generator().manual_seed(0)) * 3).softmax(1)
    learner = CPL(mirror(5), annotated([[1] * 5] * 501), alpha=0.75, beta=0.8)
    learner.scores.copy_(p)
    (one,) = learner.passes(Epoch(0, 0.0, lambda _: p))
    sets = learner.sets.clone()
    assert len(one.groups[0]) == 50 and int(sets.any(1).sum()) > 450
    chosen = learner.choose(p, sets, 1)
    assert [int((chosen == c).sum()) for c in range(5)] == [10] * 5
    for c in range(5):  # none that is not learned would have been surer
        least = p[chosen == c, c].min()
        assert not bool(((chosen < 0) & sets[:, c] & (p[:, c] > least)).any())
    later = learner.choose(p, sets, 10)
    assert max(int((later == c).sum()) for c in range(5)) <= 100
    taken = (later >= 0).nonzero().squeeze(1)
    assert bool(sets[taken, later[taken]].all())


def test_cpl_weighs_candidates_in_round_one_alone(annotated) -> None:  # type: ignore[no-untyped-def]
    learner = CPL(mirror(2), annotated([[1, 1], [1, 1]]), alpha=1.0, beta=0.0)
    learner.scores.copy_(torch.tensor([[0.75, 0.25], [0.5, 0.5]]))
    for number, weight in ((0, [[0.75, 0.25], [0.5, 0.5]]), (5, [[1, 1], [1, 1]])):
        (one,) = learner.passes(Epoch(number, number / 10, lambda _: learner.scores))
        expected = -sum(log(0.9 * w[0] + 0.1 * w[1]) for w in weight) / 2
        assert one.step(shown([0.9, 0.1], [0.9, 0.1]))["partial"].item() == pytest.approx(expected, abs=1e-5)


def test_cpl_always_learns_what_a_person_labeled(annotated) -> None:  # type: ignore[no-untyped-def]
    """The quantiles are those of the others: 0.85 of the best scores, 0.6 and 0.4 of the columns."""
    learner = CPL(mirror(2), annotated([[1, 1]] * 4, labels=[-1, -1, 1, -1]), alpha=0.75, beta=0.5)
    learner.scores.copy_(torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.99, 0.01], [0.2, 0.8]]))
    (one,) = learner.passes(Epoch(0, 0.0, lambda _: learner.scores))
    assert one.groups[0].tolist() == [0, 2, 3]  # one of each class, and the person's
    assert learner.sets.int().tolist() == [[1, 0], [1, 1], [0, 1], [0, 1]] and learner.weight[2].tolist() == [0, 1]


def test_papi_confidence_moves_before_the_loss(annotated) -> None:  # type: ignore[no-untyped-def]
    """c = 0.9 (0.5, 0.5) + 0.1 (0.8, 0.2) = (0.53, 0.47); the loss of the old c would be 0.91629."""
    learner = PaPi(mirror(2), annotated([[1, 1]]), embedding=2).train()
    terms = learner.training_step(0.9, 0.0, shown([0.8, 0.2], views=2))
    rows_are(learner.confidence, [0.53, 0.47])
    assert terms["weighted"].item() == pytest.approx(0.87470, abs=1e-5)


@pytest.mark.parametrize(
    ("p", "rows", "loss"),
    [
        ([[0.6, 0.4]], [[0.5, 0.5]], 0.71356),  # one image: only the flat row has a flat mean
        ([[0.6, 0.4], [0.3, 0.7]], [[0.86751, 0.13249], [0.13249, 0.86751]], 0.51674),
    ],
)
def test_solar_learns_the_soft_row(p, rows, loss, annotated) -> None:  # type: ignore[no-untyped-def]
    rows_are(targets.sinkhorn(torch.tensor(p, dtype=torch.double) ** 3, torch.tensor([0.5, 0.5])).float(), *rows)
    learner = SoLar(mirror(2), annotated([[1, 1]] * len(p)), queue=8, mixup=0.0, confidence=1.0).train()
    terms = learner.training_step(1.0, 1.0, shown(*p, views=2))
    assert terms["chosen"].item() == pytest.approx(loss, abs=1e-5)


def test_solar_two_images_share_a_row_by_the_root_of_their_odds() -> None:
    """Two images, flat prior: the odds of row 1 are the root of (.6^3 .7^3) / (.4^3 .3^3) = 3.5^3, 6.5479."""
    p = targets.sinkhorn(torch.tensor([[0.6, 0.4], [0.3, 0.7]], dtype=torch.double) ** 3, torch.tensor([0.5, 0.5]))
    assert (p[0, 0] / p[0, 1]).item() == pytest.approx(3.5**1.5, rel=1e-6)


@pytest.mark.parametrize(("replace", "after"), [(False, [0.56, 0.24, 0.20]), (True, [0.0, 0.54545, 0.45455])])
def test_irnet_gives_the_new_class_its_r(replace, after, annotated) -> None:  # type: ignore[no-untyped-def]
    """r_2 = .25 beats both candidates in both views; then (.7, .3, .25) / 1.25, or (0, .3, .25) / .55."""
    learner = IRNet(mirror(3), annotated([[1, 1, 0]]), threshold=0.008, replace=replace, queue=4, embedding=2)
    learner.confidence.copy_(torch.tensor([[0.7, 0.3, 0.0]]))
    learner.correct(torch.tensor([0]), torch.tensor([[[0.1, 0.2, 0.25]], [[0.1, 0.2, 0.3]]]))
    rows_are(learner.confidence, after)
    assert learner.candidates.tolist() == [[not replace, True, True]]


def test_irnet_leaves_the_confidence_where_nothing_is_corrected(annotated) -> None:  # type: ignore[no-untyped-def]
    sets = [[1, 1, 0], [1, 1, 0], [1, 1, 1], [1, 1, 0]]
    learner = IRNet(mirror(3), annotated(sets, labels=[-1, -1, -1, 0]), threshold=0.05, queue=4, embedding=2)
    before = learner.confidence.clone()
    first = torch.tensor([[0.3, 0.3, 0.4], [0.3, 0.36, 0.4], [0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
    second = torch.tensor([[0.3, 0.4, 0.3], [0.2, 0.2, 0.6], [0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
    learner.correct(torch.arange(4), torch.stack([first, second]))
    assert torch.equal(learner.confidence, before) and learner.candidates[:3].tolist() == [
        [bool(value) for value in row] for row in sets[:3]
    ]


def test_rc_weighs_by_the_posterior_after_the_step(annotated) -> None:  # type: ignore[no-untyped-def]
    """Logits that the step doubles: (.6, .2, .2) becomes (.36, .04, .04) / .44, which is .9 and .1 inside the set."""
    learner = RC(mirror(3), annotated([[1, 1, 0], [0, 1, 0]])).train()
    for one in learner.passes(Epoch(0, 0.0, lambda _: learner.scores)):
        loss = one.step(shown([0.6, 0.2, 0.2], [0.5, 0.25, 0.25]))["weighted"].item()
        assert loss == pytest.approx((-0.5 * log(0.6) - 0.5 * log(0.2) - log(0.25)) / 2, abs=1e-5)
        with torch.no_grad():
            learner.network.head.weight.mul_(2)
    rows_are(learner.confidence, [0.9, 0.1, 0], [0, 1, 0])
    with torch.no_grad():
        learner.network.head.weight.div_(2)
    loss = learner.training_step(shown([0.5, 0.25, 0.25], [0.1, 0.8, 0.1]))["weighted"].item()
    assert loss == pytest.approx((-0.9 * log(0.5) - 0.1 * log(0.25) - log(0.8)) / 2, abs=1e-5)


def test_leveraged_losses_of_one_image(annotated) -> None:  # type: ignore[no-untyped-def]
    """At first w is 1/4 everywhere; after the look (.5, .2, .2, .1) it is (5/7, 2/7) and (2/3, 1/3)."""
    p = [0.5, 0.2, 0.2, 0.1]
    by_log = LWC(mirror(4), annotated([[1, 1, 0, 0]]), beta=2.0)
    first = -(log(0.5) + log(0.2) + 2 * (log(0.8) + log(0.9))) / 4
    assert by_log.training_step(shown(p))["leveraged"].item() == pytest.approx(first, abs=1e-5)
    rows_are(by_log.weight, [5 / 7, 2 / 7, 2 / 3, 1 / 3])
    then = -(5 / 7 * log(0.5) + 2 / 7 * log(0.2) + 2 * (2 / 3 * log(0.8) + 1 / 3 * log(0.9)))
    assert by_log.training_step(shown(p))["leveraged"].item() == pytest.approx(then, abs=1e-5)
    by_sigmoid = LWS(mirror(2), annotated([[1, 0]]), beta=1.0)
    batch = Batch(torch.tensor([0]), (torch.tensor([[log(3.0), -log(3.0)]]),))
    assert by_sigmoid.training_step(batch)["leveraged"].item() == pytest.approx(0.25, abs=1e-6)  # (1/4 + 1/4) / 2
    rows_are(by_sigmoid.weight, [1.0, 1.0])


def test_pop_drops_what_is_below_a_share_of_the_best(annotated) -> None:  # type: ignore[no-untyped-def]
    """Mean of two epochs (.55, .4, .05): at theta 0.1 the third goes, and theta stays, for one was dropped."""
    learner = POP(mirror(3), annotated([[1, 1, 1]]), warm_up=2, window=2, theta=0.1, growth=0.5)
    for number, c in ((1, [0.5, 0.42, 0.08]), (2, [0.6, 0.38, 0.02])):
        assert bool(learner.candidates.all())
        for _ in learner.passes(Epoch(number, number / 10, lambda _: learner.scores)):
            learner.confidence.copy_(torch.tensor([c]))  # as the epoch leaves it
    assert learner.candidates.tolist() == [[True, True, False]] and learner.theta.item() == pytest.approx(0.1)
    rows_are(learner.confidence, [0.55 / 0.95, 0.4 / 0.95, 0])
    loss = learner.training_step(shown([0.5, 0.25, 0.25]))["weighted"].item()
    assert loss == pytest.approx(-(0.55 * log(0.5) + 0.4 * log(0.25)) / 0.95, abs=1e-5)
    rows_are(learner.confidence, [2 / 3, 1 / 3, 0])


def test_pop_learns_the_mean_of_three_views_and_follows_the_first(annotated) -> None:  # type: ignore[no-untyped-def]
    learner = POP(mirror(2), annotated([[1, 1]]))
    assert learner.views == ("weak", "strong", "strong")
    views = tuple(torch.tensor([p]).log() for p in ([0.8, 0.2], [0.5, 0.5], [0.1, 0.9]))
    loss = learner.training_step(Batch(torch.tensor([0]), views))["weighted"].item()
    # c = (.5, .5): -log .16 / 2, -log .25 / 2 and -log .09 / 2
    assert loss == pytest.approx((0.916291 + 0.693147 + 1.203973) / 3, abs=1e-5)
    rows_are(learner.confidence, [0.8, 0.2])


def test_pop_waits_for_its_window(annotated) -> None:  # type: ignore[no-untyped-def]
    """With a window of 2 and a warm-up of 1 the first purification follows epoch 2, and the next one epoch 4."""
    learner, sizes = POP(mirror(3), annotated([[1, 1, 1]]), warm_up=1, window=2, theta=0.1), []
    for number, c in enumerate(([0.8, 0.15, 0.05], [0.8, 0.15, 0.05], [0.8, 0.15, 0.05], [0.96, 0.04, 0], [1, 0, 0])):
        for _ in learner.passes(Epoch(number, number / 10, lambda _: learner.scores)):
            learner.confidence.copy_(torch.tensor([c]))
        sizes.append(int(learner.candidates.sum()))
    assert sizes == [3, 3, 2, 2, 1]


def test_fredis_adds_the_best_and_drops_the_farthest(annotated) -> None:  # type: ignore[no-untyped-def]
    """Class 2 of image 0 is the best and no candidate; of its candidates both are farther away than any other's.

    One is added, so that two are to be dropped: gaps .6 and .5. Delta falls from 1 by .15: .55 is below one, .4 both.
    """
    sets = [[1, 1, 0], [1, 1, 0], [1, 0, 1]] + [[1, 0, 0]] * 27
    learner = FREDIS(mirror(3), annotated(sets), theta=0.01, change_size=2, dropped_per_added=2, delta_step=0.15)
    assert learner.change_size == 2
    learner.posterior.copy_(torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.4, 0.1], [0.5, 0.1, 0.4]] + [[0.8, 0.1, 0.1]] * 27))
    learner.correct()
    assert learner.candidates[:3].int().tolist() == [[0, 0, 1], [1, 1, 0], [1, 0, 1]]
    assert torch.equal(learner.candidates[3:], torch.tensor(sets[3:]).bool())
    rows_are(learner.confidence[:3], [0, 0, 1], [5 / 9, 4 / 9, 0], [5 / 9, 0, 4 / 9])
    assert learner.figures == {"added": 1.0, "dropped": 2.0} and learner.delta.item() == pytest.approx(0.4)
    assert learner.theta.item() == pytest.approx(0.01)  # three changes, not fewer than two


def test_fredis_leaves_no_set_empty_and_moves_its_thresholds_after_little_change(annotated) -> None:  # type: ignore[no-untyped-def]
    sets = [[1, 0, 0], [1, 1, 0]] + [[1, 0, 0]] * 18
    learner = FREDIS(mirror(3), annotated(sets), theta=0.0, delta=0.3, change_size=2, theta_step=0.1, delta_step=0.05)
    learner.posterior.copy_(torch.tensor([[0.1, 0.2, 0.7], [0.7, 0.2, 0.1]] + [[0.8, 0.1, 0.1]] * 18))
    learner.correct()
    # gaps .6 of image 0's only candidate, which stays, and .5 of image 1's second
    assert learner.candidates[:2].int().tolist() == [[1, 0, 0], [1, 0, 0]]
    assert learner.figures == {"added": 0.0, "dropped": 1.0}
    assert learner.theta.item() == pytest.approx(0.1) and learner.delta.item() == pytest.approx(0.25)


def test_fredis_draws_from_all_entries_that_pass(annotated) -> None:  # type: ignore[no-untyped-def]
    """Every entry is near, a third are candidates already: of three that are drawn fewer than three may be new."""
    added = []
    for seed in range(20):
        torch.manual_seed(seed)
        learner = FREDIS(mirror(3), annotated([[1, 0, 0]] * 30), theta=1.0, change_size=3)
        learner.posterior.copy_(torch.tensor([[0.4, 0.3, 0.3]] * 30))
        learner.correct()
        added.append(int(learner.figures["added"]))
    assert max(added) == 3 and 1.5 < sum(added) / 20 < 2.5


def test_fredis_loss_of_one_image(annotated) -> None:  # type: ignore[no-untyped-def]
    """c = (.5, .5, 0): KL = -.5 log(.5 .3) - log 2, and the class outside costs -log .8."""
    learner = FREDIS(mirror(3), annotated([[1, 1, 0]]), consistency=2.0, complement=0.5)
    terms = learner.training_step(shown([0.5, 0.3, 0.2]))
    assert terms["consistency"].item() == pytest.approx(2 * (-0.5 * log(0.5 * 0.3) - log(2)), abs=1e-5)
    assert terms["complement"].item() == pytest.approx(-0.5 * log(0.8), abs=1e-5)
    rows_are(learner.confidence, [0.625, 0.375, 0])


def test_fredis_sums_its_views_at_a_temperature(annotated) -> None:  # type: ignore[no-untyped-def]
    """At T = 2 the odds are their roots: 16 to 4 to 1 becomes (4, 2, 1) / 7, and 4 to 1 to 1 (2, 1, 1) / 4."""
    learner = FREDIS(mirror(3), annotated([[1, 1, 0]]), temperature=2.0)
    assert learner.views == ("weak", "strong", "strong")
    rows = ([16 / 21, 4 / 21, 1 / 21], [4 / 6, 1 / 6, 1 / 6])
    terms = learner.training_step(Batch(torch.tensor([0]), tuple(torch.tensor([p]).log() for p in rows)))
    kl = -log(2) * 2 - 0.5 * (log(4 / 7) + log(2 / 7) + log(2 / 4) + log(1 / 4))
    assert terms["consistency"].item() == pytest.approx(kl, abs=1e-5)
    assert terms["complement"].item() == pytest.approx(-log(6 / 7) - log(3 / 4), abs=1e-5)
    rows_are(learner.posterior, [4 / 7, 2 / 7, 1 / 7])
    rows_are(learner.confidence, [2 / 3, 1 / 3, 0])  # both views have odds of 2 to 1 inside the set


def test_pico_plus_learns_reliable_sets_and_guesses_the_rest(annotated, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Image 0 is reliable and keeps (1, 0); image 1 is not: z . o differs by .07 log 3, so its guess is (.75, .25)."""
    sets = annotated([[1, 0], [1, 0]])
    learner = PiCOPlus(mirror(2), sets, noise_rate=0.5, mixup=0.0, queue=4, embedding=2, neighbors=2).train()
    near = torch.tensor([[0.5, 0.1], [0.07 * log(3.0), 0.0]])
    monkeypatch.setattr(learner.prototypes, "similarity", lambda _: near)
    moved: list[list[int]] = []
    monkeypatch.setattr(learner.prototypes, "update", lambda z, label, human: moved.append(label.tolist()))
    batch = shown([0.8, 0.2], [0.1, 0.9], views=2)
    terms = learner.divided_step(0.9, True, torch.tensor([True, False]), batch)
    assert terms["reliable"].item() == pytest.approx(-2 * log(0.8), abs=1e-4)
    guess = -0.75 * log(0.1) - 0.25 * log(0.9)
    assert terms["unreliable"].item() == pytest.approx(0.1 * guess, abs=1e-4)
    assert terms["mixup"].item() == pytest.approx((-log(0.8) + guess) / 2, abs=1e-4)
    assert moved == [[0]]  # the prototypes follow reliable images alone
    assert learner.pseudo.tolist() == [0, 0] and learner.closeness.tolist() == pytest.approx([0.5, 0.07 * log(3.0)])
    assert learner.contrast.queue.labels[:2].tolist() == [0, 1]  # outside its set image 1 is what the network says


@pytest.mark.parametrize(("joined", "first", "second"), [(False, 1.0, 1.0), (True, 0.5, 0.1)])
def test_pico_plus_weighs_its_contrasts(joined, first, second, annotated, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Cosines at a temperature of 1: image 0, reliable, has .5 with image 1, .8 with its own key, 0 with the other.

    Image 1 has .5, .2 and .6 with its own key; its nearest but for itself is its own key. Labels differ, so that all
    positives are own keys: log(e^.5 + e^.8 + e^0) - .8 and log(e^.5 + e^.2 + e^.6) - .6.
    """
    learner = PiCOPlus(mirror(2), annotated([[1, 0], [1, 0]]), noise_rate=0.5, queue=4, embedding=2, temperature=1.0)
    cosine = torch.tensor([[1.0, 0.5, 0.8, 0.0], [0.5, 1.0, 0.2, 0.6]])
    rows = torch.cat([cosine, torch.zeros(2, 4)], 1)  # of an empty queue
    monkeypatch.setattr(learner.contrast, "similarity", lambda *_: rows)
    learner.neighbors = 2  # itself and one more
    terms = learner.train().divided_step(
        0.9, joined, torch.tensor([True, False]), shown([0.8, 0.2], [0.1, 0.9], views=2)
    )
    own = [0.783969, 0.945911]
    assert terms["contrast"].item() == pytest.approx((first * own[0] + second * own[1]) / 2, abs=1e-5)
    assert terms["contrast_all"].item() == pytest.approx(0.1 * sum(own) / 2, abs=1e-5)
