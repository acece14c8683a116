"""Classifier -> one self-contained ONNX file, checked against torch.

In the default layout (see `zerolabel.deployment.graph`) resize, normalization, networks, temperature and softmax are in
the graph; class names, threshold and provenance are in the metadata, so that onnxruntime, numpy and Pillow are all that
a prediction needs (see `predict_onnx.py`). ``classes.json`` repeats the metadata for engines that cannot read it.
"""

import copy
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper
from torch import nn
from torch.nn import functional

from zerolabel.data.images import Images, Unreadable, as_image_set
from zerolabel.deployment.classifier import Classifier
from zerolabel.deployment.embedding_inputs import batches
from zerolabel.deployment.formats import FORMATS, Format
from zerolabel.deployment.graph import LAYOUTS, PRECISIONS, graph
from zerolabel.errors import InputError, nearest
from zerolabel.files import atomic, replacing, write_text
from zerolabel.files.plain_json import dumps
from zerolabel.version import __version__

TOLERANCE = {"float32": 1e-4, "float16": 2e-2}
"""Largest difference of a probability from torch."""
SCRIPT, SCRIPT_OF_EMBEDDINGS = (Path(__file__).with_name(f"predict_{kind}.py") for kind in ("onnx", "embeddings"))
_BLOCK = 8  # images in memory at a time; they may be large
_SIZES = ((8, 8), (37, 91), (64, 64), (480, 640), (1201, 900), (1, 1), (67, 64), (2, 3000), (301, 7))


class ExportError(RuntimeError):
    """The graph does not compute what the classifier does; nothing was written."""


@dataclass(frozen=True)
class Exported:
    """Result of an export, with its agreement with torch.

    Attributes:
        max_difference: largest absolute difference of a probability; none where this system cannot run the file.
        agreement: share of the images that are given the same class; likewise.
        n_checked: number of images compared.
        n_bytes: size of the file.
    """

    max_difference: float | None
    agreement: float | None
    n_checked: int
    n_bytes: int = 0


