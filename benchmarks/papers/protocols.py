"""The protocols of papers that tune the model itself or only solve for its answers; all protocols by name."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks.papers.plans import (
    B16,
    B32,
    L14,
    ONE,
    PHOTO,
    RN50,
    Options,
    Plan,
    Pool,
    Tasks,
    annotation,
    clip_labels,
    few_shot,
    long_tail,
    noisy,
    noisy_partial,
    published,
    settings,
)
from benchmarks.papers.tables import Cell
from zerolabel.adaptation.methods import PUBLISHED
from zerolabel.cli.adaptation import adapt

GRIP = settings(lr=0.1, weight_decay=0.1, batch_size=16)
"""SGD of GRIP's code; multimodal prompts take a tenth of the rate."""


def grip(cell: Cell, prompt: str) -> list[Plan]:
    """GRIP's README: two labels a class (SSL), none (UL), or all labels of 62% of the classes (TRZSL)."""
    measure = "harmonic mean" if cell.setting == "TRZSL" else "accuracy"
    pool = {"SSL": Pool(shots=2), "UL": Pool(), "TRZSL": Pool(seen=0.62)}[cell.setting]
    if cell.method == "CLIP":
        return [Plan(cell.data, "annotate", measure, templates=ONE, pool=pool)]
    rate = settings(lr=0.01) if prompt == "both" else ()
    if cell.method in ("CoOp", "VPT", "UPT"):
        options: Options = ("--method", "coop", "--tune", prompt, "--epochs", "150", *GRIP, *rate)
    elif cell.method in UNLABELED:
        options = (*unlabeled(cell.method), "--tune", prompt, *(rate if cell.method == "GRIP" else ()))
    else:
        return []
    return [Plan(cell.data, "adapt", measure, templates=ONE, options=options, pool=pool)]


UNLABELED: dict[str, Options] = {
    "GRIP": ("--method", "grip", "--epochs", "1500", *GRIP, *settings(prior="uniform")),
    "FPL": ("--method", "fpl", "--epochs", "150", *GRIP, *settings(prior="uniform")),
    "CPL": ("--method", "cpl", "--epochs", "500", *settings(lr=0.02, batch_size=64)),
    "UEO": ("--method", "ueo", "--epochs", "50", *settings(lr=1e-4, image_rate=1, momentum=0, batch_size=64)),
    "UPL": ("--method", "upl", "--epochs", "50", *settings(lr=0.002, batch_size=32)),
    "LaFTer": ("--method", "lafter", "--epochs", "50", *settings(lr=5e-4, batch_size=50)),
    "MUST": ("--method", "must", "--epochs", "60", *settings(lr=2e-5, threshold=0.4, prior="uniform")),
}
"""Methods without labels as their code has them; MUST's are those of DTD, the only ones known here."""


def unlabeled(method: str) -> Options:
    """Its options; scores are never spread over neighbors, for no paper does."""
    options = UNLABELED[method]
    return (*options, "--no-propagate", *(published(adapt) if options[1] in PUBLISHED else ()))


WHOLE = Pool()


def tuned(cell: Cell, vlm: str, templates: str, pool: Pool = WHOLE, measure: str = "accuracy") -> list[Plan]:
    """The model as it is, or tuned without labels; for each data set of a mean."""
    if cell.method in ("CLIP", "zero-shot"):
        plan = Plan("", "annotate", measure, vlm=vlm, templates=templates, pool=pool)
    elif cell.method in UNLABELED:
        plan = Plan("", "adapt", measure, vlm=vlm, templates=templates, options=unlabeled(cell.method), pool=pool)
    else:
        return []
    return [replace(plan, data=data) for data in cell.data_sets]


def uneven(cell: Cell) -> list[Plan]:
    """MARS: at most 100 images a class, the first class as many times the last as the table says."""
    measure = cell.setting or "accuracy"
    ratios = {"pool 1": (1,), "pool 10": (10,), "pool 50": (50,), "pool head": (50,)}.get(cell.protocol, (10, 20, 50))
    vlm = B16 if cell.protocol.endswith("b16") else B32
    return [p for r in ratios for p in tuned(cell, vlm, PHOTO, Pool(most=100, ratio=r), measure)]


