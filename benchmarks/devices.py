"""Training in two processes beside training in one: ``python -m benchmarks.devices``.

Each row is a call of ``zerolabel train`` on the handwritten digits: one process on one core, one process on two cores,
and two processes (``--devices 2``, gloo) on a core each. For each learner and seed they run one after the other, and
the speed-up is by their training times, so it is to be measured where nothing else runs. Rows go to
``benchmarks/results/devices.json`` as they are measured; others stay there.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any
from unittest.mock import patch

from benchmarks import committed, pools
from benchmarks.training_speed import machine
from zerolabel.files import write_text

RESULT = Path(__file__).parent / "results" / "devices.json"
LEARNERS = ("coreg", "cross_entropy")
PLACES = {"1 process, 1 core": (1, 1), "1 process, 2 cores": (1, 2), "2 processes, 1 core each": (2, 1)}
"""Processes, and threads of each."""
SEEDS, EPOCHS = 3, 10
KEYS = ("learner", "place", "seed")


def row(pool: pools.Pool, learner: str, place: str, seed: int, out: Path) -> dict[str, Any]:
    """Held-out accuracy and seconds of training of one call."""
    processes, threads = PLACES[place]
    with patch.dict(os.environ, OMP_NUM_THREADS=str(threads)):
        pools.zerolabel(
            "train", pool.folder / "train", pool.annotations, "-o", out, "--method", learner, "--student", "light",
            "--via", "none", "--no-flip", "--epochs", EPOCHS, "--seed", seed, "--device", "cpu", "--devices", processes,
            "--test", pool.folder / "test", "--truth", pool.truth,
        )  # fmt: skip
    found = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    facts = {"accuracy": found["student_accuracy"], "seconds": found["seconds"]["train"]}
    return {"learner": learner, "place": place, "seed": seed, **facts}


def main() -> None:
    """Measure what is asked for, place by place."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.devices", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--methods", nargs="*", default=LEARNERS, help="only these learners")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        pool = pools.digits(Path(work) / "pool", Path())
        for learner in options.methods:
            for seed in range(options.seeds):
                for place in PLACES:
                    done = row(pool, learner, place, seed, Path(work) / f"{learner}-{seed}-{PLACES[place]}")
                    print(json.dumps(done), flush=True)
                    rows = committed.renew(committed.read(RESULT, True).get("rows", []), [done], KEYS)
                    facts = {"command": "python -m benchmarks.devices", "epochs": EPOCHS, "hardware": machine()}
                    write_text(RESULT, json.dumps({**facts, "rows": rows}, indent=1) + "\n")


def table() -> tuple[list[str], list[list[str]]]:
    """Head and rows for the documentation: accuracy of the seeds, and the median speed-up over one core."""
    rows = json.loads(RESULT.read_text(encoding="utf-8"))["rows"]
    seconds = {tuple(one[key] for key in KEYS): one["seconds"] for one in rows}
    body = []
    for learner in dict.fromkeys(one["learner"] for one in rows):
        for place in PLACES:
            mine = [one for one in rows if (one["learner"], one["place"]) == (learner, place)]
            accuracies = [100 * one["accuracy"] for one in mine]
            ratios = [seconds[learner, next(iter(PLACES)), one["seed"]] / one["seconds"] for one in mine]
            shown = f"{mean(accuracies):.1f} ± {stdev(accuracies):.1f}"
            body.append([f"`{learner}`", place, shown, f"{median(ratios):.2f}"])
    return ["learner", "", "held-out accuracy, %", "times as fast"], body


if __name__ == "__main__":
    main()
