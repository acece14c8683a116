"""The annotation stage: votes, scores and candidate sets of the training images and of held-out images."""

import shutil
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotate import Annotated, Written, annotate, embed, write
from zerolabel.annotate.chat_progress import CostPreview
from zerolabel.annotate.prompt_weights import weights_of
from zerolabel.annotate.writing import none_readable
from zerolabel.annotations import Annotations
from zerolabel.annotations.files import open_annotations
from zerolabel.annotations.image_check import unchanged
from zerolabel.annotations.merging import merge, merge_all
from zerolabel.data.images import ImageSet
from zerolabel.data.label_files import Labels
from zerolabel.errors import InputError
from zerolabel.files.skipped import save_skipped
from zerolabel.integrations.joining import blank
from zerolabel.runs.context import Context
from zerolabel.runs.folder import timed
from zerolabel.runs.inputs import contents, record
from zerolabel.runs.stages.training import needs_features
from zerolabel.vlms.adapted import reads_characters
from zerolabel.vlms.chat import SHORTLIST, Chat
from zerolabel.vlms.names import ModelName, is_chat, is_encoder

ANSWERS = "answers.sqlite"
"""In the cache: the answers of chat models so far."""


def annotate_images(context: Context) -> Annotated:
    """Votes on the training images: ``annotations.parquet``, ``skipped.csv``. Human labels are put in."""
    images = ImageSet.open(context.config.data.images)
    if context.config.annotation.annotations is None:
        done = _append(context, _annotate(context, "annotate", images, context.folder.path))
    else:
        done = _given(context, images, open_annotations(context.config.annotation.annotations))
    if context.config.data.few_shot:
        skipped = [name for name, _ in done.skipped]
        given = Labels.read(context.config.data.few_shot, context.classes, use="train")
        labels = given.match(done.annotations.file_names, done.annotations.sha256, skipped)
        done = replace(done, annotations=done.annotations.with_labels(labels))
        done.annotations.save(context.folder / "annotations.parquet")
    record(context.folder, context.config, contents(context.folder / "annotations.parquet"))
    return done


def write_annotations(context: Context) -> Written:
    """The same for its files alone; one model's, to which nothing is added, are never in memory as a whole."""
    config, annotation = context.config, context.config.annotation
    several = len(annotation.models) > 1 or annotation.append or annotation.annotations
    if several or annotation.chat or config.data.few_shot:
        done = annotate_images(context)
        said, sizes = done.annotations, done.annotations.candidates.sum(1)
        mean = float(sizes.sum() / (sizes > 0).sum().clamp_min(1))
        return Written(
            context.folder / "annotations.parquet", len(said), mean, said.classes, said.annotators, done.skipped,
            done.seconds, done.images_per_second,
        )  # fmt: skip
    name, stage = context.config.annotation.names[0], "annotate"
    with timed(context.folder, stage) as facts:
        images = ImageSet.open(context.config.data.images)
        written = write(images, **_request(context, name), out=context.folder.path, **_how(context, stage))
        speed = {"images_per_second": written.images_per_second}
        facts |= speed | {"vlm_parameters": context.model(name).n_parameters}
    record(context.folder, config, contents(written.path))
    return written


def _append(context: Context, done: Annotated) -> Annotated:
    """With the annotations, where there are any, that these are added to."""
    annotation = context.config.annotation
    if annotation.append is None:
        return done
    before = open_annotations(annotation.append)
    names = (annotation.append, "the new annotations")
    together = merge(before, done.annotations, annotation.rule, names)
    together.save(context.folder / "annotations.parquet")
    return replace(done, annotations=together)


