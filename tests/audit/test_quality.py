import numpy as np
import pytest

from zerolabel import InputError
from zerolabel.audit.hypergeometric import bounds
from zerolabel.audit.quality import guarantee, needed


def labeled(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Uncertainties, and whether the machine's label is right."""
    random = np.random.default_rng(seed)
    uncertainty = random.beta(1, 4, n)
    return uncertainty, random.random(n) > uncertainty**1.5


def test_the_limit_is_kept_in_nineteen_of_twenty_sets() -> None:
    uncertainty, correct = labeled(800, 0)
    kept, asked = [], []
    for seed in range(200):
        drawn = np.random.default_rng(seed).permutation(800)[:120]
        found = guarantee(uncertainty, drawn, correct[drawn], max_error=0.05)
        left = (~correct & ~found.by_hand).mean()
        kept.append(left <= 0.05)
        assert found.bound <= 0.05 and set(drawn) <= set(np.flatnonzero(found.by_hand))
        assert not set(found.to_ask) & set(drawn)
        asked.append(found.by_hand.mean())
    assert np.mean(kept) >= 0.95 and np.mean(asked) < 0.9


def test_everything_stays_where_nothing_was_wrong() -> None:
    found = guarantee(np.arange(200) / 200, np.arange(100), np.ones(100, dtype=bool), max_error=0.05)
    assert not len(found.to_ask) and found.threshold == 199 / 200


def test_nothing_stays_without_an_answer_unless_it_may_be_wrong() -> None:
    found = guarantee(np.arange(100) / 100, np.empty(0, dtype=int), np.empty(0, dtype=bool), max_error=0.05)
    assert len(found.to_ask) == 95  # five labels may all be wrong


def test_needed_is_the_least_draw_with_which_all_may_stay() -> None:
    n = needed(1000, max_error=0.05)
    assert bounds(0, n, 1000, 0.05)[1] <= 50 < bounds(0, n - 1, 1000, 0.05)[1]
    assert 50 <= n <= 60


def test_mistakes_are_named() -> None:
    nothing = np.empty(0, dtype=int)
    with pytest.raises(InputError, match=r"for 5%, not 5\."):
        guarantee(np.ones(3), nothing, nothing.astype(bool), max_error=5.0)
    with pytest.raises(InputError, match="counted twice"):
        guarantee(np.ones(3), np.array([1, 1]), np.array([True, True]), max_error=0.1)
