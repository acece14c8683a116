import numpy as np
import pytest

from zerolabel import InputError
from zerolabel.audit import teach


def clusters(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Six groups of 30 images around directions of their own; the last two groups are doubtful."""
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(6), 30)
    return np.eye(6)[group] + 0.1 * random.normal(size=(180, 6)), np.where(group >= 4, 0.9, 0.2)


def test_doubt_is_a_rank_and_a_disagreement() -> None:
    doubts = teach.doubt(np.array([0.9, 0.5, np.nan, 0.5]))
    np.testing.assert_allclose(doubts, [0.25, 0.625, 1.0, 0.625])
    both = teach.doubt(np.array([0.9, 0.5]), np.array([0.0, 1.0]))
    np.testing.assert_allclose(both, [0.75, 0.5])


def test_every_group_comes_once_and_every_other_image_is_doubtful() -> None:
    features, doubts = clusters(0)
    chosen = teach.batch(features, doubts, 6)
    assert set(chosen[1::2] // 30) >= {5} and set(chosen[:3] // 30) >= {4, 5} and set(chosen // 30) == set(range(6))
    assert (teach.batch(features, doubts, 3) == chosen[:3]).all()


def test_each_step_raises_the_plain_or_the_doubtful_cover_most_by_turns() -> None:
    features, doubts = clusters(1)
    features, doubts = features[::6], doubts[::6]
    x = features / np.linalg.norm(features, axis=1, keepdims=True)
    near, best, wanted = teach.similarity(x, x), np.zeros(30), []
    for step in range(8):
        gains = (doubts ** (teach.DOUBT * (step % 2)) * np.maximum(near - best, 0)).sum(1)
        wanted.append(int(gains.argmax()))
        best = np.maximum(best, near[wanted[-1]])
    assert teach.batch(features, doubts, 8).tolist() == wanted


def test_what_is_labeled_is_covered_and_not_asked_again() -> None:
    features, doubts = clusters(2)
    labeled = np.arange(120, 180)
    chosen = teach.batch(features, doubts, 4, labeled=labeled)
    assert not set(chosen) & set(labeled) and set(chosen // 30) == {0, 1, 2, 3}


def test_a_large_pool_is_covered_by_some_of_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teach, "REFERENCES", 60)
    monkeypatch.setattr(teach, "CANDIDATES", 90)
    features, doubts = clusters(3)
    assert len(set(teach.batch(features, doubts, 20))) == 20
    assert len(teach.batch(features, doubts, 180)) == 180


def test_mistakes_are_named() -> None:
    features, doubts = clusters(4)
    with pytest.raises(InputError, match="181 images cannot be chosen from 180"):
        teach.batch(features, doubts, 181)
    with pytest.raises(InputError, match="not finite"):
        teach.batch(np.full((3, 2), np.nan), np.ones(3), 1)
