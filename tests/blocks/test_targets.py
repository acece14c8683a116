"""Label distributions against loops written from the equations."""

import numpy as np
import pytest
import torch
from torch import Tensor

from zerolabel.blocks import targets
from zerolabel.errors import InputError

DTYPES = (torch.float32, torch.float64)


def distributions(n: int, c: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(n, c, dtype=dtype).mul(2).softmax(1)


def sets(n: int, c: int) -> Tensor:
    return torch.rand(n, c) < 0.5


def close(a: Tensor, b: Tensor) -> None:
    assert a.dtype == b.dtype
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_normalize_divides_by_the_sum_and_keeps_rows_of_zeros(dtype: torch.dtype) -> None:
    rows = torch.rand(6, 5, dtype=dtype)
    rows[2] = 0
    expected = torch.zeros_like(rows)
    for i in range(6):
        for j in range(5):
            expected[i, j] = 0 if i == 2 else rows[i, j] / sum(rows[i, k] for k in range(5))
    close(targets.normalize(rows), expected)


def test_uniform_over_shares_one_among_the_candidates() -> None:
    candidates = sets(20, 4)
    candidates[3] = False
    for row, q in zip(candidates, targets.uniform_over(candidates), strict=True):
        size = int(row.sum())
        assert q.tolist() == pytest.approx([1 / size if inside else 0 for inside in row] if size else [0] * 4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_restrict_keeps_ratios_inside_the_set(dtype: torch.dtype) -> None:
    p, candidates = distributions(20, 5, dtype), sets(20, 5)
    candidates[0] = False
    expected = torch.zeros_like(p)
    for i in range(20):
        mass = sum(float(p[i, j]) for j in range(5) if candidates[i, j])
        for j in range(5):
            if candidates[i, j]:
                expected[i, j] = p[i, j] / mass
    close(targets.restrict(p, candidates), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_restrict_without_mass_in_the_set_is_uniform_over_it(dtype: torch.dtype) -> None:
    p = torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=dtype)
    candidates = torch.tensor([[False, True, True, False]])
    close(targets.restrict(p, candidates), torch.tensor([[0, 0.5, 0.5, 0]], dtype=dtype))


def test_restrict_to_all_classes_changes_nothing_and_to_one_class_decides() -> None:
    p = distributions(10, 4)
    close(targets.restrict(p, torch.ones(10, 4, dtype=torch.bool)), p)
    one = torch.nn.functional.one_hot(torch.arange(10) % 4, 4).bool()
    close(targets.restrict(p, one), one.float())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [0.25, 0.5, 1.0, 2.0])
def test_sharpen(dtype: torch.dtype, temperature: float) -> None:
    p = distributions(8, 5, dtype)
    expected = torch.zeros_like(p)
    for i in range(8):
        total = sum(float(p[i, k]) ** (1 / temperature) for k in range(5))
        for j in range(5):
            expected[i, j] = float(p[i, j]) ** (1 / temperature) / total
    close(targets.sharpen(p, temperature), expected)


def test_sharpen_does_not_underflow() -> None:
    p = targets.uniform_over(torch.ones(1, 5000, dtype=torch.bool))
    p[0, :2] *= 2
    sharp = targets.sharpen(p, 0.02)  # (1/5000)^50 is zero in float32
    assert float(sharp.sum()) == pytest.approx(1)
    assert sharp[0, :2].tolist() == pytest.approx([0.5, 0.5])


def test_sharpen_keeps_one_hot_and_empty_rows() -> None:
    p = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    close(targets.sharpen(p, 0.5), p)


@pytest.mark.parametrize("dtype", DTYPES)
def test_align(dtype: torch.dtype) -> None:
    p, prior = distributions(9, 4, dtype), torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=dtype)
    average = [sum(float(p[i, j]) for i in range(9)) / 9 for j in range(4)]
    expected = torch.zeros_like(p)
    for i in range(9):
        ratio = [float(p[i, j]) * float(prior[j]) / average[j] for j in range(4)]
        for j in range(4):
            expected[i, j] = ratio[j] / sum(ratio)
    close(targets.align(p, prior), expected)


def test_align_to_the_mean_itself_changes_nothing() -> None:
    p = distributions(9, 4)
    close(targets.align(p, p.mean(0)), p)


def test_align_with_a_class_that_is_never_predicted_stays_a_distribution() -> None:
    p = torch.tensor([[0.7, 0.3, 0.0], [0.6, 0.4, 0.0]])
    aligned = targets.align(p, torch.full((3,), 1 / 3))
    assert aligned.sum(1).tolist() == pytest.approx([1, 1])
    assert aligned[:, 2].tolist() == [0, 0]


