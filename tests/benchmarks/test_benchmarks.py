"""The plain loop is the same algorithm as the learner, and the benchmark measures what it says."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from benchmarks import plain_coreg, training_speed
from benchmarks.plain_coreg import PRINTED, PlainCoReg
from benchmarks.training_speed import Case, Product, digits
from zerolabel.blocks import targets
from zerolabel.data.views import Pixels, Preprocess
from zerolabel.learners.base import Batch, Losses
from zerolabel.learners.coreg import CoReg
from zerolabel.networks import build
from zerolabel.networks.compiled import compiled

N, CLASSES, P, U, LATE = 48, 10, 12, 12, 30
HALF = (0.5, 0.5, 0.5)


def without_batch_statistics(module: nn.Module) -> None:
    """Replace batch by group normalization: then the separate forward calls of the plain loop see the same."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.GroupNorm(4, child.num_features))


@pytest.fixture
def learner() -> CoReg:
    annotations, _ = digits(N, 16)
    made = CoReg(build("light", CLASSES, 16), annotations, embedding=16, queue=40, **PRINTED)
    without_batch_statistics(made)
    for network in made.networks:  # so that predictions differ from image to image
        nn.init.normal_(network.head.weight, std=0.3)
    return made


@pytest.fixture
def plain(learner: CoReg) -> PlainCoReg:
    pairs = [(learner.network, learner.side.projector), (learner.peer, learner.peer_side.projector)]
    return PlainCoReg(pairs, learner.candidates, queue=40, lr=0.1)


def views(index: Tensor) -> tuple[Tensor, ...]:
    _, pixels = digits(N, 16)
    return Pixels(pixels, Preprocess(16, HALF, HALF), flip=False).views(("weak", "weak", "strong", "strong"), index)


def step_of(learner: CoReg, optimizer: torch.optim.Optimizer, step: Callable[[], Losses]) -> dict[str, float]:
    terms = step()
    optimizer.zero_grad()
    torch.stack(list(terms.values())).sum().backward()
    optimizer.step()
    return {name: float(term.detach()) for name, term in terms.items()}


def make_optimizer(learner: CoReg) -> torch.optim.Optimizer:
    return torch.optim.SGD([p for p in learner.parameters() if p.requires_grad], 0.1, momentum=0.9, weight_decay=5e-4)


@pytest.mark.parametrize("since", [0, LATE])
def test_plain_loop_takes_the_same_steps_as_the_learner(learner: CoReg, plain: PlainCoReg, since: int) -> None:
    optimizer = make_optimizer(learner)
    p = torch.rand(N, CLASSES).softmax(1)
    w = torch.rand(N)
    for turn in range(3):
        order = torch.randperm(N)
        index, rest = order[:P], order[P : P + U]
        x, u = views(index), views(rest)
        a, b = (learner.network, learner.side), (learner.peer, learner.peer_side)
        (own, side), (peer, _) = (a, b) if turn < 2 else (b, a)
        plain_own, plain_peer = (plain.a, plain.b) if turn < 2 else (plain.b, plain.a)
        torch.manual_seed(turn)
        restricted = targets.restrict(p, learner.candidates)
        batches, even = (Batch(index, x), Batch(rest, u)), torch.ones(CLASSES)
        vectorized = step_of(
            learner,
            optimizer,
            lambda own=own, side=side, peer=peer, r=restricted, b=batches, even=even: learner.co_step(
                own, side, peer, w, r, (even, even), since, *b
            ),
        )
        torch.manual_seed(turn)
        splits = (index, list(x)), (rest, list(u))
        terms = plain.co_step(plain_own, plain_peer, w, plain.restrict(p), since, *splits)
        plain.update(terms)
        assert (
            set(terms)
            == set(vectorized)
            == {"consistency", "unlabeled"} | ({"prototype", "contrast"} if since else set())
        )
        for name, value in vectorized.items():
            assert float(terms[name].detach()) == pytest.approx(value, rel=2e-4), (turn, name)
    for side, plain_side in ((learner.side, plain.a), (learner.peer_side, plain.b)):
        close(side.queue.keys, plain_side.keys)
        assert torch.equal(side.queue.labels, plain_side.labels) and torch.equal(side.queue.clean, plain_side.clean)
        for ours, theirs in zip(side.projector.parameters(), plain_side.projector.parameters(), strict=True):
            close(ours, theirs)
    close(learner.prototypes.vectors, plain.prototypes)
    for network, plain_side in ((learner.network, plain.a), (learner.peer, plain.b)):
        for ours, theirs in zip(network.parameters(), plain_side.network.parameters(), strict=True):
            close(ours, theirs)


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-3, atol=1e-4)


def test_plain_loop_warms_up_the_same(learner: CoReg, plain: PlainCoReg) -> None:
    index = torch.randperm(N)[:16]
    x = views(index)[2]
    ours = learner.warm_up_step(learner.network, Batch(index, (x,)))
    theirs = plain.warm_up_step(plain.a, index, x)
    assert {k: float(v) for k, v in theirs.items()} == pytest.approx({k: float(v) for k, v in ours.items()}, rel=1e-4)
    for terms in (ours, theirs):
        torch.stack(list(terms.values())).sum().backward()
    for one, other in zip(learner.network.parameters(), plain.a.network.parameters(), strict=True):
        close(one.grad, other.grad)  # type: ignore[arg-type]


