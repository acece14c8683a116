"""The partial-label learners against loops written from their equations, and the orderings that theory predicts."""

from math import exp, log

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zerolabel.annotations import Annotations
from zerolabel.blocks import mixup
from zerolabel.data.views import Features
from zerolabel.errors import InputError
from zerolabel.learners import (
    ABLE,
    CAVL,
    CC,
    CRDPLL,
    DIRK,
    FREDIS,
    LWC,
    LWS,
    POP,
    PRODEN,
    RC,
    Learner,
    PaPi,
)
from zerolabel.learners.base import Batch, Epoch, Pass
from zerolabel.learners.fredis import some
from zerolabel.networks import build
from zerolabel.training import train
from zerolabel.training.settings import Settings

ALL = (ABLE, CAVL, CC, CRDPLL, DIRK, FREDIS, LWC, LWS, PRODEN, POP, PaPi, RC)
WITH_CONFIDENCE = (ABLE, CAVL, CRDPLL, FREDIS, PRODEN, POP, PaPi, RC)

every = pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)


def learner_of(kind: type[Learner], annotations: Annotations, width: int = 12, **options: object) -> Learner:
    torch.manual_seed(3)
    learner = kind(build("mlp", len(annotations.classes), width), annotations, **options)
    with torch.no_grad():  # heads start near zero: make the predictions differ
        learner.network.head.weight.mul_(20)
    return learner.train()


def batch_of(world, *index: int, views: int = 1) -> Batch:  # type: ignore[no-untyped-def]
    rows = torch.tensor(index, dtype=torch.long)
    x = world.features[rows]
    return Batch(rows, tuple(x + 0.1 * torch.randn_like(x) for _ in range(views)))


def probabilities(learner: Learner, x: Tensor) -> list[list[float]]:
    with torch.no_grad():
        return learner.network(x).double().softmax(1).tolist()


def epoch_of(learner: Learner, number: int, epochs: int = 40, p: Tensor | None = None) -> list[Pass]:
    given = torch.rand(*learner.scores.shape).softmax(1) if p is None else p
    return list(learner.passes(Epoch(number, number / epochs, lambda _: given)))


def inside(p: list[float], candidates: Tensor) -> list[float]:
    mass = sum(p[j] for j in range(len(p)) if candidates[j])
    return [p[j] / mass if candidates[j] else 0.0 for j in range(len(p))]


def uniform(candidates: Tensor) -> list[float]:
    return [1 / int(candidates.sum()) if chosen else 0.0 for chosen in candidates]


def close(value: Tensor, expected: float) -> None:
    assert value.item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def rows_close(rows: Tensor, expected: list[list[float]]) -> None:
    torch.testing.assert_close(rows, torch.tensor(expected), rtol=1e-4, atol=1e-6)


@every
def test_images_without_candidates_are_left_out(kind: type[Learner], world) -> None:  # type: ignore[no-untyped-def]
    candidates = world.annotations.candidates.clone()
    candidates[:30] = False
    learner = learner_of(kind, world.annotations.with_candidates(candidates, "union"))
    (one,) = epoch_of(learner, 0)
    assert one.groups[0].tolist() == list(range(30, len(world.truth)))


@every
def test_a_human_label_is_never_overruled(kind: type[Learner], world) -> None:  # type: ignore[no-untyped-def]
    labels = torch.full((len(world.truth),), -1)
    labels[:40] = (world.truth[:40] + 1) % 4
    annotations = world.annotations.with_labels(labels)
    learner = kind(build("mlp", 4, 12), annotations)
    list(train(learner, Features(world.features), Settings(epochs=5, batch_size=64, precision="float32", device="cpu")))
    wanted = F.one_hot(labels[:40], 4)
    assert torch.equal(learner.candidates[:40], wanted.bool())
    for name in ("confidence", "target"):
        if hasattr(learner, name):
            torch.testing.assert_close(getattr(learner, name)[:40], wanted.float())


def test_cc_is_the_mass_of_the_set(world) -> None:  # type: ignore[no-untyped-def]
    learner, batch = learner_of(CC, world.annotations), batch_of(world, 3, 8, 11)
    p = probabilities(learner, batch.views[0])
    sets = world.annotations.candidates[batch.index]
    expected = -sum(log(sum(p[i][j] for j in range(4) if sets[i, j])) for i in range(3)) / 3
    close(learner.training_step(batch)["partial"], expected)