def test_one_hot_of_minus_one_is_zero() -> None:
    assert targets.one_hot(torch.tensor([2, -1, 0]), 3).tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert targets.one_hot(torch.zeros(0, dtype=torch.long), 3).shape == (0, 3)


@pytest.mark.parametrize("function", ["restrict", "sharpen", "align"])
def test_permuting_classes_permutes_nothing_else(function: str) -> None:
    p, candidates, prior, order = distributions(10, 6), sets(10, 6), distributions(1, 6)[0], torch.randperm(6)
    arguments = {"restrict": (candidates, candidates[:, order]), "sharpen": (0.5, 0.5), "align": (prior, prior[order])}
    plain, permuted = arguments[function]
    call = getattr(targets, function)
    close(call(p[:, order], permuted), call(p, plain)[:, order])


@pytest.mark.parametrize("function", ["normalize", "uniform_over", "restrict", "sharpen", "align"])
def test_no_image_at_all(function: str) -> None:
    p, none = torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.bool)
    more = {"restrict": (none,), "sharpen": (0.5,), "align": (torch.ones(3) / 3,)}
    first = none if function == "uniform_over" else p
    assert getattr(targets, function)(first, *more.get(function, ())).shape == (0, 3)


def test_split_clean_recovers_a_planted_mixture() -> None:
    planted = torch.rand(2000) < 0.3
    loss = torch.where(planted, 0.8 + 0.1 * torch.randn(2000), 0.15 + 0.05 * torch.randn(2000))
    posterior = targets.split_clean(loss)
    assert posterior.dtype == loss.dtype
    assert float(((posterior > 0.5) == ~planted).float().mean()) > 0.99