def test_plain_loop_divides_the_same(learner: CoReg, plain: PlainCoReg) -> None:
    for _ in range(6):  # longer than the history
        p = (3 * torch.randn(N, CLASSES)).softmax(1)
        close(learner.score(p), plain.align(p))
        close(learner.divide(p, learner.side), plain.divide(plain.a, p))


def test_plain_views_are_images_of_the_same_shape_and_vary() -> None:
    _, pixels = digits(60, 32)
    images = [image.astype("float32") / 255 for image in pixels]
    for make in (plain_coreg.weak, plain_coreg.strong):
        made = torch.stack([make(image) for image in images])
        assert made.shape == (60, 3, 32, 32) and made.dtype == torch.float32
        assert float(made.min()) >= -1 and float(made.max()) <= 1
        assert len({bytes(make(images[0]).numpy()) for _ in range(9)}) > 3
    drawn = (torch.stack([plain_coreg.strong(images[0]) for _ in range(400)]) == 0).float().mean(0)[0]
    assert 0.01 < float(drawn.mean()) < 0.25, "a square of at most a quarter of the image is erased"


TINY = Case("light", 6, "float32", steps=2, repeats=1, plain=True, queue=16, size=16)


def test_record_repeats_the_networks_of_an_epoch_and_nothing_else() -> None:
    product = Product(TINY)
    steps = [calls for calls in product.record.steps if calls]
    assert len(steps) == product.steps == 4
    backbones = {id(network.backbone) for network in product.learner.networks}
    with_gradient = [call for call in steps[0] if call.gradient is not None]
    # a network is called with gradient on the mixed strong views (4 blocks of 6) and on the queries (2 blocks)
    assert [len(call.x) for call in with_gradient if id(call.module) in backbones] == [24, 12]
    # scoring of both networks on 24 images comes before the first step; weak views, peer and momentum copy follow
    without = [len(call.x) for call in steps[0] if not call.grad and id(call.module) in backbones]
    assert without == [24, 24, 24, 12]
    before = deepcopy([p.detach() for p in product.learner.parameters()])
    product.networks_alone()
    assert all(torch.equal(old, new) for old, new in zip(before, product.learner.parameters(), strict=True))


def test_repeated_calls_give_the_gradient_of_the_step() -> None:
    product = Product(TINY)
    weight = product.learner.network.backbone[0].weight
    with product.recording():
        product.record.steps = [[]]
        seen: list[Tensor] = []
        handle = weight.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.clone()))
        kept = weight.detach().clone()
        product.optimizer.optimizer.param_groups[0]["lr"] = 0.0
        product.epoch()
    assert torch.equal(weight, kept), "with a rate of zero the recorded weights are those of the repetition"
    first = len(seen)
    product.networks_alone()
    handle.remove()
    assert first == len(seen) - first > 0
    torch.testing.assert_close(seen[0], seen[first], rtol=1e-3, atol=1e-6)


def test_command_prints_a_table_and_writes_what_it_measured(tmp_path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(training_speed, "cases", lambda steps, repeats, batches: [TINY])
    out = tmp_path / "new" / "speed.json"
    training_speed.main(["--steps", "2", "--out", str(out)])
    report = json.loads(out.read_text())
    assert report["command"] == f"python -m benchmarks.training_speed --steps 2 --out {out}"
    assert report["hardware"]["torch"] == torch.__version__ and report["date"]
    (one,) = report["results"]
    for clock in ("wall", "processor"):
        of = one[clock]
        ((whole,), (networks,), (plain,)) = (of["seconds"][name] for name in ("epoch", "networks", "plain"))
        assert of["share_outside_networks"] == pytest.approx(1 - networks / whole)
        assert of["times_faster_than_plain"] == pytest.approx(plain / whole)
        assert of["steps_per_second"] == pytest.approx(4 / whole) == pytest.approx(1 / of["seconds_per_step"])
    printed = capsys.readouterr().out
    assert "6 + 6" in printed and f"{one['processor']['share_outside_networks']:.1%}" in printed


def test_compiled_networks_are_compared_with_the_same_networks_as_they_are(tmp_path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    tiny = replace(TINY, plain=False, compiled=True)
    monkeypatch.setattr(training_speed, "compiled_cases", lambda steps, repeats, batches: [tiny])
    monkeypatch.setattr(training_speed, "compiled", partial(compiled, backend="eager"))
    out = tmp_path / "compiled.json"
    training_speed.main(["--compiled", "--out", str(out)])
    (one,) = json.loads(out.read_text())["results"]
    for clock in ("wall", "processor"):
        ((as_it_is,), (other,)) = (one[clock]["seconds"][name] for name in ("epoch", "compiled"))
        assert one[clock]["times_faster_compiled"] == pytest.approx(as_it_is / other)
    assert one["seconds_to_compile"] > 0 and "share_outside_networks" not in one["wall"]
    assert f"{one['wall']['times_faster_compiled']:.2f}" in capsys.readouterr().out


def test_real_cases_cover_both_precisions_and_the_papers_batch() -> None:
    made = training_speed.cases(1, 3, [64, 256])
    assert {(case.batch, case.precision) for case in made} == {
        (batch, precision) for batch in (64, 256) for precision in ("bfloat16", "float32")
    }
    assert {case.batch for case in made if case.plain} == {64}
    assert all(case.network == "preact_resnet18" and case.size == 32 and case.queue == 8192 for case in made)
