"""Class names in the text space of an annotating model."""

import torch

from zerolabel import vlms
from zerolabel.annotate import text_features
from zerolabel.annotations import Annotations
from zerolabel.data.classes import Classes
from zerolabel.diagnostics.inspection import TextSpace
from zerolabel.vlms.names import is_encoder

MOST_CLASSES = 2_000
"""Beyond so many, encoding the names takes minutes on a processor, and their letters are compared instead."""


def text_space(annotations: Annotations) -> TextSpace | None:
    """The class names in the text space of the first annotator's model; None where that is not on this machine."""
    model = annotations.annotators[0].model if annotations.annotators else ""
    if len(annotations.classes) > MOST_CLASSES or not (is_encoder(model) and vlms.is_cached(model)):
        return None
    encoder = vlms.load(model)
    templates = [annotator.template for annotator in annotations.annotators if annotator.model == model]
    texts = text_features(encoder, Classes(annotations.classes), templates).mean(0)
    return TextSpace(model, torch.nn.functional.normalize(texts, dim=-1), encoder.logit_scale)
