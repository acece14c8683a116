"""One or several models vote on a set of images; their annotations are merged."""

import shutil
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel.annotate import Annotated, annotate, embed
from zerolabel.annotate.prompt_weights import weights_of
from zerolabel.annotate.writing import none_readable
from zerolabel.annotations import Annotations
from zerolabel.annotations.files import open_annotations
from zerolabel.annotations.merging import merge_all
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.diagnostics.confidence import comparable_scores
from zerolabel.errors import InputError
from zerolabel.files.skipped import save_skipped
from zerolabel.runs.config import AnnotationConfig
from zerolabel.runs.folder import timed
from zerolabel.runs.workspace import Workspace
from zerolabel.vlms.chat import SHORTLIST, Chat
from zerolabel.vlms.names import ModelName, is_chat, is_encoder, reads_characters

ANSWERS = "answers.sqlite"
"""File in the cache with the answers of chat models."""

Skipped = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Voting:
    """Models, prompts and workspace of a vote.

    Attributes:
        annotation: models, prompts and rule.
        classes: C names with aliases.
        workspace: folder, cache and models.
        needs_features: True if training needs the images' features.
    """

    annotation: AnnotationConfig
    classes: Classes
    workspace: Workspace
    needs_features: bool

    def vote(
        self,
        stage: str,
        images: ImageSet,
        out: Path | None,
        names: tuple[str, ...] | None = None,
        before: Annotations | None = None,
    ) -> Annotated:
        """Annotations of the images by several models, merged.

        Args:
            stage: name of the stage, for the display and ``stages.json``.
            images: N images.
            out: folder for ``annotations.parquet`` and ``skipped.csv``; None writes neither.
            names: the models; None means all.
            before: annotations whose prompt weights are used; None estimates them.
        """
        names, folder = self.annotation.names if names is None else names, self.workspace.folder
        parts: dict[str, Annotated] = {}
        with timed(folder, stage) as facts:
            for name in sorted(names, key=is_chat):  # chat models may need the shortlists of the others
                title = stage if len(names) == 1 else f"{stage}, {name}"
                place = out if out is None or len(names) == 1 else folder / "cache" / "votes" / str(len(parts))
                if is_chat(name):
                    parts[name] = self._by_chat(title, name, images, place, parts)
                else:
                    parts[name] = annotate(images, **self.request(name, before), out=place, **self.execution(title))
            done = parts[names[0]] if len(names) == 1 else self._merged({n: parts[n] for n in names}, images, out)
            parameters = sum(self.workspace.model(name).n_parameters for name in filter(is_encoder, names))
            facts |= {"images_per_second": done.images_per_second, "vlm_parameters": parameters}
        return done

    def request(self, name: str, before: Annotations | None = None) -> dict[str, Any]:
        """Arguments of `zerolabel.annotate.annotate` for a model; prompt weights are those of `before`, if given."""
        encoder = self.workspace.model(name)
        known = None if before is None else weights_of(before, encoder.name)
        is_uniform = before is not None or reads_characters(name)
        return {
            "encoder": encoder,
            "classes": self.classes,
            "templates": self.annotation.templates[name],
            "rule": self.annotation.rule,
            "weights": known if known is not None else "uniform" if is_uniform else self.annotation.prompt_weights,
        }

    def execution(self, title: str) -> dict[str, Any]:
        """Arguments of `zerolabel.annotate.annotate` about cache, progress and engine."""
        workspace = self.workspace
        return {
            "cache": workspace.cache,
            "resume": True,
            "progress": lambda steps: workspace.progress(title, steps),
            "engine": f"{workspace.engine}:{workspace.ray_address}" if workspace.ray_address else workspace.engine,
        }

    def features(self, images: ImageSet) -> tuple[Float[Tensor, "N D"], Skipped]:
        """Features of the images by the encoder that training reads, and the unreadable images."""
        encoder = self.workspace.model(self.annotation.required_encoder)
        embedding = embed(images, encoder, cache=self.workspace.cache)
        deque(self.workspace.progress("encode", embedding.steps), 0)
        return embedding.features, embedding.skipped

    def _by_chat(
        self, title: str, name: str, images: ImageSet, out: Path | None, others: Mapping[str, Annotated]
    ) -> Annotated:
        """Annotations by a chat model; with many classes it chooses among the best classes of the other models."""
        from zerolabel.annotate.chat import annotate_with_chat

        annotation, workspace = self.annotation, self.workspace
        known = [other.annotations for other in others.values()]
        before = None if annotation.append is None else open_annotations(annotation.append)
        return annotate_with_chat(
            images,
            Chat(ModelName.parse(name).rest, **annotation.chat),
            self.classes,
            annotation.templates[name],
            answers=workspace.cache / ANSWERS,
            out=workspace.folder.path if out is not None else None,
            rule=annotation.rule,
            shortlists=shortlists([*known, *([] if before is None else [before])]),
            progress=lambda steps: workspace.progress(title, steps),
        )

    def _merged(self, parts: dict[str, Annotated], images: ImageSet, out: Path | None) -> Annotated:
        """Annotations of several models on the same images, with the encoder's features if training needs them."""
        said = comparable_scores([part.annotations for part in parts.values()], list(parts))
        together = merge_all(said, list(parts), self.annotation.rule)
        known = set(together.file_names)
        every = dict(one for part in reversed(parts.values()) for one in part.skipped)
        skipped = tuple((name, every[name]) for name in images.file_names if name in every and name not in known)
        reader = parts.get(self.annotation.encoder or "")
        if reader is not None and reader.annotations.file_names == together.file_names:
            images, features = reader.images, reader.features
        else:
            images, features = images.named(together.file_names), torch.zeros(len(together), 0)
            missing: Skipped = ()
            if self.needs_features:
                features, missing = self.features(images)
            if missing:
                together, images, features = without(together, images, features, missing)
                skipped = (*skipped, *missing)
        if out is not None:
            together.save(out / "annotations.parquet")
            save_skipped(out, skipped)
            _remove_parts(self.workspace.folder / "cache")
        seconds = sum(part.seconds for part in parts.values())
        measured = all(part.images_per_second is not None for part in parts.values())
        speed = len(together) / max(seconds, 1e-9) if measured else None
        return Annotated(together, images, features, skipped, seconds, speed)


