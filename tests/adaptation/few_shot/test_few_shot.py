"""Each few-shot method against plain loops, in its degenerate cases, and on real digits."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from zerolabel.adaptation import few_shot
from zerolabel.adaptation.few_shot import FEW_SHOT, check
from zerolabel.adaptation.few_shot.clip_adapter import random_start
from zerolabel.adaptation.few_shot.linear_probe import SINGLE, cross_validated
from zerolabel.adaptation.few_shot.lp_plus_plus import fit
from zerolabel.adaptation.few_shot.tip_adapter import ALPHAS, BETAS, chosen
from zerolabel.adaptation.few_shot.tip_adapter_f import left_out_loss
from zerolabel.blocks.lbfgs import minimized
from zerolabel.errors import InputError
from zerolabel.networks.feature_head import adapted

SCALE = 10.0
every_method = pytest.mark.parametrize("name", FEW_SHOT)


def unit(*shape):
    return F.normalize(torch.randn(*shape, dtype=torch.float64), dim=-1)


def learn(name, features, labels, texts, scale, **options):
    return few_shot.learn(name, features, labels, texts, scale, **options)(features).softmax(1)


@pytest.fixture
def made_up():
    """40 images around 4 class names, each a little off; three shots of each class."""
    texts, truth = unit(4, 6), torch.arange(40) % 4
    shift = 0.4 * torch.randn(4, 6, dtype=torch.float64)
    features = F.normalize((texts + shift)[truth] + 0.2 * torch.randn(40, 6, dtype=torch.float64), dim=1)
    return features, torch.where(torch.arange(40) < 12, truth, -1), texts, truth


def zero_shot(features, texts):
    return (SCALE * features @ texts.T).softmax(1)


def tip_loops(f, k, y, t, alpha, beta):
    rows = []
    for x in f.tolist():
        logits = [SCALE * sum(a * b for a, b in zip(x, w, strict=True)) for w in t.tolist()]
        for key, label in zip(k.tolist(), y.tolist(), strict=True):
            cosine = sum(a * b for a, b in zip(x, key, strict=True))
            logits[label] += alpha * math.exp(-beta * (1 - cosine))
        total = sum(math.exp(z) for z in logits)
        rows.append([math.exp(z) / total for z in logits])
    return torch.tensor(rows, dtype=torch.float64)


def test_tip_adapter_is_its_equation(made_up):
    f, y, t, _ = made_up
    found = learn("tip-adapter", f, y, t, SCALE, alpha=1.5, beta=3.0)
    torch.testing.assert_close(found, tip_loops(f, f[:12], y[:12], t, 1.5, 3.0))


def test_alpha_and_beta_are_those_of_the_least_error_on_shots_left_out(made_up):
    f, y, t, _ = made_up
    f, y = f[:12], y[:12]

    def error(alpha, beta):
        each = [
            tip_loops(f[i : i + 1], f[torch.arange(12) != i], y[torch.arange(12) != i], t, alpha, beta)[0, y[i]]
            for i in range(12)
        ]
        return -sum(math.log(p) for p in each)

    wanted = min(((a, b) for a in ALPHAS for b in BETAS), key=lambda pair: error(*pair))
    assert chosen(f, y, t, SCALE, None, None) == wanted
    alone = min(((2.0, b) for b in BETAS), key=lambda pair: error(*pair))
    assert chosen(f, y, t, SCALE, 2.0, None) == alone


def test_tip_adapter_f_begins_as_tip_adapter_and_lowers_its_loss(made_up):
    f, y, t, _ = made_up
    fixed = {"alpha": 2.0, "beta": 4.0}
    start = learn("tip-adapter-f", f, y, t, SCALE, iterations=0, **fixed)
    torch.testing.assert_close(start, learn("tip-adapter", f, y, t, SCALE, **fixed))
    shots, labels = f[:12], y[:12]
    values = F.one_hot(labels, 4).double()

    def loss(keys):
        return left_out_loss(shots, labels, values, SCALE * shots @ t.T, torch.eye(12).bool(), 2.0, 4.0, 0.1, keys)

    keys = minimized(loss, shots, 50)
    assert float(loss(keys)) < float(loss(shots)) - 1e-3
    by_hand = 0.0
    for i in range(12):
        logits = [SCALE * float(shots[i] @ t[c]) for c in range(4)]
        for j in range(12):
            if j != i:
                logits[int(labels[j])] += 2.0 * math.exp(-4.0 * (1 - float(shots[i] @ keys[j])))
        by_hand -= (logits[int(labels[i])] - math.log(sum(map(math.exp, logits)))) / 12
        by_hand += 0.1 * float(((keys[i] - shots[i]) ** 2).sum()) / 12
    assert float(loss(keys)) == pytest.approx(by_hand)


def test_clip_adapter_is_two_layers_beside_the_feature(made_up):
    f, y, t, _ = made_up
    torch.testing.assert_close(learn("clip-adapter", f, y, t, SCALE, adapter_share=0.0), zero_shot(f, t))
    w = random_start(6, 2, 3).double()
    wanted = []
    for x in f.numpy():
        hidden = np.maximum(w[0].numpy() @ x, 0)
        mixed = 0.3 * np.maximum(w[1].numpy().T @ hidden, 0) + 0.7 * x
        wanted.append(mixed / np.linalg.norm(mixed))
    torch.testing.assert_close(adapted(f, w, 0.3), torch.from_numpy(np.stack(wanted)))


def lp_loops(f, y, t, steps):
    """LP++ by plain loops and autograd: w, b and a after so many steps."""
    n, c = len(f), len(t)
    w = torch.stack([sum((f[i] for i in range(n) if y[i] == k), torch.zeros(f.shape[1]).double()) for k in range(c)])
    own = [[float(f[i] @ t[k]) for i in range(n) if y[i] == k] for k in range(c)]
    a = torch.full((c,), 250 * sum(sum(one) / len(one) for one in own) / c, dtype=torch.float64)
    b = torch.zeros(c, dtype=torch.float64)
    rate = 4 * n / float(torch.linalg.eigvalsh(f.T @ f).max())
    rate_a = n / (4 * max(sum(float(f[i] @ t[k]) ** 2 for i in range(n)) for k in range(c)))
    w, b, a = (one.requires_grad_() for one in (w, b, a))
    optimizer = torch.optim.SGD([w, b], lr=rate, momentum=0.9)
    for step in range(1, steps + 1):
        loss = F.cross_entropy(f @ w.T + b + a * (f @ t.T), y)
        optimizer.zero_grad()
        loss.backward()  # the gradient of a is never cleared
        optimizer.step()
        if step % 10 == 0:
            a.data -= rate_a * a.grad
    return w.detach(), b.detach(), a.detach()


@pytest.mark.parametrize("steps", [0, 1, 9, 10, 25])
def test_lp_plus_plus_is_its_loops(made_up, steps):
    f, y, t, _ = made_up
    for found, wanted in zip(fit(f[:12], y[:12], t, steps), lp_loops(f[:12], y[:12], t, steps), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-7)


def test_lp_plus_plus_leaves_a_class_without_shots_at_its_text(made_up):
    f, y, t, _ = made_up
    labels = torch.where(y[:12] == 2, 1, y[:12])
    weights, bias, blend = fit(f[:12], labels, t, 30)
    assert not weights[2].any() and float(bias[2]) == 0 and float(blend[2]) == float(fit(f[:12], labels, t, 0)[2][2])


def test_linear_probe_is_at_the_minimum_of_its_objective(made_up):
    f, y, t, _ = made_up
    p = learn("linear-probe", f, y, t, SCALE, penalty=2.0)[:12]
    centered = p.log() - p.log().mean(1, keepdim=True)
    x = torch.cat([f[:12], torch.ones(12, 1, dtype=torch.float64)], 1)
    w = torch.linalg.lstsq(x, centered).solution
    slope = 2.0 * x.T @ (p - F.one_hot(y[:12], 4)) + torch.cat([w[:6], torch.zeros(1, 4, dtype=torch.float64)])
    assert float(slope.abs().max()) < 0.01


def test_the_probe_s_penalty_needs_two_shots_of_each_class():
    x, y = np.random.default_rng(0).normal(size=(5, 3)), np.array([0, 0, 1, 1, 2])
    assert cross_validated(x, y) == SINGLE
    assert cross_validated(x[:4], y[:4]) in (0.316, 3.16, 31.6, 316.0)


@every_method
def test_rows_are_posteriors_whatever_is_labeled(name, made_up):
    f, y, t, truth = made_up
    cases = {
        "all": y,
        "one shot in all": torch.where(torch.arange(40) == 5, truth, -1),
        "one shot a class": torch.where(torch.arange(40) < 4, truth, -1),
        "a class without": torch.where(y == 2, -1, y),
        "one class labeled": torch.where(y == 1, y, -1),
    }
    for case, labels in cases.items():
        for dtype in (torch.float32, torch.float64):
            p = learn(name, f.to(dtype), labels, t.to(dtype), SCALE)
            assert p.dtype == dtype and p.shape == (40, 4) and bool((p >= 0).all()), case
            torch.testing.assert_close(p.sum(1), torch.ones(40, dtype=dtype))
    single = learn(name, f, y.clamp_max(0), t[:1], SCALE)
    assert bool((single == 1).all())
    assert learn(name, f[:12], y[:12], t, SCALE).allclose(learn(name, f, y, t, SCALE)[:12], atol=1e-5)


@pytest.mark.parametrize("name", sorted(set(FEW_SHOT) - {"linear-probe"}))
def test_a_class_without_shots_can_still_be_answered(name, made_up):
    f, y, t, _ = made_up
    labels = torch.where(y == 2, -1, y)
    assert float(learn(name, t, F.pad(labels[:0], (0, 4), value=1), t, SCALE)[2, 2]) > 0
    p = learn(name, torch.cat([f, t]), F.pad(labels, (0, 4), value=-1), t, SCALE)
    assert int(p[-2].argmax()) == 2


@every_method
def test_the_order_of_classes_does_not_matter(name, made_up):
    f, y, t, _ = made_up
    order = torch.tensor([2, 0, 3, 1])
    back = order.argsort()
    moved = torch.where(y >= 0, back[y.clamp_min(0)], -1)
    torch.testing.assert_close(
        learn(name, f, moved, t[order], SCALE), learn(name, f, y, t, SCALE)[:, order], atol=2e-3, rtol=1e-2
    )


def test_bad_input_is_named(made_up):
    f, y, t, _ = made_up
    for message, call in {
        "did you mean|no such few-shot": lambda: learn("tip-adaptr", f, y, t, SCALE),
        "--few-shot": lambda: learn("lp++", f, torch.full((40,), -1), t, SCALE),
        "class 3, but there are 2": lambda: learn("lp++", f, y, t[:2], SCALE),
        "dimensions": lambda: learn("lp++", f, y, t[:, :4], SCALE),
        "no such option": lambda: check("lp++", {"alpha": 1.0}),
        "out of range": lambda: check("tip-adapter", {"beta": 0.0}),
    }.items():
        with pytest.raises(InputError, match=message):
            call()


@every_method
def test_better_than_zero_shot_on_pixels_of_digits(name):
    """Prompts are the classes' centers, turned a little; 8 shots of each class.

    The linear probe reads no prompt, and with so few shots it is worse than good ones; LP++ starts its blend at 250
    times the shots' cosine with their text, which is made for CLIP's features. Both must only have learned.
    """
    digits = load_digits()
    x = torch.from_numpy(digits.data).double()
    features, truth = F.normalize(x - x.mean(0), dim=1), torch.from_numpy(digits.target)
    centers = torch.stack([features[truth == c].mean(0) for c in range(10)])
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(10, 64, generator=generator, dtype=torch.float64)
    texts = F.normalize(F.normalize(centers, dim=1) + 0.12 * noise, dim=1)
    places = torch.cat([(truth == c).nonzero()[:8, 0] for c in range(10)])
    labels = torch.full_like(truth, -1)
    labels[places] = truth[places]
    rest = labels < 0
    before = float((zero_shot(features, texts).argmax(1) == truth)[rest].double().mean())
    after = float((learn(name, features, labels, texts, SCALE).argmax(1) == truth)[rest].double().mean())
    assert after > (0.7 if name in ("linear-probe", "lp++") else before) and 0.3 < before < 0.9