def _given(context: Context, images: ImageSet, annotations: Annotations) -> Annotated:
    """Annotations that existed, with features only where the student reads them."""
    annotation = context.config.annotation
    missing = set(annotations.file_names) - set(images.file_names)
    if missing:
        found = f"names {len(missing)} of {len(annotations)} images that are not there, first {min(missing)}"
        raise InputError(f"{annotation.annotations} {found}; give the images it was made of, not {images.root}.")
    known, path = set(annotations.file_names), str(annotation.annotations)
    annotations = unchanged(annotations, images, path, allow_changed=annotation.allow_changed)
    same = set(annotations.file_names)
    why = {True: "it is not the image that was annotated", False: "it has no annotation"}
    left_out = tuple((name, why[name in known]) for name in images.file_names if name not in same)
    images = images.named(annotations.file_names)
    features = torch.zeros(len(annotations), 0)
    if needs_features(context.config.training):
        features, skipped = _features(context, images)
        if skipped:
            annotations, images, features = without(annotations, images, features, skipped)
            left_out += skipped
    annotations.save(context.folder / "annotations.parquet")
    return Annotated(annotations, images, features, left_out, 0.0, None)


def annotate_held_out(context: Context, train: Annotated) -> Annotated | None:
    """Votes on the images held out of training, where there are any: ``test_annotations.parquet``.

    Prompts weigh as they do on the training images.

    People, other tools and chat models whose votes were given do not vote again: held-out images get the votes of the
    encoders among the annotators, or of nobody.
    """
    config = context.config
    if config.data.test_images is None:
        return None
    images, names = ImageSet.open(config.data.test_images), config.annotation.names
    names = names if config.annotation.annotations is None else tuple(filter(is_encoder, names))
    stage, before = "annotate held-out images", train.annotations
    done = _annotate(context, stage, images, None, names, before) if names else _unvoted(context, images)
    done.annotations.save(context.folder / "test_annotations.parquet")
    return done


def _unvoted(context: Context, images: ImageSet) -> Annotated:
    """Images on which nobody votes."""
    said = blank(images, context.classes.names)
    known = set(said.file_names)
    skipped = tuple((name, "it cannot be read") for name in images.file_names if name not in known)
    return Annotated(said, images.named(said.file_names), torch.zeros(len(said), 0), skipped, 0.0, None)


def _features(context: Context, images: ImageSet) -> tuple[Float[Tensor, "N D"], tuple[tuple[str, str], ...]]:
    """Features of every image by the model that training reads, and the images that have none."""
    embedding = embed(images, context.encoder, cache=context.cache)
    deque(context.progress("encode", embedding.steps), 0)
    return embedding.features, embedding.skipped


def _annotate(
    context: Context,
    stage: str,
    images: ImageSet,
    out: Path | None,
    names: tuple[str, ...] | None = None,
    before: Annotations | None = None,
) -> Annotated:
    """Votes of models, by default of all: each annotates on its own, and what they say is merged."""
    names = context.config.annotation.names if names is None else names
    parts: dict[str, Annotated] = {}
    with timed(context.folder, stage) as facts:
        for name in sorted(names, key=is_chat):  # chat models may be asked about the others' best
            title = stage if len(names) == 1 else f"{stage}, {name}"
            place = out if out is None or len(names) == 1 else context.folder / "cache" / "votes" / str(len(parts))
            if is_chat(name):
                parts[name] = _ask_chat_model(context, title, name, images, place, parts)
            else:
                asked = _request(context, name, before)
                parts[name] = annotate(images, **asked, out=place, **_how(context, title))
        done = parts[names[0]] if len(names) == 1 else _merged(context, {n: parts[n] for n in names}, images, out)
        parameters = sum(context.model(name).n_parameters for name in filter(is_encoder, names))
        facts |= {"images_per_second": done.images_per_second, "vlm_parameters": parameters}
    return done


def _ask_chat_model(
    context: Context, title: str, name: str, images: ImageSet, out: Path | None, others: Mapping[str, Annotated]
) -> Annotated:
    """What a model says that answers in chat; of many classes, it is asked about the best of the others."""
    from zerolabel.annotate.chat import annotate_with_chat

    annotation = context.config.annotation
    said = [other.annotations for other in others.values()]
    before = None if annotation.append is None else open_annotations(annotation.append)
    return annotate_with_chat(
        images,
        Chat(ModelName.parse(name).rest, **annotation.chat),
        context.classes,
        context.templates(name),
        answers=context.cache / ANSWERS,
        out=context.folder.path if out is not None else None,
        rule=annotation.rule,
        shortlists=shortlists([*said, *([] if before is None else [before])]),
        progress=lambda steps: context.progress(title, steps),
    )