def without(
    annotations: Annotations, images: ImageSet, features: Float[Tensor, "N D"], skipped: Sequence[tuple[str, str]]
) -> tuple[Annotations, ImageSet, Float[Tensor, "M D"]]:
    """Remove the skipped images from annotations, images and features.

    Raises:
        InputError: no image is left.
    """
    removed = {name for name, _ in skipped}
    kept = torch.tensor([i for i, name in enumerate(annotations.file_names) if name not in removed], dtype=torch.long)
    if not len(kept):
        raise InputError(none_readable(images, tuple(skipped)))
    return annotations.select(kept), images.select(kept), features[kept]


def shortlists(others: Sequence[Annotations]) -> dict[str, tuple[int, ...]] | None:
    """Class ids of the highest scores of each image, by content hash; None if no other model annotated."""
    if not others:
        return None
    found: dict[str, tuple[int, ...]] = {}
    for one in others:
        best = one.scores.topk(min(SHORTLIST, len(one.classes)), dim=1).indices.tolist()
        for digest, ids in zip(one.sha256, best, strict=True):
            found[digest] = tuple(dict.fromkeys((*found.get(digest, ()), *ids)))
    return found


def _remove_parts(cache: Path) -> None:
    """Remove the annotations of single models, and the cache folder if it is then empty."""
    shutil.rmtree(cache / "votes", ignore_errors=True)
    if cache.is_dir() and not any(cache.iterdir()):
        cache.rmdir()


__all__ = ["ANSWERS", "Voting", "shortlists", "without"]
