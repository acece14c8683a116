"""Losses against loops written from the equations."""

from math import exp, log

import pytest
import torch
from torch import Tensor

from zerolabel.blocks import losses

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
    candidates[2], candidates[4] = False, True
    terms = [-log(sum(softmax(z[i])[j] for j in range(4) if candidates[i, j])) for i in range(9) if i != 2]
    full = candidates.all(1)
    counted = 8 - int(full.sum())
    assert counted < 8
    close(losses.partial_cross_entropy(z, candidates), sum(terms) / counted, dtype)
    close(losses.partial_cross_entropy(z, candidates, full_sets=True), sum(terms) / 8, dtype)
    w = soft(9, 4, dtype)
    terms = [
        -log(sum(float(w[i, j]) * softmax(z[i])[j] for j in range(4) if candidates[i, j])) for i in range(9) if i != 2
    ]
    close(losses.partial_cross_entropy(z, candidates, w, full_sets=True), sum(terms) / 8, dtype)
    terms = [term for term, i in zip(terms, [i for i in range(9) if i != 2], strict=True) if not full[i]]
    close(losses.partial_cross_entropy(z, candidates, w), sum(terms) / counted, dtype)


def test_sets_of_all_classes_do_not_count_and_the_floor_bounds_the_loss() -> None:
    z, sets = torch.tensor([[2.0, 0, 0], [0, 0, 0]]), torch.tensor([[1, 0, 0], [1, 1, 1]]).bool()
    assert losses.partial_cross_entropy(z, sets, floor=1e-5).item() == pytest.approx(0.23953, abs=5e-6)
    assert losses.partial_cross_entropy(z, sets).item() == pytest.approx(0.239545, abs=1e-6)
    assert losses.partial_cross_entropy(z, sets, full_sets=True).item() == pytest.approx(0.239545 / 2, abs=1e-6)
    p = 1 / (1 + 2 * exp(-2))
    assert losses.partial_cross_entropy(z, sets, floor=0.1).item() == pytest.approx(-log(p + 0.1), rel=1e-6)
    far = torch.tensor([[0.0, 1e4, 0]]).requires_grad_()
    loss = losses.partial_cross_entropy(far, sets[:1], floor=1e-5)
    loss.backward()
    assert loss.item() == pytest.approx(-log(1e-5), rel=1e-6) and bool(far.grad.isfinite().all())


@pytest.mark.parametrize("dtype", DTYPES)
def test_complement(dtype: torch.dtype) -> None:
    z, candidates = logits_of(9, 4, dtype), filled_sets(9, 4)
    candidates[2] = False
    terms = [-sum(log(1 - softmax(z[i])[j]) for j in range(4) if not candidates[i, j]) for i in range(9) if i != 2]
    close(losses.complement(z, candidates), sum(terms) / 8, dtype)


def test_the_complement_of_a_certain_class_is_exact() -> None:
    z = torch.tensor([[40.0, 0.0, 0.0]])
    assert losses.log_complements(z)[0].tolist() == pytest.approx([-40 + log(2), 0, 0], rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_leveraged_losses(dtype: torch.dtype) -> None:
    z, candidates, w = logits_of(9, 4, dtype), filled_sets(9, 4), soft(9, 4, dtype)
    candidates[2] = False
    by_sigmoid = by_log = 0.0
    for i in range(9):
        p, g = softmax(z[i]), z[i].tolist()
        for j in range(4):
            if i == 2:
                continue
            if candidates[i, j]:
                by_sigmoid += float(w[i, j]) / (1 + exp(g[j]))
                by_log -= float(w[i, j]) * log(p[j])
            else:
                by_sigmoid += 2 * float(w[i, j]) / (1 + exp(-g[j]))
                by_log -= 2 * float(w[i, j]) * log(1 - p[j])
    close(losses.leveraged_sigmoid(z, candidates, w, 2.0), by_sigmoid / 8, dtype)
    close(losses.leveraged_log(z, candidates, w, 2.0), by_log / 8, dtype)


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


@pytest.mark.parametrize("dtype", DTYPES)
def test_weighted_contrastive(dtype: torch.dtype) -> None:
    similarity, positive, ignored = contrast(5, 9, dtype)
    weight = torch.rand(5, 9, dtype=dtype) * positive
    s, total = similarity.tolist(), 0.0
    for i in range(5):
        others = sum(exp(s[i][k]) for k in range(9) if not ignored[i, k])
        total -= sum(float(weight[i, j]) * log(exp(s[i][j]) / others) for j in range(9))
    close(losses.weighted_contrastive(similarity, weight, ignored), total / 5, dtype)


def test_equal_weights_make_it_the_supervised_contrast() -> None:
    similarity, positive, ignored = contrast(5, 9)
    weight = positive / positive.sum(1, keepdim=True).clamp_min(1)
    plain = losses.supervised_contrastive(similarity, positive, ignored)
    torch.testing.assert_close(losses.weighted_contrastive(similarity, weight.double(), ignored), plain * 4 / 5)


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
    "complement": lambda z: losses.complement(z, SETS),
    "leveraged_sigmoid": lambda z: losses.leveraged_sigmoid(z, SETS, FIXED, 2.0),
    "leveraged_log": lambda z: losses.leveraged_log(z, SETS, FIXED, 2.0),
    "weighted_contrastive": lambda z: losses.weighted_contrastive(z, FIXED * POSITIVE, IGNORED),
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


def test_one_candidate_and_no_leverage_is_the_cross_entropy() -> None:
    z, ids = logits_of(8, 5), torch.arange(8) % 5
    one = torch.nn.functional.one_hot(ids, 5)
    loss = losses.leveraged_log(z, one.bool(), one.double(), beta=0.0)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(z, ids))


