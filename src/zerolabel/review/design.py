"""The sampling design of a review, for exports that a team labels elsewhere."""

from pathlib import Path

import numpy as np

from zerolabel.data.answers import RANDOM
from zerolabel.integrations.sampling import Drawn
from zerolabel.review.review import Review
from zerolabel.review.sources import open_subject


def design_of(annotations: Path, images: str | None, n: int | None) -> dict[str, Drawn]:
    """The images that measure a run or annotations, in their order; empty where none were planned.

    Args:
        annotations: file of annotations; if it is in the folder of a run, the sample is that of the run.
        images: the images; None where the folder says where they are.
        n: images to draw; None takes the number that a review planned before.

    Raises:
        InputError: the images are gone.
    """
    folder = annotations.parent
    path = folder if (folder / "predictions.parquet").is_file() else annotations
    if n is None and not (folder / "review" / "plan.json").is_file():
        return {}
    review = Review(open_subject(path, images), n=n)
    sampled, names = review.sampled, review.subject.measured.images.file_names
    _ = review.planned
    sizes, first = np.bincount(sampled.strata), sampled.order[: review.n]
    share = np.bincount(sampled.strata[first], minlength=len(sizes)) / sizes
    chances = share[sampled.strata[first]].tolist()
    return {names[place]: Drawn(RANDOM, chance) for place, chance in zip(sampled.first(review.n), chances, strict=True)}
