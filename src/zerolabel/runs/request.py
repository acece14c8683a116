"""Options of the main job as given by the user, before defaults are chosen."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from zerolabel.runs.presets import Preset


@dataclass(frozen=True)
class Request:
    """Options of a run; None leaves the choice to `zerolabel.runs.planning`.

    Attributes:
        images: folder or list of unlabeled images.
        classes: file of class names, or names with commas between; none where annotations are given.
        vlm: the annotating model, or several; see `zerolabel.vlms.load`. Where annotations are given, the one of their
            models whose features are read.
        encoders: encoders without texts whose features are read beside the model's, see `zerolabel.vlms.vision.load`.
        templates: set or file of prompts, or one prompt, for all models; or one of these
            for each model; "default" or none is a model's own.
        candidates: how votes become candidate sets; see `zerolabel.annotations.parse_rule`. By default as in the
            annotations that are appended to, else mass:0.9 for models that give features and union for others.
        learner: name of the algorithm.
        options: ``NAME=VALUE`` texts for the learner and the training settings.
        student: name of the network; "features" means an MLP on the model's frozen features.
        size: side of the student's input in pixels.
        pretrained: whether a timm student starts from pretrained weights.
        adapt: method by which the model is adapted before it annotates.
        via: "features" to learn on frozen features first, "none" not to.
        propagate: whether scores spread over neighbors before training.
        deploy: "one" network or "both"; by default one.
        open_set: whether images may be of no class.
        epochs: of training.
        time: that the run may take, such as "20m", or "auto"; student, size and epochs are chosen to fit.
        seed: of everything random.
        flip: whether an image and its mirror image mean the same.
        set_aside: share of the images that is not learned; none is a tenth where no held-out images are given.
        strong: which strong view learners get, see `views.Pixels`.
        device: "auto", "cpu", "cuda" or "mps".
        truth: true labels, for evaluation only.
        test_images: images held out of training.
        few_shot: labels given by a person, for training.
        annotations: ``annotations.parquet`` to train on; classes, models and prompts are then its own.
        allow_changed: True to leave out images whose content is not the one that was annotated.
        append: annotations, or a run, that further annotators and images are added to.
        prompt_weights: "estimated" without labels, which is the default, or "uniform" for the mean of the prompts.
        precision: in which the models encode images; by default what is fastest on the device.
        feature_precision: in which image features are stored; by default float32.
        preset: gives what is not said: "auto", "small", "paper", or a `presets.Preset`.
        chat: how a chat model is asked: fields of `zerolabel.vlms.chat.Chat` but its name.
        command: the command line.
    """

    images: str
    classes: str | None = None
    vlm: str | Sequence[str] | None = None
    encoders: Sequence[str] = ()
    templates: str | Sequence[str] | None = None
    candidates: str | None = None
    learner: str = "coreg"
    options: Sequence[str] = ()
    student: str | None = None
    size: int | None = None
    pretrained: bool | None = None
    adapt: str | None = None
    via: str | None = None
    propagate: bool | None = None
    deploy: str | None = None
    open_set: bool = False
    epochs: int | None = None
    time: str | None = None
    seed: int = 0
    flip: bool | None = None
    set_aside: float | None = None
    strong: str = "randaugment"
    device: str = "auto"
    truth: str | None = None
    test_images: str | None = None
    few_shot: str | None = None
    annotations: str | None = None
    allow_changed: bool = False
    append: str | None = None
    prompt_weights: str | None = None
    precision: str | None = None
    feature_precision: str | None = None
    preset: str | Preset = "auto"
    chat: dict[str, Any] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)
