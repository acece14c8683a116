"""The stage after annotation in open-set runs: out-of-distribution images become the class "unknown"."""

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from zerolabel.annotate import Annotated
from zerolabel.data.images import ImageSet
from zerolabel.diagnostics import open_set
from zerolabel.runs.base_model import annotate_with_base, base_model
from zerolabel.runs.config import AnnotationConfig, DataConfig
from zerolabel.runs.workspace import Workspace


def split_unknown(
    data: DataConfig,
    annotation: AnnotationConfig,
    workspace: Workspace,
    annotated: Annotated,
    held_out: Annotated | None,
) -> tuple[DataConfig, Annotated, Annotated | None]:
    """Add a class "unknown" with the images below the open-set threshold; all unchanged if the run is not open-set."""
    if not data.open_set:
        return data, annotated, held_out
    scores = mcm_scores(data, annotation, workspace, annotated.images)[1]
    threshold = open_set.threshold(scores)
    annotated = replace(annotated, annotations=open_set.with_unknown(annotated.annotations, scores < threshold))
    annotated.annotations.save(workspace.folder / "annotations.parquet")
    if held_out is not None:
        unknown = mcm_scores(data, annotation, workspace, held_out.images)[1] < threshold
        held_out = replace(held_out, annotations=open_set.with_unknown(held_out.annotations, unknown))
        held_out.annotations.save(workspace.folder / "test_annotations.parquet")
    return replace(data, classes=(*data.classes, open_set.NAME), aliases=(*data.aliases, ())), annotated, held_out


def in_distribution(data: DataConfig, annotation: AnnotationConfig, workspace: Workspace) -> ImageSet:
    """The training images at or above the open-set threshold."""
    images, scores = mcm_scores(data, annotation, workspace, ImageSet.open(data.images))
    kept = (scores >= open_set.threshold(scores)).nonzero().squeeze(1).tolist()
    return images.named(tuple(images.file_names[i] for i in kept))


def mcm_scores(
    data: DataConfig, annotation: AnnotationConfig, workspace: Workspace, images: ImageSet
) -> tuple[ImageSet, Float[Tensor, " N"]]:
    """The N readable images, and their maximum concept matching scores: high for images of a named class."""
    base = annotate_with_base(annotation, data.names, workspace, images)
    scale = workspace.model(base_model(annotation, workspace).name).logit_scale
    return base.images, open_set.mcm_of_scores(base.annotations.scores, scale)


__all__ = ["in_distribution", "mcm_scores", "split_unknown"]
