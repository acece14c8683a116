"""Deployment by the answers of a review: the student or the zero-shot ensemble, whichever they call better.

Alarms decide without labels (`zerolabel.runs.stages.deployment`), and answers of a review overrule them: the exact
comparison on images where the two differ, as soon as it is decided; else the intervals of both on the same random
sample, where they do not overlap. Where the answers decide nothing, what is deployed stays.
"""

import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from zerolabel import report
from zerolabel.annotate import Annotated, embed
from zerolabel.annotations import Annotations
from zerolabel.data.images import ImageSet
from zerolabel.deployment.classifier import Classifier
from zerolabel.review.recording import ACCURACY, OTHER, VERDICT
from zerolabel.runs.config import Config
from zerolabel.runs.folder import Folder, write_json
from zerolabel.runs.provenance import provenance
from zerolabel.runs.stages.adaptation import adapt_encoder
from zerolabel.runs.stages.deployment import best_model, export_classifier, zero_shot_classifier
from zerolabel.runs.workspace import Workspace

STUDENT, ZERO_SHOT = "student", "zero-shot"


def found_better(metrics: Mapping[str, Any]) -> tuple[str, str] | None:
    """Which of the two the answers in ``metrics.json`` call better, and the sentence that says why; none if neither.

    Example:
        >>> verdict = {"pair": ["student", "zero-shot"], "better": "second", "answers": 9, "first": 0, "second": 8}
        >>> found_better({"review_verdict": verdict})[0]
        'zero-shot'
    """
    verdict = metrics.get(VERDICT)
    if verdict is not None and verdict["better"] in ("first", "second"):
        first, second = verdict["pair"]
        return first if verdict["better"] == "first" else second, (
            f"A person checked {verdict['answers']} images on which they differ: {first} right {verdict['first']}, "
            f"{second} right {verdict['second']}."
        )
    own, other = metrics.get(ACCURACY), metrics.get(OTHER)
    if own is None or other is None:
        return None
    deployed = str(metrics.get("deployed", STUDENT))
    names = {deployed: own, other["of"]: other}
    better, worse = sorted(names, key=lambda name: -float(names[name]["low"]))
    if names[better]["low"] <= names[worse]["high"]:
        return None
    ends = (f"{name} {one['low']:.1%} to {one['high']:.1%} right" for name, one in names.items())
    return better, f"A person checked {own['n_answers']} random images: {', '.join(ends)}."


def settle(path: Path, cache: Path) -> str | None:
    """Deploy what the answers of a review call better; ``metrics.json``, the report and the model card say so.

    Args:
        path: folder of a finished run, whose ``metrics.json`` carries what was measured.
        cache: folder of image features.

    Returns:
        What is deployed and why, in a sentence; none where the answers decide nothing.

    Raises:
        InputError: a file of the run is damaged, or its images are gone.
    """
    metrics = json.loads((path / "metrics.json").read_text(encoding="utf-8"))
    decided = found_better(metrics)
    if decided is None:
        return None
    better, why = decided
    if better != metrics.get("deployed", STUDENT) and not _deploy(better, path, cache, metrics):
        why += " There is no annotating model on this machine that can be deployed in its place."
        better = str(metrics["deployed"])
    metrics |= {"deployed": better, "deployed_by": "review", "fallback_reason": why if better == ZERO_SHOT else None}
    metrics["deployment_reason"] = why
    write_json(path / "metrics.json", metrics)
    report.write(path)
    return f"deployed is the {'zero-shot ensemble' if better == ZERO_SHOT else better}. {why}"


def _deploy(name: str, path: Path, cache: Path, metrics: dict[str, Any]) -> bool:
    """Put the student or the zero-shot ensemble into ``classifier/`` and export it; False where there is none."""
    config = Folder(path).config()
    workspace = Workspace(Folder(path), _silent, cache, config.training.device)
    kept = path / "student"
    if name == STUDENT:
        classifier = Classifier.load(kept)
    else:
        found = _zero_shot(config, workspace)
        if found is None:
            return False
        classifier = found
        Classifier.load(path / "classifier").save(kept)
    classifier.save(path / "classifier")
    names = config.annotation.names
    metrics |= export_classifier(workspace, classifier, _sample(config, workspace, classifier), names)
    metrics[ACCURACY], metrics[OTHER] = _exchanged(metrics)
    return True


def _exchanged(metrics: Mapping[str, Any]) -> tuple[Any, Any]:
    """The measured accuracies of what is deployed and of the other, after the two have changed places."""
    own, other = metrics.get(ACCURACY), metrics.get(OTHER)
    if own is None or other is None:
        return own, other
    return {key: value for key, value in other.items() if key != "of"}, {"of": metrics["deployed"], **own}


def _zero_shot(config: Config, workspace: Workspace) -> Classifier | None:
    """The zero-shot ensemble of a finished run; none where no annotating model can be deployed."""
    annotation = adapt_encoder(config.data, config.annotation, config.training, workspace)
    annotations = Annotations.load(workspace.folder / "annotations.parquet")
    annotated = _annotated(annotations, config.data.images)
    name, _ = best_model(config.data, annotation, workspace, annotations)
    if name is None:
        return None
    made = provenance(config, annotated)
    return zero_shot_classifier(config.data, annotation, workspace, name, annotated, made)


def _annotated(annotations: Annotations, images: str) -> Annotated:
    """Finished annotations with their images, without features."""
    return Annotated(
        annotations, ImageSet.open(images).named(annotations.file_names), annotations.scores[:, :0], (), 0.0, None
    )


def _sample(config: Config, workspace: Workspace, classifier: Classifier) -> Annotated:
    """The images that an exported graph is compared with torch on."""
    held_out = workspace.folder / "test_annotations.parquet"
    file, images = held_out, config.data.test_images
    if images is None or not held_out.is_file():
        file, images = workspace.folder / "annotations.parquet", config.data.images
    found = _annotated(Annotations.load(file), images)
    if classifier.dimensions is None:
        return found
    embedding = embed(found.images, workspace.model(config.annotation.required_encoder), cache=workspace.cache)
    deque(embedding.steps, 0)
    return replace(found, features=embedding.features)


def _silent(stage: str, steps: Iterator[Any]) -> Iterator[Any]:
    return steps


__all__ = ["found_better", "settle"]
