"""The stage after annotation in open-set runs: out-of-distribution images become the class "unknown"."""

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from zerolabel.annotate import Annotated
from zerolabel.data.images import ImageSet
from zerolabel.diagnostics import open_set
from zerolabel.runs.base_model import annotate_with_base, base_name
from zerolabel.runs.context import Context


def split_unknown(
    context: Context, annotated: Annotated, held_out: Annotated | None
) -> tuple[Context, Annotated, Annotated | None]:
    """The run with a further class "unknown", which holds the images below the threshold; unchanged if not open-set."""
    if not context.config.data.open_set:
        return context, annotated, held_out
    scores = mcm_scores(context, annotate_with_base(context, annotated.images))
    threshold = open_set.threshold(scores)
    split = replace(annotated, annotations=open_set.with_unknown(annotated.annotations, scores < threshold))
    split.annotations.save(context.folder / "annotations.parquet")
    if held_out is not None:
        unknown = mcm_scores(context, annotate_with_base(context, held_out.images)) < threshold
        held_out = replace(held_out, annotations=open_set.with_unknown(held_out.annotations, unknown))
        held_out.annotations.save(context.folder / "test_annotations.parquet")
    data = context.config.data
    data = replace(data, classes=(*data.classes, open_set.NAME), aliases=(*data.aliases, ()))
    return replace(context, config=replace(context.config, data=data)), split, held_out


def in_distribution(context: Context) -> ImageSet:
    """The training images at or above the open-set threshold."""
    base = annotate_with_base(context, ImageSet.open(context.config.data.images))
    scores = mcm_scores(context, base)
    kept = (scores >= open_set.threshold(scores)).nonzero().squeeze(1).tolist()
    return base.images.named(tuple(base.images.file_names[i] for i in kept))


def mcm_scores(context: Context, base: Annotated) -> Float[Tensor, " N"]:
    """Maximum concept matching score of each image: high for images of a named class."""
    scale = context.model(base_name(context)).logit_scale
    return open_set.mcm_of_scores(base.annotations.scores, scale)
