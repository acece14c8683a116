"""Unlabeled images, class names and a vision-language model in; what was learned of the model, in a folder, out."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from zerolabel.adaptation import few_shot
from zerolabel.adaptation.checks import Check, check
from zerolabel.adaptation.request import Request
from zerolabel.adaptation.transduction import SOLVERS, inductive, solve
from zerolabel.annotate import annotate, text_features
from zerolabel.annotate.run import Annotated
from zerolabel.annotations import Annotations
from zerolabel.annotations.candidates import check_enough
from zerolabel.annotations.digest import Digest, of_annotations
from zerolabel.blocks.label_propagation import propagate
from zerolabel.data.classes import Classes, prompts
from zerolabel.data.images import ImageSet, decode
from zerolabel.data.views import Features, Pixels
from zerolabel.deployment.assembly import KEPT
from zerolabel.diagnostics import calibration, open_set
from zerolabel.errors import InputError
from zerolabel.files import LOCK, alone, replacing, write_text, writing
from zerolabel.files.plain_json import dumps
from zerolabel.learners import LEARNERS, hyper_parameters
from zerolabel.learners.lafter import text_classifier
from zerolabel.networks.prompted import TEXTS, PromptedNetwork
from zerolabel.training import Source, predict, train
from zerolabel.training.loop import make_fabric
from zerolabel.vlms import adapted
from zerolabel.vlms.clip import DualEncoder

Progress = Callable[[str, Iterator[Any]], Iterable[Any]]
REQUEST = "request.json"
BLOCK = 1024
"""Images that are decoded at once."""


@dataclass(frozen=True)
class Adapted:
    """What `adapt` returns.

    Attributes:
        folder: what ``--vlm adapted:FOLDER`` reads.
        annotations: of the model before, which training used.
        probabilities: of the model that the folder means, on the training images.
        trained: of what training gave, whether it is used or not.
        check: of both.
        skipped: name of each unreadable file, and the reason.
    """

    folder: Path
    annotations: Annotations
    probabilities: Float[Tensor, "N C"]
    trained: Float[Tensor, "N C"]
    check: Check
    skipped: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Learned:
    """What training or a few-shot method gave.

    Attributes:
        probabilities: of the training images.
        state: its tensors.
        facts: what the folder says of it: ``prompt``, ``words``, ``templates`` and the ``log``.
    """

    probabilities: Float[Tensor, "N C"]
    state: dict[str, Tensor]
    facts: dict[str, Any]


def wording(templates: Sequence[str], parts: Sequence[str], start: str = "words") -> tuple[str, list[str]]:
    """The words that a learned text starts from, and the templates that the adapted model is asked with.

    A learned text starts from the words before the class name in the first template that has any, or with a random
    start from none.
    """
    with_words = [t for t in templates if t.partition("{}")[0].strip()] or list(templates[:1])
    used = with_words[:1] if (TEXTS | {"lora"}) & set(parts) else list(templates)
    if not TEXTS & set(parts):
        return "", used
    words, _, after = used[0].partition("{}")
    return words if start == "words" else "", ["{}" + after]


def adapt(
    images: ImageSet,
    encoder: DualEncoder,
    classes: Classes,
    templates: Sequence[str],
    request: Request,
    output: Path,
    *,
    labels: Callable[[Annotations], Int[Tensor, " N"]] | None = None,
    cache: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress = lambda _, steps: steps,
) -> Adapted:
    """Train what a request names on images without labels, check it, and write it.

    Where the check finds that it did not help, the folder says so and means the unadapted model.

    Args:
        images: unlabeled.
        encoder: the model.
        classes: C names with aliases.
        templates: prompts of the annotation that training starts from.
        request: what to learn, and how.
        output: folder to write.
        labels: from annotations to class ids given by a person, -1 elsewhere.
        cache: folder of image features; None keeps none.
        resume: continue from the checkpoint in the folder.
        progress: wraps the steps of a stage, given the stage's name.

    Raises:
        InputError: the folder holds something else, the model has no place for what is to be learned, or a method of
            labels has none.
    """
    asked = {"classes": [classes.names, list(classes.words)], "templates": list(templates)}
    told = dumps({**asdict(request), **asked}, indent=2, ascii=True) + "\n"
    look(output, told, resume=resume)
    done = annotate(images, encoder, classes, templates, cache=cache, progress=partial(progress, "annotate"))
    annotations = done.annotations if labels is None else done.annotations.with_labels(labels(done.annotations))
    done = replace(done, annotations=annotations)
    if not (request.row.needs_labels or request.row.learner is None):
        check_enough(annotations)
    if request.row.learner is None:
        learned: Learned | Training = fitted(request, done, encoder, classes, templates)
    else:
        learned = Training(request, done, encoder, classes, templates)
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
    with alone(output):
        look(output, told, resume=resume)
        write_text(output / REQUEST, told)
        if isinstance(learned, Training):
            made_of = {**of_annotations(annotations), "model": encoder.revision}
            learned = learned.run(output, partial(progress, "adapt"), made_of)
        return keep(learned, request, done, encoder, classes, templates, output)


def keep(
    learned: Learned,
    request: Request,
    done: Annotated,
    encoder: DualEncoder,
    classes: Classes,
    templates: Sequence[str],
    output: Path,
) -> Adapted:
    """Check what was learned, and write it; the folder is no adapted model until both of its files are there."""
    found = check(done.annotations, learned.probabilities)
    if not bool(learned.probabilities.isfinite().all()):
        raise FloatingPointError(f"--method {request.method} ends in values that are not finite; nothing is adapted.")
    (output / adapted.RECORD).unlink(missing_ok=True)
    save(output, learned.state)
    chosen = learned.probabilities if found.helped else done.annotations.scores
    about = {
        "base": request.vlm, "revision": encoder.revision, "method": request.method, **learned.facts,
        "classes": list(classes.names), "aliases": [list(a) for a in classes.aliases],
        "base_templates": list(templates), "check": asdict(found), "used": found.helped, "reason": found.reason,
        "layout": adapted.LAYOUT, "settings": asdict(request.training()),
        "options": request.options(), "threshold": threshold(request, chosen),
    }  # fmt: skip
    write_text(output / adapted.RECORD, dumps(about, indent=2) + "\n")
    return Adapted(output, done.annotations, chosen, learned.probabilities, found, done.skipped)


def threshold(request: Request, probabilities: Float[Tensor, "N C"]) -> float:
    """Confidence below which a classifier may abstain: where the images part in two, or that most of them reach."""
    confidence = probabilities.amax(1)
    return open_set.threshold(confidence) if request.open_set else calibration.threshold_for_share(confidence, KEPT)


class Training:
    """Parts of the model, and the learner that trains them; made before anything is written, so that mistakes show.

    Raises:
        InputError: the model has no such parts, or the learner does not take its hyper-parameters or the labels.
    """

    def __init__(
        self, request: Request, done: Annotated, encoder: DualEncoder, classes: Classes, templates: Sequence[str]
    ) -> None:
        self.settings = request.training()
        taught = lessons(request, done, encoder, classes, templates)
        torch.manual_seed(self.settings.seed)
        prompt = "+".join(request.parts)
        words, used = wording(templates, request.parts, request.start)
        network = adapted.prompted(encoder, classes, prompt, words, used)
        if request.method == "lafter":
            taught = taught_by_texts(taught, done.features, network, encoder, classes, templates, self.settings.seed)
        hyper = request.options()
        if "scale" in hyper_parameters(LEARNERS[request.learner]):
            hyper = {"scale": encoder.logit_scale, **hyper}
        self.learner = LEARNERS[request.learner](network, taught, **hyper)
        self.open = partial(views, request, done, encoder, make_fabric(self.settings).device)
        self.facts = {"prompt": prompt, "words": words, "templates": used}

    def run(self, folder: Path, progress: Callable[[Iterator[Any]], Iterable[Any]], made_of: Digest) -> Learned:
        """Train, from the checkpoint in the folder where there is one that was made of the same."""
        pixels = folder / "pixels.npy"
        source = self.open(pixels)
        logs = list(progress(train(self.learner, source, self.settings, folder / "checkpoint.safetensors", made_of)))
        network = self.learner.network
        after = predict(network, source, make_fabric(self.settings), self.settings.batch_size * 4).cpu()
        pixels.unlink(missing_ok=True)
        return Learned(after, network.state_dict(), {**self.facts, "log": [log.to_dict() for log in logs[-1:]]})


def taught_by_texts(
    annotations: Annotations,
    features: Float[Tensor, "N D"],
    network: PromptedNetwork,
    encoder: DualEncoder,
    classes: Classes,
    templates: Sequence[str],
    seed: int,
) -> Annotations:
    """The scores of a classifier that learned texts alone, from which the network's own starts: LaFTer's first step."""
    texts = torch.cat([encoder.encode_texts(prompts(template, classes.words)) for template in templates])
    owners = torch.tensor(classes.owners).repeat(len(templates))
    weights = text_classifier(texts, owners, encoder.logit_scale, seed=seed)
    head = network.head.classifier
    if isinstance(head, Tensor):
        with torch.no_grad():
            head.copy_(weights)
    return replace(annotations, scores=(features @ weights.T).softmax(1))


def fitted(
    request: Request, done: Annotated, encoder: DualEncoder, classes: Classes, templates: Sequence[str]
) -> Learned:
    """A head over features: of the images labeled by humans by a few-shot method, or of all by a solver.

    Raises:
        InputError: a few-shot method finds no such label.
    """
    texts = functional.normalize(text_features(encoder, classes, templates).mean(0), dim=1)
    labels, options, scale = done.annotations.labels, request.options(), encoder.logit_scale
    if request.method in SOLVERS:
        posterior = solve(request.method, done.features, texts, scale, **options)
        head = inductive(done.features, posterior, texts, scale)
    else:
        if "seed" in few_shot.defaults(request.method):
            options = {"seed": request.training().seed, **options}
        head = few_shot.learn(request.method, done.features, labels, texts, scale, **options)
    facts = {"prompt": "", "words": "", "templates": list(templates[:1]), "log": []}
    return Learned(head(done.features).softmax(1), head.state_dict(), facts)


def views(request: Request, done: Annotated, encoder: DualEncoder, device: torch.device, store: Path) -> Source:
    """What training reads: features where these stay as they are, else the images, whose pixels are put into a file."""
    if request.on_features:
        return Features(done.features, device)
    rows = squares(done.images, encoder, store)
    return Pixels(rows, encoder.view, flip=request.flip, crop=request.crop, device=device)


def lessons(
    request: Request, done: Annotated, encoder: DualEncoder, classes: Classes, templates: Sequence[str]
) -> Annotations:
    """The targets of the learner: the scores, spread over neighbors where that is asked, or human labels alone.

    A learner that takes no spread scores gets the model's own answers to the mean text feature of the templates.

    Raises:
        InputError: the method learns from labels, and there is none.
    """
    annotations = done.annotations
    if request.row.needs_labels:
        return only_labeled(annotations, request)
    if not LEARNERS[request.learner].takes_propagated_scores:
        texts = functional.normalize(text_features(encoder, classes, templates).mean(0), dim=1)
        return replace(annotations, scores=encoder.probabilities(torch.as_tensor(done.features), texts))
    if not request.propagate:
        return annotations
    return replace(annotations, scores=propagate(annotations.scores, done.features))


def only_labeled(annotations: Annotations, request: Request) -> Annotations:
    """Annotations in which the images without a human label have no candidate.

    Raises:
        InputError: no image has such a label.
    """
    human = annotations.labels >= 0
    if not bool(human.any()):
        raise InputError(f"--method {request.method} learns from labels; give --few-shot a CSV of file_name,label.")
    return annotations.with_candidates(annotations.candidates & human[:, None], annotations.rule)


def save(output: Path, state: dict[str, Tensor]) -> None:
    """Write what was learned."""
    kept = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    with replacing(output / adapted.WEIGHTS) as partial_file:
        save_file(kept, partial_file)


def look(output: Path, told: str, *, resume: bool) -> None:
    """See that a folder is free, or holds the beginning of this adaptation.

    Raises:
        InputError: it holds another adaptation, or files of another kind.
    """
    if output.is_file():
        raise InputError(f"{output} is a file; give -o a folder.")
    if not output.is_dir() or not set(os.listdir(output)) - {LOCK}:
        return
    if not (output / REQUEST).exists():
        raise InputError(f"{output} holds files of another kind; give -o an empty or new folder.")
    if not resume:
        raise InputError(f"{output} holds an adaptation; give --resume to finish it, or -o another folder.")
    if (output / REQUEST).read_text(encoding="utf-8") != told:
        raise InputError(f"{output} holds an adaptation with other options; give -o another folder.")


def squares(images: ImageSet, encoder: DualEncoder, store: Path) -> np.ndarray:
    """All images as the model's own preprocessing resizes and crops them, rounded to whole values (N 3 S S).

    They are mapped from a file, so that memory stays bounded.
    """
    side = encoder.view.size
    rows = np.lib.format.open_memmap(store, "w+", np.uint8, (len(images), 3, side, side))

    def fill(i: int) -> None:
        image = torch.from_numpy(np.array(decode(images.read_bytes(i))))
        rows[i] = encoder.view.resize(image).round().byte().numpy()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(images), BLOCK):
            list(pool.map(fill, range(start, min(start + BLOCK, len(images)))))
    return rows


__all__ = ["Adapted", "adapt"]
