"""Classify embeddings with an exported classifier: python predict.py classifier.onnx EMBEDDINGS.npy ... [--csv].

Exit codes: 0 where all files have answers, 1 where some could not be read or the reader of the output has gone, 2 where
nothing could be done, 130 after an interruption.
"""

import argparse
import csv
import json
import os
import sys
from pathlib import Path
from typing import NoReturn

import numpy as np
import onnxruntime

BATCH = 4096


def fail(message: str) -> NoReturn:
    """End with exit code 2."""
    print(message.splitlines()[0], file=sys.stderr)
    sys.exit(2)


def main() -> None:
    """Print file, row, label and confidence of each embedding; exit codes are those of the file's first lines."""
    parser = argparse.ArgumentParser(description="Classify embeddings with an exported classifier.")
    parser.add_argument("model", help="classifier.onnx")
    parser.add_argument("embeddings", nargs="+", type=Path, help=".npy files of N x D")
    parser.add_argument("--csv", action="store_true", help="print CSV with a header")
    parser.add_argument("--threshold", action="store_true", help="'unknown' below the threshold stored in the model")
    args = parser.parse_args()
    try:
        session = onnxruntime.InferenceSession(args.model, providers=["CPUExecutionProvider"])
        metadata = session.get_modelmeta().custom_metadata_map
        classes, least = json.loads(metadata["classes"]), json.loads(metadata["threshold"]) if args.threshold else 0
        if session.get_inputs()[0].name != "embeddings":
            raise ValueError("it reads images; use the predict.py that was written beside it")
    except Exception as error:
        fail(f"{args.model} is not an exported classifier of embeddings: {error}")
    if least is None:
        fail(f"{args.model} stores no threshold.")
    wanted = session.get_inputs()[0].shape[1]
    rows = csv.writer(sys.stdout, delimiter="," if args.csv else "\t", lineterminator="\n")
    rows.writerows([("file", "row", "label", "confidence")] * args.csv)
    failed = False
    for file in args.embeddings:
        try:
            matrix = np.load(file, mmap_mode="r", allow_pickle=False)
            if matrix.ndim != 2 or matrix.shape[1] != wanted:
                raise ValueError(f"it holds {matrix.shape}, and the model reads N x {wanted}")
        except Exception as error:  # a damaged file must not stop the others
            failed = True
            print(f"{file} cannot be read: {error}".splitlines()[0], file=sys.stderr)
            continue
        for start in range(0, len(matrix), BATCH):
            (found,) = session.run(None, {"embeddings": np.asarray(matrix[start : start + BATCH], np.float32)})
            for row, p in enumerate(found, start):
                rows.writerow((file, row, classes[p.argmax()] if p.max() >= least else "unknown", f"{p.max():.4f}"))
    sys.stdout.flush()
    sys.exit(int(failed))


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:  # the reader of standard output has gone, as after `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
