"""Unlabelled images, class names and a vision-language model in; what was learnt of the model, in a folder, out."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor

from zerolabel import calibration
from zerolabel.adapting.checking import Check, check
from zerolabel.adapting.methods import SUPERVISED, Request
from zerolabel.annotate import annotate
from zerolabel.annotate.run import Annotated
from zerolabel.annotations import Annotations, replacing
from zerolabel.errors import InputError
from zerolabel.images import ImageSet, decode
from zerolabel.learners import LEARNERS
from zerolabel.networks.prompted import Encoders, PromptedNetwork
from zerolabel.prompts import Classes, prompts
from zerolabel.propagation import propagate
from zerolabel.runs import write_text
from zerolabel.students import KEPT
from zerolabel.training import Source, launch, predict, train
from zerolabel.views import Features, Pixels
from zerolabel.vlms import adapted
from zerolabel.vlms.clip import DualEncoder

Progress = Callable[[str, Iterator[Any]], Iterable[Any]]
REQUEST = "request.json"


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


def build(
    encoder: DualEncoder, classes: Classes, templates: Sequence[str], parts: Sequence[str]
) -> tuple[PromptedNetwork, str, list[str]]:
    """The network that is trained, the words that its learnt text starts from, and the templates it is asked with.

    A learnt text starts from the words before the class name in the first template that has any.
    """
    with_words = [t for t in templates if t.partition("{}")[0].strip()] or list(templates[:1])
    used = with_words[:1] if {"text", "both", "lora"} & set(parts) else list(templates)
    words = ""
    if {"text", "both"} & set(parts):
        words, _, after = used[0].partition("{}")
        used = ["{}" + after]
    encoders = Encoders(encoder.model, encoder.tokenizer, "+".join(parts), words)
    ids = torch.stack([encoder.tokenizer(prompts(t, classes.words)) for t in used])
    size, levels = encoder.view.size, encoder.config.get("characters")
    network = PromptedNetwork(encoders, ids, torch.tensor(classes.owners), size, levels)
    return network, words, used


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
        images: unlabelled.
        encoder: the model.
        classes: C names with aliases.
        templates: prompts of the annotation that training starts from.
        request: what to learn, and how.
        output: folder to write.
        labels: from annotations to class ids given by a person, -1 elsewhere.
        cache: folder of image features; None keeps none.
        resume: go on from the checkpoint in the folder.
        progress: wraps the steps of a stage, given the stage's name.

    Raises:
        InputError: the folder holds something else, the model has no place for what is to be learnt, or a method of
            labels has none.
    """
    settings, parts = request.training(), request.parts
    about = {"classes": [classes.names, list(classes.words)], "templates": list(templates)}
    told = json.dumps({**asdict(request), **about}, indent=2, default=list) + "\n"
    look(output, told, resume=resume)
    done = annotate(
        images, encoder, classes, templates, cache=cache,
        progress=lambda steps: progress("annotate", steps),
    )  # fmt: skip
    annotations = done.annotations if labels is None else done.annotations.with_labels(labels(done.annotations))
    taught = lessons(request, annotations, done.features)
    torch.manual_seed(settings.seed)
    network, words, used = build(encoder, classes, templates, parts)
    learner = LEARNERS[request.learner](network, taught, **request.options())
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / REQUEST, told)
    source = views(request, done, encoder, launch(settings).device)
    logs = list(progress("adapt", train(learner, source, settings, output / "checkpoint.safetensors")))
    after = predict(learner.network, source, launch(settings), settings.batch_size * 4).cpu()
    found = check(done.annotations, after)
    save(output, learner.network)
    record = {
        "base": request.vlm, "revision": encoder.revision, "prompt": "+".join(parts),
        "method": request.method, "classes": list(classes.names), "aliases": [list(a) for a in classes.aliases],
        "base_templates": list(templates), "words": words,
        "templates": used, "check": asdict(found), "used": found.helped, "reason": found.reason,
        "settings": asdict(settings), "options": request.options(), "log": [log.to_dict() for log in logs[-1:]],
    }  # fmt: skip
    chosen = after if found.helped else done.annotations.scores
    record["threshold"] = calibration.threshold_for_share(chosen.amax(1), KEPT)
    write_text(output / adapted.RECORD, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    return Adapted(output, annotations, chosen, after, found, done.skipped)


def views(request: Request, done: Annotated, encoder: DualEncoder, device: torch.device) -> Source:
    """What training reads: features where these stay as they are, else the images."""
    if request.on_features:
        return Features(done.features, device)
    return Pixels(squares(done.images, encoder), encoder.view, flip=request.flip, device=device)


def lessons(request: Request, annotations: Annotations, features: Float[Tensor, "N D"]) -> Annotations:
    """What the learner is told: the scores, spread over neighbours where that is asked, or a person's labels alone.

    Raises:
        InputError: the method learns from labels, and there is none.
    """
    if request.method in SUPERVISED:
        return only_labelled(annotations, request)
    if not request.propagate:
        return annotations
    return replace(annotations, scores=propagate(annotations.scores, features))


def only_labelled(annotations: Annotations, request: Request) -> Annotations:
    """Annotations in which the images without a person's label have no candidate.

    Raises:
        InputError: no image has such a label.
    """
    human = annotations.labels >= 0
    if not bool(human.any()):
        raise InputError(f"--method {request.method} learns from labels; give --few-shot a CSV of file_name,label.")
    return annotations.with_candidates(annotations.candidates & human[:, None], annotations.rule)


def save(output: Path, network: torch.nn.Module) -> None:
    """Write what was learnt."""
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    with replacing(output / adapted.WEIGHTS) as partial:
        save_file(state, partial)


def look(output: Path, told: str, *, resume: bool) -> None:
    """See that a folder is free, or holds the beginning of this adaptation.

    Raises:
        InputError: it holds another adaptation, or files of another kind.
    """
    if output.is_file():
        raise InputError(f"{output} is a file; give -o a folder.")
    if not output.is_dir() or not any(output.iterdir()):
        return
    if not (output / REQUEST).exists():
        raise InputError(f"{output} holds files of another kind; give -o an empty or new folder.")
    if not resume:
        raise InputError(f"{output} holds an adaptation; give --resume to finish it, or -o another folder.")
    if (output / REQUEST).read_text(encoding="utf-8") != told:
        raise InputError(f"{output} holds an adaptation with other options; give -o another folder.")


def squares(images: ImageSet, encoder: DualEncoder) -> np.ndarray:
    """All images as the model's own preprocessing resizes and crops them, rounded to whole values (N 3 S S)."""
    side = encoder.view.size
    rows = np.empty((len(images), 3, side, side), np.uint8)
    for i in range(len(images)):
        image = torch.from_numpy(np.array(decode(images.read_bytes(i))))
        rows[i] = encoder.view.resize(image).round().byte().numpy()
    return rows


__all__ = ["Adapted", "adapt"]
