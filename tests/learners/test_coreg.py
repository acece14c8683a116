"""Co-Reg against loops written from its equations."""

import copy
from collections import Counter
from math import log

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zerolabel.blocks import losses, targets
from zerolabel.data.views import Features
from zerolabel.errors import InputError
from zerolabel.learners import CoReg
from zerolabel.learners.base import Batch, Epoch, Losses, Pass
from zerolabel.networks import Network, NetworkSpec, build
from zerolabel.training import loop, train
from zerolabel.training.settings import Settings

SMALL = {"warm_up": 2, "ramp": 4, "delay": 1, "queue": 16, "embedding": 8}


def learner_of(world, human: Tensor | None = None, **options: object) -> CoReg:  # type: ignore[no-untyped-def]
    torch.manual_seed(3)
    annotations = world.annotations if human is None else world.annotations.with_labels(human)
    network = build("mlp", len(annotations.classes), world.features.shape[1])
    learner = CoReg(network, annotations, **(SMALL | options))
    with torch.no_grad():  # heads start near zero: make the predictions differ
        for own in learner.networks:
            own.head.weight.mul_(20)
    learner.prototypes.vectors.copy_(F.normalize(torch.randn_like(learner.prototypes.vectors), dim=1))
    return learner.train()


def batch_of(world, *index: int) -> Batch:  # type: ignore[no-untyped-def]
    rows = torch.tensor(index, dtype=torch.long)
    x = world.features[rows]
    return Batch(rows, tuple(x + 0.1 * torch.randn_like(x) for _ in range(4)))


def human_of(world, **given: int) -> Tensor:  # type: ignore[no-untyped-def]
    human = torch.full((len(world.truth),), -1)
    for place, label in given.items():
        human[int(place.removeprefix("at"))] = label
    return human


