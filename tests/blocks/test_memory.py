"""What learners remember: queue, prototypes, histories, running averages."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerolabel.blocks.memory import KeyQueue, LossHistory, Momentum, Prototypes, RisingMomentum


def batch(*ids: int) -> tuple[Tensor, Tensor, Tensor]:
    """Keys that carry their id in both coordinates, labeled and flagged by it."""
    numbers = torch.tensor(ids, dtype=torch.long)
    return numbers[:, None].float().expand(-1, 2), numbers % 3, numbers % 2 == 0


def test_queue_wraps_around_first_in_first_out() -> None:
    queue, kept, following = KeyQueue(5, 2), [0] * 5, 0
    start = 1
    for size in (2, 2, 2, 3, 1, 4, 5):
        ids = list(range(start, start + size))
        start += size
        queue.push(*batch(*ids))
        for number in ids:
            kept[following] = number
            following = (following + 1) % 5
        assert queue.keys[:, 0].tolist() == kept
        assert queue.labels.tolist() == [number % 3 if number else -1 for number in kept]
        assert queue.clean.tolist() == [number % 2 == 0 and number > 0 for number in kept]


def test_queue_keeps_the_last_rows_of_a_batch_that_is_larger_than_it() -> None:
    queue = KeyQueue(3, 2)
    queue.push(*batch(1, 2))
    queue.push(*batch(3, 4, 5, 6, 7))
    assert sorted(queue.keys[:, 0].tolist()) == [5, 6, 7]
    queue.push(*batch(8))
    assert sorted(queue.keys[:, 0].tolist()) == [6, 7, 8]


def test_queue_never_written_and_nothing_to_push() -> None:
    queue = KeyQueue(3, 2)
    queue.push(*batch())
    assert queue.labels.tolist() == [-1] * 3 and not queue.clean.any() and not queue.keys.any()
    queue.push(*(part.to(torch.bfloat16) if part.is_floating_point() else part for part in batch(4)))
    assert queue.keys.dtype == torch.float32


def loop(vectors: Tensor, z: Tensor, ids: Tensor, m: float) -> Tensor:
    """One image at a time, normalized once at the end."""
    moved = vectors.clone()
    for row, c in zip(z, ids.tolist(), strict=True):
        moved[c] = m * moved[c] + (1 - m) * row
    for c in set(ids.tolist()):
        moved[c] = moved[c] / moved[c].square().sum().sqrt()
    return moved


@pytest.mark.parametrize("m", [0.0, 0.5, 0.9, 0.999])
def test_prototypes_closed_form_equals_the_loop(m: float) -> None:
    prototypes = Prototypes(4, 6, m).double()
    for _ in range(3):
        z, ids = F.normalize(torch.randn(40, 6, dtype=torch.float64), dim=1), torch.randint(0, 3, (40,))
        expected = loop(prototypes.vectors, z, ids, m)
        prototypes.update(z, ids, torch.zeros(40, dtype=torch.bool))
        torch.testing.assert_close(prototypes.vectors, expected)
    assert not prototypes.vectors[3].any(), "a class without an image stays where it was"
    assert prototypes.vectors[:3].norm(dim=1).tolist() == pytest.approx([1] * 3)


def test_once_a_batch_is_close_to_the_papers_once_an_image() -> None:
    z, ids = F.normalize(torch.randn(256, 16), dim=1), torch.randint(0, 4, (256,))
    prototypes = Prototypes(4, 16, 0.999)
    prototypes.vectors.copy_(F.normalize(torch.randn(4, 16), dim=1))
    expected = prototypes.vectors.clone()
    for row, c in zip(z, ids.tolist(), strict=True):
        expected[c] = F.normalize(0.999 * expected[c] + 0.001 * row, dim=0)
    prototypes.update(z, ids, torch.zeros(256, dtype=torch.bool))
    assert float((prototypes.vectors * expected).sum(1).min()) > 0.9999


def test_a_human_label_seeds_its_class_and_only_while_it_is_zero() -> None:
    prototypes = Prototypes(2, 3, 0.9)
    z = F.normalize(torch.randn(5, 3), dim=1)
    ids, human = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([False, True, False, False, False])
    prototypes.update(z, ids, human)
    torch.testing.assert_close(prototypes.vectors[0], z[1])
    torch.testing.assert_close(prototypes.vectors[1], loop(torch.zeros(2, 3), z[3:], ids[3:], 0.9)[1])
    before = prototypes.vectors.clone()
    prototypes.update(z, ids, human)
    torch.testing.assert_close(prototypes.vectors, loop(before, z, ids, 0.9))


def test_prototypes_without_an_image() -> None:
    prototypes = Prototypes(2, 3, 0.9)
    prototypes.update(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.bool))
    assert not prototypes.vectors.any()


def test_history_is_the_mean_of_the_last_epochs() -> None:
    history, pushed = LossHistory(4, 3), []
    for _ in range(6):
        pushed.append(torch.rand(4))
        mean = history.push(pushed[-1])
        last = pushed[-3:]
        for i in range(4):
            assert float(mean[i]) == pytest.approx(sum(float(values[i]) for values in last) / len(last))


def test_momentum_follows_parameters_and_resets_all() -> None:
    live = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    follower = Momentum(deepcopy(live), 0.9)
    assert not any(p.requires_grad for p in follower.parameters())
    start = [p.clone() for p in live.parameters()]
    with torch.no_grad():
        for p in live.parameters():
            p.add_(torch.randn_like(p))
    follower.follow(live)
    for old, new, kept in zip(start, live.parameters(), follower.parameters(), strict=True):
        torch.testing.assert_close(kept, 0.9 * old + 0.1 * new)
    live(torch.randn(8, 3))
    follower.reset(live)
    for name, value in live.state_dict().items():
        assert torch.equal(follower.copy.state_dict()[name], value)


@pytest.mark.parametrize("kind", [Momentum, RisingMomentum])
def test_momentum_leaves_shared_parameters_alone(kind: type[Momentum]) -> None:
    shared, live = nn.Linear(3, 3).requires_grad_(False), nn.Linear(3, 3)
    options = (0.9,) if kind is Momentum else (0.9, 0)
    follower = kind(nn.Sequential(nn.Linear(3, 3), shared), *options)
    start = follower.copy[0].weight.clone()
    network = nn.Sequential(live, shared)
    loss = network(torch.randn(2, 3)).sum()
    follower.follow(network)
    loss.backward()  # autograd would refuse a frozen layer that was written to since
    torch.testing.assert_close(follower.copy[0].weight, 0.9 * start + 0.1 * live.weight)


def test_rising_momentum_by_hand() -> None:
    live, follower = nn.Linear(1, 1), RisingMomentum(nn.Linear(1, 1), 0.997, 40_000)
    nn.init.ones_(live.weight)
    # 0.997 exp(-5 (1 - (s + 1) / 40,000)^2), as in ELR+'s code
    for step, kept in ((0, 0.00672), (10_000, 0.05989), (20_000, 0.28568), (30_000, 0.72947), (60_000, 0.997)):
        nn.init.zeros_(follower.copy.weight)
        follower.step.fill_(step)
        follower.follow(live)
        assert follower.copy.weight.item() == pytest.approx(1 - kept, abs=1e-5)
        assert follower.step == step + 1
    at_once = RisingMomentum(nn.Linear(1, 1), 0.9, 0)
    nn.init.zeros_(at_once.copy.weight)
    at_once.follow(live)
    assert at_once.copy.weight.item() == pytest.approx(0.1)


@pytest.mark.parametrize("module", [KeyQueue(3, 2), Prototypes(2, 3, 0.9), LossHistory(4, 3)])
def test_memory_is_saved_whole(module: nn.Module) -> None:
    assert {name for name, value in vars(module).items() if isinstance(value, Tensor)} == set()
    assert len(module.state_dict()) == len(list(module.buffers()))