SOLVERS: dict[str, Options] = {
    "zero-shot": ("zero_shot",),
    "CLIP": ("zero_shot",),
    "StatA": ("stata",),
    "MOON": ("moon", "present=1"),
    "TransCLIP": ("transclip",),
    "ZLaP": ("zlap",),
    "EM-Dirichlet": ("em_dirichlet", "present=1"),
    "Hard EM-Dirichlet": ("em_dirichlet", "hard=true", "present=1"),
}
"""With ``present=1`` a solver for few classes takes images of all, too, as the papers' tables have it."""


def solved(cell: Cell, vlm: str, tasks: Tasks) -> list[Plan]:
    """A solver on batches of test images."""
    if cell.method not in SOLVERS:
        return []
    plan = Plan("", "tasks", vlm=vlm, templates=PHOTO, options=SOLVERS[cell.method], tasks=tasks)
    return [replace(plan, data=data) for data in cell.data_sets]


def batches(cell: Cell) -> list[Plan]:
    """StatA's batches: "classes 2-10 batch 64", or "all"; 1,000 batches of 64, 100 of 1,000."""
    if cell.setting == "all":
        return solved(cell, B16, Tasks())
    _, classes, _, batch = cell.setting.split()
    least, largest = map(int, classes.split("-"))
    return solved(cell, B16, Tasks(least, largest, int(batch), 1000 if int(batch) < 1000 else 100))


LABELED = {
    "CoOp": "coop", "CoCoOp": "cocoop", "CLIP-Adapter": "clip-adapter", "Tip-Adapter": "tip-adapter",
    "Tip-Adapter-F": "tip-adapter-f", "LP++": "lp++", "CLIP-LoRA": "clip-lora",
}  # fmt: skip


def labeled(cell: Cell, shots: int, vlm: str) -> list[Plan]:
    """Methods of a few labels a class."""
    if cell.method not in LABELED:
        return []
    return [few_shot(data, LABELED[cell.method], shots, vlm) for data in cell.data_sets]


PROTOCOLS: dict[str, Callable[[Cell], list[Plan]]] = {
    "annotation": annotation,
    "clip labels": clip_labels,
    "noisy partial": noisy_partial,
    "partial": noisy_partial,
    "long tail": long_tail,
    "noisy": noisy,
    "noisy human": lambda cell: [],
    "grip text": lambda cell: grip(cell, "text"),
    "grip visual": lambda cell: grip(cell, "visual"),
    "grip both": lambda cell: grip(cell, "both"),
    "unlabeled": lambda cell: tuned(cell, B32, PHOTO),
    "must": lambda cell: tuned(cell, B16, PHOTO),
    "pool 1": uneven,
    "pool 10": uneven,
    "pool 50": uneven,
    "pool mean b16": uneven,
    "pool head": uneven,
    "transductive b32": lambda cell: solved(cell, B32, Tasks()),
    "transductive b16": lambda cell: solved(cell, B16, Tasks()),
    "batches": batches,
    "tasks": lambda cell: solved(cell, RN50, Tasks(5, 5, 75, 1000)),
    "shots 16": lambda cell: labeled(cell, 16, B16),
    "shots 16 b32": lambda cell: labeled(cell, 16, B32),
    "shots 16 l14": lambda cell: labeled(cell, 16, L14),
    "shots 4 rn50": lambda cell: labeled(cell, 4, RN50),
    "none": lambda cell: [],
}
"""How each table was measured."""


def plans(cell: Cell) -> list[Plan]:
    """The runs whose mean is our figure; none where `missing` says why."""
    return PROTOCOLS[cell.protocol](cell)


def missing(cell: Cell) -> str:
    """Why a cell has no plans."""
    reasons: dict[str, Any] = {
        "noisy human": "needs the human labels of CIFAR-N, which torchvision does not download",
        "none": "a summary figure without the runs behind it",
    }
    return str(reasons.get(cell.protocol, f"zerolabel has no {cell.method}"))


__all__ = ["PROTOCOLS", "missing", "plans"]
