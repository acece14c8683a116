"""Duration of a run from measured speeds, without torch: only a network that the table lacks is timed for two steps.

``costs.json`` holds seconds of one thread of one machine, see ``benchmarks/costs.py``. Here they are scaled by the
speed of this machine at multiplying matrices, and by its cores.
"""

import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from zerolabel.data.images import ImageSet, Unreadable, sides
from zerolabel.runs.config import HEADS, AnnotationConfig, Config, TrainingConfig
from zerolabel.runs.encoder_work import architecture, encoder_work
from zerolabel.runs.presets import MOST_VALIDATED
from zerolabel.vlms.names import ModelName, is_chat, reads_characters

TABLE = Path(__file__).with_name("costs.json")
SIDE = 512
"""Of the matrices that are multiplied to see how fast a machine is."""
LOADING = 8.0
"""Seconds of one core in which the libraries are imported, the report written and the run closed."""
EXPORTING = {"encoder": 14.0, "again": 2.5, "pixels": 5.0}
"""Seconds of one core in which an ONNX file is written: with an image encoder in it, with the one of an earlier file,
and without."""
CHECKED = {"encoder": 32, "pixels": 500, "interim": 16}
"""Most images on which that file is compared with torch; the last is for stages that are not the last."""
LONG = 10.0
"""Seconds of training from which on the zero-shot ensemble is deployed before it."""
FIRST, HEAD = "deploy the zero-shot ensemble", "deploy the head on frozen features"
"""Stages that deploy a classifier until a later one replaces it."""
VALIDATING, LEARNING = "train on half of the human labels", "train on features"
AVERAGING = "train on predictions and human labels"
"""Stages that train a head: one that human labels validate, the one that is deployed or taught from, and where these
say so, one that imitates its mean with a probe on the labels."""
SAMPLE = 16
"""Images that are looked at for their size."""


@dataclass(frozen=True)
class Machine:
    """Processor or GPU of a run.

    Attributes:
        kind: "cpu", "cuda" or "mps".
        cores: threads that share the work.
        precision: in which students train and encoders encode, where the user says nothing.
        speed: of one core, as a multiple of the one that the table was measured on.
    """

    kind: str
    cores: int
    precision: str
    speed: float

    @property
    def text(self) -> str:
        """In words."""
        return ("1 core" if self.cores == 1 else f"{self.cores} cores") if self.kind == "cpu" else self.kind

    @property
    def together(self) -> float:
        """Speed of all cores at work that can be shared."""
        return float(self.speed * self.cores**0.9)


@dataclass(frozen=True)
class Forecast:
    """Expected duration of a run.

    Attributes:
        n_images: found.
        device: in words.
        seconds: of each stage, by the names that the run gives them; none where it is not known.
        why_unknown: the reason, as the end of a sentence; empty where all is known.
    """

    n_images: int
    device: str
    seconds: dict[str, float | None]
    why_unknown: str = ""

    @property
    def total(self) -> float | None:
        """Of the whole run; none where a stage is not known."""
        known = [one for one in self.seconds.values() if one is not None]
        return sum(known) if len(known) == len(self.seconds) else None

    @property
    def text(self) -> str:
        """In words."""
        if self.total is None:
            return f"not known: {self.why_unknown}"
        return f"about {duration(self.total)} on {self.device}"

    @property
    def is_long(self) -> bool:
        """True if training takes so long that a classifier is worth deploying before it; also if that is not known."""
        return is_long({stage: each for stage, each in self.seconds.items() if stage.startswith("train")})

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "total": self.total}

    def compare(self, measured: Mapping[str, float], total: float | None) -> dict[str, Any]:
        """Estimated and measured seconds side by side.

        Args:
            measured: seconds of the stages that were done.
            total: seconds of the whole run; None if it was resumed.
        """
        stages = {
            stage: {"estimated": self.seconds.get(stage), "measured": measured.get(stage)}
            for stage in dict.fromkeys((*self.seconds, *measured))
        }
        ratio = None if total is None or self.total is None else total / self.total
        return {
            "device": self.device,
            "estimated_seconds": self.total,
            "measured_seconds": total,
            "measured_over_estimated": ratio,
            "stages": stages,
        }


def duration(seconds: float) -> str:
    """As a person says it.

    Example:
        >>> duration(7), duration(94), duration(600), duration(9000), duration(400_000)
        ('7 s', '1.5 min', '10 min', '2.5 h', '4.6 days')
    """
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            value = seconds / size
            return f"{value:.1f}".removesuffix(".0") + f" {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{max(round(seconds), 1)} s"


