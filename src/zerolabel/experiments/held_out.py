"""Annotates the held-out images of a comparison, so that its annotators are judged on the images of the learners."""

import warnings
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotate import Annotated
from zerolabel.annotations import Annotations
from zerolabel.data.images import ImageSet
from zerolabel.errors import InputError
from zerolabel.experiments.plan import Comparison
from zerolabel.runs.folder import Folder
from zerolabel.runs.stages.annotation import annotate_held_out
from zerolabel.runs.workspace import Workspace

FILE = "test_annotations.parquet"


def held_out_scores(comparison: Comparison, folder: Path, annotations: Annotations) -> Float[Tensor, "N C"] | None:
    """Scores that the annotating models give the held-out images; prompts and their weights are those of training.

    They are kept in the cache of the comparison. None if no annotator is a model that can be asked again, such as with
    imported votes, or one cannot be loaded; a warning says so.
    """
    if comparison.test is None:
        return None
    place, config = folder / "cache", next(iter(comparison.configs.values()))
    if not (place / FILE).is_file():
        workspace = Workspace(
            Folder(place), lambda _, steps: steps, place / "features", config.training.settings.get("device", "auto")
        )
        train = Annotated(annotations, ImageSet.open(config.data.images), torch.zeros(0, 0), (), 0.0, None)
        data = replace(config.data, test_images=comparison.test)
        try:
            annotate_held_out(data, config.annotation, workspace, train, features=False)
        except InputError as error:
            warnings.warn(f"the annotators are not judged on {comparison.test}: {error}", stacklevel=2)
            return None
    found = Annotations.load(place / FILE)
    return found.scores if bool((found.n_votes > 0).any()) else None


__all__ = ["held_out_scores"]
