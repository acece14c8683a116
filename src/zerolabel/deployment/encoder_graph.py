"""Classifiers on a frozen image encoder: the encoder's graph is exported once, the heads that follow it each time.

Tracing an encoder takes most of an export, and a run deploys several heads on the same one: the zero-shot ensemble,
the head on frozen features, and the last classifier. The newest encoder's graph is kept with its weights.
"""

import hashlib
import json
from collections.abc import Sequence

import numpy as np
import onnx
import torch
from jaxtyping import Float
from torch import Tensor, nn

from zerolabel.data.views import Preprocess
from zerolabel.deployment.classifier import Classifier
from zerolabel.deployment.exporter import exported
from zerolabel.networks import ImageEncoder, Network

FEATURES = "features"
_newest: dict[str, onnx.ModelProto] = {}


class _Encoder(nn.Module):
    """From resized pixels in [0, 255] to features of length 1."""

    def __init__(self, encoder: ImageEncoder, preprocess: Preprocess) -> None:
        super().__init__()
        self.encoder, self.preprocess = encoder, preprocess

    def forward(self, pixels: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N D"]:
        """Features."""
        features: Tensor = self.encoder(self.preprocess.normalize(pixels))
        return features


class _Heads(nn.Module):
    """From features to the probabilities of all networks together."""

    def __init__(self, heads: Sequence[nn.Module], temperature: float) -> None:
        super().__init__()
        self.heads, self.temperature = nn.ModuleList(heads), temperature

    def forward(self, features: Float[Tensor, "N D"]) -> Float[Tensor, "N C"]:
        """Probabilities."""
        logits = torch.stack([head(features) for head in self.heads]).mean(0)
        return (logits / self.temperature).softmax(1)


def on_encoder(classifier: Classifier, preprocess: Preprocess, given: str, result: str) -> onnx.ModelProto | None:
    """The graph of a classifier from resized pixels; none unless all its networks start with one frozen encoder.

    Args:
        classifier: in float32 on the processor, in eval mode.
        preprocess: of the classifier.
        given: name of the input.
        result: name of the output.
    """
    parts = [_parts(network) for network in classifier.networks]
    encoders, heads = [encoder for encoder, _ in parts if encoder is not None], [head for _, head in parts]
    digests = {_digest(_Encoder(encoder, preprocess)) for encoder in encoders}
    if len(encoders) < len(heads) or len(digests) > 1:
        return None
    (digest,) = digests
    if digest not in _newest:
        shape = (3, preprocess.size, preprocess.size)
        whole = exported(_Encoder(encoders[0], preprocess).eval(), shape, given, FEATURES)
        _newest.clear()
        _newest[digest] = whole
    head = exported(_Heads(heads, classifier.temperature).eval(), (encoders[0].feature_dim,), FEATURES, result)
    return _joined(_newest[digest], head)


def _parts(network: Network) -> tuple[ImageEncoder | None, nn.Module]:
    """The frozen encoder that a network starts with, and all that follows."""
    first, *rest = network.backbone if isinstance(network.backbone, nn.Sequential) else [network.backbone]
    return (first if isinstance(first, ImageEncoder) else None), nn.Sequential(*rest, network.head)


def _digest(module: _Encoder) -> str:
    """Hash of the architecture, the weights and the normalization."""
    facts = [repr(module), json.dumps(module.encoder.config), module.preprocess.to_dict()]
    found = hashlib.sha256(json.dumps(facts).encode())
    for name, values in module.state_dict().items():
        found.update(name.encode())
        found.update(np.ascontiguousarray(values.numpy()).data)
    return found.hexdigest()


def _joined(encoder: onnx.ModelProto, head: onnx.ModelProto) -> onnx.ModelProto:
    """One graph, in which the head reads what the encoder computes."""
    model = onnx.ModelProto()
    model.CopyFrom(encoder)
    head = onnx.compose.add_prefix(head, "head.", rename_inputs=False, rename_outputs=False)
    model.graph.node.extend(head.graph.node)
    model.graph.initializer.extend(head.graph.initializer)
    del model.graph.output[:]
    model.graph.output.extend(head.graph.output)
    known = {opset.domain for opset in model.opset_import}
    model.opset_import.extend(opset for opset in head.opset_import if opset.domain not in known)
    return model


__all__ = ["on_encoder"]
