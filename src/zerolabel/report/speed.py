"""Latency and size of the classifier beside its annotators: one table for the report and the model card."""

from typing import Any

from zerolabel.report.formats import magnitude, plural, short, size
from zerolabel.report.run import Run

CLASSIFIER = "classifier"


def head(run: Run) -> tuple[str, ...]:
    """Head of the table: the classifier and each measured annotator."""
    return ("", "Classifier", *_annotators(run))


def rows(run: Run) -> list[tuple[str, ...]]:
    """Sizes, then milliseconds per image by batch and threads; none where nothing was measured."""
    figures = _figures(run)
    if not figures:
        return []
    models = (CLASSIFIER, *_annotators(run))
    by_place = {(one["batch"], one["threads"], one["model"]): one["milliseconds"] for one in figures}
    metrics, file, others = run.metrics, run.folder / "classifier.onnx", len(models) - 1
    found: list[tuple[str, ...]] = []
    if file.is_file():
        found.append(("Size of the ONNX file", size(file.stat().st_size), *["–"] * others))
    if others < 2:
        known = [metrics.get("student_parameters"), metrics.get("vlm_parameters")][: others + 1]
        found.append(("Parameters", *map(magnitude, known)))
    for batch, threads in dict.fromkeys((one["batch"], one["threads"]) for one in figures):
        times = [by_place.get((batch, threads, model)) for model in models]
        cells = ["–" if value is None else f"{short(value)} ms" for value in times]
        label = "One image" if batch == 1 else f"Each image of a batch of {batch}"
        found.append((f"{label}, {plural(threads, 'thread')}", *cells))
    return found


def note(run: Run) -> str:
    """Conditions of the measurement, as a sentence."""
    measured = run.metrics["latency"]
    return (
        "Milliseconds per image on the machine of the run, measured in about a second: the classifier by ONNX Runtime "
        f"on decoded images of {measured['width']} × {measured['height']} pixels, an annotator’s encoder by torch."
    )


def _figures(run: Run) -> list[dict[str, Any]]:
    return list((run.metrics.get("latency") or {}).get("figures") or [])


def _annotators(run: Run) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(one["model"]) for one in _figures(run) if one["model"] != CLASSIFIER))
