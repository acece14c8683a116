"""Everything that reads votes, scores or features, on outputs of real models: ``python -m benchmarks.real_vlm``.

Writes ``benchmarks/results/real_vlm.json`` after every row, and goes on where it was stopped: a training that is there
is not repeated, unless ``--again`` asks for it. Parts without training take seconds each and are measured as a whole.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from benchmarks.real_vlm import cells
from zerolabel.files import write_text
from zerolabel.files.plain_json import dumps

RESULTS = Path("benchmarks/results/real_vlm.json")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "parts",
        nargs="*",
        help=f"{', '.join(cells.PARTS)}, few_images, learners, two_encoders, other_data; all if left out",
    )
    parser.add_argument("--again", action="store_true", help="repeat trainings that are there")
    parser.add_argument("--most", type=int, default=10**6, help="trainings in this call")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for part, rows in cells.PARTS.items():
        if not asked.parts or part in asked.parts:
            write(part, list(rows()))
    left = asked.most
    for part, wanted, row in cells.trainings():
        if (asked.parts and part not in asked.parts) or not left:
            continue
        there = {tuple(found["key"]): found for found in read().get(part, [])}
        if wanted in there and not asked.again:
            continue
        made = {"key": list(wanted), **row()}
        there = {tuple(found["key"]): found for found in read().get(part, [])}
        write(part, list({**there, wanted: made}.values()))
        print(json.dumps(made), flush=True)
        left -= 1


def read() -> dict[str, Any]:
    """What was measured so far."""
    return dict(json.loads(RESULTS.read_text(encoding="utf-8"))) if RESULTS.is_file() else {}


def write(part: str, rows: list[dict[str, Any]]) -> None:
    """Put a part into the file, whole."""
    write_text(RESULTS, dumps({**read(), part: rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
