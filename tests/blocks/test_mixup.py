"""MixUp and FMix against their definitions."""

import pytest
import torch

from zerolabel.blocks import mixup

CPU = torch.device("cpu")


def test_mixup_takes_the_larger_share_of_the_row_itself() -> None:
    rows = torch.arange(6.0)[:, None].repeat(1, 3)
    for _ in range(20):
        mix = mixup.draw(6, 0.5, CPU)
        assert 0.5 <= mix.share <= 1 and sorted(mix.order.tolist()) == list(range(6))
        for i in range(6):
            expected = mix.share * rows[i] + (1 - mix.share) * rows[mix.order[i]]
            torch.testing.assert_close(mix(rows)[i], expected)
    assert mixup.draw(6, 0.0, CPU).share == 1


@pytest.mark.parametrize("shape", [(5, 3, 16, 12), (5, 40), (5, 3, 1, 1)])
def test_fmix_keeps_the_places_of_its_mask(shape: tuple[int, ...]) -> None:
    rows = torch.randn(shape)
    patch = mixup.draw_mask(rows, 1.0)
    assert patch.mask.shape == (shape[2:] if len(shape) == 4 else shape[1:])
    assert set(patch.mask.flatten().tolist()) <= {0.0, 1.0}
    assert abs(patch.targets.share - float(patch.mask.mean())) < 1 / patch.mask.numel()
    mixed = patch(rows)
    for i in range(5):
        other = rows[patch.targets.order[i]]
        assert torch.equal(mixed[i], patch.mask * rows[i] + (1 - patch.mask) * other)


def test_fmix_shares_are_uniform_and_its_patches_are_large() -> None:
    rows = torch.zeros(2, 3, 32, 32)
    patches = [mixup.draw_mask(rows, 1.0) for _ in range(200)]
    shares = torch.tensor([patch.targets.share for patch in patches])
    assert abs(float(shares.mean()) - 0.5) < 0.08 and abs(float(shares.std()) - 12**-0.5) < 0.05

    def borders(mask: torch.Tensor) -> float:
        """Share of neighbors that differ."""
        return float((mask[1:] != mask[:-1]).float().mean())

    smooth = sum(borders(patch.mask) for patch in patches) / len(patches)
    white = sum(borders(mixup.draw_mask(rows, 1.0, decay=0.0).mask) for _ in range(50)) / 50
    assert smooth < 0.1 < 0.25 < white
