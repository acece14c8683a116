"""Hashes of the inputs of a file, by which a later command detects that they changed."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

import torch
from torch import Tensor

from zerolabel.annotations.annotations import Annotations
from zerolabel.data.images import ImageSet, Unreadable

Digest = dict[str, str]
"""A hash of each thing that something was made of, by the name of the thing."""

_LENGTH = 32
"""Hexadecimal digits of a hash that are kept."""
_AT_A_TIME = 4096


def of_data(data: object) -> str:
    """Hash of plain data, as JSON with sorted keys."""
    return _short(json.dumps(data, sort_keys=True, ensure_ascii=True, default=list).encode())


def of_texts(texts: Iterable[str]) -> str:
    """`of_data` of a list of texts, of which memory holds some."""
    made, rest, between = hashlib.sha256(b"["), iter(texts), ""
    while some := list(islice(rest, _AT_A_TIME)):
        made.update((between + json.dumps(some)[1:-1]).encode())
        between = ", "
    made.update(b"]")
    return made.hexdigest()[:_LENGTH]


def of_tensor(tensor: Tensor) -> str:
    """Hash of shape, type and values, to the last bit."""
    array = tensor.detach().cpu().contiguous()
    made = hashlib.sha256(f"{tuple(array.shape)} {array.dtype} ".encode())
    if array.numel():
        made.update(array.flatten().view(torch.uint8).numpy().data)
    return made.hexdigest()[:_LENGTH]


def of_annotations(annotations: Annotations) -> Digest:
    """Hashes of all that annotations say, each thing by itself."""
    return {
        "classes": of_data(annotations.classes),
        "file names": of_texts(annotations.file_names),
        "images": of_texts(annotations.sha256),
        "annotators": of_data(
            [(one.revision or one.model, one.template, one.choice) for one in annotations.annotators]
        ),
        "candidate rule": of_data(annotations.rule),
        "votes": of_tensor(annotations.votes),
        "scores": of_tensor(annotations.scores),
        "candidates": of_tensor(annotations.candidates),
        "human labels": of_tensor(annotations.labels),
    }


def of_images(images: ImageSet, known: Iterable[tuple[str, str]] = ()) -> Digest:
    """Hashes of the names and the contents of images, in their order; one that cannot be read has no content.

    Args:
        images: are read where their content hash is not known.
        known: names and content hashes, in the order of the images.
    """
    return {"file names": of_texts(images.file_names), "images": of_texts(_contents(images, iter(known)))}


def _contents(images: ImageSet, known: Iterator[tuple[str, str]]) -> Iterator[str]:
    next_name, digest = next(known, (None, ""))
    for i, name in enumerate(images.file_names):
        if name != next_name:
            yield content_hash(images, i)
            continue
        yield digest
        next_name, digest = next(known, (None, ""))


def content_hash(images: ImageSet, index: int) -> str:
    """SHA-256 of a file; empty where it cannot be read."""
    try:
        return images.digest(index)
    except Unreadable:
        return ""


def differing(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The things that differ, or that only one of the two was made of."""
    return [name for name in dict.fromkeys((*now, *then)) if then.get(name) != now.get(name)]


def in_words(names: list[str]) -> str:
    """Names as an enumeration."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_LENGTH]


__all__ = [
    "Digest",
    "content_hash",
    "differing",
    "in_words",
    "of_annotations",
    "of_data",
    "of_images",
    "of_tensor",
    "of_texts",
]
