"""Few-shot methods, low-rank changes and MOON's parameters as plain numbers that can be worked out by hand."""

import math
import sys

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from zerolabel.adaptation.few_shot.clip_adapter import clip_adapter
from zerolabel.adaptation.few_shot.lp_plus_plus import fit, step_sizes
from zerolabel.adaptation.few_shot.tip_adapter import tip_adapter
from zerolabel.adaptation.few_shot.tip_adapter_f import left_out_loss, tip_adapter_f
from zerolabel.adaptation.transduction.moon import concentrated, moon
from zerolabel.networks.feature_head import adapted
from zerolabel.networks.prompted.parts import Adapter, ConditionalPrompts, Coupled, LowRank, Prompts, mixer, quick_gelu

TEXTS = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
SHOTS, LABELS = torch.tensor([[0.8, 0.6], [0.6, 0.8]]), torch.tensor([0, 1])


def test_lp_plus_plus():
    w, b, a = fit(SHOTS, LABELS, TEXTS, 0)
    assert_close(w, SHOTS)
    assert b.tolist() == [0, 0] and a.tolist() == pytest.approx([200.0, 200.0])  # 250 times the mean cosine .8
    # F^T F has the eigenvalues 1.96 and .04; the squared cosines with each text sum to 1
    assert step_sizes(SHOTS, SHOTS @ TEXTS.T) == pytest.approx((8 / 1.96, 0.5))
    # logits of shot 0: .8 * .8 + .6 * .6 + 200 * .8 = 161 and .96 + 120 = 120.96: nothing is wrong by more than e^-40
    assert_close(fit(SHOTS, LABELS, TEXTS, 10)[0], SHOTS)


def test_tip_adapter():
    head = tip_adapter(SHOTS, LABELS, TEXTS, 10.0, alpha=2.0, beta=3.0)
    # cosines of (1, 0) with the keys: .8 and .6
    wanted = [10 + 2 * math.exp(-0.6), 2 * math.exp(-1.2)]
    assert head(torch.tensor([[1.0, 0.0]]))[0].tolist() == pytest.approx(wanted)


def test_tip_adapter_f():
    values, seen = torch.eye(2), torch.zeros(2, 2, dtype=torch.bool)
    keys = SHOTS + torch.tensor([[0.0, 0.1], [0.0, 0.0]])
    found = left_out_loss(SHOTS, LABELS, values, torch.zeros(2, 2), seen, 2.0, 3.0, 4.0, keys)
    affinity = [[math.exp(3 * (x - 1)) for x in row] for row in ((1.06, 0.96), (1.04, 1.0))]
    rows = [math.log(1 + math.exp(2 * (affinity[i][1 - i] - affinity[i][i]))) for i in range(2)]
    assert float(found) == pytest.approx(sum(rows) / 2 + 4 * 0.01 / 2, rel=1e-5)


def test_tip_adapter_f_hides_own_keys_unless_they_are_asked_for(monkeypatch):
    losses = []
    module = sys.modules[tip_adapter_f.__module__]
    monkeypatch.setattr(module, "minimized", lambda loss, start, _: losses.append(float(loss(start))) or start)
    shots, labels = torch.cat([SHOTS, TEXTS]), torch.tensor([0, 1, 0, 1])
    for own in (True, False):
        tip_adapter_f(shots, labels, TEXTS, 0.0, alpha=1.0, beta=1.0, decay=0.0, own_keys=own)
    # cosines of (.8, .6) with its class's other shot and with both of the other class; then of (1, 0)
    rows = [(math.exp(x - 1), math.exp(y - 1) + math.exp(z - 1)) for x, y, z in ((0.8, 0.96, 0.6), (0.8, 0.6, 0.0))]
    wanted = [sum(math.log(1 + math.exp(other - same - own)) for same, other in rows) / 2 for own in (1, 0)]
    assert losses == pytest.approx(wanted, rel=1e-5)


