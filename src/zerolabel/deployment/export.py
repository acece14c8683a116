"""Classifier -> one self-contained ONNX file, checked against torch.

Input ``image``: uint8 (N, H, W, 3), of any height and width. Output ``probabilities``: float32 (N, C). Resize,
normalization, networks, temperature and softmax are in the graph; class names, threshold and provenance are in the
metadata, so that onnxruntime, numpy and Pillow are all that a prediction needs (see `predict_onnx.py`).
"""

import copy
import io
import logging
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from jaxtyping import Float
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from zerolabel.data.images import Images, Unreadable, as_image_set
from zerolabel.data.views import Preprocess
from zerolabel.data.views.preprocess import LONGEST
from zerolabel.deployment.classifier import Classifier
from zerolabel.files import atomic
from zerolabel.files.plain_json import dumps
from zerolabel.version import __version__

OPSET = 18  # the first with an antialiased Resize
TOLERANCE = 1e-4
SCRIPT = Path(__file__).with_name("predict_onnx.py")
_BLOCK = 8  # images in memory at a time; they may be large
_SIZES = ((8, 8), (37, 91), (64, 64), (480, 640), (1201, 900), (1, 1), (67, 64), (2, 3000), (301, 7))


class ExportError(RuntimeError):
    """The graph does not compute what the classifier does; nothing was written."""


@dataclass(frozen=True)
class Exported:
    """What was written, and how far it agrees with torch.

    Attributes:
        max_difference: largest absolute difference of a probability.
        agreement: share of the images that are given the same class.
        n_checked: number of images compared.
        n_bytes: size of the file.
    """

    max_difference: float
    agreement: float
    n_checked: int
    n_bytes: int = 0


def export(
    classifier: Classifier,
    path: str | os.PathLike[str],
    images: Images | None = None,
    *,
    limit: int = 1000,
) -> Exported:
    """Write a classifier as ONNX, after the graph has been compared with torch.

    Args:
        classifier: stays as it is.
        path: the file to write; it appears whole or not at all.
        images: to compare on, PIL or uint8 (H, W, 3); where there is none, on nine drawn ones of different sizes.
        limit: of the images to compare on, the first so many.

    Returns:
        The comparison, which the file's metadata holds as well.

    Raises:
        ExportError: a probability differs by more than 1e-4.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    classifier = _on_processor(classifier)
    model = _graph(classifier)
    given = islice(_arrays(() if images is None else images), limit)
    first = next(given, None)
    difference, agreement, n_checked = _compare(classifier, model, _drawn() if first is None else chain([first], given))
    if not difference <= TOLERANCE:
        raise ExportError(f"the exported graph differs from torch by {difference:.2g}; {path} was not written.")
    done = Exported(difference, agreement, n_checked)
    helper.set_model_props(
        model,
        {
            **_metadata(classifier),
            "check": dumps({"max_difference": difference, "agreement": agreement, "n_checked": n_checked}),
        },
    )
    with atomic(path) as partial:
        onnx.save(model, str(partial))
    return replace(done, n_bytes=path.stat().st_size)


def write_script(path: str | os.PathLike[str]) -> Path:
    """Write the prediction script, which needs only onnxruntime, numpy and Pillow, into a file of this name."""
    return Path(shutil.copyfile(SCRIPT, path))


class _Deployed(nn.Module):
    """From resized pixels in [0, 255] to probabilities.

    Backbone and head are called themselves: `Network.features` looks at the size of the batch, which would fix it.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.networks = nn.ModuleList(nn.Sequential(n.backbone, n.head) for n in classifier.networks)
        self.preprocess, self.temperature = classifier.preprocess, classifier.temperature

    def forward(self, pixels: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N C"]:
        x = self.preprocess.normalize(pixels)
        logits = torch.stack([network(x) for network in self.networks]).mean(0)
        return (logits / self.temperature).softmax(1)


def _on_processor(classifier: Classifier) -> Classifier:
    """A copy in float32 on the processor, in eval mode."""
    networks = copy.deepcopy(classifier.networks)
    nn.ModuleList(networks).cpu().float().eval()
    return replace(classifier, networks=networks)


def _graph(classifier: Classifier) -> onnx.ModelProto:
    """The network's graph as torch exports it, with the resize put before it."""
    size = classifier.preprocess.size
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            _Deployed(classifier).eval(),
            (torch.rand(2, 3, size, size) * 255,),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=({0: torch.export.Dim("N")},),
            input_names=["pixels"],
            output_names=["probabilities"],
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _strip(model)
    nodes, constants = _resize(classifier.preprocess, model.graph.input[0].name)
    nodes += model.graph.node
    del model.graph.node[:], model.graph.input[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants)
    model.graph.input.append(helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", 3]))
    model.producer_name, model.producer_version = "zerolabel", __version__
    onnx.checker.check_model(model, full_check=True)
    return model


def _strip(model: onnx.ModelProto) -> None:
    """Remove what the exporter writes about the machine it ran on: stack traces with the paths of files."""
    model.doc_string = ""
    del model.graph.metadata_props[:], model.graph.value_info[:]
    for part in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        part.doc_string = ""
        del part.metadata_props[:]


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


def _metadata(classifier: Classifier) -> dict[str, str]:
    return {
        "classes": dumps(classifier.classes),
        "threshold": dumps(classifier.threshold),
        "temperature": dumps(classifier.temperature),
        "preprocess": dumps(classifier.preprocess.to_dict()),
        "provenance": dumps(classifier.provenance),
        "zerolabel": __version__,
    }


def _compare(classifier: Classifier, model: onnx.ModelProto, images: Iterable[np.ndarray]) -> tuple[float, float, int]:
    """Largest difference, agreement and number of images.

    The images go one at a time, since their sizes differ; the first goes as a batch of three as well.
    """
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    differences: list[float] = []
    same: list[bool] = []
    images = iter(images)
    while block := list(islice(images, _BLOCK)):
        for image, expected in zip(block, classifier.predict_proba(block).numpy(), strict=True):
            for copies in (1, 3) if not same else (1,):
                (found,) = session.run(None, {"image": np.stack([image] * copies)})
                differences.append(float(np.abs(found - expected).max()))
            same.append(bool((found.argmax(1) == expected.argmax()).all()))
    return float(np.max(differences)), float(np.mean(same)), len(same)


def _arrays(images: Images) -> Iterator[np.ndarray]:
    """The pixels of each readable image."""
    given = as_image_set(images)
    for index in range(len(given)):
        with suppress(Unreadable):
            yield np.asarray(given.read(index))


def _drawn() -> list[np.ndarray]:
    """Images of several sizes, from a fixed seed."""
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (height, width, 3), dtype=np.uint8) for height, width in _SIZES]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress and warnings off the screen; its errors are raised all the same."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


__all__ = ["ExportError", "Exported", "export", "write_script"]
