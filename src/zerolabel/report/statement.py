"""The sentences that the report and the model card share."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from zerolabel.networks.base import HEADS
from zerolabel.report.formats import count, percent, plural
from zerolabel.report.run import Run
from zerolabel.vlms.names import is_model

_RULES = {
    "union": "a class is a candidate of an image if at least one prompt voted for it",
    "soft": "every class is a candidate, weighted by the mean score",
    "topk": "the classes with the highest mean scores are candidates",
    "ratio": "classes whose mean score comes close to the best one are candidates",
    "votes": "a class is a candidate of an image if at least so many prompts voted for it",
    "quantile": "classes whose mean score stands out within the image and among all images are candidates",
    "posterior": "the classes that together hold a given probability under a model of the votes are candidates",
    "mass": "the best classes that together hold a given share of the mean score are candidates",
}


def command(run: Run) -> str:
    """The command that reproduces the run; empty where it is not known."""
    return shlex.join(str(part) for part in run.config.get("command", ()))


def rule(run: Run) -> str:
    """The candidate rule of the run, as text."""
    return rule_in_words(run.annotations.rule if run.annotations is not None else str(run.config.get("rule", "")))


def rule_in_words(name: str) -> str:
    """A rule as it is written, and what it means."""
    meaning = _RULES.get(name.partition(":")[0], "")
    return f"{name} ({meaning})" if meaning else name


def n_images(run: Run) -> int:
    """Images that were annotated."""
    if run.annotations is not None:
        return len(run.annotations)
    return int(run.metrics.get("n_images", 0))


def request(run: Run) -> str:
    """The options of the run, as text."""
    config = run.config
    parts = [f"Sort {plural(n_images(run), 'unlabeled image')} into {plural(len(run.classes), 'class', 'classes')}."]
    if config.get("adapt"):
        parts.append(_adapted(config["adapt"], run.metrics.get("adaptation", {})))
    if config.get("vlm"):
        parts.append(_who_read(config["vlm"], config.get("templates", ())))
    if config.get("learner"):
        asked = run.setting("epochs") or len(run.log)
        epochs = f" in {plural(int(asked), 'epoch')}" if asked else ""
        student = f"trained the student “{config['student']}”" if config.get("student") else "learned"
        parts.append(
            f"The votes of the {'annotators' if run.imported else 'prompts'} became a candidate set for each image."
        )
        if config.get("propagate"):
            parts.append("Scores were propagated over a k-NN graph of the images before training.")
        parts.append(f"On these sets, the learner {config['learner']} {student}{epochs}.")
    if run.has_truth:
        parts.append("True labels were used for evaluation only.")
    elif run.finished:
        parts.append("No true labels were given.")
    return " ".join(parts)


def student(run: Run) -> str | None:
    """The network in words."""
    config = run.config
    if config.get("student") is None or config.get("size") is None:
        return config.get("student")
    reads = "frozen features" if config["student"] in HEADS else f"{config['size']} pixels"
    way = ", through frozen features" if config.get("via") else ""
    return f"{config['student']} on {reads}{way}"


def _adapted(method: str, done: Mapping[str, Any]) -> str:
    if done.get("helped") is False:
        return f"By a check without labels, adapting the model by {method} did not help: {done['reason']}"
    return f"First the model was adapted to these images by {method}; zero-shot below means the adapted model."


def _who_read(models: Sequence[str], templates: Sequence[Sequence[str]]) -> str:
    asked = dict(zip(models, templates, strict=True))
    read = [model for model in models if is_model(model)]
    parts = []
    if len(read) == 1:
        parts.append(
            f"The vision-language model {read[0]} classified each image with {plural(len(asked[read[0]]), 'prompt')}."
        )
    elif read:
        each = [f"{model} ({plural(len(asked[model]), 'prompt')})" for model in read]
        parts.append(f"The vision-language models {', '.join(each[:-1])} and {each[-1]} classified each image.")
    others = [f"{name} ({plural(len(asked[name]), 'annotator')})" for name in models if name not in read]
    if others:
        parts.append(f"Votes were imported from {', '.join(others)}.")
    return " ".join(parts)


def measured_on(run: Run) -> str:
    """Which images the accuracies were measured on."""
    on = str(run.metrics.get("evaluated_on") or "images")
    n = run.metrics.get("n_evaluated")
    return f"{count(n)} {on}" if n else on


SHELL = "# onnxruntime, numpy and Pillow are enough\npython predict.py classifier.onnx path/to/images\n"
PYTHON = """from zerolabel import Classifier

classifier = Classifier.load("classifier")
names = classifier.predict("path/to/images")
probabilities = classifier.predict_proba("path/to/images")  # (N, C)
"""


def limits(run: Run) -> list[str]:
    """Limits of the classifier, as sentences."""
    lines = [
        (
            f"It knows {plural(len(run.classes), 'class', 'classes')} and nothing else: an image of anything else "
            "is still given one of them, sometimes with confidence."
        ),
        (
            f"It learned from {_opinion(run)}. A mistake that all {'annotators' if run.imported else 'prompts'} share "
            "looks like the truth to the student, which repeats it."
        ),
        (
            "It was trained on one collection of images. On images from another camera, place or time it may be "
            "less accurate, and nothing in this folder shows by how much."
        ),
    ]
    lines.append(_calibration(run))
    if run.has_truth and "training" in str(run.metrics.get("evaluated_on", "")):
        lines.append(
            "The accuracies were measured on the images it was trained on. Their true labels were hidden from "
            "training, but new images are harder."
        )
    if not run.has_truth and not run.metrics.get("review"):
        lines.append("It was never compared with true labels. Check a sample by hand before relying on it.")
    if "glyphs" in run.config.get("vlm", ()):
        lines.append(
            "The annotator glyphs is a small demonstration model that reads written characters; it knows nothing "
            "of photographs."
        )
    if run.skipped:
        lines.append(
            f"{plural(len(run.skipped), 'file')} could not be read and were left out; skipped.csv gives the reasons."
        )
    return lines


def _opinion(run: Run) -> str:
    if not run.imported:
        return "a vision-language model's opinion"
    mixed = any(is_model(name) for name in run.config.get("vlm", ()))
    return "imported votes and a vision-language model's opinion" if mixed else "imported votes"


def _calibration(run: Run) -> str:
    temperature = run.metrics.get("temperature")
    scaled = f" (temperature {temperature:.3g})" if isinstance(temperature, int | float) else ""
    error = run.evaluation.get("ece")
    if run.has_truth and error is not None:
        return (
            f"Its confidence was calibrated without true labels{scaled}; the expected calibration error, measured "
            f"afterward, is {percent(error)}."
        )
    return f"Its confidence was calibrated without true labels{scaled}, so “90% sure” is an unchecked estimate."


def vision(run: Run) -> str:
    """The encoders without texts, and what is not known of them; empty if there are none."""
    names = run.metrics.get("vision_encoders") or run.config.get("vision_encoders") or ()
    if not names:
        return ""
    return (
        f"Features of {', '.join(names)} were read beside those of the annotating model. Nothing without labels shows "
        "if they help on these images: a few checked images of a run with and of one without decide."
    )