@pytest.mark.parametrize("kind", [PRODEN, POP, RC, CAVL], ids=lambda kind: kind.__name__)
def test_the_first_visit_weighs_candidates_equally(kind: type[Learner], world) -> None:  # type: ignore[no-untyped-def]
    learner, batch = learner_of(kind, world.annotations), batch_of(world, 3, 8, 11)
    p = probabilities(learner, batch.views[0])
    c = [uniform(row) for row in world.annotations.candidates[batch.index]]
    (loss,) = learner.training_step(batch).values()
    close(loss, -sum(c[i][j] * log(p[i][j]) for i in range(3) for j in range(4)) / 3)


@pytest.mark.parametrize("kind", [PRODEN, POP], ids=lambda kind: kind.__name__)
def test_proden_follows_the_forward_pass(kind: type[Learner], world) -> None:  # type: ignore[no-untyped-def]
    learner, batch = learner_of(kind, world.annotations), batch_of(world, 3, 8, 11)
    before = learner.confidence.clone()
    p, sets = probabilities(learner, batch.views[0]), world.annotations.candidates[batch.index]
    learner.training_step(batch)
    rows_close(learner.confidence[batch.index], [inside(p[i], sets[i]) for i in range(3)])
    others = torch.ones(len(before), dtype=torch.bool).index_fill(0, batch.index, False)
    assert torch.equal(learner.confidence[others], before[others])


def test_rc_looks_at_the_batch_once_more_after_its_step(world) -> None:  # type: ignore[no-untyped-def]
    learner, batch = learner_of(RC, world.annotations), batch_of(world, 3, 8, 11)
    sets, first = world.annotations.candidates, learner.confidence.clone()
    passes = iter(learner.passes(Epoch(0, 0.0, lambda _: learner.scores)))
    one = next(passes)
    one.step(batch)
    assert torch.equal(learner.confidence, first)
    with torch.no_grad():  # the step
        learner.network.head.weight.mul_(-1)
    p, other = probabilities(learner, batch.views[0]), batch_of(world, 1, 2)
    one.step(other)
    rows_close(learner.confidence[batch.index], [inside(p[i], sets[j]) for i, j in enumerate(batch.index)])
    assert torch.equal(learner.confidence[other.index], first[other.index])
    with torch.no_grad():
        learner.network.head.weight.mul_(2)
    p = probabilities(learner, other.views[0])
    assert next(passes, None) is None  # the last batch of the pass has its look, too
    rows_close(learner.confidence[other.index], [inside(p[i], sets[j]) for i, j in enumerate(other.index)])


def test_rc_looks_in_train_mode(world) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    learner, x = RC(build("light", 4, 16), world.annotations).train(), torch.randn(2, 6, 3, 16, 16)
    learner.training_step(Batch(torch.arange(6), (x[0],)))
    by_batch = learner.network(x[0]).softmax(1).detach()
    learner.training_step(Batch(torch.arange(6, 12), (x[1],)))
    sets = world.annotations.candidates
    rows_close(learner.confidence[:6], [inside(by_batch[i].tolist(), sets[i]) for i in range(6)])


def test_cavl_takes_the_largest_activation_value_of_the_set(world) -> None:  # type: ignore[no-untyped-def]
    learner, batch = learner_of(CAVL, world.annotations), batch_of(world, *range(20))
    with torch.no_grad():
        g = learner.network(batch.views[0]).tolist()
    sets = world.annotations.candidates[batch.index]
    learner.training_step(batch)
    for i in range(20):
        values = {j: g[i][j] * abs(1 - g[i][j]) for j in range(4) if sets[i, j]}
        expected = [1.0 if j == max(values, key=values.__getitem__) else 0.0 for j in range(4)]
        assert learner.confidence[i].tolist() == expected


