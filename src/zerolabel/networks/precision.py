"""In which precision a device multiplies fastest."""

from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]


def best_precision(device: str) -> Precision:
    """Bfloat16 if the hardware supports it natively, otherwise float32.

    Args:
        device: "auto", or a type of device.
    """
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device in ("auto", "cpu") and torch.cpu._is_avx512_bf16_supported():
        return "bfloat16"
    return "float32"
