"""The main job, stage by stage: each takes what the stage before left, calls one public function, and writes files."""

import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zerolabel import report, vlms
from zerolabel.annotate import Annotated, Written, annotate, embed, write
from zerolabel.annotate.chat_progress import Preview
from zerolabel.annotate.writing import save_skipped
from zerolabel.annotations import Annotations
from zerolabel.annotations.files import open_annotations
from zerolabel.annotations.merging import merge, merge_all
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.data.label_files import Labels
from zerolabel.deployment.assembly import make_classifier
from zerolabel.deployment.classifier import Classifier
from zerolabel.deployment.export import export, write_script
from zerolabel.errors import InputError
from zerolabel.runs.config import Config
from zerolabel.runs.folder import Folder, seconds, timed, write_json
from zerolabel.runs.outcome import Outcome, check_truth
from zerolabel.runs.planning import is_chat, is_encoder
from zerolabel.runs.stages import adaptation, deployment
from zerolabel.runs.stages.training import needs_features, train_student
from zerolabel.training import best_device
from zerolabel.training.fitting import Trained
from zerolabel.vlms.chat import SHORTLIST, Chat
from zerolabel.vlms.clip import DualEncoder

Progress = Callable[[str, Iterator[Any]], Iterable[Any]]
N_CHECKED = 500
ANSWERS = "answers.sqlite"
"""In the cache: what models that answer in words have said so far."""