def forecast(config: Config) -> Forecast:
    """Forecast the duration of a run, stage by stage."""
    images = ImageSet.open(config.data.images)
    held_out = 0 if config.data.test_images is None else len(ImageSet.open(config.data.test_images))
    machine = this_machine(str(config.training.settings.get("device", "auto")))
    if machine.kind != "cpu":
        unknown = f"there is no table of speeds for {machine.kind}; the run tells the time that is left"
        return Forecast(len(images), machine.text, {"annotate": None, "train": None}, unknown)
    seconds: dict[str, float | None] = {"start": LOADING / machine.speed}
    seconds["annotate"] = annotation(config.annotation, len(config.data.classes), images, machine)
    if held_out and seconds["annotate"] is not None:
        seconds["annotate held-out images"] = seconds["annotate"] * held_out / max(len(images), 1)
    learning = training(config.training, images, machine)
    if config.annotation.annotations is None and config.annotation.encoder is not None and is_long(learning):
        seconds[FIRST] = exporting(config, "encoder", CHECKED["interim"], machine)
    for stage, each in learning.items():
        seconds[stage] = each
        if stage == (AVERAGING if config.training.stack else LEARNING) and config.training.via is not None:
            seconds[HEAD] = exporting(config, "again" if FIRST in seconds else "encoder", CHECKED["interim"], machine)
    seconds |= closing(config, len(images), held_out, machine, bool({FIRST, HEAD} & {*seconds}))
    why = "" if seconds["annotate"] is not None else "the speed of the annotating model is not known"
    return Forecast(len(images), machine.text, seconds, why)


def is_long(training: Mapping[str, float | None]) -> bool:
    """True if stages of training take `LONG` or more, or if it is not known."""
    return sum(LONG if each is None else each for each in training.values()) >= LONG


def annotation(config: AnnotationConfig, n_classes: int, images: ImageSet, machine: Machine) -> float | None:
    """Of all images and models; none where the speed of one is not known."""
    if config.annotations is not None:
        return 0.0
    whole = 0.0
    for model in config.models:
        if is_chat(model.name):
            return None
        each = image_seconds(model.name, machine, None if config.precision == "auto" else config.precision)
        if each is None:
            return None
        image, text = each
        whole += len(images) * (image + decoding(images, machine)) + n_classes * len(model.templates) * text
    return whole


def image_seconds(model: str, machine: Machine, precision: str | None = None) -> tuple[float, float] | None:
    """Of one image and of one text; none where the architecture is not known."""
    speeds = table()["encoders"]
    if ModelName.parse(model).kind == "embeddings":
        return 0.0, text_seconds(model, machine)
    if reads_characters(model):
        return speeds["glyphs"] / machine.together, 0.0
    config = architecture(model)
    work = None if config is None else encoder_work(config)
    if work is None:
        return None
    image, text = work
    return image / speeds[precision or machine.precision] / machine.together, text / speeds["text"] / machine.together


def text_seconds(embeddings: str, machine: Machine) -> float:
    """Of one text for class names beside embeddings; zero for features from a file and for unknown towers."""
    from zerolabel.vlms.adapted import base_of

    base = base_of(embeddings)
    known = None if ModelName.parse(base).kind == "embeddings" else image_seconds(base, machine)
    return 0.0 if known is None else known[1]


def decoding(images: ImageSet, machine: Machine) -> float:
    """Of reading and resizing one image, by the mean size of some."""
    first, more = table()["images"]
    return float(first + more * megapixels(images)) / machine.together