@pytest.mark.parametrize("kind", [LWS, LWC], ids=lambda kind: kind.__name__)
def test_leveraged_weights_are_normalized_on_each_side(kind: type[Learner], world) -> None:  # type: ignore[no-untyped-def]
    learner, batch = learner_of(kind, world.annotations, beta=2.0), batch_of(world, 3, 8, 11)
    sets = world.annotations.candidates[batch.index]
    w = [[0.25] * 4] * 3
    with torch.no_grad():
        g = learner.network(batch.views[0]).tolist()
    p, expected = probabilities(learner, batch.views[0]), 0.0
    for i in range(3):
        for j in range(4):
            sign = 1 if sets[i, j] else -1
            by_sigmoid = 1 / (1 + exp(sign * g[i][j]))
            by_log = -log(p[i][j] if sets[i, j] else 1 - p[i][j])
            expected += w[i][j] * (1 if sets[i, j] else 2) * (by_sigmoid if kind is LWS else by_log) / 3
    close(learner.training_step(batch)["leveraged"], expected)
    for i in range(3):
        after = inside(p[i], sets[i])
        if not sets[i].all():
            after = [a + b for a, b in zip(after, inside(p[i], ~sets[i]), strict=True)]
        rows_close(learner.weight[batch.index[i]], after)  # type: ignore[arg-type]


def test_crdpll_by_loops(world) -> None:  # type: ignore[no-untyped-def]
    learner, batch = learner_of(CRDPLL, world.annotations), batch_of(world, 3, 8, views=3)
    sets = world.annotations.candidates[batch.index]
    p = [probabilities(learner, x) for x in batch.views]
    (one,) = epoch_of(learner, 10, epochs=40)  # half way up the ramp
    terms = one.step(batch)
    complement = -sum(log(1 - p[0][i][j]) for i in range(2) for j in range(4) if not sets[i, j]) / 2
    close(terms["complement"], complement)
    q = [uniform(row) for row in sets]
    consistency = sum(
        q[i][j] * (log(q[i][j]) - log(p[v][i][j])) for v in range(3) for i in range(2) for j in range(4) if q[i][j]
    )
    close(terms["consistency"], 0.5 * consistency / 2)
    mean = [[(p[0][i][j] * p[1][i][j] * p[2][i][j]) ** (1 / 3) for j in range(4)] for i in range(2)]
    rows_close(learner.confidence[batch.index], [inside(mean[i], sets[i]) for i in range(2)])


def test_pop_drops_what_has_long_been_improbable(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(POP, world.annotations, warm_up=3, window=2, theta=0.2, growth=0.5)
    sets, seen = world.annotations.candidates, []

    def one_epoch(number: int, c: Tensor) -> None:
        for _ in learner.passes(Epoch(number, number / 40, lambda _: learner.scores)):
            learner.confidence.copy_(c / c.sum(1, keepdim=True))
            seen.append(learner.confidence.tolist())

    for number in range(5):  # 2 is before the warm-up's end, and the window does not divide 3
        assert torch.equal(learner.candidates, sets)
        one_epoch(number, torch.rand(len(sets), 4) ** 4 * sets)
    dropped = 0
    for i in range(len(sets)):
        mean = [(seen[3][i][j] + seen[4][i][j]) / 2 for j in range(4)]
        kept = torch.tensor([bool(sets[i, j]) and mean[j] >= 0.2 * max(mean) for j in range(4)])
        dropped += int(sets[i].sum() - kept.sum())
        assert torch.equal(learner.candidates[i], kept)
        assert learner.confidence[i].tolist() == pytest.approx(inside(mean, kept), abs=1e-5)
    assert learner.figures["dropped"] == dropped > 0 and learner.theta.item() == pytest.approx(0.2)
    for number in range(5, 13):  # nothing is left to drop: theta grows every second epoch, up to a limit
        one_epoch(number, learner.candidates.float())
        assert learner.figures["dropped"] == 0
    assert learner.theta.item() == pytest.approx(0.2 * 1.5**2)


def test_pop_needs_a_window(world) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match="window=0 is out of range; give a whole number from 1"):
        learner_of(POP, world.annotations, window=0)


def fredis_world(world, candidates: Tensor, p: Tensor, **options: object) -> FREDIS:  # type: ignore[no-untyped-def]
    learner = learner_of(FREDIS, world.annotations.with_candidates(candidates, "union"), **options)
    learner.posterior.copy_(p)
    return learner


