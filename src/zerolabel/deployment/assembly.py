"""From trained networks, or from the annotating model itself, to a classifier that can be deployed."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from zerolabel import networks
from zerolabel.annotate import text_features
from zerolabel.annotate.prompt_weights import weighted_texts
from zerolabel.annotations import Annotations
from zerolabel.blocks import targets
from zerolabel.data.classes import Classes
from zerolabel.deployment.classifier import Classifier
from zerolabel.diagnostics import calibration
from zerolabel.diagnostics.agreement import agreement
from zerolabel.errors import InputError
from zerolabel.files import rows
from zerolabel.networks import ImageEncoder
from zerolabel.networks.embedding_input import EmbeddingInput
from zerolabel.networks.feature_head import FeatureHead, HeadedNetwork
from zerolabel.training.fitting import Trained
from zerolabel.vlms.clip import DualEncoder
from zerolabel.vlms.encoder import Encoder

KEPT = 0.95
"""Share of the training images that are at least as confident as a classifier's threshold."""


def make_classifier(
    trained: Trained, annotations: Annotations, classes: tuple[str, ...], count: int, provenance: dict[str, Any]
) -> Classifier:
    """A classifier of the first ``count`` networks, with a temperature and a threshold that no true label set.

    The mean confidence is set to the agreement of the two networks; where there is one network, to its agreement
    with the annotators' best class.
    """
    logits = rows.each(targets.average, *trained.log_probabilities[:count])
    target = trained.agreement
    if target is None:
        target = agreement(logits.argmax(1), annotations.scores.argmax(1))
    temperature = calibration.calibrate(logits, target)
    confidence = rows.each(lambda part: (part / temperature).softmax(1).amax(1), logits)
    return Classifier(
        trained.networks[:count],
        classes,
        trained.preprocess,
        temperature,
        calibration.threshold_for_share(confidence, KEPT),
        provenance,
    )


def zero_shot(
    encoder: Encoder,
    classes: Classes,
    templates: Sequence[str],
    threshold: float,
    provenance: dict[str, Any],
    weights: Float[Tensor, "A C"] | None = None,
) -> Classifier:
    """The annotating model as a classifier, the baseline that trains nothing: its probabilities are the mean scores.

    It reads embeddings where the model has these in the place of an image encoder.

    On an image that the model's preprocessing need not resize they are the same up to rounding; else Pillow rounds
    resized pixels and the deployed view does not, which moves them a little.

    Args:
        encoder: the one model that annotated.
        classes: that it annotated with.
        templates: that it annotated with.
        threshold: confidence below which it may abstain.
        provenance: how it was made, for its files.
        weights: of the templates per class; none takes the mean of their probabilities.

    Raises:
        InputError: the model's texts change with every image.
    """
    if not is_deployable(encoder):
        raise InputError(f"{encoder.name}: texts that each image changes are too slow to deploy; train a student.")
    view = None
    tower: ImageEncoder | EmbeddingInput = EmbeddingInput(encoder.dimensions)
    if isinstance(encoder, DualEncoder):
        tower, view = ImageEncoder(encoder.model.visual, encoder.config), encoder.view
    if isinstance(encoder.head, FeatureHead):
        network: networks.Network = HeadedNetwork(tower, encoder.head)
    else:
        texts = text_features(encoder, classes, templates)
        texts = texts if weights is None else weighted_texts(texts, weights)
        network = networks.ZeroShotNetwork(tower, encoder.logit_scale * texts.to(encoder.device))
    return Classifier((network.cpu(),), classes.names, view, 1.0, threshold, provenance)


def is_deployable(encoder: Encoder) -> bool:
    """True if a model can be deployed: its text features must not depend on the image."""
    return encoder.head is None or isinstance(encoder.head, FeatureHead)
