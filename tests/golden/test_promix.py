"""ProMix against selection, ramps, targets and a step of the authors' code (Justherozen/ProMix @ 40d8378)."""

from collections.abc import Iterator

import pytest
import torch
from golden_case import Case, load
from golden_noisy import close, fill, mirror, network_of, weights_of

from zerolabel.blocks import mixup
from zerolabel.learners.base import Batch
from zerolabel.learners.promix import ProMix, Side, both_heads
from zerolabel.networks import Network

STEPS = ("step_c5", "step_c10", "step_c47")
LOSSES = ("weak", "strong", "mixup", "fmix")
DRAWS = ("1", "1_pseudo", "2", "2_pseudo")


@pytest.mark.parametrize("name", ["select_c5", "select_c10", "select_c47", "select_small"])
def test_selection(name: str, make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("promix")[name]
    learner = ProMix(mirror(case.classes), make_annotations(case.label[:, None], case.classes))
    known = torch.exp(-case.loss.double())
    others = ((1 - known) / max(case.classes - 1, 1))[:, None].repeat(1, case.classes)
    p = others.scatter(1, case.label[:, None], known[:, None])
    chosen = learner.select(p, case.rho, torch.full_like(case.label, -1))
    assert torch.equal(chosen, case.label.where(case.selected.bool(), -1))


def test_ramps(make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("promix")["ramp"]
    learner = ProMix(mirror(4), make_annotations(torch.arange(8)[:, None] % 4, 4))
    for epoch, *expected in zip(case.epoch.tolist(), case.rho, case.w, case.beta, strict=True):
        close(torch.tensor(learner.ramps(epoch / 600)), torch.stack(expected).float())


@pytest.mark.parametrize("name", STEPS)
def test_targets_of_the_first_network(name: str, make_annotations) -> None:  # type: ignore[no-untyped-def]
    case = load("promix")[name]
    learner = step_of(case, make_annotations)
    with torch.no_grad():
        logits = learner.network(case.weak)
    margin, doubt = learner.side.margins(learner.debias)
    close(logits + margin, case.debiased_logits)
    close((logits - doubt).softmax(1), case.debiased_prediction)
    close(learner.guess(logits, learner.side), case.unreliable_target)


@pytest.mark.parametrize("name", STEPS)
def test_losses_and_weights_of_a_step(name: str, make_annotations, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    case = load("promix")[name]
    learner = step_of(case, make_annotations)
    draws, masks = list(mixups(case)), list(patchworks(case))
    monkeypatch.setattr(mixup, "draw", lambda *_: draws.pop(0))
    monkeypatch.setattr(mixup, "draw_mask", lambda *_: masks.pop(0))
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    _, w, beta = learner.ramps(case.epoch / 600)
    chosen = (case.selected_1.bool(), case.selected_2.bool())
    batch = Batch(torch.arange(len(case.label)), (case.weak, case.strong))
    seen = [both_heads(own, side, case.weak) for own, side in sides_of(learner)]
    for k, (_, side) in enumerate(sides_of(learner)):
        logits = seen[k][0].detach()
        p, other = logits.softmax(1), seen[1 - k][0].detach().softmax(1)
        late = case.epoch / 600 > learner.late_share
        reliable, _ = learner.believe(chosen[k], batch.index, p, other, logits, side, late)
        assert torch.equal(reliable, case[f"reliable_{k + 1}"].bool())
        assert reliable.sum() == case.reliable_count[k]
    terms = learner.train().co_step(chosen, w, beta, case.epoch / 600 > learner.late_share, batch)
    weights = {"weak": 1.0, "unreliable_weak": beta, "unreliable_strong": beta * w}
    for k, number in (("a", 1), ("b", 2)):
        for loss in LOSSES:
            for head in ("", "_pseudo"):
                expected = case[f"{loss}{head}_{number}"].item() * weights.get(loss, w)
                close(terms[f"{loss}{head}_{k}"], expected)
        for loss in ("unreliable_weak", "unreliable_strong"):
            close(terms[f"{loss}_{k}"], case[f"{loss}_{number}"].item() * weights[loss])
    optimizer.zero_grad()
    sum(terms.values()).backward()
    optimizer.step()
    for number, (network, side) in enumerate(sides_of(learner), 1):
        for mine, theirs in weights_of(network, case, f"after1.net{number}"):
            close(mine, theirs)
        close(side.head.weight, case[f"after1.net{number}.pseudo.weight"])
        close(side.head.bias, case[f"after1.net{number}.pseudo.bias"])
        close(side.reliable_mean, case[f"after1.mean_{number}"])
        close(side.mean, case[f"after1.mean_unreliable_{number}"])


def step_of(case: Case, make_annotations) -> ProMix:  # type: ignore[no-untyped-def]
    """A learner with the networks and class means that the step starts from."""
    network = network_of(case, "start.net1")
    annotations = make_annotations(case.label[:, None], network.spec.n_classes)
    learner = ProMix(network, annotations, confidence=case.tau)
    assert learner.memory == case.mean_memory
    fill(learner.peer, case, "start.net2")
    with torch.no_grad():
        for number, (_, side) in enumerate(sides_of(learner), 1):
            side.head.weight.copy_(case[f"start.net{number}.pseudo.weight"])
            side.head.bias.copy_(case[f"start.net{number}.pseudo.bias"])
            side.reliable_mean.copy_(case[f"mean_{number}"])
            side.mean.copy_(case[f"mean_unreliable_{number}"])
    return learner.train()


def sides_of(learner: ProMix) -> tuple[tuple[Network, Side], tuple[Network, Side]]:
    return (learner.network, learner.side), (learner.peer, learner.peer_side)


def mixups(case: Case) -> Iterator[mixup.Mix]:
    """The four draws of MixUp of a step, in their order."""
    for name in DRAWS:
        yield mixup.Mix(case[f"share_mixup_{name}"].item(), case[f"order_mixup_{name}"])


def patchworks(case: Case) -> Iterator[mixup.Patchwork]:
    """The four draws of FMix of a step, in their order."""
    for name in DRAWS:
        targets = mixup.Mix(case[f"share_fmix_{name}"].item(), case[f"order_fmix_{name}"])
        yield mixup.Patchwork(case[f"mask_fmix_{name}"], targets)