def megapixels(images: ImageSet) -> float:
    """Mean size of some images."""
    sizes = []
    for i in range(0, len(images), max(1, len(images) // SAMPLE)):
        try:
            width, height = sides(images.read_bytes(i))
        except Unreadable:
            continue
        sizes.append(width * height / 1e6)
    return sum(sizes) / max(len(sizes), 1)


def training(config: TrainingConfig, images: ImageSet, machine: Machine) -> dict[str, float | None]:
    """Of the stages of training."""
    n, stages = len(images), dict[str, float | None]()
    if config.student in HEADS or config.via is not None:
        if config.stack:
            stages[VALIDATING] = on_features(config, min(n, MOST_VALIDATED), machine)
        stages[LEARNING] = on_features(config, n, machine)
        if config.stack:
            stages[AVERAGING] = on_features(config.imitating, n, machine)
    if config.student not in HEADS:
        each = per_image(config.student, config.size, machine)
        passes = epochs_of("distillation" if config.via else config.learner, config)
        decoded = n * decoding(images, machine)
        stages["train"] = decoded + n * passes * each
    return stages


def on_features(config: TrainingConfig, n_images: int, machine: Machine) -> float:
    """Of a head, whose steps are too small to share among cores."""
    return weighted(head_epochs(config, n_images), config.learner, config) / machine.speed


def head_epochs(config: TrainingConfig, n_images: int) -> list[float]:
    """Seconds of an early and a late epoch of a head."""
    batch, lines = config.settings.get("batch_size", 256), table()["heads"][config.learner]
    return [epoch + n_images / batch * step + n_images * image for epoch, step, image in lines]


def closing(config: Config, n_images: int, held_out: int, machine: Machine, again: bool) -> dict[str, float]:
    """Seconds of the stages after training; `again` says that the image encoder was exported before."""
    kind = "encoder" if config.training.student in HEADS else "pixels"
    predicted = {"evaluate": 2 * held_out * predicting(config, kind, machine)} if held_out else {}
    checked, what = min(held_out or n_images, CHECKED[kind]), "again" if again and kind == "encoder" else kind
    return {**predicted, "export": exporting(config, what, checked, machine)}


def exporting(config: Config, kind: str, checked: int, machine: Machine) -> float:
    """Seconds to write an ONNX file and to compare it with torch."""
    return EXPORTING[kind] / machine.speed + 3 * checked * predicting(config, kind, machine)


def predicting(config: Config, kind: str, machine: Machine) -> float:
    """Seconds to predict one image, by the student on pixels or with an image encoder."""
    if kind == "pixels":
        return per_image(config.training.student, config.training.size, machine) / 3
    known = None if config.annotation.encoder is None else image_seconds(config.annotation.encoder, machine, "float32")
    return 0.0 if known is None else known[0]


def epochs_of(learner: str, config: TrainingConfig) -> float:
    """The epochs of a learner, as epochs of distillation."""
    return weighted(table()["learners"][learner], learner, config)


def weighted(each: list[float], learner: str, config: TrainingConfig) -> float:
    """The sum over the epochs."""
    return sum(epoch_by_epoch(each, learner, config))


def epoch_by_epoch(each: list[float], learner: str, config: TrainingConfig) -> list[float]:
    """A value for each epoch, of which those of a warm-up are cheaper.

    Args:
        each: of an epoch in the warm-up and of a later one.
        learner: which of them the configuration's hyper-parameters are for.
        config: how many epochs there are.
    """
    epochs = int(config.settings["epochs"])
    told = config.hyper_parameters.get("warm_up", epochs // 4) if learner == config.learner else 0
    warm_up = min(told, epochs) if isinstance(told, int) else 0
    return [each[0]] * warm_up + [each[1]] * (epochs - warm_up)


def epoch_costs(config: TrainingConfig, n_images: int, stage: str) -> list[float]:
    """Costs of the epochs of a stage of training, as multiples of each other."""
    if stage in (VALIDATING, LEARNING, AVERAGING):
        if stage == AVERAGING:
            config = config.imitating
        n_images = min(n_images, MOST_VALIDATED) if stage == VALIDATING else n_images
        return epoch_by_epoch(head_epochs(config, n_images), config.learner, config)
    learner = "distillation" if config.via else config.learner
    return epoch_by_epoch(table()["learners"][learner], learner, config)


@cache
def per_image(student: str, size: int, machine: Machine) -> float:
    """Of one image in an epoch of distillation: the nearest size in the table, scaled by area, or two steps timed."""
    known = timed(student, machine.precision)
    if not known or machine.kind != "cpu":
        from zerolabel.runs.timing import seconds_per_image

        return seconds_per_image(student, size, machine.kind)
    nearest = min(known, key=lambda one: abs(math.log(one / size)))
    return known[nearest] * (size / nearest) ** 2 / machine.together


def timed(student: str, precision: str) -> dict[int, float]:
    """Measured seconds of one image by the side of the input; nothing where the architecture is not in the table."""
    architecture, speeds = student.partition(".")[0], table()["networks"][precision]
    sides = {name: int(name.rpartition("@")[2]) for name in speeds if name.rpartition("@")[0] == architecture}
    return {side: speeds[name] for name, side in sides.items()}


def is_timed(student: str) -> bool:
    """True for an architecture in the table, alone or with the name of weights that timm had when it was measured."""
    architecture, dot, weights = student.partition(".")
    known = bool(timed(architecture, "float32"))
    return known and (not dot or weights in table()["weights"].get(architecture, ()))


@cache
def table() -> dict[str, Any]:
    """The measured speeds."""
    found: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return found


@cache
def this_machine(device: str = "auto") -> Machine:
    """The machine that this process runs on."""
    if device != "cpu" and (device != "auto" or has_cuda()):
        return Machine("cuda" if device == "auto" else device, 1, "bfloat16", 1.0)
    cores = int(os.environ.get("OMP_NUM_THREADS") or 0) or available_cores()
    precision = "bfloat16" if multiplies_bfloat16() else "float32"
    return Machine("cpu", cores, precision, gigaflops() / cores / table()["gigaflops"])


def available_cores() -> int:
    """That this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def has_cuda() -> bool:
    """True if a driver of NVIDIA's is loaded."""
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/dxg").exists()


def multiplies_bfloat16() -> bool:
    """True if the processor says that it multiplies bfloat16 natively."""
    try:
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def gigaflops() -> float:
    """Billions of float32 multiplications a second of all threads: the best of some products of matrices."""
    random = np.random.default_rng(0)
    a, b = (random.random((SIDE, SIDE), dtype=np.float32) for _ in range(2))
    times = []
    for _ in range(12):
        start = time.perf_counter()
        _ = a @ b
        times.append(time.perf_counter() - start)
    return SIDE**3 / min(times) / 1e9


__all__ = ["Forecast", "Machine", "duration", "forecast", "this_machine"]
