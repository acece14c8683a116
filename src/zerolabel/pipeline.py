"""The main job, stage by stage: each takes what the stage before left, calls one public function, and writes files."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from zerolabel import report, results, vlms
from zerolabel.annotate import Annotated, annotate
from zerolabel.classifier import Classifier
from zerolabel.export import export, write_script
from zerolabel.images import ImageSet
from zerolabel.prompts import Classes
from zerolabel.runs import Config, Folder, write_text
from zerolabel.students import Trained, make_classifier, train_student
from zerolabel.training import best_device
from zerolabel.truth import load_truth
from zerolabel.vlms.clip import DualEncoder

Progress = Callable[[str, Iterator[Any]], Iterable[Any]]
N_CHECKED = 500


@dataclass(frozen=True)
class Job:
    """One run at work; what was finished before a kill is not done again.

    Attributes:
        config: what was asked.
        folder: where it is done.
        progress: wraps the steps of a stage, given the stage's name, and shows them as they pass.
        cache: folder of image features, shared between runs.
    """

    config: Config
    folder: Folder
    progress: Progress
    cache: Path

    @cached_property
    def encoder(self) -> DualEncoder:
        """The vision-language model."""
        return vlms.load(self.config.vlm, best_device(self.config.settings.get("device", "auto")))

    def run(self) -> dict[str, Any]:
        """All stages.

        Returns:
            What ``metrics.json`` holds.
        """
        annotated = self.annotate()
        held_out = self.annotate_test()
        trained, classifier = self.train(annotated)
        metrics = self.evaluate(annotated, held_out, trained, classifier)
        metrics["onnx"] = self.export(classifier, (held_out or annotated).images)
        metrics["seconds"] = results.seconds(self.folder)
        results.write_json(self.folder / "metrics.json", metrics)
        self.report()
        shutil.rmtree(self.folder / "cache", ignore_errors=True)
        return metrics

    def annotate(self) -> Annotated:
        """Votes on the training images: ``annotations.parquet``, ``skipped.csv``. Human labels are put in."""
        done = self._annotate("annotate", ImageSet.open(self.config.images), self.folder.path)
        if not self.config.few_shot:
            return done
        labels = load_truth(self.config.few_shot, done.annotations, option="--few-shot")
        done = replace(done, annotations=done.annotations.with_labels(labels))
        done.annotations.save(self.folder / "annotations.parquet")
        return done

    def annotate_test(self) -> Annotated | None:
        """Votes on the images held out of training, where there are any: ``test_annotations.parquet``."""
        if self.config.test_images is None:
            return None
        done = self._annotate("annotate held-out images", ImageSet.open(self.config.test_images), None)
        done.annotations.save(self.folder / "test_annotations.parquet")
        return done

    def _annotate(self, stage: str, images: ImageSet, out: Path | None) -> Annotated:
        config = self.config
        classes = Classes(config.classes, config.aliases)
        with results.timed(self.folder, stage) as facts:
            done = annotate(
                images,
                self.encoder,
                classes,
                config.templates,
                out=out,
                rule=config.rule,
                cache=self.cache,
                resume=True,
                progress=lambda steps: self.progress(stage, steps),
            )
            facts |= {"images_per_second": done.images_per_second, "skipped": len(done.skipped)}
        return done

    def train(self, annotated: Annotated) -> tuple[Trained, Classifier]:
        """The networks and the classifier made of them: ``checkpoints/``, ``log.jsonl``, ``classifier/``."""
        trained = train_student(self.config, self.folder, annotated, self.progress)
        classifier = make_classifier(self.config, trained, annotated.annotations, self.encoder)
        classifier.save(self.folder / "classifier")
        return trained, classifier

    def evaluate(
        self, annotated: Annotated, held_out: Annotated | None, trained: Trained, classifier: Classifier
    ) -> dict[str, Any]:
        """Predictions and, where truth was given, accuracies: ``predictions.parquet``, ``evaluation.json``."""
        with results.timed(self.folder, "evaluate"):
            outcome = results.Outcome.of(self.config, annotated, held_out, trained, classifier)
            outcome.predictions().to_parquet(self.folder / "predictions.parquet", index=False)
            if outcome.judged is not None:
                results.write_json(self.folder / "evaluation.json", outcome.judged)
            speed = self.folder.finished()["annotate"]["images_per_second"]
            facts = {"images_per_second": speed, "vlm_parameters": self.encoder.n_parameters}
        return {**outcome.metrics(), **facts}

    def export(self, classifier: Classifier, images: ImageSet) -> dict[str, float]:
        """``classifier.onnx``, checked against torch, and the script that runs it."""
        with results.timed(self.folder, "export"):
            checked = [images.read(i) for i in range(min(N_CHECKED, len(images)))]
            done = export(classifier, self.folder / "classifier.onnx", checked)
            write_script(self.folder / "predict.py")
        return {"max_difference": done.max_difference, "agreement": done.agreement, "n_checked": done.n_checked}

    def report(self) -> None:
        """``report.html`` and the model card ``README.md``."""
        write_text(self.folder / "report.html", report.build(self.folder.path))
        write_text(self.folder / "README.md", report.model_card(self.folder.path))
