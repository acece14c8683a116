import numpy as np
import pytest

from zerolabel import InputError
from zerolabel.audit.unknown import CUTS, draw_low, parts, threshold


def pool(n: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores, lower for unknown images, and which are unknown."""
    random = np.random.default_rng(seed)
    unknown = random.random(n) < share
    return np.where(unknown, random.beta(2, 6, n), random.beta(6, 2, n)), unknown


def test_parts_are_cut_at_shares_of_the_order() -> None:
    strata = parts(np.random.default_rng(0).random(1000))
    np.testing.assert_allclose(np.cumsum(np.bincount(strata))[:-1], 1000 * np.array(CUTS), atol=2)
    assert set(parts(np.ones(5))) == {0}


def test_the_threshold_is_near_the_best_and_its_error_is_covered() -> None:
    scores, unknown = pool(1500, 0.1, 1)
    covered, regrets = [], []
    for seed in range(25):
        drawn = draw_low(scores, 120, seed=seed)
        found = threshold(scores, drawn, unknown[drawn])
        error = ((scores < found.score) != unknown).mean()
        covered.append(found.error.low <= error <= found.error.high)
        regrets.append(error)
    assert np.mean(covered) >= 0.94
    assert np.mean(regrets) < 0.05 < unknown.mean()


def test_no_image_is_rejected_where_none_is_unknown() -> None:
    scores = np.random.default_rng(2).random(400)
    drawn = draw_low(scores, 60)
    found = threshold(scores, drawn, np.zeros(60, dtype=bool))
    assert found.score == -np.inf and found.unknown == 0 and found.error.low == 0


def test_a_score_that_is_no_number_is_named() -> None:
    with pytest.raises(InputError, match="finite scores"):
        parts(np.array([0.1, np.nan]))
