"""Digests of what four commands leave, to see that moving code changed no bit.

python -m tools.same_bits WORK            prints them
python -m tools.same_bits WORK --expect tools/same_bits.json   compares, and exits with 1 on a difference
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pyarrow.parquet as pq
from safetensors.numpy import load_file

TIMES = {"seconds", "created", "command", "zerolabel", "folder", "images_per_second", "reproduce", "output"}


def zerolabel(*arguments: object) -> None:
    """Run the command line on one thread."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-m", "zerolabel", *map(str, arguments)], check=True, env=environment, stdout=sys.stderr
    )


def plain(value: Any) -> Any:
    """JSON data without durations, paths and versions."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if key not in TIMES}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def digest(path: Path) -> str:
    """Of the numbers in a file, whatever its container says of time and version."""
    total = hashlib.sha256()
    if path.suffix == ".safetensors":
        for name, array in sorted(load_file(path).items()):
            total.update(name.encode() + np.ascontiguousarray(array).tobytes())
    elif path.suffix == ".onnx":
        for tensor in onnx.load(path).graph.initializer:
            total.update(onnx.numpy_helper.to_array(tensor).tobytes())
    elif path.suffix == ".parquet":
        frame = pq.ParquetFile(path).read().to_pandas()
        total.update(frame.drop(columns=[name for name in frame if "seconds" in name]).to_json().encode())
    elif path.suffix == ".json":
        total.update(json.dumps(plain(json.loads(path.read_text())), sort_keys=True).encode())
    elif path.suffix == ".csv":
        total.update(pd.read_csv(path).to_json().encode())
    return total.hexdigest()[:16]


def run_all(work: Path) -> None:
    """The demo, a run on features, a comparison of three learners and an adaptation."""
    digits, classes = work / "demo-digits", ",".join("0123456789")
    zerolabel("demo", "-o", work / "demo")
    common = (digits / "train", "--classes", classes, "--vlm", "glyphs")
    zerolabel("run", *common, "-o", work / "features", "--student", "features", "--cache", work / "cache")
    zerolabel(
        "compare", digits / "train", work / "demo", "-o", work / "compared", "--seeds", 1, "--epochs", 3,
        "--methods", "coreg,proden,dividemix",
    )  # fmt: skip
    zerolabel("adapt", *common, "-o", work / "adapted", "--method", "grip", "--epochs", 20, "--cache", work / "cache")


def digests(work: Path) -> dict[str, str]:
    """Of every file of numbers in the four folders, by its path."""
    names = ("annotations.parquet", "predictions.parquet", "metrics.json", "results.parquet", "skipped.csv")
    return {
        str(path.relative_to(work)): digest(path)
        for part in ("demo", "features", "compared", "adapted")
        for path in sorted((work / part).rglob("*"))
        if path.suffix in (".safetensors", ".onnx") or path.name in names
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--expect", type=Path)
    arguments = parser.parse_args()
    run_all(arguments.work.absolute())
    found = digests(arguments.work.absolute())
    print(json.dumps(found, indent=2))
    if arguments.expect:
        expected = json.loads(arguments.expect.read_text())
        wrong = sorted(name for name in found | expected if found.get(name) != expected.get(name))
        sys.exit(f"different: {', '.join(wrong)}" if wrong else 0)


if __name__ == "__main__":
    main()