def softmax(network, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
    with torch.no_grad():
        return network(x[None]).softmax(1)[0]


def step(learner: CoReg, trusted: Batch, rest: Batch, since: int = 5) -> tuple[Losses, dict[str, Tensor]]:
    """One step of the first network; what it handed to its consistency losses comes too."""
    seen: dict[str, Tensor] = {}
    original = CoReg.consistency

    def spy(own, side, x, target, clean, since):  # type: ignore[no-untyped-def]
        seen.update(x=x, target=target, clean=clean)
        return original(learner, own, side, x, target, clean, since)

    learner.consistency = spy  # type: ignore[method-assign]
    n, c = learner.candidates.shape
    torch.manual_seed(11)
    w, restricted = torch.rand(n), targets.restrict(torch.rand(n, c), learner.candidates)
    tilts = (torch.rand(c) + 0.5, torch.rand(c) + 0.5)
    terms = learner.co_step(learner.network, learner.side, learner.peer, w, restricted, tilts, since, trusted, rest)
    return terms, {**seen, "w": w, "restricted": restricted, "own_tilt": tilts[0], "peer_tilt": tilts[1]}


@pytest.mark.parametrize(("together", "aligned"), [(True, False), (False, False), (True, True), (False, True)])
def test_targets_against_the_loop(world, together: bool, aligned: bool) -> None:  # type: ignore[no-untyped-def]
    human = human_of(world, at1=3, at6=2)
    learner = learner_of(world, human, co_pseudo_labels=together, align_batches=aligned)
    trusted, rest = batch_of(world, 0, 1, 2, 3), batch_of(world, 4, 5, 6)
    _, seen = step(learner, trusted, rest)
    expected = []
    for batch, partial in ((trusted, True), (rest, False)):
        for row, i in enumerate(batch.index.tolist()):
            own = sum(softmax(learner.network, view[row]) for view in batch.views[:2]) / 2
            peer = sum(softmax(learner.peer, view[row]) for view in batch.views[:2]) / 2
            if aligned:
                own, peer = own * seen["own_tilt"], peer * seen["peer_tilt"]
                own, peer = own / own.sum(), peer / peer.sum()
            if partial:
                p = seen["w"][i] * seen["restricted"][i] + (1 - seen["w"][i]) * own
            else:
                p = (own + peer) / 2 if together else own
            t = p**2 / (p**2).sum()
            if learner.labels[i] >= 0:
                t = torch.eye(4)[int(learner.labels[i])]
            expected.append(t)
    torch.testing.assert_close(seen["target"], torch.stack(expected + expected), rtol=1e-4, atol=1e-6)
    assert seen["clean"].tolist() == [True] * 4 + [False, False, True] + [True] * 4 + [False, False, True]
    assert torch.equal(seen["x"], torch.cat([trusted.views[2], rest.views[2], trusted.views[3], rest.views[3]]))


def test_a_step_moves_the_own_network_alone_and_no_target_has_a_gradient(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(world)
    terms, seen = step(learner, batch_of(world, 0, 1), batch_of(world, 2, 3))
    assert set(terms) == {"consistency", "unlabeled", "prototype", "contrast"}
    sum(terms.values()).backward()
    assert not seen["target"].requires_grad
    assert all(p.grad is not None for p in [*learner.network.parameters(), *learner.side.projector.parameters()])
    assert all(p.grad is None for p in [*learner.peer.parameters(), *learner.peer_side.parameters()])
    assert all(p.grad is None for p in learner.side.momentum.parameters())


@pytest.mark.parametrize("mixup", [0.0, 4.0])
@pytest.mark.parametrize(("released", "ramp"), [(True, 2.25 / 8), (False, 3 / 8)])
def test_consistency_and_prototypes_against_the_loop(world, mixup: float, released: bool, ramp: float) -> None:  # type: ignore[no-untyped-def]
    printed = {} if released else {"squared_error": "sum", "ramp_by": "epoch"}
    learner = learner_of(world, mixup=mixup, ramp=8, prototype_weight=0.3, unlabeled_weight=0.7, **printed)
    classes = 4 if released else 1
    x, t = world.features[:10], torch.randn(10, 4).softmax(1)
    clean = torch.arange(10) % 5 < 3
    torch.manual_seed(7)
    terms = learner.consistency(learner.network, learner.side, x, t, clean, 2.25)
    torch.manual_seed(7)
    share = float(torch.distributions.Beta(mixup, mixup).sample()) if mixup else 1.0
    share, order = max(share, 1 - share), torch.randperm(10)
    label, square, align = [], [], {True: [], False: []}
    for i in range(10):
        j = int(order[i])
        mixed, goal = share * x[i] + (1 - share) * x[j], share * t[i] + (1 - share) * t[j]
        p = softmax(learner.network, mixed)
        with torch.no_grad():
            z = learner.side.projector(learner.network.features(mixed[None]))[0]
            s = ((z / z.norm()) @ learner.prototypes.vectors.T / 0.3).softmax(0)
        if clean[i]:
            label.append(-sum(float(goal[c]) * log(float(p[c])) for c in range(4)))
        else:
            square.append(sum((float(p[c]) - float(goal[c])) ** 2 for c in range(4)) / classes)
        one = 0.0
        for weight, aim in ((share, t[i]), (1 - share, t[j])):
            if clean[i]:
                one += weight * sum(float(aim[c]) * (log(float(aim[c])) - log(float(s[c]))) for c in range(4))
            else:
                one += weight * 0.7 * sum((float(s[c]) - float(aim[c])) ** 2 for c in range(4)) / classes
        align[bool(clean[i])].append(one)
    mean = {k: sum(v) / len(v) for k, v in align.items()}
    assert terms["consistency"].item() == pytest.approx(sum(label) / len(label), rel=1e-4)
    assert terms["unlabeled"].item() == pytest.approx(0.7 * ramp * sum(square) / len(square), rel=1e-4)
    assert terms["prototype"].item() == pytest.approx(0.3 * (mean[True] + mean[False]), rel=1e-4)


@pytest.mark.parametrize("kind", ["noisy", "supervised"])
@pytest.mark.parametrize("written", [0, 4, 12])
def test_contrast_against_the_loop(world, kind: str, written: int) -> None:  # type: ignore[no-untyped-def]
    learner, n, d = learner_of(world, contrast=kind, queue=9), 6, 8
    queue = learner.side.queue
    queue.push(F.normalize(torch.randn(written, d), dim=1), torch.randint(0, 3, (written,)), torch.rand(written) < 0.5)
    queries, keys = (F.normalize(torch.randn(n, d), dim=1) for _ in range(2))
    pseudo, clean = torch.tensor([0, 0, 1, 0, 1, 2]), torch.tensor([True, True, True, False, False, False])
    entries = [("query", j, queries[j], int(pseudo[j]), bool(clean[j])) for j in range(n)]
    entries += [("key", j, keys[j], int(pseudo[j]), bool(clean[j])) for j in range(n)]
    entries += [
        ("queue", j, queue.keys[j], int(queue.labels[j]), bool(queue.clean[j]))
        for j in range(9)
        if queue.labels[j] >= 0
    ]
    total = 0.0
    for i in range(n):
        positive, denominator = [], []
        for origin, j, z, label, trusted in entries:
            if origin == "query" and j == i:
                continue
            s = float(queries[i] @ z) / 0.07
            own_key, same = origin == "key" and j == i, label == int(pseudo[i])
            both = (bool(clean[i]) and trusted) or kind == "supervised"
            if own_key or (same and both):
                positive.append(s)
            if own_key or not same or both:
                denominator.append(s)
        bottom = float(torch.tensor(denominator, dtype=torch.float64).logsumexp(0))
        total += -sum(s - bottom for s in positive) / len(positive) / n
    side = learner.side
    pairs = side.same_label(pseudo) if kind == "supervised" else side.trusted_label(pseudo, clean)
    value = losses.supervised_contrastive(side.similarity(queries, keys) / 0.07, *pairs)
    assert value.item() == pytest.approx(total, rel=1e-4)


def test_a_step_fills_the_queue_and_moves_the_prototypes_of_the_partial_split(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(world)
    before = learner.prototypes.vectors.clone()
    trusted, rest = batch_of(world, 0, 1), batch_of(world, 2, 3, 4)
    _, seen = step(learner, trusted, rest)
    pseudo = seen["target"][:5].argmax(1)
    queue = learner.side.queue
    assert queue.labels[:5].tolist() == pseudo.tolist() and queue.labels[5:].eq(-1).all()
    assert queue.clean[:5].tolist() == [True, True, False, False, False]
    with torch.no_grad():
        learner.side.momentum.eval()
        keys = learner.side.momentum(torch.cat([trusted.views[3], rest.views[3]]))
    torch.testing.assert_close(queue.keys[:5], keys)
    moved = (learner.prototypes.vectors != before).any(1)
    assert moved.nonzero().squeeze(1).tolist() == sorted(set(pseudo[:2].tolist()))


def test_the_last_two_losses_join_after_the_delay(world) -> None:  # type: ignore[no-untyped-def]
    for since, names in (
        (1, {"consistency", "unlabeled"}),
        (2, {"consistency", "unlabeled", "prototype", "contrast"}),
    ):
        terms, _ = step(learner_of(world), batch_of(world, 0, 1), batch_of(world, 2), since)
        assert set(terms) == names


def test_warm_up_term_by_term(world) -> None:  # type: ignore[no-untyped-def]
    learner, batch = learner_of(world), batch_of(world, 0, 1, 2)
    learner.candidates[2] = True  # all classes: teaches nothing but entropy, and does not count
    terms = learner.warm_up_step(learner.peer, batch)
    partial = entropy = 0.0
    for row, i in enumerate((0, 1, 2)):
        p = softmax(learner.peer, batch.views[0][row])
        if i != 2:
            partial += -log(sum(float(p[c]) for c in range(4) if learner.candidates[i, c]) + 1e-5) / 2
        torch.testing.assert_close(learner.peer_side.table[i], p)
        entropy += sum(float(q) * log(float(q)) for q in p) / 3
    assert terms["warm_up"].item() == pytest.approx(partial, rel=1e-4)
    assert terms["entropy"].item() == pytest.approx(entropy, rel=1e-4)
    assert bool((learner.side.table == 0.25).all()) and bool((learner.peer_side.table[3:] == 0.25).all())


def epoch_of(learner: CoReg, number: int, p_a: Tensor, p_b: Tensor) -> Epoch:
    return Epoch(number, 0.0, lambda network: p_a if network is learner.network else p_b)


def test_warm_up_passes_train_each_network_alone(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(world)
    learner.candidates[:5] = False
    p = torch.full((len(world.truth), 4), 0.25)
    passes = list(learner.passes(epoch_of(learner, 1, p, p)))
    assert [one.step.args[0] for one in passes] == [learner.network, learner.peer]
    for one in passes:
        assert one.batches == 2 and one.views == ("strong",)
        assert one.groups[0].tolist() == list(range(5, len(world.truth)))


@pytest.mark.parametrize("exchange", [True, False])
def test_divisions_are_exchanged(world, exchange: bool) -> None:  # type: ignore[no-untyped-def]
    learner, reference = (learner_of(world, co_pseudo_labels=exchange) for _ in range(2))
    calls: list[tuple[object, ...]] = []
    learner.co_step = lambda *arguments: calls.append(arguments) or {}  # type: ignore[method-assign]
    p_a, p_b = (torch.randn(len(world.truth), 4).mul(3).softmax(1) for _ in range(2))
    passes: list[Pass] = []
    for one in learner.passes(epoch_of(learner, 4, p_a, p_b)):
        one.step("trusted", "rest")
        passes.append(one)
    q_a, q_b = reference.score(p_a, reference.side), reference.score(p_b, reference.peer_side)
    w_a, w_b = reference.divide(q_a, reference.side), reference.divide(q_b, reference.peer_side)
    assert not torch.equal(w_a, w_b)
    used = ((w_b, q_b), (w_a, q_a)) if exchange else ((w_a, q_a), (w_b, q_b))
    owners = ((learner.network, learner.peer), (learner.peer, learner.network))
    for call, one, (w, q), (own, peer) in zip(calls, passes, used, owners, strict=True):
        assert call[0] is own and call[2] is peer and call[6:] == (2, "trusted", "rest")
        tilts = [0.25 / (p_a if network is learner.network else p_b).mean(0) for network in (own, peer)]
        torch.testing.assert_close(call[5], tuple(tilts))
        assert torch.equal(call[3], w)
        torch.testing.assert_close(call[4], targets.restrict(q, learner.candidates))
        assert torch.equal(one.groups[0], (w > 0.5).nonzero().squeeze(1))
    assert learner.figures["partial_a"] == float((w_a > 0.5).sum())


def test_momentum_copies_start_each_epoch_at_the_live_weights(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(world)
    p = torch.randn(len(world.truth), 4).softmax(1)
    for _ in learner.passes(epoch_of(learner, 4, p, p)):
        with torch.no_grad():  # what training between the passes does
            learner.peer.head.bias.add_(1)
    assert torch.equal(learner.peer_side.momentum.copy.network.head.bias, learner.peer.head.bias - 1)
    assert torch.equal(learner.side.momentum.copy.network.head.weight, learner.network.head.weight)


def test_division_against_the_loop(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(world, human_of(world, at7=0), history=2)
    learner.candidates[3] = False
    rows, n = [i for i in range(len(world.truth)) if i != 3], len(world.truth)
    past: list[list[float]] = []
    for _ in range(3):
        p = torch.randn(n, 4).mul(2).softmax(1)
        w = learner.divide(p, learner.side)
        loss = [-log(max(float(p[i, c]) for c in range(4) if learner.candidates[i, c])) for i in rows]
        past.append([(value - min(loss)) / (max(loss) - min(loss)) for value in loss])
        mean = torch.tensor(past[-2:]).mean(0)
        expected = targets.split_clean(mean)
        expected[rows.index(7)] = 1
        torch.testing.assert_close(w[rows], expected, rtol=1e-3, atol=1e-4)
        assert float(w[3]) == 0, "an unlabeled image is never in the partial split"


def test_groups_when_the_mixture_trusts_all_or_none(world) -> None:  # type: ignore[no-untyped-def]
    learner, n = learner_of(world), len(world.truth)
    everything = list(range(n))
    trusted, rest = learner.groups(torch.ones(n))
    assert trusted.tolist() == everything and rest.tolist() == []
    trusted, rest = learner.groups(torch.zeros(n))
    assert trusted.tolist() == [] and rest.tolist() == everything
    for empty in (batch_of(world), batch_of(world, 0)):
        for other in (batch_of(world, 1, 2), batch_of(world, 3)):
            for pair in ((empty, other), (other, empty)):
                terms, _ = step(learner, *pair)
                total = sum(terms.values())
                total.backward()
                assert bool(total.isfinite())
    assert all(bool(p.grad.isfinite().all()) for p in learner.network.parameters())


def test_without_the_unlabeled_split_the_rest_is_dropped(world) -> None:  # type: ignore[no-untyped-def]
    n = len(world.truth)
    w = (torch.arange(n) % 2).float()
    full, dropped = learner_of(world).groups(w), learner_of(world, unlabeled_split=False).groups(w)
    assert torch.equal(full[0], dropped[0]) and len(dropped[1]) == 0 and len(full[1]) == n // 2


@pytest.mark.parametrize("n_human", [1, 10, 60])
@pytest.mark.parametrize("n_rest", [0, 1, 5, 40, 150])
@pytest.mark.parametrize("unlabeled_split", [True, False])
def test_no_image_is_drawn_more_often_than_a_human_label(  # type: ignore[no-untyped-def]
    world, n_human: int, n_rest: int, unlabeled_split: bool
) -> None:
    n = len(world.truth)
    human = torch.full((n,), -1)
    human[:n_human] = world.truth[:n_human]
    learner = learner_of(world, human, unlabeled_split=unlabeled_split)
    w = torch.ones(n)
    w[n - n_rest :] = 0
    drawn = Counter(
        i
        for groups in loop.index_batches(Pass(print, learner.groups(w)), n, 16)
        for group in groups
        for i in group.tolist()
    )
    assert min(drawn[i] for i in range(n_human)) >= max(drawn[i] for i in range(n_human, n))


@pytest.mark.parametrize(
    ("option", "changed"),
    [
        ({"contrast": "supervised"}, {"contrast"}),
        ({"prototype_weight": 0.0}, {"prototype"}),
        ({"contrast_weight": 0.2}, {"contrast"}),
    ],
)
def test_switches_change_what_they_say_and_nothing_else(world, option: dict[str, object], changed: set[str]) -> None:  # type: ignore[no-untyped-def]
    results = []
    for options in ({}, option):
        learner = learner_of(world, **options)
        torch.manual_seed(5)
        batches = batch_of(world, *range(12)), batch_of(world, *range(12, 24))
        results.append(step(learner, *batches)[0])
    full, other = results
    for name in full:
        same = name in other and torch.equal(full[name], other[name])
        assert same == (name not in changed), name


def test_alignment_to_the_prior(world) -> None:  # type: ignore[no-untyped-def]
    p = torch.randn(len(world.truth), 4).softmax(1)
    given = (0.1, 0.2, 0.3, 0.4)
    priors = {"uniform": torch.full((4,), 0.25), given: torch.tensor(given)}
    priors["estimated"] = targets.class_prior(world.annotations.scores, "estimated")
    for prior, vector in priors.items():
        torch.testing.assert_close(learner_of(world, prior=prior).score(p), targets.align(p, vector))
    assert torch.equal(learner_of(world, prior="none").score(p), p)
    aligned = p
    for _ in range(50):
        aligned = learner_of(world, prior=given).score(aligned)
    torch.testing.assert_close(aligned.mean(0), torch.tensor(given), atol=1e-3, rtol=0)


def test_running_alignment_by_hand() -> None:
    """Three images, two looked at together; the table begins uniform."""
    p, table = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), torch.full((3, 2), 0.5)
    # means of the table: (0.9 + 0.6 + 0.5) / 3 = 2/3 for the first batch, (0.9 + 0.6 + 0.2) / 3 = 17/30 for the second
    expected = torch.tensor([[0.9 * 1 / 3, 0.1 * 2 / 3], [0.6 * 1 / 3, 0.4 * 2 / 3], [0.2 * 13 / 30, 0.8 * 17 / 30]])
    expected /= expected.sum(1, keepdim=True)
    torch.testing.assert_close(targets.align_running(p, table, torch.full((2,), 0.5), 2), expected)
    torch.testing.assert_close(targets.align_running(p, p, torch.ones(2), 1), targets.align(p, torch.full((2,), 0.5)))
    torch.testing.assert_close(targets.align_running(p, table, torch.ones(2), 3), targets.align(p, torch.ones(2)))
    assert targets.align_running(p[:0], table[:0], torch.ones(2), 2).shape == (0, 2)


def test_a_side_remembers_its_predictions_where_alignment_runs(world) -> None:  # type: ignore[no-untyped-def]
    p = torch.randn(len(world.truth), 4).softmax(1)
    running, whole = learner_of(world, alignment_batch=100), learner_of(world, alignment="whole")
    expected = targets.align_running(p, running.side.table, running.prior, 100)
    torch.testing.assert_close(running.score(p, running.side), expected)
    assert torch.equal(running.side.table, p) and bool((running.peer_side.table == 0.25).all())
    torch.testing.assert_close(running.score(p, running.side), targets.align(p, running.prior))
    torch.testing.assert_close(whole.score(p, whole.side), targets.align(p, whole.prior))
    with pytest.raises(InputError, match="alignment_batch"):
        learner_of(world, alignment_batch=0)


class Watched(torch.nn.Module):
    """A backbone that notes how many images it sees at a time and in which mode; it ends in batch normalization."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(inputs, 6), torch.nn.BatchNorm1d(6))
        self.seen: list[tuple[int, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append((len(x), self.training))
        answer: Tensor = self.layers(x)
        return answer


@pytest.mark.parametrize(
    ("how", "since", "passes"),
    [
        ("separate", 5, [3, 3, 4, 4, 14, 7]),
        ("separate", 1, [3, 3, 4, 4, 14, 7]),
        ("joint", 5, [14, 14, 7]),
        ("joint", 1, [14, 14]),
    ],
)
def test_forward_passes_of_one_step(world, how: str, since: int, passes: list[int]) -> None:  # type: ignore[no-untyped-def]
    """Unlabeled, then partial views one by one; the mix; the queries, in the code's way also before they count."""
    network = Network(Watched(12), 6, NetworkSpec("linear", 4, 12), pretrained=True)
    learner = CoReg(network, world.annotations, labeling=how, **SMALL).train()
    trusted, rest = batch_of(world, 0, 1, 2, 3), batch_of(world, 4, 5, 6)
    step(learner, trusted, rest, since)
    assert learner.network.backbone.seen == [(n, True) for n in passes]
    assert learner.peer.backbone.seen == [(6, False)]
    assert learner.side.momentum.copy.network.backbone.seen == [(7, True)]


def test_own_labels_come_from_the_statistics_of_each_view_and_split(world) -> None:  # type: ignore[no-untyped-def]
    network = Network(Watched(12), 6, NetworkSpec("linear", 4, 12), pretrained=True)
    learner = CoReg(network, world.annotations, **SMALL).train()
    with torch.no_grad():
        learner.network.head.weight.normal_(std=3)
    trusted, rest = batch_of(world, 0, 1, 2, 3), batch_of(world, 4, 5, 6)
    before = copy.deepcopy(learner.network)
    _, seen = step(learner, trusted, rest)

    def predicted(x: Tensor) -> Tensor:
        linear, norm = before.backbone.layers
        h = linear(x)
        h = (h - h.mean(0)) / (h.var(0, unbiased=False) + norm.eps).sqrt()
        return before.head(h).softmax(1)

    own = sum(predicted(view) for view in trusted.views[:2]) / 2
    w = seen["w"][:4, None]
    t = (w * seen["restricted"][:4] + (1 - w) * own) ** 2
    torch.testing.assert_close(seen["target"][:4], (t / t.sum(1, keepdim=True)).detach(), rtol=1e-4, atol=1e-5)


def test_the_two_networks_start_apart(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(world)
    assert not torch.equal(learner.network.head.weight, learner.peer.head.weight)
    assert learner.networks == (learner.network, learner.peer)


def test_balance_draws_every_class_as_often(make_annotations) -> None:  # type: ignore[no-untyped-def]
    votes = torch.tensor([0] * 16 + [1] * 4 + [2] * 2)[:, None]
    labels = torch.full((22,), -1)
    labels[0] = 2  # a person overrules the annotators
    learner = CoReg(build("mlp", 3, 5), make_annotations(votes, 3, labels=labels), balance=1.0, queue=8)
    (warm_up, _) = learner.passes(Epoch(0, 0.0, lambda network: torch.zeros(22, 3)))
    drawn = warm_up.groups[0]
    assert torch.bincount(torch.where(learner.labels >= 0, learner.labels, votes[:, 0])[drawn]).tolist() == [15, 16, 15]
    trusted, rest = learner.groups((torch.arange(22) < 20).float())
    assert sorted(set(trusted.tolist())) == list(range(20)) and rest.tolist() == [20, 21, 0]
    assert int((trusted == 17).sum()) == 4 and int((trusted == 1).sum()) == 1


def test_in_warm_up_candidates_weigh_as_much_as_their_scores(world) -> None:  # type: ignore[no-untyped-def]
    learner, batch = learner_of(world, evidence="scores"), batch_of(world, 0, 1, 2)
    terms, expected = learner.warm_up_step(learner.network, batch), 0.0
    for row, i in enumerate(batch.index.tolist()):
        p = softmax(learner.network, batch.views[0][row])
        inside = [c for c in range(4) if learner.candidates[i, c]]
        total = sum(float(learner.scores[i, c]) for c in inside)
        expected -= log(sum(float(learner.scores[i, c]) / total * float(p[c]) for c in inside)) / 3
    assert terms["warm_up"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("evidence", "separated"), [("scores", True), ("sets", False)])
def test_scores_tell_classes_apart_that_always_come_together(evidence: str, separated: bool, make_annotations) -> None:  # type: ignore[no-untyped-def]
    """Three annotators are right; two name the other of two classes, so that both are candidates of each image."""
    truth = torch.arange(360) % 3
    votes = torch.stack([truth] * 3 + [torch.where(truth < 2, 1 - truth, truth)] * 2, 1)
    features = F.normalize(torch.eye(3)[truth].repeat(1, 4) + 0.4 * torch.randn(360, 12), dim=1)
    learner = CoReg(build("linear", 3, 12), make_annotations(votes, 3), **(SMALL | {"evidence": evidence}))
    for _ in train(learner, Features(features), Settings(epochs=6, batch_size=32, lr=0.1, device="cpu")):
        pass
    with torch.no_grad():
        right = learner.network(features).argmax(1) == truth
    assert (min(float(right[truth == c].float().mean()) for c in range(3)) > 0.9) == separated
