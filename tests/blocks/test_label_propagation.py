"""Labels that spread over neighbors, against plain loops and on real digits."""

import sys

import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from zerolabel.blocks import label_propagation
from zerolabel.blocks.label_propagation import affinity, nearest, propagate


def points(n: int = 40, dimension: int = 6) -> torch.Tensor:
    return F.normalize(torch.randn(n, dimension), dim=1)


def test_nearest_are_the_most_similar_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zerolabel.blocks.label_propagation.CHUNK", 7)  # several chunks, the last one short
    x = points()
    index, cosine = nearest(x, 3)
    for i in range(len(x)):
        others = sorted((float(x[i] @ x[j]), j) for j in range(len(x)) if j != i)[::-1][:3]
        assert index[i].tolist() == [j for _, j in others]
        assert cosine[i].tolist() == pytest.approx([value for value, _ in others], abs=1e-6)


def test_there_are_never_more_neighbors_than_others() -> None:
    assert nearest(points(3), 10)[0].shape == (3, 2)


def test_spreading_is_the_iteration_of_the_paper() -> None:
    x, given = points(), torch.rand(40, 4)
    index, cosine = nearest(x, 5)
    weights = torch.zeros(40, 40)
    for i in range(40):
        for j, c in zip(index[i].tolist(), cosine[i].tolist(), strict=True):
            weights[i, j] = torch.tensor((c - 1) / 0.1).exp()
    weights = (weights + weights.T) / 2
    degree = weights.sum(1)
    smooth = torch.stack([weights[i] / (degree[i] * degree).sqrt() for i in range(40)])
    torch.testing.assert_close(torch.from_numpy(affinity(index, cosine, 0.1).toarray()).float(), smooth)
    wanted = given
    for _ in range(6):
        wanted = 0.7 * smooth @ wanted + 0.3 * given
    found = propagate(given, x, neighbors=5, alpha=0.7, temperature=0.1, steps=6)
    torch.testing.assert_close(found, wanted / wanted.sum(1, keepdim=True))


def test_without_spreading_the_scores_stay() -> None:
    given = torch.rand(40, 4).softmax(1)
    torch.testing.assert_close(propagate(given, points(), alpha=0.0), given)


def test_an_image_nobody_spoke_on_hears_its_neighbors() -> None:
    x = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.01], [1.0, 0.02], [0.0, 1.0], [0.01, 1.0]]), dim=1)
    given = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    found = propagate(given, x, neighbors=2)
    assert found[1].argmax() == 0 and float(found[1].sum()) == pytest.approx(1)
    assert not propagate(torch.zeros(5, 2), x).any()


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_images_to_have_neighbors(n: int) -> None:
    assert propagate(torch.ones(n, 2), points(n)).tolist() == [[0.5, 0.5]] * n


def test_wrong_labels_of_real_digits_are_mended() -> None:
    digits = load_digits()
    truth = torch.from_numpy(digits.target).long()
    x = F.normalize(torch.from_numpy(digits.data).float(), dim=1)
    wrong = torch.rand(len(truth)) < 0.3
    given = F.one_hot(torch.where(wrong, torch.randint(10, truth.shape), truth), 10).float()
    before, after = (float((rows.argmax(1) == truth).float().mean()) for rows in (given, propagate(given, x)))
    assert before < 0.75 and after > 0.97


@pytest.fixture
def digits() -> torch.Tensor:
    return F.normalize(torch.from_numpy(load_digits().data).float(), dim=1)


def test_of_many_images_most_neighbors_are_found(digits: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss", reason="the extra [neighbors] is not installed")
    index, cosine = nearest(digits, 10)
    monkeypatch.setattr(label_propagation, "EXACT", 500)
    near, similarity = nearest(digits, 10)
    own = torch.arange(len(digits))[:, None]
    assert near.shape == index.shape and not bool((near == own).any())
    found = (near[:, :, None] == index[:, None, :]).any(2).float().mean()
    assert found > 0.9 and bool((similarity.sum(1) <= cosine.sum(1) + 1e-4).all())
    torch.testing.assert_close(similarity, (digits[near] * digits[:, None]).sum(2), atol=1e-5, rtol=0)
    again, _ = nearest(digits, 10)
    assert torch.equal(near, again)


def test_cells_with_too_few_images_leave_the_image_itself_without_weight(
    digits: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss", reason="the extra [neighbors] is not installed")
    monkeypatch.setattr(label_propagation, "EXACT", 100)
    monkeypatch.setattr(label_propagation, "PROBES", 1)
    near, similarity = nearest(digits[:300], 40)
    own = torch.arange(300)[:, None]
    missing = near == own
    assert bool(missing.any()) and bool((similarity[missing] == -1).all()) and bool((similarity[~missing] > 0).all())


def test_without_faiss_many_images_are_compared_one_by_one(
    digits: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    index, _ = nearest(digits[:300], 5)
    monkeypatch.setattr(label_propagation, "EXACT", 100)
    with pytest.warns(UserWarning, match=r"300 images are more than 100, and faiss is not installed"):
        assert torch.equal(nearest(digits[:300], 5)[0], index)
