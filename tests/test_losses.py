"""Losses against loops written from the equations."""

from math import exp, log

import pytest
import torch
from torch import Tensor

from zerolabel import losses

DTYPES = (torch.float32, torch.float64)


def logits_of(n: int, c: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return (torch.randn(n, c, dtype=dtype) * 3).requires_grad_()


def softmax(row: Tensor) -> list[float]:
    total = sum(exp(z) for z in row.tolist())
    return [exp(z) / total for z in row.tolist()]


def soft(n: int, c: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, c, dtype=dtype).softmax(1)


def filled_sets(n: int, c: int) -> Tensor:
    candidates = torch.rand(n, c) < 0.4
    candidates[torch.arange(n), torch.arange(n) % c] = True
    return candidates


def close(value: Tensor, expected: float, dtype: torch.dtype) -> None:
    assert value.dtype == dtype and value.shape == ()
    assert value.item() == pytest.approx(expected, rel=1e-5 if dtype == torch.float32 else 1e-10, abs=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy(dtype: torch.dtype) -> None:
    z, t = logits_of(7, 4, dtype), soft(7, 4, dtype)
    expected = sum(-float(t[i, j]) * log(softmax(z[i])[j]) for i in range(7) for j in range(4)) / 7
    close(losses.cross_entropy(z, t), expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_partial_cross_entropy(dtype: torch.dtype) -> None:
    z, candidates = logits_of(9, 4, dtype), filled_sets(9, 4)
    candidates[2] = False
    terms = [-log(sum(softmax(z[i])[j] for j in range(4) if candidates[i, j])) for i in range(9) if i != 2]
    close(losses.partial_cross_entropy(z, candidates), sum(terms) / 8, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_negative_entropy(dtype: torch.dtype) -> None:
    z = logits_of(7, 4, dtype)
    expected = sum(p * log(p) for i in range(7) for p in softmax(z[i])) / 7
    close(losses.negative_entropy(z), expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_squared_error_sums_over_classes(dtype: torch.dtype) -> None:
    p, t = soft(7, 4, dtype), soft(7, 4, dtype)
    expected = sum((float(p[i, j]) - float(t[i, j])) ** 2 for i in range(7) for j in range(4)) / 7
    close(losses.squared_error(p, t), expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_divergence_with_zeros_in_the_target(dtype: torch.dtype) -> None:
    z, t = logits_of(6, 4, dtype), soft(6, 4, dtype)
    t[0] = torch.tensor([0, 1, 0, 0], dtype=dtype)
    expected = 0.0
    for i in range(6):
        for j in range(4):
            if t[i, j] > 0:
                expected += float(t[i, j]) * (log(float(t[i, j])) - log(softmax(z[i])[j])) / 6
    close(losses.divergence(t, z), expected, dtype)


def contrast(n: int, m: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    similarity = (torch.randn(n, m, dtype=dtype) * 4).requires_grad_()
    positive = torch.rand(n, m) < 0.3
    positive[0] = False
    positive[1:, 1] = True
    ignored = (torch.rand(n, m) < 0.3) & ~positive
    return similarity, positive, ignored


@pytest.mark.parametrize("dtype", DTYPES)
def test_supervised_contrastive(dtype: torch.dtype) -> None:
    similarity, positive, ignored = contrast(5, 9, dtype)
    s, terms = similarity.tolist(), []
    for i in range(5):
        chosen = [j for j in range(9) if positive[i, j]]
        if not chosen:
            continue
        total = sum(exp(s[i][k]) for k in range(9) if not ignored[i, k])
        terms.append(-sum(log(exp(s[i][j]) / total) for j in chosen) / len(chosen))
    assert len(terms) == 4
    close(losses.supervised_contrastive(similarity, positive, ignored), sum(terms) / 4, dtype)


def test_contrast_without_any_positive_is_zero_with_a_zero_gradient() -> None:
    s, positive, _ = contrast(5, 9)
    loss = losses.supervised_contrastive(s, torch.zeros_like(positive), torch.ones_like(positive))
    loss.backward()
    assert loss.item() == 0 and s.grad is not None and not s.grad.any()


def test_contrast_of_a_query_that_ignores_all_has_a_finite_gradient() -> None:
    s, positive, ignored = contrast(5, 9)
    ignored[0] = True
    losses.supervised_contrastive(s, positive, ignored).backward()
    assert s.grad is not None and bool(s.grad.isfinite().all()) and not s.grad[0].any()


def test_pairs_by_cases() -> None:
    label, clean = torch.tensor([0, 0, 1]), torch.tensor([True, False, True])
    others, others_clean = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([True, False, True, False, True])
    positive, ignored = losses.pairs(label, clean, others, others_clean)
    for i in range(3):
        for j in range(5):
            same = bool(label[i] == others[j])
            assert bool(positive[i, j]) == (same and bool(clean[i]) and bool(others_clean[j]))
            left_out = same and (not bool(others_clean[j]) if bool(clean[i]) else True)
            assert bool(ignored[i, j]) == left_out


CASES = {
    "cross_entropy": lambda z: losses.cross_entropy(z, FIXED),
    "partial_cross_entropy": lambda z: losses.partial_cross_entropy(z, SETS),
    "negative_entropy": losses.negative_entropy,
    "squared_error": lambda z: losses.squared_error(z.softmax(1), FIXED),
    "divergence": lambda z: losses.divergence(FIXED, z),
    "supervised_contrastive": lambda z: losses.supervised_contrastive(z, POSITIVE, IGNORED),
}
FIXED = torch.tensor([[0.2, 0.5, 0.3, 0.0], [0.0, 1.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]], dtype=torch.float64)
SETS = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]).bool()
POSITIVE = torch.tensor([[0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]]).bool()
IGNORED = torch.tensor([[1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 0]]).bool()


@pytest.mark.parametrize("name", CASES)
def test_gradients(name: str) -> None:
    assert torch.autograd.gradcheck(CASES[name], (logits_of(3, 4),))


@pytest.mark.parametrize("name", CASES)
def test_extreme_logits_give_finite_values_and_gradients(name: str) -> None:
    z = (torch.tensor([[1e4, -1e4, 0, 0], [0, 0, 1e4, 0], [0, 0, 0, -1e4]])).requires_grad_()
    loss = CASES[name](z)
    loss.backward()
    assert bool(loss.isfinite()) and z.grad is not None and bool(z.grad.isfinite().all())


@pytest.mark.parametrize("name", CASES)
def test_half_precision_is_computed_in_float32(name: str) -> None:
    if name == "squared_error":
        pytest.skip("takes probabilities, which are float32 already")
    z = logits_of(3, 4).detach().bfloat16()
    expected = float(CASES[name](z.double()))
    assert float(CASES[name](z)) == pytest.approx(expected, rel=1e-4)


def test_one_candidate_makes_it_the_cross_entropy() -> None:
    z, ids = logits_of(8, 5), torch.arange(8) % 5
    one = torch.nn.functional.one_hot(ids, 5)
    partial, plain = losses.partial_cross_entropy(z, one.bool()), losses.cross_entropy(z, one.double())
    torch.testing.assert_close(partial, plain)
    a, b = torch.autograd.grad(partial, z, retain_graph=True)[0], torch.autograd.grad(plain, z)[0]
    torch.testing.assert_close(a, b)
    torch.testing.assert_close(plain, torch.nn.functional.cross_entropy(z, ids))


def test_all_candidates_teach_nothing() -> None:
    z = logits_of(8, 5)
    loss = losses.partial_cross_entropy(z, torch.ones(8, 5, dtype=torch.bool))
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert float(torch.autograd.grad(loss, z)[0].abs().max()) < 1e-12


def test_divergence_from_itself_and_entropy_of_the_uniform() -> None:
    z = logits_of(8, 5)
    assert losses.divergence(z.softmax(1), z).item() == pytest.approx(0, abs=1e-12)
    assert float(losses.negative_entropy(torch.zeros(3, 5))) == pytest.approx(-log(5))
    assert losses.negative_entropy(z).item() > -log(5)


@pytest.mark.parametrize("name", ["cross_entropy", "partial_cross_entropy", "negative_entropy", "divergence"])
def test_permuting_classes_changes_nothing(name: str) -> None:
    z, t, candidates, order = logits_of(8, 5), soft(8, 5), filled_sets(8, 5), torch.randperm(5)
    arguments = {
        "cross_entropy": lambda i: (z[:, i], t[:, i]),
        "partial_cross_entropy": lambda i: (z[:, i], candidates[:, i]),
        "negative_entropy": lambda i: (z[:, i],),
        "divergence": lambda i: (t[:, i], z[:, i]),
    }[name]
    call = getattr(losses, name)
    torch.testing.assert_close(call(*arguments(torch.arange(5))), call(*arguments(order)))


@pytest.mark.parametrize(
    "call",
    [
        lambda z: losses.cross_entropy(z, torch.zeros(0, 4)),
        lambda z: losses.partial_cross_entropy(z, torch.zeros(0, 4, dtype=torch.bool)),
        losses.negative_entropy,
        lambda z: losses.squared_error(z, torch.zeros(0, 4)),
        lambda z: losses.divergence(torch.zeros(0, 4), z),
        lambda z: losses.supervised_contrastive(z, torch.zeros(0, 4).bool(), torch.zeros(0, 4).bool()),
    ],
)
def test_no_image_at_all_is_zero_with_a_gradient(call) -> None:  # type: ignore[no-untyped-def]
    weight = torch.ones(4, 4, requires_grad=True)
    loss = call(torch.zeros(0, 4) @ weight)
    loss.backward()
    assert loss.item() == 0 and weight.grad is not None and not weight.grad.any()


def test_only_empty_sets_are_zero_with_a_gradient() -> None:
    z = logits_of(3, 4)
    losses.partial_cross_entropy(z, torch.zeros(3, 4, dtype=torch.bool)).backward()
    assert z.grad is not None and not z.grad.any()
