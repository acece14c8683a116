"""What of a run is the figure of a table, and what a run must show beside it to be the paper's."""

from statistics import harmonic_mean, mean
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from benchmarks.papers.plans import Plan
from benchmarks.papers.tables import Cell, read


def class_accuracies(p: Float[Tensor, "N C"], truth: Int[Tensor, " N"]) -> dict[int, float]:
    """Accuracy of each class that has images."""
    right = (p.argmax(1) == truth).float()
    return {c: float(right[truth == c].mean()) for c in truth.unique().tolist()}


def score(
    measure: str,
    p: Float[Tensor, "N C"],
    truth: Int[Tensor, " N"],
    candidates: Bool[Tensor, "N C"],
    groups: tuple[list[int], list[int]] = ([], []),
) -> float:
    """The figure: per cent, or candidates per image.

    Args:
        measure: of the plan.
        p: probabilities of N images.
        truth: their class ids.
        candidates: their candidate sets.
        groups: ids of the classes with labels and without ("harmonic mean"), or of the large and of the small half
            of the classes ("head classes", "tail classes").
    """
    if measure == "mean candidates per image":
        return float(candidates.sum(1).float().mean())
    if measure == "truth missing":
        return 100 * float((~candidates[torch.arange(len(truth)), truth]).float().mean())
    if measure == "accuracy":
        return 100 * float((p.argmax(1) == truth).float().mean())
    of_class = class_accuracies(p, truth)
    first, second = (mean([of_class[c] for c in group if c in of_class] or [0.0]) for group in groups)
    return (
        100 * {"harmonic mean": harmonic_mean([first, second]), "head classes": first, "tail classes": second}[measure]
    )


def expected(plan: Plan, n_classes: int) -> dict[str, float]:
    """Candidates per image and share of missing truths that the run's annotations must have; empty where none is known.

    Of CLIP's annotations with Co-Reg's prompts the paper has them; of simulated ones they follow from q and eta.
    """
    if plan.kind == "simulated" and "--q" in plan.simulate:
        told = dict(zip(plan.simulate[::2], plan.simulate[1::2], strict=True))
        q, eta = float(told["--q"]), float(told["--eta"])
        return {"mean candidates per image": 1 + q * (n_classes - 1), "truth missing": 100 * eta}
    if plan.kind == "student" and plan.templates == "small" and "soft" not in plan.options:
        rows: list[Cell] = [cell for cell in read("coreg") if cell.protocol == "annotation"]
        return {c.method: c.figure for c in rows if c.data == plan.data and c.method in FINGERPRINTS}
    return {}


FINGERPRINTS = {"mean candidates per image": 0.02, "truth missing": 0.5}
"""How far each may be off: a share of the figure, and points."""


def differences(plan: Plan, facts: dict[str, Any], n_classes: int) -> list[str]:
    """Fingerprints that are not the expected ones, in words; empty where all fit."""
    found = []
    for name, figure in expected(plan, n_classes).items():
        slack = FINGERPRINTS[name] * (figure if name.startswith("mean") else 1)
        if name in facts and abs(facts[name] - figure) > slack:
            found.append(f"{name} {facts[name]:.2f} instead of {figure:.2f}")
    return found
