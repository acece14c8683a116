"""The stage after annotation: features of vision-only encoders, beside those of the annotating model."""

from collections import deque
from dataclasses import replace

from zerolabel.annotate import Annotated, embed
from zerolabel.annotate.run import Vision
from zerolabel.runs.config import AnnotationConfig
from zerolabel.runs.stages.voting import without
from zerolabel.runs.workspace import Workspace
from zerolabel.vlms.clip import DualEncoder
from zerolabel.vlms.vision import EmbeddedVision, VisionEncoder


def add_vision(annotation: AnnotationConfig, workspace: Workspace, annotated: Annotated) -> Annotated:
    """Add the features of the vision-only encoders; images without any are left out, and listed.

    A head reads them where it can be deployed with them: beside a model that encodes images, those of encoders of
    images; beside embeddings, embeddings.
    """
    for name in annotation.vision_encoders:
        encoder = vision_encoder(annotation, workspace, name)
        embedding = embed(annotated.images, encoder, cache=workspace.cache)
        deque(workspace.progress(f"encode by {name}", embedding.steps), 0)
        features = embedding.features
        if embedding.skipped:
            before = [one.features for one in annotated.vision]
            said, images, own = without(annotated.annotations, annotated.images, annotated.features, embedding.skipped)
            gone = {left_out for left_out, _ in embedding.skipped}
            kept = [i for i, image in enumerate(annotated.images.file_names) if image not in gone]
            vision = tuple(
                replace(one, features=part[kept]) for one, part in zip(annotated.vision, before, strict=True)
            )
            skipped = (*annotated.skipped, *embedding.skipped)
            annotated = replace(
                annotated, annotations=said, images=images, features=own, skipped=skipped, vision=vision
            )
            features = features[kept]
        joins = isinstance(workspace.model(annotation.required_encoder), DualEncoder) == isinstance(
            encoder, VisionEncoder
        )
        added = Vision(name, encoder.revision, features, joins)
        annotated = replace(annotated, vision=(*annotated.vision, added))
    return annotated


def vision_encoder(annotation: AnnotationConfig, workspace: Workspace, name: str) -> VisionEncoder | EmbeddedVision:
    """A vision-only encoder that reads the pixels which the annotating model reads."""
    model = workspace.model(annotation.required_encoder)
    return workspace.vision(name, model.view if isinstance(model, DualEncoder) else None)


__all__ = ["add_vision", "vision_encoder"]
