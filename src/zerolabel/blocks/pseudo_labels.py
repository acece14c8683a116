"""Which images get a pseudo-label, and which one: pure functions of probabilities."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zerolabel.blocks.targets import smallest_per_class


def top_per_class(p: Float[Tensor, "N C"], counts: Int[Tensor, " C"]) -> Int[Tensor, " N"]:
    """The most probable images of each class, every image in at most one of them.

    Images ask for their classes from the most probable on; a class keeps those of its askers that are most probable, as
    many as it may, and the others continue to ask (GRIP, NeurIPS 2023; one image per class is ours). The result is that
    of a greedy choice over all pairs in order of probability, but for ties, where the first image goes first.

    Args:
        p: probabilities.
        counts: most images of each class.

    Returns:
        The class that each image is chosen for, -1 where it is for none.

    Example:
        >>> p = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]])
        >>> top_per_class(p, torch.tensor([1, 1]))
        tensor([ 0, -1,  1])
    """
    n, n_classes = p.shape
    order = p.argsort(dim=1, descending=True, stable=True)
    asked = torch.zeros(n, dtype=torch.long, device=p.device)
    while True:
        active = asked < n_classes
        wanted = order.gather(1, asked.clamp_max(n_classes - 1)[:, None])
        chosen = torch.where(active, wanted.squeeze(1), -1)
        kept = smallest_per_class(-p.gather(1, wanted).squeeze(1), chosen, counts)
        refused = active & ~kept
        if not bool(refused.any()):
            return torch.where(kept, chosen, -1)
        asked = asked + refused.long()


def boards(p: Float[Tensor, "N C"], counts: Int[Tensor, " C"]) -> Bool[Tensor, "N C"]:
    """The most probable images of each class as GRIP's code keeps them, on a board for each class.

    Images come one after the other. An image enters the board of its best class where there is room, or where it is
    above the last entry, which then leaves; else it is offered to all other boards in order of its probabilities, and
    may enter several. The last entry is the least one only once an image had to leave: until then it is the latest.

    Args:
        p: probabilities.
        counts: most images of each board.

    Returns:
        Which images are on which boards.
    """
    on = [list[tuple[float, int]]() for _ in range(p.shape[1])]
    room, best = counts.tolist(), p.argmax(1).tolist()
    others = p.flip(1).argsort(dim=1, descending=True, stable=True)  # of equal classes the later one goes first
    order = (p.shape[1] - 1 - others).tolist()
    for i, row in enumerate(p.tolist()):
        if not enter(on[best[i]], (row[best[i]], i), room[best[i]]):
            for c in order[i]:
                if c != best[i]:
                    enter(on[c], (row[c], i), room[c])
    chosen = torch.zeros(p.shape, dtype=torch.bool)
    for c, board in enumerate(on):
        chosen[[i for _, i in board], c] = True
    return chosen.to(p.device)


def enter(board: list[tuple[float, int]], entry: tuple[float, int], room: int) -> bool:
    """Put an entry on a board where it may, and say whether it did; see `boards`."""
    if len(board) < room:
        board.append(entry)
        return True
    if not board or board[-1][0] >= entry[0]:
        return False
    board[:] = sorted([*board, entry], reverse=True)[:room]
    return True


def top_of_predicted(p: Float[Tensor, "N C"], counts: Int[Tensor, " C"]) -> Int[Tensor, " N"]:
    """The most probable images among those predicted as each class (UPL, arXiv 2204.03649), -1 for the others."""
    value, predicted = p.max(1)
    return torch.where(smallest_per_class(-value, predicted, counts), predicted, -1)


def counts_for(
    prior: Float[Tensor, " C"], n_images: int, *, k: int, round_: int, rounds: int, growing: bool
) -> Int[Tensor, " C"]:
    """Number of images chosen per class in a round, at least one.

    ``K_t = floor(t floor(N / T) / C)`` where the number grows, else ``K = min(k, floor(N / C))``; a class gets
    ``K C prior_c``, which is K under a uniform prior. The last round of growing takes all images that K C holds.

    Args:
        prior: of the classes, sums to 1.
        n_images: N to choose from.
        k: images of each class where the number does not grow.
        round_: t, from 1.
        rounds: T.
        growing: whether the number grows.
    """
    n_classes = len(prior)
    per_class = round_ * (n_images // rounds) // n_classes if growing else min(k, n_images // n_classes)
    return (max(per_class, 1) * n_classes * prior).round().long().clamp_min(1)