def test_split_clean_is_the_posterior_of_the_fitted_mixture() -> None:
    from sklearn.mixture import GaussianMixture

    loss = torch.cat([torch.randn(60) * 0.1, 1 + torch.randn(40) * 0.2])
    x = loss.double().numpy().reshape(-1, 1)
    fitted = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0).fit(x)
    low = int(np.argmin(fitted.means_))
    for value, posterior in zip(x[:, 0], targets.split_clean(loss), strict=True):
        density = [
            weight * np.exp(-((value - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
            for weight, mean, variance in zip(
                fitted.weights_, fitted.means_.ravel(), fitted.covariances_.ravel(), strict=True
            )
        ]
        assert float(posterior) == pytest.approx(density[low] / sum(density), abs=1e-5)


@pytest.mark.parametrize("loss", [torch.full((50,), 0.3), torch.tensor([0.7]), torch.zeros(0)])
def test_split_clean_trusts_all_where_nothing_can_be_divided(loss: Tensor) -> None:
    assert targets.split_clean(loss).tolist() == [1] * len(loss)


@pytest.mark.filterwarnings("error")
def test_split_clean_is_silent_where_the_mixture_has_not_converged() -> None:
    torch.manual_seed(16)
    posterior = targets.split_clean(torch.rand(300) ** 3)
    assert bool(((posterior >= 0) & (posterior <= 1)).all())


def test_split_clean_of_two_images() -> None:
    assert (targets.split_clean(torch.tensor([0.0, 1.0])) > 0.5).tolist() == [True, False]


def test_class_prior() -> None:
    scores = distributions(30, 4)
    scores[:10] = 0  # nobody spoke
    close(targets.class_prior(scores, "uniform"), torch.full((4,), 0.25))
    close(targets.class_prior(scores, (1.0, 1.0, 2.0, 4.0)), torch.tensor([0.125, 0.125, 0.25, 0.5]))
    estimated = targets.class_prior(scores, "estimated")
    expected = [(sum(float(scores[i, j]) for i in range(10, 30)) + 1 / 4) / 21 for j in range(4)]
    assert estimated.tolist() == pytest.approx(expected)
    assert targets.class_prior(torch.zeros(5, 4), "estimated").tolist() == pytest.approx([0.25] * 4)


@pytest.mark.parametrize(("largest", "chosen"), [(1, "uniform"), (3, "uniform"), (5, "estimated")])
def test_an_automatic_prior_is_uniform_unless_annotators_see_skew(largest: int, chosen: str) -> None:
    scores = targets.one_hot(torch.tensor([0] * largest * 100 + [1] * 100 + [2] * 100), 3).float()
    close(targets.class_prior(scores, "auto"), targets.class_prior(scores, chosen))


@pytest.mark.parametrize(
    "prior", ["unifrom", (1.0, 2.0), (1.0, 0.0, 1.0, 1.0), (1.0, -1.0, 1.0, 1.0), (1.0, float("inf"), 1.0, 1.0)]
)
def test_class_prior_refuses(prior: str | tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="prior"):
        targets.class_prior(torch.ones(2, 4), prior)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_rare_classes_are_repeated_until_they_are_as_frequent(power: float) -> None:
    ids = torch.tensor([0] * 12 + [1] * 3 + [2] * 100 + [3])
    index = torch.arange(16)[torch.randperm(16)]  # none of class 2 is drawn, one of class 3 is not
    wanted = []
    for i in index.tolist():
        n = sum(int(ids[j] == ids[i]) for j in index.tolist())
        wanted += [i] * round((12 / n) ** power)
    assert targets.repeat_rare(index, ids, power).tolist() == wanted


def test_a_single_image_of_a_class_is_not_repeated_without_end() -> None:
    ids = torch.tensor([0] * 1000 + [1])
    drawn = targets.repeat_rare(torch.arange(1001), ids, 1.0)
    assert int((drawn == 1000).sum()) == targets.REPEATS
    assert len(targets.repeat_rare(torch.arange(0), ids, 1.0)) == 0


def test_the_strongest_candidate_may_have_a_negative_value() -> None:
    values = torch.tensor([[-3.0, -1.0, 5.0], [0.5, 0.1, 0.2], [1.0, 2.0, 3.0]])
    candidates = torch.tensor([[1, 1, 0], [1, 1, 1], [0, 0, 0]]).bool()
    assert targets.strongest(values, candidates).tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_rectify_by_loops(dtype: torch.dtype) -> None:
    p, candidates = distributions(40, 5, dtype), sets(40, 5)
    candidates[:, 0] = True
    candidates[1] = True
    expected = torch.zeros_like(p)
    for i in range(40):
        row, inside = p[i].tolist(), [j for j in range(5) if candidates[i, j]]
        outside = [j for j in range(5) if not candidates[i, j]]
        mass, rest = sum(row[j] for j in inside), sum(row[j] for j in outside)
        a = 1.0
        if outside:
            c, d = max(row[j] for j in outside) / rest, min(row[j] for j in inside) / mass
            a = (c / mass) / (c / mass + d)
        for j in range(5):
            expected[i, j] = a * row[j] / mass if j in inside else (1 - a) * row[j] / rest
    close(targets.rectify(p, candidates), expected)


def test_rectified_no_class_outside_exceeds_a_candidate() -> None:
    p, candidates = distributions(200, 6), sets(200, 6)
    candidates[torch.arange(200), torch.arange(200) % 6] = True
    t = targets.rectify(p, candidates)
    lowest = t.masked_fill(~candidates, 2).amin(1)
    assert bool((t.masked_fill(candidates, 0).amax(1) <= lowest + 1e-6).all())
    torch.testing.assert_close(t.sum(1), torch.ones(200))


def test_given_label_is_a_persons_else_the_best_score_else_none() -> None:
    scores = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.0, 0.0], [0.3, 0.7], [0.0, 0.0]])
    candidates = torch.tensor([[0, 1], [1, 1], [0, 0], [1, 0], [1, 0]]).bool()
    human = torch.tensor([-1, -1, -1, 0, 0])
    assert targets.initial_labels(scores, candidates, human).tolist() == [1, 0, -1, 0, 0]


def test_groups_draw_a_person_s_image_with_both() -> None:
    trusted, human = torch.tensor([True, False, False, True]), torch.tensor([False, True, False, False])
    chosen, rest = targets.groups(trusted, human)
    assert chosen.tolist() == [0, 1, 3] and rest.tolist() == [2, 1]
    chosen, rest = targets.groups(torch.tensor([True, True]), torch.tensor([False, True]))
    assert chosen.tolist() == [0, 1] and rest.tolist() == []


def test_anchors_are_a_persons_and_lonely_candidates_of_the_classes_without() -> None:
    candidates = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 1]]).bool()
    human = torch.tensor([0, -1, -1, -1, -1, -1])
    assert targets.labeled_mask(candidates, human).tolist() == [True, True, False, False, False, True]


def test_smallest_per_class_against_the_loop() -> None:
    values, classes, counts = torch.rand(50), torch.randint(-1, 4, (50,)), torch.tensor([3, 0, 100, 5])
    chosen = targets.smallest_per_class(values, classes, counts)
    for c in range(4):
        order = sorted((i for i in range(50) if classes[i] == c), key=lambda i: float(values[i]))
        assert {i for i in order if chosen[i]} == set(order[: int(counts[c])])
    assert not chosen[classes < 0].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sinkhorn_reaches_both_marginals(dtype: torch.dtype) -> None:
    prior = torch.tensor([0.5, 0.3, 0.2], dtype=dtype)
    weights = torch.rand(40, 3, dtype=dtype) + 0.1
    p = targets.sinkhorn(weights, prior)
    torch.testing.assert_close(p.sum(1), torch.ones(40, dtype=dtype))
    torch.testing.assert_close(p.mean(0), prior, rtol=1e-4, atol=1e-6)
    scaled = p / weights  # rank one: rows times columns
    torch.testing.assert_close(scaled[0, 0] * scaled[1, 1], scaled[0, 1] * scaled[1, 0], rtol=1e-3, atol=0)