def export(
    classifier: Classifier,
    path: str | os.PathLike[str],
    images: Images | None = None,
    *,
    limit: int = 1000,
    layout: str | None = None,
    precision: str = "float32",
) -> Exported:
    """Write a classifier as ONNX, after the graph has been compared with torch.

    Args:
        classifier: stays as it is.
        path: the file to write; it appears whole or not at all.
        images: to compare on, PIL or uint8 (H, W, 3); where there is none, on nine drawn ones of different sizes.
        limit: of the images to compare on, the first so many.
        layout: of the input, one of `LAYOUTS`; by default uint8, or embeddings where the classifier reads these; or
            a format of `zerolabel.deployment.formats`, such as ``openvino``, which its own converter writes.
        precision: of the stored weights, float32 or float16.

    Returns:
        The comparison, which the file's metadata holds as well.

    Raises:
        InputError: there is no such layout or precision, or the classifier has none of it.
        ExportError: a probability differs by more than 1e-4, or 0.02 with weights in float16.
    """
    layout = check_layout(classifier, layout)
    if precision not in PRECISIONS:
        raise InputError(f"--precision {precision}: invalid value{nearest(precision, PRECISIONS)}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    classifier = _on_processor(classifier)
    if layout in FORMATS:
        return _converted(FORMATS[layout], classifier, path, images, limit, precision)
    model = graph(classifier, layout, precision)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    if layout == "embeddings":
        compared = _compare_embeddings(classifier, session, images, limit)
    else:
        compared = _compare(classifier, _answering(session), _some(images, limit), as_files=layout == "uint8")
    done = _checked(compared, path, precision)
    helper.set_model_props(
        model,
        {
            **{name: dumps(value) for name, value in facts(classifier).items()},
            "zerolabel": __version__,
            **(_of_loaders(classifier) if layout == "nchw" else {}),
            "precision": dumps(precision),
            "check": dumps({name: value for name, value in asdict(done).items() if name != "n_bytes"}),
        },
    )
    with atomic(path) as partial:
        onnx.save(model, str(partial))
    return replace(done, n_bytes=path.stat().st_size)


def _answering(session: onnxruntime.InferenceSession) -> Callable[[np.ndarray], np.ndarray]:
    """The function from a batch to probabilities that a session of one input computes."""
    (given,) = session.get_inputs()
    return lambda batch: np.asarray(session.run(None, {given.name: batch})[0])


def _converted(
    form: Format, classifier: Classifier, path: Path, images: Images | None, limit: int, precision: str
) -> Exported:
    """Write a classifier in another format, after it has been compared with torch where this system can run it."""
    form.check(precision)
    with tempfile.TemporaryDirectory() as place:
        answer, done = form.convert(classifier, Path(place), precision), Exported(None, None, 0)
        if answer is not None:
            done = _checked(_compare(classifier, answer, _some(images, limit), as_files=False), path, precision)
        return replace(done, n_bytes=form.move(Path(place), path))


def _checked(compared: Exported, path: Path, precision: str) -> Exported:
    """The comparison, where it is close enough.

    Raises:
        ExportError: it is not.
    """
    if compared.max_difference is None or not compared.max_difference <= TOLERANCE[precision]:
        far = f"{compared.max_difference:.2g}"
        raise ExportError(f"the exported graph differs from torch by {far}; {path} was not written.")
    return compared


def _some(images: Images | None, limit: int) -> Iterable[np.ndarray]:
    """The first readable images, drawn ones where there is none."""
    given = islice(_arrays(() if images is None else images), limit)
    first = next(given, None)
    return _drawn() if first is None else chain([first], given)


def check_layout(classifier: Classifier, layout: str | None) -> str:
    """The layout, or the one of the classifier where none is asked for.

    Raises:
        InputError: there is no such layout, or the classifier has none of it.
    """
    own = "uint8" if classifier.dimensions is None else "embeddings"
    if layout is None or layout == own:
        return own
    if layout not in (known := (*LAYOUTS, *FORMATS)):
        raise InputError(f"there is no layout '{layout}'{nearest(layout, known)}")
    if "embeddings" in (layout, own):
        reads = "images" if own == "uint8" else "embeddings"
        raise InputError(f"this classifier reads {reads}, so that there is no layout '{layout}' of it; leave it out.")
    return layout


def default_name(layout: str | None, precision: str) -> str:
    """Name of the file of a layout and precision.

    >>> default_name(None, "float32"), default_name("nchw", "float16"), default_name("openvino", "float32")
    ('classifier.onnx', 'classifier.nchw.float16.onnx', 'classifier.xml')
    """
    if layout in FORMATS:
        return f"classifier{FORMATS[layout].suffix}"
    parts = ["classifier", *(["nchw"] if layout == "nchw" else []), *([] if precision == "float32" else [precision])]
    return ".".join(parts) + ".onnx"


def write_script(path: str | os.PathLike[str], *, of_embeddings: bool = False) -> Path:
    """Write the prediction script, which needs only onnxruntime, numpy and Pillow, into a file of this name."""
    with replacing(Path(path)) as partial:
        shutil.copyfile(SCRIPT_OF_EMBEDDINGS if of_embeddings else SCRIPT, partial)
    return Path(path)


def _on_processor(classifier: Classifier) -> Classifier:
    """A copy in float32 on the processor, in eval mode."""
    networks = copy.deepcopy(classifier.networks)
    nn.ModuleList(networks).cpu().float().eval()
    return replace(classifier, networks=networks)


def facts(classifier: Classifier) -> dict[str, object]:
    """Metadata for prediction, and the provenance of the classifier."""
    return {
        "classes": classifier.classes,
        "threshold": classifier.threshold,
        "temperature": classifier.temperature,
        "preprocess": None if classifier.preprocess is None else classifier.preprocess.to_dict(),
        "provenance": classifier.provenance,
        "zerolabel": __version__,
    }


def write_classes(classifier: Classifier, path: str | os.PathLike[str]) -> Path:
    """Write the facts of a classifier as JSON, for engines that cannot read the metadata of ONNX."""
    write_text(Path(path), dumps(facts(classifier)) + "\n")
    return Path(path)


def _of_loaders(classifier: Classifier) -> dict[str, str]:
    """Metadata by the names that common loaders read: ``names``, ``task`` and ``imgsz``."""
    assert classifier.preprocess is not None
    side = classifier.preprocess.size
    return {"names": repr(dict(enumerate(classifier.classes))), "task": "classify", "imgsz": repr([side, side])}


def _compare(
    classifier: Classifier, answer: Callable[[np.ndarray], np.ndarray], images: Iterable[np.ndarray], *, as_files: bool
) -> Exported:
    """Compare what was exported with torch.

    The images go one at a time, since their sizes differ; the first goes as a batch of three as well.

    Args:
        classifier: in torch.
        answer: from a batch of inputs to probabilities.
        images: uint8 (H, W, 3).
        as_files: True if the input takes them as they are, false if the caller resizes them.
    """
    differences: list[float] = []
    same: list[bool] = []
    images = iter(images)
    while block := list(islice(images, _BLOCK)):
        for image, expected in zip(block, classifier.predict_proba(block).numpy(), strict=True):
            for copies in (1, 3) if not same else (1,):
                found = answer(np.stack([image if as_files else _resized(classifier, image)] * copies))
                differences.append(float(np.abs(found - expected).max()))
            same.append(bool((found.argmax(1) == expected.argmax()).all()))
    return Exported(float(np.max(differences)), float(np.mean(same)), len(same))


def _compare_embeddings(
    classifier: Classifier, session: onnxruntime.InferenceSession, images: Images | None, limit: int
) -> Exported:
    """Compare a graph that reads embeddings with torch; on random ones where none are given."""
    dimensions = classifier.networks[0].spec.size
    drawn: Images = functional.normalize(torch.randn(64, dimensions, generator=torch.Generator().manual_seed(0)), dim=1)
    given = torch.cat([*islice(batches(drawn if images is None else images, dimensions, 1), limit)])
    expected = classifier.predict_proba(given).numpy()
    parts = [session.run(None, {"embeddings": rows.numpy()})[0] for rows in (given[:1], given[1:]) if len(rows)]
    found = np.concatenate(parts)
    same = found.argmax(1) == expected.argmax(1)
    return Exported(float(np.abs(found - expected).max()), float(same.mean()), len(found))


def _resized(classifier: Classifier, image: np.ndarray) -> np.ndarray:
    """RGB in [0, 1], float32 (3, S, S), as the caller of the layout ``nchw`` resizes an image."""
    assert classifier.preprocess is not None
    return (classifier.preprocess.resize(torch.from_numpy(np.array(image))) / 255).numpy()


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


__all__ = ["ExportError", "Exported", "default_name", "export", "write_classes", "write_script"]
