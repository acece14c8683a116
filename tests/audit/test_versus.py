import numpy as np
import pytest
from scipy.special import gammaln

from zerolabel import InputError
from zerolabel.audit import draw_differing, verdict
from zerolabel.audit.versus import SHARES, log_wealth


def answers_of(first: int, second: int, neither: int, seed: int) -> list[str]:
    """Answers on all differing images, in random order."""
    pool = ["first"] * first + ["second"] * second + ["neither"] * neither
    return [pool[place] for place in np.random.default_rng(seed).permutation(len(pool))]


def test_images_that_differ_come_in_random_order() -> None:
    first, second = np.array([0, 1, 2, 0, 1]), np.array([0, 2, 2, 1, 0])
    assert sorted(draw_differing(first, second)) == [1, 3, 4]
    assert len({tuple(draw_differing(first, second, seed=seed)) for seed in range(20)}) > 3


def test_the_wealth_is_the_smallest_over_all_pools_in_which_it_is_not_better() -> None:
    def chance(ahead: int, behind: int, own: int, other: int) -> float:
        if ahead > own or behind > other:
            return -np.inf
        falling = [gammaln(of + 1) - gammaln(of - n + 1) for of, n in ((own, ahead), (other, behind))]
        return sum(falling) - gammaln(own + other + 1) + gammaln(own + other - ahead - behind + 1)

    for ahead, behind, total in ((3, 1, 9), (5, 0, 12), (6, 4, 15), (4, 3, 8)):
        pools = [(own, other) for own in range(total + 1) for other in range(own, total - own + 1)]
        worst = max(chance(ahead, behind, own, other) for own, other in pools)
        mixture = np.log(np.mean(SHARES**ahead * (1 - SHARES) ** behind))
        assert log_wealth(*(np.array([n]) for n in (ahead, behind, total)))[0] == pytest.approx(mixture - worst)


@pytest.mark.parametrize("counts", [(20, 20, 10), (24, 26, 3), (150, 150, 0), (6, 7, 0)])
def test_a_decision_is_wrong_in_one_of_twenty_at_most(counts: tuple[int, int, int]) -> None:
    wrong = [
        found.better == "first" or (counts[0] == counts[1] and found.better == "second")
        for found in (verdict(answers_of(*counts, seed), sum(counts)) for seed in range(200))
    ]
    assert np.mean(wrong) <= 0.05


def test_a_clear_difference_needs_few_answers() -> None:
    used = [verdict(answers_of(60, 5, 0, seed), 65) for seed in range(50)]
    assert {one.better for one in used} == {"first"}
    assert np.mean([one.answers for one in used]) < 15
    assert used[0].difference > 30


def test_few_images_are_decided_by_counting() -> None:
    assert verdict([], 0).better == "neither"
    assert verdict(["first"] * 2, 3).better == "first"
    assert verdict(["first", "second"], 2).better == "neither"
    assert verdict(["first", "second"], 3).better is None
    assert verdict(["second", "neither"], 2).better == "second"


def test_mistakes_are_named() -> None:
    with pytest.raises(InputError, match="3 answers on 2 differing"):
        verdict(["first"] * 3, 2)
    with pytest.raises(InputError, match="not 'A'"):
        verdict(["first", "A"], 9)
