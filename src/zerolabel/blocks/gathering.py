"""Rows of all processes of a training, where it has several; see `zerolabel.training.ranks`."""

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor


def together() -> bool:
    """True in one of several processes that train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


@torch.no_grad()
def of_all(rows: Shaped[Tensor, "B ..."]) -> Shaped[Tensor, "M ..."]:
    """The rows that every process gives, those of the first one first; the rows themselves where there is but one."""
    if not together():
        return rows
    given = rows.to(torch.uint8) if rows.dtype == torch.bool else rows.detach()
    lengths = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(dist.get_world_size())]
    dist.all_gather(lengths, torch.tensor([len(rows)], device=rows.device))
    counts = [int(length) for length in lengths]
    padded = given.new_zeros(max(counts), *given.shape[1:])
    padded[: len(given)] = given
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)]).to(rows.dtype)


__all__ = ["of_all", "together"]
