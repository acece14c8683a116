"""The order in which a pass draws its images."""

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor

from zerolabel.learners.base import Pass


def index_batches(one: Pass, n_images: int, batch_size: int) -> Iterator[tuple[Int[Tensor, " _"], ...]]:
    """Yield the index batches of a pass in random order, one tensor per group; see `Pass.groups`."""
    groups = one.groups or (torch.arange(n_images),)
    size = batch_size * one.batches
    length = next((len(group) for group in groups if len(group)), 0)
    steps = -(-length // size)
    for parts in zip(*(group_batches(one, group.cpu(), length, size, steps) for group in groups), strict=True):
        yield tuple(parts)


def group_batches(
    one: Pass, group: Int[Tensor, " G"], length: int, size: int, steps: int
) -> tuple[Int[Tensor, " _"], ...]:
    """One index batch of a group per step of a pass, following its `restart` and `repeats`."""
    if one.restart and not one.repeats:
        return rounds(group, size, steps)
    return step_batches(group, length, size, steps, one.restart)


def rounds(group: Int[Tensor, " G"], size: int, steps: int) -> tuple[Int[Tensor, " _"], ...]:
    """Batches of a repeatedly shuffled group; the last batch of each round may be short."""
    if len(group) == 0:
        return (group,) * steps
    found: list[Tensor] = []
    while len(found) < steps:
        found += group[torch.randperm(len(group))].split(size)
    return tuple(found[:steps])


def step_batches(
    group: Int[Tensor, " G"], length: int, size: int, steps: int, restart: bool
) -> tuple[Int[Tensor, " _"], ...]:
    """One index batch of a group per step; without restarts a smaller group is spread evenly over the steps."""
    if restart or len(group) >= length:
        order = shuffled(group, length)
        return tuple(order[start : start + size] for start in range(0, length, size))
    return shuffled(group, len(group)).tensor_split(steps)


def shuffled(group: Int[Tensor, " G"], length: int) -> Int[Tensor, " L"]:
    """`length` indices of a repeatedly shuffled group; an empty group stays empty."""
    if len(group) == 0:
        return group
    rounds = [group[torch.randperm(len(group))] for _ in range(-(-length // len(group)))]
    return torch.cat(rounds)[:length]


__all__ = ["index_batches"]