def test_fredis_adds_what_is_close_to_the_best_and_drops_twice_as_many_that_are_far(world) -> None:  # type: ignore[no-untyped-def]
    n = len(world.truth)
    candidates = world.annotations.candidates.clone()
    candidates[0], candidates[1] = False, torch.tensor([True, True, False, False])
    p = (torch.rand(n, 4) * 5).softmax(1)
    learner = fredis_world(world, candidates, p, theta=0.02, theta_step=0.01, delta_step=0.1)
    learner.change_size = 10_000
    epoch_of(learner, 19, epochs=200)
    assert torch.equal(learner.candidates, candidates)  # not due yet
    epoch_of(learner, 20, epochs=200)
    gap = p.amax(1, keepdim=True) - p
    added = (gap < 0.02) & ~candidates & candidates.any(1, keepdim=True)
    wanted = 2 * int(added.sum())
    delta = 1.0
    while int((candidates & (gap > delta)).sum()) < wanted:
        delta -= 0.1
    expected = (candidates | added) & ~(gap > delta)
    emptied = candidates.any(1) & ~expected.any(1)
    expected[emptied] = candidates[emptied]
    assert wanted > 0 and 0.1 < delta < 0.95
    assert torch.equal(learner.candidates, expected)
    assert not learner.candidates[0].any() and bool(learner.candidates[1:].any(1).all())
    rows_close(learner.confidence[1:], [inside(p[i].tolist(), expected[i]) for i in range(1, n)])
    dropped = float((candidates & ~expected).sum())
    assert learner.figures == {"added": float((expected & ~candidates).sum()), "dropped": dropped}
    assert learner.theta.item() == pytest.approx(0.03)
    assert learner.delta.item() == pytest.approx(delta - 0.1, abs=1e-6)


def test_fredis_changes_at_most_so_many_and_shortens_its_interval(world) -> None:  # type: ignore[no-untyped-def]
    n = len(world.truth)
    candidates = F.one_hot(torch.arange(n) % 4, 4).bool()
    p = F.one_hot((torch.arange(n) + 1) % 4, 4) * 0.6 + 0.1
    learner = fredis_world(world, candidates, p)
    assert learner.change_size == n // 10
    due = []
    for number in range(1, 10):
        learner.candidates.copy_(candidates)
        epoch_of(learner, number, epochs=10)
        if not torch.equal(learner.candidates, candidates):
            due.append(number)
            assert learner.figures["added"] == n // 10
    assert due == [3, 6, 9]


