"""Every format of a classifier beside torch and beside each other: ``python -m benchmarks.exports``.

A student learns the handwritten digits of scikit-learn from the votes of the embedded model, and is exported to each
format and precision. Held-out digits decide whether an answer is that of torch. One image at a time on one thread, in
turns with ONNX in float32, so that a busy machine slows both; the figure is the ratio of the medians. A format whose
converter is not installed, or that this system cannot run, is told with the reason.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
import torch

from benchmarks.training_speed import machine
from zerolabel import cli
from zerolabel.cli.demo_data import write_digits
from zerolabel.data.images import ImageSet
from zerolabel.deployment.classifier import Classifier
from zerolabel.deployment.export import Exported, export
from zerolabel.deployment.formats import FORMATS
from zerolabel.deployment.quantize import quantize
from zerolabel.errors import InputError
from zerolabel.files import write_text

RESULT = Path(__file__).parent / "results" / "exports.json"
FLAVORS = [
    *((layout, precision) for layout in ("uint8", "nchw") for precision in ("float32", "float16")),
    ("uint8", "int8"),
    *((form.name, precision) for form in FORMATS.values() for precision in form.precisions),
]
RUNS = 200
Act = Callable[[], object]


def trained(folder: Path) -> tuple[Classifier, ImageSet]:
    """The student of a short run, and the held-out images."""
    digits = write_digits(folder / "digits")
    words = ["run", digits.train, "-c", ",".join(digits.classes), "--vlm", "glyphs", "-o", folder / "run", "--no-flip"]
    cli.main([str(word) for word in [*words, "--student", "light", "--method", "proden", "--epochs", 10]])
    return Classifier.load(folder / "run" / "classifier"), ImageSet.open(digits.test)


def of_session(path: Path, images: ImageSet, size: int) -> Act:
    """A prediction by ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    first = np.asarray(images.read(0))[None] if given.name == "image" else np.zeros((1, 3, size, size), np.float32)
    return lambda: session.run(None, {given.name: first})


def written(
    classifier: Classifier, images: ImageSet, layout: str, precision: str, path: Path
) -> tuple[Exported, Act | None]:
    """Export one flavor; returns its comparison with torch, and a prediction, or None where it cannot be run.

    Raises:
        InputError: its converter is not installed.
    """
    assert classifier.preprocess is not None
    size = classifier.preprocess.size
    if layout in FORMATS:
        done = export(classifier, path, images, layout=layout, precision=precision)
        with tempfile.TemporaryDirectory() as place:
            answer = FORMATS[layout].convert(classifier, Path(place), precision)
        return done, None if answer is None else lambda: answer(np.zeros((1, 3, size, size), np.float32))
    if precision == "int8":
        made = quantize(path.with_name("onnx-uint8-float32"), path, images)
        done = Exported(None, made.agreement, made.n_checked, made.n_bytes)
        return done, of_session(path, images, size) if made.kept else None
    done = export(classifier, path, images, layout=layout, precision=precision)
    return done, of_session(path, images, size)


def ratio(act: Act, beside: Act) -> float:
    """Median time over that of another, in turns."""
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(RUNS):
        for each, seconds in zip((act, beside), spent, strict=True):
            start = time.perf_counter()
            each()
            seconds.append(time.perf_counter() - start)
    return median(spent[0]) / median(spent[1])


def rows(classifier: Classifier, images: ImageSet, work: Path) -> Iterator[dict[str, Any]]:
    """A row of each flavor; the first is the one that times are relative to."""
    beside: Act | None = None
    for layout, precision in FLAVORS:
        name = layout if layout in FORMATS else f"onnx {layout}"
        row: dict[str, Any] = {"format": name, "precision": precision}
        path = work / f"{name.replace(' ', '-')}-{precision}"
        try:
            done, act = written(classifier, images, layout, precision, path)
        except InputError as error:
            yield {**row, "skipped": str(error)}
            continue
        beside = beside or act
        facts = {"agreement": done.agreement, "max_difference": done.max_difference, "n_checked": done.n_checked}
        relative = {} if act is None or beside is None else {"time": round(ratio(act, beside), 2)}
        yield {**row, "mb": round(done.n_bytes / 1e6, 3), **facts, **relative}


def table(path: Path = RESULT) -> tuple[list[str], list[list[str]]]:
    """Head and rows for the documentation."""
    body = []
    for row in json.loads(path.read_text(encoding="utf-8"))["rows"]:
        name = [row["format"], row["precision"]]
        if "skipped" in row:
            body.append([*name, "", "not installed", "", ""])
            continue
        checked, far = row["n_checked"], row["max_difference"]
        same = f"{100 * row['agreement']:.1f}% of {checked}" if checked else "cannot be run there"
        body.append([*name, f"{row['mb']:.2f}", same, "" if far is None else f"{far:.0e}", f"{row.get('time', '')}"])
    return ["format", "weights", "MB", "same class as torch", "largest difference", "time of ONNX"], body


def main(arguments: list[str] | None = None) -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exports", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        classifier, images = trained(Path(work))
        found = list(rows(classifier, images, Path(work)))
    facts = {"command": "python -m benchmarks.exports", "hardware": machine(), "images": len(images), "rows": found}
    write_text(options.out, json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
