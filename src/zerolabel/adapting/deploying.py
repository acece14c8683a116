"""An adapted model as a classifier that is saved, exported and asked like any other."""

from pathlib import Path

import torch

from zerolabel import networks, vlms
from zerolabel.annotate import text_features
from zerolabel.classifier import Classifier
from zerolabel.networks.encoded import ImageEncoder
from zerolabel.prompts import Classes
from zerolabel.vlms import adapted


def classifier(folder: Path, device: str | torch.device = "cpu") -> Classifier:
    """Image encoder and prompts of what `zerolabel adapt` wrote, or of the model as it was where that did not help.

    Raises:
        InputError: the folder is damaged, or the model that it rests on is not at hand or is another.
    """
    data, spec = adapted.record(folder), f"adapted:{folder}"
    encoder = vlms.load(spec, device)
    names = Classes(tuple(data["classes"]), tuple(map(tuple, data["aliases"])))
    texts = text_features(encoder, names, adapted.templates(folder))
    tower = ImageEncoder(encoder.model.visual, encoder.config)
    network = networks.ZeroShotNetwork(tower, encoder.logit_scale * texts.to(encoder.device)).cpu()
    provenance = {"annotator": data["base"], "method": data["method"], "prompt": data["prompt"], "used": data["used"]}
    return Classifier((network,), names.names, encoder.view, 1.0, data["threshold"], provenance)


__all__ = ["classifier"]
