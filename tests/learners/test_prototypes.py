"""PiCO, PiCO+, IRNet and ALIM against loops written from their equations."""

import pytest
import torch
from torch import Tensor

from zerolabel.annotations import Annotations
from zerolabel.blocks import mixup
from zerolabel.errors import InputError
from zerolabel.learners import ALIM, IRNet, Learner, PiCO, PiCOPlus
from zerolabel.learners.base import Batch, Epoch
from zerolabel.networks import build
from zerolabel.training.settings import parse

SMALL = {"queue": 12, "embedding": 8}


def learner_of(kind: type[Learner], annotations: Annotations, **options: object) -> Learner:
    torch.manual_seed(3)
    learner = kind(build("mlp", len(annotations.classes), 12), annotations, **(SMALL | options))
    with torch.no_grad():  # heads start near zero: make the predictions differ
        learner.network.head.weight.mul_(20)
    learner.prototypes.vectors.copy_(torch.nn.functional.normalize(torch.randn(4, 8), dim=1))
    return learner.train()


def batch_of(world, *index: int, views: int = 2) -> Batch:  # type: ignore[no-untyped-def]
    rows = torch.tensor(index)
    x = world.features[rows]
    return Batch(rows, tuple(x + 0.1 * torch.randn_like(x) for _ in range(views)))


def embedded(learner: Learner, x: Tensor) -> Tensor:
    with torch.no_grad():
        return learner.contrast.embed(learner.network.features(x))


def step_of(learner: Learner, number: int, epochs: int = 10):  # type: ignore[no-untyped-def]
    (one,) = learner.passes(Epoch(number, number / epochs, lambda _: learner.scores))
    return one.step


def test_pico_step_against_the_loop(world) -> None:  # type: ignore[no-untyped-def]
    learner, batch = learner_of(PiCO, world.annotations), batch_of(world, 0, 5, 7, 9)
    before, vectors = learner.confidence.clone(), learner.prototypes.vectors.clone()
    z = embedded(learner, batch.views[0])
    logits = learner.network(batch.views[0]).detach()
    step = step_of(learner, 5)
    learner.contrast.start(learner.network)
    keys = learner.contrast.momentum(batch.views[1])
    terms = step(batch)
    phi, loss, pseudo = 0.95 + 0.5 * (0.8 - 0.95), 0.0, []
    for row, i in enumerate(batch.index.tolist()):
        inside = [j for j in range(4) if learner.candidates[i, j]]
        best = max(inside, key=lambda j: float(z[row] @ vectors[j]))
        expected = phi * before[i] + (1 - phi) * torch.eye(4)[best]
        torch.testing.assert_close(learner.confidence[i], expected)
        loss -= float((expected * logits[row].log_softmax(0)).sum()) / 4
        pseudo.append(max(inside, key=lambda j: float(logits[row, j])))
    assert terms["weighted"].item() == pytest.approx(loss, rel=1e-4)
    entries, contrast = torch.cat([z, keys]), 0.0
    for i in range(4):
        s = (z[i] @ entries.T / 0.07).tolist()
        bottom = torch.tensor([s[k] for k in range(8) if k != i]).logsumexp(0).item()
        chosen = [k for k in range(8) if k != i and pseudo[k % 4] == pseudo[i]]
        contrast -= sum(s[k] - bottom for k in chosen) / len(chosen) / 4
    assert terms["contrast"].item() == pytest.approx(0.5 * contrast, rel=1e-3)
    assert learner.contrast.queue.labels[:4].tolist() == pseudo


