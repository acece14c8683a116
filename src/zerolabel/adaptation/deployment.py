"""An adapted model as a classifier that is saved, exported and asked like any other."""

from pathlib import Path

import torch

from zerolabel import vlms
from zerolabel.data.classes import Classes
from zerolabel.deployment.assembly import zero_shot
from zerolabel.deployment.classifier import Classifier
from zerolabel.vlms import adapted


def classifier(folder: Path, device: str | torch.device = "cpu") -> Classifier:
    """Image encoder and prompts of what `zerolabel adapt` wrote, or of the model as it was where that did not help.

    Raises:
        InputError: the folder is damaged, the model that it rests on is not available or is another, or its texts
        change
            with every image.
    """
    data = adapted.record(folder)
    encoder = vlms.load(f"adapted:{folder}", device)
    names = Classes(tuple(data["classes"]), tuple(map(tuple, data["aliases"])))
    provenance = {"annotator": data["base"], "method": data["method"], "tune": data["tune"], "used": data["used"]}
    return zero_shot(encoder, names, adapted.templates(folder), data["threshold"], provenance)


__all__ = ["classifier"]
