"""The stage before annotation: the encoder is adapted to the unlabeled images if a method is configured."""

from dataclasses import replace

from zerolabel.adaptation.adapt import adapt
from zerolabel.adaptation.request import Request
from zerolabel.data.images import ImageSet
from zerolabel.data.label_files import Labels
from zerolabel.runs.config import AnnotatingModel, AnnotationConfig, DataConfig, TrainingConfig
from zerolabel.runs.folder import timed
from zerolabel.runs.inputs import record
from zerolabel.runs.stages.open_set import in_distribution
from zerolabel.runs.workspace import Workspace
from zerolabel.vlms import adapted


def adapt_encoder(
    data: DataConfig, annotation: AnnotationConfig, training: TrainingConfig, workspace: Workspace
) -> AnnotationConfig:
    """Replace the encoder by its adapted version in ``adapted/``; unchanged if no method is configured."""
    if annotation.adapt is None:
        return annotation
    if not (workspace.adapted / adapted.RECORD).is_file() or "adapt" not in workspace.folder.finished():
        _adapt(data, annotation, training, workspace)
    spec = f"adapted:{workspace.adapted}"
    tuned = AnnotatingModel(spec, adapted.templates(workspace.adapted))
    models = tuple(tuned if model.name == annotation.encoder else model for model in annotation.models)
    return replace(annotation, models=models, encoder=spec, adapt=None)


def _adapt(data: DataConfig, annotation: AnnotationConfig, training: TrainingConfig, workspace: Workspace) -> None:
    name, classes = str(annotation.encoder), data.names
    request = Request.parse(
        name, str(annotation.adapt), flip=training.flip, open_set=data.open_set,
        common={key: training.settings.get(key) for key in ("seed", "device")},
    )  # fmt: skip
    human = Labels.read(data.few_shot, classes, use="train") if data.few_shot else None
    images = in_distribution(data, annotation, workspace) if data.open_set else ImageSet.open(data.images)
    with timed(workspace.folder, "adapt") as facts:
        done = adapt(
            images, workspace.model(name), classes, annotation.templates[name], request, workspace.adapted,
            labels=None if human is None else lambda a: human.match(a.file_names, a.sha256),
            cache=workspace.cache, resume=True, progress=workspace.progress,
        )  # fmt: skip
        facts |= {"method": request.method, "helped": done.check.helped, "reason": done.check.reason}
    record(workspace.folder, data, annotation)


__all__ = ["adapt_encoder"]
