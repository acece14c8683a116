"""Plans a comparison: one configuration per row."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jaxtyping import Int
from torch import Tensor

from zerolabel.adaptation.request import Request as Adaptation
from zerolabel.annotations import Annotations
from zerolabel.annotations.files import open_annotations
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.data.label_files import Labels, places_known
from zerolabel.errors import InputError
from zerolabel.errors.redaction import redacted_data
from zerolabel.files.plain_json import dumps
from zerolabel.runs.config import Config
from zerolabel.runs.planning import plan
from zerolabel.runs.planning.training import wanted_options
from zerolabel.runs.request import Request
from zerolabel.training.settings import find_learner

ADAPT = "adapt:"
"""Before the name of a method, a row of the annotating model itself, adapted by it."""


@dataclass(frozen=True)
class Comparison:
    """A planned comparison.

    Attributes:
        configs: of each learner, with seed 0.
        seeds: from 0, of each.
        truth: true labels, which no run sees; none where they are unknown.
        test: images held out of training; their annotations, where there are any, judge without labels.
        test_annotations: of the held-out images.
    """

    configs: dict[str, Config]
    seeds: int
    truth: str | None = None
    test: str | None = None
    test_annotations: str | None = None

    def to_json(self) -> str:
        """Options that must not change on resume; the true labels may be added later."""
        data = {name: {k: v for k, v in c.to_dict().items() if k not in _FREE} for name, c in self.configs.items()}
        beside = {"test": self.test, "test_annotations": self.test_annotations}
        return dumps(redacted_data({"learners": data, **beside}), indent=1)


KEPT = "annotations.parquet"
"""In the folder of a comparison that leaves out images which changed: the annotations of the others."""
_FREE = ("created", "command", "preset", "zerolabel", "truth")


def compare_plan(
    request: Request, learners: Sequence[str], seeds: int, test: str | None, test_annotations: str | None
) -> Comparison:
    """Fill in what was not said, once for all learners.

    Args:
        request: what all share; its options are ``NAME=VALUE`` for the training, ``LEARNER.NAME=VALUE`` for one.
        learners: names.
        seeds: runs of each.
        test: held-out images.
        test_annotations: of these.

    Raises:
        InputError: something cannot be.
    """
    wanted = tuple(dict.fromkeys(name.strip() for name in learners if name.strip()))
    if not wanted:
        raise InputError("give --methods, names with commas between; `zerolabel learners` lists them.")
    if test_annotations is not None and test is None:
        raise InputError("--test-annotations are of the images of --test; give both.")
    options = options_of(request, wanted)
    configs = {}
    for name in wanted:
        if name.startswith(ADAPT):
            configs[name] = adapting_plan(request, name.removeprefix(ADAPT), options[name])
        else:
            configs[name] = plan(replace(request, learner=name, options=options[name]))
    return Comparison(configs, seeds, request.truth, test, test_annotations)


def options_of(request: Request, methods: Sequence[str]) -> dict[str, list[str]]:
    """The ``NAME=VALUE`` texts of each method, which are checked before any file is read.

    Raises:
        InputError: there is no such method or option, or a value cannot be.
    """
    for name in methods:
        if not name.startswith(ADAPT):
            find_learner(name)
    own = {text: text.partition("=")[0].partition(".") for text in request.options}
    for text, (method, dot, _) in own.items():
        if dot and method not in methods:
            raise InputError(f"--set {text}: {method} is not among --methods {','.join(methods)}.")
    found = {}
    for name in methods:
        adapts = name.startswith(ADAPT)
        found[name] = [
            text.partition(".")[2] if dot else text
            for text, (who, dot, _) in own.items()
            if (dot and who == name) or not (dot or adapts)
        ]
        if adapts:
            Adaptation.parse("glyphs", name.removeprefix(ADAPT), found[name], common={"device": request.device})
        else:
            wanted_options(replace(request, learner=name, options=found[name]))
    return found


def annotations_of(comparison: Comparison, folder: Path) -> Annotations:
    """The annotations that the runs in a folder learn from."""
    given = next(iter(comparison.configs.values())).annotation.annotations
    return open_annotations(folder / KEPT if (folder / KEPT).is_file() else str(given))


def adapting_plan(request: Request, method: str, options: Sequence[str]) -> Config:
    """Configuration of an adaptation method; its prompts are those of the annotations.

    Raises:
        InputError: there is no such method or option, no model that gives features, or no label where it wants some.
    """
    shared = plan(replace(request, learner="cross_entropy", options=()))
    encoder = shared.annotation.encoder
    if encoder is None:
        raise InputError(f"{ADAPT}{method} adapts a model with image features, and the annotations have none of any.")
    asked = Adaptation.parse(encoder, method, options, common={"device": request.device}, flip=shared.training.flip)
    if asked.row.needs_labels and not bool(open_annotations(str(request.annotations)).human.any()):
        raise InputError(f"{ADAPT}{method} learns from human labels, and the annotations have none.")
    training = replace(shared.training, hyper_parameters=asked.hyper_parameters, settings=asked.settings)
    return replace(shared, annotation=replace(shared.annotation, adapt=method), training=training)


def true_labels(
    comparison: Comparison, annotations: Annotations
) -> tuple[Int[Tensor, " N"] | None, Int[Tensor, " K"] | None]:
    """True classes of the images of the training, and of those that accuracies are about; none without truth.

    Raises:
        InputError: the truth names other images, or no class of those that accuracies are about.
    """
    if comparison.truth is None:
        return None, None
    names, digests = list(annotations.file_names), list(annotations.sha256)
    if comparison.test is not None:
        held_out = ImageSet.open(comparison.test)
        names += held_out.file_names
        digests += [held_out.digest(i) for i in range(len(held_out))]
    found = Labels.read(comparison.truth, Classes(annotations.classes)).match(names, digests, subset=True)
    pool = found[: len(annotations)]
    judged = pool if comparison.test is None else found[len(annotations) :]
    places_known(
        judged, comparison.truth, "images" if comparison.test is None else f"held-out images in {comparison.test}"
    )
    return pool, judged
