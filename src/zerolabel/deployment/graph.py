"""A classifier as an ONNX graph, in two layouts for images, and one for embeddings.

- ``uint8``: input ``image``, uint8 (N, H, W, 3) of any height and width, as files are decoded; resize, crop and
  normalization are in the graph.
- ``nchw``: input ``images``, float32 (N, 3, S, S) of RGB values in [0, 1], resized by the caller; the normalization by
  mean and standard deviation is in the graph. Many loaders, browsers and phones expect this layout.
- ``embeddings``: input ``embeddings``, float32 (N, D), of a classifier that was trained on them; their length makes no
  difference.

All have one output ``probabilities``, float32 (N, C). In the precision ``float16`` the weights are stored with half the
bytes and widened where the file is loaded; all else is computed in float32, which every engine can.
"""

import numpy as np
import onnx
import torch
from jaxtyping import Float
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from zerolabel.data.views import Preprocess
from zerolabel.data.views.preprocess import LONGEST
from zerolabel.deployment.classifier import Classifier
from zerolabel.deployment.encoder_graph import on_encoder
from zerolabel.deployment.exporter import exported
from zerolabel.version import __version__

LAYOUTS = ("uint8", "nchw", "embeddings")
PRECISIONS = ("float32", "float16")
OUTPUT = "probabilities"
_LARGEST_HALF = 65504.0


class Deployed(nn.Module):
    """From resized pixels in [0, 255], or from embeddings, to probabilities.

    Backbone and head are called themselves: `Network.features` looks at the size of the batch, which would fix it.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.networks = nn.ModuleList(nn.Sequential(n.backbone, n.head) for n in classifier.networks)
        self.preprocess, self.temperature = classifier.preprocess, classifier.temperature

    def forward(self, given: Float[Tensor, "N ..."]) -> Float[Tensor, "N C"]:
        """Probabilities."""
        x = functional.normalize(given, dim=1) if self.preprocess is None else self.preprocess.normalize(given)
        logits = torch.stack([network(x) for network in self.networks]).mean(0)
        return (logits / self.temperature).softmax(1)


class Scaled(nn.Module):
    """From resized pixels in [0, 1] to probabilities."""

    def __init__(self, deployed: Deployed) -> None:
        super().__init__()
        self.deployed = deployed

    def forward(self, images: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N C"]:
        """Probabilities."""
        probabilities: Tensor = self.deployed(images * 255)
        return probabilities


def graph(classifier: Classifier, layout: str, precision: str = "float32") -> onnx.ModelProto:
    """The graph of a classifier on the processor, in one of `LAYOUTS` and `PRECISIONS`; without metadata."""
    deployed, preprocess = Deployed(classifier).eval(), classifier.preprocess
    if preprocess is None:
        model = exported(deployed, (classifier.networks[0].spec.size,), "embeddings", OUTPUT)
    elif layout == "nchw":
        model = exported(Scaled(deployed).eval(), (3, preprocess.size, preprocess.size), "images", OUTPUT)
    else:
        model = on_encoder(classifier, preprocess, "pixels", OUTPUT)
        if model is None:
            model = exported(deployed, (3, preprocess.size, preprocess.size), "pixels", OUTPUT)
        model = _with_resize(model, preprocess)
    if precision == "float16":
        _halve(model)
    model.producer_name, model.producer_version = "zerolabel", __version__
    onnx.checker.check_model(model, full_check=True)
    return model


def _with_resize(model: onnx.ModelProto, preprocess: Preprocess) -> onnx.ModelProto:
    """The graph with the resize put before it."""
    nodes, constants = _resize(preprocess, model.graph.input[0].name)
    nodes += model.graph.node
    del model.graph.node[:], model.graph.input[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants)
    model.graph.input.append(helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", 3]))
    return model


def _halve(model: onnx.ModelProto) -> None:
    """Store weights as float16, each with a node that widens it; small constants and very large values stay."""
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < 64:
            continue
        values = numpy_helper.to_array(weight)
        if np.abs(values).max() <= _LARGEST_HALF:
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.float16"))
            casts.append(helper.make_node("Cast", [weight.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _resize(preprocess: Preprocess, output: str) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """`Preprocess.resize` as ONNX: nodes from ``image`` to `output`, and their constants.

    Torch's antialiased kernels are those of Pillow: pixel centers at one half, weights outside the image dropped and
    the rest made to sum to 1, and for bicubic a = -1/2.
    """
    kernel: dict[str, object] = {"mode": "linear"}
    if preprocess.interpolation == "bicubic":
        kernel = {"mode": "cubic", "cubic_coeff_a": -0.5}
    kernel |= {"antialias": 1, "coordinate_transformation_mode": "half_pixel", "exclude_outside": 1}
    steps: list[tuple[str, list[str], str, dict[str, object]]] = [
        ("Shape", ["image"], "given", {"start": 1, "end": 3}),
        ("ReduceMin", ["given"], "shorter", {"keepdims": 1}),
        ("Mul", ["shorter", "longest"], "limit", {}),
        ("Min", ["given", "limit"], "sides", {}),
        ("Sub", ["given", "sides"], "ends", {}),
        ("Div", ["ends", "two"], "first", {}),
        ("Add", ["first", "sides"], "last", {}),
        ("Slice", ["image", "first", "last", "axes_given"], "middle", {}),
        ("Transpose", ["image" if preprocess.fit == "squash" else "middle"], "channels_first", {"perm": [0, 3, 1, 2]}),
        ("Cast", ["channels_first"], "floats", {"to": TensorProto.FLOAT}),
        ("Shape", ["floats"], "leading", {"start": 0, "end": 2}),
        ("Mul", ["sides", "size"], "scaled", {}),
        ("Div", ["scaled", "shorter"], "cropped_from", {}),
        ("Concat", ["leading", "size" if preprocess.fit == "squash" else "cropped_from"], "sizes", {"axis": 0}),
        ("Resize", ["floats", "", "", "sizes"], "resized", kernel),
        ("Sub", ["cropped_from", "size"], "rest", {}),
        ("Div", ["rest", "two"], "half", {}),
        ("Mod", ["half", "two"], "odd", {}),
        ("Add", ["rest", "odd"], "evened", {}),
        ("Div", ["evened", "two"], "start", {}),
        ("Add", ["start", "size"], "end", {}),
        ("Slice", ["resized", "start", "end", "axes"], "center", {}),
        ("Clip", ["resized" if preprocess.fit == "squash" else "center", "black", "white"], output, {}),
    ]
    if preprocess.fit == "squash":
        needed = {"floats", "channels_first", "leading", "sizes", "resized", output}
        steps = [step for step in steps if step[2] in needed]
    values = {
        "size": np.array([preprocess.size] * 2),
        "two": np.array([2, 2]),
        "longest": np.array([LONGEST]),
        "axes_given": np.array([1, 2]),
        "axes": np.array([2, 3]),
        "black": np.array(0, np.float32),
        "white": np.array(255, np.float32),
    }

    def local(name: str) -> str:
        return name if name in ("", "image", output) else f"preprocess.{name}"

    nodes = [helper.make_node(kind, [*map(local, given)], [local(name)], **more) for kind, given, name, more in steps]
    used = {name for _, given, _, _ in steps for name in given}
    return nodes, [numpy_helper.from_array(value, local(name)) for name, value in values.items() if name in used]


__all__ = ["LAYOUTS", "PRECISIONS", "Deployed", "Scaled", "graph"]