@pytest.mark.parametrize("loss_of", [losses.partial_cross_entropy, losses.complement], ids=lambda f: f.__name__)
def test_all_candidates_teach_nothing(loss_of) -> None:  # type: ignore[no-untyped-def]
    z = logits_of(8, 5)
    loss = loss_of(z, torch.ones(8, 5, dtype=torch.bool))
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert float(torch.autograd.grad(loss, z)[0].abs().max()) < 1e-12


def test_divergence_from_itself_and_entropy_of_the_uniform() -> None:
    z = logits_of(8, 5)
    assert losses.divergence(z.softmax(1), z).item() == pytest.approx(0, abs=1e-12)
    assert float(losses.negative_entropy(torch.zeros(3, 5))) == pytest.approx(-log(5))
    assert losses.negative_entropy(z).item() > -log(5)


@pytest.mark.parametrize(
    "name", ["cross_entropy", "partial_cross_entropy", "complement", "negative_entropy", "divergence"]
)
def test_permuting_classes_changes_nothing(name: str) -> None:
    z, t, candidates, order = logits_of(8, 5), soft(8, 5), filled_sets(8, 5), torch.randperm(5)
    arguments = {
        "cross_entropy": lambda i: (z[:, i], t[:, i]),
        "partial_cross_entropy": lambda i: (z[:, i], candidates[:, i]),
        "complement": lambda i: (z[:, i], candidates[:, i]),
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
        lambda z: losses.complement(z, torch.zeros(0, 4, dtype=torch.bool)),
        lambda z: losses.leveraged_log(z, torch.zeros(0, 4).bool(), torch.zeros(0, 4), 1.0),
        lambda z: losses.weighted_contrastive(z, torch.zeros(0, 4), torch.zeros(0, 4).bool()),
        losses.negative_entropy,
        lambda z: losses.squared_error(z, torch.zeros(0, 4)),
        lambda z: losses.divergence(torch.zeros(0, 4), z),
        lambda z: losses.generalized_cross_entropy(z, torch.zeros(0, 4), 0.7),
        lambda z: losses.reverse_cross_entropy(z, torch.zeros(0, 4)),
        lambda z: losses.early_learning(z, torch.zeros(0, 4)),
        lambda z: losses.prior_divergence(z, torch.full((4,), 0.25)),
        lambda z: losses.supervised_contrastive(z, torch.zeros(0, 4).bool(), torch.zeros(0, 4).bool()),
    ],
)
def test_no_image_at_all_is_zero_with_a_gradient(call) -> None:  # type: ignore[no-untyped-def]
    weight = torch.ones(4, 4, requires_grad=True)
    loss = call(torch.zeros(0, 4) @ weight)
    loss.backward()
    assert loss.item() == 0 and weight.grad is not None and not weight.grad.any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("q", [0.01, 0.7, 1.0])
