"""Golden files: inputs, and what the authors' released code computed from them."""

import numpy as np
import torch
from reference import reference
from torch import Tensor

BRITISH = {"labelled": "labeled", "neighbours": "neighbors"}
"""How the files spell names that this project spells otherwise."""


class Case:
    """The arrays of one case as tensors: ``case["start.enc.weight"]``, or ``case.logits``; single numbers as such."""

    def __init__(self, name: str, arrays: dict[str, Tensor]) -> None:
        self.name, self.arrays = name, arrays

    def __getitem__(self, name: str) -> Tensor:
        return self.arrays[name]

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        value = self.__dict__.get("arrays", {}).get(name)
        if value is None:
            raise AttributeError(f"no array {name}")
        return value.item() if value.ndim == 0 else value

    def __contains__(self, name: str) -> bool:
        return name in self.arrays


def load(name: str) -> dict[str, Case]:
    """The cases of a golden file by name; the test is skipped where the file is not on this machine."""
    found: dict[str, dict[str, Tensor]] = {}
    with np.load(reference("golden", f"{name}.npz"), allow_pickle=False) as stored:
        for key in stored.files:
            case, _, array = _american(key).partition(".")
            found.setdefault(case, {})[array] = torch.from_numpy(stored[key])
    return {case: Case(case, arrays) for case, arrays in found.items()}


def _american(name: str) -> str:
    for british, american in BRITISH.items():
        name = name.replace(british, american)
    return name
