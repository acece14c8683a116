"""The whole job as one scikit-learn estimator: a thin front to `zerolabel.runs`."""

import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from rich.console import Console
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from zerolabel.annotate.feature_cache import default_folder
from zerolabel.annotations import Annotations
from zerolabel.annotations.digest import content_hash
from zerolabel.data.classes import Classes
from zerolabel.data.images import Images, ImageSet, as_image_set, as_list
from zerolabel.data.label_files import Labels
from zerolabel.deployment.classifier import Classifier
from zerolabel.errors import InputError
from zerolabel.errors.python_words import in_python
from zerolabel.evaluation import metrics
from zerolabel.files.json_lines import read_log
from zerolabel.runs import pipeline
from zerolabel.runs.config import Config
from zerolabel.runs.folder import Folder
from zerolabel.runs.planning import plan
from zerolabel.runs.presets import Preset
from zerolabel.runs.progress import Display
from zerolabel.runs.request import Request
from zerolabel.runs.workspace import Workspace
from zerolabel.training import best_device
from zerolabel.vlms.names import is_chat

PathLike = str | os.PathLike[str]
Truth = PathLike | Iterable[object]


class ZeroLabel(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Learns a small image classifier from unlabeled images and class names.

    The arguments are the options of ``zerolabel run``, with the same names and defaults; None means that the tool
    chooses. ``get_params``, ``set_params`` and ``sklearn.base.clone`` work as in scikit-learn.

    Args:
        classes: a file of class names, or ``"cat,dog"``; or a list of names, or a mapping from names to aliases.
        vlm: the annotating model or a list of several, see `zerolabel.vlms.load`; None is the default for photographs.
        encoder: an encoder without texts, or several, whose features are read beside the model's: ``"timm:MODEL"``,
            ``"timm:FOLDER"`` or ``"embeddings:FOLDER"``.
        templates: ``"generic"``, ``"small"`` or ``"openai"``, a file with a template per line, one template, or a list.
        candidates: how votes become candidate sets, see `zerolabel.annotations.parse_rule`; by default
            mass:0.9 for photographs, union for glyphs and chat models.
        prompt_weights: ``"estimated"`` without labels, the default, or ``"uniform"``.
        method: name of the learner, a key of `zerolabel.LEARNERS`.
        options: values of the learner's arguments and of `zerolabel.Settings`, by name.
        student: ``"light"``, ``"preact_resnet18"``, a timm model; or ``"features"``, ``"linear"``, ``"mlp"``.
        size: side of the student's input, in pixels.
        pretrained: whether a timm student starts from published weights.
        adapt: adapts the annotating model first, by a method such as ``"grip"``, see
            `zerolabel.adaptation.methods.METHODS`.
        via: ``"features"`` learns on frozen features first, then trains a student that reads pixels; the default for
            photographs. ``"none"`` does not.
        propagate: whether scores spread over neighbors in feature space before training; by default where features
            are read.
        deploy: ``"one"`` network, or ``"both"``; None is one, or what the preset says.
        preset: gives what is None: ``"auto"`` by the number of images, ``"small"``, ``"paper"`` for Co-Reg as its
            authors' code has it, or a `zerolabel.runs.presets.Preset`.
        open_set: whether images may be of no class; the classifier then has a class ``"unknown"`` beside the others.
        epochs: of training.
        time: that the whole may take, such as ``"20m"``, or ``"auto"``: student, size and epochs are chosen to fit.
        seed: of weights, order and views.
        flip: whether an image and its mirror image mean the same.
        precision: in which the models encode images; by default what is fastest on the device.
        feature_precision: in which image features are stored; by default float32.
        set_aside: share of the images that is not learned, on which alarms are raised; by default a tenth.
        strong: the strong view, ``"randaugment"``, ``"cutout"`` or ``"cutout:PIXELS"``.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        devices: processes that share each batch of a training, see `zerolabel.Settings`; by default 1.
        cache: folder of image features, shared between runs; None is the one of the command line.
        output: folder of the run, with its report and ONNX file. None works in a temporary folder and keeps no file.
        verbose: whether to show progress on standard error.

    Attributes:
        classes_: C class names, the columns of `predict_proba`.
        annotations_: votes, scores and candidates of the images that could be read.
        classifier_: the trained `zerolabel.Classifier`, which saves itself.
        metrics_: what ``metrics.json`` holds.
        log_: a dictionary per epoch, the lines of ``log.jsonl``.
    """

    def __init__(
        self,
        *,
        classes: PathLike | Sequence[str] | Mapping[str, Sequence[str]],
        vlm: str | Sequence[str] | None = None,
        encoder: str | Sequence[str] | None = None,
        templates: PathLike | Sequence[str] | None = None,
        candidates: str | None = None,
        prompt_weights: str | None = None,
        method: str = "coreg",
        options: Mapping[str, Any] | None = None,
        student: str | None = None,
        size: int | None = None,
        pretrained: bool | None = None,
        adapt: str | None = None,
        via: str | None = None,
        propagate: bool | None = None,
        deploy: str | None = None,
        preset: str | Preset = "auto",
        open_set: bool = False,
        epochs: int | None = None,
        time: str | None = None,
        seed: int = 0,
        flip: bool | None = None,
        precision: str | None = None,
        feature_precision: str | None = None,
        set_aside: float | None = None,
        strong: str = "randaugment",
        device: str = "auto",
        devices: int | None = None,
        cache: PathLike | None = None,
        output: PathLike | None = None,
        verbose: bool = False,
    ) -> None:
        self.encoder = encoder
        self.classes, self.vlm, self.templates, self.candidates = classes, vlm, templates, candidates
        self.prompt_weights = prompt_weights
        self.method, self.options, self.student, self.size = method, options, student, size
        self.pretrained, self.adapt, self.via, self.propagate = pretrained, adapt, via, propagate
        self.deploy, self.preset, self.open_set, self.epochs = deploy, preset, open_set, epochs
        self.time = time
        self.seed, self.flip, self.strong = seed, flip, strong
        self.device, self.devices = device, devices
        self.set_aside, self.precision, self.feature_precision = set_aside, precision, feature_precision
        self.cache, self.output, self.verbose = cache, output, verbose

    def fit(
        self,
        images: Images,
        y: object = None,
        *,
        few_shot: PathLike | None = None,
        resume: bool = False,
        overwrite: bool = False,
    ) -> "ZeroLabel":
        """Annotate the images and train on the annotations.

        Args:
            images: unlabeled ones: a folder, a .txt, .csv, .tsv or .parquet list, or another source of
                `ImageSet.open`; or a list, array or DataFrame column of paths, PIL images or arrays, see
                `zerolabel.data.images.as_image_set`.
            y: is not read, since true labels take no part in training; a warning says so. scikit-learn's
                cross-validation gives it, and to `score`.
            few_shot: CSV of ``file_name,label`` that humans gave, for training.
            resume: finish the run that is in ``output``.
            overwrite: replace the run that is in ``output``.

        Returns:
            Itself.

        Raises:
            InputError: something that was given cannot be; the sentence names it and the remedy.
        """
        if y is not None:
            warnings.warn(
                "fit does not train on y: true labels are for score alone; human labels for training go in few_shot.",
                stacklevel=2,
            )
        if resume and self.output is None:
            raise InputError("`resume=True` needs the folder of the run to finish; give ZeroLabel(output=FOLDER).")
        cache = default_folder(None if self.cache is None else Path(self.cache))
        progress = Display(Console(stderr=True, emoji=False)) if self.verbose else _silent
        with in_python(), _place(self.output) as path:
            copies = path.parent if self.output is None else cache.parent
            config = self._plan(_source(images, copies / "inputs"), None if few_shot is None else os.fspath(few_shot))
            folder = Folder(path)
            workspace = Workspace.of(config, folder, progress, cache)
            with pipeline.begun(config, workspace, resume=resume, overwrite=overwrite):
                self.metrics_ = pipeline.run(config, workspace)
            self.annotations_ = Annotations.load(folder / "annotations.parquet")
            self.classifier_ = Classifier.load(folder / "classifier", best_device(self.device))
            self.log_ = read_log(folder / "log.jsonl")
        self.classes_ = np.array(self.classifier_.classes)
        more = ((),) * (len(self.classifier_.classes) - len(config.data.classes))
        self._names = Classes(self.classifier_.classes, (*config.data.aliases, *more))
        return self

    def predict(self, images: Images) -> Shaped[np.ndarray, " N"]:
        """The most probable class name of each image; None for one that cannot be read.

        Args:
            images: as in `fit`; one image as well.
        """
        check_is_fitted(self, "classifier_")
        return np.array(self.classifier_.predict(images), dtype=object)

    def predict_proba(self, images: Images) -> Float[np.ndarray, "N C"]:
        """Class probabilities; a row that is not a number for an image that cannot be read.

        Args:
            images: as in `predict`.
        """
        check_is_fitted(self, "classifier_")
        p: np.ndarray = self.classifier_.predict_proba(images).numpy()
        return p

    def score(self, images: Images, truth: Truth) -> float:
        """Accuracy on the images that can be read and whose true class is known.

        Args:
            images: as in `predict`.
            truth: CSV or parquet of ``file_name,label``, or a folder per class; or a class name for each image, as a
                list, an array or a column of a DataFrame, where None, NaN or an empty one means unknown.

        Raises:
            InputError: the truth does not fit the images or the classes, or nothing can be compared.
        """
        check_is_fitted(self, "classifier_")
        with in_python():
            found = as_image_set(images)
            labels = self._true_labels(found, truth)
        p = self.classifier_.predict_proba(found)
        labels = labels.where(~p.isnan().any(1), -1)
        if not bool((labels >= 0).any()):
            raise InputError("the truth gives the class of none of these images; give labels of some that can be read.")
        return metrics.accuracy(p.argmax(1), labels)

    def _true_labels(self, images: ImageSet, truth: Truth) -> Int[Tensor, " N"]:
        """Class ids, -1 unknown."""
        if isinstance(truth, str | os.PathLike):
            hashes = [content_hash(images, i) for i in range(len(images))]
            return Labels.read(truth, self._names).match(images.file_names, hashes, subset=True)
        names = ["" if name is None else str(name) for name in truth]
        if len(names) != len(images):
            raise InputError(f"there are {len(names)} true labels for {len(images)} images; give one each.")
        labels = Labels.of(Path("given"), self._names, (("", name) for name in names))
        return torch.tensor([labels.ids.get(name, -1) for _, name in labels.rows], dtype=torch.long)

    def _plan(self, images: str, few_shot: str | None) -> Config:
        """The complete configuration; lists of names and templates go through the files that the planner reads."""
        models = (self.vlm,) if isinstance(self.vlm, str) else self.vlm or ()
        if any(map(is_chat, models)):
            raise InputError("chat models are asked by the command `zerolabel run`; give another vlm.")
        options = {**(self.options or {}), **({} if self.devices is None else {"devices": self.devices})}
        with TemporaryDirectory() as folder:
            request = Request(
                images,
                _classes_file(self.classes, Path(folder) / "classes.json"),
                vlm=self.vlm,
                encoders=(self.encoder,) if isinstance(self.encoder, str) else self.encoder or (),
                templates=_templates_file(self.templates, Path(folder) / "templates.txt"),
                options=[f"{name}={_text(value)}" for name, value in options.items()],
                few_shot=few_shot,
                learner=self.method,
                **{name: getattr(self, name) for name in _SAME},
            )
            return plan(request)


_SAME = (
    *("candidates", "prompt_weights", "student", "size", "pretrained", "adapt", "via", "propagate"),
    *(
        "deploy",
        "preset",
        "open_set",
        "epochs",
        "time",
        "seed",
        "flip",
        "set_aside",
        "strong",
        "device",
        "precision",
        "feature_precision",
    ),
)
"""Arguments that the planner takes as they are."""


@contextmanager
def _place(output: PathLike | None) -> Iterator[Path]:
    """The folder of the run; a temporary one is gone afterward."""
    if output is not None:
        yield Path(output)
        return
    with TemporaryDirectory(prefix="zerolabel-") as folder:
        yield Path(folder) / "run"


def _source(images: Images, folder: Path) -> str:
    """Source of a run: the given one, or a list of files in a folder for images in memory."""
    return os.fspath(images) if isinstance(images, str | os.PathLike) else str(as_list(as_image_set(images), folder))


def _silent(stage: str, steps: Iterator[Any]) -> Iterable[Any]:
    return steps


def _classes_file(classes: PathLike | Sequence[str] | Mapping[str, Sequence[str]], path: Path) -> str:
    if isinstance(classes, str | os.PathLike):
        return os.fspath(classes)
    listed = dict(classes) if isinstance(classes, Mapping) else [str(name) for name in classes]
    path.write_text(json.dumps(listed), encoding="utf-8")
    return str(path)


def _templates_file(templates: PathLike | Sequence[str] | None, path: Path) -> str | None:
    if templates is None or isinstance(templates, str | os.PathLike):
        return None if templates is None else os.fspath(templates)
    path.write_text("\n".join(templates), encoding="utf-8")
    return str(path)


def _text(value: object) -> str:
    """A value as ``--set`` takes it."""
    return ",".join(str(part) for part in value) if isinstance(value, tuple | list) else str(value)


__all__ = ["ZeroLabel"]