def test_clip_adapter():
    layers = torch.tensor([[[1.0, 0.0]], [[0.5, -1.0]]])  # a hidden layer of one: relu(x), then relu(.5 h, -h)
    mixed = torch.tensor([0.2 * 0.4 + 0.8 * 0.8, 0.8 * 0.6])
    assert_close(adapted(SHOTS[:1], layers, 0.2)[0], mixed / mixed.norm())
    module = Adapter(2)
    with torch.no_grad():
        module.layers[0].weight.copy_(layers[0])
        module.layers[2].weight.copy_(layers[1].T)
    assert_close(module(SHOTS[:1])[0], mixed)
    start = clip_adapter(SHOTS, LABELS, TEXTS, 10.0, adapter_share=0.0)
    assert_close(start(SHOTS), 10 * SHOTS @ TEXTS.T)
    # features of any length give the same: the code adapts them before they are brought to length 1
    assert_close(adapted(10 * SHOTS[:1], layers, 0.2)[0], mixed / mixed.norm())


def test_clip_lora_adds_up_times_down_over_the_root_of_the_rank():
    change = LowRank(torch.zeros(3, 2), 3)
    assert not change(torch.zeros(3, 2)).any()  # up starts at zero
    with torch.no_grad():
        change.down.copy_(torch.tensor([[[1.0, 2.0], [0.0, 1.0]]] * 3))
        change.up.copy_(torch.tensor([[[1.0, 4.0]], [[0.0, 2.0]], [[2.0, 0.0]]]))
    # B A = (1, 6), (0, 2) and (2, 4), over the root of 2
    wanted = [[1.70711, 5.24264], [1.0, 2.41421], [2.41421, 3.82843]]
    assert_close(change(torch.ones(3, 2)), torch.tensor(wanted), atol=1e-5, rtol=0)


def test_clip_lora_starts_each_down_by_its_columns():
    torch.manual_seed(0)
    largest = LowRank(torch.zeros(300, 100), 3).down.abs().amax((1, 2))
    # uniform within .1; with the rows among the inputs it would be .0707
    assert bool((largest <= 0.1).all()) and bool((largest > 0.09).all())


def test_cocoop_moves_all_tokens_by_one_vector():
    prompts = ConditionalPrompts(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 16)
    with torch.no_grad():
        prompts.net[0].weight.fill_(0.5)
        prompts.net[0].bias.fill_(-1.0)
        prompts.net[2].weight.copy_(torch.tensor([[2.0], [-1.0]]))
    features = torch.cat([torch.full((1, 16), 0.25), torch.zeros(1, 16)])
    with prompts.moved(features, 1):  # relu(16 * .5 * .25 - 1) = 1, and relu(-1) = 0
        assert prompts().tolist() == [[[3.0, -1.0], [2.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]]


def test_upt_couples_by_clip_s_own_block():
    assert float(quick_gelu(torch.tensor(1.0))) == pytest.approx(1 / (1 + math.exp(-1.702)))
    own, other = Prompts(torch.randn(4, 6)), Prompts(torch.randn(4, 5))
    shared = mixer((6, 5), 8)
    assert_close(Coupled(own, other, shared, 0)(), own())  # the projection back starts at zero
    block = shared["layer"]
    nn.init.normal_(shared["back"][0].weight)
    x = torch.cat([shared["into"][0](own()), shared["into"][1](other())])
    normal = block.norm1(x)
    q, k, v = (normal @ block.self_attn.in_proj_weight.T + block.self_attn.in_proj_bias).chunk(3, 1)
    x = x + block.self_attn.out_proj((q @ k.T / 8**0.5).softmax(1) @ v)
    x = x + block.linear2(quick_gelu(block.linear1(block.norm2(x))))
    assert block.linear1.out_features == 32
    assert_close(Coupled(own, other, shared, 0)(), own() + shared["back"][0](x[:4]))


def test_moon_s_parameters():
    # (3 r - r^3) / (1 - r^2) at .5: 1.375 / .75
    assert concentrated(torch.tensor([0.5]), 3).tolist() == pytest.approx([11 / 6])
    # in three dimensions the constant is kappa / sinh kappa up to a factor, so one round can be written down
    f = torch.tensor([[0.6, 0.8, 0.0], [0.8, 0.0, 0.6]], dtype=torch.float64)
    t = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    y = (2 * f @ t.T).softmax(1)
    lengths = (y * (f @ t.T)).sum(0) / y.sum(0)
    kappa = (3 * lengths - lengths**3) / (1 - lengths**2)
    evidence = y.log() + kappa * (f @ t.T) + kappa.log() - kappa.sinh().log() + 0.48 * y.flip(0)
    assert_close(moon(f, t, 2.0, neighbors=1, iterations=1), evidence.softmax(1), rtol=1e-5, atol=1e-6)