def preview(context: Context) -> dict[str, CostPreview]:
    """What the chat models would take; asks nothing."""
    from zerolabel.annotate.chat import preview

    annotation, images = context.config.annotation, ImageSet.open(context.config.data.images)
    place, classes = context.cache / ANSWERS, context.classes
    chats = [
        (one, Chat(ModelName.parse(one.name).rest, **annotation.chat)) for one in annotation.models if is_chat(one.name)
    ]
    return {model.name: preview(images, chat, classes, model.templates, place) for model, chat in chats}


def _request(context: Context, name: str, before: Annotations | None = None) -> dict[str, Any]:
    """What a model is asked; its prompts weigh as they did before, where it annotated other images."""
    given = None if before is None else weights_of(before, context.model(name).name)
    weights = "uniform" if before is not None or reads_characters(name) else context.config.annotation.prompt_weights
    return {
        "encoder": context.model(name),
        "classes": context.classes,
        "templates": context.templates(name),
        "rule": context.config.annotation.rule,
        "weights": weights if given is None else given,
    }


def _how(context: Context, title: str) -> dict[str, Any]:
    """How its answers are collected."""
    return {
        "cache": context.cache,
        "resume": True,
        "progress": lambda steps: context.progress(title, steps),
        "engine": f"{context.engine}:{context.ray_address}" if context.ray_address else context.engine,
    }


def _merged(context: Context, parts: dict[str, Annotated], images: ImageSet, out: Path | None) -> Annotated:
    """What several models said of one image set; in ``out``, ``annotations.parquet`` and ``skipped.csv``."""
    together = merge_all([part.annotations for part in parts.values()], list(parts), context.config.annotation.rule)
    known = set(together.file_names)
    every = dict(one for part in reversed(parts.values()) for one in part.skipped)
    skipped = tuple((name, every[name]) for name in images.file_names if name in every and name not in known)
    if out is not None:
        together.save(out / "annotations.parquet")
        save_skipped(out, skipped)
        shutil.rmtree(context.folder / "cache" / "votes", ignore_errors=True)
        if (context.folder / "cache").is_dir() and not any((context.folder / "cache").iterdir()):
            (context.folder / "cache").rmdir()
    seconds = sum(part.seconds for part in parts.values())
    reader = parts.get(context.config.annotation.encoder or "")
    if reader is None or reader.annotations.file_names != together.file_names:
        images, features = images.named(together.file_names), torch.zeros(len(together), 0)
        missing: tuple[tuple[str, str], ...] = ()
        if needs_features(context.config.training):
            features, missing = _features(context, images)
        if missing:
            together, images, features = without(together, images, features, missing)
            skipped = (*skipped, *missing)
            if out is not None:
                together.save(out / "annotations.parquet")
                save_skipped(out, skipped)
    else:
        images, features = reader.images, reader.features
    measured = all(part.images_per_second is not None for part in parts.values())
    speed = len(together) / max(seconds, 1e-9) if measured else None
    return Annotated(together, images, features, skipped, seconds, speed)


def without(
    annotations: Annotations, images: ImageSet, features: Float[Tensor, "N D"], skipped: Sequence[tuple[str, str]]
) -> tuple[Annotations, ImageSet, Float[Tensor, "M D"]]:
    """The same without the images that have no features.

    Raises:
        InputError: none is left.
    """
    gone = {name for name, _ in skipped}
    kept = torch.tensor([i for i, name in enumerate(annotations.file_names) if name not in gone], dtype=torch.long)
    if not len(kept):
        raise InputError(none_readable(images, tuple(skipped)))
    return annotations.select(kept), images.select(kept), features[kept]


def shortlists(others: Sequence[Annotations]) -> dict[str, tuple[int, ...]] | None:
    """Class ids of the best scores of each image, by its content; None where no other model annotated."""
    if not others:
        return None
    found: dict[str, tuple[int, ...]] = {}
    for one in others:
        best = one.scores.topk(min(SHORTLIST, len(one.classes)), dim=1).indices.tolist()
        for digest, ids in zip(one.sha256, best, strict=True):
            found[digest] = tuple(dict.fromkeys((*found.get(digest, ()), *ids)))
    return found
