"""Adds imported votes and labels to annotations, as further annotators or human labels."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from zerolabel.annotations import Annotations, Annotator, candidates
from zerolabel.data.classes import Classes, load_classes
from zerolabel.data.images import ImageSet, Unreadable, decode, sha256
from zerolabel.data.label_files import Labels
from zerolabel.errors import InputError


def base(into: Path | None, images: str | None, classes: str | None, *, replace: bool) -> Annotations:
    """The annotations that something is put into: those of a file, or new ones of images and classes.

    Args:
        into: an annotations file.
        images: where there is none, the images,
        classes: and their classes, as `zerolabel.data.classes.load_classes` takes them.
        replace: whether to forget the votes and scores of the file.

    Raises:
        InputError: neither or both are given, or they cannot be read.
    """
    if into is not None and images is None and classes is None:
        found = Annotations.load(into)
        return silent(found) if replace else found
    if into is None and images is not None and classes is not None and not replace:
        return blank(ImageSet.open(images), load_classes(classes).names)
    raise InputError(
        "give --into ANNOTATIONS, with --replace if you like; or else --images IMAGES and --classes CLASSES."
    )


def blank(images: ImageSet, classes: Sequence[str]) -> Annotations:
    """Annotations of the readable images in which nobody has said anything yet.

    Raises:
        InputError: no image is readable.
    """
    names, hashes, sizes, reason = [], [], [], ""
    for i, name in enumerate(images.file_names):
        try:
            data = images.read_bytes(i)
            sizes.append(decode(data).size)
        except Unreadable as error:
            reason = reason or f" ({name}: {error})"
            continue
        names.append(name)
        hashes.append(sha256(data))
    if not names:
        raise InputError(f"none of the images in {images.root} can be read{reason}; give readable images.")
    n, c = len(names), len(classes)
    return Annotations(
        classes=tuple(classes),
        file_names=tuple(names),
        sha256=tuple(hashes),
        sizes=torch.tensor(sizes),
        votes=torch.zeros(n, 0, dtype=torch.long),
        scores=torch.zeros(n, c),
        candidates=torch.zeros(n, c, dtype=torch.bool),
        labels=torch.full((n,), -1),
        annotators=(),
        rule="union",
    )


def silent(annotations: Annotations) -> Annotations:
    """A copy of the images, classes and human labels without annotators."""
    nobody = torch.zeros(len(annotations), 0, dtype=torch.long)
    return replace(annotations, votes=nobody, scores=torch.zeros_like(annotations.scores), annotators=())


def add_votes(
    annotations: Annotations,
    votes: Int[Tensor, "N A"],
    annotators: Sequence[Annotator],
    probabilities: Float[Tensor, "N C"] | None = None,
) -> Annotations:
    """Further annotators; the scores become the mean over all that voted, the candidates are formed again.

    Args:
        annotations: of the N images.
        votes: class ids, -1 where an annotator abstains.
        annotators: A provenances.
        probabilities: of the one further annotator; where left out, each gives its vote the probability 1.
    """
    n_classes = len(annotations.classes)
    first = [place for place, annotator in enumerate(annotators) if annotator.choice == 1]
    before, after = annotations.n_votes[:, None], (votes[:, first] >= 0).sum(1, keepdim=True)
    added = (
        one_hot(votes[:, first] + 1, n_classes + 1)[:, :, 1:].sum(1).float() if probabilities is None else probabilities
    )
    joined = replace(
        annotations,
        votes=torch.cat([annotations.votes, votes], 1),
        scores=(annotations.scores * before + added) / (before + after).clamp_min(1),
        annotators=(*annotations.annotators, *annotators),
    )
    rule = candidates.rule_or_union(annotations.rule)
    return joined.with_candidates(candidates.parse_rule(rule)(joined), rule)


def correct(annotations: Annotations, rows: Iterable[tuple[str, str]], path: Path) -> Annotations:
    """Put human labels in; they overrule earlier ones.

    Args:
        annotations: of the images.
        rows: file name and class name; an empty one says nothing.
        path: where they come from, for messages and to find files relative to it.

    Raises:
        InputError: a class or a file is unknown, or an image gets two classes.
    """
    given = Labels.of(path, Classes(annotations.classes), rows).match(annotations.file_names, annotations.sha256)
    return annotations.with_labels(torch.where(given >= 0, given, annotations.labels))


def places(names: Iterable[str], annotations: Annotations, path: Path) -> list[int]:
    """The row of each named image.

    Raises:
        InputError: a name is unknown.
    """
    known = {name: row for row, name in enumerate(annotations.file_names)}
    wanted = list(names)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        count = f"{len(unknown)} of {len(wanted)} images that the annotations do not have, first {unknown[0]}"
        raise InputError(f"{path} names {count}; give the annotations of its images.")
    return [known[name] for name in wanted]


def places_once(names: Iterable[str], annotations: Annotations, path: Path) -> list[int]:
    """The row of each named image, where each is named once.

    Raises:
        InputError: a name is unknown, or there twice.
    """
    found = places(names, annotations, path)
    if len(set(found)) < len(found):
        twice = next(row for i, row in enumerate(found) if row in found[:i])
        raise InputError(f"{path} has two rows of {annotations.file_names[twice]}; leave one.")
    return found


def class_ids(labels: Iterable[str], annotations: Annotations, path: Path) -> list[int]:
    """The class id of each name; -1 for one that says nothing, see `zerolabel.data.label_files.NO_LABEL`.

    Raises:
        InputError: a name is unknown.
    """
    wanted = list(labels)
    ids = Labels.of(path, Classes(annotations.classes), (("", label) for label in wanted)).ids
    return [ids.get(label, -1) for label in wanted]


def unique_names(annotators: Sequence[Annotator]) -> list[str]:
    """A different name for each annotator: its model and template, and which of its choices where it may have several.

    An annotator that is there twice is numbered.
    """
    names: list[str] = []
    for annotator in annotators:
        name = f"{annotator.model}: {annotator.template}" if annotator.template else annotator.model
        name = f"{name} (choice {annotator.choice})" if annotator.choice > 1 else name
        same = sum(other == name or other.startswith(f"{name} #") for other in names)
        names.append(f"{name} #{same + 1}" if same else name)
    return names


def annotator_named(name: str, kind: str) -> Annotator:
    """The provenance of an annotator that is known by one name alone."""
    which = re.search(r" \(choice (\d+)\)$", name)
    name, choice = (name[: which.start()], int(which[1])) if which else (name, 1)
    model, colon, template = name.partition(": ")
    return Annotator(model, "", template, choice) if colon else Annotator(kind, "", name, choice)
