"""Residual networks for small images.

He, Zhang, Ren, Sun. Identity Mappings in Deep Residual Networks. ECCV 2016 (pre-activation blocks). `light` starts from
He, Zhang, Ren, Sun. Delving Deep into Rectifiers. ICCV 2015.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class PreActBlock(nn.Module):
    """Two 3x3 convolutions, each after normalization and ReLU, added to their input after the first ReLU.

    He et al. add the input itself where its shape stays; the code of DivideMix and Co-Reg adds the activated one.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        same = stride == 1 and inputs == outputs
        self.shortcut = None if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Float[Tensor, "B I H W"]) -> Float[Tensor, "B O h w"]:
        """The block's output."""
        active = F.relu(self.norm1(x))
        skipped = active if self.shortcut is None else self.shortcut(active)
        y: Tensor = self.conv2(F.relu(self.norm2(self.conv1(active))))
        return y + skipped


def preact_resnet18(size: int) -> nn.Sequential:
    """The student of Co-Reg's code: 11,171,274 weights with a linear head for ten classes.

    A 3x3 convolution with batch normalization and ReLU, four stages of two blocks, and the mean over the last map,
    which nothing normalizes. It starts from PyTorch's default weights.

    Args:
        size: side of the input in pixels; from 64 the first stage halves it.

    Returns:
        Images -> 512 features.
    """
    strides = (2 if size >= 64 else 1, 2, 2, 2)
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    inputs = 64
    for outputs, stride in zip((64, 128, 256, 512), strides, strict=True):
        layers += [PreActBlock(inputs, outputs, stride), PreActBlock(outputs, outputs, 1)]
        inputs = outputs
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers)


class Block(nn.Module):
    """Two 3x3 convolutions with normalization, added to their input."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(stride, ceil_mode=True), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Float[Tensor, "B I H W"]) -> Float[Tensor, "B O h w"]:
        """The block's output."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


def light() -> nn.Sequential:
    """A small fast student for characters and icons of up to about 32 pixels; 0.29 M parameters.

    A 5x5 stem that halves the image at once, then two residual blocks of 64 and 128 channels that halve it
    again: few, wide layers on small maps, because on a processor the time goes into reading and writing large
    maps (normalization most of all), not into multiplying. The last map is averaged over its four quarters, not
    over the whole: where a stroke lies tells characters apart.

    Returns:
        Images -> 512 features.
    """
    return _initialized(
        nn.Sequential(
            nn.Conv2d(3, 32, 5, 2, 2, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            Block(32, 64, 2),
            Block(64, 128, 2),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )
    )


def _initialized(network: nn.Sequential) -> nn.Sequential:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


__all__ = ["light", "preact_resnet18"]