@pytest.mark.parametrize("views", [1, 3])
def test_fredis_by_loops(views: int, world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(FREDIS, world.annotations, consistency=3.0, complement=0.5, temperature=2.0)
    batch, sets = batch_of(world, 3, 8, views=views), world.annotations.candidates[[3, 8]]
    with torch.no_grad():
        p = [(learner.network(x).double() / 2).softmax(1).tolist() for x in batch.views]
    terms, q = learner.training_step(batch), [uniform(row) for row in sets]
    places = [(v, i, j) for v in range(views) for i in range(2) for j in range(4)]
    divergence = sum(q[i][j] * (log(q[i][j]) - log(p[v][i][j])) for v, i, j in places if q[i][j])
    close(terms["consistency"], 3 * divergence / 2)
    close(terms["complement"], -0.5 * sum(log(1 - p[v][i][j]) for v, i, j in places if not sets[i, j]) / 2)
    mean = [[exp(sum(log(p[v][i][j]) for v in range(views)) / views) for j in range(4)] for i in range(2)]
    rows_close(learner.confidence[batch.index], [inside(mean[i], sets[i]) for i in range(2)])
    rows_close(learner.posterior[batch.index], p[0])


def test_some_entries_are_drawn_one_by_one() -> None:
    entries = torch.rand(50, 6) < 0.4
    kept = some(entries, 30)
    assert int(kept.sum()) == 30 and not bool((kept & ~entries).any())
    assert any(0 < int(after.sum()) < int(before.sum()) for before, after in zip(entries, kept, strict=True))
    assert torch.equal(some(entries, 1000), entries)


def test_dirk_learns_its_teachers_rectified_prediction(world) -> None:  # type: ignore[no-untyped-def]
    labels = torch.full((len(world.truth),), -1)
    labels[8] = 2
    learner = learner_of(DIRK, world.annotations.with_labels(labels), ema_momentum=0.5)
    (one,) = epoch_of(learner, 0)
    with torch.no_grad():
        learner.network.head.weight.mul_(0.5)
    teacher = learner.teacher.copy.network.head.weight.clone()
    live = learner.network.head.weight.detach().clone()
    batch = batch_of(world, 3, 8)
    with torch.no_grad():
        p = learner.teacher.copy.network(batch.views[0]).softmax(1)[0].tolist()
    own, sets = probabilities(learner, batch.views[0]), learner.candidates[3]
    terms = one.step(batch)
    mass = sum(p[j] for j in range(4) if sets[j])
    rest = [0.0 if sets[j] else p[j] / (1 - mass) for j in range(4)]
    lowest = min(p[j] / mass for j in range(4) if sets[j])
    a = (max(rest) / mass) / (max(rest) / mass + lowest) if max(rest) else 1.0
    t = [a * p[j] / mass if sets[j] else (1 - a) * rest[j] for j in range(4)]
    rows_close(learner.target[batch.index], [t, [0, 0, 1, 0]])
    close(terms["distillation"], (-sum(t[j] * log(own[0][j]) for j in range(4)) - log(own[1][2])) / 2)
    torch.testing.assert_close(learner.teacher.copy.network.head.weight, (teacher + live) / 2)


def test_dirk_ref_weighs_positives_by_the_likeness_of_targets(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(DIRK, world.annotations, contrast_weight=1.0, queue=4, embedding=8)
    learner.target.copy_((torch.rand(len(world.truth), 4) * 4).softmax(1))
    learner.queue.push(torch.ones(3, 8), torch.tensor([5, 20, 33]), torch.ones(3, dtype=torch.bool))
    index = torch.tensor([0, 4, 7, 9])
    weight, ignored = learner.positives(index)
    others = [*index.tolist(), *index.tolist(), 5, 20, 33, -1]
    t, sets = learner.target, learner.candidates
    for a, i in enumerate(index.tolist()):
        likeness = {}
        for b, k in enumerate(others):
            left_out = b == a or k < 0
            assert bool(ignored[a, b]) == left_out
            if not left_out and t[i].argmax() == t[k].argmax() and bool((sets[i] & sets[k]).any()):
                likeness[b] = exp(float(F.cosine_similarity(t[i], t[k], dim=0)) / 0.4)
        expected = [likeness.get(b, 0.0) / sum(likeness.values()) for b in range(len(others))]
        assert weight[a].tolist() == pytest.approx(expected, abs=1e-5)


def test_dirk_ref_begins_with_own_keys_and_a_queue(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(DIRK, world.annotations, contrast_weight=2.0, queue=6, embedding=8)
    (one,) = epoch_of(learner, 0)
    assert one.views == ("weak", "weak", "strong")
    one.step(batch_of(world, 1, 2, 3, 4, views=3))
    batch = batch_of(world, 5, 6, views=3)
    with torch.no_grad():
        keys, queries = learner.teacher(batch.views[1]).tolist(), learner.student(batch.views[2]).tolist()
    stored = learner.queue.keys[:4].tolist()
    terms, expected = one.step(batch), 0.0
    for query, key in zip(queries, keys, strict=True):
        s = [exp(sum(a * b for a, b in zip(query, other, strict=True)) / 0.07) for other in [key, *stored]]
        expected -= 2.0 * log(s[0] / sum(s)) / 2
    close(terms["contrast"], expected)
    assert learner.queue.labels.tolist() == [1, 2, 3, 4, 5, 6]


def test_able_by_loops(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(ABLE, world.annotations, contrast_weight=2.0, temperature=0.5, embedding=8)
    index = (3, 8, 11, 20)
    batch = batch_of(world, *index, views=2)
    sets, c = world.annotations.candidates[batch.index], torch.rand(4, 4)
    learner.confidence[batch.index] = c = c * sets / (c * sets).sum(1, keepdim=True)
    p = probabilities(learner, batch.views[0])
    with torch.no_grad():
        z = F.normalize(learner.projector(learner.network.features(torch.cat(batch.views))), dim=1).tolist()
    y = [max((j for j in range(4) if sets[i, j]), key=p[i].__getitem__) for i in range(4)]
    contrast = 0.0
    for a in range(8):
        s = [exp(sum(u * v for u, v in zip(z[a], z[b], strict=True)) / 0.5) for b in range(8)]
        others = sum(s) - s[a]
        for b in range(8):
            if b != a:
                contrast -= float(c[a % 4, y[b % 4]]) / y.count(y[b % 4]) * log(s[b] / others) / 8
    terms = learner.training_step(batch)
    close(terms["contrast"], 2 * contrast)
    close(terms["weighted"], -sum(float(c[i, j]) * log(p[i][j]) for i in range(4) for j in range(4)) / 4)
    rows_close(learner.confidence[batch.index], [inside(p[i], sets[i]) for i in range(4)])


def test_papi_by_loops(world) -> None:  # type: ignore[no-untyped-def]
    learner = learner_of(PaPi, world.annotations, mixup=0.0, ramp=20, embedding=8)
    (one,) = epoch_of(learner, 10, epochs=40)
    learner.prototypes.vectors.copy_(F.normalize(torch.randn(4, 8), dim=1))
    o, batch = learner.prototypes.vectors.clone(), batch_of(world, 3, 8, 11, views=2)
    sets = world.annotations.candidates[batch.index]
    p = [probabilities(learner, x) for x in batch.views]
    with torch.no_grad():
        z = [F.normalize(learner.projector(learner.network.features(x)), dim=1) for x in batch.views]
    phi = 0.95 - 0.15 / 4
    c = [
        [phi * a + (1 - phi) * b for a, b in zip(uniform(sets[i]), inside(p[0][i], sets[i]), strict=True)]
        for i in range(3)
    ]
    terms, expected = one.step(batch), 0.0
    for v in range(2):
        for i in range(3):
            s = (z[v][i] @ o.T / 0.3).softmax(0).tolist()
            expected += sum(c[i][j] * (log(c[i][j]) - log(s[j])) for j in range(4) if c[i][j]) / 3
    close(terms["prototype"], 0.5 * expected)
    close(terms["weighted"], -sum(c[i][j] * log(p[0][i][j]) for i in range(3) for j in range(4)) / 3)
    rows_close(learner.confidence[batch.index], c)
    momentum = 0.9 - 0.4 / 4
    for v in range(2):
        for i in range(3):
            y = max((j for j in range(4) if sets[i, j]), key=p[v][i].__getitem__)
            o[y] = momentum * o[y] + (1 - momentum) * z[v][i]
    torch.testing.assert_close(learner.prototypes.vectors, F.normalize(o, dim=1), rtol=1e-4, atol=1e-5)


def test_papi_mixes_images_and_both_targets(world) -> None:  # type: ignore[no-untyped-def]
    learner, batch = learner_of(PaPi, world.annotations, embedding=8), batch_of(world, 3, 8, 11, 20, views=2)
    learner.prototypes.vectors.copy_(F.normalize(torch.randn(4, 8), dim=1))
    confidence = learner.confidence[batch.index]
    torch.manual_seed(5)
    value = learner.alignment(batch, confidence)
    torch.manual_seed(5)
    share = float(torch.distributions.Beta(8.0, 8.0).sample())
    share, order = max(share, 1 - share), torch.randperm(4)
    expected = 0.0
    with torch.no_grad():
        for x in batch.views:
            z = F.normalize(learner.projector(learner.network.features(share * x + (1 - share) * x[order])), dim=1)
            log_s = (z @ learner.prototypes.vectors.T / 0.3).log_softmax(1)
            for part, rows in ((share, confidence), (1 - share, confidence[order])):
                expected += part * float(F.kl_div(log_s, rows, reduction="batchmean"))
    close(value, expected)


def test_papi_pairs_are_the_same_whichever_part_is_larger(world) -> None:  # type: ignore[no-untyped-def]
    """The paper takes a share as it is drawn; its complement, with the pairs turned round, is the same loss."""
    learner, batch = learner_of(PaPi, world.annotations, embedding=8), batch_of(world, 3, 8, 11, 20, 5, views=2)
    learner.prototypes.vectors.copy_(F.normalize(torch.randn(4, 8), dim=1))
    order, found = torch.tensor([2, 4, 1, 0, 3]), []
    for mix in (mixup.Mix(0.3, order), mixup.Mix(0.7, order.argsort())):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mixup, "draw", lambda *_, mix=mix: mix)
            found.append(learner.alignment(batch, learner.confidence[batch.index]).item())
    assert found[0] == pytest.approx(found[1], rel=1e-5)


@pytest.mark.parametrize("kind", [CC, RC, PRODEN, CAVL, POP], ids=lambda kind: kind.__name__)
def test_one_candidate_makes_it_the_cross_entropy(kind: type[Learner], world) -> None:  # type: ignore[no-untyped-def]
    one = F.one_hot(world.annotations.scores.argmax(1), 4)
    learner = learner_of(kind, world.annotations.with_candidates(one.bool(), "best"))
    batch = batch_of(world, *range(30))
    for _ in range(2):  # whatever it remembers stays that one label
        (loss,) = learner.training_step(batch).values()
        plain = F.cross_entropy(learner.network(batch.views[0]), one[:30].argmax(1))
        torch.testing.assert_close(loss, plain)


def ambiguous(n_classes: int, flip: float, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training features and sets in which each wrong class is a candidate with one probability; test rows."""
    torch.manual_seed(seed)
    truth = torch.arange(800) % n_classes
    centers = F.normalize(torch.randn(n_classes, 16), dim=1)
    x = F.normalize(centers[truth] + 0.25 * torch.randn(800, 16), dim=1)
    sets = (torch.rand(800, n_classes) < flip) | F.one_hot(truth, n_classes).bool()
    return x, sets, truth, torch.arange(800) >= 500


class Average(Learner):
    """The average-based baseline: every candidate counts the same, for good."""

    def passes(self, epoch: Epoch) -> list[Pass]:
        target = self.candidates / self.candidates.sum(1, keepdim=True)

        def step(batch: Batch) -> dict[str, Tensor]:
            p = self.network(batch.views[0]).log_softmax(1).exp()
            return {"average": (target[batch.index] * (1 - p)).sum(1).mean()}

        return [Pass(step)]


def accuracy_of(kind: type[Learner], make_annotations, flip: float, seed: int) -> float:  # type: ignore[no-untyped-def]
    x, sets, truth, test = ambiguous(8, flip, seed)
    annotations = make_annotations(torch.zeros(500, 0, dtype=torch.long), 8, candidates=sets[~test])
    torch.manual_seed(seed)
    learner = kind(build("linear", 8, 16), annotations)
    settings = Settings(epochs=15, batch_size=50, lr=0.05, precision="float32", device="cpu", seed=seed)
    list(train(learner, Features(x[~test]), settings))
    learner.eval()
    with torch.no_grad():
        return float((learner.network(x[test]).argmax(1) == truth[test]).float().mean())


def test_identifying_the_label_beats_averaging_where_sets_are_large(make_annotations) -> None:  # type: ignore[no-untyped-def]
    gain: dict[float, dict[str, float]] = {}
    for flip in (0.2, 0.7):
        mean = {
            kind.__name__: sum(accuracy_of(kind, make_annotations, flip, seed) for seed in (0, 1)) / 2
            for kind in (Average, CC, CRDPLL, PRODEN, RC)
        }
        gain[flip] = {name: value - mean["Average"] for name, value in mean.items() if name != "Average"}
    assert min(gain[0.2].values()) > -0.01  # small sets: hardly a difference
    assert max(gain[0.2].values()) < 0.05 < min(gain[0.7].values())


def test_dirk_ref_trains_and_resumes(world, tmp_path) -> None:  # type: ignore[no-untyped-def]
    def make() -> DIRK:
        torch.manual_seed(0)
        small = {"ema_momentum": 0.9, "queue": 64, "embedding": 16}
        return DIRK(build("mlp", 4, 12), world.annotations, contrast_weight=1.0, **small)

    how = Settings(epochs=10, batch_size=64, lr=0.05, precision="float32", device="cpu")
    source, learner, file = Features(world.features), make(), tmp_path / "state.safetensors"
    whole = [log.losses for log in train(learner, source, how)]
    stopped = train(make(), source, how, file)
    for _ in range(7):
        next(stopped)
    stopped.close()
    further = [log.losses for log in train(make(), source, how, file)]
    assert 0 < len(further) < 10 and further == whole[-len(further) :]
    right = torch.tensor(probabilities(learner.eval(), world.features)).argmax(1) == world.truth
    assert float(right.float().mean()) > world.annotator_accuracy + 0.05