def test_generalized_cross_entropy(dtype: torch.dtype, q: float) -> None:
    z, y = logits_of(7, 4, dtype), torch.arange(7) % 4
    t = torch.nn.functional.one_hot(y, 4).to(dtype)
    expected = sum((1 - softmax(z[i])[int(y[i])] ** q) / q for i in range(7)) / 7
    close(losses.generalized_cross_entropy(z, t, q), expected, dtype)


def test_generalized_cross_entropy_between_its_limits() -> None:
    z, t = logits_of(7, 4), torch.nn.functional.one_hot(torch.arange(7) % 4, 4).double()
    torch.testing.assert_close(
        losses.generalized_cross_entropy(z, t, 1e-9), losses.cross_entropy(z, t), atol=1e-6, rtol=1e-6
    )
    absolute = (z.softmax(1) - t).abs().sum(1).mean()
    torch.testing.assert_close(losses.generalized_cross_entropy(z, t, 1.0), absolute / 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_reverse_cross_entropy(dtype: torch.dtype) -> None:
    z, t = logits_of(7, 4, dtype), torch.nn.functional.one_hot(torch.arange(7) % 4, 4).to(dtype)
    expected = 0.0
    for i in range(7):
        expected -= sum(p * log(max(float(t[i, j]), 1e-4)) for j, p in enumerate(softmax(z[i]))) / 7
    close(losses.reverse_cross_entropy(z, t), expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_early_learning(dtype: torch.dtype) -> None:
    z, t = logits_of(7, 4, dtype), soft(7, 4, dtype)
    clamp = [[min(max(p, 1e-4), 1 - 1e-4) for p in softmax(z[i])] for i in range(7)]
    expected = sum(log(1 - sum(float(t[i, j]) * clamp[i][j] for j in range(4))) for i in range(7)) / 7
    close(losses.early_learning(z, t), expected, dtype)


def test_early_learning_pulls_toward_the_target_and_is_bounded() -> None:
    z = torch.zeros(1, 3, requires_grad=True)
    losses.early_learning(z, torch.tensor([[1.0, 0.0, 0.0]])).backward()
    assert z.grad is not None and z.grad[0, 0] < 0 < z.grad[0, 1]
    sure = losses.early_learning(torch.tensor([[99.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]]))
    assert sure.item() == pytest.approx(log(1e-4), rel=1e-3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_jensen_shannon(dtype: torch.dtype) -> None:
    p, t = soft(6, 4, dtype), soft(6, 4, dtype)
    t[0] = torch.tensor([0, 1, 0, 0], dtype=dtype)
    found = losses.jensen_shannon(p, t)
    for i in range(6):
        expected = 0.0
        for one in (p[i].tolist(), t[i].tolist()):
            for a, b, c in zip(one, p[i].tolist(), t[i].tolist(), strict=True):
                expected += 0.5 * a * log(a / ((b + c) / 2)) if a else 0.0
        close(found[i], expected, dtype)
    ends = losses.jensen_shannon(torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    torch.testing.assert_close(ends, torch.tensor([0.0, log(2)]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_prior_divergence(dtype: torch.dtype) -> None:
    z, prior = logits_of(7, 4, dtype), soft(1, 4, dtype)[0]
    mean = [sum(softmax(z[i])[j] for i in range(7)) / 7 for j in range(4)]
    expected = sum(float(prior[j]) * (log(float(prior[j])) - log(mean[j])) for j in range(4))
    close(losses.prior_divergence(z, prior), expected, dtype)
    same = prior.log().expand(7, 4)
    assert losses.prior_divergence(same, prior).abs().item() < 1e-6


@pytest.mark.parametrize(
    "call",
    [
        lambda z: losses.generalized_cross_entropy(z, torch.eye(4).double(), 0.7),
        lambda z: losses.reverse_cross_entropy(z, torch.eye(4).double()),
        lambda z: losses.early_learning(z, torch.full((4, 4), 0.2).double()),
        lambda z: losses.jensen_shannon(z.softmax(1), torch.full((4, 4), 0.25).double()).sum(),
        lambda z: losses.prior_divergence(z, torch.full((4,), 0.25).double()),
    ],
)
def test_gradients_of_the_losses_for_noisy_labels(call) -> None:  # type: ignore[no-untyped-def]
    z = torch.randn(4, 4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(call, (z,))


def test_only_empty_sets_are_zero_with_a_gradient() -> None:
    z = logits_of(3, 4)
    losses.partial_cross_entropy(z, torch.zeros(3, 4, dtype=torch.bool)).backward()
    assert z.grad is not None and not z.grad.any()