@dataclass(frozen=True)
class Job:
    """One run at work; what was finished before a kill is not done again.

    Attributes:
        config: what was asked.
        folder: where it is done.
        progress: wraps the steps of a stage, given the stage's name, and shows them as they pass.
        cache: folder of image features, shared between runs.
        engine: what annotates, see `zerolabel.annotate.write`.
        ray_address: of a cluster, for the engine "ray".
    """

    config: Config
    folder: Folder
    progress: Progress
    cache: Path
    engine: str = "local"
    ray_address: str | None = None

    @cached_property
    def models(self) -> dict[str, DualEncoder]:
        """Those that were loaded."""
        return {}

    def model(self, name: str) -> DualEncoder:
        """A vision-language model by its name."""
        if name not in self.models:
            self.models[name] = vlms.load(name, best_device(self.config.settings.get("device", "auto")))
        return self.models[name]

    @property
    def encoder(self) -> DualEncoder:
        """The model whose frozen features training reads."""
        if self.config.encoder is None:
            raise InputError("no annotating model has features to read; train a student that reads pixels.")
        return self.model(self.config.encoder)

    def prepare(self) -> None:
        """Load the models that are needed, so that a mistake in a name is told before anything is done.

        Raises:
            InputError: there is no such model, or it cannot be downloaded.
        """
        config = self.config
        if config.annotations is None or config.test_images:
            for name in filter(is_encoder, config.vlm):
                self.model(name)
        elif needs_features(config):
            _ = self.encoder

    def run(self) -> dict[str, Any]:
        """All stages.

        Returns:
            What ``metrics.json`` holds.
        """
        if self.config.adapt is not None:
            return adaptation.after_adapting(self).run()
        annotated = self.annotate()
        held_out = self.annotate_test()
        if self.config.open_set:
            return adaptation.with_unknown(self).finish(*adaptation.told_apart(self, annotated, held_out))
        return self.finish(annotated, held_out)

    def finish(self, annotated: Annotated, held_out: Annotated | None) -> dict[str, Any]:
        """All stages after the annotation."""
        if self.config.truth is not None:
            check_truth(self.config, annotated, held_out)
        trained, classifier = self.train(annotated)
        metrics = self.evaluate(annotated, held_out, trained, classifier)
        classifier = deployment.deploy(self, annotated, classifier, metrics)
        metrics["onnx"] = self.export(classifier, (held_out or annotated).images)
        metrics["seconds"] = seconds(self.folder)
        write_json(self.folder / "metrics.json", metrics)
        self.report()
        shutil.rmtree(self.folder / "cache", ignore_errors=True)
        return metrics

    def annotate(self) -> Annotated:
        """Votes on the training images: ``annotations.parquet``, ``skipped.csv``. Human labels are put in."""
        images = ImageSet.open(self.config.images)
        if self.config.annotations is None:
            done = self._append(self._annotate("annotate", images, self.folder.path))
        else:
            done = self._given(images, open_annotations(self.config.annotations))
        if not self.config.few_shot:
            return done
        skipped = [name for name, _ in done.skipped]
        given = Labels.read(self.config.few_shot, Classes(self.config.classes, self.config.aliases))
        labels = given.match(done.annotations.file_names, done.annotations.sha256, skipped)
        done = replace(done, annotations=done.annotations.with_labels(labels))
        done.annotations.save(self.folder / "annotations.parquet")
        return done

    def write(self) -> Written:
        """The same for its files alone; one model's, to which nothing is added, are never in memory as a whole."""
        config = self.config
        if len(config.vlm) > 1 or config.chat or config.append or config.few_shot or config.annotations:
            done = self.annotate()
            said, sizes = done.annotations, done.annotations.candidates.sum(1)
            mean = float(sizes.sum() / (sizes > 0).sum().clamp_min(1))
            return Written(
                self.folder / "annotations.parquet", len(said), mean, said.classes, said.annotators, done.skipped,
                done.seconds, done.images_per_second,
            )  # fmt: skip
        name, stage = self.config.vlm[0], "annotate"
        with timed(self.folder, stage) as facts:
            images = ImageSet.open(self.config.images)
            written = write(images, **self._request(name), out=self.folder.path, **self._how(stage))
            speed = {"images_per_second": written.images_per_second}
            facts |= speed | {"vlm_parameters": self.model(name).n_parameters}
        return written

    def _append(self, done: Annotated) -> Annotated:
        """With the annotations, where there are any, that these are added to."""
        if self.config.append is None:
            return done
        before = open_annotations(self.config.append)
        names = (self.config.append, "the new annotations")
        together = merge(before, done.annotations, self.config.rule, names)
        together.save(self.folder / "annotations.parquet")
        return replace(done, annotations=together)

    def _given(self, images: ImageSet, annotations: Annotations) -> Annotated:
        """Annotations that were there already, with features only where the student reads them."""
        missing = set(annotations.file_names) - set(images.file_names)
        if missing:
            found = f"names {len(missing)} of {len(annotations)} images that are not there, first {min(missing)}"
            raise InputError(f"{self.config.annotations} {found}; give the images it was made of, not {images.root}.")
        known = set(annotations.file_names)
        left_out = tuple((name, "it has no annotation") for name in images.file_names if name not in known)
        images = images.named(annotations.file_names)
        features = torch.zeros(len(annotations), 0)
        if needs_features(self.config):
            features = self._features(images)
        annotations.save(self.folder / "annotations.parquet")
        return Annotated(annotations, images, features, left_out, 0.0, 0.0)

    def annotate_test(self) -> Annotated | None:
        """Votes on the images held out of training, where there are any: ``test_annotations.parquet``."""
        if self.config.test_images is None:
            return None
        done = self._annotate("annotate held-out images", ImageSet.open(self.config.test_images), None)
        done.annotations.save(self.folder / "test_annotations.parquet")
        return done

    def _features(self, images: ImageSet) -> Float[Tensor, "N D"]:
        """Of every image, by the model that training reads; from the cache where they are known."""
        embedding = embed(images, self.encoder, cache=self.cache)
        deque(self.progress("encode", embedding.steps), 0)
        return embedding.features

    def _annotate(self, stage: str, images: ImageSet, out: Path | None) -> Annotated:
        """Votes of all models: each annotates on its own, and what they say is merged."""
        names = self.config.vlm
        parts: dict[str, Annotated] = {}
        with timed(self.folder, stage) as facts:
            for name in sorted(names, key=is_chat):  # those that answer in words may be asked about the others' best
                title = stage if len(names) == 1 else f"{stage}, {name}"
                place = out if out is None or len(names) == 1 else self.folder / "cache" / "votes" / str(len(parts))
                if is_chat(name):
                    parts[name] = self._in_words(title, name, images, place, parts)
                else:
                    parts[name] = annotate(images, **self._request(name), out=place, **self._how(title))
            done = parts[names[0]] if len(names) == 1 else self._merged({n: parts[n] for n in names}, images, out)
            parameters = sum(self.model(name).n_parameters for name in filter(is_encoder, names))
            facts |= {"images_per_second": done.images_per_second, "vlm_parameters": parameters}
        return done

    def _in_words(
        self, title: str, name: str, images: ImageSet, out: Path | None, others: Mapping[str, Annotated]
    ) -> Annotated:
        """What a model says that answers in words; of many classes, it is asked about the best of the others."""
        from zerolabel.annotate.chat import annotate_in_words

        config = self.config
        said = [other.annotations for other in others.values()]
        before = None if config.append is None else open_annotations(config.append)
        return annotate_in_words(
            images,
            Chat(name.partition(":")[2], **config.chat),
            Classes(config.classes, config.aliases),
            dict(zip(config.vlm, config.templates, strict=True))[name],
            answers=self.cache / ANSWERS,
            out=self.folder.path if out is not None else None,
            rule=config.rule,
            shortlists=shortlists([*said, *([] if before is None else [before])]),
            progress=lambda steps: self.progress(title, steps),
        )

    def preview(self) -> dict[str, Preview]:
        """What the models that answer in words would take; asks nothing."""
        from zerolabel.annotate.chat import preview

        config, images = self.config, ImageSet.open(self.config.images)
        asked = dict(zip(config.vlm, config.templates, strict=True))
        classes = Classes(config.classes, config.aliases)
        chats = {name: Chat(name.partition(":")[2], **config.chat) for name in filter(is_chat, config.vlm)}
        return {name: preview(images, chat, classes, asked[name], self.cache / ANSWERS) for name, chat in chats.items()}

    def _request(self, name: str) -> dict[str, Any]:
        """What a model is asked."""
        config = self.config
        return {
            "encoder": self.model(name),
            "classes": Classes(config.classes, config.aliases),
            "templates": dict(zip(config.vlm, config.templates, strict=True))[name],
            "rule": config.rule,
        }

    def _how(self, title: str) -> dict[str, Any]:
        """How its answers are collected."""
        return {
            "cache": self.cache,
            "resume": True,
            "progress": lambda steps: self.progress(title, steps),
            "engine": self.engine,
            "ray_address": self.ray_address,
        }

    def _merged(self, parts: dict[str, Annotated], images: ImageSet, out: Path | None) -> Annotated:
        """What several models said of one image set; in ``out``, ``annotations.parquet`` and ``skipped.csv``."""
        together = merge_all([part.annotations for part in parts.values()], list(parts), self.config.rule)
        if out is not None:
            together.save(out / "annotations.parquet")
            save_skipped(out, parts[self.config.vlm[0]].skipped)
            shutil.rmtree(self.folder / "cache" / "votes", ignore_errors=True)
            if (self.folder / "cache").is_dir() and not any((self.folder / "cache").iterdir()):
                (self.folder / "cache").rmdir()
        seconds = sum(part.seconds for part in parts.values())
        reader = parts.get(self.config.encoder or "")
        if reader is None or reader.annotations.file_names != together.file_names:
            images = images.named(together.file_names)
            features = self._features(images) if needs_features(self.config) else torch.zeros(len(together), 0)
        else:
            images, features = reader.images, reader.features
        return Annotated(
            together, images, features, parts[self.config.vlm[0]].skipped, seconds, len(together) / max(seconds, 1e-9)
        )

    def train(self, annotated: Annotated) -> tuple[Trained, Classifier]:
        """The networks and the classifier made of them: ``checkpoints/``, ``log.jsonl``, ``classifier/``."""
        trained = train_student(self.config, self.folder, annotated, lambda: self.encoder, self.progress)
        classifier = make_classifier(
            self.config, trained, annotated.annotations, deployment.provenance(self.config, annotated)
        )
        classifier.save(self.folder / "classifier")
        return trained, classifier

    def evaluate(
        self, annotated: Annotated, held_out: Annotated | None, trained: Trained, classifier: Classifier
    ) -> dict[str, Any]:
        """Predictions and, where truth was given, accuracies: ``predictions.parquet``, ``evaluation.json``."""
        with timed(self.folder, "evaluate"):
            outcome = Outcome.of(self.config, annotated, held_out, trained, classifier)
            outcome.predictions().to_parquet(self.folder / "predictions.parquet", index=False)
            unadapted, gains = adaptation.of_unadapted(self, outcome, (held_out or annotated).images)
            if outcome.judged is not None:
                write_json(self.folder / "evaluation.json", outcome.judged | gains)
        annotation = self.folder.finished().get("annotate", {})
        known = ("images_per_second", "vlm_parameters")
        adapted = {"adaptation": done} if (done := self.folder.finished().get("adapt")) else {}
        return (
            outcome.metrics() | adapted | unadapted | {name: annotation[name] for name in known if name in annotation}
        )

    def export(self, classifier: Classifier, images: ImageSet) -> dict[str, float]:
        """``classifier.onnx``, checked against torch, and the script that runs it."""
        with timed(self.folder, "export"):
            done = export(classifier, self.folder / "classifier.onnx", images, limit=N_CHECKED)
            write_script(self.folder / "predict.py")
        return {"max_difference": done.max_difference, "agreement": done.agreement, "n_checked": done.n_checked}

    def report(self) -> None:
        """``report.html`` and the model card ``README.md``."""
        report.write(self.folder.path)


def shortlists(others: Sequence[Annotations]) -> dict[str, tuple[int, ...]] | None:
    """Class ids of the best scores of each image, by its content; None where no one else annotated."""
    if not others:
        return None
    found: dict[str, tuple[int, ...]] = {}
    for one in others:
        best = one.scores.topk(min(SHORTLIST, len(one.classes)), dim=1).indices.tolist()
        for digest, ids in zip(one.sha256, best, strict=True):
            found[digest] = tuple(dict.fromkeys((*found.get(digest, ()), *ids)))
    return found
