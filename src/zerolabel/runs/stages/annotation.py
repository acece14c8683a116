"""The annotation stage: votes, scores and candidate sets of the training images and of held-out images."""

import warnings
from dataclasses import replace

import torch

from zerolabel.annotate import Annotated, Written, write
from zerolabel.annotate.chat_progress import CostPreview
from zerolabel.annotations import Annotations
from zerolabel.annotations.files import open_annotations
from zerolabel.annotations.image_check import unchanged
from zerolabel.annotations.merging import merge
from zerolabel.data.images import ImageSet
from zerolabel.data.label_files import Labels
from zerolabel.diagnostics.recognition import unknown_images
from zerolabel.errors import InputError
from zerolabel.integrations.joining import blank
from zerolabel.runs.config import AnnotationConfig, DataConfig
from zerolabel.runs.folder import timed
from zerolabel.runs.inputs import contents, record
from zerolabel.runs.planning.recognition import unknown_classes
from zerolabel.runs.stages.voting import ANSWERS, Voting, without
from zerolabel.runs.workspace import Workspace
from zerolabel.vlms.chat import Chat
from zerolabel.vlms.names import ModelName, is_chat, is_encoder


def annotate_images(
    data: DataConfig, annotation: AnnotationConfig, workspace: Workspace, *, features: bool
) -> Annotated:
    """Annotate the training images and add human labels: ``annotations.parquet`` and ``skipped.csv``.

    Args:
        data: images, classes and human labels.
        annotation: annotating models, or existing annotations.
        workspace: folder, cache and models.
        features: True if training needs the images' features.
    """
    images, folder = ImageSet.open(data.images), workspace.folder
    voting = Voting(annotation, data.names, workspace, features)
    if annotation.annotations is None:
        done = _appended(annotation, workspace, voting.vote("annotate", images, folder.path))
    else:
        done = _existing(voting, images, open_annotations(annotation.annotations))
    if data.few_shot:
        skipped = [name for name, _ in done.skipped]
        human = Labels.read(data.few_shot, data.names, use="train")
        labels = human.match(done.annotations.file_names, done.annotations.sha256, skipped)
        done = replace(done, annotations=done.annotations.with_labels(labels))
        done.annotations.save(folder / "annotations.parquet")
    record(folder, data, annotation, contents(folder / "annotations.parquet"))
    doubt = unknown_classes(annotation.names, data.names) or unknown_images(done.annotations)
    if doubt is not None:
        warnings.warn(doubt, stacklevel=2)
    return done


def write_annotations(
    data: DataConfig, annotation: AnnotationConfig, workspace: Workspace, *, features: bool
) -> Written:
    """Like `annotate_images`, for its files only; annotations of a single model are not loaded into memory."""
    several = len(annotation.models) > 1 or annotation.append or annotation.annotations
    if several or annotation.chat or data.few_shot:
        done = annotate_images(data, annotation, workspace, features=features)
        annotations, sizes = done.annotations, done.annotations.candidates.sum(1)
        mean = float(sizes.sum() / (sizes > 0).sum().clamp_min(1))
        return Written(
            workspace.folder / "annotations.parquet", len(annotations), mean, annotations.classes,
            annotations.annotators, done.skipped, done.seconds, done.images_per_second,
        )  # fmt: skip
    (name,) = annotation.names
    voting = Voting(annotation, data.names, workspace, features)
    with timed(workspace.folder, "annotate") as facts:
        images = ImageSet.open(data.images)
        written = write(images, **voting.request(name), out=workspace.folder.path, **voting.execution("annotate"))
        speed = {"images_per_second": written.images_per_second}
        facts |= speed | {"vlm_parameters": workspace.model(name).n_parameters}
    record(workspace.folder, data, annotation, contents(written.path))
    return written


def annotate_held_out(
    data: DataConfig, annotation: AnnotationConfig, workspace: Workspace, train: Annotated, *, features: bool
) -> Annotated | None:
    """Annotate held-out images, if there are any: ``test_annotations.parquet``; prompt weights are those of training.

    People, other tools and chat models of imported annotations do not vote on held-out images; these get the votes
    of the encoders among the annotators, or none.
    """
    if data.test_images is None:
        return None
    images, names = ImageSet.open(data.test_images), annotation.names
    names = names if annotation.annotations is None else tuple(filter(is_encoder, names))
    voting = Voting(annotation, data.names, workspace, features)
    if names:
        done = voting.vote("annotate held-out images", images, None, names, train.annotations)
    else:
        done = _without_votes(data, images)
    done.annotations.save(workspace.folder / "test_annotations.parquet")
    return done


def preview(data: DataConfig, annotation: AnnotationConfig, workspace: Workspace) -> dict[str, CostPreview]:
    """Estimated cost of each chat model; sends no request."""
    from zerolabel.annotate.chat import preview

    images, place = ImageSet.open(data.images), workspace.cache / ANSWERS
    chats = [
        (one, Chat(ModelName.parse(one.name).rest, **annotation.chat)) for one in annotation.models if is_chat(one.name)
    ]
    return {model.name: preview(images, chat, data.names, model.templates, place) for model, chat in chats}


def _appended(annotation: AnnotationConfig, workspace: Workspace, done: Annotated) -> Annotated:
    """Merge new annotations into those of ``--append``, if there are any."""
    if annotation.append is None:
        return done
    before = open_annotations(annotation.append)
    together = merge(before, done.annotations, annotation.rule, (annotation.append, "the new annotations"))
    together.save(workspace.folder / "annotations.parquet")
    return replace(done, annotations=together)


def _existing(voting: Voting, images: ImageSet, annotations: Annotations) -> Annotated:
    """Existing annotations of the images, with features only if training needs them."""
    annotation = voting.annotation
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
    if voting.needs_features:
        features, skipped = voting.features(images)
        if skipped:
            annotations, images, features = without(annotations, images, features, skipped)
            left_out += skipped
    annotations.save(voting.workspace.folder / "annotations.parquet")
    return Annotated(annotations, images, features, left_out, 0.0, None)


def _without_votes(data: DataConfig, images: ImageSet) -> Annotated:
    """Images without any vote."""
    annotations = blank(images, data.classes)
    known = set(annotations.file_names)
    skipped = tuple((name, "it cannot be read") for name in images.file_names if name not in known)
    return Annotated(
        annotations, images.named(annotations.file_names), torch.zeros(len(annotations), 0), skipped, 0.0, None
    )


__all__ = ["annotate_held_out", "annotate_images", "preview", "write_annotations"]