def test_sinkhorn_keeps_zeros_and_finite() -> None:
    weights = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    p = targets.sinkhorn(weights, torch.full((3,), 1 / 3))
    assert bool(p.isfinite().all()) and not bool((p * (weights == 0)).any())


def test_sinkhorn_takes_away_what_a_class_without_candidates_was_given() -> None:
    """Class 2 is nobody's: relaxed, it takes its share of both images, and then that share is gone."""
    weights = torch.tensor([[0.6, 0.4, 0.0], [0.3, 0.7, 0.0]], dtype=torch.double) ** 3
    p = targets.sinkhorn(weights, torch.tensor([0.4, 0.4, 0.2]))
    full = targets.sinkhorn(torch.where(weights > 0, weights, 1e-15), torch.tensor([0.4, 0.4, 0.2]))
    torch.testing.assert_close(p[:, :2], full[:, :2], rtol=0, atol=0)
    assert not bool(p[:, 2].any()) and p.sum().item() == pytest.approx(2 * 0.8, abs=1e-6)


def test_rows_of_tiny_sums_are_scaled_too() -> None:
    p, candidates = torch.tensor([[1.0, 3e-20, 1e-20], [1.0, 0.0, 0.0]]), torch.tensor([[False, True, True]] * 2)
    torch.testing.assert_close(targets.normalize(p[:, 1:]), torch.tensor([[0.75, 0.25], [0, 0]]))
    torch.testing.assert_close(targets.restrict(p, candidates), torch.tensor([[0, 0.75, 0.25], [0, 0.5, 0.5]]))


def test_support_and_softening_against_the_loop() -> None:
    p, candidates = torch.rand(20, 4), torch.rand(20, 4) < 0.5
    candidates[:, 0], candidates[0] = True, True
    mu, ratio = torch.rand(20), targets.support(p, candidates)
    soft = targets.soften(candidates, mu)
    assert ratio[0].item() == pytest.approx(1 / targets.TINY)
    for i in range(1, 20):
        outside = [float(p[i, j]) for j in range(4) if not candidates[i, j]]
        if outside:
            expected = max(float(p[i, j]) for j in range(4) if candidates[i, j]) / max(outside)
            assert ratio[i].item() == pytest.approx(expected, rel=1e-5)
        assert soft[i].tolist() == [1.0 if candidates[i, j] else mu[i].item() for j in range(4)]


def test_lower_quantile() -> None:
    values = torch.tensor([3.0, 1.0, 2.0])
    assert [targets.lower_quantile(values, share, 9.0) for share in (0.0, 0.3, 0.34, 0.99)] == [1.0, 1.0, 2.0, 3.0]
    assert targets.lower_quantile(values, 0.5, 1.5) == 1.5
    assert targets.lower_quantile(values[:0], 0.5, 1.0) == 0.0


def test_the_share_that_is_kept_falls_to_what_is_right() -> None:
    assert [targets.kept_share(0.4, epoch, 4) for epoch in (0, 1, 4, 9)] == pytest.approx([1, 0.9, 0.6, 0.6])
    assert targets.kept_share(0.4, 0, 0) == pytest.approx(0.6)


def test_the_smallest_losses_are_chosen_beside_all_that_a_person_labeled() -> None:
    loss, human = torch.tensor([0.1, 5.0, 0.3, 0.2, 0.4]), torch.tensor([False, True, False, False, False])
    assert targets.smallest(loss, 0.5, human).tolist() == [True, True, False, True, False]
    assert targets.smallest(loss, 0.6, human).tolist() == [True, True, False, True, False]  # 2.4 images: two
    assert targets.smallest(loss, 0.75, human).tolist() == [True, True, True, True, False]
    assert targets.smallest(loss, 0.0, human).tolist() == human.tolist()
    assert targets.smallest(loss[:1], 0.1, human[:1]).tolist() == [True]


@pytest.mark.parametrize(
    ("epochs", "expected"), [(0, 0.0), (0.5, 0.78125), (1, 1.5625), (4, 6.25), (15.5, 24.21875), (16, 25.0), (40, 25.0)]
)
def test_a_weight_rises_linearly(epochs: float, expected: float) -> None:
    assert targets.ramped(25.0, epochs, 16) == expected
    assert targets.ramped(25.0, epochs, 0) == 25.0
