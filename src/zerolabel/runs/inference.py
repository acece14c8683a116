"""A trained classifier on images: predictions as a table, and metrics against true labels."""

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.adaptation import deployment as adaptation
from zerolabel.annotations.digest import content_hash
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.data.label_files import Labels
from zerolabel.deployment.classifier import Classifier
from zerolabel.errors import InputError
from zerolabel.errors.printable import visible
from zerolabel.evaluation import metrics
from zerolabel.files import delimited, parquet, replacing
from zerolabel.training import best_device
from zerolabel.training.settings import check_device
from zerolabel.vlms import adapted


def open_classifier(folder: Path, device: str = "cpu") -> Classifier:
    """Load the classifier in its own folder, in a run's folder, or in the folder of an adapted model.

    Raises:
        InputError: there is none.
    """
    check_device(device)
    if (folder / adapted.RECORD).is_file():
        return adaptation.classifier(folder, best_device(device))
    return Classifier.load(folder, best_device(device))


def evaluate_classifier(folder: Path, images: str, truth: str, device: str) -> dict[str, Any]:
    """Accuracy of a classifier on the readable images with a true label.

    Raises:
        InputError: no classifier, image or true label is found, or they do not match.
    """
    classifier, found = open_classifier(folder, device), ImageSet.open(images)
    hashes = [content_hash(found, i) for i in range(len(found))]
    labels = Labels.read(truth, Classes(classifier.classes)).match(found.file_names, hashes, subset=True)
    p = classifier.predict_proba(found)
    readable = ~p.isnan().any(1)
    if not bool((labels[readable] >= 0).any()):
        raise InputError(f"the labels {truth} give the class of no readable image in {images}; give its own labels.")
    return {
        **metrics.evaluate(p[readable], labels[readable], classifier.classes),
        "n_skipped": int((~readable).sum()),
        "student_parameters": classifier.n_parameters,
    }


def predictions(folder: Path, images: str, abstain: bool, threshold: float | None, device: str) -> pd.DataFrame:
    """Predict ``file_name``, ``label`` and ``confidence`` of every image; no label if the classifier abstains.

    Args:
        folder: folder of a classifier or a run.
        images: folder or list of images.
        abstain: abstain below the classifier's own threshold.
        threshold: abstain below this confidence instead.
        device: torch device.

    Raises:
        InputError: no classifier or image is found, or the classifier has no threshold.
    """
    classifier, found = open_classifier(folder, device), ImageSet.open(images)
    if abstain and threshold is None and classifier.threshold is None:
        raise InputError(f"the classifier in {folder} has no threshold; give --threshold a confidence.")
    limit = threshold if threshold is not None else classifier.threshold if abstain else None
    p: Float[Tensor, "N C"] = classifier.predict_proba(found)
    confidence = torch.where(p.isnan().any(1), torch.nan, p.nan_to_num().amax(1))
    return pd.DataFrame(
        {"file_name": found.file_names, "label": classifier.decide(p, limit), "confidence": confidence.tolist()}
    )


def write_table(table: pd.DataFrame, path: Path | None) -> None:
    """Write a table as Parquet or CSV; without a path, as CSV to standard output.

    Raises:
        InputError: the file cannot be written.
    """
    if path is None:
        if sys.stdout.isatty():
            names = {name: table[name].map(lambda text: text and visible(text)) for name in ("file_name", "label")}
            table = table.assign(**names)
        delimited.write_table(table, sys.stdout)
        return
    with replacing(path) as partial:
        if path.suffix.lower() == ".parquet":
            parquet.write_frame(table, partial)
        else:
            delimited.write_table(table, partial)
