import itertools

import numpy as np
import pytest
from scipy.stats import hypergeom

from zerolabel import InputError
from zerolabel.audit import Counts, anytime, count, draw, interval, stratify
from zerolabel.audit.accuracy import CAUTION, likely_spread, tail
from zerolabel.audit.anytime import evaluations
from zerolabel.audit.hypergeometric import bounds, probabilities


def pool(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidences, agreements and right predictions that go with them."""
    random = np.random.default_rng(seed)
    confidence = random.beta(4, 1, n)
    correct = random.random(n) < confidence
    return confidence, random.random(n) < np.where(correct, 0.95, 0.4), correct


def test_probabilities_are_those_of_scipy() -> None:
    for marked, size, drawn in ((0, 5, 3), (7, 20, 9), (20, 20, 4), (3, 9, 9)):
        wanted = hypergeom(size, marked, drawn).pmf(np.arange(drawn + 1))
        np.testing.assert_allclose(probabilities(marked, size, drawn), wanted, atol=1e-12)


def test_bounds_exclude_what_the_tails_exclude() -> None:
    for found, drawn, size in ((0, 4, 11), (3, 7, 15), (5, 5, 30), (6, 6, 6)):
        possible = [
            marked
            for marked in range(found, size - drawn + found + 1)
            if hypergeom(size, marked, drawn).sf(found - 1) > 0.025
            and hypergeom(size, marked, drawn).cdf(found) > 0.025
        ]
        assert bounds(found, drawn, size, 0.025) == (min(possible), max(possible))


def test_one_stratum_covers_exactly_as_the_distribution_says() -> None:
    size, drawn = 30, 12
    for marked in range(size + 1):
        ends = [interval(Counts(np.array([size]), np.array([drawn]), np.array([k]))) for k in range(drawn + 1)]
        inside = [one.low <= marked / size <= one.high for one in ends]
        assert probabilities(marked, size, drawn)[inside].sum() >= 0.95


def test_tail_is_the_sum_over_all_outcomes() -> None:
    marked, sizes, drawn, found = (np.array(row) for row in ([3, 8, 20], [10, 12, 25], [3, 4, 6], [1, 3, 5]))
    estimate = (sizes * found / drawn).sum()
    wanted = sum(
        np.prod([probabilities(m, s, n)[k] for m, s, n, k in zip(marked, sizes, drawn, ks, strict=True)])
        for ks in itertools.product(*(range(n + 1) for n in drawn))
        if (sizes * np.array(ks) / drawn).sum() >= estimate - 1e-9
    )
    assert tail(marked, sizes, drawn, found) == pytest.approx(wanted, abs=1e-9)


def test_the_likely_spread_is_the_best_of_all_that_have_the_total() -> None:
    sizes, drawn, found = np.array([12, 20, 30]), np.array([4, 6, 9]), np.array([1, 4, 8])

    def plausibility(marked: np.ndarray, total: int) -> float:
        share = total / sizes.sum()
        p = np.clip(marked / sizes, 1e-9, 1 - 1e-9)
        return float(
            ((found + CAUTION * share) * np.log(p) + (drawn - found + CAUTION * (1 - share)) * np.log(1 - p)).sum()
        )

    for total in (20, 35, 47):
        mine = likely_spread(total, sizes, drawn, found)
        assert mine.sum() == total
        spreads = (np.array([a, b, total - a - b]) for a in range(1, 10) for b in range(4, 19))
        allowed = [one for one in spreads if 8 <= one[2] <= 29]
        best = max(plausibility(one, total) for one in allowed)
        assert plausibility(mine, total) >= best - 0.05  # whole numbers


def test_strata_are_few_and_hold_the_doubtful_first() -> None:
    confidence, agreement, correct = pool(1000, 0)
    strata = stratify(confidence, agreement)
    sizes = np.bincount(strata)
    assert len(sizes) == 5 and sizes.min() >= 40
    assert correct[strata == 0].mean() < correct[strata == 4].mean() - 0.3
    assert set(stratify(np.ones(7))) <= {0, 1, 2, 3, 4}
    assert set(stratify(confidence, strata=1)) == {0}


def test_a_larger_draw_begins_with_the_smaller_and_every_beginning_is_in_proportion() -> None:
    strata = stratify(*pool(500, 1)[:2])
    drawn = draw(strata, 500, seed=3)
    assert sorted(drawn) == list(range(500))
    assert (draw(strata, 60, seed=3) == drawn[:60]).all()
    for n in (20, 57, 200):
        expected = n * np.bincount(strata) / 500
        assert np.abs(np.bincount(strata[drawn[:n]], minlength=5) - expected).max() <= 1.5


def test_the_stratified_interval_covers_and_is_narrower() -> None:
    confidence, agreement, correct = pool(900, 2)
    strata, one = stratify(confidence, agreement), np.zeros(900, dtype=int)
    inside, widths, plain = 0, [], []
    for seed in range(60):
        drawn = draw(strata, 80, seed=seed)
        found = interval(count(strata, drawn, correct[drawn]))
        inside += found.low <= correct.mean() <= found.high
        widths.append(found.width)
        drawn = draw(one, 80, seed=seed)
        plain.append(interval(count(one, drawn, correct[drawn])).width)
    assert inside >= 0.94 * 60
    assert np.mean(widths) < 0.92 * np.mean(plain)


def test_a_class_is_measured_on_its_own_images() -> None:
    confidence, agreement, correct = pool(400, 4)
    predicted = np.arange(400) % 3
    strata = stratify(confidence, agreement)
    drawn = draw(strata, 400)
    counts = count(strata, drawn, correct[drawn], of=predicted == 1)
    found = interval(counts)
    assert found.low == found.high == pytest.approx(correct[predicted == 1].mean())
    some = interval(count(strata, drawn[:60], correct[drawn[:60]], of=predicted == 1))
    assert some.low < found.low < some.high and some.answers == (predicted[drawn[:60]] == 1).sum()


def test_a_stratum_without_an_answer_may_hold_anything() -> None:
    found = interval(Counts(np.array([100, 50]), np.array([30, 0]), np.array([30, 0])))
    assert found.high == 1.0 and found.low < 2 / 3


def test_the_anytime_interval_holds_at_every_look_and_never_widens() -> None:
    confidence, agreement, correct = pool(600, 5)
    strata, missed = stratify(confidence, agreement), 0
    for seed in range(6):
        drawn = draw(strata, 200, seed=seed)
        looks = [anytime(strata, drawn[:n], correct[drawn[:n]]) for n in (5, *evaluations(600)[:8:2], 200)]
        assert all(late.low >= early.low for early, late in itertools.pairwise(looks))
        missed += any(not one.low <= correct.mean() <= one.high for one in looks)
        assert (looks[0].low, looks[0].high) == (0.0, 1.0) and looks[-1].width < 0.25
    assert missed <= 1


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: interval(Counts(np.array([9]), np.array([0]), np.array([0]))), "at least one answer"),
        (lambda: interval(Counts(np.array([9]), np.array([3]), np.array([2])), level=95.0), "between 0 and 1"),
        (lambda: Counts(np.array([9]), np.array([3]), np.array([4])), "more correct images than drawn"),
        (lambda: Counts(np.array([2]), np.array([3]), np.array([1])), "each image counts once"),
        (lambda: draw(np.zeros(4, dtype=int), 5), "5 images cannot be drawn from 4"),
        (lambda: stratify(np.empty(0)), "at least one image"),
        (lambda: count(np.zeros(4, dtype=int), np.array([1, 1]), np.array([True, True])), "counted twice"),
    ],
)
def test_mistakes_are_named(wrong, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        wrong()