def test_pico_knows_no_labels_before_its_prototypes(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(PiCO, world.annotations, delay=3)
    several = (learner.candidates.sum(1) > 1).nonzero().squeeze(1)[:2].tolist()
    before = learner.confidence.clone()
    step_of(learner, 2)(batch_of(world, *several))
    assert torch.equal(learner.confidence, before)
    step_of(learner, 3)(batch_of(world, *several))
    assert bool((learner.confidence[several] != before[several]).any(1).all())


@pytest.mark.parametrize("kind", [PiCO, PiCOPlus, IRNet, ALIM])
def test_phi_falls_over_the_training(kind: type[Learner], world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(kind, world.annotations, **({"warm_up": 1} if kind is PiCOPlus else {}))
    i = int((learner.candidates.sum(1) > 1).nonzero()[0])
    for number in (1, 4, 9):
        learner.confidence[i] = before = torch.tensor([0.1, 0.2, 0.3, 0.4])
        step_of(learner, number, epochs=20)(batch_of(world, i, views=len(learner.views)))
        phi = 0.95 - 0.15 * number / 20
        moved = (learner.confidence[i] - phi * before) / (1 - phi)  # what the confidence was drawn to
        assert float(moved.sum()) == pytest.approx(1, abs=1e-4) and float(moved.min()) > -1e-4
        if number == 1 and kind is ALIM:  # not softened yet: its soft target stays in the set
            assert moved[~learner.candidates[i]].abs().max() < 1e-4
        elif number == 1:
            assert sorted(moved.tolist()) == pytest.approx([0, 0, 0, 1], abs=1e-4)


def test_own_key_and_same_label_against_loops(world) -> None:  # type: ignore[no-untyped-def]
    contrast = learner_of(PiCO, world.annotations, queue=4).contrast
    contrast.queue.push(torch.randn(2, 8), torch.tensor([1, 0]), torch.tensor([True, True]))
    positive, ignored = contrast.same_label(torch.tensor([1, 2, 1]))
    others = [1, 2, 1, 1, 2, 1, 1, 0, -1, -1]
    for i, label in enumerate((1, 2, 1)):
        for j, other in enumerate(others):
            assert bool(positive[i, j]) == (other == label and i != j)
            assert bool(ignored[i, j]) == (i == j or other < 0)
    positive, ignored = contrast.own_key(3)
    assert positive.nonzero().tolist() == [[0, 3], [1, 4], [2, 5]]
    for i in range(3):
        assert (~ignored[i]).nonzero().squeeze(1).tolist() == [i + 3, 6, 7]


@pytest.mark.parametrize("target", ["scale", "onehot"])
def test_alim_target_and_mu_against_the_loop(world, target: str) -> None:  # type: ignore[no-untyped-def]
    human = torch.full((len(world.truth),), -1)
    human[2] = 3
    learner = learner_of(ALIM, world.annotations.with_labels(human), variant=target, noise_rate=0.3, warm_up_share=0.2)
    learner.margin.copy_(torch.rand(len(learner.margin)) * 2)
    rows = [i for i in range(len(human)) if human[i] < 0]
    ordered = sorted(float(learner.margin[i]) for i in rows)
    mu = ordered[int(0.3 * len(ordered))]
    batch, before, vectors = batch_of(world, 0, 1, 2, 3), learner.confidence.clone(), learner.prototypes.vectors.clone()
    r = (embedded(learner, batch.views[0]) @ vectors.T / 0.07).softmax(1)
    step_of(learner, 4)(batch)
    assert learner.figures["mu"] == pytest.approx(mu, rel=1e-5) and mu < 1
    phi = 0.95 + 0.4 * (0.8 - 0.95)
    for row, i in enumerate(batch.index.tolist()):
        inside = learner.candidates[i].tolist()
        own = 0.0 if human[i] >= 0 else mu
        t = torch.tensor([float(r[row, j]) * (1 if inside[j] else own) for j in range(4)])
        t = t / t.sum() if target == "scale" else torch.eye(4)[int(t.argmax())]
        torch.testing.assert_close(learner.confidence[i], phi * before[i] + (1 - phi) * t, rtol=1e-4, atol=1e-6)
    assert learner.confidence[2].tolist() == [0, 0, 0, 1]


def test_alim_keeps_to_the_sets_in_warm_up_and_without_noise(world) -> None:  # type: ignore[no-untyped-def]
    for given, number in (
        ({"warm_up_share": 0.5, "noise_rate": 0.9}, 4),
        ({"warm_up_share": 0.1, "noise_rate": 0.0}, 4),
    ):
        learner = learner_of(ALIM, world.annotations, variant="onehot", **given)
        learner.margin.copy_(torch.rand(len(learner.margin)))
        learner.margin[0] = 0.0  # the least: quantile 0
        step_of(learner, number)(batch_of(world, *range(16)))
        assert learner.figures["mu"] == 0
        assert not bool((learner.confidence[:16] * ~learner.candidates[:16]).any())


def test_pico_plus_trusts_the_closest_of_all_and_people(world) -> None:  # type: ignore[no-untyped-def]
    human, n = torch.full((len(world.truth),), -1), len(world.truth)
    human[0] = 1
    learner = learner_of(PiCOPlus, world.annotations.with_labels(human), noise_rate=0.3)
    learner.pseudo.copy_(torch.arange(n) % 4)
    learner.pseudo[5] = -1  # not seen
    learner.closeness.copy_(torch.rand(n))
    learner.closeness[0] = -1
    best = sorted((i for i in range(n) if i != 5), key=lambda i: -float(learner.closeness[i]))[: int(0.7 * (n - 1))]
    assert set(learner.select().nonzero().squeeze(1).tolist()) == {*best, 0}


def test_pico_plus_positives_against_the_loop(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(PiCOPlus, world.annotations, neighbors=3, queue=3)
    learner.contrast.queue.push(torch.randn(2, 8), torch.tensor([1, 1]), torch.tensor([True, False]))
    cosine = torch.rand(3, 9)
    cosine[range(3), range(3)] = 1.0  # with itself
    pseudo, trusted = torch.tensor([1, 1, 0]), torch.tensor([True, False, True])
    near = sorted((j for j in range(8) if j != 1), key=lambda j: -float(cosine[1, j]))[:2]  # the third is itself
    for joined, wanted in ((False, {4}), (True, {*near, 4})):
        positive, ignored = learner.positives(pseudo, trusted, cosine, joined)
        assert positive[0].nonzero().squeeze(1).tolist() == [3, 6]  # own key; the reliable entry of the queue
        assert set(positive[1].nonzero().squeeze(1).tolist()) == wanted
        assert positive[2].nonzero().squeeze(1).tolist() == [5]
        assert [row.nonzero().squeeze(1).tolist() for row in ignored] == [[0, 8], [1, 8], [2, 8]]  # itself; empty


@pytest.mark.parametrize("replace", [False, True])
def test_irnet_corrects_what_all_views_agree_on(world, replace: bool) -> None:  # type: ignore[no-untyped-def]
    human = torch.full((len(world.truth),), -1)
    human[3] = 0
    learner = learner_of(IRNet, world.annotations.with_labels(human), replace=replace)
    learner.candidates[:5] = torch.tensor([True, True, False, False])
    learner.candidates[3] = torch.tensor([True, False, False, False])
    learner.candidates[4] = True
    r = torch.tensor([0.2, 0.1, 0.4, 0.3]).repeat(3, 5, 1)
    r[1, 1] = torch.tensor([0.2, 0.1, 0.3, 0.4])  # another class in one view
    r[2, 2] = torch.tensor([0.395, 0.1, 0.4, 0.1])  # hardly better in one view
    learner.correct(torch.arange(5), r)
    assert learner.candidates[0].tolist() == [True, not replace, True, False]
    for i in (1, 2):
        assert learner.candidates[i].tolist() == [True, True, False, False]
    assert learner.candidates[3].tolist() == [True, False, False, False] and bool(learner.candidates[4].all())


def test_irnet_reads_further_views_without_a_trace(world) -> None:  # type: ignore[no-untyped-def]
    annotations, x = world.annotations.select(torch.arange(32)), torch.randn(3, 8, 3, 16, 16)
    statistics = []
    for warm_up in (0.0, 1.0):
        torch.manual_seed(3)
        learner = IRNet(build("light", 4, 16), annotations, warm_up_share=warm_up, threshold=-1.0, **SMALL).train()
        learner.prototypes.vectors.copy_(torch.nn.functional.normalize(torch.randn(4, 8), dim=1))
        before = learner.candidates.clone()
        step_of(learner, 4)(Batch(torch.arange(8), tuple(x)))
        assert torch.equal(learner.candidates, before) == (warm_up == 1)
        statistics.append(dict(learner.network.named_buffers()))
    assert statistics[0] and set(statistics[0]) == set(statistics[1])
    for name, value in statistics[0].items():
        assert torch.equal(value, statistics[1][name]), name


def loop_contrast(z: Tensor, entries: Tensor, positive: list[list[int]], left_out: list[list[int]]) -> float:
    total = 0.0
    for i in range(len(z)):
        s = (z[i] @ entries.T / 0.07).tolist()
        bottom = torch.tensor([s[k] for k in range(len(s)) if k not in left_out[i]], dtype=torch.float64).logsumexp(0)
        total -= sum(s[k] - float(bottom) for k in positive[i]) / len(positive[i]) / len(z)
    return total


def cross_entropy(learner: Learner, x: Tensor, target: Tensor) -> float:
    """Mean of ``-sum_j t_j log p_j``, one image at a time."""
    with torch.no_grad():
        rows = [learner.network(one[None])[0].log_softmax(0) for one in x]
    return -sum(float(t[j] * row[j]) for t, row in zip(target, rows, strict=True) for j in range(4)) / len(rows)


def mixed(x: Tensor, alpha: float = 4.0) -> mixup.Mix:
    torch.manual_seed(11)
    return mixup.draw(len(x), alpha, x.device)


def test_pico_plus_warms_up_as_pico_before_its_prototypes(world) -> None:  # type: ignore[no-untyped-def]
    terms = []
    for kind, options in ((PiCO, {"delay": 3}), (PiCOPlus, {"warm_up": 3})):
        learner = learner_of(kind, world.annotations, **options)
        learner.contrast.queue.push(torch.eye(8)[:4], torch.tensor([0, 1, 2, 3]), torch.ones(4, dtype=torch.bool))
        torch.manual_seed(5)
        terms.append(list(step_of(learner, 2)(batch_of(world, 0, 5, 7)).values()))
        assert torch.equal(
            learner.confidence, world.annotations.candidates / world.annotations.candidates.sum(1)[:, None]
        )
    assert [term.item() for term in terms[1]] == pytest.approx([term.item() for term in terms[0]])


@pytest.mark.parametrize("joined", [False, True])
def test_pico_plus_step_against_the_loop(joined: bool, world) -> None:  # type: ignore[no-untyped-def]
    share = 0.5 if joined else 0.6
    options = {"noise_rate": 0.5, "warm_up": 2, "neighbors": 3, "neighbors_share": share, "contrast_weight": 0.4}
    learner = learner_of(PiCOPlus, world.annotations, **options)
    batch, vectors = batch_of(world, 0, 5, 7, 9, 11), learner.prototypes.vectors.clone()
    z, n = embedded(learner, batch.views[0]), 5
    learner.pseudo[:] = 0
    learner.closeness[:] = torch.linspace(1, -1, len(learner.closeness))
    learner.closeness[batch.index] = torch.tensor([0.9, -0.9, 0.8, -0.8, -0.7])
    trusted = [True, False, True, False, False]
    step = step_of(learner, 5)
    learner.contrast.start(learner.network)
    keys, mix = learner.contrast.momentum(batch.views[1]), mixed(batch.views[0])
    with torch.no_grad():
        logits = learner.network(batch.views[0])
    torch.manual_seed(11)
    terms = step(batch)
    guess = (z @ vectors.T / 0.07).softmax(1)
    target = learner.confidence[batch.index].where(torch.tensor(trusted)[:, None], guess)
    known, rest = [0, 2], [1, 3, 4]
    x = batch.views[0]
    assert terms["reliable"].item() == pytest.approx(2 * cross_entropy(learner, x[known], target[known]), rel=1e-4)
    assert terms["unreliable"].item() == pytest.approx(0.1 * cross_entropy(learner, x[rest], target[rest]), rel=1e-4)
    assert terms["mixup"].item() == pytest.approx(cross_entropy(learner, mix(x), mix(target)), rel=1e-4)
    entries, expected, everything = torch.cat([z, keys]), 0.0, 0.0
    pseudo = [
        max((j for j in range(4) if learner.candidates[i, j] or not trusted[k]), key=lambda j: float(logits[k, j]))
        for k, i in enumerate(batch.index.tolist())
    ]
    for i in range(n):
        others = [k for k in range(2 * n) if k != i]
        same = [k for k in others if pseudo[k % n] == pseudo[i]]
        if trusted[i]:
            chosen = {k for k in same if trusted[k % n]}
        else:
            chosen = set(sorted(others, key=lambda k: -float(z[i] @ entries[k]))[:2]) if joined else set()
        weight = (0.4 if trusted[i] else 0.1) if joined else 1.0
        expected += weight * loop_contrast(z[i : i + 1], entries, [sorted(chosen | {n + i})], [[i]]) / n
        everything += loop_contrast(z[i : i + 1], entries, [same], [[i]]) / n
    assert terms["contrast"].item() == pytest.approx(expected, rel=1e-3)
    assert terms["contrast_all"].item() == pytest.approx(0.1 * everything, rel=1e-3)
    assert learner.contrast.queue.clean[:n].tolist() == trusted and learner.contrast.queue.labels[:n].tolist() == pseudo


@pytest.mark.parametrize("variant", ["scale", "onehot"])
def test_alim_step_against_the_loop(world, variant: str) -> None:  # type: ignore[no-untyped-def]
    weights = {"contrast_weight": 0.3, "mixup_weight": 0.7}
    learner = learner_of(ALIM, world.annotations, variant=variant, noise_rate=0.9, **weights)
    batch, n = batch_of(world, 0, 5, 7, 9), 4
    learner.margin[:] = torch.linspace(0.1, 0.9, len(learner.margin))
    z = embedded(learner, batch.views[0])
    step = step_of(learner, 5)
    mu = learner.figures["mu"]
    assert mu == pytest.approx(0.1 + 0.8 * 216 / 239, abs=1e-4)  # entry int(0.9 * 240), from 0, of the sorted margins
    learner.contrast.start(learner.network)
    keys, mix = learner.contrast.momentum(batch.views[1]), mixed(batch.views[0])
    with torch.no_grad():
        p = learner.network(batch.views[0]).softmax(1)
    torch.manual_seed(11)
    terms, x = step(batch), batch.views[0]
    target = learner.confidence[batch.index]  # its own loop is above
    assert terms["weighted"].item() == pytest.approx(cross_entropy(learner, x, target), rel=1e-4)
    assert terms["mixup"].item() == pytest.approx(0.7 * cross_entropy(learner, mix(x), mix(target)), rel=1e-4)
    pseudo = [
        max(range(4), key=lambda j: float(p[k, j]) * (1 if learner.candidates[i, j] else mu))
        for k, i in enumerate(batch.index.tolist())
    ]
    positive = [[k for k in range(2 * n) if k != i and pseudo[k % n] == pseudo[i]] for i in range(n)]
    expected = loop_contrast(z, torch.cat([z, keys]), positive, [[i] for i in range(n)])
    assert terms["contrast"].item() == pytest.approx(0.3 * expected, rel=1e-3)


@pytest.mark.parametrize("kind", [PiCOPlus, ALIM])
def test_a_noise_rate_is_a_share(kind: type[Learner], world) -> None:  # type: ignore[no-untyped-def]
    assert learner_of(kind, world.annotations, noise_rate=0.1).noise_rate == 0.1
    assert 0 < learner_of(kind, world.annotations).noise_rate < 0.5
    for rate in (-0.1, 1.0):
        with pytest.raises(InputError, match="noise_rate"):
            learner_of(kind, world.annotations, noise_rate=rate)


def test_alim_has_two_variants(world) -> None:  # type: ignore[no-untyped-def]
    assert parse("alim", ["variant=onehot"]).learner == {"variant": "onehot"}
    with pytest.raises(InputError, match="variant is 'scale' or 'onehot'"):
        parse("alim", ["variant=scael"])
    with pytest.raises(InputError, match="variant=scael: variant is 'scale' or 'onehot'"):
        ALIM(build("mlp", 4, 12), world.annotations, variant="scael")
