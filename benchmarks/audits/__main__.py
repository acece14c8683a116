"""What a person's answers show, simulated on real predictions: ``python -m benchmarks.audits --data FOLDER``.

A table for each question is printed and written to ``benchmarks/results/audits.json``; ``--parts`` measures some of
them again and keeps the others.
"""

import json
import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

from benchmarks.audits import measures
from benchmarks.audits.cells import Cell, cells
from benchmarks.audits.measures import Row
from benchmarks.audits.open_pools import pools
from benchmarks.committed import read

RESULTS = Path("benchmarks/results/audits.json")
AUDITED = {
    "Pets": ("prompt 2", "mean", "LDA"),
    "Caltech": ("B/32", "B/16"),
    "digits": ("tree", "LDA", "SVM"),
    "Fashion": ("tree", "extra trees"),
    "FER2013": ("SVM", "tree"),
    "CIFAR-10N": ("random_label1", "aggre_label", "worse_label"),
    "CIFAR-10H": ("people",),
}
"""Models whose accuracy is audited; all of them of the cells that are not named."""
ANSWERS = (20, 50, 100, 400)
LOOKED_AT = (50, 100, 200)
"""Answers about images of no named class."""
CHOICE_IMAGES = 1000
BUDGETS = (10, 20, 35, 50)
REPEATS = {
    "coverage": 1000,
    "anytime": 200,
    "pairs": 20,
    "choice": 30,
    "coda": 5,
    "quality": 300,
    "teach": 5,
    "unknown": 100,
}


def audited(cell: Cell) -> list[int]:
    """Numbers of the models that are audited."""
    return [cell.models.index(name) for name in AUDITED.get(cell.name, cell.models)]


def coverage(cell: Cell) -> list[Row]:
    rows = (measures.coverage(cell, model, ANSWERS, REPEATS["coverage"]) for model in audited(cell))
    return [row for some in rows for row in some]


def anytime(cell: Cell) -> list[Row]:
    return [measures.anytime_coverage(cell, model, 400, REPEATS["anytime"]) for model in audited(cell)]


def pairs(cell: Cell) -> list[Row]:
    both = combinations(range(len(cell.models)), 2)
    return [measures.pair(cell, one, other, REPEATS["pairs"]) for one, other in both]


def chosen(cell: Cell) -> list[Row]:
    if cell.name.startswith("CIFAR"):  # one answer decides between annotators this different, or there is no choice
        return []
    rows = [
        measures.regret_curve(cell, design, BUDGETS, REPEATS["choice"], CHOICE_IMAGES)
        for design in ("weighted", "model_picker", "random")
    ]
    return [*rows, measures.regret_curve(cell, "coda", BUDGETS, REPEATS["coda"], CHOICE_IMAGES)]


def quality(cell: Cell) -> list[Row]:
    models = (audited(cell)[:1], audited(cell)[3:13:3])[cell.name == "ArtDL"]
    if cell.name == "CIFAR-10N":
        models = [cell.models.index("aggre_label")]
    return [
        measures.guaranteed(cell, model, limit, 200, REPEATS["quality"]) for model in models for limit in (0.05, 0.1)
    ]


def taught(cell: Cell) -> list[Row]:
    if cell.features is None:
        return []
    return [measures.taught(cell, model, n, REPEATS["teach"]) for model in audited(cell) for n in (50, 200)]


PARTS: dict[str, Callable[[Cell], list[Row]]] = {
    "coverage": coverage,
    "anytime": anytime,
    "pairs": pairs,
    "choice": chosen,
    "quality": quality,
    "teach": taught,
}


def print_rows(name: str, rows: Sequence[Row]) -> None:
    print(f"\n{name}")
    for row in rows:
        print(
            "  ",
            *(f"{key}={value:.3f}" if isinstance(value, float) else f"{key}={value}" for key, value in row.items()),
        )


def main() -> None:
    """Measure the parts that are asked for."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of real_vlm, fashion_mnist, fer2013 and others"
    )
    parser.add_argument("--parts", nargs="+", choices=(*PARTS, "unknown"), default=(*PARTS, "unknown"))
    options = parser.parse_args()
    loaded = list(cells(options.data)) if set(options.parts) & set(PARTS) else []
    for part in options.parts:
        begun = time.process_time()
        if part == "unknown":
            rows = [measures.rejected(pool, n, REPEATS["unknown"]) for pool in pools(options.data) for n in LOOKED_AT]
        else:
            rows = [row for cell in loaded for row in PARTS[part](cell)]
        seconds = round(time.process_time() - begun, 1)
        print_rows(part, rows)
        result = read(RESULTS, True)
        result["command"], result["repeats"] = "python -m benchmarks.audits --data FOLDER", REPEATS
        result["processor_seconds"] = {**result.get("processor_seconds", {}), part: seconds}
        result[part] = rows
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
